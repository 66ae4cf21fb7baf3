"""GPT-SoVITS's official files at toy sizes: the real names and containers around random weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from pipelines.engines.gpt_sovits.config import TINY_DECODER, TINY_ENCODER, TINY_HUBERT, TINY_SPEAKER

Shapes = Iterator[tuple[str, tuple[int, ...]]]
VERIFIED, VERIFIED_STYLE = 24, 32  # numbers of a toy verification, and of the style that it is added to


class HParams:
    """As GPT-SoVITS pickles its configuration: an object that holds values and more of its kind."""

    def __init__(self, **values: object):
        for name, value in values.items():
            setattr(self, name, HParams(**value) if isinstance(value, dict) else value)


def save_s2(path: Path, weights: Mapping[str, Tensor], config: dict[str, object], tag: bytes = b"") -> Path:
    """As GPT-SoVITS saves it: the configuration is an object of a class that only it has; `tag` for `PK`."""
    before = sys.modules.get("utils")
    sys.modules["utils"] = module = ModuleType("utils")
    module.HParams = HParams
    told = HParams.__module__, HParams.__qualname__
    HParams.__module__, HParams.__qualname__ = "utils", "HParams"
    try:
        torch.save({"weight": dict(weights), "config": HParams(**config), "info": "8e"}, path)
    finally:
        HParams.__module__, HParams.__qualname__ = told
        if before is None:
            del sys.modules["utils"]
        else:
            sys.modules["utils"] = before
    if tag:
        with path.open("r+b") as file:
            file.write(tag)
    return path


def save_s1(path: Path, weights: Mapping[str, Tensor], heads: int = TINY_SPEAKER.heads) -> Path:
    """As Lightning's callback saves it, with paths of the machine where it was trained."""
    config = {"model": {"head": heads, "EOS": len(weights)}, "output_dir": "logs/s1"}
    torch.save({"weight": dict(weights), "config": config, "info": "GPT-e12"}, path)
    return path


def save_hubert(folder: Path, weights: Mapping[str, Tensor]) -> Path:
    """As a folder of the hub."""
    folder.mkdir()
    torch.save(dict(weights), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": TINY_HUBERT.heads}))
    return folder


def filled(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of these shapes: small, and around one where they are gains."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes:
        noise = torch.randn(shape, generator=generator)
        gain = name.endswith(("_g", ".gamma", ".alpha", "norm.weight", "norm1.weight", "norm2.weight"))
        weights[name] = 1 + 0.1 * noise if gain else noise / max(1, noise[0].numel()) ** 0.5
    return weights


def speaker(symbols: int = 732) -> Shapes:
    """An s1."""
    c = TINY_SPEAKER
    yield from _linear("model.bert_proj", c.width, c.features)
    yield "model.ar_text_embedding.word_embeddings.weight", (symbols, c.width)
    yield "model.ar_audio_embedding.word_embeddings.weight", (c.tokens + 1, c.width)
    yield "model.ar_text_position.alpha", (1,)
    yield "model.ar_audio_position.alpha", (1,)
    yield "model.ar_predict_layer.weight", (c.tokens + 1, c.width)
    for i in range(c.layers):
        layer = f"model.h.layers.{i}"
        yield f"{layer}.self_attn.in_proj_weight", (3 * c.width, c.width)
        yield f"{layer}.self_attn.in_proj_bias", (3 * c.width,)
        yield from _linear(f"{layer}.self_attn.out_proj", c.width, c.width)
        yield from _linear(f"{layer}.linear1", c.hidden, c.width)
        yield from _linear(f"{layer}.linear2", c.width, c.hidden)
        for norm in ("norm1", "norm2"):
            yield from _linear(f"{layer}.{norm}", c.width)


def decoder(symbols: int = 732, verified: bool = False, pretrained: bool = True) -> Shapes:
    """An s2 of v1 or v2, or with `verified` of v2Pro; a pretrained one also holds what only training uses."""
    c, style = TINY_ENCODER, VERIFIED_STYLE if verified else TINY_ENCODER.style
    yield from _encoder(symbols, style)
    yield from _linear("enc_p.proj", 2 * c.width, c.width, 1)
    yield from _generator(style)
    for i in range(TINY_DECODER.flows):
        flow, half = f"flow.flows.{2 * i}", c.width // 2
        yield from _linear(f"{flow}.pre", c.width, half, 1)
        yield from _linear(f"{flow}.post", half, c.width, 1)
        yield from _wavenet(f"{flow}.enc", c.width, TINY_DECODER.flow.layers, style)
    if verified:
        yield from _linear("sv_emb", style, VERIFIED)
        yield from _linear("ge_to512", c.joint, style)
        yield "prelu.weight", (style,)
    if pretrained:
        yield from _linear("enc_q.pre", c.width, 1025, 1)


def _encoder(symbols: int, style: int) -> Shapes:
    c = TINY_ENCODER
    code = "quantizer.vq.layers.0._codebook"
    yield from ((f"{code}.{name}", (c.codes, c.content)) for name in ("embed", "embed_avg"))
    yield from ((f"{code}.inited", (1,)), (f"{code}.cluster_size", (c.codes,)))
    yield from _linear("ssl_proj", c.content, c.content, c.content_stride)
    for name, inputs in (("spectral.0", c.bins), ("spectral.3", c.style_hidden)):
        yield from _linear(f"ref_enc.{name}.fc", c.style_hidden, inputs)
    for i in range(2):
        yield from _linear(f"ref_enc.temporal.{i}.conv1.conv", 2 * c.style_hidden, c.style_hidden, 5)
    for name in ("w_qs", "w_ks", "w_vs", "fc"):
        yield from _linear(f"ref_enc.slf_attn.{name}", c.style_hidden, c.style_hidden)
    yield from _linear("ref_enc.fc.fc", style, c.style_hidden)
    yield from _linear("enc_p.ssl_proj", c.width, c.content, 1)
    yield "enc_p.text_embedding.weight", (symbols, c.width)
    for stack, count in zip(("encoder_ssl", "encoder_text", "encoder2"), c.layers, strict=True):
        for i in range(count):
            yield from _block(f"enc_p.{stack}", i)
    for name, out, inputs in (
        *((f"cross_attention.conv_{x}", c.joint, c.joint) for x in "qkvo"),
        ("c_pre", c.joint, c.width),
        ("text_pre", c.joint, c.width),
        ("c_post", c.width, c.joint),
    ):
        yield from _linear(f"enc_p.mrte.{name}", out, inputs, 1)


def _block(stack: str, i: int) -> Shapes:
    c = TINY_ENCODER
    for x in "qkvo":
        yield from _linear(f"{stack}.attn_layers.{i}.conv_{x}", c.width, c.width, 1)
    for x in "kv":
        yield f"{stack}.attn_layers.{i}.emb_rel_{x}", (1, 2 * c.window + 1, c.width // c.heads)
    for norm in ("norm_layers_1", "norm_layers_2"):
        yield from ((f"{stack}.{norm}.{i}.{name}", (c.width,)) for name in ("gamma", "beta"))
    yield from _linear(f"{stack}.ffn_layers.{i}.conv_1", c.hidden, c.width, c.kernel)
    yield from _linear(f"{stack}.ffn_layers.{i}.conv_2", c.width, c.hidden, c.kernel)


def _generator(style: int) -> Shapes:
    c = TINY_DECODER.generator
    width = c.width
    yield from _linear("dec.conv_pre", width, c.channels, 7)
    yield from _linear("dec.cond", width, style, 1)
    for i, kernel in enumerate(c.kernels):
        yield from _normed(f"dec.ups.{i}", width, width // 2, kernel, bias=width // 2)
        width //= 2
        for j, size in enumerate(c.block_kernels):
            block = f"dec.resblocks.{i * len(c.block_kernels) + j}"
            for convs in ("convs1", "convs2"):
                for k in range(len(c.dilations)):
                    yield from _normed(f"{block}.{convs}.{k}", width, width, size)
    yield "dec.conv_post.weight", (1, width, 7)


def _wavenet(stem: str, width: int, layers: int, style: int) -> Shapes:
    yield from _normed(f"{stem}.cond_layer", 2 * width * layers, style, 1)
    for i in range(layers):
        yield from _normed(f"{stem}.in_layers.{i}", 2 * width, width, 5)
        yield from _normed(f"{stem}.res_skip_layers.{i}", width if i == layers - 1 else 2 * width, width, 1)


def hubert() -> Shapes:
    """As transformers names a HuBERT base."""
    c = TINY_HUBERT
    yield "masked_spec_embed", (c.width,)
    inputs = 1
    for i, (channels, kernel) in enumerate(zip(c.channels, c.kernels, strict=True)):
        yield f"feature_extractor.conv_layers.{i}.conv.weight", (channels, inputs, kernel)
        inputs = channels
    yield from _linear("feature_extractor.conv_layers.0.layer_norm", c.channels[0])
    yield from _linear("feature_projection.layer_norm", inputs)
    yield from _linear("feature_projection.projection", c.width, inputs)
    position = "encoder.pos_conv_embed.conv"
    yield f"{position}.bias", (c.width,)
    yield f"{position}.weight_g", (1, 1, c.position_kernel)
    yield f"{position}.weight_v", (c.width, c.width // c.position_groups, c.position_kernel)
    yield from _linear("encoder.layer_norm", c.width)
    for i in range(c.layers):
        layer = f"encoder.layers.{i}"
        for x in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _linear(f"{layer}.attention.{x}", c.width, c.width)
        yield from _linear(f"{layer}.layer_norm", c.width)
        yield from _linear(f"{layer}.feed_forward.intermediate_dense", c.hidden, c.width)
        yield from _linear(f"{layer}.feed_forward.output_dense", c.width, c.hidden)
        yield from _linear(f"{layer}.final_layer_norm", c.width)


def _linear(stem: str, *shape: int) -> Shapes:
    """A weight of this shape, and a bias."""
    yield f"{stem}.weight", shape
    yield f"{stem}.bias", shape[:1]


def _normed(stem: str, *shape: int, bias: int = 0) -> Shapes:
    """A weight in two halves, as weight norm keeps it, and a bias."""
    yield f"{stem}.weight_g", (shape[0], 1, 1)
    yield f"{stem}.weight_v", shape
    yield f"{stem}.bias", (bias or shape[0],)
