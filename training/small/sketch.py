"""Learns the sketch: what bands the renderer's sound would have, from what it computes at its low rate.

    python -m training.small.sketch DIR --models models [--shards 35] [--steps 4200] [--threads 1]

First it renders the sentences of `refine.SENTENCES` with random voices, 24 to a shard of DIR (those that are
there already are left alone), then it learns from them, and writes assets/small/sketch.safetensors at every
check. It goes on where it was stopped (DIR/sketch.pt). The twelfth sentence of every shard is held out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize, pad

from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import refine, sketch, style, text
from pipelines.engines.small.engine import Small
from pipelines.engines.small.sketch import Sketch
from pipelines.layers.speaker import WINDOW, SpeakerEncoder
from training.small.listener_data import OCTAVES, OWN_PITCH, RANGE, own_pitch, random_style

VOICES = 24  # of a shard, each with one sentence
HELD_OUT = 11  # the place in a shard of the one that is not learned from
SPEED = (0.85, 1.2)
LONGEST = 400  # frames at 40 Hz; a voice that drawls more is left out
FRAMES = 200  # curve frames of a stretch, 2.5 s
BATCH = 12
RATE, WARM_UP, DECAY = 1.5e-3, 100, 0.01  # of AdamW: the highest, steps until it, weight decay
ALIKE = 4.0  # weight of the speaker embedding's loss
FAINT = -9.0  # log power below which a band counts a third

Lesson = dict[str, Tensor]


class Teacher:
    """The engine's own networks, asked for sentences in random voices."""

    def __init__(self, engine: Small, basis: style.Basis) -> None:
        self._speaker, self._renderer, self._basis = engine._speaker, engine._renderer, basis
        self._encoder = style.load_encoder()
        self._ids = [text.read(sentence).ids[None] for sentence in refine.SENTENCES]
        with torch.no_grad():
            self._phones = [self._speaker.phones(ids) for ids in self._ids]

    @torch.no_grad()
    def lesson(self, which: int, random: np.random.Generator) -> Lesson | None:
        """A sentence in a random voice; None where it has no sound.

        "front" (C, N) float16, "pitch" and "energy" (N,) float32 at 80 Hz, "timbre" (128,); "bands" (80, M)
        float16, logarithms of power at 100 Hz, the encoder's first, as loud as a root mean square of 0.1.
        """
        ids, tensors = self._ids[which], {"knots": self._basis.knots}
        tensors["style"] = random_style(self._basis.styles, random)
        whole = style.at(tensors, ids.shape[1] - 2)[None]
        timbre, prosody = whole[:, : style.TIMBRE], whole[:, style.TIMBRE :]
        features = self._speaker.features(self._phones[which], prosody)
        lengths = self._speaker.durations(features)[0] / random.uniform(*SPEED)
        frames = lengths.round().long().clamp(min=1)
        pitch, energy = self._speaker.curves(features, frames, prosody)
        shift, stretch = random.normal(0, OCTAVES), np.exp(random.normal(0, RANGE))
        if random.random() < OWN_PITCH:
            target = own_pitch({"pitch": pitch[0]}, shift, stretch)
            pitch = style.to_pitch(pitch[0], energy[0], target)[None]
        if not (pitch.isfinite().all() and energy.isfinite().all()) or frames.sum() > LONGEST:
            return None
        front = self._renderer.front(ids, frames, pitch, energy, timbre)
        breath = torch.Generator().manual_seed(int(random.integers(2**31)))
        samples = self._renderer.samples(front, self._renderer.source(pitch, breath), timbre)[0].float()
        if not samples.isfinite().all() or samples.abs().max() < 0.01:
            return None
        mel, power = refine.powers(samples, self._encoder)
        bands = torch.cat([mel.clamp(min=style.FLOOR), style.in_compared_bands(power)])
        return {
            "front": front[0].to(torch.float16),
            "pitch": pitch[0].float(),
            "energy": energy[0].float(),
            "timbre": timbre[0].clone(),
            "bands": bands.log().to(torch.float16),
        }

    def shard(self, number: int, seed: int) -> dict[str, Tensor]:
        """`VOICES` lessons, the place of each before its tensors' names; those without sound are missing."""
        random = np.random.default_rng([seed, number])
        lessons = ((n, self.lesson((n + number) % len(refine.SENTENCES), random)) for n in range(VOICES))
        return {
            f"{n}.{name}": tensor.contiguous()
            for n, lesson in lessons
            if lesson is not None
            for name, tensor in lesson.items()
        }


def make(folder: Path, engine: Small, shards: int, seed: int) -> None:
    """Fill up `folder` with shards."""
    teacher = Teacher(engine, style.Basis.load())
    for number in range(shards):
        path = folder / f"sketch-{number:04d}.safetensors"
        if path.exists():
            continue
        started = time.process_time()
        whole = path.with_suffix(".part")
        save_file(teacher.shard(number, seed), whole)
        whole.rename(path)
        print(f"{path.name}: {time.process_time() - started:.0f} CPU-s", flush=True)


def read(folder: Path) -> tuple[list[Lesson], list[Lesson]]:
    """The lessons to learn from, and those held out."""
    learned: list[Lesson] = []
    held_out: list[Lesson] = []
    for path in sorted(folder.glob("sketch-*.safetensors")):
        lessons: dict[int, Lesson] = {}
        for name, tensor in load_file(path).items():
            place, kind = name.split(".")
            lessons.setdefault(int(place), {})[kind] = tensor
        for place, lesson in lessons.items():
            (held_out if place == HELD_OUT else learned).append(lesson)
    return learned, held_out


def stretches(lessons: Sequence[Lesson], chance: torch.Generator) -> tuple[list[Tensor], Tensor]:
    """A random stretch of each: what `Sketch.forward` takes, and bands (B, 80, M), NaN behind a short one."""
    inputs: dict[str, list[Tensor]] = {name: [] for name in ("front", "pitch", "energy")}
    bands, frames = [], FRAMES * 5 // 4 + 1
    for lesson in lessons:
        places = max(1, (len(lesson["pitch"]) - FRAMES) // 4 + 1)
        start = 4 * int(torch.randint(places, (1,), generator=chance))  # where both rates have a frame
        for name, parts in inputs.items():
            part = lesson[name][..., start : start + FRAMES].float()
            parts.append(pad(part, (0, FRAMES - part.shape[-1])))
        part = lesson["bands"][:, start * 5 // 4 :][:, :frames].float()
        bands.append(pad(part, (0, frames - part.shape[1]), value=math.nan))
    given = [torch.stack(parts) for parts in inputs.values()]
    return [*given, torch.stack([lesson["timbre"] for lesson in lessons])], torch.stack(bands)


def losses(
    network: Sketch, encoder: SpeakerEncoder, batch: Sequence[Lesson], chance: torch.Generator
) -> dict[str, Tensor]:
    """How far the bands are off in nepers, and how far embeddings of 1.6 s of them point apart."""
    given, bands = stretches(batch, chance)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = torch.cat(network(*given), dim=1)
    known = ~bands.isnan()
    weights = torch.where(bands > FAINT, 1.0, 1 / 3) * known
    bands = bands.nan_to_num()
    start = int(torch.randint(bands.shape[2] - WINDOW, (1,), generator=chance))
    told, true = (b[:, : sketch.BANDS, start : start + WINDOW].exp().transpose(1, 2) for b in (drawn, bands))
    with torch.no_grad():
        wanted = encoder(true)
    apart = 1 - (encoder(told) * wanted).sum(1)
    return {
        "bands": ((drawn - bands).abs() * weights).sum() / weights.sum(),
        "alike": (apart * known[:, 0].all(1)).mean(),
    }


@torch.no_grad()
def check(network: Sketch, encoder: SpeakerEncoder, held_out: Sequence[Lesson]) -> dict[str, float]:
    """On whole sentences: decibels off in loud frames, and how much of the embedding it explains."""
    network.eval()
    off, drawn, true = [], [], []
    for lesson in held_out:
        told = torch.cat(
            network(*(lesson[name][None].float() for name in ("front", "pitch", "energy", "timbre"))), 1
        )
        bands = lesson["bands"].float()
        power = bands.exp().sum(0)
        loud = power > power.median() / 20
        off.append((told[0] - bands)[:, loud].abs().mean() * 10 / math.log(10))
        for found, whole in ((drawn, told[0]), (true, bands)):
            mel = whole[: sketch.BANDS].exp().T
            starts = range(0, max(1, len(mel) - WINDOW), 40)
            windows = [pad(mel[s : s + WINDOW], (0, 0, 0, max(0, WINDOW - len(mel)))) for s in starts]
            found.append(normalize(encoder(torch.stack(windows)).mean(0), dim=0))
    network.train()
    told, real = torch.stack(drawn), torch.stack(true)
    return {
        "decibels off": float(torch.stack(off).mean()),
        "explained": float(1 - (told - real).square().sum() / (real - real.mean(0)).square().sum()),
    }


def learn(folder: Path, steps: int, seed: int, out: Path = sketch.FILE) -> None:
    """Learn from the shards of `folder` till `steps` steps are done."""
    learned, held_out = read(folder)
    print(f"{len(learned)} sentences; {len(held_out)} held out")
    torch.manual_seed(seed)
    network, encoder = Sketch(), style.load_encoder()
    fronts = torch.cat([lesson["front"].float() for lesson in learned[:60]], dim=1)
    network.mean.copy_(fronts.mean(1, keepdim=True))
    network.deviation.copy_(fronts.std(1, keepdim=True) + 1e-3)
    adam = torch.optim.AdamW(network.parameters(), RATE, betas=(0.9, 0.98), weight_decay=DECAY)
    state, done = folder / "sketch.pt", 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        network.load_state_dict(kept["network"], strict=False)
        adam.load_state_dict(kept["adam"])
        done = kept["done"]
    started = time.process_time()
    for step in range(done, steps):
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        for group in adam.param_groups:
            fall = 0.03 + 0.97 * (1 + math.cos(math.pi * step / steps)) / 2
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * fall
        batch = [learned[i] for i in torch.randint(len(learned), (BATCH,), generator=chance).tolist()]
        found = losses(network, encoder, batch, chance)
        adam.zero_grad()
        (found["bands"] + ALIKE * found["alike"]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            told = {name: float(loss.detach()) for name, loss in found.items()}
            told |= check(network, encoder, held_out)
            told |= {"step": step + 1, "cpu": time.process_time() - started}
            print(json.dumps({name: round(value, 4) for name, value in told.items()}), flush=True)
            torch.save({"network": network.state_dict(), "adam": adam.state_dict(), "done": step + 1}, state)
            save_file(
                {name: t.to(torch.float16).contiguous() for name, t in network.state_dict().items()}, out
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--shards", type=int, default=35)
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    engine = small.load(args.models / "small", Placement(render="bfloat16"))
    make(args.folder, engine, args.shards, args.seed)
    learn(args.folder, args.steps, args.seed)


if __name__ == "__main__":
    main()
