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

    def step(self, x: Tensor, cache: KVCache, mask: Tensor | None = None) -> Tensor:
        """`forward` for one position of each row, (B, width) to (B, width), in half as many calls.

        Token by token a CPU waits for memory, and each call finds its code and its tensors' heads thrown out
        of the cache by the weights that went through it. `mask` (B, 1, 1, S) must leave each row something
        to look at. Raises `ValueError` when the cache is full.
        """
        place = cache.length
        if place == cache.keys.shape[2]:
            raise ValueError(f"The cache has {place} slots, and {place + 1} are needed.")
        query, key, value = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)
        cache.keys.select(2, place).copy_(key)
        cache.values.select(2, place).copy_(value)
        cache.length = place + 1
        seen = (cache.keys.narrow(2, 0, place + 1), cache.values.narrow(2, 0, place + 1))
        query = query.unsqueeze(2).to(cache.keys.dtype)
        attended = functional.scaled_dot_product_attention(query, *seen, attn_mask=mask).to(x.dtype)
        x = self.attention_norm(self.out(attended.flatten(1)).add_(x))
        return self.feed_norm(self.down(self.activation(self.up(x))).add_(x))
