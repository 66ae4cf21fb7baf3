"""A sketch of the sound that the renderer would make: its bands, without its samples.

Refining asks again and again which way a style must move for the sound to come nearer to a clip. The renderer
answers with samples, of which only two dozen bands a centisecond are ever looked at. The sketch draws those
bands from what the renderer computes at its low rate, for a hundredth of the arithmetic and for a whole
sentence at once. It was learnt from sentences that the renderer said with random voices
(`training.small.sketch`), and is near enough to tell the way, not to be listened to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.engines.small.style import ASSETS, BANDS, LOWEST, UNVOICED, compared_bands
from pipelines.layers.mel import mel_filters
from pipelines.layers.speaker import N_FFT, SAMPLE_RATE

FILE = ASSETS / "sketch.safetensors"
LOBE = 40.0  # Hz, half the width of a harmonic under a window of 25 ms
CEILING = 4.0  # of the logarithm of power; an equally loud sentence stays below


@dataclass(frozen=True)
class Size:
    """The network's sizes; `channels` and `style` are the renderer's."""

    channels: int = 512
    style: int = 128
    width: int = 256
    blocks: int = 6
    kernel: int = 5


class Sketch(nn.Module):
    """Residual convolutions at the curves' rate, moved by the timbre in every block."""

    mean: Tensor
    deviation: Tensor
    embedded: Tensor
    compared: Tensor

    def __init__(self, size: Size = Size()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        width, blocks = size.width, range(size.blocks)
        self.register_buffer("mean", torch.zeros(size.channels, 1))
        self.register_buffer("deviation", torch.ones(size.channels, 1))
        self.register_buffer("embedded", mel_filters(SAMPLE_RATE, N_FFT, BANDS), persistent=False)
        self.register_buffer("compared", compared_bands(), persistent=False)
        self.enter = nn.Conv1d(size.channels + 3, width, 1)
        self.harmonics = nn.Conv1d(2 * BANDS, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in blocks)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, size.kernel, padding=size.kernel // 2) for _ in blocks
        )
        self.films = nn.ModuleList(nn.Linear(size.style, 2 * width) for _ in blocks)
        self.mixes = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in blocks)
        self.leave = nn.Conv1d(width, 2 * BANDS, 1)

    def forward(self, front: Tensor, pitch: Tensor, energy: Tensor, timbre: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of power, (B, 40, M) float32, in the speaker encoder's bands and in `compared_bands`.

        `front` (B, channels, N) is `Renderer.front`'s, `pitch` and `energy` (B, N) the curves, 80 a second;
        `timbre` (B, style). M is 100 frames a second, and as loud as sound with a root mean square of 0.1.
        """
        dtype = self.enter.weight.dtype
        voiced = (pitch > UNVOICED).float()[:, None]
        octaves = (pitch.clamp(min=LOWEST).log2()[:, None] - 7.3) * voiced
        known = (front.float() - self.mean.float()) / self.deviation.float()
        x = self.enter(torch.cat([known, voiced, energy[:, None] / 5, octaves], dim=1).to(dtype))
        combs = [comb(pitch, filters.float()) for filters in (self.embedded, self.compared)]
        x = x + self.harmonics((0.3 * torch.cat(combs, dim=1) * voiced).to(dtype))
        for norm, conv, film, mix in zip(self.norms, self.convs, self.films, self.mixes, strict=True):
            gain, shift = film(timbre.to(dtype))[..., None].chunk(2, dim=1)
            y = conv(norm(x.transpose(1, 2)).transpose(1, 2))
            x = x + mix(F.gelu(y * (1 + gain) + shift))
        frames = pitch.shape[1] * 5 // 4 + 1
        drawn = F.interpolate(self.leave(x).float() * 3 - 4, size=frames, mode="linear", align_corners=True)
        embedded, compared = drawn.clamp(max=CEILING).chunk(2, dim=1)
        return embedded, compared


def comb(pitch: Tensor, filters: Tensor) -> Tensor:
    """Logarithm of what equally loud harmonics put in each band: (B, N) Hz, (bands, bins) → (B, bands, N)."""
    bins = torch.linspace(0, SAMPLE_RATE / 2, filters.shape[1], device=pitch.device)[:, None]
    spacing = pitch.float().clamp(min=LOWEST)[:, None]
    nearest = (bins / spacing).round().clamp(min=1) * spacing
    lobes = torch.exp(-0.9 * ((bins - nearest) / LOBE).square())
    return (filters @ lobes + 1e-6).log()


def load(path: Path = FILE) -> Sketch:
    """The sketch that comes with Myna, in float32, for gradients through it."""
    sketch = Sketch()
    sketch.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return sketch.eval().requires_grad_(False)
