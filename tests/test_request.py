"""What the page's buttons do, without the page: handlers on the toy engine."""

from __future__ import annotations

import errno
import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import audio, synthesis
from pipelines.device import Verdict
from pipelines.registry import Engines
from pipelines.types import InputError, Request, Waveform, Wish
from tests import parrot, toy
from webui import markup, picture, words
from webui.handlers import Ask, Desk, Example, Job, trouble

GOOD = Verdict("safe", True, 0.0, 1.0, "The reference.")
TABLE = {
    "cpu": {
        "float32": GOOD,
        "bfloat16": Verdict("possible", True, 0.003, 0.5, "It runs, but slowly."),
        "float16": Verdict("impossible", False, None, None, "It gives no numbers here."),
        "int8": GOOD,
    }
}
TEXT = "The first sentence is here. The second one follows it."


@pytest.fixture
def clip(tmp_path) -> str:
    return hummed(tmp_path / "clip.wav", 150)


@pytest.fixture
def desk(tmp_path) -> Desk:
    return desk_in(tmp_path)


def desk_in(folder: Path, pace: float = 0.0, example: Example | None = None) -> Desk:
    (folder / "models" / "toy").mkdir(parents=True, exist_ok=True)
    (folder / "models" / "toy" / "config.json").write_text(json.dumps({"pace": pace}))
    engines = Engines(folder / "models", folder / "data", TABLE, {"toy": toy})
    return Desk(engines, folder / "data", "toy", example)


def hummed(path: Path, pitch: float, seconds: float = 3.0) -> str:
    """A wav of a hum that swells and fades three times a second, as a syllable does."""
    t = torch.arange(round(24000 * seconds)) / 24000
    hum = sum(torch.sin(2 * torch.pi * k * pitch * t) / k for k in range(1, 12))
    swell = 0.5 - 0.5 * torch.cos(2 * torch.pi * 3 * t)
    audio.write(path, Waveform(0.2 * hum * swell, 24000), generated=False)
    return str(path)


def done(job: Job, seconds: float = 30.0) -> Job:
    """The job when it has ended."""
    end = time.monotonic() + seconds
    while not job.finished and time.monotonic() < end:
        time.sleep(0.01)
    assert job.finished
    return job


def ask(clip: str | None, **changes) -> Ask:
    return replace(Ask(clip, TEXT, consent=True), **changes)


def test_a_take_is_made_and_its_files_are_there(desk, clip):
    job = done(desk.speak("me", ask(clip, seed=7), "en"))
    assert job.error is None
    card = job.card
    sound = audio.read(desk.file(card.token, "take.wav"))
    assert sound.seconds == pytest.approx(card.seconds, abs=1e-3)
    assert b"".join(job.pcm) == audio.pcm16(sound).astype("<i2").tobytes()
    recipe = json.loads(desk.file(card.token, "recipe.json").read_text())
    assert "00:00:00,000 --> " in desk.file(card.token, "take.srt").read_text()
    assert recipe["made"]["sha256"] == card.sha256 and recipe["sampling"]["seed"] == 7
    assert desk.file(card.token, "spectrogram.png").read_bytes().startswith(b"\x89PNG")
    assert [line.stage for line in card.stages] == ["listen", "read", "say", "render"]


def test_what_the_page_leaves_open_is_as_is_usual_for_the_engine(tmp_path, clip):
    (tmp_path / "models/parrot").mkdir(parents=True)
    (tmp_path / "models/parrot/config.json").write_text("{}")
    both = Engines(tmp_path / "models", tmp_path / "data", TABLE, {"toy": toy, "parrot": parrot})
    desk = Desk(both, tmp_path / "data", "toy")
    asked = ask(clip, engine="parrot", top_p=0.5, repetition_penalty=1.0, steps=4)
    card = done(desk.speak("me", asked, "en")).card
    sampling = json.loads(desk.file(card.token, "recipe.json").read_text())["sampling"]
    told = {name: sampling[name] for name in ("top_k", "top_p", "repetition_penalty", "steps")}
    assert told == {"top_k": 15, "top_p": 0.5, "repetition_penalty": 1.0, "steps": 4}


def test_the_page_hears_the_first_sentence_while_it_is_said_and_makes_it_again_so(tmp_path, clip):
    desk = desk_in(tmp_path)
    card = done(desk.speak("me", ask(clip), "en")).card
    assert json.loads(desk.file(card.token, "recipe.json").read_text())["stream"] is True
    assert desk._request_kept(card.token).stream and desk_in(tmp_path)._request_kept(card.token).stream


def test_consent_is_required_on_the_page_and_below_it(desk, clip):
    with pytest.raises(InputError, match="Tick the box"):
        desk.speak("me", ask(clip, consent=False), "en")
    with pytest.raises(InputError, match="right to use"):
        next(synthesis.clone(desk.engines, Request("toy", TEXT, audio.read(clip))))


def test_consent_is_kept_with_time_and_wording_and_can_be_taken_back(tmp_path, clip):
    desk = desk_in(tmp_path)
    assert not desk.clip(clip).consent
    done(desk.speak("me", ask(clip), "zh"))
    (record,) = (tmp_path / "data" / "consents").glob("*.json")
    assert json.loads(record.read_text())["consent"]["wording"] == words.CONSENT["zh"]
    assert json.loads(record.read_text())["consent"]["when"].endswith("+00:00")
    assert desk_in(tmp_path).clip(clip).consent
    with pytest.raises(InputError):
        desk.speak("me", ask(clip, consent=False), "en")
    assert not desk.clip(clip).consent


def test_the_shipped_example_needs_no_tick(tmp_path, clip):
    desk = desk_in(tmp_path, example=Example(Path(clip), TEXT, "Made by us; CC0.", "2026-11-21T00:00:00Z"))
    assert desk.clip(clip).example
    assert done(desk.speak("me", ask(clip, consent=False), "en")).card is not None


def test_stop_ends_the_work_and_keeps_what_was_made(tmp_path, clip):
    desk = desk_in(tmp_path, pace=0.1)
    job = desk.speak("me", ask(clip, text=TEXT * 20), "en")
    while job.heard < 1:
        time.sleep(0.01)
    desk.stop("me")
    done(job)
    assert "Make again" not in markup.take(job.card, "en")
    assert job.card.stopped and 0.9 < job.card.seconds < 60
    assert desk.file(job.token, "take.wav").is_file()


def test_stop_before_any_sound_is_a_sentence(tmp_path, clip):
    desk = desk_in(tmp_path, pace=0.05)
    first = desk.speak("first", ask(clip, text=TEXT * 4), "en")
    second = desk.speak("second", ask(clip), "en")
    while second.stage != "waiting":
        time.sleep(0.01)
    desk.stop("second")
    assert done(second).error == words.say("en", "error.stopped")
    assert not first._stop.is_set()
    desk.stop("first")
    done(first)


def test_who_waits_is_told_the_place(tmp_path, clip):
    desk = desk_in(tmp_path, pace=0.05)
    desk.speak("first", ask(clip, text=TEXT * 4), "en")
    second = desk.speak("second", ask(clip), "en")
    while second.stage != "waiting":
        time.sleep(0.01)
    assert "place 1 of 1" in markup.progress(second, "en")
    desk.stop("first")
    done(second)


def test_one_visitor_does_one_thing_at_a_time(tmp_path, clip):
    desk = desk_in(tmp_path, pace=0.05)
    job = desk.speak("me", ask(clip, text=TEXT * 4), "en")
    with pytest.raises(InputError, match="One thing at a time"):
        desk.speak("me", ask(clip), "en")
    desk.leave("me")
    done(job)


def test_visitors_cannot_reach_each_others_takes(desk, clip):
    card = done(desk.speak("anna", ask(clip), "en")).card
    assert [c.token for c in desk.cards("anna")] == [card.token]
    assert desk.cards("bert") == []
    with pytest.raises(InputError):
        desk.again("bert", card.token, "en")
    desk.delete("bert", card.token)
    assert desk.file(card.token, "take.wav").is_file()
    desk.delete("anna", card.token)
    assert desk.file(card.token, "take.wav") is None and desk.cards("anna") == []
    assert not (desk.data / "takes" / card.token).exists()


def test_a_visit_finds_its_takes_again_and_nothing_stale(desk, clip):
    card = done(desk.speak("before", ask(clip), "en")).card
    assert [c.token for c in desk.arrive("after", [card.token, "gone", 3, None])] == [card.token]
    assert desk.arrive("other", {"not": "a list"}) == []


def test_no_other_file_of_a_take_can_be_fetched(desk, clip):
    card = done(desk.speak("me", ask(clip), "en")).card
    for name in ("../../consents", "x", "", "take.wav/..", "/etc/passwd"):
        assert desk.file(card.token, name) is None
    assert desk.file("..", "take.wav") is None


def test_made_again_gives_the_same_bytes(desk, clip):
    card = done(desk.speak("me", ask(clip, seed=3), "en")).card
    again = done(desk.again("me", card.token, "en")).card
    assert again.again == card.sha256
    assert words.say("en", "take.same", sha256=card.sha256) in markup.take(desk.cards("me")[0], "en")
    assert "other bytes" in markup.take(replace(card, again="0" * 64), "en")


def test_a_refined_voice_is_used_and_kept_beyond_a_restart(tmp_path, clip):
    desk = desk_in(tmp_path)
    quick = done(desk.speak("me", ask(clip), "en")).card
    assert not quick.refined
    assert done(desk.refine("me", ask(clip), "en")).error is None
    later = desk_in(tmp_path)
    assert later.clip(clip).refined
    closer = done(later.speak("me", ask(clip), "en")).card
    assert closer.refined and closer.sha256 != quick.sha256
    assert done(later.speak("me", ask(clip, closer=False), "en")).card.sha256 == quick.sha256


def test_a_mended_clip_keeps_its_consent(tmp_path, desk):
    hum = hummed(tmp_path / "quiet.wav", 150)
    waveform = audio.read(hum)
    quiet = tmp_path / "clip.wav"
    audio.write(quiet, Waveform(waveform.samples * 0.01, waveform.sample_rate), generated=False)
    clip = str(quiet)
    kinds = [finding.kind for finding in desk.clip(clip).findings if finding.mend]
    assert kinds
    done(desk.speak("me", ask(clip), "en"))
    rate, pcm = desk.mend(clip, kinds[0])
    mended = tmp_path / "mended.wav"
    audio.write(mended, Waveform(torch.from_numpy(pcm / np.float32(32768)), rate), generated=False)
    assert desk.clip(str(mended)).consent
    with pytest.raises(InputError):
        desk.mend(clip, "nonsense")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clip": None}, "Choose or record"),
        ({"text": "  "}, "Write something"),
        ({"text": "a" * 10_001}, "at most 10000"),
    ],
)
def test_what_can_be_mended_is_a_sentence(desk, clip, change, said):
    with pytest.raises(InputError, match=said):
        desk.speak("me", replace(ask(clip), **change), "en")


def test_no_sound_file_is_a_sentence(desk, tmp_path):
    text = tmp_path / "clip.wav"
    text.write_text("This is no sound at all. " * 100)
    with pytest.raises(InputError, match="text file"):
        desk.clip(str(text))


def test_every_failure_is_one_plain_sentence(caplog):
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "disk is full" in trouble(full, "en")
    assert "memory" in trouble(MemoryError(), "en")
    assert "memory" in trouble(RuntimeError("CUDA out of memory"), "en")
    said = trouble(KeyError("secret internals"), "en")
    assert "secret" not in said and "Traceback" not in said
    assert said.rstrip(".").split()[-1] in caplog.text


def test_a_crash_in_the_engine_does_not_reach_the_page(tmp_path, clip):
    desk = desk_in(tmp_path)
    (tmp_path / "models/toy/config.json").write_text(json.dumps({"faults": {"render always": "crash"}}))
    job = done(desk.speak("me", ask(clip), "en"))
    assert job.card is None and "slow_conv2d" not in job.error and "Something went wrong" in job.error


def test_a_full_disk_is_told_and_leaves_nothing_behind(desk, clip, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(picture, "spectrogram", full)
    job = done(desk.speak("me", ask(clip), "en"))
    assert job.error == words.say("en", "error.disk") and job.card is None
    assert list((desk.data / "takes").iterdir()) == []


def test_stored_settings_are_guarded(desk):
    assert desk.wish("cpu", "bfloat16") == Wish("cpu", "bfloat16")
    assert desk.wish("cuda:7", ["x"]) == Wish("auto", "auto")
    assert desk.wish("cpu", "float16").precision != "float16"


def test_many_visitors_are_served_in_turn(tmp_path, clip):
    desk = desk_in(tmp_path)
    jobs: dict[int, Job] = {}

    def visit(number: int) -> None:
        jobs[number] = done(desk.speak(f"visitor {number}", ask(clip, seed=number % 2), "en"))

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len({job.card.sha256 for job in jobs.values()}) == 2  # two seeds: two sounds, whoever asked
    assert {job.card.seed for job in jobs.values()} == {0, 1}


def test_language_is_the_first_that_is_spoken_here():
    assert words.language("zh-CN,zh;q=0.9,en;q=0.8") == "zh"
    assert words.language("de-DE,de;q=0.9,en;q=0.8,zh;q=0.1") == "en"
    assert words.language(None) == words.language("") == words.language("fr") == "en"


def test_both_languages_fill_the_same_blanks():
    for key, (english, chinese) in words.TEXTS.items():
        blanks = [set(re.findall(r"{(\w+)", text)) for text in (english, chinese)]
        assert blanks[0] == blanks[1], key


def test_what_a_person_wrote_stays_text(desk, clip):
    card = done(desk.speak("me", ask(clip, text="<img src=x onerror=alert(1)> & so on."), "en")).card
    assert "<img" not in markup.take(card, "en")


def test_spectrogram_shows_a_tone_where_it_sounds():
    t = np.arange(24000) / 24000
    low, high = (picture._mel_decibels(np.sin(2 * np.pi * f * t), 24000).mean(axis=1) for f in (300, 3000))
    assert low.argmax() < high.argmax()
    rows = 2595 * np.log10(1 + 3000 / 700) / (2595 * np.log10(1 + 10_000 / 700)) * 127
    assert abs(high.argmax() - rows) <= 2
