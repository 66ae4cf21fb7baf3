"""Addresses beside Gradio's own: a job's sound as it is made, the files of takes, comparisons, blind tests.

Each needs the token that the page was given, and a signed-in visitor where the server asks for a
password. They are handed to FastAPI before Gradio adds its own (`launch(app_kwargs=…)`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipelines.blind import Result, Trial
from pipelines.types import InputError
from webui import results, words
from webui.comparing import Booth
from webui.handlers import Desk
from webui.jobs import Job, trouble

BODY = 10_000  # bytes that a page may send to these addresses
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
    """`/myna/sound/TOKEN`: int16 PCM as it is made, its rate a header; `/myna/takes/TOKEN/NAME`: a file."""

    async def sound(request: Request) -> Response:
        job = desk.sound(request.path_params["token"])
        if job is None or not await _signed_in(request):
            return Response(status_code=404)
        headers = PRIVATE | {"X-Sample-Rate": str(await _rate(job))}
        return StreamingResponse(_pcm(job), media_type="application/octet-stream", headers=headers)

    async def file(request: Request) -> Response:
        path = desk.file(request.path_params["token"], request.path_params["name"])
        if path is None or not path.is_file() or not await _signed_in(request):
            return Response(status_code=404)
        return FileResponse(path, headers=PRIVATE)

    return [
        Route("/myna/sound/{token}", sound),
        Route("/myna/takes/{token}/{name}", file),
        *_listening(desk.booth),
    ]


# --- comparisons and blind tests ---------------------------------------------------------


def _listening(booth: Booth) -> list[Route]:
    """`/myna/runs/TOKEN`: a run as a zip; `/myna/pairs[/TOKEN/NAME]`: two takes to listen to;
    `/myna/blind[/TOKEN]`: a blind test; `/myna/heard/ADDRESS`: what is heard in it."""

    async def zipped(request: Request) -> Response:
        if not await _signed_in(request):
            return Response(status_code=404)
        path = await asyncio.to_thread(booth.pack, request.path_params["token"])
        if path is None:
            return Response(status_code=404)
        return FileResponse(path, headers=PRIVATE, media_type="application/zip")

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        return await _content(request, booth.file(request.path_params["token"], name), name)

    async def heard(request: Request) -> Response:
        return await _content(request, booth.sittings.sound(request.path_params["address"]))

    def pair(page: str, asked: dict[str, object]) -> dict[str, object]:
        ready = booth.pair(*(str(asked.get(name)) for name in ("run", "first", "second")), page)
        return {"html": results.pair(ready, page), "rate": ready.rate, "sounds": results.sounds(ready)}

    def begin(page: str, asked: dict[str, object]) -> dict[str, object]:
        named = [str(asked.get(name)) for name in ("run", "first", "second", "kind")]
        trials = asked.get("trials")
        if not isinstance(trials, int):
            raise InputError(words.say(page, "compare.error.trials"))
        return _sitting(booth.begin(*named, trials, page), page)

    def resume(page: str, asked: dict[str, object]) -> dict[str, object]:
        return _sitting(booth.sittings.resume(str(asked["token"])), page)

    def answer(page: str, asked: dict[str, object]) -> dict[str, object]:
        number = asked.get("number")
        step = booth.sittings.answer(
            str(asked["token"]), number if isinstance(number, int) else 0, str(asked.get("answer"))
        )
        return _sitting(step, page)

    def abandon(page: str, asked: dict[str, object]) -> dict[str, object]:
        booth.sittings.abandon(str(asked["token"]))
        return {}

    return [
        Route("/myna/runs/{token}", zipped),
        Route("/myna/pairs", _answering(pair), methods=["POST"]),
        Route("/myna/pairs/{token}/{name}", file),
        Route("/myna/blind", _answering(begin), methods=["POST"]),
        Route("/myna/blind/{token}", _answering(resume), methods=["GET"]),
        Route("/myna/blind/{token}", _answering(answer), methods=["POST"]),
        Route("/myna/blind/{token}", _answering(abandon), methods=["DELETE"]),
        Route("/myna/heard/{address}", heard),
    ]


def _sitting(step: Trial | Result, page: str) -> dict[str, object]:
    """What the browser is told of a blind test: a trial and its sounds, or the result."""
    if isinstance(step, Result):
        return {"token": step.token, "html": results.result(step, page), "finished": True}
    heard = {letter: f"myna/heard/{address}" for letter, address in step.addresses.items()}
    return {
        "token": step.token,
        "html": results.trial(step, page),
        "number": step.number,
        "rate": step.rate,
        "sounds": heard,
    }


def _answering(work: Callable[[str, dict[str, object]], dict[str, object]]) -> Callable:
    """A handler that gives `work(language, what was sent)` as JSON, or `{"error": a sentence}`."""

    async def handle(request: Request) -> Response:
        if not await _signed_in(request) or not _from_here(request):
            return Response(status_code=404)
        page = words.language(request.headers.get("accept-language"))
        try:
            told = await asyncio.to_thread(work, page, await _sent(request, page))
        except Exception as error:
            status = 400 if isinstance(error, InputError) else 500
            return JSONResponse({"error": trouble(error, page)}, status, headers=PRIVATE)
        return JSONResponse(told, headers=PRIVATE)

    return handle


async def _sent(request: Request, page: str) -> dict[str, object]:
    """The body's JSON object, and the token of the address."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY:
            raise InputError(words.say(page, "error.sent"))
    try:
        sent = json.loads(body) if body else {}
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise InputError(words.say(page, "error.sent"))
    return sent | request.path_params


def _from_here(request: Request) -> bool:
    """Whether a page of this server asks, as far as the browser tells; a foreign site may not."""
    origin = request.headers.get("origin")
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    return origin is None or urlsplit(origin).netloc in hosts


async def _content(request: Request, content: bytes | None, name: str = "") -> Response:
    if content is None or not await _signed_in(request):
        return Response(status_code=404)
    kind = "image/png" if name.endswith(".png") else "application/octet-stream"
    return Response(content, media_type=kind, headers=PRIVATE)


async def _rate(job: Job) -> int:
    """The rate in Hz of a job's sound, known when there is some; 0 where none will come."""
    while not job.pcm and not job.silent:
        await asyncio.sleep(GLANCE)
    return job.rate


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
