"""A toy engine for tests of everything around engines: it hums a tone per letter, at once.

It keeps the whole contract (`Engine`, `Refiner`, `Forced`, `Nudger`). In its prosody "hum" there is no
network; in "babble" a tiny autoregressive one with random weights, in the dtype of its placement, draws a
code for each half letter, and rendering adds breath and rounds to its dtype; in "flat" nothing is drawn.
`config.json` in its folder may plant faults, which strike only where a stage is lowered
(``{"faults": {"render": "nan"}}``; kinds: nan, silence, crash, memory, unsound), and ``{"pace": 0.05}``
makes each piece take that many seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.device import Placement
from pipelines.types import (
    InputError,
    Phrase,
    Run,
    Sampling,
    Spec,
    Units,
    Unsound,
    Voice,
    Waveform,
)

SAMPLE_RATE = 24000
LETTER_SECONDS = 0.06
PIECE_LETTERS = 10
CODES = 16  # of babbling
HALVES = 2  # codes a letter
BREATH = 0.01

SPEC = Spec(
    name="toy",
    title="Toy",
    languages=("en",),
    sample_rate=SAMPLE_RATE,
    reference_seconds=(1.0, 30.0),
    samples=True,
    refines=True,
    source="made up on the spot",
    note="It hums.",
    prosodies=("hum", "babble", "flat"),
    drawn=("hum", "babble"),
)


def missing(folder: Path) -> str | None:
    return None if (folder / "config.json").is_file() else "The toy has not been unpacked."


def prepare(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    progress("prepare", 0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")


def load(folder: Path, placement: Placement) -> Toy:
    config = json.loads((folder / "config.json").read_text())
    return Toy(placement, config.get("faults", {}), config.get("pace", 0.0))


class Babbler(nn.Module):
    """The code of each half letter, from the letter and the codes before it."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.codes = nn.Embedding(128, 64), nn.Embedding(CODES + 1, 64)
        self.cell, self.head = nn.GRUCell(128, 64), nn.Linear(64, CODES)

    def step(self, letter: Tensor, before: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits (CODES,) float32, and the state to go on from; `before` is CODES at the start."""
        state = self.cell(torch.cat([self.letters(letter), self.codes(before)])[None], state)
        return 4 * self.head(state)[0].float(), state


def babbler() -> Babbler:
    """The same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Babbler()


class Toy:
    """Hums the reference's loudness-weighted mean frequency, a tone per letter."""

    sample_rate = SAMPLE_RATE

    def __init__(self, placement: Placement, faults: dict[str, str], pace: float) -> None:
        self._placement = placement
        self._faults = faults
        self._pace = pace
        self._babbler = placement.put(babbler(), "say")

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        if reference.seconds < 0.5:
            raise InputError("This clip is too short to hear a voice in it.")
        self._strike("listen")
        pitch = 100 + 100 * float(reference.samples.diff().abs().mean() / reference.samples.abs().mean())
        return Voice("toy", {"pitch": torch.tensor([self._spoil("listen", pitch)])}, transcript)

    def read(self, text: str, language: str) -> Phrase:
        if not text.isascii():
            raise InputError("The toy knows no other letters than English ones.")
        return Phrase(text, torch.tensor([ord(letter) for letter in text]))

    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        run.check()
        self._strike("say")
        generator = torch.Generator().manual_seed(sampling.seed)
        if sampling.prosody == "babble":
            return [self._babbled(phrase, voice, sampling, generator)]
        wobble = torch.rand(phrase.ids.numel(), generator=generator) * (sampling.prosody != "flat")
        pitch = voice.tensors["pitch"] * (1 + phrase.ids % 12 / 12 + 0.05 * wobble)
        curve = torch.full_like(pitch, self._spoil("say", 1.0)) * pitch
        seconds = LETTER_SECONDS * phrase.ids.numel() / sampling.speed
        return [Units(phrase.ids[None], 1 / LETTER_SECONDS, {"pitch": curve}, seconds=seconds)]

    @torch.inference_mode()
    def _babbled(self, phrase: Phrase, voice: Voice, sampling: Sampling, generator: torch.Generator) -> Units:
        codes, state, before = [], None, torch.tensor(CODES)
        for letter in phrase.ids.repeat_interleave(HALVES):
            logits, state = self._babbler.step(letter, before, state)
            before = torch.multinomial(logits.softmax(-1), 1, generator=generator)[0]
            codes.append(before)
        ids = torch.stack(codes)[None]
        pitch = voice.tensors["pitch"] * (1 + ids[0] / CODES) * self._spoil("say", 1.0)
        rate = HALVES * sampling.speed / LETTER_SECONDS
        breath = torch.full_like(pitch, BREATH)
        seconds = ids.shape[1] / rate
        return Units(ids, rate, {"pitch": pitch, "breath": breath}, seed=sampling.seed, seconds=seconds)

    @torch.inference_mode()
    def logits(
        self, units: Units, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run
    ) -> list[Tensor]:
        if sampling.prosody != "babble":
            raise Unsound("Only babble is drawn from odds that can be told.")
        self._strike("say")
        rows, state, before = [], None, torch.tensor(CODES)
        for letter, code in zip(phrase.ids.repeat_interleave(HALVES), units.ids[0], strict=True):
            run.check()
            row, state = self._babbler.step(letter, before, state)
            rows.append(row * self._spoil("say", 1.0))
            before = code
        return [torch.stack(rows)]

    def nudge(self, voice: Voice, seed: int) -> Voice:
        change = 1 + 0.01 * torch.randn(1, generator=torch.Generator().manual_seed(seed))
        return Voice("toy", {"pitch": voice.tensors["pitch"] * change}, voice.transcript)

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        self._strike("render")
        length = round(SAMPLE_RATE * units.seconds / phrase.ids.numel())
        each = length * phrase.ids.numel() // units.curves["pitch"].numel()
        steps = (units.curves["pitch"] / SAMPLE_RATE).repeat_interleave(each)
        tone = 0.3 * torch.sin(2 * torch.pi * steps.cumsum(0))
        if "breath" in units.curves:
            tone = self._breathed(tone, units.curves["breath"].repeat_interleave(each), units.seed)
        for number, piece in enumerate(tone.split(PIECE_LETTERS * length)):
            run.check()
            time.sleep(self._pace)
            # NaN spares the first of several pieces, so that some sound is out before healing.
            struck = number > 0 or tone.numel() <= piece.numel() or self._fault("render") == "silence"
            yield Waveform(piece * self._spoil("render", 1.0) if struck else piece, SAMPLE_RATE)

    def _breathed(self, tone: Tensor, breath: Tensor, seed: int) -> Tensor:
        """With noise, rounded as a vocoder in this precision would round."""
        noise = torch.randn(tone.shape, generator=torch.Generator().manual_seed(seed))
        return (tone + breath * noise).to(self._placement.dtype("render")).float()

    def refine(self, voice: Voice, reference: Waveform, run: Run) -> Voice:
        steps = 5
        for step in range(1, steps + 1):
            if run.cancelled():
                return voice
            time.sleep(self._pace)
            run.progress("refine", step, steps)
            if run.cancelled():
                break
        pitch = voice.tensors["pitch"] + step
        return Voice("toy", {"pitch": pitch}, voice.transcript, {"refined": f"{step} steps"})

    def _fault(self, stage: str) -> str:
        lowered = getattr(self._placement, stage) != "float32"
        return self._faults.get(stage, "") if lowered else self._faults.get(f"{stage} always", "")

    def _strike(self, stage: str) -> None:
        fault = self._fault(stage)
        if fault == "crash":
            raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")
        if fault == "memory":
            raise RuntimeError("CUDA out of memory")
        if fault == "unsound":
            raise Unsound("The logits are not finite.")

    def _spoil(self, stage: str, value: float) -> float:
        return {"nan": float("nan"), "silence": 0.0}.get(self._fault(stage), value)
