"""HuBERT (Hsu et al., 2021, arXiv 2106.07447): what is said in a wave, as one vector every 20 ms.

Seven convolutions bring 16 kHz down to 50 frames a second, a grouped convolution tells where a frame
stands, and post-norm transformer layers read it in its context. Sizes are free, so that a small one can be
trained; the defaults are those of the published base models (fairseq, chinese-hubert-base).
Layout is (B, C, T) in the convolutions and (B, T, C) after them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.hifigan import Watch, unwatched
from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import Norm


@dataclass(frozen=True)
class HubertConfig:
    """Sizes of a HuBERT; kernels and strides count samples in the first convolution, frames after it."""

    channels: tuple[int, ...] = (512,) * 7
    kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    width: int = 768
    heads: int = 12
    hidden: int = 3072  # of the feed-forward
    layers: int = 12
    position_kernel: int = 128  # frames
    position_groups: int = 16
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.kernels) == len(self.strides) > 0:
            raise ValueError("HuBERT needs as many channels as kernels and strides, and at least one.")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: 320, 20 ms at 16 kHz."""
        hop = 1
        for stride in self.strides:
            hop *= stride
        return hop

    @property
    def reach(self) -> int:
        """Samples that one frame sees before the transformer: 400, 25 ms at 16 kHz."""
        reach, step = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            reach += (kernel - 1) * step
            step *= stride
        return reach

    def frames(self, samples: int) -> int:
        """How many frames T samples give: (T - reach) // hop + 1, and none below `reach`.

        Each convolution gives (T - kernel) // stride + 1; floors of floors are the floor of the whole.
        """
        return max(0, (samples - self.reach) // self.hop + 1)


class Hubert(nn.Module):
    """A wave at 16 kHz to speech features, 50 frames a second at the published sizes.

    Samples are taken as they are: a model whose training normalised its waves wants the same done before.
    """

    def __init__(self, config: HubertConfig | None = None):
        super().__init__()
        self.config = c = config or HubertConfig()
        inputs = (1, *c.channels[:-1])
        sizes = zip(inputs, c.channels, c.kernels, c.strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv1d(i, o, k, s, bias=False) for i, o, k, s in sizes)
        self.first_norm = ChannelwiseNorm(c.channels[0], c.eps)
        self.feature_norm = Norm(c.channels[-1], c.eps)
        self.widen = nn.Linear(c.channels[-1], c.width)
        self.position = nn.Conv1d(
            c.width, c.width, c.position_kernel, padding=c.position_kernel // 2, groups=c.position_groups
        )
        self.norm = Norm(c.width, c.eps)
        self.blocks = nn.ModuleList(
            PostNormBlock(c.width, c.heads, c.hidden, eps=c.eps) for _ in range(c.layers)
        )

    def forward(self, samples: Tensor, lengths: Tensor | None = None, watch: Watch = unwatched) -> Tensor:
        """(B, T) at 16 kHz to (B, N, width), N = `config.frames(T)`, in the weights' dtype.

        `lengths` (B,) int64 says how many samples of each row are real; each row then gives what it would
        give alone, and zeros behind its own frames. Raises `ValueError` for a row too short for one frame.
        """
        shortest = samples.shape[-1] if lengths is None else int(lengths.min())
        if shortest < self.config.reach:
            raise ValueError(f"HuBERT needs at least {self.config.reach} samples, not {shortest}.")
        x = samples.to(self.norm.weight.dtype)
        x = self._convolved(x[:, None], lengths, watch).transpose(1, 2)  # (B, C, N) -> (B, N, C)
        x = self.widen(self.feature_norm(x))
        real = None if lengths is None else self._real(lengths, x.shape[1])
        if real is not None:
            x = x * real[..., None]
        x = self.norm(x + self._positions(x))
        mask = None if real is None else real[:, None, None, :]
        for block in self.blocks:
            watch()
            x = block(x, mask)
        return x if real is None else x * real[..., None]

    def _convolved(self, x: Tensor, lengths: Tensor | None, watch: Watch) -> Tensor:
        for i, conv in enumerate(self.convs):
            watch()
            x = conv(x)
            if i == 0:
                x = self.first_norm(x, self._steps(lengths))
            x = functional.gelu(x)
        return x

    def _steps(self, lengths: Tensor | None) -> Tensor | None:
        """How many steps of the first convolution are of real samples only."""
        return None if lengths is None else (lengths - self.config.kernels[0]) // self.config.strides[0] + 1

    def _real(self, lengths: Tensor, frames: int) -> Tensor:
        """(B, N), True where a frame saw real samples only."""
        own = (lengths - self.config.reach) // self.config.hop + 1
        return torch.arange(frames, device=own.device) < own[:, None]

    def _positions(self, x: Tensor) -> Tensor:
        """Where each frame stands: (B, N, C) -> (B, N, C). An even kernel gives one frame too many."""
        return functional.gelu(self.position(x.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)


class ChannelwiseNorm(nn.GroupNorm):
    """Each channel normed over the whole time, in float32; makes HuBERT deaf to loudness."""

    def __init__(self, channels: int, eps: float):
        super().__init__(channels, channels, eps)

    def forward(self, x: Tensor, steps: Tensor | None = None) -> Tensor:
        """(B, C, T) to (B, C, T), in the dtype of `x`; `steps` (B,) of each row count, all unless told."""
        weight, bias = self.weight.float(), self.bias.float()
        if steps is None:
            return functional.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)
        real = torch.arange(x.shape[-1], device=x.device) < steps[:, None, None]
        y, count = x.float(), steps[:, None, None]
        mean = (y * real).sum(-1, keepdim=True) / count
        variance = ((y - mean) * real).square().sum(-1, keepdim=True) / count
        y = (y - mean) * torch.rsqrt(variance + self.eps)
        return (y * weight[:, None] + bias[:, None]).to(x.dtype)
