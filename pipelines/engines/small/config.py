"""Sizes of the embedded engine's networks; the values of Kokoro-82M v1.0 are the defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Widths in channels, kernels in frames, rates in Hz. Written to config.json beside the weights."""

    sample_rate: int = 24000
    symbols: int = 178
    max_tokens: int = 512  # with the two that enclose a sentence
    style: int = 128  # numbers of one half: timbre, prosody
    hidden: int = 512
    albert_embedding: int = 128
    albert_hidden: int = 768
    albert_heads: int = 12
    albert_layers: int = 12
    albert_ffn: int = 2048
    duration_layers: int = 3
    max_duration: int = 50  # frames of one phoneme
    text_layers: int = 3
    text_kernel: int = 5
    decoder_channels: int = 1024
    text_residual: int = 64
    generator_channels: int = 512
    upsample_rates: tuple[int, ...] = (10, 6)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    noise_kernels: tuple[int, ...] = (7, 11)
    harmonics: int = 9
    stft_size: int = 20
    stft_hop: int = 5

    @property
    def curve_hop(self) -> int:
        """Samples of one step of the pitch and energy curves."""
        hop = self.stft_hop
        for rate in self.upsample_rates:
            hop *= rate
        return hop

    @property
    def frame_rate(self) -> float:
        """Frames a second that durations count: two curve steps each."""
        return self.sample_rate / (2 * self.curve_hop)


@dataclass(frozen=True)
class Melody:
    """Sizes of the autoregressive prosody, whose weights come with Myna."""

    width: int = 256
    heads: int = 4
    hidden: int = 1024
    layers: int = 4
    codes: int = 1024
    elapsed: int = 32  # frames of a symbol that are told apart
    curves: int = 160  # channels of the decoder
    curve_blocks: int = 4
    curve_kernel: int = 7  # frames


TINY = Config(
    hidden=16,
    albert_embedding=8,
    albert_hidden=16,
    albert_heads=2,
    albert_layers=2,
    albert_ffn=16,
    max_duration=6,
    decoder_channels=16,
    text_residual=4,
    generator_channels=16,
    resblock_kernels=(3, 5),
    noise_kernels=(3, 3),
)
TINY_MELODY = Melody(width=16, heads=2, hidden=32, layers=2, codes=24, curves=8, curve_blocks=1)
