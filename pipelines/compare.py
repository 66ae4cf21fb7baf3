"""The same texts, seeds and reference at several precisions, made and measured beside one another.

Autoregressive sampling parts for good at the first unit that differs, so another precision may give
another reading rather than a worse one. Two kinds of takes are therefore made, and measured differently:

- token-locked ("locked"): the units that float32 said, rendered in each precision: the same sentence
  sample by sample, so sounds may be subtracted;
- free-running ("free"): each precision says its own from the same seed, compared in ways that need no
  alignment.

Both are read against controls made in float32: the same texts with another seed ("control"; for a prosody
that draws nothing, another seed of the excitation and a voice moved by a hundredth), and the same units
with another seed of the excitation ("noise").
"""

from __future__ import annotations

import argparse
import json
import math
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipelines import audio, device, measures, synthesis
from pipelines.clone import MENDABLE, STOPPED, Parser, add_knobs, knobs
from pipelines.device import MODES, Refusal
from pipelines.measures import MEASURES, Heard
from pipelines.registry import ENGINES, Engines
from pipelines.synthesis import clone, seed_of
from pipelines.types import (
    Cancelled,
    Consent,
    Engine,
    InputError,
    Request,
    Run,
    Sampling,
    Stage,
    Take,
    Units,
    Unsound,
    Voice,
    Waveform,
    Wish,
)

Kind = Literal["free", "locked", "control", "noise"]
AT_ONCE = Run()  # nobody watches and nobody stops it


@dataclass(frozen=True, eq=False)
class Plan:
    """What to compare. float32 is always made, whether `modes` names it or not.

    Each of `texts` may have several sentences. `sampling` gives prosody, speed and knobs; its seed is not
    used, `seeds` are. `stages_alone` makes each mode once more for each stage lowered by itself.
    `recognise` counts words misheard, where a recogniser is installed.
    """

    engine: str
    reference: Waveform
    texts: tuple[str, ...]
    modes: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    language: str = "en"
    transcript: str | None = None
    sampling: Sampling = Sampling()
    consent: Consent | None = None
    device: str = "auto"
    refine: bool = False
    stages_alone: bool = False
    recognise: bool = True


@dataclass(frozen=True)
class Key:
    """Which take: `text` and `seed` count from 0 in the plan's; `stage` is the one lowered alone, "" all."""

    kind: Kind
    mode: str = "float32"
    stage: str = ""
    text: int = 0
    seed: int = 0

    @property
    def truth(self) -> Key:
        """The float32 take that this one is measured against."""
        return Key("free", text=self.text, seed=self.seed)


@dataclass(frozen=True, eq=False)
class Step:
    """How far a run is: `done` of `total` pieces of work, what is next in words, and the take just made."""

    done: int
    total: int
    words: str
    key: Key | None = None
    take: Take | None = None


@dataclass(frozen=True)
class Value:
    """One measurement of one text and seed. `kind` "forced" is of the model's logits, not of a take."""

    name: str
    kind: Literal["free", "locked", "forced", "control", "noise"]
    mode: str
    stage: str
    text: int
    seed: int
    value: float


@dataclass(frozen=True)
class Figure:
    """A measure over all texts and seeds: median and 95 % interval, and the same of the control.

    `sentence` explains it to people who are not technical. Control fields are None where there is none.
    """

    name: str  # one of `measures.MEASURES`
    label: str
    kind: measures.Kind
    mode: str
    stage: str
    unit: str
    better: measures.Better
    sentence: str
    count: int
    median: float
    low: float
    high: float
    control_median: float | None
    control_low: float | None
    control_high: float | None


@dataclass(frozen=True)
class Cost:
    """What a mode costs here. Ratios are to float32 of the same texts and seeds in the same run."""

    mode: str
    rtf: float  # (read + say + render) seconds / seconds of sound, median
    speed: float | None  # × float32, above 1 is faster; None for float32 itself
    speed_low: float | None
    speed_high: float | None
    weights: int  # bytes that the engine's weights take
    memory: float | None  # weights / float32's weights
    load_seconds: float
    noisy: bool  # float32 itself took much longer or shorter when timed again beside this mode


@dataclass(frozen=True)
class Card:
    """A mode in plain words. `level`: how far its sound is from float32's, against the control."""

    mode: str
    level: Literal["reference", "same", "near", "other", "worse", "no sound", "impossible"]
    sounds: str  # one sentence: sounds like
    costs: str  # one sentence: costs


@dataclass(frozen=True, eq=False)
class Comparison:
    """A finished run, or what was finished when Stop was pressed (`stopped`).

    `silent` are the takes that gave no sound, with the reason; `absent` the modes and kinds that were not
    made at all, as (mode, kind or "") with the reason. `recipe` is plain JSON and makes the run again.
    """

    plan: Plan
    draws: bool  # whether the prosody samples; where it does not, control means voice nudged, noise anew
    place: str  # the device
    takes: Mapping[Key, Take]
    silent: Mapping[Key, str]
    absent: Mapping[tuple[str, str], str]
    values: tuple[Value, ...]
    figures: tuple[Figure, ...]
    costs: tuple[Cost, ...]
    cards: tuple[Card, ...]
    notes: tuple[str, ...]
    recipe: Mapping[str, object]
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class Track:
    """Where two takes part: `distance` (N,) in dB of mel spectrum, a value for each `step` seconds of A."""

    step: float
    distance: np.ndarray


@dataclass(frozen=True, eq=False)
class Sheet:
    """Spectrograms of A, B and |A-B| in dB (rows, columns), lowest row first, on one axis of time.

    `a` and `b` share the scale `floor` to `top` dB; `apart` runs from 0 to `range` dB.
    """

    a: np.ndarray
    b: np.ndarray
    apart: np.ndarray
    floor: float
    top: float
    range: float
    seconds: float
    top_hz: float


def possible(engines: Engines, engine: str, place: str = "auto") -> dict[str, tuple[bool, str]]:
    """Each mode, whether it can be had for this engine here, and why (not), in words.

    Raises `InputError` for an unknown engine or device.
    """
    engines.spec(engine)
    place = _place(engines, place)
    found = {}
    for mode in MODES:
        try:
            found[mode] = (True, device.choose(Wish(place, mode), engines.table).reason)
        except Refusal as refusal:
            found[mode] = (False, str(refusal))
    return found


def compare(engines: Engines, plan: Plan, run: Run = AT_ONCE) -> Iterator[Step | Comparison]:
    """Make and measure all that the plan asks: `Step`s around each piece of work, then the result.

    Takes the device's turn for one piece of work at a time, so that others go between. On Stop what is
    finished is given; `Cancelled` is raised where nothing is. A mode that gives no sound, or a stage
    that fails, becomes a card that says so. Raises `InputError` before anything is made for what the person
    can mend, and where float32 itself cannot say the text.
    """
    check(engines, plan)
    yield from _Job(engines, plan, run).steps()


def check(engines: Engines, plan: Plan) -> None:
    """Raises `InputError` for a plan that nothing should start on."""
    if not plan.texts or not all(text.strip() for text in plan.texts):
        raise InputError("There is no text to compare; give one or more, none of them empty.")
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise InputError("A comparison needs one or more seeds, each of them once.")
    for mode in plan.modes:
        if mode not in MODES:
            raise InputError(f"There is no precision {mode!r}; there are {', '.join(MODES)}.")
    if not set(plan.modes) - {"float32"}:
        raise InputError("Choose at least one precision beside float32, which all are compared with.")
    _place(engines, plan.device)
    for seed in plan.seeds:
        synthesis.check(engines, _request(plan, plan.texts[0], seed))


def _request(plan: Plan, text: str, seed: int) -> Request:
    return Request(
        engine=plan.engine,
        text=text,
        reference=plan.reference,
        language=plan.language,
        transcript=plan.transcript,
        sampling=replace(plan.sampling, seed=seed),
        consent=plan.consent,
        refine=plan.refine,
        heal=False,
    )


def _place(engines: Engines, wanted: str) -> str:
    """The device that all modes share."""
    return device.choose(Wish(wanted, "float32"), engines.table).placement.device


def another_seed(seed: int) -> int:
    """The control's seed beside `seed`: sentences count from 1, so nothing else draws from this stream."""
    return seed_of(seed, 0) % 2**31


# --------------------------------------------------------------------------------------------------- the run

# What is made of each stage lowered alone. Given units bypass `say`, so that one says its own.
ALONE: Mapping[Stage, Kind] = {"listen": "locked", "say": "free", "render": "locked"}
INT8_LOCKED = (
    "int8 lowers only how the units are said, and here float32's are given: it would be the very same sound."
)
NOISY = 1.25  # times that float32 took, timed again, from which timings are called noisy
MOST_SEEDS = 100
ENOUGH = 5  # takes from which an interval means something


@dataclass
class _Job:
    """One comparison on its way. Lives for one call."""

    engines: Engines
    plan: Plan
    run: Run
    takes: dict[Key, Take] = field(default_factory=dict)
    silent: dict[Key, str] = field(default_factory=dict)
    absent: dict[tuple[str, str], str] = field(default_factory=dict)
    heard: dict[Key, Heard] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    truth: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict)
    loads: dict[str, list[float]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    paces: list[float] = field(default_factory=lambda: [1.0])
    between: dict[str, tuple[float, float]] = field(default_factory=dict)
    done: int = 0

    def __post_init__(self) -> None:
        plan, spec = self.plan, self.engines.spec(self.plan.engine)
        self.place = _place(self.engines, plan.device)
        self.draws = spec.draws(plan.sampling.prosody)
        self.forces = self.draws
        can = possible(self.engines, plan.engine, self.place)
        wanted = [mode for mode in dict.fromkeys(plan.modes) if mode != "float32"]
        self.absent |= {(mode, ""): can[mode][1] for mode in wanted if not can[mode][0]}
        self.modes = [mode for mode in wanted if can[mode][0]]
        self.pairs = [(t, s) for t in range(len(plan.texts)) for s in range(len(plan.seeds))]
        self.shortest = min(range(len(plan.texts)), key=lambda t: len(plan.texts[t]))
        self.words = plan.recognise and plan.language == "en" and measures.can_recognise()
        self.speaker = measures.speaker_embedding(plan.reference)
        self._tell_what_is_missing()

    def _tell_what_is_missing(self) -> None:
        if self.plan.recognise and self.plan.language != "en":
            self._note("Words misheard are counted in English only.")
        elif self.plan.recognise and not self.words:
            self._note(measures.NO_RECOGNISER)
        if not measures.can_judge_quality():
            self._note(measures.NO_PESQ)
        if not self.draws:
            self.absent["", "forced"] = "Nothing is drawn by chance here, so there are no odds to compare."
            self._note(
                "This way of saying draws nothing by chance. Measures of sampling make no sense here; the "
                "control is float32 with the voice moved by a hundredth and another seed of the breath noise."
            )
        if self.plan.refine:
            self._note("The voice is refined in float32 once and given to all: listening is not compared.")
        if len(self.pairs) < ENOUGH:
            many = "Only one take" if len(self.pairs) == 1 else f"Only {len(self.pairs)} takes"
            self._note(f"{many} of each kind: give more texts or seeds for intervals to mean something.")

    @property
    def total(self) -> int:
        """Pieces of work, as far as is known."""
        n = len(self.pairs)
        count = 3 * n + 1 + self.forces
        for mode in self.modes:
            count += n * (1 + (mode != "int8") + len(self._alone(mode))) + 3 + self.forces
        return count

    def _alone(self, mode: str) -> list[Stage]:
        """The stages that can be lowered by themselves, where that is not the whole of the mode."""
        if not self.plan.stages_alone or mode == "int8":
            return []
        return [stage for stage in ALONE if not (self.plan.refine and stage == "listen")]

    # ------------------------------------------------------------------------------------------ order of work

    def steps(self) -> Iterator[Step | Comparison]:
        """Modes one after another, since an engine is kept in one precision at a time."""
        stopped = False
        self.engines.prepare(self.plan.engine, self.run)
        try:
            yield from self._float32()
            for mode in self.modes:
                yield from self._mode(mode)
        except Cancelled:
            if not self.takes:
                raise
            stopped = True
        yield self._result(stopped)

    def _float32(self) -> Iterator[Step]:
        yield from self._warmed("float32")
        for t, s in self.pairs:
            yield from self._take(Key("free", text=t, seed=s))
        for t, s in self.pairs:
            yield from self._take(Key("control", text=t, seed=s))
            yield from self._take(Key("noise", text=t, seed=s))
        yield from self._forced("float32")
        self._drop_idle_noise()

    def _mode(self, mode: str) -> Iterator[Step]:
        if mode == "int8":
            self.absent[mode, "locked"] = INT8_LOCKED
        before = len(self.silent)
        yield from self._warmed(mode)
        if (mode, "") in self.absent:
            return
        for t, s in self.pairs:
            yield from self._take(Key("free", mode, text=t, seed=s))
        if mode != "int8":
            for t, s in self.pairs:
                yield from self._take(Key("locked", mode, text=t, seed=s))
        yield from self._forced(mode)
        if len(self.silent) == before:
            yield from self._paced(mode)
        for stage in self._alone(mode):
            for t, s in self.pairs:
                yield from self._take(Key(ALONE[stage], mode, stage, t, s))

    def _warmed(self, mode: str) -> Iterator[Step]:
        """Load a mode, and say one text for nothing: first times are slower than others."""
        yield self._step(f"Loading {mode}")
        try:
            self._load(mode)
            self._make(Key("free", mode, text=self.shortest))
        except (Unsound, RuntimeError, MemoryError, InputError) as error:
            if mode == "float32":
                raise _without_float32(error, self.plan.texts[self.shortest]) from error
            if mode not in self.weights:
                self.absent[mode, ""] = _words(error)
        self.done += 1
        yield self._step(f"{mode} is loaded")

    def _paced(self, mode: str) -> Iterator[Step]:
        """Time float32 again beside a mode: what it takes longer now, the mode took longer too."""
        key = Key("free", text=self.shortest)
        yield self._step("Timing float32 once more")
        self._load("float32")
        self._make(key)
        again = self._make(key)
        self.done += 2
        self.paces.append(again.rtf / self.takes[key].rtf)
        self.between[mode] = (self.paces[-2], self.paces[-1])
        if again.sha256 != self.takes[key].sha256:
            self._note("float32 made twice did not give the same bytes here: small differences mean nothing.")
        yield self._step("Timed float32 once more")

    def _take(self, key: Key) -> Iterator[Step]:
        """Make one take and measure it."""
        yield self._step(self._named(key))
        try:
            self.takes[key] = self._make(key)
        except (Unsound, RuntimeError, MemoryError, InputError) as error:
            if key.mode == "float32":
                raise _without_float32(error, self.plan.texts[key.text]) from error
            self.silent[key] = _words(error)
        else:
            self._measure(key)
        self.done += 1
        yield self._step(self._named(key), key)

    # ------------------------------------------------------------------------------------------------- making

    def _make(self, key: Key) -> Take:
        """One take through the one path, unhealed. Raises what the stages raise, and `Cancelled`."""
        self.run.check()
        seed = self.plan.seeds[key.seed]
        if key.kind in ("control", "noise"):
            seed = another_seed(seed)
        request = replace(
            _request(self.plan, self.plan.texts[key.text], seed), wish=self._wish(key.mode, key.stage)
        )
        said = self.takes.get(key.truth)
        if self.plan.refine and said is not None:
            request = replace(request, voice=said.voice, refine=False)
        if key.kind == "control" and not self.draws:
            request = replace(request, voice=self._nudged(said, seed), refine=False)
        if key.kind == "locked":
            request = replace(request, units=said.said)
        if key.kind == "noise":
            request = replace(request, units=_other_noise(said.said, seed))
        *_, take = clone(self.engines, request, self.run)
        if take.stopped:
            raise Cancelled
        return take

    def _nudged(self, said: Take, seed: int) -> Voice:
        with self._engine("float32") as engine:
            return engine.nudge(said.voice, seed) if hasattr(engine, "nudge") else said.voice

    def _wish(self, mode: str, stage: str = "") -> Wish:
        return Wish(self.place, mode, (stage,) if stage else ())

    def _load(self, mode: str) -> None:
        """Read the engine afresh in a mode, timed."""
        with self.engines.turn(self.place).held(self.run):
            self.engines.release(self.plan.engine, self.place)
            started = time.perf_counter()
            engine = self._get(mode)
            self.loads.setdefault(mode, []).append(time.perf_counter() - started)
            self.weights[mode] = measures.weights(engine)

    @contextmanager
    def _engine(self, mode: str) -> Iterator[Engine]:
        """The engine in a mode, holding the device's turn."""
        with self.engines.turn(self.place).held(self.run):
            yield self._get(mode)

    def _get(self, mode: str) -> Engine:
        placement = device.choose(self._wish(mode), self.engines.table).placement
        return self.engines.get(self.plan.engine, placement, self.run)

    # ---------------------------------------------------------------------------------------------- measuring

    def _measure(self, key: Key) -> None:
        """Compare a take with its float32 one."""
        take, said = self.takes[key], self.takes[key.truth]
        if key.kind in ("locked", "noise"):
            self._keep(key, key.kind, measures.locked(said.waveform, take.waveform))
            return
        self.heard[key] = measures.hear(take, self.plan.texts[key.text], self.speaker, self.words)
        if key.kind == "control" or key.mode != "float32":
            self._keep(key, key.kind, measures.free(self.heard[key.truth], self.heard[key]))

    def _keep(self, key: Key, kind: str, measured: Mapping[str, float]) -> None:
        for name, value in measured.items():
            self.values.append(Value(name, kind, key.mode, key.stage, key.text, key.seed, value))

    def _forced(self, mode: str) -> Iterator[Step]:
        """What the model of a mode would have said before each of float32's units."""
        if not self.forces:
            return
        yield self._step(f"{mode}: its expectations over the same units")
        for t, s in self.pairs:
            self.run.check()
            said = self.takes[Key("free", text=t, seed=s)]
            try:
                with self._engine(mode) as engine:
                    if not hasattr(engine, "logits"):
                        self.forces = False
                        self.absent["", "forced"] = "This engine does not tell its odds unit by unit."
                        return
                    logits = self._logits(engine, said, s)
            except (Unsound, RuntimeError, MemoryError) as error:
                self.forces = mode != "float32"
                self.absent[mode if self.forces else "", "forced"] = _words(error)
                break
            if any((row.isnan() | row.isposinf()).any() for row in logits):
                self.absent[mode, "forced"] = "The odds are not numbers (NaN or infinite)."
            elif mode == "float32":
                self.truth[t, s] = logits
            elif (t, s) in self.truth:
                key = Key("free", mode, text=t, seed=s)
                self._keep(key, "forced", measures.forced(self.truth[t, s], logits))
        self.done += 1

    def _logits(self, engine: Engine, said: Take, s: int) -> list[Tensor]:
        """Rows of (N, V), the sentences one after another."""
        sentences = []
        for number, (span, units) in enumerate(zip(said.spans, said.said, strict=True), 1):
            sampling = replace(self.plan.sampling, seed=seed_of(self.plan.seeds[s], number))
            phrase = engine.read(span.text, self.plan.language)
            quiet = Run(self.run.cancelled)
            sentences.append(engine.logits(units, phrase, said.voice, sampling, quiet))
        return [torch.cat(rows) for rows in zip(*sentences, strict=True)]

    def _drop_idle_noise(self) -> None:
        """A vocoder that draws nothing gives the same sound for any seed: that is no control."""
        noise = [key for key in self.takes if key.kind == "noise"]
        if all(self.takes[key].sha256 == self.takes[key.truth].sha256 for key in noise):
            for key in noise:
                del self.takes[key]
            self.values = [value for value in self.values if value.kind != "noise"]
            self.absent["float32", "noise"] = (
                "Rendering draws nothing by chance here, so the same units have one sound and no control."
            )

    # ------------------------------------------------------------------------------------------------- words

    def _step(self, words: str, key: Key | None = None) -> Step:
        return Step(self.done, max(self.total, self.done), words, key, self.takes.get(key))

    def _named(self, key: Key) -> str:
        mode = f"{key.mode} ({key.stage} alone)" if key.stage else key.mode
        text = f"text {key.text + 1} of {len(self.plan.texts)}"
        seed = f"seed {key.seed + 1} of {len(self.plan.seeds)}"
        return f"{mode}: {KINDS[key.kind]}, {text}, {seed}"

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    # ------------------------------------------------------------------------------------------------ results

    def _result(self, stopped: bool) -> Comparison:
        figures = tuple(_figures(self.values))
        costs = tuple(self._costs())
        if any(cost.noisy for cost in costs):
            self._note("Something else kept this machine busy: read the speeds with care.")
        wanted = dict.fromkeys(["float32", *self.plan.modes])
        return Comparison(
            plan=self.plan,
            draws=self.draws,
            place=self.place,
            takes=dict(self.takes),
            silent=dict(self.silent),
            absent=dict(self.absent),
            values=tuple(self.values),
            figures=figures,
            costs=costs,
            cards=tuple(self._card(mode, figures, costs) for mode in wanted),
            notes=tuple(self.notes),
            recipe=self._recipe(stopped),
            stopped=stopped,
        )

    def _costs(self) -> Iterator[Cost]:
        """Of the modes whose own readings are there; their times as ratios to float32's of the same text."""
        for mode in ("float32", *self.modes):
            keys = [key for key in self.takes if (key.kind, key.mode, key.stage) == ("free", mode, "")]
            if not keys or mode not in self.weights:
                continue
            around = self.between.get(mode, (self.paces[-1],))
            pace = math.prod(around) ** (1 / len(around))
            ratios = [self.takes[key.truth].rtf * pace / self.takes[key].rtf for key in keys]
            speed = (None, None, None) if mode == "float32" else measures.interval(ratios)
            yield Cost(
                mode=mode,
                rtf=statistics.median(self.takes[key].rtf for key in keys),
                speed=speed[0],
                speed_low=speed[1],
                speed_high=speed[2],
                weights=self.weights[mode],
                memory=None if mode == "float32" else self.weights[mode] / max(1, self.weights["float32"]),
                load_seconds=min(self.loads[mode]),
                noisy=any(not 1 / NOISY < pace < NOISY for pace in around),
            )

    def _card(self, mode: str, figures: Sequence[Figure], costs: Sequence[Cost]) -> Card:
        cost = next((cost for cost in costs if cost.mode == mode), None)
        level, sounds = self._sounds(mode, figures)
        return Card(mode, level, sounds, _cost_words(cost))

    def _sounds(self, mode: str, figures: Sequence[Figure]) -> tuple[str, str]:
        """How a mode sounds beside float32: a level, and a sentence or two."""
        if mode == "float32":
            return "reference", "Full precision, which the others are held against."
        if (mode, "") in self.absent:
            return "impossible", self.absent[mode, ""]
        keys = [key for key in self.takes if (key.kind, key.mode, key.stage) == ("free", mode, "")]
        reasons = [
            words
            for key, words in self.silent.items()
            if (key.kind, key.mode, key.stage) == ("free", mode, "")
        ]
        if not keys:
            return "no sound", reasons[0] if reasons else "Not made: the run was stopped before."
        if reasons:
            return "worse", f"No sound in {len(reasons)} of {len(keys) + len(reasons)} takes: {reasons[0]}"
        if all(self.takes[key].sha256 == self.takes[key.truth].sha256 for key in keys):
            return "same", "Exactly like float32: the same samples, bit by bit."
        own = {f.name: f for f in figures if (f.kind, f.mode, f.stage) == ("free", mode, "")}
        return _heard_words(own, self.draws)

    def _recipe(self, stopped: bool) -> dict[str, object]:
        """Plain JSON: all that the plan asked, and the sha256 of each take."""
        plan = self.plan
        reference = plan.reference
        return {
            "myna_compare": 1,
            "engine": plan.engine,
            "weights": self.engines.fingerprint(plan.engine),
            "texts": list(plan.texts),
            "modes": list(plan.modes),
            "seeds": list(plan.seeds),
            "language": plan.language,
            "transcript": plan.transcript,
            "sampling": asdict(plan.sampling),
            "device": self.place,
            "refine": plan.refine,
            "stages_alone": plan.stages_alone,
            "recognise": plan.recognise,
            "consent": None if plan.consent is None else asdict(plan.consent),
            "reference": {
                "sha256": audio.digest(reference),
                "sample_rate": reference.sample_rate,
                "seconds": round(reference.seconds, 3),
            },
            "machine": next(iter(self.takes.values())).recipe["machine"],
            "stopped": stopped,
            "takes": [asdict(key) | {"sha256": take.sha256} for key, take in self.takes.items()],
        }


def _other_noise(said: Iterable[Units], seed: int) -> tuple[Units, ...]:
    return tuple(replace(units, seed=seed_of(seed, number)) for number, units in enumerate(said, 1))


def _figures(values: Iterable[Value]) -> Iterator[Figure]:
    """Medians and intervals over texts and seeds, each beside its control's."""
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for value in values:
        groups.setdefault((value.kind, value.mode, value.stage, value.name), []).append(value.value)
    for (kind, mode, stage, name), found in groups.items():
        if kind in CONTROL.values():
            continue
        control = groups.get((CONTROL.get(kind, ""), "float32", "", name), [])
        measure = MEASURES[name]
        yield Figure(
            name=name,
            label=measure.label,
            kind=kind,
            mode=mode,
            stage=stage,
            unit=measure.unit,
            better=measure.better,
            sentence=measure.sentence,
            count=len(found),
            **_summary(found, ""),
            **_summary(control, "control_"),
        )


def _summary(values: Sequence[float], prefix: str) -> dict[str, float | None]:
    numbers = measures.interval(values) if values else (None, None, None)
    return dict(zip((f"{prefix}median", f"{prefix}low", f"{prefix}high"), numbers, strict=True))


CONTROL = {"free": "control", "locked": "noise"}  # of a kind of takes; logits are forced, and have none

# --------------------------------------------------------------------------------------------------- in words

KINDS: Mapping[Kind, str] = {
    "free": "its own reading",
    "locked": "float32's units",
    "control": "another seed, as a control",
    "noise": "float32's units with other noise, as a control",
}
NEAR = 0.5  # share of the control's distance up to which a reading counts as close
APART = 1.25  # times the control's distance from which it counts as further than chance


def _words(error: Exception) -> str:
    """The first line of an error as a sentence."""
    line = str(error).partition("\n")[0].strip()
    return line if line.endswith(".") else f"{line or type(error).__name__}."


def _without_float32(error: Exception, text: str) -> InputError:
    if isinstance(error, InputError):
        return error
    return InputError(
        f"Even float32 gives no sound of {text!r}: {_words(error)} Choose another text or clip."
    )


def _heard_words(own: Mapping[str, Figure], draws: bool) -> tuple[str, str]:
    """Level and words from the figures of a mode's own readings."""
    level, words = _distance_words(own.get("dtw_mcd"), draws)
    misheard, likeness = own.get("wer_change"), own.get("similarity_change")
    if misheard and misheard.low > max(0.0, misheard.control_high or 0.0):
        level, words = "worse", f"{words} More words are misheard: {misheard.median:.0f} of 100."
    if likeness and likeness.high < min(0.0, likeness.control_low or 0.0):
        level, words = "worse", f"{words} It is less like the voice, by {-likeness.median:.2f}."
    return level, words


def _distance_words(apart: Figure | None, draws: bool) -> tuple[str, str]:
    if apart is None:
        return "other", "Its readings could not be laid beside float32's."
    if apart.median == 0:
        return "near", "The same reading as float32's in most takes."
    if not apart.control_median:
        return (
            "other",
            f"Its readings lie {apart.median:.1f} dB from float32's; there is no control beside it.",
        )
    ratio = apart.median / apart.control_median
    if not draws:
        words = f"{apart.median:.1f} dB from float32, {_times(ratio)} as far as a voice moved by a hundredth."
        return "near" if ratio <= APART else "other", words
    if ratio <= NEAR:
        return "near", f"Close to float32: only {_times(ratio)} as far from it as another seed's reading."
    if ratio <= APART:
        return "other", f"Another reading, as far from float32 as another seed's ({_times(ratio)})."
    return "worse", f"Further from float32 than another seed's reading ({_times(ratio)}): listen for it."


def _times(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 2 else f"{ratio:.1f} times"


def _cost_words(cost: Cost | None) -> str:
    if cost is None:
        return "Not measured."
    work = f"A second of sound takes {cost.rtf:.2f} s of work"
    size = f"weights of {cost.weights / 1e6:.0f} MB"
    if cost.speed is None:
        return f"{work}; {size}."
    pace = (
        f"{cost.speed:.1f} times as fast as" if cost.speed >= 1 else f"{1 / cost.speed:.1f} times slower than"
    )
    noisy = " Timings were noisy." if cost.noisy else ""
    return f"{pace} float32, with {cost.memory:.0%} of its memory ({size}). {work}.{noisy}"


# ------------------------------------------------------------------------------------------------- pictures

PICTURE_DB = 60.0  # below the loudest point of both nothing is drawn
TRACK_SECONDS = 0.05
APART_DB = 30.0  # of difference at which the picture of |A-B| is full
MOST_COLUMNS = 1200


def where_they_part(a: Take, b: Take, aligned: bool) -> Track:
    """How far B is from A along A: per 50 ms the distance of mel spectra, RMS over bands, in dB.

    `aligned` for takes of the same units; others are warped onto A sentence by sentence (DTW).
    """
    x, y = _side_by_side(a, b, aligned)
    return Track(TRACK_SECONDS, _pooled(((x - y) ** 2).mean(1), round(TRACK_SECONDS / 0.01)) ** 0.5)


def difference(a: Waveform, b: Waveform) -> Waveform:
    """A - B sample by sample, as long as the shorter; for takes of the same units only."""
    a, b = measures.in_step(a, b)
    return Waveform(a.samples - b.samples, a.sample_rate)


def sheet(a: Take, b: Take, aligned: bool) -> Sheet:
    """Pictures of two takes and of what they differ by; where not `aligned`, B is warped onto A's time."""
    x, y = _side_by_side(a, b, aligned)
    width = -(-len(x) // MOST_COLUMNS)
    first, second, apart = (_pooled(levels, width).T for levels in (x, y, np.abs(x - y)))
    top = float(max(x.max(), y.max()))
    rate = a.waveform.sample_rate
    return Sheet(first, second, apart, top - PICTURE_DB, top, APART_DB, a.waveform.seconds, rate / 2)


def _side_by_side(a: Take, b: Take, aligned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mel levels in dB of both on A's time: (frames, bands), 10 ms a frame, from 60 dB below the loudest."""
    x, y = (10 * np.log10(measures.mels(take.waveform)) for take in (a, b))
    floor = max(x.max(), y.max()) - PICTURE_DB
    x, y = np.maximum(x, floor), np.maximum(y, floor)
    if not aligned and len(a.spans) == len(b.spans):
        y = _warped(a, b, y, len(x), floor)
    length = min(len(x), len(y))
    return x[:length], y[:length]


def _warped(a: Take, b: Take, levels: np.ndarray, length: int, floor: float) -> np.ndarray:
    """B's `levels` on A's time, sentence by sentence; silence between them."""
    sums, counts = np.zeros((length, levels.shape[1])), np.zeros(length)
    for here, there in zip(a.spans, b.spans, strict=True):
        sounds = audio.trim(a.waveform, here.start, here.end), audio.trim(b.waveform, there.start, there.end)
        cells, _ = measures.warp(*map(measures.cepstra, sounds))
        frames = np.minimum(cells[:, 0] + round(here.start / 0.01), length - 1)
        others = np.minimum(cells[:, 1] + round(there.start / 0.01), len(levels) - 1)
        np.add.at(sums, frames, levels[others])
        np.add.at(counts, frames, 1)
    warped = np.full_like(sums, floor)
    warped[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return warped


def _pooled(levels: np.ndarray, width: int) -> np.ndarray:
    """Means of each `width` rows; the last may be of fewer."""
    edges = np.arange(0, len(levels), width)
    sums = np.add.reduceat(levels, edges, axis=0)
    counts = np.diff([*edges, len(levels)])
    return sums / counts.reshape(-1, *[1] * (levels.ndim - 1))


# ------------------------------------------------------------------------------------------ the command line

WORDING = "Stated by running Myna's comparison on this reference: I have the right to use this voice."


def parser() -> argparse.ArgumentParser:
    """All flags of the command line, with their help."""
    flags = Parser(
        prog="python -m pipelines.compare",
        description="Say texts at several precisions, measure them beside one another and write a report. By "
        "running it you state that you have the right to use this voice.",
    )
    flags.add_argument("--reference", required=True, type=Path, help="a clip of the voice, 3 to 30 seconds")
    flags.add_argument("--out", required=True, type=Path, help="the folder for report.html and what it shows")
    flags.add_argument("--text-file", type=Path, help="the texts, one a line")
    flags.add_argument("--text", action="append", default=[], help="a text; may be given several times")
    flags.add_argument(
        "--recipe", type=Path, help="make this exported comparison again; no other choices then"
    )
    flags.add_argument("--modes", default=",".join(MODES), help="precisions to compare, with commas between")
    flags.add_argument("--seeds", default="0", help="such as 0-4 or 1,5,7")
    flags.add_argument("--engine", default=next(iter(ENGINES)), help=f"one of {', '.join(ENGINES)}")
    flags.add_argument("--language", default="en", help="of the texts")
    flags.add_argument("--transcript", help="what the reference says, for engines that use it")
    flags.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    add_knobs(flags)
    flags.add_argument("--refine", action="store_true", help="bring the voice nearer first (about a minute)")
    flags.add_argument("--stages-alone", action="store_true", help="also lower each stage by itself")
    flags.add_argument("--no-words", action="store_true", help="do not count words misheard (it takes time)")
    flags.add_argument("--json", action="store_true", help="print one JSON object with cards and figures")
    flags.add_argument("--models", type=Path, default=Path("models"), help="folder of the engines' weights")
    flags.add_argument("--data", type=Path, default=Path("data"), help="folder of voices and verdicts")
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Exit codes: 0 written, 2 to be mended, 130 stopped (what is done is written)."""
    options = parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        comparison, differing = _compared(options, Run(stop.is_set))
    except (InputError, Unsound) as error:
        print(error, file=sys.stderr)
        return MENDABLE
    except Cancelled:
        return STOPPED
    if options.json:
        print(json.dumps(summary(comparison) | ({"differing": differing} if options.recipe else {})))
    for words in _told(comparison, differing if options.recipe else None):
        print(words, file=sys.stderr)
    return STOPPED if comparison.stopped else 0


def _compared(options: argparse.Namespace, run: Run) -> tuple[Comparison, list[str]]:
    """The comparison, written, and the names of those takes whose bytes are not the recipe's."""
    from pipelines import report  # which knows comparisons, so it cannot be known at import

    report.check_writable(options.out)
    recipe = None if options.recipe is None else read_recipe(options.recipe)
    reference = audio.read(options.reference)
    device.settle_threads()
    engines = Engines(options.models, options.data, device.probe(options.data / "probe.json"))
    plan = _plan(options, reference, engines) if recipe is None else plan_of(recipe, reference, _consent())
    for event in compare(engines, plan, run):
        if isinstance(event, Comparison):
            report.write(event, options.out)
            return event, [] if recipe is None else differing_takes(recipe, event)
        _tell(event)
    raise RuntimeError("A comparison ended without a result.")


def _plan(options: argparse.Namespace, reference: Waveform, engines: Engines) -> Plan:
    texts = list(options.text)
    if options.text_file is not None:
        texts += _lines(options.text_file)
    return Plan(
        engine=options.engine,
        reference=reference,
        texts=tuple(texts),
        modes=tuple(mode.strip() for mode in options.modes.split(",")),
        seeds=seeds(options.seeds),
        language=options.language,
        transcript=options.transcript,
        sampling=knobs(options, engines.spec(options.engine)),
        consent=_consent(),
        device=options.device,
        refine=options.refine,
        stages_alone=options.stages_alone,
        recognise=not options.no_words,
    )


def _consent() -> Consent:
    return Consent(WORDING, datetime.now(UTC).isoformat(timespec="seconds"))


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read as text ({error}); give a UTF-8 text file.") from error


def seeds(words: str) -> tuple[int, ...]:
    """``"0-4"``, ``"7"`` or ``"1,5,8-9"`` as numbers. Raises `InputError` for anything else."""
    found: list[int] = []
    for part in words.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        if match is None:
            raise InputError(f"{words!r} are no seeds; give whole numbers such as 0-4 or 1,5,7.")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_SEEDS:
            raise InputError(f"{part.strip()} is no range of at most {MOST_SEEDS} seeds, the lower first.")
        found += range(first, last + 1)
    return tuple(found)


def read_recipe(path: Path) -> dict[str, object]:
    """What `Comparison.recipe` was written as. Raises `InputError` for another file."""
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a recipe ({error}).") from error
    if not isinstance(recipe, dict) or recipe.get("myna_compare") != 1:
        raise InputError(f"{path.name} is no recipe of a comparison; choose the recipe.json of a report.")
    return recipe


def plan_of(recipe: Mapping[str, object], reference: Waveform, consent: Consent) -> Plan:
    """The plan that a recipe was made by. Raises `InputError` for another clip or a damaged recipe."""
    try:
        if audio.digest(reference) != recipe["reference"]["sha256"]:
            raise InputError("This is not the clip that the recipe was made with; choose that one.")
        names = ("engine", "language", "transcript", "device", "refine", "stages_alone", "recognise")
        lists = {name: tuple(recipe[name]) for name in ("texts", "modes", "seeds")}
        sampling = Sampling(**recipe["sampling"])
        plain = {name: recipe[name] for name in names}
        return Plan(reference=reference, sampling=sampling, consent=consent, **plain, **lists)
    except (KeyError, TypeError) as error:
        raise InputError(f"This recipe is damaged or of another version of Myna ({error}).") from error


def differing_takes(recipe: Mapping[str, object], comparison: Comparison) -> list[str]:
    """The takes of a recipe, in words, that have other bytes now or are not there."""
    now = {key: take.sha256 for key, take in comparison.takes.items()}
    differing = []
    for row in recipe["takes"]:
        key = Key(**{name: row[name] for name in ("kind", "mode", "stage", "text", "seed")})
        if now.get(key) != row["sha256"]:
            differing.append(" ".join(str(part) for part in asdict(key).values() if part != ""))
    return differing


def summary(comparison: Comparison) -> dict[str, object]:
    """Cards, costs and figures as plain JSON."""
    return {
        "device": comparison.place,
        "cards": [asdict(card) for card in comparison.cards],
        "costs": [asdict(cost) for cost in comparison.costs],
        "figures": [asdict(figure) for figure in comparison.figures],
        "absent": [
            {"mode": mode, "kind": kind, "reason": words} for (mode, kind), words in comparison.absent.items()
        ],
        "silent": [asdict(key) | {"reason": words} for key, words in comparison.silent.items()],
        "notes": list(comparison.notes),
        "stopped": comparison.stopped,
    }


def _told(comparison: Comparison, differing: Sequence[str] | None) -> Iterator[str]:
    """What the command line says at the end."""
    for card in comparison.cards:
        yield f"{card.mode}: {card.sounds} {card.costs}"
    yield from comparison.notes
    if differing:
        yield f"Other bytes than in the recipe: {', '.join(differing)}."
    elif differing is not None:
        yield f"The same bytes as in the recipe, in all {len(comparison.takes)} takes."


def _tell(step: Step) -> None:
    """Progress on standard error: one line that is written over where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{step.done}/{step.total} {step.words}", end="", file=sys.stderr, flush=True)
    elif step.take is not None:
        print(f"{step.done}/{step.total} {step.words}", file=sys.stderr)


if __name__ == "__main__":
    from pipelines import compare as known  # the module that reports know, not this copy named __main__

    sys.exit(known.main())
