"""A second toy engine: the toy under another name, with other languages, no knobs, and another rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.device import Placement
from pipelines.types import InputError, Phrase, Run, Sampling, Units, Voice, Waveform
from tests import toy

SAMPLE_RATE = 32_000

SPEC = replace(
    toy.SPEC,
    name="parrot",
    title="Parrot",
    languages=("en", "zh", "auto"),
    sample_rate=16_000,  # of another of its versions
    reference_seconds=(3.0, 9.0),
    samples=False,
    refines=False,
    note="Repeats what it hears. It hums too.",
    prosodies=(),
    drawn=(),
    transcript="It repeats these words best.",
    overlong="It forgets all but nine seconds.",
    usual=Sampling(top_k=15, repetition_penalty=1.35),
    steps=(4, 8),
)


def missing(folder: Path) -> str | None:
    here = (folder / "config.json").is_file()
    return None if here else "The parrot has flown away: install it on the Models screen."


def prepare(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    if (words := missing(folder)) is not None:
        raise InputError(words)


def load(folder: Path, placement: Placement) -> Parrot:
    return Parrot(placement, {}, 0.0)


class Parrot(toy.Toy):
    """The toy's hum, faster and higher."""

    sample_rate = SAMPLE_RATE

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        return replace(super().listen(reference, transcript, run), engine="parrot")

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        for piece in super().render(units, phrase, voice, run):
            yield Waveform(piece.samples, SAMPLE_RATE)
