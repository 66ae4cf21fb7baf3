"""Cloning: the speaker encoder, pitch, listen, refine, and the measures of who speaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines import measures
from pipelines.device import Placement
from pipelines.engines import small
from pipelines.engines.small import refine, sketch, style
from pipelines.engines.small.config import TINY
from pipelines.engines.small.engine import Small
from pipelines.layers import pitch
from pipelines.layers.mel import mel_filters
from pipelines.layers.speaker import SpeakerEncoder, speech_only, window_starts
from pipelines.types import InputError, Run, Voice, Waveform
from tests.conftest import make_speech

# The first 32 numbers that Resemblyzer 0.1.4 itself gives for `hum()`.
HUM = [
    0.0, 0.0719, 0.0, 0.0, 0.0, 0.0124, 0.0, 0.0012, 0.0113, 0.0016, 0.1747, 0.1047, 0.0, 0.0, 0.0, 0.0864,
    0.0051, 0.0458, 0.0144, 0.0, 0.0, 0.0, 0.0406, 0.0, 0.0, 0.064, 0.0, 0.0, 0.075, 0.0, 0.013, 0.0045,
]  # fmt: skip
SHORT = refine.Descent(sketched=6, rendered=6, crop=40, free_rate=0.1, kept=0.8)


def hum() -> Tensor:
    """2.5 s of 24 gliding harmonics, their loudness swinging four times a second: (40000,) at 16 kHz."""
    t = torch.arange(40000, dtype=torch.float64) / 16000
    turns = 140 * t + 6 * torch.sin(2 * torch.pi * 1.5 * t)
    harmonics = sum(torch.sin(2 * torch.pi * k * turns) / k for k in range(1, 25))
    return (harmonics * (0.06 + 0.04 * torch.sin(2 * torch.pi * 4 * t))).float()


@pytest.fixture(scope="module")
def basis() -> style.Basis:
    return style.Basis.load()


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return style.load_encoder()


@pytest.fixture(scope="module")
def engine() -> Small:
    return small.tiny(Placement())


def mixed(basis: style.Basis, weights: Tensor) -> style.Traits:
    """What a mixture of basis voices sounds like if sounds mix as styles do."""
    return style.Traits(weights @ basis.embeddings, weights @ basis.pitch, weights @ basis.spectrum)


# -------------------------------------------------------------------------------------- encoder


def test_the_encoder_gives_resemblyzers_numbers(encoder: SpeakerEncoder) -> None:
    embedding = encoder.embed(hum())
    assert embedding.norm().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(embedding[:32], torch.tensor(HUM), atol=1e-3)


def test_windows_lie_as_resemblyzer_lays_them() -> None:
    assert window_starts(8000, 1.3, 0.75) == [0]  # shorter than a window: one, filled up with silence
    assert window_starts(40000, 1.3, 0.75) == [0, 77]
    assert window_starts(16000 * 3, 1.3, 0.75) == [0, 77, 154]


def test_a_gradient_reaches_the_sound(encoder: SpeakerEncoder) -> None:
    sound = hum()[:25600].requires_grad_()
    encoder.embed(sound)[1].backward()
    assert sound.grad is not None and sound.grad.abs().sum() > 0


def test_mel_filters_share_their_frequencies_without_gaps() -> None:
    filters = mel_filters(16000, 1024, 40)
    assert filters.shape == (40, 513) and bool((filters >= 0).all())
    inside = filters[:, 8:500]
    assert bool((inside.sum(0) > 0).all())
    # Each has unit area: half of the bins' width (in Hz) times what they sum to.
    assert torch.allclose(filters[20:38].sum(1) * 16000 / 1024, torch.ones(18), atol=0.02)


def test_silence_holds_no_speech() -> None:
    assert len(speech_only(torch.zeros(16000))) == 0
    assert len(speech_only(torch.zeros(100))) == 0


def test_pauses_are_shortened_and_loudness_does_not_matter() -> None:
    sound = hum()
    paused = torch.cat([sound, torch.zeros(32000), sound])
    kept = speech_only(paused)
    assert 2 * len(sound) <= len(kept) + 960 < 2 * len(sound) + 8000
    assert torch.allclose(kept, speech_only(0.1 * paused), atol=1e-4)


# ---------------------------------------------------------------------------------------- pitch


@pytest.mark.parametrize("hertz", [70.0, 110.0, 220.0, 330.0])
def test_the_pitch_of_harmonics_is_their_spacing(hertz: float) -> None:
    t = torch.arange(16000) / 16000
    sound = sum(torch.sin(2 * torch.pi * k * hertz * t) / k for k in range(1, 9)) * 0.1
    f0, voiced = pitch.track(sound)
    assert voiced[5:-5].all()
    assert (f0[5:-5] / hertz).log2().abs().max() < 0.02


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    assert pitch.track(noise)[1].float().mean() < 0.05
    assert not pitch.track(torch.zeros(16000))[1].any()


def test_a_few_frames_an_octave_off_do_not_move_the_statistics() -> None:
    f0 = 200 * 2 ** (0.2 * torch.randn(1000, generator=torch.Generator().manual_seed(1)))
    clean = pitch.statistics(f0, torch.ones(1000, dtype=torch.bool))
    f0[::50] *= 2
    assert torch.allclose(clean, pitch.statistics(f0, torch.ones(1000, dtype=torch.bool)), atol=0.03)
    assert clean[1].item() == pytest.approx(0.2, abs=0.02)


def test_a_curve_is_moved_to_the_pitch_asked_for() -> None:
    energy = torch.ones(400)
    curve = 200 * 2 ** (0.3 * torch.sin(torch.arange(400) / 20))
    curve[::40] = 3.0
    target = torch.tensor([7.0, 0.3])
    moved = style.to_pitch(curve, torch.arange(400).float(), target)
    assert bool((moved[::40] == 3.0).all())  # what has no voice stays so
    assert moved[moved > 10].log2().mean().item() == pytest.approx(7.0, abs=0.1)
    assert style.to_pitch(curve, energy, None) is curve


# --------------------------------------------------------------------------------------- listen


def test_weights_are_a_mixture_and_find_the_voice_that_sounds(basis: style.Basis) -> None:
    for voice in (0, 20, 53):
        weights = style.blend(mixed(basis, torch.eye(54)[voice]), basis)
        assert bool((weights >= 0).all()) and weights.sum().item() == pytest.approx(1, abs=1e-5)
        assert weights[voice] > 0.95


def test_a_mixture_of_two_voices_is_found_again(basis: style.Basis) -> None:
    wanted = torch.zeros(54)
    wanted[[3, 30]] = 0.5
    assert torch.allclose(style.blend(mixed(basis, wanted), basis), wanted, atol=0.05)


def test_the_regression_leads_back_to_the_style(basis: style.Basis) -> None:
    """Voices of the basis, from what they sound like: nearer to their own style than to the mean."""
    own = style.middle(basis.styles)
    expected = torch.stack([style.regressed(mixed(basis, row), basis) for row in torch.eye(54)])
    deviation = own.std(0)
    far = ((expected - own) / deviation).square().mean(1).sqrt()
    assert far.mean() < 0.8


def test_two_voices_give_two_voices(basis: style.Basis, encoder: SpeakerEncoder) -> None:
    low = style.listen(make_speech(seed=1, pitch=100.0), None, basis, encoder)
    high = style.listen(make_speech(seed=2, pitch=220.0), None, basis, encoder)
    assert high.tensors["pitch"][0] - low.tensors["pitch"][0] == pytest.approx(1.14, abs=0.25)
    assert (high.tensors["style"] - low.tensors["style"]).abs().mean() > 0.01
    assert low.tensors["style"].shape == (len(low.tensors["knots"]), 256)


@pytest.mark.parametrize(
    "sound",
    [torch.zeros(48000), make_speech(2.0).samples[:2400], torch.zeros(0)],
    ids=["silence", "a tenth of a second", "nothing"],
)
def test_a_clip_without_enough_speech_is_refused_in_words(
    sound: Tensor, basis: style.Basis, encoder: SpeakerEncoder
) -> None:
    with pytest.raises(InputError, match=r"holds \d\.\d s of speech"):
        style.listen(Waveform(sound, 24000), None, basis, encoder)


def test_noise_is_refused_in_words(basis: style.Basis, encoder: SpeakerEncoder) -> None:
    noise = 0.1 * torch.randn(72000, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="No voice"):
        style.listen(Waveform(noise, 24000), None, basis, encoder)


def test_a_style_between_two_knots_is_between_theirs(basis: style.Basis) -> None:
    tensors = {"style": basis.styles[0], "knots": basis.knots}
    knots = basis.knots.tolist()
    for number, knot in enumerate(knots):
        assert torch.allclose(style.at(tensors, knot), basis.styles[0, number], atol=1e-6)
    assert torch.equal(style.at(tensors, 10_000), style.at(tensors, knots[-1]))
    halfway = style.at(tensors, (knots[-1] + knots[-2]) // 2)
    assert torch.allclose(halfway, basis.styles[0, -2:].mean(0), atol=1e-3)


def test_a_voice_is_the_same_after_saving(
    basis: style.Basis, encoder: SpeakerEncoder, tmp_path: Path
) -> None:
    voice = style.listen(make_speech(seed=3), "Some words.", basis, encoder)
    voice.save(tmp_path / "voice.safetensors")
    again = Voice.load(tmp_path / "voice.safetensors")
    assert (again.engine, again.transcript, again.facts) == (voice.engine, voice.transcript, voice.facts)
    assert again.tensors.keys() == voice.tensors.keys()
    assert all(torch.equal(again.tensors[name], voice.tensors[name]) for name in voice.tensors)


# --------------------------------------------------------------------------------------- refine


def networks(engine: Small, sketched: bool = True) -> refine.Networks:
    """Those of the toy engine; its sketch draws at random."""
    torch.manual_seed(0)
    size = sketch.Size(TINY.generator_channels, TINY.style, width=16, blocks=1)
    drawn = sketch.Sketch(size).requires_grad_(False) if sketched else None
    return refine.Networks(engine._speaker, engine._renderer, drawn, engine._basis, engine._encoder)


def refined(engine: Small, voice: Voice, reference: Waveform, run: Run) -> Voice:
    return refine.refine(voice, reference, networks(engine), run, SHORT)


@pytest.fixture(scope="module")
def reference() -> Waveform:
    return make_speech(4.0, seed=4, pitch=150.0)


@pytest.fixture(scope="module")
def quick(engine: Small, reference: Waveform) -> Voice:
    return engine.listen(reference, None, Run())


def searching(
    engine: Small, voice: Voice, reference: Waveform, how: refine.Descent = SHORT
) -> refine._Search:
    search = refine._Search(voice, style.traits(reference, engine._encoder), networks(engine), how)
    search.prepare(Run())
    return search


@pytest.mark.parametrize("sketched", [True, False], ids=["the sketch", "the sound"])
def test_steps_down_lower_the_loss(engine: Small, quick: Voice, reference: Waveform, sketched: bool) -> None:
    search = searching(engine, quick, reference, replace(SHORT, free_rate=0.01))
    search.compare(Run())
    hear = search.sketched if sketched else search.rendered

    def loss() -> float:
        search.random.manual_seed(0)  # the same crops before and after; of so few one alone says little
        return sum(float(search.loss(hear, line, Run()).detach()) for line in 4 * list(search.lines))

    before = loss()
    for number in range(12):
        search.step(hear, number, Run())
    assert loss() < before


def test_refining_moves_the_style_alone(engine: Small, quick: Voice, reference: Waveform) -> None:
    better = refined(engine, quick, reference, Run())
    assert not torch.equal(better.tensors["style"], quick.tensors["style"])
    assert all(
        torch.equal(better.tensors[name], quick.tensors[name]) for name in quick.tensors if name != "style"
    )


def test_refining_goes_down_the_sketch_first_and_then_down_the_sound(
    engine: Small, quick: Voice, reference: Waveform
) -> None:
    assert refined(engine, quick, reference, Run()).facts["refined"] == "12 of 12 steps"
    alone = refine.refine(quick, reference, networks(engine, sketched=False), Run(), SHORT)
    assert alone.facts["refined"] == "6 of 6 steps"  # an engine without a sketch has the sound


def test_a_sketch_put_right_says_of_the_compared_sentence_what_its_sound_says(
    engine: Small, quick: Voice, reference: Waveform
) -> None:
    search = searching(engine, quick, reference)
    with torch.no_grad():
        line = search.lines[0]
        front = search.front(line)
        samples = search.networks.renderer.samples(front.features, search._source(front), front.timbre)[0]
        mel, power = refine.powers(samples, search.networks.encoder)
        embedding, spectrum = search._told(mel, style.in_compared_bands(power), front.curve)
        search.compare(Run())
        drawn = search.sketched(line, Run())
    assert torch.allclose(drawn[0], embedding, atol=1e-4) and torch.allclose(drawn[1], spectrum, atol=1e-3)


def test_a_crop_has_a_voice_in_it(engine: Small, quick: Voice, reference: Waveform) -> None:
    search = searching(engine, quick, reference)
    voiced = torch.zeros(500, dtype=torch.bool)
    voiced[300:330] = True
    for _ in range(50):
        start, stop = search._crop(voiced)
        assert stop - start == SHORT.crop and voiced[start:stop].sum() >= SHORT.crop // 4
    hardly = torch.zeros(500, dtype=torch.bool)
    hardly[70] = True
    start, stop = search._crop(hardly)
    assert hardly[start:stop].any()  # the most there is


def test_refining_twice_gives_the_same_voice(engine: Small, quick: Voice, reference: Waveform) -> None:
    a, b = (refined(engine, quick, reference, Run()) for _ in range(2))
    assert torch.equal(a.tensors["style"], b.tensors["style"])


@pytest.mark.parametrize("steps", [3, 8], ids=["on the sketch", "on the sound"])
def test_stop_keeps_what_was_found_till_then(
    engine: Small, quick: Voice, reference: Waveform, steps: int
) -> None:
    seen: list[int] = []
    run = Run(lambda: len(seen) > steps, lambda stage, done, total: seen.append(done))
    stopped = refined(engine, quick, reference, run)
    assert stopped.facts["refined"] == f"{steps} of 12 steps"
    assert not torch.equal(stopped.tensors["style"], quick.tensors["style"])


def test_stop_before_the_first_step_keeps_the_voice(engine: Small, quick: Voice, reference: Waveform) -> None:
    stopped = refined(engine, quick, reference, Run(lambda: True))
    assert torch.equal(stopped.tensors["style"], quick.tensors["style"])


# -------------------------------------------------------------------------------------- compare


def test_a_sound_is_most_like_itself() -> None:
    a, b = make_speech(seed=5, pitch=100.0), make_speech(seed=6, pitch=230.0)
    assert measures.speaker_similarity(a, a) == pytest.approx(1, abs=1e-4)
    assert measures.speaker_similarity(a, b) < 0.9
    assert measures.speaker_similarity(a, Waveform(torch.zeros(24000), 24000)) == 0


def test_two_voices_in_one_clip_are_told_from_one() -> None:
    low, high = make_speech(5.0, seed=7, pitch=90.0), make_speech(5.0, seed=8, pitch=260.0)
    both = Waveform(torch.cat([low.samples, high.samples]), low.sample_rate)
    assert 0 <= measures.speaker_changes(low) < measures.speaker_changes(both) <= 1
    assert measures.speaker_changes(make_speech(1.5)) == 0
