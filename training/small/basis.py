"""Makes assets/small/basis.safetensors from the style packs inside the npm package kokoro-js (Apache-2.0).

    npm pack kokoro-js@1.2.1
    python -m training.small.basis kokoro-js-1.2.1.tgz --models models

A pack has one style for each number of tokens from 1 to 510; it changes so smoothly that twelve knots in
float16, fitted by least squares, stand for it. What each voice sounds like is measured on sound rendered
from it, so that `listen` need not render anything; and from these and from random mixtures of them a ridge
regression learns the way back, from what a voice sounds like to its style.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from pipelines.audio import join
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import style
from pipelines.types import InputError, Run, Sampling, Voice, Waveform

ROWS, SIZE, KNOTS = 510, 256, 12
MIXTURES = 160
PURITY = 0.06  # of the Dirichlet distribution that mixtures are drawn from: a few voices each
SPREAD = 0.3  # of the free part of a mixture, in the voices' deviation
RIDGE = 3.0
OUT = style.ASSETS / "basis.safetensors"
SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Four hours of steady work faced us, and the large size is hard to sell.",
    "Why do you always show up so late, and where is my umbrella?",
    "A rod is used to catch pink salmon in the morning.",
    "She had your dark suit in greasy wash water all year.",
    "The boy was there when the sun rose over the village.",
)


def read_packs(archive: Path) -> Tensor:
    """All packs in the order of their file names: (V, 510, 256) float32."""
    with tarfile.open(archive) as files:
        members = sorted((m for m in files if m.name.endswith(".bin")), key=lambda m: m.name)
        packs = [np.frombuffer(files.extractfile(member).read(), "<f4") for member in members]
    return torch.from_numpy(np.stack(packs).reshape(len(packs), ROWS, SIZE).copy())


def knots() -> Tensor:
    """Token counts at which styles are kept, closer together where short sentences differ more."""
    return torch.from_numpy(np.geomspace(1, ROWS, KNOTS).round().astype(np.int64))


def hat(points: Tensor) -> Tensor:
    """Linear interpolation from the knots to all rows, as a matrix: (rows, knots)."""
    kept = {"knots": points, "style": torch.eye(len(points))}
    return torch.stack([style.at(kept, tokens) for tokens in range(1, ROWS + 1)])


def condense(packs: Tensor, points: Tensor) -> Tensor:
    """The knots' styles that come nearest to the whole packs: (V, K, 256) float16."""
    wide = packs.transpose(0, 1).flatten(1).double()  # (V, rows, 256) -> (rows, V · 256)
    solved = torch.linalg.lstsq(hat(points).double(), wide).solution
    return solved.unflatten(1, (-1, SIZE)).transpose(0, 1).to(torch.float16).contiguous()


def mixtures(styles: Tensor, number: int, seed: int = 0) -> Iterator[Tensor]:
    """Random voices (K, 256): a few voices mixed, timbre and prosody apart, and something of their own."""
    random = np.random.default_rng(seed)
    deviation = styles.mean(1).std(0)
    for _ in range(number):
        timbre, other = (random.dirichlet(np.full(len(styles), PURITY)) for _ in range(2))
        prosody = (timbre + other) / 2
        halves = [
            torch.einsum("v,vkd->kd", torch.from_numpy(weights).float(), styles[..., half])
            for weights, half in ((timbre, slice(style.TIMBRE)), (prosody, slice(style.TIMBRE, None)))
        ]
        own = torch.from_numpy(random.standard_normal(SIZE)).float() * SPREAD * deviation
        yield torch.cat(halves, dim=-1) + own


class Studio:
    """Renders styles at their own pitch with the engine, and measures what comes out."""

    def __init__(self, models: Path) -> None:
        self.engine = small.load(models / "small", Placement())
        self.encoder = style.load_encoder()
        self.phrases = [self.engine.read(sentence, "en") for sentence in SENTENCES]

    def say(self, which: int, voice: Voice) -> list[Waveform]:
        """One sentence, in pieces."""
        phrase = self.phrases[which % len(self.phrases)]
        units = self.engine.say(phrase, voice, Sampling(), Run())[0]
        return list(self.engine.render(units, phrase, voice, Run()))

    def traits(self, sentences: range, kept: Tensor, points: Tensor) -> style.Traits:
        """What the style (K, 256) sounds like over some sentences, joined."""
        voice = Voice("small", {"style": kept, "knots": points})
        pieces = [piece for which in sentences for piece in self.say(which, voice)]
        return style.traits(join(pieces), self.encoder)


def regression(heard: list[style.Traits], styles: Tensor) -> tuple[Tensor, Tensor]:
    """From features to style by ridge regression: the features' mean (F,), the map (F, 256) to deviations."""
    features = torch.stack([style.features(traits) for traits in heard]).double()
    centre, middle = features.mean(0), styles.mean(0)
    x, y = features - centre, ((styles - middle) / styles.std(0)).double()
    inverse = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]), x.T @ y)
    return centre.float(), (inverse * styles.std(0)).float().contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    points = knots()
    packs = read_packs(args.archive)
    styles = condense(packs, points)
    error = (torch.einsum("rk,vkd->vrd", hat(points), styles.float()) - packs).square().mean((0, 1)).sqrt()
    error /= packs.mean(1).std(0)
    print(
        f"error of the knots, of the voices' deviation: "
        f"timbre {error[: style.TIMBRE].mean():.4f}, prosody {error[style.TIMBRE :].mean():.4f}"
    )

    studio = Studio(args.models)
    voices = list(styles.float())
    heard = [studio.traits(range(3), kept, points) for kept in voices]
    lessons = [(traits, kept) for traits, kept in zip(heard, voices, strict=True)]
    for number, kept in enumerate([*voices, *mixtures(styles.float(), MIXTURES)]):
        for start in (number, number + 3):
            try:
                lessons.append((studio.traits(range(start, start + 1), kept, points), kept))
            except InputError as error:
                print(f"voice {number} left out: {error}")
    middles = torch.stack([style.middle(kept) for _, kept in lessons])
    centre, inverse = regression([traits for traits, _ in lessons], middles)
    tensors = {
        "knots": points,
        "styles": styles,
        "embeddings": normalize(torch.stack([t.embedding for t in heard]), dim=-1).to(torch.float16),
        "pitch": torch.stack([t.pitch for t in heard]),
        "spectrum": torch.stack([t.spectrum for t in heard]).to(torch.float16),
        "centre": centre,
        "centre_style": middles.mean(0),
        "inverse": inverse.to(torch.float16),
    }
    save_file(tensors, args.out, {"source": "kokoro-js 1.2.1, Apache-2.0"})
    print(f"{args.out.name}: {args.out.stat().st_size / 1e3:.0f} kB from {len(lessons)} lessons")


if __name__ == "__main__":
    main()
