"""From mel spectrograms to sound: BigVGAN at 24 kHz for v3, a HiFi-GAN at 48 kHz for v4.

BigVGAN (Lee et al. 2023, arXiv 2206.04658) is a HiFi-GAN whose activations are periodic (Snake, arXiv
2006.08195) and work at twice the rate, so that what they add above half the rate folds back nowhere.
Modules are named as the published checkpoints name them, with weight norm folded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.hifigan import HifiganConfig, Watch, average, unwatched, upsampled_reach

TAPS = 12  # of the filter around an activation
AROUND = 6  # steps on either side that an activation depends on: three up, three down
NO_DIVISION_BY_ZERO = 1e-9

V4 = HifiganConfig(channels=100, rates=(10, 6, 2, 2, 2), kernels=(20, 12, 4, 4, 4))


@dataclass(frozen=True)
class BigvganConfig:
    """Sizes of a BigVGAN; the defaults are those of nvidia/bigvgan_v2_24khz_100band_256x."""

    channels: int = 100
    width: int = 1536
    rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)
    kernels: tuple[int, ...] = (8, 8, 4, 4, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)

    @property
    def hop(self) -> int:
        """Samples that one frame becomes."""
        return math.prod(self.rates)

    @property
    def reach(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        side, pairs = (max(self.block_kernels) - 1) // 2, len(self.dilations)
        block = side * (sum(self.dilations) + pairs) + 2 * pairs * AROUND
        return upsampled_reach(self.rates, self.kernels, block, last=3 + AROUND)


class Snake(nn.Module):
    """x + sin²(x eᵃ) / eᵇ for each channel, taken at twice the rate."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, taps: Tensor) -> Tensor:
        """(B, C, T) to the same, between filters of the `taps` of `low_pass`."""
        rate = self.alpha.float().exp()[:, None]
        gain = 1 / (self.beta.float().exp()[:, None] + NO_DIVISION_BY_ZERO)
        y = doubled(x.float(), taps)
        return halved(torch.addcmul(y, gain, (y * rate).sin().square_()), taps).to(x.dtype)


def low_pass() -> Tensor:
    """A Kaiser-windowed sinc that keeps the lower half of the band: (TAPS,) float32, its sum 1.

    Kaiser's formulas (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3) for a transition of 0.6
    of the band.
    """
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * 0.3 + 7.95  # 51 dB
    beta = 0.1102 * (attenuation - 8.7)  # as Kaiser has it above 50 dB
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64, device="cpu")
    time = torch.arange(TAPS, dtype=torch.float64, device="cpu") - (TAPS - 1) / 2
    taps = window * torch.sinc(time / 2)
    return (taps / taps.sum()).float()


def doubled(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, T) to (B, C, 2 T); the ends go on as they are."""
    channels, side = x.shape[1], 3
    padded = functional.pad(x, (side, side), mode="replicate")
    spread = (2 * taps).expand(channels, 1, -1)
    cut = 2 * side + (TAPS - 2) // 2
    return functional.conv_transpose1d(padded, spread, stride=2, padding=cut, groups=channels)


def halved(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, 2 T) to (B, C, T); the ends go on as they are."""
    channels, side = x.shape[1], TAPS // 2
    padded = functional.pad(x, (side - 1, side), mode="replicate")
    return functional.conv1d(padded, taps.expand(channels, 1, -1), stride=2, groups=channels)


class SnakeBlock(nn.Module):
    """Pairs of convolutions, the first of each dilated, each behind a `Snake`."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            padding = dilation * (kernel - 1) // 2
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations = nn.ModuleList(Snake(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor, taps: Tensor) -> Tensor:
        snakes = iter(self.activations)
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            hidden = dilated(next(snakes)(x, taps))
            x = x + plain(next(snakes)(hidden, taps))
        return x


class Bigvgan(nn.Module):
    """A log mel spectrogram to a waveform."""

    def __init__(self, config: BigvganConfig):
        super().__init__()
        self.config = config
        widths = [config.width >> stage for stage in range(len(config.rates) + 1)]
        self.conv_pre = nn.Conv1d(config.channels, config.width, 7, padding=3)
        stages = zip(widths[:-1], widths[1:], config.kernels, config.rates, strict=True)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)
            for wide, narrow, kernel, rate in stages
        )
        self.resblocks = nn.ModuleList(
            SnakeBlock(narrow, kernel, config.dilations)
            for narrow in widths[1:]
            for kernel in config.block_kernels
        )
        self.activation_post = Snake(widths[-1])
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=False)

    def forward(self, mel: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, channels, N), logarithms, to (B, 1, N · hop) float32 in -1..1."""
        x = self.conv_pre(mel.to(self.conv_pre.weight.dtype))
        taps, each = low_pass().to(x.device), len(self.config.block_kernels)
        for stage, up in enumerate(self.ups):
            x = average(self.resblocks[stage * each : (stage + 1) * each], up(x), watch, taps)
        x = self.conv_post(self.activation_post(x, taps))
        return x.float().clamp(-1, 1)
