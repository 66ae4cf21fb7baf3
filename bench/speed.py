"""How quick an engine is here, in each precision, as ratios to float32 measured side by side in one run.

    python -m bench.speed [--engine small] [--reference CLIP] [--rounds 3] [--all] [--out FILE.json]

Every round says the same text once in each precision, in turn, so that whatever else the machine does
falls on all alike; a figure is the median over the rounds, a ratio the median of the rounds' ratios.
Real-time factor = (read + say + render) / seconds of sound; listening and loading are left out. The
first sound's clock runs from the request, the model being loaded and the voice known. Peak memory is
the whole process's, so it is that of the largest precision.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipelines import audio, device
from pipelines.clone import WORDING
from pipelines.registry import ENGINES, Engines
from pipelines.synthesis import clone
from pipelines.types import Consent, Piece, Request, Take, Wish

TEXT = (
    "When the sunlight strikes raindrops in the air, they act like a prism and form a rainbow, "
    "which is a division of white light into many beautiful colors, long and round and high."
)  # 32 words
EXAMPLE = Path(__file__).parents[1] / "assets" / "example.flac"
WARM_UP = "One, two."  # loads the model, and lets the first call of each layer set up what it needs


@dataclass(frozen=True)
class Pass:
    """One text said once: seconds till the first sound, per stage, and of sound."""

    first_sound: float
    stages: dict[str, float]
    audio: float

    @property
    def rtf(self) -> float:
        return sum(self.stages[stage] for stage in ("read", "say", "render")) / self.audio


def once(engines: Engines, request: Request) -> Pass:
    """Say the request and take its times."""
    started, first = time.perf_counter(), None
    for event in clone(engines, request):
        if isinstance(event, Piece) and first is None:
            first = time.perf_counter() - started
    assert isinstance(event, Take)
    stages: dict[str, float] = {}
    for report in event.stages:
        stages[report.stage] = stages.get(report.stage, 0.0) + report.seconds
    return Pass(first, stages, event.waveform.seconds)


def measure(engines: Engines, request: Request, modes: list[str], rounds: int) -> dict[str, list[Pass]]:
    """`rounds` passes in each of `modes`, in turn; the model of a mode is loaded before its clock starts."""
    passes: dict[str, list[Pass]] = {mode: [] for mode in modes}
    for _ in range(rounds):
        for mode in modes:
            wanted = replace(request, wish=replace(request.wish, precision=mode))
            once(engines, replace(wanted, text=WARM_UP))
            passes[mode].append(once(engines, wanted))
    return passes


def table(passes: dict[str, list[Pass]]) -> list[dict[str, object]]:
    """One row a mode: medians, and ratios to float32 of the same round (below 1 is quicker)."""
    rows = []
    base = passes["float32"]
    for mode, row in passes.items():
        rows.append(
            {
                "precision": mode,
                "rtf": statistics.median(p.rtf for p in row),
                "first_sound": statistics.median(p.first_sound for p in row),
                "rtf_ratio": statistics.median(p.rtf / b.rtf for p, b in zip(row, base, strict=True)),
                "first_sound_ratio": statistics.median(
                    p.first_sound / b.first_sound for p, b in zip(row, base, strict=True)
                ),
                "stages": {s: statistics.median(p.stages[s] for p in row) for s in ("read", "say", "render")},
                "seconds_audio": row[0].audio,
            }
        )
    return rows


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__.splitlines()[0])
    flags.add_argument("--engine", default=next(iter(ENGINES)))
    flags.add_argument("--reference", type=Path, default=EXAMPLE)
    flags.add_argument("--device", default="auto")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--all", action="store_true", help="also precisions that are possible but not safe")
    flags.add_argument("--models", type=Path, default=Path("models"))
    flags.add_argument("--data", type=Path, default=Path("data"))
    flags.add_argument("--out", type=Path, help="write the figures as JSON")
    options = flags.parse_args()
    device.settle_threads()
    engines = Engines(options.models, options.data, device.probe(options.data / "probe.json"))
    place = device.choose(Wish(options.device), engines.table).placement.device
    shown = ("safe", "possible") if options.all else ("safe",)
    modes = ["float32"] + [
        m for m, v in engines.table[place].items() if v.verdict in shown and m != "float32"
    ]
    request = Request(
        options.engine,
        TEXT,
        audio.read(options.reference),
        sampling=replace(engines.spec(options.engine).usual, seed=1),
        wish=Wish(place),
        consent=Consent(WORDING, "bench"),
    )
    rows = table(measure(engines, request, modes, options.rounds))
    peak = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024
    )
    _print(rows, place, peak)
    if options.out:
        figures = {"device": device.describe(place), "threads": torch.get_num_threads(), "peak_gib": peak}
        options.out.write_text(json.dumps(figures | {"rows": rows}, indent=1))
    return 0


def _print(rows: list[dict[str, object]], place: str, peak: float) -> None:
    print(
        f"{device.describe(place)}, {torch.get_num_threads()} threads, "
        f"{rows[0]['seconds_audio']:.1f} s of sound"
    )
    print(
        f"{'precision':<10}{'real-time factor':>18}{'× float32':>11}{'first sound':>13}{'× float32':>11}",
        end="",
    )
    print(f"{'read':>8}{'say':>8}{'render':>8}")
    for row in rows:
        stages = row["stages"]
        print(
            f"{row['precision']:<10}{row['rtf']:>18.3f}{row['rtf_ratio']:>11.2f}{row['first_sound']:>11.2f} s"
            f"{row['first_sound_ratio']:>11.2f}{stages['read']:>8.2f}{stages['say']:>8.2f}{stages['render']:>8.2f}"
        )
    print(f"peak memory of the process {peak:.2f} GiB")


if __name__ == "__main__":
    sys.exit(main())
