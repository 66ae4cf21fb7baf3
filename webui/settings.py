"""The Settings screen: device and precision with the probe's verdicts, the engine, the data, no telemetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from pipelines import device as hardware
from pipelines.device import MODES, Refusal
from pipelines.types import Wish
from webui import markup, words
from webui.choosing import plain
from webui.clone import Screen
from webui.handlers import Desk
from webui.jobs import trouble
from webui.sentences import told
from webui.serving import AT_ONCE, QUIET, page_of

NOTHING = {"device": "auto", "precision": "auto"}


@dataclass(frozen=True)
class Radios:
    """Device and precision: made before the screens, since Clone reads them and Settings shows them."""

    device: gr.Radio
    precision: gr.Radio


def radios(t: Callable[[str], object], wish: Wish) -> Radios:
    """The two choices, not on the page yet. Their choices are filled in when a visitor arrives."""
    return Radios(
        gr.Radio(
            [(t("settings.auto"), "auto")], value=wish.device, label=t("settings.device"), elem_id="device",
            render=False,
        ),
        gr.Radio(
            [(t("settings.auto"), "auto")], value=wish.precision, label=t("settings.precision"),
            elem_id="precision", render=False,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """What the arrival of a visitor fills in."""

    radios: Radios
    table: gr.HTML
    engine: gr.HTML
    about: gr.HTML


def build(
    desk: Desk,
    t: Callable[[str], object],
    radios: Radios,
    screen: Screen,
    store: gr.BrowserState,
    tab: gr.Tab,
) -> Panel:
    """Lay out the screen and wire it. `store` keeps the choices in the browser."""
    with gr.Row(elem_classes="bench", equal_height=False):
        with gr.Column(elem_classes="make", min_width=320):
            with gr.Column(elem_classes="sheet"):
                plain(markup.heading(str(t("settings.heading"))))
                plain(markup.hint(str(t("settings.hint"))))
                radios.device.render()
                radios.precision.render()
                refusal = plain("", elem_id="refusal", html_template='<div role="alert">${value}</div>')
                safe = gr.Button(visible=False, elem_id="safe", size="sm", variant="primary")
            with gr.Column(elem_classes="sheet"):
                engine = plain(elem_id="engine")
        with gr.Column(elem_classes="takes", min_width=320):
            with gr.Column(elem_classes="sheet"):
                plain(markup.heading(str(t("settings.table"))))
                table = plain(elem_id="verdicts")
                probe = gr.Button(t("settings.probe"), elem_id="probe", size="sm")
                probed = plain("", elem_id="probed", html_template='<div role="status">${value}</div>')
            with gr.Column(elem_classes="sheet"):
                about = plain(elem_id="about")
    panel = Panel(radios, table, engine, about)
    _wire(desk, panel, screen, store, refusal, safe)
    _wire_probe(desk, panel, probe, probed)

    def seen(request: gr.Request) -> str:
        return markup.engines(desk.specs(), page_of(request))

    tab.select(seen, None, engine, **AT_ONCE)
    return panel


def choices(desk: Desk, device: str, precision: str, page: str) -> tuple[dict, dict]:
    """Updates for the two radios, each choice labelled with its verdict and figures."""
    automatic = desk.choice(Wish("auto", "auto"))
    places = [(words.say(page, "settings.auto.is", used=automatic.placement.device), "auto")]
    places += [(f"{place} — {told(page, hardware.describe(place))}", place) for place in desk.table]
    here = desk.choice(Wish(device, "auto"))
    modes = [(words.say(page, "settings.auto.is", used=here.placement.say), "auto")]
    modes += [(labelled(desk, here.placement.device, mode, page), mode) for mode in MODES]
    return gr.update(choices=places, value=device), gr.update(choices=modes, value=precision)


def labelled(desk: Desk, place: str, mode: str, page: str) -> str:
    """A precision with its verdict, for a choice."""
    verdict = desk.table[place][mode]
    said = [words.say(page, f"verdict.{verdict.verdict}")]
    if verdict.speed is not None and mode != "float32":
        said.append(words.say(page, "verdict.faster", speed=verdict.speed))
    return f"{mode} — {markup.SIGNS[verdict.verdict]} {words.listed(page, said)}"


def _wire(
    desk: Desk, panel: Panel, screen: Screen, store: gr.BrowserState, refusal: gr.HTML, safe: gr.Button
) -> None:
    offered = gr.State(None)  # the safe wish behind the button
    device, precision = panel.radios.device, panel.radios.precision

    def chosen(place: str, mode: str, kept: object, request: gr.Request) -> list[object]:
        page = page_of(request)
        kept = kept if isinstance(kept, dict) else dict(NOTHING)
        try:
            desk.choice(Wish(place, mode))
        except Refusal as refused:
            before = desk.wish(kept.get("device"), kept.get("precision"))
            name = f"{refused.safe.precision} · {refused.safe.device}"
            label = words.say(page, "settings.use_safe", wish=name)
            return [
                *choices(desk, before.device, before.precision, page),
                markup.notice(trouble(refused, page)),
                gr.update(visible=True, value=label),
                refused.safe,
                gr.skip(),
            ]
        kept = kept | {"device": place, "precision": mode}
        said = markup.notice(words.say(page, "settings.saved"), "good")
        return [*choices(desk, place, mode, page), said, gr.update(visible=False), None, kept]

    def accept(wish: Wish | None, kept: object, request: gr.Request) -> list[object]:
        wish = wish or Wish()
        return chosen(wish.device, wish.precision, kept, request)

    def keep(locked: bool, seed: float | None, kept: object) -> dict:
        kept = kept if isinstance(kept, dict) else dict(NOTHING)
        return kept | {"locked": bool(locked), "seed": int(seed or 0) if locked else None}

    def engine(name: str | None, kept: object) -> dict:
        return (kept if isinstance(kept, dict) else dict(NOTHING)) | {"engine": name}

    screen.choice.engine.input(engine, [screen.choice.engine, store], store, **AT_ONCE)
    shown = [device, precision, refusal, safe, offered, store]
    gr.on([device.input, precision.input], chosen, [device, precision, store], shown, **AT_ONCE)
    safe.click(accept, [offered, store], shown, **AT_ONCE)
    knobs = screen.knobs
    seeded = [knobs.locked, knobs.seed, store]
    gr.on([knobs.locked.input, knobs.seed.input], keep, seeded, store, **AT_ONCE)


def _wire_probe(desk: Desk, panel: Panel, probe: gr.Button, probed: gr.HTML) -> None:
    device, precision = panel.radios.device, panel.radios.precision

    def measure(place: str, mode: str, request: gr.Request):
        page = page_of(request)
        waiting = markup.notice(words.say(page, "settings.probing"), "wait")
        yield [waiting, gr.update(interactive=False), gr.skip(), gr.skip(), gr.skip()]
        try:
            desk.probe()
            said = markup.notice(words.say(page, "settings.probed"), "good")
        except Exception as error:
            said = markup.notice(trouble(error, page))
        wish = desk.wish(place, mode)
        updates = choices(desk, wish.device, wish.precision, page)
        yield [said, gr.update(interactive=True), markup.verdicts(desk.table, page), *updates]

    probe.click(measure, [device, precision], [probed, probe, panel.table, device, precision], **QUIET)


def arrival(desk: Desk, kept: object, wish: Wish, page: str) -> list[object]:
    """For device, precision, table, engine, about, seed, locked: from what the browser kept.

    Whatever is stale or not of its kind is left out.
    """
    kept = kept if isinstance(kept, dict) else {}
    wish = desk.wish(kept.get("device", wish.device), kept.get("precision", wish.precision))
    seed = kept.get("seed")
    seeded = kept.get("locked") is True and isinstance(seed, int) and 0 <= seed < 2**31
    return [
        *choices(desk, wish.device, wish.precision, page),
        markup.verdicts(desk.table, page),
        markup.engines(desk.specs(), page),
        markup.about(str(desk.data.absolute()), page),
        gr.update(value=seed) if seeded else gr.skip(),
        gr.update(value=True) if seeded else gr.skip(),
    ]
