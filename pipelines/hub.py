"""Files of the Hugging Face hub, one at a time: resumed where a try broke off, verified, whole or not there.

The hub is huggingface_hub's own: its address, its credentials, its offline switch.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from pipelines.catalogue import File, Part
from pipelines.types import InputError, Run

CHUNK = 1 << 20
SILENCE = 10.0  # seconds without a byte after which a connection is given up
TRIES = 3  # connections in a row that may bring nothing
PATIENCE = 1.0  # seconds before the second try, doubled before each further one

# A setback's words by its kind. The page has the same in its other language.
SETBACKS: Mapping[str, str] = {
    "offline": "{repository} cannot be reached: this machine seems to be offline. Fetch {files} elsewhere "
    "and put them into {inbox}.",
    "gone": "{repository} has no {file} any more, or it has another name now. Put {files} into {inbox}: "
    "weights are known by what they hold, whatever their name.",
    "closed": "{repository} gives {file} only to those who ask its owners first. Ask on its page, log in "
    "with 'hf auth login', and try again.",
    "refused": "{repository} did not give {file}: it answered {status}. Try again later.",
    "changed": "{repository} now has another {file} than the one that was published ({found} instead of "
    "{expected}), so it was not taken.",
    "damaged": "{file} came damaged: its sha256 begins {found}, it should begin {expected}. It was deleted; "
    "try again.",
    "broken": "The connection broke after {done} of {total} of {file}. What came is kept: install again to "
    "go on from there.",
    "disk": "The disk of {inbox} has {free} free, and this needs {need}. Free some space and try again.",
    "busy": "Another Myna is installing into {inbox}; wait until it has finished.",
    "missing": "These files are not here yet: {files}.",
    "nothing": "No files for {edition} were found in {inbox}.",
    "absent": "{edition} is not installed, so it cannot be chosen.",
    "vanished": "This file is no longer here; check again.",
    "needed": "Nothing of {edition} can be removed: other versions that are installed need all of it.",
}

Count = Callable[[int], None]


class Setback(InputError):
    """What kept an installation from its end: `kind` is one of `SETBACKS`, `values` fill its words in."""

    def __init__(self, kind: str, **values: str) -> None:
        super().__init__(SETBACKS[kind].format(**values))
        self.kind = kind
        self.values = values


def fetch(
    part: Part,
    file: File,
    target: Path,
    inbox: Path,
    run: Run,
    count: Count,
    endpoint: str | None = None,
    patience: float = PATIENCE,
) -> None:
    """One of a part's files to `target`, which exists only when it is whole and verified.

    `count` hears of bytes as they come, negative ones where some have to come again. `inbox` is named to the
    person where only a file put there by hand helps. Raises `Setback` and `Cancelled`; what came by then is
    kept beside the target under a name of its own, and the next call goes on from there.
    """
    files = ", ".join(file.name for file in part.files)
    about = {"repository": part.repository, "file": file.name, "files": files, "inbox": str(inbox)}
    url = hf_hub_url(part.repository, file.name, revision=part.revision, endpoint=endpoint)
    with _told(about):
        expected = _expected(about, file, get_hf_file_metadata(url, endpoint=endpoint, timeout=SILENCE))
        draft = draft_of(target, expected)
        found = _Download(url, draft, file, about, patience).go(run, count)
    if expected not in (None, found):
        draft.unlink()
        raise Setback("damaged", file=file.name, found=found[:12], expected=expected[:12])
    draft.replace(target)


def draft_of(target: Path, sha256: str | None) -> Path:
    """Where a file is fetched to; the name holds what it must become, so that no other goes on with it."""
    return target.with_name(f".{target.name}.{(sha256 or 'any')[:8]}.part")


def told_bytes(count: int) -> str:
    """Bytes for people, in decimal units as the hub counts."""
    if count < 1_000_000:
        return f"{count / 1_000:.0f} kB"
    return f"{count / 1_000_000:.0f} MB" if count < 1_000_000_000 else f"{count / 1_000_000_000:.2f} GB"


def _expected(about: Mapping[str, str], file: File, theirs: object) -> str | None:
    """The sha256 that the file must have. Raises `Setback` where the hub has another file there."""
    etag = theirs.etag if re.fullmatch(r"[0-9a-f]{64}", theirs.etag or "") else None
    if theirs.size not in (None, file.size):
        found, expected = f"{theirs.size} bytes", f"{file.size}"
    elif etag and file.sha256 and etag != file.sha256:
        found, expected = f"sha256 {etag[:12]}", file.sha256[:12]
    else:
        return file.sha256 or etag
    raise Setback("changed", **about, found=found, expected=expected)


class _Download:
    """One file of the hub into `draft`, from where the last try ended."""

    def __init__(self, url: str, draft: Path, file: File, about: Mapping[str, str], patience: float) -> None:
        self._url = url
        self._draft = draft
        self._file = file
        self._about = about
        self._patience = patience
        self._have = 0
        self._digest = hashlib.sha256()

    def go(self, run: Run, count: Count) -> str:
        """The whole file's sha256. Raises `Setback` where the connection breaks for good, and `Cancelled`."""
        with self._draft.open("a+b") as out:
            self._resume(out, count)
            idle = 0
            while self._have < self._file.size:
                before = self._have
                broken = self._receive(out, run, count)
                if broken is None:
                    break
                idle = 0 if self._have > before else idle + 1
                if idle >= TRIES:
                    raise self._setback() from broken
                _wait(self._patience * 2**idle, run)
        return self._digest.hexdigest()

    def _resume(self, out: BinaryIO, count: Count) -> None:
        if out.seek(0, os.SEEK_END) > self._file.size:
            count(-out.tell())
            out.truncate(0)
        out.seek(0)
        while chunk := out.read(CHUNK):
            self._digest.update(chunk)
            self._have += len(chunk)

    def _receive(self, out: BinaryIO, run: Run, count: Count) -> Exception | None:
        """Bytes until the end or until the connection breaks; gives what broke it."""
        headers = build_hf_headers(headers={"Accept-Encoding": "identity"})
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
        try:
            with get_session().stream(
                "GET", self._url, headers=headers, timeout=SILENCE, follow_redirects=True
            ) as answer:
                hf_raise_for_status(answer)
                if self._have and answer.status_code != 206:  # the server gives only the whole
                    self._anew(out, count)
                for chunk in answer.iter_bytes():
                    run.check()
                    self._take(chunk, out, count)
        except HfHubHTTPError:
            raise
        except HTTPError as error:
            return error
        return None if self._have == self._file.size else EOFError("The connection ended early.")

    def _take(self, chunk: bytes, out: BinaryIO, count: Count) -> None:
        if self._have + len(chunk) > self._file.size:
            size = {"found": f"more than {self._file.size} bytes", "expected": str(self._file.size)}
            raise Setback("changed", **self._about, **size)
        out.write(chunk)
        self._digest.update(chunk)
        self._have += len(chunk)
        count(len(chunk))

    def _anew(self, out: BinaryIO, count: Count) -> None:
        count(-self._have)
        out.truncate(0)
        self._have, self._digest = 0, hashlib.sha256()

    def _setback(self) -> Setback:
        if self._have == 0:
            return Setback("offline", **self._about)
        done, total = told_bytes(self._have), told_bytes(self._file.size)
        return Setback("broken", done=done, total=total, file=self._file.name)


@contextmanager
def _told(about: Mapping[str, str]) -> Iterator[None]:
    """What the hub and the disk may answer, as setbacks."""
    try:
        yield
    except (GatedRepoError, DisabledRepoError) as error:
        raise Setback("closed", **about) from error
    except (EntryNotFoundError, RevisionNotFoundError, RepositoryNotFoundError) as error:
        raise Setback("gone", **about) from error
    except HfHubHTTPError as error:
        raise Setback("refused", **about, status=str(error.response.status_code)) from error
    except (OfflineModeIsEnabled, HTTPError) as error:
        raise Setback("offline", **about) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = told_bytes(shutil.disk_usage(about["inbox"]).free)
        raise Setback("disk", inbox=about["inbox"], free=free, need="more") from error


def _wait(seconds: float, run: Run) -> None:
    """Sleep, looking at Stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        run.check()
        time.sleep(min(0.1, left))
