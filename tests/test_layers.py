"""Attention, cache, transformer and sampling: the quick way equals the plain one, and no dtype breaks it."""

from itertools import product

import pytest
import torch
from torch import Tensor

from pipelines.device import Placement
from pipelines.layers import sampling
from pipelines.layers.transformer import FLOATS, Block, KVCache, Norm, Stack, attend

WIDTH, HEADS = 32, 4
ROUNDING = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}  # a few units in the last place


def stack(mode: str = "float32") -> Stack:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Placement(say=mode).put(Stack(WIDTH, HEADS, 2 * WIDTH, 2), "say")


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_hand(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ value


def test_attention_is_what_its_formula_says():
    query, key, value = noise(2, 4, 5, 8), noise(2, 4, 9, 8, seed=2), noise(2, 4, 9, 8, seed=3)
    everywhere = torch.ones(5, 9, dtype=torch.bool)
    behind = everywhere.tril(4)
    few = noise(2, 1, 5, 9, seed=4) > 0
    few[..., 0] = True
    for mask, causal, truth in (
        (None, False, everywhere),
        (None, True, behind),
        (few, False, few),
        (few, True, few & behind),
    ):
        made = attend(query, key, value, mask, causal)
        torch.testing.assert_close(made, by_hand(query, key, value, truth))


def test_a_query_that_may_look_nowhere_gets_zeros():
    mask = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    mask[..., 1, :] = False
    made = attend(noise(1, 2, 3, 8), noise(1, 2, 3, 8), noise(1, 2, 3, 8), mask)
    assert made.isfinite().all() and not made[:, :, 1].any() and made[:, :, 0].any()


@pytest.mark.parametrize("dtypes", list(product(FLOATS, repeat=3)), ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_every_mixture_of_dtypes_attends_in_that_of_the_keys(dtypes, causal, masked):
    query, key, value = (noise(1, 2, 6, 8, seed=i).to(dtype) for i, dtype in enumerate(dtypes))
    mask = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril() if masked else None
    made = attend(query, key, value, mask, causal)
    truth = torch.ones(6, 6, dtype=torch.bool)
    truth = truth.tril() if masked or causal else truth
    assert made.dtype == key.dtype
    near = max(ROUNDING[dtype] for dtype in dtypes)
    torch.testing.assert_close(
        made.float(), by_hand(query.float(), key.float(), value.float(), truth), rtol=near, atol=near
    )


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.float64, torch.complex64, torch.bool])
def test_what_cannot_attend_is_refused_in_words(place, dtype):
    tensors = [noise(1, 1, 2, 4) for _ in range(3)]
    tensors[place] = tensors[place].to(dtype)
    with pytest.raises(
        ValueError, match="Attention takes float32, bfloat16 or float16; the (query|key|value) is"
    ):
        attend(*tensors)


def test_two_devices_are_refused_in_words():
    with pytest.raises(ValueError, match="Attention takes one device; the query is on meta, not cpu"):
        attend(noise(1, 1, 2, 4).to("meta"), noise(1, 1, 2, 4), noise(1, 1, 2, 4))


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "float16", "int8"])
@pytest.mark.parametrize("cached", FLOATS, ids=str)
@pytest.mark.parametrize("given", FLOATS, ids=str)
def test_a_cache_of_any_dtype_serves_a_network_of_any_precision(weights, cached, given):
    network = stack(weights)
    caches = [KVCache(part) for part in torch.empty(2, 2, 1, 8, HEADS, WIDTH // HEADS, dtype=cached)]
    x = noise(1, 6, WIDTH)
    first, second = network(x[:, :5].to(given), caches), network(x[:, 5:].to(given), caches)
    assert first.dtype == second.dtype == Placement(say=weights).dtype("say")
    truth = stack()(x)
    near = 0.1 if "bfloat16" in (weights, str(cached)[6:], str(given)[6:]) or weights == "int8" else 0.02
    torch.testing.assert_close(torch.cat([first, second], 1).float(), truth, rtol=0, atol=near)


@pytest.mark.parametrize("cuts", [(1,) * 9, (4, 5), (7, 1, 1), (1, 8), (9,)])
def test_the_cache_changes_nothing(cuts):
    network = stack()
    x = noise(2, 9, WIDTH)
    caches = network.caches(batch=2, slots=12)
    made = torch.cat([network(part, caches) for part in x.split(cuts, dim=1)], dim=1)
    torch.testing.assert_close(made, network(x))
    assert all(cache.length == 9 for cache in caches)


def test_a_cache_goes_on_with_the_rows_it_keeps():
    network, x = stack(), noise(4, 9, WIDTH)
    caches, kept = network.caches(batch=4, slots=12), torch.tensor([2, 0])
    network(x[:, :6], caches)
    for cache in caches:
        cache.keep(kept)
    assert {tuple(cache.keys.shape[::2]) for cache in caches} == {(2, 12)}
    torch.testing.assert_close(network(x[kept, 6:], caches), network(x[kept])[:, 6:])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_norm_is_computed_in_float32(dtype):
    norm, x = Norm(64).to(dtype), (1000 + 3 * noise(5, 64)).to(dtype)
    truth = torch.nn.functional.layer_norm(x.float(), (64,)).to(dtype)
    near = ROUNDING[dtype]
    torch.testing.assert_close(norm(x), truth, rtol=near, atol=near)
    torch.testing.assert_close(norm(x.float()), truth.float(), rtol=near, atol=near)


def test_what_comes_later_changes_nothing():
    network = stack()
    x, other = noise(1, 8, WIDTH), noise(1, 8, WIDTH, seed=5)
    other[:, :5] = x[:, :5]
    torch.testing.assert_close(network(x)[:, :5], network(other)[:, :5])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_a_row(side):
    network = stack()
    row = noise(1, 5, WIDTH)
    rubbish = 100 * noise(1, 3, WIDTH, seed=6)
    parts = [rubbish, row] if side == "left" else [row, rubbish]
    padded = torch.cat([torch.cat(parts, 1), noise(1, 8, WIDTH, seed=7)])
    real = torch.ones(2, 8, dtype=torch.bool)
    here = slice(3, 8) if side == "left" else slice(0, 5)
    real[0] = False
    real[0, here] = True
    made = network(padded, real=real)
    torch.testing.assert_close(made[:1, here], network(row))
    assert made.isfinite().all()


def test_padding_in_the_cache_does_not_change_the_steps_that_follow():
    network = stack()
    row, step = noise(1, 5, WIDTH), noise(1, 1, WIDTH, seed=8)
    caches = network.caches(1, 9)
    real = torch.tensor([[True] * 5 + [False] * 3])
    network(torch.cat([row, noise(1, 3, WIDTH, seed=9)], 1), caches, real)
    made = network(step, caches, torch.cat([real, torch.tensor([[True]])], 1))
    torch.testing.assert_close(made, network(torch.cat([row, step], 1))[:, -1:])


def test_rows_of_a_batch_do_not_mix():
    network = stack()
    rows = noise(3, 6, WIDTH)
    torch.testing.assert_close(network(rows), torch.cat([network(row[None]) for row in rows]))


def test_two_requests_do_not_share_a_cache():
    network = stack()
    one, two = noise(1, 6, WIDTH), noise(1, 6, WIDTH, seed=10)
    caches, others = network.caches(1, 6), network.caches(1, 6)
    made = [(network(one[:, [i]], caches), network(two[:, [i]], others)) for i in range(6)]
    torch.testing.assert_close(torch.cat([first for first, _ in made], 1), network(one))
    torch.testing.assert_close(torch.cat([second for _, second in made], 1), network(two))


def test_a_full_cache_says_so():
    cache = KVCache(torch.empty(2, 1, 2, 1, 4))
    with pytest.raises(ValueError, match="2 slots, and 3 are needed"):
        cache.update(noise(1, 1, 3, 4), noise(1, 1, 3, 4))
    assert cache.length == 0


def test_norms_are_float32_inside():
    norm = Placement(say="float16").put(Norm(8), "say")
    large = torch.full((1, 8), 60000.0, dtype=torch.float16)
    large[0, 0] = -60000.0  # its square overflows in float16
    truth = Norm(8)(large.float()).detach()
    assert norm(large).dtype == torch.float16
    torch.testing.assert_close(norm(large).float(), truth, rtol=1e-3, atol=1e-3)


def test_the_block_equals_a_second_telling_of_its_formula():
    block = Block(WIDTH, HEADS, 2 * WIDTH).eval()
    other = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 2 * WIDTH, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    own = block.state_dict()
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "out.",
        "linear1.": "up.",
        "linear2.": "down.",
        "norm1.": "attention_norm.",
        "norm2.": "feed_norm.",
    }
    theirs = {a + leaf: own[b + leaf] for a, b in names.items() for leaf in ("weight", "bias")}
    other.load_state_dict(theirs, strict=True)
    x = noise(2, 7, WIDTH)
    with torch.no_grad():
        truth = other(x, src_mask=torch.nn.Transformer.generate_square_subsequent_mask(7), is_causal=True)
        torch.testing.assert_close(block(x), truth)


# -------------------------------------------------------------------------------------- sampling


def nucleus(row: list[float], mass: float, crossing: bool) -> set[int]:
    """The symbols that may be drawn, told one by one from the likeliest on."""
    chances = torch.tensor(row, dtype=torch.float64).softmax(0).tolist()
    kept, sum_before = set(), 0.0
    for symbol in sorted(range(len(row)), key=lambda i: -chances[i]):
        inside = sum_before < mass if crossing else sum_before + chances[symbol] <= mass
        if not inside and kept:
            break
        kept.add(symbol)
        sum_before += chances[symbol]
    return kept


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize("mass", [1e-6, 0.1, 0.5, 0.8, 0.95])
def test_top_p_keeps_what_counting_by_hand_keeps(mass: float, crossing: bool):
    logits = 3 * noise(20, 30)
    kept = torch.isfinite(sampling.top_p(logits, mass, crossing))
    for row, mine in zip(logits.tolist(), kept, strict=True):
        assert set(mine.nonzero()[:, 0].tolist()) == nucleus(row, mass, crossing)


def test_top_p_of_one_and_top_k_of_none_change_nothing():
    logits = noise(3, 9)
    assert torch.equal(sampling.top_p(logits, 1.0), logits)
    assert all(torch.equal(sampling.top_k(logits, count), logits) for count in (0, 9, 100))


def test_top_k_keeps_the_likeliest_and_what_is_as_likely_as_the_last():
    logits = noise(20, 30)
    for row, kept in zip(logits, torch.isfinite(sampling.top_k(logits, 4)), strict=True):
        assert set(kept.nonzero()[:, 0].tolist()) == set(row.argsort(descending=True)[:4].tolist())
    tied = torch.tensor([[1.0, 2.0, 2.0, 0.0]])
    assert torch.isfinite(sampling.top_k(tied, 1)).tolist() == [[False, True, True, False]]


def test_what_was_said_becomes_less_likely_whatever_its_sign():
    logits = torch.tensor([[2.0, -2.0, 1.0, -1.0]])
    penalised = sampling.penalise(logits, torch.tensor([[0, 1, 0]]), 2.0)
    assert penalised.tolist() == [[1.0, -4.0, 1.0, -1.0]]
    assert torch.equal(sampling.penalise(logits, torch.tensor([[0, 1]]), 1.0), logits)
    assert torch.equal(sampling.penalise(logits, torch.zeros(1, 0, dtype=torch.int64), 2.0), logits)


def test_no_step_changes_what_it_was_given():
    logits, previous = noise(2, 8), torch.tensor([[1, 2], [3, 3]])
    before = logits.clone()
    sampling.top_p(sampling.top_k(sampling.tempered(logits, 0.7), 3), 0.8)
    sampling.penalise(logits, previous, 1.5)
    sampling.draw(logits, torch.Generator().manual_seed(0))
    assert torch.equal(logits, before)


def test_draws_are_as_frequent_as_their_probabilities():
    logits, draws = noise(1, 6), 20_000
    drawn = sampling.draw(logits.expand(draws, -1), torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=6) / draws
    chances = logits[0].softmax(0)
    # Five standard errors of the most uncertain share.
    assert float((shares - chances).abs().max()) < 5 * (0.25 / draws) ** 0.5


def test_without_temperature_the_likeliest_is_drawn():
    logits = noise(50, 9)
    drawn = sampling.choose(logits, torch.Generator().manual_seed(0), temperature=0.0)
    assert torch.equal(drawn, logits.argmax(-1))
    drawn = sampling.choose(logits, torch.Generator().manual_seed(0), temperature=100.0, count=1)
    assert torch.equal(drawn, logits.argmax(-1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_generator_draws_the_same_whatever_the_dtype(dtype: torch.dtype):
    logits = (8 * noise(4, 9)).round().to(dtype)  # whole numbers are the same in each
    drawn = [
        sampling.choose(x, torch.Generator().manual_seed(3), 0.9, 5, 0.9) for x in (logits, logits.float())
    ]
    assert torch.equal(*drawn) and drawn[0].shape == (4,) and drawn[0].dtype == torch.int64


def test_what_was_excluded_is_never_drawn():
    logits = noise(1, 50).expand(5000, -1)
    allowed = set(logits[0].argsort(descending=True)[:3].tolist())
    drawn = sampling.choose(logits, torch.Generator().manual_seed(1), temperature=5.0, count=3)
    assert set(drawn.tolist()) == allowed


def test_a_quantile_is_uniform_at_temperature_one_and_the_median_at_none():
    random = torch.Generator().manual_seed(0)
    drawn = torch.tensor([sampling.quantile(random) for _ in range(4000)]).sort().values
    # Kolmogorov-Smirnov: the distance from a straight line, beyond which one in a thousand would lie.
    assert float((drawn - torch.arange(4000) / 4000).abs().max()) < 1.95 / 4000**0.5
    assert sampling.quantile(random, temperature=0.0) == sampling.quantile(random, 3.0, count=1) == 0.5
    assert all(abs(sampling.quantile(random, 9.0, mass=0.4) - 0.5) <= 0.2 for _ in range(50))
