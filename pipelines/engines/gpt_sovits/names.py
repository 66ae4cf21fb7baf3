"""The official names of GPT-SoVITS's tensors, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipelines.checkpoint import CheckpointError

Tensors = Mapping[str, Tensor]
Rules = Sequence[tuple[str, str]]  # pattern of an official name's start, ours; empty: not computed with

# Official names and ours, the first that fits. What ends in #0, #1 … is put together in this order.
SPEAKER: Rules = (
    (r"model\.bert_proj\.", "features."),
    (r"model\.ar_text_embedding\.word_embeddings\.", "symbols."),
    (r"model\.ar_audio_embedding\.word_embeddings\.", "tokens."),
    (r"model\.ar_text_position\.alpha", "symbol_scale"),
    (r"model\.ar_audio_position\.alpha", "token_scale"),
    (r"model\.ar_predict_layer\.", "head."),
    (r"model\.h\.layers\.(\d+)\.self_attn\.in_proj_", r"blocks.\1.qkv."),
    (r"model\.h\.layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.out."),
    (r"model\.h\.layers\.(\d+)\.linear1\.", r"blocks.\1.up."),
    (r"model\.h\.layers\.(\d+)\.linear2\.", r"blocks.\1.down."),
    (r"model\.h\.layers\.(\d+)\.norm1\.", r"blocks.\1.attention_norm."),
    (r"model\.h\.layers\.(\d+)\.norm2\.", r"blocks.\1.feed_norm."),
)
CODEBOOK = r"quantizer\.vq\.layers\.0\._codebook\."
UNUSED = (  # the posterior encoder, statistics of training, a loss's projection
    "enc_q.",
    *(f"quantizer.vq.layers.0._codebook.{name}" for name in ("inited", "cluster_size", "embed_avg")),
    "linear_mel.",
)
LISTENER: Rules = (
    (r"ssl_proj\.", "content."),
    (CODEBOOK + "embed$", "codebook"),
    (r"ref_enc\.spectral\.0\.fc\.", "style.spectral.0."),
    (r"ref_enc\.spectral\.3\.fc\.", "style.spectral.1."),
    (r"ref_enc\.temporal\.(\d+)\.conv1\.conv\.", r"style.temporal.\1."),
    (r"ref_enc\.slf_attn\.w_qs\.(\w+)", r"style.qkv.\1#0"),
    (r"ref_enc\.slf_attn\.w_ks\.(\w+)", r"style.qkv.\1#1"),
    (r"ref_enc\.slf_attn\.w_vs\.(\w+)", r"style.qkv.\1#2"),
    (r"ref_enc\.slf_attn\.fc\.", "style.out."),
    (r"ref_enc\.fc\.fc\.", "style.last."),
    (r"sv_emb\.", "verified."),
    (r"prelu\.", "slope."),
)


def _blocks(official: str, ours: str) -> Rules:
    """A stack of VITS's attention blocks, which the official file numbers by what they are made of."""
    start, block = rf"enc_p\.{official}\.", rf"encoder.{ours}.\1."
    return (
        (start + r"attn_layers\.(\d+)\.conv_q\.(\w+)", block + r"attention.qkv.\2#0"),
        (start + r"attn_layers\.(\d+)\.conv_k\.(\w+)", block + r"attention.qkv.\2#1"),
        (start + r"attn_layers\.(\d+)\.conv_v\.(\w+)", block + r"attention.qkv.\2#2"),
        (start + r"attn_layers\.(\d+)\.conv_o\.", block + "attention.out."),
        (start + r"attn_layers\.(\d+)\.emb_rel_k", block + "attention.key_places"),
        (start + r"attn_layers\.(\d+)\.emb_rel_v", block + "attention.value_places"),
        (start + r"norm_layers_1\.(\d+)\.gamma", block + "attention_norm.gain"),
        (start + r"norm_layers_1\.(\d+)\.beta", block + "attention_norm.bias"),
        (start + r"norm_layers_2\.(\d+)\.gamma", block + "feed_norm.gain"),
        (start + r"norm_layers_2\.(\d+)\.beta", block + "feed_norm.bias"),
        (start + r"ffn_layers\.(\d+)\.conv_1\.", block + "up."),
        (start + r"ffn_layers\.(\d+)\.conv_2\.", block + "down."),
    )


ENCODER: Rules = (
    (CODEBOOK + "embed$", "encoder.codebook.weight"),
    (r"enc_p\.ssl_proj\.", "encoder.content."),
    (r"enc_p\.text_embedding\.", "encoder.symbols."),
    *_blocks("encoder_ssl", "token_blocks"),
    *_blocks("encoder_text", "phone_blocks"),
    *_blocks("encoder2", "joint_blocks"),
    (r"enc_p\.mrte\.c_pre\.", "encoder.joiner.tokens."),
    (r"enc_p\.mrte\.text_pre\.", "encoder.joiner.phones."),
    (r"enc_p\.mrte\.cross_attention\.conv_q\.", "encoder.joiner.query."),
    (r"enc_p\.mrte\.cross_attention\.conv_k\.(\w+)", r"encoder.joiner.key_value.\1#0"),
    (r"enc_p\.mrte\.cross_attention\.conv_v\.(\w+)", r"encoder.joiner.key_value.\1#1"),
    (r"enc_p\.mrte\.cross_attention\.conv_o\.", "encoder.joiner.out."),
    (r"enc_p\.mrte\.c_post\.", "encoder.joiner.last."),
    (r"ge_to512\.", "encoder.narrow."),
)
DECODER: Rules = (
    *ENCODER,
    (r"enc_p\.proj\.", "prior."),
    (r"flow\.flows\.(\d+)\.pre\.", r"couplings.\1.first."),
    (r"flow\.flows\.(\d+)\.enc\.", r"couplings.\1.wavenet."),
    (r"flow\.flows\.(\d+)\.post\.", r"couplings.\1.last."),
    (r"dec\.", "generator."),
)
HUBERT: Rules = (
    (r"(?:hubert\.)?masked_spec_embed", ""),
    (r"(?:hubert\.)?feature_extractor\.conv_layers\.(\d+)\.conv\.", r"convs.\1."),
    (r"(?:hubert\.)?feature_extractor\.conv_layers\.0\.layer_norm\.", "first_norm."),
    (r"(?:hubert\.)?feature_projection\.layer_norm\.", "feature_norm."),
    (r"(?:hubert\.)?feature_projection\.projection\.", "widen."),
    (r"(?:hubert\.)?encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0", "position.weight_g"),
    (r"(?:hubert\.)?encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1", "position.weight_v"),
    (r"(?:hubert\.)?encoder\.pos_conv_embed\.conv\.", "position."),
    (r"(?:hubert\.)?encoder\.layer_norm\.", "norm."),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.attention\.q_proj\.(\w+)", r"blocks.\1.qkv.\2#0"),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.attention\.k_proj\.(\w+)", r"blocks.\1.qkv.\2#1"),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.attention\.v_proj\.(\w+)", r"blocks.\1.qkv.\2#2"),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.attention\.out_proj\.", r"blocks.\1.out."),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.layer_norm\.", r"blocks.\1.attention_norm."),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.feed_forward\.intermediate_dense\.", r"blocks.\1.up."),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.feed_forward\.output_dense\.", r"blocks.\1.down."),
    (r"(?:hubert\.)?encoder\.layers\.(\d+)\.final_layer_norm\.", r"blocks.\1.feed_norm."),
)
BERT: Rules = (
    (r"cls\.|(?:bert\.)?pooler\.|(?:bert\.)?embeddings\.position_ids", ""),
    (r"(?:bert\.)?embeddings\.word_embeddings\.", "symbols."),
    (r"(?:bert\.)?embeddings\.position_embeddings\.", "places."),
    (r"(?:bert\.)?embeddings\.token_type_embeddings\.", "kinds."),
    (r"(?:bert\.)?embeddings\.LayerNorm\.", "norm."),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.attention\.self\.query\.(\w+)", r"blocks.\1.qkv.\2#0"),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.attention\.self\.key\.(\w+)", r"blocks.\1.qkv.\2#1"),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.attention\.self\.value\.(\w+)", r"blocks.\1.qkv.\2#2"),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.out."),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"blocks.\1.attention_norm."),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.up."),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.down."),
    (r"(?:bert\.)?encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"blocks.\1.feed_norm."),
)


def picked(tensors: Tensors, rules: Rules) -> dict[str, Tensor]:
    """Those tensors that the rules name, under our names; a rule without a name leaves its tensors out.

    Raises `CheckpointError` for tensors that are to be one and do not go together.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, ours in rules:
            if match := re.match(pattern, name):
                if ours:
                    found[match.expand(ours) + name[match.end() :]] = tensor
                break
    return _shaped(_joined(found))


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with what is called a#0, a#1 … as one, a, along the first axis."""
    whole = {name: tensor for name, tensor in tensors.items() if "#" not in name}
    groups: dict[str, list[tuple[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        if "#" in name:
            stem, place = name.split("#")
            groups.setdefault(stem, []).append((place, tensor))
    for stem, members in groups.items():
        parts = [tensor for _, tensor in sorted(members, key=lambda pair: pair[0])]
        if any(part.dim() == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise CheckpointError(f"The parts of {stem} do not go together.")
        whole[stem] = torch.cat(parts)
    return whole


def _shaped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with relative places less the axis of heads that share them, and norms by their new names."""
    made = {}
    for name, tensor in tensors.items():
        if name.endswith("_places") and tensor.dim() == 3 and len(tensor):
            tensor = tensor[0]
        made[re.sub(r"norm\.gamma$", "norm.weight", re.sub(r"norm\.beta$", "norm.bias", name))] = tensor
    # The official flow counts the flips between its couplings.
    return {
        re.sub(r"^couplings\.(\d+)\.", lambda m: f"couplings.{int(m[1]) // 2}.", n): t
        for n, t in made.items()
    }
