"""Myna's page: `python app.py`, then open the address it prints. Nothing leaves this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines import device
from pipelines.install import Store
from pipelines.registry import ENGINES, Engines
from pipelines.types import InputError, Run, Wish
from webui import layout
from webui.handlers import Desk, Example

ASSETS = Path(__file__).parent / "assets"
EXAMPLE = ASSETS / "example.flac"
EXAMPLE_TEXT = (
    "Hello! You are hearing a voice that was made on this very machine, a moment ago. "
    "Drop in a clip of your own, and I will try to sound like you."
)
EXAMPLE_LICENCE = "Made by Myna's own engine from a blend of voices; nobody's voice. Apache-2.0."
EXAMPLE_WHEN = "2026-11-21"


def parser() -> argparse.ArgumentParser:
    """All flags of the page, with their help."""
    flags = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    flags.add_argument(
        "--host", default="127.0.0.1", help="the address to serve on (default: for this machine only)"
    )
    flags.add_argument("--port", type=int, default=7860)
    flags.add_argument("--engine", default=next(iter(ENGINES)), help=f"one of {', '.join(ENGINES)}")
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    flags.add_argument("--precision", default="auto", help=f"auto, {', '.join(device.MODES)}")
    flags.add_argument("--data", type=Path, default=Path("data"), help="folder of voices, takes and consents")
    flags.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    flags.add_argument(
        "--pretrained", type=Path, metavar="DIR", help="a folder with official files, beside models/official"
    )
    flags.add_argument("--auth", metavar="NAME:PASSWORD", help="ask every visitor for a name and password")
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until Ctrl+C; gives the exit code."""
    options = parser().parse_args(arguments)
    wish = Wish(options.device, options.precision)
    try:
        desk = open_desk(options.engine, wish, options.models, options.data)
        files = Store(options.models, existing(options.pretrained))
        auth = credentials(options.auth)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if options.host not in layout.LOOPBACK and auth is None:
        print(
            f"Anybody who reaches {options.host} can use this page; --auth NAME:PASSWORD asks for a password."
        )
    page = layout.build(desk, wish, files)
    page.launch(
        server_name=options.host,
        server_port=options.port,
        auth=auth,
        quiet=True,
        prevent_thread_lock=True,
        **layout.launch_options(desk, options.host),
    )
    print(f"Myna is at {page.local_url} (Ctrl+C ends it)", flush=True)
    page.block_thread()
    return 0


def open_desk(engine: str, wish: Wish, models: Path, data: Path) -> Desk:
    """Everything behind the page, ready to speak. Raises `InputError` for a wish that cannot be met here."""
    device.settle_threads()
    data.mkdir(parents=True, exist_ok=True)
    engines = Engines(models, data, device.probe(data / "probe.json"))
    choice = device.choose(wish, engines.table)
    print(f"{engines.spec(engine).title} on {choice.placement.device}: {choice.reason}")
    engines.prepare(engine, Run(progress=_tell))
    example = Example(EXAMPLE, EXAMPLE_TEXT, EXAMPLE_LICENCE, EXAMPLE_WHEN)
    return Desk(engines, data, engine, example)


def existing(folder: Path | None) -> list[Path]:
    """The folder of `--pretrained`, where it was given. Raises `InputError` where there is none."""
    if folder is not None and not folder.is_dir():
        raise InputError(f"There is no folder {folder} to look for official files in.")
    return [] if folder is None else [folder]


def credentials(flag: str | None) -> tuple[str, str] | None:
    """The name and password of `--auth`. Raises `InputError` where one is missing."""
    if flag is None:
        return None
    name, _, password = flag.partition(":")
    if not name or not password:
        raise InputError("--auth needs a name and a password with a colon between them.")
    return name, password


def _tell(stage: str, done: int, total: int) -> None:
    print(f"Unpacking the voice model, once: {done} of {total}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
