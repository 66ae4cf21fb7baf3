"""Official files to engines that can speak: find what is here, fetch what is missing, convert it.

`python -m pipelines.install gpt_sovits --version v2` from the command line; the Models screen calls the same.
Files are looked for in `models/official/` and in one more folder that whoever starts the program may name.
They are known by what they hold, never by what they are called. What is missing comes from the Hugging Face
hub; nothing is installed by half.

Exit codes: 0 done; 2 something the person can mend, told in one line on standard error; 130 stopped with
Ctrl+C (what was fetched stays, and the next start goes on from there).
"""

from __future__ import annotations

import argparse
import importlib
import json
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol

from huggingface_hub.utils import WeakFileLock

from pipelines import checkpoint, registry
from pipelines.catalogue import Catalogue, Edition, File, Part
from pipelines.clone import MENDABLE, STOPPED, Parser
from pipelines.hub import PATIENCE, Setback, draft_of, fetch, told_bytes
from pipelines.types import Cancelled, InputError, Run

ENGINES: Mapping[str, str] = {"gpt_sovits": "pipelines.engines.gpt_sovits"}
INBOX = "official"  # in the folder of models: where a person may put files, and where fetched ones lie
ENDINGS = (".pth", ".ckpt", ".pt", ".bin", ".safetensors")
DEEP, MANY = 6, 1_000  # folders within folders, and files, that are looked at
SPARE = 200_000_000  # bytes of the disk left to others


class Converter(Protocol):
    """What an engine's `convert` module offers."""

    LAST: tuple[str, ...]  # kinds that change other parts, and are converted after them

    def recognise(self, source: Path) -> tuple[str, str]:
        """Kind and version of a file, or of a folder of the hub, by what it holds. Raises `InputError`."""

    def convert(self, source: Path, folder: Path, version: str = "") -> object:
        """Make a part in `folder`: whole or not at all, at no cost where it is there. Raises `InputError`."""


@dataclass(frozen=True)
class Published:
    """An engine that is installed from published files: what there is, and who converts it."""

    catalogue: Catalogue
    converter: Callable[[], Converter]
    # (engine's folder, edition, {kind: a person's own part}): lets this edition speak, with those parts
    choose: Callable[[Path, str, Mapping[str, str]], None]


@dataclass(frozen=True)
class Step:
    """What an installation does now. `stage`: "wait", "look", "fetch" (bytes done of total) or "convert"."""

    stage: str
    name: str = ""  # of the file
    done: int = 0
    total: int = 0


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class PartState:
    """A part as it stands: "installed", "found" (here, not converted) or "missing".

    `place` is the folder of an installed part or the weights of a found one; `own` marks what is no published
    file but does the same. `fetched` counts the bytes that a broken-off download left.
    """

    part: Part
    state: str
    place: Path | None = None
    own: bool = False
    fetched: int = 0


@dataclass(frozen=True)
class EditionState:
    """An edition as it stands."""

    edition: Edition
    parts: tuple[PartState, ...]

    @property
    def state(self) -> str:
        """ "installed", "found" (all that is needed is here), "part" (some of it is) or "missing"."""
        states = {part.state for part in self.parts}
        if states <= {"installed"}:
            return "installed"
        if states <= {"installed", "found"}:
            return "found"
        return "part" if len(states) > 1 else "missing"

    @property
    def missing(self) -> tuple[PartState, ...]:
        """What is to be fetched."""
        return tuple(part for part in self.parts if part.state == "missing")

    @property
    def to_fetch(self) -> int:
        """Bytes to be fetched; those that a broken-off download left are here already."""
        return sum(part.part.size - part.fetched for part in self.missing)


@dataclass(frozen=True)
class Seen:
    """A file that was looked at: the published part it is, or else kind and version, or else the trouble."""

    path: Path
    part: str = ""
    kind: str = ""
    version: str = ""
    trouble: str = ""
    digest: str = ""  # sha256 of what a person may have made


@dataclass(frozen=True)
class Own:
    """A file that a person made: `key` is its sha256, or the folder of the part that was made of it.

    `chosen`: it speaks now. `instead`: a published part that does the same is installed.
    """

    key: str
    name: str
    kind: str
    version: str
    made: bool
    chosen: bool = False
    instead: bool = False


@dataclass(frozen=True)
class Made:
    """A converted part, as its config.json tells it. `sources` are the sha256 of what it was made of."""

    folder: Path
    kind: str
    version: str
    sources: frozenset[str]


def published(engines: Mapping[str, str] = ENGINES) -> dict[str, Published]:
    """The engines that are installed from published files; a converter is imported when it is first used."""
    return {name: _published(module) for name, module in engines.items()}


def _published(module: str) -> Published:
    return Published(
        importlib.import_module(f"{module}.catalogue").CATALOGUE,
        lambda: importlib.import_module(f"{module}.convert"),
        lambda folder, version, own: importlib.import_module(f"{module}.parts").choose(
            folder, version, **own
        ),
    )


def quiet(step: Step) -> None:
    """Tells nobody."""


class Store:
    """The official files of one installation, and what was made of them.

    `models` is the folder of converted engines; `inbox` in it and the folders `more` are where official files
    are looked for. `endpoint` is the hub's address, huggingface_hub's own where it is None. One installation
    goes on at a time; whoever comes second waits.
    """

    def __init__(
        self,
        models: Path,
        more: Sequence[Path] = (),
        engines: Mapping[str, Published] | None = None,
        endpoint: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.models = models
        self.inbox = models / INBOX
        self.folders = (self.inbox, *more)
        self.engines = published() if engines is None else engines
        self._endpoint = endpoint
        self._patience = patience
        self._known: dict[tuple[str, Path, int, int], Seen] = {}  # by engine, path, bytes, time of change
        self._turn = threading.Lock()

    # --------------------------------------------------------------------------- what there is

    def catalogue(self, engine: str) -> Catalogue:
        """What is published of an engine. Raises `InputError` for one that is unknown."""
        if engine not in self.engines:
            names = ", ".join(self.engines)
            raise InputError(
                f"There is no engine {engine!r} that is installed from files; there are {names}."
            )
        return self.engines[engine].catalogue

    def edition(self, engine: str, name: str) -> Edition:
        """An edition by name. Raises `InputError` for one that is unknown."""
        catalogue = self.catalogue(engine)
        try:
            return catalogue.edition(name)
        except KeyError as error:
            names = ", ".join(edition.name for edition in catalogue.editions)
            raise InputError(f"{catalogue.title} has no version {name!r}; there are {names}.") from error

    def survey(
        self, engine: str, run: Run | None = None, tell: Tell = quiet, own: bool = True
    ) -> tuple[EditionState, ...]:
        """Every edition of an engine as it stands. Files that are new are read, which may take a while.

        Without `own` only published files count, and none that do the same.
        """
        return self._editions(engine, self.look(engine, run or Run(), tell), own)

    def _editions(self, engine: str, seen: Sequence[Seen], own: bool = True) -> tuple[EditionState, ...]:
        catalogue, made = self.catalogue(engine), self._made(engine)
        if not own:
            official = {part.weights.sha256 for part in catalogue.parts.values()}
            seen = [file for file in seen if file.part]
            made = [part for part in made if official & part.sources]
        states = {part.name: self._state(engine, part, seen, made) for part in catalogue.parts.values()}
        return tuple(
            EditionState(edition, tuple(states[name] for name in edition.parts))
            for edition in catalogue.editions
        )

    def look(self, engine: str, run: Run, tell: Tell = quiet) -> list[Seen]:
        """What the files in the folders are. Raises `Cancelled`."""
        seen: list[Seen] = []
        files = [file for folder in self.folders for file in _weights_in(folder, seen)]
        for number, path in enumerate(files):
            run.check()
            if not path.name.isprintable():
                seen.append(
                    Seen(path, trouble=f"{_shown(path.name)} has a name that cannot be shown: rename it.")
                )
                continue
            tell(Step("look", path.name, number, len(files)))
            try:
                seen.append(self._identified(engine, path))
            except FileNotFoundError:
                continue  # converted and deleted in the meantime
            except OSError as error:
                seen.append(Seen(path, trouble=f"{path.name} cannot be read ({error.strerror})."))
        return seen

    def _identified(self, engine: str, path: Path) -> Seen:
        key = _key(engine, path)
        if key not in self._known:
            self._known[key] = self._identify(engine, path)
        return self._known[key]

    def _identify(self, engine: str, path: Path) -> Seen:
        """A published file by its sha256, computed only where the size fits; another by what it holds."""
        size = path.stat().st_size
        alike = [part for part in self.catalogue(engine).parts.values() if part.weights.size == size]
        digest = checkpoint.sha256(path) if alike else ""
        for part in alike:
            if part.weights.sha256 == digest:
                return Seen(path, part.name, part.kind, part.version)
        try:
            kind, version = self.engines[engine].converter().recognise(path)
        except InputError as error:
            return Seen(path, trouble=str(error))
        own = kind in self.catalogue(engine).own
        return Seen(path, "", kind, version, digest=(digest or checkpoint.sha256(path)) if own else "")

    def _made(self, engine: str) -> list[Made]:
        """The parts that were converted before; a damaged one is none, and is made again."""
        folders = sorted((self.models / engine).glob("*/config.json"))
        made = [_made_in(path.parent) for path in folders if not path.parent.name.startswith(".")]
        return [part for part in made if part is not None]

    def _state(self, engine: str, part: Part, seen: Sequence[Seen], made: Sequence[Made]) -> PartState:
        """Published files come before others that do the same, and what is converted before what is found."""
        official = {other.weights.sha256 for other in self.catalogue(engine).parts.values()}
        same = [m for m in made if (m.kind, m.version) == (part.kind, part.version)]
        for folder in (m.folder for m in same if part.weights.sha256 in m.sources):
            return PartState(part, "installed", folder)
        for path in (s.path for s in seen if s.part == part.name and _complete(part, s.path)):
            return PartState(part, "found", path)
        for folder in (m.folder for m in same if not official & m.sources):
            return PartState(part, "installed", folder, own=True)
        for file in seen:
            alike = not file.part and (file.kind, file.version) == (part.kind, part.version)
            if alike and _complete(part, file.path):
                return PartState(part, "found", file.path, own=True)
        return PartState(part, "missing", fetched=self._fetched(engine, part))

    def _fetched(self, engine: str, part: Part) -> int:
        """Bytes of a part that a broken-off download left."""
        count = 0
        for file in part.files:
            target = self._place(engine, part) / file.short
            here = [path for path in (target, draft_of(target, file.sha256)) if path.is_file()]
            count += min(file.size, here[0].stat().st_size) if here else 0
        return count

    def _place(self, engine: str, part: Part) -> Path:
        """Where a part's files are fetched to: a folder as in the repository, which people know."""
        return self.inbox / engine / (part.weights.name.rpartition("/")[0] or part.name)

    # --------------------------------------------------------------------------- installing

    def install(
        self,
        engine: str,
        name: str,
        run: Run,
        tell: Tell = quiet,
        fetching: bool = True,
        own: bool = True,
    ) -> tuple[EditionState, ...]:
        """Make an edition ready: use the files that are here, fetch the others (unless `fetching` is False).

        Without `own`, files that are not the published ones are left aside. What was fetched is deleted once
        it is converted; what a person put there stays. Gives the survey afterwards. Raises `Setback` and
        `Cancelled`; what is whole by then stays.
        """
        edition = self.edition(engine, name)
        with self._alone(run, tell):
            states = self.survey(engine, run, tell, own)
            state = next(state for state in states if state.edition == edition)
            if fetching and state.missing:
                self._check_room(state)
            meter = _Meter(state, tell)
            for part in state.parts:
                run.check()
                if part.state == "missing" and fetching:
                    self._convert(engine, part.part, self._fetch(engine, part.part, run, meter), tell)
                elif part.state == "found":
                    self._convert(engine, part.part, part.place, tell)
            if state.missing and not fetching:
                self._lament(state)
            if edition.sample_rate is None:
                self._choose_again(engine)
            elif not own or self.chosen(engine) is None:
                self.engines[engine].choose(self.models / engine, name, {})
            return self.survey(engine, run, tell)

    def chosen(self, engine: str) -> str | None:
        """The edition that speaks when this engine does; None where none is chosen, or it is gone."""
        version = self._speaking(engine).get("version")
        whole = {state.edition.name for state in self._installed(engine)}
        return version if version in whole else None

    def choose(self, engine: str, name: str) -> None:
        """Let an edition speak when this engine does. Raises `Setback` where it is not installed."""
        edition = self.edition(engine, name)
        if edition.sample_rate is None or edition not in [s.edition for s in self._installed(engine)]:
            raise Setback("absent", edition=edition.title)
        self.engines[engine].choose(self.models / engine, name, {})

    def _choose_again(self, engine: str) -> None:
        """Write down anew what speaks together, after a part came or went; nothing where none is chosen."""
        chosen = self.chosen(engine)
        if chosen is not None:
            self.engines[engine].choose(self.models / engine, chosen, self._own_speaking(engine))

    def _own_speaking(self, engine: str) -> dict[str, str]:
        """The parts that a person made and that speak, by kind."""
        mine = {made.folder.name for made in self._own_made(engine)}
        kept = dict(self._speaking(engine).get("parts", {}))
        return {kind: name for kind, name in kept.items() if name in mine}

    def _speaking(self, engine: str) -> Mapping[str, object]:
        """What the engine's own config.json tells: the edition, and the folders of its parts by kind."""
        try:
            told = json.loads((self.models / engine / "config.json").read_text())
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    # --------------------------------------------------------------------------- files of one's own

    def own(self, engine: str, seen: Sequence[Seen]) -> tuple[Own, ...]:
        """What a person made, found or converted; those that speak now are marked."""
        made = self._own_made(engine)
        known = {digest for part in made for digest in part.sources}
        speaking = set(dict(self._speaking(engine).get("parts", {})).values())
        found = {file.digest: file for file in seen if file.digest and file.digest not in known}
        mine = {m.folder for m in made}
        published = {(m.kind, m.version) for m in self._made(engine) if m.folder not in mine}
        return (
            *(
                Own(
                    key=m.folder.name,
                    name=m.folder.name,
                    kind=m.kind,
                    version=m.version,
                    made=True,
                    chosen=m.folder.name in speaking,
                    instead=(m.kind, m.version) in published,
                )
                for m in made
            ),
            *(Own(key, file.path.name, file.kind, file.version, False) for key, file in found.items()),
        )

    def adopt(self, engine: str, key: str, run: Run, tell: Tell = quiet) -> None:
        """Convert a file that a person made, named by its sha256. Raises `InputError`."""
        with self._alone(run, tell):
            found = [file for file in self.look(engine, run, tell) if file.digest == key]
            if not key or not found:
                raise Setback("vanished")
            tell(Step("convert", found[0].path.name))
            self.engines[engine].converter().convert(found[0].path, self.models / engine, found[0].version)

    def prefer(self, engine: str, folder: str) -> None:
        """Let a part that a person made speak, in the edition that it is for. Raises `InputError`."""
        mine = self._mine(engine, folder)
        chosen, catalogue = self.chosen(engine), self.catalogue(engine)
        fitting = [
            edition.name
            for edition in catalogue.editions
            if (mine.kind, mine.version) in [(part.kind, part.version) for part in catalogue.of(edition)]
        ]
        edition = chosen if chosen in fitting else fitting[0]
        own = self._own_speaking(engine) if edition == chosen else {}
        self.engines[engine].choose(self.models / engine, edition, own | {mine.kind: folder})

    def restore(self, engine: str, folder: str) -> None:
        """Let the published part speak again in place of one that a person made. Raises `Setback`."""
        mine, chosen = self._mine(engine, folder), self.chosen(engine)
        own = {kind: name for kind, name in self._own_speaking(engine).items() if name != mine.folder.name}
        if chosen is not None:
            self.engines[engine].choose(self.models / engine, chosen, own)

    def discard(self, engine: str, folder: str) -> None:
        """Delete a part that a person made; another that does the same speaks then. Raises `Setback`."""
        with self._alone(Run(), quiet):
            _delete(self._mine(engine, folder).folder)
            self._choose_again(engine)

    def _mine(self, engine: str, folder: str) -> Made:
        mine = next((made for made in self._own_made(engine) if made.folder.name == folder), None)
        if mine is None:
            raise Setback("vanished")
        return mine

    def _own_made(self, engine: str) -> list[Made]:
        catalogue = self.catalogue(engine)
        official = {part.weights.sha256 for part in catalogue.parts.values()}
        return [m for m in self._made(engine) if m.kind in catalogue.own and not official & m.sources]

    def _installed(self, engine: str) -> list[EditionState]:
        """The editions that are whole, without a look at official files."""
        return [state for state in self._editions(engine, ()) if state.state == "installed"]

    def removable(self, engine: str, name: str) -> tuple[Path, ...]:
        """The folders that this edition needs and no other one that is installed."""
        wanted, there = self.edition(engine, name), self._editions(engine, ())
        kept = {
            part.place
            for state in there
            if state.state == "installed" and state.edition != wanted
            for part in state.parts
        }
        mine = next(state for state in there if state.edition == wanted)
        places = [part.place for part in mine.parts if part.state == "installed"]
        return tuple(place for place in places if place not in kept)

    def remove(self, engine: str, name: str) -> tuple[Path, ...]:
        """Delete what only this edition needs; gives the folders that are gone. Raises `Setback`."""
        with self._alone(Run(), quiet):
            folders = self.removable(engine, name)
            if not folders:
                raise Setback("needed", edition=self.edition(engine, name).title)
            for folder in folders:
                _delete(folder)
            self._choose_again(engine)
        return folders

    @contextmanager
    def _alone(self, run: Run, tell: Tell) -> Iterator[None]:
        """One installation at a time, in this program and among all that share the folder."""
        while not self._turn.acquire(timeout=0.1):
            tell(Step("wait"))
            run.check()
        with ExitStack() as held:
            held.callback(self._turn.release)
            try:
                self.inbox.mkdir(parents=True, exist_ok=True)
                held.enter_context(WeakFileLock(self.inbox / ".lock", timeout=0.5))
            except TimeoutError as error:
                raise Setback("busy", inbox=str(self.inbox)) from error
            except OSError as error:
                raise InputError(f"{self.inbox} cannot be written ({error.strerror}).") from error
            yield

    def _check_room(self, state: EditionState) -> None:
        """Raises `Setback` where what is fetched and what is made of it do not fit onto the disk."""
        made = sum(part.part.size for part in state.parts if part.state != "installed")
        largest = max(part.part.size for part in state.missing)
        need, free = made + largest + SPARE, shutil.disk_usage(self.inbox).free
        if free < need:
            raise Setback("disk", inbox=str(self.inbox), free=told_bytes(free), need=told_bytes(need))

    def _lament(self, state: EditionState) -> None:
        """Raises the `Setback` of an edition that lacks files which must not be fetched."""
        if len(state.missing) == len(state.parts):
            raise Setback("nothing", edition=state.edition.title, inbox=str(self.inbox))
        raise Setback("missing", files=", ".join(part.part.weights.name for part in state.missing))

    def _fetch(self, engine: str, part: Part, run: Run, meter: _Meter) -> Path:
        """A part's files in their place in the inbox; gives the weights."""
        place = self._place(engine, part)
        place.mkdir(parents=True, exist_ok=True)
        try:
            for file in reversed(part.files):  # the small ones first: they tell soonest what is wrong
                target = place / file.short
                if not _is(target, file):
                    count = meter.counter(file)
                    fetch(part, file, target, self.inbox, run, count, self._endpoint, self._patience)
        finally:
            _prune(place, self.inbox)
        weights = place / part.weights.short
        _mark(weights).touch()
        self._known[_key(engine, weights)] = Seen(weights, part.name, part.kind, part.version)
        return weights

    def _convert(self, engine: str, part: Part, weights: Path, tell: Tell) -> None:
        """Convert what was found or fetched, and delete what was only fetched for that."""
        tell(Step("convert", weights.name))
        with _together(part, weights, self.inbox) as source:
            self.engines[engine].converter().convert(source, self.models / engine, part.version)
        if _mark(weights).is_file():
            for file in part.files:
                (weights.parent / file.short).unlink(missing_ok=True)
            _mark(weights).unlink()
            _prune(weights.parent, self.inbox)


class _Meter:
    """Bytes of an edition's missing files, counted over all of them."""

    def __init__(self, state: EditionState, tell: Tell) -> None:
        self._total = sum(part.part.size for part in state.missing)
        self._done = sum(part.fetched for part in state.missing)
        self._tell = tell

    def counter(self, file: File) -> Callable[[int], None]:
        """Counts one file's bytes."""

        def count(more: int) -> None:
            self._done += more
            self._tell(Step("fetch", file.short, self._done, self._total))

        count(0)
        return count


# ------------------------------------------------------------------------------------ files


def _weights_in(folder: Path, seen: list[Seen], deep: int = DEEP) -> list[Path]:
    """Files that may hold weights, in a folder and those within it; links to folders are not followed.

    What cannot be looked into goes to `seen`.
    """
    found: list[Path] = []
    try:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        seen.append(Seen(folder, trouble=f"{_shown(folder.name)} cannot be read ({error.strerror})."))
        return found
    for path in inside:
        if path.name.startswith(".") or len(found) >= MANY:
            continue
        if path.is_dir():
            found += [] if path.is_symlink() or not deep else _weights_in(path, seen, deep - 1)
        elif path.suffix.lower() in ENDINGS and path.is_file():
            found.append(path)
    return found[:MANY]


def _shown(name: str) -> str:
    """A name as far as it can be shown."""
    return "".join(letter if letter.isprintable() else "�" for letter in name)


def _delete(folder: Path) -> None:
    """Delete a part: it is gone at once, or it is there."""
    aside = folder.with_name(f".{secrets.token_hex(8)}.gone")
    folder.replace(aside)
    shutil.rmtree(aside)


def _made_in(folder: Path) -> Made | None:
    """The converted part in a folder; None where its config.json or a file that it names is damaged."""
    try:
        told = json.loads((folder / "config.json").read_text())
        made = Made(folder, str(told["kind"]), str(told["version"]), frozenset(told["sources"].values()))
        return made if all((folder / name).is_file() for name in told["files"]) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _key(engine: str, path: Path) -> tuple[str, Path, int, int]:
    status = path.stat()
    return engine, path, status.st_size, status.st_mtime_ns


def _is(path: Path, file: File) -> bool:
    """Whether a published file lies at `path`."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return file.sha256 in (None, checkpoint.sha256(path))


def _complete(part: Part, weights: Path) -> bool:
    """Whether the small files that belong beside these weights are there."""
    return all((weights.parent / file.short).is_file() for file in part.files[1:])


def _mark(weights: Path) -> Path:
    """The file that tells that these weights were fetched, and are to be deleted once they are converted."""
    return weights.with_name(f".{weights.name}.fetched")


@contextmanager
def _together(part: Part, weights: Path, inbox: Path) -> Iterator[Path]:
    """A part as its converter takes it: the file, or a folder in which everything has its published name."""
    if len(part.files) == 1:
        yield weights
        return
    if weights.name == part.weights.short:
        yield weights.parent
        return
    with tempfile.TemporaryDirectory(dir=inbox, prefix=".") as scratch:
        folder = Path(scratch) / part.weights.name.split("/")[-2]
        folder.mkdir()
        for file in part.files:
            here = weights if file == part.weights else weights.parent / file.short
            try:
                (folder / file.short).symlink_to(here.absolute())
            except OSError:  # a system that lets nobody make links
                shutil.copyfile(here, folder / file.short)
        yield folder


def _prune(folder: Path, root: Path) -> None:
    """Delete a folder that is empty, and those it was in up to `root`."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


# -------------------------------------------------------------------------------- command line


def parser() -> argparse.ArgumentParser:
    """All flags of the command line, with their help."""
    flags = Parser(
        prog="python -m pipelines.install",
        description="Install an engine from its official files: those here, and the others from the hub.",
    )
    flags.add_argument("engine", help=f"one of {', '.join([*registry.ENGINES, *ENGINES])}")
    flags.add_argument("--version", help="which of its versions; without it, all that the files here make")
    flags.add_argument("--from", dest="folder", type=Path, help="a folder with official files")
    flags.add_argument("--list", action="store_true", help="tell what is installed, found and missing")
    flags.add_argument("--local", action="store_true", help="fetch nothing, use what is here")
    flags.add_argument("--official", action="store_true", help="use no files but the published ones")
    flags.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    write_any_name()
    try:
        _run(options, Run(stop.is_set))
    except InputError as error:
        _clear()
        print(error, file=sys.stderr)
        return MENDABLE
    except OSError as error:
        _clear()
        print(
            f"{error.filename or 'The disk'} cannot be read or written ({error.strerror}).", file=sys.stderr
        )
        return MENDABLE
    except Cancelled:
        _clear()
        return STOPPED
    return 0


def write_any_name() -> None:
    """Let names of files that are no Unicode be printed, escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(options: argparse.Namespace, run: Run) -> None:
    if options.engine in registry.ENGINES and options.engine not in ENGINES:
        registry.Engines(options.models, options.models, {}).prepare(options.engine, run)
        print(f"{options.engine}: installed")
        return
    if options.folder is not None and not options.folder.is_dir():
        raise InputError(f"There is no folder {options.folder}.")
    store = Store(options.models, [options.folder] if options.folder else [])
    states = store.survey(options.engine, run, _show, not options.official)
    if options.list:
        _print(store, options.engine, states)
        return
    names = [options.version] if options.version else [s.edition.name for s in states if s.state == "found"]
    if not names and all(state.state != "installed" for state in states):
        _print(store, options.engine, states)
        raise InputError("No version is complete here: name one with --version to fetch what it lacks.")
    for name in names:
        fetching = bool(options.version) and not options.local
        store.install(options.engine, name, run, _show, fetching, not options.official)
        _clear()
        print(f"{options.engine} {name}: installed")


def _print(store: Store, engine: str, states: Sequence[EditionState]) -> None:
    _clear()
    for state in states:
        missing = f", {told_bytes(state.to_fetch)} to fetch" if state.missing else ""
        print(f"{engine} {state.edition.name}: {state.state}{missing}")
        for part in state.parts:
            where = part.place or f"{part.part.repository}: {', '.join(f.name for f in part.part.files)}"
            print(f"    {part.state:9}  {part.part.title}: {where}")
    seen = store.look(engine, Run())
    for own in store.own(engine, seen):
        print(f"    own        {own.name}: {own.kind} {own.version}{' (in use)' if own.chosen else ''}")
    for file in seen:
        if file.trouble:
            print(f"    not used   {file.trouble}")


def _show(step: Step) -> None:
    """Progress on standard error where somebody watches it."""
    if sys.stderr.isatty():
        done = f"{told_bytes(step.done)} of {told_bytes(step.total)}" if step.stage == "fetch" else ""
        print(f"\r\033[K{step.stage} {step.name} {done}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
