"""The Clone screen: a voice, a sentence, one button, and the takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import gradio as gr

from pipelines import coach
from pipelines.types import InputError, Spec
from webui import choosing, markup, tuning, words
from webui.choosing import Choice, plain
from webui.handlers import Ask, Desk
from webui.jobs import Job, trouble
from webui.serving import AT_ONCE, QUIET, page_of
from webui.tuning import Knobs, new_seed

GLANCE = 0.1  # seconds between two looks at a job

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
        return [*parts, *self.knobs.of_engine]


def build(
    desk: Desk,
    t: Callable[[str], object],
    device: gr.Radio,
    precision: gr.Radio,
    store: gr.BrowserState,
    shelf: gr.BrowserState,
    tabs: gr.Tabs,
    tab: gr.Tab,
) -> Screen:
    """Lay out the screen and wire it. `t` gives a text by key; `store` keeps settings in the browser and
    `shelf` the takes' tokens."""
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
                knobs = tuning.build(desk, t)
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
    _wire_engine(desk, screen, store, way, tabs, tab)
    tuning.wire(desk, knobs, store)
    asked = [
        clip, text, choice.engine, language, transcript, consent, closer, knobs.seed, device, precision,
        store, *knobs.all,
    ]  # fmt: skip
    work = _Work(desk, notice, way, progress, speak, stop, refine, takes, shelf, knobs)
    _wire_work(work, screen, asked)
    return screen


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


def _looking(desk: Desk) -> Callable[..., list[object]]:
    """The handler that looks at a clip for an engine; for `Screen.of_clip`."""

    def looked(path: str | None, engine: str | None, request: gr.Request) -> list[object]:
        return look(desk, path, engine, page_of(request))

    return looked


def _wire_clip(desk: Desk, screen: Screen, original: gr.State) -> None:
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
        return [None, gr.update(visible=False)]

    clip, button, transcript = screen.clip, screen.undo, screen.transcript
    clip.change(_looking(desk), [clip, screen.choice.engine], screen.of_clip, **QUIET)
    gr.on([clip.upload, clip.stop_recording, clip.clear], fresh, None, [original, button], **AT_ONCE)
    # Not when the next clip has come: its words may have been typed while it was uploaded.
    clip.clear(lambda: "", None, transcript, **AT_ONCE)
    mended = [clip, original, screen.choice.engine]
    screen.coach.click(mend, mended, [clip, screen.coach, original, button, transcript], **QUIET)
    button.click(undo, original, [clip, original, button], **AT_ONCE)
    screen.example.click(shipped, None, [clip, original, button, transcript], **AT_ONCE)


# --- the engine ---------------------------------------------------------------------------


def fitted(desk: Desk, spec: Spec, store: object, page: str) -> list[object]:
    """For `Screen.of_engine`: what this engine has. `store` is what the browser keeps."""
    low, high = spec.reference_seconds
    _, why = words.engine(page, spec)
    hint = "text.hint" if spec.languages == ("en",) else "text.hint.any"
    return [
        markup.hint(words.say(page, "voice.hint", low=low, high=high)),
        gr.update(visible=bool(spec.transcript), info=why),
        gr.update(info=words.say(page, hint)),
        choosing.spoken(spec, page),
        *tuning.fitted(desk, spec, store, page),
    ]


def _wire_engine(
    desk: Desk, screen: Screen, store: gr.BrowserState, way: gr.Button, tabs: gr.Tabs, tab: gr.Tab
) -> None:
    choice = screen.choice

    def chosen(engine: str | None, path: str | None, kept: object, request: gr.Request) -> list[object]:
        spec, page = desk.chosen(engine), page_of(request)
        told, _, closer, refine, _ = look(desk, path, spec.name, page)
        return [*fitted(desk, spec, kept, page), told, closer, refine]

    def seen(engine: str | None, request: gr.Request) -> list[object]:
        radio, *others = choosing.offered(desk, engine, page_of(request))
        if radio["value"] == engine:
            del radio["value"]  # what the person chooses meanwhile stays
        return [radio, *others]

    asked = [choice.engine, screen.clip, store]
    nearer = [screen.coach, screen.closer, screen.refine]
    choice.engine.change(chosen, asked, [*screen.of_engine, *nearer], **AT_ONCE)
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
    ended = markup.notice(job.error or "", "wait" if job.stopped() else "bad")
    yield job, {progress: markup.progress(job, page), notice: ended}


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
    desk: Desk, clip: str | None, text: str, engine: str | None, language: str, transcript: str,
    consent: bool, closer: bool, seed: float | None, device: str, precision: str, store: object,
    *knobs: object,
) -> Ask:  # fmt: skip
    """The page's values by name."""
    return Ask(
        clip, text or "", engine or "", language, transcript or "", bool(consent), bool(closer),
        int(seed or 0), device=device, precision=precision, **tuning.asked(desk, engine, store, knobs),
    )  # fmt: skip


def _wire_work(work: _Work, screen: Screen, asked: list[gr.components.Component]) -> None:
    desk = work.desk

    async def speak(request: gr.Request, *values: object) -> AsyncIterator[dict]:
        *values, locked = values
        ask = _ask(desk, *values)
        async for job, shown in work.follow(lambda session, page: desk.speak(session, ask, page), request):
            if job is not None and job.finished and job.card is not None:
                shown |= work.cards(request)
                if not locked:
                    shown[work.knobs.seed] = new_seed()
            yield shown

    async def refine(request: gr.Request, *values: object) -> AsyncIterator[dict]:
        ask = _ask(desk, *values)
        async for _, shown in work.follow(lambda session, page: desk.refine(session, ask, page), request):
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
    # With the clip and the engine that are chosen by then.
    work.refine.click(refine, asked, shown, **QUIET).then(
        _looking(desk), [screen.clip, screen.choice.engine], screen.of_clip, **QUIET
    )
    work.takes.click(act, None, shown, **QUIET)
    work.stop.click(stop, None, None, **AT_ONCE)
