"""What lively prosody does beside steady: errors, spread, words, speed, precision; a table and JSON.

    python -m bench.prosody [teacher spread hard speed people] [--voices DIR] [--hard 500] [--out FILE.json]

- teacher: on sentences and voices that training never saw, how far a draw lies from the feed-forward
  predictor it learned from, and how far from that predictor on another *day* (see
  training.small.prosody_data), with and without a sentence of the day as a prompt.
- spread: what another seed changes.
- hard: sentences that tempt to skip and repeat, said, checked symbol by symbol, rendered, and heard by
  Whisper base. `--rendered` says how many of them are heard; a paragraph counts as one.
- speed: real-time factor of `say` alone, in CPU-seconds, by precision, and how far each precision's units
  agree with float32's from the same seed.
- people: clips of people (`<speaker>_<n>.wav`, see bench.quality): words, likeness, and range of pitch
  against that of the speaker's other clips.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jiwer
import torch
from torch import Tensor

from bench.quality import Independent, plain, speakers
from pipelines import audio, measures
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import prosody, style
from pipelines.layers import pitch as pitches
from pipelines.text import Sentence, split
from pipelines.types import Engine, Phrase, Run, Sampling, Units, Voice, Waveform
from training.small import prosody_data, texts

STEADY, LIVELY = Sampling(prosody="steady"), Sampling(prosody="lively")
MODES = ("float32", "bfloat16", "int8")
READ = (
    "The museum opens early in the morning, but we should be there a little before that.",
    "Nobody told him that the last train had already left the station.",
    "Could you please explain how this machine turns water into steam?",
    "He opened the letter slowly, because he knew what it was going to say.",
    "They spent the whole evening talking about music, books and travel.",
    "Our neighbors painted their fence bright green, which surprised everybody.",
)
Figures = dict[str, float]


def say(engine: Engine, phrase: Phrase, voice: Voice, sampling: Sampling) -> Units:
    """The first candidate."""
    return engine.say(phrase, voice, sampling, Run())[0]


def sound(engine: Engine, phrase: Phrase, voice: Voice, units: Units) -> Waveform:
    """The sentence in one piece."""
    return audio.join(list(engine.render(units, phrase, voice, Run())))


# ------------------------------------------------------------------------------ against the teacher


def by_symbol(units: Units) -> tuple[Tensor, Tensor, Tensor]:
    """Of each symbol: frames, mean log2 pitch of its voiced steps (NaN where there are none), mean energy."""
    frames = prosody.lasted(units.ids[0])
    owner = torch.arange(len(frames)).repeat_interleave(2 * frames)
    pitch, energy = units.curves["pitch"], units.curves["energy"]
    voiced = pitch > style.LOWEST
    zeros = torch.zeros(len(frames))
    octaves = zeros.index_add(0, owner, pitch.clamp(min=1).log2() * voiced)
    loud = zeros.index_add(0, owner, energy) / (2 * frames)
    return frames.float(), octaves / zeros.index_add(0, owner, voiced.float()), loud


def distance(made: Units, truth: Units) -> Figures:
    """How far one way to say a phrase lies from another."""
    ours, theirs = by_symbol(made), by_symbol(truth)
    apart = (ours[1] - theirs[1])[torch.isfinite(ours[1] - theirs[1])]
    return {
        "frames a symbol": float((ours[0] - theirs[0]).abs().mean()),
        "length %": 100 * abs(made.ids.shape[1] / truth.ids.shape[1] - 1),
        "pitch, semitones": float(12 * apart.abs().mean()),
        "energy": float((ours[2] - theirs[2]).abs().mean()),
    }


def mean(rows: Sequence[Figures]) -> Figures:
    return {name: statistics.mean(row[name] for row in rows) for name in rows[0]}


def with_prompt(voice: Voice, phrase: Phrase, units: Units) -> Voice:
    """A voice that begins as `units` say `phrase`."""
    tensors = {
        "prompt_ids": phrase.ids,
        "prompt_frames": prosody.lasted(units.ids[0]),
        "prompt_pitch": units.curves["pitch"],
        "prompt_energy": units.curves["energy"],
    }
    return replace(voice, tensors={**voice.tensors, **tensors})


def against_teacher(engine: Engine, number: int) -> dict[str, Figures]:
    """Sentences and voices held out, said at the pitch of the day so that what is left is melody."""
    basis = style.Basis.load()
    voices = prosody_data.Voices(basis, held=True, seed=77)
    sentences = [text for text in prosody_data.written(held=True) if 4 <= len(text.split()) <= 30]
    rows: dict[str, list[Figures]] = {}
    for count in range(number):
        usual = voices.drawn()
        own, day = (_voice(basis, half) for half in (usual, voices.of_the_day(usual)))
        one, other = (engine.read(sentences[2 * count + i], "en") for i in (0, 1))
        before = say(engine, one, day, STEADY)
        truth = say(engine, other, day, STEADY)
        scale = prosody.scale_of(before.curves["pitch"], before.curves["energy"])
        own = replace(own, tensors={**own.tensors, "pitch": torch.tensor([scale.mean, scale.deviation])})
        prompted = with_prompt(own, one, before)
        ways = {
            "feed-forward, its own style": (own, STEADY),
            "lively, likeliest": (own, replace(LIVELY, top_k=1)),
            "lively, drawn": (own, replace(LIVELY, seed=count)),
            "lively, prompted, likeliest": (prompted, replace(LIVELY, top_k=1)),
            "lively, prompted, drawn": (prompted, replace(LIVELY, seed=count)),
        }
        draft = say(engine, other, own, STEADY)
        for name, (voice, sampling) in ways.items():
            made = say(engine, other, voice, sampling)
            rows.setdefault(f"{name} → the day", []).append(distance(made, truth))
            if sampling is not STEADY and voice is own:
                rows.setdefault(f"{name} → feed-forward", []).append(distance(made, draft))
    return {name: mean(found) for name, found in rows.items()}


def _voice(basis: style.Basis, half: Tensor) -> Voice:
    timbre = basis.styles[3, :, : style.TIMBRE]
    return Voice("small", {"style": torch.cat([timbre, half], dim=1), "knots": basis.knots})


# ---------------------------------------------------------------------------------------- spread


def spread(engine: Engine, voice: Voice, seeds: int) -> Figures:
    """Over seeds, of each sentence: how far the length, the mean and the range of pitch vary."""
    rows: list[Figures] = []
    for text in READ:
        phrase = engine.read(text, "en")
        drawn = [say(engine, phrase, voice, replace(LIVELY, seed=seed)) for seed in range(seeds)]
        scales = [prosody.scale_of(units.curves["pitch"], units.curves["energy"]) for units in drawn]
        steady = say(engine, phrase, voice, STEADY)
        lengths = [units.ids.shape[1] / steady.ids.shape[1] for units in drawn]
        truth = prosody.scale_of(steady.curves["pitch"], steady.curves["energy"])
        rows.append(
            {
                "length, × steady": statistics.mean(lengths),
                "length, deviation %": 100 * statistics.stdev(lengths),
                "mean pitch, deviation in semitones": 12 * statistics.stdev(s.mean for s in scales),
                "range, × steady": statistics.mean(s.deviation / truth.deviation for s in scales),
                "range, deviation %": 100 * statistics.stdev(s.deviation / truth.deviation for s in scales),
            }
        )
    return mean(rows)


# ----------------------------------------------------------------------------------------- words


def hard(
    engine: Engine, voice: Voice, number: int, rendered: int, sampling: Sampling, told: Callable
) -> Figures:
    """Hard texts: symbols said once and in order, all of them; words heard by Whisper base, some of them."""
    recognise = measures.recogniser() if rendered else None
    symbols, wrong, heard = 0, 0, []
    every = max(1, number // rendered) if rendered else number + 1
    for index, text in enumerate(texts.hard(number, seed=5)):
        pieces = []
        for part in split(text):
            if not isinstance(part, Sentence):
                continue
            phrase = engine.read(part.text, "en")
            units = say(engine, phrase, voice, replace(sampling, seed=index))
            frames = prosody.lasted(units.ids[0])
            symbols += len(phrase.ids)
            wrong += int(len(frames) != len(phrase.ids) or int(frames.min()) < 1)
            if index % every == every - 1:
                pieces.append(sound(engine, phrase, voice, units))
        if pieces and recognise is not None:
            heard.append((plain(text), plain(recognise(audio.join(pieces)))))
            told(f"{jiwer.wer(*heard[-1]):.3f} {heard[-1][0]} / {heard[-1][1]}")
    errors = jiwer.wer([t for t, _ in heard], [h for _, h in heard]) if heard else math.nan
    return {"texts": number, "symbols": symbols, "sentences out of order": wrong, "heard": len(heard),
            "word errors %": 100 * errors}  # fmt: skip


# ----------------------------------------------------------------------------------------- speed


def speed(models: Path, voice: Voice, sampling: Sampling) -> dict[str, Figures]:
    """`say` by precision, side by side, after one turn for warmth; units against float32's."""
    engines = {mode: small.load(models / "small", Placement(say=mode)) for mode in MODES}
    rows: dict[str, list[Figures]] = {}
    truth: dict[tuple[int, str], Units] = {}
    for number, text in enumerate((READ[0], *READ)):
        for mode, engine in engines.items():
            phrase = engine.read(text, "en")
            for way in ("steady", "lively"):
                started, wall = time.process_time(), time.perf_counter()
                units = say(engine, phrase, voice, replace(sampling, prosody=way, seed=number))
                busy, waited = time.process_time() - started, time.perf_counter() - wall
                if number == 0:
                    continue
                kept = truth.setdefault((number, way), units)
                rows.setdefault(f"{way}, {mode}", []).append(
                    {
                        "CPU-seconds a second": busy / units.seconds,
                        "real-time factor": waited / units.seconds,
                        **agreement(units, kept),
                    }
                )
    return {name: mean(found) for name, found in rows.items()}


def agreement(units: Units, truth: Units) -> Figures:
    """Share of columns that are equal place by place, and after what share the first one differs."""
    count = min(units.ids.shape[1], truth.ids.shape[1])
    same = (units.ids[:, :count] == truth.ids[:, :count]).all(0)
    longest = max(units.ids.shape[1], truth.ids.shape[1])
    first = int((~same).nonzero()[0, 0]) if not bool(same.all()) else longest
    return {
        "units equal %": 100 * float(same.sum()) / longest,
        "first difference at %": 100 * first / longest,
    }


# ---------------------------------------------------------------------------------------- people


@dataclass(frozen=True)
class Heard:
    """Mean and deviation of log2 F0 of a sound, as `layers.pitch` measures them."""

    mean: float
    deviation: float


def listened(waveform: Waveform) -> Heard:
    samples = audio.resample(waveform, pitches.SAMPLE_RATE).samples
    measured, deviation = pitches.statistics(*pitches.track(samples)).tolist()
    return Heard(measured, deviation)


def people(engine: Engine, folder: Path, seeds: Sequence[int]) -> dict[str, Figures]:
    """Clones of people in either prosody, judged against the clips that were not cloned."""
    judge, recognise = Independent(), measures.recogniser()
    rows: dict[str, list[Figures]] = {}
    for speaker in speakers(folder):
        voice = engine.listen(speaker.cloned, None, Run())
        clips = [listened(clip) for clip in speaker.others]
        ranges = statistics.mean(clip.deviation for clip in clips)
        moves = statistics.pstdev(clip.mean for clip in clips)
        known = torch.stack([judge(clip) for clip in speaker.others])
        prompted = engine.listen(speaker.cloned, recognise(speaker.cloned), Run())
        ways = {"steady": (voice, STEADY), "lively": (voice, LIVELY), "lively, prompted": (prompted, LIVELY)}
        for way, (whose, sampling) in ways.items():
            for seed in seeds if way != "steady" else seeds[:1]:
                said = []
                for text in READ:
                    phrase = engine.read(text, "en")
                    units = say(engine, phrase, whose, replace(sampling, seed=seed))
                    said.append(sound(engine, phrase, whose, units))
                found = [listened(one) for one in said]
                joined = [audio.join(said[at : at + 3]) for at in range(0, len(said), 3)]
                likeness = torch.stack([judge(one) for one in joined]) @ known.T
                wanted, spoken = [plain(text) for text in READ], [plain(recognise(one)) for one in said]
                own = statistics.mean(one.deviation for one in found)
                rows.setdefault(way, []).append(
                    {
                        "word errors %": 100 * jiwer.wer(wanted, spoken),
                        "likeness (independent)": float(likeness.mean()),
                        "range, octaves": own,
                        "range of the person": ranges,
                        "range, distance": abs(own - ranges),
                        "sentence to sentence, semitones": 12 * statistics.pstdev(one.mean for one in found),
                        "clip to clip of the person": 12 * moves,
                        "seconds of speech": sum(one.seconds for one in said),
                    }
                )
    return {name: mean(found) for name, found in rows.items()}


# ----------------------------------------------------------------------------------------- table


def table(title: str, rows: Mapping[str, Figures]) -> str:
    """Aligned text."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"\n{title}"]
    for name in names:
        lines.append(f"  {name}")
        lines += [f"    {label:44s} {row[name]:10.3f}" for label, row in rows.items() if name in row]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["teacher", "spread", "hard", "speed"])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--voices", type=Path, help="folder of <speaker>_<n>.wav, for people")
    parser.add_argument("--number", type=int, default=30, help="pairs of sentences, for teacher")
    parser.add_argument("--seeds", type=int, default=6, help="draws, for spread and people")
    parser.add_argument("--hard", type=int, default=500, help="texts, for hard")
    parser.add_argument("--rendered", type=int, default=40, help="of them, how many are heard")
    parser.add_argument("--prosody", default="lively", choices=small.SPEC.prosodies, help="for hard")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    engine = small.load(args.models / "small", Placement())
    basis = style.Basis.load()
    voice = Voice("small", {"style": basis.styles[3], "knots": basis.knots, "pitch": basis.pitch[3]})

    def told(line: str) -> None:
        print(line, flush=True)

    sampling = Sampling(prosody=args.prosody)
    parts: dict[str, Callable[[], Mapping[str, Figures]]] = {
        "teacher": lambda: against_teacher(engine, args.number),
        "spread": lambda: {"lively": spread(engine, voice, args.seeds)},
        "hard": lambda: {args.prosody: hard(engine, voice, args.hard, args.rendered, sampling, told)},
        "speed": lambda: speed(args.models, voice, Sampling()),
        "people": lambda: people(engine, args.voices, range(args.seeds)),
    }
    results: dict[str, Mapping[str, Figures]] = {}
    for part in args.parts:
        results[part] = parts[part]()
        print(table(f"{part}, {args.threads} thread(s)", results[part]), flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
