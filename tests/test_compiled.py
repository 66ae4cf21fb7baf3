"""The compiled step says what the plain one says: in every precision, every row, by any number of threads."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.device import Placement
from pipelines.engines.gpt_sovits.config import TINY_SPEAKER
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.layers import compiled as layers
from pipelines.layers.compiled import Compiled
from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import KVCache

CLOSE = {"float32": 2e-5, "bfloat16": 0.05, "int8": 0.05}
MODES = pytest.mark.parametrize("mode", CLOSE)
HEADS, WIDTH, HIDDEN = 4, 32, 96


def compiled(mode: str, seed: int = 0) -> tuple[nn.ModuleDict, Compiled]:
    """Three blocks and a head in a precision, their norms not those they begin with, and their step."""
    torch.manual_seed(seed)
    blocks = nn.ModuleList(PostNormBlock(WIDTH, HEADS, HIDDEN, functional.relu) for _ in range(3))
    for norm in (norm for block in blocks for norm in (block.attention_norm, block.feed_norm)):
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias, 0, 0.2)
    network = nn.ModuleDict({"blocks": blocks, "head": nn.Linear(WIDTH, 13)})
    network = Placement(say=mode).put(network, "say")
    return network, Compiled(list(network.blocks), network.head)


def steps(step: Compiled, x: Tensor, starts: Sequence[int], threads: int = 1) -> Tensor:
    """(N, B, width) position by position: (N, B, symbols). Row i looks at nothing before `starts[i]`."""
    memory = step.memory(x.shape[1], len(x), 0, starts)
    memory.room.zero_()
    memory.threads = threads
    return torch.stack([step.step(row, memory) for row in x.numpy()])


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@MODES
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_it_gives_what_the_blocks_give_position_by_position(mode, rows):
    network, step = compiled(mode)
    x = noise(19, rows, WIDTH)
    caches = [KVCache(room) for room in torch.empty(3, 2, rows, 19, HEADS, WIDTH // HEADS)]
    made = steps(step, x, [0] * rows)
    for position, one in zip(x.to(Placement(say=mode).dtype("say")), made, strict=True):
        for block, cache in zip(network.blocks, caches, strict=True):
            position = block.step(position, cache)
        torch.testing.assert_close(one, network.head(position).float(), rtol=CLOSE[mode], atol=CLOSE[mode])


@MODES
def test_rows_of_a_batch_do_not_touch_each_other(mode):
    _, step = compiled(mode)
    x = noise(9, 3, WIDTH)
    together = steps(step, x, [0, 0, 0])
    for i in range(3):
        torch.testing.assert_close(together[:, [i]], steps(step, x[:, [i]], [0]), rtol=1e-5, atol=1e-5)


def test_a_row_does_not_look_before_its_start():
    _, step = compiled("float32")
    x = noise(12, 2, WIDTH)
    whole = steps(step, x[5:, [1]], [0])
    for before in (0.0, math.nan):
        memory = step.memory(2, 12, 5, [5, 5])
        memory.room.fill_(before)
        made = torch.stack([step.step(row, memory) for row in x[5:].numpy()])
        torch.testing.assert_close(made[:, [1]], whole, rtol=1e-5, atol=1e-5)


@MODES
@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("rows", [1, 3])
def test_threads_change_nothing(mode, threads, rows):
    _, step = compiled(mode)
    x = noise(12, rows, WIDTH)
    torch.testing.assert_close(
        steps(step, x, [0] * rows, threads), steps(step, x, [0] * rows), rtol=1e-5, atol=1e-5
    )


def test_two_at_once_with_several_threads_each_come_to_an_end():
    _, step = compiled("float32")
    x = noise(40, 1, WIDTH)
    truth = steps(step, x, [0])
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: steps(step, x, [0], threads=4), range(3)):
            torch.testing.assert_close(made, truth, rtol=1e-5, atol=1e-5)


def test_it_goes_on_with_the_rows_that_are_kept():
    _, step = compiled("float32")
    x = noise(9, 4, WIDTH)
    memory = step.memory(4, 9, 0, [0, 1, 2, 0])
    memory.room.zero_()
    for row in x[:4].numpy():
        step.step(row, memory)
    memory.keep(torch.tensor([2, 0]))
    made = torch.stack([step.step(row[[2, 0]], memory) for row in x[4:].numpy()])
    torch.testing.assert_close(made[:, [1]], steps(step, x[:, [0]], [0])[4:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made[:, [0]], steps(step, x[2:, [2]], [0])[2:], rtol=1e-5, atol=1e-5)


@MODES
def test_what_is_not_a_number_stays_not_a_number(mode):
    _, step = compiled(mode)
    x = noise(3, 1, WIDTH)
    x[1, 0, 7] = math.nan
    finite = steps(step, x, [0]).isfinite().all(-1)[:, 0]
    assert finite.tolist() == [True, False, False]


@pytest.mark.parametrize("mode", ["float32", "bfloat16"])
def test_the_weights_are_in_memory_once(mode):
    network, step = compiled(mode)
    for i, block in enumerate(network.blocks):
        for name in ("qkv", "out", "up", "down"):
            assert getattr(block, name).weight.data_ptr() == getattr(step.weights, name)[i].ctypes.data
    assert network.head.weight.data_ptr() == step.weights.head.ctypes.data


def test_int8_is_rounded_by_row_and_nothing_else_is():
    network, step = compiled("int8")
    layer = network.blocks[1].up.weight().dequantize()
    line = step.weights.up_line[1]
    torch.testing.assert_close(torch.from_numpy(step.weights.up[1] * line[0][:, None]), layer)


def test_a_full_memory_says_so():
    _, step = compiled("float32")
    memory = step.memory(1, 2, 0, [0])
    for row in noise(2, 1, WIDTH).numpy():
        step.step(row, memory)
    with pytest.raises(ValueError, match="2 slots, and 3 are needed"):
        step.step(noise(1, WIDTH).numpy(), memory)


def test_blocks_that_are_not_compiled_are_refused():
    with pytest.raises(ValueError, match="ReLU alone"):
        Compiled([PostNormBlock(WIDTH, HEADS, HIDDEN)], nn.Linear(WIDTH, 13))
    half = PostNormBlock(WIDTH, HEADS, HIDDEN, functional.relu).to(torch.float16)
    with pytest.raises(ValueError, match="torch.float16"):
        Compiled([half], nn.Linear(WIDTH, 13))


def test_its_power_of_e_is_one():
    x = np.concatenate([np.linspace(-87, 0, 50_001), [-1e-8, -200, -1e30]]).astype(np.float32)
    made = np.array([layers._exp(value) for value in x[::7]], np.float64)
    truth = np.exp(x[::7].astype(np.float64))
    seen = x[::7] > -87
    assert np.abs(made[seen] / truth[seen] - 1).max() < 1e-5
    assert np.abs(made - truth).max() < 4e-7 and layers._exp(np.float32(-1e30)) < 2e-38


@MODES
def test_a_speaker_that_is_put_says_what_it_said(mode):
    torch.manual_seed(0)
    plain = Speaker(TINY_SPEAKER).eval().requires_grad_(False)
    put = Placement(say=mode).put(copy.deepcopy(plain), "say")
    tokens = torch.randint(0, TINY_SPEAKER.tokens, (11, 3), generator=torch.Generator().manual_seed(3))
    phones = [torch.arange(n) for n in (9, 4, 7)]
    both = [network.begin(phones, [None] * 3, torch.arange(5), len(tokens)) for network in (put, plain)]
    for i, row in enumerate(tokens):
        for network, speech in zip((put, plain), both, strict=True):
            if i in (4, 8):
                speech.keep(torch.tensor([2, 0] if i == 4 else [1]))
            network.step(speech, row[: len(speech.logits)])
        torch.testing.assert_close(both[0].logits, both[1].logits, rtol=CLOSE[mode], atol=CLOSE[mode])
