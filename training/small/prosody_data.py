"""What the autoregressive prosody learns from: the teacher's rhythm and melody, without its sound.

    python -m training.small.prosody_data --models models --out FOLDER

The teacher is the feed-forward predictor of the embedded engine. A *session* is one speaker on one day: a
random voice (blends, extrapolations and perturbations of the basis styles), moved a little to a style of the
day that the pupil is never told, saying `TEXTS_EACH` sentences. The pupil is given phonemes in the voice's
own style and has to say the day's durations and curves: what varies is what real speakers vary, and a
prompt from the same session is what tells it the day. Shards are restartable: what is there is kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import style
from pipelines.engines.small import text as english
from pipelines.engines.small.model import Speaker
from pipelines.types import InputError
from training.small import texts

HELD_VOICES = (5, 15, 25, 33, 41, 50)  # of the basis: in no training voice
TEXTS, UNCOMMON, HELD_TEXTS = 3200, 500, 400
TEXTS_EACH = 8
SHARD = 50  # sessions
PURE = 0.12  # share of sessions in a voice of the basis itself
STRICT = 0.12  # share of sessions whose day is like any other
AWAY, OWN = 0.35, 0.2  # most of the way to another voice, and of a deviation of its own, on a day
HURRIED = 0.35  # share of sentences said faster or slower than usual, by up to an octave


@dataclass(frozen=True, eq=False)
class Text:
    """A sentence whose phonemes the teacher has read: ids (L,) uint8, phones (L, 512) bfloat16."""

    ids: Tensor
    phones: Tensor


def written(held: bool, seed: int = 0) -> list[str]:
    """The sentences to learn from, or those held out; no sentence is in both."""
    vocabulary = sorted(
        word
        for word in english._g2p(False).lexicon.golds.d
        if word.isalpha() and word.islower() and len(word) > 2
    )
    learned = texts.sentences(TEXTS, seed) + texts.uncommon(UNCOMMON, seed, vocabulary)
    if not held:
        return learned
    known = set(learned)
    return [text for text in texts.sentences(HELD_TEXTS, seed + 1) if text not in known]


@torch.inference_mode()
def read(speaker: Speaker, sentences: list[str]) -> list[Text]:
    """The sentences that can be read at once, by the teacher's language model."""
    made = []
    for sentence in sentences:
        try:
            ids = english.read(sentence).ids
        except (InputError, ValueError):
            continue
        with torch.autocast("cpu", torch.bfloat16):
            phones = speaker.phones(ids[None])[0]
        made.append(Text(ids.to(torch.uint8), phones.to(torch.bfloat16)))
    return made


class Voices:
    """Random prosody styles (K, 128), from the basis without the voices held out, or from those alone."""

    def __init__(self, basis: style.Basis, held: bool, seed: int) -> None:
        prosody = basis.styles[..., style.TIMBRE :]
        kept = torch.tensor([(number in HELD_VOICES) == held for number in range(len(prosody))])
        self.styles = prosody[kept]
        self.mean, self.deviation = prosody.mean(0), prosody.mean(1).std(0)
        self.random = torch.Generator().manual_seed(seed)
        self.pure = 0.5 if held else PURE

    def drawn(self) -> Tensor:
        """A voice."""
        if self._uniform() < self.pure:
            return self.styles[self._whole(len(self.styles))]
        away = 0.9 + 0.5 * self._uniform()
        noise = 0.5 * self._uniform() * self._normal()
        return self.mean + away * (self._mixed() - self.mean) + noise

    def of_the_day(self, voice: Tensor) -> Tensor:
        """The voice on some day."""
        if self._uniform() < STRICT:
            return voice
        noise = OWN * self._uniform() * self._normal()
        return torch.lerp(voice, self._mixed(), AWAY * self._uniform()) + noise

    def speed(self) -> float:
        """How fast a sentence is to be said: mostly 1."""
        return 2 ** (2 * self._uniform() - 1) if self._uniform() < HURRIED else 1.0

    def texts(self, count: int) -> list[int]:
        """Numbers of some sentences out of so many."""
        return torch.randperm(count, generator=self.random)[:TEXTS_EACH].tolist()

    def _mixed(self) -> Tensor:
        weights = self._gamma(len(self.styles))
        return torch.einsum("v,vkd->kd", weights / weights.sum(), self.styles)

    def _gamma(self, count: int) -> Tensor:
        """Unnormalised weights of a few voices: a power of uniform numbers, most of them next to nothing."""
        return torch.rand(count, generator=self.random) ** (10 + 30 * self._uniform())

    def _uniform(self) -> float:
        return float(torch.rand(1, generator=self.random))

    def _whole(self, below: int) -> int:
        return int(torch.randint(below, (1,), generator=self.random))

    def _normal(self) -> Tensor:
        return torch.randn(self.deviation.shape, generator=self.random) * self.deviation


@torch.inference_mode()
def session(speaker: Speaker, library: list[Text], voices: Voices, points: Tensor) -> list[dict[str, Tensor]]:
    """One speaker's sentences of one day.

    Each: ids (L,) uint8; features (L, 512) float16 and style (128,) of the voice; speed; draft_lengths (L,)
    float32, draft_pitch and draft_energy (2S,) float16, as the teacher says it in the voice's own style at
    that speed; frames (L,) int16, pitch and energy (2T,) float16 of the day.
    """
    voice = voices.drawn()
    day = voices.of_the_day(voice)
    return [
        _said(speaker, library[number], voice, day, points, voices.speed())
        for number in voices.texts(len(library))
    ]


def _said(
    speaker: Speaker, text: Text, voice: Tensor, day: Tensor, points: Tensor, speed: float
) -> dict[str, Tensor]:
    tokens = len(text.ids) - 2
    usual, today = (style.at({"style": kept, "knots": points}, tokens)[None] for kept in (voice, day))
    phones = text.phones[None].float()
    made = {}
    with torch.autocast("cpu", torch.bfloat16):
        for name, prosody in (("draft", usual), ("day", today)):
            features = speaker.features(phones, prosody)
            lengths = speaker.durations(features)[0] / speed
            frames = lengths.round().clamp(min=1).long()
            pitch, energy = speaker.curves(features, frames, prosody)
            made[name] = (features, lengths, frames, pitch[0], energy[0])
    features, lengths, _, draft_pitch, draft_energy = made["draft"]
    _, _, frames, pitch, energy = made["day"]
    return {
        "ids": text.ids,
        "features": features[0, :, : -usual.shape[1]].to(torch.float16),
        "style": usual[0].to(torch.float16),
        "speed": torch.tensor(speed),
        "draft_lengths": lengths.float(),
        "draft_pitch": draft_pitch.to(torch.float16),
        "draft_energy": draft_energy.to(torch.float16),
        "frames": frames.short(),
        "pitch": pitch.to(torch.float16),
        "energy": energy.to(torch.float16),
    }


def shards(held: bool, sessions: int, models: Path, out: Path, seed: int) -> Iterator[Path]:
    """Make those that are missing."""
    engine = small.load(models / "small", Placement())
    speaker, basis = engine._speaker, style.Basis.load()
    library: list[Text] = []
    name = "held" if held else "train"
    for number in range(-(-sessions // SHARD)):
        path = out / f"{name}-{number:03d}.pt"
        if path.exists():
            continue
        library = library or read(speaker, written(held))
        voices = Voices(basis, held, 1000 * seed + 2 * number + held)
        made = [
            session(speaker, library, voices, basis.knots)
            for _ in range(min(SHARD, sessions - SHARD * number))
        ]
        draft = path.with_suffix(".part")
        torch.save(made, draft)
        draft.replace(path)
        yield path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, required=True, help="a folder for about 1 GB of shards")
    parser.add_argument("--sessions", type=int, default=1500)
    parser.add_argument("--held", type=int, default=50, help="sessions held out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    started = time.time()
    for held, sessions in ((True, args.held), (False, args.sessions)):
        for path in shards(held, sessions, args.models, args.out, args.seed):
            print(f"{time.time() - started:6.0f} s  {path.name}", flush=True)


if __name__ == "__main__":
    main()
