"""A toy engine for tests of everything around engines: it hums a tone per letter, at once.

It keeps the whole contract (`Engine`, `Refiner`) without a network. `config.json` in its folder may
plant faults, which strike only where a stage is lowered (``{"faults": {"render": "nan"}}``; kinds:
nan, silence, crash, memory), and ``{"pace": 0.05}`` makes each piece take that many seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from pipelines.device import Placement
from pipelines.types import (
    InputError,
    Phrase,
    Run,
    Sampling,
    Spec,
    Units,
    Unsound,
    Voice,
    Waveform,
)

SAMPLE_RATE = 24000
LETTER_SECONDS = 0.06
PIECE_LETTERS = 10

SPEC = Spec(
    name="toy",
    title="Toy",
    languages=("en",),
    sample_rate=SAMPLE_RATE,
    reference_seconds=(1.0, 30.0),
    samples=True,
    refines=True,
    source="made up on the spot",
    note="It hums.",
)


def missing(folder: Path) -> str | None:
    return None if (folder / "config.json").is_file() else "The toy has not been unpacked."


def prepare(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    progress("prepare", 0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")


def load(folder: Path, placement: Placement) -> Toy:
    config = json.loads((folder / "config.json").read_text())
    return Toy(placement, config.get("faults", {}), config.get("pace", 0.0))


class Toy:
    """Hums the reference's loudness-weighted mean frequency, a tone per letter."""

    sample_rate = SAMPLE_RATE

    def __init__(self, placement: Placement, faults: dict[str, str], pace: float) -> None:
        self._placement = placement
        self._faults = faults
        self._pace = pace

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        if reference.seconds < 0.5:
            raise InputError("This clip is too short to hear a voice in it.")
        self._strike("listen")
        pitch = 100 + 100 * float(reference.samples.diff().abs().mean() / reference.samples.abs().mean())
        return Voice("toy", {"pitch": torch.tensor([self._spoil("listen", pitch)])}, transcript)

    def read(self, text: str, language: str) -> Phrase:
        if not text.isascii():
            raise InputError("The toy knows no other letters than English ones.")
        return Phrase(text, torch.tensor([ord(letter) for letter in text]))

    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        run.check()
        self._strike("say")
        generator = torch.Generator().manual_seed(sampling.seed)
        wobble = torch.rand(phrase.ids.numel(), generator=generator)
        pitch = voice.tensors["pitch"] * (1 + phrase.ids % 12 / 12 + 0.05 * wobble)
        curve = torch.full_like(pitch, self._spoil("say", 1.0)) * pitch
        seconds = LETTER_SECONDS * phrase.ids.numel() / sampling.speed
        return [Units(phrase.ids[None], 1 / LETTER_SECONDS, {"pitch": curve}, seconds=seconds)]

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        self._strike("render")
        length = round(SAMPLE_RATE * units.seconds / phrase.ids.numel())
        steps = (units.curves["pitch"] / SAMPLE_RATE).repeat_interleave(length)
        tone = 0.3 * torch.sin(2 * torch.pi * steps.cumsum(0))
        for number, piece in enumerate(tone.split(PIECE_LETTERS * length)):
            run.check()
            time.sleep(self._pace)
            # NaN spares the first of several pieces, so that some sound is out before healing.
            struck = number > 0 or tone.numel() <= piece.numel() or self._fault("render") == "silence"
            yield Waveform(piece * self._spoil("render", 1.0) if struck else piece, SAMPLE_RATE)

    def refine(self, voice: Voice, reference: Waveform, run: Run) -> Voice:
        steps = 5
        for step in range(1, steps + 1):
            if run.cancelled():
                return voice
            time.sleep(self._pace)
            run.progress("refine", step, steps)
            if run.cancelled():
                break
        pitch = voice.tensors["pitch"] + step
        return Voice("toy", {"pitch": pitch}, voice.transcript, {"refined": f"{step} steps"})

    def _fault(self, stage: str) -> str:
        lowered = getattr(self._placement, stage) != "float32"
        return self._faults.get(stage, "") if lowered else self._faults.get(f"{stage} always", "")

    def _strike(self, stage: str) -> None:
        fault = self._fault(stage)
        if fault == "crash":
            raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")
        if fault == "memory":
            raise RuntimeError("CUDA out of memory")
        if fault == "unsound":
            raise Unsound("The logits are not finite.")

    def _spoil(self, stage: str, value: float) -> float:
        return {"nan": float("nan"), "silence": 0.0}.get(self._fault(stage), value)
