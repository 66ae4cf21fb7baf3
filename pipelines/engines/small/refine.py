"""Refining: a voice brought nearer to its clip by gradient descent on its style.

First down the sketch of whole sentences, which is cheap and a little wrong; what it is wrong by is measured
once, on a sentence that is rendered. Then a few steps down the sound itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from pipelines.engines.small import text
from pipelines.engines.small.model import Renderer, Speaker
from pipelines.engines.small.sketch import Sketch
from pipelines.engines.small.style import (
    BANDS,
    TIMBRE,
    UNVOICED,
    Basis,
    Traits,
    at,
    band_decibels,
    decibels,
    in_compared_bands,
    middle,
    to_pitch,
    traits,
)
from pipelines.layers.mel import power_spectrogram
from pipelines.layers.speaker import WINDOW, SpeakerEncoder
from pipelines.types import Cancelled, Run, Voice, Waveform

SENTENCES = (
    "We were away a year ago, and nobody knows why the moon rose slowly.",
    "Please call Stella, and ask her to bring these things from the store.",
    "When the sunlight strikes raindrops in the air, they form a rainbow.",
)
MARGIN = 10  # frames of 10 ms around the voice of a sentence
STRIDE = 60  # frames of 10 ms between windows of the speaker encoder, about


@dataclass(frozen=True)
class Descent:
    """How `refine` goes about it."""

    sketched: int = 8  # steps down the sketch, where there is one
    rendered: int = 6  # and down the sound
    crop: int = 100  # curve frames rendered a step, 1.25 s
    blend_rate: float = 0.003  # of Adam, on the weights of the basis
    free_rate: float = 0.03  # and on each number of the style, in the voices' deviation
    faster: float = 4 / 3  # both of these, down the sound
    spectrum: float = 0.1  # weight of a decibel between the spectra
    penalty: float = 0.02  # on the square of what is not a blend
    kept: float = 0.7  # of the running average, a step
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Networks:
    """What refining needs of the engine, all in float32."""

    speaker: Speaker
    renderer: Renderer
    sketch: Sketch | None
    basis: Basis
    encoder: SpeakerEncoder


def refine(
    voice: Voice,
    reference: Waveform,
    networks: Networks,
    run: Run,
    how: Descent = Descent(),  # noqa: B008 (frozen)
) -> Voice:
    """A voice nearer to the reference.

    Each step says one of three sentences and compares speaker embedding and spectrum. The result is the
    running average of the steps: on Stop that of the steps till then, and the voice itself before the first.
    `run.progress` counts steps. Raises `InputError` as `style.listen` does.
    """
    target = traits(reference, networks.encoder)
    search = _Search(voice, target, networks, how)
    sketched = how.sketched if networks.sketch is not None else 0
    total, done = sketched + how.rendered, 0
    try:
        search.prepare(run)
        while done < total:
            run.progress("refine", done, total)
            run.check()
            if done == 0 and sketched:
                search.compare(run)
            if done == sketched:
                search.settle()
            search.step(search.sketched if done < sketched else search.rendered, done, run)
            done += 1
    except Cancelled:
        pass
    run.progress("refine", total, total)
    if done == 0:
        return voice
    tensors = dict(voice.tensors) | {"style": voice.tensors["style"] + search.average().cpu()}
    facts = dict(voice.facts) | {"refined": f"{done} of {total} steps"}
    return Voice(voice.engine, tensors, voice.transcript, facts)


@dataclass(frozen=True, eq=False)
class _Line:
    """A sentence that refining says again and again: what of it does not depend on the style."""

    ids: Tensor  # (1, L)
    phones: Tensor  # (1, L, C)
    frames: Tensor  # (L,), as the quick voice says it

    @property
    def tokens(self) -> int:
        return self.ids.shape[1] - 2


@dataclass(frozen=True, eq=False)
class _Front:
    """A line in a style, as far as the renderer's low rate goes."""

    curve: Tensor  # (1, 2T) in Hz
    energy: Tensor  # (1, 2T)
    timbre: Tensor  # (1, 128)
    features: Tensor  # (1, C, 2T)


Heard = tuple[Tensor, Tensor]  # a speaker embedding (256,) and a spectrum (80,), as in `Traits`


class _Search:
    """Refining as a function to be made small: its variables, its loss, and their running average."""

    def __init__(self, voice: Voice, target: Traits, networks: Networks, how: Descent) -> None:
        self.how, self.networks = how, networks
        self.place = place = networks.encoder.filters.device
        self.voice = {name: tensor.to(place) for name, tensor in voice.tensors.items()}
        self.target = Traits(*(part.to(place) for part in (target.embedding, target.pitch, target.spectrum)))
        middles = middle(networks.basis.styles).to(place)
        self.deviation = middles.std(0)
        self.directions = middles - middles.mean(0)
        self.random = torch.Generator().manual_seed(how.seed)
        self.lines: list[_Line] = []
        self.wrong: Heard = (torch.zeros(()), torch.zeros(()))  # what the sketch lacks
        self.origin = torch.zeros_like(self.deviation)
        self._begin(1.0)

    def _begin(self, faster: float) -> None:
        """Variables at rest at the origin, and a descent at so many times the rates."""
        # Of timbre and of prosody.
        self.weights = torch.zeros(2, len(self.directions), device=self.place, requires_grad=True)
        self.free = torch.zeros_like(self.deviation, requires_grad=True)
        rates = [(self.weights, self.how.blend_rate), (self.free, self.how.free_rate)]
        self.adam = torch.optim.Adam(
            [{"params": [variable], "lr": faster * rate} for variable, rate in rates], betas=(0.8, 0.99)
        )
        self.mean, self.steps = torch.zeros_like(self.deviation), 0

    def settle(self) -> None:
        """Go on from the average, with a fresh descent for the sound."""
        self.origin = self.average()
        self._begin(self.how.faster)

    def average(self) -> Tensor:
        """How far the style has gone from its start, on a running average: (256,)."""
        whole = 1 - self.how.kept**self.steps  # the average began at zero
        return self.mean / whole if self.steps else self.origin

    def moved(self) -> Tensor:
        """How far the style is from its start now: (256,)."""
        timbre, prosody = self.weights @ self.directions
        own = torch.cat([timbre[:TIMBRE], prosody[TIMBRE:]]) + self.free * self.deviation
        return self.origin + own

    def prepare(self, run: Run) -> None:
        """Read the sentences, and say them as far as the style is not asked. Raises `Cancelled`."""
        self.lines = [self._line(sentence, run) for sentence in SENTENCES]

    @torch.no_grad()
    def _line(self, sentence: str, run: Run) -> _Line:
        run.check()
        speaker = self.networks.speaker
        ids = text.read(sentence).ids[None].to(self.place)
        phones = speaker.phones(ids, run.check)
        prosody = at(self.voice, ids.shape[1] - 2)[None, TIMBRE:]
        frames = speaker.durations(speaker.features(phones, prosody))[0].round().long().clamp(min=1)
        return _Line(ids, phones, frames)

    @torch.no_grad()
    def compare(self, run: Run) -> None:
        """Measure on one rendered sentence what the sketch lacks. Raises `Cancelled`."""
        front = self.front(self.lines[0])
        source = self._source(front)
        pieces = self.networks.renderer.samples(front.features, source, front.timbre, watch=run.check)
        mel, power = powers(pieces[0], self.networks.encoder)
        truth = self._told(mel, in_compared_bands(power), front.curve)
        drawn = self._drawn(front)
        self.wrong = (truth[0] - drawn[0], truth[1] - drawn[1])

    def step(self, hear: Callable[[_Line, Run], Heard], number: int, run: Run) -> None:
        """One step of Adam, and the average after it. Raises `Cancelled`."""
        loss = self.loss(hear, self.lines[number % len(self.lines)], run)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([self.weights, self.free], 5.0)
        self.adam.step()
        run.check()
        self.mean = torch.lerp(self.moved().detach(), self.mean, self.how.kept)
        self.steps += 1

    def loss(self, hear: Callable[[_Line, Run], Heard], line: _Line, run: Run) -> Tensor:
        """How far the line is from the clip, heard one way or the other: (), differentiable."""
        embedding, spectrum = hear(line, run)
        far = (spectrum - self.target.spectrum).abs().unflatten(0, (2, BANDS)).mean(1)  # mean, deviation
        return (
            4 * (1 - embedding @ self.target.embedding)
            + self.how.spectrum * (far[0] + 0.5 * far[1])
            + self.how.penalty * self.free.square().mean()
        )

    def front(self, line: _Line) -> _Front:
        """The line as the present style says it."""
        speaker, renderer = self.networks.speaker, self.networks.renderer
        style = (at(self.voice, line.tokens) + self.moved())[None]
        timbre, prosody = style[:, :TIMBRE], style[:, TIMBRE:]
        curve, energy = speaker.curves(speaker.features(line.phones, prosody), line.frames, prosody)
        curve = to_pitch(curve[0], energy[0], self.voice.get("pitch"))[None]
        return _Front(curve, energy, timbre, renderer.front(line.ids, line.frames, curve, energy, timbre))

    def _source(self, front: _Front) -> Tensor:
        # A gradient through hundreds of turns of phase would only be noise.
        return self.networks.renderer.source(front.curve.detach())

    # ------------------------------------------------------------------------------- by the sketch

    def sketched(self, line: _Line, run: Run) -> Heard:
        """The whole line, as the sketch draws it and as `compare` found it to be wrong."""
        embedding, spectrum = self._drawn(self.front(line))
        return normalize(embedding + self.wrong[0], dim=0), spectrum + self.wrong[1]

    def _drawn(self, front: _Front) -> Heard:
        assert self.networks.sketch is not None
        embedded, compared = self.networks.sketch(front.features, front.curve, front.energy, front.timbre)
        return self._told(embedded[0].exp(), compared[0].exp(), front.curve)

    def _told(self, embedded: Tensor, compared: Tensor, curve: Tensor) -> Heard:
        """What is compared, of power in bands (40, M), 100 a second, and the pitch (1, 2T)."""
        voiced = _at_hundred(curve[0].detach() > UNVOICED, embedded.shape[1])
        places = voiced.nonzero()[:, 0]
        first, last = max(0, int(places[0]) - MARGIN), int(places[-1]) + MARGIN
        embedding = _windowed(self.networks.encoder, embedded[:, first:last].T)
        return embedding, band_decibels(compared[:, voiced])

    # -------------------------------------------------------------------------------- by the sound

    def rendered(self, line: _Line, run: Run) -> Heard:
        """A random stretch of the line's sound. Raises `Cancelled`."""
        front = self.front(line)
        voiced = front.curve[0].detach() > UNVOICED
        start, stop = self._crop(voiced)
        samples = self.networks.renderer.samples(
            front.features, self._source(front), front.timbre, watch=run.check, start=start, stop=stop
        )[0]
        mel, power = powers(samples, self.networks.encoder)
        spoken = _at_hundred(voiced[start:stop], power.shape[1])
        return self.networks.encoder(mel.T[None])[0], decibels(power[:, spoken])

    def _crop(self, voiced: Tensor) -> tuple[int, int]:
        """Where a random stretch starts and stops that has a voice in it, in curve frames."""
        length = min(self.how.crop, len(voiced))
        sums = pad(voiced.long().cumsum(0), (1, 0))
        heard = sums[length:] - sums[:-length]
        places = (heard >= length // 4).nonzero()[:, 0]
        if not len(places):
            places = heard.argmax()[None]
        start = int(places[int(torch.randint(len(places), (1,), generator=self.random))])
        return start, start + length


def powers(samples: Tensor, encoder: SpeakerEncoder) -> tuple[Tensor, Tensor]:
    """Power in the encoder's bands (40, M) and in bins (257, M) of 24 kHz sound (T,), 100 a second.

    The sound is brought to a root mean square of 0.1. Frames of 25 ms at 24 kHz have the bins of those at
    16 kHz and more above: nothing need be resampled.
    """
    level = 0.1 / samples.detach().square().mean().sqrt().clamp(min=1e-4)
    short, long = (
        (level * 2 / 3) ** 2 * power_spectrogram(samples, size * 3 // 2, 240)[: size // 2 + 1]
        for size in (400, 512)
    )
    return encoder.filters @ short, long


def _at_hundred(voiced: Tensor, frames: int) -> Tensor:
    """Of the curves' 80 a second, which of `frames` at 100 a second have a voice: (N,) → (frames,)."""
    places = torch.arange(frames, device=voiced.device) * 240 // 300
    return voiced[places.clamp(max=len(voiced) - 1)]


def _windowed(encoder: SpeakerEncoder, mel: Tensor) -> Tensor:
    """The mean embedding (256,), of length one, of windows laid evenly over mel power (M, 40)."""
    mel = pad(mel, (0, 0, 0, max(0, WINDOW - len(mel))))
    count = 1 + round((len(mel) - WINDOW) / STRIDE)
    starts = torch.linspace(0, len(mel) - WINDOW, count).long().tolist()
    return normalize(encoder(torch.stack([mel[start : start + WINDOW] for start in starts])).mean(0), dim=0)
