"""Every measure against a formula of its own, written another way than the measure is."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import jiwer
import librosa
import numpy as np
import pytest
import torch
from torch import nn

from pipelines import audio, measures
from pipelines.device import Placement
from pipelines.measures import Heard
from pipelines.types import Span, Units, Waveform
from tests.conftest import make_speech


def noise(seconds: float = 1.0, seed: int = 0, rate: int = 24_000) -> Waveform:
    generator = torch.Generator().manual_seed(seed)
    return Waveform(0.1 * torch.randn(round(seconds * rate), generator=generator), rate)


def louder(sound: Waveform, decibels: float) -> Waveform:
    return Waveform(sound.samples * 10 ** (decibels / 20), sound.sample_rate)


def plus(sound: Waveform, other: Waveform, decibels: float) -> Waveform:
    """`other` added so that its energy lies `decibels` under that of `sound`."""
    ratio = float(sound.samples.square().sum() / other.samples.square().sum())
    return Waveform(sound.samples + other.samples * ratio**0.5 * 10 ** (-decibels / 20), sound.sample_rate)


def units(*rows: list[int], rate: float = 50.0) -> Units:
    return Units(torch.tensor(rows), rate)


# ------------------------------------------------------------------------------------- two sounds in step


def test_a_sound_beside_itself_differs_in_nothing():
    speech = make_speech(2.0)
    measured = measures.locked(speech, speech)
    assert measured["lsd"] == measured["mcd"] == measured["mr_stft"] == 0
    assert measured["snr"] == measures.MOST_SNR
    assert measured["stoi"] == pytest.approx(1)


@pytest.mark.parametrize("sound", [noise(), make_speech(2.0)])
def test_a_gain_of_6_db_is_a_log_spectral_distance_of_6_and_no_other_colour(sound):
    assert measures.log_spectral_distance(sound, louder(sound, 6)) == pytest.approx(6, abs=1e-3)
    assert measures.mel_cepstral_distortion(sound, louder(sound, 6)) == pytest.approx(0, abs=1e-3)


def frames_of(sound: Waveform, n_fft: int, hop: int) -> np.ndarray:
    """(frames, bins) power under a periodic Hann window, frame by frame."""
    x = np.pad(sound.samples.numpy().astype(np.float64), n_fft // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, len(x) - n_fft + 1, hop)
    return np.array([np.abs(np.fft.rfft(x[start : start + n_fft] * window)) ** 2 for start in starts])


def test_log_spectral_distance_by_hand():
    a, b = noise(seed=1), noise(seed=2)  # noise is nowhere 80 dB under its loudest point
    p, q = (frames_of(sound, 1024, 240) for sound in (a, b))
    each = [math.sqrt(np.mean((10 * np.log10(x) - 10 * np.log10(y)) ** 2)) for x, y in zip(p, q, strict=True)]
    assert measures.log_spectral_distance(a, b) == pytest.approx(np.mean(each), rel=1e-4)


def test_mel_cepstral_distortion_by_hand():
    a, b = noise(seed=1), noise(seed=2)
    bands = (np.arange(80) + 0.5) * np.pi / 80

    def colour(sound: Waveform) -> np.ndarray:
        mel = librosa.feature.melspectrogram(
            y=sound.samples.numpy(), sr=24_000, n_fft=1024, hop_length=240, n_mels=80
        )
        log = np.log(mel.T)
        return np.array([[np.mean(frame * np.cos(d * bands)) for d in range(1, 25)] for frame in log])

    apart = np.sqrt(((colour(a) - colour(b)) ** 2).sum(1)) * 10 * math.sqrt(2) / math.log(10)
    assert measures.mel_cepstral_distortion(a, b) == pytest.approx(apart.mean(), rel=1e-3)


@pytest.mark.parametrize("decibels", [5.0, 20.0, 60.0])
def test_signal_to_noise_of_known_noise(decibels):
    speech = make_speech(1.0)
    noisy = plus(speech, noise(seed=3), decibels)
    assert measures.signal_to_noise(speech, noisy) == pytest.approx(decibels, abs=0.01)


def test_multi_resolution_stft_by_librosa():
    a, b = make_speech(1.0), plus(make_speech(1.0), noise(), 10)
    total = 0.0
    for n_fft, hop, width in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        x, y = (
            np.maximum(
                1e-7**0.5,
                np.abs(
                    librosa.stft(
                        s.samples.numpy(), n_fft=n_fft, hop_length=hop, win_length=width, pad_mode="reflect"
                    )
                ),
            )
            for s in (a, b)
        )
        total += np.sqrt(((x - y) ** 2).sum() / (x**2).sum()) + np.abs(np.log(x / y)).mean()
    assert measures.multi_resolution_stft(a, b) == pytest.approx(total / 3, rel=1e-3)


def test_intelligibility_falls_with_noise_and_needs_speech():
    speech = make_speech(2.0)
    some, much = (plus(speech, noise(2.0), decibels) for decibels in (10, -10))
    assert 1 > measures.intelligibility(speech, some) > measures.intelligibility(speech, much)
    word = audio.trim(speech, 0.5, 0.9)
    assert measures.intelligibility(word, word) is None


def test_telephone_quality_falls_with_noise():
    pytest.importorskip("pesq")
    speech = make_speech(2.0)
    values = [measures.telephone_quality(speech, plus(speech, noise(2.0), d)) for d in (150, 20, 0)]
    assert values == sorted(values, reverse=True) and values[0] > 4.5
    silence = Waveform(torch.zeros(48_000), 24_000)
    assert measures.telephone_quality(silence, silence) is None


def test_without_its_package_telephone_quality_is_left_out(monkeypatch):
    monkeypatch.setattr(measures.importlib.util, "find_spec", lambda name: None)
    assert "pesq" not in measures.locked(make_speech(1.0), make_speech(1.0))
    assert not measures.can_judge_quality() and not measures.can_recognise()


def test_sounds_of_two_rates_are_not_in_step():
    with pytest.raises(ValueError, match="one sample rate"):
        measures.locked(noise(), noise(rate=16_000))


# ---------------------------------------------------------------------------------- readings that may part


def cheapest(cost: np.ndarray) -> float:
    """The least total over all ways from corner to corner, each tried."""

    def onward(i: int, j: int) -> float:
        if (i, j) == (cost.shape[0] - 1, cost.shape[1] - 1):
            return cost[i, j]
        steps = [(i + 1, j), (i, j + 1), (i + 1, j + 1)]
        return cost[i, j] + min(onward(*s) for s in steps if s[0] < cost.shape[0] and s[1] < cost.shape[1])

    return onward(0, 0)


def test_the_warp_is_the_cheapest_of_all_ways():
    draws = np.random.default_rng(0)
    a, b = draws.normal(size=(6, 3)), draws.normal(size=(5, 3))
    cells, costs = measures.warp(a, b)
    cost = np.linalg.norm(a[:, None] - b, axis=2)
    assert costs.sum() == pytest.approx(cheapest(cost))
    assert costs == pytest.approx([cost[i, j] for i, j in cells])
    assert cells[0].tolist() == [0, 0] and cells[-1].tolist() == [5, 4]


def test_a_take_beside_itself_or_slowed_down_has_no_warped_distance():
    colour = measures.cepstra(make_speech(2.0))
    assert measures.dtw_distortion([colour], [colour]) == 0
    assert measures.dtw_distortion([colour], [colour.repeat(2, axis=0)]) == 0
    assert measures.dtw_distortion([colour], [measures.cepstra(make_speech(2.0, seed=1))]) > 1


def test_a_long_sentence_is_warped_by_every_second_frame():
    colour = np.random.default_rng(0).normal(size=(2001, 2))
    cells, costs = measures.warp(colour, colour)
    assert costs.max() == 0 and cells[:, 0].max() == 2000 and len(cells) == 1001


def test_units_are_counted_where_they_stand():
    a, b = units([1, 2, 3, 4], [5, 5, 5, 5]), units([1, 2, 0, 4, 9], [5, 5, 5, 5, 5])
    assert measures.units_equal([a], [b]) == pytest.approx(100 * 3 / 5)
    assert measures.units_first([a], [b]) == pytest.approx(2 / 50)
    assert measures.units_equal([a, a], [a, b]) == pytest.approx(100 * (4 + 3) / 9)
    assert measures.units_first([a, a], [a, b]) == pytest.approx(6 / 50)
    assert measures.units_first([a, a], [a, a]) == pytest.approx(8 / 50)
    assert measures.units_equal([a], [a, a]) is None


def heard(**changes) -> Heard:
    facts = {"cepstra": [], "units": [], "seconds": 2.0, "octave": 7.0, "spread": 0.2}
    return Heard(**(facts | {"likeness": 0.9, "misheard": 10.0} | changes))


def test_readings_are_compared_by_what_is_heard():
    measured = measures.free(
        heard(), heard(seconds=2.2, octave=7.5, spread=0.1, likeness=0.85, misheard=25.0)
    )
    assert measured == pytest.approx(
        {"wer_change": 15, "similarity_change": -0.05, "duration": 10, "pitch": 6, "pitch_range": 50}
    )


def test_what_was_not_heard_is_left_out():
    measured = measures.free(heard(likeness=None, misheard=None), heard(octave=math.nan, spread=math.nan))
    assert set(measured) == {"duration"}


def test_hearing_a_take_finds_its_pitch_and_words(monkeypatch):
    speech = make_speech(3.0, pitch=200.0)
    take = SimpleNamespace(waveform=speech, spans=(Span("One two.", 0.0, 3.0),), said=(units([1]),))
    monkeypatch.setattr(measures, "recogniser", lambda: lambda sound: "one too")
    known = measures.hear(take, "One two.", measures.speaker_embedding(speech), True)
    assert known.misheard == 50 and known.seconds == 3 and known.likeness == pytest.approx(1)
    assert 2**known.octave == pytest.approx(200, rel=0.1)
    assert len(known.cepstra) == 1 and known.cepstra[0].shape[1] == 24


@pytest.mark.parametrize("seed", range(20))
def test_word_errors_are_jiwers(seed):
    draws = random.Random(seed)
    said, got = (
        [draws.choice(["ant", "bee", "cat", "dog"]) for _ in range(n)] for n in (7, draws.randrange(9))
    )
    expected = jiwer.wer(" ".join(said), " ".join(got))
    assert measures.word_errors(" ".join(said), " ".join(got)) == pytest.approx(expected)


def test_words_are_compared_as_spoken():
    assert measures.word_errors("It’s 3 o'clock, Okay?", "it's three o'clock ok") == 0


# ------------------------------------------------------------------------------- what a model would say


def test_divergence_agreement_and_gap_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    truth = [torch.randn(5, 4, generator=generator), torch.randn(5, 3, generator=generator)]
    other = [x + 0.7 * torch.randn(x.shape, generator=generator) for x in truth]
    kl, same, gap, steps = [], [], 0.0, []
    for n in range(5):
        agreed = True
        for p_row, q_row in ((truth[k][n].tolist(), other[k][n].tolist()) for k in (0, 1)):
            p, q = ([math.exp(x) for x in row] for row in (p_row, q_row))
            p, q = ([x / sum(row) for x in row] for row in (p, q))
            kl.append(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))
            same.append(p.index(max(p)) == q.index(max(q)))
            agreed = agreed and same[-1]
            gap = max(gap, *(abs(x - y) for x, y in zip(p_row, q_row, strict=True)))
        steps.append(agreed)
    assert not all(steps)
    assert measures.forced(truth, other) == pytest.approx(
        {"kl": sum(kl) / 10, "top1": 10 * sum(same), "gap": gap, "first_step": steps.index(False)}, rel=1e-6
    )


def test_equal_logits_agree_to_the_end():
    row = torch.tensor([[1.0, -math.inf, 0.0], [0.0, 2.0, -math.inf]])
    assert measures.forced([row], [row]) == {"top1": 100, "kl": 0, "gap": 0, "first_step": 2}


def test_logits_of_other_shapes_are_not_compared():
    with pytest.raises(ValueError, match="same shapes"):
        measures.forced([torch.zeros(2, 3)], [torch.zeros(3, 3)])


# -------------------------------------------------------------------------------- of many, one, and how sure


def test_the_interval_holds_the_true_median_about_95_times_of_100():
    draws = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        median, low, high = measures.interval(draws.exponential(size=25))
        assert low <= median <= high
        held += low <= math.log(2) <= high
    assert 0.9 < held / 300 < 0.99


def test_the_interval_is_the_same_each_time_and_of_one_value_that_value():
    assert measures.interval([3.0, 1.0, 2.0]) == measures.interval([3.0, 1.0, 2.0])
    assert measures.interval([7.0]) == (7, 7, 7)
    with pytest.raises(ValueError):
        measures.interval([])


# ----------------------------------------------------------------------------------------------- memory


def engine_of(**networks: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(name="engine", **networks)


def test_weights_are_counted_once_and_in_their_precision():
    linear = nn.Linear(100, 10, bias=False)
    tied = nn.ModuleDict({"a": linear, "b": linear, "norm": nn.LayerNorm(5)})
    assert measures.weights(engine_of(say=tied, render=tied)) == 4 * (1000 + 10)
    halved = Placement(say="bfloat16").put(nn.Sequential(nn.Linear(100, 10), nn.LayerNorm(5)), "say")
    assert measures.weights(engine_of(say=halved)) == 2 * (1000 + 10 + 10)


def test_quantised_weights_take_a_byte_each():
    network = nn.Sequential(nn.Linear(100, 10, bias=False), nn.LayerNorm(5))
    assert measures.weights(engine_of(say=Placement(say="int8").put(network, "say"))) == 1000 + 4 * 10


def test_every_measure_is_explained_in_a_sentence():
    for measure in measures.MEASURES.values():
        assert measure.sentence.endswith(".") and measure.label and measure.better in ("lower", "higher")
