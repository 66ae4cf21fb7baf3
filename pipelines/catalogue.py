"""What an engine's official files are called, where they are published, and which of them belong together.

Plain data: an engine's own `catalogue` module fills it in, `pipelines.install` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A published file: its path in the repository, its bytes, its sha256 where that is known."""

    name: str
    size: int
    sha256: str | None = None

    @property
    def short(self) -> str:
        """Its name without the folders."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Part:
    """Files that are converted together into one folder of ours; the first holds the weights.

    `kind` and `version` are what the engine's converter says of them by what they hold.
    """

    name: str
    title: str
    kind: str
    version: str
    files: tuple[File, ...]
    repository: str
    revision: str
    licence: str
    owner: str  # who gave it that licence

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def weights(self) -> File:
        """The file that the part is known by."""
        return self.files[0]


@dataclass(frozen=True)
class Edition:
    """What is installed at one go: a version of an engine, or an addition to all of them."""

    name: str
    title: str
    parts: tuple[str, ...]
    sample_rate: int | None = None  # Hz; None for an addition, which speaks in no version of its own


@dataclass(frozen=True)
class Catalogue:
    """All that is published of an engine. `own` are the kinds of which people make files of their own."""

    engine: str
    title: str
    home: str
    parts: Mapping[str, Part]
    editions: tuple[Edition, ...]
    own: tuple[str, ...] = ()

    def edition(self, name: str) -> Edition:
        """The edition of a name. Raises `KeyError` for one that is not published."""
        return {edition.name: edition for edition in self.editions}[name]

    def of(self, edition: Edition) -> tuple[Part, ...]:
        """The parts of an edition."""
        return tuple(self.parts[name] for name in edition.parts)
