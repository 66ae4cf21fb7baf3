"""One step of a stack of post-norm blocks on an NVIDIA card, recorded once as a CUDA graph and played back.

Token by token a card waits for the program: to send each of a step's several hundred small operations takes
longer than to do it. A graph is sent as a whole. It does the same operations on the same memory each time, so
all that differs from step to step lies in that memory: what is heard, and how many slots are filled.
Attention therefore looks at every slot of the cache, with those masked that are not filled yet.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import KVCache

GRAIN = 512  # slots; tapes are as long as a whole number of these, so that one does for many sentences
SPARE = 2  # tapes that are kept for the next sentences
WARM = 3  # steps before one is recorded: libraries pick their kernels and take their memory in the first
_RECORDING = threading.Lock()  # torch knows of one recording at a time in a process
# RMS between a recorded step and a plain one. Of 24 blocks they were 1e-6, 1.4 % and 0.2 % apart, since
# attention over more slots rounds otherwise (tried on a CPU); where what changes was not read, 15 % and more.
NEAR = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.02}


@dataclass(eq=False)
class Tape:
    """A recorded step: `play` reads the first four, and writes the room, the place and the logits."""

    given: Tensor  # (batch, width)
    place: Tensor  # (1,) int64: the slot that is filled next
    real: Tensor  # (batch, slots) bool: where a row may look
    room: Tensor  # (blocks, 2, batch, slots, heads, D)
    logits: Tensor  # (batch, symbols) float32
    play: Callable[[], None]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and slots."""
        return self.real.shape


@dataclass(eq=False)
class Memory:
    """Keys and values of sentences that are being said, and the tape that goes on with them.

    `room` (blocks, 2, batch, slots or more, heads, D) holds `length` slots; row i of a step is `rows[i]` of
    the batch. Made for one request; the tape is another's when this is gone.
    """

    tape: Tape
    rows: Tensor
    length: int
    slots: int

    @property
    def room(self) -> Tensor:
        """Where keys and values lie."""
        return self.tape.room

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (indices, (R,) int64) alone."""
        self.rows = self.rows[rows]


class Recorded:
    """A stack of `PostNormBlock` and a linear head, for one new position of each row, on an NVIDIA card."""

    def __init__(self, blocks: Sequence[PostNormBlock], head: nn.Module):
        self._blocks, self._head = blocks, head
        # Several threads take from it and give back; each act is whole.
        self._spare: deque[Tape] = deque(maxlen=SPARE)

    def memory(self, batch: int, slots: int, length: int, starts: Sequence[int]) -> Memory:
        """Room for `slots` of each row; row i looks at those from `starts[i]` on.

        Steps go on behind the first `length`, which are for the caller to fill: see `Memory`.
        Raises `RuntimeError` where the card's memory does not do, or a step cannot be recorded.
        """
        tape = self._taken(batch, slots) or self._fresh(batch, -(-slots // GRAIN) * GRAIN)
        # What is masked is multiplied by 0, and that must not be what is no number.
        tape.room.zero_()
        device = tape.room.device
        first = torch.tensor(starts, device=device).unsqueeze(1)
        tape.real.copy_(torch.arange(tape.size[1], device=device) >= first)
        tape.place.fill_(length)
        memory = Memory(tape, torch.arange(batch, device=device), length, slots)
        weakref.finalize(memory, self._spare.append, tape).atexit = False
        return memory

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """One position more of each row, (R, width): what the head makes of it, (R, symbols) float32.

        Raises `ValueError` when the memory is full.
        """
        if memory.length == memory.slots:
            raise ValueError(f"The memory has {memory.length} slots, and {memory.length + 1} are needed.")
        tape = memory.tape
        tape.given.index_copy_(0, memory.rows, x.to(tape.given.dtype))
        tape.play()
        memory.length += 1
        return tape.logits.index_select(0, memory.rows)

    @torch.inference_mode()
    def prove(self) -> None:
        """Try it beside steps that are not recorded. Raises `RuntimeError` where it does not work or differs.

        Two rows, one of which begins later and then ends.
        """
        ahead, starts, steps = 5, [0, 2], 6
        weight = self._blocks[0].attention_norm.weight
        noise = torch.randn(ahead + steps, 2, len(weight), generator=torch.Generator().manual_seed(0))
        x = noise.to(weight.device, weight.dtype)
        memory = self.memory(2, ahead + steps, ahead, starts)
        real = memory.tape.real[:, None, None]
        caches = [KVCache(torch.zeros_like(part)) for part in memory.room]
        for i in range(ahead):
            self._plain(x[i], caches, None)
        for part, cache in zip(memory.room, caches, strict=True):
            part.copy_(torch.stack([cache.keys, cache.values]).transpose(2, 3))
        for i in range(ahead, ahead + steps):
            if i == ahead + steps // 2:
                memory.keep(torch.tensor([1], device=weight.device))
            truth = self._plain(x[i], caches, real[..., : i + 1])[memory.rows]
            made = self.step(x[i, memory.rows], memory)
            away = ((made - truth).square().mean() / truth.square().mean()).sqrt().item()
            if not away <= NEAR[weight.dtype]:
                raise RuntimeError(f"a recorded step is {away:.1%} away from the same step done anew")

    def _plain(self, x: Tensor, caches: Sequence[KVCache], mask: Tensor | None) -> Tensor:
        """The step that is not recorded."""
        for block, cache in zip(self._blocks, caches, strict=True):
            x = block.step(x, cache, mask)
        return self._head(x).float()

    def _taken(self, batch: int, slots: int) -> Tape | None:
        """A spare tape of so many rows, and of so many slots or more, which is then no longer spare."""
        for _ in range(SPARE):
            try:
                tape = self._spare.popleft()
            except IndexError:
                break
            if tape.size[0] == batch and tape.size[1] >= slots:
                return tape
            self._spare.append(tape)
        return None

    def _fresh(self, batch: int, slots: int) -> Tape:
        """A new tape, in the place of the spare ones where memory does not do for all."""
        try:
            return self._tape(batch, slots)
        except torch.OutOfMemoryError:
            if not self._spare:
                raise
        self._spare.clear()
        return self._tape(batch, slots)

    def _tape(self, batch: int, slots: int) -> Tape:
        """Record a step of so many rows over so many slots."""
        block, weight = self._blocks[0], self._blocks[0].attention_norm.weight
        width = len(weight)
        size = (len(self._blocks), 2, batch, slots, block.heads, width // block.heads)
        given, room = weight.new_zeros(batch, width), weight.new_zeros(size)
        place = torch.zeros(1, dtype=torch.int64, device=weight.device)
        real = torch.ones(batch, slots, dtype=torch.bool, device=weight.device)
        logits = weight.new_empty(batch, self._head.out_features, dtype=torch.float32)
        counted = torch.arange(slots, device=weight.device)

        def step() -> None:
            mask = (real & (counted <= place)).view(batch, 1, 1, slots)
            x = given
            for part, (keys, values) in zip(self._blocks, room, strict=True):
                x = _stepped(part, x, keys, values, place, mask)
            logits.copy_(self._head(x))
            place.add_(1)

        return Tape(given, place, real, room, logits, record(step, weight.device))


def _stepped(
    block: PostNormBlock, x: Tensor, keys: Tensor, values: Tensor, place: Tensor, mask: Tensor
) -> Tensor:
    """`PostNormBlock.step` over a cache (B, slots, heads, D) of which all is looked at, by the mask."""
    query, key, value = block.qkv(x).view(len(x), 3, block.heads, -1).unbind(1)
    keys.index_copy_(1, place, key.unsqueeze(1))
    values.index_copy_(1, place, value.unsqueeze(1))
    attended = functional.scaled_dot_product_attention(
        query.unsqueeze(2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=mask
    )
    x = block.attention_norm(x + block.out(attended.flatten(1)))
    return block.feed_norm(x + block.down(block.activation(block.up(x))))


def record(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """`step` as a CUDA graph, and what plays it. It is done a few times before it is recorded.

    Other threads may use the card meanwhile. Raises `RuntimeError` for a step that cannot be recorded.
    """
    with _RECORDING, torch.cuda.device(device):
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                step()
        here.wait_stream(aside)
        graph, collected = torch.cuda.CUDAGraph(), gc.isenabled()
        gc.disable()  # a graph that is collected meanwhile spoils this one (pytorch pull request 161037)
        # cuBLAS takes its workspace from the graph's own memory so. Else it would go with the thread or with
        # another graph, and this one would write to it all the same (pytorch issues 192061, 193402).
        torch._C._cuda_clearCublasWorkspaces()
        try:
            with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                step()
        finally:
            torch.cuda.set_stream(here)  # which a recording that fails leaves as it was
            torch._C._cuda_clearCublasWorkspaces()
            if collected:
                gc.enable()
    return graph.replay
