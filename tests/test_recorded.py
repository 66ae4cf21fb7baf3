"""A step that is played back says what the plain one says.

No card is needed: in place of a CUDA graph a `Reel` remembers the operations of a step and the memory that
they worked on, and does them again on that memory, which is all that a graph does.
"""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.device import Placement
from pipelines.engines.gpt_sovits import sampling as drawing
from pipelines.engines.gpt_sovits.config import TINY_SPEAKER
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.layers import recorded as layers
from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.recorded import GRAIN, Recorded
from pipelines.layers.transformer import KVCache

HEADS, WIDTH = 4, 32
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Reel(TorchDispatchMode):
    """Remembers each operation, with the tensors that went in and came out."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[tuple[Callable, tuple, dict, object]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self.acts.append((operation, args, kwargs or {}, made))
        return made

    def play(self) -> None:
        """Do it all again; what was new memory then is the same memory now."""
        for operation, args, kwargs, made in self.acts:
            given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if _is_tensor(t)}
            for old, new in zip(tree_leaves(made), tree_leaves(operation(*args, **kwargs)), strict=True):
                if _is_tensor(old) and old.untyped_storage().data_ptr() not in given:
                    old.copy_(new)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def record(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """As `recorded.record`, without a card."""
    step()
    with Reel() as reel:
        step()
    return reel.play


@pytest.fixture(autouse=True)
def no_card(monkeypatch):
    monkeypatch.setattr(layers, "record", record)


def blocks(count: int = 3, dtype: torch.dtype = torch.float32) -> tuple[nn.ModuleList, nn.Linear]:
    torch.manual_seed(0)
    made = nn.ModuleList(PostNormBlock(WIDTH, HEADS, 96, functional.relu) for _ in range(count))
    network = nn.ModuleList([made, nn.Linear(WIDTH, 13)]).eval().requires_grad_(False).to(dtype)
    return network[0], network[1]


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain(network: tuple[nn.ModuleList, nn.Linear], x: Tensor) -> Tensor:
    """(N, B, width) position by position, as the blocks have it: (N, B, symbols)."""
    caches = [
        KVCache(room) for room in torch.empty(len(network[0]), 2, x.shape[1], len(x), HEADS, WIDTH // HEADS)
    ]
    rows = []
    for row in x:
        for block, cache in zip(network[0], caches, strict=True):
            row = block.step(row, cache)
        rows.append(network[1](row))
    return torch.stack(rows)


def played(steps: Recorded, x: Tensor, starts: list[int] | None = None) -> Tensor:
    memory = steps.memory(x.shape[1], len(x), 0, starts or [0] * x.shape[1])
    return torch.stack([steps.step(row, memory) for row in x])


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_it_gives_what_the_blocks_give_position_by_position(rows):
    network, x = blocks(), noise(19, rows, WIDTH)
    torch.testing.assert_close(played(Recorded(*network), x), plain(network, x), **CLOSE)


def test_it_goes_on_behind_what_is_there_and_looks_at_nothing_before_its_start():
    network, x = blocks(), noise(12, 2, WIDTH)
    steps = Recorded(*network)
    memory = steps.memory(2, 12, 5, [0, 5])
    caches = [KVCache(part[:, :1]) for part in memory.room]
    memory.room[:, :, 1, :5] = 7.0  # before the start of the second row
    for row in x[:5, :1]:
        for block, cache in zip(network[0], caches, strict=True):
            row = block.step(row, cache)
    made = torch.stack([steps.step(row, memory) for row in x[5:]])
    torch.testing.assert_close(made[:, :1], plain(network, x[:, :1])[5:], **CLOSE)
    torch.testing.assert_close(made[:, 1:], plain(network, x[5:, 1:]), **CLOSE)


def test_it_goes_on_with_the_rows_that_are_kept():
    network, x = blocks(), noise(9, 4, WIDTH)
    steps, truth = Recorded(*network), plain(network, x)
    memory = steps.memory(4, 9, 0, [0] * 4)
    for row in x[:4]:
        steps.step(row, memory)
    memory.keep(torch.tensor([2, 0]))
    steps.step(x[4, [2, 0]], memory)
    memory.keep(torch.tensor([1]))
    made = torch.stack([steps.step(row[[0]], memory) for row in x[5:]])
    torch.testing.assert_close(made, truth[5:, [0]], **CLOSE)


def test_what_was_said_before_on_the_same_tape_leaves_nothing_behind():
    network, x = blocks(), noise(9, 1, WIDTH)
    steps = Recorded(*network)
    alone = played(steps, x)
    broken = x.clone()
    broken[3] = torch.nan
    assert not played(steps, broken)[3:].isfinite().any()
    torch.testing.assert_close(played(steps, x), alone, rtol=0, atol=0)


def test_a_tape_is_of_one_request_at_a_time_and_then_of_the_next():
    steps, x = Recorded(*blocks()), noise(6, 1, WIDTH)
    alone, other = played(steps, x), played(steps, -x)
    one, two = steps.memory(1, 6, 0, [0]), steps.memory(1, 6, 0, [0])
    assert one.tape is not two.tape
    for i in range(6):  # in turn
        torch.testing.assert_close(steps.step(x[i], one), alone[i], rtol=0, atol=0)
        torch.testing.assert_close(steps.step(-x[i], two), other[i], rtol=0, atol=0)
    tape = one.tape
    del one
    gc.collect()
    assert steps.memory(1, 6, 0, [0]).tape is tape


def test_tapes_serve_any_length_that_fits_and_few_are_kept(monkeypatch):
    made: list[int] = []
    monkeypatch.setattr(layers, "record", lambda step, device: made.append(1) or record(step, device))
    steps, x = Recorded(*blocks(count=1)), noise(3, 2, WIDTH)
    for length in (3, GRAIN, 7):
        steps.memory(1, length, 0, [0])
    assert len(made) == 1
    steps.memory(1, GRAIN + 1, 0, [0])
    played(steps, x)
    assert len(made) == 3 and len(steps._spare) == layers.SPARE
    steps.memory(1, GRAIN + 1, 0, [0])
    assert len(made) == 3


def test_spare_tapes_make_room_where_memory_is_short(monkeypatch):
    steps, x = Recorded(*blocks(count=1)), noise(3, 2, WIDTH)
    truth = played(steps, x)
    steps.memory(1, 3, 0, [0])

    def short(step, device):
        if steps._spare:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return record(step, device)

    monkeypatch.setattr(layers, "record", short)
    made = played(steps, torch.cat([x, x], 1))
    torch.testing.assert_close(made[:, :2], truth)
    assert len(steps._spare) == 1  # the new one; with none to let go of, it is told
    steps._spare.clear()

    def always_short(step, device):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(layers, "record", always_short)
    with pytest.raises(torch.OutOfMemoryError):
        steps.memory(5, 3, 0, [0])


def test_many_threads_each_get_what_is_theirs():
    network = blocks()
    steps = Recorded(*network)
    clips = [noise(8, 1, WIDTH, seed=seed) for seed in range(6)]
    found: dict[int, Tensor] = {}

    def say(i: int) -> None:
        found[i] = played(steps, clips[i])

    threads = [threading.Thread(target=say, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, clip in enumerate(clips):
        torch.testing.assert_close(found[i], plain(network, clip), **CLOSE)


def test_a_full_memory_says_so():
    steps = Recorded(*blocks())
    memory = steps.memory(1, 2, 0, [0])
    for row in noise(2, 1, WIDTH):
        steps.step(row, memory)
    with pytest.raises(ValueError, match="2 slots, and 3 are needed"):
        steps.step(noise(1, WIDTH), memory)


@pytest.mark.parametrize("dtype", layers.NEAR)
def test_the_proof_holds_in_every_precision(dtype):
    Recorded(*blocks(dtype=dtype)).prove()


@pytest.mark.parametrize("dtype", layers.NEAR)
@pytest.mark.parametrize("broken", ["place", "given", "real"])
def test_the_proof_finds_a_tape_that_does_not_read_what_changes(monkeypatch, broken, dtype):
    def frozen(step, device):
        play = record(step, device)
        tensor = step.__closure__[step.__code__.co_freevars.index(broken)].cell_contents
        kept = tensor.clone()

        def spoiled() -> None:
            was = tensor.clone()
            tensor.copy_(kept)
            play()
            if broken != "place":
                tensor.copy_(was)

        return spoiled

    monkeypatch.setattr(layers, "record", frozen)
    with pytest.raises(RuntimeError, match="away from the same step done anew"):
        Recorded(*blocks(dtype=dtype)).prove()


# ------------------------------------------------------------------------------------ the speaker


def recorded_speaker(speaker: Speaker) -> Speaker:
    speaker = copy.deepcopy(speaker)
    speaker._record()
    return speaker


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    torch.manual_seed(0)
    return Speaker(TINY_SPEAKER).eval().requires_grad_(False)


def test_a_speaker_whose_steps_are_recorded_says_what_it_said(speaker):
    other = recorded_speaker(speaker)
    phones = [torch.arange(n) for n in (9, 4, 7)]
    for prompt in (None, torch.arange(5)):
        said = [
            drawing.say(
                network, phones, [None] * 3, prompt,
                [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)], most=[20, 31, 12],
            )
            for network in (speaker, other)
        ]  # fmt: skip
        for one, two in zip(*said, strict=True):
            assert one.tokens.tolist() == two.tokens.tolist() and one.ended == two.ended
    assert other._steps is not None


def test_a_card_that_cannot_play_back_is_told_and_says_the_same(speaker, monkeypatch, caplog):
    def fails(step, device):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(layers, "record", fails)
    other = recorded_speaker(speaker)
    assert other._steps is None
    assert caplog.messages[-1].endswith("take longer so: operation not permitted when stream is capturing.")
    phones, tokens = [torch.arange(9)], torch.arange(6)
    both = [network.begin(phones, [None], None, 6) for network in (speaker, other)]
    for token in tokens:
        for network, speech in zip((speaker, other), both, strict=True):
            network.step(speech, token[None])
        torch.testing.assert_close(both[1].logits, both[0].logits)


def test_nothing_is_recorded_on_a_cpu(speaker):
    half = Placement(say="float16").put(copy.deepcopy(speaker), "say")
    assert half._steps is None
