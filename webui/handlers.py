"""What the page does, without the page: plain values in, plain values out; no Gradio, no torch.

A `Desk` serves all visitors of one server. A visit is named by its session; what belongs to a visit
(its running job) is looked up under that name, and a take under an unguessable token, so that no
visitor meets another's voice. The work itself is `pipelines.synthesis`; it runs in a thread of its
own, and the page looks at the `Job` as often as it likes.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines import audio, coach, device, measures, synthesis, text
from pipelines.device import MODES, Choice, Refusal, Table
from pipelines.registry import Engines
from pipelines.types import (
    Consent,
    InputError,
    Piece,
    Request,
    Sampling,
    Spec,
    StageReport,
    Take,
    Voice,
    Waveform,
    Wish,
)
from webui import picture, words
from webui.comparing import Booth, Wanted, planned
from webui.jobs import LOG, Card, Job, StageLine, trouble

TEXT_LIMIT = 10_000  # characters said at once
TAKES_KEPT = 200  # in memory; their files stay until they are deleted
SHELF = 50  # of a visitor's takes are shown, the newest
TOKEN = re.compile("[A-Za-z0-9_-]{24}")  # as `Desk._start` makes them
SOUND_KEPT = 600.0  # seconds that a finished job's sound can still be fetched
FILES = ("take.wav", "recipe.json", "take.srt", "spectrogram.png")  # of a take, as they may be fetched


@dataclass(frozen=True)
class Example:
    """The clip that is there on the first visit, and the words under which it may be used."""

    path: Path
    text: str
    licence: str
    when: str  # ISO 8601, the day it was made


@dataclass(frozen=True)
class Clip:
    """A reference clip as the page shows it. `consent` and `refined` are what is on record for it."""

    digest: str
    seconds: float
    sample_rate: int
    findings: tuple[coach.Finding, ...]
    engine: str  # for which that is said
    example: bool
    consent: bool
    refined: bool


@dataclass(frozen=True)
class Ask:
    """What stands on the page when a button is pressed. `clip` is a path in the page's own cache."""

    clip: str | None
    text: str = ""
    engine: str = ""  # empty: the server's own
    language: str = "en"
    transcript: str = ""  # what the clip says, where the person wrote it down
    consent: bool = False
    closer: bool = True  # use the refined voice where there is one
    seed: int = 0
    speed: float = 1.0
    prosody: str = ""  # one of the engine's `Spec.prosodies`; empty: its first
    temperature: float | None = None  # None, here and below: as is usual for the engine
    top_p: float | None = None
    repetition_penalty: float | None = None
    device: str = "auto"
    precision: str = "auto"
    top_k: int | None = None
    steps: int | None = None
    candidates: int | None = None


KNOBS = (
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "steps",
    "candidates",
)  # of `Ask` and of `Sampling`


class Register:
    """What is kept of a voice beyond a visit: the consent to use it, and whether it was refined.

    One JSON file a clip in `folder`, named by the digest of the clip's samples.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()

    def consent(self, digest: str) -> Consent | None:
        """The consent on record, None where there is none."""
        record = self._read(digest).get("consent")
        return Consent(record["wording"], record["when"]) if record else None

    def agree(self, digest: str, consent: Consent) -> Consent:
        """Keep a consent and give it back."""
        self._write(digest, {"consent": asdict(consent)})
        return consent

    def revoke(self, digest: str) -> None:
        """Forget a consent."""
        self._write(digest, {"consent": None})

    def refined(self, digest: str, engine: str) -> bool:
        """Whether `engine` has brought this voice closer before."""
        return engine in self._read(digest).get("refined", [])

    def refine(self, digest: str, engine: str) -> None:
        """Note that `engine` has brought this voice closer."""
        engines = set(self._read(digest).get("refined", [])) | {engine}
        self._write(digest, {"refined": sorted(engines)})

    def _read(self, digest: str) -> dict:
        try:
            return json.loads((self._folder / f"{digest}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _write(self, digest: str, change: dict) -> None:
        with self._guard:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f"{digest}.part"
            record = json.dumps(self._read(digest) | change, ensure_ascii=False, indent=1)
            draft.write_text(record, encoding="utf-8")
            draft.replace(self._folder / f"{digest}.json")


@dataclass(frozen=True)
class Made:
    """A take and the request it came from, to make it again; None where that is still on the disk."""

    card: Card
    request: Request | None


class Desk:
    """The one place that all visitors' wishes come to.

    `engines` does the work; `data` is where takes and consents are kept; `engine` is what speaks where
    nobody chose another.
    Methods raise `InputError` with a sentence for the person. What a job runs into is said in `Job.error`.
    """

    def __init__(self, engines: Engines, data: Path, engine: str, example: Example | None = None) -> None:
        self.engines = engines
        self.data = data
        self.engine = engine
        self.spec = engines.spec(engine)
        self.example = example
        self.booth = Booth(engines, data)
        self._register = Register(data / "consents")
        self._example_digest = audio.digest(audio.read(example.path)) if example else None
        self._jobs: dict[str, Job] = {}  # the latest of each session
        self._sounds: OrderedDict[str, Job] = OrderedDict()  # by token
        self._takes: OrderedDict[str, Made] = OrderedDict()  # by token
        self._shelves: dict[str, list[str]] = {}  # tokens of each session's takes, newest first
        self._guard = threading.Lock()

    # ------------------------------------------------------------------------------ the engines

    def specs(self) -> list[tuple[Spec, str | None]]:
        """Every engine, with what keeps it from speaking in words; None where it can be chosen."""
        return [(self.engines.spec(name), self.missing(name)) for name in self.engines.names()]

    def missing(self, engine: str) -> str | None:
        """In words, what the engine lacks; None where it is ready."""
        return self.engines.missing(engine)

    def edition(self, engine: str) -> str:
        """Which of its versions speaks, where an engine has several and one was chosen; else nothing."""
        try:
            told = json.loads((self.engines.models / engine / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        version = told.get("version") if isinstance(told, dict) else None
        return version if isinstance(version, str) else ""

    def chosen(self, engine: object) -> Spec:
        """The engine that a browser names, where it is known and ready; the server's own elsewhere."""
        known = isinstance(engine, str) and engine in self.engines.names() and self.missing(engine) is None
        return self.engines.spec(engine) if known else self.spec

    # ------------------------------------------------------------------------------ the clip

    def clip(self, path: str, engine: str = "") -> Clip:
        """What there is to say about a clip for an engine, named as in `Ask`.

        Raises `InputError` for what is no usable sound.
        """
        waveform = audio.read(path)
        digest = audio.digest(waveform)
        spec = self.engines.spec(engine or self.engine)
        return Clip(
            digest,
            waveform.seconds,
            waveform.sample_rate,
            tuple(coach.examine(waveform, _speaker_changes, spec.reference_seconds, spec.overlong)),
            spec.name,
            digest == self._example_digest,
            self._consent(digest) is not None,
            self._register.refined(digest, spec.name),
        )

    def glimpse(self, path: str) -> tuple[float, bool]:
        """A clip's seconds, and whether it is the example. Raises `InputError` where it is no sound."""
        waveform = audio.read(path)
        return waveform.seconds, audio.digest(waveform) == self._example_digest

    def mend(self, path: str, kind: str, engine: str = "", page: str = "en") -> tuple[int, np.ndarray]:
        """The clip mended for an engine, as (rate in Hz, int16 samples). A consent for it holds on."""
        waveform = audio.read(path)
        spec = self.engines.spec(engine or self.engine)
        found = coach.examine(waveform, wanted=spec.reference_seconds, overlong=spec.overlong)
        if kind not in {finding.kind for finding in found if finding.mend}:
            raise InputError(words.say(page, "error.no_mend"))
        mended = coach.mend(waveform, kind, spec.reference_seconds)
        pcm = audio.pcm16(mended)
        consent = self._consent(audio.digest(waveform))
        if consent is not None:
            heard_again = replace(mended, samples=mended.samples.new_tensor(pcm / np.float32(32768)))
            self._register.agree(audio.digest(heard_again), consent)
        return mended.sample_rate, pcm

    def _consent(self, digest: str) -> Consent | None:
        if self.example is not None and digest == self._example_digest:
            return Consent(self.example.licence, self.example.when)
        return self._register.consent(digest)

    def _agreed(self, digest: str, ticked: bool, page: str) -> Consent | None:
        """The consent for a request: on record, or given by the tick now; an empty box takes it back."""
        known = self._consent(digest)
        if digest == self._example_digest:
            return known
        if ticked:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return known or self._register.agree(digest, Consent(words.CONSENT[page], now))
        if known is not None:
            self._register.revoke(digest)
        return None

    # ------------------------------------------------------------------------------ the work

    def speak(self, session: str, ask: Ask, page: str) -> Job:
        """Start saying `ask.text` in the voice of `ask.clip`. `page` is the language of messages."""
        count = len(ask.text.strip())
        if count == 0:
            raise InputError(words.say(page, "error.no_text"))
        if count > TEXT_LIMIT:
            raise InputError(words.say(page, "error.long_text", count=count, limit=TEXT_LIMIT))
        request = self._request(ask, page)
        return self._start(
            session, page, request.engine, lambda job: self._spoken(session, job, request), speaks=True
        )

    def refine(self, session: str, ask: Ask, page: str) -> Job:
        """Start bringing the voice of `ask.clip` closer to the clip. On Stop the best so far is kept."""
        request = self._request(ask, page)
        return self._start(session, page, request.engine, lambda job: self._refined(job, request))

    def compare(self, session: str, ask: Ask, wanted: Wanted, page: str) -> Job:
        """Start comparing precisions in the voice of `ask.clip`; the job's token names the run."""
        plan = planned(self._request(ask, page), wanted, page)
        return self._start(session, page, plan.engine, lambda job: self.booth.run(job, plan))

    def again(self, session: str, token: str, page: str) -> Job:
        """Start making a take once more, to compare the bytes."""
        made = self._made(session, token, page)
        request = made.request or self._request_kept(token)
        return self._start(session, page, request.engine, lambda job: self._repeated(job, made, request))

    def stop(self, session: str) -> None:
        """Stop what runs for this visitor; nothing happens where nothing runs."""
        job = self._jobs.get(session)
        if job is not None:
            job.stop()

    def arrive(self, session: str, tokens: object) -> list[Card]:
        """The visitor is here, with what their browser remembers; gives the takes that are still known."""
        named = [token for token in tokens if isinstance(token, str)] if isinstance(tokens, list) else []
        known = [token for token in dict.fromkeys(named[:SHELF]) if self._known(token)]
        with self._guard:
            self._shelves[session] = known
        return self.cards(session)

    def leave(self, session: str) -> None:
        """The visitor has gone: what runs for them is of no use any more."""
        self.stop(session)
        self._jobs.pop(session, None)
        self._shelves.pop(session, None)

    def sound(self, token: str) -> Job | None:
        """The job whose sound is fetched under this token."""
        return self._sounds.get(token)

    def _request(self, ask: Ask, page: str) -> Request:
        if not ask.clip:
            raise InputError(words.say(page, "error.no_clip"))
        spec = self.engines.spec(ask.engine or self.engine)
        reference = audio.read(ask.clip)
        digest = audio.digest(reference)
        consent = self._agreed(digest, ask.consent, page)
        if consent is None:
            raise InputError(words.say(page, "error.consent"))
        knobs = {name: getattr(ask, name) for name in KNOBS}
        sampling = replace(
            spec.usual,
            seed=ask.seed,
            speed=ask.speed,
            prosody=ask.prosody if ask.prosody in spec.prosodies else "",  # else another engine's
            **{name: value for name, value in knobs.items() if value is not None},
        )
        return Request(
            engine=spec.name,
            text=ask.text,
            reference=reference,
            language=ask.language,
            transcript=(spec.transcript and ask.transcript.strip()) or None,
            sampling=sampling,
            wish=Wish(ask.device, ask.precision),
            consent=consent,
            refine=ask.closer and self._register.refined(digest, spec.name),
            stream=True,
        )

    def _start(
        self, session: str, page: str, engine: str, work: Callable[[Job], None], speaks: bool = False
    ) -> Job:
        job = Job(secrets.token_urlsafe(18), engine, speaks)
        with self._guard:
            running = self._jobs.get(session)
            if running is not None and not running.finished:
                raise InputError(words.say(page, "error.busy"))
            self._jobs[session] = job
            self._forget_sounds()
            self._sounds[job.token] = job
        threading.Thread(target=self._guarded, args=(job, page, work), name="myna-job", daemon=True).start()
        return job

    def _forget_sounds(self) -> None:
        old = time.monotonic() - SOUND_KEPT
        for token, job in list(self._sounds.items()):
            if job.finished and job.ended < old:
                del self._sounds[token]

    def _guarded(self, job: Job, page: str, work: Callable[[Job], None]) -> None:
        """The body of a job's thread: whatever happens, the job ends and says how."""
        try:
            work(job)
        except Exception as error:
            job.error = trouble(error, page)
        finally:
            job.ended = time.monotonic()
            job.silent = job.finished = True

    def _spoken(self, session: str, job: Job, request: Request) -> None:
        for event in synthesis.clone(self.engines, request, job.run()):
            if isinstance(event, Piece):
                job.hear(event.waveform)
            elif isinstance(event, Take):
                job.silent = True
                job.stage = "measure"
                job.card = self._keep(job.token, event, request)
                with self._guard:
                    self._shelves.setdefault(session, []).insert(0, job.token)

    def _refined(self, job: Job, request: Request) -> None:
        voice = synthesis.refine(self.engines, request, job.run())
        if "refined" in voice.facts:
            self._register.refine(audio.digest(request.reference), request.engine)

    def _repeated(self, job: Job, made: Made, request: Request) -> None:
        for event in synthesis.clone(self.engines, request, job.run()):
            if isinstance(event, Take) and not event.stopped:
                job.card = replace(made.card, again=event.sha256)
                with self._guard:
                    if made.card.token in self._takes:
                        self._takes[made.card.token] = replace(made, card=job.card)

    # ------------------------------------------------------------------------------ the takes

    def cards(self, session: str) -> list[Card]:
        """A visitor's takes, newest first."""
        with self._guard:
            shelf = list(self._shelves.get(session, []))
        return [made.card for token in shelf if (made := self._known(token))]

    def file(self, token: str, name: str) -> Path | None:
        """A file of a take that may be fetched, None for anything else."""
        return self._folder(token) / name if name in FILES and self._known(token) else None

    def delete(self, session: str, token: str) -> None:
        """Forget one of a visitor's takes and its files."""
        with self._guard:
            mine = token in self._shelves.get(session, [])
            if mine:
                self._takes.pop(token, None)
                self._shelves[session].remove(token)
                if self._folder(token).exists():
                    shutil.rmtree(self._folder(token))

    def _made(self, session: str, token: str, page: str) -> Made:
        made = self._known(token) if token in self._shelves.get(session, []) else None
        if made is None:
            raise InputError(words.say(page, "error.gone"))
        return made

    def _known(self, token: str) -> Made | None:
        """A take by its token, from memory or from the disk; None where there is none."""
        made = self._takes.get(token)
        if made is None and TOKEN.fullmatch(token):
            card = _card_kept(self._folder(token), token)
            if card is not None:
                made = Made(card, None)
                self._remember(token, made)
        return made

    def _remember(self, token: str, made: Made) -> None:
        with self._guard:
            self._takes[token] = made
            while len(self._takes) > TAKES_KEPT:
                self._takes.popitem(last=False)

    def _request_kept(self, token: str) -> Request:
        """The request of a take, as it was written beside it."""
        folder = self._folder(token)
        told = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        voice = Voice.load(folder / "voice.safetensors")
        nothing = next(iter(voice.tensors.values())).new_zeros(0).float()  # the clip is not kept
        return Request(
            told["engine"],
            told["text"],
            Waveform(nothing, told["sample_rate"]),
            told["language"],
            told["transcript"],
            Sampling(**told["sampling"]),
            Wish(**told["wish"] | {"stages": tuple(told["wish"]["stages"])}),
            Consent(**told["consent"]),
            voice,
            stream=told.get("stream", False),  # takes of before this was known were not
        )

    def _folder(self, token: str) -> Path:
        return self.data / "takes" / token

    def _keep(self, token: str, take: Take, request: Request) -> Card:
        """Write a take's files and measure it. Where the disk is full, nothing of it stays."""
        folder, lasting = self._folder(token), _lasting(request, take)
        try:
            self._write(folder, take, lasting)
            card = self._card(token, take, request)
            told = json.dumps(asdict(card), ensure_ascii=False)
            (folder / "card.json").write_text(told, encoding="utf-8")
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remember(token, Made(card, lasting))
        return card

    def _card(self, token: str, take: Take, request: Request) -> Card:
        samples, rate = take.waveform.samples.numpy(), take.waveform.sample_rate
        return Card(
            token=token,
            engine=self.engines.spec(request.engine).title,
            text=request.text.strip(),
            seconds=take.waveform.seconds,
            sample_rate=rate,
            seed=request.sampling.seed,
            similarity=_similarity(request.reference, take.waveform),
            loudness=audio.loudness(take.waveform),
            rtf=take.rtf,
            stages=_lines(take.stages),
            notes=take.notes,
            precision=dict(take.recipe["precision"]),
            sha256=take.sha256,
            stopped=take.stopped,
            refined="refined" in take.voice.facts,
            heard=take.voice.facts.get("heard", ""),
            voice="; ".join(f"{n}: {told}" for n, told in take.voice.facts.items() if n != "heard"),
            prosody=request.sampling.prosody,
            outline=tuple(picture.outline(samples)),
            top_hz=picture.top_hz(rate),
        )

    def _write(self, folder: Path, take: Take, request: Request) -> None:
        folder.mkdir(parents=True)
        waveform, recipe = take.waveform, json.dumps(dict(take.recipe), ensure_ascii=False, indent=2)
        audio.write(folder / "take.wav", waveform, f"Myna; sha256 of the samples {take.sha256}")
        (folder / "recipe.json").write_text(recipe, encoding="utf-8")
        (folder / "take.srt").write_text(text.subtitles(take.spans), encoding="utf-8")
        image = picture.spectrogram(waveform.samples.numpy(), waveform.sample_rate)
        (folder / "spectrogram.png").write_bytes(image)
        take.voice.save(folder / "voice.safetensors")
        told = {name: getattr(request, name) for name in ("engine", "text", "language", "transcript")}
        told |= {name: asdict(getattr(request, name)) for name in ("sampling", "wish", "consent")}
        told |= {"sample_rate": request.reference.sample_rate, "stream": request.stream}
        (folder / "request.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")

    # ------------------------------------------------------------------------------ the settings

    @property
    def table(self) -> Table:
        """What the probe found: device → precision → verdict."""
        return self.engines.table

    def wish(self, device_name: object, precision: object) -> Wish:
        """A wish that can be met here, from values that a browser kept: what is not known is `auto`."""
        place = device_name if device_name in ("auto", *self.table) else "auto"
        mode = precision if precision in ("auto", *MODES) else "auto"
        wish = Wish(str(place), str(mode))
        try:
            device.choose(wish, self.table)
        except Refusal as refusal:
            return refusal.safe
        return wish

    def choice(self, wish: Wish) -> Choice:
        """What a wish comes to here. Raises `Refusal` where it cannot be met."""
        return device.choose(wish, self.table)

    def probe(self) -> None:
        """Measure the machine again; later requests go by the new verdicts."""
        self.engines.table = device.probe(self.data / "probe.json", fresh=True)


def _lasting(request: Request, take: Take) -> Request:
    """What makes the take again: the voice as it was heard, without the clip, which may be large."""
    return replace(request, voice=take.voice, refine=False, reference=audio.trim(request.reference, 0, 0))


def _card_kept(folder: Path, token: str) -> Card | None:
    """The card of a take on the disk; None where there is none, or one of another version of Myna's."""
    try:
        told = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        stages = tuple(StageLine(**line) for line in told["stages"])
        tuples = {name: tuple(told[name]) for name in ("notes", "outline")}
        return Card(**told | tuples | {"stages": stages, "token": token})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        LOG.warning("The take in %s is not shown: %r", folder, error)
        return None


def _speaker_changes(waveform: Waveform) -> float:
    """How surely two people speak in the first minute; the rest of a longer clip would take as long again."""
    return measures.speaker_changes(audio.trim(waveform, 0, 60))


def _similarity(reference: Waveform, take: Waveform) -> float | None:
    """Likeness of the two speakers; None for a take too short to tell."""
    if take.seconds < 1.0:
        return None
    return measures.speaker_similarity(reference, take)


def _lines(reports: tuple[StageReport, ...]) -> tuple[StageLine, ...]:
    """Reports of all sentences, summed where stage, device, precision and note agree."""
    sums: dict[tuple[str, str, str, str], float] = {}
    for report in reports:
        key = (report.stage, report.device, report.dtype, report.note)
        sums[key] = sums.get(key, 0.0) + report.seconds
    return tuple(StageLine(stage, s, place, dtype, note) for (stage, place, dtype, note), s in sums.items())
