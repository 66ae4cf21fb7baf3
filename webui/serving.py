"""How the page's handlers are called, and whose page it is."""

from __future__ import annotations

import gradio as gr

from webui import words

QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
AT_ONCE = QUIET | {"queue": False}  # never behind anybody's generation


def page_of(request: gr.Request) -> str:
    """The language of the visitor's browser."""
    return words.language(request.headers.get("accept-language"))
