"""The gated stack of convolutions of WaveGlow and VITS, steered by a style.

Modules are named as the official files name them, with weight norm folded. Layout is (B, C, N).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.engines.gpt_sovits.config import WaveNetConfig


class WaveNet(nn.Module):
    """Frames to frames: each layer adds to what goes on (the last does not) and to what comes out."""

    def __init__(self, config: WaveNetConfig, width: int, style: int):
        super().__init__()
        side, last = config.kernel // 2, config.layers - 1
        self.cond_layer = nn.Conv1d(style, 2 * width * config.layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(width, 2 * width, config.kernel, padding=side) for _ in range(config.layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(width, width if layer == last else 2 * width, 1) for layer in range(config.layers)
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, width, N) and (B, style, 1) to (B, width, N)."""
        steers = self.cond_layer(style.to(x.dtype)).chunk(len(self.in_layers), dim=1)
        total = torch.zeros_like(x)
        for inner, outer, steer in zip(self.in_layers, self.res_skip_layers, steers, strict=True):
            shape, gate = (inner(x) + steer).chunk(2, dim=1)
            made = outer(torch.tanh(shape) * torch.sigmoid(gate))
            if made.shape[1] > x.shape[1]:
                on, made = made.chunk(2, dim=1)
                x = x + on
            total = total + made
        return total
