"""The reference coach: what keeps a clip from making a good voice, in words, and how to mend it.

`examine` finds, `mend` mends one finding, `mend_all` all that can be mended. All of it is plain
signal processing without chance: the same clip gives the same findings and the same sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from scipy import ndimage, signal

from pipelines import audio
from pipelines.types import Waveform

Severity = Literal["bad", "warn", "good"]

WANTED_SECONDS = (5.0, 15.0)  # where no engine says what it wants; outside: a remark
FAR_SHORT, FAR_LONG = 0.6, 2.0  # times what is wanted: a problem
KEPT_SECONDS = (6.0, 12.0)  # of a clip that is too long, as far as that is wanted
SNR_WARN, SNR_BAD, SNR_NO_VOICE = 20.0, 12.0, 2.5  # dB, as `_Picture.snr` measures it
CLIPPED_WARN, CLIPPED_BAD = 1e-4, 3e-3  # share of the samples that lie on flat tops
QUIET_WARN, QUIET_BAD = -35.0, -50.0  # LUFS
BAND_WARN, BAND_BAD = 6_000.0, 4_500.0  # Hz
HUM_WARN = -40.0  # dB against the voice
OFFSET_WARN = 0.01  # of full scale
EDGE_SECONDS, PAUSE_SECONDS, SILENT_SHARE = 0.8, 1.2, 0.5
TWO_SPEAKERS = 0.5

SPARE = 0.05  # seconds that a cut stays below what is wanted, lest rounding makes it longer
LEVEL_LUFS, CEILING_DBFS = -20.0, -1.0  # what mending brings a clip to
KEPT_EDGE, KEPT_PAUSE = 0.2, 0.5  # seconds of silence that mending leaves

HOP = 0.008  # seconds between two frames of the spectrogram
WINDOW = 4 * HOP


@dataclass(frozen=True)
class Finding:
    """One thing to know about a clip.

    `words` are a sentence for the person; `mend` is the label of the button that mends it, None where
    nothing can. `kind` and `values` are for saying the same in another language. Kinds, with their values:
    `no_voice`, `noise` (snr, dB); `short`, `long`, `overlong` (seconds; low, high: what is wanted);
    `silence` (lead, trail, pause: seconds; share); `clipping` (share); `quiet` (lufs); `band` (hertz);
    `hum` (hertz, level: dB against the voice); `offset` (offset, of full scale); `speakers` (change);
    `good` (seconds, snr).
    """

    kind: str
    severity: Severity
    words: str
    mend: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)


# --- examining ---------------------------------------------------------------------------


def examine(
    waveform: Waveform,
    speaker_changes: Callable[[Waveform], float] | None = None,
    wanted: tuple[float, float] = WANTED_SECONDS,
    overlong: str = "",
) -> list[Finding]:
    """What there is to say about a reference clip, worst first; one finding "good" where all is well.

    `speaker_changes` tells how surely more than one person speaks, 0 to 1; without it that is not looked at.
    `wanted` is the length in seconds that an engine wants, `overlong` a sentence on what becomes of a clip
    that is longer, for an engine that does not hear all of it.
    """
    picture = _Picture.of(waveform)
    if picture.snr < SNR_NO_VOICE:
        words = "No voice can be made out in this clip: choose one in which somebody speaks."
        return [Finding("no_voice", "bad", words, None, {"snr": picture.snr})]
    findings = [
        *_length(waveform, wanted, overlong),
        *_clipping(waveform),
        *_noise(picture),
        *_silence(picture),
        *_band(picture),
        *_quiet(waveform),
        *_offset(waveform),
        *_hum(waveform, picture),
        *(_speakers(speaker_changes(waveform)) if speaker_changes else ()),
    ]
    if not findings:
        values = {"seconds": waveform.seconds, "snr": picture.snr}
        words = f"A good clip: {waveform.seconds:.1f} seconds, clear and without noise worth mentioning."
        return [Finding("good", "good", words, None, values)]
    return sorted(findings, key=lambda finding: finding.severity != "bad")


@dataclass(frozen=True, eq=False)
class _Picture:
    """A clip as frames of power: what most findings are read from."""

    power: np.ndarray  # (B, F) float32, from 60 Hz up: below is no voice
    frequencies: np.ndarray  # (B,) Hz
    speaking: np.ndarray  # (F,) bool
    noise: np.ndarray  # (B,) mean power of what sounds under the voice
    snr: float  # dB

    @classmethod
    def of(cls, waveform: Waveform) -> _Picture:
        rate = min(waveform.sample_rate, 24_000)  # above 12 kHz there is little voice, and much memory
        frequencies, spectrum = _spectrogram(audio.resample(waveform, rate))
        voice = frequencies >= 60
        power, frequencies = np.abs(spectrum[voice]) ** 2, frequencies[voice]
        energy = power.sum(axis=0)
        speaking, near = _speaking(energy)
        noise = _noise_power(power[:, near])
        if _hum_lines(waveform):  # said separately, and mended by other means
            power = power * (frequencies >= 400)[:, None]
            noise, energy = noise * (frequencies >= 400), power.sum(axis=0)
        return cls(power, frequencies, speaking, noise, _snr(energy, speaking, near, noise))


def _spectrogram(waveform: Waveform) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (B,) in Hz and the complex spectrum (B, F), one frame every `HOP` seconds."""
    samples = waveform.samples.numpy()
    hop = round(HOP * waveform.sample_rate)
    frequencies, _, spectrum = signal.stft(
        samples - samples.mean(), waveform.sample_rate, "hann", 4 * hop, 3 * hop
    )
    return frequencies, spectrum


def _speaking(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which frames hold voice, and which lie no further than 0.3 s from one, both (F,) bool.

    The threshold lies 28 dB below the loud frames, or higher where noise fills that range.
    """
    decibels = 10 * np.log10(energy + 1e-20)
    loud, low = np.percentile(decibels, 95), np.percentile(decibels[energy >= energy.max() * 1e-9], 5)
    speaking = decibels > max(loud - 28, low + 0.4 * (loud - low))
    speaking = ndimage.binary_closing(speaking, np.ones(round(0.15 / HOP)))  # stops within a word
    speaking = ndimage.binary_opening(speaking, np.ones(round(0.06 / HOP)))  # clicks
    return speaking, ndimage.binary_dilation(speaking, np.ones(2 * round(0.3 / HOP) + 1))


def _noise_power(power: np.ndarray) -> np.ndarray:
    """Mean noise power per band (B,), from its quiet tenth: a noise's power is exponentially distributed.

    Each band is quiet now and then, also in a clip without pauses; that is the thought behind minimum
    statistics (Martin 2001). Frames of digital silence tell nothing and are left out.
    """
    if power.shape[1] == 0:
        return np.zeros(power.shape[0])
    energy = power.sum(axis=0)
    heard = power[:, energy > energy.max() * 1e-9]
    return np.percentile(heard, 10, axis=1) / -np.log(0.9)


def _snr(energy: np.ndarray, speaking: np.ndarray, near: np.ndarray, noise: np.ndarray) -> float:
    """Voice against noise in dB: the mean of two estimates, as each errs the other way.

    The bands' quiet tenths take trailing sounds for noise; the quietest frames miss what swells.
    """
    if not speaking.any():
        return 0.0
    heard = np.sort(energy[near & (energy > energy.max() * 1e-9)])
    quietest = heard[: max(1, len(heard) // 20)].mean()
    loud = energy[speaking].mean()
    ratios = [max(loud / max(floor, 1e-12 * loud) - 1, 1e-3) for floor in (noise.sum(), quietest)]
    return float(np.mean(10 * np.log10(ratios)))


def _length(waveform: Waveform, wanted: tuple[float, float], overlong: str) -> Iterator[Finding]:
    seconds, (low, high) = waveform.seconds, wanted
    values = {"seconds": seconds, "low": low, "high": high}
    best = f"{low:g} to {high:g} seconds are best"
    if seconds < low:
        severity: Severity = "bad" if seconds < FAR_SHORT * low else "warn"
        words = f"The clip is short ({seconds:.1f} seconds); {best}. Record or choose a longer one."
        yield Finding("short", severity, words, None, values)
    if seconds > high:
        severity = "bad" if seconds > FAR_LONG * high else "warn"
        words = f"The clip is longer than it need be ({seconds:.1f} seconds); {best}."
        kind = "overlong" if overlong else "long"
        yield Finding(kind, severity, f"{words} {overlong}".strip(), "Keep the best seconds", values)


def _clipping(waveform: Waveform) -> Iterator[Finding]:
    samples = waveform.samples.numpy()
    share = sum(b - a for a, b in _flat_tops(samples)) / len(samples)
    if share > CLIPPED_WARN:
        severity: Severity = "bad" if share > CLIPPED_BAD else "warn"
        words = (
            f"The recording was too loud for its microphone: {100 * share:.2g} % of it is cut off flat "
            "and will sound harsh. Record with less gain, or let the tops be rounded."
        )
        yield Finding("clipping", severity, words, "Round the cut-off tops", {"share": share})


def _noise(picture: _Picture) -> Iterator[Finding]:
    if picture.snr < SNR_WARN:
        severity: Severity = "bad" if picture.snr < SNR_BAD else "warn"
        words = (
            f"There is noise or echo behind the voice (it stands {picture.snr:.0f} dB above it, "
            f"{SNR_WARN:.0f} or more are good). A quieter place, nearer to the microphone, is best."
        )
        yield Finding("noise", severity, words, "Clean up the noise gently", {"snr": picture.snr})


def _silence(picture: _Picture) -> Iterator[Finding]:
    spans = _spans(picture.speaking)
    lead, trail = spans[0][0] * HOP, (len(picture.speaking) - spans[-1][1]) * HOP
    pause = max((b[0] - a[1] for a, b in zip(spans, spans[1:], strict=False)), default=0) * HOP
    share = 1 - float(picture.speaking.mean())
    if max(lead, trail) > EDGE_SECONDS or pause > PAUSE_SECONDS or share > SILENT_SHARE:
        words = (
            f"{100 * share:.0f} % of the clip is silence ({lead:.1f} seconds at the beginning, "
            f"{trail:.1f} at the end, the longest pause {pause:.1f})."
        )
        values = {"lead": lead, "trail": trail, "pause": pause, "share": share}
        yield Finding("silence", "warn", words, "Cut the silence", values)


def _band(picture: _Picture) -> Iterator[Finding]:
    voice = 10 * np.log10(np.percentile(picture.power[:, picture.speaking], 90, axis=1) + 1e-20)
    hertz = float(picture.frequencies[np.flatnonzero(voice > voice.max() - 60)[-1]])
    if hertz < BAND_WARN:
        like = "sounds like a telephone" if hertz < BAND_BAD else "is muffled"
        words = (
            f"The recording {like}: nothing above {hertz / 1000:.1f} kHz is left of the voice. "
            "The copy will sound dull as well; use the original recording if there is one."
        )
        yield Finding("band", "bad" if hertz < BAND_BAD else "warn", words, None, {"hertz": hertz})


def _quiet(waveform: Waveform) -> Iterator[Finding]:
    lufs = audio.loudness(waveform)
    if lufs < QUIET_WARN:
        severity: Severity = "bad" if lufs < QUIET_BAD else "warn"
        words = f"The recording is very quiet (loudness {lufs:.0f} LUFS, around {LEVEL_LUFS:.0f} is usual)."
        yield Finding("quiet", severity, words, "Make it louder", {"lufs": lufs})


def _offset(waveform: Waveform) -> Iterator[Finding]:
    offset = float(waveform.samples.double().mean())
    if abs(offset) > OFFSET_WARN:
        words = f"The sound card adds a constant offset ({100 * offset:+.0f} % of full scale)."
        yield Finding("offset", "warn", words, "Remove the offset", {"offset": offset})


def _hum(waveform: Waveform, picture: _Picture) -> Iterator[Finding]:
    lines = _hum_lines(waveform)
    if lines:
        level = _hum_level(waveform, lines)
        words = f"The mains hums behind the voice ({lines[0].mains:.0f} Hz and its overtones)."
        values = {"hertz": lines[0].mains, "level": level}
        yield Finding("hum", "bad" if level > -15 else "warn", words, "Filter the hum", values)


def _speakers(change: float) -> Iterator[Finding]:
    if change > TWO_SPEAKERS:
        words = "More than one person seems to speak here: the copy would be a mixture. Keep one of them."
        yield Finding("speakers", "bad", words, None, {"change": change})


def _spans(marks: np.ndarray) -> list[tuple[int, int]]:
    """Runs of true in (T,) bool, as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _flat_tops(samples: np.ndarray) -> list[tuple[int, int]]:
    """Runs of three samples or more that lie on the highest or on the lowest value, as (first, past last)."""
    tops: list[tuple[int, int]] = []
    for side in (samples, -samples):
        top = float(side.max())
        if top > 0:
            tops += [(a, b) for a, b in _spans(side >= 0.999 * top) if b - a >= 3]
    return sorted(tops)


@dataclass(frozen=True)
class _Line:
    """A steady tone at a multiple of the mains."""

    mains: float  # Hz, 50 or 60
    hertz: float
    power: float  # of the tone; full scale is 0.5


def _hum_lines(waveform: Waveform) -> list[_Line]:
    """The mains' tones, [] where none is heard: steady over the whole clip and sharper than a voice is."""
    size = 2_000  # samples a second, enough for eight overtones; one second of them: bands of 1 Hz
    samples = audio.resample(waveform, size).samples.numpy()
    if len(samples) < size:
        return []
    window = signal.get_window("hann", size)
    frames = np.lib.stride_tricks.sliding_window_view(samples - samples.mean(), size)[:: size // 4]
    power = 2 * np.abs(np.fft.rfft(frames * window)[:, :500]) ** 2 / window.sum() ** 2
    steady = np.percentile(power, 25, axis=0)  # (500,): a voice passes through a band, the mains stays
    found = [[line for k in range(1, 9) if (line := _line(steady, mains, k))] for mains in (50.0, 60.0)]
    lines = max(found, key=lambda lines: sum(line.power for line in lines))
    low = any(line.hertz <= 3 * line.mains for line in lines)
    return lines if low and _hum_level(waveform, lines) > HUM_WARN else []


def _line(steady: np.ndarray, mains: float, k: int) -> _Line | None:
    """The tone at `k` times the mains, if it stands 12 dB above both its sides."""
    at = round(k * mains)
    peak = steady[at - 1 : at + 2].max()
    sides = max(np.median(steady[at - 12 : at - 4]), np.median(steady[at + 5 : at + 13]))
    return _Line(mains, k * mains, float(peak)) if peak > 16 * sides else None


def _hum_level(waveform: Waveform, lines: list[_Line]) -> float:
    """The lines together against the whole sound, in dB."""
    whole = float(waveform.samples.double().var()) + 1e-20
    return float(10 * np.log10(sum(line.power for line in lines) / whole + 1e-20))


# --- mending -----------------------------------------------------------------------------


def mend(waveform: Waveform, kind: str, wanted: tuple[float, float] = WANTED_SECONDS) -> Waveform:
    """The clip with the finding of that kind mended; `wanted` as in `examine`.

    Raises `ValueError` for a kind that has no mend.
    """
    if kind in TOO_LONG:
        return _best_seconds(waveform, wanted)
    if kind not in _MENDS:
        raise ValueError(f"there is no mend for {kind!r}; there are {', '.join([*_MENDS, *TOO_LONG])}")
    return _MENDS[kind](waveform)


def mend_all(waveform: Waveform, wanted: tuple[float, float] = WANTED_SECONDS) -> Waveform:
    """The clip with all mended that can be, in an order in which no mend undoes another."""
    for kind in ORDER:
        if any(finding.kind == kind for finding in examine(waveform, wanted=wanted)):
            waveform = mend(waveform, kind, wanted)
    return waveform


def _remove_offset(waveform: Waveform) -> Waveform:
    return Waveform(waveform.samples - waveform.samples.mean(), waveform.sample_rate)


def _filter_hum(waveform: Waveform) -> Waveform:
    """A notch of 3 Hz at each line, run both ways so that nothing shifts in time."""
    samples = waveform.samples.numpy().astype(np.float64)
    for line in _hum_lines(waveform):
        b, a = signal.iirnotch(line.hertz, line.hertz / 3, waveform.sample_rate)
        samples = signal.filtfilt(b, a, samples, padlen=min(len(samples) - 1, waveform.sample_rate))
    return Waveform(torch.from_numpy(samples.astype(np.float32)), waveform.sample_rate)


def _round_tops(waveform: Waveform) -> Waveform:
    """Each flat top replaced by the cubic that continues the slopes on its sides, then all made to fit."""
    samples = waveform.samples.numpy().astype(np.float64)
    rounded = samples.copy()
    for a, b in _flat_tops(samples):
        if a >= 2 and b + 2 <= len(samples):
            rounded[a:b] = _bridge(samples[a - 2 : a], samples[b : b + 2], samples[a:b])
    rounded *= 0.99 / max(0.99, np.abs(rounded).max())
    return Waveform(torch.from_numpy(rounded.astype(np.float32)), waveform.sample_rate)


def _bridge(left: np.ndarray, right: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Cubic Hermite over a gap from the two samples on each side; never below the cut, nor twice above."""
    width = len(flat) + 1
    rise, fall = (left[1] - left[0]) * width, (right[1] - right[0]) * width
    t = np.arange(1, width) / width
    cubic = (
        (2 * t**3 - 3 * t**2 + 1) * left[1]
        + (t**3 - 2 * t**2 + t) * rise
        + (3 * t**2 - 2 * t**3) * right[0]
        + (t**3 - t**2) * fall
    )
    sign, height = np.sign(flat[0]), np.abs(flat)
    beyond = np.maximum(sign * cubic - height, 0)
    return sign * (height + beyond * height / (beyond + height))


def _clean_noise(waveform: Waveform) -> Waveform:
    """Each half minute for itself: noise changes, and memory is not for ten minutes at once."""
    parts = torch.tensor_split(waveform.samples, max(1, round(waveform.seconds / 30)))
    return audio.join([_wiener(Waveform(part, waveform.sample_rate)) for part in parts])


def _wiener(waveform: Waveform) -> Waveform:
    """Wiener filter with the decision-directed a-priori SNR (Ephraim and Malah 1984), 15 dB at the most."""
    samples = waveform.samples.numpy()
    hop = round(HOP * waveform.sample_rate)
    _, spectrum = _spectrogram(waveform)
    power = np.abs(spectrum) ** 2
    _, near = _speaking(power.sum(axis=0))
    noise = np.maximum(_noise_power(power[:, near]), 1e-20)
    floor = 10 ** (-15 / 20)
    before = np.ones(len(noise), np.float32)
    for frame in range(power.shape[1]):
        posterior = power[:, frame] / noise
        prior = 0.98 * before + 0.02 * np.maximum(posterior - 1, 0)
        gain = np.maximum(prior / (1 + prior), floor)
        spectrum[:, frame] *= gain
        before = gain**2 * posterior
    _, cleaned = signal.istft(spectrum, waveform.sample_rate, "hann", 4 * hop, 3 * hop)
    return Waveform(torch.from_numpy(cleaned[: len(samples)].astype(np.float32)), waveform.sample_rate)


def _cut_silence(waveform: Waveform) -> Waveform:
    """Silence at the edges cut to `KEPT_EDGE`, pauses to `KEPT_PAUSE` seconds."""
    spans = [(a * HOP, b * HOP) for a, b in _spans(_Picture.of(waveform).speaking)]
    if not spans:
        return waveform
    pieces, start = [], spans[0][0] - KEPT_EDGE
    for (_, end), (following, _) in zip(spans, spans[1:], strict=False):
        if following - end > KEPT_PAUSE:
            pieces.append(audio.trim(waveform, max(start, 0), end + KEPT_PAUSE / 2))
            start = following - KEPT_PAUSE / 2
    pieces.append(audio.trim(waveform, max(start, 0), spans[-1][1] + KEPT_EDGE))
    return audio.join([audio.fade(piece) for piece in pieces])


def _best_seconds(waveform: Waveform, wanted: tuple[float, float]) -> Waveform:
    """The best stretch of a length that is wanted; from pause to pause where the speaker makes any."""
    low, high = wanted
    shortest, longest = max(low, min(KEPT_SECONDS[0], high / 2)), min(KEPT_SECONDS[1], high - SPARE)
    start, end = _best_stretch(waveform, shortest, longest)
    return audio.fade(audio.trim(waveform, start, end), 0.01, 0.01)


def _best_stretch(waveform: Waveform, shortest: float, longest: float) -> tuple[float, float]:
    """(start, end) in seconds of the stretch with most voice, least noise, no clipping, a usual level."""
    picture = _Picture.of(waveform)
    if not picture.speaking.any():
        return 0.0, min(10.0, longest)
    energy = picture.power.sum(axis=0)
    floor = ndimage.minimum_filter1d(ndimage.uniform_filter1d(energy, 5), round(1.5 / HOP))
    clipped = np.zeros(len(energy))  # share of each frame
    for a, b in _flat_tops(waveform.samples.numpy()):
        frame = min(round(a / waveform.sample_rate / HOP), len(clipped) - 1)
        clipped[frame] += (b - a) / (HOP * waveform.sample_rate)
    tracks = np.stack([picture.speaking, energy * picture.speaking, floor, clipped]).astype(np.float64)
    sums = np.pad(np.cumsum(tracks, axis=1), ((0, 0), (1, 0)))
    usual = energy[picture.speaking].mean()

    def score(stretch: tuple[float, float]) -> float:
        first, last = (min(round(edge / HOP), len(energy)) for edge in stretch)
        speaking, voice, noise, flat = sums[:, last] - sums[:, first]
        if speaking == 0:
            return -np.inf
        length = last - first
        level = 10 * np.log10(voice / speaking / usual + 1e-9)
        snr = 10 * np.log10(voice / speaking / (noise / length + 1e-4 * usual))
        fullness = min(stretch[1] - stretch[0], 10.0) / 10
        return speaking / length + fullness + snr / 20 - abs(level) / 20 - 300 * flat / length

    return max(_stretches(picture.speaking, waveform.seconds, shortest, longest), key=score)


def _stretches(
    speaking: np.ndarray, seconds: float, shortest: float, longest: float
) -> list[tuple[float, float]]:
    """Candidates that start and end in pauses; 10 s or less at every half second if there are none."""
    spans = [(a * HOP, b * HOP) for a, b in _spans(speaking)]
    starts = [max(0.0, a - 0.1) for a, _ in spans]
    ends = [min(seconds, b + 0.1) for _, b in spans]
    between = [(a, b) for a in starts for b in ends if shortest <= b - a <= longest]
    length = min(10.0, longest)
    anywhere = [(float(a), float(a) + length) for a in np.arange(0, max(seconds - length, 0.5), 0.5)]
    return between or anywhere


def _level(waveform: Waveform) -> Waveform:
    return audio.level(waveform, LEVEL_LUFS, CEILING_DBFS)


_MENDS: Mapping[str, Callable[[Waveform], Waveform]] = {
    "offset": _remove_offset,
    "clipping": _round_tops,  # before any filter: filtering bends the flat tops out of recognition
    "hum": _filter_hum,
    "silence": _cut_silence,
    "noise": _clean_noise,
    "quiet": _level,
}
TOO_LONG = ("long", "overlong")
# The length before the noise: what is left may need no cleaning.
ORDER = ("offset", "clipping", "hum", "silence", *TOO_LONG, "noise", "quiet")
