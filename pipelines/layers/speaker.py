"""A speaker encoder: sound → a unit vector that points the same way for the same speaker.

GE2E (Wan et al., "Generalized end-to-end loss for speaker verification", 2018) in the size that Resemblyzer
published and MetaVoice uses too: three LSTM layers over 40 mel bands at 16 kHz, windows of 1.6 s, averaged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from pipelines.layers.lstm import Lstm
from pipelines.layers.mel import mel_filters, power_spectrogram

SAMPLE_RATE = 16000
N_FFT = 400  # 25 ms
HOP = 160  # 10 ms
WINDOW = 160  # frames the network hears at a time, 1.6 s


class SpeakerEncoder(nn.Module):
    """`forward` takes mel windows; `embed` takes sound. Both are differentiable."""

    filters: Tensor

    def __init__(self, bands: int = 40, hidden: int = 256, layers: int = 3, size: int = 256) -> None:
        super().__init__()
        self.lstm = Lstm(bands, hidden, layers)
        self.linear = nn.Linear(hidden, size)
        self.register_buffer("filters", mel_filters(SAMPLE_RATE, N_FFT, bands), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, frames, bands) mel power → (B, size) float32 of length one, nowhere negative."""
        _, (hidden, _) = self.lstm(mel.to(self.linear.weight.dtype))
        return normalize(self.linear(hidden[-1]).relu().float(), dim=-1)

    def mel(self, samples: Tensor) -> Tensor:
        """(..., T) at 16 kHz → (..., T // 160 + 1, bands) float32 mel power, not its logarithm."""
        samples = samples.to(self.filters.device)
        return (self.filters.float() @ power_spectrogram(samples, N_FFT, HOP)).transpose(-1, -2)

    def windows(self, samples: Tensor, per_second: float = 1.3, coverage: float = 0.75) -> Tensor:
        """One embedding for each window of 1.6 s: (T,) at 16 kHz → (windows, size).

        `per_second` windows start each second; the last is kept where sound covers this share of it.
        Sound shorter than one window is filled up with silence.
        """
        starts = window_starts(len(samples), per_second, coverage)
        needed = (starts[-1] + WINDOW) * HOP
        mel = self.mel(pad(samples, (0, max(0, needed - len(samples)))))
        return self(torch.stack([mel[start : start + WINDOW] for start in starts]))

    def embed(self, samples: Tensor, per_second: float = 1.3, coverage: float = 0.75) -> Tensor:
        """The mean of all windows, of length one: (T,) at 16 kHz → (size,)."""
        return normalize(self.windows(samples, per_second, coverage).mean(0), dim=0)


def window_starts(length: int, per_second: float, coverage: float) -> list[int]:
    """First frames of the windows over `length` samples: as many as Resemblyzer lays."""
    step = round(SAMPLE_RATE / per_second / HOP)
    if not 1 <= step <= WINDOW:
        raise ValueError(f"per_second must lie between 0.625 and 100, not {per_second}")
    frames = math.ceil((length + 1) / HOP)
    starts = list(range(0, max(1, frames - WINDOW + step + 1), step))
    covered = (length - starts[-1] * HOP) / (WINDOW * HOP)
    return starts[:-1] if covered < coverage and len(starts) > 1 else starts


def speech_only(samples: Tensor, level: float = -20.0, floor: float = 35.0) -> Tensor:
    """Sound at `level` dBFS without its long silences, as the encoder likes it: (T,) at 16 kHz → (T',).

    A frame of 30 ms counts as speech within `floor` dB of the loud frames (their 95th percentile); pauses
    keep 0.12 s on either side. Silence as a whole gives an empty tensor.
    """
    frame = 480
    if len(samples) < frame:
        return samples[:0]
    power = samples[: len(samples) // frame * frame].reshape(-1, frame).square().mean(-1)
    loud = power.quantile(0.95)
    if loud < 1e-8:  # -80 dBFS: digital silence or the noise of a converter
        return samples[:0]
    speech = (power > loud * 10 ** (-floor / 10)).float()[None, None]
    kept = torch.nn.functional.max_pool1d(speech, 9, 1, 4)[0, 0] > 0
    trimmed = samples[: len(kept) * frame].reshape(-1, frame)[kept].reshape(-1)
    return trimmed * 10 ** (level / 20) / trimmed.square().mean().sqrt()
