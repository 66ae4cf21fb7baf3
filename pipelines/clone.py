"""The command line: `python -m pipelines.clone --reference REF --text TEXT --out OUT.wav`.

Exit codes: 0 the sound is written; 2 something the person can mend, told in one line on standard
error, nothing written; 130 stopped with Ctrl+C.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines import audio, device
from pipelines.registry import ENGINES, Engines
from pipelines.synthesis import clone
from pipelines.types import (
    Cancelled,
    Consent,
    InputError,
    Request,
    Run,
    Sampling,
    Spec,
    Take,
    Unsound,
    Wish,
)

MENDABLE = 2
STOPPED = 130
WORDING = "Stated by running Myna's command line on this reference: I have the right to use this voice."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage, and exits with 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(MENDABLE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """All flags of the command line, with their help."""
    flags = Parser(
        prog="python -m pipelines.clone",
        description="Say a text in the voice of a reference clip. By running it you state that you have "
        "the right to use this voice; the statement and its time go into the file's recipe.",
    )
    flags.add_argument("--reference", required=True, type=Path, help="a clip of the voice, 3 to 30 seconds")
    flags.add_argument("--text", required=True, help="what to say; [pause 0.5s] makes a pause")
    flags.add_argument("--out", required=True, type=Path, help="the file to write: .wav, .flac, .ogg or .mp3")
    flags.add_argument("--engine", default=next(iter(ENGINES)), help=f"one of {', '.join(ENGINES)}")
    flags.add_argument("--language", default="en", help="of the text")
    flags.add_argument("--transcript", help="what the reference says, for engines that use it")
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    flags.add_argument("--precision", default="auto", help=f"auto, {', '.join(device.MODES)}")
    flags.add_argument("--seed", type=int, help="the same seed gives the same sound; without it, a new one")
    add_knobs(flags)
    flags.add_argument("--refine", action="store_true", help="bring the voice nearer first (about a minute)")
    flags.add_argument(
        "--stream", action="store_true", help="make the first sentence as the page does, which plays it early"
    )
    flags.add_argument("--json", action="store_true", help="print one JSON object about the take")
    flags.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    flags.add_argument(
        "--data", type=Path, default=Path("data"), help="folder of refined voices and verdicts"
    )
    return flags


def add_knobs(flags: argparse.ArgumentParser) -> None:
    """The flags of what `Sampling` holds beside the seed; without one, it is as is usual for the engine."""
    flags.add_argument("--speed", type=float, help="2 is twice as fast")
    flags.add_argument("--prosody", help="the way to say it, where an engine has several")
    flags.add_argument("--temperature", type=float, help="of what is drawn; 0 is greedy")
    flags.add_argument("--top-k", type=int, help="draw from the k likeliest; 0 is from all")
    flags.add_argument("--top-p", type=float, help="draw from the likeliest that sum to p")
    flags.add_argument("--repetition-penalty", type=float, help="make what was said less likely; 1 is none")
    flags.add_argument("--steps", type=int, help="of an engine that renders in steps; more take longer")


def knobs(options: argparse.Namespace, spec: Spec) -> Sampling:
    """What the flags of `add_knobs` ask for, the rest as is usual for the engine."""
    names = ("speed", "prosody", "temperature", "top_k", "top_p", "repetition_penalty", "steps")
    asked = {name: getattr(options, name) for name in names}
    return replace(spec.usual, **{name: value for name, value in asked.items() if value is not None})


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    started = time.perf_counter()
    try:
        take = _take(options, Run(stop.is_set, _tell))
        audio.write(options.out, take.waveform, json.dumps(take.recipe))
    except (InputError, Unsound) as error:
        print(error, file=sys.stderr)
        return MENDABLE
    except Cancelled:
        return STOPPED
    if options.json:
        print(json.dumps(summary(take, time.perf_counter() - started)))
    for note in take.notes:
        print(note, file=sys.stderr)
    return STOPPED if take.stopped else 0


def _take(options: argparse.Namespace, run: Run) -> Take:
    audio.check_writable(options.out)
    device.settle_threads()
    reference = audio.read(options.reference)
    engines = Engines(options.models, options.data, device.probe(options.data / "probe.json"))
    request = Request(
        engine=options.engine,
        text=options.text,
        reference=reference,
        language=options.language,
        transcript=options.transcript,
        sampling=replace(knobs(options, engines.spec(options.engine)), seed=_seed(options.seed)),
        wish=Wish(options.device, options.precision),
        consent=Consent(WORDING, datetime.now(UTC).isoformat(timespec="seconds")),
        refine=options.refine,
        stream=options.stream,
    )
    *_, take = clone(engines, request, run)
    return take


def _seed(asked: int | None) -> int:
    return secrets.randbelow(2**31) if asked is None else asked


def summary(take: Take, seconds_total: float) -> dict[str, object]:
    """The take in the words of the command line's contract: plain JSON, seconds rounded to milliseconds."""
    recipe = take.recipe
    return {
        "engine": recipe["engine"],
        "device": recipe["placement"]["device"],
        "precision": recipe["precision"],
        "seed": recipe["sampling"]["seed"],
        "seconds_audio": round(take.waveform.seconds, 3),
        "seconds_total": round(seconds_total, 3),
        "rtf": round(take.rtf, 4),
        "stages": [
            {
                "stage": report.stage,
                "seconds": round(report.seconds, 3),
                "device": report.device,
                "dtype": report.dtype,
                "note": report.note,
            }
            for report in take.stages
        ],
        "notes": list(take.notes),
        "sha256": take.sha256,
    }


def _tell(stage: str, done: int, total: int) -> None:
    """Progress on standard error where somebody watches it."""
    if sys.stderr.isatty():
        print(
            f"\r\033[K{stage} {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
