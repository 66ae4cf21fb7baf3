"""Makes assets/small/basis.safetensors from the style packs inside the npm package kokoro-js (Apache-2.0).

    npm pack kokoro-js@1.2.1
    python -m training.small.basis kokoro-js-1.2.1.tgz --models models

A pack has one style for each number of tokens from 1 to 510; it changes so smoothly that twelve knots in
float16, fitted by least squares, stand for it. What each voice sounds like is measured on sound that the
engine renders from it, so that `listen` need not render anything.
"""

from __future__ import annotations

import argparse
import tarfile
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
from pipelines.types import Engine, Run, Sampling, Voice, Waveform

ROWS, SIZE, KNOTS = 510, 256, 12
OUT = style.ASSETS / "basis.safetensors"
SENTENCES = (
    "The birch canoe slid on the smooth planks, and the boy was there when the sun rose.",
    "Four hours of steady work faced us, but a large size in stockings is hard to sell.",
    "Why do you always show up so late, and where did you leave my umbrella?",
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
