"""Parts of GPT-SoVITS on disk: `<folder>/<name>/config.json` beside safetensors, one for each network.

`config.json` holds the part's kind, its version, its sizes, the sha256 of the files it came from and of those
that it is. `<folder>/config.json` names the parts that speak together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError
from pipelines.device import Placement
from pipelines.engines.gpt_sovits.config import DecoderConfig, SpeakerConfig, rebuild
from pipelines.engines.gpt_sovits.model import Decoder, Listener
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.layers.bert import Bert, BertConfig
from pipelines.layers.hubert import Hubert, HubertConfig
from pipelines.types import Stage

CONFIG = "config.json"


@dataclass(frozen=True)
class Kind:
    """What a part can be: its words, its sizes, and how each of its files becomes a network."""

    title: str
    config: type
    networks: Mapping[str, Callable[..., nn.Module]]  # file, without its ending, to builder from the config


KINDS: Mapping[str, Kind] = {
    "speaker": Kind("speaker (s1)", SpeakerConfig, {"speaker": Speaker}),
    "decoder": Kind(
        "decoder (s2)", DecoderConfig, {"listen": lambda c: Listener(c.encoder), "render": Decoder}
    ),
    "hubert": Kind("HuBERT", HubertConfig, {"hubert": Hubert}),
    "bert": Kind("RoBERTa", BertConfig, {"bert": Bert}),
}


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
        build = KINDS[self.kind].networks[network]
        tensors = checkpoint.read(self.folder / f"{network}.safetensors")
        what = f"{self.folder.name}/{network}.safetensors"
        return placement.put(checkpoint.fill(lambda: build(self.config), tensors, what), stage)


def described(folder: Path) -> Part:
    """The part in `folder`. Raises `CheckpointError` where there is none that can be used."""
    try:
        told = json.loads((folder / CONFIG).read_text())
        kind = told["kind"]
        config = rebuild(KINDS[kind].config, told["config"])
        return Part(folder, kind, told["version"], config, told["sources"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder.name} is no part of GPT-SoVITS that can be used ({error}); convert its source again."
        ) from error


def installed(folder: Path) -> list[Part]:
    """The parts in `folder`, by name; what is none is passed over."""
    return [
        described(config.parent)
        for config in sorted(folder.glob(f"*/{CONFIG}"))
        if not config.parent.name.startswith(".")
    ]


def check(kind: str, config: object, networks: Mapping[str, Mapping[str, Tensor]], what: str) -> None:
    """Raises `CheckpointError`, in words, where tensors are not those of the networks of `config`."""
    for network, build in KINDS[kind].networks.items():
        checkpoint.fill(lambda build=build: build(config), networks[network], what)
        for name, tensor in networks[network].items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise CheckpointError(f"{what[0].upper()}{what[1:]} is damaged: {name} is not finite.")


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
