"""Sizes of GPT-SoVITS's networks; the defaults are those of the official v2 files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar, get_type_hints

from pipelines.layers.hifigan import HifiganConfig
from pipelines.layers.hubert import HubertConfig

Config = TypeVar("Config")

TOKEN_RATE = 25.0  # semantic tokens a second, in every version
PHONES_V1, PHONES_V2 = 322, 732  # symbols of the decoder; the speaker of v1 has rows to spare
SPEAKER_ROWS_V1 = 512


@dataclass(frozen=True)
class SpeakerConfig:
    """The autoregressive model: phones and prompt tokens to semantic tokens."""

    symbols: int = PHONES_V2
    tokens: int = 1024  # the end of speech is one more
    features: int = 1024  # of BERT
    width: int = 512
    heads: int = 16
    hidden: int = 2048
    layers: int = 24


@dataclass(frozen=True)
class EncoderConfig:
    """What all decoders share: codebook, style encoder, and the encoder of tokens, phones and style."""

    symbols: int = PHONES_V2
    codes: int = 1024
    content: int = 768  # numbers of a code, and of a HuBERT frame
    content_stride: int = 2  # HuBERT frames of one token
    width: int = 192
    hidden: int = 768
    heads: int = 2
    kernel: int = 3
    window: int = 4  # frames either way that have a relative position
    layers: tuple[int, int, int] = (3, 6, 3)  # of tokens, of phones, of both together
    joint: int = 512  # channels where tokens look at phones
    joint_heads: int = 4
    bins: int = 704  # of the reference spectrogram that the style encoder sees
    style_hidden: int = 128
    style_heads: int = 2
    style_kernel: int = 5
    style: int = 512
    verifier: int = 0  # numbers of a speaker-verification embedding; 0: none is used


@dataclass(frozen=True)
class WaveNetConfig:
    """A stack of gated convolutions."""

    kernel: int = 5
    layers: int = 4


@dataclass(frozen=True)
class DecoderConfig:
    """v1, v2, v2Pro and v2ProPlus: a flow and a HiFi-GAN."""

    version: str = "v2"
    encoder: EncoderConfig = EncoderConfig()
    flows: int = 4
    flow: WaveNetConfig = WaveNetConfig()
    generator: HifiganConfig = HifiganConfig(192, style=512, final_bias=False)
    sample_rate: int = 32_000


@dataclass(frozen=True)
class EstimatorConfig:
    """The transformer that says where flow matching goes."""

    width: int = 1024
    heads: int = 16
    head_width: int = 64
    hidden: int = 2048
    layers: int = 22
    mels: int = 100
    features: int = 512
    feature_hidden: int = 1024
    feature_layers: int = 4
    time_waves: int = 256  # sines and cosines of a moment
    position_kernel: int = 31
    position_groups: int = 16


@dataclass(frozen=True)
class MatcherConfig:
    """v3 and v4: features, flow matching to a mel spectrogram, and a vocoder of their own."""

    version: str = "v3"
    encoder: EncoderConfig = EncoderConfig()
    features: int = 512
    wavenet: WaveNetConfig = WaveNetConfig(layers=8)
    estimator: EstimatorConfig = EstimatorConfig()

    @property
    def stretch(self) -> float:
        """Mel frames of one encoder frame (which last 20 ms)."""
        return {"v3": 1.875, "v4": 2.0}[self.version]


TINY_HUBERT = HubertConfig(
    channels=(8,) * 7, width=16, heads=2, hidden=32, layers=1, position_kernel=8, position_groups=2
)
TINY_SPEAKER = SpeakerConfig(tokens=32, width=16, heads=2, hidden=32, layers=2)
TINY_ENCODER = EncoderConfig(
    codes=32,
    content=16,
    width=16,
    hidden=32,
    layers=(1, 2, 1),
    joint=16,
    joint_heads=2,
    style_hidden=16,
    style=16,
)
TINY_DECODER = DecoderConfig(
    encoder=TINY_ENCODER,
    flows=2,
    flow=WaveNetConfig(5, 2),
    generator=HifiganConfig(16, width=32, style=16, final_bias=False),
)
TINY_MATCHER = MatcherConfig(
    version="v4",
    encoder=TINY_ENCODER,
    features=16,
    wavenet=WaveNetConfig(5, 2),
    estimator=EstimatorConfig(
        width=32,
        heads=2,
        head_width=16,
        hidden=32,
        layers=2,
        features=16,
        feature_hidden=32,
        feature_layers=1,
        position_groups=2,
    ),
)


def rebuild(kind: type[Config], values: Mapping[str, object]) -> Config:
    """A configuration from the JSON of its `dataclasses.asdict`. Raises `ValueError` where they disagree."""
    hints = get_type_hints(kind)
    if wrong := set(values) ^ {field.name for field in fields(kind)}:
        raise ValueError(f"A {kind.__name__} does not fit: {', '.join(sorted(wrong))}.")
    return kind(**{name: _rebuilt(hints[name], value) for name, value in values.items()})


def _rebuilt(hint: object, value: object) -> object:
    if is_dataclass(hint):
        return rebuild(hint, value)
    return _tuples(value)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
