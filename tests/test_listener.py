"""The listener: what a clip says, aligned and free; the style it hears; how it is taught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines import audio
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import listener, prosody, style, text
from pipelines.engines.small.listener import Listener
from pipelines.types import InputError, Run, Sampling, Voice, Waveform
from tests.conftest import make_speech
from training.small import listener as teacher
from training.small import listener_data
from training.small.listener_augment import augment

EXAMPLES = Path(__file__).parents[1] / "assets"
TOY = listener.HubertConfig(
    (16, 16, 16), (400, 5, 5), (100, 2, 2), width=16, heads=2, hidden=32, layers=2, position_kernel=8,
    position_groups=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def ours() -> Listener:
    return listener.load()


@pytest.fixture(scope="module")
def example() -> tuple[Waveform, Tensor]:
    """A clip that the engine itself said, and its symbols."""
    sound = audio.read(EXAMPLES / "example.flac")
    return sound, text.read((EXAMPLES / "example.txt").read_text().strip()).ids


def errors(found: list[int], wanted: list[int]) -> float:
    """Insertions, deletions and substitutions for each symbol wanted (Levenshtein, 1966)."""
    row = list(range(len(wanted) + 1))
    for i, here in enumerate(found, 1):
        before, row[0] = row[0], i
        for j, there in enumerate(wanted, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (here != there))
    return row[-1] / len(wanted)


def phonemes(ids: Tensor) -> list[int]:
    return [symbol for symbol in ids.tolist() if symbol not in listener.NO_SOUND]


# ------------------------------------------------------------------------------------- the network


def test_there_are_40_frames_a_second_as_durations_count() -> None:
    assert listener.EARS.hop == listener.HOP and listener.SAMPLE_RATE / listener.HOP == 40
    logits, energy, found = Listener(TOY)(torch.randn(2, 8 * listener.HOP))
    assert logits.shape == (2, 8, 178) and energy.shape == (2, 16) and found.shape == (2, 256)


def test_filters_begin_as_tones_of_rising_pitch() -> None:
    pairs = listener.filter_pairs(32, 400)
    peaks = torch.fft.rfft(pairs[::2], 4096).abs().argmax(1)
    assert bool((peaks.diff() > 0).all())
    assert peaks[0] * 16000 / 4096 < 120 and peaks[-1] * 16000 / 4096 > 6500


def test_level_changes_nothing_before_the_network() -> None:
    sound = make_speech(2.0, rate=16_000).samples
    assert torch.allclose(listener.levelled(sound), listener.levelled(0.05 * sound), atol=1e-3)
    assert not listener.levelled(torch.zeros(4000)).any()


# ----------------------------------------------------------------------------------- what is said


def test_the_phonemes_of_a_sentence_the_engine_said_are_found(
    ours: Listener, example: tuple[Waveform, Tensor]
) -> None:
    sound, ids = example
    assert errors(phonemes(listener.hear(sound, ours).ids), phonemes(ids)) < 0.6


def test_level_leaves_the_phonemes_as_they_are(ours: Listener, example: tuple[Waveform, Tensor]) -> None:
    sound, _ = example
    quiet = Waveform(0.1 * sound.samples, sound.sample_rate)
    a, b = (listener.hear(clip, ours) for clip in (sound, quiet))
    assert errors(a.ids.tolist(), b.ids.tolist()) < 0.02
    assert torch.allclose(a.style, b.style, atol=0.02)


@pytest.mark.parametrize("samples", [torch.zeros(24_000), torch.zeros(0), torch.ones(100)])
def test_silence_and_a_blink_are_refused_in_words(ours: Listener, samples: Tensor) -> None:
    with pytest.raises(InputError, match="no sound"):
        listener.hear(Waveform(samples, 24_000), ours)


def test_what_is_known_to_be_said_is_laid_over_the_whole_clip_in_order(
    ours: Listener, example: tuple[Waveform, Tensor]
) -> None:
    sound, ids = example
    heard = listener.hear(sound, ours, ids)
    assert torch.equal(heard.ids, ids)
    assert int(heard.frames.min()) >= 1
    assert int(heard.frames.sum()) == audio.resample(sound, 16_000).samples.shape[-1] // listener.HOP
    assert len(heard.energy) == 2 * int(heard.frames.sum())


def test_the_right_words_are_surer_than_the_wrong_ones(
    ours: Listener, example: tuple[Waveform, Tensor]
) -> None:
    sound, ids = example
    wrong = text.read((EXAMPLES / "example_2.txt").read_text().strip()).ids
    assert listener.hear(sound, ours, ids).sure > 2 * listener.hear(sound, ours, wrong).sure


def test_more_sounds_than_time_are_refused_in_words(ours: Listener) -> None:
    ids = text.read("A sentence that nobody could ever say in half a second.").ids
    with pytest.raises(InputError, match="write down only what the clip says"):
        listener.hear(Waveform(torch.ones(12_000).cumsum(0).sin(), 24_000), ours, ids)


def test_an_alignment_follows_the_only_path_there_is() -> None:
    frames = torch.tensor([2, 1, 4, 1, 3])
    ids = torch.tensor([0, 5, 3, 5, 0])
    said = ids.repeat_interleave(frames)
    scores = torch.full((len(said), 6), -10.0)
    scores[torch.arange(len(said)), said] = -0.1
    assert torch.equal(listener.aligned(scores, ids), frames)


@pytest.mark.parametrize("length", [1, 7, 30])
def test_an_alignment_covers_all_frames_and_every_symbol_whatever_the_scores(length: int) -> None:
    random = torch.Generator().manual_seed(length)
    scores = torch.randn(30, 9, generator=random).log_softmax(-1)
    frames = listener.aligned(scores, torch.randint(9, (length,), generator=random))
    assert len(frames) == length and int(frames.sum()) == 30 and int(frames.min()) >= 1


def test_the_best_alignment_is_found_among_all() -> None:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    ids = torch.tensor([2, 0, 2])
    best = max(
        float(scores[torch.arange(6), ids.repeat_interleave(torch.tensor([a, b, 6 - a - b]))].sum())
        for a in range(1, 5) for b in range(1, 6 - a)
    )  # fmt: skip
    found = ids.repeat_interleave(listener.aligned(scores, ids))
    assert float(scores[torch.arange(6), found].sum()) == pytest.approx(best)


def test_a_flicker_is_no_new_symbol_but_a_change_is() -> None:
    scores = torch.full((9, 3), -5.0)
    scores[:5, 1], scores[5:, 2] = -0.1, -0.1
    scores[2] = torch.tensor([-0.5, -1.0, -5.0])
    assert listener.likeliest(scores).tolist() == [1] * 5 + [2] * 4


def test_a_prompt_is_the_clips_beginning_cut_between_two_symbols(
    ours: Listener, example: tuple[Waveform, Tensor]
) -> None:
    sound, ids = example
    kept = listener.prompt(sound, listener.hear(sound, ours, ids))
    frames = int(kept["prompt_frames"].sum())
    assert torch.equal(kept["prompt_ids"][:-1], ids[: len(kept["prompt_ids"]) - 1])
    assert kept["prompt_ids"][-1] == 0 and len(kept["prompt_ids"]) == len(kept["prompt_frames"])
    assert 0.7 * listener.PROMPT < frames / 40 <= listener.PROMPT
    assert len(kept["prompt_pitch"]) == len(kept["prompt_energy"]) == 2 * frames
    voiced = kept["prompt_pitch"] > 0
    assert 0.3 < voiced.float().mean() < 0.95 and bool((kept["prompt_pitch"][voiced] > 50).all())


def test_a_transcript_of_something_else_clones_the_voice_but_gives_no_prompt(
    ours: Listener, example: tuple[Waveform, Tensor]
) -> None:
    sound, _ = example
    basis, encoder = style.Basis.load(), style.load_encoder()
    plain, right, wrong, unreadable = (
        style.listen(sound, words, basis, encoder, ours)
        for words in (
            None,
            (EXAMPLES / "example.txt").read_text(),
            "The quick brown fox jumps over the lazy dog, and never comes back to the old farm again.",
            "…!",
        )
    )
    assert "prompt_ids" in right.tensors and right.facts["transcript"] == "found in the clip"
    for voice in (wrong, unreadable):
        assert "prompt_ids" not in voice.tensors and voice.facts["transcript"].startswith("not used: ")
    assert "prompt_ids" not in plain.tensors and "transcript" not in plain.facts
    assert all(torch.equal(voice.tensors["style"], plain.tensors["style"]) for voice in (right, wrong))


# ---------------------------------------------------------------------------------------- training


def lessons(voices: int = 3) -> dict[int, list[teacher.Stretch]]:
    """Hums of half a second whose pitch tells the symbol, by voices that nothing tells apart."""
    found: dict[int, list[teacher.Stretch]] = {}
    time = torch.arange(8000) / 16000
    for voice in range(voices):
        own = torch.randn(256, generator=torch.Generator().manual_seed(voice))
        order = torch.randperm(8, generator=torch.Generator().manual_seed(voice)).tolist()
        samples = torch.cat([0.3 * torch.sin(2 * torch.pi * 200 * (1 + symbol) * time) for symbol in order])
        symbols = torch.tensor(order).repeat_interleave(20)
        curve = symbols.repeat_interleave(2).float()
        found[voice] = [teacher.Stretch(samples, symbols, curve, own)] * 2
    return found


def test_the_teachers_labels_cover_its_sound_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_data, "VOICES", 2)
    monkeypatch.setattr(listener_data, "SENTENCES", 2)
    engine, words = small.tiny(Placement()), ["table", "river", "seldom"]
    made = listener_data.shard(0, engine, style.Basis.load(), words, seed=0, plain=0.5)
    assert made["voice"].tolist() == [0, 0, 1, 1] and made["symbol_counts"].sum() == len(made["ids"])
    assert (
        int(made["frames"].sum()) * listener.HOP == int(made["sample_counts"].sum()) == len(made["samples"])
    )
    assert len(made["pitch"]) == len(made["energy"]) == 2 * int(made["frames"].sum())
    assert torch.equal(made["style"][0], made["style"][1])
    assert not torch.equal(made["style"][0], made["style"][2])


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first = [next(teacher.batches(lessons(), 1, start=5)) for _ in range(2)]
    other = next(teacher.batches(lessons(), 1, start=6))
    assert torch.equal(first[0].samples, first[1].samples)
    assert torch.equal(first[0].symbols, first[1].symbols)
    assert not torch.equal(first[0].samples, other.samples)


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.12])
def test_labels_stay_with_their_sound_at_any_speed(speed: float) -> None:
    whole = lessons()[0][0]
    part = teacher.excerpt(whole, 100, speed, 0.3)
    assert len(part.samples) == 100 * listener.HOP and len(part.energy) == 200
    for number in range(2, 98):
        frame = part.samples[number * listener.HOP : (number + 1) * listener.HOP]
        crossings = int((frame[1:] * frame[:-1] < 0).sum())
        around = part.symbols[number - 1 : number + 2].unique()
        if len(around) == 1:  # no change of symbol within a frame
            assert abs(crossings - 10 * (1 + int(around)) * speed) < 3
    assert (part.energy[::2].long() == part.symbols).float().mean() > 0.9


def test_bands_are_moved_and_hidden_by_seed_alone() -> None:
    bands = torch.randn(8, 32, 400)
    a, b, c = (teacher.disturbed(bands, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert a.shape == bands.shape and torch.equal(a, b) and not torch.equal(a, c)


def test_an_uneven_tempo_keeps_every_symbol_and_takes_the_curves_along() -> None:
    engine = small.tiny(Placement())
    phrase = engine.read("A river runs through the old town, slowly.", "en")
    basis = style.Basis.load()
    voice = Voice("small", {"style": basis.styles[0], "knots": basis.knots})
    units = engine.say(phrase, voice, Sampling(), Run())[0]
    moved = listener_data.unsteady(units, np.random.default_rng(0))
    frames = prosody.lasted(moved.ids[0])
    assert len(frames) == len(phrase.ids) and int(frames.min()) >= 1
    assert not torch.equal(frames, prosody.lasted(units.ids[0]))
    assert all(len(curve) == 2 * moved.ids.shape[1] for curve in moved.curves.values())
    below, share = listener_data.followed(torch.tensor([2, 3]), torch.tensor([4, 3]))
    assert torch.allclose(below[8:] + share[8:], torch.arange(4.0, 10.0))  # what keeps its length, stays
    assert float((below + share)[:8].max()) < 4


def test_what_happens_to_sound_is_seeded_finite_and_keeps_its_length() -> None:
    sound = torch.stack([make_speech(1.0, seed=s, rate=16_000).samples for s in range(8)])
    a, b, c = (augment(sound, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert a.shape == sound.shape and bool(torch.isfinite(a).all())
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_a_few_steps_lower_the_loss_and_the_style_head_tells_its_voices_apart() -> None:
    torch.manual_seed(0)
    model, taught = Listener(TOY), lessons()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _, batch in zip(range(8), teacher.batches(taught, 0, 0), strict=False):
        loss = teacher.losses(model, batch, torch.Generator().manual_seed(0))["symbols"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    teacher.fit_style(model, taught, "cpu", 0)
    checked = teacher.check(model, taught, "cpu")
    assert 0 <= checked["frames right"] <= 1
    assert checked["timbre error"] < checked["timbre"]
