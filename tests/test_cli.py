"""The command line: exit codes, one JSON object, one line for what can be mended, the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import soundfile

from pipelines import audio, clone
from pipelines.device import MODES, Verdict
from pipelines.registry import Engines
from tests import parrot

TABLE = {"cpu": {mode: Verdict("safe", True, 0.0, 1.0, "measured") for mode in MODES}}
ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "assets" / "example.flac"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, reference):
    """Runs the command line in this process on the toy engine; gives (exit code, out, err)."""
    monkeypatch.setattr(clone, "ENGINES", {"toy": "tests.toy"})
    monkeypatch.setattr(clone.signal, "signal", lambda *_: None)
    monkeypatch.setattr(clone, "Engines", partial(Engines, engines={"toy": "tests.toy"}))
    monkeypatch.setattr(clone.device, "probe", lambda cache: TABLE)
    clip = tmp_path / "clips" / "clip.flac"
    clip.parent.mkdir()
    audio.write(clip, reference, generated=False)

    def call(**changes) -> tuple[int, str, str]:
        flags = {"reference": clip, "text": "Hello there, world.", "out": tmp_path / "out.wav"} | changes
        words = [
            w
            for name, value in flags.items()
            for w in ([f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)]))
        ]
        folders = ["--models", str(tmp_path / "models"), "--data", str(tmp_path / "data")]
        try:
            code = clone.main(words + folders)
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_json_is_one_object_with_all_that_was_promised(run, tmp_path):
    code, out, _ = run(json=True, seed=5)
    told = json.loads(out)
    assert code == 0
    assert set(told) >= {
        "engine", "device", "precision", "seed", "seconds_audio", "seconds_total", "rtf", "stages", "sha256",
    }  # fmt: skip
    assert told["seed"] == 5 and set(told["precision"]) == {"requested", "used", "reason"}
    assert [s["stage"] for s in told["stages"]] == ["listen", "read", "say", "render"]
    assert all(set(s) == {"stage", "seconds", "device", "dtype", "note"} for s in told["stages"])
    assert soundfile.info(tmp_path / "out.wav").duration == pytest.approx(told["seconds_audio"], abs=0.001)


def test_the_file_says_that_it_is_generated_and_how(run, tmp_path):
    run(seed=5)
    with soundfile.SoundFile(tmp_path / "out.wav") as file:
        assert file.comment.startswith("AI-generated speech") and '"seed": 5' in file.comment


def test_a_recipe_tells_whether_it_was_made_as_the_page_makes_it(run, tmp_path):
    for flags, told in (({}, "false"), ({"stream": True}, "true")):
        run(seed=5, **flags)
        with soundfile.SoundFile(tmp_path / "out.wav") as file:
            assert f'"stream": {told}' in file.comment


def test_the_same_seed_gives_the_same_sha256(run):
    first, again, other = (json.loads(run(json=True, seed=seed)[1])["sha256"] for seed in (3, 3, 4))
    assert first == again != other


def test_what_is_not_asked_for_is_as_is_usual_for_the_engine():
    needed = ["--reference", "a", "--text", "b", "--out", "c"]
    options = clone.parser().parse_args([*needed, "--top-k", "0", "--speed", "1.5"])
    usual = parrot.SPEC.usual
    assert usual.top_k == 15
    assert clone.knobs(options, parrot.SPEC) == replace(usual, top_k=0, speed=1.5)
    assert clone.knobs(clone.parser().parse_args(needed), parrot.SPEC) == usual


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": "absent.wav"}, "absent.wav"),
        ({"reference": __file__}, "test_cli.py"),
        ({"text": " "}, "nothing to say"),
        ({"out": "nowhere/at/all/out.wav"}, "nowhere"),
        ({"out": "out.exe"}, ".exe"),
        ({"engine": "nobody"}, "nobody"),
        ({"device": "cuda:9"}, "cuda:9"),
        ({"precision": "float8"}, "float8"),
        ({"speed": "fast"}, "--speed"),
        ({"speed": "9"}, "speed"),
        ({"seed": "-1"}, "seed"),
        ({"temperature": "3"}, "temperature of 3 is outside 0 to 2"),
        ({"top_p": "0"}, "top-p of 0"),
        ({"prosody": "sung"}, "cannot speak 'sung'"),
        ({"steps": "8"}, "no steps to choose"),
        ({"repetition_penalty": "3"}, "repetition penalty of 3"),
    ],
)
def test_what_can_be_mended_is_one_line_and_exit_2(run, tmp_path, changes, words):
    code, out, err = run(**changes)
    assert code == 2 and out == "" and err.count("\n") == 1 and words in err
    assert not list(tmp_path.glob("*.wav"))


def test_the_real_command_speaks(tmp_path):
    out = tmp_path / "real.wav"
    command = [sys.executable, "-m", "pipelines.clone", "--reference", str(EXAMPLE), "--out", str(out)]
    command += ["--text", "This voice is made on my own machine.", "--seed", "1", "--json"]
    command += ["--data", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["engine"] == "small" and 1.0 < told["seconds_audio"] < 6.0
    assert soundfile.info(out).samplerate == 24000
