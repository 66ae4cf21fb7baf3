"""python -m bench.reading: how well GPT-SoVITS's front end reads English words that its dictionary lacks.

Words of CMUdict are taken out of it and read by what is left: their endings and parts, the dictionary of
hibari, the net of g2p_en. The net was trained on CMUdict, so it may have seen these words; hibari's
dictionary has about half of them. A word is read rightly if CMUdict has the reading as any of its own.
"""

from __future__ import annotations

import argparse
import random
import re

from pipelines.engines.gpt_sovits.text import english


def held_out(count: int, seed: int) -> dict[str, tuple[str, ...]]:
    """`count` words of letters alone, of three or more, with their readings."""
    entries = english.readings()
    words = sorted(word for word in entries if re.fullmatch("[a-z]{3,}", word))
    chosen = random.Random(seed).sample([word for word in words if word not in english.homographs()], count)
    return {word: entries[word] for word in chosen}


def accuracy(read: dict[str, str], readings: dict[str, tuple[str, ...]]) -> tuple[float, float]:
    """Shares of words read rightly: all phones and their stress; phones alone."""

    def plain(phones: str) -> str:
        return re.sub(r"\d", "", phones)

    whole = sum(read[word] in known for word, known in readings.items())
    sounds = sum(plain(read[word]) in map(plain, known) for word, known in readings.items())
    return whole / len(readings), sounds / len(readings)


def measure(count: int, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy of the net alone and of all that reads a word not in the dictionary."""
    words = held_out(count, seed)
    entries = english.readings()
    for word in words:
        del entries[word]
    try:
        ways = {"net alone": english.predict, "as read": english.pronounce}
        return {
            name: accuracy({word: " ".join(way(word)) for word in words}, words) for name, way in ways.items()
        }
    finally:
        entries.update(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--words", type=int, default=2000, help="how many words (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which words (%(default)s)")
    options = parser.parse_args()
    print(f"{options.words} words of CMUdict held out, seed {options.seed}")
    for name, (whole, sounds) in measure(options.words, options.seed).items():
        print(f"{name:10s} {whole:6.1%} with stress, {sounds:6.1%} without")


if __name__ == "__main__":
    main()
