"""How the page's handlers are called, whose page it is, and what is said where one of them breaks."""

from __future__ import annotations

import gradio as gr

from webui import words
from webui.jobs import trouble

QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
AT_ONCE = QUIET | {"queue": False}  # never behind anybody's generation


def page_of(request: gr.Request) -> str:
    """The language of the visitor's browser."""
    return words.language(request.headers.get("accept-language"))


class Screens(gr.Blocks):
    """Gradio's blocks, which answer a bug with a sentence; its traceback goes to the terminal alone."""

    async def process_api(self, *given: object, **named: object) -> dict:
        """As Gradio's own. Raises `gr.Error` with a sentence for whatever is not one already."""
        try:
            return await super().process_api(*given, **named)
        except gr.Error:
            raise
        except Exception as error:
            request = named.get("request")
            page = page_of(request) if isinstance(request, gr.Request) else words.DEFAULT
            said, title = trouble(error, page), words.say(page, "error.title")
            raise gr.Error(said, title=title, print_exception=False) from error
