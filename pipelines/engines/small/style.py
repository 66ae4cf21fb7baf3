"""Cloning: the point in the style space that sounds nearest to a reference.

A style is 256 numbers, 128 of timbre for the renderer and 128 of prosody for the speaker, and changes a
little with the length of the sentence. The basis holds the styles of 54 voices, each at a few lengths
(`knots`, in tokens). `listen` blends them; `refine` descends from the blend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from scipy.optimize import nnls
from torch import Tensor

from pipelines import audio
from pipelines.engines.small import listener, text
from pipelines.engines.small.listener import Listener
from pipelines.engines.small.model import Renderer, Speaker
from pipelines.layers import pitch
from pipelines.layers.mel import mel_filters, power_spectrogram
from pipelines.layers.speaker import SAMPLE_RATE, SpeakerEncoder, speech_only
from pipelines.types import Cancelled, InputError, Run, Voice, Waveform

ASSETS = Path(__file__).parents[3] / "assets" / "small"
MIDDLE = slice(6, 9)  # the knots of common sentences, 30 to 93 tokens
TIMBRE = 128  # the first numbers of a style; the rest is prosody

LOWEST = 50.0  # Hz, of a voice
UNVOICED = 10.0  # Hz, up to which a curve says that there is no voice
ONSET, QUIETEST = 0.6, 0.2  # share of the median pitch, share of the frames: see `to_pitch`
STRETCH = (0.6, 1.6)  # how far a voice's range of pitch may be changed

BANDS = 40  # of the spectrum that voices are compared by
MIN_SPEECH = 1.0  # seconds
MIN_VOICED = 0.3  # seconds of sound with a pitch
PITCH_WEIGHT = 0.3  # an octave counts like this much of the embedding's length
SPECTRUM_WEIGHT = 0.02  # and a decibel in a band like this much
CONFIRMED = 0.3  # how sure the listener must be that a clip says its transcript
SUM_WEIGHT = 1.0  # how firmly the weights are held to the sum of one


@dataclass(frozen=True, eq=False)
class Basis:
    """V voices: `styles` (V, K, 256) at K lengths `knots` (K,) int64; what each sounds like.

    `embeddings` (V, 256) of length one; `pitch` (V, 2) and `spectrum` (V, 80) as in `Traits`. The way back
    from sound to style, by regression: `centre_style` + (`features` - `centre`) @ `inverse`.
    """

    knots: Tensor
    styles: Tensor
    embeddings: Tensor
    pitch: Tensor
    spectrum: Tensor
    centre: Tensor
    centre_style: Tensor
    inverse: Tensor

    @classmethod
    def load(cls, path: Path = ASSETS / "basis.safetensors") -> Basis:
        """The basis that comes with Myna, in float32."""
        tensors = load_file(path)
        knots = tensors.pop("knots")
        return cls(knots=knots, **{name: tensor.float() for name, tensor in tensors.items()})

    def deviation(self) -> Tensor:
        """How far voices differ in each number of a style: (256,)."""
        return self.styles.mean(1).std(0)


def load_encoder(path: Path = ASSETS / "speaker.safetensors") -> SpeakerEncoder:
    """The speaker encoder that comes with Myna, in float32, for inference and for gradients through it."""
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return encoder.eval().requires_grad_(False)


def at(tensors: Mapping[str, Tensor], tokens: int) -> Tensor:
    """The style (256,) for a sentence of so many tokens, from a voice's "style" and "knots"."""
    knots, styles = tensors["knots"], tensors["style"]
    tokens = min(max(tokens, int(knots[0])), int(knots[-1]))
    above = min(max(int(torch.searchsorted(knots, tokens)), 1), len(knots) - 1)
    share = (tokens - knots[above - 1]) / (knots[above] - knots[above - 1])
    return torch.lerp(styles[above - 1].float(), styles[above].float(), share)


def to_pitch(curve: Tensor, energy: Tensor, target: Tensor | None) -> Tensor:
    """The pitch curve (N,) in Hz with the mean and the range of its log2 brought to `target` (2,).

    Differentiable. What a listener takes for the pitch are the loud middles of voiced stretches: without
    the onsets that rise from zero, and the quietest fifth, the curve's statistics are those that
    `layers.pitch` measures on its sound (mean -0.02 ± 0.02 octaves, deviation 0.99 ± 0.08 times).
    """
    if target is None or not bool(torch.isfinite(target).all()):
        return curve
    heard = curve > ONSET * curve[curve > LOWEST].median() if bool((curve > LOWEST).any()) else curve > LOWEST
    if int(heard.sum()) < 10:
        return curve
    heard = heard & (energy > energy[heard].quantile(QUIETEST))
    mean, deviation = pitch.statistics(curve, heard)
    stretch = (target[1] / deviation).clamp(*STRETCH)
    moved = ((curve.clamp(min=UNVOICED).log2() - mean) * stretch + target[0]).exp2()
    return torch.where(curve > UNVOICED, moved.clamp(min=UNVOICED + 1), curve)


# -------------------------------------------------------------------------------------- listen


@dataclass(frozen=True, eq=False)
class Traits:
    """What is compared of two sounds: `embedding` (256,), `pitch` (2,), `spectrum` (80,).

    The spectrum is mean and deviation, in dB, of 40 mel bands over voiced frames, at equal loudness.
    """

    embedding: Tensor
    pitch: Tensor
    spectrum: Tensor


@torch.no_grad()
def traits(waveform: Waveform, encoder: SpeakerEncoder) -> Traits:
    """What a sound is compared by. Raises `InputError` where there is too little voice in it."""
    samples = audio.resample(waveform, SAMPLE_RATE).samples
    speech = speech_only(samples)
    seconds = len(speech) / SAMPLE_RATE
    if seconds < MIN_SPEECH:
        raise InputError(
            f"The clip holds {seconds:.1f} s of speech; at least {MIN_SPEECH:.0f} s is needed: "
            "record a sentence or two, best 5 to 15 s."
        )
    f0, voiced = pitch.track(speech)
    if voiced.sum() * pitch.HOP / SAMPLE_RATE < MIN_VOICED:
        raise InputError("No voice was found in the clip: choose one where somebody speaks aloud.")
    return Traits(encoder.embed(speech), pitch.statistics(f0, voiced), spectrum(speech, voiced))


def spectrum(samples: Tensor, voiced: Tensor) -> Tensor:
    """`decibels` of the voiced frames of sound: (T,) at 16 kHz, (frames,) → (80,)."""
    return decibels(power_spectrogram(samples, 512, pitch.HOP)[:, voiced])


def decibels(power: Tensor) -> Tensor:
    """Mean and deviation in dB of 40 mel bands, at equal loudness: (257, frames) at 16 kHz → (80,)."""
    bands = (mel_filters(SAMPLE_RATE, 512, BANDS, 50.0, 7600.0) @ power).clamp(min=1e-9)
    loudness = bands.sum(0).log10().mean()
    levels = 10 * (bands.log10() - loudness)
    return torch.cat([levels.mean(1), levels.std(1, correction=0)])


def features(heard: Traits) -> Tensor:
    """Traits as one vector (338,), each kind weighed by how far voices differ in it."""
    pitch_mean, pitch_deviation = heard.pitch
    moved = torch.stack([2 * (pitch_mean - 7.3), 3 * (pitch_deviation - 0.27)])
    return torch.cat([8 * heard.embedding, moved, heard.spectrum / 10])


def middle(styles: Tensor) -> Tensor:
    """The style of a sentence of common length: (..., K, 256) → (..., 256)."""
    return styles[..., MIDDLE, :].mean(-2)


def regressed(target: Traits, basis: Basis) -> Tensor:
    """The style (256,) that a regression over rendered voices expects of such a sound."""
    return basis.centre_style + (features(target) - basis.centre) @ basis.inverse


def blend(target: Traits, basis: Basis) -> Tensor:
    """Weights (V,), none negative, summing to one, whose mix of basis voices comes nearest to the target.

    Non-negative least squares over the embeddings (Lawson and Hanson, 1974), with mean pitch, mean spectrum
    and the sum of the weights as further rows.
    """
    rows = torch.cat(
        [
            basis.embeddings,
            PITCH_WEIGHT * basis.pitch[:, :1],
            SPECTRUM_WEIGHT * basis.spectrum[:, :BANDS],
            torch.full((len(basis.pitch), 1), SUM_WEIGHT),
        ],
        dim=1,
    )
    wanted = torch.cat(
        [
            target.embedding,
            PITCH_WEIGHT * target.pitch[:1],
            SPECTRUM_WEIGHT * target.spectrum[:BANDS],
            torch.tensor([SUM_WEIGHT]),
        ]
    )
    weights, _ = nnls(rows.T.double().numpy(), wanted.double().numpy())
    weights = torch.from_numpy(weights).float()
    return weights / weights.sum()


def listen(
    reference: Waveform,
    transcript: str | None,
    basis: Basis,
    encoder: SpeakerEncoder,
    ears: Listener | None = None,
    engine: str = "small",
) -> Voice:
    """The quick clone: a blend of the basis, corrected by regression.

    Raises `InputError` for a clip with too little voice.

    The voice's tensors: "style" (K, 256) at the lengths "knots" (K,); "pitch" (2,), mean and deviation of
    log2 F0 as `layers.pitch.statistics` measures them; "embedding" (256,) of the reference; and, where the
    listener `ears` finds the transcript in the clip, those of `listener.prompt`.
    """
    target = traits(reference, encoder)
    weights = blend(target, basis)
    blended = torch.einsum("v,vkd->kd", weights, basis.styles)
    tensors = {
        "style": blended + regressed(target, basis) - middle(blended),
        "knots": basis.knots.clone(),
        "pitch": target.pitch.clone(),
        "embedding": target.embedding.clone(),
    }
    facts = {"blend": f"{int((weights > 0.02).sum())} of {len(weights)} basis voices"}
    if ears is not None and transcript and transcript.strip():
        found, words = beginning(reference, transcript, ears)
        tensors |= found
        facts["transcript"] = words
    return Voice(engine, tensors, transcript, facts)


def beginning(reference: Waveform, transcript: str, ears: Listener) -> tuple[dict[str, Tensor], str]:
    """What `listener.prompt` gives of a clip whose words are known, and in words what came of it.

    Nothing where the words cannot be read, or are not found in the clip.
    """
    try:
        heard = listener.hear(reference, ears, text.read(transcript).ids)
    except ValueError as error:  # an `InputError` too: no reason not to clone the voice
        return {}, f"not used: {error}"
    if heard.sure < CONFIRMED:
        return {}, "not used: the clip seems to say something else"
    return listener.prompt(reference, heard), "found in the clip"


# -------------------------------------------------------------------------------------- refine


@dataclass(frozen=True)
class Descent:
    """How `refine` goes about it."""

    steps: int = 30
    crop: int = 100  # curve frames rendered a step, 1.25 s
    blend_rate: float = 0.006  # of Adam, on the weights of the basis
    free_rate: float = 0.06  # and on each number of the style, in the voices' deviation
    spectrum: float = 0.1  # weight of a decibel between the spectra
    penalty: float = 0.02  # on the square of what is not a blend
    kept: float = 0.8  # of the running averages, a step
    plateau: int = 8  # steps without a better average after which it ends
    seed: int = 0


SENTENCES = (
    "We were away a year ago, and nobody knows why the moon rose slowly.",
    "Please call Stella, and ask her to bring these things from the store.",
    "When the sunlight strikes raindrops in the air, they form a rainbow.",
)


def refine(
    voice: Voice,
    reference: Waveform,
    speaker: Speaker,
    renderer: Renderer,
    basis: Basis,
    encoder: SpeakerEncoder,
    run: Run,
    how: Descent = Descent(),  # noqa: B008 (frozen)
) -> Voice:
    """A voice nearer to the reference, by gradient descent on its style.

    Each step says one of three sentences, renders a crop of it and compares speaker embedding and spectrum.
    The result is the running average of the steps at its best. On Stop it is the best so far, and the voice
    itself before the first step. `run.progress` counts steps. Raises `InputError` as `listen` does.
    """
    target = traits(reference, encoder)
    search = _Search(voice, target, speaker, renderer, basis, encoder, how)
    try:
        search.prepare(run)
        for number in range(how.steps):
            run.progress("refine", number, how.steps)
            run.check()
            search.step(number, run)
            if number + 1 - search.best_step > how.plateau:
                break
    except Cancelled:
        pass
    run.progress("refine", how.steps, how.steps)
    if search.best_step == 0:
        return voice
    tensors = dict(voice.tensors) | {"style": voice.tensors["style"] + search.best}
    facts = dict(voice.facts) | {"refined": f"{search.best_step} of {len(search.losses)} steps"}
    return Voice(voice.engine, tensors, voice.transcript, facts)


@dataclass(frozen=True, eq=False)
class _Line:
    """A sentence that refining says again and again: what of it does not depend on the style."""

    ids: Tensor  # (1, L)
    phones: Tensor  # (1, L, C)
    frames: Tensor  # (L,), as the quick voice says it

    @property
    def tokens(self) -> int:
        return self.ids.shape[1] - 2


class _Search:
    """Refining as a function to be made small: its variables, its loss, and their running averages."""

    def __init__(
        self,
        voice: Voice,
        target: Traits,
        speaker: Speaker,
        renderer: Renderer,
        basis: Basis,
        encoder: SpeakerEncoder,
        how: Descent,
    ) -> None:
        self.voice, self.target, self.how = voice, target, how
        self.speaker, self.renderer, self.encoder = speaker, renderer, encoder
        middles = middle(basis.styles)
        self.deviation = middles.std(0)
        self.directions = middles - middles.mean(0)
        self.weights = torch.zeros(2, len(middles), requires_grad=True)  # timbre, prosody
        self.free = torch.zeros_like(self.deviation, requires_grad=True)
        self.adam = torch.optim.Adam(
            [{"params": [self.weights], "lr": how.blend_rate}, {"params": [self.free], "lr": how.free_rate}],
            betas=(0.8, 0.99),
        )
        self.random = torch.Generator().manual_seed(how.seed)
        self.lines: list[_Line] = []
        self.mean = self.best = torch.zeros_like(self.deviation)
        self.mean_loss, self.best_loss, self.best_step = 0.0, float("inf"), 0
        self.losses: list[float] = []

    def prepare(self, run: Run) -> None:
        """Read the sentences, and say them as far as the style is not asked. Raises `Cancelled`."""
        self.lines = [self._line(sentence, run) for sentence in SENTENCES]

    @torch.no_grad()
    def _line(self, sentence: str, run: Run) -> _Line:
        run.check()
        ids = text.read(sentence).ids[None]
        phones = self.speaker.phones(ids, run.check)
        prosody = at(self.voice.tensors, ids.shape[1] - 2)[None, TIMBRE:]
        features = self.speaker.features(phones, prosody)
        frames = self.speaker.durations(features)[0].round().long().clamp(min=1)
        return _Line(ids, phones, frames)

    def moved(self) -> Tensor:
        """How far the style has gone from its start: (256,)."""
        timbre, prosody = self.weights @ self.directions
        return torch.cat([timbre[:TIMBRE], prosody[TIMBRE:]]) + self.free * self.deviation

    def step(self, number: int, run: Run) -> None:
        """One step of Adam, and the averages after it. Raises `Cancelled`."""
        loss = self.loss(self.lines[number % len(self.lines)], run)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([self.weights, self.free], 5.0)
        self.adam.step()
        run.check()
        self.losses.append(float(loss.detach()))
        kept = self.how.kept
        self.mean = torch.lerp(self.moved().detach(), self.mean, kept)
        self.mean_loss = kept * self.mean_loss + (1 - kept) * self.losses[-1]
        whole = 1 - kept ** (number + 1)  # the averages began at zero
        if self.mean_loss / whole < self.best_loss:
            self.best_loss, self.best_step = self.mean_loss / whole, number + 1
            self.best = self.mean / whole

    def loss(self, line: _Line, run: Run) -> Tensor:
        style = (at(self.voice.tensors, line.tokens) + self.moved())[None]
        curve, energy = self.curves(line, style[:, TIMBRE:])
        samples, start, stop = self.crop(line, curve, energy, style[:, :TIMBRE], run)
        embedding, decibels = self.heard(samples, curve[0, start:stop].detach() > UNVOICED)
        alike = embedding @ self.target.embedding
        far = (decibels - self.target.spectrum).abs().unflatten(0, (2, BANDS)).mean(1)  # mean, deviation
        return (
            4 * (1 - alike)
            + self.how.spectrum * (far[0] + 0.5 * far[1])
            + self.how.penalty * self.free.square().mean()
        )

    def curves(self, line: _Line, prosody: Tensor) -> tuple[Tensor, Tensor]:
        curve, energy = self.speaker.curves(self.speaker.features(line.phones, prosody), line.frames, prosody)
        return to_pitch(curve[0], energy[0], self.voice.tensors.get("pitch"))[None], energy

    def crop(
        self, line: _Line, curve: Tensor, energy: Tensor, timbre: Tensor, run: Run
    ) -> tuple[Tensor, int, int]:
        """Samples of a random stretch of the sentence, and where it lies in curve frames."""
        length = min(self.how.crop, curve.shape[1])
        start = int(torch.randint(curve.shape[1] - length + 1, (1,), generator=self.random))
        front = self.renderer.front(line.ids, line.frames, curve, energy, timbre)
        # A gradient through hundreds of turns of phase would only be noise.
        source = self.renderer.source(curve.detach())
        samples = self.renderer.samples(
            front, source, timbre, watch=run.check, start=start, stop=start + length
        )
        return samples[0], start, start + length

    def heard(self, samples: Tensor, voiced: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (256,), spectrum (80,) of 24 kHz sound (T,), as in `traits`; `voiced` is (T / 300,).

        Frames of 25 ms at 24 kHz have the bins of those at 16 kHz and more above: nothing need be resampled.
        """
        level = 0.1 / samples.detach().square().mean().sqrt().clamp(min=1e-4)
        spectra = [
            (level * 2 / 3) ** 2 * power_spectrogram(samples, size * 3 // 2, 240)[: size // 2 + 1]
            for size in (400, 512)
        ]
        embedding = self.encoder((self.encoder.filters @ spectra[0]).T[None])[0]
        frames = torch.arange(spectra[1].shape[1]) * 240 // 300
        return embedding, decibels(spectra[1][:, voiced[frames.clamp(max=len(voiced) - 1)]])
