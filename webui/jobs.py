"""A piece of work for a visitor, as the page looks at it while it goes on."""

from __future__ import annotations

import errno
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines import audio, device
from pipelines.hub import Setback
from pipelines.types import Cancelled, InputError, Run, Unsound, Waveform
from webui import models_words, words
from webui.sentences import told

LOG = logging.getLogger("myna")
WITHIN = {"read": 0.0, "say": 0.1, "render": 0.4}  # how much of a sentence is done as a stage of it begins


@dataclass(frozen=True)
class StageLine:
    """A stage over all sentences of a take."""

    stage: str
    seconds: float
    device: str
    dtype: str
    note: str


@dataclass(frozen=True)
class Card:
    """A take as the page shows it. `again` is the sha256 of the same recipe made once more."""

    token: str
    engine: str  # its title
    text: str
    seconds: float
    sample_rate: int
    seed: int
    similarity: float | None
    loudness: float  # LUFS
    rtf: float
    stages: tuple[StageLine, ...]
    notes: tuple[str, ...]
    precision: Mapping[str, str]  # requested, used, reason
    sha256: str
    stopped: bool
    refined: bool
    heard: str  # what the engine took the clip to say; empty where it does not listen for words
    voice: str  # what else it says of how it made the voice
    prosody: str
    outline: tuple[float, ...]
    top_hz: float
    again: str | None = None


@dataclass
class Job:
    """One piece of work for one visitor, as it stands now. Written by its thread, read by the page."""

    token: str
    engine: str  # by name
    speaks: bool
    stage: str = "start"
    done: int = 0
    total: int = 0
    words: str = ""  # what is being done, where the work says more than its stage
    rate: int = 0  # Hz of `pcm`
    pcm: list[bytes] = field(default_factory=list)  # int16 little-endian, in order
    heard: float = 0.0  # seconds in `pcm`
    silent: bool = False  # no more sound will come
    finished: bool = False
    card: Card | None = None
    error: str | None = None
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the work to end; it looks for every ~0.3 s of work."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    @property
    def stopping(self) -> bool:
        return self.stopped() and not self.finished

    @property
    def seconds(self) -> float:
        """How long it has been going."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def share(self) -> float:
        """How much is done, 0 to 1; 0 where nobody can tell."""
        if not self.total or self.stage == "waiting":
            return 0.0
        if self.stage in WITHIN:
            return (self.done - 1 + WITHIN[self.stage]) / self.total
        return self.done / self.total

    def run(self) -> Run:
        """What the stages are handed."""
        return Run(self.stopped, self.tell)

    def hear(self, piece: Waveform) -> None:
        """Take in a stretch of sound."""
        self.rate = piece.sample_rate
        self.pcm.append(audio.pcm16(piece).astype("<i2").tobytes())
        self.heard += piece.seconds

    def tell(self, stage: str, done: int, total: int) -> None:
        """Note how far the work is."""
        self.stage, self.done, self.total = stage, done, total


class Unexpected(InputError):
    """What is nobody's fault but ours: it is in the log, under `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(words.say(words.DEFAULT, "error.ours", code=code))
        self.code = code


def known(error: Exception) -> Exception:
    """What `trouble` has a sentence for: `error`, or an `Unexpected` in its place, which logs it."""
    if isinstance(error, InputError | Cancelled | Unsound) or device.out_of_memory(error) or _full(error):
        return error
    code = secrets.token_hex(3)
    LOG.error("Unexpected, told to the page as %s", code, exc_info=error)
    return Unexpected(code)


def _full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def trouble(error: Exception, page: str) -> str:
    """One plain sentence about whatever happened; what is nobody's fault but ours goes to the log."""
    error = known(error)
    if isinstance(error, Unexpected):
        return words.say(page, "error.ours", code=error.code)
    if isinstance(error, Setback):
        return models_words.setback(page, error.kind, str(error), error.values)
    if isinstance(error, InputError):
        return told(page, str(error))
    if isinstance(error, Cancelled):
        return words.say(page, "error.stopped")
    if isinstance(error, Unsound):
        LOG.warning("No sound: %s", error)
        return words.say(page, "error.unsound")
    return words.say(page, "error.disk" if _full(error) else "error.memory")
