"""Sound files in and out, and the plain operations on sound between them.

Files are read and written with libsndfile (soundfile) and resampled with soxr: its
default quality keeps images some 120 dB down and the pass band flat to 95 % of Nyquist,
where torchaudio's default windowed sinc (6 zero crossings) gives up the top octave's
edge; and it needs no tensors, so this module works where torchaudio does not.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import mmap
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pyloudnorm
import soundfile
import soxr
import torch

from pipelines.types import InputError, Waveform

AI_GENERATED = "AI-generated speech"

MIN_SECONDS = 1.0
MAX_SECONDS = 600.0
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
MAX_VALUES = 150_000_000  # frames * channels of one file: 600 MB while it is decoded
SILENCE = 1e-4  # peak of a file that holds nothing but silence: -80 dBFS

_READABLE = "wav, flac, mp3, ogg, opus and aiff"
_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"}
_ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"ID3")
# A wav whose length was not known when its header was written (a stream) claims 2 GiB or more.
_UNKNOWN_LENGTH = 0x7F00_0000


# --- reading -----------------------------------------------------------------------------


def read(path: str | Path) -> Waveform:
    """The sound of a file as mono at the file's own rate.

    Channels are averaged, unless they cancel or dilute one another: then the loudest is taken.
    Float files that go beyond ±1 are scaled down, not cut. m4a and webm go through ffmpeg where
    the machine has it. Raises `InputError` for anything that is not 1 s to 10 min of sound.
    """
    path = Path(path)
    container = _container(path)
    if container is None:
        samples, rate = _decode(path)
    else:
        samples, rate = _decode_with_ffmpeg(path, container)
    _check_length(path, len(samples) / rate)
    mono = _mono(samples)
    if not np.isfinite(mono).all():
        raise InputError(
            f"{path.name} contains values that are not numbers (NaN, infinity); export it as 16-bit wav."
        )
    if np.abs(mono - mono.mean()).max() < SILENCE:
        raise InputError(f"{path.name} is silent from beginning to end; choose a clip with a voice in it.")
    peak = float(np.abs(mono).max())
    return Waveform(torch.from_numpy(mono / peak if peak > 1 else mono), rate)


def _container(path: Path) -> Literal["mov", "matroska"] | None:
    """The demuxer that libsndfile lacks for this file, None where libsndfile may try.

    Raises `InputError` where a glance is enough to tell that this is no sound file.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path.name} is a folder; choose a sound file in it.")
        with path.open("rb") as file:
            head = file.read(4096)
            if head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3":
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                    if re.search(rb"hdlr.{8}vide|V_(?:VP|AV1|MPEG|THEORA)", whole, re.DOTALL):
                        raise _video(path)
                return "mov" if head[4:8] == b"ftyp" else "matroska"
            _check_mp3(path, head, file)
    except FileNotFoundError:
        raise InputError(f"There is no file {path.name}; choose the clip again.") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be opened ({error.strerror}); choose another file.") from error
    if not head:
        raise InputError(f"{path.name} is empty (0 bytes); choose another file.")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        raise _video(path)
    if _is_text(head):
        raise InputError(f"{path.name} is a text file, not sound; choose a recording ({_READABLE}).")
    if path.suffix.lower() == ".raw":
        raise InputError(f"{path.name} holds raw samples without a header; save it as wav.")
    # What comes to libsndfile without a mark it knows is searched for mp3, with complaints on standard error.
    start = head.lstrip(b"\0")
    if not start.startswith(_MAGIC) and not (start[:1] == b"\xff" and start[1:2] >= b"\xe0"):
        raise _damaged(path)
    return None


def _check_mp3(path: Path, head: bytes, file: BinaryIO) -> None:
    """Refuses an mp3 shorter than its first frame says; libsndfile would complain on standard error."""
    tagged = head[:3] == b"ID3"
    if not (tagged or head[:1] == b"\xff"):
        return
    # An ID3 tag's length is in the last four bytes of its header, seven bits each.
    file.seek(10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10])) if tagged else 0)
    frame = file.read(64).ljust(64, b"\0")
    # The Xing header follows the frame's header and its side information, whose size the mode decides.
    for at in (13, 21, 36):
        if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 2:
            field = at + 8 + 4 * (frame[at + 7] & 1)
            promised, there = int.from_bytes(frame[field : field + 4], "big"), path.stat().st_size
            if there < 0.95 * promised:
                raise InputError(
                    f"{path.name} is cut off: {there / 1000:.0f} of {promised / 1000:.0f} kB are there; "
                    "copy or download it again."
                )


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path.name} cannot be read as sound: it is damaged, or of a kind other than {_READABLE}."
    )


def _video(path: Path) -> InputError:
    return InputError(f"{path.name} is a video; save its sound as wav, flac or mp3 and choose that file.")


def _is_text(head: bytes) -> bool:
    try:
        text = head[: len(head) - 4 if len(head) == 4096 else None].decode()
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Frames of `path` as (T, channels) float32, and the rate in Hz."""
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file)
            samples = file.read(dtype="float32", always_2d=True)
            promised, rate = file.frames, file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _damaged(path) from error
    # An mp3's or flac's header may promise frames that the file no longer holds; encoders round by some.
    if len(samples) < 0.95 * promised:
        raise _truncated(path, len(samples) / rate, promised / rate)
    return samples, rate


def _check_header(path: Path, file: soundfile.SoundFile) -> None:
    """Refuses by the header alone, before any sound is decoded."""
    if file.format not in _FORMATS:
        raise InputError(
            f"{path.name} is of a kind that is not read here ({file.format}); save it as wav or flac."
        )
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise InputError(
            f"{path.name} has {file.samplerate} samples a second; "
            f"{MIN_RATE} to {MAX_RATE} can be read: save it at 48000."
        )
    data = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if data and int(data[2]) < int(data[1]) < _UNKNOWN_LENGTH:
        seconds = file.frames / file.samplerate
        raise _truncated(path, seconds, seconds * int(data[1]) / max(int(data[2]), 1))
    _check_length(path, file.frames / file.samplerate)
    if file.frames * file.channels > MAX_VALUES:
        raise InputError(
            f"{path.name} has {file.channels} channels at {file.samplerate} Hz, too much to decode at once; "
            "save it as mono at 48000 Hz."
        )


def _check_length(path: Path, seconds: float) -> None:
    if seconds < MIN_SECONDS:
        raise InputError(f"{path.name} lasts {seconds:.2f} s; at least {MIN_SECONDS:g} s of sound is needed.")
    if seconds > MAX_SECONDS:
        raise InputError(
            f"{path.name} lasts more than {MAX_SECONDS / 60:.0f} minutes, the most that can be read; "
            "cut out the best half minute."
        )


def _truncated(path: Path, seconds: float, promised: float) -> InputError:
    return InputError(
        f"{path.name} is cut off: its header promises {promised:.1f} s and {seconds:.1f} s are there; "
        "copy or download it again."
    )


def _mono(samples: np.ndarray) -> np.ndarray:
    """(T, channels) -> (T,): the mean, or the loudest channel where that lost it (opposite phase, 5.1)."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean = samples.mean(axis=1, dtype=np.float32)
    powers = np.einsum("tc,tc->c", samples, samples)
    loudest = int(powers.argmax())
    if np.dot(mean, mean) < 0.2 * powers[loudest]:
        return np.ascontiguousarray(samples[:, loudest])
    return mean


def _decode_with_ffmpeg(path: Path, demuxer: str) -> tuple[np.ndarray, int]:
    """As `_decode`, for the containers libsndfile lacks. Mono at 48 kHz, no longer than may be read.

    ffmpeg gets one demuxer and one protocol: it cannot be talked into opening other files or addresses.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise InputError(
            f"{path.name} is of a kind (m4a, webm) that needs ffmpeg here; save it as wav, flac or mp3."
        )
    rate = 48_000
    source = ["-protocol_whitelist", "file", "-f", demuxer, "-i", f"file:{path.absolute()}"]
    sound = ["-vn", "-ac", "1", "-ar", str(rate), "-t", str(MAX_SECONDS + 1), "-f", "f32le", "pipe:1"]
    try:
        done = subprocess.run(
            [ffmpeg, "-v", "error", "-nostdin", *source, *sound],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise InputError(f"ffmpeg could not decode {path.name}; save it as wav, flac or mp3.") from error
    return np.frombuffer(bytearray(done.stdout), dtype="<f4").astype(np.float32).reshape(-1, 1), rate


# --- measuring ---------------------------------------------------------------------------


def peak_dbfs(waveform: Waveform) -> float:
    """The highest sample in dB below full scale; -inf for silence."""
    if waveform.samples.numel() == 0:
        return -math.inf
    peak = float(waveform.samples.abs().max())
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def loudness(waveform: Waveform) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4); -inf for silence.

    A clip shorter than BS.1770's 0.4 s block is measured as one block of its own length.
    """
    samples = waveform.samples.numpy().astype(np.float64)
    if not samples.any():
        return -math.inf
    # Both lengths are whole samples; pyloudnorm compares seconds and would stumble on a rounding.
    block = min(round(0.4 * waveform.sample_rate), len(samples)) / waveform.sample_rate
    meter = pyloudnorm.Meter(waveform.sample_rate, block_size=block)
    with np.errstate(divide="ignore", invalid="ignore"):
        lufs = float(meter.integrated_loudness(samples))
    return -math.inf if math.isnan(lufs) else lufs


def pcm16(waveform: Waveform) -> np.ndarray:
    """The samples as (T,) int16; read again they differ by at most half a step (at full scale, one)."""
    scaled = np.rint(waveform.samples.numpy().astype(np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def digest(waveform: Waveform) -> str:
    """sha256 of the samples as little-endian float32, in hex."""
    return hashlib.sha256(waveform.samples.numpy().astype("<f4").tobytes()).hexdigest()


# --- changing ----------------------------------------------------------------------------


def resample(waveform: Waveform, rate: int) -> Waveform:
    """The same sound at `rate` Hz; the very same object where the rate is right already."""
    if rate == waveform.sample_rate:
        return waveform
    samples = soxr.resample(waveform.samples.numpy(), waveform.sample_rate, rate, quality="HQ")
    return Waveform(torch.from_numpy(samples), rate)


def level(waveform: Waveform, lufs: float = -23.0, ceiling: float = -1.0) -> Waveform:
    """The sound at `lufs`, or as near as a peak of `ceiling` dBFS allows. Silence stays as it is."""
    now = loudness(waveform)
    if math.isinf(now):
        return waveform
    gain = min(lufs - now, ceiling - peak_dbfs(waveform))  # dB
    return Waveform(waveform.samples * 10 ** (gain / 20), waveform.sample_rate)


def trim(waveform: Waveform, start: float, end: float) -> Waveform:
    """From `start` to `end`, in seconds; what lies outside the sound is not there."""
    first = max(0, round(start * waveform.sample_rate))
    last = max(first, round(end * waveform.sample_rate))
    return Waveform(waveform.samples[first:last].clone(), waveform.sample_rate)


def fade(waveform: Waveform, into: float = 0.005, out: float = 0.005) -> Waveform:
    """Raised-cosine edges of `into` and `out` seconds, so that a cut does not click."""
    samples = waveform.samples.clone()
    n = len(samples)
    rising, falling = (min(n, round(seconds * waveform.sample_rate)) for seconds in (into, out))
    samples[:rising] *= _rise(rising)
    samples[n - falling :] *= _rise(falling).flip(0)
    return Waveform(samples, waveform.sample_rate)


def _rise(n: int) -> torch.Tensor:
    return 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(n, dtype=torch.float32) + 0.5) / max(n, 1))


def join(pieces: Sequence[Waveform]) -> Waveform:
    """One after another, sample to sample. Raises `ValueError` for none, or for two rates."""
    rates = {piece.sample_rate for piece in pieces}
    if len(rates) != 1:
        raise ValueError(f"pieces to join need one sample rate, these have {sorted(rates) or 'none'}")
    return Waveform(torch.cat([piece.samples for piece in pieces]), rates.pop())


# --- writing -----------------------------------------------------------------------------


def check_writable(path: Path) -> None:
    """Raises `InputError`, before minutes of work, where `write` could not save: the suffix or the folder."""
    _encoding(path)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: {path.parent} is no folder, or {path.name} is one.")


def _encoding(path: Path) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in _ENCODINGS:
        raise InputError(
            f"Sound is not saved as {suffix or 'a file without suffix'}; use {', '.join(_ENCODINGS)}."
        )
    return _ENCODINGS[suffix]


def write(
    path: str | Path, waveform: Waveform, comment: str | None = None, *, generated: bool = True
) -> None:
    """Save as wav or flac (16 bit), ogg (Vorbis) or mp3, as the suffix says.

    The file's metadata (RIFF INFO in a wav) says "AI-generated speech", then `comment`, of which an
    mp3 keeps Latin-1 alone; with `generated=False`, for a person's own recording, `comment` alone.
    The file is there whole or not at all. Raises `InputError` for another suffix, a full disk, a closed
    folder.
    """
    path = Path(path)
    notice = "; ".join(words for words in (AI_GENERATED if generated else None, comment) if words)
    data = _encode(waveform, _encoding(path), notice)
    unfinished = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"The disk is full: {path.name} needs {len(data) / 1e6:.1f} MB; make room and try again."
            ) from error
        raise InputError(
            f"{path.name} cannot be written to {path.absolute().parent} ({error.strerror}); use another one."
        ) from error


def _encode(waveform: Waveform, encoding: tuple[str, str], notice: str) -> bytes:
    container, subtype = encoding
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", waveform.sample_rate, 1, subtype, format=container) as file:
        if notice:
            file.comment = notice
            file.software = "Myna"
        samples = pcm16(waveform)
        # libsndfile's Vorbis encoder keeps what it is given on the stack: minutes at once overflow it.
        for start in range(0, len(samples), waveform.sample_rate):
            file.write(samples[start : start + waveform.sample_rate])
    return data.getvalue()
