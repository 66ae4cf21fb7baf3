"""The same texts, seeds and reference at several precisions, made and measured beside one another.

Autoregressive sampling parts for good at the first unit that differs, so another precision may give
another reading rather than a worse one. Two kinds of takes are therefore made, and measured differently:

- token-locked ("locked"): the units that float32 said, rendered in each precision: the same sentence
  sample by sample, so sounds may be subtracted;
- free-running ("free"): each precision says its own from the same seed, compared in ways that need no
  alignment.

Both are read against controls made in float32: the same texts with another seed ("control"; for a prosody
that draws nothing, another seed of the excitation and a voice moved by a hundredth), and the same units
with another seed of the excitation ("noise").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.registry import Engines
from pipelines.types import Consent, Run, Sampling, Take, Waveform

Kind = Literal["free", "locked", "control", "noise"]
AT_ONCE = Run()  # nobody watches and nobody stops it


@dataclass(frozen=True, eq=False)
class Plan:
    """What to compare. float32 is always made, whether `modes` names it or not.

    Each of `texts` may have several sentences. `sampling` gives prosody, speed and knobs; its seed is not
    used, `seeds` are. `stages_alone` makes each mode once more for each stage lowered by itself.
    `recognise` counts words misheard, where a recogniser is installed.
    """

    engine: str
    reference: Waveform
    texts: tuple[str, ...]
    modes: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    language: str = "en"
    transcript: str | None = None
    sampling: Sampling = Sampling()
    consent: Consent | None = None
    device: str = "auto"
    refine: bool = False
    stages_alone: bool = False
    recognise: bool = True


@dataclass(frozen=True)
class Key:
    """Which take: `text` and `seed` count from 0 in the plan's; `stage` is the one lowered alone, "" all."""

    kind: Kind
    mode: str = "float32"
    stage: str = ""
    text: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Step:
    """How far a run is: `done` of `total` pieces of work, what is next in words, and the take just made."""

    done: int
    total: int
    words: str
    key: Key | None = None
    take: Take | None = None


@dataclass(frozen=True)
class Value:
    """One measurement of one text and seed. `kind` "forced" is of the model's logits, not of a take."""

    name: str
    kind: Literal["free", "locked", "forced", "control", "noise"]
    mode: str
    stage: str
    text: int
    seed: int
    value: float


@dataclass(frozen=True)
class Figure:
    """A measure over all texts and seeds: median and 95 % interval, and the same of the control.

    `sentence` explains it to people who are not technical. Control fields are None where there is none.
    """

    name: str  # one of `measures.MEASURES`
    label: str
    kind: Literal["free", "locked", "forced"]
    mode: str
    stage: str
    unit: str
    median: float
    low: float
    high: float
    count: int
    control_median: float | None
    control_low: float | None
    control_high: float | None
    better: Literal["lower", "higher", "nearer zero"]
    sentence: str


@dataclass(frozen=True)
class Cost:
    """What a mode costs here. Ratios are to float32 of the same texts and seeds in the same run."""

    mode: str
    rtf: float  # (read + say + render) seconds / seconds of sound, median
    speed: float | None  # × float32, above 1 is faster; None for float32 itself
    speed_low: float | None
    speed_high: float | None
    weights: int  # bytes that the engine's weights take
    memory: float | None  # weights / float32's weights
    load_seconds: float
    noisy: bool  # float32 itself took much longer or shorter when timed again beside this mode


@dataclass(frozen=True)
class Card:
    """A mode in plain words. `level`: how far its sound is from float32's, against the control."""

    mode: str
    level: Literal["reference", "same", "near", "other", "worse", "no sound", "impossible"]
    sounds: str  # one sentence: sounds like
    costs: str  # one sentence: costs


@dataclass(frozen=True, eq=False)
class Comparison:
    """A finished run, or what was finished when Stop was pressed (`stopped`).

    `silent` are the takes that gave no sound, with the reason; `absent` the modes and kinds that were not
    made at all, as (mode, kind or "") with the reason. `recipe` is plain JSON and makes the run again.
    """

    plan: Plan
    draws: bool  # whether the prosody samples; where it does not, control means voice nudged, noise anew
    place: str  # the device
    takes: Mapping[Key, Take]
    silent: Mapping[Key, str]
    absent: Mapping[tuple[str, str], str]
    values: tuple[Value, ...]
    figures: tuple[Figure, ...]
    costs: tuple[Cost, ...]
    cards: tuple[Card, ...]
    notes: tuple[str, ...]
    recipe: Mapping[str, object]
    stopped: bool = False

    def counterpart(self, key: Key) -> Key:
        """The float32 take that a take is measured against."""
        return Key("free", text=key.text, seed=key.seed)


@dataclass(frozen=True, eq=False)
class Track:
    """Where two takes part: `distance` (N,) in dB of mel spectrum, a value for each `step` seconds of A."""

    step: float
    distance: np.ndarray


@dataclass(frozen=True, eq=False)
class Sheet:
    """Spectrograms of A, B and |A-B| in dB (rows, columns), lowest row first, on one axis of time.

    `a` and `b` share the scale `floor` to `top` dB; `apart` runs from 0 to `range` dB.
    """

    a: np.ndarray
    b: np.ndarray
    apart: np.ndarray
    floor: float
    top: float
    range: float
    seconds: float
    top_hz: float


def possible(engines: Engines, engine: str, place: str = "auto") -> dict[str, tuple[bool, str]]:
    """Each mode, whether the probe calls it possible for this engine here, and why (not), in words."""
    raise NotImplementedError


def compare(engines: Engines, plan: Plan, run: Run = AT_ONCE) -> Iterator[Step | Comparison]:
    """Make and measure all that the plan asks: a `Step` for each piece of work, at last the result.

    Takes the device's turn for one piece of work at a time, so that others go between. On Stop what is
    finished is given; `Cancelled` is raised where nothing is. A mode that gives no sound, or a stage
    that fails, becomes a card that says so. Raises `InputError` before anything is made for what the person
    can mend, and where float32 itself cannot say the text.
    """
    raise NotImplementedError


def where_they_part(a: Take, b: Take, aligned: bool) -> Track:
    """How far B is from A along A: per 50 ms the distance of mel spectra, RMS over bands, in dB.

    `aligned` for takes of the same units; others are warped onto A sentence by sentence (DTW).
    """
    raise NotImplementedError


def difference(a: Waveform, b: Waveform) -> Waveform:
    """A - B sample by sample, as long as the shorter; for takes of the same units only."""
    raise NotImplementedError


def sheet(a: Take, b: Take, aligned: bool) -> Sheet:
    """The pictures of two takes and of what they differ by."""
    raise NotImplementedError
