"""Comparisons of the page: runs, pairs of takes to listen to, blind tests. No Gradio, no torch.

A run, a pair and a blind test are each named by an unguessable token, and whoever has the token may
see them; a server keeps the latest few.
"""

from __future__ import annotations

import math
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines import audio, blind, compare, report
from pipelines.blind import KINDS, Kind, Result, Sittings, Trial
from pipelines.compare import Comparison, Key, Plan, Step
from pipelines.registry import Engines
from pipelines.types import InputError, Request, Run, Take, Waveform
from webui import picture, words
from webui.jobs import Job

RUNS_KEPT = 6  # comparisons held in memory, some tens of megabytes each
PAIRS_KEPT = 24
TEXTS, SEEDS = 12, 5  # at most
TEXT_LIMIT = 400  # characters of one text
LOUDER = 40.0  # dB by which a difference is raised at most, to be heard at all
SOUNDS = {"A": "a.pcm", "B": "b.pcm", "D": "difference.pcm"}
DEFAULT_TEXTS = (
    "The quick thrush sings six bright notes, then waits for an answer.\n"
    "Did you really hear a difference, or did you only expect one?"
)


@dataclass(frozen=True)
class Wanted:
    """What stands on the Compare screen beside what it shares with Clone. `texts`: one a line."""

    modes: tuple[str, ...]
    texts: str
    seeds: int = 2
    alone: bool = False  # each stage lowered by itself as well
    recognise: bool = False  # count words misheard


@dataclass(frozen=True, eq=False)
class Pair:
    """Two takes made ready for listening side by side, and what they differ by.

    `quieter` is how many dB the difference lies below the sounds, and `louder` by how many it was raised to
    be heard; both None where a difference means nothing, because the two were said anew.
    """

    token: str
    run: str
    keys: tuple[Key, Key]
    draws: bool  # whether their prosody samples
    rate: int  # Hz
    seconds: float
    files: Mapping[str, bytes]  # name -> content, as they may be fetched
    aligned: bool
    quieter: float | None
    louder: float | None
    parting: tuple[float, ...]  # dB per `step` seconds
    step: float
    top_hz: float
    scale: tuple[float, float, float]  # floor and top of the two pictures, range of the third, dB


def planned(request: Request, wanted: Wanted, page: str) -> Plan:
    """The run that the page asks for. Raises `InputError` for texts or modes that cannot be compared."""
    texts = tuple(line.strip() for line in wanted.texts.splitlines() if line.strip())
    if not texts:
        raise InputError(words.say(page, "error.no_text"))
    if len(texts) > TEXTS or max(map(len, texts)) > TEXT_LIMIT:
        raise InputError(words.say(page, "compare.error.long", most=TEXTS, limit=TEXT_LIMIT))
    modes = tuple(mode for mode in wanted.modes if mode != "float32")
    if not modes:
        raise InputError(words.say(page, "compare.error.modes"))
    return Plan(
        engine=request.engine,
        reference=request.reference,
        texts=texts,
        modes=modes,
        seeds=tuple(range(max(1, min(SEEDS, wanted.seeds)))),
        language=request.language,
        transcript=request.transcript,
        sampling=request.sampling,
        consent=request.consent,
        device=request.wish.device,
        refine=request.refine,
        stages_alone=wanted.alone,
        recognise=wanted.recognise,
    )


def name_of(key: Key) -> str:
    """A take's name in the page: unique in its run."""
    return f"{key.kind}-{key.mode}-{key.stage}-{key.text}-{key.seed}"


def aligned(a: Key, b: Key) -> bool:
    """Whether two takes are of the same units, so that they may be compared sample by sample."""
    same = (a.text, a.seed) == (b.text, b.seed)
    return same and all(_float32_units(key) for key in (a, b))


def _float32_units(key: Key) -> bool:
    return key.kind in ("locked", "noise") or (key.kind, key.mode) == ("free", "float32")


class Booth:
    """Where takes are compared and listened to: runs, pairs, blind tests of all visitors of one server."""

    def __init__(self, engines: Engines, data: Path) -> None:
        self.engines = engines
        self.sittings = Sittings(data / "blind")
        self._folder = data / "compare"
        self._runs: OrderedDict[str, Comparison] = OrderedDict()
        self._pairs: OrderedDict[str, Pair] = OrderedDict()
        self._guard = threading.Lock()

    # ------------------------------------------------------------------------------ runs

    def modes(self, engine: str, place: str) -> dict[str, tuple[bool, str]]:
        """Each precision, whether it is possible here, and why (not)."""
        return compare.possible(self.engines, engine, place)

    def run(self, job: Job, plan: Plan) -> None:
        """Make a comparison; it is kept under the job's token. Raises what `compare.compare` raises."""
        for event in compare.compare(self.engines, plan, Run(job.stopped, _waits(job))):
            if isinstance(event, Step):
                job.tell("compare", event.done, event.total)
                job.words = event.words
            else:
                self._keep(job.token, event)

    def comparison(self, token: str) -> Comparison | None:
        """A run, None for one that is not kept (any more)."""
        return self._runs.get(token)

    def pack(self, token: str) -> Path | None:
        """The run as a zip with the blind tests done so far, made anew; None for an unknown run."""
        comparison = self.comparison(token)
        if comparison is None:
            return None
        folder = self._folder / token
        folder.mkdir(parents=True, exist_ok=True)
        draft, done = folder / f"{secrets.token_hex(6)}.part", folder / "comparison.zip"
        report.pack(comparison, draft, blind=tuple(map(_row, self.sittings.results(run=token))))
        draft.replace(done)
        return done

    def _keep(self, token: str, comparison: Comparison) -> None:
        with self._guard:
            self._runs[token] = comparison
            while len(self._runs) > RUNS_KEPT:
                self._runs.popitem(last=False)
            left = [path for path in self._folder.glob("*") if path.name not in self._runs]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)

    # ------------------------------------------------------------------------------ pairs

    def pair(self, run: str, first: str, second: str, page: str) -> Pair:
        """Two takes of a run by name, ready for listening. Raises `InputError` where one is not there."""
        comparison, keys = self._found(run, first, second, page)
        with self._guard:
            known = next((p for p in self._pairs.values() if p.run == run and p.keys == keys), None)
        if known is not None:
            return known
        pair = _paired(run, comparison, keys)
        with self._guard:
            self._pairs[pair.token] = pair
            while len(self._pairs) > PAIRS_KEPT:
                self._pairs.popitem(last=False)
        return pair

    def file(self, token: str, name: str) -> bytes | None:
        """A file of a pair, None for anything else."""
        pair = self._pairs.get(token)
        return pair.files.get(name) if pair else None

    def _found(self, run: str, first: str, second: str, page: str) -> tuple[Comparison, tuple[Key, Key]]:
        comparison = self.comparison(run)
        if comparison is None:
            raise InputError(words.say(page, "compare.error.gone"))
        known = {name_of(key): key for key in comparison.takes}
        if first not in known or second not in known:
            raise InputError(words.say(page, "compare.error.take"))
        return comparison, (known[first], known[second])

    # ------------------------------------------------------------------------------ blind tests

    def begin(self, run: str, first: str, second: str, kind: Kind, trials: int, page: str) -> Trial:
        """Begin a blind test of two takes. Raises `InputError` where it cannot be begun."""
        comparison, keys = self._found(run, first, second, page)
        if keys[0] == keys[1] or kind not in KINDS:
            raise InputError(words.say(page, "compare.error.alike"))
        sounds = (comparison.takes[keys[0]].waveform, comparison.takes[keys[1]].waveform)
        titles = (title(keys[0], comparison.draws, page), title(keys[1], comparison.draws, page))
        about = {"run": run, "first": first, "second": second, "text": comparison.plan.texts[keys[0].text]}
        return self.sittings.open(kind, trials, sounds, titles, about)


def title(key: Key, draws: bool, page: str) -> str:
    """What a person calls a take. `draws`: whether its prosody samples."""
    if (key.kind, key.mode) == ("free", "float32"):
        return words.say(page, "compare.kind.reference")
    if key.stage:
        stage = words.say(page, f"stage.{key.stage}")
        return words.say(page, "compare.kind.alone", mode=key.mode, stage=stage)
    kind = "nudged" if key.kind == "control" and not draws else key.kind
    return words.say(page, f"compare.kind.{kind}", mode=key.mode)


def _waits(job: Job):
    """Progress of a run's inner work: only what the run itself cannot say, that it waits or loads."""

    def tell(stage: str, done: int, total: int) -> None:
        if stage in ("waiting", "prepare"):
            job.tell(stage, done, total)

    return tell


def _row(result: Result) -> dict[str, object]:
    """A blind test as a line of the report."""
    return {
        "test": result.kind,
        "A or first": result.names[0],
        "B or second": result.names[1],
        "text": result.about.get("text", ""),
        "trials": result.trials,
        "counted": result.counted,
        "right or first": result.score,
        "p": round(result.p, 5),
        "95 % from": round(result.low, 3),
        "95 % to": round(result.high, 3),
        "in words": result.words,
        "when": result.opened,
        "key": result.key,
        "answers": result.answers,
    }


# --- a pair ------------------------------------------------------------------------------


def _paired(run: str, comparison: Comparison, keys: tuple[Key, Key]) -> Pair:
    takes = [comparison.takes[key] for key in keys]
    same = aligned(*keys)
    match = blind.matched(takes[0].waveform, takes[1].waveform)
    sounds = match.sounds
    moved = [_moved(*each) for each in zip(takes, sounds, match.moved, strict=True)]
    track, sheet = compare.where_they_part(*moved, same), compare.sheet(*moved, same)
    files = {
        SOUNDS["A"]: _pcm(sounds[0]),
        SOUNDS["B"]: _pcm(sounds[1]),
        "a.png": picture.mask((sheet.a - sheet.floor) / (sheet.top - sheet.floor)),
        "b.png": picture.mask((sheet.b - sheet.floor) / (sheet.top - sheet.floor)),
        "apart.png": picture.mask(sheet.apart / sheet.range),
    }
    quieter = louder = None
    if same:
        difference = compare.difference(*sounds)
        quieter = _above(sounds[0], difference)
        louder = float(np.clip(quieter, 0.0, LOUDER))
        files[SOUNDS["D"]] = _pcm(replace(difference, samples=difference.samples * 10 ** (louder / 20)))
    return Pair(
        token=secrets.token_urlsafe(18),
        run=run,
        keys=keys,
        draws=comparison.draws,
        rate=sounds[0].sample_rate,
        seconds=sounds[0].seconds,
        files=files,
        aligned=same,
        quieter=quieter,
        louder=louder,
        parting=tuple(round(float(d), 2) for d in track.distance),
        step=track.step,
        top_hz=sheet.top_hz,
        scale=(sheet.floor, sheet.top, sheet.range),
    )


def _moved(take: Take, sound: Waveform, seconds: float) -> Take:
    """The take as it will be heard, its sentences where they are then."""
    spans = tuple(replace(span, start=span.start + seconds, end=span.end + seconds) for span in take.spans)
    return replace(take, waveform=sound, spans=spans)


def _above(sound: Waveform, difference: Waveform) -> float:
    """How many dB of power one lies above the other. (Loudness would find silence below -70 LUFS.)"""
    powers = [float(part.samples.square().mean()) for part in (sound, difference)]
    return 10 * math.log10(powers[0] / powers[1]) if powers[1] else math.inf


def _pcm(sound: Waveform) -> bytes:
    return audio.pcm16(sound).astype("<i2").tobytes()
