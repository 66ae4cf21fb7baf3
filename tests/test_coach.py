"""The coach finds what was planted and nothing else, and its mends remove what they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines import audio, coach
from pipelines.types import Waveform
from tests.conftest import make_speech


def _changed(clip: Waveform, samples: np.ndarray) -> Waveform:
    return Waveform(torch.from_numpy(samples.astype(np.float32)), clip.sample_rate)


def _noise(clip: Waveform, decibels: float) -> Waveform:
    """White noise `decibels` below the clip's mean power."""
    samples = clip.samples.numpy()
    noise = np.random.default_rng(1).standard_normal(len(samples))
    return _changed(clip, samples + noise * samples.std() * 10 ** (-decibels / 20))


def _room(clip: Waveform, seconds: float) -> torch.Tensor:
    """The silence of a quiet room."""
    noise = np.random.default_rng(2).standard_normal(round(seconds * clip.sample_rate)) * 1e-4
    return torch.from_numpy(noise.astype(np.float32))


def _silence(clip: Waveform, lead: float, pause: float, trail: float) -> Waveform:
    first, second = clip.samples.tensor_split(2)
    rooms = [_room(clip, seconds) for seconds in (lead, pause, trail)]
    return Waveform(torch.cat([rooms[0], first, rooms[1], second, rooms[2]]), clip.sample_rate)


def _hum(clip: Waveform, mains: float) -> Waveform:
    t = np.arange(len(clip.samples)) / clip.sample_rate
    tones = sum(np.sin(2 * np.pi * mains * k * t + k) / k for k in (1, 2, 3))
    return _changed(clip, clip.samples.numpy() + 0.01 * tones)


def _clipped(clip: Waveform, share: float) -> Waveform:
    samples = clip.samples.numpy()
    top = np.quantile(np.abs(samples), 1 - share)
    return _changed(clip, samples.clip(-top, top))


PLANTED = {
    "noise": lambda clip: _noise(clip, 10),
    "clipping": lambda clip: _clipped(clip, 0.01),
    "quiet": lambda clip: _changed(clip, clip.samples.numpy() * 0.03),
    "silence": lambda clip: _silence(clip, 2.0, 0.0, 0.0),
    "offset": lambda clip: _changed(clip, clip.samples.numpy() + 0.05),
    "hum": lambda clip: _hum(clip, 50),
    "long": lambda clip: audio.join([clip] * 4),
    "short": lambda clip: audio.trim(clip, 0, 4),
    "band": lambda clip: audio.resample(clip, 8_000),
}


def _kinds(clip: Waveform) -> list[str]:
    return [finding.kind for finding in coach.examine(clip)]


@pytest.mark.parametrize("pitch", [90.0, 120.0, 180.0, 250.0])
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_a_good_clip_is_called_good(pitch: float, rate: int) -> None:
    assert _kinds(make_speech(8.0, seed=3, pitch=pitch, rate=rate)) == ["good"]


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_planted_is_found_and_nothing_else(kind: str, seed: int) -> None:
    clip = PLANTED[kind](make_speech(7.0, seed=seed, pitch=(120.0, 210.0)[seed]))
    assert _kinds(clip) == [kind]


@pytest.mark.parametrize("kind", [kind for kind in PLANTED if kind not in ("short", "band")])
def test_a_mend_removes_what_it_says_it_mends(kind: str, reference: Waveform) -> None:
    mended = coach.mend(PLANTED[kind](reference), kind)
    assert mended.sample_rate == reference.sample_rate and mended.samples.dtype == torch.float32
    assert mended.samples.isfinite().all() and mended.samples.abs().max() <= 1
    assert _kinds(mended) == ["good"]


def test_only_what_can_be_mended_offers_a_button(reference: Waveform) -> None:
    for kind, plant in PLANTED.items():
        (finding,) = coach.examine(plant(reference))
        assert (finding.mend is None) == (kind in ("short", "band"))
        assert finding.values and finding.words.endswith(".") and finding.severity in ("bad", "warn")


def test_all_at_once_is_mended_by_one_button(reference: Waveform) -> None:
    clip = _hum(_noise(_silence(audio.join([reference] * 4), 2.0, 3.0, 2.0), 16), 60)
    clip = _changed(clip, clip.samples.numpy() * 0.03)
    assert set(_kinds(clip)) == {"hum", "noise", "silence", "long", "quiet"}
    mended = coach.mend_all(clip)
    assert _kinds(mended) == ["good"]
    assert 6 <= mended.seconds <= 12


def test_mend_all_leaves_a_good_clip_alone(reference: Waveform) -> None:
    assert coach.mend_all(reference) is reference


def test_hum_is_told_by_its_country(reference: Waveform) -> None:
    for mains in (50.0, 60.0):
        (finding,) = coach.examine(_hum(reference, mains))
        assert finding.values["hertz"] == mains


def test_the_same_clip_gives_the_same_findings_and_the_same_sound(reference: Waveform) -> None:
    clip = _noise(reference, 10)
    assert coach.examine(clip) == coach.examine(clip)
    assert audio.digest(coach.mend_all(clip)) == audio.digest(coach.mend_all(clip))


def test_silence_is_measured_where_it_is(reference: Waveform) -> None:
    (finding,) = coach.examine(_silence(reference, 2.0, 0.0, 3.0))
    # The reference itself begins and ends in a pause of 0.15 s or a little more.
    assert 2.1 < finding.values["lead"] < 2.4
    assert 3.1 < finding.values["trail"] < 3.6


def test_cleaning_brings_a_noisy_clip_nearer_to_the_clean_one(reference: Waveform) -> None:
    noisy = _noise(reference, 10)
    cleaned = coach.mend(noisy, "noise")
    before = (noisy.samples - reference.samples).square().mean()
    after = (cleaned.samples - reference.samples).square().mean()
    assert after < before / 2


def test_cleaning_hardly_touches_a_clean_clip(reference: Waveform) -> None:
    cleaned = coach.mend(reference, "noise")
    error = (cleaned.samples - reference.samples).square().mean() / reference.samples.square().mean()
    assert error < 10 ** (-25 / 10)


def test_rounded_tops_lie_nearer_to_what_was_cut_off(reference: Waveform) -> None:
    top = float(reference.samples.abs().quantile(0.99))
    clipped = _clipped(reference, 0.01)
    mended = coach.mend(clipped, "clipping").samples
    assert clipped.samples.abs().max() == pytest.approx(top, rel=1e-3)
    before = (clipped.samples - reference.samples).square().mean()
    assert (mended - reference.samples).square().mean() < before / 2


def test_length_is_judged_by_what_the_engine_wants() -> None:
    clip = make_speech(14.0, seed=3)
    assert _kinds(clip) == ["good"]
    (finding,) = coach.examine(clip, wanted=(3.0, 10.0))
    assert (finding.kind, finding.severity, finding.mend) == ("long", "warn", "Keep the best seconds")
    assert "14.0 seconds" in finding.words and "3 to 10 seconds are best" in finding.words
    (finding,) = coach.examine(clip, wanted=(3.0, 10.0), overlong="It hears the best 10.")
    assert (finding.kind, finding.words[-22:]) == ("overlong", " It hears the best 10.")
    short = audio.trim(clip, 0, 4)
    assert [found.kind for found in coach.examine(short, wanted=(3.0, 10.0))] == ["good"]
    assert "5 to 15" in coach.examine(short)[0].words
    severities = [coach.examine(audio.trim(clip, 0, s), wanted=(3.0, 10.0))[0].severity for s in (1.5, 2.5)]
    assert severities == ["bad", "warn"]


@pytest.mark.parametrize("wanted", [(3.0, 10.0), (3.0, 9.0), (5.0, 15.0), (1.0, 30.0)])
@pytest.mark.parametrize("kind", coach.TOO_LONG)
def test_a_cut_clip_has_a_length_that_is_wanted(kind: str, wanted: tuple[float, float]) -> None:
    for sound in (make_speech(33.0, seed=4), Waveform(torch.zeros(40 * 8_000), 8_000)):
        assert wanted[0] <= coach.mend(sound, kind, wanted).seconds < wanted[1]


def test_the_best_seconds_avoid_what_is_bad() -> None:
    good = make_speech(9.0, seed=5)
    noisy = _noise(make_speech(9.0, seed=6), 6)
    clipped = _clipped(make_speech(9.0, seed=7), 0.05)
    kept = coach.mend(audio.join([noisy, good, _changed(clipped, clipped.samples.numpy() * 2)]), "long")
    assert 6 <= kept.seconds <= 12
    assert _kinds(kept) == ["good"]


def test_the_best_seconds_start_and_end_in_pauses() -> None:
    kept = coach.mend(make_speech(25.0, seed=8), "long")
    loud = kept.samples.abs().max()
    edge = round(0.05 * kept.sample_rate)
    assert kept.samples[:edge].abs().max() < 0.05 * loud
    assert kept.samples[-edge:].abs().max() < 0.05 * loud


@pytest.mark.parametrize(
    "sound",
    [
        lambda t: 0.1 * np.random.default_rng(0).standard_normal(len(t)),
        lambda t: 0.5 * np.sin(2 * np.pi * 440 * t),
        lambda t: np.zeros(len(t)),
    ],
    ids=["noise", "tone", "nothing"],
)
def test_a_clip_without_voice_is_told(sound) -> None:
    clip = Waveform(torch.from_numpy(sound(np.arange(8 * 24_000) / 24_000).astype(np.float32)), 24_000)
    (finding,) = coach.examine(clip)
    assert (finding.kind, finding.severity) == ("no_voice", "bad")
    for kind in ("silence", "long", "noise", "hum", "clipping", "quiet", "offset"):
        assert coach.mend(clip, kind).samples.isfinite().all()


def test_two_speakers_are_found_by_who_can_tell(reference: Waveform) -> None:
    (finding,) = coach.examine(reference, speaker_changes=lambda clip: 0.9)
    assert (finding.kind, finding.values["change"]) == ("speakers", 0.9)
    assert [found.kind for found in coach.examine(reference, lambda clip: 0.1)] == ["good"]


def test_worst_comes_first(reference: Waveform) -> None:
    clip = audio.trim(_noise(reference, 5), 0, 4)
    assert [finding.severity for finding in coach.examine(clip)] == ["bad", "warn"]


def test_one_second_of_sound_is_examined_and_mended_without_error(reference: Waveform) -> None:
    clip = audio.trim(reference, 0.2, 1.2)
    assert "short" in _kinds(clip)
    coach.mend_all(_noise(clip, 10))


def test_an_unknown_mend_is_the_programmers_error(reference: Waveform) -> None:
    with pytest.raises(ValueError, match="no mend for 'band'"):
        coach.mend(reference, "band")
