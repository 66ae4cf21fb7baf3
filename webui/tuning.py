"""The knobs: what an engine offers of them, what a person has changed, and the way back to what is usual.

A knob stands where the engine is tuned to (`Spec.usual`) until somebody turns it; what was turned is kept
in the browser for each engine by itself.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import gradio as gr

from pipelines.types import Spec
from webui import choosing, words
from webui.choosing import plain
from webui.handlers import Desk
from webui.serving import AT_ONCE, page_of

SEEDS = 2**31
# Lowest, highest, step. The drawn ones mean something only where saying is drawn by chance.
SPEED = (0.5, 2.0, 0.05)
DRAWN = {
    "temperature": (0.1, 1.5, 0.05),
    "top_k": (0, 100, 1),
    "top_p": (0.1, 1.0, 0.05),
    "repetition_penalty": (1.0, 2.0, 0.05),
    "candidates": (1, 4, 1),
}
SLIDERS = {"speed": SPEED} | DRAWN
NAMES = ("speed", "prosody", *DRAWN, "steps")  # of `Ask` and of `Sampling`
STEPPED = {"gpt_sovits": ("v3", "v4")}  # editions that render in steps, where not all of an engine's do


@dataclass(frozen=True)
class Knobs:
    """The folded controls."""

    seed: gr.Number
    locked: gr.Checkbox
    values: Mapping[str, gr.components.Component]  # by `NAMES`
    honest: gr.HTML
    usual: gr.Button
    engine: gr.State  # whose the values are

    @property
    def drawn(self) -> list[gr.components.Component]:
        """What means something only where saying is drawn by chance."""
        return [self.values[name] for name in DRAWN]

    @property
    def all(self) -> list[gr.components.Component]:
        """What `asked` needs, in its order."""
        return [self.engine, *self.values.values()]

    @property
    def of_engine(self) -> list[gr.components.Component]:
        """In the order of `fitted`."""
        return [*self.values.values(), self.honest, self.usual, self.engine]


def build(desk: Desk, t: Callable[[str], object]) -> Knobs:
    """Lay out the controls, as they are for the server's own engine; `fitted` fills them in."""
    spec = desk.spec
    with gr.Accordion(t("advanced"), open=False, elem_id="advanced"):
        values = {
            "speed": _slider("speed", spec, t),
            "prosody": prosodies(desk, t, "prosody", t("prosody.info")),
        }
        with gr.Row(equal_height=True, elem_classes="seedline"):
            seed = gr.Number(
                0, label=t("seed.label"), info=t("seed.info"), precision=0, minimum=0, maximum=SEEDS - 1,
                elem_id="seed",
            )  # fmt: skip
            dice = gr.Button(t("seed.dice"), size="sm", elem_id="dice")
        locked = gr.Checkbox(label=t("seed.lock"), elem_id="locked", container=False)
        values |= {name: _slider(name, spec, t) for name in DRAWN}
        values["steps"] = gr.Radio(
            [0], value=0, label=t("steps.label"), info=t("steps.info"), elem_id="steps", visible=False
        )
        honest = plain(f'<p class="hint honest">{t("engine.honest")}</p>', visible=not spec.samples)
        with gr.Row(elem_classes="chips"):
            usual = gr.Button(t("usual.back"), size="sm", elem_id="usual", visible=False)
    dice.click(new_seed, None, seed, **AT_ONCE)
    return Knobs(seed, locked, values, honest, usual, gr.State(spec.name))


def _slider(name: str, spec: Spec, t: Callable[[str], object]) -> gr.Slider:
    low, high, step = SLIDERS[name]
    return gr.Slider(
        low, high, getattr(spec.usual, name), step=step, label=t(f"{name}.label"), info=t(f"{name}.info"),
        elem_id=name, visible=name == "speed" or name in offered(spec), interactive=True,
    )  # fmt: skip


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


# --- what an engine has and what a browser keeps ------------------------------------------


def offered(spec: Spec, edition: str = "") -> set[str]:
    """The knobs that mean something to an engine in any of its prosodies; `edition` is its version."""
    names = {"speed"}
    if len(spec.prosodies) > 1:
        names.add("prosody")
    if spec.samples:
        names |= set(DRAWN)
        if spec.usual.repetition_penalty == 1:  # who is tuned to none has no repetition to punish
            names.remove("repetition_penalty")
    if spec.steps and (not edition or edition in STEPPED.get(spec.name, (edition,))):
        names.add("steps")
    return names


def kept(store: object, spec: Spec, edition: str = "") -> dict[str, float | str]:
    """What a person has changed of an engine's knobs, as the browser keeps it; what is stale is left out."""
    knobs = store.get("knobs") if isinstance(store, dict) else None
    own = knobs.get(spec.name) if isinstance(knobs, dict) else None
    if not isinstance(own, dict):
        return {}
    here = offered(spec, edition)
    return {name: value for name, value in own.items() if name in here and _sound(name, value, spec)}


def _sound(name: str, value: object, spec: Spec) -> bool:
    if name == "prosody":
        return value in spec.prosodies
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    if name == "steps":
        return value in spec.steps
    low, high, _ = SLIDERS[name]
    return low <= value <= high


def usual(spec: Spec, name: str) -> float | str:
    """Where a knob stands until somebody turns it."""
    value = getattr(spec.usual, name)
    return value or next(iter(spec.prosodies), "") if name == "prosody" else value


def asked(desk: Desk, engine: str | None, store: object, values: Sequence) -> dict[str, float | str]:
    """The knobs of an `Ask` by name. `values` are those of `Knobs.all`.

    Where they are still another engine's, since this one was chosen a moment ago, its own kept ones count.
    """
    tuned, *shown = values
    spec = desk.chosen(engine)
    edition = desk.edition(spec.name)
    if tuned != spec.name:
        return kept(store, spec, edition)
    given = dict(zip(NAMES, shown, strict=True))
    return {
        name: value for name, value in given.items() if name in offered(spec, edition) and value is not None
    }


# --- the wiring ---------------------------------------------------------------------------


def fitted(desk: Desk, spec: Spec, store: object, page: str) -> list[object]:
    """For `Knobs.of_engine`: where this engine's knobs stand."""
    edition = desk.edition(spec.name)
    changed, here = kept(store, spec, edition), offered(spec, edition)
    stand = {name: changed.get(name, usual(spec, name)) for name in NAMES}
    drawn = spec.draws(str(stand["prosody"]))
    told = [gr.update(value=stand["speed"], info=_info("speed", spec, page))]
    told.append(choosing.ways(spec, str(stand["prosody"]), page))
    told += [
        gr.update(
            value=stand[name], visible=name in here, interactive=drawn, info=_info(name, spec, page)
        )
        for name in DRAWN
    ]  # fmt: skip
    steps = [(words.say(page, "steps.usual"), 0), *((str(count), count) for count in spec.steps)]
    told.append(gr.update(choices=steps, value=stand["steps"], visible="steps" in here))
    return [*told, gr.update(visible=not spec.samples), gr.update(visible=bool(changed)), spec.name]


def _info(name: str, spec: Spec, page: str) -> str:
    return f"{words.say(page, f'{name}.info')} {words.say(page, 'usual.is', value=usual(spec, name))}"


def wire(desk: Desk, knobs: Knobs, store: gr.BrowserState) -> None:
    """Keep what is turned, and turn it back."""

    def keep(before: object, engine: str, *shown: object) -> list[object]:
        before = before if isinstance(before, dict) else {}
        spec = desk.chosen(engine)
        given = dict(zip(NAMES, shown, strict=True))
        here = offered(spec, desk.edition(spec.name))
        own = {name: v for name, v in given.items() if name in here and v != usual(spec, name)}
        own = {name: value for name, value in own.items() if _sound(name, value, spec)}
        others = before.get("knobs") if isinstance(before.get("knobs"), dict) else {}
        after = before | {"knobs": others | {spec.name: own}}
        return [gr.skip() if after == before else after, gr.update(visible=bool(own))]

    def draws(engine: str, prosody: str | None) -> list[object]:
        return [gr.update(interactive=desk.chosen(engine).draws(prosody or ""))] * len(DRAWN)

    def back(before: object, engine: str, request: gr.Request) -> list[object]:
        before = before if isinstance(before, dict) else {}
        others = before.get("knobs") if isinstance(before.get("knobs"), dict) else {}
        after = before | {"knobs": {name: own for name, own in others.items() if name != engine}}
        return [after, *fitted(desk, desk.chosen(engine), after, page_of(request))]

    turned = [part.input for part in knobs.values.values()]
    turned += [knobs.values[name].release for name in SLIDERS]
    gr.on(turned, keep, [store, *knobs.all], [store, knobs.usual], trigger_mode="always_last", **AT_ONCE)
    prosody = knobs.values["prosody"]
    prosody.input(draws, [knobs.engine, prosody], knobs.drawn, **AT_ONCE)
    knobs.usual.click(back, [store, knobs.engine], [store, *knobs.of_engine], **AT_ONCE)
