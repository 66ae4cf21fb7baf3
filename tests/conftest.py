"""What several tests share: sound that behaves like speech, made here, never from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal

from pipelines import device
from pipelines.types import Waveform

# First three formants in Hz of five vowels (means of adult speakers, rounded).
_VOWELS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [570, 840, 2410], [530, 1840, 2480], [300, 870, 2240]]
)


def make_speech(seconds: float = 6.0, seed: int = 0, pitch: float = 120.0, rate: int = 24_000) -> Waveform:
    """Speech-like sound: syllables of gliding harmonics under moving formants, hisses, pauses.

    `pitch` in Hz, `rate` in Hz. Peak 0.5, a quarter of it pauses, with the faint noise of a quiet room.
    Starts and ends in a pause of 0.15 s.
    """
    random = np.random.default_rng(seed)
    length = round(seconds * rate)
    voiced, hiss, formants, glide = _score(random, length, rate)
    f0 = pitch * glide
    phase = 2 * np.pi * np.cumsum(f0) / rate
    sound = np.zeros(length)
    for k in range(1, int(min(6_000, 0.45 * rate) / pitch)):
        frequency = k * f0
        gain = sum((100.0 / np.hypot(100.0, frequency - formant)) for formant in formants) / k**0.5
        sound += gain * np.sin(k * phase)
    sound *= voiced
    high = signal.butter(4, min(4_000, 0.3 * rate), "high", fs=rate, output="sos")
    breath = signal.sosfilt(high, random.standard_normal(length))
    sound = sound / np.abs(sound).max() + 0.06 * hiss * breath
    sound = 0.5 * sound / np.abs(sound).max() + 10 ** (-75 / 20) * random.standard_normal(length)
    return Waveform(torch.from_numpy(sound.astype(np.float32)), rate)


def _score(random: np.random.Generator, length: int, rate: int) -> tuple[np.ndarray, ...]:
    """When there is voice and hiss (T,), where the formants are (3, T) and how the pitch moves (T,)."""
    voiced, hiss = np.zeros(length), np.zeros(length)
    formants = np.repeat(_VOWELS[0][:, None].astype(float), length, axis=1)
    glide = np.ones(length)
    at, end, syllable = round(0.15 * rate), length - round(0.15 * rate), 0
    while at < end:
        consonant, vowel = round(random.uniform(0.04, 0.09) * rate), round(random.uniform(0.12, 0.25) * rate)
        if at + consonant + vowel > end:
            break
        hiss[at : at + consonant] = np.hanning(consonant)
        at += consonant
        here = slice(at, at + vowel)
        voiced[here] = signal.windows.tukey(vowel, 0.6) * random.uniform(0.6, 1.0)
        start, stop = _VOWELS[random.integers(5)], _VOWELS[random.integers(5)]
        formants[:, here] = np.linspace(start, stop, vowel).T
        glide[here] = np.linspace(*random.uniform(0.85, 1.2, 2), vowel)
        at += vowel
        syllable += 1
        pause = random.uniform(0.25, 0.4) if syllable % 7 == 0 else random.uniform(0.0, 0.08)
        at += round(pause * rate)
    return voiced, hiss, formants, glide


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """As many threads as the fronts use: more make every test beside a browser many times slower."""
    device.settle_threads()


@pytest.fixture
def speech() -> Callable[..., Waveform]:
    """`make_speech`, for tests that need several lengths, pitches or rates."""
    return make_speech


@pytest.fixture(scope="session")
def reference() -> Waveform:
    """A good reference clip: 6 s at 24 kHz, the same in every run."""
    return make_speech()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty folder for converted engines."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty folder for a user's voices and takes."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
