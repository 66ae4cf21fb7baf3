"""The spectrograms that GPT-SoVITS was trained on: frames that tile the sound, its ends mirrored."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.layers.mel import mel_filters

FLOOR = 1e-8  # added to a power before its root
SMALLEST = 1e-5  # of a mel band before its logarithm


def magnitudes(samples: Tensor, n_fft: int, hop: int) -> Tensor:
    """Magnitudes under a Hann window, sqrt(re² + im² + `FLOOR`).

    (B, T) to (B, n_fft // 2 + 1, T // hop) float32. The ends are mirrored by
    (n_fft - hop) / 2 samples; raises `ValueError` for a sound no longer than that.
    """
    edge = (n_fft - hop) // 2
    if samples.shape[-1] <= edge:
        raise ValueError(
            f"A spectrogram of {n_fft} points needs more than {edge} samples, not {samples.shape[-1]}."
        )
    padded = functional.pad(samples.float()[:, None], (edge, edge), mode="reflect")[:, 0]
    window = torch.hann_window(n_fft, device=samples.device)
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    return (torch.view_as_real(spectrum).square().sum(-1) + FLOOR).sqrt()


def log_mel(samples: Tensor, sample_rate: int, n_fft: int, hop: int, bands: int) -> Tensor:
    """Natural logarithm of magnitudes in mel bands: (B, T) to (B, bands, T // hop) float32."""
    filters = mel_filters(sample_rate, n_fft, bands).to(samples.device)
    return (filters @ magnitudes(samples, n_fft, hop)).clamp(min=SMALLEST).log()
