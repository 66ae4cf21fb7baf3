"""Official checkpoints to engines of ours: `python -m pipelines.convert ENGINE OFFICIAL…`.

OFFICIAL is a file, a folder as the hub has it, or a folder of several of these, whose other files are passed
over. Nothing in a file is executed; what a file is, is told by what it holds. Fetching is for
`pipelines.install`.

Exit codes: 0 all that was named is converted; 2 something cannot be used, told in one line on standard error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.install import ENDINGS, ENGINES
from pipelines.types import InputError

MENDABLE = 2
HUB = ("model.safetensors", "pytorch_model.bin", "bigvgan_generator.pt")  # makes a folder one source


def sources(path: Path) -> list[Path]:
    """What there is to convert in `path`: itself, or the files and folders of the hub beneath it."""
    if not path.is_dir():
        return [path]
    if any((path / name).is_file() for name in HUB):
        return [path]
    return list(_beneath(path))


def _beneath(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from sources(path)
        elif path.suffix in ENDINGS:
            yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.convert", description=main.__doc__)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("official", nargs="+", type=Path, metavar="OFFICIAL", help="files or folders")
    parser.add_argument("--version", default="", help="of a file that does not tell its own")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    options = parser.parse_args(arguments)
    engine = importlib.import_module(ENGINES[options.engine])
    folder, code = options.models / options.engine, 0
    for path in options.official:
        named = sources(path)
        for source in named:
            try:
                print(_converted(options.engine, source, folder, options.version), flush=True)
            except InputError as error:
                passed_over = len(named) > 1
                print(f"passed over: {error}" if passed_over else error, file=sys.stderr, flush=True)
                code = code if passed_over else MENDABLE
        if not named:
            print(f"There is nothing to convert in {path}.", file=sys.stderr)
            code = MENDABLE
    if words := engine.missing(folder):
        print(words)
    return code


def _converted(engine: str, source: Path, folder: Path, version: str) -> str:
    converter = importlib.import_module(f"{ENGINES[engine]}.convert")
    part = converter.convert(source, folder, version)
    return f"{source.name}: {' '.join(filter(None, (part.kind, part.version)))}, in {part.folder}"


if __name__ == "__main__":
    sys.exit(main())
