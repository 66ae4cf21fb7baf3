"""v3, v4, vocoders and verifier at toy sizes; that they equal the published ones is for tests.parity."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.checkpoint import CheckpointError, fill
from pipelines.engines.gpt_sovits import cfm, official
from pipelines.engines.gpt_sovits.cfm import Estimator, Features, Matcher, Prompt
from pipelines.engines.gpt_sovits.config import EncoderConfig, EstimatorConfig, MatcherConfig, WaveNetConfig
from pipelines.engines.gpt_sovits.verifier import Verifier, VerifierConfig, filter_banks
from pipelines.engines.gpt_sovits.vocoders import (
    TAPS,
    V4,
    Bigvgan,
    BigvganConfig,
    Snake,
    doubled,
    halved,
    low_pass,
)
from pipelines.engines.gpt_sovits.wavenet import WaveNet
from pipelines.layers.hifigan import Hifigan, HifiganConfig, in_pieces

ESTIMATOR = EstimatorConfig(
    width=32, heads=2, head_width=16, hidden=48, layers=2, mels=5, features=12, feature_hidden=16,
    feature_layers=1, time_waves=8, position_kernel=5, position_groups=4,
)  # fmt: skip
ENCODER = EncoderConfig(
    symbols=20, codes=16, content=8, width=8, hidden=12, layers=(1, 1, 1), joint=8, joint_heads=2, bins=9,
    style_hidden=8, style=8,
)  # fmt: skip
MATCHER = MatcherConfig("v4", ENCODER, 12, WaveNetConfig(layers=2), ESTIMATOR)
HIFIGAN = HifiganConfig(4, 16, (5, 2), (9, 4), (3, 5), (1, 3))
BIGVGAN = BigvganConfig(4, 16, (4, 2), (8, 4), (3, 5), (1, 3))
VERIFIER = VerifierConfig(bands=16, width=16, base=16, scale=4, expansion=2, blocks=(1, 2, 1, 1))


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(build: Callable[[], nn.Module]) -> nn.Module:
    """With every weight drawn, also those that start at zero or one."""
    torch.manual_seed(0)
    module = build().eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return made(lambda: Estimator(ESTIMATOR))


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return made(lambda: Matcher(MATCHER))


# ------------------------------------------------------------------------------------ vocoders


@pytest.mark.parametrize("build", [lambda: Hifigan(HIFIGAN), lambda: Bigvgan(BIGVGAN)])
@pytest.mark.parametrize("sizes", [[40], [1] * 40, [3, 20, 17], [39, 1]])
@pytest.mark.parametrize("piece", [1, 7, 100])
def test_pieces_joined_equal_the_whole(build, sizes, piece):
    vocoder, frames = made(build), noise(1, 4, 40)
    config = vocoder.config
    pieces = list(in_pieces(vocoder, frames.split(sizes, -1), piece, config.reach, config.hop))
    assert all(made.shape[-1] <= piece * config.hop for made in pieces)
    torch.testing.assert_close(torch.cat(pieces, -1), vocoder(frames), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build, slack", [(lambda: Hifigan(HIFIGAN), 3), (lambda: Bigvgan(BIGVGAN), 10)])
def test_a_frame_is_heard_within_the_reach_and_not_beyond(build, slack):
    vocoder, frames = made(build), noise(1, 4, 81)
    config, changed = vocoder.config, frames.clone()
    changed[..., 40] += 1
    different = (vocoder(changed) != vocoder(frames)).view(-1, config.hop).any(-1).nonzero()
    # The reach is rounded up at every stage, and the last taps of BigVGAN's filters are close to nothing.
    assert config.reach - slack <= (different - 40).abs().max() <= config.reach


def test_a_piece_comes_as_soon_as_what_it_depends_on():
    vocoder, taken = made(lambda: Hifigan(HIFIGAN)), []

    def parts():
        for part in noise(1, 4, 60).split(10, -1):
            taken.append(part)
            yield part

    next(in_pieces(vocoder, parts(), 5, HIFIGAN.reach, HIFIGAN.hop))
    assert len(taken) == math.ceil((5 // 2 + HIFIGAN.reach) / 10)


@pytest.mark.parametrize("parts", [(520,), (101,), (434, 466, 466, 3), (50, 7, 300), (30,), (240,) * 4])
def test_no_piece_is_less_than_half_of_what_it_may_be(parts):
    """Whatever the parts it comes in: a last piece of an instant would be all that is heard of a delay."""
    frames = torch.arange(sum(parts), dtype=torch.float32).view(1, 1, -1)
    pieces = list(in_pieces(lambda x: x, frames.split(parts, -1), 100, 12, 1))
    assert torch.equal(torch.cat(pieces, -1), frames)
    lengths = [piece.shape[-1] for piece in pieces]
    assert max(lengths) <= 100 and min(lengths) >= min(50, sum(parts))


def test_the_published_vocoders_have_their_hops():
    assert (V4.hop, BigvganConfig().hop) == (480, 256)


@pytest.mark.parametrize("build", [lambda: Hifigan(HIFIGAN), lambda: Bigvgan(BIGVGAN)])
def test_half_weights_give_full_samples_close_to_full(build):
    vocoder, frames = made(build), noise(1, 4, 30)
    half = copy.deepcopy(vocoder).to(torch.bfloat16)(frames)
    assert half.dtype == torch.float32
    assert half.isfinite().all() and half.abs().max() <= 1
    # bfloat16 keeps eight bits.
    assert (half - vocoder(frames)).abs().max() < 0.1


def test_folded_weight_norm_changes_no_sample():
    torch.manual_seed(0)
    plain = Hifigan(HIFIGAN).eval().requires_grad_(False)
    normed = copy.deepcopy(plain)
    for module in normed.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.utils.parametrizations.weight_norm(module)
            module.parametrizations.weight.original0.data *= 1.5
    weights = official.vocoder_weights(normed.state_dict())
    folded = fill(lambda: Hifigan(HIFIGAN), weights, "this vocoder")
    frames = noise(1, 4, 20)
    assert not torch.equal(folded(frames), plain(frames))
    torch.testing.assert_close(folded(frames), normed(frames), rtol=1e-5, atol=1e-5)


def test_watching_a_vocoder_can_end_it():
    def watch() -> None:
        raise InterruptedError

    for vocoder in (made(lambda: Hifigan(HIFIGAN)), made(lambda: Bigvgan(BIGVGAN))):
        with pytest.raises(InterruptedError):
            vocoder(noise(1, 4, 9), watch=watch)


def test_the_filter_keeps_a_constant_and_takes_what_is_above_half_the_band():
    taps = low_pass()
    assert taps.shape == (TAPS,)
    torch.testing.assert_close(taps, taps.flip(0))
    torch.testing.assert_close(taps.sum(), torch.tensor(1.0))
    spectrum = torch.fft.rfft(taps, 512).abs()
    assert spectrum[:64].min() > 0.9 and spectrum[220:].max() < 0.01


def test_twice_the_rate_and_back_leaves_a_slow_wave_as_it_is():
    wave = (torch.arange(400) * 0.2).sin()[None, None] + torch.tensor([0.0, 3.0])[None, :, None]
    back = halved(doubled(wave, low_pass()), low_pass())
    assert back.shape == wave.shape
    # The ends do not go on as a sine does; in between both filters pass it whole but for 0.2 %.
    torch.testing.assert_close(back[..., 10:-10], wave[..., 10:-10], rtol=0, atol=5e-3)


def test_snake_of_a_constant_is_its_formula():
    snake = Snake(3)
    snake.alpha.data, snake.beta.data = torch.tensor([0.0, 0.5, -1.0]), torch.tensor([0.3, 0.0, -0.5])
    x = torch.tensor([0.7, -1.2, 2.0])
    expected = x + (x * snake.alpha.exp()).sin() ** 2 / snake.beta.exp()
    got = snake(x[None, :, None].expand(1, 3, 30), low_pass())
    torch.testing.assert_close(got, expected[None, :, None].expand(1, 3, 30), rtol=1e-4, atol=1e-5)


def official_bigvgan(vocoder: Bigvgan) -> dict[str, Tensor]:
    names = {}
    for name, tensor in vocoder.state_dict().items():
        name = name.replace(".alpha", ".act.alpha").replace(".beta", ".act.beta")
        if name.startswith("ups."):
            name = name.replace(".weight", ".0.weight").replace(".bias", ".0.bias")
        names[name] = tensor
    taps = low_pass()[None, None]
    places = [f"resblocks.{n}.activations.{m}" for n in range(4) for m in range(4)]
    for place in [*places, "activation_post"]:
        names |= {f"{place}.upsample.filter": taps, f"{place}.downsample.lowpass.filter": taps}
    return names


def test_the_official_names_of_bigvgan_fill_it():
    vocoder = made(lambda: Bigvgan(BIGVGAN))
    weights = official.bigvgan_weights(official_bigvgan(vocoder))
    again, mel = fill(lambda: Bigvgan(BIGVGAN), weights, "this vocoder"), noise(1, 4, 20)
    assert torch.equal(again(mel), vocoder(mel))


def test_a_bigvgan_with_another_filter_is_refused():
    tensors = official_bigvgan(made(lambda: Bigvgan(BIGVGAN)))
    tensors["activation_post.upsample.filter"] = torch.ones(1, 1, TAPS) / TAPS
    with pytest.raises(CheckpointError, match="filters otherwise"):
        official.bigvgan_weights(tensors)


# ------------------------------------------------------------------------------------ features


def test_the_stack_of_gates_is_its_formula():
    net = made(lambda: WaveNet(WaveNetConfig(3, 2), 4, 6))
    x, style = noise(1, 4, 9), noise(1, 6, 1, seed=2)
    steers = net.cond_layer(style)
    first = net.in_layers[0](x) + steers[:, :8]
    out = net.res_skip_layers[0](first[:, :4].tanh() * first[:, 4:].sigmoid())
    second = net.in_layers[1](x + out[:, :4]) + steers[:, 8:]
    expected = out[:, 4:] + net.res_skip_layers[1](second[:, :4].tanh() * second[:, 4:].sigmoid())
    torch.testing.assert_close(net(x, style), expected)


@pytest.mark.parametrize("version, frames", [("v3", 52), ("v4", 56)])
def test_features_are_one_a_mel_frame(version, frames):
    features = made(lambda: Features(MatcherConfig(version, ENCODER, 12, WaveNetConfig(layers=2), ESTIMATOR)))
    assert features(noise(1, 8, 28), noise(1, 8, 1), tokens=14).shape == (1, 12, frames)


@pytest.mark.parametrize("tokens, speed, silent", [(14, 1.3, 0), (14, 1.2, 1), (14, 1.0, 0), (5, 0.9, 1)])
def test_frames_behind_the_official_length_are_zero(tokens, speed, silent):
    # 28 / 1.2 = 23.33: the encoder gives 24 frames, 48 of the mel; the official mask keeps int(46.67) + 1.
    features = made(lambda: Features(MATCHER))
    hidden = noise(1, 8, 2 * tokens if speed == 1 else int(2 * tokens / speed) + 1)
    steered = features(hidden, noise(1, 8, 1), tokens, speed)
    assert steered.shape[-1] == 2 * hidden.shape[-1]
    zero = (steered == 0).all(1)[0]
    assert int(zero.sum()) == silent and bool(zero[steered.shape[-1] - silent :].all())


def test_the_mel_goes_to_the_flow_and_back():
    mel = torch.tensor([-12.0, -5.0, 2.0])
    torch.testing.assert_close(cfm.normalised(mel), torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(cfm.denormalised(cfm.normalised(mel)), mel)


# ----------------------------------------------------------------------------------- estimator


def test_turned_pairs_know_only_how_far_apart_they_are():
    turns = cfm.rotations(30, 16, torch.device("cpu"))
    query, key = noise(16), noise(16, seed=2)
    scores = [cfm.rotated(query, turns[:, at]) @ cfm.rotated(key, turns[:, at + 7]) for at in (0, 5, 20)]
    torch.testing.assert_close(scores[0].expand(3), torch.stack(scores), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cfm.rotated(query, turns[:, 9]).norm(), query.norm())


def test_the_first_head_alone_knows_places(estimator):
    block, x = copy.deepcopy(estimator.blocks[0]), noise(1, 9, 32)
    places, nowhere = (
        cfm.rotations(9, 16, torch.device("cpu")),
        cfm.rotations(1, 16, torch.device("cpu")).expand(-1, 9, -1),
    )
    assert not torch.allclose(block.attention(x, places), block.attention(x, nowhere))
    block.out.weight[:, :16] = 0  # deaf to the first head
    torch.testing.assert_close(block.attention(x, places), block.attention(x, nowhere))


def test_a_moment_is_sines_then_cosines_of_a_thousand_times_it():
    moment = cfm.Moment(ESTIMATOR)
    moment.up, moment.down = nn.Identity(), nn.Identity()
    moment.up.weight = torch.zeros(1)
    rates = 10_000 ** (-torch.arange(4) / 3)
    waves = torch.cat([(250 * rates).sin(), (250 * rates).cos()])
    torch.testing.assert_close(moment(torch.tensor([0.25]))[0], functional.silu(waves), rtol=1e-4, atol=1e-4)


def test_places_stop_at_the_end_of_the_table():
    table = cfm.places(cfm.PLACES + 3, 4, torch.device("cpu"))
    assert torch.equal(table[cfm.PLACES - 1], table[-1])
    assert torch.equal(table[0], torch.tensor([1.0, 1.0, 0.0, 0.0]))


def test_half_weights_give_a_full_velocity_close_to_full(estimator):
    half = copy.deepcopy(estimator).to(torch.bfloat16)
    x, mu, moment = noise(1, 5, 20), noise(1, 12, 20), torch.tensor([0.5])
    full = estimator(x, x, estimator.read(mu), moment, moment)
    low = half(x, x, half.read(mu), moment, moment)
    assert low.dtype == full.dtype == torch.float32
    assert (low - full).abs().max() < 0.1 * full.abs().max()


# ---------------------------------------------------------------------------------------- flow


def shown(estimator: Estimator, **changes: object) -> Tensor:
    arguments = {"steps": 3, "guidance": 0.0, **changes}
    return cfm.flow(estimator, noise(1, 12, 20), noise(1, 5, 6, seed=2), noise(1, 5, 20, seed=3), **arguments)


def test_nothing_is_painted_over_the_prompt(estimator):
    mel = shown(estimator)
    assert not mel[..., :6].any() and mel[..., 6:].all()


def test_one_step_adds_the_velocity(estimator):
    start, front = noise(1, 5, 20, seed=3), functional.pad(noise(1, 5, 6, seed=2), (0, 14))
    start[..., :6] = 0
    moments = torch.zeros(1), torch.ones(1)
    velocity = estimator(start, front, estimator.read(noise(1, 12, 20)), *moments)
    torch.testing.assert_close(shown(estimator, steps=1)[..., 6:], (start + velocity)[..., 6:])


def test_guidance_drives_away_from_what_nothing_would_give(estimator):
    start = noise(1, 5, 20, seed=3)
    start[..., :6] = 0
    moments = torch.zeros(1), torch.ones(1)
    nothing = estimator.read(torch.zeros(1, 12, 20))
    away = (start + estimator(start, torch.zeros(1, 5, 20), nothing, *moments))[..., 6:]
    plain = shown(estimator, steps=1)[..., 6:]
    guided = shown(estimator, steps=1, guidance=0.7)[..., 6:]
    torch.testing.assert_close(guided, plain + 0.7 * (plain - away))


def test_the_flow_can_be_ended_within_a_step(estimator):
    called = 0

    def watch() -> None:
        nonlocal called
        called += 1
        if called == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        shown(estimator, watch=watch)
    called = 100
    shown(estimator, watch=watch)
    assert called == 100 + 3 * ESTIMATOR.layers


def prompted(frames: int = 6) -> Prompt:
    return Prompt(noise(1, 5, frames, seed=2), noise(1, 12, frames, seed=4))


def painted(estimator: Estimator, seed: int = 7, window: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(cfm.paint(estimator, noise(1, 12, 25), prompted(), window, 2, generator))


def test_pieces_fill_the_window_and_go_on_from_one_another(estimator):
    pieces = painted(estimator)
    assert [piece.shape[-1] for piece in pieces] == [10, 10, 5]
    generator, features = torch.Generator().manual_seed(7), noise(1, 12, 25)
    start, expected = prompted(), []
    for first, last in ((0, 10), (10, 20), (20, 25)):
        told = torch.cat([start.features, features[..., first:last]], -1)
        drawn = torch.randn((1, 5, told.shape[-1]), generator=generator)
        expected.append(cfm.flow(estimator, told, start.mel, drawn, 2)[..., 6:])
        start = Prompt(expected[-1][..., -6:], features[..., first:last][..., -6:])
    assert torch.equal(torch.cat(pieces, -1), torch.cat(expected, -1))


def test_the_seed_alone_decides(estimator):
    first = torch.cat(painted(estimator), -1)
    torch.manual_seed(3)
    assert torch.equal(torch.cat(painted(estimator), -1), first)
    assert not torch.equal(torch.cat(painted(estimator, seed=8), -1), first)


def test_with_nothing_shown_pieces_are_painted_all_the_same(estimator):
    generator, nothing = torch.Generator().manual_seed(0), Prompt(noise(1, 5, 0), noise(1, 12, 0))
    pieces = cfm.paint(estimator, noise(1, 12, 25), nothing, 10, 2, generator)
    assert [piece.shape[-1] for piece in pieces] == [10, 10, 5]


def test_a_prompt_that_fills_the_window_is_refused(estimator):
    with pytest.raises(ValueError, match="6 frames leaves no room in a window of 6"):
        painted(estimator, window=6)


def test_of_a_reference_the_last_frames_that_have_both_are_shown():
    mel, features = torch.arange(9.0)[None, None], torch.arange(7.0)[None, None]
    start = cfm.prompt(mel, features, longest=4)
    assert start.mel[0, 0].tolist() == start.features[0, 0].tolist() == [3, 4, 5, 6]
    assert cfm.prompt(mel, features, longest=100).frames == 7


def test_tokens_become_log_mels_in_the_voice_that_is_shown(matcher):
    tokens, phones, style = torch.arange(6)[None], torch.arange(9)[None], noise(1, 8, 1)
    start = matcher.prompt(tokens[:, :3], phones[:, :4], style, noise(1, 5, 40) - 5)
    assert start.frames == 12  # three tokens are 12 mel frames of v4, fewer than the mel has

    def paint(shown: Prompt) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.cat(list(matcher.paint(tokens, phones, style, shown, generator, steps=2)), -1)

    mel = paint(start)
    assert mel.shape == (1, 5, 24) and mel.dtype == torch.float32
    assert not torch.equal(mel, paint(Prompt(-start.mel, start.features)))


# ------------------------------------------------------------------------------- official files


def official_block(number: int, width: int = 8) -> dict[str, Tensor]:
    """What LoRA reaches of one block, and a layer that it does not."""
    stem, seed = f"cfm.estimator.transformer_blocks.{number}.", 10 * number
    tensors = {}
    for place, name in enumerate(("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.ff.2")):
        tensors[f"{stem}{name}.weight"] = noise(width, width, seed=seed + place)
        tensors[f"{stem}{name}.bias"] = noise(width, seed=seed + place + 5)
    return tensors


def lora_file(base: dict[str, Tensor], rank: int = 2) -> dict[str, Tensor]:
    """As peft names things: wrapped layers of the cfm, and what was trained outside of it."""
    tensors = {"bridge.0.weight": noise(12, 8, 1, seed=99)}
    for place, (name, tensor) in enumerate(base.items()):
        if name.endswith(".weight") and ".attn." in name:
            stem = name.replace("cfm.", official.PREFIX).removesuffix(".weight")
            tensors[f"{stem}.lora_A.default.weight"] = noise(rank, tensor.shape[1], seed=50 + place)
            tensors[f"{stem}.lora_B.default.weight"] = noise(tensor.shape[0], rank, seed=80 + place)
    return tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_merged_lora_is_the_base_and_b_a(dtype):
    theirs = {name: t.to(dtype) for name, t in (official_block(0) | official_block(1)).items()}
    theirs |= {"bridge.0.weight": torch.zeros(12, 8, 1, dtype=dtype)}
    change = {name: t.to(dtype) for name, t in lora_file(theirs).items()}
    base = official.picked(theirs, official.MATCHER)
    got = official.merged(base, official.lora(change), official.MATCHER)

    def expected(number: int, name: str) -> Tensor:
        stem = f"estimator.transformer_blocks.{number}.attn.{name}"
        a, b = (change[f"{official.PREFIX}{stem}.lora_{half}.default.weight"].float() for half in "AB")
        return theirs[f"cfm.{stem}.weight"].float() + b @ a

    for number in (0, 1):
        qkv = torch.cat([expected(number, f"to_{part}") for part in "qkv"])
        assert torch.equal(got[f"estimator.blocks.{number}.qkv.weight"], qkv)
        assert torch.equal(got[f"estimator.blocks.{number}.out.weight"], expected(number, "to_out.0"))
        for untouched in ("qkv.bias", "out.bias", "down.weight"):
            name = f"estimator.blocks.{number}.{untouched}"
            assert torch.equal(got[name], base[name])
    assert torch.equal(got["features.bridge.weight"], change["bridge.0.weight"])
    assert set(got) == set(base)


def test_a_lora_is_known_by_its_halves():
    base = official_block(0)
    assert official.is_lora(lora_file(base)) and not official.is_lora(base)


def test_a_lora_with_a_half_missing_is_refused():
    tensors = lora_file(official_block(0))
    del tensors[next(name for name in tensors if ".lora_B." in name)]
    with pytest.raises(CheckpointError, match="do not go together"):
        official.lora(tensors)


def test_a_lora_for_another_base_is_refused():
    change = official.lora(lora_file(official_block(0, width=8)))
    for base in (official_block(0, width=16), official_block(1)):
        with pytest.raises(CheckpointError, match="not made for this base"):
            official.merged(official.picked(base, official.MATCHER), change, official.MATCHER)


def test_frequencies_in_float16_are_ours_and_others_are_refused():
    official.check_frequencies(cfm.frequencies(64).to(torch.float16))
    with pytest.raises(CheckpointError, match="other frequencies"):
        official.check_frequencies(1000 ** (-torch.arange(0, 64, 2) / 64))


# ------------------------------------------------------------------------------------ verifier


def test_the_verifier_is_watched_between_its_blocks():
    looks = []
    made(lambda: Verifier(VERIFIER)).embed(noise(16_000, seed=5) * 0.1, lambda: looks.append(1))
    assert len(looks) == sum(VERIFIER.blocks) + 2


def test_the_published_verifier_gives_20480_numbers():
    assert VerifierConfig().size == 20_480


def test_an_embedding_has_its_size_and_hears_the_speaker_not_the_length():
    verifier = made(lambda: Verifier(VERIFIER))
    wave = noise(16_000) * 0.1
    embedding = verifier.embed(wave)
    assert embedding.shape == (1, VERIFIER.size) and embedding.dtype == torch.float32
    double = verifier.embed(torch.cat([wave, wave]))
    other = verifier.embed(noise(16_000, seed=5).cumsum(0) * 0.01)
    assert (double - embedding).norm() < 0.2 * (other - embedding).norm()


def test_half_weights_give_a_full_embedding():
    verifier = made(lambda: Verifier(VERIFIER))
    half = copy.deepcopy(verifier).to(torch.bfloat16)
    wave = noise(8_000) * 0.1
    low, full = half.embed(wave), verifier.embed(wave)
    assert low.dtype == torch.float32
    assert (low - full).norm() < 0.05 * full.norm()


def test_filter_banks_are_a_frame_each_10_ms():
    assert filter_banks(noise(32_000), 80).shape == (198, 80)


def test_sound_of_less_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="25 ms and more"):
        made(lambda: Verifier(VERIFIER)).embed(noise(399))


def official_verifier(verifier: Verifier) -> tuple[dict[str, Tensor], dict[str, nn.BatchNorm2d]]:
    """Convolutions of our verifier under their official names, and a batch norm behind each that has one."""
    tensors, norms = {}, {}
    for name, module in verifier.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        theirs, norm = official_name(name)
        tensors[f"{theirs}.weight"] = module.weight.clone()
        if ".local_att." in theirs:
            tensors[f"{theirs}.bias"] = module.bias.clone()
        if norm:
            norms[name] = batch = made(lambda size=module.out_channels: nn.BatchNorm2d(size))
            batch.running_mean, batch.running_var = (
                noise(len(batch.weight)),
                noise(len(batch.weight)) ** 2 + 1,
            )
            tensors |= {f"{norm}.{end}": tensor for end, tensor in batch.state_dict().items()}
    return tensors | {"seg_1.weight": noise(4, 8), "seg_1.bias": noise(4)}, norms


def official_name(ours: str) -> tuple[str, str]:
    """The official names of a convolution and of the batch norm behind it."""
    if ours == "shrink":
        return "layer3_ds", ""
    if ours == "enter":
        return "conv1", "bn1"
    parts = ours.split(".")
    if parts[0] == "stages":
        stem = f"layer{int(parts[1]) + 1}.{parts[2]}."
        parts = parts[3:]
    else:
        stem = ""
    attention = {"down": ("local_att.0", "local_att.1"), "up": ("local_att.3", "local_att.4")}
    if parts[0] == "fusion":
        return tuple(f"fuse34.{end}" for end in attention[parts[1]])
    if parts[0] == "fusions":
        return tuple(f"{stem}fuse_models.{parts[1]}.{end}" for end in attention[parts[2]])
    if parts[0] == "convs":
        return f"{stem}convs.{parts[1]}", f"{stem}bns.{parts[1]}"
    ends = {"enter": ("conv1", "bn1"), "leave": ("conv3", "bn3"), "past": ("shortcut.0", "shortcut.1")}
    return tuple(stem + end for end in ends[parts[0]])


def test_folded_batch_norms_change_no_number():
    plain = made(lambda: Verifier(VERIFIER))
    tensors, norms = official_verifier(plain)
    folded = fill(lambda: Verifier(VERIFIER), official.verifier_weights(tensors), "this verifier")
    for name, module in plain.named_modules():
        if isinstance(module, nn.Conv2d):
            if "fusion" not in name:
                module.bias.zero_()
            if name in norms:
                module.register_forward_hook(lambda _, __, made, norm=norms[name]: norm(made))
    wave = noise(8_000) * 0.1
    torch.testing.assert_close(folded.embed(wave), plain.embed(wave), rtol=1e-3, atol=1e-4)
