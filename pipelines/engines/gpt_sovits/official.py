"""From the official tensors of v3, v4, the vocoders and the speaker verifier to ours; LoRA without peft."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.checkpoint import CheckpointError, fold_weight_norm
from pipelines.engines.gpt_sovits.cfm import frequencies
from pipelines.engines.gpt_sovits.names import ENCODER, Rules, Tensors, picked
from pipelines.engines.gpt_sovits.vocoders import TAPS, low_pass

# ------------------------------------------------------------------------------------ v3 and v4

FREQUENCIES = "cfm.estimator.rotary_embed.inv_freq"
BLOCK = r"cfm\.estimator\.transformer_blocks\.(\d+)\."
FEATURE_BLOCK = r"cfm\.estimator\.text_embed\.text_blocks\.(\d+)\."
MATCHER: Rules = (
    *ENCODER,
    (r"enc_p\.proj\.", ""),  # a prior that no flow is there to use
    (r"bridge\.0\.", "features.bridge."),
    (r"wns1\.", "features."),
    (r"cfm\.estimator\.time_embed\.time_mlp\.0\.", "estimator.time.up."),
    (r"cfm\.estimator\.time_embed\.time_mlp\.2\.", "estimator.time.down."),
    (r"cfm\.estimator\.d_embed\.time_mlp\.0\.", "estimator.step.up."),
    (r"cfm\.estimator\.d_embed\.time_mlp\.2\.", "estimator.step.down."),
    (FEATURE_BLOCK + r"dwconv\.", r"estimator.feature_blocks.\1.conv."),
    (FEATURE_BLOCK + r"norm\.", r"estimator.feature_blocks.\1.norm."),
    (FEATURE_BLOCK + r"pwconv1\.", r"estimator.feature_blocks.\1.up."),
    (FEATURE_BLOCK + r"grn\.gamma", r"estimator.feature_blocks.\1.gain"),
    (FEATURE_BLOCK + r"grn\.beta", r"estimator.feature_blocks.\1.bias"),
    (FEATURE_BLOCK + r"pwconv2\.", r"estimator.feature_blocks.\1.down."),
    (r"cfm\.estimator\.input_embed\.proj\.", "estimator.enter."),
    (r"cfm\.estimator\.input_embed\.conv_pos_embed\.conv1d\.0\.", "estimator.neighbours.first."),
    (r"cfm\.estimator\.input_embed\.conv_pos_embed\.conv1d\.2\.", "estimator.neighbours.second."),
    (re.escape(FREQUENCIES), ""),  # made anew, see `check_frequencies`
    (BLOCK + r"attn_norm\.linear\.", r"estimator.blocks.\1.modulation."),
    (BLOCK + r"attn\.to_q\.(\w+)", r"estimator.blocks.\1.qkv.\2#0"),
    (BLOCK + r"attn\.to_k\.(\w+)", r"estimator.blocks.\1.qkv.\2#1"),
    (BLOCK + r"attn\.to_v\.(\w+)", r"estimator.blocks.\1.qkv.\2#2"),
    (BLOCK + r"attn\.to_out\.0\.", r"estimator.blocks.\1.out."),
    (BLOCK + r"ff\.ff\.0\.0\.", r"estimator.blocks.\1.up."),
    (BLOCK + r"ff\.ff\.2\.", r"estimator.blocks.\1.down."),
    (r"cfm\.estimator\.norm_out\.linear\.", "estimator.modulation."),
    (r"cfm\.estimator\.proj_out\.", "estimator.leave."),
)


def matcher_weights(official: Tensors) -> dict[str, Tensor]:
    """The state of `cfm.Matcher`, out of an official v3 or v4 file, folded or not.

    Raises `CheckpointError` where the file turns places by other frequencies than we do.
    """
    if FREQUENCIES in official:
        check_frequencies(official[FREQUENCIES])
    return picked(fold_weight_norm(official), MATCHER)


def check_frequencies(found: Tensor) -> None:
    """Raises `CheckpointError` unless these are `cfm.frequencies`, as float16 may hold them.

    Ours are exact, as those were that the networks were trained with.
    """
    ours = frequencies(2 * len(found))
    if not torch.allclose(found.float(), ours, rtol=1e-2, atol=1e-4):
        raise CheckpointError(
            f"This file turns places by other frequencies (the last is {found[-1]:.2e}, ours {ours[-1]:.2e})."
        )


# ----------------------------------------------------------------------------------------- LoRA

PREFIX = "cfm.base_model.model."  # what peft puts before the names of the module it wraps
LARGEST = 1 << 24  # numbers of a matrix; two thin halves can ask for far more than their own
PAIR = re.compile(r"(.+)\.lora_([AB])\.default\.weight$")


@dataclass(frozen=True)
class Lora:
    """A fine-tuned file of v3 or v4, by official names: `tensors` in place of the base's, `deltas` to add."""

    tensors: Tensors
    deltas: Tensors


def is_lora(official: Tensors) -> bool:
    """Whether these tensors are meant to be added to a base."""
    return any(PAIR.match(name) for name in official)


def lora(official: Tensors) -> Lora:
    """What a LoRA file changes. Each delta is B A, in float32: the scale alpha / rank is always 1 there.

    Raises `CheckpointError` for a half of a pair without the other, and for halves that do not go together.
    """
    tensors: dict[str, Tensor] = {}
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in official.items():
        plain = name.replace(PREFIX, "cfm.").replace(".base_layer.", ".")
        if match := PAIR.match(plain):
            halves.setdefault(f"{match[1]}.weight", {})[match[2]] = tensor
        else:
            tensors[plain] = tensor
    return Lora(tensors, {name: _delta(name, pair) for name, pair in halves.items()})


def _delta(name: str, pair: Tensors) -> Tensor:
    fit = set(pair) == {"A", "B"} and all(half.dim() == 2 for half in pair.values())
    if not fit or pair["B"].shape[1] != pair["A"].shape[0]:
        raise CheckpointError(f"The LoRA file is damaged: the two halves of {name} do not go together.")
    if len(pair["B"]) * pair["A"].shape[1] > LARGEST:
        raise CheckpointError(f"The LoRA file was not made for GPT-SoVITS: {name} is larger than any there.")
    return pair["B"].float() @ pair["A"].float()


def merged(base: Tensors, change: Lora, rules: Rules) -> dict[str, Tensor]:
    """A converted network's tensors with a LoRA file's changes to what `rules` name.

    What is added to becomes float32, since float16 would round away what a small LoRA adds. Raises
    `CheckpointError` where the base has no such tensor, or one of another shape.
    """
    made = {**base, **picked(fold_weight_norm(change.tensors), rules)}
    for name, delta in picked(change.deltas, rules).items():
        if name not in base or base[name].shape != delta.shape:
            raise CheckpointError(f"The LoRA file was not made for this base: {name} does not fit.")
        made[name] = made[name].float() + delta
    return made


# ------------------------------------------------------------------------------------- vocoders


def vocoder_weights(official: Tensors) -> dict[str, Tensor]:
    """The state of `Hifigan(vocoders.V4)`, out of the official v4 vocoder, folded or not."""
    return fold_weight_norm(official)


def bigvgan_weights(official: Tensors) -> dict[str, Tensor]:
    """The state of `vocoders.Bigvgan`, out of what the official file holds under "generator", folded or not.

    Raises `CheckpointError` where the file filters otherwise than `vocoders.low_pass`.
    """
    filters = {name: tensor for name, tensor in official.items() if name.endswith(".filter")}
    taps = low_pass()
    for name, found in filters.items():
        if found.numel() != TAPS or not torch.allclose(found.float().flatten(), taps, rtol=1e-3, atol=1e-4):
            raise CheckpointError(f"This BigVGAN filters otherwise than the published one does ({name}).")
    return picked(fold_weight_norm({n: t for n, t in official.items() if n not in filters}), BIGVGAN)


BIGVGAN: Rules = (
    (r"conv_(pre|post)\.", r"conv_\1."),
    (r"ups\.(\d+)\.0\.", r"ups.\1."),
    (r"resblocks\.(\d+)\.convs(\d)\.", r"resblocks.\1.convs\2."),
    (r"resblocks\.(\d+)\.activations\.(\d+)\.act\.", r"resblocks.\1.activations.\2."),
    (r"activation_post\.act\.", "activation_post."),
)

# ------------------------------------------------------------------------------------- verifier

EPS = 1e-5  # of the batch norms
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
PAIRS = (  # (convolution, its batch norm), ends of a name
    ("conv1", "bn1"),
    ("conv3", "bn3"),
    ("shortcut.0", "shortcut.1"),
    ("local_att.0", "local_att.1"),
    ("local_att.3", "local_att.4"),
)
VERIFIER: Rules = (  # with batch norms folded
    (r"conv1\.", "enter."),
    (r"seg_", ""),  # what comes after the map that is used here
    (r"layer3_ds\.", "shrink."),
    (r"fuse34\.local_att\.0\.", "fusion.down."),
    (r"fuse34\.local_att\.3\.", "fusion.up."),
    (r"layer(\d)\.(\d+)\.conv1\.", r"stages.\1.\2.enter."),
    (r"layer(\d)\.(\d+)\.conv3\.", r"stages.\1.\2.leave."),
    (r"layer(\d)\.(\d+)\.convs\.", r"stages.\1.\2.convs."),
    (r"layer(\d)\.(\d+)\.shortcut\.0\.", r"stages.\1.\2.past."),
    (r"layer(\d)\.(\d+)\.fuse_models\.(\d+)\.local_att\.0\.", r"stages.\1.\2.fusions.\3.down."),
    (r"layer(\d)\.(\d+)\.fuse_models\.(\d+)\.local_att\.3\.", r"stages.\1.\2.fusions.\3.up."),
)


def verifier_weights(official: Tensors) -> dict[str, Tensor]:
    """The state of `verifier.Verifier`, out of the official ERes2NetV2, its batch norms multiplied in."""
    folded: dict[str, Tensor] = {}
    norms = {name.removesuffix(".running_var") for name in official if name.endswith(".running_var")}
    for name, weight in official.items():
        stem, _, end = name.rpartition(".")
        if end != "weight" or stem in norms:
            continue
        bias = official.get(f"{stem}.bias", torch.zeros(len(weight), dtype=weight.dtype))
        if (norm := _norm_of(stem)) in norms:
            weight, bias = _folded(weight, bias, {end: official[f"{norm}.{end}"] for end in BATCH_NORM})
        folded[f"{stem}.weight"], folded[f"{stem}.bias"] = weight, bias
    # The official file counts its stages from 1.
    return {
        re.sub(r"^stages\.(\d)", lambda stage: f"stages.{int(stage[1]) - 1}", name): tensor
        for name, tensor in picked(folded, VERIFIER).items()
    }


def _norm_of(stem: str) -> str:
    """The name that the batch norm behind a convolution has."""
    for convolution, norm in PAIRS:
        if stem == convolution or stem.endswith(f".{convolution}"):
            return stem.removesuffix(convolution) + norm
    return stem.replace(".convs.", ".bns.")


def _folded(weight: Tensor, bias: Tensor, norm: Tensors) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm behind it multiplied in, float32.

    They are new numbers: in float16 they would be rounded a second time.
    """
    gain = norm["weight"].double() / (norm["running_var"].double() + EPS).sqrt()
    shift = norm["bias"].double() + (bias.double() - norm["running_mean"].double()) * gain
    return (weight.double() * gain[:, None, None, None]).float(), shift.float()
