"""Makes the listener's lessons: random voices that the engine itself says short sentences with.

    python -m training.small.listener_data DIR --models models [--shards 100] [--precision bfloat16]

Each shard of DIR holds 24 voices with 2 sentences each, about two and a half minutes; a shard that is there
already is left alone, so the command can be stopped and started again, with more shards too. A voice is a
mixture of a few basis voices, timbre and prosody mixed apart, pushed out beyond the mixture and moved by
numbers of its own; most have a pitch and a range of their own as well. What tells people from machines is
put on top before it is rendered, so that the labels stay exact: a tempo that wanders from sound to sound,
pitch that shakes and sags, creak, whisper. With `--plain`, so large a share of the sentences is of the
grammar in `training.small.texts`; the others are drawn by templates from all words of the dictionary that
comes with hibari, so that every pair of sounds turns up.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines import audio
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import prosody, style
from pipelines.engines.small import text as english
from pipelines.engines.small.engine import Small
from pipelines.types import Run, Sampling, Units, Unsound, Voice
from training.small import texts

RATE = 16_000
VOICES, SENTENCES = 24, 2  # of a shard
PURITY = (0.03, 0.3)  # of the Dirichlet distribution that mixtures are drawn from: one voice, or many
OUTWARD = (0.8, 1.5)  # how far from the mean of all voices, against the mixture itself
SPREAD = (0.0, 0.45)  # of the numbers of a voice's own, in the voices' deviation
OCTAVES, RANGE = 0.28, 0.35  # deviation of the change of pitch, and of the logarithm of its range's
OWN_PITCH = 0.7  # share of voices whose pitch is moved
SPEED = (0.8, 1.45)
LIVELY = 0.25  # share of the sentences said in lively prosody
TEMPO, UNEVEN = 0.2, 0.18  # deviation of the logarithm of a length: wandering over several symbols, by itself
WANDER = 6  # symbols over which tempo wanders, and steps of the curves over which pitch shakes, by two
SHAKE = (0.0, 0.05)  # octaves, deviation
SWELL = 0.12  # deviation of the energy's wandering, as a share of it
CREAK, WHISPER = 0.15, 0.04  # shares of the sentences that end in half the pitch, that have no voice at all
TEMPLATES = (
    "{} {} {}.", "The {} {} a {}.", "{} and {}, or {}?", "I {} the {} of {}.", "Why {} {}?",
    "She said {} {} to him.", "There were {} {} in the {}!", "{}, {}, {} and {}.", "No {} will {} you.",
    "Their {} is {}, but this {} was not.", "It {} with {}.", "We have a {} {} here.", "{}: that's {}.",
    "If they {}, who would {} them?", "He could {} your {} at {}.", "Don't {} my {} yet.",
)  # fmt: skip


def dictionary() -> list[str]:
    """Words in small letters, of common length, in a fixed order."""
    known = english._g2p(False).lexicon.golds.d
    return sorted(
        word for word in known if word.isascii() and word.isalpha() and word.islower() and 2 < len(word) < 10
    )


def sentence(words: list[str], random: np.random.Generator) -> str:
    """A sentence-like line of three to eight words."""
    template = TEMPLATES[random.integers(len(TEMPLATES))]
    picked = (words[i] for i in random.integers(len(words), size=template.count("{}")))
    line = template.format(*picked)
    return line[0].upper() + line[1:]


def random_style(styles: Tensor, random: np.random.Generator) -> Tensor:
    """A voice that nobody has: basis (V, K, 256) → (K, 256)."""
    middle, deviation = styles.mean(0), styles.mean(1).std(0)
    purity, outward, spread = (random.uniform(*bounds) for bounds in (PURITY, OUTWARD, SPREAD))
    first, second = (random.dirichlet(np.full(len(styles), purity)) for _ in range(2))
    share = random.uniform(0.3, 1.0)
    halves = [
        torch.einsum("v,vkd->kd", torch.from_numpy(weights).float(), styles[..., half])
        for weights, half in (
            (first, slice(style.TIMBRE)),
            (share * first + (1 - share) * second, slice(style.TIMBRE, None)),
        )
    ]
    own = torch.from_numpy(random.standard_normal(styles.shape[-1])).float() * deviation
    return middle + outward * (torch.cat(halves, dim=-1) - middle) + spread * own


def shard(
    number: int, engine: Small, basis: style.Basis, words: list[str], seed: int, plain: float
) -> dict[str, Tensor]:
    """One file's tensors; what is of each clip is joined end to end, with counts to part it again.

    "samples" int16 at 16 kHz by "sample_counts" (N,); "ids" and "frames" (40 Hz) of the symbols, the
    enclosing ones included, by "symbol_counts" (N,); "pitch" and "energy" curves (80 Hz) by twice the sum of
    the frames; "style" (N, 256) as `style.middle` gives it and "voice" (N,), the voice's number.
    """
    random = np.random.default_rng([seed, number])
    common = iter(texts.sentences(VOICES * SENTENCES, seed * 10_000 + number))
    kept: dict[str, list[Tensor]] = {}
    for which in range(VOICES):
        styles = random_style(basis.styles, random)
        shift, stretch = random.normal(0, OCTAVES), np.exp(random.normal(0, RANGE))
        moved = random.random() < OWN_PITCH
        speed = random.uniform(*SPEED)
        tensors = {"style": styles, "knots": basis.knots}
        for _ in range(SENTENCES):
            line = next(common) if plain and random.random() < plain else sentence(words, random)
            phrase = engine.read(line, "en")
            said = Sampling(speed=speed, seed=int(random.integers(2**31)))
            try:
                if moved and "pitch" not in tensors:
                    units = engine.say(phrase, Voice("small", tensors), said, Run())[0]
                    tensors["pitch"] = own_pitch(units.curves, shift, stretch)
                way = "lively" if random.random() < LIVELY else "steady"
                units = engine.say(phrase, Voice("small", tensors), replace(said, prosody=way), Run())[0]
                units = unsteady(units, random)
                pieces = list(engine.render(units, phrase, Voice("small", tensors), Run()))
            except Unsound as error:
                print(f"shard {number}, voice {which}: {error}")
                continue
            samples = audio.resample(audio.join(pieces), RATE).samples
            peak = samples.abs().max()
            if not torch.isfinite(samples).all() or peak < 0.01:
                print(f"shard {number}, voice {which}: no sound")
                continue
            add(
                kept,
                samples=(samples / peak * 32000).round().to(torch.int16),
                sample_counts=torch.tensor([len(samples)]),
                ids=phrase.ids.to(torch.uint8),
                frames=prosody.lasted(units.ids[0]).to(torch.uint8),
                symbol_counts=torch.tensor([len(phrase.ids)]),
                pitch=units.curves["pitch"].to(torch.float16),
                energy=units.curves["energy"].to(torch.float16),
                style=style.middle(styles)[None],
                voice=torch.tensor([number * VOICES + which]),
            )
    return {name: torch.cat(parts) for name, parts in kept.items()}


def unsteady(units: Units, random: np.random.Generator) -> Units:
    """The same symbols as people say them: at a tempo that wanders, with pitch and energy that do.

    Units of steady or lively prosody → units of one row; curves follow their symbols.
    """
    before = prosody.lasted(units.ids[0])
    strayed = TEMPO * wandering(len(before), WANDER, random)
    strayed += UNEVEN * torch.from_numpy(random.standard_normal(len(before))).float()
    frames = (before * strayed.exp() + torch.from_numpy(random.random(len(before))).float() - 0.5).round()
    frames = frames.clamp(1, 255).long()
    curves = units.curves or {}
    below, share = followed(before, frames)
    pitch, energy = (
        torch.lerp(curves[name][below], curves[name][below + 1], share) for name in ("pitch", "energy")
    )
    voiced = (curves["pitch"][below] > style.LOWEST) & (curves["pitch"][below + 1] > style.LOWEST)
    shaken = pitch * (random.uniform(*SHAKE) * wandering(len(pitch), 2 * WANDER, random)).exp2()
    if random.random() < CREAK:
        shaken[-int(random.uniform(0.1, 0.3) * len(pitch)) :] /= 2
    if random.random() < WHISPER:
        shaken, voiced = torch.zeros_like(pitch), voiced | True
    pitch = torch.where(voiced, shaken, pitch)
    energy = energy * (SWELL * wandering(len(energy), 4 * WANDER, random)).exp()
    return replace(units, ids=prosody.ends(frames)[None], curves={"pitch": pitch, "energy": energy})


def followed(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Where curves are to be read when symbols of so many frames (L,) come to last others.

    For each new step the old one below it, int64, and how far on to the next, 0 to 1.
    """
    starts = 2 * (before.cumsum(0) - before)
    places = torch.cat(
        [
            start + (torch.arange(2 * long) + 0.5) * was / long - 0.5
            for start, was, long in zip(starts.tolist(), before.tolist(), after.tolist(), strict=True)
        ]
    )
    below = places.floor().clamp(0, 2 * int(before.sum()) - 2).long()
    return below, (places - below).clamp(0, 1)


def wandering(count: int, over: int, random: np.random.Generator) -> Tensor:
    """Numbers of deviation 1 that change slowly: (count,)."""
    knots = torch.from_numpy(random.standard_normal(count // over + 2)).float()
    places = torch.arange(count) / over
    below = places.long()
    share = (1 - torch.cos(math.pi * (places - below))) / 2
    return torch.lerp(knots[below], knots[below + 1], share)


def own_pitch(curves: Mapping[str, Tensor], shift: float, stretch: float) -> Tensor:
    """A target for `style.to_pitch`, moved from the curve's own mean and range: (2,)."""
    heard = curves["pitch"] > style.LOWEST
    octaves = curves["pitch"][heard].log2() if bool(heard.any()) else torch.tensor([7.3, 7.5])
    mean = (octaves.median() + shift).clamp(6.1, 8.7)
    return torch.stack([mean, (octaves.std() * stretch).clamp(0.06, 0.6)]).float()


def add(kept: dict[str, list[Tensor]], **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        kept.setdefault(name, []).append(tensor)


def read(paths: Sequence[Path]) -> list[dict[str, Tensor]]:
    """Every clip of these shards, in order: the tensors of `shard` without the counts."""
    clips = []
    for path in paths:
        tensors = load_file(path)
        sounds = tensors["samples"].split(tensors["sample_counts"].tolist())
        symbols = tensors["symbol_counts"].tolist()
        ids, frames = tensors["ids"].split(symbols), tensors["frames"].split(symbols)
        lengths = [2 * int(part.sum()) for part in frames]
        curves = [tensors[name].split(lengths) for name in ("pitch", "energy")]
        for n, samples in enumerate(sounds):
            clips.append(
                {
                    "samples": samples, "ids": ids[n].long(), "frames": frames[n].long(),
                    "pitch": curves[0][n].float(), "energy": curves[1][n].float(),
                    "style": tensors["style"][n], "voice": tensors["voice"][n],
                }
            )  # fmt: skip
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="where to begin, for a second machine")
    parser.add_argument("--plain", type=float, default=0.5, help="share of ordinary sentences, 0 to 1")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    engine = small.load(args.models / "small", Placement(say=args.precision, render=args.precision))
    basis, words = style.Basis.load(), dictionary()
    for number in range(args.first, args.shards):
        path = args.folder / f"lessons-{number:04d}.safetensors"
        if path.exists():
            continue
        started = time.process_time()
        tensors = shard(number, engine, basis, words, args.seed, args.plain)
        whole = path.with_suffix(".part")
        save_file(tensors, whole)
        whole.rename(path)
        seconds = len(tensors["samples"]) / RATE
        print(f"{path.name}: {seconds:.0f} s of sound in {time.process_time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
