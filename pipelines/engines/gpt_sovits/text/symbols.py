"""The phone tables of GPT-SoVITS: facts of its training, made here by the rules they follow.

A phone's id is its place. Version 1 has 322 phones in the order of their code points; version 2 (all later
models too) has 732: those, the two marks of Japanese pitch, Korean letters, Cantonese syllable parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import Literal

Version = Literal["v1", "v2"]

PAUSE = "_"  # also what fills a batch
PUNCTUATION = "!?…,.-"
UNKNOWN = "UNK"
SPECIAL = ("SP", "SP2", "SP3", UNKNOWN)  # SP2, SP3: pauses that Chinese text asks for by ￥ and ^

PINYIN_INITIALS = "AA EE OO b c ch d f g h j k l m n p q r s sh t w x y z zh".split()
PINYIN_FINALS = (
    "E En a ai an ang ao e ei en eng er i i0 ia ian iang iao ie in ing iong ir iu o ong ou u ua uai uan uang"
    " ui un uo v van ve vn"
).split()
JAPANESE = (
    "I N U a b by ch cl d dy e f g gy h hy i j k ky m my n ny o p py r ry s sh t ts u v w y z"
).split()
RISE, FALL = "[", "]"
ARPABET_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
ARPABET_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
HANGUL = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅓㅔㅗㅜㅡㅣ"
HANGUL_SPACE, HANGUL_OTHER = "空", "停"

# Jyutping is cut before its first vowel, or within the vowels where a syllable begins with one: so "aai"
# is "aa" + "i", and "ng" alone is "ng" + "g". All phones begin with Y, to differ from Mandarin's.
JYUTPING_INITIALS = "a aa ai ak au b c d e f g gw h j k kw l m n ng o oi ok on ou p s t uk w z".split()
JYUTPING_FINALS = (
    "a aa aai aak aam aan aang aap aat aau ai ak am an ang ap at au e ei ek eng eoi eon eot g i ik im in ing"
    " ip it iu k m n o oe oek oeng oi ok on ong ot ou p t u ui uk un ung ut yu yun yut"
).split()


def _joined(*parts: Iterable[str]) -> list[str]:
    return ["".join(some) for some in product(*parts)]


def _version_1() -> list[str]:
    mandarin = PINYIN_INITIALS + _joined(PINYIN_FINALS, "12345")
    english = _joined(ARPABET_VOWELS, "012") + ARPABET_CONSONANTS + ["ER", "IH"]
    return sorted({PAUSE, *PUNCTUATION, *SPECIAL, *mandarin, *JAPANESE, *english})


def _version_2() -> list[str]:
    cantonese = _joined("Y", JYUTPING_INITIALS) + _joined("Y", JYUTPING_FINALS, "123456")
    korean = sorted([*HANGUL, HANGUL_SPACE, HANGUL_OTHER])
    return [*_version_1(), RISE, FALL, *korean, *sorted(cantonese)]


@cache
def table(version: Version) -> dict[str, int]:
    """Every phone of a version with its id."""
    return {phone: place for place, phone in enumerate(_version_1() if version == "v1" else _version_2())}


def ids(phones: Iterable[str], version: Version) -> list[int]:
    """The ids of `phones`; those that the version does not have are UNK, as in its training."""
    known = table(version)
    return [known.get(phone, known[UNKNOWN]) for phone in phones]
