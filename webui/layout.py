"""The page: which screens there are, what happens when a visitor comes and goes, and how it is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.i18n import I18nData

from pipelines.install import Store
from pipelines.types import Wish
from webui import choosing, clone, compare, markup, models, settings, words
from webui.handlers import Desk
from webui.routes import LOOPBACK, app_options
from webui.serving import QUIET, Screens, page_of
from webui.theme import theme

HERE = Path(__file__).parent
CHINESE = ("zh", "zh-CN", "zh-TW", "zh-HK", "zh-SG", "zh-Hans", "zh-Hant")  # as browsers name it
IN_SCRIPT = (
    "title", "text.count", "mic.refused", "mic.none", "mic.insecure", "clip.drop", "compare.error.sound",
)  # fmt: skip
MAX_FILE_SIZE = "120mb"  # ten minutes of stereo at 48 kHz

# Only a scrambling of what lies in the visitor's own browser; fixed, so that it outlives a restart.
STORE = {"secret": "myna keeps this in your browser only"}


def build(desk: Desk, wish: Wish | None = None, files: Store | None = None) -> gr.Blocks:
    """The whole page. `wish` is the device and precision of a visitor who has chosen none; `files` are the
    official files that engines are installed from, those of the usual folder where it is None.
    """
    wish = wish or Wish()
    with Screens(title="Myna", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        store = gr.BrowserState({}, storage_key="myna-settings", **STORE)
        shelf = gr.BrowserState([], storage_key="myna-takes", **STORE)
        latest = gr.BrowserState(None, storage_key="myna-comparison", **STORE)
        radios = settings.radios(I18nData, wish)
        clone.plain(markup.header(_bird(), "Myna", str(I18nData("tagline"))), elem_id="top")
        with gr.Tabs(elem_id="screens") as tabs:
            with gr.Tab(I18nData("tab.clone"), id="clone") as tab:
                screen = clone.build(desk, I18nData, radios.device, radios.precision, store, shelf, tabs, tab)
            with gr.Tab(I18nData("tab.compare"), id="compare") as tab:
                bench = compare.build(desk, I18nData, screen, radios.device, store, latest, tabs, tab)
            with gr.Tab(I18nData("tab.models"), id="models") as shelf_of_models:
                models.build(desk.engines, files, I18nData, shelf_of_models)
            with gr.Tab(I18nData("tab.settings"), id="settings") as tab:
                panel = settings.build(desk, I18nData, radios, screen, store, tab)
        _wire_visits(page, desk, wish, screen, bench, panel, store, shelf)
    page.queue(default_concurrency_limit=None, api_open=False)
    return page


def launch_options(desk: Desk, host: str = "127.0.0.1") -> dict[str, Any]:
    """What `Blocks.launch` needs beside the address and the password."""
    return {
        "theme": theme(),
        "css_paths": [HERE / "page.css", HERE / "compare.css", HERE / "models.css"],
        "head": _head(desk),
        "i18n": _i18n(),
        "app_kwargs": app_options(desk, loopback=host in LOOPBACK),
        "max_file_size": MAX_FILE_SIZE,
        "max_threads": 80,
        "allowed_paths": [],
        "footer_links": [],
        "run_history": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "show_error": False,
    }


def _wire_visits(page, desk, wish, screen, bench, panel, store, shelf) -> None:
    def arrive(
        kept: object, tokens: object, run: object, clip: str | None, request: gr.Request
    ) -> list[object]:
        language = page_of(request)
        cards = desk.arrive(request.session_hash, tokens)
        spec = desk.chosen(kept.get("engine") if isinstance(kept, dict) else None)
        return [
            *settings.arrival(desk, kept, wish, language),
            *choosing.offered(desk, spec.name, language),
            *clone.fitted(desk, spec, kept, language),
            *clone.look(desk, clip, spec.name, language),
            clone.shelved(cards, language),
            [card.token for card in cards],
            *compare.arrival(desk, run, language),
        ]

    def leave(request: gr.Request) -> None:
        desk.leave(request.session_hash)

    filled = [
        panel.radios.device, panel.radios.precision, panel.table, panel.engine, panel.about,
        screen.knobs.seed, screen.knobs.locked, *screen.choice.all, *screen.of_engine,
        *screen.of_clip, screen.takes, shelf, bench.found, bench.latest,
    ]  # fmt: skip
    page.load(arrive, [store, shelf, bench.latest, screen.clip], filled, **QUIET)
    page.unload(leave)


def _i18n() -> gr.I18n:
    static = {
        language: {key: text for key, text in words.catalogue(language).items() if "{" not in text}
        for language in ("en", "zh")
    }
    return gr.I18n(en=static["en"], **dict.fromkeys(CHINESE, static["zh"]))


def _head(desk: Desk) -> str:
    """The page's script with what it needs to know, and the bird as its icon."""
    said = {
        language: {key: words.TEXTS[key][place] for key in IN_SCRIPT}
        for place, language in enumerate(("en", "zh"))
    }
    known = json.dumps({"rate": desk.spec.sample_rate, "words": said}, ensure_ascii=False)
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in ("player.js", "listen.js")]
    icon = quote(_bird())
    return (
        f'<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,{icon}">'
        f"<script>window.mynaKnows = {known};</script>"
        + "".join(f"<script>{script}</script>" for script in scripts)
    )


def _bird() -> str:
    return (HERE / "myna.svg").read_text(encoding="utf-8").strip()
