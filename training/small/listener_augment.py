"""What microphones, rooms and telephones do to a voice: random, seeded, over a batch at once.

Sound is (B, T) float32 at 16 kHz, its loud parts near 0.1. Each change befalls only some of the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE = 16_000
SHARES = {
    "others": 0.15, "pressed": 0.3, "room": 0.5, "equaliser": 0.7, "band": 0.3, "noise": 0.6, "clip": 0.1,
    "companded": 0.1,
}  # fmt: skip


def augment(samples: Tensor, random: torch.Generator) -> Tensor:
    """All that can happen on the way, in the order in which it happens: (B, T) → (B, T)."""
    chosen = {name: _some(len(samples), share, random) for name, share in SHARES.items()}
    length = samples.shape[-1]
    samples = torch.where(chosen["others"], samples + others(samples, random), samples)
    samples = torch.where(chosen["pressed"], pressed(samples, random), samples)
    size = 2 ** math.ceil(math.log2(length + RATE // 2))
    spectrum = torch.fft.rfft(samples, size)
    response = torch.where(chosen["room"], torch.fft.rfft(rooms(len(samples), random), size), 1.0)
    response = response * torch.where(
        chosen["equaliser"], equalisers(len(samples), size // 2 + 1, random), 1.0
    )
    response = response * torch.where(chosen["band"], bands(len(samples), size // 2 + 1, random), 1.0)
    heard = torch.fft.irfft(spectrum * response, size)[:, :length]
    heard = torch.where(chosen["noise"], heard + noise(heard, random), heard)
    heard = torch.where(chosen["clip"], clipped(heard, random), heard)
    return torch.where(chosen["companded"], companded(heard), heard)


def _some(batch: int, share: float, random: torch.Generator) -> Tensor:
    return torch.rand(batch, 1, generator=random) < share


def _uniform(batch: int, low: float, high: float, random: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(batch, 1, generator=random)


def others(samples: Tensor, random: torch.Generator) -> Tensor:
    """Each row's neighbour talking in the background, 6 to 25 dB below."""
    neighbour = samples.roll(1, 0)
    power = samples.square().mean(-1, keepdim=True) / neighbour.square().mean(-1, keepdim=True).clamp(
        min=1e-9
    )
    return neighbour * power.sqrt() * 10 ** (-_uniform(len(samples), 6.0, 25.0, random) / 20)


def pressed(samples: Tensor, random: torch.Generator) -> Tensor:
    """Loud and soft brought nearer to each other, as studios do: levels over 50 ms to a power below one."""
    power = torch.nn.functional.avg_pool1d(samples.square()[:, None], 800, 400, padding=400)
    power = torch.nn.functional.interpolate(power, samples.shape[-1], mode="linear")[:, 0]
    power = power / power.mean(-1, keepdim=True).clamp(min=1e-9)
    return samples * (power + 1e-3) ** (-_uniform(len(samples), 0.05, 0.25, random))


def rooms(batch: int, random: torch.Generator) -> Tensor:
    """Impulse responses: the direct sound, then noise that dies away. (B, RATE / 2)."""
    time = torch.arange(RATE // 2) / RATE
    decay = torch.exp(-6.9 * time / _uniform(batch, 0.08, 0.7, random))
    tail = torch.randn(batch, len(time), generator=random) * decay * (time > 0.002)
    tail = tail / tail.square().sum(-1, keepdim=True).sqrt()
    tail = tail * 10 ** (-_uniform(batch, 0.0, 20.0, random) / 20)  # against the direct sound
    tail[:, 0] = 1.0
    return tail


def _curve(batch: int, bins: int, knots: int, decibels: float, random: torch.Generator) -> Tensor:
    """Smooth random gains over the frequencies, even in octaves above 60 Hz: (B, bins)."""
    values = decibels * torch.randn(batch, 1, knots, generator=random)
    values = torch.nn.functional.interpolate(values, 512, mode="linear", align_corners=True)[:, 0]
    octaves = (torch.arange(bins) / (bins - 1) * RATE / 2).clamp(min=60.0).log2() - math.log2(60.0)
    places = (octaves / (math.log2(RATE / 2) - math.log2(60.0)) * 511).long()
    return 10 ** (values[:, places] / 20)


def equalisers(batch: int, bins: int, random: torch.Generator) -> Tensor:
    """A microphone's response: (B, bins)."""
    return _curve(batch, bins, 8, 3.5, random)


def bands(batch: int, bins: int, random: torch.Generator) -> Tensor:
    """What lies between two edges, one of them at least in speech: (B, bins)."""
    hertz = torch.arange(bins) / (bins - 1) * RATE / 2
    low = hertz / _uniform(batch, 40.0, 350.0, random)
    high = hertz / _uniform(batch, 3000.0, 7800.0, random)
    return (low**8 / (1 + low**8) / (1 + high**16)).sqrt()


def noise(samples: Tensor, random: torch.Generator) -> Tensor:
    """Noise of a random colour, 5 to 40 dB below each of the samples (B, T); sometimes it comes and goes."""
    batch, length = samples.shape
    size = 2 ** math.ceil(math.log2(length))
    white = torch.fft.rfft(torch.randn(batch, size, generator=random))
    tilt = (torch.arange(white.shape[1]) + 50.0) ** (-_uniform(batch, 0.0, 1.2, random))
    coloured = torch.fft.irfft(white * tilt * _curve(batch, white.shape[1], 12, 4.0, random))[:, :length]
    swing = torch.nn.functional.interpolate(
        torch.rand(batch, 1, length // 3200 + 2, generator=random), length, mode="linear", align_corners=True
    )[:, 0]
    coloured = torch.where(_some(batch, 0.3, random), coloured * swing, coloured)
    power = samples.square().mean(-1, keepdim=True) / coloured.square().mean(-1, keepdim=True).clamp(
        min=1e-12
    )
    return coloured * power.sqrt() * 10 ** (-_uniform(batch, 5.0, 40.0, random) / 20)


def clipped(samples: Tensor, random: torch.Generator) -> Tensor:
    """Cut off at 30 to 90 % of the peak."""
    limit = samples.abs().amax(-1, keepdim=True) * _uniform(len(samples), 0.3, 0.9, random)
    return samples.clamp(-limit, limit)


def companded(samples: Tensor) -> Tensor:
    """Eight bits a sample on the telephone's logarithmic scale (G.711, mu = 255)."""
    peak = samples.abs().amax(-1, keepdim=True).clamp(min=1e-6)
    x = samples / peak
    code = (torch.sign(x) * torch.log1p(255 * x.abs()) / math.log(256.0) * 127).round() / 127
    return torch.sign(code) * (256.0 ** code.abs() - 1) / 255 * peak
