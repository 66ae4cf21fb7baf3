"""The Clone screen: a voice, a sentence, one button, and the takes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import gradio as gr

from pipelines import coach
from pipelines.types import InputError, Spec
from webui import choosing, markup, words
from webui.choosing import Choice, plain
from webui.handlers import Ask, Desk
from webui.jobs import Job, trouble

GLANCE = 0.1  # seconds between two looks at a job
SEEDS = 2**31
QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
AT_ONCE = QUIET | {"queue": False}  # never behind anybody's generation

# Gradio redraws an HTML component by position; the cards are kept by token instead, so that a new
# card does not stop the one that plays.
SHELF_SCRIPT = """
const shelf = element.querySelector('.shelf');
const draw = () => window.myna.shelve(shelf, props.value || [], trigger);
watch('value', draw);
draw();
"""
PROGRESS_SCRIPT = "watch('value', () => window.myna.listen(element));"
COACH_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mend]');
  if (button) trigger('click', {kind: button.dataset.mend});
});
"""


@dataclass(frozen=True)
class Screen:
    """What other parts of the page fill in or read."""

    choice: Choice
    advice: gr.HTML
    clip: gr.Audio
    transcript: gr.Textbox
    coach: gr.HTML
    consent: gr.Checkbox
    closer: gr.Checkbox
    refine: gr.Button
    undo: gr.Button
    example: gr.Button
    text: gr.Textbox
    language: gr.Dropdown
    knobs: Knobs
    takes: gr.HTML

    @property
    def of_clip(self) -> list[gr.components.Component]:
        """What changes with the clip."""
        return [self.coach, self.consent, self.closer, self.refine, self.example]

    @property
    def of_engine(self) -> list[gr.components.Component]:
        """What changes with the engine, in the order of `fitted`."""
        parts = [self.advice, self.transcript, self.text, self.language]
        return [*parts, self.knobs.prosody, *self.knobs.sampling, self.knobs.honest]


def page_of(request: gr.Request) -> str:
    """The language of the visitor's browser."""
    return words.language(request.headers.get("accept-language"))


def build(
    desk: Desk,
    t: Callable[[str], object],
    device: gr.Radio,
    precision: gr.Radio,
    shelf: gr.BrowserState,
    tabs: gr.Tabs,
    tab: gr.Tab,
) -> Screen:
    """Lay out the screen and wire it. `t` gives a text by key; `shelf` keeps tokens in the browser."""
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(elem_classes="make", min_width=320):
            choice = choosing.build(desk, t)
            with gr.Column(elem_classes="sheet"):
                with gr.Row(elem_classes="head"):
                    plain(markup.heading(str(t("voice.heading"))))
                    advice = plain(elem_id="advice")
                clip = gr.Audio(
                    value=str(desk.example.path) if desk.example else None,
                    label=t("voice.label"),
                    show_label=False,
                    sources=["upload", "microphone"],
                    type="filepath",
                    elem_id="clip",
                    buttons=[],
                )
                plain('<div id="mic-trouble" role="alert"></div>')
                coach = plain(elem_id="coach", js_on_load=COACH_SCRIPT)
                with gr.Row(elem_classes="chips"):
                    undo = gr.Button(t("coach.undo"), elem_id="undo", size="sm", visible=False)
                    example = gr.Button(
                        t("voice.example"), elem_id="example", size="sm", visible=desk.example is not None
                    )
                    refine = gr.Button(t("voice.refine"), elem_id="refine", size="sm", visible=False)
                transcript = gr.Textbox(
                    label=t("transcript.label"), info=desk.spec.transcript, lines=1, max_lines=6,
                    elem_id="transcript", visible=bool(desk.spec.transcript),
                )  # fmt: skip
                closer = gr.Checkbox(
                    True, label=t("voice.refine.on"), elem_id="closer", visible=False, container=False
                )
                consent = gr.Checkbox(label=t("consent"), elem_id="consent", container=False, visible=False)
            with gr.Column(elem_classes="sheet"):
                with gr.Row(elem_classes="head"):
                    plain(markup.heading(str(t("text.heading"))))
                    language = gr.Dropdown(
                        list(desk.spec.languages),
                        value=desk.spec.languages[0],
                        label=t("language.label"),
                        elem_id="language",
                        min_width=120,
                        visible=len(desk.spec.languages) > 1,
                    )
                text = gr.Textbox(
                    desk.example.text if desk.example else "",
                    label=t("text.label"),
                    info=t("text.hint"),
                    placeholder=t("text.placeholder"),
                    lines=3,
                    max_lines=14,
                    elem_id="text",
                )
                plain('<p id="count" aria-hidden="true"></p>')
                knobs = _knobs(desk, t)
            with gr.Column(elem_classes="sheet go"):
                notice = plain("", elem_id="notice", html_template='<div role="alert">${value}</div>')
                way = gr.Button(t("engine.way"), elem_id="way", size="sm", visible=False)
                progress = plain(
                    "", elem_id="progress", html_template='<div aria-live="polite">${value}</div>',
                    js_on_load=PROGRESS_SCRIPT,
                )  # fmt: skip
                with gr.Row(elem_classes="buttons"):
                    speak = gr.Button(t("speak"), variant="primary", size="lg", elem_id="speak")
                    stop = gr.Button(t("stop"), variant="stop", size="lg", elem_id="stop", visible=False)
                plain(f'<p class="keys">{t("keys")}</p>')
        with gr.Column(elem_classes="takes", min_width=320):
            plain(markup.heading(str(t("takes.heading"))))
            plain(f'<p class="empty">{t("takes.empty")}</p>')
            takes = plain(
                [], elem_id="takes", html_template='<div class="shelf"></div>', js_on_load=SHELF_SCRIPT
            )
    screen = Screen(
        choice, advice, clip, transcript, coach, consent, closer, refine, undo, example, text, language,
        knobs, takes,
    )  # fmt: skip
    original = gr.State(None)
    _wire_clip(desk, screen, original)
    _wire_engine(desk, screen, way, tabs, tab)
    asked = [
        clip, text, choice.engine, language, transcript, consent, closer, *knobs.all, device, precision,
    ]  # fmt: skip
    work = _Work(desk, notice, way, progress, speak, stop, refine, takes, shelf, knobs)
    _wire_work(work, screen, asked)
    return screen


# --- the knobs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Knobs:
    """The folded controls."""

    seed: gr.Number
    locked: gr.Checkbox
    speed: gr.Slider
    prosody: gr.Radio
    temperature: gr.Slider
    top_p: gr.Slider
    repetition: gr.Slider
    honest: gr.HTML

    @property
    def sampling(self) -> list[gr.Slider]:
        """What means something only where saying is drawn by chance."""
        return [self.temperature, self.top_p, self.repetition]

    @property
    def all(self) -> list[gr.components.Component]:
        """In the order of `_ask`."""
        return [self.seed, self.speed, self.prosody, self.temperature, self.top_p, self.repetition]


def _knobs(desk: Desk, t: Callable[[str], object]) -> Knobs:
    samples, usual = desk.spec.samples, desk.spec.usual
    drawn = desk.spec.draws()
    with gr.Accordion(t("advanced"), open=False, elem_id="advanced"):
        speed = gr.Slider(
            0.5, 2.0, 1.0, step=0.05, label=t("speed.label"), info=t("speed.info"), elem_id="speed"
        )
        prosody = prosodies(desk, t, "prosody", t("prosody.info"))
        with gr.Row(equal_height=True, elem_classes="seedline"):
            seed = gr.Number(
                0, label=t("seed.label"), info=t("seed.info"), precision=0, minimum=0, maximum=SEEDS - 1,
                elem_id="seed",
            )  # fmt: skip
            dice = gr.Button(t("seed.dice"), size="sm", elem_id="dice")
        locked = gr.Checkbox(label=t("seed.lock"), elem_id="locked", container=False)
        sampling = [
            gr.Slider(
                low, high, value, step=0.05, label=t(f"{name}.label"), info=t(f"{name}.info"),
                elem_id=name, visible=samples, interactive=drawn,
            )
            for name, low, high, value in (
                ("temperature", 0.1, 1.5, usual.temperature),
                ("top_p", 0.1, 1.0, usual.top_p),
                ("repetition", 1.0, 2.0, usual.repetition_penalty),
            )
        ]  # fmt: skip
        honest = plain(f'<p class="hint honest">{t("engine.honest")}</p>', visible=not samples)
    dice.click(new_seed, None, seed, **AT_ONCE)
    return Knobs(seed, locked, speed, prosody, *sampling, honest)


def prosodies(desk: Desk, t: Callable[[str], object], name: str, info: object | None = None) -> gr.Radio:
    """The engine's ways to say a sentence, hidden where there is but one."""
    ways = desk.spec.prosodies
    choices = [(t(f"prosody.{way}") if f"prosody.{way}" in words.TEXTS else way, way) for way in ways]
    return gr.Radio(
        choices, value=next(iter(ways), None), label=t("prosody.label"), info=info, elem_id=name,
        elem_classes="ways", visible=len(ways) > 1,
    )  # fmt: skip


def new_seed() -> int:
    """A seed by chance."""
    return secrets.randbelow(SEEDS)


# --- the clip -----------------------------------------------------------------------------


def look(desk: Desk, path: str | None, engine: str | None, page: str) -> list[object]:
    """What the page shows of a clip: coach, consent, closer, refine, the button for the example."""
    hidden, shipped = gr.update(visible=False), gr.update(visible=desk.example is not None)
    if not path:
        return ["", hidden, hidden, hidden, shipped]
    try:
        spec = desk.chosen(engine)
        clip = desk.clip(path, spec.name)
    except Exception as error:
        return [markup.notice(trouble(error, page)), hidden, hidden, hidden, shipped]
    licence = desk.example.licence if desk.example else ""
    return [
        markup.coached(clip, licence, page),
        gr.update(visible=not clip.example, value=clip.consent),
        gr.update(visible=clip.refined, value=True),
        gr.update(visible=spec.refines),
        gr.update(visible=desk.example is not None and not clip.example),
    ]


def _wire_clip(desk: Desk, screen: Screen, original: gr.State) -> None:
    def changed(path: str | None, engine: str | None, request: gr.Request) -> list[object]:
        return look(desk, path, engine, page_of(request))

    def mend(
        path: str | None, before: str | None, engine: str | None, request: gr.Request, event: gr.EventData
    ) -> list[object]:
        page = page_of(request)
        try:
            if not path:
                raise InputError(words.say(page, "error.no_clip"))
            mended = desk.mend(path, str(event.kind), desk.chosen(engine).name, page)
        except Exception as error:
            return [gr.skip(), markup.notice(trouble(error, page)), *[gr.skip()] * 3]
        kept = "" if event.kind in coach.TOO_LONG else gr.skip()  # of a part, nobody knows the words
        return [mended, gr.skip(), before or path, gr.update(visible=True), kept]

    def undo(before: str | None) -> list[object]:
        return [before, None, gr.update(visible=False)]

    def shipped() -> list[object]:
        return [str(desk.example.path) if desk.example else None, None, gr.update(visible=False), ""]

    def fresh() -> list[object]:
        return [None, gr.update(visible=False), ""]

    clip, button, transcript = screen.clip, screen.undo, screen.transcript
    clip.change(changed, [clip, screen.choice.engine], screen.of_clip, **QUIET)
    replaced = [clip.upload, clip.stop_recording, clip.clear]
    gr.on(replaced, fresh, None, [original, button, transcript], **AT_ONCE)
    mended = [clip, original, screen.choice.engine]
    screen.coach.click(mend, mended, [clip, screen.coach, original, button, transcript], **QUIET)
    button.click(undo, original, [clip, original, button], **AT_ONCE)
    screen.example.click(shipped, None, [clip, original, button, transcript], **AT_ONCE)


# --- the engine ---------------------------------------------------------------------------


def fitted(spec: Spec, prosody: str | None, page: str) -> list[object]:
    """For `Screen.of_engine`: what this engine has."""
    low, high = spec.reference_seconds
    _, why = words.engine(page, spec)
    way = choosing.ways(spec, prosody, page)
    knob = {"visible": spec.samples, "interactive": spec.draws(way["value"] or "")}
    usual = spec.usual.temperature, spec.usual.top_p, spec.usual.repetition_penalty
    hint = "text.hint" if spec.languages == ("en",) else "text.hint.any"
    return [
        markup.hint(words.say(page, "voice.hint", low=low, high=high)),
        gr.update(visible=bool(spec.transcript), info=why),
        gr.update(info=words.say(page, hint)),
        choosing.spoken(spec, page),
        way,
        *[gr.update(value=value, **knob) for value in usual],
        gr.update(visible=not spec.samples),
    ]


def _wire_engine(desk: Desk, screen: Screen, way: gr.Button, tabs: gr.Tabs, tab: gr.Tab) -> None:
    choice, knobs = screen.choice, screen.knobs

    def chosen(
        engine: str | None, path: str | None, prosody: str | None, request: gr.Request
    ) -> list[object]:
        spec, page = desk.chosen(engine), page_of(request)
        told, _, closer, refine, _ = look(desk, path, spec.name, page)
        return [*fitted(spec, prosody, page), told, closer, refine]

    def draws(prosody: str | None, engine: str | None) -> list[object]:
        return [gr.update(interactive=desk.chosen(engine).draws(prosody or ""))] * len(knobs.sampling)

    def seen(engine: str | None, request: gr.Request) -> list[object]:
        radio, *others = choosing.offered(desk, engine, page_of(request))
        if radio["value"] == engine:
            del radio["value"]  # what the person chooses meanwhile stays
        return [radio, *others]

    asked = [choice.engine, screen.clip, knobs.prosody]
    nearer = [screen.coach, screen.closer, screen.refine]
    choice.engine.change(chosen, asked, [*screen.of_engine, *nearer], **AT_ONCE)
    knobs.prosody.input(draws, [knobs.prosody, choice.engine], knobs.sampling, **AT_ONCE)
    tab.select(seen, choice.engine, choice.all, **AT_ONCE)
    gr.on([choice.way.click, way.click], lambda: gr.update(selected="models"), None, tabs, **AT_ONCE)


# --- the work -----------------------------------------------------------------------------


async def followed(
    start: Callable[[str, str], Job], request: gr.Request, notice: gr.HTML, progress: gr.HTML
) -> AsyncIterator[tuple[Job | None, dict]]:
    """Start a job and give it with its progress as often as that changes; last when it has ended.

    `start` takes the session and the page's language. Where it refuses, the job is None.
    """
    page = page_of(request)
    try:
        job = await asyncio.to_thread(start, request.session_hash, page)
    except Exception as error:
        yield None, {notice: markup.notice(trouble(error, page))}
        return
    shown = markup.progress(job, page)
    yield job, {notice: "", progress: shown}
    while not job.finished:
        now = markup.progress(job, page)
        if now != shown:
            shown = now
            yield job, {progress: now}
        await asyncio.sleep(GLANCE)
    yield job, {progress: markup.progress(job, page), notice: markup.notice(job.error or "")}


@dataclass(frozen=True)
class _Work:
    """What a running job changes on the page."""

    desk: Desk
    notice: gr.HTML
    way: gr.Button
    progress: gr.HTML
    speak: gr.Button
    stop: gr.Button
    refine: gr.Button
    takes: gr.HTML
    shelf: gr.BrowserState
    knobs: Knobs

    async def follow(
        self, start: Callable[[str, str], Job], request: gr.Request
    ) -> AsyncIterator[tuple[Job | None, dict]]:
        """Start a job and give what to show, again and again until it has ended."""
        async for job, shown in followed(start, request, self.notice, self.progress):
            yield job, shown if job is None else shown | self._running(job)

    def _running(self, job: Job) -> dict:
        now = not job.finished
        return {
            self.way: gr.update(visible=job.error is not None and self.desk.missing(job.engine) is not None),
            self.speak: gr.update(interactive=not now),
            self.stop: gr.update(visible=now),
            self.refine: gr.update(interactive=not now),
        }

    def cards(self, request: gr.Request) -> dict:
        """The takes of a visitor as they stand, for the page and for the browser's memory."""
        cards = self.desk.cards(request.session_hash)
        return {self.takes: shelved(cards, page_of(request)), self.shelf: [card.token for card in cards]}


def shelved(cards: list, page: str) -> list[dict[str, str]]:
    """Cards for the page's shelf."""
    return [{"token": card.token, "html": markup.take(card, page)} for card in cards]


def _ask(
    clip: str | None, text: str, engine: str | None, language: str, transcript: str, consent: bool,
    closer: bool, seed: float | None, speed: float, prosody: str | None, temperature: float, top_p: float,
    repetition: float, device: str, precision: str,
) -> Ask:  # fmt: skip
    """The page's values by name."""
    return Ask(
        clip, text or "", engine or "", language, transcript or "", bool(consent), bool(closer),
        int(seed or 0), speed, prosody or "", temperature, top_p, repetition, device, precision,
    )  # fmt: skip


def _wire_work(work: _Work, screen: Screen, asked: list[gr.components.Component]) -> None:
    desk = work.desk

    async def speak(request: gr.Request, *values: object) -> AsyncIterator[dict]:
        *values, locked = values
        ask = _ask(*values)
        async for job, shown in work.follow(lambda session, page: desk.speak(session, ask, page), request):
            if job is not None and job.finished and job.card is not None:
                shown |= work.cards(request)
                if not locked:
                    shown[work.knobs.seed] = new_seed()
            yield shown

    async def refine(request: gr.Request, *values: object) -> AsyncIterator[dict]:
        ask = _ask(*values)
        async for job, shown in work.follow(lambda session, page: desk.refine(session, ask, page), request):
            if job is not None and job.finished:
                seen = await asyncio.to_thread(look, desk, ask.clip, ask.engine, page_of(request))
                shown = dict(zip(screen.of_clip, seen, strict=True)) | shown
            yield shown

    async def act(request: gr.Request, event: gr.EventData) -> AsyncIterator[dict]:
        token = str(event.token)
        if event.act == "delete":
            await asyncio.to_thread(desk.delete, request.session_hash, token)
            yield work.cards(request)
            return

        async for job, shown in work.follow(lambda session, page: desk.again(session, token, page), request):
            yield shown | (work.cards(request) if job is not None and job.finished else {})

    async def stop(request: gr.Request) -> None:
        desk.stop(request.session_hash)

    shown = [
        work.notice, work.way, work.progress, work.speak, work.stop, work.refine, work.takes, work.shelf,
    ]  # fmt: skip
    work.speak.click(speak, [*asked, work.knobs.locked], [*shown, work.knobs.seed], **QUIET)
    work.refine.click(
        refine, asked, [*shown, *(part for part in screen.of_clip if part is not work.refine)], **QUIET
    )
    work.takes.click(act, None, shown, **QUIET)
    work.stop.click(stop, None, None, **AT_ONCE)
