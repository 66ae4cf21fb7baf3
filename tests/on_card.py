"""What is said on a graphics card is what is said on the CPU, as far as a pretended one shows: see `card`.

`test_card` runs these in a process of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipelines import device
from pipelines.device import Capabilities, Placement
from pipelines.engines.gpt_sovits import engine as sovits
from pipelines.engines.gpt_sovits.cfm import Matcher
from pipelines.engines.gpt_sovits.config import TINY_ENCODER, TINY_MATCHER
from pipelines.engines.gpt_sovits.engine import GptSovits, Networks
from pipelines.engines.gpt_sovits.model import Listener
from pipelines.engines.gpt_sovits.reader import Context
from pipelines.engines.gpt_sovits.text import Stretch
from pipelines.engines.gpt_sovits.verifier import Verifier, VerifierConfig
from pipelines.engines.gpt_sovits.vocoders import Bigvgan, BigvganConfig
from pipelines.engines.small import engine as embedded
from pipelines.engines.small import listener, refine, sketch
from pipelines.engines.small.config import TINY
from pipelines.layers import recorded
from pipelines.layers.bert import Bert, BertConfig
from pipelines.layers.hifigan import Hifigan, HifiganConfig
from pipelines.types import Engine, Run, Sampling, Waveform
from tests.card import DEVICE, Mixed, OnCard, Unwaiting, Waited, card
from tests.test_gpt_sovits import fake_read
from tests.test_recorded import WIDTH, blocks, noise, played

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(autouse=True)
def plain_layers(monkeypatch):
    """The CPU's own layers round otherwise, which toys with random weights make much of."""
    monkeypatch.setattr(device, "_packs", lambda dtype: False)


VERIFIER = VerifierConfig(80, 8, 24, 4, 2, (1, 1, 1, 1), 2, 4)


def v2(place: Placement) -> Networks:
    return sovits.tiny_networks(place)


def v2_pro(place: Placement) -> Networks:
    sizes = {"verifier": VERIFIER.size}
    return replace(
        v2(place),
        version="v2Pro",
        listener=place.put(Listener(replace(TINY_ENCODER, **sizes)), "listen"),
        verifier=place.put(Verifier(VERIFIER), "listen"),
    )


def matched(place: Placement, version: str, vocoder: Bigvgan | Hifigan) -> Networks:
    """What v3 and v4 are, but for their vocoders."""
    decoder = place.put(Matcher(TINY_MATCHER), "render")
    return replace(v2(place), version=version, decoder=decoder, vocoder=place.put(vocoder, "render"))


def v3(place: Placement) -> Networks:
    vocoder = Bigvgan(BigvganConfig(100, 16, (8, 8, 2, 2), (16, 16, 4, 4), (3, 5), (1, 3)))
    return matched(place, "v3", vocoder)


def v4(place: Placement) -> Networks:
    vocoder = Hifigan(HifiganConfig(100, 32, (10, 6, 2, 2, 2), (20, 12, 4, 4, 4)))
    return matched(place, "v4", vocoder)


def engine_of(build: Callable[[Placement], Networks], where: str, **modes: str) -> GptSovits:
    torch.manual_seed(1)
    place = Placement(where, **modes)
    return GptSovits(place, build(place), fake_read)


def said(
    engine: Engine, reference: Waveform, transcript: str | None, text: str, how: Sampling
) -> list[Tensor]:
    """Tokens and sound."""
    voice = engine.listen(reference, transcript, Run())
    phrase = engine.read(text, "en")
    units = engine.say(phrase, voice, how, Run())[0]
    sound = torch.cat([piece.samples for piece in engine.render(units, phrase, voice, Run())])
    return [*voice.tensors.values(), units.ids, sound]


def same(ones: list[Tensor], others: list[Tensor]) -> None:
    for one, other in zip(ones, others, strict=True):
        assert not isinstance(other, OnCard)
        torch.testing.assert_close(other, one, **CLOSE)


@pytest.mark.parametrize("build", [v2, v2_pro, v3, v4])
def test_gpt_sovits_says_on_a_card_what_it_says_on_a_cpu(build, reference):
    how = Sampling(seed=3, top_k=15, repetition_penalty=1.35)
    truth = said(engine_of(build, "cpu"), reference, "what the clip says", "some words", how)
    with card():
        engine = engine_of(build, DEVICE)
        assert all(isinstance(p, OnCard) for p in engine._networks.speaker.parameters())
        same(truth, said(engine, reference, "what the clip says", "some words", how))


@pytest.mark.parametrize("mode", ["bfloat16", "float16"])
def test_a_lowered_precision_stays_on_the_card_too(mode, reference):
    modes = {"listen": mode, "say": mode, "render": mode}
    with card():
        engine = engine_of(v2_pro, DEVICE, **modes)
        *_, units, sound = said(engine, reference, "what the clip says", "some words", Sampling(seed=3))
        assert len(sound) and sound.isfinite().all() and sound.dtype == torch.float32


@pytest.mark.parametrize("plays", [False, True], ids=["plain steps", "recorded steps"])
def test_sentences_said_at_once_on_a_card_are_what_they_are_on_a_cpu(plays, reference, monkeypatch):
    monkeypatch.setattr(recorded, "record", lambda step, device: step)

    def all_said(where: str) -> list[Tensor]:
        engine = engine_of(v2, where)
        if plays and where == DEVICE:
            engine._networks.speaker._record()
            assert engine._networks.speaker._steps is not None
        voice = engine.listen(reference, "what the clip says", Run())
        phrases = [engine.read(text, "en") for text in ("some words", "and many more of them", "or few")]
        how = Sampling(top_k=15, repetition_penalty=1.35, candidates=2)
        found = engine.say_all(phrases, voice, how, [5, 6, 7], Run())
        logits = engine.logits(found[0][0], phrases[0], voice, how, Run())
        return [*(units.ids for row in found for units in row), *logits]

    truth = all_said("cpu")
    with card():
        same(truth, all_said(DEVICE))


def test_what_is_heard_early_on_a_card_is_what_it_is_on_a_cpu(reference, monkeypatch):
    def heard(where: str) -> list[Tensor]:
        engine = engine_of(v2, where)
        voice = engine.listen(reference, "what the clip says", Run())
        phrase = engine.read("a sentence of words that goes on for as long as it takes to hear", "en")
        how = Sampling(top_k=15, repetition_penalty=1.35, seed=4)
        assert engine.streams(phrase, how)
        given = list(engine.say_on(phrase, voice, how, Run()))
        return [units.ids for units in given] + [
            piece.samples for piece in engine.render_on(iter(given), phrase, voice, Run())
        ]

    truth = heard("cpu")
    with card():
        same(truth, heard(DEVICE))


def test_chinese_is_read_on_a_card_as_on_a_cpu():
    def features(where: str) -> Tensor:
        torch.manual_seed(0)
        sizes = BertConfig(symbols=6, places=6, width=8, heads=2, hidden=16, layers=1)
        words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "你": 3, "好": 4, "[UNK]": 5}
        context = Context(Placement(where).put(Bert(sizes), "listen"), words)
        return context.features(Stretch("zh", "你好你好你好", ("a",) * 6, (1,) * 6))

    truth = features("cpu")
    with card(), torch.inference_mode():  # whose tensors do not mix with others on the pretended card
        same([truth], [features(DEVICE)])


@pytest.mark.parametrize("prosody", ["steady", "lively"])
def test_small_says_on_a_card_what_it_says_on_a_cpu(prosody, reference):
    how, plain = Sampling(seed=3, prosody=prosody), embedded.tiny(Placement())
    voice = plain.listen(reference, None, Run())
    phrase = plain.read("Some words to say.", "en")
    units = plain.say(phrase, voice, how, Run())[0]
    (sound,) = plain.render(units, phrase, voice, Run())
    with card():
        engine = embedded.tiny(Placement(DEVICE))
        same(list(voice.tensors.values()), list(engine.listen(reference, None, Run()).tensors.values()))
        made = engine.say(phrase, voice, how, Run())[0]
        same([units.ids, *units.curves.values()], [made.ids, *made.curves.values()])
        (heard,) = engine.render(units, phrase, voice, Run())
        same([sound.samples], [heard.samples])
        if prosody == "lively":
            same(
                plain.logits(units, phrase, voice, how, Run()),
                engine.logits(units, phrase, voice, how, Run()),
            )


def test_a_clip_is_heard_on_a_card_as_on_a_cpu(reference):
    truth = listener.hear(reference, Placement().put(listener.load(), "listen"))
    with card():
        made = listener.hear(reference, Placement(DEVICE).put(listener.load(), "listen"))
        same([truth.ids, truth.frames, truth.style], [made.ids, made.frames, made.style])


@pytest.mark.parametrize("mode", ["float32", "bfloat16", "float16"])
def test_the_probe_measures_a_card(mode):
    with card():
        measured = device._measure(Capabilities(DEVICE, "cuda", "a pretended card"), mode)
    assert measured.words == "" and measured.finite and measured.error < 0.02


@pytest.mark.parametrize("dtype", recorded.NEAR)
def test_a_step_never_leaves_the_card_and_never_waits_for_it(monkeypatch, dtype):
    monkeypatch.setattr(recorded, "record", lambda step, device: step)
    x = noise(9, 2, WIDTH).to(dtype)
    truth = played(recorded.Recorded(*blocks(dtype=dtype)), x, [0, 1])
    with card():
        steps = recorded.Recorded(*(part.to(DEVICE) for part in blocks(dtype=dtype)))
        memory = steps.memory(2, 9, 0, [0, 1])
        there = [row.to(DEVICE) for row in x]
        with Unwaiting():
            made = [steps.step(row, memory) for row in there]
            with pytest.raises(Waited):
                bool(made[0].isfinite().all())
        torch.testing.assert_close(torch.stack(made).cpu(), truth, rtol=0.05, atol=0.05)


def test_the_card_is_strict():
    with card():
        there, here = torch.arange(6.0, device=DEVICE).view(2, 3), torch.ones(2, 3)
        for mixed in (lambda: there + here, lambda: torch.cat([there, here]), lambda: there @ here.T):
            with pytest.raises(Mixed):
                mixed()
        with pytest.raises(Mixed):
            torch.randn(2, device=DEVICE, generator=torch.Generator())
        with pytest.raises(RuntimeError):
            there.numpy()
        with pytest.raises(TypeError):
            there.double()
        network = nn.Linear(3, 2).to(DEVICE)
        with pytest.raises(Mixed):
            network(here)
        there[0] = here[0].to(DEVICE) * 2
        part = there[:, 1:].add_(torch.tensor(1.0))  # a number without axes may come from the CPU
        assert there.tolist() == [[2.0, 3.0, 3.0], [3.0, 5.0, 6.0]] and isinstance(part, OnCard)
        assert torch.tensor([1, 2], device=DEVICE).device == torch.device(DEVICE)
        assert not isinstance(network(there).cpu(), OnCard) and float(there.sum()) == 22.0


@pytest.mark.parametrize("sketched", [True, False], ids=["by the sketch", "by the sound"])
def test_small_brings_a_voice_closer_on_a_card(sketched, reference):
    how = refine.Descent(sketched=2 * sketched, rendered=2 - 2 * sketched, crop=60)

    def refined(where: str) -> Tensor:
        engine = embedded.tiny(Placement(where))
        torch.manual_seed(0)
        drawn = sketch.Sketch(sketch.Size(TINY.generator_channels, TINY.style, width=16, blocks=1))
        drawn = Placement(where).put(drawn, "listen")
        voice = engine.listen(reference, None, Run())
        networks = refine.Networks(engine._speaker, engine._renderer, drawn, engine._basis, engine._encoder)
        return refine.refine(voice, reference, networks, Run(), how).tensors["style"] - voice.tensors["style"]

    truth = refined("cpu")
    with card():
        made = refined(DEVICE)
    assert not isinstance(made, OnCard) and made.isfinite().all()
    # Adam's first steps go by the sign of a gradient alone, so rounding shows.
    assert nn.functional.cosine_similarity(made.flatten(), truth.flatten(), 0) > (0.9999 if sketched else 0.5)


def test_an_lstm_gives_gradients_where_cudnn_would_refuse_them():
    assert all(
        part.training for part in embedded.tiny(Placement())._speaker.modules() if isinstance(part, nn.LSTM)
    )
