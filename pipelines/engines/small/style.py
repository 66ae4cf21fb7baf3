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
from pipelines.layers import pitch
from pipelines.layers.mel import mel_filters, power_spectrogram
from pipelines.layers.speaker import SAMPLE_RATE, SpeakerEncoder, speech_only
from pipelines.types import InputError, Voice, Waveform

ASSETS = Path(__file__).parents[3] / "assets" / "small"
TIMBRE = 128  # the first numbers of a style; the rest is prosody

BANDS = 40  # of the spectrum that voices are compared by
MIN_SPEECH = 1.0  # seconds
MIN_VOICED = 0.3  # seconds of sound with a pitch
PITCH_WEIGHT = 0.3  # an octave counts like this much of the embedding's length
SPECTRUM_WEIGHT = 0.02  # and a decibel in a band like this much
SUM_WEIGHT = 1.0  # how firmly the weights are held to the sum of one


@dataclass(frozen=True, eq=False)
class Basis:
    """V voices: `styles` (V, K, 256) at K lengths `knots` (K,) int64; what each sounds like.

    `embeddings` (V, 256) of length one; `pitch` (V, 2) and `spectrum` (V, 80) as in `Traits`.
    """

    knots: Tensor
    styles: Tensor
    embeddings: Tensor
    pitch: Tensor
    spectrum: Tensor

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


# -------------------------------------------------------------------------------------- listen


@dataclass(frozen=True, eq=False)
class Traits:
    """What is compared of two sounds: `embedding` (256,), `pitch` (2,), `spectrum` (80,).

    The spectrum is mean and deviation, in dB, of 40 mel bands over voiced frames, at equal loudness.
    """

    embedding: Tensor
    pitch: Tensor
    spectrum: Tensor


@torch.inference_mode()
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
    """Mean and deviation in dB of 40 mel bands over voiced frames: (T,) at 16 kHz, (frames,) → (80,)."""
    filters = mel_filters(SAMPLE_RATE, 512, BANDS, 50.0, 7600.0)
    bands = filters @ power_spectrogram(samples, 512, pitch.HOP)[:, voiced]
    loudness = bands.sum(0).clamp(min=1e-9).log10().mean()
    decibels = 10 * (bands.clamp(min=1e-9).log10() - loudness)
    return torch.cat([decibels.mean(1), decibels.std(1)])


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
    reference: Waveform, transcript: str | None, basis: Basis, encoder: SpeakerEncoder, engine: str = "small"
) -> Voice:
    """The quick clone: a blend of the basis. Raises `InputError` for a clip with too little voice.

    The voice's tensors: "style" (K, 256) at the lengths "knots" (K,); "pitch" (2,), mean and deviation of
    log2 F0 as `layers.pitch.statistics` measures them; "embedding" (256,) of the reference.
    """
    target = traits(reference, encoder)
    weights = blend(target, basis)
    tensors = {
        "style": torch.einsum("v,vkd->kd", weights, basis.styles),
        "knots": basis.knots.clone(),
        "pitch": target.pitch.clone(),
        "embedding": target.embedding.clone(),
    }
    facts = {"blend": f"{int((weights > 0.02).sum())} of {len(weights)} basis voices"}
    return Voice(engine, tensors, transcript, facts)
