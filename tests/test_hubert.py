"""HuBERT at toy sizes: frames, batches, dtypes; that it equals the published model is for tests.parity."""

import copy

import pytest
import torch
from torch.nn import functional

from pipelines.layers.hubert import ChannelwiseNorm, Hubert, HubertConfig
from pipelines.layers.postnorm import PostNormBlock
from pipelines.layers.transformer import KVCache

TOY = HubertConfig(
    channels=(8, 8, 8), kernels=(10, 3, 2), strides=(5, 2, 2), width=16, heads=2, hidden=32, layers=2,
    position_kernel=8, position_groups=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def hubert() -> Hubert:
    torch.manual_seed(0)
    return Hubert(TOY).eval().requires_grad_(False)


def wave(samples: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def test_the_published_sizes_give_a_frame_every_20_ms():
    config = HubertConfig()
    assert (config.hop, config.reach) == (320, 400)
    # 5 s of reference and the 9600 zeros behind it are 279 frames.
    assert [config.frames(t) for t in (399, 400, 719, 720, 16_000, 89_600)] == [0, 1, 1, 2, 49, 279]


@pytest.mark.parametrize("samples", range(TOY.reach, TOY.reach + 2 * TOY.hop + 1))
def test_the_frame_count_is_the_formula(hubert, samples):
    assert hubert(wave(samples)).shape == (1, TOY.frames(samples), TOY.width)


def test_too_short_a_wave_is_refused(hubert):
    with pytest.raises(ValueError, match=f"at least {TOY.reach} samples"):
        hubert(wave(TOY.reach - 1))


def test_a_batch_equals_its_rows(hubert):
    rows = torch.cat([wave(700, 1), wave(700, 2)])
    singles = torch.cat([hubert(rows[:1]), hubert(rows[1:])])
    torch.testing.assert_close(hubert(rows), singles, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("filler", [0.0, 50.0])
def test_a_padded_row_equals_itself_alone_whatever_the_padding(hubert, filler):
    short, long = wave(431, 1), wave(700, 2)
    padded = torch.cat([functional.pad(short, (0, 700 - 431), value=filler), long])
    both = hubert(padded, torch.tensor([431, 700]))
    own = TOY.frames(431)
    torch.testing.assert_close(both[:1, :own], hubert(short), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(both[1:], hubert(long), rtol=1e-5, atol=1e-5)
    assert not both[0, own:].any()


def test_loudness_changes_next_to_nothing(hubert):
    quiet, loud = hubert(wave(700)), hubert(wave(700) * 30)
    assert (quiet - loud).abs().max() / quiet.std() < 1e-2


def test_a_later_sound_does_reach_an_earlier_frame(hubert):
    samples = wave(700)
    changed = samples.clone()
    changed[:, 600:] += 1
    assert (hubert(samples)[:, 0] - hubert(changed)[:, 0]).abs().max() > 1e-4


def test_bfloat16_weights_take_any_wave_and_stay_near(hubert):
    lowered = copy.deepcopy(hubert).to(torch.bfloat16)
    made, whole = lowered(wave(700)), hubert(wave(700))
    assert made.dtype == torch.bfloat16
    assert (made.float() - whole).std() / whole.std() < 0.05


def test_it_can_be_trained():
    torch.manual_seed(0)
    small = Hubert(TOY)
    small(torch.cat([wave(500, 1), wave(500, 2)]), torch.tensor([400, 500])).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in small.parameters())


def test_the_first_norm_over_all_steps_is_torchs_group_norm():
    norm, x = ChannelwiseNorm(4, 1e-5), torch.randn(2, 4, 50)
    torch.testing.assert_close(norm(x, torch.tensor([50, 50])), norm(x), rtol=1e-5, atol=1e-5)


def test_sizes_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="as many channels as kernels"):
        HubertConfig(channels=(8,), kernels=(3, 3), strides=(2, 2))
    with pytest.raises(ValueError, match="does not divide into 3 heads"):
        PostNormBlock(16, 3, 32)


def test_a_cached_block_equals_the_whole_under_a_causal_mask():
    torch.manual_seed(0)
    block, x = PostNormBlock(16, 2, 32).requires_grad_(False), torch.randn(2, 7, 16)
    cache = KVCache(torch.empty(2, 2, 7, 2, 8))
    steps = torch.cat([block(x[:, i : i + 1], cache=cache) for i in range(7)], dim=1)
    whole = block(x, torch.ones(7, 7, dtype=torch.bool).tril())
    torch.testing.assert_close(steps, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_step_is_the_pass_of_one_position(dtype):
    torch.manual_seed(0)
    block, x = PostNormBlock(16, 2, 32).to(dtype).requires_grad_(False), torch.randn(2, 7, 16).to(dtype)
    caches = [KVCache(part) for part in torch.empty(2, 2, 2, 7, 2, 8, dtype=dtype)]
    near = 8 * torch.finfo(dtype).eps  # sums in another order
    real = torch.arange(7) >= torch.tensor([[0], [1]])  # the second row's first place is padding
    for i in range(2, 7):
        mask = real[:, None, None, : caches[0].length + 1]
        whole = block(x[:, i : i + 1], mask, caches[0])[:, 0]
        torch.testing.assert_close(block.step(x[:, i], caches[1], mask), whole, rtol=near, atol=near)
    kept, stepped = (cache.keys[:, :, : cache.length] for cache in caches)
    torch.testing.assert_close(kept, stepped, rtol=near, atol=near)
    caches[1].length = 7
    with pytest.raises(ValueError, match="7 slots, and 8 are needed"):
        block.step(x[:, 0], caches[1])


def test_it_is_watched_between_its_layers(hubert):
    looks = []
    hubert(wave(700), watch=lambda: looks.append(1))
    assert len(looks) == len(TOY.channels) + TOY.layers
