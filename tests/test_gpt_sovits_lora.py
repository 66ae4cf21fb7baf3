"""Official files of v3 and v4 at toy sizes: told apart, taken whole, and changed by LoRAs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines import checkpoint
from pipelines import convert as commands
from pipelines.checkpoint import CheckpointError
from pipelines.device import Placement
from pipelines.engines.gpt_sovits.cfm import frequencies
from pipelines.engines.gpt_sovits.config import EncoderConfig, EstimatorConfig, MatcherConfig, WaveNetConfig
from pipelines.engines.gpt_sovits.convert import convert, recognise
from pipelines.engines.gpt_sovits.official import PREFIX
from pipelines.engines.gpt_sovits.parts import Part
from tests import official_gpt_sovits as official

FEATURES, LAYERS = 12, 2
ESTIMATOR = EstimatorConfig(
    width=32, heads=2, head_width=16, hidden=48, layers=LAYERS, mels=5, features=FEATURES, feature_hidden=16,
    feature_layers=1, time_waves=8, position_kernel=5, position_groups=4,
)  # fmt: skip
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def matcher() -> official.Shapes:
    """A pretrained s2 of v3 or v4, which are alike."""
    style = official.TINY_ENCODER.style
    for name, shape in official.decoder(pretrained=False):
        if not name.startswith(("dec.", "flow.")):
            yield name, shape
    yield from linear("bridge.0", FEATURES, official.TINY_ENCODER.width, 1)
    yield from linear("linear_mel", ESTIMATOR.mels, FEATURES, 1)
    for name in ("pre", "proj"):
        yield from linear(f"wns1.{name}", FEATURES, FEATURES, 1)
    for name, out, inputs, kernel in (
        ("cond_layer", 2 * FEATURES * LAYERS, style, 1),
        ("in_layers.0", 2 * FEATURES, FEATURES, 5),
        ("in_layers.1", 2 * FEATURES, FEATURES, 5),
        ("res_skip_layers.0", 2 * FEATURES, FEATURES, 1),
        ("res_skip_layers.1", FEATURES, FEATURES, 1),
    ):
        yield f"wns1.enc.{name}.weight_g", (out, 1, 1)
        yield f"wns1.enc.{name}.weight_v", (out, inputs, kernel)
        yield f"wns1.enc.{name}.bias", (out,)
    yield from estimator("cfm.estimator", ESTIMATOR)


def estimator(stem: str, c: EstimatorConfig) -> official.Shapes:
    for name in ("time_embed", "d_embed"):
        yield from linear(f"{stem}.{name}.time_mlp.0", c.width, c.time_waves)
        yield from linear(f"{stem}.{name}.time_mlp.2", c.width, c.width)
    block = f"{stem}.text_embed.text_blocks.0"
    yield from linear(f"{block}.dwconv", c.features, 1, 7)
    yield from linear(f"{block}.norm", c.features)
    yield from linear(f"{block}.pwconv1", c.feature_hidden, c.features)
    yield from ((f"{block}.grn.{name}", (1, 1, c.feature_hidden)) for name in ("gamma", "beta"))
    yield from linear(f"{block}.pwconv2", c.features, c.feature_hidden)
    yield from linear(f"{stem}.input_embed.proj", c.width, 2 * c.mels + c.features)
    for i in (0, 2):
        group = c.width // c.position_groups
        yield from linear(f"{stem}.input_embed.conv_pos_embed.conv1d.{i}", c.width, group, c.position_kernel)
    yield f"{stem}.rotary_embed.inv_freq", (c.head_width // 2,)
    for i in range(c.layers):
        block = f"{stem}.transformer_blocks.{i}"
        yield from linear(f"{block}.attn_norm.linear", 6 * c.width, c.width)
        for target in TARGETS:
            yield from linear(f"{block}.attn.{target}", c.width, c.width)
        yield from linear(f"{block}.ff.ff.0.0", c.hidden, c.width)
        yield from linear(f"{block}.ff.ff.2", c.width, c.hidden)
    yield from linear(f"{stem}.norm_out.linear", 2 * c.width, c.width)
    yield from linear(f"{stem}.proj_out", c.mels, c.width)


def linear(stem: str, *shape: int) -> official.Shapes:
    yield f"{stem}.weight", shape
    yield f"{stem}.bias", shape[:1]


def s2(path: Path, version: str = "", tag: bytes = b"", seed: int = 0) -> Path:
    """A pretrained decoder as published; its configuration names the version where one is given."""
    weights = official.filled(matcher(), seed)
    weights["cfm.estimator.rotary_embed.inv_freq"] = frequencies(ESTIMATOR.head_width)
    config = {"model": {"version": version} if version else {"gin_channels": 512}}
    return official.save_s2(path, weights, config, tag)


def lora(seed: int, rank: int = 2) -> dict[str, Tensor]:
    """What training a LoRA leaves: halves for attention, and layers that are trained beside the cfm."""
    generator = torch.Generator().manual_seed(seed)
    stem, width = f"{PREFIX}estimator.transformer_blocks", ESTIMATOR.width
    tensors = {}
    for block in range(LAYERS):
        for target in TARGETS:
            name = f"{stem}.{block}.attn.{target}"
            tensors[f"{name}.lora_A.default.weight"] = torch.randn(rank, width, generator=generator)
            tensors[f"{name}.lora_B.default.weight"] = torch.randn(width, rank, generator=generator)
    tensors["bridge.0.bias"] = torch.randn(FEATURES, generator=generator)
    tensors["ref_enc.fc.fc.bias"] = torch.randn(official.TINY_ENCODER.style, generator=generator)
    tensors[f"{PREFIX}estimator.rotary_embed.inv_freq"] = frequencies(ESTIMATOR.head_width)
    return {name: tensor.to(torch.float16) for name, tensor in tensors.items()}


def tuned(path: Path, seed: int = 7, tag: bytes = b"03") -> Path:
    return official.save_s2(path, lora(seed), {"model": {"gin_channels": 512}}, tag)


def tensors(part: Part, network: str) -> Mapping[str, Tensor]:
    return checkpoint.read(part.folder / f"{network}.safetensors")


# ------------------------------------------------------------------------------ the two versions


@pytest.mark.parametrize("tag, told, said", [(b"", "v3", ""), (b"02", "", ""), (b"", "", "v3")])
def test_v3_is_told_by_its_configuration_its_first_bytes_or_its_owner(tmp_path, tag, told, said):
    part = convert(s2(tmp_path / "s2.pth", told, tag), tmp_path / "models", said)
    assert (part.kind, part.version) == ("decoder", "v3")
    # How many heads look at the phones is in no file: always those of the published versions.
    encoder = replace(official.TINY_ENCODER, joint_heads=EncoderConfig().joint_heads)
    assert part.config == MatcherConfig("v3", encoder, FEATURES, WaveNetConfig(5, LAYERS), ESTIMATOR)


def test_what_could_be_v3_or_v4_is_refused_until_told(tmp_path):
    with pytest.raises(CheckpointError, match="v3 or v4, and nothing in it tells which"):
        convert(s2(tmp_path / "s2.pth"), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_v3_that_is_said_to_be_v4_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="decoder of v3, though you said v4"):
        convert(s2(tmp_path / "s2.pth", "v3"), tmp_path / "models", "v4")


def test_what_was_converted_paints(tmp_path):
    part = convert(s2(tmp_path / "s2.pth", "v4"), tmp_path / "models")
    matcher = part.load("render", Placement(), "render")
    tokens, phones = torch.arange(6)[None], torch.arange(9)[None]
    style = torch.zeros(1, official.TINY_ENCODER.style, 1)
    start = matcher.prompt(tokens, phones, style, torch.zeros(1, ESTIMATOR.mels, 30))
    mel = torch.cat(list(matcher.paint(tokens, phones, style, start, torch.Generator(), steps=1)), -1)
    assert mel.shape == (1, ESTIMATOR.mels, 24) and mel.isfinite().all()


# ------------------------------------------------------------------------------------------ LoRA


def test_a_lora_is_told_from_a_decoder(tmp_path):
    assert recognise(tuned(tmp_path / "one.pth")) == ("lora", "v3")
    assert recognise(tuned(tmp_path / "two.pth", tag=b"04")) == ("lora", "v4")


def test_a_lora_becomes_its_base_with_b_a_added(tmp_path):
    base = convert(s2(tmp_path / "s2Gv3.pth", "v3"), tmp_path / "models")
    part = convert(tuned(tmp_path / "mine.pth"), tmp_path / "models")
    assert (part.kind, part.version, part.folder.name) == ("decoder", "v3", "mine")
    change, before, after = lora(7), tensors(base, "render"), tensors(part, "render")
    for block in range(LAYERS):
        stem = f"{PREFIX}estimator.transformer_blocks.{block}.attn"
        delta = {
            target: change[f"{stem}.{target}.lora_B.default.weight"].float()
            @ change[f"{stem}.{target}.lora_A.default.weight"].float()
            for target in TARGETS
        }
        qkv, out = f"estimator.blocks.{block}.qkv.weight", f"estimator.blocks.{block}.out.weight"
        assert torch.equal(after[qkv], before[qkv] + torch.cat([delta[f"to_{part}"] for part in "qkv"]))
        assert torch.equal(after[out], before[out] + delta["to_out.0"])
    assert torch.equal(after["features.bridge.bias"], change["bridge.0.bias"])
    assert torch.equal(tensors(part, "listen")["style.last.bias"], change["ref_enc.fc.fc.bias"])
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"features.bridge.bias"} | {
        f"estimator.blocks.{block}.{name}.weight" for block in range(LAYERS) for name in ("qkv", "out")
    }


def test_a_lora_is_added_to_the_base_and_never_to_another_lora(tmp_path):
    models = tmp_path / "models"
    base = convert(s2(tmp_path / "s2Gv3.pth", "v3"), models)
    first = convert(tuned(tmp_path / "a first.pth", seed=7), models)
    second = convert(tuned(tmp_path / "b second.pth", seed=8), models)
    name = "estimator.blocks.0.out.weight"
    stem = f"{PREFIX}estimator.transformer_blocks.0.attn.to_out.0.lora_"
    change = {half: lora(8)[f"{stem}{half}.default.weight"].float() for half in "AB"}
    expected = tensors(base, "render")[name] + change["B"] @ change["A"]
    assert torch.equal(tensors(second, "render")[name], expected)
    assert not torch.equal(tensors(first, "render")[name], expected)


def test_base_and_lora_are_each_made_once(tmp_path):
    sources = [s2(tmp_path / "s2Gv3.pth", "v3"), tuned(tmp_path / "mine.pth")]
    made = [convert(source, tmp_path / "models").folder.name for source in sources]
    assert [convert(source, tmp_path / "models").folder.name for source in sources] == made
    assert made == ["s2Gv3", "mine"]


def test_a_lora_without_its_base_says_what_is_missing(tmp_path):
    models = tmp_path / "models"
    convert(s2(tmp_path / "s2Gv3.pth", "v3"), models)
    with pytest.raises(CheckpointError, match="a LoRA, .* of v4: convert the published s2Gv4.pth first"):
        convert(tuned(tmp_path / "mine.pth", tag=b"04"), models)
    assert [folder.name for folder in models.iterdir()] == ["s2Gv3"]


def test_loras_are_converted_after_the_base_that_they_change_whatever_their_order(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    tuned(folder / "a voice.pth")
    s2(folder / "z s2Gv3.pth", "v3")
    where = ["--models", str(tmp_path / "models")]
    assert commands.main(["gpt_sovits", str(folder), *where]) == 0
    made = tmp_path / "models" / "gpt_sovits"
    assert sorted(path.name for path in made.iterdir()) == ["a-voice", "z-s2Gv3"]
    named = [str(folder / name) for name in ("a voice.pth", "z s2Gv3.pth")]
    assert commands.main(["gpt_sovits", *named, "--models", str(tmp_path / "others")]) == 0


@pytest.mark.parametrize("halves", [((3, 2), (2,)), ((8192, 1), (1, 8192)), ((2, 3), (4, 2))], ids=str)
def test_halves_of_nonsense_are_refused(tmp_path, halves):
    models, name = tmp_path / "models", f"{PREFIX}estimator.transformer_blocks.0.attn.to_q.lora_"
    convert(s2(tmp_path / "s2Gv3.pth", "v3"), models)
    weights = {
        f"{name}{half}.default.weight": torch.zeros(shape) for half, shape in zip("BA", halves, strict=True)
    }
    with pytest.raises(CheckpointError, match="evil.pth cannot be used: The LoRA file"):
        convert(official.save_s2(tmp_path / "evil.pth", weights, {}, b"03"), models)
    assert [folder.name for folder in models.iterdir()] == ["s2Gv3"]
