"""What the Models screen does, without the page: installations that all visitors of a server share.

A visitor names an engine and one of its editions and nothing else: no path and no address comes from a page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.install import EditionState, Own, Seen, Step, Store
from pipelines.registry import Engines
from pipelines.types import Cancelled, InputError, Run, Spec
from webui import words
from webui.jobs import known, trouble

GLANCE = 0.25  # seconds that a look at the folders may take before the page stops waiting for it

OWN = "*"  # stands for an edition where a person's own files are worked on

Name = tuple[str, str]  # engine, edition


@dataclass
class Work:
    """An installation as it stands now. Written by its thread, read by every visitor's page."""

    step: Step = Step("start")
    finished: bool = False
    error: Exception | None = None
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the work to end; it looks whenever bytes come."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def tell(self, step: Step) -> None:
        """Note how far the work is."""
        self.step = step

    @property
    def stage(self) -> str:
        """What it does now, "stopping" from the time Stop was pressed."""
        return "stopping" if self.stopped() and not self.finished else self.step.stage

    @property
    def seconds(self) -> float:
        """How long it has been going."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def share(self) -> float:
        """How much is fetched, 0 to 1; 0 where nobody can tell how long the stage takes."""
        return self.step.done / self.step.total if self.step.stage == "fetch" and self.step.total else 0.0

    def said(self, page: str) -> str:
        """In the page's language, what kept it from its end; empty where nothing did."""
        if self.error is None:
            return ""
        if isinstance(self.error, Cancelled):
            return words.say(page, "models.stopped")
        return trouble(self.error, page)


class Installing:
    """The engines of a server: what is installed of them, and the work that changes it."""

    def __init__(self, engines: Engines, store: Store) -> None:
        self._engines = engines
        self.store = store
        self._works: dict[Name, Work] = {}
        self._looks: dict[str, Work] = {}
        self._found: dict[str, tuple[tuple[EditionState, ...], tuple[Seen, ...]]] = {}
        self._guard = threading.Lock()

    # ------------------------------------------------------------------------------ what there is

    def published(self) -> list[str]:
        """The engines that are installed from official files, by name."""
        return list(self.store.engines)

    def embedded(self) -> list[tuple[Spec, str | None]]:
        """The engines that need none, with what keeps them from speaking; None where they are ready."""
        names = [name for name in self._engines.names() if name not in self.store.engines]
        return [(self._engines.spec(name), self._engines.missing(name)) for name in names]

    def states(self, engine: str) -> tuple[EditionState, ...]:
        """The editions of an engine as the last look found them; empty before the first has ended."""
        return self._found.get(engine, ((), ()))[0]

    def own(self, engine: str) -> tuple[Own, ...]:
        """What a person made, as the last look found it."""
        return self.store.own(engine, self._found.get(engine, ((), ()))[1])

    def unused(self) -> tuple[Seen, ...]:
        """The files in the folders that are of no use to any engine, with why."""
        looks = [{file.path: file for file in seen} for _, seen in self._found.values()]
        return tuple(
            file
            for file in (looks[0].values() if looks else ())
            if all(path in look and look[path].trouble for look in looks for path in [file.path])
        )

    def work(self, engine: str, edition: str) -> Work | None:
        """The latest work on an edition, while it goes on or when it ended with something to say."""
        work = self._works.get((engine, edition))
        return work if work is not None and (work.error is not None or not work.finished) else None

    def looking(self) -> Work | None:
        """A look at the folders that goes on."""
        return next((work for work in self._looks.values() if not work.finished), None)

    def complaint(self, page: str) -> str:
        """What kept the latest look from its end; empty where nothing did."""
        return next((said for work in self._looks.values() if (said := work.said(page))), "")

    @property
    def busy(self) -> bool:
        """Whether anything changes by itself."""
        return self.looking() is not None or any(not work.finished for work in self._works.values())

    # ------------------------------------------------------------------------------ work

    def look(self) -> None:
        """Look at the folders again, for a moment; a longer look goes on by itself."""
        for engine in self.published():
            with self._guard:
                going = self._looks.get(engine)
                if going is not None and not going.finished:
                    continue
                work = self._looks[engine] = Work()
            self._begin(work, lambda engine=engine, work=work: self._looked(engine, work)).join(GLANCE)

    def install(self, engine: str, edition: str, fetching: bool = True, own: bool = True) -> None:
        """Start installing an edition. Who asks for one that is being installed watches that work.

        Without `own`, only published files are used.
        """
        self.store.edition(engine, edition)  # raises for what is not published

        def body(work: Work) -> None:
            self.store.install(engine, edition, Run(work.stopped), work.tell, fetching, own)
            self._released(engine, work)

        self._start((engine, edition), body)

    def unpack(self, engine: str, page: str) -> None:
        """Start unpacking an embedded engine."""
        if engine not in [spec.name for spec, _ in self.embedded()]:
            raise InputError(words.say(page, "models.unknown"))

        def body(work: Work) -> None:
            def progress(stage: str, done: int, total: int) -> None:
                work.tell(Step("convert", engine, done, total))

            self._engines.prepare(engine, Run(work.stopped, progress))

        self._start((engine, ""), body)

    def remove(self, engine: str, edition: str) -> None:
        """Start deleting what only this edition needs."""
        self.store.edition(engine, edition)

        def body(work: Work) -> None:
            self._released(engine, work)
            self.store.remove(engine, edition)
            self._released(engine, work)

        self._start((engine, edition), body)

    def choose(self, engine: str, edition: str) -> None:
        """Start letting an edition speak when its engine does."""
        self.store.edition(engine, edition)

        def body(work: Work) -> None:
            self.store.choose(engine, edition)
            self._released(engine, work)

        self._start((engine, edition), body)

    def adopt(self, engine: str, key: str) -> None:
        """Start converting a file that a person made, named by its sha256."""
        self.store.catalogue(engine)
        self._start((engine, OWN), lambda work: self.store.adopt(engine, key, Run(work.stopped), work.tell))

    def discard(self, engine: str, folder: str) -> None:
        """Start deleting a part that a person made."""
        self.store.catalogue(engine)

        def body(work: Work) -> None:
            self._released(engine, work)
            self.store.discard(engine, folder)
            self._released(engine, work)

        self._start((engine, OWN), body)

    def prefer(self, engine: str, folder: str) -> None:
        """Start letting a part that a person made speak."""
        self._start_choice(engine, lambda: self.store.prefer(engine, folder))

    def restore(self, engine: str, folder: str) -> None:
        """Start letting the published part speak again in place of one that a person made."""
        self._start_choice(engine, lambda: self.store.restore(engine, folder))

    def _start_choice(self, engine: str, choose: Callable[[], None]) -> None:
        self.store.catalogue(engine)

        def body(work: Work) -> None:
            choose()
            self._released(engine, work)

        self._start((engine, OWN), body)

    def stop(self, engine: str, edition: str) -> None:
        """Stop what is done to an edition; nothing happens where nothing is."""
        work = self._works.get((engine, edition))
        if work is not None:
            work.stop()

    def _start(self, name: Name, body: Callable[[Work], None]) -> None:
        with self._guard:
            going = self._works.get(name)
            if going is not None and not going.finished:
                return
            work = self._works[name] = Work()

        def whole() -> None:
            try:
                body(work)
            finally:
                if name[0] in self.store.engines:
                    self._looked(name[0], Work())

        self._begin(work, whole).join(GLANCE)

    def _begin(self, work: Work, body: Callable[[], None]) -> threading.Thread:
        """A thread whose work ends and says how, whatever happens."""

        def guarded() -> None:
            try:
                body()
            except Exception as error:
                work.error = known(error)
            finally:
                work.ended = time.monotonic()
                work.finished = True

        thread = threading.Thread(target=guarded, name="myna-install", daemon=True)
        thread.start()
        return thread

    def _looked(self, engine: str, work: Work) -> None:
        states = self.store.survey(engine, Run(work.stopped), work.tell)
        self._found[engine] = (states, tuple(self.store.look(engine, Run())))

    def _released(self, engine: str, work: Work) -> None:
        """Forget what is loaded of an engine: the next sentence loads what is there then."""
        if engine not in self._engines.names():
            return

        def waiting(stage: str, done: int, total: int) -> None:
            work.tell(Step("wait"))

        for place in list(self._engines.table):
            with self._engines.turn(place).held(Run(work.stopped, waiting)):
                self._engines.release(engine, place)
