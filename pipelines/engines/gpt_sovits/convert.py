"""Official files of GPT-SoVITS to parts of ours, see `parts`.

What a source is, is told by what it holds, never by its name. Nothing in a file is executed; a part is
written whole or not at all. Parts are combined when they are loaded, since people do combine them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError
from pipelines.engines.gpt_sovits import names, parts
from pipelines.engines.gpt_sovits.config import (
    PHONES_V1,
    PHONES_V2,
    SPEAKER_ROWS_V1,
    DecoderConfig,
    EncoderConfig,
    EstimatorConfig,
    MatcherConfig,
    SpeakerConfig,
    WaveNetConfig,
)
from pipelines.engines.gpt_sovits.names import Rules, Tensors, picked
from pipelines.engines.gpt_sovits.official import (
    FREQUENCIES,
    MATCHER,
    bigvgan_weights,
    is_lora,
    lora,
    matcher_weights,
    merged,
    verifier_weights,
    vocoder_weights,
)
from pipelines.engines.gpt_sovits.parts import Part
from pipelines.engines.gpt_sovits.verifier import VerifierConfig
from pipelines.engines.gpt_sovits.vocoders import V4, BigvganConfig
from pipelines.layers.bert import BertConfig
from pipelines.layers.hifigan import HifiganConfig
from pipelines.layers.hubert import HubertConfig

# The first two bytes of a file that is a zip otherwise, and what they say it holds.
TAGS = {
    b"00": "v1", b"01": "v2", b"02": "v3", b"03": "v3", b"04": "v4", b"05": "v2Pro", b"06": "v2ProPlus",
}  # fmt: skip
# v3 and v4 are alike in all they hold. The published files are known by the md5 of their first 8192 bytes.
HEADS = {"43797be674a37c1c83ee81081941ed0f": "v3", "4f26b9476d0c5033e04162c486074374": "v4"}
INNER = ("weight", "generator")  # where a file keeps its weights, if not at the top
WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "bigvgan_generator.pt",
)  # in a folder of the hub, the first that is there
BESIDE = ("vocab.txt", "tokenizer.json")  # what a folder of the hub holds beside weights that we need
HEAD_WIDTH = 64  # of HuBERT and BERT, where their config.json does not tell how many heads
RATES = (10, 8, 2, 2, 2)
FRAME, HEARD_FRAME = 640, 320  # samples of a decoder's frame at 32 kHz, and of a frame of HuBERT's at 16 kHz
MATCHERS = ("v3", "v4")
LORA = "lora"  # the kind of a file that only changes a decoder
LAST = (LORA,)  # kinds that are converted after all others, since they change what is there
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64)
MOST_HEADS = 256
# What BigVGAN's config.json must say, since its weights do not.
SNAKES = {"activation": "snakebeta", "snake_logscale": True, "use_tanh_at_final": False, "resblock": "1"}


class HParams:
    """Stands in for the class of that name in pickles of GPT-SoVITS: it holds what it is given."""


ALLOWED = [(HParams, "utils.HParams")]


@dataclass(frozen=True)
class Source:
    """What an official file holds. `tag` is the version that its first bytes name, or empty."""

    path: Path
    contents: Mapping[str, object]
    tag: str
    hub: Mapping[str, object]  # the config.json beside it, where it is a folder of the hub
    beside: tuple[Path, ...] = ()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights, wherever the file keeps them."""
        return dict(_weights_of(self.contents))

    def setting(self, group: str, name: str, otherwise: object) -> object:
        """A value of the configuration that the file carries, or `otherwise`."""
        return _values(_values(self.contents.get("config")).get(group)).get(name, otherwise)


@dataclass(frozen=True)
class Taken:
    """What became of a source: a part that is not written yet."""

    kind: str
    version: str
    config: object
    networks: Mapping[str, Tensors]
    base: Mapping[str, str] = field(default_factory=dict)  # sha256 of our files that it was built upon


def recognise(source: Path) -> tuple[str, str]:
    """Kind and version of a file, or of a folder of the hub, by what it holds.

    The kind of a LoRA is "lora", its version that of the decoder that it changes. Raises `CheckpointError`.
    """
    with _in_words(source, source.parent), opened(source) as found:
        if is_lora(found.tensors):
            return LORA, _alike(found, "")
        sort = _sort(found)
        return sort.kind, sort.version(found, "")


def convert(source: Path, folder: Path, version: str = "") -> Part:
    """Make a part in `folder` of an official file, or of a folder as the hub has it.

    `version` decides between v3 and v4 where the file does not tell. A source that was converted before
    costs nothing. Raises `CheckpointError` for what cannot be used, in one sentence.
    """
    with _in_words(source, folder):
        digest = checkpoint.sha256(_weights(source))
        for part in parts.installed(folder):
            if digest in part.sources.values():
                return part
        with opened(source) as found:
            taken = tune(found, folder, version) if is_lora(found.tensors) else take(found, version)
            kind = parts.kind_of(taken.kind, taken.version)
            parts.check(kind, taken.config, taken.networks, f"{source.name}, as {kind.title} of GPT-SoVITS,")
            return _written(folder, source, digest, taken, found.beside)


@contextmanager
def _in_words(source: Path, folder: Path) -> Iterator[None]:
    """Makes every `CheckpointError` name the source, and one of what the disk says against it."""
    try:
        yield
    except CheckpointError as error:
        if source.name in str(error) or _weights(source).name in str(error):
            raise
        raise CheckpointError(f"{source.name} cannot be used: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = f"the disk of {folder} or of {tempfile.gettempdir()} is full: free some space and try again"
        else:
            why = f"{error.filename or folder} cannot be read or written ({error.strerror or error})"
        raise CheckpointError(f"{source.name} was not converted: {why}. Nothing of it was kept.") from error


def _written(folder: Path, source: Path, digest: str, taken: Taken, beside: Sequence[Path]) -> Part:
    """The part, made aside and then given its name."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{secrets.token_hex(8)}.part"
    draft.mkdir()
    try:
        sources = {_weights(source).name: digest, **taken.base}
        parts.write(draft, taken.kind, taken.version, taken.config, taken.networks, sources)
        for path in beside:
            shutil.copyfile(path, draft / path.name)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.stem if source.is_file() else source.name).strip(".-")
        target = folder / (name or taken.kind)
        if target.exists():
            target = folder / f"{target.name}-{digest[:8]}"
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return parts.described(target)


# ----------------------------------------------------------------------------------- reading


def _weights(source: Path) -> Path:
    """The file that holds a source's weights."""
    if not source.is_dir():
        if not source.is_file():
            raise CheckpointError(f"There is no {source.name} to convert.")
        return source
    found = [source / name for name in WEIGHTS if (source / name).is_file()]
    if not found:
        raise CheckpointError(f"The folder {source.name} holds no {' or '.join(WEIGHTS)}.")
    return found[0]


@contextmanager
def opened(source: Path) -> Iterator[Source]:
    """What a source holds, while the context lasts. Raises `CheckpointError` for what cannot be read."""
    path = _weights(source)
    with path.open("rb") as file:
        head = file.read(2)
    beside = tuple(source / name for name in BESIDE if source.is_dir() and (source / name).is_file())
    tag = TAGS.get(head, "")
    if not tag:
        yield Source(path, _mapping(path, checkpoint.read(path, ALLOWED)), tag, _hub(source), beside)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        mended = Path(scratch) / path.name
        shutil.copyfile(path, mended)
        with mended.open("r+b") as file:
            file.write(b"PK")
        yield Source(path, _mapping(path, checkpoint.read(mended, ALLOWED)), tag, {}, beside)


def _hub(source: Path) -> Mapping[str, object]:
    """The config.json of a folder of the hub."""
    path = source / "config.json"
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The config.json of {source.name} is damaged ({error}).") from error
    return told if isinstance(told, dict) else {}


def _mapping(path: Path, contents: object) -> Mapping[str, object]:
    if not isinstance(contents, Mapping) or not (tensors := list(_weights_of(contents))):
        raise CheckpointError(f"{path.name} holds no weights.")
    for name, tensor in tensors:
        _check_numbers(path, name, tensor)
    return contents


def _weights_of(contents: Mapping[str, object]) -> Iterator[tuple[str, Tensor]]:
    inner = next((contents[name] for name in INNER if name in contents), contents)
    for name, tensor in inner.items() if isinstance(inner, Mapping) else ():
        if isinstance(name, str) and isinstance(tensor, Tensor):
            yield name, tensor


def _check_numbers(path: Path, name: str, tensor: Tensor) -> None:
    """Raises `CheckpointError` for what is no plain array, and for one of more numbers than the file holds.

    A few bytes can claim to be any size, by counting one number many times; copied, they would be that size.
    """
    plain = tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    if not plain or tensor.dtype not in NUMBERS:
        raise CheckpointError(f"{path.name} does not fit: {name[:80]} is no array of plain numbers.")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"{path.name} was refused: {name[:80]} claims to hold {tensor.numel():,} numbers, more than the "
            "file has."
        )


def _values(config: object) -> Mapping[str, object]:
    """A configuration by its names, whether it was pickled as a dict or as an object; empty for neither."""
    config = vars(config) if isinstance(config, HParams) else config
    return config if isinstance(config, Mapping) else {}


# -------------------------------------------------------------------------------- recognising


def take(source: Source, version: str = "") -> Taken:
    """What a source is and what of it we need. Raises `CheckpointError` where it is nothing we know."""
    return _sort(source).take(source, version)


def _sort(source: Source) -> Sort:
    tensors = source.tensors
    for mark, sort in SORTS.items():
        if any(name.endswith(mark) for name in tensors):
            return sort
    raise CheckpointError(
        f"{source.path.name} is nothing that GPT-SoVITS speaks with: neither a speaker (s1), a decoder (s2), "
        "HuBERT, RoBERTa, a speaker verifier nor a vocoder."
    )


def _speaker_version(source: Source, wish: str) -> str:
    symbols = _size(source, source.tensors, "model.ar_text_embedding.word_embeddings.weight", 0)
    versions = {SPEAKER_ROWS_V1: "v1", PHONES_V2: "v2"}
    if symbols not in versions:
        raise CheckpointError(
            f"{source.path.name} is a speaker (s1) for {symbols} phones; v1 has {SPEAKER_ROWS_V1}, all "
            f"others have {PHONES_V2}."
        )
    return versions[symbols]


def _speaker(source: Source, version: str) -> Taken:
    tensors = renamed(source, names.SPEAKER)
    config = SpeakerConfig(
        symbols=_size(source, tensors, "symbols.weight", 0),
        tokens=_size(source, tensors, "tokens.weight", 0) - 1,
        features=_size(source, tensors, "features.weight", 1),
        width=_size(source, tensors, "symbols.weight", 1),
        heads=_heads(source, source.setting("model", "head", 16)),
        hidden=_size(source, tensors, "blocks.0.up.weight", 0),
        layers=_count(tensors, r"blocks\.(\d+)\."),
    )
    return Taken("speaker", _speaker_version(source, version), config, {"speaker": tensors})


def _s2(source: Source, version: str) -> Taken:
    folded = checkpoint.fold_weight_norm(_without(source.tensors, names.UNUSED))
    found = _version(source, version)
    _check_known(source, folded, (*names.LISTENER, *(MATCHER if found in MATCHERS else names.DECODER)), found)
    listen = picked(folded, names.LISTENER)
    render = matcher_weights(folded) if found in MATCHERS else picked(folded, names.DECODER)
    encoder = _encoder(source, listen, render)
    if found in MATCHERS:
        config = _matcher(source, found, encoder, render)
    else:
        config = DecoderConfig(
            version=found,
            encoder=encoder,
            flows=_count(render, r"couplings\.(\d+)\."),
            flow=_wavenet(source, render, "couplings.0.wavenet."),
            generator=_generator(source, render),
        )
    return Taken("decoder", found, config, {"listen": listen, "render": render})


def _check_known(source: Source, tensors: Tensors, rules: Rules, version: str) -> None:
    """Raises `CheckpointError` for a tensor that no rule knows."""
    rest = sorted(name for name in tensors if not any(re.match(pattern, name) for pattern, _ in rules))
    if rest:
        raise CheckpointError(
            f"{source.path.name} does not fit: {rest[0]} is not part of GPT-SoVITS {version}."
        )


def tune(source: Source, folder: Path, version: str = "") -> Taken:
    """The decoder in `folder` that a LoRA was made for, with what the LoRA changes.

    Raises `CheckpointError` where there is no such decoder, or where they do not fit.
    """
    found = _agreed(source, _alike(source, version), version)
    base = _base(source, folder, found)
    official = _without(source.tensors, names.UNUSED)
    change = lora(official)
    _check_known(source, {**change.tensors, **change.deltas}, (*names.LISTENER, *MATCHER), found)
    networks, files = {}, {}
    for network, rules in (("listen", names.LISTENER), ("render", MATCHER)):
        path = base.folder / f"{network}.safetensors"
        files[f"{base.folder.name}/{path.name}"] = checkpoint.sha256(path)
        networks[network] = merged(checkpoint.read(path), change, rules)
    return Taken("decoder", found, base.config, networks, files)


def _base(source: Source, folder: Path, version: str) -> Part:
    """The decoder of a version that a LoRA is added to: no tuned one; the published one before others."""
    there = [
        part
        for part in parts.installed(folder)
        if (part.kind, part.version) == ("decoder", version)
        and not any(name.endswith(".safetensors") for name in part.sources)
    ]
    if not there:
        raise CheckpointError(
            f"{source.path.name} is a LoRA, which only changes a decoder (s2) of {version}: convert the "
            f"published s2G{version}.pth first."
        )
    published = parts.published(version)
    return max(there, key=lambda part: bool(published & set(part.sources.values())))


def _version(source: Source, wish: str) -> str:
    """The version of an s2 file by what it holds. Raises `CheckpointError` where its first bytes disagree."""
    tensors = source.tensors
    if any(name.startswith("cfm.") for name in tensors):
        found = _alike(source, wish)
    elif "sv_emb.weight" in tensors:
        wide = any(
            name in tensors and _size(source, tensors, name, 0) > 512
            for name in ("dec.conv_pre.weight", "dec.conv_pre.weight_v")
        )
        found = "v2ProPlus" if wide else "v2Pro"
    else:
        symbols = _size(source, tensors, "enc_p.text_embedding.weight", 0)
        versions = {PHONES_V1: "v1", PHONES_V2: "v2"}
        if symbols not in versions:
            raise CheckpointError(
                f"{source.path.name} is a decoder (s2) for {symbols} phones; v1 has {PHONES_V1}, all others "
                f"have {PHONES_V2}."
            )
        found = versions[symbols]
    return _agreed(source, found, wish)


def _agreed(source: Source, found: str, wish: str) -> str:
    """`found`. Raises `CheckpointError` where the file's first bytes or the caller say another version."""
    for told, by in ((source.tag, "its first bytes say"), (wish, "you said")):
        if told and told != found:
            raise CheckpointError(f"{source.path.name} holds a decoder of {found}, though {by} {told}.")
    return found


def _alike(source: Source, wish: str) -> str:
    """v3 or v4, which differ in nothing that can be computed from the weights."""
    with source.path.open("rb") as file:
        head = hashlib.md5(file.read(8192), usedforsecurity=False).hexdigest()
    for told in (source.tag, str(source.setting("model", "version", "")), HEADS.get(head, ""), wish):
        if told in ("v3", "v4"):
            return told
    raise CheckpointError(
        f"{source.path.name} is a decoder of v3 or v4, and nothing in it tells which: add --version v3 or "
        "--version v4."
    )


def _encoder(source: Source, listen: Tensors, render: Tensors) -> EncoderConfig:
    """The sizes of what all decoders share, from its tensors' shapes."""
    size = _sizes(source, {**listen, **{f"encoder/{name}": t for name, t in render.items()}})
    stem = "encoder/encoder."
    return EncoderConfig(
        symbols=size(f"{stem}symbols.weight", 0),
        codes=size("codebook", 0),
        content=size("codebook", 1),
        content_stride=size("content.weight", 2),
        width=size(f"{stem}symbols.weight", 1),
        hidden=size(f"{stem}token_blocks.0.up.weight", 0),
        heads=size(f"{stem}symbols.weight", 1) // size(f"{stem}token_blocks.0.attention.key_places", 1),
        kernel=size(f"{stem}token_blocks.0.up.weight", 2),
        window=size(f"{stem}token_blocks.0.attention.key_places", 0) // 2,
        layers=tuple(
            _count(render, rf"encoder\.{blocks}_blocks\.(\d+)\.") for blocks in ("token", "phone", "joint")
        ),
        joint=size(f"{stem}joiner.query.weight", 0),
        bins=size("style.spectral.0.weight", 1),
        style_hidden=size("style.spectral.0.weight", 0),
        style_kernel=size("style.temporal.0.weight", 2),
        style=size("style.last.weight", 0),
        verifier=size("verified.weight", 1) if "verified.weight" in listen else 0,
    )


def _wavenet(source: Source, tensors: Tensors, stem: str) -> WaveNetConfig:
    kernel = _size(source, tensors, f"{stem}in_layers.0.weight", 2)
    return WaveNetConfig(kernel, _count(tensors, re.escape(stem) + r"in_layers\.(\d+)\."))


def _matcher(source: Source, version: str, encoder: EncoderConfig, tensors: Tensors) -> MatcherConfig:
    size = _sizes(source, tensors)
    frequencies = source.tensors.get(FREQUENCIES)
    head = EstimatorConfig().head_width if frequencies is None else 2 * len(frequencies)
    width = size("estimator.enter.weight", 0)
    estimator = EstimatorConfig(
        width=width,
        heads=size("estimator.blocks.0.out.weight", 1) // head,
        head_width=head,
        hidden=size("estimator.blocks.0.up.weight", 0),
        layers=_count(tensors, r"estimator\.blocks\.(\d+)\."),
        mels=size("estimator.leave.weight", 0),
        features=size("features.proj.weight", 0),
        feature_hidden=size("estimator.feature_blocks.0.up.weight", 0),
        feature_layers=_count(tensors, r"estimator\.feature_blocks\.(\d+)\."),
        time_waves=size("estimator.time.up.weight", 1),
        position_kernel=size("estimator.neighbours.first.weight", 2),
        position_groups=width // size("estimator.neighbours.first.weight", 1),
    )
    wavenet = _wavenet(source, tensors, "features.enc.")
    return MatcherConfig(version, encoder, size("features.proj.weight", 0), wavenet, estimator)


def _generator(source: Source, tensors: Tensors) -> HifiganConfig:
    size = _sizes(source, tensors)
    ups = _count(tensors, r"generator\.ups\.(\d+)\.")
    blocks = _count(tensors, r"generator\.resblocks\.(\d+)\.") // max(1, ups)
    return HifiganConfig(
        size("generator.conv_pre.weight", 1),
        width=size("generator.conv_pre.weight", 0),
        rates=_steps(source, source.setting("model", "upsample_rates", RATES), ups, FRAME),
        kernels=tuple(size(f"generator.ups.{i}.weight", 2) for i in range(ups)),
        block_kernels=tuple(size(f"generator.resblocks.{i}.convs1.0.weight", 2) for i in range(blocks)),
        style=size("generator.cond.weight", 1),
        final_bias="generator.conv_post.bias" in tensors,
    )


def _hubert(source: Source, version: str) -> Taken:
    tensors = renamed(source, names.HUBERT)
    _fold_over_time(tensors)
    size = _sizes(source, tensors)
    count = _count(tensors, r"convs\.(\d+)\.")
    width = size("norm.weight", 0)
    config = HubertConfig(
        channels=tuple(size(f"convs.{i}.weight", 0) for i in range(count)),
        kernels=tuple(size(f"convs.{i}.weight", 2) for i in range(count)),
        strides=_steps(source, source.hub.get("conv_stride", HubertConfig().strides), count, HEARD_FRAME),
        width=width,
        heads=_heads(source, source.hub.get("num_attention_heads", max(1, width // HEAD_WIDTH))),
        hidden=size("blocks.0.up.weight", 0),
        layers=_count(tensors, r"blocks\.(\d+)\."),
        position_kernel=size("position.weight", 2),
        position_groups=width // size("position.weight", 1),
    )
    return Taken("hubert", "", config, {"hubert": tensors})


def _fold_over_time(tensors: dict[str, Tensor]) -> None:
    """Fold the weight norm of HuBERT's positions, which is over the last axis: turned round and back."""
    pair = {f"x.{end}": tensors.pop(f"position.{end}", None) for end in ("weight_g", "weight_v")}
    if None not in pair.values():
        turned = {name: tensor.transpose(0, 2) for name, tensor in pair.items()}
        tensors["position.weight"] = checkpoint.fold_weight_norm(turned)["x.weight"].transpose(0, 2)


def _bert(source: Source, version: str) -> Taken:
    """RoBERTa up to the layer whose output is used, the third last of all that the model gives."""
    tensors = renamed(source, names.BERT)
    size = _sizes(source, tensors)
    layers = _count(tensors, r"blocks\.(\d+)\.") - 2
    width = size("symbols.weight", 1)
    config = BertConfig(
        symbols=size("symbols.weight", 0),
        places=size("places.weight", 0),
        width=width,
        heads=_heads(source, source.hub.get("num_attention_heads", max(1, width // HEAD_WIDTH))),
        hidden=size("blocks.0.up.weight", 0),
        layers=layers,
    )
    unused = (f"blocks.{layers}.", f"blocks.{layers + 1}.")
    return Taken("bert", "", config, {"bert": _without(tensors, unused)})


def _verifier(source: Source, version: str) -> Taken:
    weights = _asked(source, lambda: verifier_weights(source.tensors))
    return Taken("verifier", "", VerifierConfig(), {"verifier": weights})


def _bigvgan(source: Source, version: str) -> Taken:
    for name, value in SNAKES.items():
        if (told := source.hub.get(name, value)) != value:
            raise CheckpointError(
                f"This BigVGAN has {name} {told!r}; GPT-SoVITS v3 takes one with {value!r}."
            )
    weights = _asked(source, lambda: bigvgan_weights(source.tensors))
    return Taken("vocoder", "v3", BigvganConfig(), {"vocoder": weights})


def _vocoder(source: Source, version: str) -> Taken:
    weights = _asked(source, lambda: vocoder_weights(source.tensors))
    return Taken("vocoder", "v4", V4, {"vocoder": weights})


def _asked(source: Source, weights: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `weights` gives. Raises `CheckpointError` for a tensor that it looks for in vain."""
    try:
        return weights()
    except KeyError as error:
        raise CheckpointError(f"{source.path.name} does not fit: {error.args[0]} is missing.") from error


def _without(tensors: Tensors, starts: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)}


@dataclass(frozen=True)
class Sort:
    """What an official file can be: its kind, which version it is of, and how it is taken."""

    kind: str
    version: Callable[[Source, str], str]
    take: Callable[[Source, str], Taken]

    @classmethod
    def of(cls, kind: str, version: str, take: Callable[[Source, str], Taken]) -> Sort:
        """One that has this version always."""
        return cls(kind, lambda source, wish: version, take)


# A source is what the first of these tensors says that it holds.
SORTS: Mapping[str, Sort] = {
    "ar_text_embedding.word_embeddings.weight": Sort("speaker", _speaker_version, _speaker),
    "enc_p.text_embedding.weight": Sort("decoder", _version, _s2),
    "feature_projection.projection.weight": Sort.of("hubert", "", _hubert),
    "embeddings.word_embeddings.weight": Sort.of("bert", "", _bert),
    "fuse34.local_att.0.weight": Sort.of("verifier", "", _verifier),
    "activation_post.act.alpha": Sort.of("vocoder", "v3", _bigvgan),
    "ups.0.weight": Sort.of("vocoder", "v4", _vocoder),
    "ups.0.weight_v": Sort.of("vocoder", "v4", _vocoder),
}


def renamed(source: Source, rules: Rules) -> dict[str, Tensor]:
    """All tensors of a source under our names. Raises `CheckpointError` for one that no rule knows."""
    tensors = source.tensors
    unknown = [name for name in tensors if not any(re.match(pattern, name) for pattern, _ in rules)]
    if unknown:
        raise CheckpointError(f"{source.path.name} does not fit: {unknown[0]} is not known here.")
    return picked(tensors, rules)


def _count(tensors: Tensors, pattern: str) -> int:
    """How many different numbers stand where the pattern's group is."""
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})


def _size(source: Source, tensors: Tensors, name: str, axis: int) -> int:
    if name not in tensors or tensors[name].dim() <= axis or not tensors[name].shape[axis]:
        raise CheckpointError(
            f"{source.path.name} does not fit: it has no {name.split('/')[-1]} of the kind expected."
        )
    return tensors[name].shape[axis]


def _heads(source: Source, told: object) -> int:
    """How many heads a configuration tells. Raises `CheckpointError` for what is no such number."""
    if type(told) is int and 0 < told <= MOST_HEADS:
        return told
    raise CheckpointError(
        f"{source.path.name} does not fit: its configuration tells {told!r:.40} as its number of heads."
    )


def _steps(source: Source, told: object, count: int, whole: int) -> tuple[int, ...]:
    """The steps of `count` convolutions that a configuration tells, which make `whole` together.

    Raises `CheckpointError` for others.
    """
    if isinstance(told, list | tuple) and len(told) == count:
        steps = tuple(step for step in told if type(step) is int and step > 0)
        if len(steps) == count and math.prod(steps) == whole:
            return steps
    raise CheckpointError(
        f"{source.path.name} does not fit: its configuration tells {told!r:.60} as the steps of {count} "
        f"convolutions, which are to make {whole} together."
    )


def _sizes(source: Source, tensors: Tensors) -> Callable[[str, int], int]:
    return lambda name, axis: _size(source, tensors, name, axis)
