"""The one path: turns, precision as part of the key, guard, healing, Stop, and what a take remembers."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pipelines import audio, device, synthesis
from pipelines.device import Placement, Verdict
from pipelines.registry import Engines
from pipelines.synthesis import clone, refine
from pipelines.types import (
    Cancelled,
    Consent,
    InputError,
    Phrase,
    Piece,
    Request,
    Run,
    StageReport,
    Take,
    Units,
    Unsound,
    Waveform,
    Wish,
)
from tests import toy

SAFE = Verdict("safe", True, 0.0, 2.0, "measured")
FULL = Verdict("safe", True, 0.0, 1.0, "measured")
# A machine on which every precision of the CPU is safe and bfloat16 twice as quick.
TABLE = {"cpu": {"float32": FULL, "bfloat16": SAFE, "float16": FULL, "int8": FULL}}
CONSENT = Consent("I have the right to use this voice.", "2026-01-01T00:00:00Z")
TEXT = "The first sentence is here. The second one follows it."


@pytest.fixture
def engines(tmp_path):
    return Engines(tmp_path / "models", tmp_path / "data", TABLE, {"toy": "tests.toy"})


def tone(pitch: float = 150.0, seconds: float = 2.0) -> Waveform:
    t = torch.arange(round(24000 * seconds)) / 24000
    return Waveform(0.3 * torch.sin(2 * torch.pi * pitch * t), 24000)


def request(**changes) -> Request:
    return replace(Request("toy", TEXT, tone(), consent=CONSENT), **changes)


def plant(engines: Engines, **config) -> None:
    folder = engines.models / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def take_of(engines: Engines, wanted: Request, run: Run = Run()) -> Take:  # noqa: B008
    *_, take = clone(engines, wanted, run)
    return take


def test_pieces_joined_are_the_take(engines):
    events = list(clone(engines, request()))
    pieces = [event.waveform for event in events if isinstance(event, Piece)]
    assert torch.equal(audio.join(pieces).samples, events[-1].waveform.samples)
    assert [(s.stage, s.sentence) for s in events[-1].stages] == [
        ("listen", 0), ("read", 1), ("say", 1), ("render", 1), ("read", 2), ("say", 2), ("render", 2),
    ]  # fmt: skip


def test_the_same_request_gives_the_same_bytes_and_another_seed_does_not(engines):
    first, again = take_of(engines, request()), take_of(engines, request())
    other = take_of(engines, request(sampling=replace(request().sampling, seed=1)))
    assert first.sha256 == again.sha256 == first.recipe["made"]["sha256"] != other.sha256


def test_the_global_random_state_is_left_alone(engines):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    take_of(engines, request())
    assert torch.equal(before, torch.get_rng_state())


def test_two_requests_at_once_equal_two_alone(engines):
    plant(engines, pace=0.01)
    requests = [
        request(reference=tone(120)),
        request(reference=tone(260), text="Something else is said here."),
    ]
    alone = [take_of(engines, one).sha256 for one in requests]
    together = [""] * 2

    def work(number: int) -> None:
        together[number] = take_of(engines, requests[number]).sha256

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone and alone[0] != alone[1]


def test_a_pause_is_silence_of_its_length(engines):
    with_pause = take_of(engines, request(text="One sentence. [pause 0.5s] Two sentences."))
    assert with_pause.spans[1].start - with_pause.spans[0].end == pytest.approx(0.5)
    between = with_pause.waveform.samples[round(24000 * with_pause.spans[0].end) :][:12000]
    assert between.abs().max() == 0


@pytest.mark.parametrize("stage", ["listen", "say", "render"])
@pytest.mark.parametrize("fault", ["nan", "silence", "crash", "unsound"])
def test_a_lowered_stage_without_sound_is_healed_and_told(engines, stage, fault):
    if fault == "silence" and stage != "render":
        pytest.skip("silence is a fault of sound")
    full = take_of(engines, request(wish=Wish("cpu", "float32")))
    plant(engines, faults={stage: fault})
    take = take_of(engines, request(wish=Wish("cpu", "bfloat16")))
    assert take.sha256 == full.sha256  # what was heard is the full-precision sound, nothing twice
    assert any("bfloat16" in note and "again in full" in note for note in take.notes)
    assert [s.dtype for s in take.stages if s.stage == stage and "again" in s.note] == ["float32"]
    assert take.recipe["precision"]["requested"] == "bfloat16"
    assert f"{stage} float32" in take.recipe["precision"]["used"]


def test_auto_does_not_try_again_what_gave_no_sound(engines):
    plant(engines, faults={"say": "nan"})
    first = take_of(engines, request())
    second = take_of(engines, request())
    assert any("again in full" in note for note in first.notes)
    assert any("before" in note for note in second.notes) and not any(s.note for s in second.stages)


def test_no_sound_in_full_precision_is_an_error_and_not_an_endless_retry(engines):
    plant(engines, faults={"render always": "nan"})
    with pytest.raises(Unsound):
        take_of(engines, request(wish=Wish("cpu", "float32")))


def test_full_memory_is_told_in_words(engines):
    plant(engines, faults={"render always": "memory"})
    with pytest.raises(InputError, match="memory"):
        take_of(engines, request(wish=Wish("cpu", "float32")))


def test_stop_keeps_what_was_made_and_frees_the_turn(engines):
    stop = threading.Event()
    run = Run(stop.is_set)
    events = clone(engines, request(text="a long text " * 40), run)
    for event in events:
        if isinstance(event, Piece):
            stop.set()
    assert isinstance(event, Take) and event.stopped
    whole = take_of(engines, request(text="a long text " * 40))
    heard = event.waveform.samples
    assert 0 < heard.numel() < whole.waveform.samples.numel()
    assert torch.equal(heard, whole.waveform.samples[: heard.numel()])


def test_stop_before_any_sound_is_cancelled(engines):
    with pytest.raises(Cancelled):
        take_of(engines, request(), Run(lambda: True))


def test_a_page_that_goes_away_frees_the_turn(engines):
    events = clone(engines, request())
    next(events)
    events.close()
    assert take_of(engines, request()).waveform.seconds > 0


def test_whoever_waits_is_told_the_place_and_can_leave(engines):
    events = clone(engines, request())
    next(events)  # holds the turn
    places: list[tuple[str, int, int]] = []
    stop = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        places.append((stage, done, total))
        stop.set()

    with pytest.raises(Cancelled):
        take_of(engines, request(), Run(stop.is_set, progress))
    assert places == [("waiting", 1, 1)]
    events.close()


def test_refining_lets_others_go_first(engines):
    plant(engines, pace=0.05)
    order: list[str] = []

    def work() -> None:
        take_of(engines, request(text="Short.", reference=tone(200)))
        order.append("take")

    other = threading.Thread(target=work)

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "refine" and done == 1:
            other.start()
            time.sleep(0.03)

    refine(engines, request(), Run(progress=progress))
    order.append("refined")
    other.join()
    assert order == ["take", "refined"]


def test_a_refined_voice_is_used_and_outlives_a_restart(engines):
    quick = take_of(engines, request())
    voice = refine(engines, request())
    refined = take_of(engines, request(refine=True))
    assert voice.facts == {"refined": "5 steps"} and refined.sha256 != quick.sha256
    restarted = Engines(engines.models, engines.data, TABLE, {"toy": "tests.toy"})
    again = take_of(restarted, request(refine=True))
    assert again.sha256 == refined.sha256 and again.recipe["refine"] is True
    assert not any(s.stage == "refine" for s in again.stages)


def test_refining_goes_on_from_where_it_was_stopped(engines):
    before = refine(engines, request(), Run(lambda: True))  # stopped before it began: nothing is kept
    assert "refined" not in before.facts and not list(engines.data.rglob("*.safetensors"))
    first = refine(engines, request())
    further = refine(engines, request())
    assert further.tensors["pitch"] == first.tensors["pitch"] + 5


def test_a_voice_belongs_to_samples_not_to_names(engines):
    take_of(engines, request())
    again = take_of(engines, request())
    other = take_of(engines, request(reference=tone(300)))
    assert "listen" not in [s.stage for s in again.stages]
    assert "listen" in [s.stage for s in other.stages]


def test_a_second_load_gives_the_same_engine_and_another_precision_a_new_one(engines):
    run = Run()
    full, low = Placement("cpu"), Placement("cpu", say="bfloat16")
    first = engines.get("toy", full, run)
    assert engines.get("toy", full, run) is first
    lowered = engines.get("toy", low, run)
    assert lowered is not first
    assert engines.get("toy", full, run) is not first


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"consent": None}, "right to use"),
        ({"consent": Consent(" ", "")}, "right to use"),
        ({"text": "  \n "}, "nothing to say"),
        ({"engine": "nobody"}, "no engine 'nobody'"),
        ({"language": "xx"}, "does not speak"),
        ({"sampling": replace(Request("toy", "", tone()).sampling, speed=9.0)}, "speed of 9"),
        ({"sampling": replace(Request("toy", "", tone()).sampling, seed=-1)}, "seed"),
        ({"sampling": replace(Request("toy", "", tone()).sampling, steps=8)}, "no steps to choose"),
        ({"wish": Wish("cuda", "auto")}, "cuda"),
        ({"reference": tone(seconds=0.1)}, "too short"),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(engines, changes, words):
    with pytest.raises(InputError) as raised:
        take_of(engines, request(**changes))
    assert words.lower() in str(raised.value).lower() and "\n" not in str(raised.value)


def test_a_sentence_that_cannot_be_read_is_told_and_the_rest_is_said(engines):
    take = take_of(engines, request(text="The first one is said. Привет, дорогой мой мир. The last one too."))
    assert [span.text for span in take.spans] == ["The first one is said.", "The last one too."]
    assert any("Привет" in note for note in take.notes)
    with pytest.raises(InputError, match="letters"):
        take_of(engines, request(text="Привет, дорогой мой мир."))


def test_units_said_before_are_rendered_as_they_are(engines):
    first = take_of(engines, request(sampling=replace(request().sampling, seed=3)))
    again = take_of(engines, request(units=first.said))
    assert again.sha256 == first.sha256  # though another seed was asked for
    assert "say" not in [report.stage for report in again.stages]
    with pytest.raises(InputError, match="more sentences than the 1"):
        take_of(engines, request(units=first.said[:1]))


SEVEN = " ".join(f"This is sentence number {number} of seven." for number in "abcdefg")


class Choir(toy.Toy):
    """A toy that says up to four sentences at once, and remembers how many it was given each time."""

    at_once = 4

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.batches: list[int] = []

    def say_all(self, phrases, voice, sampling, seeds, run):
        self.batches.append(len(phrases))
        return [
            self.say(phrase, voice, replace(sampling, seed=seed), run)
            for phrase, seed in zip(phrases, seeds, strict=True)
        ]


@pytest.fixture
def choir(engines):
    """The engines with a toy that says sentences together in the place of the other; they share weights."""

    def load(folder, placement):
        config = json.loads((folder / "config.json").read_text())
        return Choir(placement, config.get("faults", {}), config.get("pace", 0.0))

    plant(engines)
    module = SimpleNamespace(SPEC=toy.SPEC, missing=toy.missing, prepare=toy.prepare, load=load)
    return Engines(engines.models, engines.data, TABLE, {"toy": module})


def batches(engines: Engines) -> list[int]:
    return engines.get("toy", device.choose(Wish(), TABLE).placement, Run()).batches


def test_the_first_sentence_is_said_alone_and_the_others_together(engines, choir):
    take = take_of(choir, request(text=SEVEN))
    assert batches(choir) == [2, 4]
    assert take.sha256 == take_of(engines, request(text=SEVEN)).sha256
    said = [(s.sentence, s.note) for s in take.stages if s.stage == "say"]
    assert said == [(1, "")] + [(number, "Several sentences at once.") for number in range(2, 8)]
    assert [s.sentence for s in take.stages if s.stage == "render"] == list(range(1, 8))


def test_where_memory_is_short_sentences_are_said_one_after_the_other(engines, choir, monkeypatch):
    def too_much(self, phrases, *rest):
        self.batches.append(len(phrases))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Choir, "say_all", too_much)
    take = take_of(choir, request(text=SEVEN))
    assert batches(choir) == [2]  # tried once, and not again in this text
    assert take.sha256 == take_of(engines, request(text=SEVEN)).sha256
    notes = {s.sentence: s.note for s in take.stages if s.stage == "say"}
    assert notes.pop(2) == notes.pop(3) and set(notes.values()) == {""}
    assert "memory is not enough" in next(s.note for s in take.stages if s.sentence == 2 and s.note)


def test_what_goes_wrong_otherwise_among_several_sentences_is_no_lack_of_memory(choir, monkeypatch):
    def broken(self, *rest):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Choir, "say_all", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        take_of(choir, request(text=SEVEN))


def test_the_time_of_sentences_said_together_is_shared_by_their_lengths(choir, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(synthesis.time, "perf_counter", lambda: next(clock))
    take = take_of(
        choir, request(text="A first sentence is here. Short it is here. A longer one than that is.")
    )
    second, third = (s for s in take.stages if s.stage == "say" and s.sentence > 1)
    lengths = [len(span.text) for span in take.spans[1:]]
    assert second.seconds + third.seconds == pytest.approx(10)
    assert second.seconds / third.seconds == pytest.approx(lengths[0] / lengths[1])


def test_an_unreadable_sentence_among_those_said_together_is_left_out(choir):
    text = SEVEN.replace("This is sentence number c of seven.", "Это другой алфавит, не так ли?")
    take = take_of(choir, request(text=text))
    assert len(take.spans) == 6 and any("алфавит" in note for note in take.notes)
    assert batches(choir) == [4] and [s.sentence for s in take.stages if s.stage == "say"] == [
        1,
        2,
        4,
        5,
        6,
        7,
    ]


def test_sentences_said_together_are_healed_together(engines, choir):
    full = take_of(engines, request(text=SEVEN, wish=Wish("cpu", "float32")))
    plant(choir, faults={"say": "nan"})
    take = take_of(choir, request(text=SEVEN, wish=Wish("cpu", "bfloat16", ("say",))))
    assert take.sha256 == full.sha256
    assert sum("again in full" in note for note in take.notes) == 1


def test_stop_while_sentences_are_said_together_keeps_what_was_heard(choir):
    stop = threading.Event()
    events = clone(choir, request(text=SEVEN), Run(stop.is_set))
    for event in events:
        if isinstance(event, StageReport) and (event.stage, event.sentence) == ("read", 3):
            stop.set()
    assert isinstance(event, Take) and event.stopped and len(event.spans) == 1


def test_units_said_before_are_rendered_one_by_one(choir):
    first = take_of(choir, request(text=SEVEN))
    choir.release("toy", "cpu")
    assert take_of(choir, request(text=SEVEN, units=first.said)).sha256 == first.sha256
    assert batches(choir) == []


def test_progress_never_goes_back(choir):
    told: list[tuple[str, int]] = []
    run = Run(progress=lambda stage, done, total: told.append((stage, done)))
    take_of(choir, request(text=SEVEN), run)
    sentences = [done for stage, done in told if stage in ("read", "say", "render")]
    assert sentences == sorted(sentences) and sentences[-1] == 7


class Chatter(Choir):
    """A toy that can be heard while it hums, ten letters at a time; faults strike after some of it."""

    def streams(self, phrase, sampling):
        return phrase.ids.numel() >= 25

    def say_on(self, phrase, voice, sampling, run, begun=None):
        if begun is not None and begun.whole:
            yield begun
            return
        (whole,) = self.say(phrase, voice, sampling, run)
        for end in range(10, phrase.ids.numel(), 10):
            run.check()
            if begun is not None and end < begun.ids.shape[1]:
                continue
            if end == 30 and self._placement.say != "float32" and "words" in self._faults:
                raise Unsound("The logits are not finite.")
            yield cut_units(whole, end)
        yield replace(whole, note=self._faults.get("note", ""))

    def render_on(self, said, phrase, voice, run):
        done = 0
        for units in said:
            end = units.ids.shape[1]
            sound = torch.cat([p.samples for p in self.render(units, first(phrase, end), voice, run)])[done:]
            if end == 30 and self._placement.render != "float32" and "sound" in self._faults:
                sound = sound * torch.nan
            yield Waveform(sound, self.sample_rate)
            done += sound.numel()


def cut_units(units: Units, end: int) -> Units:
    curves = {name: curve[:end] for name, curve in units.curves.items()}
    seconds = units.seconds * end / units.ids.shape[1]
    return replace(units, ids=units.ids[:, :end], curves=curves, seconds=seconds, whole=False)


def first(phrase: Phrase, count: int) -> Phrase:
    return replace(phrase, ids=phrase.ids[:count])


@pytest.fixture
def chatter(engines):
    def load(folder, placement):
        return Chatter(placement, json.loads((folder / "config.json").read_text()).get("faults", {}), 0.0)

    plant(engines)
    module = SimpleNamespace(SPEC=toy.SPEC, missing=toy.missing, prepare=toy.prepare, load=load)
    return Engines(engines.models, engines.data, TABLE, {"toy": module})


LONG = "The first sentence takes a while to say. The second one follows it, and is as long."


def first_sentence(engines: Engines, wanted: Request) -> list[Piece]:
    return [e for e in clone(engines, wanted) if isinstance(e, Piece) and e.sentence == 1]


def test_the_first_sentence_is_heard_while_it_is_said_and_the_others_are_not(engines, chatter):
    events = list(clone(chatter, request(text=LONG, stream=True)))
    take = events[-1]
    assert len(first_sentence(chatter, request(text=LONG, stream=True))) == 4
    assert [(s.stage, s.sentence) for s in take.stages if s.stage != "listen"] == [
        ("read", 1), ("say", 1), ("render", 1), ("read", 2), ("say", 2), ("render", 2),
    ]  # fmt: skip
    pieces = [event.waveform for event in events if isinstance(event, Piece)]
    assert torch.equal(audio.join(pieces).samples, take.waveform.samples)
    assert take.recipe["stream"] is True and take.said[0].whole
    assert take.sha256 == take_of(chatter, request(text=LONG, stream=True)).sha256
    assert take.sha256 == take_of(engines, request(text=LONG)).sha256  # which this toy can promise


@pytest.mark.parametrize("change", [{"stream": False}, {"heal": False}, {"text": "A short one is it."}])
def test_what_is_not_to_be_heard_early_goes_the_whole_way(chatter, change, monkeypatch):
    monkeypatch.setattr(Chatter, "say_on", None)
    assert take_of(chatter, request(**{"text": LONG, "stream": True} | change)).spans
    first = take_of(chatter, request(text=LONG))
    assert take_of(chatter, request(text=LONG, stream=True, units=first.said)).sha256 == first.sha256


@pytest.mark.parametrize(("fault", "stage"), [("words", "say"), ("sound", "render")])
def test_what_fails_after_it_was_heard_goes_on_in_float32_without_a_gap(engines, chatter, fault, stage):
    full = take_of(engines, request(text=LONG, wish=Wish("cpu", "float32")))
    plant(chatter, faults={fault: "yes"})
    take = take_of(chatter, request(text=LONG, stream=True, wish=Wish("cpu", "bfloat16", ("say", "render"))))
    assert take.sha256 == full.sha256
    healed = [(s.stage, s.dtype) for s in take.stages if "again in full" in s.note]
    assert healed == [(stage, "float32")]
    other = "render" if stage == "say" else "say"
    assert {s.dtype for s in take.stages if s.stage == other} == {"bfloat16"}


def test_stop_in_a_sentence_that_is_heard_while_it_is_said_keeps_what_was_heard(chatter):
    stop = threading.Event()
    for event in clone(chatter, request(text=LONG, stream=True), Run(stop.is_set)):
        if isinstance(event, Piece):
            stop.set()
    assert isinstance(event, Take) and event.stopped and 0 < event.waveform.seconds < 2


def test_a_doubtful_sentence_that_was_heard_is_told(chatter):
    plant(chatter, faults={"note": "Words may be missing."})
    take = take_of(chatter, request(text=LONG, stream=True))
    assert take.notes == (f"Words may be missing. ({take.spans[0].text})",)


def test_a_stage_is_lowered_alone(engines):
    take = take_of(engines, request(wish=Wish("cpu", "bfloat16", ("render",))))
    assert {s.stage: s.dtype for s in take.stages} == {
        "listen": "float32", "read": "float32", "say": "float32", "render": "bfloat16",
    }  # fmt: skip
    with pytest.raises(InputError, match="int8 is not for 'render'"):
        take_of(engines, request(wish=Wish("cpu", "int8", ("render",))))


@pytest.mark.parametrize("fault", ["nan", "crash", "unsound"])
def test_without_healing_a_stage_that_gives_no_sound_is_an_error(engines, fault):
    plant(engines, faults={"say": fault})
    with pytest.raises((Unsound, RuntimeError)):
        take_of(engines, request(wish=Wish("cpu", "bfloat16"), heal=False))
    plant(engines)
    engines.release("toy", "cpu")
    assert take_of(engines, request()).recipe["placement"]["say"] == "bfloat16"  # and nothing is distrusted


def test_other_weights_beside_the_code_are_other_weights(engines, tmp_path, monkeypatch):
    before = take_of(engines, request()).recipe["weights"]
    asset = tmp_path / "extra.safetensors"
    monkeypatch.setattr("tests.toy.ASSETS", (asset,), raising=False)
    asset.write_bytes(b"one")
    one = Engines(engines.models, engines.data, TABLE, {"toy": "tests.toy"}).fingerprint("toy")
    asset.write_bytes(b"two")
    two = Engines(engines.models, engines.data, TABLE, {"toy": "tests.toy"}).fingerprint("toy")
    assert len({before, one, two}) == 3


def test_an_engine_whose_files_were_changed_is_loaded_anew(engines):
    place, run = Placement("cpu"), Run()
    plant(engines)
    first = engines.get("toy", place, run)
    assert engines.get("toy", place, run) is first
    plant(engines, pace=0.001)
    assert engines.get("toy", place, run) is not first
