"""Text to sentences and pauses: the same for every engine.

Nothing is changed but white space: joined, the pieces hold every visible character of the text
save the pause marks, in order. How a sentence is read is each engine's own affair.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from pipelines.types import InputError, Span

LONGEST = 200  # letters: about 13 s of speech, well under the symbols any engine takes at once
SHORT = 16  # letters: "Hi." alone has no melody, so it goes with its neighbour
PARAGRAPH = 0.4  # seconds of silence between paragraphs
LONGEST_PAUSE = 30.0  # seconds
DEFAULT_PAUSE = 0.5  # seconds, for a bare [pause]
SHORT_LINE = 45  # characters: a line this short was ended by its writer, a longer one perhaps by a margin

# How many letters' time a character takes to say, where it stands for a syllable or more.
SYLLABLES = (
    (2, re.compile("[\uac00-\ud7a3]")),  # Hangul
    (3, re.compile("[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]")),  # CJK
)

ENDS = ".!?…‥؟।"
WIDE_ENDS = "。！？｡"  # these end a sentence without a space after them
CLOSERS = "\"'”’»›)]}」』）】》"

# Never the last word of a sentence, since a name or a thing follows.
LEADING = frozenset(
    """dr mr mrs ms mx messrs prof rev hon pres gov gen sen rep capt lt col sgt cmdr cpl maj adm supt atty
    msgr fr st mt ft vs v cf e.g i.e viz approx ca sra dra mme mlle""".split()
)
# Some of these are words as well: they abbreviate only with a capital.
LEADING_CAPITALISED = frozenset("fr ft hon gen pres st mt rep col v".split())
BEFORE_NUMBER = frozenset(
    """no nos p pp vol vols fig figs ch chs sec art eq ed eds pt par para op ver v rev tel ext
    jan feb mar apr jun jul aug sep sept oct nov dec""".split()
)
# They may end a sentence: the word after tells.
TRAILING = frozenset(
    """etc jr sr inc ltd corp bros dept univ assn govt est al ave blvd rd hwy apt bldg ph.d m.d b.a m.a a.m
    p.m a.d b.c mon tue tues wed thu thurs avg incl excl misc ext eds p pp vol vols figs chs eq pt para ver
    jan feb apr jun jul aug sep sept oct nov dec""".split()
)
STARTERS = frozenset(
    """a an the i he she it we you they this that these those there here what who when where why how which but
    and or so then if as at in on for from with after before while although because however my his her its our
    your their is are was were do does did can could will would may might must not no yes one some many most
    all both each every another other such nobody everyone someone once now today yesterday tomorrow please
    let""".split()
)

PAUSE = re.compile(r"\[\s*pause(?![\w-])[^\[\]\n]*\]?", re.IGNORECASE)
PAUSE_BODY = re.compile(
    r"\[\s*pause[\s:=]*(?:(\d+(?:[.,]\d+)?|[.,]\d+)\s*(ms|s|sec|secs|seconds?)?)?\s*\]", re.IGNORECASE
)
BULLET = re.compile(r"(?:[-–—*•‣◦▪●○+]|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s")
END = re.compile(rf"[{re.escape(ENDS + WIDE_ENDS)}]+[{re.escape(CLOSERS)}]*")
EMOJI = re.compile(r"\s*((?:[^\w\s!-/:-@\[-`{-~“‘«¿¡(—–]\ufe0f?\u200d?)+)(?=\s|$)")
CLAUSE = re.compile(
    rf"(?<=[;:—–!?.…])\s+|(?<=[;:—–!?.…][{re.escape(CLOSERS)}])\s+|(?<=—)(?=\w)|(?<=[；：。！？])"
)
COMMA = re.compile(rf"(?:(?<=,)|(?<=,[{re.escape(CLOSERS)}])|(?<=[)\]”]))\s+(?!\d)|(?<=[，、])")
CONJUNCTION = re.compile(
    r"\s+(?=(?:and|but|or|nor|yet|so|because|since|although|though|while|whereas|when|where|if|unless|until|which"
    r"|who|whose|that|than|then|after|before)\s)",
    re.IGNORECASE,
)
LETTER_SPACE = re.compile(r"(?<=[^\W\d_])\s+(?=[^\W\d_])")
SPACE = re.compile(r"\s+")
BREATHS = (CLAUSE, COMMA, CONJUNCTION, LETTER_SPACE, SPACE)  # from the best place to the worst


@dataclass(frozen=True)
class Sentence:
    """A stretch of text to be said in one go, white space inside it single; "\\n" is a line that ended."""

    text: str


@dataclass(frozen=True)
class Pause:
    """Silence, in seconds."""

    seconds: float


def split(text: str, longest: int = LONGEST) -> list[Sentence | Pause]:
    """Sentences of at most `longest` letters' time, as `weight` counts it, in order, with the pauses between.

    A sentence that is longer is cut where a speaker would breathe: after a clause, a comma, before a
    conjunction, at a space; inside a run without spaces only when that run alone is longer than `longest`.
    Marks without words ("* * *") stay with the sentence before and do not count.
    `[pause 0.5s]` and `[pause 500ms]` become a `Pause`, as does a blank line.
    Raises `InputError` for a pause that cannot be understood and for text with nothing to say.
    """
    if longest < SHORT:
        raise ValueError(f"longest is {longest} letters; at least {SHORT} are needed")
    parts: list[Sentence | Pause] = []
    position = 0
    for mark in PAUSE.finditer(text):
        parts += _paragraphs(text[position : mark.start()], longest)
        parts.append(_pause(mark.group()))
        position = mark.end()
    parts += _paragraphs(text[position:], longest)
    parts = _attach_unsayable(parts)
    if not any(isinstance(part, Sentence) for part in parts):
        raise InputError("There is nothing to say: write at least one word.")
    return parts


def weight(text: str) -> int:
    """How long a text takes to say, in letters of an alphabet: a character of Chinese or a kana takes three
    letters' time, a Korean syllable two, and one sentence may hold them all."""
    return sum(map(_weight, text))


def _weight(character: str) -> int:
    return next((letters for letters, kind in SYLLABLES if kind.match(character)), 1)


def cut(text: str, longest: int) -> list[str]:
    """`text` in pieces that weigh at most `longest`, cut where a speaker would breathe."""
    weights = list(accumulate(map(_weight, text), initial=0))  # of what stands before each character
    places = [[weights[match.end()] for match in kind.finditer(text)] for kind in BREATHS]
    ends = [0]
    while (left := weights[-1] - weights[ends[-1]]) > longest:
        start = weights[ends[-1]]
        even = left / -(-left // longest)  # pieces of equal length: no stub at the end
        ends.append(bisect_right(weights, _best(places, start, longest, start + even)) - 1)
    pieces = [text[start:end].strip() for start, end in pairwise([*ends, len(text)])]
    return [piece for piece in pieces if piece]


def sayable(text: str) -> bool:
    """Whether there is anything a voice could say: a letter, a digit, an emoji, a sign of money."""
    return any(character.isalnum() or unicodedata.category(character) in ("So", "Sc") for character in text)


def _pause(mark: str) -> Pause:
    mark = mark.strip()
    body = PAUSE_BODY.fullmatch(mark)
    if body is None:
        raise InputError(
            f"The pause {mark!r} cannot be understood: write for example [pause 0.5s] or [pause 500ms]."
        )
    number, unit = body.groups()
    seconds = float(number.replace(",", ".")) if number else DEFAULT_PAUSE
    if unit and unit.lower() == "ms":
        seconds /= 1000
    if not 0 < seconds <= LONGEST_PAUSE:
        raise InputError(
            f"The pause {mark!r} is out of range: a pause is longer than 0 s and at most {LONGEST_PAUSE:g} s."
        )
    return Pause(seconds)


def _paragraphs(text: str, longest: int) -> list[Sentence | Pause]:
    """The sentences of a text without pause marks, a `Pause` between paragraphs."""
    lines = [SPACE.sub(" ", line).strip() for line in text.splitlines()]
    parts: list[Sentence | Pause] = []
    for filled, paragraph in groupby(lines, key=bool):
        if not filled:
            continue
        sentences = [sentence for line in _unwrap(list(paragraph)) for sentence in _sentences(line)]
        if parts:
            parts.append(Pause(PARAGRAPH))
        parts += [
            Sentence(piece) for whole in _join_short(sentences, longest) for piece in cut(whole, longest)
        ]
    return parts


def _unwrap(lines: list[str]) -> list[str]:
    """The lines of a paragraph as its writer meant them: those that a margin broke are one.

    Short lines without a stop (a shopping list, a poem) are kept together, "\\n" between them.
    """
    items = max(map(len, lines)) < SHORT_LINE // 2
    whole = [lines[0]]
    for before, line in pairwise(lines):
        if not (items or _line_ended(before, line)):
            whole[-1] += " " + line
        elif not _stopped(before) and len(whole[-1]) + len(line) < 2 * SHORT_LINE:
            whole[-1] += "\n" + line
        else:
            whole.append(line)
    return whole


def _stopped(line: str) -> bool:
    return line.rstrip(CLOSERS).endswith(tuple(ENDS + WIDE_ENDS))


def _line_ended(before: str, after: str) -> bool:
    """Whether a writer and not a margin ended the line `before`."""
    if BULLET.match(after) or _stopped(before) or before.endswith((":", ";")):
        return True
    return len(before) < SHORT_LINE and not after[0].islower()


def _sentences(line: str) -> Iterator[str]:
    start = 0
    for stop in END.finditer(line):
        if stop.start() >= start and _ends(line, start, stop):
            emoji = EMOJI.match(line, stop.end())
            follows = emoji and any(unicodedata.category(c) in ("So", "Sk") for c in emoji.group(1))
            end = emoji.end() if follows else stop.end()
            yield line[start:end].strip()
            start = end
    if line[start:].strip():
        yield line[start:].strip()


def _ends(line: str, start: int, stop: re.Match[str]) -> bool:
    """Whether the stop found in `line` ends the sentence that began at `start`."""
    mark, end = stop.group(), stop.end()
    if mark[0] in WIDE_ENDS or end == len(line):
        return True
    if not line[end].isspace():
        return False
    following = re.match(r"[^\W_]*", line[end : end + 40].lstrip(" \"'“‘«([{¿¡")).group()
    quoted = mark[-1] in CLOSERS
    if mark[0] != "." or mark.startswith(".."):
        return not (following[:1].islower() and (quoted or mark[0] in ".…‥"))
    words = line[max(start, stop.start() - 40) : stop.start()].rpartition("\n")[2].split()
    word = words[-1].lstrip("\"'“‘«([{") if words else ""
    if len(words) == 1 and word.isdigit() and len(word) <= 3:
        return False  # the number of a list: "1. Milk"
    return not (_abbreviated(word, following) or quoted and following[:1].islower())


def _abbreviated(word: str, following: str) -> bool:
    """Whether the stop after `word` belongs to it, judged by the word that follows."""
    key = word.lower()
    if key in LEADING and (word[:1].isupper() or key not in LEADING_CAPITALISED):
        return True
    if key in BEFORE_NUMBER and following[:1].isdigit():
        return True
    initial = len(word) == 1 and word.isupper()
    dotted = "." in word and word.replace(".", "").isalpha() and max(map(len, word.split("."))) < 3
    starts = following.lower() in STARTERS and not following[:1].islower()
    return (initial or dotted or key in TRAILING) and not starts


def _join_short(sentences: list[str], longest: int) -> list[str]:
    """Sentences, none shorter than `SHORT` where a neighbour has room for it."""
    joined: list[str] = []
    for index, sentence in enumerate(sentences):
        last = index == len(sentences) - 1
        short = joined and (weight(joined[-1]) < SHORT or last and weight(sentence) < SHORT)
        if short and weight(joined[-1]) + 1 + weight(sentence) <= longest:
            joined[-1] += ("" if joined[-1].endswith(tuple(WIDE_ENDS)) else " ") + sentence
        else:
            joined.append(sentence)
    return joined


def _best(places: list[list[int]], start: int, longest: int, even: float) -> int:
    """Where to cut after `start`: the best kind of place that is in reach, of those the nearest to `even`.

    All are weights of the text before them.
    """
    for kind in places:
        near = kind[bisect_left(kind, start + 0.35 * longest) : bisect_left(kind, start + longest + 1)]
        if near:
            return min(near, key=lambda place: abs(place - even))
    anywhere = places[-1]
    index = bisect_left(anywhere, start + longest + 1) - 1
    return anywhere[index] if index >= 0 and anywhere[index] > start else start + longest


def _attach_unsayable(parts: list[Sentence | Pause]) -> list[Sentence | Pause]:
    """`parts` in which marks without words ("* * *") are with the sentence before, or else the one after."""
    kept: list[Sentence | Pause] = []
    waiting = ""
    for part in parts:
        if isinstance(part, Sentence) and not sayable(part.text):
            index = next((i for i in reversed(range(len(kept))) if isinstance(kept[i], Sentence)), None)
            if index is None:
                waiting = f"{waiting} {part.text}".strip()
            else:
                kept[index] = Sentence(f"{kept[index].text} {part.text}")
        elif isinstance(part, Sentence):
            kept.append(Sentence(f"{waiting} {part.text}".strip()))
            waiting = ""
        elif not (part.seconds == PARAGRAPH and kept and kept[-1] == part):
            kept.append(part)
    return kept


def subtitles(spans: Iterable[Span]) -> str:
    """Sentences and their times as SubRip (.srt) text."""
    return "\n".join(
        f"{number}\n{_clock(span.start)} --> {_clock(span.end)}\n{span.text}\n"
        for number, span in enumerate(spans, 1)
    )


def _clock(seconds: float) -> str:
    """Seconds as SubRip writes them: 3661.5 is 01:01:01,500."""
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
