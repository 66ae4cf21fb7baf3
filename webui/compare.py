"""The Compare screen: one voice, a few sentences, several precisions; how they sound and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import gradio as gr

from pipelines.types import Spec
from webui import choosing, markup, results, tuning, words
from webui.choosing import plain
from webui.clone import Screen, followed
from webui.comparing import DEFAULT_TEXTS, SEEDS, Wanted
from webui.handlers import Ask, Desk
from webui.jobs import trouble
from webui.serving import AT_ONCE, QUIET, page_of
from webui.settings import labelled

FOUND_SCRIPT = """
const place = element.querySelector('.found');
const draw = () => window.myna.compared(place, props.value || '');
watch('value', draw);
draw();
"""
RESUME_SCRIPT = """
element.querySelector('button').addEventListener('click', () => window.myna.resumeBlind());
window.myna.offerBlind();
"""


@dataclass(frozen=True)
class Bench:
    """What the rest of the page fills in."""

    voice: gr.HTML
    consent: gr.Checkbox
    modes: gr.CheckboxGroup
    impossible: gr.HTML
    prosody: gr.Radio
    found: gr.HTML
    latest: gr.BrowserState

    @property
    def of_clone(self) -> list[gr.components.Component]:
        """What shows the clip, the engine and the device that are chosen on other screens."""
        return [self.voice, self.consent, self.modes, self.impossible, self.prosody]


@dataclass(frozen=True)
class _Controls:
    """What is pressed and what tells of the work."""

    texts: gr.Textbox
    seeds: gr.Slider
    alone: gr.Checkbox
    recognise: gr.Checkbox
    go: gr.Button
    stop: gr.Button
    notice: gr.HTML
    progress: gr.HTML


def build(
    desk: Desk,
    t: Callable[[str], object],
    screen: Screen,
    device: gr.Radio,
    store: gr.BrowserState,
    latest: gr.BrowserState,
    tabs: gr.Tabs,
    tab: gr.Tab,
) -> Bench:
    """Lay out the screen and wire it. `screen` is Clone, whose clip and knobs are used; `store` and
    `latest` are the browser's settings and its latest run."""
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(elem_classes="make", min_width=320):
            with gr.Column(elem_classes="sheet"):
                plain(markup.heading(str(t("compare.heading"))))
                plain(markup.hint(str(t("compare.hint"))))
                able = _able(desk.booth.modes(desk.spec.name, "auto"))
                ticked = _promising(desk, desk.choice(desk.wish("auto", "auto")).placement.device, able)
                modes = gr.CheckboxGroup(
                    able, value=ticked, label=t("compare.modes"), elem_id="compare-modes"
                )
                impossible = plain(elem_id="compare-impossible")
                plain(f"<h3>{t('compare.voice')}</h3>")
                voice = plain(elem_id="compare-voice")
                consent = gr.Checkbox(
                    label=t("consent"), elem_id="compare-consent", container=False, visible=False
                )
                with gr.Row(elem_classes="chips"):
                    other = gr.Button(t("compare.voice.other"), elem_id="compare-other", size="sm")
        with gr.Column(elem_classes="make", min_width=320):
            with gr.Column(elem_classes="sheet"):
                plain(markup.heading(str(t("compare.texts"))))
                texts = gr.Textbox(
                    DEFAULT_TEXTS, label=t("compare.texts"), info=t("compare.texts.info"), lines=3,
                    max_lines=14, elem_id="compare-texts", elem_classes="untitled",
                )  # fmt: skip
                with gr.Accordion(t("advanced"), open=False, elem_id="compare-advanced", elem_classes="fold"):
                    prosody = tuning.prosodies(desk, t, "compare-prosody")
                    seeds = gr.Slider(
                        1, SEEDS, 2, step=1, label=t("compare.seeds"), info=t("compare.seeds.info"),
                        elem_id="compare-seeds",
                    )  # fmt: skip
                    alone = gr.Checkbox(label=t("compare.alone"), elem_id="compare-alone", container=False)
                    recognise = gr.Checkbox(
                        label=t("compare.recognise"), elem_id="compare-recognise", container=False
                    )
                notice = plain("", elem_id="compare-notice", html_template='<div role="alert">${value}</div>')
                progress = plain(
                    "", elem_id="compare-progress",
                    html_template='<div aria-live="polite">${value}</div>',
                )  # fmt: skip
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button(t("compare.go"), variant="primary", size="lg", elem_id="compare-go")
                    stop = gr.Button(
                        t("stop"), variant="stop", size="lg", elem_id="compare-stop", visible=False
                    )
    with gr.Column(elem_classes="takes results"):
        plain(markup.heading(str(t("compare.results"))))
        plain(
            f'<button type="button" id="resume-blind" class="button" hidden>{t("blind.resume")}</button>',
            js_on_load=RESUME_SCRIPT,
        )
        plain(f'<p class="empty">{t("compare.empty")}</p>', elem_id="compare-empty")
        found = plain("", elem_id="found", html_template='<div class="found"></div>', js_on_load=FOUND_SCRIPT)
    bench = Bench(voice, consent, modes, impossible, prosody, found, latest)
    controls = _Controls(texts, seeds, alone, recognise, go, stop, notice, progress)
    _wire_voice(desk, bench, screen, device, tab)
    _wire_work(desk, bench, controls, screen, device, store)
    other.click(lambda: gr.update(selected="clone"), None, tabs, **AT_ONCE)
    return bench


def arrival(desk: Desk, token: object, page: str) -> list[object]:
    """For results and their token: the run that the browser remembers, where it is still kept."""
    found = desk.booth.comparison(token) if isinstance(token, str) else None
    return [results.comparison(found, token, page), token] if found else ["", None]


# --- the voice and the modes -------------------------------------------------------------


def _wire_voice(desk: Desk, bench: Bench, screen: Screen, device: gr.Radio, tab: gr.Tab) -> None:
    def shown(
        path: str | None, ticked: bool, engine: str | None, place: str, chosen: list[str],
        prosody: str | None, request: gr.Request,
    ) -> list[object]:  # fmt: skip
        page, spec = page_of(request), desk.chosen(engine)
        return [
            *_voice(desk, path, ticked, spec, page),
            *_modes(desk, spec, place, chosen, page),
            choosing.ways(spec, prosody, page),
        ]

    inputs = [screen.clip, screen.consent, screen.choice.engine, device, bench.modes, bench.prosody]
    gr.on([tab.select, screen.consent.change], shown, inputs, bench.of_clone, **QUIET)
    bench.consent.input(lambda ticked: ticked, bench.consent, screen.consent, **AT_ONCE)


def _voice(desk: Desk, path: str | None, ticked: bool, spec: Spec, page: str) -> list[object]:
    if not path:
        return [markup.hint(words.say(page, "compare.voice.none")), gr.update(visible=False)]
    try:
        seconds, example = desk.glimpse(path)
    except Exception as error:
        return [markup.notice(trouble(error, page)), gr.update(visible=False)]
    said = words.say(page, "compare.voice.example" if example else "compare.voice.clip", seconds=seconds)
    if len(desk.engines.names()) > 1:
        said = words.after(page, said, words.say(page, "compare.engine", title=spec.title))
    return [markup.hint(said), gr.update(visible=not example, value=ticked)]


def _modes(desk: Desk, spec: Spec, place: str, chosen: list[str], page: str) -> list[object]:
    """What can be chosen, each with its verdict, and what cannot with the reason.

    What is ticked is left alone unless it cannot be had: an answer may be late, and somebody quicker.
    """
    place = desk.wish(place, "auto").device
    found = desk.booth.modes(spec.name, place)
    here = desk.choice(desk.wish(place, "auto")).placement.device
    able = _able(found)
    choices = [(labelled(desk, here, mode, page), mode) for mode in able]
    kept = [mode for mode in chosen or [] if mode in able]
    update = {} if kept == (chosen or []) else {"value": kept or _promising(desk, here, able)}
    reasons = {mode: reason for mode, (possible, reason) in found.items() if not possible}
    return [gr.update(choices=choices, **update), results.impossible(reasons, page)]


def _able(found: Mapping[str, tuple[bool, str]]) -> list[str]:
    """The modes that can be compared with float32, of what `Booth.modes` found."""
    return [mode for mode, (possible, _) in found.items() if possible and mode != "float32"]


def _promising(desk: Desk, place: str, able: list[str]) -> list[str]:
    """The two that are chosen until somebody chooses: safe ones first, then the faster."""
    verdicts = desk.table[place]
    return sorted(able, key=lambda mode: (verdicts[mode].verdict != "safe", -(verdicts[mode].speed or 0)))[:2]


# --- the work ----------------------------------------------------------------------------


def _wire_work(
    desk: Desk, bench: Bench, controls: _Controls, screen: Screen, device: gr.Radio, store: gr.BrowserState
) -> None:

    async def go(request: gr.Request, *values: object) -> AsyncIterator[dict]:
        ask, wanted = _asked(desk, *values)
        async for job, shown in followed(
            lambda session, page: desk.compare(session, ask, wanted, page),
            request, controls.notice, controls.progress,
        ):  # fmt: skip
            if job is None:
                yield shown
                continue
            running = not job.finished
            shown |= {
                controls.go: gr.update(interactive=not running),
                controls.stop: gr.update(visible=running),
            }
            if job.finished and desk.booth.comparison(job.token) is not None:
                page = page_of(request)
                html, token = arrival(desk, job.token, page)
                shown |= {bench.found: html, bench.latest: token}
            yield shown

    async def stop(request: gr.Request) -> None:
        desk.stop(request.session_hash)

    asked = [
        screen.clip, screen.choice.engine, screen.transcript, screen.consent, bench.consent, screen.closer,
        screen.language, device, bench.prosody, bench.modes, controls.texts, controls.seeds, controls.alone,
        controls.recognise, store, *screen.knobs.all,
    ]  # fmt: skip
    outputs = [controls.notice, controls.progress, controls.go, controls.stop, bench.found, bench.latest]
    controls.go.click(go, asked, outputs, **QUIET)
    controls.stop.click(stop, None, None, **AT_ONCE)


def _asked(
    desk: Desk, clip: str | None, engine: str | None, transcript: str, consent: bool, consent_here: bool,
    closer: bool, language: str, device: str, prosody: str | None, modes: list[str], texts: str,
    seeds: float, alone: bool, recognise: bool, store: object, *knobs: object,
) -> tuple[Ask, Wanted]:  # fmt: skip
    """The page's values by name. The prosody is chosen here anew."""
    tuned = tuning.asked(desk, engine, store, knobs) | {"prosody": prosody or ""}
    ask = Ask(
        clip, "", engine or "", language, transcript or "", bool(consent or consent_here), bool(closer),
        device=device, **tuned,
    )  # fmt: skip
    return ask, Wanted(tuple(modes or ()), texts or "", int(seeds), bool(alone), bool(recognise))
