"""Official checkpoints to engines of ours: `python -m pipelines.convert ENGINE OFFICIAL…`.

OFFICIAL is a file, a folder as the hub has it, or a folder of several of these, whose other files are passed
over. Nothing in a file is executed; what a file is, is told by what it holds. What only changes another part,
as a LoRA does, is converted after all others. Fetching is for `pipelines.install`.

Exit codes: 0 all that was named is converted; 2 something cannot be used, told in one line on standard error;
130 stopped with Ctrl+C, no part being left by half.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from pipelines.clone import MENDABLE, STOPPED, Parser
from pipelines.install import ENDINGS, ENGINES, write_any_name
from pipelines.types import InputError

HUB = ("model.safetensors", "pytorch_model.bin", "bigvgan_generator.pt")  # makes a folder one source


def sources(path: Path) -> list[Path]:
    """What there is to convert in `path`: itself, or the files and folders of the hub beneath it."""
    if not path.is_dir():
        return [path]
    if any((path / name).is_file() for name in HUB):
        return [path]
    return list(_beneath(path))


def _beneath(folder: Path) -> Iterator[Path]:
    """Links to folders are not followed: they lead elsewhere, or round in circles."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if not path.name.startswith(".") and not path.is_symlink():
                yield from sources(path)
        elif path.suffix.lower() in ENDINGS:
            yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = parser().parse_args(arguments)
    write_any_name()
    try:
        return _run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return MENDABLE
    except KeyboardInterrupt:
        return STOPPED


def parser() -> argparse.ArgumentParser:
    """All flags of the command line, with their help."""
    flags = Parser(prog="python -m pipelines.convert", description="Official checkpoints to engines of ours.")
    flags.add_argument("engine", choices=list(ENGINES))
    flags.add_argument("official", nargs="+", type=Path, metavar="OFFICIAL", help="files or folders")
    flags.add_argument("--version", default="", help="of a file that does not tell its own")
    flags.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    return flags


def _run(options: argparse.Namespace) -> int:
    code = 0
    for source, named in _in_order(options.engine, options.official):
        try:
            print(_converted(options.engine, source, options.models, options.version), flush=True)
        except InputError as error:
            print(error if named else f"passed over: {error}", file=sys.stderr, flush=True)
            code = MENDABLE if named else code
    print(_ready(importlib.import_module(ENGINES[options.engine]), options.models / options.engine))
    return code


def _ready(engine: ModuleType, folder: Path) -> str:
    """Whether the engine can speak now, in words; where nothing was chosen of what is whole, the best is."""
    try:
        engine.prepare(folder, lambda stage, done, total: None)
    except InputError as error:
        return str(error)
    return f"{engine.SPEC.title} is ready."


def _in_order(engine: str, official: Sequence[Path]) -> list[tuple[Path, bool]]:
    """All there is to convert, and whether it was named alone: what changes other parts comes last.

    Raises `InputError` for a folder in which there is nothing.
    """
    found: list[tuple[Path, bool]] = []
    for path in official:
        try:
            there = sources(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        if not there:
            raise InputError(f"There is nothing to convert in {path}.")
        found += [(source, len(there) == 1) for source in there]
    return sorted(found, key=lambda one: _changes_others(engine, one[0])) if len(found) > 1 else found


def _changes_others(engine: str, source: Path) -> bool:
    converter = _converter(engine)
    try:
        return converter.recognise(source)[0] in converter.LAST
    except InputError:  # told when it is converted
        return False


def _converted(engine: str, source: Path, models: Path, version: str) -> str:
    part = _converter(engine).convert(source, models / engine, version)
    return f"{source.name}: {' '.join(filter(None, (part.kind, part.version)))}, in {part.folder}"


def _converter(engine: str) -> ModuleType:
    return importlib.import_module(f"{ENGINES[engine]}.convert")


if __name__ == "__main__":
    sys.exit(main())
