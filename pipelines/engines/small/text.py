"""English text to the symbols of the network: written words, spoken words, phonemes, ids.

`pipelines.english` writes out what is not a word; the phonemes come from `hibari.g2p` (Apache-2.0), whose
alphabet is the network's. What cannot be voiced is named in the notes.
"""

from __future__ import annotations

import re

import torch

from pipelines.english import SPACED, tokens, words
from pipelines.english import g2p as _g2p
from pipelines.text import cut
from pipelines.types import InputError, Phrase

MAX_TOKENS = 510  # symbols of one phrase, the 0 … 0 around them not counted: the rows of a style

# The network's alphabet, a fact of its training: the id of a symbol is its place; "_" holds places unused.
SYMBOLS = (
    '_;:,.!?__—…"()“” \u0303ʣʥʦʨᵝꭧAI_____O_Q_ST__W_Yᵊabcdef_hijklmnopq'
    "rstuvwxyzɑɐɒæ__βɔɕç_ɖðʤə_ɚɛɜ__ɟ_ɡ______ɥ_ɨɪʝ______ɯɰŋɳɲɴø_ɸθ"
    "œ__ɹ_ɾɻ_ʁɽʂʃʈʧ_ʊʋ_ʌɣɤ_χʎ___ʒʔ_______ˈˌː___ʰ_ʲ____↓_→↗↘___ᵻ"
)
IDS = {symbol: place for place, symbol in enumerate(SYMBOLS) if symbol != "_"}


def phonemes(spoken: str, british: bool = False) -> tuple[str, tuple[str, ...]]:
    """Phonemes of what `words` gave, in the network's alphabet, and the words that have none."""
    said_by = _g2p(british).phonemize_tokens(tokens(spoken, british))
    silent = tuple(
        t.text for t in said_by if any(map(str.isalnum, t.text)) and not (t.phonemes or "").strip()
    )
    said = "".join((token.phonemes or "") + (" " if token.whitespace else "") for token in said_by)
    said = "".join(symbol for symbol in said.replace("ʀ", "ɹ") if symbol in IDS)
    said = re.sub(r" +(?=[,.;:!?…)”])|(?<=[(“]) +", "", SPACED.sub(" ", said))
    return said.strip(), silent


def read(text: str, british: bool = False) -> Phrase:
    """One sentence of English as a `Phrase`: ids (L,) int64 with a 0 before and after, L <= MAX_TOKENS + 2.

    `notes` name what is read otherwise than written and what cannot be read.
    Raises `InputError` where nothing can be said, `ValueError` where the phonemes exceed `MAX_TOKENS`
    (`pieces` cuts such a text).
    """
    sounds, notes = _sounds(text, british)
    if not any(symbol.isalpha() for symbol in sounds):
        raise InputError(" ".join(["There is nothing this engine can say in the text.", *notes]))
    if len(sounds) > MAX_TOKENS:
        raise ValueError(
            f"{len(sounds)} phonemes are more than the {MAX_TOKENS} of one phrase; cut it with pieces()"
        )
    ids = torch.tensor([0, *(IDS[symbol] for symbol in sounds), 0], dtype=torch.int64)
    return Phrase(text, ids, notes=notes)


def pieces(text: str, british: bool = False) -> list[str]:
    """`text` cut until each piece has at most `MAX_TOKENS` phonemes; most texts are one piece."""
    if len(_sounds(text, british)[0]) <= MAX_TOKENS or len(text) < 2:
        return [text]
    halves = cut(text, -(-len(text) // 2))
    return [piece for half in halves for piece in pieces(half, british)]


def _sounds(text: str, british: bool) -> tuple[str, tuple[str, ...]]:
    spoken, notes = words(text, british)
    sounds, silent = phonemes(spoken, british)
    if silent:
        notes += (f"No sound was found for: {' '.join(silent)}",)
    return sounds, notes
