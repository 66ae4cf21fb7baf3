"""Hardware and precision, in one place: what was measured here, what is chosen, and where a network goes.

`probe` runs the very operations that engines use, on each device and in each precision, and gives a
table of verdicts; `choose` turns a wish into a `Placement` by that table, or refuses in words;
`Placement.put` is the only place where a network changes device or dtype.
"""

from __future__ import annotations

import gc
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from pipelines.types import InputError, Stage, Wish

Mode = Literal["float32", "bfloat16", "float16", "int8"]
MODES: tuple[Mode, ...] = ("float32", "bfloat16", "float16", "int8")
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.float32,  # the weights are int8, what flows between the layers is float32
}
WORTH = 1.3  # auto leaves float32 only for a mode at least this many times faster


@dataclass(frozen=True)
class Verdict:
    """What a precision is worth on a device.

    `error` is the relative (RMS) distance from float32 of the worst operation, `speed` that of one
    autoregressive step as a multiple of float32's (above 1 is faster); None where nothing was measured.
    """

    verdict: Literal["safe", "possible", "impossible"]
    finite: bool
    error: float | None
    speed: float | None
    reason: str


Table = dict[str, dict[str, Verdict]]  # device -> mode -> verdict; devices are cpu, cuda:0, cuda:1 …, mps


class Refusal(InputError):
    """A wish that cannot be met here. `safe` is a wish that can."""

    def __init__(self, words: str, safe: Wish):
        super().__init__(words)
        self.safe = safe


@dataclass(frozen=True)
class Placement:
    """Where the stages run and in which precision. Part of the key under which a model is kept."""

    device: str = "cpu"
    listen: str = "float32"
    say: str = "float32"
    render: str = "float32"

    def __post_init__(self) -> None:
        for stage in ("listen", "say", "render"):
            mode = getattr(self, stage)
            if mode not in MODES:
                raise ValueError(f"There is no precision {mode!r}; there are {', '.join(MODES)}.")
            if mode == "int8" and (stage != "say" or self.device != "cpu"):
                raise ValueError(
                    f"int8 is for the linear weights of say on the CPU, not {stage} on {self.device}."
                )

    @property
    def key(self) -> str:
        """Device and precisions as one word: a model kept under it was put by an equal placement."""
        return f"{self.device}-{self.listen}-{self.say}-{self.render}"

    def mode(self, stage: Stage) -> str:
        """The precision of a stage; `read` is text and counts as float32."""
        return "float32" if stage == "read" else getattr(self, stage)

    def dtype(self, stage: Stage) -> torch.dtype:
        """What flows between the layers of a stage (for int8 that is float32)."""
        return DTYPES[self.mode(stage)]

    def raised(self, stage: Stage) -> Placement:
        """The same, with one stage back in float32."""
        return self if stage == "read" else replace(self, **{stage: "float32"})

    def put(self, module: nn.Module, stage: Stage) -> nn.Module:
        """`module` on the device in the stage's precision, in eval mode, without gradients.

        The module is changed in place; use what is returned. A submodule with the attribute
        `float32_only = True` keeps float32, whatever the stage's precision. Of an int8 stage the
        `nn.Linear` weights are quantised: such a layer has no `weight` tensor any more, so a network
        takes its dtype from another parameter (a norm's, an embedding's).
        """
        _settle_cuda(self.device)
        module = module.eval().requires_grad_(False)
        _cast(module, torch.device(self.device), self.dtype(stage))
        return _quantised(module) if self.mode(stage) == "int8" else module


def _cast(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move and cast in place, sparing what is marked `float32_only`."""
    if getattr(module, "float32_only", False):
        module.to(device, torch.float32)
        return
    for child in module.children():
        _cast(child, device, dtype)
    module._apply(lambda t: t.to(device, dtype if t.is_floating_point() else None), recurse=False)


def _quantised(module: nn.Module) -> nn.Module:
    """`module` with the weights of its linear layers as int8, one scale a row."""
    rows = torch.ao.quantization.per_channel_dynamic_qconfig
    spared = tuple(name for name, part in module.named_modules() if getattr(part, "float32_only", False))
    names = [
        name
        for name, part in module.named_modules()
        if type(part) is nn.Linear and not any(name == s or not s or name.startswith(f"{s}.") for s in spared)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="torch.ao.quantization is deprecated", category=DeprecationWarning
        )
        return torch.ao.quantization.quantize_dynamic(module, dict.fromkeys(names, rows), inplace=True)


def _settle_cuda(device: str) -> None:
    """The same bytes for the same seed, and a float32 that is float32, on an NVIDIA card."""
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


@dataclass(frozen=True)
class Choice:
    """A placement, what was asked for, what is used, and why the two differ (or why it is so)."""

    placement: Placement
    requested: Wish
    used: Wish
    reason: str


def choose(wish: Wish, table: Table) -> Choice:
    """The placement for a wish. `auto` may fall back and says so in `reason`.

    Raises `Refusal`, with a wish that can be met, for a device or precision that was asked for by name
    and cannot be had.
    """
    raise NotImplementedError


def probe(cache: Path | None = None, *, fresh: bool = False) -> Table:
    """Verdicts of every precision on every device here.

    Measurements are kept in the file `cache` by machine and torch version, so that noise does not flip
    them between runs; `fresh` measures again.
    """
    raise NotImplementedError


def settle_threads() -> int:
    """No more threads than cores this process may use; called once by each front. Gives the number."""
    raise NotImplementedError


@dataclass(frozen=True)
class Memory:
    """Of a device, in bytes."""

    total: int
    free: int


def memory(device: str) -> Memory | None:
    """Memory of a device, None where the system does not tell."""
    raise NotImplementedError


def describe(device: str) -> str:
    """A device's name and size in a few words, for the page."""
    raise NotImplementedError


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "allocate memory" in words)


def free(device: str) -> None:
    """Give back what released models held."""
    gc.collect()
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()
