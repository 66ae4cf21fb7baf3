"""Blind listening: exact odds, sounds without cues, a key that stays where it is."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import audio, blind
from pipelines.blind import Result, Sittings, Trial
from pipelines.types import InputError, Waveform

NAMES = ("float32", "int8")


@pytest.fixture
def pair(speech) -> tuple[Waveform, Waveform]:
    one = speech(2.0, seed=1)
    return one, Waveform(one.samples * 0.5 + 0.002 * torch.randn(one.samples.shape), one.sample_rate)


@pytest.fixture
def sittings(tmp_path: Path) -> Sittings:
    return Sittings(tmp_path / "blind")


def key_of(folder: Path, token: str) -> str:
    return json.loads((folder / "blind" / token / "sitting.json").read_text())["key"]


def through(sittings: Sittings, step: Trial, answers: str) -> Trial | Result:
    for answer in answers:
        step = sittings.answer(step.token, step.number, answer)
    return step


# --- chance ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correct", "trials", "p"),
    [(9, 10, 0.0107), (5, 5, 0.031), (7, 8, 0.035), (12, 16, 0.038), (14, 20, 0.058), (0, 10, 1.0)],
)
def test_p_is_the_tail_of_the_binomial(correct, trials, p):
    assert blind.p_value(correct, trials) == pytest.approx(p, abs=6e-4 if p != 0.0107 else 5e-5)


def test_the_interval_is_where_each_tail_is_a_fortieth():
    for correct, trials in ((9, 10), (5, 10), (16, 16), (0, 10), (7, 16)):
        low, high = blind.interval(correct, trials)
        assert tail(correct, trials, low) == pytest.approx(0.025) if correct else low == 0
        below = 1 - tail(correct + 1, trials, high)
        assert below == pytest.approx(0.025) if correct < trials else high == 1


def tail(correct: int, trials: int, rate: float) -> float:
    return sum(
        math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(correct, trials + 1)
    )


def test_a_sign_test_looks_both_ways():
    assert blind.sign_test(9, 1) == blind.sign_test(1, 9) == pytest.approx(2 * blind.p_value(9, 10))
    assert blind.sign_test(5, 5) == blind.sign_test(0, 0) == 1.0


@pytest.mark.parametrize("guess", ["AAAAAAAAAA", "ABABABABAB", "AABBBABABA"])
def test_no_guesser_is_right_more_often_than_p_says(guess):
    """Over all keys, which a coin makes equally likely: P(p <= alpha) = alpha at every value p can take."""
    hits = [sum(map(str.__eq__, guess, key)) for key in itertools.product("AB", repeat=10)]
    attained = [blind.p_value(h, 10) for h in hits]
    for alpha in set(attained):
        assert np.mean(np.array(attained) <= alpha) == pytest.approx(alpha)
    assert np.mean(np.array(attained) <= 0.05) <= 0.05


def test_a_simulated_guesser_is_told_apart_no_more_often_than_that():
    random = np.random.default_rng(0)
    keys = [blind.thrown(10) for _ in range(4000)]
    p = [blind.p_value(sum(map(str.__eq__, key, random.choice(["A", "B"], 10))), 10) for key in keys]
    for correct in (6, 7, 8, 9):
        alpha = blind.p_value(correct, 10)
        assert abs(np.mean(np.array(p) <= alpha) - alpha) < 5 * math.sqrt(alpha * (1 - alpha) / 4000)


def test_the_order_is_balanced_over_a_thousand_runs():
    keys = np.array([[letter == "A" for letter in blind.thrown(10)] for _ in range(1000)])
    assert abs(keys.mean() - 0.5) < 5 * 0.5 / math.sqrt(10_000)
    assert (abs(keys.mean(0) - 0.5) < 5 * 0.5 / math.sqrt(1000)).all()  # at every place
    repeats = keys[:, 1:] == keys[:, :-1]  # what was last says nothing about what is next
    assert abs(repeats.mean() - 0.5) < 5 * 0.5 / math.sqrt(9000)


# --- the sounds --------------------------------------------------------------------------


def test_twenty_pairs_are_matched_as_they_are_sent(speech):
    chance = np.random.default_rng(1)
    for number in range(20):
        one = speech(1.5 + number / 10, seed=number)
        two = speech(1.2 + number / 7, seed=100 + number, pitch=200.0)
        two = Waveform(two.samples * 10 ** (-number / 20), two.sample_rate)
        sent = [blind.issue(sound, chance) for sound in blind.matched(one, two).sounds]
        assert len(sent[0]) == len(sent[1])
        heard = [Waveform(torch.from_numpy(np.frombuffer(b, "<i2") / np.float32(32768)), 24000) for b in sent]
        assert abs(audio.loudness(heard[0]) - audio.loudness(heard[1])) < 0.1
        onsets = [int((h.samples.abs() > 0.1 * h.samples.abs().max()).nonzero()[0]) for h in heard]
        assert all(abs(onset / 24000 - blind.LEAD) < 0.1 for onset in onsets)


def test_sounds_of_the_same_units_keep_their_places(pair):
    match = blind.matched(*pair)
    one, two = match.sounds
    assert match.moved[0] == match.moved[1]
    a, b = (sound.samples / sound.samples.std() for sound in (one, two))
    assert float((a - b).std()) < 0.1  # one sample off would give 0.2 or more


def test_a_pair_that_cannot_be_as_loud_is_made_quieter_not_clipped(speech):
    loud = speech(2.0)
    spiky = Waveform(loud.samples * 0.02, 24000)
    spiky.samples[9000] = 1.0
    one, two = blind.matched(loud, spiky).sounds
    assert abs(audio.loudness(one) - audio.loudness(two)) < 0.1
    assert max(audio.peak_dbfs(one), audio.peak_dbfs(two)) < 0


def test_two_rates_or_silence_are_a_programmers_error(speech):
    with pytest.raises(ValueError, match="rates"):
        blind.matched(speech(1.5), speech(1.5, rate=22050))
    with pytest.raises(ValueError, match="silence"):
        blind.matched(speech(1.5), Waveform(torch.zeros(24000), 24000))


def test_the_dither_is_triangular_and_as_quiet_as_stated():
    sent = np.frombuffer(
        blind.issue(Waveform(torch.zeros(200_000), 24000), np.random.default_rng(0)), "<i2"
    ).astype(float)
    # Rounding to 16 bit adds its own twelfth of a step.
    rms = 20 * math.log10(math.sqrt(np.mean(sent**2) - 1 / 12) / 32768)
    assert rms == pytest.approx(-90.0, abs=0.1)
    assert np.mean(sent**4) / np.mean(sent**2) ** 2 == pytest.approx(2.4, abs=0.15)  # a triangle's kurtosis
    assert abs(np.corrcoef(sent[1:], sent[:-1])[0, 1]) < 0.01


# --- a sitting ---------------------------------------------------------------------------


def test_nothing_that_is_sent_betrays_the_key(sittings, pair, tmp_path):
    step = sittings.open("abx", 10, pair, NAMES)
    seen: list[bytes] = []
    for number in range(1, 11):
        sent = {letter: sittings.sound(address) for letter, address in step.addresses.items()}
        assert len({len(data) for data in sent.values()}) == 1
        assert len(set(step.addresses.values())) == 3
        assert list(step.addresses) == ["A", "B", "X"]
        assert not set(sent.values()) & set(seen)  # no bytes are ever sent twice
        assert len(set(sent.values())) == 3
        seen += sent.values()
        assert vars(step).keys() == {"token", "kind", "number", "trials", "rate", "seconds", "addresses"}
        step = sittings.answer(step.token, number, "A")


def test_addresses_say_nothing_and_die_with_their_trial(sittings, pair):
    first = sittings.open("abx", 5, pair, NAMES)
    second = sittings.answer(first.token, 1, "B")
    assert not set(first.addresses.values()) & set(second.addresses.values())
    assert all(sittings.sound(address) is None for address in first.addresses.values())
    again = sittings.resume(first.token)
    assert again.number == 2
    assert not set(second.addresses.values()) & set(again.addresses.values())
    assert sittings.sound("guess") is None
    assert all(len(address) == 24 for address in again.addresses.values())


def test_x_is_what_the_key_says(sittings, pair, tmp_path):
    step = sittings.open("abx", 10, pair, NAMES)
    key = key_of(tmp_path, step.token)
    for letter in key:
        a, b, x = (np.frombuffer(sittings.sound(step.addresses[name]), "<i2").astype(float) for name in "ABX")
        near, far = (a, b) if letter == "A" else (b, a)
        assert np.std(x - near) < np.std(x - far)  # the caveat in the module's words
        step = sittings.answer(step.token, step.number, letter)
    assert (step.score, step.p) == (10, pytest.approx(2**-10))


def test_nothing_is_told_before_the_last_answer(sittings, pair, tmp_path):
    step = sittings.open("abx", 10, pair, NAMES)
    key = key_of(tmp_path, step.token)
    wrong = "B" if key[-1] == "A" else "A"
    last = through(sittings, step, key[:9])
    assert isinstance(last, Trial) and last.number == 10
    result = sittings.answer(step.token, 10, wrong)
    assert isinstance(result, Result)
    assert (result.score, round(result.p, 4), result.clear) == (9, 0.0107, True)
    assert (result.low, result.high) == (pytest.approx(0.555, abs=1e-3), pytest.approx(0.9975, abs=1e-3))
    assert "told them apart: 9 of 10" in result.words
    assert sittings.resume(step.token) == result


def test_chance_is_never_called_equality(sittings, pair, tmp_path):
    step = sittings.open("abx", 10, pair, NAMES)
    key = key_of(tmp_path, step.token)
    other = "".join("BA"["AB".index(letter)] for letter in key)
    result = through(sittings, step, key[:5] + other[5:])
    assert not result.clear
    assert result.words.startswith(
        "You could not tell them apart in 10 trials; that is no proof that they are equal."
    )


def test_a_preference_hides_which_is_which_and_counts_ties_apart(sittings, pair, tmp_path):
    step = sittings.open("preference", 10, pair, NAMES)
    assert list(step.addresses) == ["A", "B"]
    key = key_of(tmp_path, step.token)
    result = through(sittings, step, key[:8] + "==")
    assert (result.counted, result.score, result.clear) == (8, 8, True)
    assert result.p == pytest.approx(2 / 2**8)
    assert "You liked float32 better" in result.words
    undecided = through(sittings, sittings.open("preference", 5, pair, NAMES), "=====")
    assert (undecided.p, undecided.clear) == (1.0, False)
    assert "no proof" in undecided.words


def test_a_key_pressed_twice_answers_once(sittings, pair):
    step = sittings.open("abx", 5, pair, NAMES)
    sittings.answer(step.token, 1, "A")
    assert sittings.answer(step.token, 1, "B").number == 2
    with pytest.raises(InputError, match="no answer"):
        sittings.answer(step.token, 2, "X")


def test_a_sitting_outlives_a_restart(sittings, pair, tmp_path):
    step = through(sittings, sittings.open("abx", 5, pair, NAMES, {"run": "r1"}), "AB")
    risen = Sittings(tmp_path / "blind")
    again = risen.resume(step.token)
    assert (again.number, again.trials, again.seconds) == (3, 5, step.seconds)
    assert risen.sound(again.addresses["X"]) is not None
    result = through(risen, again, "ABA")
    assert isinstance(result, Result)
    assert risen.results(run="r1") == [result] and risen.results(run="r2") == []


def test_half_a_sitting_tells_nothing(sittings, pair):
    step = through(sittings, sittings.open("abx", 5, pair, NAMES), "ABA")
    sittings.abandon(step.token)
    with pytest.raises(InputError, match="no longer here"):
        sittings.resume(step.token)


def test_a_forged_token_opens_nothing(sittings, tmp_path):
    (tmp_path / "sitting.json").write_text("{}")
    for token in ("..", "../..", "a/b", "", "x" * 24):
        with pytest.raises(InputError):
            sittings.resume(token)


def test_too_few_trials_are_refused_before_the_first(sittings, pair):
    for trials in (4, 51):
        with pytest.raises(InputError, match="5 to 50"):
            sittings.open("abx", trials, pair, NAMES)


def test_old_sittings_make_room(sittings, pair, monkeypatch):
    monkeypatch.setattr(blind, "SITTINGS_KEPT", 2)
    tokens = [sittings.open("abx", 5, pair, NAMES).token for _ in range(3)]
    assert sum(1 for _ in sittings._folder.iterdir()) == 2
    assert sittings.resume(tokens[-1]).number == 1
