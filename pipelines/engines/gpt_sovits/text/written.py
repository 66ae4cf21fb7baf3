"""What is written in figures and signs, put in words: the same patterns for Chinese, Japanese and Korean.

A language is a `Speech`: how it says a number, a date, a price. Its own rules come first, then the common
ones. What has no sound is told in the notes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from re import Match

Said = Callable[[Match[str]], str]
NUMBER = r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
RANGE = r"(?<![\d.A-Za-z-])((?!0\d)\d+(?:\.\d+)?)%? ?[-~〜～–—] ?((?!0\d)\d+(?:\.\d+)?)(?![\d.,]*[-/\d])"
MINUS = r"(?<![A-Za-z0-9)])"  # before a hyphen that is no hyphen
SPACE = r"[ \u00a0\u202f]?"


@dataclass(frozen=True)
class Speech:
    """How one language says what is written in figures. Numbers come as digits with at most one point."""

    number: Callable[[str], str]
    digits: Callable[[str], str]
    date: Callable[[str | None, str, str], str]  # year, month, day
    time: Callable[[int, int, int | None], str]
    percent: Callable[[str], str]  # of a number in words
    fraction: Callable[[str, str], str]  # numerator, denominator in digits
    money: Mapping[str, str]  # sign or code to the word after the number
    units: Mapping[str, str]
    signs: Mapping[str, str]  # single signs to words
    minus: str
    upto: str  # between the ends of a range
    ratio: str  # between the sides of a score or scale, 3:2
    below_zero: str = ""  # of a temperature, where it differs from minus
    phone: str = r"(?<!\d)(?:\+\d{1,3}[- ]?)?(?:\(?0\d{1,3}\)?[- ]?\d{3,4}[- ]?\d{4}|1[3-9]\d{9})(?!\d)"
    call: Callable[[str], str] | None = None  # a phone number's groups, "03-1234"; the digits' names if None
    own: tuple[tuple[str, Said], ...] = field(default=())  # the language's own rules, before all others


def put_in_words(text: str, speech: Speech) -> str:
    """`text` with figures and signs written out as `speech` says them."""
    text = plain(text)
    text = re.sub(rf"{RANGE}(?=[ %°]?[^\W\d_a-z]|%)", rf"\1{speech.upto}\2", text)
    for pattern, said in (*speech.own, *_rules(speech)):
        text = re.sub(pattern, said, text)
    return text


def plain(text: str) -> str:
    """Wide letters, digits and signs as narrow ones; marks and letters of other widths as they are."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[\u00ad\u200b-\u200d\u2060\ufe0e\ufe0f\ufeff\u202a-\u202e\u2066-\u2069]", "", text)
    narrow = (unicodedata.normalize("NFKC", c) if "０" <= c <= "ｚ" or c in WIDE else c for c in text)
    return "".join(narrow).replace("−", "-")


WIDE = frozenset("％＄＋＝＆＠＃￡㎡㎞㎏㎝℃℉")


def value(written: str) -> str:
    """A number without its commas."""
    return written.replace(",", "")


def _rules(speech: Speech) -> list[tuple[str, Said]]:
    def number(written: str) -> str:
        return speech.number(value(written))

    def date(match: Match[str]) -> str:
        year, month, day = match.group(1), match.group(3), match.group(4)
        possible = 1 <= int(month) <= 12 and 1 <= int(day) <= 31
        return speech.date(year, month, day) if possible else match.group()

    def time(match: Match[str]) -> str:
        hour, minute, second = int(match.group(1)), int(match.group(2)), match.group(3)
        if hour > 24 or minute > 59:
            return match.group()
        return speech.time(hour, minute, int(second) if second else None)

    def amount(written: str) -> str:
        return number(re.sub(r"\.0+$|(\.\d*[1-9])0+$", r"\1", written))

    def price(match: Match[str]) -> str:
        word = speech.money[match.group(1)]
        twice = match.string.startswith(word, match.end())  # ¥500円
        return amount(match.group(2)) + match.group(3) + ("" if twice else word)

    def quantity(match: Match[str]) -> str:
        minus = speech.below_zero or speech.minus if match.group(3).startswith("°") else speech.minus
        return (minus if match.group(1) else "") + number(match.group(2)) + speech.units[match.group(3)]

    def call(match: Match[str]) -> str:
        return speech.call(match.group()) if speech.call else speech.digits(match.group())

    money = "|".join(map(re.escape, sorted(speech.money, key=len, reverse=True)))
    units = "|".join(map(re.escape, sorted(speech.units, key=len, reverse=True)))
    between = r"(?<=[\w)])\s*{}\s*(?=[\w(])"
    return [
        (r"(?<![\d.])(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?![\d.])", date),
        (r"(?<![\d:])(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?![\d:])", time),
        (speech.phone, call),
        (rf"({money}){SPACE}({NUMBER})((?:[万亿億兆만억조천]|千万|百万)?)", price),
        (rf"({NUMBER}){SPACE}({money})(?![A-Za-z])", lambda m: amount(m.group(1)) + speech.money[m.group(2)]),
        (rf"(-?)({NUMBER}){SPACE}%", lambda m: speech.percent(
            (speech.minus if m.group(1) else "") + number(m.group(2)))),
        (r"(?<![\d/])(\d{1,4})/(\d{1,4})(?![\d/])", lambda m: speech.fraction(m.group(1), m.group(2))),
        (rf"({MINUS}-)?({NUMBER}){SPACE}({units})(?![A-Za-z])", quantity),
        (r"(?<=\d)\s*-\s*(?=\d+(?:\.\d+)?\s*[=+×÷*-])|(?<=\d)\s+-\s+(?=\d)", lambda m: speech.signs["-"]),
        (rf"({NUMBER})\s*[-~〜～–—]\s*({NUMBER})(?![\d-])",
        lambda m: f"{m.group(1)}{speech.upto}{m.group(2)}"),
        (r"(?<![\d:])(\d{1,4}):(\d{1,4})(?![\d:])", lambda m: f"{m.group(1)}{speech.ratio}{m.group(2)}"),
        *[(between.format(re.escape(sign)), lambda m, said=said: said)
          for sign, said in speech.signs.items() if sign in "+×÷=*<>≤≥≠≈"],
        (rf"{MINUS}-({NUMBER})", lambda m: speech.minus + number(m.group(1))),
        (r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d])", lambda m: speech.digits(m.group())),
        (NUMBER, lambda m: number(m.group())),
        *[(re.escape(sign), lambda m, said=said: said)
          for sign, said in speech.signs.items() if sign not in "-/*<>"],
    ]  # fmt: skip


# --- marks ------------------------------------------------------------------------------------------------

MARKS = {
    "，": ",", "、": ",", "；": ",", ";": ",", "：": ",", ":": ",", "·": ",", "・": ",", "／": ",", "/": ",",
    "。": ".", "．": ".", "｡": ".", "！": "!", "？": "?", "…": "…", "⋯": "…", "～": "…", "〜": "…", "~": "…",
    "—": "-", "–": "-", "―": "-", "─": "-", "\n": ".", "､": ",",
}  # fmt: skip
SILENT = frozenset("“”‘’\"'「」『』（）()《》〈〉【】[]{}〔〕«»‹›〝〞＂＇*_`|\\")


def marks(text: str, keep: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """Sentence marks as ! ? … , . - (one of several), `keep` characters kept; notes on what is left out.

    Brackets and quotes have no sound and need no note; a bracket stands for the pause it makes.
    """
    text = re.sub(r"\.{3,}|。{2,}|…{2,}", "…", text)
    text = re.sub(r"(?<=[^\s\W])\s*[（(]|[）)]\s*(?=[^\s\W])", "，", text)
    left_out: list[str] = []
    kept: list[str] = []
    for character in text:
        character = MARKS.get(character, character)
        if character in "!?…,.-" or keep(character):
            kept.append(character)
        elif character not in SILENT and unicodedata.category(character)[0] not in "CZ":
            left_out.append(character)
    notes = (f"No sound is known for: {' '.join(dict.fromkeys(left_out))}",) if left_out else ()
    text = re.sub(r"([!?…,.\-])[!?…,.\-]+", _strongest, "".join(kept))
    return text.lstrip(",.-…!?"), notes


def _strongest(match: Match[str]) -> str:
    return next((mark for mark in "?!" if mark in match.group()), match.group(1))
