"""GPT-SoVITS at toy sizes: what is fast equals what is slow, what is together equals what is alone."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import takewhile

import pytest
import torch
from torch import Tensor

from bench import gpt_sovits as bench
from pipelines.device import Placement
from pipelines.engines import gpt_sovits
from pipelines.engines.gpt_sovits import engine as engines
from pipelines.engines.gpt_sovits import sampling as drawing
from pipelines.engines.gpt_sovits import text as texts
from pipelines.engines.gpt_sovits.cfm import Matcher
from pipelines.engines.gpt_sovits.config import TINY_ENCODER, TINY_HUBERT, TINY_MATCHER, TINY_SPEAKER
from pipelines.engines.gpt_sovits.engine import GptSovits, Networks, best_stretch
from pipelines.engines.gpt_sovits.model import EncoderBlock, Listener, RelativeAttention
from pipelines.engines.gpt_sovits.reader import Context, Reader, vocabulary
from pipelines.engines.gpt_sovits.sampling import Draw
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.engines.gpt_sovits.spectrogram import log_mel, magnitudes
from pipelines.engines.gpt_sovits.text import Spoken, Stretch
from pipelines.layers.bert import Bert, BertConfig
from pipelines.layers.hifigan import Hifigan, HifiganConfig
from pipelines.types import Cancelled, InputError, Phrase, Run, Sampling, Unsound, Voice, Waveform

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order


def ids(length: int, seed: int, below: int = 700) -> Tensor:
    return torch.randint(below, (length,), generator=torch.Generator().manual_seed(seed))


def features(length: int, seed: int) -> Tensor:
    return torch.randn(length, TINY_SPEAKER.features, generator=torch.Generator().manual_seed(seed))


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def fake_read(text: str, language: str) -> Phrase:
    if not text.strip():
        raise InputError("There is nothing to say.")
    return Phrase(text, torch.tensor([ord(letter) % 700 for letter in text]))


@pytest.fixture(scope="module")
def networks() -> Networks:
    return engines.tiny_networks(Placement())


@pytest.fixture(scope="module")
def speaker(networks) -> Speaker:
    return networks.speaker


@pytest.fixture(scope="module")
def engine(networks) -> GptSovits:
    return GptSovits(Placement(), networks, fake_read)


@pytest.fixture(scope="module")
def voice(engine, reference) -> Voice:
    return engine.listen(reference, "what the clip says", Run())


# ----------------------------------------------------------------------------------------- say


@pytest.mark.parametrize("prompt", [None, ids(9, 5, 32)], ids=["no prompt", "prompt"])
def test_tokens_one_by_one_equal_all_at_once(speaker, prompt):
    phones, bert, tokens = ids(12, 1), features(12, 2), ids(20, 3, 32)
    speech = speaker.begin([phones], [bert], prompt, 20)
    steps = [speech.logits]
    for token in tokens[:-1]:
        speaker.step(speech, token[None])
        steps.append(speech.logits)
    torch.testing.assert_close(torch.cat(steps), speaker.forced(phones, bert, prompt, tokens), **CLOSE)


def test_zero_features_are_no_features(speaker):
    phones, tokens = ids(12, 1), ids(4, 3, 32)
    given = speaker.forced(phones, torch.zeros(12, TINY_SPEAKER.features), None, tokens)
    torch.testing.assert_close(speaker.forced(phones, None, None, tokens), given, **CLOSE)


def test_features_of_another_length_are_refused(speaker):
    with pytest.raises(ValueError, match="12 phones and features of 5"):
        speaker.begin([ids(12, 1)], [features(5, 1)], None, 4)


@pytest.mark.parametrize("prompt", [None, ids(9, 5, 32)], ids=["no prompt", "prompt"])
def test_sentences_said_together_are_said_as_alone(speaker, prompt):
    lengths = (5, 19, 12)
    phones, bert = [ids(n, n) for n in lengths], [features(n, n) for n in lengths]
    together = drawing.say(speaker, phones, bert, prompt, seeded(1, 2, 3), most=60)
    for i, seed in enumerate((1, 2, 3)):
        (alone,) = drawing.say(speaker, [phones[i]], [bert[i]], prompt, seeded(seed), most=60)
        assert torch.equal(together[i].tokens, alone.tokens)
        assert together[i].ended == alone.ended


def test_the_logits_of_a_padded_batch_are_those_of_its_rows(speaker):
    prompt, tokens = ids(9, 5, 32), ids(6, 6, 32)
    phones = [ids(5, 1), ids(19, 2)]
    both = speaker.begin(phones, [None, None], prompt, 6)
    rows = [speaker.begin([row], [None], prompt, 6) for row in phones]
    for token in tokens:
        torch.testing.assert_close(both.logits, torch.cat([row.logits for row in rows]), **CLOSE)
        speaker.step(both, token.expand(2))
        for row in rows:
            speaker.step(row, token[None])


class Scripted:
    """A speaker whose logits are written down."""

    config = TINY_SPEAKER

    def __init__(self, *logits: Tensor):
        self._logits, self.steps = logits, 0

    def begin(self, phones, features, prompt, most):
        return type("Speech", (), {"logits": self._logits[0][None], "keep": lambda rows: None})

    def step(self, speech, tokens):
        self.steps += 1
        speech.logits = self._logits[min(self.steps, len(self._logits) - 1)][None]


def wants(token: int) -> Tensor:
    logits = torch.zeros(TINY_SPEAKER.tokens + 1)
    logits[token] = 50.0
    return logits


END = TINY_SPEAKER.tokens


def test_speech_does_not_end_before_its_eleventh_token():
    (said,) = drawing.say(Scripted(wants(END)), [ids(3, 1)], [None], None, seeded(0), most=30)
    assert len(said.tokens) == drawing.LEAST and said.ended
    assert int(said.tokens.max()) < END


def test_speech_that_does_not_end_is_cut_at_the_limit_and_told():
    (said,) = drawing.say(Scripted(wants(4)), [ids(3, 1)], [None], None, seeded(0), most=30)
    assert len(said.tokens) == 30 and not said.ended


def test_the_end_is_looked_for_after_the_penalty():
    """The end comes second, but what was ahead of it was just said: penalised, it falls behind."""
    logits = wants(4)
    logits[4], logits[END] = 5.0, 4.5
    (said,) = drawing.say(Scripted(logits), [ids(3, 1)], [None], torch.tensor([4]), seeded(0), most=30)
    assert said.ended and len(said.tokens) == drawing.LEAST


def test_numbers_that_are_not_finite_are_no_speech():
    with pytest.raises(Unsound):
        drawing.say(Scripted(wants(4) * torch.nan), [ids(3, 1)], [None], None, seeded(0))


def test_top_p_is_taken_before_the_temperature():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    hot = drawing.probabilities(logits, Draw(top_k=0, top_p=0.7, temperature=100.0))
    assert (hot > 0).tolist() == [[True, False, False, False]]  # after it, three would be left


def test_equals_of_the_last_of_top_k_stay():
    kept = drawing.probabilities(torch.tensor([[2.0, 1.0, 1.0, 0.0]]), Draw(top_k=2))
    assert (kept > 0).sum() == 3


# ---------------------------------------------------------------------------------------- read


VOCABULARY = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "你": 3, "好": 4, ",": 5}


@pytest.fixture(scope="module")
def context() -> Context:
    torch.manual_seed(0)
    sizes = BertConfig(symbols=6, places=6, width=8, heads=2, hidden=16, layers=1)
    return Context(Bert(sizes).eval().requires_grad_(False), VOCABULARY)


def test_a_character_gives_its_features_to_each_of_its_phones(context):
    made = context.features(Stretch("zh", "你好", ("n", "i3", "h", "ao3", "x"), (2, 3)))
    characters = context.bert(torch.tensor([[1, 3, 4, 2]]))[0, 1:-1]
    assert torch.equal(made, characters[torch.tensor([0, 0, 1, 1, 1])])


def test_more_characters_than_roberta_reads_at_once_are_read_in_parts(context):
    stretch = Stretch("zh", "你好你好你好", ("a",) * 6, (1,) * 6)
    assert context.features(stretch).shape == (6, 8)


def test_what_is_not_chinese_has_no_features(context, monkeypatch):
    stretches = (Stretch("en", "hi", ("HH", "AY1")), Stretch("zh", "好", ("h", "ao3"), (2,)))
    spoken = Spoken("hi 好", torch.arange(4), stretches)
    monkeypatch.setattr(texts, "read", lambda *arguments: spoken)
    loads = []
    reader = Reader("v2", lambda: loads.append(1) or context)
    phrase, _ = reader("hi 好", "auto"), reader("hi 好", "auto")
    assert len(loads) == 1
    assert not phrase.features[:2].any() and phrase.features[2:].all()
    monkeypatch.setattr(texts, "read", lambda *arguments: replace(spoken, stretches=stretches[:1]))
    assert reader("hi", "auto").features is None
    monkeypatch.setattr(texts, "read", lambda *arguments: spoken)
    with pytest.raises(InputError, match="RoBERTa, which is not installed"):
        Reader("v2")("hi 好", "auto")


def test_a_vocabulary_is_read_from_either_file(tmp_path):
    with pytest.raises(InputError, match="no tokenizer.json and no vocab.txt"):
        vocabulary(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    assert vocabulary(tmp_path) == VOCABULARY
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"x": 7}}}), encoding="utf-8")
    assert vocabulary(tmp_path) == {"x": 7}


# -------------------------------------------------------------------------------- listen, render


def test_relative_attention_equals_its_definition():
    torch.manual_seed(0)
    layer, x = RelativeAttention(8, 2, 2).requires_grad_(False), torch.randn(1, 8, 7)
    query, key, value = layer.qkv(x).unflatten(1, (3, 2, 4)).transpose(-1, -2)[0]
    made = torch.zeros(2, 7, 4)
    for head in range(2):
        for i in range(7):
            near = [(j, j - i + 2) for j in range(7) if abs(j - i) <= 2]
            scores = query[head, i] @ key[head].T / 2
            for j, place in near:
                scores[j] += query[head, i] @ layer.key_places[place] / 2
            weights = scores.softmax(-1)
            made[head, i] = weights @ value[head]
            for j, place in near:
                made[head, i] += weights[j] * layer.value_places[place]
    expected = layer.out(made.transpose(-1, -2).flatten(0, 1)[None])
    torch.testing.assert_close(layer(x), expected, **CLOSE)


@pytest.mark.parametrize("frames", [1, 3, 30])
def test_an_encoder_block_takes_any_length(frames):
    assert EncoderBlock(TINY_ENCODER)(torch.randn(2, 16, frames)).shape == (2, 16, frames)


def test_tokens_are_the_nearest_codes(networks):
    listener = networks.listener
    content = torch.randn(1, 21, 16)
    x = listener.content(content.transpose(1, 2)).transpose(1, 2)
    nearest = torch.cdist(x, listener.codebook[None]).argmin(-1)
    assert torch.equal(listener.tokens(content), nearest)
    assert nearest.shape == (1, 10)


def test_a_verification_is_wanted_by_those_versions_alone_that_use_it():
    spectrogram = torch.rand(1, 1025, 9)
    with pytest.raises(ValueError, match="means nothing"):
        Listener(TINY_ENCODER).styled(spectrogram, torch.zeros(1, 4))
    verified = Listener(replace(TINY_ENCODER, verifier=4)).requires_grad_(False)
    with pytest.raises(ValueError, match="is missing"):
        verified.styled(spectrogram)
    assert verified.styled(spectrogram, torch.ones(1, 4)).shape == (1, 16, 1)


def test_bins_above_those_trained_on_change_nothing(networks):
    spectrogram = torch.rand(1, 1025, 9)
    changed = spectrogram.clone()
    changed[:, TINY_ENCODER.bins :] = 5
    assert torch.equal(networks.listener.styled(spectrogram), networks.listener.styled(changed))


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.3])
def test_a_decoded_sound_is_as_long_as_told(networks, speed):
    decoder = networks.decoder
    wave = decoder(ids(7, 1, 32)[None], ids(5, 2)[None], torch.randn(1, 16, 1), speed=speed)
    assert wave.shape == (1, 1, 640 * decoder.encoder.frames(7, speed))
    assert decoder.encoder.frames(7) == 14


def test_the_flow_is_undone_step_by_step(networks):
    """What is put through the couplings forwards, with a flip after each, comes back."""
    decoder, style = networks.decoder, torch.randn(1, 16, 1)
    z = x = torch.randn(1, 16, 11)
    for coupling in decoder.couplings:
        known, other = x.chunk(2, dim=1)
        shift = coupling.last(coupling.wavenet(coupling.first(known), style))
        x = torch.cat([known, other + shift], dim=1).flip(1)
    torch.testing.assert_close(decoder.flowed(x, style), z, **CLOSE)


def test_a_spectrogram_has_a_frame_a_hop_and_finds_a_tone():
    samples = torch.sin(2 * torch.pi * 1000 / 32_000 * torch.arange(6_400))[None]
    spectrum = magnitudes(samples, 2048, 640)
    assert spectrum.shape == (1, 1025, 10)
    assert int(spectrum[0, :, 5].argmax()) == 64  # 1000 Hz / (32000 / 2048)
    assert log_mel(samples, 32_000, 1280, 320, 100).shape == (1, 100, 20)
    with pytest.raises(ValueError, match="more than 704 samples"):
        magnitudes(samples[:, :700], 2048, 640)


# ---------------------------------------------------------------------------------- the engine


def whole(engine: GptSovits, voice: Voice, sampling: Sampling = Sampling(seed=3)) -> Waveform:  # noqa: B008
    phrase = engine.read("some words", "en")
    units = engine.say(phrase, voice, sampling, Run())[0]
    pieces = list(engine.render(units, phrase, voice, Run()))
    return Waveform(torch.cat([piece.samples for piece in pieces]), engine.sample_rate)


def test_a_voice_holds_what_the_clip_said(voice):
    assert set(voice.tensors) == {"style", "tokens", "phones"}
    # 6 s and 9600 zeros are 329 HuBERT frames.
    assert len(voice.tensors["tokens"]) == (6 * 16_000 + 9_600 - 400) // 320 // 2
    assert voice.engine == "gpt_sovits"


def test_without_a_transcript_only_the_style_is_kept(engine, reference):
    voice = engine.listen(reference, None, Run())
    assert set(voice.tensors) == {"style"}
    assert whole(engine, voice).samples.isfinite().all()


def test_the_same_seed_is_the_same_sound_and_another_is_not(engine, voice):
    first, again = whole(engine, voice), whole(engine, voice)
    other = whole(engine, voice, Sampling(seed=4))
    assert torch.equal(first.samples, again.samples)
    assert first.samples.shape != other.samples.shape or not torch.equal(first.samples, other.samples)


def test_pieces_joined_are_the_whole(engine, voice, networks, lasting):
    phrase = engine.read("a sentence of several seconds", "en")
    units = engine.say(phrase, voice, Sampling(seed=3), Run())[0]
    pieces = [piece.samples for piece in engine.render(units, phrase, voice, Run())]
    decoder, style = networks.decoder, voice.tensors["style"][None, :, None]
    noise = engine._noise(decoder.encoder.frames(units.ids.shape[1]), units.seed)
    at_once = decoder(units.ids, phrase.ids[None], style, noise)[0, 0]
    assert len(pieces) > 1
    torch.testing.assert_close(torch.cat(pieces), at_once, **CLOSE)


def test_units_tell_how_long_the_sound_will_be(engine, voice):
    phrase = engine.read("some words", "en")
    for speed in (1.0, 1.4):
        units = engine.say(phrase, voice, Sampling(seed=3, speed=speed), Run())[0]
        sound = torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])
        assert len(sound) / engine.sample_rate == pytest.approx(units.seconds)


def test_what_it_would_have_said_is_what_it_drew_from(engine, voice):
    phrase = engine.read("some words", "en")
    units = engine.say(phrase, voice, Sampling(seed=3, temperature=0.0), Run())[0]
    (logits,) = engine.logits(units, phrase, voice, Sampling(), Run())
    assert logits.shape == (units.ids.shape[1], TINY_SPEAKER.tokens + 1)
    assert logits.dtype == torch.float32


def test_candidates_are_several_and_the_likeliest_is_first(engine, voice):
    said = engine.say(engine.read("some words", "en"), voice, Sampling(candidates=3), Run())
    scores = [units.score for units in said]
    assert len(said) == 3 and scores == sorted(scores, reverse=True)


def test_swallowed_words_and_endless_speech_are_said_again(engine, voice, monkeypatch):
    phrase = engine.read("words that take a while", "en")
    row = torch.arange(60) % 32
    tries = [drawing.Said(row[:12], True), drawing.Said(row, False), drawing.Said(row[:40], True)]
    drawn, seeds = list(tries), []

    def say(speaker, phones, features, prompt, generators, *rest):
        seeds.extend(generator.initial_seed() for generator in generators)
        return [drawn.pop(0)]

    monkeypatch.setattr(drawing, "say", say)
    (units,) = engine.say(phrase, voice, Sampling(seed=5), Run())
    assert units.ids.shape == (1, 40) and len(set(seeds)) == 3
    assert units.note.startswith("Said 3 times, since")
    drawn[:] = [tries[1], tries[0], tries[1]]
    (units,) = engine.say(phrase, voice, Sampling(seed=5), Run())
    assert units.ids.shape == (1, 12)  # none was good: the one that came to its end
    assert "may be missing" in units.note


TEXTS = ("some words", "and a good many more of them", "or few", "a last sentence of words")


@pytest.mark.parametrize("mode", ["float32", "bfloat16", "int8"])
def test_sentences_at_once_are_what_they_are_alone(voice, mode):
    engine = GptSovits(Placement(say=mode), engines.tiny_networks(Placement(say=mode)), fake_read)
    phrases, seeds = [engine.read(text, "en") for text in TEXTS], [5, 6, 7, 8]
    for sampling in (Sampling(top_k=15, repetition_penalty=1.35), Sampling(candidates=2, speed=1.2)):
        together = engine.say_all(phrases, voice, sampling, seeds, Run())
        for phrase, seed, found in zip(phrases, seeds, together, strict=True):
            alone = engine.say(phrase, voice, replace(sampling, seed=seed), Run())
            assert [u.ids.tolist() for u in found] == [u.ids.tolist() for u in alone]
            for one, other in zip(found, alone, strict=True):
                assert (one.seed, one.seconds, one.note) == (other.seed, other.seconds, other.note)


def test_of_sentences_at_once_those_alone_are_said_again_that_were_not_good(engine, voice, monkeypatch):
    rows: list[int] = []

    def say(speaker, phones, features, prompt, generators, *rest):
        rows.append(len(phones))
        swallowed = drawing.Said(torch.arange(5), True)
        good = drawing.Said(torch.arange(60) % 32, True)
        return [swallowed if len(rows) == 1 and row == 2 else good for row in range(len(phones))]

    monkeypatch.setattr(drawing, "say", say)
    phrases = [engine.read(text, "en") for text in TEXTS[:2] + TEXTS[3:] + TEXTS[:1]]
    found = engine.say_all(phrases, voice, Sampling(), [1, 2, 3, 4], Run())
    assert rows == [4, 1]
    assert [bool(units.note) for (units,) in found] == [False, False, True, False]


def test_sentences_that_would_want_too_much_memory_are_said_in_groups(engine, voice, monkeypatch):
    phrases, seeds = [engine.read(text, "en") for text in TEXTS], [5, 6, 7, 8]
    whole = engine.say_all(phrases, voice, Sampling(), seeds, Run())
    sizes, say = [], drawing.say
    monkeypatch.setattr(drawing, "say", lambda *given: sizes.append(len(given[1])) or say(*given))
    monkeypatch.setattr(engines, "SLOTS", 900)
    grouped = engine.say_all(phrases, voice, Sampling(), seeds, Run())
    assert sizes[0] < 4 and sum(sizes[: sizes.index(sizes[-1]) + 1]) <= 4 + 4
    assert [u.ids.tolist() for (u,) in grouped] == [u.ids.tolist() for (u,) in whole]


def test_stop_is_heeded_while_saying_several(engine, voice):
    looked = []
    run = Run(cancelled=lambda: looked.append(1) or len(looked) > 3)
    phrases = [engine.read(text, "en") for text in TEXTS]
    with pytest.raises(Cancelled):
        engine.say_all(phrases, voice, Sampling(), [1, 2, 3, 4], run)
    assert len(looked) == 4


def test_a_sentence_gone_on_from_what_was_said_is_the_same(speaker):
    phones, prompt = ids(12, 1), ids(9, 5, 32)
    draw = Draw(top_k=5)
    (whole,) = drawing.say(speaker, [phones], [None], prompt, seeded(4), draw, 60)
    assert len(whole.tokens) > 20
    for count in (3, 11, 20):
        saying = drawing.Saying(
            speaker, [phones], [None], prompt, seeded(4), draw, [60], whole.tokens[:count]
        )
        assert torch.equal(saying.so_far(0).tokens, whole.tokens[:count])
        while not saying.done:
            saying.step()
        assert torch.equal(saying.so_far(0).tokens, whole.tokens) and saying.so_far(0).ended == whole.ended


def test_noise_stays_in_its_place_however_much_of_it_is_wanted(engine):
    long, short = engine._noise(230, 4), engine._noise(77, 4)
    assert torch.equal(long[..., :77], short)
    assert float(long.std()) == pytest.approx(engines.NOISE, rel=0.05)
    assert float(long[..., :50].flatten() @ long[..., 50:100].flatten()) / 50 / 16 < 0.02


# -------------------------------------------------------------------------- heard while it is said


def spoken(engine: GptSovits, voice: Voice, sampling: Sampling) -> tuple[list, list[Tensor]]:
    """All that `say_on` gives, and the pieces of sound that `render_on` makes of it."""
    phrase, given = engine.read(LASTING, "en"), []

    def watched():
        for units in engine.say_on(phrase, voice, sampling, Run()):
            given.append(units)
            yield units

    pieces = [piece.samples for piece in engine.render_on(watched(), phrase, voice, Run())]
    return given, pieces


LASTING = "a sentence that takes several seconds to be said in full by this voice"
STEADY = Sampling(seed=3, top_k=15, repetition_penalty=1.35)


@pytest.fixture
def lasting(monkeypatch):
    """Speech does not end by chance before 6 s, since the toy's weights know no ends."""
    monkeypatch.setattr(drawing, "LEAST", 150)


def test_what_is_heard_while_it_is_said_is_what_is_said_at_once(engine, voice, lasting):
    given, pieces = spoken(engine, voice, STEADY)
    phrase = engine.read(LASTING, "en")
    (units,) = engine.say(phrase, voice, STEADY, Run())
    assert torch.equal(given[-1].ids, units.ids) and given[-1].whole and not given[0].whole
    last = units.ids.shape[1] - engines.LOOK
    ends = list(takewhile(lambda end: end <= last, engines.borders()))
    assert [u.ids.shape[1] for u in given[:-1]] == [end + engines.LOOK for end in ends]
    assert len(pieces) == len(ends) + 1 and sum(map(len, pieces)) == units.ids.shape[1] * 1280
    assert len(pieces[0]) == (25 * 2 - engines.FADE) * 640  # 1 s, but what goes over into the next


def test_sound_that_is_heard_early_is_near_to_the_whole_decode(engine, voice, lasting):
    given, pieces = spoken(engine, voice, STEADY)
    phrase, units = engine.read(LASTING, "en"), given[-1]
    whole = torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])
    other = replace(units, seed=9)
    noise = torch.cat([piece.samples for piece in engine.render(other, phrase, voice, Run())])
    off, moved = ((sound - whole).square().mean().sqrt() for sound in (torch.cat(pieces), noise))
    assert off < 0.2 * moved
    # The last piece knows the whole sentence.
    last = len(pieces[-1]) - engines.FADE * 640
    torch.testing.assert_close(pieces[-1][-last:], whole[-last:], **CLOSE)


def test_early_sound_is_the_same_for_the_same_seed_however_its_units_come(engine, voice, lasting):
    given, pieces = spoken(engine, voice, STEADY)
    again = spoken(engine, voice, STEADY)[1]
    assert all(torch.equal(one, other) for one, other in zip(pieces, again, strict=True))
    phrase = engine.read(LASTING, "en")
    at_once = [piece.samples for piece in engine.render_on(given[-1:], phrase, voice, Run())]
    assert all(torch.equal(one, other) for one, other in zip(pieces, at_once, strict=True))


def test_speech_that_broke_off_goes_on_with_the_same_tokens(engine, voice, lasting):
    given, _ = spoken(engine, voice, STEADY)
    phrase = engine.read(LASTING, "en")
    for begun in (given[0], given[1], given[-1]):
        after = list(engine.say_on(phrase, voice, STEADY, Run(), begun))
        assert after[0] is begun and torch.equal(after[-1].ids, given[-1].ids)
        assert [u.ids.shape for u in after] == [u.ids.shape for u in given[given.index(begun) :]]


def test_a_sentence_too_short_for_its_phones_is_said_again_before_it_is_heard(engine, voice, monkeypatch):
    """Cut off at once it is said anew, as elsewhere; ended too early after it was heard it is told of."""
    phrase = Phrase("x", ids(200, 3))
    seeds = (replace(STEADY, seed=seed) for seed in range(100))
    early, (units,) = next(
        (how, said) for how in seeds if len(said := list(engine.say_on(phrase, voice, how, Run()))) == 1
    )
    (expected,) = engine.say(phrase, voice, early, Run())
    assert torch.equal(units.ids, expected.ids) and units.note == expected.note != ""
    monkeypatch.setattr(drawing, "LEAST", 40)
    *_, units = engine.say_on(phrase, voice, STEADY, Run())
    assert "could not be said again" in units.note


def test_what_may_be_heard_early_follows_from_version_pace_and_length(engine, voice, reference):
    long, short = engine.read(LASTING, "en"), engine.read("some words", "en")
    assert engine.streams(long, STEADY) and not engine.streams(short, STEADY)
    assert not engine.streams(long, replace(STEADY, candidates=2))
    assert not engine.streams(long, replace(STEADY, speed=1.1))
    assert not matched().streams(long, STEADY)


def test_stop_is_heeded_while_it_is_heard(engine, voice, lasting):
    phrase, stop = engine.read(LASTING, "en"), []
    run = Run(cancelled=lambda: bool(stop))
    pieces = engine.render_on(engine.say_on(phrase, voice, STEADY, run), phrase, voice, run)
    next(pieces)
    stop.append(1)
    with pytest.raises(Cancelled):
        next(pieces)


def test_a_sentence_longer_than_allowed_is_refused(engine, voice, monkeypatch):
    long = engine.read("a very long sentence " * 8, "en")
    monkeypatch.setattr(drawing, "LEAST", 10_000)  # so that it does not end by chance
    with pytest.raises(InputError, match="longer than the 1 s"):
        engine.say(long, voice, Sampling(max_seconds=1.0), Run())


def test_stop_is_heeded_while_saying_and_rendering(engine, voice):
    phrase = engine.read("some words", "en")
    stopped = Run(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        engine.say(phrase, voice, Sampling(), stopped)
    units = engine.say(phrase, voice, Sampling(), Run())[0]
    with pytest.raises(Cancelled):
        list(engine.render(units, phrase, voice, stopped))


def test_stop_is_heeded_all_the_while_it_listens(engine, reference):
    looked = []
    engine.listen(reference, "what the clip says", Run(cancelled=lambda: bool(looked.append(1))))
    for last in range(1, len(looked)):
        seen = []
        run = Run(cancelled=lambda seen=seen, last=last: seen.append(1) or len(seen) >= last)
        with pytest.raises(Cancelled):
            engine.listen(reference, "what the clip says", run)
        assert len(seen) == last
    assert len(looked) > len(TINY_HUBERT.channels) + TINY_HUBERT.layers


def test_a_long_clip_is_cut_to_where_it_speaks(engine, speech):
    words = speech(8.0).samples
    clip = Waveform(torch.cat([torch.zeros(24_000 * 6), words, torch.zeros(24_000 * 6)]), 24_000)
    best = best_stretch(clip)
    assert best.seconds == pytest.approx(10.0, abs=0.03)
    assert float(best.samples.square().sum()) == pytest.approx(float(words.square().sum()), rel=1e-3)
    voice = engine.listen(clip, "words that no longer fit", Run())
    assert "tokens" not in voice.tensors and voice.transcript is None
    assert voice.facts["reference"] == "the best 10 s of 20"


def test_a_clip_of_a_blink_is_refused_and_a_short_one_is_told(engine, speech):
    with pytest.raises(InputError, match="lasts 0.5 s"):
        engine.listen(Waveform(torch.zeros(12_000), 24_000), None, Run())
    assert "shorter than 3 s" in engine.listen(speech(2.0), None, Run()).facts["reference"]


@pytest.mark.parametrize("mode", ["bfloat16", "float16", "int8"])
def test_lowered_say_still_speaks(mode, reference):
    placement = Placement(say=mode)
    engine = GptSovits(placement, engines.tiny_networks(placement), fake_read)
    voice = engine.listen(reference, "what the clip says", Run())
    assert whole(engine, voice).samples.isfinite().all()


def test_lowered_everywhere_the_listener_stays_whole(reference):
    placement = Placement(listen="bfloat16", say="bfloat16", render="bfloat16")
    networks = engines.tiny_networks(placement)
    assert networks.listener.codebook.dtype == torch.float32
    engine = GptSovits(placement, networks, fake_read)
    voice = engine.listen(reference, "what the clip says", Run())
    assert whole(engine, voice).samples.dtype == torch.float32


def matched() -> GptSovits:
    """A toy of v4."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        put = Placement().put
        networks = replace(
            engines.tiny_networks(Placement()),
            version="v4",
            decoder=put(Matcher(TINY_MATCHER), "render"),
            vocoder=put(Hifigan(HifiganConfig(100, 32, (10, 6, 2, 2, 2), (20, 12, 4, 4, 4))), "render"),
        )
    return GptSovits(Placement(), networks, fake_read)


def test_v4_goes_on_from_the_clips_own_words(reference):
    engine = matched()
    voice = engine.listen(reference, "what the clip says", Run())
    assert voice.tensors["mel"].shape == (100, 600)
    phrase = engine.read("some words", "en")
    units = engine.say(phrase, voice, Sampling(seed=3, speed=1.2), Run())[0]
    sound = torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])
    assert engine.sample_rate == 48_000 and sound.isfinite().all()
    assert len(sound) / 48_000 == pytest.approx(units.seconds)


def test_v4_takes_as_many_steps_as_it_is_told(reference, monkeypatch):
    engine = matched()
    voice = engine.listen(reference, "what the clip says", Run())
    phrase = engine.read("some words", "en")
    taken = []
    estimate = engine._networks.decoder.estimator.forward
    monkeypatch.setattr(
        engine._networks.decoder.estimator,
        "forward",
        lambda *arguments: taken.append(1) or estimate(*arguments),
    )
    for steps, expected in ((0, 8), (4, 4), (16, 16)):
        units = engine.say(phrase, voice, Sampling(seed=3, steps=steps), Run())[0]
        taken.clear()
        next(engine.render(units, phrase, voice, Run()))
        assert len(taken) == expected


def test_what_is_asked_is_taken_literally(engine, voice, monkeypatch):
    draws = []

    def say(speaker, phones, features, prompt, generators, draw, *rest):
        draws.append(draw)
        return [drawing.Said(torch.arange(30), True)]

    monkeypatch.setattr(drawing, "say", say)
    phrase = engine.read("some words", "en")
    engine.say(phrase, voice, Sampling(), Run())
    engine.say(phrase, voice, gpt_sovits.SPEC.usual, Run())
    assert draws == [Draw(top_k=0, repetition_penalty=1.0), Draw(15, 1.0, 1.0, 1.35)]


def test_v4_says_what_it_lacks_of_a_reference(reference, speech):
    with pytest.raises(InputError, match="write its words beside it"):
        matched().listen(reference, " ", Run())
    with pytest.raises(InputError, match="cut clip and words to 10 s"):
        matched().listen(speech(12.0), "many words", Run())


def test_a_nudged_voice_is_nearly_the_same(engine, voice):
    moved = engine.nudge(voice, 1).tensors["style"] - voice.tensors["style"]
    assert 0.003 < float(moved.std() / voice.tensors["style"].std()) < 0.03


def test_the_naive_way_of_the_benchmark_says_the_same():
    torch.manual_seed(6)
    plain = Speaker(TINY_SPEAKER).eval().requires_grad_(False)
    speaker = Placement().put(copy.deepcopy(plain), "say")
    phones, prompt = ids(12, 1), ids(9, 5, 32)
    naive, speech = bench.Naive(plain, phones, prompt), speaker.begin([phones], [None], prompt, 5)
    for token in ids(4, 6, 32):
        torch.testing.assert_close(naive.logits, speech.logits, **CLOSE)
        naive.step(token[None])
        speaker.step(speech, token[None])


def test_the_benchmark_tells_a_ratio_of_each_way(tmp_path):
    threads = torch.get_num_threads()
    out = tmp_path / "figures.json"
    assert bench.main(["--steps", "2", "--rounds", "2", "--out", str(out)], TINY_SPEAKER) == 0
    torch.set_num_threads(threads)
    figures = json.loads(out.read_text())
    assert figures["naive"]["times naive"] == 1.0 and "int8, 4 sentences" in figures
