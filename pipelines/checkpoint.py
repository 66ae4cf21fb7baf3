"""Weights on disk: read without executing anything, say in words what a file is, fill a module.

A file is read once, off-line, by an engine's `convert`; run-time code meets only
safetensors of our own naming. The order of loading is always the same: build the module
on the meta device, map the file, assign, and let `Placement.put` do the one cast.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import secrets
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.types import InputError

Shape = tuple[int, ...]
Module = TypeVar("Module", bound=nn.Module)
# What torch's safe unpickler raises on bytes that are no pickle of its own, found by feeding it such bytes.
DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
SHOWN = 3  # mismatches named in a message; the rest is counted


class CheckpointError(InputError):
    """The file cannot be used; the message says what it is and what was expected."""


@dataclass(frozen=True)
class Size:
    """A size that a file gives away: axis `axis` of tensor `key`, in words such as "codes of {} numbers"."""

    key: str
    axis: int
    words: str

    def of(self, shapes: Mapping[str, Shape]) -> int | None:
        """The size in a file of these shapes, or None where the file has no such tensor or axis."""
        shape = shapes.get(self.key)
        return shape[self.axis] if shape is not None and self.axis < len(shape) else None


@dataclass(frozen=True)
class System:
    """A known system and version, told by the sizes its checkpoint must have: {tensor: shape}."""

    title: str
    marks: Mapping[str, Shape]


# ------------------------------------------------------------------------------------ reading


def read(path: Path, allow: Sequence[tuple[type, str]] = ()) -> dict[str, object]:
    """The contents of a checkpoint, on the CPU, mapped rather than copied where the format lets us.

    `path` is a .safetensors file ({name: tensor}) or what `torch.save` wrote (whatever it
    holds). `allow` names inert classes that a pickle may mention: ``[(Stub, "utils.HParams")]``.
    Raises `CheckpointError` for a missing, damaged or foreign file, and for a pickle that asks
    for any other global, which it names. Nothing in the file is ever executed.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path.name} where its weights were looked for.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_pickle(path, allow)


def _read_safetensors(path: Path) -> dict[str, object]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is damaged or is no safetensors file ({error}).") from error


def _read_pickle(path: Path, allow: Sequence[tuple[type, str]]) -> dict[str, object]:
    # torch maps only its zip format; files of torch < 1.6 are a bare pickle stream.
    mapped = zipfile.is_zipfile(path)
    try:
        if mapped:
            _check_packing(path)
        with torch.serialization.safe_globals(list(allow)):
            return torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except pickle.UnpicklingError as error:
        name = _offending_global(str(error))
        if name is None:
            raise CheckpointError(f"{path.name} is damaged or is no checkpoint.") from error
        raise CheckpointError(
            f"{path.name} was refused: it asks Python for {name}, which weights do not need and "
            "which could run a program. Nothing in it was executed."
        ) from error
    except CheckpointError:
        raise
    except DAMAGED as error:
        raise CheckpointError(f"{path.name} is damaged or cut short, or is no checkpoint.") from error


def _check_packing(path: Path) -> None:
    """Raises `CheckpointError` for a zip that unpacks to more than its own bytes, as torch never writes it.

    Reading one could fill the memory, and mapping it would take what is packed for numbers.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    claimed, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(
            f"{path.name} was refused: it is packed to {size:,} bytes and claims to hold {claimed:,}, while "
            "checkpoints are not packed. Nothing of it was unpacked."
        )


def _offending_global(message: str) -> str | None:
    """The global that torch's safe unpickler refused, from its message."""
    for mark in ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL ", "Unsupported class "):
        if mark in message:
            return message.split(mark, 1)[1].split()[0].rstrip(".,")
    return None


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """{name: shape} of tensors, or of a module's `state_dict()`."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def sha256(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str, title: str) -> None:
    """Raises `CheckpointError` if the file's sha256 is not `expected`."""
    if (found := sha256(path)) != expected:
        raise CheckpointError(
            f"{title} is not the published file: its sha256 begins {found[:12]}, it should begin "
            f"{expected[:12]}. Fetch it again."
        )


# ----------------------------------------------------------------------------------- the report


def report(
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    what: str,
    sizes: Iterable[Size] = (),
    systems: Iterable[System] = (),
) -> list[str]:
    """What keeps a file from fitting, in words; an empty list where it fits.

    `found` and `expected` are {name: shape} of the file and of the module that the
    configuration describes; `what` names the file ("this dVAE"). `sizes` come first, since
    one of them explains a hundred tensors; then the known system the file looks like; then
    tensors one by one.
    """
    lines = []
    for size in sizes:
        ours, theirs = size.of(expected), size.of(found)
        if ours is not None and theirs is not None and ours != theirs:
            lines.append(f"{what} has {size.words.format(theirs)}, the configuration says {ours}")
    tensors = _tensor_mismatches(found, expected)
    if tensors:
        lines += [f"it looks like {system.title}" for system in systems if _is(found, system)]
        lines += tensors[:SHOWN]
        if len(tensors) > SHOWN:
            lines.append(f"and {len(tensors) - SHOWN} more")
    return lines


def _is(found: Mapping[str, Shape], system: System) -> bool:
    return all(found.get(name) == tuple(shape) for name, shape in system.marks.items())


def _tensor_mismatches(found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> list[str]:
    wrong = [
        f"{name} is {_by(found[name])} instead of {_by(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    missing = [f"{name} is missing" for name in expected if name not in found]
    unknown = [f"{name} is not part of this model" for name in found if name not in expected]
    return wrong + missing + unknown


def _by(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a single number"


# ---------------------------------------------------------------------------- filling and saving


def fill(
    build: Callable[[], Module],
    tensors: Mapping[str, Tensor],
    what: str,
    sizes: Iterable[Size] = (),
    systems: Iterable[System] = (),
) -> Module:
    """The module that `build` makes, holding `tensors` themselves (no copy, no cast, nothing random drawn).

    Raises `CheckpointError` with the shape report where they do not fit. Every parameter and
    buffer must come from `tensors`; a derived buffer (a window, a table) is built with an explicit
    ``device="cpu"`` and ``persistent=False``, since one left on the meta device raises `ValueError`.
    """
    with torch.device("meta"):
        module = build()
    lines = report(shapes(tensors), shapes(module.state_dict()), what, sizes, systems)
    if lines:
        raise CheckpointError(f"{what[0].upper()}{what[1:]} does not fit: {'; '.join(lines)}.")
    module.load_state_dict(tensors, strict=True, assign=True)
    unfilled = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if unfilled:
        raise ValueError(f"{type(module).__name__} has buffers that no file fills: {', '.join(unfilled)}.")
    return module


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with every weight-norm pair multiplied out: w = g · v / ‖v‖, norm over all axes but one.

    Knows both spellings of torch: ``weight_g``/``weight_v`` and ``parametrizations.weight.original0/1``.
    The first axis is torch's default ``dim=0``, also for transposed convolutions. Raises `CheckpointError`
    for a half without the other, and for halves that do not go together.
    """
    new = "parametrizations.weight.original"
    folded = dict(tensors)
    for gain_end, direction_end in (("weight_g", "weight_v"), (f"{new}0", f"{new}1")):
        for name in [name for name in folded if name.endswith(gain_end)]:
            stem = name.removesuffix(gain_end)
            gain, direction = folded.pop(name), folded.pop(stem + direction_end, None)
            if direction is None or gain.shape != (*direction.shape[:1], *[1] * (direction.dim() - 1)):
                raise CheckpointError(f"The two halves of {stem}weight do not go together.")
            axes = tuple(range(1, direction.dim()))
            norm = direction.float().norm(dim=axes, keepdim=True)
            folded[stem + "weight"] = (gain.float() * direction.float() / norm).to(direction.dtype)
    return folded


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors so that a half-written file never bears the name `path`.

    Raises `OSError` where the disk does not take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        dense = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(dense, draft, dict(metadata or {}))
        draft.replace(path)
    except SafetensorError as error:
        raise _disk_trouble(error) from error
    finally:
        draft.unlink(missing_ok=True)


def _disk_trouble(error: SafetensorError) -> Exception:
    """What the disk said, as Python says it: safetensors only quotes it."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else error
