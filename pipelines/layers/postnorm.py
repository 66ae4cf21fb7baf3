"""The transformer block of Vaswani et al. (2017), arXiv 1706.03762: a norm after each residual sum.

BERT, HuBERT and GPT-SoVITS's speaking model are stacks of it. Norms and the softmax are computed in float32;
what flows between the layers has the dtype of the weights.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.transformer import KVCache, Norm, attend

Activation = Callable[[Tensor], Tensor]


class PostNormBlock(nn.Module):
    """Attention and a feed-forward of `hidden` channels, each summed with its input and then normed."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: Activation = functional.gelu,
        eps: float = 1e-5,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"A width of {width} does not divide into {heads} heads.")
        self.heads, self.activation = heads, activation
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = Norm(width, eps)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.feed_norm = Norm(width, eps)

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """(B, L, width) to (B, L, width); with a cache, behind what it holds. `mask` as in `attend`.

        Without a mask every position sees every other, those in the cache included.
        """
        heads = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, L, 3, heads, D) -> 3 × (B, heads, L, D)
        if cache is not None:
            key, value = cache.update(key, value)
        attended = attend(query, key, value, mask).transpose(1, 2).flatten(2).to(x.dtype)
        x = self.attention_norm(x + self.out(attended))
        return self.feed_norm(x + self.down(self.activation(self.up(x))))
