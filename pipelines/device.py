"""Hardware and precision, in one place: what was measured here, what is chosen, and where a network goes.

`probe` runs the very operations that engines use, on each device and in each precision, and gives a
table of verdicts; `choose` turns a wish into a `Placement` by that table, or refuses in words;
`Placement.put` is the only place where a network changes device or dtype.
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import json
import logging
import os
import platform
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.types import InputError, Stage, Wish

log = logging.getLogger(__name__)

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
        `float32_only = True` keeps float32, whatever the stage's precision. Of an int8 stage the `nn.Linear`
        weights are quantised: such a layer has no `weight` tensor any more, so a network takes its dtype from
        another parameter (a norm's, an embedding's). A module with a method `settle` then makes ready for its
        device. On a CPU the large `nn.Linear` layers of another that is for `say` become `Packed`, where
        there is such an operation; those that are left in float32 become `Direct`, where that is faster.
        """
        _settle_cuda(self.device)
        module = module.eval().requires_grad_(False)
        _cast(module, torch.device(self.device), self.dtype(stage))
        if self.mode(stage) == "int8":
            module = _quantised(module)
        settles = hasattr(module, "settle")
        if self.device != "cpu":
            if settles:
                module.settle()
            return module
        if settles:
            module = _settled(module)
        elif stage == "say" and self.mode(stage) != "int8" and _packs(self.dtype(stage)):
            # What is not packed is copied, so that the file it was mapped from leaves memory. Other stages
            # gain little over `Direct`, and while BERT, their largest, is packed it would be there twice.
            module = _packed(module)._apply(torch.clone)
        return _direct(module)


def _cast(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move and cast in place, sparing what is marked `float32_only`."""
    if getattr(module, "float32_only", False):
        module.to(device, torch.float32)
        return
    for child in module.children():
        _cast(child, device, dtype)
    module._apply(lambda t: t.to(device, dtype if t.is_floating_point() else None), recurse=False)


def _settled(module: nn.Module) -> nn.Module:
    """`module` with its weights where it wants them, and none in the file that they were mapped from."""
    before = list(module.parameters())
    module.settle()
    left = {id(tensor) for tensor in before}
    for tensor in module.parameters():
        if id(tensor) in left:
            tensor.data = tensor.data.clone()
    return module


class Packed(nn.Module):
    """A linear layer whose weights lie in memory in the order in which oneDNN reads them.

    Equal to `nn.Linear` within rounding, of the same dtype, and about as fast as memory gives the weights,
    for one row as for a few; `functional.linear` takes 1.8 times as long for one row in float32 and 2.6
    times for several (torch 2.13, Zen 5). Without gradients, but what it makes of an input with one has one.
    """

    ROWS = 4  # for so many the order is chosen: for 1 it would be one that takes 1.4 times as long
    LEAST = 2**16  # weights; fewer stay in the processor's cache, and the dearer call is not worth it

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), self.ROWS)

    @property
    def weight(self) -> Tensor:
        """A copy of the weights as `nn.Linear` has them, (out, in)."""
        return self._packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if x.requires_grad and torch.is_grad_enabled():
            return functional.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")


def _packs(dtype: torch.dtype) -> bool:
    """Whether `Packed` is worth it here. It was tried on x86 alone."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    quick = torch.ops.mkldnn._is_mkldnn_bf16_supported
    return dtype == torch.float32 or (dtype == torch.bfloat16 and quick())


class Direct(nn.Linear):
    """A float32 `nn.Linear` on a CPU that oneDNN computes, over the weights as they lie: none is copied.

    Equal to `nn.Linear` within rounding; gradients go through. Where MKL, which `functional.linear` calls,
    leaves AVX-512 unused, that way takes 1.8 to 2.0 times as long for BERT-large, 1.6 for the transformer
    of GPT-SoVITS v4 and 1.4 for HuBERT base (torch 2.13, Zen 5).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad):
            return super().forward(input)
        return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")


def _direct(module: nn.Module) -> nn.Module:
    """`module` with its large linear layers in float32 as `Direct`, where that is faster."""
    if _packs(torch.float32) and _mkl_is_slow():
        for part in module.modules():
            if _large(part) and part.weight.dtype == torch.float32:
                part.__class__ = Direct  # so its parameters, tied or mapped from a file, stay what they are
    return module


def _mkl_is_slow() -> bool:
    """Whether MKL leaves this processor's AVX-512 unused, as it does on AMD's.

    With MKL made to use it on the same machine, and with AVX2 alone, `Direct` brought BERT 1.2 times the
    speed and the others nothing; single layers became anything from 0.7 to 1.5 times as fast.
    """
    maker = _cpu_facts().get("vendor_id") or platform.processor()
    return "AuthenticAMD" in maker and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _large(module: nn.Module) -> bool:
    """Whether this is a linear layer that oneDNN is worth it for; it misreads a bias with gaps."""
    if type(module) is not nn.Linear or module.weight.numel() < Packed.LEAST:
        return False
    return module.bias is None or module.bias.is_contiguous()


def _packed(module: nn.Module) -> nn.Module:
    """`module` with its large linear layers packed."""
    if _large(module):
        return Packed(module)
    for name, child in module.named_children():
        setattr(module, name, _packed(child))
    return module


def _quantised(module: nn.Module) -> nn.Module:
    """`module` with the weights of its linear layers as int8, one scale a row."""
    rows = torch.ao.quantization.per_channel_dynamic_qconfig
    spared = tuple(name for name, part in module.named_modules() if getattr(part, "float32_only", False))
    names = [
        name
        for name, part in module.named_modules()
        if type(part) is nn.Linear and not any(name == s or not s or name.startswith(f"{s}.") for s in spared)
    ]
    whole = nn.ModuleDict({"module": module})  # so that a module that is itself a linear layer can be swapped
    names = [f"module.{name}".rstrip(".") for name in names]
    with warnings.catch_warnings():
        # torch says twice that this way will go one day; no other of its ways is as fast on a CPU.
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings(
            "ignore", "torch.quantize_per_tensor, torch.quantize_per_channel", UserWarning
        )
        torch.ao.quantization.quantize_dynamic(whole, dict.fromkeys(names, rows), inplace=True)
    return whole["module"]


def _settle_cuda(device: str) -> None:
    """The same bytes for the same seed, and a float32 that is float32, on an NVIDIA card."""
    if torch.device(device).type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


@dataclass(frozen=True)
class Choice:
    """A placement, what was asked for, what is used, and a sentence on why."""

    placement: Placement
    requested: Wish
    used: Wish
    reason: str


def choose(wish: Wish, table: Table) -> Choice:
    """The placement for a wish. `auto` may fall back and says so in `reason`.

    Raises `Refusal`, with a wish that can be met, for a device or precision that was asked for by name
    and cannot be had.
    """
    if wish.precision not in ("auto", *MODES):
        words = f"There is no precision {wish.precision!r}; there are auto, {', '.join(MODES)}."
        raise Refusal(words, Wish(_usable(wish.device, table) or "cpu", "float32"))
    if wish.device == "auto":
        return _choose_device(wish, table)
    device = _usable(wish.device, table)
    if device is None:
        raise Refusal(_no_device(wish.device, table), Wish(_best_device(table), "float32"))
    return _choose_precision(wish, device, table[device])


def _works(device: str, table: Table) -> bool:
    return table[device]["float32"].verdict != "impossible"


def _usable(device: str, table: Table) -> str | None:
    """The table's name of a device that works; plain `cuda` is the first card that does."""
    names = [name for name in table if name == device or name.partition(":")[0] == device]
    return next((name for name in names if _works(name, table)), None)


def _best_device(table: Table) -> str:
    """What auto takes: the first card whose float32 is right (CUDA counts the fastest first), else the CPU.

    Apple's GPU is left to those who ask for it: autoregressive steps were slower there than on its CPU.
    """
    cards = (name for name in table if name.startswith("cuda") and table[name]["float32"].verdict == "safe")
    return next(cards, "cpu")


def _no_device(device: str, table: Table) -> str:
    """Why a device asked for by name cannot be had, and what can."""
    there = ", ".join(name for name in table if _works(name, table))
    failed = [name for name in table if name == device or name.partition(":")[0] == device]
    if failed:
        return f"{failed[0]} cannot be used: {table[failed[0]]['float32'].reason} Here {there} can."
    return f"There is no device {device!r} on this machine; there is {there}."


def _choose_device(wish: Wish, table: Table) -> Choice:
    """For the device `auto`: the best one, or another where the precision asked for is safe."""
    best = _best_device(table)
    unused = [
        f"{name} is not used: {table[name]['float32'].reason}" for name in table if _passed(name, table)
    ]
    if wish.precision != "auto" and table[best][wish.precision].verdict == "impossible":
        others = (name for name in table if table[name][wish.precision].verdict == "safe")
        other = next(others, None)
        if other is not None:
            unused.append(f"{best} is not used: {table[best][wish.precision].reason}")
            best = other
    choice = _choose_precision(wish, best, table[best])
    return replace(choice, reason=" ".join([choice.reason, *unused]))


def _passed(device: str, table: Table) -> bool:
    """Whether auto had to leave this card aside."""
    return device.startswith("cuda") and table[device]["float32"].verdict != "safe"


def _choose_precision(wish: Wish, device: str, verdicts: Mapping[str, Verdict]) -> Choice:
    """On a device that works: the precision asked for, or the one that auto takes."""
    if wish.precision == "auto":
        mode = _best_mode(device, verdicts)
        placement = Placement(device, say=mode)
        rest = "" if mode == "float32" else " The other stages stay in float32."
        reason = _auto_words(device, mode, verdicts) + rest
    else:
        mode = wish.precision
        if verdicts[mode].verdict == "impossible":
            raise Refusal(
                f"{mode} cannot be used on {device}: {verdicts[mode].reason}", Wish(device, "float32")
            )
        placement = Placement(device, **dict.fromkeys(_lowered(mode, wish), mode))
        reason = f"{mode} on {device}, as asked: {verdicts[mode].reason}"
    return Choice(placement, wish, Wish(device, mode, wish.stages), reason)


def _lowered(mode: str, wish: Wish) -> tuple[str, ...]:
    """The stages that a precision asked for by name is for. Raises `Refusal` for one it cannot lower."""
    able = ("say",) if mode == "int8" else ("listen", "say", "render")
    for stage in wish.stages:
        if stage not in able:
            words = f"{mode} is not for {stage!r}; it is for {', '.join(able)}."
            raise Refusal(words, replace(wish, stages=()))
    return wish.stages or able


def _best_mode(device: str, verdicts: Mapping[str, Verdict]) -> str:
    """The fastest safe mode that is worth leaving float32 for.

    On a CPU never float16, whatever was measured: it overflows past 65504 where bfloat16 does not, and
    which of its CPU kernels are quick differs from one shape to the next.
    """
    speeds = {
        mode: verdict.speed
        for mode, verdict in verdicts.items()
        if verdict.verdict == "safe" and verdict.speed is not None and verdict.speed >= WORTH
        if not (device == "cpu" and mode == "float16")
    }
    return max(speeds, key=speeds.__getitem__, default="float32")


def _auto_words(device: str, mode: str, verdicts: Mapping[str, Verdict]) -> str:
    if mode == "float32":
        return f"float32 on {device}: no other precision is both safe and {WORTH} times faster here."
    return f"say in {mode} on {device}: {verdicts[mode].reason}"


# What there is


@dataclass(frozen=True)
class Capabilities:
    """Facts of one device, as the system tells them.

    `memory` is in bytes (0: unknown), `capability` an NVIDIA card's compute capability, `bf16` whether
    the hardware multiplies bfloat16 itself (None: unknown), `cores` those that this process may use.
    """

    device: str
    kind: Literal["cpu", "cuda", "mps"]
    name: str
    memory: int = 0
    capability: tuple[int, int] | None = None
    bf16: bool | None = None
    cores: int = 0

    def __str__(self) -> str:
        facts = [self.name]
        if self.cores:
            facts.append(f"{self.cores} core{'s' if self.cores > 1 else ''}")
        if self.memory:
            facts.append(f"{self.memory / 2**30:.0f} GiB")
        return ", ".join(facts)


def present() -> tuple[Capabilities, ...]:
    """Every device that says it is there; whether it works is for the probe to find out."""
    ram = _ram()
    total = ram.total if ram else 0
    cpu = Capabilities("cpu", "cpu", _cpu_name(), total, bf16=_cpu_bf16(), cores=cores())
    cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else range(0)
    found = [cpu, *(_card(index) for index in cards)]
    if torch.backends.mps.is_available():
        found.append(Capabilities("mps", "mps", "Apple GPU", total))
    return tuple(found)


def _card(index: int) -> Capabilities:
    """An NVIDIA card. `torch.cuda.is_bf16_supported()` counts emulation, so it is not asked."""
    facts = torch.cuda.get_device_properties(index)
    capability = (facts.major, facts.minor)
    return Capabilities(
        f"cuda:{index}", "cuda", facts.name, facts.total_memory, capability, bf16=capability >= (8, 0)
    )


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cpu_name() -> str:
    name = _cpu_facts().get("model name") or platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _cpu_bf16() -> bool | None:
    facts = _cpu_facts()
    flags = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags)) if flags else None


def cores() -> int:
    """Cores that this process may use: the system's, less what affinity or a container's quota takes."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            count = min(count, max(1, int(allowed) // int(period)))
    return count


def settle_threads() -> int:
    """Half as many threads an operation as there are cores for us; each front calls it once. Gives how many.

    The threads of one operation wait for each other, so one that finds its core taken holds up all: on
    two cores with something else running, two threads made the embedded engine 2 to 5 times slower than
    one (and a first sound came after 20 s instead of 2). The other half is for what runs beside it: a
    second piece of sound, the page, the player. Fewer, if torch was already told fewer, stay as they are.
    """
    count = max(1, min(torch.get_num_threads(), cores() // 2))
    torch.set_num_threads(count)
    return count


@dataclass(frozen=True)
class Memory:
    """Of a device, in bytes."""

    total: int
    free: int


def memory(device: str) -> Memory | None:
    """Memory of a device, None where the system does not tell. Raises `RuntimeError` for a lost card."""
    if torch.device(device).type == "cuda":
        available, total = torch.cuda.mem_get_info(device)
        return Memory(total, available)
    return _ram()


def _ram() -> Memory | None:
    """The machine's memory, or what a container may take of it; None off Linux."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    lines = (line.split() for line in path.read_text().splitlines())
    kibibytes = {words[0]: int(words[1]) for words in lines}
    total, available = kibibytes["MemTotal:"] * 1024, kibibytes["MemAvailable:"] * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (words := limit.read_text().strip()) != "max":
        total = min(total, int(words))
        available = min(available, max(0, int(words) - int(used.read_text())))
    return Memory(total, available)


def describe(device: str) -> str:
    """A device's name and size in a few words, for the page. Raises `ValueError` for one not there."""
    for facts in present():
        if facts.device == device:
            return str(facts)
    raise ValueError(f"There is no device {device!r} here.")


# What was measured


@dataclass(frozen=True)
class Measurement:
    """What one precision did on one device.

    `words` say why it did not run, and are empty where it did. `error` is the relative (RMS) distance from
    float32 on the CPU of the `worst` operation; `step` and `sentence` are speeds as multiples of float32's on
    the same device: of an autoregressive step, and of the operations that run over a whole sentence.
    """

    words: str = ""
    finite: bool = True
    error: float | None = None
    worst: str = ""
    step: float | None = None
    sentence: float | None = None


# RMS. In say of the embedded engine bfloat16 (0.7 % here) moved the pitch by 22 cents and 3 of 106 durations
# by a frame; int8 (1.9 %) moved it by 160 cents and 16 durations, which is another reading.
CLOSE = 0.01
NOT_SLOWER = 0.9  # below this a mode counts as slower; the tenth is for noise
# Turing without tensor cores and the mining cards: silence in float16 reported over and over, and a
# probe's few shapes may miss the broken kernel.
NO_SOUND_IN_HALF = re.compile(r"GTX 16\d\d|\bCMP\b|\b[TM]X?(400|450|500|550|600|1000|1200)\b")


def judge(facts: Capabilities, mode: str, measured: Measurement) -> Verdict:
    """The verdict on a measurement, with its reason in words."""
    if measured.words:
        return Verdict("impossible", False, None, None, measured.words)
    if not measured.finite:
        words = f"{measured.worst} gives values that are not numbers (NaN or infinite) on {facts.name}."
        return Verdict("impossible", False, None, measured.step, words)
    against = _caveats(facts, mode, measured)
    words = _figures(mode, measured)
    if against:
        words = f"{words}, but {' and '.join(against)}"
    verdict = "possible" if against else "safe"
    return Verdict(verdict, True, measured.error, measured.step, f"{words}.")


def _figures(mode: str, measured: Measurement) -> str:
    if mode == "float32":
        return "the reference"
    return f"{measured.step:.1f} × float32's speed, {measured.error:.2%} away from it"


def _caveats(facts: Capabilities, mode: str, measured: Measurement) -> list[str]:
    """What keeps a mode that runs from being safe."""
    against = []
    if measured.error > CLOSE:
        against.append(f"{measured.worst} is {measured.error:.1%} away from float32 ({CLOSE:.0%} is close)")
    if measured.step < NOT_SLOWER:
        against.append(f"a step takes {1 / measured.step:.1f} times as long as in float32")
    if measured.sentence < NOT_SLOWER:
        against.append(f"convolutions and whole sentences take {1 / measured.sentence:.1f} times as long")
    if facts.kind == "cuda" and mode == "bfloat16" and not facts.bf16:
        capability = ".".join(map(str, facts.capability))
        against.append(f"this card only emulates it (compute capability {capability}, 8.0 is needed)")
    if mode == "float16" and NO_SOUND_IN_HALF.search(facts.name):
        against.append("cards of this family are known to fall silent in it")
    if facts.kind == "mps" and mode != "float32":
        against.append("on Apple's GPU only float32 is trusted")
    return against


def _unmeasured(facts: Capabilities, mode: str, float32: Measurement | None) -> Measurement | None:
    """What is known without trying: int8 off the CPU, and anything on a device that cannot do float32."""
    if mode == "int8" and facts.kind != "cpu":
        return Measurement(
            "int8 is made for the CPU here; a graphics card is quicker in 16 bits.", finite=False
        )
    if float32 is not None and (float32.words or not float32.finite):
        return float32
    return None


# The probe

PROBE = 2  # of the operations below: a change makes every kept measurement void
Measure = Callable[[Capabilities, str], Measurement]


def probe(
    cache: Path | None = None,
    *,
    fresh: bool = False,
    devices: Sequence[Capabilities] | None = None,
    measure: Measure | None = None,
) -> Table:
    """Verdicts of every precision on every device here.

    Measurements are kept in the file `cache` by machine and torch version, so that noise does not flip the
    verdicts between runs; `fresh` measures again. What did not run is not kept, so that a mended driver is
    seen. `devices` and `measure` stand in for this machine.
    """
    measure = measure or _measure
    kept = {} if cache is None else _kept(cache)
    known = {} if fresh else dict(kept)
    table: Table = {}
    for facts in present() if devices is None else devices:
        table[facts.device] = {}
        float32 = None
        for mode in MODES:
            key = _key(facts, mode)
            measured = _unmeasured(facts, mode, float32) or known.get(key) or measure(facts, mode)
            float32 = float32 or measured
            if not measured.words:
                kept[key] = measured
            table[facts.device][mode] = judge(facts, mode, measured)
    if cache is not None:
        _keep(cache, kept)
    return table


def _key(facts: Capabilities, mode: str) -> str:
    return " | ".join([f"probe {PROBE}", f"torch {torch.__version__}", str(facts), facts.device, mode])


def _kept(cache: Path) -> dict[str, Measurement]:
    """What earlier runs measured; nothing where the file is missing or is not ours to read."""
    try:
        rows = json.loads(cache.read_text(encoding="utf-8"))
        return {key: Measurement(**row) for key, row in rows.items() if _well_formed(row)}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        log.warning("The kept measurements in %s cannot be read (%s); measuring again.", cache, error)
        return {}


def _well_formed(row: Mapping[str, object]) -> bool:
    """Whether a row holds a measurement that can be judged."""
    numbers = all(isinstance(row.get(name), float) for name in ("error", "step", "sentence"))
    return row.get("words") == "" and (row.get("finite") is False or numbers)


def _keep(cache: Path, kept: Mapping[str, Measurement]) -> None:
    """Write the measurements beside the file and put them in its place at once."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({key: asdict(measured) for key, measured in kept.items()}, indent=1)
    with tempfile.NamedTemporaryFile(
        "w", dir=cache.parent, prefix=cache.name, delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    os.replace(file.name, cache)


SEEDED = 0
FRAMES = 64
LOUD = 8.0  # standard deviation of what goes in: hidden states of trained networks are not unit noise


class _Block(nn.Module):
    """One layer of an autoregressive model, a token at a time."""

    def __init__(self, width: int, slots: int):
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("cache", torch.zeros(2, 1, width // 64, slots, 64))

    def forward(self, x: Tensor, position: int) -> Tensor:
        heads = self.qkv(self.before(x)).view(3, 1, -1, 1, 64)
        self.cache[:, :, :, position : position + 1] = heads[1:]
        keys, values = self.cache[:, :, :, : position + 1]
        attended = functional.scaled_dot_product_attention(heads[0], keys, values)
        x = x + self.out(attended.reshape(1, 1, -1))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class _Speaker(nn.Module):
    """A small autoregressive model, wide enough that reading its weights is what a step costs."""

    TOKENS, WIDTH = 1024, 768

    def __init__(self, width: int = WIDTH, layers: int = 2, slots: int = 32):
        super().__init__()
        self.embedding = nn.Embedding(self.TOKENS, width)
        self.blocks = nn.ModuleList(_Block(width, slots) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.TOKENS)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (L, TOKENS) of `ids` (L,), made one token after the other."""
        rows = []
        for position, token in enumerate(ids):
            x = self.embedding(token).view(1, 1, -1)
            for block in self.blocks:
                x = block(x, position)
            rows.append(self.head(self.norm(x)).float().view(-1))
        return torch.stack(rows)


class _Sentence(nn.Module):
    """The operations that run over a whole sentence: of encoders, predictors and vocoders."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {
                "convolution": nn.Conv1d(256, 256, 7, padding=3),
                "transposed convolution": nn.ConvTranspose1d(256, 128, 16, stride=8, padding=4),
                "a linear layer": nn.Linear(256, 1024),
                "layer norm": nn.LayerNorm(256),
                "instance norm": nn.InstanceNorm1d(256, affine=True),
                "LSTM": nn.LSTM(256, 128, bidirectional=True, batch_first=True),
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """What each operation makes of `x` (1, 256, T), by name."""
        along = ("convolution", "transposed convolution", "instance norm")
        made = {name: part(x if name in along else x.mT) for name, part in self.parts.items()}
        made["LSTM"], _ = made["LSTM"]
        made["softmax"] = functional.softmax(x / LOUD, -1, dtype=torch.float32)
        return made


TOKENS_TIMED = 4
# Of timing, for one mode. Under a load of five the median of 40 rounds' ratios stayed within 3 %; that of
# 15 did not, and quotients of minima or quartiles varied most.
ROUNDS, ROUNDS_SECONDS = 40, 0.5


def _measure(facts: Capabilities, mode: str) -> Measurement:
    """Run the operations in float32 and in `mode` side by side on a device."""
    threads = torch.get_num_threads()
    if facts.kind == "cpu":
        # With two, another program on the other core decides the figures: ratios from 0.1 to 11 were seen.
        torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            measured = _side_by_side(facts, mode)
        free(facts.device)
        return measured
    except RuntimeError as error:
        words = str(error).partition("\n")[0].strip().rstrip(".")
        return Measurement(f"{mode} does not run on {facts.name}: {words}.", finite=False)
    finally:
        torch.set_num_threads(threads)


def _side_by_side(facts: Capabilities, mode: str) -> Measurement:
    placement = Placement(facts.device, say=mode)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDED)
        # A graphics card reads weights so fast that only a wide model costs more than its launches.
        speaker = _Speaker() if facts.kind == "cpu" else _Speaker(width=2048)
        sentence = _Sentence()
        sound = LOUD * torch.randn(1, 256, FRAMES)
    ids = torch.arange(24) * 7
    truth = {"autoregressive steps": speaker.eval()(ids), **sentence.eval()(sound)}
    plain = Placement(facts.device)
    speakers = [place.put(copy.deepcopy(speaker), "say") for place in (plain, placement)]
    sentences = [place.put(copy.deepcopy(sentence), "say") for place in (plain, placement)]
    ids = ids.to(facts.device)
    sounds = [sound.to(facts.device, place.dtype("say")) for place in (plain, placement)]
    made = {"autoregressive steps": speakers[1](ids), **sentences[1](sounds[1])}
    made = {name: tensor.float().cpu() for name, tensor in made.items()}
    broken = [name for name, tensor in made.items() if not tensor.isfinite().all()]
    if broken:
        return Measurement(finite=False, worst=" and ".join(broken))
    errors = {name: _distance(made[name], truth[name]) for name in truth}
    worst = max(errors, key=errors.__getitem__)
    if mode == "float32":
        return Measurement(error=errors[worst], worst=worst, step=1.0, sentence=1.0)
    steps = [functools.partial(speaker, ids[:TOKENS_TIMED]) for speaker in speakers]
    passes = [functools.partial(body, wave) for body, wave in zip(sentences, sounds, strict=True)]
    return Measurement(
        error=errors[worst],
        worst=worst,
        step=_faster(*steps, facts.device),
        sentence=_faster(*passes, facts.device),
    )


def _distance(made: Tensor, truth: Tensor) -> float:
    """RMS of the difference over RMS of the truth."""
    return ((made - truth).square().mean() / truth.square().mean()).sqrt().item()


def _faster(plain: Callable[[], object], other: Callable[[], object], device: str) -> float:
    """How many times faster `other` is: the median over rounds in which each runs once, in turn."""
    started = time.perf_counter()
    ratios: list[float] = []
    while len(ratios) < 3 or (len(ratios) < ROUNDS and time.perf_counter() - started < ROUNDS_SECONDS):
        ratios.append(_seconds(plain, device) / _seconds(other, device))
    return statistics.median(ratios)


def _seconds(work: Callable[[], object], device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    """Till the device has done what it was given."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


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


def _lines(table: Table) -> Iterator[str]:
    """The table as aligned text."""
    for name, verdicts in table.items():
        yield f"{name}: {describe(name)}"
        for mode, verdict in verdicts.items():
            speed = "-" if verdict.speed is None else f"{verdict.speed:.2f} ×"
            error = "-" if verdict.error is None else f"{verdict.error:.3%}"
            yield f"  {mode:<9} {verdict.verdict:<11} {speed:>8} {error:>9}  {verdict.reason}"
    yield f"auto: {choose(Wish(), table).reason}"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.device`: the verdicts of this machine."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.device", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="device, mode and verdict as JSON")
    parser.add_argument("--fresh", action="store_true", help="measure again, whatever is kept")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="where measurements are kept")
    options = parser.parse_args(arguments)
    settle_threads()
    table = probe(options.cache, fresh=options.fresh)
    if options.json:
        plain = {name: {mode: asdict(v) for mode, v in verdicts.items()} for name, verdicts in table.items()}
        print(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_lines(table)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
