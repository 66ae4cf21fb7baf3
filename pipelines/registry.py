"""Which engines there are; engines loaded on demand, one request at a time per device."""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipelines import checkpoint, device
from pipelines.device import Placement, Table
from pipelines.types import Engine, InputError, Run, Spec, Voice

ENGINES: Mapping[str, str] = {
    "small": "pipelines.engines.small",
    "gpt_sovits": "pipelines.engines.gpt_sovits",
}

VOICES_KEPT = 32  # listened voices remembered in memory, a few hundred kB each
SHARE = 0.5  # of a device's memory that kept weights may fill; activations need the rest
GLANCE = 0.1  # seconds between two looks at Stop while waiting for a turn


class Turn:
    """One request at a time on one device, in order of arrival. Whoever waits is told the place."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def held(self, run: Run) -> Iterator[Run]:
        """Wait for one's turn and hold it. Raises `Cancelled` if Stop is pressed while waiting.

        Gives a `Run` for work that may take minutes: at each of its reports of progress whoever
        waits goes first, and the work continues when its turn comes again.
        """
        ticket = object()
        self._line_up(ticket, run)

        def after_you(stage: str, done: int, total: int) -> None:
            run.progress(stage, done, total)
            if self._others_wait() and not run.cancelled():
                self._leave(ticket)
                self._line_up(ticket, run)

        try:
            yield Run(run.cancelled, after_you)
        finally:
            self._leave(ticket)

    def _others_wait(self) -> bool:
        with self._moved:
            return len(self._queue) > 1

    def _line_up(self, ticket: object, run: Run) -> None:
        with self._moved:
            self._queue.append(ticket)
            told = 0
            try:
                while (place := self._queue.index(ticket)) > 0:
                    if place != told:
                        told = place
                        run.progress("waiting", place, len(self._queue) - 1)
                    run.check()
                    self._moved.wait(GLANCE)
            except BaseException:
                self._queue.remove(ticket)
                self._moved.notify_all()
                raise

    def _leave(self, ticket: object) -> None:
        with self._moved:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._moved.notify_all()


class Engines:
    """The engines of one server: what is installed, what is loaded, whose turn it is.

    `models` holds the engines' weights, `data` the voices that were refined; `table` is what the
    probe found. One engine is kept in one precision per device: another precision is loaded from the
    file again and takes its place, so that no live module is ever cast. Engines of several names are
    kept side by side while their weights fit into half of the device's memory.
    """

    def __init__(
        self, models: Path, data: Path, table: Table, engines: Mapping[str, str | ModuleType] = ENGINES
    ) -> None:
        self.models = models
        self.data = data
        self.table = table
        self._engines = engines
        self._turns: dict[str, Turn] = {}
        # Another device's turn may load while this one looks: walked over as a copy.
        self._kept: OrderedDict[tuple[str, str], tuple[Placement, bytes, Engine]] = OrderedDict()
        self._voices: OrderedDict[str, Voice] = OrderedDict()
        self._digests: dict[Path, str] = {}  # of the engines' assets, which do not change under us
        self._unsound: set[tuple[str, str, str, str]] = set()
        self._guard = threading.Lock()
        self._preparing = threading.Lock()

    # ------------------------------------------------------------------------- what there is

    def names(self) -> list[str]:
        """Engines by name, the default first."""
        return list(self._engines)

    def spec(self, name: str) -> Spec:
        """What can be known of an engine before it is loaded. Raises `InputError` for an unknown name."""
        return self._module(name).SPEC

    def missing(self, name: str) -> str | None:
        """In words, what keeps the engine from loading; None where it is ready."""
        return self._module(name).missing(self.models / name)

    def fingerprint(self, name: str) -> str:
        """Which weights these are: a sha256 over those of config.json, which names its sources' own, and of
        the files that the engine's module lists as `ASSETS` since they come with Myna."""
        described = hashlib.sha256((self.models / name / "config.json").read_bytes())
        for asset in getattr(self._module(name), "ASSETS", ()):
            if asset not in self._digests:
                self._digests[asset] = checkpoint.sha256(asset)
            described.update(bytes.fromhex(self._digests[asset]))
        return described.hexdigest()

    def _module(self, name: str) -> ModuleType:
        if name not in self._engines:
            raise InputError(f"There is no engine {name!r}; there are {', '.join(self._engines)}.")
        entry = self._engines[name]
        return importlib.import_module(entry) if isinstance(entry, str) else entry

    # ----------------------------------------------------------------------------- whose turn

    def turn(self, place: str) -> Turn:
        """The queue of a device."""
        with self._guard:
            return self._turns.setdefault(place, Turn())

    # --------------------------------------------------------------------------- what is loaded

    def prepare(self, name: str, run: Run) -> None:
        """Make the engine's weights ready on disk where that needs nothing but what is installed."""
        with self._preparing:
            if self.missing(name) is not None:
                self._module(name).prepare(self.models / name, run.progress)

    def get(self, name: str, placement: Placement, run: Run) -> Engine:
        """The engine under this placement; free when it is there already. Call it holding the device's turn.

        Raises `InputError` where its weights are not here.
        """
        key = (name, placement.device)
        if key in self._kept and self._kept[key][:2] == (placement, self._described(name)):
            self._kept.move_to_end(key)
            return self._kept[key][2]
        self.prepare(name, run)
        self.release(name, placement.device)
        self._make_room(placement.device, self._weight(name))
        run.progress("load", 0, 1)
        engine = self._module(name).load(self.models / name, placement)
        run.progress("load", 1, 1)
        self._kept[key] = (placement, self._described(name), engine)
        return engine

    def _described(self, name: str) -> bytes:
        """The engine's config.json: another version was chosen when it has changed; empty if gone."""
        path = self.models / name / "config.json"
        return path.read_bytes() if path.is_file() else b""

    def release(self, name: str, place: str) -> None:
        """Forget one engine on a device and give its memory back."""
        if self._kept.pop((name, place), None) is not None:
            device.free(place)

    def release_others(self, name: str, place: str) -> bool:
        """Forget every other engine on a device; whether there was one."""
        others = [key for key in list(self._kept) if key[1] == place and key[0] != name]
        for other, _ in others:
            self.release(other, place)
        return bool(others)

    def _weight(self, name: str) -> int:
        """Bytes on disk of what is loaded: an engine of several versions tells which they are."""
        folder, weigh = self.models / name, getattr(self._module(name), "weight", None)
        return weigh(folder) if weigh else sum(file.stat().st_size for file in folder.rglob("*.safetensors"))

    def _make_room(self, place: str, needed: int) -> None:
        """Forget the engines not used for longest until `needed` bytes of weights fit."""
        memory = device.memory(place)
        if memory is None:
            return
        here = [name for name, where in list(self._kept) if where == place]
        weight = needed + sum(map(self._weight, here))
        for name in here:
            if weight <= memory.total * SHARE:
                return
            weight -= self._weight(name)
            self.release(name, place)

    # ------------------------------------------------------------------------ what was learned

    def distrust(self, name: str, placement: Placement, stage: str) -> None:
        """Remember that a stage gave no sound in this precision here."""
        self._unsound.add((name, placement.device, stage, placement.mode(stage)))

    def trusted(self, name: str, placement: Placement) -> Placement:
        """The same placement, with every stage that gave no sound here back in float32."""
        for stage in ("listen", "say", "render"):
            if (name, placement.device, stage, placement.mode(stage)) in self._unsound:
                placement = placement.raised(stage)
        return placement

    def voice(self, key: str) -> Voice | None:
        """A voice under its key: listened to since the start, or refined at any time."""
        with self._guard:
            if key in self._voices:
                self._voices.move_to_end(key)
                return self._voices[key]
        path = self._voice_file(key)
        return Voice.load(path) if path.is_file() else None

    def keep_voice(self, key: str, voice: Voice, on_disk: bool = False) -> None:
        """Remember a voice under a key; `on_disk` also beyond a restart (refining took a minute)."""
        with self._guard:
            self._voices[key] = voice
            while len(self._voices) > VOICES_KEPT:
                self._voices.popitem(last=False)
        if on_disk:
            path = self._voice_file(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".part")
            voice.save(draft)
            draft.replace(path)

    def _voice_file(self, key: str) -> Path:
        return self.data / "voices" / f"{key}.safetensors"
