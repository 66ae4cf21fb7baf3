"""A comparison on the toy: what is made and measured, Stop, faults, files, the command line."""

from __future__ import annotations

import csv
import json
import re
import threading
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from pipelines import audio, compare, device, measures, report
from pipelines.compare import Comparison, Key, Plan, Step
from pipelines.device import MODES, Verdict
from pipelines.registry import Engines
from pipelines.synthesis import clone
from pipelines.types import Cancelled, Consent, InputError, Request, Run, Sampling, Span, Waveform
from tests.conftest import make_speech

SAFE = Verdict("safe", True, 0.0, 1.0, "measured")
NEVER = Verdict("impossible", False, None, None, "float16 does not run here.")
TABLE = {"cpu": {"float32": SAFE, "bfloat16": SAFE, "float16": NEVER, "int8": SAFE}}
CONSENT = Consent("I have the right to use <this> voice.", "2026-01-01T00:00:00Z")
TEXTS = ("The first one is here. Now comes another.", "A <b>text</b> & more.")


@pytest.fixture(scope="module")
def clip() -> Waveform:
    return make_speech(3.0)


@pytest.fixture
def engines(tmp_path) -> Engines:
    return Engines(tmp_path / "models", tmp_path / "data", TABLE, {"toy": "tests.toy"})


def plan_for(clip: Waveform, **changes) -> Plan:
    babble = Sampling(prosody="babble")
    plan = Plan("toy", clip, TEXTS, ("bfloat16", "float16", "int8"), (3, 4), consent=CONSENT, sampling=babble)
    return replace(plan, recognise=False, **changes)


def plant(engines: Engines, **config) -> None:
    folder = engines.models / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def run_of(engines: Engines, plan: Plan, run: Run = compare.AT_ONCE) -> Comparison:
    *_, result = compare.compare(engines, plan, run)
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory, clip) -> Comparison:
    """A full run at float32, bfloat16 and int8, each stage also alone; float16 is not possible."""
    folder = tmp_path_factory.mktemp("whole")
    engines = Engines(folder / "models", folder / "data", TABLE, {"toy": "tests.toy"})
    return run_of(engines, plan_for(clip, stages_alone=True))


def figure(comparison: Comparison, name: str, mode: str, kind: str, stage: str = "") -> compare.Figure:
    found = [f for f in comparison.figures if (f.name, f.mode, f.kind, f.stage) == (name, mode, kind, stage)]
    assert len(found) == 1
    return found[0]


# ------------------------------------------------------------------------------------------ what is made


def test_all_takes_are_made(whole):
    made = {(key.kind, key.mode, key.stage) for key in whole.takes}
    assert made == {
        ("free", "float32", ""), ("control", "float32", ""), ("noise", "float32", ""),
        ("free", "bfloat16", ""), ("locked", "bfloat16", ""), ("free", "int8", ""),
        ("locked", "bfloat16", "listen"), ("free", "bfloat16", "say"), ("locked", "bfloat16", "render"),
    }  # fmt: skip
    assert len(whole.takes) == len(made) * 4 and not whole.silent and not whole.stopped
    assert ("int8", "locked") in whole.absent and whole.absent["float16", ""].startswith("float16 cannot")


def test_locked_takes_hold_float32s_units_and_no_other_lowered_stage_does_harm(whole):
    for key, take in whole.takes.items():
        truth = whole.takes[key.truth]
        if key.kind in ("locked", "noise"):
            pairs = zip(take.said, truth.said, strict=True)
            assert all(torch.equal(a.ids, b.ids) for a, b in pairs)
            assert len(take.waveform.samples) == len(truth.waveform.samples)
        if key.stage == "listen":  # the toy listens without a network
            assert take.sha256 == truth.sha256
        if key.kind in ("control", "noise"):
            assert take.sha256 != truth.sha256
        placement = take.recipe["placement"]
        lowered = {stage for stage in ("listen", "say", "render") if placement[stage] != "float32"}
        expected = {"float32": set(), "int8": {"say"}, "bfloat16": {"listen", "say", "render"}}[key.mode]
        assert lowered == ({key.stage} if key.stage else expected)


def test_a_take_is_what_clone_alone_makes(whole, engines, clip):
    request = Request("toy", TEXTS[1], clip, sampling=Sampling(prosody="babble", seed=4), consent=CONSENT)
    *_, take = clone(engines, replace(request, wish=device.Wish("cpu", "bfloat16")))
    assert whole.takes[Key("free", "bfloat16", text=1, seed=1)].sha256 == take.sha256


def test_steps_count_up_to_the_whole(engines, clip):
    plan = plan_for(clip, texts=TEXTS[1:], seeds=(1,), stages_alone=True)
    steps = [event for event in compare.compare(engines, plan) if isinstance(event, Step)]
    counts = [step.done for step in steps]
    assert counts == sorted(counts)
    assert len({step.total for step in steps}) == 1 and counts[-1] == steps[-1].total
    assert {step.key.kind for step in steps if step.take} == {"free", "control", "noise", "locked"}


# -------------------------------------------------------------------------------------- what is measured


def test_locked_figures_are_medians_of_the_measures_beside_the_noise(whole):
    takes = whole.takes
    pairs = [(t, s) for t in (0, 1) for s in (0, 1)]
    for name in ("lsd", "mcd", "snr", "mr_stft", "stoi"):

        def of(key: Key, name: str = name) -> float:
            return measures.locked(takes[key.truth].waveform, takes[key].waveform)[name]

        own = [of(Key("locked", "bfloat16", "render", t, s)) for t, s in pairs]
        control = [of(Key("noise", text=t, seed=s)) for t, s in pairs]
        found = figure(whole, name, "bfloat16", "locked", "render")
        assert (found.median, found.count) == (pytest.approx(np.median(own)), 4)
        assert (found.low, found.high) == measures.interval(own)[1:]
        assert found.control_median == pytest.approx(np.median(control))


def test_bfloat16_is_nearer_to_float32_than_chance_is(whole):
    apart = figure(whole, "dtw_mcd", "bfloat16", "free")
    assert 0 < apart.high < apart.control_low
    assert figure(whole, "units_equal", "bfloat16", "free").median > 90
    assert figure(whole, "units_equal", "bfloat16", "free").control_median < 50
    card = next(card for card in whole.cards if card.mode == "bfloat16")
    assert card.level == "near" and "its memory" in card.costs


def test_teacher_forced_figures_tell_modes_apart(whole):
    half, byte = (figure(whole, "kl", mode, "forced") for mode in ("bfloat16", "int8"))
    assert 0 < half.median < 0.1 and 0 < byte.median < 0.1 and half.control_median is None
    assert figure(whole, "top1", "bfloat16", "forced").median > 90
    assert figure(whole, "gap", "bfloat16", "forced").median > 0


def test_no_figure_of_time_alignment_is_given_of_free_readings(whole):
    aligned = {name for name, measure in measures.MEASURES.items() if measure.kind == "locked"}
    assert not aligned & {f.name for f in whole.figures if f.kind == "free"}
    assert {f.kind for f in whole.figures if f.name in aligned} == {"locked"}
    assert all(measures.MEASURES[f.name].sentence == f.sentence for f in whole.figures)


def test_costs_are_of_every_mode_and_weights_in_ratio(whole):
    costs = {cost.mode: cost for cost in whole.costs}
    assert list(costs) == ["float32", "bfloat16", "int8"]
    assert costs["float32"].speed is None and costs["bfloat16"].memory == pytest.approx(0.5)
    assert costs["bfloat16"].speed_low <= costs["bfloat16"].speed <= costs["bfloat16"].speed_high


def of(name: str, own: tuple[float, float, float], control: tuple[float, float, float]) -> compare.Figure:
    measure = measures.MEASURES[name]
    return compare.Figure(
        name, measure.label, "free", "bfloat16", "", measure.unit, measure.better, measure.sentence, 9,
        *own, *control,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("median", "draws", "level", "words"),
    [
        (0.0, True, "near", "same reading"),
        (1.0, True, "near", "only 25%"),
        (4.4, True, "other", "110%"),
        (6.0, True, "worse", "150%"),
        (10.0, True, "worse", "2.5 times"),
        (4.4, False, "near", "4.4 dB"),
        (10.0, False, "other", "2.5 times as far as a voice moved"),
    ],
)
def test_a_card_reads_the_distance_against_the_control(median, draws, level, words):
    found = compare._heard_words({"dtw_mcd": of("dtw_mcd", (median,) * 3, (4.0, 3.0, 5.0))}, draws)
    assert found[0] == level and words in found[1]


def test_a_card_tells_more_words_misheard_and_less_likeness_only_beyond_the_control():
    figures = {"dtw_mcd": of("dtw_mcd", (1, 1, 1), (4, 4, 4))}
    near = figures | {"wer_change": of("wer_change", (3, 1, 5), (0, -2, 2))}
    assert compare._heard_words(near, True)[0] == "near"
    more = figures | {"wer_change": of("wer_change", (9, 5, 12), (0, -2, 2))}
    level, words = compare._heard_words(more, True)
    assert level == "worse" and words.endswith("another seed's reading. More words are misheard: 9 of 100.")
    less = figures | {"similarity_change": of("similarity_change", (-0.2, -0.3, -0.1), (0, -0.05, 0.05))}
    assert "less like the voice, by 0.20" in compare._heard_words(less, True)[1]


def test_an_impossible_mode_is_a_card_with_its_reason(whole):
    card = next(card for card in whole.cards if card.mode == "float16")
    assert card.level == "impossible" and "float16 does not run here" in card.sounds
    assert [card.mode for card in whole.cards] == ["float32", "bfloat16", "float16", "int8"]


def test_modes_are_told_possible_or_not_with_the_reason(engines):
    found = compare.possible(engines, "toy")
    assert list(found) == list(MODES)
    assert found["bfloat16"][0] and not found["float16"][0] and "does not run" in found["float16"][1]


def test_a_prosody_that_draws_nothing_is_held_against_a_nudged_voice(engines, clip):
    result = run_of(engines, plan_for(clip, sampling=Sampling(prosody="flat"), modes=("bfloat16",)))
    assert not result.draws and any("draws nothing" in note for note in result.notes)
    assert not [f for f in result.figures if f.kind == "forced"] and ("", "forced") in result.absent
    control = result.takes[Key("control")]
    assert control.sha256 != result.takes[Key("free")].sha256
    assert ("float32", "noise") in result.absent  # flat rendering has no breath
    assert figure(result, "snr", "bfloat16", "locked").control_median is None
    assert next(card for card in result.cards if card.mode == "bfloat16").level == "same"


def test_an_engine_without_logits_says_so(engines, clip, monkeypatch):
    monkeypatch.delattr("tests.toy.Toy.logits")
    result = run_of(engines, plan_for(clip, texts=TEXTS[1:], modes=("bfloat16",), seeds=(0,)))
    assert "odds" in result.absent["", "forced"] and not [f for f in result.figures if f.kind == "forced"]


def test_a_prosody_without_odds_is_compared_all_the_same(engines, clip):
    plan = plan_for(clip, texts=TEXTS[1:], seeds=(0,), modes=("bfloat16",), sampling=Sampling(prosody="hum"))
    result = run_of(engines, plan)
    assert "babble" in result.absent["", "forced"] and {f.kind for f in result.figures} == {"free", "locked"}


def test_words_are_counted_where_a_recogniser_is(engines, clip, monkeypatch):
    monkeypatch.setattr(measures, "can_recognise", lambda: True)
    monkeypatch.setattr(measures, "recogniser", lambda: lambda sound: TEXTS[1])
    plan = replace(plan_for(clip, modes=("bfloat16",), texts=TEXTS[1:], seeds=(0,)), recognise=True)
    assert figure(run_of(engines, plan), "wer_change", "bfloat16", "free").median == 0
    monkeypatch.setattr(measures, "can_recognise", lambda: False)
    assert any("pip install faster-whisper" in note for note in run_of(engines, plan).notes)


def test_a_refined_voice_is_made_once_and_given_to_all(engines, clip):
    plan = plan_for(clip, texts=TEXTS[1:], seeds=(0,), modes=("bfloat16",), refine=True, stages_alone=True)
    result = run_of(engines, plan)
    pitches = {float(take.voice.tensors["pitch"]) for take in result.takes.values()}
    assert len(pitches) == 1 and {key.stage for key in result.takes} == {"", "say", "render"}


# ------------------------------------------------------------------------------------------- Stop, faults


def stopped_after(engines: Engines, plan: Plan, takes: int) -> Comparison:
    stop, made = threading.Event(), 0
    for event in compare.compare(engines, plan, Run(stop.is_set)):
        if isinstance(event, Comparison):
            return event
        made += event.take is not None
        if made == takes:
            stop.set()
    raise AssertionError


@pytest.mark.parametrize("takes", [1, 6, 14])
def test_stop_gives_what_is_finished(engines, clip, tmp_path, takes):
    result = stopped_after(engines, plan_for(clip), takes)
    assert result.stopped and len(result.takes) == takes
    assert [card.mode for card in result.cards] == ["float32", "bfloat16", "float16", "int8"]
    report.write(result, tmp_path / "report")
    assert "Stopped before the end" in (tmp_path / "report" / "report.html").read_text()


def test_stop_before_anything_is_made_is_cancelled(engines, clip):
    with pytest.raises(Cancelled):
        run_of(engines, plan_for(clip), Run(lambda: True))


@pytest.mark.parametrize(
    ("stage", "fault"), [("say", "nan"), ("say", "unsound"), ("render", "silence"), ("render", "crash")]
)
def test_a_mode_without_sound_is_a_card_and_never_healed(engines, clip, tmp_path, stage, fault):
    plant(engines, faults={stage: fault})
    plan = plan_for(clip, texts=TEXTS[1:], seeds=(0,), modes=("bfloat16",), stages_alone=True)
    result = run_of(engines, plan)
    assert Key("free", "bfloat16") in result.silent and Key("free", "bfloat16") not in result.takes
    assert next(card for card in result.cards if card.mode == "bfloat16").level == "no sound"
    assert result.takes[Key("free")].notes == ()
    other = Key("locked" if stage == "say" else "free", "bfloat16", "render" if stage == "say" else "say")
    assert other in result.takes  # the sound stage alone is there
    report.write(result, tmp_path / "report")


def test_float32_without_sound_ends_the_run_in_words(engines, clip):
    plant(engines, faults={"render always": "silence"})
    with pytest.raises(InputError, match="Even float32 gives no sound"):
        run_of(engines, plan_for(clip))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"texts": ()}, "no text"),
        ({"texts": ("One.", " ")}, "no text"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"modes": ("float32",)}, "at least one"),
        ({"modes": ("float8",)}, "float8"),
        ({"consent": None}, "right to use"),
        ({"device": "cuda"}, "cuda"),
        ({"language": "xx"}, "xx"),
        ({"engine": "absent"}, "absent"),
    ],
)
def test_what_can_be_mended_is_told_before_anything_is_made(engines, clip, changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        next(compare.compare(engines, plan_for(clip, **changes)))


def test_others_go_between_two_pieces_of_work(engines, clip):
    """A visitor who comes while a comparison runs waits for one piece of work, not for all."""
    order: list[str] = []
    plan = plan_for(clip, modes=("bfloat16",), seeds=(0,))
    *_, alone = clone(engines, Request("toy", "Hello.", clip, consent=CONSENT))

    def visit() -> None:
        *_, take = clone(engines, Request("toy", "Hello.", clip, consent=CONSENT))
        order.append("visitor")
        assert take.sha256 == alone.sha256

    visitor = None
    for event in compare.compare(engines, plan):
        if isinstance(event, Step) and event.take is not None and visitor is None:
            visitor = threading.Thread(target=visit)
            visitor.start()
            visitor.join(20)
        order.append("step")
    assert "visitor" in order[:10]


# -------------------------------------------------------------------------------------------------- pictures


def test_a_take_parts_nowhere_from_itself(whole):
    take = whole.takes[Key("free")]
    for aligned in (True, False):
        assert compare.where_they_part(take, take, aligned).distance.max() == 0


def test_where_two_takes_part_is_found(whole):
    take = whole.takes[Key("free")]
    changed = take.waveform.samples.clone()
    changed[24_000 : 24_000 + 4_800] *= 0.1
    other = replace(take, waveform=Waveform(changed, 24_000))
    track = compare.where_they_part(take, other, True)
    inside = np.arange(len(track.distance)) * track.step
    inside = (inside >= 1.0) & (inside < 1.2)
    assert track.distance[inside].mean() > 5 > 0.5 > track.distance[~inside].mean()
    sheet = compare.sheet(take, other, True)
    assert sheet.a.shape == sheet.b.shape == sheet.apart.shape
    assert sheet.top - sheet.floor == pytest.approx(60) and sheet.a.min() >= sheet.floor


def test_a_slower_reading_is_laid_onto_the_first(whole):
    take = whole.takes[Key("free", text=1)]
    slow = Waveform(take.waveform.samples.repeat_interleave(2), 24_000)  # an octave lower as well
    other = replace(take, waveform=slow, spans=(Span(TEXTS[1], 0.0, slow.seconds),))
    track = compare.where_they_part(take, other, False)
    assert np.isfinite(track.distance).all()
    assert len(track.distance) == pytest.approx(take.waveform.seconds / 0.05, abs=1)


def test_the_difference_of_two_sounds_is_theirs_sample_by_sample():
    a, b = Waveform(torch.tensor([0.5, 0.25, 0.1]), 8000), Waveform(torch.tensor([0.25, 0.25]), 8000)
    assert compare.difference(a, b).samples.tolist() == [0.25, 0.0]


# ----------------------------------------------------------------------------------------------------- files


def test_the_zip_holds_all_and_the_tables_parse(whole, tmp_path):
    path = tmp_path / "compare.zip"
    report.pack(whole, path, [{"Test": "ABX", "Right": "9 of 10", "p": 0.0107}])
    with zipfile.ZipFile(path) as packed:
        names = set(packed.namelist())
        assert {"report.html", "figures.csv", "values.csv", "blind.csv", "recipe.json"} <= names
        assert {report.file_of(key) for key in whole.takes} <= names
        rows = list(csv.DictReader(packed.read("values.csv").decode().splitlines()))
        figures = list(csv.DictReader(packed.read("figures.csv").decode().splitlines()))
        page = packed.read("report.html").decode()
    assert len(rows) == len(whole.values)
    assert [float(row["value"]) for row in rows] == [value.value for value in whole.values]
    assert [float(row["median"]) for row in figures] == [f.median for f in whole.figures]
    assert "9 of 10" in page and not list(tmp_path.glob(".*"))


def test_the_page_asks_nothing_of_the_world_and_escapes_what_people_wrote(whole):
    page = report.html(whole, [{"<i>Test": "<script>alert(1)</script>"}])
    assert not re.search(r"(?:src|href)=\"(?!takes/|data:|figures\.csv|values\.csv|recipe\.json)", page)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "<b>text</b>" not in page and "&lt;b&gt;text&lt;/b&gt; &amp; more." in page
    assert "<script>alert" not in page and "<i>Test" not in page
    assert audio.AI_GENERATED in page and "I have the right to use &lt;this&gt; voice." in page
    assert all(report.file_of(key) in page for key in whole.takes)


def test_the_wavs_are_the_takes_and_say_what_they_are(whole, tmp_path):
    report.write(whole, tmp_path / "deep" / "report")
    for key, take in whole.takes.items():
        path = tmp_path / "deep" / "report" / report.file_of(key)
        with soundfile.SoundFile(path) as file:
            assert file.comment.startswith(audio.AI_GENERATED)
        read = audio.read(path)
        assert torch.allclose(read.samples, take.waveform.samples, atol=1 / 32768)


def test_a_report_cannot_be_written_over_a_file(whole, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        report.write(whole, tmp_path / "file")


def test_pictures_are_png(whole):
    import io

    from PIL import Image

    shares = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]])
    picture = Image.open(io.BytesIO(report.png(shares))).convert("L")
    assert picture.size == (3, 2)
    assert picture.getpixel((0, 1)) < picture.getpixel((2, 1)) < picture.getpixel((1, 1))


def test_a_recipe_makes_the_same_bytes(whole, engines, clip):
    recipe = json.loads(json.dumps(whole.recipe))
    plan = compare.plan_of(recipe, clip, CONSENT)
    again = run_of(engines, plan)
    assert compare.differing_takes(recipe, again) == []
    assert {key: take.sha256 for key, take in again.takes.items()} == {
        key: take.sha256 for key, take in whole.takes.items()
    }
    recipe["takes"][0]["sha256"] = "other"
    assert compare.differing_takes(recipe, again) == ["free float32 0 0"]


def test_a_recipe_is_refused_for_another_clip_or_when_damaged(whole, tmp_path):
    with pytest.raises(InputError, match="not the clip"):
        compare.plan_of(whole.recipe, make_speech(3.0, seed=9), CONSENT)
    recipe = {name: value for name, value in whole.recipe.items() if name != "modes"}
    with pytest.raises(InputError, match="damaged"):
        compare.plan_of(recipe, whole.plan.reference, CONSENT)
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(InputError, match="no recipe"):
        compare.read_recipe(tmp_path / "other.json")


# ------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, clip):
    """Runs the command line in this process on the toy; gives (exit code, out, err)."""
    monkeypatch.setattr(compare, "ENGINES", {"toy": "tests.toy"})
    monkeypatch.setattr(compare.signal, "signal", lambda *_: None)
    monkeypatch.setattr(compare, "Engines", partial(Engines, engines={"toy": "tests.toy"}))
    monkeypatch.setattr(compare.device, "probe", lambda cache: TABLE)
    path = tmp_path / "clip.flac"
    audio.write(path, clip, generated=False)
    texts = tmp_path / "texts.txt"
    texts.write_text("One sentence here.\n\n  Another one. \n")
    flags = ["--reference", str(path), "--models", str(tmp_path / "models"), "--data", str(tmp_path / "data")]

    def call(*more: str) -> tuple[int, str, str]:
        try:
            code = compare.main([*flags, *more])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_line_writes_the_report_and_runs_its_recipe_again(run, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    texts = [
        "--text-file",
        str(tmp_path / "texts.txt"),
        "--seeds",
        "0-1",
        "--no-words",
        "--prosody",
        "babble",
    ]
    code, printed, told = run("--out", str(out), *texts, "--modes", "float32,bfloat16,int8", "--json")
    known = json.loads(printed)
    assert code == 0 and [card["mode"] for card in known["cards"]] == ["float32", "bfloat16", "int8"]
    assert (out / "report.html").is_file() and len(list((out / "takes").iterdir())) == 4 * (3 + 2 + 1)
    assert "bfloat16: its own reading, text 2 of 2, seed 2 of 2" in told
    code, printed, told = run("--out", str(again), "--recipe", str(out / "recipe.json"), "--json")
    assert code == 0 and json.loads(printed)["differing"] == [] and "The same bytes" in told


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--out"),
        (["--out", "OUT"], "no text"),
        (["--out", "OUT", "--text", "Hello.", "--seeds", "5-1"], "range"),
        (["--out", "OUT", "--text", "Hello.", "--seeds", "many"], "no seeds"),
        (["--out", "OUT", "--text", "Hello.", "--modes", "float8"], "float8"),
        (["--out", "OUT", "--text-file", "absent.txt"], "absent.txt"),
        (["--out", "OUT", "--recipe", "absent.json"], "absent.json"),
    ],
)
def test_what_can_be_mended_is_one_line_and_exit_code_2(run, tmp_path, flags, words):
    flags = [str(tmp_path / "out") if flag == "OUT" else flag for flag in flags]
    code, printed, told = run(*flags)
    assert code == 2 and words in told and len(told.strip().splitlines()) == 1 and not printed
    assert not (tmp_path / "out").exists()


def test_seeds_are_read_as_ranges_and_lists():
    assert compare.seeds("0-2,7, 9 - 10") == (0, 1, 2, 7, 9, 10)
