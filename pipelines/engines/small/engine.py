"""The four verbs of the embedded engine, and `refine`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from pipelines import checkpoint
from pipelines.device import Placement
from pipelines.engines.small import convert, style
from pipelines.engines.small import text as english
from pipelines.engines.small.config import TINY, Config
from pipelines.engines.small.model import Moments, Renderer, See, Speaker
from pipelines.layers.speaker import SpeakerEncoder
from pipelines.types import InputError, Phrase, Run, Sampling, Units, Unsound, Voice, Waveform

WHOLE = 4.0  # seconds: a sentence up to this long is one piece
FIRST = 2.5  # seconds of the first piece of a longer one
WORKERS = 2  # pieces at once on a CPU: they wait for each other less than two threads of one operation do
PIECE = 2.0  # seconds of the others, about: shorter ones repeat more of what they overlap by


@dataclass(frozen=True, eq=False)
class _Sentence:
    """What all pieces of one sentence share: features at the curves' rate, their source, the timbre."""

    features: Tensor  # (1, C, 2T)
    source: Tensor  # (1, n_fft + 2, M)
    timbre: Tensor  # (1, 128)


class Small:
    """Kokoro-82M with a style of one's own.

    The tensors of its `Voice` are those of `style.listen`: "style" (K, 256) for sentences of "knots" (K,)
    tokens, "pitch" (2,) with mean and deviation of log2 F0 to say it at (left out where the style says
    it all), "embedding" (256,).
    """

    def __init__(
        self,
        placement: Placement,
        config: Config,
        speaker: Speaker,
        renderer: Renderer,
        basis: style.Basis,
        encoder: SpeakerEncoder,
    ) -> None:
        self.sample_rate = config.sample_rate
        self._device = torch.device(placement.device)
        self._config = config
        self._speaker = placement.put(speaker, "say")
        self._renderer = placement.put(renderer, "render")
        self._encoder = placement.put(encoder, "listen")
        self._basis = basis

    # ------------------------------------------------------------------------------ listen, read

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        """The blend of known voices nearest to the clip. Raises `InputError` for a clip without a voice."""
        run.check()
        return style.listen(reference, transcript, self._basis, self._encoder)

    def read(self, text: str, language: str) -> Phrase:
        """Phonemes. `language` is "en". Raises `InputError` for another, and where nothing can be said."""
        if language != "en":
            raise InputError(f"This engine speaks English (en), not {language!r}: choose English.")
        try:
            return english.read(text)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(
                f"This sentence has more than {english.MAX_TOKENS} sounds, which is more than can be said at "
                "once: cut it in two with a full stop."
            ) from error

    def refine(self, voice: Voice, reference: Waveform, run: Run) -> Voice:
        """A voice nearer to the reference, found along gradients; on Stop the best so far."""
        return style.refine(voice, reference, self._speaker, self._renderer, self._basis, self._encoder, run)

    # --------------------------------------------------------------------------------------- say

    @torch.inference_mode()
    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        """One candidate: how many frames (40 Hz) each symbol lasts, and the curves "pitch" (Hz) and "energy".

        Raises `InputError` for a sentence longer than `sampling.max_seconds`, `Unsound` where a number
        is not finite.
        """
        run.check()
        prosody = self._style(phrase, voice)[:, style.TIMBRE :]
        phones = self._speaker.phones(phrase.ids[None].to(self._device), run.check)
        features = self._speaker.features(phones, prosody)
        run.check()
        durations = self._speaker.durations(features)[0] / sampling.speed
        _require_finite(durations, "durations")
        frames = durations.round().clamp(min=1).long()
        seconds = int(frames.sum()) / self._config.frame_rate
        if seconds > sampling.max_seconds:
            raise InputError(
                f"This sentence would last {seconds:.0f} s, longer than the {sampling.max_seconds:.0f} s "
                "that a sentence may: cut it in two, or allow longer ones."
            )
        pitch, energy = self._speaker.curves(features, frames, prosody, run.check)
        curves = {"pitch": pitch[0].cpu(), "energy": energy[0].cpu()}
        for name, curve in curves.items():
            _require_finite(curve, name)
        curves["pitch"] = style.to_pitch(curves["pitch"], curves["energy"], voice.tensors.get("pitch"))
        rate = self._config.frame_rate
        return [Units(frames[None].cpu(), rate, curves, seed=sampling.seed, seconds=seconds)]

    # ------------------------------------------------------------------------------------ render

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        """Pieces of 24 kHz sound.

        The decoder's norms take their statistics over the whole of what they see, so a sentence in
        pieces cannot be that sentence at once and also begin before it is finished. Everything at
        the low rate is computed over the whole sentence, and so is the source; the statistics of
        the generator are those of the first `FIRST` seconds, and then stay. With them fixed the
        generator is purely convolutional: pieces that overlap by its reach, cut where they meet,
        equal the sentence rendered at once with the same statistics, to 1e-4 of its peak. Against
        statistics of the whole sentence they are about 2 dB quieter and as far again in the mel
        spectrum (two voices differ by 5-8 dB), and Whisper base makes the same word errors
        (18 sentences). A sentence of up to `WHOLE` seconds is one piece, and exact.
        """
        sentence = self._front(units, phrase, voice, run)
        seen = Moments(run.check)
        first, *others = self._pieces(sentence.features.shape[2])
        yield Waveform(self._sound(sentence, seen.record, *first), self.sample_rate)

        def sound(piece: tuple[int, int]) -> Tensor:
            return self._sound(sentence, seen.replay(), *piece)

        with ThreadPoolExecutor(WORKERS if self._device.type == "cpu" else 1) as workers:
            for samples in workers.map(sound, others):
                yield Waveform(samples, self.sample_rate)

    @torch.inference_mode()
    def _front(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> _Sentence:
        if units.curves is None:
            raise ValueError("These units have no pitch and energy; they come from another engine.")
        run.check()
        timbre = self._style(phrase, voice)[:, : style.TIMBRE]
        pitch, energy = (units.curves[name][None].to(self._device) for name in ("pitch", "energy"))
        ids, frames = phrase.ids[None].to(self._device), units.ids[0].to(self._device)
        features = self._renderer.front(ids, frames, pitch, energy, timbre, run.check)
        source = self._renderer.source(pitch, torch.Generator().manual_seed(units.seed))
        return _Sentence(features, source, timbre)

    @torch.inference_mode()
    def _sound(self, sentence: _Sentence, see: See, start: int, stop: int) -> Tensor:
        """Samples (N,) of the curve steps `start` to `stop`, on the CPU."""
        samples = self._renderer.samples(
            sentence.features, sentence.source, sentence.timbre, see, start=start, stop=stop
        )
        return samples[0].float().clamp(-1, 1).cpu()

    def _pieces(self, steps: int) -> list[tuple[int, int]]:
        """Where pieces start and stop, in steps of the curves."""
        whole, first, piece = (
            round(2 * seconds * self._config.frame_rate) for seconds in (WHOLE, FIRST, PIECE)
        )
        if steps <= whole:
            return [(0, steps)]
        count = math.ceil((steps - first) / piece)
        bounds = [first + round((steps - first) * i / count) for i in range(count + 1)]
        return list(zip([0, *bounds], bounds, strict=False))

    def _style(self, phrase: Phrase, voice: Voice) -> Tensor:
        """The voice's style for a phrase of this length: (1, 256)."""
        tokens = len(phrase.ids) - 2  # without the two that enclose it
        return style.at(voice.tensors, tokens)[None].to(self._device)


def _require_finite(numbers: Tensor, what: str) -> None:
    if not bool(torch.isfinite(numbers).all()):
        raise Unsound(f"The {what} of this sentence are not numbers.")


# --------------------------------------------------------------------------------------- loading


def load(folder: Path, placement: Placement) -> Small:
    """The engine with the weights of `folder`. Raises `InputError` for a folder that does not fit."""
    described = json.loads((folder / convert.CONFIG).read_text())
    known = {field.name for field in fields(Config)}
    sizes = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in described.items()
        if name in known
    }
    tensors = checkpoint.read(folder / convert.MODEL)
    return _assembled(placement, Config(**sizes), tensors)


def tiny(placement: Placement) -> Small:
    """The real classes at toy sizes with random weights, always the same; the basis is the real one."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {**Speaker(TINY).state_dict(), **Renderer(TINY).state_dict()}
    tensors = {name: _drawn(name, tensor.shape, generator) for name, tensor in shapes.items()}
    tensors["predictor.F0_proj.bias"] += 150.0  # Hz, so that there is a voice
    tensors["decoder.generator.conv_post.bias"] -= 4.0  # log-magnitude, so that nothing is clipped
    return _assembled(placement, TINY, tensors)


def _drawn(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.ones(shape) if name.endswith((".weight", ".gamma")) else torch.zeros(shape)
    if ".alpha" in name:
        return torch.ones(shape)
    return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))


def _assembled(placement: Placement, config: Config, tensors: Mapping[str, Tensor]) -> Small:
    speaker = _filled(lambda: Speaker(config), tensors, "the speaking network")
    renderer = _filled(lambda: Renderer(config), tensors, "the rendering network")
    return Small(placement, config, speaker, renderer, style.Basis.load(), style.load_encoder())


def _filled(
    build: Callable[[], torch.nn.Module], tensors: Mapping[str, Tensor], what: str
) -> torch.nn.Module:
    """The network with those of the tensors whose first name is one of its parts."""
    with torch.device("meta"):
        parts = {name for name, _ in build().named_children()}
    own = {name: tensor for name, tensor in tensors.items() if name.split(".", 1)[0] in parts}
    return checkpoint.fill(build, own, what)
