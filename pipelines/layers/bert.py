"""BERT (Devlin et al., 2019, arXiv 1810.04805): each symbol of a text in its context."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import Norm


@dataclass(frozen=True)
class BertConfig:
    """Sizes; the defaults are those of the large models with a Chinese vocabulary."""

    symbols: int = 21_128
    places: int = 512  # longest text, in symbols
    width: int = 1024
    heads: int = 16
    hidden: int = 4096
    layers: int = 24
    eps: float = 1e-12


class Bert(nn.Module):
    """The encoder alone: no pooler, no language-model head."""

    def __init__(self, config: BertConfig | None = None):
        super().__init__()
        self.config = c = config or BertConfig()
        self.symbols = nn.Embedding(c.symbols, c.width)
        self.places = nn.Embedding(c.places, c.width)
        self.kinds = nn.Embedding(2, c.width)
        self.norm = Norm(c.width, c.eps)
        self.blocks = nn.ModuleList(
            PostNormBlock(c.width, c.heads, c.hidden, eps=c.eps) for _ in range(c.layers)
        )

    def forward(self, ids: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, L) int64 to (B, L, width) in the weights' dtype; `real` (B, L) is False at padding.

        Raises `ValueError` for a text longer than `config.places`.
        """
        if ids.shape[1] > self.config.places:
            raise ValueError(f"BERT reads at most {self.config.places} symbols, not {ids.shape[1]}.")
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.symbols(ids) + self.places(places) + self.kinds.weight[0])
        mask = None if real is None else real[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        return x
