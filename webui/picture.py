"""A take as pictures: the outline of its waveform, and its spectrogram as a PNG mask.

The spectrogram is a grey picture whose transparency is the loudness: the page lays its own colours
behind it, so that one file serves the light and the dark page.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLUMNS, ROWS = 720, 128  # at most, and exactly
N_FFT = 1024
TOP_HZ = 10_000.0  # speech has little above
RANGE_DB = 65.0  # below the loudest point; what is quieter is not drawn


def outline(samples: np.ndarray, bars: int = 120) -> list[float]:
    """Peaks of (T,) samples in `bars` equal stretches, each 0 to 1 of the loudest."""
    edges = np.linspace(0, len(samples), bars + 1).astype(int)
    peaks = [np.abs(samples[a:b]).max(initial=0.0) for a, b in zip(edges, edges[1:], strict=False)]
    loudest = max(max(peaks), 1e-9)
    return [round(float(peak / loudest), 3) for peak in peaks]


def spectrogram(samples: np.ndarray, sample_rate: int) -> bytes:
    """PNG of (T,) samples at `sample_rate` Hz: time to the right, the mel scale upwards, up to `top_hz`."""
    decibels = _mel_decibels(samples, sample_rate)
    alpha = np.clip(1 + (decibels - decibels.max()) / RANGE_DB, 0, 1) ** 1.3
    return _png((alpha[::-1] * 255).round().astype(np.uint8))


def mask(shares: np.ndarray) -> bytes:
    """PNG of (rows, columns) shares of the loudest, 0 to 1, lowest row first; they become opacity."""
    return _png((np.clip(shares, 0, 1)[::-1] * 255).round().astype(np.uint8))


def top_hz(sample_rate: int) -> float:
    """The highest frequency in the picture."""
    return min(TOP_HZ, sample_rate / 2)


def _mel_decibels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """(ROWS, columns) loudness in dB, rows equally spaced in mel (O'Shaughnessy 1987), lowest first."""
    hop = max(N_FFT // 4, -(-len(samples) // COLUMNS))
    padded = np.pad(samples.astype(np.float32), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT).astype(np.float32), axis=1)) ** 2  # (columns, bins)
    top = 2595 * np.log10(1 + top_hz(sample_rate) / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, ROWS) / 2595) - 1)
    bins = hertz * N_FFT / sample_rate
    low = np.minimum(bins.astype(int), power.shape[1] - 2)
    share = (bins - low).astype(np.float32)
    rows = power[:, low] * (1 - share) + power[:, low + 1] * share
    return 10 * np.log10(rows.T + 1e-12)


def _png(alpha: np.ndarray) -> bytes:
    """PNG of black whose opacity is (height, width) uint8 (colour type 4, 8 bit; RFC 2083)."""
    height, width = alpha.shape
    lines = np.zeros((height, 1 + 2 * width), np.uint8)  # a filter byte, then grey and alpha by turns
    lines[:, 2::2] = alpha
    header = struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
