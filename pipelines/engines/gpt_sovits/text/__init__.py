"""Text to the phones of GPT-SoVITS: English, Mandarin, Cantonese, Japanese, Korean, and these mixed.

`read` cuts a text by language (`detect`), puts what is written in figures and signs into words and gives the
official phone ids. Each language's libraries are imported when it is first read.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.engines.gpt_sovits.text import cantonese, chinese, detect, english, japanese, korean
from pipelines.engines.gpt_sovits.text.symbols import PUNCTUATION, Version, ids
from pipelines.types import InputError

NAMES = {"en": "English", "zh": "Chinese", "yue": "Cantonese", "ja": "Japanese", "ko": "Korean"}
LANGUAGES = ("auto", *NAMES)
ABSENT = {"v1": ("ko", "yue")}  # languages a version has no phones for
FEWEST_PHONES = 6  # with fewer the speaking model swallows sounds: a stop goes before them


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of a text in one language: its phones, and `text` as it is said.

    `word2ph`, of Chinese and Cantonese: how many phones each character of `text` has; their sum is all of
    them. Only Chinese ("zh") has BERT features, one of a character repeated for each of its phones; the
    phones of all others have zeros.
    """

    language: str
    text: str
    phones: tuple[str, ...]
    word2ph: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Spoken:
    """A text as it is said: `phones` (L,) int64 official ids, those of its `stretches` in order.

    `notes` tell what was read otherwise than written, or not at all.
    """

    text: str
    phones: Tensor
    stretches: tuple[Stretch, ...]
    notes: tuple[str, ...] = ()


def read(text: str, language: str, version: Version = "v2", strict: bool = False) -> Spoken:
    """The phones of a text in `language` ("auto", or that of its Han characters and figures; see `detect`).

    `version` "v1" has 322 phones, "v2" (all later models) 732. `strict` keeps upstream's accidents with clean
    words: in English deleted ; and : and spelled capitals, in v1 Japanese UNK for marks of pitch, a comma
    before a short English part. Raises `InputError` for a language that is not known, that the version does
    not have, whose libraries are missing, and where there is nothing to say.
    """
    if language not in LANGUAGES:
        raise InputError(f"There is no language {language!r}; there are {', '.join(LANGUAGES)}.")
    notes: list[str] = []
    stretches: list[Stretch] = []
    for kind, part in detect.split(text, language, cantonese="yue" not in ABSENT.get(version, ())):
        if kind == "other":
            notes.append(f"{_scripts(part)} cannot be read and is left out: {part.strip()[:20]}")
            continue
        if kind in ABSENT.get(version, ()):
            raise InputError(
                f"GPT-SoVITS {version} cannot read {NAMES[kind]}; choose a model of v2 or later."
            )
        stretch, told = _stretch(kind, part, version, strict)
        notes += told
        if stretch.phones:
            stretches.append(stretch)
    stretches = _finished(_joined(stretches), strict)
    if not any(phone not in PUNCTUATION for stretch in stretches for phone in stretch.phones):
        raise InputError(" ".join(["There is nothing in the text that can be said.", *notes]))
    phones = [phone for stretch in stretches for phone in stretch.phones]
    return Spoken(
        text,
        torch.tensor(ids(phones, version), dtype=torch.int64),
        tuple(stretches),
        tuple(dict.fromkeys(notes)),
    )


def _scripts(part: str) -> str:
    names = {unicodedata.name(c, "unknown").split()[0].capitalize() for c in part if c.isalpha()}
    return " and ".join(sorted(names)) + " script"


def _stretch(kind: str, part: str, version: Version, strict: bool) -> tuple[Stretch, tuple[str, ...]]:
    if kind == "en":
        normal, notes = english.normalise(part, strict)
        phones = english.phones(normal, strict)
        if strict and 0 < len(phones) < 4:
            phones = [",", *phones]
        elif phones and phones[-1] not in PUNCTUATION and re.search(r"[,，、;；:：]\s*$", part):
            normal, phones = f"{normal},", [*phones, ","]  # before another language the pause stays
        return Stretch(kind, normal, tuple(phones)), notes
    if kind == "zh":
        normal, notes = chinese.normalise(part)
        phones, counts = chinese.phones(normal, version)
        return Stretch(kind, normal, tuple(phones), tuple(counts)), notes
    if kind == "yue":
        normal, notes = cantonese.normalise(part)
        phones, counts, unread = cantonese.phones(normal)
        return Stretch(kind, normal, tuple(phones), tuple(counts)), notes + unread
    if kind == "ja":
        normal, notes = japanese.normalise(part)
        phones, unread = japanese.phones(normal, version, strict)
        return Stretch(kind, normal, tuple(phones)), notes + unread
    normal, notes = korean.normalise(part)
    return Stretch(kind, normal, tuple(korean.phones(normal))), notes


# --- the whole --------------------------------------------------------------------------------------------


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    """Without the marks that would open the text, or follow another mark."""
    joined: list[Stretch] = []
    for stretch in stretches:
        while stretch.phones and stretch.phones[0] in PUNCTUATION and (not joined or _ends(joined[-1])):
            stretch = _without_first(stretch)
        if stretch.phones:
            joined.append(stretch)
    return joined


def _ends(stretch: Stretch) -> bool:
    return stretch.phones[-1] in PUNCTUATION


def _without_first(stretch: Stretch) -> Stretch:
    counts = stretch.word2ph
    text = stretch.text[1:] if counts is not None else stretch.text.lstrip(PUNCTUATION + " ")
    return Stretch(stretch.language, text, stretch.phones[1:], counts[1:] if counts is not None else None)


def _finished(stretches: list[Stretch], strict: bool) -> list[Stretch]:
    """With a stop at the end, and one at the start of what is very short, as the models were used in
    training."""
    if stretches and not _ends(stretches[-1]):
        stretches[-1] = _with(stretches[-1], end=".")
    elif stretches and stretches[-1].phones[-1] in ",-":
        stretches[-1] = _with(_without_last(stretches[-1]), end=".")
    if stretches and sum(len(stretch.phones) for stretch in stretches) < FEWEST_PHONES:
        stretches[0] = _with(stretches[0], start=".")
    return stretches


def _without_last(stretch: Stretch) -> Stretch:
    counts = stretch.word2ph
    text = stretch.text[:-1] if counts is not None else stretch.text.rstrip(",;:-— ")
    return Stretch(stretch.language, text, stretch.phones[:-1], counts[:-1] if counts is not None else None)


def _with(stretch: Stretch, start: str = "", end: str = "") -> Stretch:
    counts = stretch.word2ph
    if counts is not None:
        counts = (1,) * len(start) + counts + (1,) * len(end)
    return Stretch(stretch.language, start + stretch.text + end, (*start, *stretch.phones, *end), counts)
