"""Makes the example clips of the page: assets/example.flac and assets/example_2.flac, with their transcripts.

    python -m training.small.example --models models

Each is said by the engine itself in a mixture of basis voices, nobody's voice in particular.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from pipelines import audio
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import style
from pipelines.text import Sentence, split
from pipelines.types import Run, Sampling, Voice

ASSETS = style.ASSETS.parent
LUFS = -20.0
WOMAN = {3: 0.4, 9: 0.2, 22: 0.25, 1: 0.15}  # number in the basis: share
MAN = {16: 0.3, 26: 0.3, 14: 0.25, 18: 0.15}
CLIPS: Mapping[str, tuple[Mapping[int, float], str]] = {
    "example": (
        WOMAN,
        "Good morning. I am an example of a voice, mixed from several others, so nobody else sounds quite "
        "like me. Give me a sentence, and I will read it to you.",
    ),
    "example_2": (
        MAN,
        "Hello, and welcome. No one ever stood at a microphone for this clip; a computer made it up. "
        "Write whatever you like, and listen to how it sounds.",
    ),
}


def mixture(basis: style.Basis, shares: Mapping[int, float]) -> Voice:
    """A voice between some of the basis, at its own pitch."""
    weights = torch.zeros(len(basis.styles))
    for number, share in shares.items():
        weights[number] = share
    return Voice("small", {"style": torch.einsum("v,vkd->kd", weights, basis.styles), "knots": basis.knots})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args()
    engine = small.load(args.models / "small", Placement())
    basis = style.Basis.load()
    for name, (shares, text) in CLIPS.items():
        voice = mixture(basis, shares)
        pieces = []
        for part in split(text):
            if not isinstance(part, Sentence):
                continue
            phrase = engine.read(part.text, "en")
            units = engine.say(phrase, voice, Sampling(), Run())[0]
            pieces += engine.render(units, phrase, voice, Run())
        sound = audio.level(audio.join(pieces), LUFS)
        audio.write(ASSETS / f"{name}.flac", sound)
        (ASSETS / f"{name}.txt").write_text(text + "\n")
        print(f"{name}: {sound.seconds:.1f} s")


if __name__ == "__main__":
    main()
