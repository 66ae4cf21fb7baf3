"""Fundamental frequency by normalised cross-correlation and the best path through it.

The score is that of Talkin's RAPT ("A robust algorithm for pitch tracking", 1995) on a logarithmic grid of
frequencies; instead of his candidates, dynamic programming runs over the whole grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLE_RATE = 16000
HOP = 160  # 10 ms
FRAME = 640  # 40 ms: two periods of 50 Hz
LOW, HIGH = 55.0, 500.0  # Hz
BINS_PER_OCTAVE = 48
VOICED = 0.6  # correlation from which a frame counts as voiced
FLOOR = 30.0  # dB below the loud frames where voice ends
SLOPE_COST = 0.3  # where the correlation is no peak: it only falls off from lag 0
RANGE = 1.2  # octaves around the median that the second pass keeps to
SHORT_LAGS = 0.06  # bonus an octave for higher pitch, against halving
JUMP = 1.2  # cost of moving an octave from one frame to the next


def correlation(samples: Tensor) -> Tensor:
    """How like itself each frame is one period later, for every frequency of the grid.

    (T,) at 16 kHz → (frames, bins) in [-1, 1]; bins rise from `LOW` to `HIGH`.
    """
    longest = round(SAMPLE_RATE / LOW) + 1
    size = FRAME + longest
    padded = torch.nn.functional.pad(samples.float(), (size // 2, size // 2))
    frames = padded.unfold(0, size, HOP)
    frames = frames - frames.mean(-1, keepdim=True)
    n_fft = 2048
    here = torch.fft.rfft(frames[:, :FRAME], n_fft)
    product = torch.fft.irfft(here.conj() * torch.fft.rfft(frames, n_fft), n_fft)[:, : longest + 1]
    energy = torch.nn.functional.pad(frames.square().cumsum(-1), (1, 0))
    later = energy[:, FRAME : FRAME + longest + 1] - energy[:, : longest + 1]
    scores = product / (later * later[:, :1]).sqrt().clamp(min=1e-6)
    lags = SAMPLE_RATE / grid()
    below = lags.floor().long()
    share = lags - below
    return scores[:, below] * (1 - share) + scores[:, below + 1] * share


def grid() -> Tensor:
    """The frequencies looked at, in Hz."""
    octaves = torch.log2(torch.tensor(HIGH / LOW)).item()
    steps = torch.arange(int(octaves * BINS_PER_OCTAVE) + 1)
    return LOW * 2 ** (steps / BINS_PER_OCTAVE)


def best_path(scores: Tensor) -> Tensor:
    """The path of highest score with small steps between frames: (frames, bins) → (frames,) int64."""
    bins = torch.arange(scores.shape[1])
    step = (bins[:, None] - bins).abs() / BINS_PER_OCTAVE * JUMP
    total, backs = scores[0], []
    for score in scores[1:]:
        best, back = (total[:, None] - step).max(0)
        total = best + score
        backs.append(back)
    path = [int(total.argmax())]
    for back in reversed(backs):
        path.append(int(back[path[-1]]))
    return torch.tensor(path[::-1])


def track(samples: Tensor) -> tuple[Tensor, Tensor]:
    """F0 of each frame of 10 ms, and whether the frame is voiced.

    (T,) float32 at 16 kHz → (T // 160 + 1,) float32 in Hz, and bool of the same length. F0 is given for
    unvoiced frames too: there it only continues the path.
    """
    scores = correlation(samples)
    octave = torch.arange(scores.shape[1]) / BINS_PER_OCTAVE
    peak = peaks(scores)
    weighed = scores + SHORT_LAGS * octave - SLOPE_COST * ~peak
    path = best_path(weighed)
    padded = torch.nn.functional.pad(samples.float(), (FRAME // 2, FRAME // 2))
    power = padded.unfold(0, FRAME, HOP)[: len(path)].square().mean(-1)
    loud = power > power.quantile(0.95) * 10 ** (-FLOOR / 10)
    loud = loud & (power > 1e-8)
    frames = torch.arange(len(path))
    sure = peak & (scores > VOICED)
    voiced = loud & sure[frames, path]
    if voiced.any():
        far = (octave - octave[path[voiced]].median()).abs() > RANGE
        path = best_path(weighed - far.float())
        voiced = loud & sure[frames, path]
    return grid()[path], voiced


def peaks(scores: Tensor) -> Tensor:
    """Where a score (frames, bins) is a local maximum, or next to one; never at the ends of the grid."""
    peak = torch.zeros_like(scores, dtype=torch.bool)
    peak[:, 1:-1] = (scores[:, 1:-1] >= scores[:, :-2]) & (scores[:, 1:-1] >= scores[:, 2:])
    return torch.nn.functional.max_pool1d(peak.float()[:, None], 3, 1, 1)[:, 0] > 0


def statistics(f0: Tensor, voiced: Tensor) -> Tensor:
    """Mean and standard deviation of log2 F0 over voiced frames: (2,) float32.

    The outer twentieths are left out, so that a few frames an octave off do not count; the deviation of what
    remains is scaled to that of a whole normal distribution. NaN where fewer than ten frames are voiced.
    """
    octaves = f0[voiced].log2().sort().values
    if len(octaves) < 10:
        return torch.full((2,), float("nan"))
    cut = len(octaves) // 20
    inner = octaves[cut : len(octaves) - cut]
    return torch.stack([inner.mean(), inner.std() * 1.266])
