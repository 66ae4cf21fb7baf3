"""Spectrograms and mel filters: the numbers behind every encoder that looks at sound."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HZ_PER_MEL = 200 / 3  # below the break of Slaney's scale
BREAK_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27  # one mel above the break, in natural logarithm of frequency


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    if hz < BREAK_HZ:
        return hz / HZ_PER_MEL
    return BREAK_HZ / HZ_PER_MEL + math.log(hz / BREAK_HZ) / LOG_STEP


def mel_to_hz(mel: Tensor) -> Tensor:
    """The inverse of `hz_to_mel`, for any shape."""
    bend = BREAK_HZ / HZ_PER_MEL
    return torch.where(mel < bend, mel * HZ_PER_MEL, BREAK_HZ * torch.exp(LOG_STEP * (mel - bend)))


def mel_filters(
    sample_rate: int, n_fft: int, bands: int, low: float = 0.0, high: float | None = None
) -> Tensor:
    """Triangular filters of equal area on Slaney's scale.

    Returns (bands, n_fft // 2 + 1) float32: multiply it with a power or magnitude spectrum.
    `low` and `high` in Hz; `high` is half the sample rate unless told.
    """
    high = sample_rate / 2 if high is None else high
    edges = mel_to_hz(torch.linspace(hz_to_mel(low), hz_to_mel(high), bands + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    ramps = edges[:, None] - bins  # (bands + 2, bins)
    widths = edges.diff()[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (edges[2:] - edges[:-2])[:, None]).float()


def power_spectrogram(samples: Tensor, n_fft: int, hop: int) -> Tensor:
    """Squared magnitudes under a Hann window, frames centred on multiples of `hop` (zeros beyond the ends).

    (..., T) float32 → (..., n_fft // 2 + 1, T // hop + 1). Differentiable.
    """
    window = torch.hann_window(n_fft, device=samples.device)
    padded = torch.nn.functional.pad(samples.float(), (n_fft // 2, n_fft // 2))
    frames = padded.unfold(-1, n_fft, hop) * window
    return torch.fft.rfft(frames, dim=-1).abs().square().transpose(-1, -2)
