"""Sound goes in and out unharmed, and what is no sound is refused in one sentence."""

from __future__ import annotations

import errno
import math
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipelines import audio
from pipelines.types import InputError, Waveform

RATE = 24_000


def _tone(seconds: float = 2.0, rate: int = RATE, hertz: float = 440.0, peak: float = 0.5) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def _waveform(samples: np.ndarray, rate: int = RATE) -> Waveform:
    return Waveform(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), rate)


def _refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        audio.read(path)
    words = str(refused.value)
    assert "\n" not in words and words.endswith(".") and path.name in words
    return words


# --- reading -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_rate_and_depth_is_read_as_it_sounds(tmp_path: Path, rate: int, subtype: str) -> None:
    tone = _tone(1.5, rate)
    soundfile.write(tmp_path / "clip.wav", tone, rate, subtype)
    read = audio.read(tmp_path / "clip.wav")
    assert (
        read.sample_rate == rate and read.samples.dtype == torch.float32 and read.samples.shape == tone.shape
    )
    assert np.abs(read.samples.numpy() - tone).max() <= (1 / 128 if subtype == "PCM_U8" else 1 / 32768)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.opus", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
        ("a.aiff", "PCM_16"),
    ],
)
def test_every_kind_is_read_as_it_sounds(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / name
    kind = {".opus": "OGG", ".aiff": "AIFF"}.get(path.suffix, path.suffix[1:].upper())
    soundfile.write(path, _tone(3.0), RATE, subtype, format=kind)
    read = audio.read(path)
    spectrum = np.abs(np.fft.rfft(read.samples[:RATE].numpy()))
    assert spectrum.argmax() * read.sample_rate / RATE == pytest.approx(440, abs=1)
    assert audio.loudness(read) == pytest.approx(audio.loudness(_waveform(_tone(3.0))), abs=0.3)


def test_a_kind_is_told_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.flac", _tone(), RATE)
    (tmp_path / "clip.flac").rename(tmp_path / "Größe 声音 ;&.wav")
    assert audio.read(tmp_path / "Größe 声音 ;&.wav").seconds == 2.0


@pytest.mark.parametrize("channels", [1, 2, 6, 16])
def test_equal_channels_become_the_one_they_are(tmp_path: Path, channels: int) -> None:
    soundfile.write(tmp_path / "clip.wav", np.tile(_tone()[:, None], channels), RATE, "FLOAT")
    assert np.allclose(audio.read(tmp_path / "clip.wav").samples, _tone(), atol=1e-6)


def test_channels_of_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", np.stack([_tone(), -_tone()], axis=1), RATE, "FLOAT")
    assert audio.peak_dbfs(audio.read(tmp_path / "clip.wav")) == pytest.approx(-6.02, abs=0.01)


def test_a_voice_in_one_of_six_channels_keeps_its_level(tmp_path: Path) -> None:
    channels = np.zeros((2 * RATE, 6), np.float32)
    channels[:, 2] = _tone()
    soundfile.write(tmp_path / "clip.wav", channels, RATE, "FLOAT")
    assert np.allclose(audio.read(tmp_path / "clip.wav").samples, _tone(), atol=1e-6)


@pytest.mark.parametrize("peak", [1.5, 40_000.0])
def test_floats_beyond_full_scale_are_scaled_not_cut(tmp_path: Path, peak: float) -> None:
    soundfile.write(tmp_path / "clip.wav", _tone(peak=peak), RATE, "FLOAT")
    assert np.allclose(audio.read(tmp_path / "clip.wav").samples, _tone(peak=1.0), atol=1e-4)


def test_a_streamed_wav_without_length_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", _tone(), RATE)
    data = bytearray((tmp_path / "clip.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "clip.wav").write_bytes(data)
    assert audio.read(tmp_path / "clip.wav").seconds == 2.0


def _wav_header(size: int, rate: int = RATE, channels: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    return (
        b"RIFF"
        + struct.pack("<I", size + 36)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
    )


def test_what_is_no_sound_is_refused_by_what_it_is(tmp_path: Path) -> None:
    files = {
        "notes.wav": (b"Dear diary, this is no sound.\n" * 50, "text file"),
        "chinese.wav": ("这不是声音。".encode() * 900, "text file"),
        "empty.wav": (b"", "empty"),
        "noise.wav": (np.random.default_rng(0).bytes(50_000), "cannot be read as sound"),
        "noise.mp3": (np.random.default_rng(1).bytes(50_000), "cannot be read as sound"),
        "picture.wav": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "cannot be read as sound"),
        "samples.raw": (np.random.default_rng(2).bytes(50_000), "without a header"),
        "film.wav": (b"RIFF\0\0\1\0AVI LIST" + bytes(5_000), "video"),
        "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(99) + b"hdlr" + bytes(8) + b"vide" + bytes(99), "video"),
        "film.webm": (b"\x1aE\xdf\xa3" + bytes(60) + b"V_VP9" + bytes(60), "video"),
        "tiny.mp3": (b"\xff\xfb\x90\xc4" + bytes(9) + b"Xing", "cannot be read as sound"),
        "header.wav": (_wav_header(96_000), "cut off"),
        "slow.wav": (_wav_header(8_000, 2_000) + bytes(8_000), "2000 samples a second"),
    }
    for name, (data, words) in files.items():
        (tmp_path / name).write_bytes(data)
        assert words in _refusal(tmp_path / name), name


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "folder" in _refusal(tmp_path)
    assert "no file" in _refusal(tmp_path / "gone.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_cut_off_file_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(6 * RATE)
    soundfile.write(tmp_path / f"clip.{suffix}", noise, RATE)
    data = (tmp_path / f"clip.{suffix}").read_bytes()
    (tmp_path / f"clip.{suffix}").write_bytes(data[: len(data) // 2])
    assert "cut off" in (words := _refusal(tmp_path / f"clip.{suffix}")) or "damaged" in words


def test_refusing_says_nothing_beside_the_refusal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    soundfile.write(tmp_path / "whole.mp3", 0.1 * noise.standard_normal(6 * RATE), RATE)
    data = (tmp_path / "whole.mp3").read_bytes()
    tag = b"ID3\3\0\0\0\0\x27\x10" + bytes(39 * 128 + 16)
    for name, broken in {"a": data[:9_000], "b": tag + data[:9_000], "c": noise.bytes(9_000)}.items():
        (tmp_path / f"{name}.mp3").write_bytes(broken)
        _refusal(tmp_path / f"{name}.mp3")
    (tmp_path / "tagged.mp3").write_bytes(tag + data)
    assert audio.read(tmp_path / "tagged.mp3").seconds == pytest.approx(6, abs=0.1)
    assert capfd.readouterr() == ("", "")


def test_too_short_is_refused_with_the_limit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", _tone(0.7), RATE)
    words = _refusal(tmp_path / "clip.wav")
    assert "0.70 s" in words and "at least 1 s" in words


def test_hours_are_refused_by_the_header_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "clip.flac", np.zeros(8_000 * 700, np.int16), 8_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    assert "more than 10 minutes" in _refusal(tmp_path / "clip.flac")


def test_too_many_channels_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "clip.flac", np.zeros((48_000 * 420, 8), np.int16), 48_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    assert "8 channels" in _refusal(tmp_path / "clip.flac")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = _tone().astype(np.float64)
    samples[100] = value
    soundfile.write(tmp_path / "clip.wav", samples, RATE, "DOUBLE")
    assert "not numbers" in _refusal(tmp_path / "clip.wav")


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_silence_is_refused(tmp_path: Path, offset: float) -> None:
    soundfile.write(tmp_path / "clip.wav", np.full(2 * RATE, offset), RATE)
    assert "silent" in _refusal(tmp_path / "clip.wav")


# --- m4a, through the machine's ffmpeg ---------------------------------------------------

M4A = b"\0\0\0\x18ftypM4A " + bytes(200)


def _ffmpeg(folder: Path, body: str) -> None:
    """A stand-in that notes its arguments."""
    script = folder / "ffmpeg"
    note = f"import sys\nopen({str(folder / 'args')!r}, 'w').write('\\n'.join(sys.argv[1:]))"
    script.write_text(f"#!{sys.executable}\n{note}\n{body}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def m4a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An m4a file, on a machine whose PATH holds `tmp_path / "bin"` alone."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "-i clip.m4a").write_bytes(M4A)
    return tmp_path / "-i clip.m4a"


def test_m4a_without_ffmpeg_is_refused_with_the_way_out(m4a: Path) -> None:
    words = _refusal(m4a)
    assert "ffmpeg" in words and "wav" in words


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for ffmpeg is a Unix script")
def test_m4a_is_decoded_by_ffmpeg_from_one_file_alone(m4a: Path) -> None:
    folder = m4a.parent / "bin"
    _ffmpeg(
        folder, "import array\nsys.stdout.buffer.write(array.array('f', [0.25, -0.25] * 48000).tobytes())\n"
    )
    read = audio.read(m4a)
    assert (read.seconds, read.sample_rate, audio.peak_dbfs(read)) == (
        2.0,
        48_000,
        pytest.approx(-12.04, abs=0.01),
    )
    args = (folder / "args").read_text().split("\n")
    assert args[args.index("-protocol_whitelist") + 1] == "file"
    assert args[args.index("-i") + 1] == f"file:{m4a}"
    assert float(args[args.index("-t") + 1]) == audio.MAX_SECONDS + 1


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for ffmpeg is a Unix script")
def test_m4a_that_ffmpeg_cannot_decode_is_refused(m4a: Path) -> None:
    _ffmpeg(m4a.parent / "bin", "sys.exit(1)\n")
    assert "could not decode" in _refusal(m4a)


# --- measuring and changing --------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_a_resampled_tone_keeps_frequency_and_level(rate: int) -> None:
    tone = audio.resample(_waveform(_tone(hertz=1_000)), rate)
    assert tone.sample_rate == rate and len(tone.samples) == 2 * rate and tone.samples.dtype == torch.float32
    middle = tone.samples[rate // 2 : rate // 2 + rate].numpy()
    spectrum = np.abs(np.fft.rfft(middle)) / (rate / 2)
    assert spectrum.argmax() == 1_000
    assert spectrum.max() == pytest.approx(0.5, rel=1e-3)
    assert np.delete(spectrum, slice(995, 1_006)).max() < 1e-4  # no image, no alias


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    gone = audio.resample(_waveform(_tone(hertz=9_000)), 16_000)
    assert gone.samples[1_000:-1_000].abs().max() < 1e-4


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    tone = _waveform(_tone())
    assert audio.resample(tone, RATE) is tone


def test_loudness_is_that_of_the_standard() -> None:
    # EBU Tech 3341, case 1: 1 kHz at -23 dBFS in both of two channels is -23 LUFS; one channel has 3 dB less.
    tone = _waveform(_tone(20, 48_000, 1_000, 10 ** (-23 / 20)), 48_000)
    assert audio.loudness(tone) == pytest.approx(-26.0, abs=0.1)


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.3999, 0.4])
def test_a_short_clip_has_the_loudness_of_a_long_one(seconds: float) -> None:
    long = audio.loudness(_waveform(_tone(3.0)))
    assert audio.loudness(_waveform(_tone(seconds))) == pytest.approx(long, abs=1.5)


def test_silence_has_no_loudness_and_no_peak() -> None:
    silence = _waveform(np.zeros(RATE))
    assert audio.loudness(silence) == audio.peak_dbfs(silence) == -math.inf
    assert audio.level(silence) is silence
    assert audio.peak_dbfs(_waveform(np.zeros(0))) == audio.loudness(_waveform(np.zeros(0))) == -math.inf


def test_level_reaches_the_loudness_or_stops_at_the_ceiling() -> None:
    tone = _waveform(_tone(peak=0.01))
    assert audio.loudness(audio.level(tone, -20, -1)) == pytest.approx(-20, abs=0.01)
    assert audio.peak_dbfs(audio.level(tone, 0, -1)) == pytest.approx(-1, abs=0.01)


def test_parts_joined_are_the_whole() -> None:
    tone = _waveform(_tone())
    parts = [audio.trim(tone, 0, 0.7), audio.trim(tone, 0.7, 1.1), audio.trim(tone, 1.1, 99)]
    assert audio.digest(audio.join(parts)) == audio.digest(tone)


def test_joining_two_rates_or_nothing_is_the_programmers_error() -> None:
    for pieces in ([_waveform(_tone()), _waveform(_tone(), 16_000)], []):
        with pytest.raises(ValueError, match="one sample rate"):
            audio.join(pieces)


def test_a_fade_changes_the_edges_alone() -> None:
    ones = _waveform(np.ones(RATE))
    faded = audio.fade(ones, 0.1, 0.2).samples
    assert faded[0] < 1e-3 and faded[-1] < 1e-3
    assert (faded[round(0.1 * RATE) : -round(0.2 * RATE)] == 1).all()
    assert (ones.samples == 1).all()
    assert (audio.fade(ones, 0, 0).samples == 1).all()
    assert audio.fade(_waveform(np.ones(10)), 1, 1).samples.shape == (10,)


def test_the_digest_is_of_little_endian_float32() -> None:
    assert audio.digest(_waveform(np.array([0.0, 1.0, -0.5]))) == (
        "dbde3f595c2501dfce3d0c8a02ec2baaeac2c2a514757d9660d1948dc072c540"
    )


# --- writing -----------------------------------------------------------------------------


def test_there_and_back_loses_nothing_beyond_16_bits(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 2 * RATE).astype(np.float32)
    samples[:2] = -1, 1
    for name in ("clip.wav", "clip.flac"):
        audio.write(tmp_path / name, _waveform(samples))
        once = audio.read(tmp_path / name)
        assert np.abs(once.samples.numpy() - samples).max() <= 1 / 32768
        audio.write(tmp_path / name, once)
        assert audio.digest(audio.read(tmp_path / name)) == audio.digest(once)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_file_says_that_it_is_generated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"take.{suffix}"
    comment = "seed 7" if suffix == "mp3" else "seed 7, 声音"  # libsndfile writes an mp3's tag in Latin-1
    audio.write(path, _waveform(_tone()), comment)
    with soundfile.SoundFile(path) as file:
        assert file.comment == f"AI-generated speech; {comment}"
    assert b"AI-generated speech" in path.read_bytes()
    if suffix == "wav":
        head = path.read_bytes()[:200]
        assert b"INFOICMT" in head and soundfile.info(path).subtype == "PCM_16"


def test_a_persons_own_recording_is_not_called_generated(tmp_path: Path) -> None:
    audio.write(tmp_path / "clip.wav", _waveform(_tone()), generated=False)
    assert b"AI-generated" not in (tmp_path / "clip.wav").read_bytes()


def test_minutes_of_vorbis_are_written_whole(tmp_path: Path) -> None:
    audio.write(tmp_path / "take.ogg", _waveform(_tone(180)))
    assert audio.read(tmp_path / "take.ogg").seconds == pytest.approx(180, abs=0.1)


def test_samples_beyond_full_scale_do_not_wrap() -> None:
    assert audio.pcm16(_waveform(np.array([2.0, -2.0, 0.0]))).tolist() == [32767, -32768, 0]


def test_writing_replaces_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(b"old")
    audio.write(tmp_path / "take.wav", _waveform(_tone()))
    assert [path.name for path in tmp_path.iterdir()] == ["take.wav"]
    assert audio.read(tmp_path / "take.wav").seconds == 2.0


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "take.wav").write_bytes(b"old")

    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:1_000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(InputError, match=r"disk is full: take\.wav needs 0\.1 MB"):
        audio.write(tmp_path / "take.wav", _waveform(_tone()))
    assert [path.name for path in tmp_path.iterdir()] == ["take.wav"]
    assert (tmp_path / "take.wav").read_bytes() == b"old"


def test_a_missing_folder_and_a_strange_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        audio.write(tmp_path / "gone" / "take.wav", _waveform(_tone()))
    with pytest.raises(InputError, match=r"not saved as \.exe"):
        audio.write(tmp_path / "take.exe", _waveform(_tone()))
    for path in (tmp_path / "gone" / "take.wav", tmp_path / "take.exe", tmp_path):
        with pytest.raises(InputError):
            audio.check_writable(path)
    audio.check_writable(tmp_path / "take.wav")
    assert list(tmp_path.iterdir()) == []


# --- torchaudio in both worlds -----------------------------------------------------------

_BROKEN = """
import torch
def broken(path):
    raise OSError(f"Could not load this library: {path}: libc10_cuda.so")
torch.ops.load_library = broken
"""

# The operators that torchaudio's Python looks up when its extension has been loaded.
_WORKING = """
import torch
torch.ops.load_library = lambda path: None
check = torch.library.Library("_torchaudio", "DEF")
for schema, value in (("cuda_version() -> int?", None), ("is_align_available() -> bool", False)):
    check.define(schema)
    check.impl(schema.split("(")[0], lambda value=value: value, "CompositeExplicitAutograd")
filters = torch.library.Library("torchaudio", "DEF")
filters.define("_lfilter_core_loop(Tensor a, Tensor b, Tensor(c!) c) -> ()")
filters.define("_overdrive_core_loop(Tensor a, Tensor b, Tensor c, Tensor d, Tensor e) -> ()")
"""

_USE = """
import sys
from pipelines import safe_torchaudio as safe
import torchaudio
assert torchaudio is safe.torchaudio
sound = torch.sin(torch.arange(24000) * 0.1)[None]
assert safe.functional.resample(sound, 24000, 16000).shape == (1, 16000)
assert safe.kaldi.fbank(sound, num_mel_bins=40).shape[1] == 40
assert safe.transforms.MelSpectrogram(16000, n_mels=40)(sound).shape[1] == 40
assert callable(safe.models.hubert_base)
halves = [name for name, module in sys.modules.items() if name.startswith("torchaudio.") and module is None]
assert not halves, halves
print(safe.HAS_EXTENSION, "torchaudio._extension.utils" in sys.modules)
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)


def test_torchaudio_works_where_its_extension_cannot_load() -> None:
    done = _python(_BROKEN + _USE)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_torchaudio_works_where_its_extension_loads() -> None:
    done = _python(_WORKING + _USE)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_torchaudio_works_in_the_world_of_this_machine() -> None:
    from pipelines import safe_torchaudio

    tone = torch.from_numpy(_tone())
    ours = audio.resample(_waveform(_tone()), 16_000).samples
    assert torch.allclose(
        safe_torchaudio.functional.resample(tone, RATE, 16_000)[500:-500], ours[500:-500], atol=1e-2
    )


def test_without_its_extension_torchaudio_says_what_is_missing() -> None:
    call = "safe.functional.forced_align(torch.zeros(1, 9, 3), torch.ones(1, 2, dtype=torch.int32))\n"
    done = _python(_BROKEN + _USE + call)
    assert "RuntimeError: forced_align needs torchaudio's compiled extension" in done.stderr


def test_another_error_of_torchaudio_is_not_hidden() -> None:
    code = (
        "import sys, types\nsys.modules['torchaudio.functional'] = None\nimport pipelines.safe_torchaudio\n"
    )
    done = _python(code)
    assert done.returncode == 1 and "torchaudio.functional" in done.stderr.splitlines()[-1]
