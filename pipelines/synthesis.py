"""The one path from a request to a sound: listen → read → say → render, with guard and retry.

Every front (page, command line) and every measurement calls `clone`. It waits for the device's
turn, runs the four verbs, gives sound as it is made, and looks at every stage's numbers: where a
lowered precision gave none, the stage is done again in float32 and the take says so.

The first sentence is said alone, or even heard while it is said, so that sound starts soon; engines
that can say the next ones together, while what was made plays. What is done together follows from the
request and the engine alone, so that the same request gives the same bytes.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TypeVar

import torch

from pipelines import audio, device
from pipelines.device import Choice, Placement
from pipelines.registry import Engines
from pipelines.text import Pause, Sentence, split
from pipelines.types import (
    Cancelled,
    Engine,
    InputError,
    Phrase,
    Piece,
    Request,
    Run,
    Sampling,
    Span,
    StageReport,
    Take,
    Units,
    Unsound,
    Voice,
    Waveform,
)

AT_ONCE = Run()  # nobody watches and nobody stops it
# What of `Sampling` an engine may be asked: lowest, highest, what it is called. A temperature of 0 is greedy.
RANGES = {
    "speed": (0.5, 2.0, "A speed"),
    "temperature": (0.0, 2.0, "A temperature"),
    "top_k": (0, 100_000, "A top-k"),
    "top_p": (0.01, 1.0, "A top-p"),
    "repetition_penalty": (0.5, 2.0, "A repetition penalty"),
    "candidates": (1, 8, "A number of candidates"),
    "max_seconds": (1.0, 600.0, "A longest sentence, in seconds,"),
}
SILENCE = 1e-3  # peak (-60 dBFS) below which a sentence has no sound in it
CLIPPED = 0.02  # share of samples at full scale above which a sound is broken rather than loud
SYMBOL_SECONDS = (0.01, 1.0)  # of sound per symbol of a phrase: no speech is faster or slower
SLACK_SECONDS = 3.0  # a lone word may carry this much breath and pause around it
# How sentences were said that were to be said in one go: were they (False), or was there too little memory.
_TOGETHER = {
    False: "Several sentences at once.",
    True: "One after the other, as memory is not enough for several sentences at once.",
}

Result = TypeVar("Result")


def clone(engines: Engines, request: Request, run: Run = AT_ONCE) -> Iterator[StageReport | Piece | Take]:
    """Say `request.text` in the voice of `request.reference`.

    Gives a `StageReport` per stage and sentence, `Piece`s of sound in order as they are made, and at
    last the `Take`. On Stop the take holds what was made till then; if that is nothing, `Cancelled`
    is raised. Raises `InputError` for what the person can mend, before anything is said, and
    `Unsound` where even float32 gives no sound.
    """
    check(engines, request)
    parts = split(request.text)
    choice = device.choose(request.wish, engines.table)
    with engines.turn(choice.placement.device).held(run):
        yield from _Job(engines, request, run, choice, parts).speak()


def refine(engines: Engines, request: Request, run: Run = AT_ONCE) -> Voice:
    """The voice of `request.reference` brought nearer to it, and kept for later requests that ask `refine`.

    Goes on from the voice kept of an earlier time. Others waiting for the device go first between two
    steps. On Stop the best so far is kept; where that is nothing yet, the voice comes back as it was.
    Raises `InputError` where the engine cannot refine or the clip cannot be used.
    """
    request = replace(request, refine=True)
    check(engines, request)
    choice = device.choose(request.wish, engines.table)
    with engines.turn(choice.placement.device).held(run) as patient:
        return _Job(engines, request, patient, choice, []).refined(further=True)


def check(engines: Engines, request: Request) -> None:
    """Raises `InputError` for a request that no engine should start on."""
    spec = engines.spec(request.engine)
    sampling = request.sampling
    if request.consent is None or not request.consent.wording.strip():
        raise InputError("Nothing is said in a voice before you state that you have the right to use it.")
    if request.language not in spec.languages:
        raise InputError(
            f"{spec.title} does not speak {request.language!r}; it speaks {', '.join(spec.languages)}."
        )
    for name, (low, high, title) in RANGES.items():
        value = getattr(sampling, name)
        if not low <= value <= high:
            raise InputError(f"{title} of {value:g} is outside {low:g} to {high:g}.")
    if not 0 <= sampling.seed < 2**63:
        raise InputError(f"{sampling.seed} is no seed; a seed is a whole number from 0 up to 2^63 - 1.")
    if sampling.prosody and sampling.prosody not in spec.prosodies:
        ways = f"it speaks {' or '.join(spec.prosodies)}" if spec.prosodies else "it has only its own way"
        raise InputError(f"{spec.title} cannot speak {sampling.prosody!r}: {ways}.")
    if sampling.steps and sampling.steps not in spec.steps:
        steps = ", ".join(map(str, spec.steps))
        ways = f"it can be {steps}, or 0 for the usual" if steps else "there are no steps to choose"
        raise InputError(f"{spec.title} cannot render in {sampling.steps} steps: {ways}.")
    if request.refine and not spec.refines:
        raise InputError(f"{spec.title} cannot refine a voice.")
    if request.voice is not None and request.voice.engine != request.engine:
        raise InputError(f"This voice was made by {request.voice.engine} and {request.engine} cannot use it.")


def seed_of(seed: int, sentence: int) -> int:
    """The seed of one sentence: its own stream of chance, whatever the sentences before it drew."""
    digest = hashlib.sha256(f"{seed}/{sentence}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass
class _Job:
    """One request on its way. Lives for one call; nothing of it stays."""

    engines: Engines
    request: Request
    run: Run
    choice: Choice
    parts: list[Sentence | Pause]
    notes: list[str] = field(default_factory=list)
    stages: list[StageReport] = field(default_factory=list)
    sound: list[Waveform] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    said: list[Units] = field(default_factory=list)
    phrases: dict[int, Phrase] = field(default_factory=dict)  # by sentence: read, and not yet rendered
    units: dict[int, Units] = field(default_factory=dict)  # by sentence: said, and not yet rendered
    last_read: int = 0  # the sentence that was read, or could not be
    together: int = 1  # sentences that were said in one go
    cramped: bool = False  # whether memory did not do for more than one
    unread: InputError | None = None

    def __post_init__(self) -> None:
        self.texts = [part.text for part in self.parts if isinstance(part, Sentence)]
        self.total = len(self.texts)
        # Progress is counted in sentences; the stages' own steps are too fine.
        self.quiet = Run(self.run.cancelled)
        self.placement = self.choice.placement
        if self.request.wish.precision == "auto" and self.request.heal:
            self.placement = self.engines.trusted(self.request.engine, self.placement)
            if self.placement != self.choice.placement:
                self._note("A lower precision gave no sound here before, so full precision is used.")

    # ------------------------------------------------------------------------------- the path

    def speak(self) -> Iterator[StageReport | Piece | Take]:
        """The whole of `clone`, holding the device's turn."""
        voice = self._voice()
        yield from self.stages
        number, stopped = 0, False
        try:
            for part in self.parts:
                self.run.check()
                if isinstance(part, Pause):
                    yield self._piece(self._silence(part.seconds), number)
                    continue
                number += 1
                yield from self._sentence(number, voice)
        except Cancelled:
            if not self.sound:
                raise
            stopped = True
        if self.unread is not None and not self.spans and not stopped:
            raise self.unread
        yield self._take(voice, stopped)

    def refined(self, further: bool = False) -> Voice:
        """The refined voice kept from an earlier time, or made now and kept; `further` goes on from it."""
        key = "refined-" + self._voice_key()
        kept = self.engines.voice(key)
        if kept is not None and not further:
            return kept
        start = kept or self._listened()
        lowered = self.placement
        # Refining follows gradients, which a lowered or quantised network does not give.
        self.placement = Placement(lowered.device)
        voice = self._guarded("refine", 0, lambda e: e.refine(start, self.request.reference, self.run))
        self.placement = lowered
        if voice is not start:
            self.engines.keep_voice(key, voice, on_disk=True)
        return voice

    def _voice(self) -> Voice:
        if self.request.voice is not None:
            return self.request.voice
        return self.refined() if self.request.refine else self._listened()

    def _listened(self) -> Voice:
        key = self._voice_key()
        voice = self.engines.voice(key)
        if voice is None:
            request, run = self.request, self.run
            self.run.progress("listen", 0, 1)
            voice = self._guarded("listen", 0, lambda e: e.listen(request.reference, request.transcript, run))
            self.engines.keep_voice(key, voice)
        return voice

    def _sentence(self, number: int, voice: Voice) -> Iterator[StageReport | Piece]:
        """One sentence, from its text to its sound; those that are said with it wait for their turn."""
        if number > self.last_read:
            yield from self._read(range(number, min(number + self._at_once(), self.total + 1)))
            if self._streams(number):
                yield from self._streamed(number, voice)
                return
            if self.request.units is None:
                yield from self._said_together(sorted(self.phrases), voice)
        if number not in self.phrases:
            return
        phrase = self.phrases.pop(number)
        units = self._given() if self.request.units is not None else self.units.pop(number)
        self.run.progress("render", number, self.total)
        start = self._seconds()
        yield from self._rendered(lambda e: e.render(units, phrase, voice, self.quiet), number)
        yield self.stages[-1]
        self._finished(number, start, units)

    def _finished(self, number: int, start: float, units: Units) -> None:
        self.spans.append(Span(self.texts[number - 1], start, self._seconds()))
        self.said.append(units)

    def _streams(self, number: int) -> bool:
        """Whether a sentence is heard while it is being said: the first, since later ones are said while
        those before them play, and can be said again where they are not good."""
        request = self.request
        if not (request.stream and request.heal) or request.units is not None or self.said:
            return False
        if number not in self.phrases or not hasattr(engine := self._engine(), "streams"):
            return False
        return engine.streams(self.phrases[number], request.sampling)

    def _streamed(self, number: int, voice: Voice) -> Iterator[StageReport | Piece]:
        """A sentence that is said and rendered by turns."""
        phrase, words = self.phrases.pop(number), _Words()
        how = replace(self.request.sampling, seed=seed_of(self.request.sampling.seed, number))

        def render(engine: Engine) -> Iterator[Waveform]:
            words.failed = False
            said = engine.say_on(phrase, voice, how, self.quiet, words.latest)
            return engine.render_on(words.heard(said), phrase, voice, self.quiet)

        self.run.progress("say", number, self.total)
        start = self._seconds()
        for piece in self._rendered(render, number, words):
            self.run.progress("render", number, self.total)
            yield piece
        yield from self.stages[-2:]
        if words.latest.note:
            self._note(f"{words.latest.note} ({self.texts[number - 1]})")
        self._finished(number, start, words.latest)

    def _at_once(self) -> int:
        """How many sentences are read and said in one go.

        The first alone, so that sound starts soon; then twice as many each time, while what was made plays.
        """
        if self.request.units is not None or not self.said or self.cramped:
            return 1
        self.together = min(2 * self.together, getattr(self._engine(), "at_once", 1))
        return self.together

    def _read(self, numbers: range) -> Iterator[StageReport]:
        """Get sentences ready to be said."""
        self.run.progress("read", numbers[0], self.total)
        for number in numbers:
            self.run.check()
            self.last_read = number
            text = self.texts[number - 1]
            try:
                phrase = self._guarded("read", number, partial(_read, text, self.request.language))
            except InputError as error:  # one sentence in another script should not cost the rest
                self.unread = error
                self._note(f"Left out: {text} ({error})")
                continue
            yield self.stages[-1]
            for note in phrase.notes:
                self._note(note)
            self.phrases[number] = phrase

    def _said_together(self, numbers: Sequence[int], voice: Voice) -> Iterator[StageReport]:
        """Say these sentences, which are read; each draws from its own stream of chance.

        Where memory does not do for all of them at once, and from then on, one after the other: each is what
        it would have been.
        """
        if not numbers:
            return
        self.run.progress("say", numbers[0], self.total)
        phrases = [self.phrases[number] for number in numbers]
        seeds = [seed_of(self.request.sampling.seed, number) for number in numbers]
        hows = [replace(self.request.sampling, seed=seed) for seed in seeds]

        def say(engine: Engine) -> list[Units]:
            found = self._all_said(engine, phrases, voice, hows[0], seeds)
            if found is None:
                found = [
                    engine.say(phrase, voice, how, self.quiet)
                    for phrase, how in zip(phrases, hows, strict=True)
                ]
            return [_best(candidates, phrase) for candidates, phrase in zip(found, phrases, strict=True)]

        made, seconds, note = self._healed("say", say)
        if len(numbers) > 1:
            note = f"{_TOGETHER[self.cramped]} {note}".strip()
        lengths = [units.ids.shape[1] for units in made]
        for number, units, length in zip(numbers, made, lengths, strict=True):
            self.units[number] = units
            if units.note:
                self._note(f"{units.note} ({self.texts[number - 1]})")
            self._report("say", number, seconds * length / sum(lengths), note)
            yield self.stages[-1]

    def _all_said(
        self, engine: Engine, phrases: list[Phrase], voice: Voice, sampling: Sampling, seeds: list[int]
    ) -> list[list[Units]] | None:
        """The engine's `say_all`; None for a lone sentence, and where memory does not do for several."""
        if len(phrases) == 1 or self.cramped:
            return None
        try:
            return engine.say_all(phrases, voice, sampling, seeds, self.quiet)
        except (RuntimeError, MemoryError) as error:
            if not device.out_of_memory(error):
                raise
            self.cramped = True
        device.free(self.placement.device)  # what was made is let go of only here, with the error
        return None

    def _given(self) -> Units:
        """The request's own units of the sentence that comes next."""
        given, place = self.request.units, len(self.said)
        if place == len(given):
            raise InputError(f"The text has more sentences than the {len(given)} whose units were given.")
        return given[place]

    def _rendered(
        self, render: Callable[[Engine], Iterator[Waveform]], number: int, words: _Words | None = None
    ) -> Iterator[Piece]:
        """One sentence's sound as it is made, and once more in float32 from where it stopped being sound.

        The second rendering of the same units is the same sentence sample by sample, so what was given
        already is left out of it. `words` are being said meanwhile: what failed in them is said on in
        float32 from where it failed.
        """
        given, busy, notes = 0, 0.0, {"say": "", "render": ""}
        while True:
            engine, offset = self._engine(), 0
            watch = _Watch(render(engine))
            try:
                for piece in watch:
                    fresh = piece.samples[max(0, given - offset) :]
                    offset += piece.samples.numel()
                    if fresh.numel():
                        given = offset
                        yield self._piece(Waveform(fresh, piece.sample_rate), number)
                break
            except (Unsound, RuntimeError, MemoryError) as error:
                stage = "say" if words is not None and words.failed else "render"
                notes[stage] = self._heal(stage, error) or notes[stage]
            finally:
                busy += watch.busy
        if words is not None:
            busy -= words.busy
            self._report("say", number, words.busy, notes["say"])
        self._report("render", number, busy, notes["render"])

    # ---------------------------------------------------------------------- guard and healing

    def _guarded(self, stage: str, number: int, work: Callable[[Engine], Result]) -> Result:
        """What `_healed` gives; reports the stage."""
        result, seconds, note = self._healed(stage, work)
        self._report(stage, number, seconds, note)
        return result

    def _healed(self, stage: str, work: Callable[[Engine], Result]) -> tuple[Result, float, str]:
        """What `work` gives, done again after healing where it fails; the seconds it took, and a note."""
        busy, note = 0.0, ""
        while True:
            engine = self._engine()
            started = time.perf_counter()
            try:
                result = work(engine)
                if isinstance(result, Voice):
                    _sound_voice(result)
                break
            except (Unsound, RuntimeError, MemoryError) as error:
                note = self._heal(stage, error) or note
            finally:
                busy += time.perf_counter() - started
        return result, busy, note

    def _heal(self, stage: str, error: Exception) -> str:
        """Make another try worth while, and say how; raises where nothing is left to try.

        Memory: forget the other engines. Anything else in a lowered stage: that stage in float32.
        """
        if device.out_of_memory(error):
            place = self.placement.device
            if self.engines.release_others(self.request.engine, place):
                return ""
            self.engines.release(self.request.engine, place)
            raise InputError(
                f"The memory of {device.describe(place)} is not enough for this. Close other programs, "
                "or say a shorter text."
            ) from error
        lowered = _mode(self.placement, stage)
        if lowered == "float32" or not self.request.heal:
            raise error
        self.engines.distrust(self.request.engine, self.placement, stage)
        self.placement = self.placement.raised(stage)
        note = f"{lowered} gave no sound here ({stage}); made again in full precision."
        self._note(note)
        return note

    def _engine(self) -> Engine:
        return self.engines.get(self.request.engine, self.placement, self.run)

    # ------------------------------------------------------------------------ what is written down

    def _report(self, stage: str, number: int, seconds: float, note: str) -> None:
        place = "cpu" if stage == "read" else self.placement.device
        dtype = _mode(self.placement, stage)
        self.stages.append(StageReport(stage, number, seconds, place, dtype, note))

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def _piece(self, waveform: Waveform, number: int) -> Piece:
        self.sound.append(waveform)
        return Piece(waveform, number, self.total)

    def _silence(self, seconds: float) -> Waveform:
        # Of the engine that is loaded: its versions differ in their rates, and the spec names one.
        rate = self._engine().sample_rate
        return Waveform(torch.zeros(round(seconds * rate)), rate)

    def _seconds(self) -> float:
        return sum(piece.seconds for piece in self.sound)

    def _voice_key(self) -> str:
        """What a listened voice depends on: samples, rate, transcript, weights, precision of listening."""
        request = self.request
        parts = (
            audio.digest(request.reference),
            str(request.reference.sample_rate),
            repr(request.transcript),
            request.engine,
            self._fingerprint(),
            self.placement.device,
            self.placement.listen,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _fingerprint(self) -> str:
        self.engines.prepare(self.request.engine, self.run)
        return self.engines.fingerprint(self.request.engine)

    def _take(self, voice: Voice, stopped: bool) -> Take:
        whole = audio.join(self.sound)
        sha256 = audio.digest(whole)
        busy = sum(s.seconds for s in self.stages if s.stage in ("read", "say", "render"))
        return Take(
            waveform=whole,
            spans=tuple(self.spans),
            said=tuple(self.said),
            voice=voice,
            stages=tuple(self.stages),
            notes=tuple(self.notes),
            recipe=self._recipe(whole, voice, sha256),
            sha256=sha256,
            rtf=busy / whole.seconds,
            stopped=stopped,
        )

    def _recipe(self, whole: Waveform, voice: Voice, sha256: str) -> dict[str, object]:
        request = self.request
        return {
            "myna": 1,
            "engine": request.engine,
            "weights": self._fingerprint(),
            "text": request.text,
            "language": request.language,
            "transcript": request.transcript,
            "sampling": asdict(request.sampling),
            "refine": request.refine or "refined" in voice.facts,
            "stream": request.stream,
            "reference": {
                "sha256": audio.digest(request.reference),
                "sample_rate": request.reference.sample_rate,
                "seconds": round(request.reference.seconds, 3),
            },
            "wish": asdict(request.wish),
            "precision": precision(self.choice, self.placement),
            "placement": asdict(self.placement),
            "machine": {
                "system": platform.platform(),
                "processor": device.describe(self.placement.device),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            },
            "made": {"sample_rate": whole.sample_rate, "samples": whole.samples.numel(), "sha256": sha256},
        }


def precision(choice: Choice, used: Placement) -> dict[str, str]:
    """The precision that was asked for, what was used, and why, in words."""
    modes = {stage: used.mode(stage) for stage in ("listen", "say", "render")}
    alike = len(set(modes.values())) == 1
    words = used.say if alike else ", ".join(f"{stage} {mode}" for stage, mode in modes.items())
    return {"requested": choice.requested.precision, "used": words, "reason": choice.reason}


class _Words:
    """Units that grow while they are rendered: timed, the latest of them kept."""

    def __init__(self) -> None:
        self.latest: Units | None = None
        self.busy = 0.0  # seconds spent in saying
        self.failed = False  # whether it was saying that raised last

    def heard(self, said: Iterator[Units]) -> Iterator[Units]:
        """What is said, as it comes."""
        while (units := self._next(said)) is not None:
            self.latest = units
            yield units

    def _next(self, said: Iterator[Units]) -> Units | None:
        started, self.failed = time.perf_counter(), True
        try:
            units = next(said, None)
            self.failed = False
            return units
        finally:
            self.busy += time.perf_counter() - started


class _Watch:
    """An engine's pieces, timed and looked at; silent ones are held back until there is sound.

    Raises `Unsound` at a piece that is not finite or is clipped through, and at the end if nothing
    was heard at all.
    """

    def __init__(self, pieces: Iterator[Waveform]) -> None:
        self._pieces = pieces
        self.busy = 0.0  # seconds spent in the engine

    def __iter__(self) -> Iterator[Waveform]:
        heard, held = False, []
        while (piece := self._next()) is not None:
            _sound_samples(piece)
            heard = heard or float(piece.samples.abs().max()) > SILENCE
            held.append(piece)
            if heard:
                yield from held
                held = []
        if not heard:
            raise Unsound("There was only silence where a sentence should be.")

    def _next(self) -> Waveform | None:
        started = time.perf_counter()
        try:
            return next(self._pieces, None)
        finally:
            self.busy += time.perf_counter() - started


def _read(text: str, language: str, engine: Engine) -> Phrase:
    return engine.read(text, language)


def _sound_voice(voice: Voice) -> None:
    for name, tensor in voice.tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise Unsound(f"Listening gave numbers that are not finite ({name}).")


def _best(candidates: list[Units], phrase: Phrase) -> Units:
    """The best candidate, looked at."""
    units = candidates[0]
    for name, curve in (units.curves or {}).items():
        if not curve.isfinite().all():
            raise Unsound(f"The speaking model gave numbers that are not finite ({name}).")
    low, high = (bound * phrase.ids.numel() for bound in SYMBOL_SECONDS)
    if units.seconds and not low <= units.seconds <= high + SLACK_SECONDS:
        raise Unsound(f"The speaking model wanted {units.seconds:.1f} s for {phrase.text!r}.")
    return units


def _sound_samples(piece: Waveform) -> None:
    if piece.samples.numel() == 0:
        raise ValueError("An engine gave an empty piece.")
    if not piece.samples.isfinite().all():
        raise Unsound("The vocoder gave numbers that are not finite.")
    if float((piece.samples.abs() >= 1.0).float().mean()) > CLIPPED:
        raise Unsound("The vocoder's sound was clipped through.")


def _mode(placement: Placement, stage: str) -> str:
    """The precision of a stage; what is not one of the three (read, refine) is always float32."""
    return getattr(placement, stage) if stage in ("listen", "say", "render") else "float32"
