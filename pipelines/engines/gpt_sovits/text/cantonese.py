"""Cantonese to Jyutping phones, by ToJyutping (BSD-2): two phones a character, the second with the tone."""

from __future__ import annotations

import re
from dataclasses import replace

from pipelines.engines.gpt_sovits.text.chinese import BARE, HAN, MEASURES, SPEECH, number, require
from pipelines.engines.gpt_sovits.text.symbols import JYUTPING_FINALS, JYUTPING_INITIALS
from pipelines.engines.gpt_sovits.text.written import marks, put_in_words, value

LIBRARIES = {"ToJyutping": "ToJyutping"}
ONSET = re.compile("gw|kw|ng|[bpmfdtnlgkhwzcsj]")
# A syllable without an onset is cut after the first of these that fits; "aa" comes before "aai".
OPENINGS = [one for one in JYUTPING_INITIALS if one[0] in "aeou"]
OPENINGS.sort(key=lambda one: (one != "aa", -len(one)))


def _counted(match: re.Match[str]) -> str:
    """A number before a measure word: 2 is 兩."""
    said = number(value(match.group(1)))
    return "兩" if said == "二" else said


def _hours(hour: int, minute: int, second: int | None) -> str:
    said = ("兩" if hour == 2 else number(str(hour))) + "點"
    if second is None and minute in (0, 30):
        return said + ("半" if minute else "正" if hour > 12 else "")
    said += ("零" if minute < 10 else "") + number(str(minute)) + "分"
    return said + ("" if second is None else number(str(second)) + "秒")


SPEECH_YUE = replace(
    SPEECH,
    time=_hours,
    phone=rf"{SPEECH.phone}|(?<!\d)[2-9]\d{{3}}[ -]\d{{4}}(?!\d)",
    call=SPEECH.digits,  # a one is said as it is
    money=SPEECH.money | {"$": "蚊", "HK$": "蚊", "US$": "美金"},
    own=(
        *[rule for rule in SPEECH.own if "(?=个" not in rule[0]],
        (rf"{BARE}(\d[\d,]*)(?=個|隻|條|張|蚊|歲|點鐘|{MEASURES})", _counted),
    ),
)


def normalise(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` as Han characters and the marks ! ? … , . - , and notes."""
    require("Cantonese", LIBRARIES)
    text = put_in_words(text, SPEECH_YUE).replace("〇", "零")
    return marks(text, lambda character: re.match(f"[{HAN}]", character) is not None)


def phones(normal: str) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Phones of what `normalise` gave, how many each of its characters has, and notes on those unread."""
    import ToJyutping

    said: list[str] = []
    counts: list[int] = []
    unread: list[str] = []
    for character, syllables in ToJyutping.get_jyutping_list(normal):
        if syllables:
            parts = [phone for syllable in syllables.split() for phone in initial_final(syllable)]
        elif re.match(f"[{HAN}]", character):
            unread.append(character)
            parts = []
        else:
            parts = [character]
        said += parts
        counts.append(len(parts))
    notes = (f"No Cantonese reading is known for: {' '.join(unread)}",) if unread else ()
    return said, counts, notes


def initial_final(syllable: str) -> list[str]:
    """A syllable of Jyutping as its two phones: "gwong2" is Ygw, Yong2; without a vowel its end is said
    again."""
    sound, tone = syllable[:-1], syllable[-1]
    onset = ONSET.match(sound)
    initial = onset.group() if onset else next((one for one in OPENINGS if sound.startswith(one)), sound)
    final = sound.removeprefix(initial) or initial[-1]
    final = final if final in JYUTPING_FINALS else sound  # "ang" is "a" + "ang": there is no final "ng"
    return [f"Y{initial}", f"Y{final}{tone}"]
