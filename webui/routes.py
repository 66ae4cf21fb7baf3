"""Two addresses beside Gradio's own: a job's sound as it is made, and the files of a take.

Both need the token that the page was given, and a signed-in visitor where the server asks for a
password. They are handed to FastAPI before Gradio adds its own (`launch(app_kwargs=…)`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from webui.handlers import Desk
from webui.jobs import Job

GLANCE = 0.03  # seconds between two looks for new sound
LOOPBACK = ("127.0.0.1", "localhost")  # the names of this machine for itself
PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


def app_options(desk: Desk, loopback: bool) -> dict[str, object]:
    """What `launch(app_kwargs=…)` needs: our routes, and on `loopback` only this machine's own names.

    Without the latter, a foreign site whose name is made to point at 127.0.0.1 could call the server
    (DNS rebinding).
    """
    options: dict[str, object] = {"routes": routes(desk)}
    if loopback:
        options["middleware"] = [Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK])]
    return options


def routes(desk: Desk) -> list[Route]:
    """`/myna/sound/TOKEN`: int16 PCM as it is made; `/myna/takes/TOKEN/NAME`: a take's file."""

    async def sound(request: Request) -> Response:
        job = desk.sound(request.path_params["token"])
        if job is None or not await _signed_in(request):
            return Response(status_code=404)
        return StreamingResponse(_pcm(job), media_type="application/octet-stream", headers=PRIVATE)

    async def file(request: Request) -> Response:
        path = desk.file(request.path_params["token"], request.path_params["name"])
        if path is None or not path.is_file() or not await _signed_in(request):
            return Response(status_code=404)
        return FileResponse(path, headers=PRIVATE)

    return [Route("/myna/sound/{token}", sound), Route("/myna/takes/{token}/{name}", file)]


async def _pcm(job: Job) -> AsyncIterator[bytes]:
    sent = 0
    while True:
        last = job.silent  # looked at first: what comes after it is not missed
        for chunk in job.pcm[sent:]:
            yield chunk
            sent += 1
        if last:
            return
        await asyncio.sleep(GLANCE)


async def _signed_in(request: Request) -> bool:
    """Whether Gradio knows this visitor, by its own cookie or dependency; anyone where it asks nobody."""
    app = request.app
    if app.auth_dependency is not None:
        user = app.auth_dependency(request)
        return (await user if inspect.isawaitable(user) else user) is not None
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(request.cookies.get(name) in app.tokens for name in names)
