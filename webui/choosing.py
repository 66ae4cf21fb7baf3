"""The choice of engine on the Clone screen, and what the page offers of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import gradio as gr

from pipelines.types import Spec
from webui import words
from webui.handlers import Desk

plain = partial(gr.HTML, apply_default_css=False)  # HTML that our own style sheet alone dresses


@dataclass(frozen=True)
class Choice:
    """The engines that can be chosen, and the way to those that are not installed."""

    engine: gr.Radio
    way: gr.Button

    @property
    def all(self) -> list[gr.components.Component]:
        """In the order of `offered`."""
        return [self.engine, self.way]


def build(desk: Desk, t: Callable[[str], object]) -> Choice:
    """Lay out the choice as one line; hidden on a server with one engine. Filled in by `offered`."""
    several = len(desk.engines.names()) > 1
    with gr.Row(elem_classes="engine-line", visible=several):
        engine = gr.Radio(
            [(desk.spec.title, desk.engine)], value=desk.engine, label=t("engine.name"),
            elem_id="engine-choice",
        )  # fmt: skip
        way = gr.Button(t("engine.way"), elem_id="engine-way", size="sm", visible=False)
    return Choice(engine, way)


def offered(desk: Desk, before: object, page: str) -> list[object]:
    """For `Choice.all`: the engines that can be chosen, and those that are not installed.

    `before` is what was chosen, or what a browser kept; it stays where it is ready.
    """
    engines = desk.specs()
    ready = [spec for spec, missing in engines if missing is None]
    absent = [spec.title for spec, missing in engines if missing is not None]
    choices = [(f"{spec.title} {desk.edition(spec.name)}".strip(), spec.name) for spec in ready]
    chosen = desk.chosen(before)
    said = words.say(page, "engine.absent", titles=words.listed(page, absent))
    return [
        gr.update(choices=choices, value=chosen.name if chosen in ready else None),
        gr.update(visible=bool(absent), value=said),
    ]


# --- what the page offers of an engine ----------------------------------------------------


def spoken(spec: Spec, page: str) -> dict:
    """The update of the language's choice.

    It begins anew with each engine: one that has a single language would else leave it chosen for the next.
    """
    choices = words.languages(page, spec)
    return gr.update(choices=choices, value=choices[0][1], visible=len(choices) > 1)


def ways(spec: Spec, before: str | None, page: str) -> dict:
    """The update of a choice among the engine's ways to say a sentence; hidden where there is but one."""
    choices = [(words.named(page, f"prosody.{way}", way), way) for way in spec.prosodies]
    value = before if before in spec.prosodies else next(iter(spec.prosodies), None)
    return gr.update(choices=choices, value=value, visible=len(choices) > 1)
