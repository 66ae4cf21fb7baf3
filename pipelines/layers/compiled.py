"""One step of a stack of post-norm blocks on a CPU, compiled as a whole.

Token by token a CPU does little but read weights, so a step can be as quick as memory gives them. torch's
own calls are not: its product of a matrix and one row reads at less than half of that speed, and between the
calls memory waits. Here a step is one call. Weights are float32, bfloat16 or int8 with a scale a row; all
else is float32, so the rows of a batch do not touch each other, and a processor that knows no bfloat16 is
as quick as one that does.

numba compiles it when it is first needed (a few seconds) and keeps what it made beside this file or, where
that cannot be written to, in the user's folder for caches. What was compiled must be found in one file, as
numba looks for changes in the file of the outermost function alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import njit, typeof
from numba.core import cgutils
from numba.core import types as kinds
from numba.extending import intrinsic
from torch import Tensor, nn
from torch.nn import functional

from pipelines.layers.postnorm import PostNormBlock

Array = np.ndarray
F = np.float32
# Sums in any order; but not a number stays not a number, for the guard to see.
LOOSE = {"reassoc", "contract", "nsz", "arcp", "afn"}
GROUP = 4  # so many rows of a batch are multiplied at once, and so many slots are looked at at once
AHEAD = 8192  # bytes; memory is asked for narrow weights so far before they are used


class Weights(NamedTuple):
    """Of all blocks, the first axis counting them. `*_line` are the scale and the bias of each row."""

    qkv: Array  # (blocks, 3 width, width)
    qkv_line: Array  # (blocks, 2, 3 width)
    out: Array  # (blocks, width, width)
    out_line: Array
    up: Array  # (blocks, hidden, width)
    up_line: Array
    down: Array  # (blocks, width, hidden)
    down_line: Array
    head: Array  # (1, symbols, width)
    head_line: Array
    norms: Array  # (blocks, 4, width): weight and bias of attention's norm, then of the feed-forward's


class Scratch(NamedTuple):
    """What the threads of a step share. `gate` counts who came to a meeting."""

    qkv: Array  # (rows, 3 width)
    heard: Array  # (rows, width)
    hidden: Array  # (rows, hidden)
    made: Array  # (rows, width)
    scores: Array  # (heads, slots)
    gate: Array  # (1,) int64


@dataclass(eq=False)
class Memory:
    """Keys and values of sentences that are being said, and where each row stands in them.

    `room` (blocks, 2, batch, slots + 3, heads, D) float32 holds `length` slots; row i of a step is `rows[i]`
    of the batch, and looks at the slots from `starts[i]` on. Made for one request.
    """

    room: Tensor
    rows: Array
    starts: Array
    length: int
    given: Array  # (rows, width): what is heard in this step
    scratch: Scratch
    threads: int

    def __post_init__(self) -> None:
        self.numbers = self.room.numpy()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (indices, (R,) int64) alone."""
        self.rows, self.starts = self.rows[rows.numpy()], self.starts[rows.numpy()]
        count = _whole_groups(len(rows))
        self.given = self.given[:count]
        self.scratch = Scratch(*(part[:count] for part in self.scratch[:4]), *self.scratch[4:])


class Compiled:
    """A stack of `PostNormBlock` with ReLU and a linear head, for one new position of each row.

    Takes the weights over: those of the blocks lie in memory in one piece a kind afterwards, the layers'
    `weight` showing them. Layers that torch quantised keep theirs beside.

    Raises `ValueError` for blocks that are not of one shape and dtype, or of a dtype that is not read here.
    """

    def __init__(self, blocks: Sequence[PostNormBlock], head: nn.Module):
        first = blocks[0]
        if any(block.activation is not functional.relu for block in blocks):
            raise ValueError("Steps of blocks with ReLU alone are compiled.")
        self.heads, self.eps = first.heads, F(first.attention_norm.eps)
        norms = [(b.attention_norm, b.feed_norm) for b in blocks]
        self.weights = Weights(
            *(
                part
                for name in ("qkv", "out", "up", "down")
                for part in _stacked([getattr(b, name) for b in blocks])
            ),
            *_stacked([head]),
            np.stack([[_vector(v) for norm in pair for v in (norm.weight, norm.bias)] for pair in norms]),
        )
        self._turn = threading.Lock()
        # As many as may ever be asked for at once, or a step would wait for ever for one of its own.
        self._others = ThreadPoolExecutor(self.heads, "step")
        self._compile()

    @property
    def width(self) -> int:
        """Channels between the blocks."""
        return self.weights.qkv.shape[2]

    def memory(self, batch: int, slots: int, length: int, starts: Sequence[int]) -> Memory:
        """Room for `slots` of each row; row i looks at those from `starts[i]` on.

        Steps go on behind the first `length`, which are for the caller to fill: see `Memory`.
        """
        rows, width, hidden = _whole_groups(batch), self.width, self.weights.up.shape[1]
        padded = slots + GROUP - 1  # as slots are looked at in groups, the last of which may go over the end
        size = (len(self.weights.qkv), 2, batch, padded, self.heads, width // self.heads)
        scratch = Scratch(
            *(np.zeros((rows, n), F) for n in (3 * width, width, hidden, width)),
            np.zeros((self.heads, padded), F),
            np.zeros(1, np.int64),
        )
        return Memory(
            _empty(size, torch.float32),
            np.arange(batch, dtype=np.int64),
            np.array(starts, np.int64),
            length,
            np.zeros((rows, width), F),
            scratch,
            min(torch.get_num_threads(), self.heads),
        )

    def step(self, x: Array, memory: Memory) -> Tensor:
        """One position more of each row, (R, width) float32: what the head makes of it, (R, symbols) float32.

        Raises `ValueError` when the memory is full.
        """
        if memory.length > memory.room.shape[3] - GROUP:
            raise ValueError(f"The memory has {memory.length} slots, and {memory.length + 1} are needed.")
        memory.given[: len(x)] = x
        logits = np.empty((len(memory.given), self.weights.head.shape[1]), F)
        if memory.threads == 1:
            _step(*self._arguments(memory, logits), 0, 1)
        else:
            self._together(self._arguments(memory, logits), memory)
        memory.length += 1
        return torch.from_numpy(logits[: len(x)])

    def _arguments(self, memory: Memory, logits: Array) -> tuple[object, ...]:
        m, lanes = memory, (0,) * (self.width // self.heads)
        parts = self.weights, m.numbers, m.rows, m.starts, m.length, self.eps, lanes, m.given, logits
        return *parts, m.scratch

    def _together(self, arguments: tuple[object, ...], memory: Memory) -> None:
        """The step by several threads. One at a time, as each needs all its threads to come to an end."""
        with self._turn:
            memory.scratch.gate[0] = 0
            team = memory.threads
            others = [self._others.submit(_step, *arguments, rank, team) for rank in range(1, team)]
            _step(*arguments, 0, team)
            for other in others:
                other.result()

    def _compile(self) -> None:
        """Compile, or find what was compiled before, while the model is loaded and not in its first word."""
        memory = self.memory(1, 1, 0, [0])
        arguments = (*self._arguments(memory, np.zeros((1, 1), F)), 0, 1)
        _step.compile(tuple(typeof(argument) for argument in arguments))


def _whole_groups(rows: int) -> int:
    """How many rows are multiplied for so many: one alone, or groups."""
    return 1 if rows == 1 else -(-rows // GROUP) * GROUP


def _vector(tensor: Tensor) -> Array:
    return tensor.detach().float().numpy()


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty`, in numpy's memory, which asks Linux for large pages: steps are up to 15 % faster."""
    bits = np.empty(shape, np.dtype(f"i{dtype.itemsize}"))
    return torch.from_numpy(bits).view(dtype)


def _stacked(layers: Sequence[nn.Module]) -> tuple[Array, Array]:
    """Linear layers of one shape as (layers, out, in), and scale and bias (layers, 2, out) float32.

    bfloat16 comes as uint16. Raises `ValueError` for another dtype.
    """
    plain = isinstance(layers[0], nn.Linear)
    weight = layers[0].weight if plain else layers[0].weight()
    if weight.dtype not in (torch.float32, torch.bfloat16, torch.qint8):
        raise ValueError(f"No step is compiled for weights of {weight.dtype}.")
    kept = _empty((len(layers), *weight.shape), weight.dtype if plain else torch.int8)
    line = np.zeros((len(layers), 2, len(weight)), F)
    for i, layer in enumerate(layers):
        if plain:
            kept[i] = layer.weight.detach()
            layer.weight = nn.Parameter(kept[i], requires_grad=False)
            line[i, 0], bias = 1, layer.bias
        else:
            kept[i] = layer.weight().int_repr()
            line[i, 0], bias = layer.weight().q_per_channel_scales().numpy(), layer.bias()
        if bias is not None:
            line[i, 1] = _vector(bias)
    return (kept.view(torch.uint16) if kept.dtype == torch.bfloat16 else kept).numpy(), line


@intrinsic
def _number(typing, value):
    """A weight as float32: bfloat16 is the upper half of its bits."""
    word = ir.IntType(32)

    def upper(context, builder, signature, arguments):
        bits = builder.shl(builder.zext(arguments[0], word), ir.Constant(word, 16))
        return builder.bitcast(bits, ir.FloatType())

    def whole(context, builder, signature, arguments):
        return builder.sitofp(arguments[0], ir.FloatType())

    def same(context, builder, signature, arguments):
        return arguments[0]

    return kinds.float32(value), {kinds.uint16: upper, kinds.int8: whole, kinds.float32: same}[value]


@intrinsic
def _bits(typing, value):
    """int32 as the float32 of the same bits."""

    def cast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return kinds.float32(kinds.int32), cast


@intrinsic
def _fetch(typing, array, index):
    """Ask memory for element `index` of an array, counted in one row, which may lie behind its end."""

    def ask(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        asking = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, near, of_data = (ir.Constant(word, number) for number in (0, 3, 1))
        builder.call(asking, [place, to_read, near, of_data])
        return context.get_dummy_value()

    return kinds.void(array, kinds.intp), ask


@intrinsic
def _come(typing, gate):
    """Add one to `gate[0]`, as one act; gives what it was."""

    def add(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return kinds.int64(gate), add


@intrinsic
def _came(typing, gate):
    """`gate[0]` as it is now."""

    def look(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return kinds.int64(gate), look


@njit
def _meet(gate, all_came):
    """Wait till as many came as there should, and give how many. What one wrote before all see then.

    A thread alone never waits: its gate is never set back, so it is always far enough.
    """
    if _come(gate) + 1 < all_came:
        while _came(gate) < all_came:
            pass
    return all_came


@njit(fastmath=LOOSE)
def _exp(x):
    """e to the power of x, for x at most 0, within 4e-7 of itself; 1e-38 for less than -87.

    2 to a whole power is an exponent; 2 to the rest, 0 to 1, is a polynomial that was fitted for the least
    largest relative error.
    """
    y = max(x * F(1.44269504), F(-126))
    whole = F(math.floor(y))
    r = y - whole
    s = F(1.87757669e-3)
    s = F(8.98934063e-3) + r * s
    s = F(5.58263175e-2) + r * s
    s = F(2.40153611e-1) + r * s
    s = F(6.93153083e-1) + r * s
    s = F(9.99999940e-1) + r * s
    return s * _bits((np.int32(whole) + np.int32(127)) << np.int32(23))


@njit(fastmath=LOOSE)
def _project(weight, line, x, y, first, last):
    """Rows `first` to `last` of a linear layer: of x (rows, in), into y (rows, out)."""
    wide = weight.shape[1]
    scale, bias = line[0], line[1]
    size = weight.itemsize
    if len(x) == 1 and size == 4:
        # Four rows in turn: memory gives them faster than one, which narrower weights are not.
        x, y = x[0], y[0]
        for i in range(first, last - 3, 4):
            a, b, c, d = F(0), F(0), F(0), F(0)
            for j in range(wide):
                a += _number(weight[i, j]) * x[j]
                b += _number(weight[i + 1, j]) * x[j]
                c += _number(weight[i + 2, j]) * x[j]
                d += _number(weight[i + 3, j]) * x[j]
            y[i], y[i + 1] = a * scale[i] + bias[i], b * scale[i + 1] + bias[i + 1]
            y[i + 2], y[i + 3] = c * scale[i + 2] + bias[i + 2], d * scale[i + 3] + bias[i + 3]
        for i in range(last - (last - first) % 4, last):
            a = F(0)
            for j in range(wide):
                a += _number(weight[i, j]) * x[j]
            y[i] = a * scale[i] + bias[i]
        return
    for i in range(first, last):
        for j in range(0, wide, 64 // size):
            _fetch(weight, i * wide + j + AHEAD // size)
        if len(x) == 1:
            a = F(0)
            for j in range(wide):
                a += _number(weight[i, j]) * x[0, j]
            y[0, i] = a * scale[i] + bias[i]
        else:
            for r in range(0, len(x), 4):
                a, b, c, d = F(0), F(0), F(0), F(0)
                for j in range(wide):
                    w = _number(weight[i, j])
                    a += w * x[r, j]
                    b += w * x[r + 1, j]
                    c += w * x[r + 2, j]
                    d += w * x[r + 3, j]
                y[r, i], y[r + 1, i] = a * scale[i] + bias[i], b * scale[i] + bias[i]
                y[r + 2, i], y[r + 3, i] = c * scale[i] + bias[i], d * scale[i] + bias[i]


@njit(fastmath=LOOSE)
def _settle(x, made, weight, bias, eps):
    """x becomes the norm of x + made, both (rows, width)."""
    wide = x.shape[1]
    for r in range(len(x)):
        mean, spread = F(0), F(0)
        for j in range(wide):
            x[r, j] += made[r, j]
            mean += x[r, j]
        mean /= F(wide)
        for j in range(wide):
            spread += (x[r, j] - mean) * (x[r, j] - mean)
        steep = F(1) / F(math.sqrt(spread / F(wide) + eps))
        for j in range(wide):
            x[r, j] = (x[r, j] - mean) * steep * weight[j] + bias[j]


@njit(fastmath=LOOSE)
def _attend(query, keys, values, count, made, scores, first, last, lanes):
    """Heads `first` to `last` of a query (heads, D) over `count` slots (slots, heads, D): made (heads, D).

    The length of `lanes` is D, which the compiler must know to keep a head in registers. It must also know
    that all lies in one piece, which it does not of a part of the heads. Up to three slots more are read than
    there are, and not used.
    """
    size = len(lanes)
    scale = F(1 / math.sqrt(size))
    for t in range(0, count, 4):
        for h in range(first, last):
            a, b, c, d = F(0), F(0), F(0), F(0)
            for j in range(size):
                q = query[h, j]
                a += q * keys[t, h, j]
                b += q * keys[t + 1, h, j]
                c += q * keys[t + 2, h, j]
                d += q * keys[t + 3, h, j]
            scores[h, t], scores[h, t + 1] = a * scale, b * scale
            scores[h, t + 2], scores[h, t + 3] = c * scale, d * scale
    for h in range(first, last):
        row = scores[h]
        top, total = row[0], F(0)
        for t in range(count):
            top = max(top, row[t])
        for t in range(count):
            weight = _exp(row[t] - top)
            row[t] = weight
            total += weight
        for t in range(count):
            row[t] /= total
        made[h, :] = 0
    for t in range(0, count - 3, 4):
        for h in range(first, last):
            a, b, c, d = scores[h, t], scores[h, t + 1], scores[h, t + 2], scores[h, t + 3]
            for j in range(size):
                made[h, j] += a * values[t, h, j] + b * values[t + 1, h, j]
                made[h, j] += c * values[t + 2, h, j] + d * values[t + 3, h, j]
    for t in range(count // 4 * 4, count):
        for h in range(first, last):
            for j in range(size):
                made[h, j] += scores[h, t] * values[t, h, j]


@njit(cache=True, nogil=True, fastmath=LOOSE)
def _step(weights, room, rows, starts, place, eps, lanes, given, logits, scratch, rank, team):
    """Thread `rank` of `team`: its heads, and its share of the rows of each layer; norms each does itself."""
    blocks, _, _, _, heads, size = room.shape
    wide, hidden = heads * size, weights.up.shape[1]
    first, last = heads * rank // team, heads * (rank + 1) // team
    low, high = wide * rank // team, wide * (rank + 1) // team
    bottom, top = hidden * rank // team, hidden * (rank + 1) // team
    x, came = given.copy(), 0
    for i in range(blocks):
        for part in range(0, 3 * wide, wide):
            start, stop = part + first * size, part + last * size
            _project(weights.qkv[i], weights.qkv_line[i], x, scratch.qkv, start, stop)
        for r in range(len(rows)):
            keys, values = room[i, 0, rows[r], starts[r] :], room[i, 1, rows[r], starts[r] :]
            query, key, value = scratch.qkv[r].reshape(3, heads, size)
            slot = place - starts[r]
            for h in range(first, last):
                for j in range(size):
                    keys[slot, h, j], values[slot, h, j] = key[h, j], value[h, j]
            made = scratch.heard[r].reshape(heads, size)
            _attend(query, keys, values, slot + 1, made, scratch.scores, first, last, lanes)
        came = _meet(scratch.gate, came + team)
        _project(weights.out[i], weights.out_line[i], scratch.heard, scratch.made, low, high)
        came = _meet(scratch.gate, came + team)
        _settle(x, scratch.made, weights.norms[i, 0], weights.norms[i, 1], eps)
        _project(weights.up[i], weights.up_line[i], x, scratch.hidden, bottom, top)
        for r in range(len(x)):
            for j in range(top - bottom):
                scratch.hidden[r, bottom + j] = max(scratch.hidden[r, bottom + j], F(0))
        came = _meet(scratch.gate, came + team)
        _project(weights.down[i], weights.down_line[i], scratch.hidden, scratch.made, low, high)
        came = _meet(scratch.gate, came + team)
        _settle(x, scratch.made, weights.norms[i, 2], weights.norms[i, 3], eps)
    symbols = logits.shape[1]
    share = symbols * rank // team, symbols * (rank + 1) // team
    _project(weights.head[0], weights.head_line[0], x, logits, share[0], share[1])
