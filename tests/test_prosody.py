"""The embedded engine's autoregressive prosody: it says every symbol once, and says what it says it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import prosody, style
from pipelines.engines.small.config import TINY, TINY_MELODY
from pipelines.engines.small.engine import Small
from pipelines.engines.small.prosody import Book, Draft, Prosody, Scale, Spoken
from pipelines.types import Cancelled, InputError, Phrase, Run, Sampling, Units, Unsound, Voice
from training.small import prosody as teaching
from training.small import prosody_data, texts

SENTENCE = "She sells sea shells by the sea shore, she sells sea shells."
LIVELY = Sampling(prosody="lively")
PLACEMENTS = [Placement(say=mode) for mode in ("float32", "bfloat16", "float16", "int8")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Toy-sized layers on two threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny() -> Small:
    return small.tiny(Placement())


@pytest.fixture(scope="module", params=PLACEMENTS, ids=lambda placement: placement.say)
def lowered(request: pytest.FixtureRequest) -> Small:
    """The toy engine in every precision of `say`."""
    return small.tiny(request.param)


@pytest.fixture(scope="module")
def voice() -> Voice:
    basis = style.Basis.load()
    return Voice("small", {"style": basis.styles[0], "knots": basis.knots, "pitch": torch.tensor([7.0, 0.3])})


@pytest.fixture(scope="module")
def phrase(tiny: Small) -> Phrase:
    return tiny.read(SENTENCE, "en")


def limits(engine: Small, phrase: Phrase, voice: Voice, speed: float = 1.0) -> list[int]:
    """Frames that each symbol may last."""
    with torch.inference_mode():
        draft = engine._first(phrase.ids, engine._style(phrase, voice), speed, Run()).draft
    return draft.limits(math.ceil(TINY.max_duration / speed))


def said(engine: Small, phrase: Phrase, voice: Voice, **wishes: float | int) -> Units:
    return engine.say(phrase, voice, replace(LIVELY, **wishes), Run())[0]


def prompted(engine: Small, voice: Voice, text: str, **wishes: float | int) -> Voice:
    """The voice with a sentence of its own as what the reference said."""
    phrase = engine.read(text, "en")
    units = said(engine, phrase, voice, **wishes)
    tensors = {
        "prompt_ids": phrase.ids,
        "prompt_frames": prosody.lasted(units.ids[0]),
        "prompt_pitch": units.curves["pitch"],
        "prompt_energy": units.curves["energy"],
    }
    return replace(voice, tensors={**voice.tensors, **tensors})


# ------------------------------------------------------------------------------ every symbol, once


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0, 50.0])
def test_every_symbol_is_said_once_and_in_order_whatever_the_chance(
    tiny: Small, phrase: Phrase, voice: Voice, temperature: float
) -> None:
    for seed in range(3):
        units = said(tiny, phrase, voice, temperature=temperature, seed=seed)
        frames = prosody.lasted(units.ids[0])
        assert len(frames) == len(phrase.ids)
        assert int(frames.min()) >= 1
        assert all(f <= most for f, most in zip(frames.tolist(), limits(tiny, phrase, voice), strict=True))
        assert int(frames.sum()) == units.ids.shape[1] and int(units.ids[0, -1]) == 1


def test_moves_and_frames_are_there_and_back() -> None:
    frames = torch.tensor([3, 1, 1, 4, 2])
    moves = prosody.ends(frames)
    assert moves.tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert torch.equal(prosody.lasted(moves), frames)
    spoken = Spoken(moves, moves)
    assert spoken.places.tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 4]
    assert spoken.elapsed.tolist() == [0, 1, 2, 0, 0, 0, 1, 2, 3, 0, 1]


def test_sound_units_and_curves_are_equally_long(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    units = said(tiny, phrase, voice)
    samples = torch.cat([piece.samples for piece in tiny.render(units, phrase, voice, Run())])
    assert units.ids.shape[0] == 2 and units.rate == 40
    assert len(samples) == 600 * units.ids.shape[1] == round(24_000 * units.seconds)
    for curve in units.curves.values():
        assert curve.shape == (2 * units.ids.shape[1],) and curve.dtype == torch.float32


def test_units_of_another_phrase_are_refused(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    units, other = said(tiny, phrase, voice), tiny.read("Another sentence.", "en")
    with pytest.raises(ValueError, match="symbols"):
        list(tiny.render(units, other, voice, Run()))
    with pytest.raises(ValueError, match="symbols"):
        tiny.logits(units, other, voice, LIVELY, Run())


# ---------------------------------------------------------------------------------------- chance


def test_the_same_seed_says_the_same_and_another_seed_does_not(
    tiny: Small, phrase: Phrase, voice: Voice
) -> None:
    one, again, other = (said(tiny, phrase, voice, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.ids, again.ids) and torch.equal(one.curves["pitch"], again.curves["pitch"])
    assert one.ids.shape != other.ids.shape or not torch.equal(one.ids, other.ids)


def test_chance_is_the_seeds_and_nobody_elses(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    before = torch.random.get_rng_state()
    one = said(tiny, phrase, voice, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(7)
    assert torch.equal(one.ids, said(tiny, phrase, voice, seed=5).ids)


def test_candidates_come_likeliest_first_and_hold_the_single_one(
    tiny: Small, phrase: Phrase, voice: Voice
) -> None:
    units = tiny.say(phrase, voice, replace(LIVELY, candidates=4, seed=3), Run())
    scores = [one.score for one in units]
    assert len(units) == 4 and scores == sorted(scores, reverse=True)
    single = said(tiny, phrase, voice, seed=3)
    assert any(torch.equal(one.ids, single.ids) for one in units if one.ids.shape == single.ids.shape)


def test_the_score_is_the_mean_log_probability_of_what_was_said(
    tiny: Small, phrase: Phrase, voice: Voice
) -> None:
    for units in tiny.say(phrase, voice, replace(LIVELY, candidates=2), Run()):
        rows = tiny.logits(units, phrase, voice, LIVELY, Run())
        each = [
            float(row[frame].log_softmax(-1)[symbol])
            for row, symbols in zip(rows, units.ids, strict=True)
            for frame, symbol in enumerate(symbols)
        ]
        assert units.score == pytest.approx(sum(each) / units.ids.shape[1], rel=1e-4)


def test_another_prosody_is_refused_in_words(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    with pytest.raises(InputError, match="steady, lively"):
        tiny.say(phrase, voice, Sampling(prosody="singing"), Run())


def test_the_spec_names_the_prosodies_and_which_are_drawn() -> None:
    assert set(small.SPEC.prosodies) == {"steady", "lively"}
    assert small.SPEC.draws("lively") and not small.SPEC.draws("steady")


# ------------------------------------------------------------------------ steps, caches, precisions


def test_what_was_said_greedily_is_what_the_logits_say(lowered: Small, phrase: Phrase, voice: Voice) -> None:
    units = said(lowered, phrase, voice, top_k=1)
    moves, codes = lowered.logits(units, phrase, voice, LIVELY, Run())
    frames = units.ids.shape[1]
    assert moves.shape == (frames, 2) and codes.shape == (frames, TINY_MELODY.codes)
    assert moves.dtype == codes.dtype == torch.float32
    # Of what is equally likely, as in bfloat16 it may be, either may be drawn.
    assert torch.equal(codes.gather(1, units.ids[1][:, None])[:, 0], codes.max(-1).values)
    going_on = moves.softmax(-1)[:, 0]
    spoken = going_on.split(prosody.lasted(units.ids[0]).tolist())
    for lasting, most in zip(spoken, limits(lowered, phrase, voice), strict=True):
        left = lasting.double().cumprod(0)
        assert bool((left[:-1] > 0.5 - 1e-6).all())
        assert float(left[-1]) <= 0.5 + 1e-6 or len(left) == most


def test_frames_are_as_likely_as_the_network_says(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    """At temperature 1 a symbol's length is a fair draw: here each move has a chance of 0.2."""
    engine = small.tiny(Placement())
    engine._prosody.move_head.weight.zero_()
    engine._prosody.move_head.bias.copy_(torch.tensor([0.8, 0.2]).log())
    drawn = [prosody.lasted(said(engine, phrase, voice, seed=seed).ids[0]) for seed in range(12)]
    lengths = torch.cat(drawn).float()
    for frames in range(1, min(limits(engine, phrase, voice))):
        share, chance = float((lengths == frames).float().mean()), 0.2 * 0.8 ** (frames - 1)
        assert abs(share - chance) < 5 * (chance / len(lengths)) ** 0.5


def test_the_cache_changes_nothing(lowered: Small, phrase: Phrase, voice: Voice) -> None:
    """The logits that the steps saw, one by one, are those of the whole at once."""
    seen: list[tuple[Tensor, Tensor]] = []
    first = lowered._first(phrase.ids, lowered._style(phrase, voice), 1.0, Run())
    draft, network = first.draft, lowered._prosody

    def pick(moves: Tensor, codes: Tensor, elapsed: int) -> tuple[int, int]:
        seen.append((moves[0], codes[0]))
        return len(seen) % 3 == 0, len(seen) % TINY_MELODY.codes

    with torch.inference_mode():
        moves, codes = torch.tensor(
            list(network.say(draft, None, pick, [6] * len(phrase.ids), 500, lambda: None))
        ).T
        rows = network(network.inputs(network.context(network.symbols(draft)), Spoken(moves, codes), 0))
    # bfloat16 keeps 8 bits; int8 has one scale for all it sees at once, and so sees steps more exactly.
    exact = not any("quantized" in str(type(module)) for module in network.modules())
    tolerance = 1e-4 if exact and network.code.weight.dtype == torch.float32 else 0.06 if exact else 0.2
    for number, row in enumerate(rows):
        stepped = torch.stack([one[number] for one in seen])
        assert float((stepped - row[0]).abs().max()) < tolerance * float(row.std())


def test_every_precision_gives_finite_curves(lowered: Small, phrase: Phrase, voice: Voice) -> None:
    units = said(lowered, phrase, voice)
    assert all(bool(torch.isfinite(curve).all()) for curve in units.curves.values())
    assert len(prosody.lasted(units.ids[0])) == len(phrase.ids)


def test_steady_units_have_no_logits(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    steady = tiny.say(phrase, voice, Sampling(prosody="steady"), Run())[0]
    assert steady.ids.shape[0] == 1
    with pytest.raises(ValueError, match="lively"):
        tiny.logits(steady, phrase, voice, LIVELY, Run())


def test_steady_lasts_as_long_as_the_predictor_says(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    steady = tiny.say(phrase, voice, Sampling(prosody="steady"), Run())[0]
    own = style.at(voice.tensors, len(phrase.ids) - 2)[None, style.TIMBRE :]
    with torch.inference_mode():
        features = tiny._speaker.features(tiny._speaker.phones(phrase.ids[None]), own)
        durations = tiny._speaker.durations(features)[0].round().clamp(min=1).long()
    assert torch.equal(prosody.lasted(steady.ids[0]), durations)


def test_logits_that_are_no_numbers_are_unsound(phrase: Phrase, voice: Voice) -> None:
    engine = small.tiny(Placement())
    engine._prosody.code_head.bias.fill_(math.nan)
    with pytest.raises(Unsound, match="logits"):
        said(engine, phrase, voice)


# ------------------------------------------------------------------------------- speed, stop, prompt


def test_half_the_speed_drafts_twice_the_length(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    """How the trained network follows its draft, bench.prosody measures; the random one follows nothing."""
    whole = tiny._style(phrase, voice)
    with torch.inference_mode():
        plain, slow = (tiny._first(phrase.ids, whole, speed, Run()).draft for speed in (1.0, 0.5))
    torch.testing.assert_close(slow.lengths, 2 * plain.lengths)
    assert len(slow.tracks) == int(slow.frames.sum())


def test_a_slow_symbol_may_last_longer(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    engine = small.tiny(Placement())
    engine._prosody.move_head.bias[0] = 1e4  # never of its own will
    for speed in (1.0, 0.5, 2.0):
        units = said(engine, phrase, voice, speed=speed)
        assert prosody.lasted(units.ids[0]).tolist() == limits(engine, phrase, voice, speed)
    assert limits(engine, phrase, voice, 0.5) > limits(engine, phrase, voice, 2.0)


def test_a_sentence_longer_than_allowed_is_refused(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    with pytest.raises(InputError, match="longer than the 1 s"):
        said(tiny, phrase, voice, max_seconds=1.0)


def test_a_sentence_as_long_as_allowed_is_said(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    units = said(tiny, phrase, voice)
    assert torch.equal(said(tiny, phrase, voice, max_seconds=units.seconds).ids, units.ids)


def test_stop_is_looked_at_every_few_frames(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    looks = 0

    def cancelled() -> bool:
        nonlocal looks
        looks += 1
        return looks >= stop

    stop = 10**9
    frames = said_with(tiny, phrase, voice, cancelled).ids.shape[1]
    steady = looks
    looks = 0
    tiny.say(phrase, voice, Sampling(prosody="steady"), Run(cancelled))
    assert steady - looks >= frames // prosody.WATCHED
    looks, stop = 0, steady
    with pytest.raises(Cancelled):
        said_with(tiny, phrase, voice, cancelled)


def said_with(engine: Small, phrase: Phrase, voice: Voice, cancelled: Callable[[], bool]) -> Units:
    return engine.say(phrase, voice, LIVELY, Run(cancelled))[0]


def test_a_prompt_changes_the_melody(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    plain = said(tiny, phrase, voice, top_k=1)
    other = said(tiny, phrase, prompted(tiny, voice, "Yes, of course!", seed=1), top_k=1)
    assert other.ids.shape != plain.ids.shape or not torch.equal(other.ids, plain.ids)
    assert len(prosody.lasted(other.ids[0])) == len(phrase.ids)


def test_the_logits_know_the_prompt(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    spoken = prompted(tiny, voice, "Yes, of course!", seed=1)
    units = said(tiny, phrase, spoken, top_k=1)
    assert torch.equal(tiny.logits(units, phrase, spoken, LIVELY, Run())[1].argmax(-1), units.ids[1])
    without = tiny.logits(units, phrase, voice, LIVELY, Run())[1]
    assert not torch.equal(without.argmax(-1), units.ids[1])


def test_a_long_prompt_is_heard_to_the_length_that_was_learned_from(tiny: Small, voice: Voice) -> None:
    spoken = prompted(tiny, voice, SENTENCE * 3, speed=0.5)
    assert int(spoken.tensors["prompt_frames"].sum()) > prosody.PROMPT
    with torch.inference_mode():
        draft, begun = tiny._prompt(spoken, Run())
    assert prosody.PROMPT - 2 * TINY.max_duration < len(begun.codes) <= prosody.PROMPT
    assert len(draft.features) == len(draft.lengths) == len(draft.notes()) == int(begun.moves.sum())


def test_a_prompt_needs_no_energy(tiny: Small, phrase: Phrase, voice: Voice) -> None:
    spoken = prompted(tiny, voice, "Yes, of course!", seed=1)
    tensors = {name: tensor for name, tensor in spoken.tensors.items() if name != "prompt_energy"}
    units = said(tiny, phrase, replace(spoken, tensors=tensors))
    assert len(prosody.lasted(units.ids[0])) == len(phrase.ids)


def test_a_nudge_is_small_and_the_seeds(tiny: Small, voice: Voice) -> None:
    one, again, other = (tiny.nudge(voice, seed).tensors["style"] for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    share = (one - voice.tensors["style"]) / style.Basis.load().deviation()
    assert float(share.square().mean().sqrt()) == pytest.approx(0.01, rel=0.1)
    assert torch.equal(tiny.nudge(voice, 1).tensors["pitch"], voice.tensors["pitch"])


# ---------------------------------------------------------------------------------------- curves


def curves(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pitch with a voice, without, and falling between; energy."""
    random = torch.Generator().manual_seed(seed)
    pitch = 180 * 2 ** (0.2 * torch.randn(120, generator=random))
    pitch[30:50] = 7.0
    pitch[50:54] = torch.tensor([30.0, 60.0, 90.0, 140.0])
    return pitch, 6 + torch.randn(120, generator=random)


def test_curves_are_there_and_back() -> None:
    pitch, energy = curves()
    scale = prosody.scale_of(pitch, energy)
    back, loud = prosody.absolute(prosody.normal(pitch, energy, scale), scale)
    voiced = pitch > prosody.BREATHLESS
    torch.testing.assert_close(
        back[voiced & (pitch > 100)], pitch[voiced & (pitch > 100)], rtol=1e-4, atol=0.01
    )
    assert bool((back[~voiced] < 10).all())
    torch.testing.assert_close(loud, energy, rtol=1e-4, atol=1e-4)


def test_another_scale_moves_the_pitch_and_its_range() -> None:
    pitch, energy = curves()
    scale = prosody.scale_of(pitch, energy)
    wanted = Scale(scale.mean - 0.5, 2 * scale.deviation, scale.energy)
    moved, _ = prosody.absolute(prosody.normal(pitch, energy, scale), wanted)
    loud = pitch > 120
    octaves, before = moved[loud].log2(), pitch[loud].log2()
    assert float(octaves.mean() - before.mean()) == pytest.approx(-0.5, abs=0.05)
    assert float(octaves.std() / before.std()) == pytest.approx(2, rel=0.05)


def test_a_curve_without_voice_has_a_scale_all_the_same() -> None:
    scale = prosody.scale_of(torch.full((20,), 7.0), torch.full((20,), -9.0))
    assert all(math.isfinite(number) for number in (scale.mean, scale.deviation, scale.energy))


def test_a_code_is_the_nearest_centroid_and_what_is_unknown_does_not_count() -> None:
    book = Book(5)
    book.centroids.copy_(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
    frames = book.decode(torch.arange(5)).unflatten(1, (2, 3))
    assert book.encode(frames + 0.01).tolist() == [0, 1, 2, 3, 4]
    frames[..., 2] = math.nan
    assert book.encode(frames).tolist() == [0, 1, 2, 3, 4]


def test_notes_tell_what_the_draft_does_with_each_symbol() -> None:
    tracks = torch.zeros(5, 2, 3)
    tracks[:, :, 0] = torch.arange(10.0).view(5, 2)
    tracks[:, :, 1] = 1
    notes = Draft(torch.zeros(2, 4), torch.tensor([2.2, 2.9]), tracks).notes()
    assert notes.shape == (2, prosody.NOTES)
    torch.testing.assert_close(notes[:, 0], torch.tensor([2.2, 2.9]).log2())
    assert notes[:, 2].tolist() == [0, 4] and notes[:, 4].tolist() == [3, 9]  # first and last pitch
    torch.testing.assert_close(notes[:, 5], torch.tensor([1.5, 6.5]))  # mean pitch


def test_what_a_symbol_hears_is_itself_and_the_next() -> None:
    torch.manual_seed(0)
    network = Prosody(TINY, TINY_MELODY).eval()
    symbols = torch.randn(4, TINY.hidden + TINY.style + prosody.NOTES)
    context = network.context(symbols)
    changed = symbols.clone()
    changed[2] += 1
    differs = (network.context(changed) - context).abs().amax(1) > 1e-6
    assert differs.tolist() == [False, True, True, False]


# ---------------------------------------------------------------------------------------- texts


def test_the_texts_are_many_different_and_always_the_same() -> None:
    one = texts.sentences(300, 1)
    assert one == texts.sentences(300, 1) and len(set(one)) == 300
    lengths = [len(text.split()) for text in one]
    assert min(lengths) == 1 and max(lengths) > 40


def test_hard_texts_have_paragraphs_of_three_hundred_words() -> None:
    hard = texts.hard(50, 0)
    assert len(set(hard)) == 50
    assert sum(len(text.split()) >= 300 for text in hard) == 2


# -------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def lesson(tiny: Small) -> tuple[Prosody, teaching.Session]:
    """A toy teacher's session, and a network that knows its codes."""
    basis = style.Basis.load()
    library = prosody_data.read(tiny._speaker, texts.sentences(4, 3))
    voices = prosody_data.Voices(basis, held=False, seed=0)
    session = teaching.normalised(prosody_data.session(tiny._speaker, library, voices, basis.knots))
    book = teaching.clustered([session], TINY_MELODY.codes, seed=0)
    network = teaching.fresh(book, 0, TINY, TINY_MELODY)
    return network, teaching.encoded([session], network)[0]


def batch(network: Prosody, session: teaching.Session) -> teaching.Batch:
    near = teaching.batches([session], torch.Generator().manual_seed(0), network.codes, None)
    return next(iter(near))


def test_no_sentence_held_out_is_learned_from() -> None:
    assert not set(prosody_data.written(held=True)) & set(prosody_data.written(held=False))


def test_no_voice_held_out_is_learned_from() -> None:
    basis = style.Basis.load()
    learned, held = (prosody_data.Voices(basis, held, 0).styles for held in (False, True))
    assert len(held) == len(prosody_data.HELD_VOICES) and len(learned) + len(held) == len(basis.styles)
    assert not any(torch.equal(one, other) for one in held for other in learned)


def test_training_sees_what_saying_sees(lesson: tuple[Prosody, teaching.Session]) -> None:
    """The logits of a batch, a sentence behind the beginning of another, are those that the engine makes."""
    network, session = lesson
    prompt, sentence = session[0].cut(12), session[1]
    with torch.inference_mode():
        made = teaching.forced(
            network, teaching._batch([[prompt, sentence]], network.codes, None, torch.Generator())
        )
        parts = [network.context(one.symbols) for one in (prompt, sentence)]
        first = len(prompt.spoken.codes)
        inputs = [
            network.inputs(parts[0], prompt.spoken, 0),
            network.inputs(parts[1], sentence.spoken, first),
        ]
        truth = network(torch.cat(inputs, dim=1))
    for row, right in zip(made, truth, strict=True):
        torch.testing.assert_close(row, right[0], rtol=1e-4, atol=1e-4)


def test_a_few_steps_of_training_make_the_loss_smaller(lesson: tuple[Prosody, teaching.Session]) -> None:
    network, session = lesson
    work = teaching.Work.begin(network.book.centroids, 0, "cpu", TINY, TINY_MELODY)
    row = batch(network, session)
    found = [float(work.learn(row, 3e-3, "cpu").whole.detach()) for _ in range(12)]
    assert found[-1] < 0.9 * found[0] and work.step == 12


def test_a_training_goes_on_where_it_stopped(
    lesson: tuple[Prosody, teaching.Session], tmp_path: Path
) -> None:
    network, session = lesson
    row, centroids = batch(network, session), network.book.centroids

    def begun() -> teaching.Work:
        return teaching.Work.begin(centroids, 0, "cpu", TINY, TINY_MELODY)

    whole, half = begun(), begun()
    for work in (whole, half):
        work.learn(row, 1e-3, "cpu")
    half.save(tmp_path / "checkpoint.pt")
    resumed = begun()
    resumed.resume(tmp_path / "checkpoint.pt")
    for work in (whole, resumed):
        work.learn(row, 1e-3, "cpu")
    assert resumed.step == whole.step == 2
    for one, other in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_prompt_is_cut_between_symbols(lesson: tuple[Prosody, teaching.Session]) -> None:
    said = lesson[1][0]
    for frames in (1, 7, 30, 10_000):
        part = said.cut(frames)
        assert int(part.spoken.moves.sum()) == len(part.features) and int(part.spoken.moves[-1]) == 1
        assert len(part.spoken.codes) == len(part.tracks)
        assert len(part.spoken.codes) <= frames or len(part.features) == 1
