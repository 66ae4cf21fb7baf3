"""Attention in one place, a cache of keys and values, and a pre-norm causal transformer.

Parameter names and sizes follow GPT-2 (Radford et al., 2019): layer norm before attention and before a GELU
feed-forward, residual sums around both, a norm at the end. Norms are computed in float32; what flows between
the layers has the dtype of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention: (..., L, D) over keys and values (..., S, D) gives (..., L, D).

    Everything is cast to the dtype of `key`, which is that of the cache and the weights, and so is what comes
    out; the softmax is float32 inside. `mask` is True where a query may look, and broadcasts to (..., L, S);
    a query that may look nowhere gets zeros. `causal` aligns the last query with the last key, so that a
    query never sees what comes after it, with a cache or without.

    Raises `ValueError` for tensors that are not of one device or not of a float dtype.
    """
    _check(query, key, value)
    queries, keys = query.shape[-2], key.shape[-2]
    plain = causal and mask is None and queries == keys
    if causal and not plain and queries > 1:
        seen = torch.ones(queries, keys, dtype=torch.bool, device=key.device).tril(keys - queries)
        mask = seen if mask is None else mask & seen
    made = functional.scaled_dot_product_attention(
        query.to(key.dtype), key, value.to(key.dtype), attn_mask=mask, is_causal=plain
    )
    return made if mask is None else made.masked_fill(~mask.any(-1, keepdim=True), 0)


def _check(query: Tensor, key: Tensor, value: Tensor) -> None:
    """Say in words what torch would say of its insides."""
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.dtype not in FLOATS:
            raise ValueError(f"Attention takes float32, bfloat16 or float16; the {name} is {tensor.dtype}.")
        if tensor.device != key.device:
            raise ValueError(
                f"Attention takes one device; the {name} is on {tensor.device}, not {key.device}."
            )


class KVCache:
    """Keys and values (B, heads, slots, D) of one layer, filled from the front. Made for one request."""

    def __init__(self, room: Tensor):
        """`room` (2, B, slots, heads, D) is where keys and values go; what is in it is not looked at.

        A position's keys lie side by side, which is how a CPU reads them fastest.
        """
        self.keys, self.values = room.transpose(2, 3).unbind()
        self.length = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put (B, heads, L, D) behind what is there; gives all so far, as views in the cache's dtype.

        Raises `ValueError` when there are not L slots left.
        """
        end = self.length + keys.shape[-2]
        if end > self.keys.shape[-2]:
            raise ValueError(f"The cache has {self.keys.shape[-2]} slots, and {end} are needed.")
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (indices, (R,) int64) alone; copies what is filled, not the empty slots."""
        for name, kept in (("keys", self.keys), ("values", self.values)):
            fresh = kept.new_empty(len(rows), *kept.shape[1:])
            fresh[:, :, : self.length] = kept[rows, :, : self.length]
            setattr(self, name, fresh)


class Norm(nn.LayerNorm):
    """Layer norm computed in float32, whatever flows through."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width), in the dtype of `x`."""
        if x.dtype == self.weight.dtype:  # torch's own computes in float32 then, and rounds its result
            return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        weight, bias = self.weight.float(), self.bias.float()
        return functional.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class Block(nn.Module):
    """Causal attention and a feed-forward of `hidden` channels, each behind a norm and around a residual."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = Norm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = Norm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, L, width) to (B, L, width); with a cache, behind what it holds. `mask` as in `attend`."""
        heads = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, L, 3, heads, D) -> 3 × (B, heads, L, D)
        if cache is not None:
            key, value = cache.update(key, value)
        attended = attend(query, key, value, mask, causal=True)
        # Cast back for a cache that is not of the weights' dtype.
        x = x + self.out(attended.transpose(1, 2).flatten(2).to(x.dtype))
        return x + self.down(functional.gelu(self.up(self.feed_norm(x))))


class Stack(nn.Module):
    """Blocks and a last norm: embeddings in, hidden states out."""

    def __init__(self, width: int, heads: int, hidden: int, layers: int):
        super().__init__()
        self.heads = heads
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = Norm(width)

    def caches(self, batch: int, slots: int) -> list[KVCache]:
        """One empty cache a layer, of the weights' dtype and device."""
        weight = self.norm.weight
        size = weight.shape[0] // self.heads
        # Not zeros: memory that was never written to is not taken from the system yet.
        room = weight.new_empty(len(self.blocks), 2, batch, slots, self.heads, size)
        return [KVCache(part) for part in room]

    def forward(
        self, x: Tensor, caches: Sequence[KVCache] | None = None, real: Tensor | None = None
    ) -> Tensor:
        """(B, L, width) to (B, L, width), in the weights' dtype.

        With `caches`, `x` stands behind what they hold and is kept in them. `real` (B, S) is False at
        padding, S counting what the caches hold and `x` together.
        """
        x = x.to(self.norm.weight.dtype)
        mask = None if real is None else real[:, None, None, :]
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, cache, mask)
        return self.norm(x)
