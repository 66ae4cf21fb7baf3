"""Who speaks: ERes2NetV2 over Kaldi's filter banks, as v2Pro and v2ProPlus hear it.

ERes2NetV2 (Chen et al. 2024, arXiv 2406.02167) sees a spectrogram as a picture: (B, C, bands, N). What is
used here is its map before pooling, averaged over time. Batch norms are folded into the convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.hifigan import Watch, unwatched
from pipelines.safe_torchaudio import kaldi

SAMPLE_RATE = 16_000
CEILING = 20.0  # of the rectifier inside the blocks


@dataclass(frozen=True)
class VerifierConfig:
    """Sizes; the defaults are those of pretrained_eres2netv2w24s4ep4."""

    bands: int = 80
    width: int = 64  # channels of the first layer; each stage has twice those of the one before
    base: int = 24  # channels of a split, for every 64
    scale: int = 4  # splits
    expansion: int = 4
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    fused: int = 2  # stages, counted from the last, whose splits are fused by attention
    reduction: int = 4  # of the channels inside that attention

    @property
    def size(self) -> int:
        """Numbers of an embedding."""
        stages = len(self.blocks)
        channels = (self.width << (stages - 1)) * self.expansion
        return channels * -(-self.bands >> (stages - 1))


def filter_banks(samples: Tensor, bands: int) -> Tensor:
    """Kaldi's log mel energies, (T,) at 16 kHz in -1..1 to (N, bands) float32, one frame each 10 ms."""
    return kaldi.fbank(samples.float()[None], num_mel_bins=bands, sample_frequency=SAMPLE_RATE, dither=0.0)


class Fusion(nn.Module):
    """Two maps to one, weighed at every point by what both show there."""

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.down = nn.Conv2d(2 * channels, channels // reduction, 1)
        self.up = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two (B, C, H, W) to one."""
        weight = torch.tanh(self.up(functional.silu(self.down(torch.cat([first, second], dim=1)))))
        return first * (1 + weight) + second * (1 - weight)


class VerifierBlock(nn.Module):
    """Res2Net's residual block (arXiv 1904.01169): each split hears the ones before it."""

    def __init__(self, config: VerifierConfig, inputs: int, planes: int, stride: int, fused: bool):
        super().__init__()
        split, outputs = planes * config.base // 64, planes * config.expansion
        self.enter = nn.Conv2d(inputs, split * config.scale, 1, stride)
        self.convs = nn.ModuleList(nn.Conv2d(split, split, 3, padding=1) for _ in range(config.scale))
        self.fusions = nn.ModuleList(
            Fusion(split, config.reduction) for _ in range(config.scale - 1 if fused else 0)
        )
        self.leave = nn.Conv2d(split * config.scale, outputs, 1)
        self.past = nn.Conv2d(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        splits = rectified(self.enter(x)).chunk(len(self.convs), dim=1)
        heard = []
        for index, (conv, split) in enumerate(zip(self.convs, splits, strict=True)):
            if index:
                split = self._joined(index - 1, heard[-1], split)
            heard.append(rectified(conv(split)))
        past = x if self.past is None else self.past(x)
        return rectified(self.leave(torch.cat(heard, dim=1)) + past)

    def _joined(self, index: int, before: Tensor, split: Tensor) -> Tensor:
        return self.fusions[index](before, split) if self.fusions else before + split


def rectified(x: Tensor) -> Tensor:
    """`x` kept within 0..20."""
    return x.clamp(0.0, CEILING)


class Verifier(nn.Module):
    """`forward` takes filter banks; `embed` takes sound."""

    def __init__(self, config: VerifierConfig):
        super().__init__()
        self.config = config
        self.enter = nn.Conv2d(1, config.width, 3, padding=1)
        self.stages = nn.ModuleList()
        inputs, last = config.width, len(config.blocks) - 1
        for stage, count in enumerate(config.blocks):
            planes, fused = config.width << stage, stage > last - config.fused
            blocks = nn.ModuleList()
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(VerifierBlock(config, inputs, planes, stride, fused))
                inputs = planes * config.expansion
            self.stages.append(blocks)
        self.shrink = nn.Conv2d(inputs // 2, inputs, 3, 2, padding=1)
        self.fusion = Fusion(inputs, config.reduction)

    def forward(self, banks: Tensor, watch: Watch = unwatched) -> Tensor:
        """(B, N, bands) to (B, size) float32: channels × bands of the map, averaged over time."""
        x = banks.transpose(1, 2)[:, None].to(self.enter.weight.dtype)  # (B, N, bands) -> (B, 1, bands, N)
        x, before = functional.relu(self.enter(x)), None
        for blocks in self.stages:
            before = x
            for block in blocks:
                watch()
                x = block(x)
        watch()
        before = self.shrink(before)
        watch()
        fused = self.fusion(x, before)
        # In float16 the mean over time has overflowed in the official program: float32 here.
        return fused.flatten(1, 2).float().mean(-1)

    def embed(self, samples: Tensor, watch: Watch = unwatched) -> Tensor:
        """(T,) at 16 kHz in -1..1 to (1, size) float32. Raises `ValueError` below one frame, 25 ms."""
        if len(samples) < SAMPLE_RATE // 40:
            raise ValueError(f"A speaker is heard in 25 ms and more, not in {len(samples)} samples.")
        banks = filter_banks(samples.to(self.enter.weight.device), self.config.bands)
        return self(banks[None], watch)
