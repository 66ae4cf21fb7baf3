"""HiFi-GAN (Kong et al. 2020, arXiv 2010.05646): frames to a waveform, in stages of rising rate.

Modules are named as the published checkpoints name them, with weight norm folded. Layout is (B, C, T).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1  # of the leaky ReLUs, but for the last, which has torch's default

Watch = Callable[[], None]  # called between the steps of a long computation; may raise to end it


def unwatched() -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class HifiganConfig:
    """Sizes of a generator: every stage halves the channels; `style` 0 means that nothing steers it."""

    channels: int
    width: int = 512
    rates: tuple[int, ...] = (10, 8, 2, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 8, 2, 2)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    style: int = 0
    final_bias: bool = True

    @property
    def hop(self) -> int:
        """Samples that one frame becomes."""
        return math.prod(self.rates)

    @property
    def reach(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        side = (max(self.block_kernels) - 1) // 2
        return upsampled_reach(self.rates, self.kernels, side * (sum(self.dilations) + len(self.dilations)))


def upsampled_reach(rates: Sequence[int], kernels: Sequence[int], block: int, last: int = 3) -> int:
    """Frames on either side that the samples of one frame depend on.

    `block` is how far each stage looks to either side at its own rate, `last` what comes after them at the
    rate of the samples; the first convolution looks at three frames.
    """
    reach = last
    for rate, kernel in zip(reversed(rates), reversed(kernels), strict=True):
        reach = math.ceil((reach + block + kernel - 1 - (kernel - rate) // 2) / rate)
    return reach + 3


class ResidualBlock(nn.Module):
    """Pairs of convolutions, the first of each dilated, each pair added to what it was given."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            padding = dilation * (kernel - 1) // 2
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            hidden = functional.leaky_relu_(dilated(functional.leaky_relu(x, SLOPE)), SLOPE)
            x = x + plain(hidden)
        return x


class Hifigan(nn.Module):
    """Frames, steered by a style where there is one, to a waveform."""

    def __init__(self, config: HifiganConfig):
        super().__init__()
        self.config = config
        widths = [config.width >> stage for stage in range(len(config.rates) + 1)]
        self.conv_pre = nn.Conv1d(config.channels, config.width, 7, padding=3)
        self.cond = nn.Conv1d(config.style, config.width, 1) if config.style else None
        stages = zip(widths[:-1], widths[1:], config.kernels, config.rates, strict=True)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)
            for wide, narrow, kernel, rate in stages
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(narrow, kernel, config.dilations)
            for narrow in widths[1:]
            for kernel in config.block_kernels
        )
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=config.final_bias)

    def forward(self, frames: Tensor, style: Tensor | None = None, watch: Watch = unwatched) -> Tensor:
        """(B, channels, N), and (B, style, 1), to (B, 1, N · hop) float32 in -1..1."""
        x = self.conv_pre(frames.to(self.conv_pre.weight.dtype))
        if self.cond is not None:
            x = x + self.cond(style.to(x.dtype))
        each = len(self.config.block_kernels)
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, SLOPE))
            x = average(self.resblocks[stage * each : (stage + 1) * each], x, watch)
        return torch.tanh(self.conv_post(functional.leaky_relu(x)).float())


def average(blocks: Sequence[nn.Module], x: Tensor, watch: Watch = unwatched, *others: Tensor) -> Tensor:
    """The mean of what the blocks make of `x` and `others`, each of them watched."""
    total = None
    for block in blocks:
        watch()
        made = block(x, *others)
        total = made if total is None else total + made
    return total / len(blocks)


def in_pieces(
    render: Callable[[Tensor], Tensor], parts: Iterable[Tensor], piece: int, reach: int, hop: int
) -> Iterator[Tensor]:
    """`render` of frames that come in parts (B, C, any), as pieces (B, 1, T) that joined equal the whole.

    A piece is at most `piece` frames of `hop` samples, and at least half as many where there are so many in
    all; it is rendered with the `reach` frames around it that it depends on, as soon as these have come:
    memory stays that of a piece. Equal to the whole within rounding.
    """
    for left, frames, right in _framed(parts, piece, reach):
        samples = render(frames)
        yield samples[..., left * hop : samples.shape[-1] - right * hop]


def _framed(parts: Iterable[Tensor], piece: int, reach: int) -> Iterator[tuple[int, Tensor, int]]:
    """Pieces with what is around them: (frames on the left, all frames, frames on the right)."""
    held, left, least = None, 0, piece // 2
    for part in parts:
        held = part if held is None else torch.cat([held, part.to(held)], dim=-1)
        free = held.shape[-1] - left - max(reach, least)  # what stays behind is enough for a last piece
        if free >= max(least, 1):
            for new in _shared(free, piece):
                yield left, held[..., : left + new + reach], reach
                held, left = _moved(held, left + new, reach)
    for new in _shared(0 if held is None else held.shape[-1] - left, piece):
        right = min(reach, held.shape[-1] - left - new)
        yield left, held[..., : left + new + right], right
        held, left = _moved(held, left + new, reach)


def _shared(frames: int, piece: int) -> Iterator[int]:
    """`frames` in as few pieces as can be, all about as long."""
    for left in range(-(-frames // piece), 0, -1):
        new = -(-frames // left)
        frames -= new
        yield new


def _moved(held: Tensor, place: int, reach: int) -> tuple[Tensor, int]:
    """What is still needed beyond `place`, and where `place` is in it."""
    drop = max(place - reach, 0)
    return held[..., drop:], place - drop
