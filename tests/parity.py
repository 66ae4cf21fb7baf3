"""`python -m tests.parity FILE…`: fixtures of the reference implementations against our own.

A fixture holds inputs and expected outputs of one case; its weights follow from a formula, by name. They are
written as the official file would hold them, go through the engine's real `convert` and `load`, and the case
is run. One line an output: the relative error, max |a - b| / std(b), or whether integers are equal.

Exit codes: 0 all agree; 1 something is beyond its tolerance, is missing, or nothing was compared; 2 a fixture
cannot be run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tests import parity_gpt_sovits

GOLDENS = Path("../shared/goldens")
ENGINES: Mapping[str, Callable[..., Mapping[str, Tensor]]] = {"gpt_sovits": parity_gpt_sovits.run}


@dataclass(frozen=True)
class Fixture:
    """One case: `inputs` and `outputs` by their names without `in.` and `out.`."""

    path: Path
    engine: str
    case: str
    kind: str  # of checkpoint; "none" where no weights are needed
    salt: int
    config: Mapping[str, object]
    tolerance: float
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Fixture:
        """Raises `ValueError` for a file that is no fixture."""
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            return cls(
                path,
                told["engine"],
                told["case"],
                told["kind"],
                int(told["salt"]),
                json.loads(told["config"]),
                float(told["tolerance"]),
                {name.removeprefix("in."): t for name, t in tensors.items() if name.startswith("in.")},
                {name.removeprefix("out."): t for name, t in tensors.items() if name.startswith("out.")},
            )
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is no fixture ({error!r}).") from error


class Weights:
    """The weights that belong to a kind of checkpoint and a salt, from `formula.py` in `goldens`."""

    def __init__(self, goldens: Path):
        self._shapes = goldens / "shapes"
        self._formula = _module(goldens / "formula.py")

    def __call__(self, kind: str, salt: int) -> dict[str, Tensor]:
        """{official name: tensor}."""
        shapes = json.loads((self._shapes / f"{kind}.json").read_text())
        return {name: torch.as_tensor(w) for name, w in self._formula.state_dict(shapes, salt).items()}


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("formula", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Line:
    """One output compared. `error` is relative; None where it could not be computed, `words` say why."""

    name: str
    good: bool
    error: float | None
    words: str = ""

    def __str__(self) -> str:
        figure = "" if self.error is None else f"{self.error:.2e}"
        return f"{'ok ' if self.good else 'BAD'} {self.name:<28} {figure:>9} {self.words}".rstrip()


def compare(made: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> list[Line]:
    """A line for every expected output."""
    return [_compared(name, made.get(name), truth, tolerance) for name, truth in sorted(expected.items())]


def _compared(name: str, made: Tensor | None, truth: Tensor, tolerance: float) -> Line:
    if made is None:
        return Line(name, False, None, "is missing")
    if made.shape != truth.shape:
        return Line(name, False, None, f"is {tuple(made.shape)} instead of {tuple(truth.shape)}")
    if not truth.is_floating_point():
        different = int((made != truth).sum())
        return Line(name, not different, None, "equal" if not different else f"{different} differ")
    made, truth = made.double(), truth.double()
    # Both are -inf where a symbol is ruled out.
    gap = torch.where(made == truth, 0.0, (made - truth).abs())
    known = truth[truth.isfinite()]
    error = float(gap.max() / known.std()) if len(known) > 1 else float(gap.max())
    return Line(name, error <= tolerance, error)  # NaN is not below anything


def check(fixture: Fixture, weights: Weights, scratch: Path) -> list[Line]:
    """Run a fixture's case and compare. Raises `ValueError` for a case that nobody knows here."""
    if fixture.engine not in ENGINES:
        raise ValueError(f"There are no cases of {fixture.engine!r} here; there are {', '.join(ENGINES)}.")
    with torch.inference_mode():
        made = ENGINES[fixture.engine](fixture, weights, scratch)
    return compare(made, fixture.outputs, fixture.tolerance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=main.__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="fixtures to run")
    parser.add_argument("--goldens", type=Path, default=GOLDENS, help="folder of formula.py and shapes/")
    options = parser.parse_args(arguments)
    if not (options.goldens / "formula.py").is_file():
        print(f"There is no formula.py in {options.goldens}: give its folder by --goldens.", file=sys.stderr)
        return 2
    weights, worst = Weights(options.goldens), 0
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(options.files):
            for line, code in _lines(path, weights, Path(scratch)):
                print(line, flush=True)
                worst = max(worst, code)
    return worst


def _lines(path: Path, weights: Weights, scratch: Path) -> Iterator[tuple[str, int]]:
    """What to print of one fixture, and the exit code that each line asks for."""
    try:
        fixture = Fixture.read(path)
        lines = check(fixture, weights, scratch)
    except ValueError as error:
        yield f"BAD {path.name}: {error}", 2
        return
    for line in lines:
        yield f"{fixture.engine} {fixture.case:<24} {line}", int(not line.good)
    if not lines:
        yield f"BAD {path.name}: nothing was compared", 1


if __name__ == "__main__":
    sys.exit(main())
