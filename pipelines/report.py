"""A comparison as files: report.html that opens offline, CSV, wavs, and the recipe that makes it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.compare import Comparison


def write(comparison: Comparison, folder: Path, blind: Sequence[Mapping[str, object]] = ()) -> None:
    """Write report.html, values.csv, figures.csv, recipe.json and the takes under `folder`, which is made.

    `blind` are the rows of a table of blind tests, one a test; keys are the column heads. Raises
    `InputError` where the folder cannot be written.
    """
    raise NotImplementedError


def pack(comparison: Comparison, path: Path, blind: Sequence[Mapping[str, object]] = ()) -> None:
    """The same files as one zip. Raises `InputError` where it cannot be written."""
    raise NotImplementedError
