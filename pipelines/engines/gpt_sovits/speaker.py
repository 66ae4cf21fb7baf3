"""What `say` runs: phones, BERT features and the reference's tokens to new semantic tokens, one at a time.

The sequence is [phones | prompt tokens | new tokens]. Phones see all phones and no token; a token sees all
phones and the tokens up to itself. Phones and tokens count their positions apart, each from 0. Rows of a
batch are padded on the left of their phones, so that all rows stand at the same place of the cache.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engines.gpt_sovits.config import SpeakerConfig
from pipelines.layers import compiled, recorded
from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import KVCache

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Speech:
    """Rows that are being said: what the next tokens are drawn from, and what is needed to go on.

    `logits` (B, tokens + 1) float32; the last is that of the end. `places` are the sines and cosines of the
    positions to come, (most, width), and `said` how many of them are used.
    """

    logits: Tensor
    places: Tensor | np.ndarray  # numpy's and float32 where steps are compiled
    said: int
    caches: list[KVCache]
    real: Tensor | None  # (B, slots), False at padding; None where there is none
    # Instead of the two above, where steps are compiled or recorded.
    memory: compiled.Memory | recorded.Memory | None = None

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (indices, (R,) int64) alone."""
        self.logits = self.logits[rows]
        if self.memory is not None:
            self.memory.keep(rows)
            return
        for cache in self.caches:
            cache.keep(rows)
        if self.real is not None:
            self.real = self.real[rows]


class Speaker(nn.Module):
    """A post-norm transformer over phones and tokens."""

    def __init__(self, config: SpeakerConfig):
        super().__init__()
        self.config = c = config
        self.symbols = nn.Embedding(c.symbols, c.width)
        self.features = nn.Linear(c.features, c.width)
        self.tokens = nn.Embedding(c.tokens + 1, c.width)
        self.symbol_scale = nn.Parameter(torch.ones(1))
        self.token_scale = nn.Parameter(torch.ones(1))
        self.blocks = nn.ModuleList(
            PostNormBlock(c.width, c.heads, c.hidden, functional.relu) for _ in range(c.layers)
        )
        self.head = nn.Linear(c.width, c.tokens + 1, bias=False)
        self._steps: compiled.Compiled | recorded.Recorded | None = None
        self._table: np.ndarray | None = None  # `tokens`, where steps are compiled

    def settle(self) -> None:
        """Compile the step, for a CPU, or try to record it, for an NVIDIA card.

        On a CPU the linear layers are then as `Compiled` leaves them; for float16 nothing is compiled.
        """
        weight = self.symbols.weight
        if weight.device.type == "cpu" and weight.dtype != torch.float16:
            self._steps = compiled.Compiled(list(self.blocks), self.head)
            # A step runs all weights through the processor's caches, after which every call of torch takes
            # several times as long as usual (0.1 ms for an embedding); with numpy a step is 0.15 ms quicker.
            self._table = self.tokens.weight.float().clone().numpy()
        elif weight.device.type == "cuda":
            self._record()

    def _record(self) -> None:
        steps = recorded.Recorded(list(self.blocks), self.head)
        try:
            steps.prove()
            self._steps = steps
        except Exception as error:  # whatever it is: steps that are not recorded need none of it
            reason = str(error).partition("\n")[0].strip().rstrip(".")
            log.warning("Steps are not played back as a CUDA graph here, and take longer so: %s.", reason)

    @torch.inference_mode()
    def begin(
        self,
        phones: Sequence[Tensor],
        features: Sequence[Tensor | None],
        prompt: Tensor | None,
        most: int,
    ) -> Speech:
        """Read the phones of every row, and the prompt that all rows share.

        `phones` are (L,) int64, those of the prompt's transcript in front; `features` (L, features) float32,
        or None where all are zero; `prompt` (P,) int64 or None; room is made for `most` new tokens.
        Raises `ValueError` where phones and features do not go together.
        """
        texts = [self._text(p, f) for p, f in zip(phones, features, strict=True)]
        start = 0 if prompt is None else len(prompt)
        places = self.token_scale * positions(start, most, texts[0])
        if self._steps is not None:
            return self._begin_alone(self._steps, texts, prompt, places)
        longest = max(len(text) for text in texts)
        lead = torch.stack([functional.pad(text, (0, 0, longest - len(text), 0)) for text in texts])
        x = lead if prompt is None else torch.cat([lead, self._audio(prompt).expand(len(texts), -1, -1)], 1)
        slots = longest + start + most
        own = torch.tensor([len(text) for text in texts], device=x.device)
        real = torch.arange(slots, device=x.device) >= longest - own[:, None]
        caches = self._caches(len(texts), slots)
        x = self._run(x, caches, self._first_mask(real, longest, longest + start))
        padded = None if bool(real.all()) else real
        return Speech(self.head(x[:, -1]).float(), places, 0, caches, padded)

    def _begin_alone(
        self,
        steps: compiled.Compiled | recorded.Recorded,
        texts: Sequence[Tensor],
        prompt: Tensor | None,
        places: Tensor,
    ) -> Speech:
        """`begin`, row by row: a CPU is no slower so, nothing is padded, and int8 rounds each by itself."""
        longest = max(len(text) for text in texts)
        start = 0 if prompt is None else len(prompt)
        starts, logits = [longest - len(text) for text in texts], []
        memory = steps.memory(len(texts), longest + start + len(places), longest + start, starts)
        for i, text in enumerate(texts):
            x = text[None] if prompt is None else torch.cat([text[None], self._audio(prompt)], 1)
            caches = [KVCache(part[:, i : i + 1, starts[i] :]) for part in memory.room]
            real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            x = self._run(x, caches, self._first_mask(real, len(text), len(text) + start))
            logits.append(self.head(x[:, -1]).float())
        lines = places if self._table is None else places.float().numpy()
        return Speech(torch.cat(logits), lines, 0, [], None, memory)

    @torch.inference_mode()
    def step(self, speech: Speech, tokens: Tensor) -> None:
        """Hear the tokens just said, (B,) int64, and be ready to say the next."""
        if self._table is None:
            heard = self.tokens(tokens.to(self.tokens.weight.device))
        else:
            heard = self._table[tokens.numpy()]
        x = heard + speech.places[speech.said]
        speech.said += 1
        if speech.memory is not None:
            speech.logits = self._steps.step(x, speech.memory)
            return
        mask = None
        if speech.real is not None:
            mask = speech.real[:, None, None, : speech.caches[0].length + 1]
        for block, cache in zip(self.blocks, speech.caches, strict=True):
            x = block.step(x, cache, mask)
        speech.logits = self.head(x).float()

    @torch.inference_mode()
    def forced(
        self, phones: Tensor, features: Tensor | None, prompt: Tensor | None, tokens: Tensor
    ) -> Tensor:
        """What it would have said before each of `tokens` (N,), having heard those before: (N, tokens + 1).

        Raw logits, float32, in one pass; the rest is as in `begin`, for one row.
        """
        start = 0 if prompt is None else len(prompt)
        heard = tokens[:-1] if prompt is None else torch.cat([prompt, tokens[:-1]])
        text = self._text(phones, features)[None]
        x = torch.cat([text, self._audio(heard)], dim=1) if len(heard) else text
        mask = self._first_mask(torch.ones_like(x[..., 0], dtype=torch.bool), text.shape[1], x.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x[0, text.shape[1] + start - 1 :]).float()

    def _text(self, phones: Tensor, features: Tensor | None) -> Tensor:
        """(L,) and (L, features) to (L, width)."""
        if features is not None and len(features) != len(phones):
            raise ValueError(f"There are {len(phones)} phones and features of {len(features)}.")
        weight = self.symbols.weight
        if features is None:
            features = torch.zeros(len(phones), self.config.features)
        x = self.symbols(phones.to(weight.device)) + self.features(features.to(weight.device, weight.dtype))
        return x + self.symbol_scale * positions(0, len(x), x)

    def _audio(self, tokens: Tensor) -> Tensor:
        """(P,) to (1, P, width), counted from 0."""
        x = self.tokens(tokens.to(self.tokens.weight.device))
        return (x + self.token_scale * positions(0, len(x), x))[None]

    @staticmethod
    def _first_mask(real: Tensor, phones: int, length: int) -> Tensor:
        """(B, 1, length, length): who of [phones | prompt] may look where."""
        sees = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
        sees[:phones, :phones] = True
        return sees & real[:, None, None, :length]

    def _caches(self, batch: int, slots: int) -> list[KVCache]:
        weight, c = self.symbols.weight, self.config
        size = (c.layers, 2, batch, slots, c.heads, c.width // c.heads)
        # Over 16 bits attention takes a CPU up to twice as long as over float32.
        dtype = torch.float32 if weight.device.type == "cpu" else weight.dtype
        return [KVCache(room) for room in torch.empty(size, dtype=dtype, device=weight.device)]

    def _run(self, x: Tensor, caches: list[KVCache], mask: Tensor | None) -> Tensor:
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask, cache)
        return x


def positions(start: int, count: int, like: Tensor) -> Tensor:
    """Sines and cosines in turn (arXiv 1706.03762, 3.5), (count, width), of the dtype of `like`."""
    width = like.shape[-1]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(start, start + count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like.device, like.dtype)
