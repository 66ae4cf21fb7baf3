"""Blind listening: can two sounds be told apart (ABX), and which of them is liked better.

What is said about a listener must be true, so the odds are kept exact and the cues away:

- The number of trials is fixed before the first, and nothing is told before the last.
- A fair coin is thrown for every trial. Were there exactly as many A as B, whoever counts would beat
  chance (of 10, a guesser who says A five times has 8 right with probability 0.103, not 0.055); with
  a coin the number of right guesses is binomial whatever the guesser does.
- Both sounds have one loudness, one length and one lead-in, and A, B and X are issued anew for every
  trial: own dither, own random address, equally many bytes. The key never leaves the server before the end.

A computer that subtracts X from A and from B can tell them apart all the same: X must sound like what
it is. This guards against cues, not against measuring instead of listening.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import stats

from pipelines import audio
from pipelines.types import InputError, Waveform

Kind = Literal["abx", "preference"]
KINDS: tuple[Kind, ...] = ("abx", "preference")
ANSWERS: Mapping[Kind, tuple[str, ...]] = {"abx": ("A", "B"), "preference": ("A", "B", "=")}
HEARD: Mapping[Kind, tuple[str, ...]] = {"abx": ("A", "B", "X"), "preference": ("A", "B")}

TRIALS = (5, 50)  # below 5 nobody can reach 0.05; beyond 50 nobody listens any more
ALPHA = 0.05  # what is called telling them apart
LUFS = -23.0
CEILING = -1.0  # dBFS
LEAD = 0.2  # seconds before the voice starts
ONSET = -35.0  # dB below a sound's loudest 10 ms, from where on it has started
ALIGNED = 0.01  # seconds between two onsets up to which two sounds are moved as one
DITHER = -90.0  # dBFS, root mean square
SITTINGS_KEPT = 100
ISSUED_KEPT = 32  # sittings whose current sounds are held in memory
SOUNDS = "sounds.npy"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{24}")


# --- chance ------------------------------------------------------------------------------


def p_value(correct: int, trials: int) -> float:
    """How likely a guesser has at least `correct` of `trials` right (exact, one-sided).

    >>> round(p_value(9, 10), 4)
    0.0107
    """
    return sum(math.comb(trials, k) for k in range(correct, trials + 1)) / 2**trials


def interval(correct: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true rate of right answers lies, two-sided and exact (Clopper and Pearson 1934)."""
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, correct, trials - correct + 1) if correct else 0.0
    high = stats.beta.ppf(1 - tail, correct + 1, trials - correct) if correct < trials else 1.0
    return float(low), float(high)


def sign_test(first: int, second: int) -> float:
    """How likely a preference as one-sided as `first` against `second` is by chance (exact, two-sided).

    Ties are left out before; nothing chosen at all gives 1.
    """
    return min(1.0, 2 * p_value(max(first, second), first + second))


# --- the sounds --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Match:
    """Two sounds made ready to be heard in turn; each starts `moved` seconds later than it did."""

    sounds: tuple[Waveform, Waveform]
    moved: tuple[float, float]


def matched(first: Waveform, second: Waveform) -> Match:
    """The two at one loudness (within 0.1 LU), with one lead-in and of one length.

    Sounds of one length, as takes of the same units are, and sounds that start within 10 ms of one
    another keep their places against one another. Raises `ValueError` for two rates or for silence.
    """
    if first.sample_rate != second.sample_rate:
        raise ValueError(f"two rates cannot be matched: {first.sample_rate}, {second.sample_rate} Hz")
    rate = first.sample_rate
    onsets = [_onset(sound) for sound in (first, second)]
    alike = len(first.samples) == len(second.samples)
    if alike or abs(onsets[0] - onsets[1]) <= ALIGNED * rate:
        onsets = [min(onsets)] * 2
    led = [_led(sound, onset) for sound, onset in zip((first, second), onsets, strict=True)]
    length = max(len(samples) for samples in led)
    padded = [torch.nn.functional.pad(samples, (0, length - len(samples))) for samples in led]
    target = min(LUFS, *(_loudest(Waveform(samples, rate)) for samples in padded))
    one, other = (_levelled(Waveform(samples, rate), target) for samples in padded)
    return Match((one, other), (LEAD - onsets[0] / rate, LEAD - onsets[1] / rate))


def _onset(sound: Waveform) -> int:
    """The first sample of the first 10 ms that are within `ONSET` of the loudest."""
    step = sound.sample_rate // 100
    short = -len(sound.samples) % step
    power = torch.nn.functional.pad(sound.samples, (0, short)).view(-1, step).square().mean(1)
    if not power.any():
        raise ValueError("silence cannot be matched with anything")
    return step * int((power > power.max() * 10 ** (ONSET / 10)).nonzero()[0])


def _led(sound: Waveform, onset: int) -> torch.Tensor:
    """The samples with `LEAD` seconds before the onset, faded in over 5 ms where some were cut off."""
    lead = round(LEAD * sound.sample_rate)
    if onset < lead:
        return torch.nn.functional.pad(sound.samples, (lead - onset, 0))
    return audio.fade(Waveform(sound.samples[onset - lead :], sound.sample_rate), out=0.0).samples


def _loudest(sound: Waveform) -> float:
    """The loudness in LUFS at which the peak meets the ceiling."""
    return audio.loudness(sound) + CEILING - audio.peak_dbfs(sound)


def _levelled(sound: Waveform, target: float) -> Waveform:
    """At `target` LUFS: twice, since the gate of BS.1770 lets other blocks through at another level."""
    for _ in range(2):
        sound = audio.level(sound, target, ceiling=0.0)
    return sound


def issue(sound: Waveform, chance: np.random.Generator) -> bytes:
    """The sound as little-endian int16 with dither of its own (triangular, `DITHER` dBFS)."""
    width = 10 ** (DITHER / 20) * math.sqrt(6)  # the variance of the difference of two uniforms is 1/6
    uniforms = chance.random((2, len(sound.samples)), dtype=np.float32)
    dithered = sound.samples + width * torch.from_numpy(uniforms[0] - uniforms[1])
    return audio.pcm16(Waveform(dithered, sound.sample_rate)).astype("<i2").tobytes()


# --- a sitting ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """What may be known of a running sitting: which trial is next, and where its sounds are heard."""

    token: str
    kind: Kind
    number: int  # from 1
    trials: int
    rate: int  # Hz
    seconds: float
    addresses: Mapping[str, str]  # "A", "B" and, for ABX, "X" -> the name under which the sound is fetched


@dataclass(frozen=True)
class Result:
    """How a finished sitting ended. `names` are those of the two sounds.

    For ABX `score` is how many were right of `counted` = all trials, and `p` is one-sided; for a preference
    `score` is how often the first sound was liked better, of `counted` = trials without ties, and `p` is
    two-sided. `low` and `high` bound the true rate of that with 95 % confidence.
    """

    token: str
    kind: Kind
    names: tuple[str, str]
    trials: int
    counted: int
    score: int
    p: float
    low: float
    high: float
    about: Mapping[str, str]
    opened: str  # ISO 8601, UTC
    key: str  # per trial, what X was (ABX) or which letter the first sound had (preference)
    answers: str  # per trial

    @property
    def clear(self) -> bool:
        """Whether chance alone would seldom have done this."""
        return self.p <= ALPHA

    @property
    def words(self) -> str:
        """The result in words that say no more than it does."""
        return _abx_words(self) if self.kind == "abx" else _preference_words(self)


def _abx_words(result: Result) -> str:
    odds = f"{result.score} of {result.trials} right, p = {result.p:.4f}"
    if result.clear:
        return (
            f"You told them apart: {odds}. Somebody who only guesses does so well "
            f"once in {1 / result.p:,.0f} sittings."
        )
    said = f"You could not tell them apart in {result.trials} trials; that is no proof that they are equal."
    return f"{said} ({odds}.)"


def _preference_words(result: Result) -> str:
    ties = result.trials - result.counted
    tally = f"{result.score} to {result.counted - result.score}, {ties} undecided, p = {result.p:.4f}"
    if result.clear:
        liked = result.names[0 if 2 * result.score > result.counted else 1]
        return f"You liked {liked} better ({tally})."
    said = f"No clear preference in {result.trials} trials; that is no proof that they sound equally good."
    return f"{said} ({tally}.)"


@dataclass(frozen=True)
class _Sitting:
    """A sitting as it is kept on disk, key and all."""

    token: str
    kind: Kind
    names: tuple[str, str]
    about: Mapping[str, str]
    rate: int
    key: str  # "A" or "B" for each trial
    answers: str
    opened: str

    @property
    def finished(self) -> bool:
        return len(self.answers) == len(self.key)


@dataclass
class _Issued:
    """The current trial's sounds, by address."""

    number: int
    addresses: dict[str, str]
    sounds: dict[str, bytes] = field(repr=False)


class Sittings:
    """All blind tests of one server: each a folder in `folder`, under a token that nobody can guess.

    A sitting outlives a reload and a restart. Whoever has its token may listen and answer; the methods
    raise `InputError` for a sitting that is not there any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._issued: OrderedDict[str, _Issued] = OrderedDict()
        self._guard = threading.RLock()

    def open(
        self,
        kind: Kind,
        trials: int,
        sounds: tuple[Waveform, Waveform],
        names: tuple[str, str],
        about: Mapping[str, str] | None = None,
    ) -> Trial:
        """Begin a sitting of two sounds, which are matched first. `about` is kept with the result.

        Raises `InputError` for a number of trials outside `TRIALS`.
        """
        if kind not in KINDS:
            raise ValueError(f"there is no test {kind!r}; there are {', '.join(KINDS)}")
        if not TRIALS[0] <= trials <= TRIALS[1]:
            raise InputError(f"{trials} trials cannot be done; choose {TRIALS[0]} to {TRIALS[1]}.")
        one, other = matched(*sounds).sounds
        sitting = _Sitting(
            token=secrets.token_urlsafe(18),
            kind=kind,
            names=names,
            about=dict(about or {}),
            rate=one.sample_rate,
            key=thrown(trials),
            answers="",
            opened=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._guard:
            place = self._folder / sitting.token
            place.mkdir(parents=True)
            np.save(place / SOUNDS, torch.stack([one.samples, other.samples]).numpy())
            self._write(sitting)
            self._forget_oldest()
            return self._issue(sitting)

    def resume(self, token: str) -> Trial | Result:
        """The next trial with sounds issued anew, or the result where all were answered."""
        with self._guard:
            sitting = self._read(token)
            return _result(sitting) if sitting.finished else self._issue(sitting)

    def answer(self, token: str, number: int, answer: str) -> Trial | Result:
        """Take the answer to trial `number`, and give the next trial or, after the last, the result.

        An answer to another trial than the one at hand (a key pressed twice) changes nothing.
        Raises `InputError` for an answer that is none.
        """
        with self._guard:
            sitting = self._read(token)
            if answer not in ANSWERS[sitting.kind]:
                raise InputError(
                    f"{answer!r} is no answer; the answers are {', '.join(ANSWERS[sitting.kind])}."
                )
            if not sitting.finished and number == len(sitting.answers) + 1:
                sitting = replace(sitting, answers=sitting.answers + answer)
                self._write(sitting)
                self._issued.pop(token, None)
            if sitting.finished:
                (self._folder / token / SOUNDS).unlink(missing_ok=True)  # nobody hears them again
            return self.resume(token)

    def sound(self, address: str) -> bytes | None:
        """What is heard under an address of a current trial, None for any other."""
        with self._guard:
            return next((i.sounds[address] for i in self._issued.values() if address in i.sounds), None)

    def abandon(self, token: str) -> None:
        """End a sitting without a result: who could look at half of one would stop where it pleases."""
        with self._guard:
            sitting = self._read(token)
            self._issued.pop(token, None)
            if not sitting.finished:
                shutil.rmtree(self._folder / token)

    def results(self, **about: str) -> list[Result]:
        """All finished sittings whose `about` has these values, oldest first."""
        with self._guard:
            read = [self._read(path.parent.name) for path in self._folder.glob("*/sitting.json")]
        fitting = [s for s in read if s.finished and about.items() <= dict(s.about).items()]
        return [_result(sitting) for sitting in sorted(fitting, key=lambda sitting: sitting.opened)]

    def _issue(self, sitting: _Sitting) -> Trial:
        sounds = np.load(self._folder / sitting.token / SOUNDS, allow_pickle=False)
        chance = np.random.default_rng(secrets.randbits(128))
        number = len(sitting.answers) + 1
        addresses, issued = {}, {}
        for letter in HEARD[sitting.kind]:
            which = _which(sitting, number, letter)
            addresses[letter] = secrets.token_urlsafe(18)
            sound = Waveform(torch.from_numpy(sounds[which]), sitting.rate)
            issued[addresses[letter]] = issue(sound, chance)
        self._issued[sitting.token] = _Issued(number, addresses, issued)
        self._issued.move_to_end(sitting.token)
        while len(self._issued) > ISSUED_KEPT:
            self._issued.popitem(last=False)
        seconds = sounds.shape[1] / sitting.rate
        return Trial(sitting.token, sitting.kind, number, len(sitting.key), sitting.rate, seconds, addresses)

    def _read(self, token: str) -> _Sitting:
        path = self._folder / token / "sitting.json"
        if not _TOKEN.fullmatch(token) or not path.is_file():
            raise InputError("This listening test is no longer here; begin another.")
        record = json.loads(path.read_text(encoding="utf-8"))
        return _Sitting(**record | {"names": tuple(record["names"])})

    def _write(self, sitting: _Sitting) -> None:
        path = self._folder / sitting.token / "sitting.json"
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(sitting), ensure_ascii=False, indent=1), encoding="utf-8")
        draft.replace(path)

    def _forget_oldest(self) -> None:
        by_age = sorted(self._folder.glob("*/sitting.json"), key=lambda path: path.stat().st_mtime)
        for path in by_age[: max(0, len(by_age) - SITTINGS_KEPT)]:
            self._issued.pop(path.parent.name, None)
            shutil.rmtree(path.parent)


def thrown(trials: int) -> str:
    """A key: a coin thrown for each trial, from the operating system's chance."""
    return "".join("AB"[secrets.randbits(1)] for _ in range(trials))


def _which(sitting: _Sitting, number: int, letter: str) -> int:
    """Whether the first sound (0) or the second (1) is heard under a letter.

    In ABX, A is the first sound throughout and X what the key says; for a preference the key says
    which letter the first sound has.
    """
    key = sitting.key[number - 1]
    if sitting.kind == "abx":
        return "AB".index(key if letter == "X" else letter)
    return int(letter != key)


def _result(sitting: _Sitting) -> Result:
    """Needs all answers."""
    hits = sum(key == answer for key, answer in zip(sitting.key, sitting.answers, strict=True))
    trials = len(sitting.key)
    counted = trials - sitting.answers.count("=")
    p = p_value(hits, trials) if sitting.kind == "abx" else sign_test(hits, counted - hits)
    low, high = interval(hits, counted) if counted else (0.0, 1.0)
    return Result(
        sitting.token, sitting.kind, sitting.names, trials, counted, hits, p, low, high,
        sitting.about, sitting.opened, sitting.key, sitting.answers,
    )  # fmt: skip
