"""HiFi-GAN (Kong et al. 2020, arXiv 2010.05646): frames to a waveform, in stages of rising rate.

Layout is (B, C, T). Weight norm is a matter of training: weights come here multiplied out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.mel import mel_filters

SLOPE = 0.1  # of the leaky ReLUs, but for the last
LAST_SLOPE = 0.01
SMALLEST = 1e-5  # of a mel band before its logarithm

Watch = Callable[[], None]  # called between the layers of a long computation; may raise to end it


def unwatched() -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator: every upsampling halves the channels; kernels count steps of their own rate."""

    inputs: int = 192
    channels: int = 512
    rates: tuple[int, ...] = (10, 8, 2, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 8, 2, 2)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    style: int = 512  # numbers that condition it; 0: none
    last_bias: bool = False

    @property
    def hop(self) -> int:
        """Samples of one frame."""
        hop = 1
        for rate in self.rates:
            hop *= rate
        return hop


class ResidualBlock(nn.Module):
    """A dilated and a plain convolution, as often as there are dilations, each pair around a residual."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.dilated = nn.ModuleList(self._conv(channels, kernel, dilation) for dilation in dilations)
        self.plain = nn.ModuleList(self._conv(channels, kernel, 1) for _ in dilations)

    @staticmethod
    def _conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
        return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) // 2 * dilation)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            y = dilated(functional.leaky_relu(x, SLOPE))
            x = x + plain(functional.leaky_relu(y, SLOPE))
        return x


class Generator(nn.Module):
    """Frames (and a style) to samples, `config.hop` for each frame."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        c, channels = config, config.channels
        self.config = config
        self.first = nn.Conv1d(c.inputs, channels, 7, padding=3)
        self.style = nn.Conv1d(c.style, channels, 1) if c.style else None
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(c.rates, c.kernels, strict=True):
            channels //= 2
            self.ups.append(nn.ConvTranspose1d(2 * channels, channels, kernel, rate, (kernel - rate) // 2))
            self.blocks.append(
                nn.ModuleList(ResidualBlock(channels, size, c.dilations) for size in c.block_kernels)
            )
        self.last = nn.Conv1d(channels, 1, 7, padding=3, bias=c.last_bias)

    def forward(self, x: Tensor, style: Tensor | None = None, watch: Watch = unwatched) -> Tensor:
        """(B, inputs, N) and (B, style, 1) to (B, 1, N · hop) float32 in [-1, 1].

        Raises `ValueError` for a style where none is used, and the other way round.
        """
        if (style is None) != (self.style is None):
            raise ValueError("This generator has no style." if style is not None else "A style is missing.")
        x = self.first(x.to(self.first.weight.dtype))
        if style is not None:
            x = x + self.style(style.to(x.dtype))
        for up, blocks in zip(self.ups, self.blocks, strict=True):
            x = up(functional.leaky_relu(x, SLOPE))
            x = self._mixed(x, blocks, watch)
        return torch.tanh(self.last(functional.leaky_relu(x, LAST_SLOPE)).float())

    @staticmethod
    def _mixed(x: Tensor, blocks: nn.ModuleList, watch: Watch) -> Tensor:
        """The mean of what the blocks make of x."""
        mixed = None
        for block in blocks:
            made = block(x)
            mixed = made if mixed is None else mixed.add_(made)
            watch()
        return mixed / len(blocks)


def magnitudes(samples: Tensor, n_fft: int, hop: int, smallest: float = 1e-8) -> Tensor:
    """Magnitude spectrogram under a Hann window, sqrt(re² + im² + smallest), of frames that tile the sound.

    (B, T) float32 to (B, n_fft // 2 + 1, T // hop); the ends are mirrored by (n_fft - hop) / 2 samples, and
    a sound no longer than that is refused with `ValueError`.
    """
    edge = (n_fft - hop) // 2
    if samples.shape[-1] <= edge:
        raise ValueError(
            f"A spectrogram of {n_fft} points needs more than {edge} samples, not {samples.shape[-1]}."
        )
    padded = functional.pad(samples.float()[:, None], (edge, edge), mode="reflect")[:, 0]
    window = torch.hann_window(n_fft, device=samples.device)
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    return (torch.view_as_real(spectrum).square().sum(-1) + smallest).sqrt()


def log_mel(samples: Tensor, sample_rate: int, n_fft: int, hop: int, bands: int) -> Tensor:
    """Natural logarithm of a mel spectrogram of magnitudes: (B, T) float32 to (B, bands, T // hop)."""
    filters = mel_filters(sample_rate, n_fft, bands).to(samples.device)
    return (filters @ magnitudes(samples, n_fft, hop, 1e-9)).clamp(min=SMALLEST).log()
