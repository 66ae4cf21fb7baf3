"""GPT-SoVITS by RVC-Boss, all versions, from the official checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.types import Sampling, Spec

if TYPE_CHECKING:
    from pipelines.device import Placement
    from pipelines.engines.gpt_sovits.engine import GptSovits

SPEC = Spec(
    name="gpt_sovits",
    title="GPT-SoVITS",
    languages=("en", "zh", "yue", "ja", "ko", "auto"),
    sample_rate=32_000,
    reference_seconds=(3.0, 10.0),
    samples=True,
    refines=False,
    source="lj1995/GPT-SoVITS on the Hugging Face hub, MIT; code written anew",
    note=(
        "Copies a voice from 3 to 10 seconds; nearer where the clip's own words are given. Its weights are "
        "about 0.5 GB and are installed from the official files."
    ),
    transcript=(
        "The voice comes nearer, since it goes on from these words. Versions 3 and 4 need them; for the "
        "others they are optional."
    ),
    usual=Sampling(top_k=15, repetition_penalty=1.35),
    steps=(4, 8, 16, 32),
    overlong=(
        "Of a longer clip this engine takes the best 10 seconds, and the clip's words are then of no use; "
        "versions 3 and 4, which need the words, refuse it."
    ),
)


def missing(folder: Path) -> str | None:
    """In words, what keeps the engine from loading; None where it is ready."""
    from pipelines.engines.gpt_sovits import parts
    from pipelines.types import InputError

    try:
        parts.together(folder)
    except InputError:
        lacking = {version: parts.lacking(folder, version) for version in parts.BEST}
        version = min(lacking, key=lambda version: len(lacking[version]))
        if not lacking[version]:
            return f"GPT-SoVITS {version} is here, and is chosen when it is first used."
        return (
            f"GPT-SoVITS is not installed: nearest is {version}, which lacks {', '.join(lacking[version])}. "
            "Install it on the Models screen, or with python -m pipelines.install gpt_sovits."
        )
    return None


def prepare(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    """Choose the best version that is here whole, where none was chosen.

    Raises `InputError` where there is none.
    """
    from pipelines.engines.gpt_sovits import parts
    from pipelines.types import InputError

    words = missing(folder)
    if words is None:
        return
    whole = [version for version in parts.BEST if not parts.lacking(folder, version)]
    if not whole:
        raise InputError(words)
    parts.choose(folder, whole[0])
    progress("prepare", 1, 1)


def weight(folder: Path) -> int:
    """Bytes on disk of the parts that speak together; other versions may lie beside them."""
    from pipelines.engines.gpt_sovits import parts

    return parts.weight(folder)


def load(folder: Path, placement: Placement) -> GptSovits:
    """The engine of the chosen version. Raises `InputError` for parts that do not fit."""
    from pipelines.engines.gpt_sovits import engine

    return engine.load(folder, placement)


def tiny(placement: Placement) -> GptSovits:
    """The real classes at toy sizes with random weights: it makes sound, not speech."""
    from pipelines.engines.gpt_sovits import engine

    return engine.tiny(placement)
