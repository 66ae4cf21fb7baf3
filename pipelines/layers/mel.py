"""Spectrograms and mel filters: the numbers behind every encoder that looks at sound."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.safe_torchaudio import functional


def mel_filters(
    sample_rate: int, n_fft: int, bands: int, low: float = 0.0, high: float | None = None
) -> Tensor:
    """Triangular filters of equal area on Slaney's scale, as librosa makes them.

    Returns (bands, n_fft // 2 + 1) float32: multiply it with a power or magnitude spectrum.
    `low` and `high` in Hz; `high` is half the sample rate unless told.
    """
    high = sample_rate / 2 if high is None else high
    bins = n_fft // 2 + 1
    return functional.melscale_fbanks(bins, low, high, bands, sample_rate, "slaney", "slaney").T


def power_spectrogram(samples: Tensor, n_fft: int, hop: int) -> Tensor:
    """Squared magnitudes under a Hann window, frames centred on multiples of `hop` (zeros beyond the ends).

    (..., T) float32 → (..., n_fft // 2 + 1, T // hop + 1). Differentiable.
    """
    window = torch.hann_window(n_fft, device=samples.device)
    padded = torch.nn.functional.pad(samples.float(), (n_fft // 2, n_fft // 2))
    frames = padded.unfold(-1, n_fft, hop) * window
    return torch.fft.rfft(frames, dim=-1).abs().square().transpose(-1, -2)
