"""Cloning: the point in the style space that sounds nearest to a reference.

A style is 256 numbers, 128 of timbre for the renderer and 128 of prosody for the speaker, and changes a
little with the length of the sentence. The basis holds the styles of 54 voices, each at a few lengths
(`knots`, in tokens). `listen` blends them; `refine.refine` descends from the blend.
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
from pipelines.layers import pitch
from pipelines.layers.mel import mel_filters, power_spectrogram
from pipelines.layers.speaker import SAMPLE_RATE, SpeakerEncoder, speech_only
from pipelines.types import InputError, Voice, Waveform

ASSETS = Path(__file__).parents[3] / "assets" / "small"
MIDDLE = slice(6, 9)  # the knots of common sentences, 30 to 93 tokens
TIMBRE = 128  # the first numbers of a style; the rest is prosody

LOWEST = 50.0  # Hz, of a voice
UNVOICED = 10.0  # Hz, up to which a curve says that there is no voice
ONSET, QUIETEST = 0.6, 0.2  # share of the median pitch, share of the frames: see `to_pitch`
STRETCH = (0.6, 1.6)  # how far a voice's range of pitch may be changed

BANDS = 40  # of the spectrum that voices are compared by
FLOOR = 1e-9  # of power in them
MIN_SPEECH = 1.0  # seconds
MIN_VOICED = 0.3  # seconds of sound with a pitch
PITCH_WEIGHT = 0.3  # an octave counts like this much of the embedding's length
SPECTRUM_WEIGHT = 0.02  # and a decibel in a band like this much
CONFIRMED = 0.07  # how sure the listener must be that a clip says its transcript
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
    return Traits(encoder.embed(speech).cpu(), pitch.statistics(f0, voiced), spectrum(speech, voiced))


def spectrum(samples: Tensor, voiced: Tensor) -> Tensor:
    """`decibels` of the voiced frames of sound: (T,) at 16 kHz, (frames,) → (80,)."""
    return decibels(power_spectrogram(samples, 512, pitch.HOP)[:, voiced])


def decibels(power: Tensor) -> Tensor:
    """Mean and deviation in dB of 40 mel bands, at equal loudness: (257, frames) at 16 kHz → (80,)."""
    return band_decibels(in_compared_bands(power))


def compared_bands() -> Tensor:
    """The filters (40, 257) of the spectrum that voices are compared by."""
    return mel_filters(SAMPLE_RATE, 512, BANDS, 50.0, 7600.0)


def in_compared_bands(power: Tensor) -> Tensor:
    """Power in these bands, above 0: (257, frames) at 16 kHz → (40, frames)."""
    return (compared_bands().to(power.device) @ power).clamp(min=FLOOR)


def band_decibels(bands: Tensor) -> Tensor:
    """Mean and deviation in dB of bands, at equal loudness: power (40, frames), above 0 → (80,)."""
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
