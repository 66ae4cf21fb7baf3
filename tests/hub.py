"""A stand-in for the Hugging Face hub on the loopback address, and a toy engine that is published there.

The hub answers huggingface_hub as the real one does: HEAD and GET of ``/REPOSITORY/resolve/REVISION/FILE``,
large files by a redirect to another path, ranges, the header that holds a file's sha256, its error codes.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

from pipelines.catalogue import Catalogue, Edition, File, Part
from pipelines.install import Published
from pipelines.types import InputError

REPOSITORY, REVISION = "toys/Toy", "1" * 40
PLACE = re.compile(r"/[^/]+/[^/]+/resolve/[0-9a-f]{40}/(.+)")


@dataclass
class Hub:
    """What the stand-in serves and how it misbehaves; change it at any time."""

    files: dict[str, bytes]
    cut: list[int] = field(default_factory=list)  # after how many bytes the next answers break off
    ranges: bool = True
    lost: set[str] = field(default_factory=set)  # files that have gone
    closed: bool = False  # gated
    status: int | None = None  # answered to everything
    pace: float = 0.0  # seconds for 16 kB
    trickle: bool = False  # after 16 kB, next to nothing comes
    spoilt: bool = False  # other bytes than its own record says
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, file, range
    address: str = ""
    store: str = ""  # where large files lie: another host, as with the real one

    @property
    def ranges_asked(self) -> list[str]:
        return [span for method, _, span in self.asked if method == "GET" and span]


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """The hub at its `address`, as long as the context lasts."""
    hub = Hub(dict(files))
    with _listening(_handler(hub)) as hub.address, _listening(_handler(hub)) as hub.store:
        yield hub


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(self.path)
            stored = path.startswith("/cdn/")
            name = path.removeprefix("/cdn/") if stored else (PLACE.match(path) or ["", ""])[1]
            if not stored:
                hub.asked.append((self.command, name, self.headers.get("Range", "")))
            if hub.status is not None:
                return self._error(hub.status, "")
            if hub.closed:
                return self._error(403, "GatedRepo")
            if name not in hub.files or name in hub.lost:
                return self._error(404, "EntryNotFound")
            content = hub.files[name]
            if len(content) > 1000 and not stored:
                self.send_response(302)
                self.send_header("Location", f"{hub.store}/cdn/{name}")
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", REVISION)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            return self._content(content, body)

        def _error(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _content(self, content: bytes, body: bool) -> None:
            span = self.headers.get("Range")
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and hub.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.end_headers()
            if body:
                self._send(bytes(b ^ 1 for b in content[start:]) if hub.spoilt else content[start:])

        def _send(self, content: bytes) -> None:
            end = hub.cut.pop(0) if hub.cut and len(content) > 1000 else len(content)
            at, end = 0, min(end, len(content))
            while at < end:
                slow = hub.trickle and at > 0
                step = content[at : min(at + (64 if slow else 1 << 14), end)]
                self.wfile.write(step)
                self.wfile.flush()
                time.sleep(0.2 if slow else hub.pace)
                at += len(step)
            self.close_connection = end < len(content)

    return Handler


# ---------------------------------------------------------------------------- the toy engine


def content(kind: str, version: str, size: int = 40_000) -> bytes:
    """A toy's official file: a line that says what it is, then filling."""
    return f"TOY {kind} {version}\n".encode() + bytes(i * 7 % 251 for i in range(size))


FILES = {
    "ears/model.bin": content("ears", "", 60_000),
    "ears/config.json": b'{"ears": 2}',
    "mouth-one.ckpt": content("mouth", "one"),
    "two/mouth-two.ckpt": content("mouth", "two", 50_000),
    "more.pth": content("letters", "", 30_000),
}


def catalogue(files: dict[str, bytes] | None = None) -> Catalogue:
    """What is published of the toy: editions one and two share their ears; letters come on top."""
    files = FILES if files is None else files

    def part(name: str, kind: str, version: str, *names: str) -> Part:
        published = (File(n, len(files[n]), hashlib.sha256(files[n]).hexdigest()) for n in names)
        return Part(
            name, f"the toy's {kind}", kind, version, tuple(published), REPOSITORY, REVISION, "CC0", "us"
        )

    parts = (
        part("ears", "ears", "", "ears/model.bin", "ears/config.json"),
        part("one", "mouth", "one", "mouth-one.ckpt"),
        part("two", "mouth", "two", "two/mouth-two.ckpt"),
        part("letters", "letters", "", "more.pth"),
    )
    editions = (
        Edition("one", "one", ("ears", "one"), 24_000),
        Edition("two", "two", ("ears", "two"), 48_000),
        Edition("letters", "More letters", ("letters",)),
    )
    return Catalogue("toys", "Toy", "toys/Toy", {p.name: p for p in parts}, editions, own=("mouth",))


def recognise(source: Path) -> tuple[str, str]:
    with (source / "model.bin" if source.is_dir() else source).open("rb") as file:
        words = file.readline(200).decode("ascii", "replace").rstrip("\n").split(" ")
    if words[0] == "EVIL":
        raise InputError(f"{source.name} was refused: it asks Python for {words[1]}.")
    if len(words) != 3 or words[0] != "TOY":
        raise InputError(f"{source.name} is nothing that a toy speaks with.")
    return words[1], words[2]


def convert(source: Path, folder: Path, version: str = "") -> None:
    """As the real ones do: whole or not at all, into a folder named as its source."""
    kind, found = recognise(source)
    weights = source / "model.bin" if source.is_dir() else source
    draft, target = folder / ".draft.part", folder / source.stem
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(weights.read_bytes())
    sources = {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}
    told = {"kind": kind, "version": found, "sources": sources, "files": {"model.safetensors": ""}}
    (draft / "config.json").write_text(json.dumps(told))
    draft.replace(target)


def choose(folder: Path, version: str, own: Mapping[str, str]) -> None:
    (folder / "config.json").write_text(json.dumps({"version": version, "parts": dict(own)}))


def engines(
    converting: Callable[..., None] = convert, files: dict[str, bytes] | None = None
) -> dict[str, Published]:
    """The toy for a `Store`."""
    converter = SimpleNamespace(recognise=recognise, convert=converting)
    return {"toys": Published(catalogue(files), lambda: converter, choose)}
