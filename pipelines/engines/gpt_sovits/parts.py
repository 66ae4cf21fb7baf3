"""Parts of GPT-SoVITS on disk: `<folder>/<name>/config.json` beside safetensors, one for each network.

`config.json` holds the part's kind, its version, its sizes, the sha256 of the files it came from and of those
that it is. `<folder>/config.json` names the parts that speak together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError
from pipelines.device import Placement
from pipelines.engines.gpt_sovits.catalogue import CATALOGUE
from pipelines.engines.gpt_sovits.cfm import Matcher
from pipelines.engines.gpt_sovits.config import DecoderConfig, MatcherConfig, SpeakerConfig, rebuild
from pipelines.engines.gpt_sovits.model import Decoder, Listener
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.engines.gpt_sovits.verifier import Verifier, VerifierConfig
from pipelines.engines.gpt_sovits.vocoders import Bigvgan, BigvganConfig
from pipelines.layers.bert import Bert, BertConfig
from pipelines.layers.hifigan import Hifigan, HifiganConfig
from pipelines.layers.hubert import Hubert, HubertConfig
from pipelines.types import InputError, Stage

CONFIG = "config.json"


@dataclass(frozen=True)
class Kind:
    """What a part can be: its words, its sizes, and how each of its files becomes a network."""

    title: str
    config: type
    networks: Mapping[str, Callable[..., nn.Module]]  # file, without its ending, to builder from the config


DECODER = Kind("decoder (s2)", DecoderConfig, {"listen": lambda c: Listener(c.encoder), "render": Decoder})
MATCHER = Kind("decoder (s2)", MatcherConfig, {"listen": lambda c: Listener(c.encoder), "render": Matcher})
KINDS: Mapping[tuple[str, str], Kind] = {  # by kind and version; a kind of one network for all has no version
    ("speaker", ""): Kind("speaker (s1)", SpeakerConfig, {"speaker": Speaker}),
    ("decoder", ""): DECODER,
    ("decoder", "v3"): MATCHER,
    ("decoder", "v4"): MATCHER,
    ("hubert", ""): Kind("HuBERT", HubertConfig, {"hubert": Hubert}),
    ("bert", ""): Kind("RoBERTa", BertConfig, {"bert": Bert}),
    ("verifier", ""): Kind("speaker verifier", VerifierConfig, {"verifier": Verifier}),
    ("vocoder", "v3"): Kind("BigVGAN", BigvganConfig, {"vocoder": Bigvgan}),
    ("vocoder", "v4"): Kind("vocoder", HifiganConfig, {"vocoder": Hifigan}),
}


def kind_of(kind: str, version: str) -> Kind:
    """What a part of this kind and version is made of. Raises `KeyError` for one that is not known."""
    return KINDS.get((kind, version)) or KINDS[kind, ""]


@dataclass(frozen=True)
class Part:
    """A part as its config.json tells it."""

    folder: Path
    kind: str
    version: str  # v1, v2 … where that means something to the kind, else empty
    config: object  # of the kind's class
    sources: Mapping[str, str]  # sha256 by file name

    def load(self, network: str, placement: Placement, stage: Stage) -> nn.Module:
        """One of the part's networks. Raises `CheckpointError` for a file that is damaged or does not fit."""
        build = kind_of(self.kind, self.version).networks[network]
        tensors = checkpoint.read(self.folder / f"{network}.safetensors")
        what = f"{self.folder.name}/{network}.safetensors"
        return placement.put(checkpoint.fill(lambda: build(self.config), tensors, what), stage)


def described(folder: Path) -> Part:
    """The part in `folder`. Raises `CheckpointError` where there is none that can be used."""
    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, version = told["kind"], told["version"]
        config = rebuild(kind_of(kind, version).config, told["config"])
        gone = [name for name in told["files"] if not (folder / name).is_file()]
        part = Part(folder, kind, version, config, dict(told["sources"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{folder.name} is no part of GPT-SoVITS that can be used ({error}); convert its source again."
        ) from error
    if gone:
        raise CheckpointError(f"{folder.name} lacks its {gone[0]}; convert its source again.")
    return part


def installed(folder: Path) -> list[Part]:
    """The parts in `folder`, by name; what is none is passed over."""
    found = []
    for config in sorted(folder.glob(f"*/{CONFIG}")):
        if not config.parent.name.startswith("."):
            with suppress(CheckpointError):
                found.append(described(config.parent))
    return found


def check(kind: Kind, config: object, networks: Mapping[str, Mapping[str, Tensor]], what: str) -> None:
    """Raises `CheckpointError`, in words, where tensors are not those of the networks of `config`."""
    for network, build in kind.networks.items():
        for name, tensor in networks[network].items():
            if not tensor.is_floating_point():
                raise CheckpointError(f"{what[0].upper()}{what[1:]} does not fit: {name} is no weight.")
            if not bool(tensor.isfinite().all()):
                raise CheckpointError(f"{what[0].upper()}{what[1:]} is damaged: {name} is not finite.")
        module = _unfilled(lambda build=build: build(config), what)
        checkpoint.fill(lambda module=module: module, networks[network], what)


def _unfilled(build: Callable[[], nn.Module], what: str) -> nn.Module:
    """The module, its weights without memory. Raises `CheckpointError` where sizes contradict each other."""
    try:
        with torch.device("meta"):
            return build()
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(f"{what[0].upper()}{what[1:]} has sizes that contradict each other.") from error


def write(
    folder: Path,
    kind: str,
    version: str,
    config: object,
    networks: Mapping[str, Mapping[str, Tensor]],
    sources: Mapping[str, str],
) -> None:
    """Write a part into an empty folder; its config.json last, since a folder with one is a part."""
    files = {}
    for network, tensors in networks.items():
        path = folder / f"{network}.safetensors"
        checkpoint.save(path, tensors)
        files[path.name] = checkpoint.sha256(path)
    told = {
        "kind": kind,
        "version": version,
        "config": asdict(config),
        "sources": dict(sources),
        "files": files,
    }
    (folder / CONFIG).write_text(json.dumps(told, indent=1))


# ------------------------------------------------------------------------ which parts speak together

# What each version speaks with: kinds of parts, and the version that they must have.
NEEDS: Mapping[str, Mapping[str, str]] = {
    "v1": {"hubert": "", "speaker": "v1", "decoder": "v1"},
    "v2": {"hubert": "", "speaker": "v2", "decoder": "v2"},
    "v2Pro": {"hubert": "", "speaker": "v2", "decoder": "v2Pro", "verifier": ""},
    "v2ProPlus": {"hubert": "", "speaker": "v2", "decoder": "v2ProPlus", "verifier": ""},
    "v3": {"hubert": "", "speaker": "v2", "decoder": "v3", "vocoder": "v3"},
    "v4": {"hubert": "", "speaker": "v2", "decoder": "v4", "vocoder": "v4"},
}
ALONG = ("bert",)  # kinds that every version speaks with where they are here
BEST = ("v2ProPlus", "v2Pro", "v2", "v4", "v3", "v1")  # which version speaks where nobody chose


def choose(folder: Path, version: str, speaker: str = "", decoder: str = "") -> None:
    """Let the parts of a version speak together; a speaker or a decoder may be named, by its folder.

    Of several parts that fit, the published one speaks, then the first by name. Raises `InputError` for what
    is missing or does not go together.
    """
    if version not in NEEDS:
        raise InputError(f"There is no version {version!r} of GPT-SoVITS; there are {', '.join(NEEDS)}.")
    there = installed(folder)
    named = {"speaker": speaker, "decoder": decoder}
    chosen = {kind: _fitting(there, version, kind, named.get(kind, "")) for kind in NEEDS[version]}
    chosen |= _along(there)
    told = {
        "version": version,
        "parts": {kind: part.folder.name for kind, part in chosen.items()},
        "sources": {kind: sorted(part.sources.values()) for kind, part in chosen.items()},
    }
    draft = folder / f".{CONFIG}.part"
    draft.write_text(json.dumps(told, indent=1))
    draft.replace(folder / CONFIG)


def _fitting(there: list[Part], version: str, kind: str, name: str) -> Part:
    needed = NEEDS[version][kind]
    fitting = [part for part in there if part.kind == kind and part.version == needed]
    if name:
        named = [part for part in there if part.kind == kind and part.folder.name == name]
        if not named:
            raise InputError(f"There is no {kind} {name!r} of GPT-SoVITS here.")
        if named[0] not in fitting:
            raise InputError(
                f"{name} is a {kind} of {named[0].version}, and {version} speaks with one of {needed}."
            )
        return named[0]
    if not fitting:
        raise InputError(f"GPT-SoVITS {version} lacks its {_title(kind, needed)}.")
    return _published_first(fitting, published(version))


def _along(there: Sequence[Part]) -> dict[str, Part]:
    official = {part.weights.sha256 for part in CATALOGUE.parts.values()}
    found = {kind: [part for part in there if part.kind == kind] for kind in ALONG}
    return {kind: _published_first(fitting, official) for kind, fitting in found.items() if fitting}


def _published_first(fitting: Sequence[Part], official: Container[str]) -> Part:
    """The first that was made of a published file, else the first."""
    return max(fitting, key=lambda part: any(digest in official for digest in part.sources.values()))


def published(version: str) -> set[str]:
    """The sha256 of the files that were published for a version."""
    files = [file for part in CATALOGUE.of(CATALOGUE.edition(version)) for file in part.files]
    return {file.sha256 for file in files if file.sha256}


def lacking(folder: Path, version: str) -> list[str]:
    """The parts that a version still lacks, in words."""
    there = {(part.kind, part.version) for part in installed(folder)}
    return [_title(*needed) for needed in NEEDS[version].items() if needed not in there]


def _title(kind: str, version: str) -> str:
    title = kind_of(kind, version).title
    return f"{title} of {version}" if version else title


def together(folder: Path) -> tuple[str, dict[str, Part]]:
    """The version that was chosen and its parts by kind, RoBERTa among them where it is here now.

    Raises `CheckpointError` where none was chosen or a part that it needs is gone.
    """
    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        version, named = told["version"], told["parts"]
        chosen = {kind: described(folder / named[kind]) for kind in NEEDS[version]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError("No version of GPT-SoVITS was chosen yet, or its parts are gone.") from error
    return version, chosen | _along(installed(folder))


def weight(folder: Path) -> int:
    """Bytes on disk of the parts that speak together; 0 where none were chosen."""
    try:
        _, chosen = together(folder)
    except CheckpointError:
        return 0
    return sum(file.stat().st_size for part in chosen.values() for file in part.folder.glob("*.safetensors"))
