"""The four verbs of the embedded engine, and `refine`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from pipelines import checkpoint
from pipelines.device import Placement
from pipelines.engines.small import SPEC, convert, listener, prosody, refine, sketch, style
from pipelines.engines.small import text as english
from pipelines.engines.small.config import TINY, TINY_MELODY, Config, Melody
from pipelines.engines.small.listener import Listener
from pipelines.engines.small.model import Moments, Renderer, See, Speaker
from pipelines.engines.small.prosody import Draft, Prosody, Scale, Spoken
from pipelines.engines.small.sketch import Sketch
from pipelines.layers import sampling as drawing
from pipelines.layers.speaker import SpeakerEncoder
from pipelines.types import InputError, Phrase, Run, Sampling, Units, Unsound, Voice, Waveform

WHOLE = 4.0  # seconds: a sentence up to this long is one piece
FIRST = 2.5  # seconds of the first piece of a longer one
WORKERS = 2  # pieces at once on a CPU: they wait for each other less than two threads of one operation do
NUDGE = 0.01  # of the voices' deviation
PIECE = 2.0  # seconds of the others, about: shorter ones repeat more of what they overlap by


@dataclass(frozen=True, eq=False)
class _First:
    """What the predictor says at once: `features` (L, F), `lengths` (L,) in frames, curves (2S,)."""

    features: Tensor
    lengths: Tensor
    pitch: Tensor
    energy: Tensor

    @property
    def frames(self) -> Tensor:
        """(L,) int64, S in sum."""
        return self.lengths.round().clamp(min=1).long()

    @property
    def draft(self) -> Draft:
        """For the autoregressive prosody; its pitch is normal whatever the voice's is."""
        return Draft(self.features, self.lengths, prosody.normal(self.pitch, self.energy, self.scale(None)))

    def scale(self, target: Tensor | None) -> Scale:
        """Of these curves, but for the pitch of a voice that has a target (2,)."""
        return _towards(prosody.scale_of(self.pitch, self.energy), target)


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
        lively: Prosody | None,
        basis: style.Basis,
        encoder: SpeakerEncoder,
        ears: Listener | None = None,
        sketched: Sketch | None = None,
    ) -> None:
        self.sample_rate = config.sample_rate
        self._device = torch.device(placement.device)
        self._config = config
        self._speaker = placement.put(speaker, "say")
        self._prosody = None if lively is None else placement.put(lively, "say")
        self._renderer = placement.put(renderer, "render")
        self._encoder = placement.put(encoder, "listen")
        self._ears = None if ears is None else placement.put(ears, "listen")
        self._sketch = None if sketched is None else placement.put(sketched, "listen")
        self._basis = basis

    # ------------------------------------------------------------------------------ listen, read

    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        """The blend of known voices nearest to the clip. Raises `InputError` for a clip without a voice."""
        run.check()
        return style.listen(reference, transcript, self._basis, self._encoder, self._ears)

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
        networks = refine.Networks(self._speaker, self._renderer, self._sketch, self._basis, self._encoder)
        return refine.refine(voice, reference, networks, run)

    # --------------------------------------------------------------------------------------- say

    @torch.inference_mode()
    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        """Candidates, the likeliest first: `ids` (K, N) at 40 Hz; curves "pitch" (Hz) and "energy" at 80 Hz.

        Row 0 is 1 where a frame is the last of its symbol. "steady" prosody is the predictor's own and has
        one candidate; "lively" is drawn, its row 1 the code of each frame's pitch and energy. A voice's
        "prompt_ids" (P,), "prompt_frames" (P,), "prompt_pitch" (2T,) in Hz and "prompt_energy" (2T,), as this
        engine would say them, are what lively prosody goes on from; the energy may be missing.

        Raises `InputError` for another prosody and for a sentence longer than `sampling.max_seconds`,
        `Unsound` where a number is not finite.
        """
        run.check()
        way = sampling.prosody or SPEC.prosodies[0]
        if way not in SPEC.prosodies:
            raise InputError(f"There is no prosody {way!r}; there are {', '.join(SPEC.prosodies)}.")
        first = self._first(phrase.ids, self._style(phrase, voice), sampling.speed, run)
        if way == "steady":
            return [self._steady(first, voice, sampling)]
        said = [self._lively(first, voice, sampling, number, run) for number in range(sampling.candidates)]
        return sorted(said, key=lambda units: -(units.score or 0.0))

    def _first(self, ids: Tensor, whole: Tensor, speed: float, run: Run) -> _First:
        """The predictor's own way to say symbols (L,) in a style (1, 256)."""
        own = whole[:, style.TIMBRE :]
        phones = self._speaker.phones(ids[None].to(self._device), run.check)
        features = self._speaker.features(phones, own)
        run.check()
        lengths = self._speaker.durations(features)[0] / speed
        _require_finite(lengths, "durations")
        frames = lengths.round().clamp(min=1).long()
        pitch, energy = self._speaker.curves(features, frames, own, run.check)
        curves = {"pitch": pitch[0].cpu(), "energy": energy[0].cpu()}
        for name, curve in curves.items():
            _require_finite(curve, name)
        return _First(features[0], lengths.cpu(), **curves)

    def _steady(self, first: _First, voice: Voice, sampling: Sampling) -> Units:
        moves = prosody.ends(first.frames)
        seconds = self._seconds(len(moves), sampling)
        pitch = style.to_pitch(first.pitch, first.energy, voice.tensors.get("pitch"))
        curves = {"pitch": pitch, "energy": first.energy}
        return Units(moves[None], self._config.frame_rate, curves, seed=sampling.seed, seconds=seconds)

    def _lively(self, first: _First, voice: Voice, sampling: Sampling, number: int, run: Run) -> Units:
        """The candidate of this number, from a stream of chance of its own."""
        speaker, draft, prompt = self._ready(), first.draft, self._prompt(voice, run)
        most = math.floor(sampling.max_seconds * self._config.frame_rate) + 1
        pick = _Drawn(sampling, torch.Generator().manual_seed((sampling.seed + number) % 2**63))
        limits = draft.limits(math.ceil(self._config.max_duration / sampling.speed))
        said = list(speaker.say(draft, prompt, pick, limits, most, run.check))
        seconds = self._seconds(len(said), sampling)
        moves, codes = torch.tensor(said).T
        spoken = Spoken(moves, codes)
        tracks = speaker.tracks(draft, spoken)
        _require_finite(tracks, "curves")
        pitch, energy = prosody.absolute(tracks, first.scale(voice.tensors.get("pitch")))
        return Units(
            torch.stack([moves, codes]),
            self._config.frame_rate,
            {"pitch": pitch, "energy": energy},
            pick.score,
            sampling.seed,
            seconds,
        )

    @torch.inference_mode()
    def logits(
        self, units: Units, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run
    ) -> list[Tensor]:
        """What "lively" would have said before each frame of `units`: (N, 2) and (N, codes) float32.

        In steps, as `say` goes: at once is as right, but int8 scales what it sees together, and rounds apart.
        Raises `ValueError` for units of steady prosody, which draws nothing, and for another phrase's.
        """
        if len(units.ids) != 2:
            raise ValueError("Only units said in lively prosody were drawn from logits.")
        _require_fit(units, phrase)
        first = self._first(phrase.ids, self._style(phrase, voice), sampling.speed, run)
        told, frames = _Told(units.ids), units.ids.shape[1]
        never = [frames + 1] * len(phrase.ids)
        for _ in self._ready().say(first.draft, self._prompt(voice, run), told, never, frames, run.check):
            pass
        return [torch.cat(row) for row in zip(*told.seen, strict=True)]

    def nudge(self, voice: Voice, seed: int) -> Voice:
        """The voice with its style moved at random, by a hundredth of what voices differ by."""
        generator = torch.Generator().manual_seed(seed)
        deviation = self._basis.deviation()
        moved = NUDGE * torch.randn(deviation.shape, generator=generator) * deviation
        return replace(voice, tensors={**voice.tensors, "style": voice.tensors["style"] + moved})

    def _ready(self) -> Prosody:
        if self._prosody is None:
            raise InputError(
                "The weights of lively prosody are missing here: choose steady, or install again."
            )
        return self._prosody

    def _prompt(self, voice: Voice, run: Run) -> tuple[Draft, Spoken] | None:
        """The reference's own beginning, where the voice tells it."""
        kept = voice.tensors
        if not {"prompt_ids", "prompt_frames", "prompt_pitch"} <= kept.keys():
            return None
        whole = style.at(kept, len(kept["prompt_ids"]) - 2)[None].to(self._device)
        draft = self._first(kept["prompt_ids"], whole, 1.0, run).draft
        pitch, energy = kept["prompt_pitch"], kept.get("prompt_energy")
        scale = prosody.scale_of(pitch, torch.ones_like(pitch) if energy is None else energy)
        if energy is None:
            energy = torch.full_like(pitch, torch.nan)
        frames = kept["prompt_frames"]
        count = max(1, int((frames.cumsum(0) <= prosody.PROMPT).sum()))
        moves = prosody.ends(frames[:count])
        tracks = prosody.normal(pitch, energy, _towards(scale, kept.get("pitch")))[: len(moves)]
        return draft.first(count), Spoken(moves, self._ready().book.encode(tracks).cpu())

    def _seconds(self, frames: int, sampling: Sampling) -> float:
        """How long so many frames last. Raises `InputError` where that is more than may be."""
        seconds = frames / self._config.frame_rate
        if seconds > sampling.max_seconds:
            raise InputError(
                f"This sentence would last {seconds:.0f} s or more, longer than the "
                f"{sampling.max_seconds:.0f} s that a sentence may: cut it in two, or allow longer ones."
            )
        return seconds

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
        _require_fit(units, phrase)
        run.check()
        timbre = self._style(phrase, voice)[:, : style.TIMBRE]
        pitch, energy = (units.curves[name][None].to(self._device) for name in ("pitch", "energy"))
        ids, frames = phrase.ids[None].to(self._device), prosody.lasted(units.ids[0]).to(self._device)
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


def _require_fit(units: Units, phrase: Phrase) -> None:
    symbols = int(units.ids[0].sum())
    if symbols != len(phrase.ids):
        raise ValueError(f"These units say {symbols} symbols, and the phrase has {len(phrase.ids)}.")


def _towards(scale: Scale, target: Tensor | None) -> Scale:
    """The scale with the pitch of a voice that has a target (2,)."""
    if target is None or not bool(torch.isfinite(target).all()):
        return scale
    return replace(scale, mean=float(target[0]), deviation=float(target[1]))


class _Drawn:
    """Picks move and code of a frame by chance, and keeps count of how likely they were.

    A code is drawn as any symbol is. Moves are a waiting time: how long a symbol lasts is a quantile of what
    the network expects, drawn when the symbol begins, and it is moved on from once the chance that it goes
    on has fallen below. At temperature 1 that is a draw at every frame; at 0 it is the median, where the
    likelier of "move" and "stay" at each frame would be to stay till the limit.
    """

    def __init__(self, sampling: Sampling, generator: torch.Generator) -> None:
        self._sampling, self._generator = sampling, generator
        self._sum, self._frames = 0.0, 0
        self._lasting, self._quantile = 1.0, 0.5

    def __call__(self, moves: Tensor, codes: Tensor, elapsed: int) -> tuple[int, int]:
        _require_finite(moves, "logits")
        _require_finite(codes, "logits")
        how = self._sampling
        if elapsed == 0:
            self._lasting = 1.0
            self._quantile = drawing.quantile(self._generator, how.temperature, how.top_k, how.top_p)
        self._lasting *= float(moves[0].softmax(-1)[0])
        move = int(self._lasting <= self._quantile)
        code = int(drawing.choose(codes.cpu(), self._generator, how.temperature, how.top_k, how.top_p))
        self._frames += 1
        if how.candidates > 1:
            for logits, symbol in ((moves, move), (codes, code)):
                self._sum += float(logits[0].log_softmax(-1)[symbol])
        return move, code

    @property
    def score(self) -> float | None:
        """Mean log-probability of a frame, as the network gave it; None where there is nothing to compare."""
        return self._sum / self._frames if self._sampling.candidates > 1 else None


class _Told:
    """Picks what was said before, and keeps the logits: `seen`, (1, 2) and (1, codes) of each frame."""

    def __init__(self, ids: Tensor) -> None:
        self._left = iter(ids.T.tolist())
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, moves: Tensor, codes: Tensor, elapsed: int) -> tuple[int, int]:
        self.seen.append((moves.cpu(), codes.cpu()))
        move, code = next(self._left)
        return move, code


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
    weights = style.ASSETS / "prosody.safetensors"
    lively = None
    if weights.is_file():
        lively = _filled_prosody(Config(**sizes), Melody(), checkpoint.read(weights))
    ears = listener.load() if listener.FILE.is_file() else None
    sketched = sketch.load() if sketch.FILE.is_file() else None
    return _assembled(placement, Config(**sizes), tensors, lively, ears, sketched)


def tiny(placement: Placement) -> Small:
    """The real classes at toy sizes with random weights, always the same; the basis is the real one."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {**Speaker(TINY).state_dict(), **Renderer(TINY).state_dict()}
    tensors = {name: _drawn(name, tensor.shape, generator) for name, tensor in shapes.items()}
    tensors["predictor.F0_proj.bias"] += 150.0  # Hz, so that there is a voice
    tensors["decoder.generator.conv_post.bias"] -= 4.0  # log-magnitude, so that nothing is clipped
    with torch.device("meta"):
        shapes = Prosody(TINY, TINY_MELODY).state_dict()
    lively = {name: _drawn(name, tensor.shape, generator) for name, tensor in shapes.items()}
    return _assembled(placement, TINY, tensors, _filled_prosody(TINY, TINY_MELODY, lively))


def _drawn(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.ones(shape) if name.endswith((".weight", ".gamma")) else torch.zeros(shape)
    if ".alpha" in name:
        return torch.ones(shape)
    return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))


def _filled_prosody(config: Config, sizes: Melody, tensors: Mapping[str, Tensor]) -> Prosody:
    whole = {name: tensor.float() for name, tensor in tensors.items()}
    return checkpoint.fill(lambda: Prosody(config, sizes), whole, "the lively prosody")


def _assembled(
    placement: Placement,
    config: Config,
    tensors: Mapping[str, Tensor],
    lively: Prosody | None,
    ears: Listener | None = None,
    sketched: Sketch | None = None,
) -> Small:
    speaker = _filled(lambda: Speaker(config), tensors, "the speaking network")
    renderer = _filled(lambda: Renderer(config), tensors, "the rendering network")
    basis, encoder = style.Basis.load(), style.load_encoder()
    return Small(placement, config, speaker, renderer, lively, basis, encoder, ears, sketched)


def _filled(
    build: Callable[[], torch.nn.Module], tensors: Mapping[str, Tensor], what: str
) -> torch.nn.Module:
    """The network with those of the tensors whose first name is one of its parts."""
    with torch.device("meta"):
        parts = {name for name, _ in build().named_children()}
    own = {name: tensor for name, tensor in tensors.items() if name.split(".", 1)[0] in parts}
    return checkpoint.fill(build, own, what)
