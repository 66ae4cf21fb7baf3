"""Which stretch of a text is in which language: by script, and Han characters by what stands around them.

No library is needed: Hangul and kana speak for themselves, and Han characters are Japanese or Chinese by the
character sets of the two countries, by kana beside them, and by the language that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from pipelines.engines.gpt_sovits.text.chinese import HAN
from pipelines.engines.gpt_sovits.text.chinese import UNITS as CHINESE_UNITS
from pipelines.engines.gpt_sovits.text.japanese import KANA
from pipelines.engines.gpt_sovits.text.korean import HANGUL

JAMO = "\u1100-\u11ff\u3131-\u318e"
LATIN = "A-Za-z\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a"
UNIT = "|".join(sorted((unit for unit in CHINESE_UNITS if unit[-1].isalpha()), key=len, reverse=True))
CODE = "USD|EUR|RMB|CNY|JPY|HKD|KRW|GBP|US\\$|HK\\$"
# Letters and figures that are signs: µ, ², ½, π, №, ①.
SIGNS = "\u00aa\u00b2\u00b3\u00b5\u00b9\u00ba\u00bc-\u00be\u0370-\u03ff\u2070-\u218f\u2460-\u24ff"
DOMAINS = "com|org|net|edu|gov|io|co|uk|de|fr|info|app|dev|ai|me|tv|eu|us|ca|au|jp|cn|kr|hk|tw"
PATTERNS = {  # the first that fits; the names are languages, or kinds that are given one
    "address": r"(?:https?|ftp)://[!-~]+|www\.[!-~]+|[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
    rf"|(?:[A-Za-z0-9-]+\.)+(?:{DOMAINS})(?![A-Za-z0-9-])(?:/[!-~]*)?",
    "figure": rf"\d[\d,.]*[ ]?(?:{UNIT})(?![{LATIN}\d])|(?:{CODE})[ ]?\d[\d,.]*"
    rf"|\d[\d,.]*[ ]?(?:{CODE})(?![{LATIN}])",
    "en": rf"[{LATIN}][{LATIN}'’]*(?:[-_.+]?\d[\d.]*[{LATIN}]*|[-&.][{LATIN}]+)*\+*|\d+[{LATIN}][{LATIN}\d]*",
    "ko": f"[{HANGUL}{JAMO}]+",
    "ja": f"[{KANA}]+",
    "han": f"[{HAN}々〆]+",
    "digits": r"\d+(?:[.,:/]\d+)*",
    "sign": f"[{SIGNS}]",
    "other": rf"[^\W\d_{SIGNS}]+",
    "end": r"[.!?。！？…\n]+",
    "mark": ".",
}
SCRIPTS = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in PATTERNS.items()), re.DOTALL)

# Characters that Japanese does not write, though its character set may have them.
CHINESE_WORDS = frozenset("你您她它们們这這哪嗎吗呢吧啊麼么沒没很咱啥咋俺甭")
CANTONESE_WORDS = frozenset("嘅喺咗冇佢哋啲嗰咁嚟嘢攞瞓嘥噉喎㗎咩唔冚睇諗嗌乜俾畀")


@dataclass
class Run:
    """A stretch of one script; `kind` becomes a language."""

    kind: str
    text: str


def split(text: str, language: str, cantonese: bool = True) -> list[tuple[str, str]]:
    """`text` as (language, stretch) in order, every character in one: "en", "zh", "yue", "ja", "ko", "other".

    `language` is the one asked for, or "auto". It reads the Han characters, and figures that stand free; in
    "auto" those go by their neighbours. Without `cantonese`, "auto" finds Mandarin in its place.
    """
    runs = [Run(str(match.lastgroup), match.group()) for match in SCRIPTS.finditer(text)]
    for run in runs:
        if run.kind == "address":
            run.kind = "en"
    _settle_han(runs, language, cantonese)
    _settle_neutral(runs, language)
    return [
        (kind, "".join(run.text for run in group)) for kind, group in groupby(runs, key=lambda run: run.kind)
    ]


# --- Han characters ---------------------------------------------------------------------------------------


@cache
def _written_in(character: str) -> frozenset[str]:
    """The national sets that have a character: "gb2312" (China), "big5" (Taiwan), "shift_jis" (Japan)."""

    def has(charset: str) -> bool:
        try:
            return bool(character.encode(charset))
        except UnicodeEncodeError:
            return False

    return frozenset(charset for charset in ("gb2312", "big5", "shift_jis") if has(charset))


def _evidence(text: str) -> str:
    """ "zh" or "ja" where the characters of a run tell; else empty."""
    if any(
        c in CHINESE_WORDS or c in CANTONESE_WORDS or "shift_jis" not in _written_in(c)
        for c in text
        if c not in "々〆"
    ):
        return "zh"
    if (
        re.search("[\u4e00-\u9fff](?:是|也是|就是|都是)[\u4e00-\u9fff]", text)
        or sum(c in "是的了我他也就把被从" for c in text) > 1
    ):
        return "zh"
    return "ja" if any(c in "々〆" or _written_in(c) == {"shift_jis"} for c in text) else ""


def _sentences(runs: list[Run]) -> Iterable[list[Run]]:
    sentence: list[Run] = []
    for run in runs:
        sentence.append(run)
        if run.kind == "end":
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _settle_han(runs: list[Run], language: str, cantonese: bool) -> None:
    if language in ("zh", "yue", "ja"):
        for run in runs:
            run.kind = language if run.kind == "han" else run.kind
        return
    told = [_evidence(run.text) for run in runs if run.kind == "han"]
    kana = any(run.kind == "ja" for run in runs)
    default = "ja" if kana and "zh" not in told else "zh"
    for sentence in _sentences(runs):
        here = any(run.kind == "ja" for run in sentence)
        chinese = "zh" in [_evidence(run.text) for run in sentence if run.kind == "han"]
        spoken = "".join(run.text for run in sentence)
        mandarin = "yue" if cantonese and CANTONESE_WORDS & set(spoken) else "zh"
        kinds = [run.kind for run in sentence]
        for place, run in enumerate(sentence):
            if run.kind != "han":
                continue
            beside = "ja" in kinds[max(0, place - 1) : place + 2]
            found = _evidence(run.text) or (
                "ja" if here and (beside or not chinese) else "zh" if chinese else default
            )
            run.kind = mandarin if found == "zh" else found


# --- figures and marks ------------------------------------------------------------------------------------

LANGUAGES = ("en", "zh", "yue", "ja", "ko")


def _settle_neutral(runs: list[Run], language: str) -> None:
    """Figures go with the sentence's other script, marks with what is before them."""
    fallback = language if language in LANGUAGES else "en"
    for sentence in _sentences(runs):
        words = [(place, run.kind) for place, run in enumerate(sentence) if run.kind in LANGUAGES]
        for place, run in enumerate(sentence):
            if run.kind in ("figure", "digits"):
                run.kind = _of_figure(place, words, language) or fallback
    before = ""
    for run in runs:
        if run.kind in ("mark", "sign", "end"):
            run.kind = before or "mark"
        before = run.kind if run.kind in LANGUAGES else before
    first = next((run.kind for run in runs if run.kind in LANGUAGES), fallback)
    for run in runs:
        run.kind = first if run.kind == "mark" else run.kind


def _of_figure(place: int, words: list[tuple[int, str]], language: str) -> str:
    """The language a figure is said in: English only among English words, else that of the nearest other."""
    before = [kind for at, kind in words if at < place]
    after = [kind for at, kind in words if at > place]
    if before[-1:] == ["en"] and after[:1] == ["en"]:
        return "en"
    others = [kind for kind in reversed(before) if kind != "en"][:1] + [
        kind for kind in after if kind != "en"
    ][:1]
    if after[:1] and after[0] != "en" and before[-1:] == ["en"]:
        return after[0]
    if others:
        return others[0]
    return language if language in LANGUAGES and not words else "en" if words else ""
