"""GPT-SoVITS as four verbs. One engine is one version: a speaker, a decoder, and what these need to hear."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pipelines import audio
from pipelines.device import Placement
from pipelines.engines.gpt_sovits import parts
from pipelines.engines.gpt_sovits import sampling as drawing
from pipelines.engines.gpt_sovits.cfm import Matcher
from pipelines.engines.gpt_sovits.config import (
    TINY_DECODER,
    TINY_ENCODER,
    TINY_HUBERT,
    TINY_SPEAKER,
    TOKEN_RATE,
)
from pipelines.engines.gpt_sovits.model import Decoder, Listener
from pipelines.engines.gpt_sovits.reader import Context, Reader, vocabulary
from pipelines.engines.gpt_sovits.sampling import Draw, Said
from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.engines.gpt_sovits.spectrogram import log_mel, magnitudes
from pipelines.engines.gpt_sovits.text.symbols import Version
from pipelines.engines.gpt_sovits.verifier import Verifier
from pipelines.engines.gpt_sovits.vocoders import Bigvgan
from pipelines.layers.hifigan import Hifigan, in_pieces
from pipelines.layers.hubert import Hubert
from pipelines.types import InputError, Phrase, Run, Sampling, Units, Unsound, Voice, Waveform

HEARD_RATE, STYLE_RATE = 16_000, 32_000  # Hz
N_FFT, HOP = 2048, 640  # of the reference spectrogram
SILENCE = 9_600  # zeros behind the reference at 16 kHz (0.6 s), as it was trained
SHORTEST, LONGEST = 1.0, 10.0  # seconds of a reference
TRAINED = 3.0  # seconds that a reference had in training, at least
FRAME = 0.02  # seconds, of the search for the best stretch
BANDS = 100  # of a mel spectrogram
MELS = {"v3": (24_000, 1024, 256), "v4": (32_000, 1280, 320)}  # rate, points and hop of the reference's
SAMPLE_RATES = {"v3": 24_000, "v4": 48_000}  # Hz of the sound, where it is not 32 kHz
NOISE = 0.5  # how much of the prior's spread is drawn
BLOCK = 50  # frames whose noise is drawn at once
PIECE, MEL_PIECE = 100, 400  # frames of one piece of sound: 2 s up to v2ProPlus, 4 s in v3 and v4
QUICKEST, SLOWEST = 0.8, 8.4  # tokens a phone: 31 and 3 phones a second
SLACK = 50  # tokens of breath and pauses
TRIES = 3
WORTH = 24  # phones of a sentence that is heard while it is said: about 2 s
LOOK = 6  # tokens behind a stretch that are known when it is rendered, 0.24 s
FADE = 2  # frames of 20 ms over which a stretch goes over into the next
UNSURE = (
    "It was heard while it was being said, so it could not be said again, and its length is not a likely "
    "one: words may be missing or repeated."
)
SLOTS = 6000  # places of the cache that sentences said at once may want: 0.6 GB in float32, were all filled
NUDGE = 0.01

Read = Callable[[str, str], Phrase]  # text and language


@dataclass(frozen=True, eq=False)
class Networks:
    """What one version is made of: `verifier` is v2Pro's and v2ProPlus's, `vocoder` v3's and v4's."""

    version: str
    hubert: Hubert
    listener: Listener
    speaker: Speaker
    decoder: Decoder | Matcher
    verifier: Verifier | None = None
    vocoder: Bigvgan | Hifigan | None = None

    @property
    def sample_rate(self) -> int:
        """Hz of the sound."""
        return SAMPLE_RATES.get(self.version, 32_000)


@dataclass(eq=False)
class _Row:
    """A candidate of a sentence, at the best it was said until now."""

    phrase: Phrase
    sampling: Sampling
    candidate: int
    most: int
    said: Said | None = None
    tries: int = 0

    def chance(self, attempt: int) -> torch.Generator:
        """Of another stream at every attempt."""
        return _chance(self.sampling.seed + self.candidate + attempt * self.sampling.candidates)


class GptSovits:
    """An `Engine`, `Batched`, and up to v2ProPlus a `Streamer`; nothing of a request is kept on it."""

    at_once = 4

    def __init__(self, placement: Placement, networks: Networks, read: Read):
        self._device = torch.device(placement.device)
        self._networks, self._read = networks, read
        self.version = networks.version
        self.sample_rate = networks.sample_rate

    # ------------------------------------------------------------------------------------ listen

    @torch.inference_mode()
    def listen(self, reference: Waveform, transcript: str | None, run: Run) -> Voice:
        """The voice of a clip: "style" (style,), and with a transcript "tokens" (P,), its "phones" (L,) and,
        in languages that have them, their "features" (L, 1024).

        What is longer than it was trained on is cut to the best stretch, and then its words are of no use.
        Raises `InputError` for a clip below `SHORTEST` seconds.
        """
        if reference.seconds < SHORTEST:
            raise InputError(
                f"The clip lasts {reference.seconds:.1f} s; a voice needs {SHORTEST:g} s, best are 3 to 10."
            )
        clip, facts = best_stretch(reference), {}
        if self.version in MELS:
            self._require_words(reference, transcript)
        if clip is not reference:
            facts["reference"] = f"the best {LONGEST:g} s of {reference.seconds:.0f}"
            transcript = None
        elif reference.seconds < TRAINED:
            facts["reference"] = f"shorter than {TRAINED:g} s, so the voice may be unsteady"
        run.check()
        tensors = {"style": self._style(clip, run)}
        run.check()
        if transcript and transcript.strip():
            said = self._read(transcript, "auto")
            run.check()
            tensors |= {"tokens": self._heard(clip, run), "phones": said.ids}
            if said.features is not None:
                tensors["features"] = said.features
        if self.version in MELS:
            tensors["mel"] = _mel(clip, *MELS[self.version])
        return Voice("gpt_sovits", tensors, transcript, facts)

    def _require_words(self, reference: Waveform, transcript: str | None) -> None:
        """Raises `InputError` where v3 or v4 cannot go on from what the clip says."""
        if not (transcript and transcript.strip()):
            raise InputError(
                f"GPT-SoVITS {self.version} goes on from what the clip says: write its words beside it, or "
                "choose another version."
            )
        if reference.seconds > LONGEST:
            raise InputError(
                f"The clip lasts {reference.seconds:.0f} s, and GPT-SoVITS {self.version} goes on from all "
                f"its words: cut clip and words to {LONGEST:g} s or less."
            )

    def _heard(self, clip: Waveform, run: Run) -> Tensor:
        """The clip's tokens, (P,) int64."""
        samples = functional.pad(audio.resample(clip, HEARD_RATE).samples, (0, SILENCE))
        content = self._networks.hubert(samples[None].to(self._device), watch=run.check)
        return self._networks.listener.tokens(content)[0].cpu()

    def _style(self, clip: Waveform, run: Run) -> Tensor:
        """The clip's style, (style,) float32."""
        clip = audio.resample(clip, STYLE_RATE)
        spectrogram = magnitudes(clip.samples[None].to(self._device), N_FFT, HOP)
        verification = None
        if self._networks.verifier is not None:
            samples = audio.resample(clip, HEARD_RATE).samples.to(self._device)
            verification = self._networks.verifier.embed(samples, run.check)
        return self._networks.listener.styled(spectrogram, verification)[0, :, 0].cpu()

    # -------------------------------------------------------------------------------------- read

    def read(self, text: str, language: str) -> Phrase:
        """One sentence as phones, with features where it is Chinese. Raises `InputError` as `Reader` does."""
        return self._read(text, language)

    # --------------------------------------------------------------------------------------- say

    def say(self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run) -> list[Units]:
        """Candidates, best first: `ids` (1, N) semantic tokens, 25 a second.

        With the tokens of the reference's own words the voice goes on from them. A candidate that is too
        long or too short for its phones, or does not end, is drawn again, `TRIES` times in all.
        Raises `InputError` for a sentence that outlasts `sampling.max_seconds`, `Unsound` where numbers are
        not finite.
        """
        return self.say_all([phrase], voice, sampling, [sampling.seed], run)[0]

    @torch.inference_mode()
    def say_all(
        self, phrases: Sequence[Phrase], voice: Voice, sampling: Sampling, seeds: Sequence[int], run: Run
    ) -> list[list[Units]]:
        """`say` for several sentences at once, each with a seed of its own and what it is alone."""
        samplings = [replace(sampling, seed=seed) for seed in seeds]
        rows = [
            _Row(phrase, how, candidate, self._most(phrase, sampling))
            for phrase, how in zip(phrases, samplings, strict=True)
            for candidate in range(sampling.candidates)
        ]
        self._try(rows, voice, run)
        found = []
        for number, (phrase, how) in enumerate(zip(phrases, samplings, strict=True)):
            own = rows[number * sampling.candidates :][: sampling.candidates]
            if own[0].most == _limit(sampling) and not any(row.said.ended for row in own):
                raise InputError(
                    f"This sentence would last longer than the {sampling.max_seconds:g} s that a sentence "
                    "may: cut it in two, or allow longer ones."
                )
            units = [self._units(row.said, row.tries, how, phrase, voice) for row in own]
            found.append(sorted(units, key=lambda units: -(units.score or 0.0)))
        return found

    def _most(self, phrase: Phrase, sampling: Sampling) -> int:
        """How many tokens a sentence may have."""
        return min(drawing.MOST, _limit(sampling), math.ceil(SLOWEST * len(phrase.ids)) + SLACK)

    def _try(self, rows: Sequence[_Row], voice: Voice, run: Run) -> None:
        """Give each row the best of at most `TRIES`; those still to be drawn are drawn together."""
        prompt = voice.tensors.get("tokens")
        for attempt in range(TRIES):
            again = [row for row in rows if not _plausible(row.said, row.phrase)]
            for group in _groups(again, 0 if prompt is None else len(voice.tensors["phones"]) + len(prompt)):
                contexts = [_context(row.phrase, voice) for row in group]
                said = drawing.say(
                    self._networks.speaker,
                    [phones for phones, _, _ in contexts],
                    [features for _, features, _ in contexts],
                    prompt,
                    [row.chance(attempt) for row in group],
                    _draw(group[0].sampling),
                    [row.most for row in group],
                    run,
                )
                for row, new in zip(group, said, strict=True):
                    row.said, row.tries = _better(row.said, new, row.phrase), attempt + 1

    def _units(self, said: Said, tries: int, sampling: Sampling, phrase: Phrase, voice: Voice) -> Units:
        if not len(said.tokens):
            raise Unsound("The speaking model said nothing.")
        seconds = self._frames(len(said.tokens), sampling.speed) / self._frame_rate
        note = _retold(tries, _plausible(said, phrase))
        units = Units(
            said.tokens[None], TOKEN_RATE, _asides(sampling), seed=sampling.seed, seconds=seconds, note=note
        )
        if sampling.candidates == 1:
            return units
        (logits,) = self.logits(units, phrase, voice, sampling, Run())
        likelihood = logits.log_softmax(-1).gather(1, said.tokens[:, None]).mean()
        return replace(units, score=float(likelihood) - (0.0 if _plausible(said, phrase) else 100.0))

    @torch.inference_mode()
    def logits(
        self, units: Units, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run
    ) -> list[Tensor]:
        """What it would have said before each token of `units`: one (N, 1025) float32, the end last."""
        run.check()
        logits = self._networks.speaker.forced(*_context(phrase, voice), units.ids[0])
        return [logits.cpu()]

    def nudge(self, voice: Voice, seed: int) -> Voice:
        """The voice with its style moved at random, by a hundredth of its own size."""
        style = voice.tensors["style"]
        moved = torch.randn(style.shape, generator=_chance(seed)) * style.std()
        return replace(voice, tensors={**voice.tensors, "style": style + NUDGE * moved})

    # ------------------------------------------------------------------------------------ stream

    def streams(self, phrase: Phrase, sampling: Sampling) -> bool:
        """With sentences of about 2 s and more, at the voice's own pace, in versions up to v2ProPlus."""
        able = isinstance(self._networks.decoder, Decoder)
        plain = sampling.candidates == 1 and sampling.speed == 1
        return able and plain and len(phrase.ids) >= WORTH

    @torch.inference_mode()
    def say_on(
        self, phrase: Phrase, voice: Voice, sampling: Sampling, run: Run, begun: Units | None = None
    ) -> Iterator[Units]:
        """One candidate, its beginning `LOOK` tokens behind each of `borders`, at last the whole.

        It draws what `say` draws first. Only what ends before any of it is heard is said again where it is
        too short.
        """
        if begun is not None and begun.whole:
            yield begun
            return
        saying = self._saying(phrase, voice, sampling, begun)
        if begun is not None:
            yield begun
        heard = begun is not None
        for border in borders():
            while not saying.done and saying.count < border + LOOK:
                run.check()
                saying.step()
            if saying.done:
                break
            if begun is None or saying.count > begun.ids.shape[1]:
                yield replace(self._units(saying.so_far(0), 1, sampling, phrase, voice), note="", whole=False)
                heard = True
        said = saying.so_far(0)
        good = _plausible(said, phrase)
        if heard or good:
            yield replace(self._units(said, 1, sampling, phrase, voice), note="" if good else UNSURE)
        else:
            yield self.say(phrase, voice, sampling, run)[0]

    def _saying(
        self, phrase: Phrase, voice: Voice, sampling: Sampling, begun: Units | None
    ) -> drawing.Saying:
        phones, features, prompt = _context(phrase, voice)
        return drawing.Saying(
            self._networks.speaker,
            [phones],
            [features],
            prompt,
            [_chance(sampling.seed)],
            _draw(sampling),
            [self._most(phrase, sampling)],
            None if begun is None else begun.ids[0],
        )

    def render_on(self, said: Iterable[Units], phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        """The sound up to each of `borders` as soon as what is said goes `LOOK` tokens beyond it.

        Each piece is decoded from all tokens before it and those `LOOK` behind it, with the noise of its
        place, and goes over into the next within `FADE` frames. Only its encoder, which attends to the whole
        sentence, does not know the end yet, so the sound is near to the whole decode and not equal: with the
        full-size formula weights of the parity fixtures, and 10 s of tokens, it is off by 3 to 4 % (root
        mean square, relative) in the first second and 1 to 2 % in all, v2ProPlus by 11 and 6 %, where another
        seed of the noise is off by 22 to 54 %. Looking further ahead brings it no nearer: what is missing is
        what comes much later.
        """
        fade = FADE * self._networks.decoder.generator.config.hop
        ahead, start, tail = borders(), 0, None
        border = next(ahead)
        for units in said:
            while units.ids.shape[1] >= border + LOOK:
                sound = self._stretch(units, border + LOOK, start, border, phrase, voice, run)
                sound = _crossfaded(tail, sound)
                yield Waveform(sound[:-fade], self.sample_rate)
                start, border, tail = border, next(ahead), sound[-fade:]
        end = units.ids.shape[1]
        sound = self._stretch(units, end, start, end, phrase, voice, run)
        yield Waveform(_crossfaded(tail, sound), self.sample_rate)

    @torch.inference_mode()
    def _stretch(
        self, units: Units, known: int, start: int, end: int, phrase: Phrase, voice: Voice, run: Run
    ) -> Tensor:
        """The sound (T,) of tokens `start` to `end` and of `FADE` frames before, as far as `known` tell."""
        decoder = self._networks.decoder
        vocoder, stride = decoder.generator, decoder.encoder.stride
        tokens, phones = units.ids[:, :known].to(self._device), phrase.ids[None].to(self._device)
        style = voice.tensors["style"][None, :, None].to(self._device)
        run.check()
        z = decoder.drawn(tokens, phones, style, self._noise(known * stride, units.seed))
        first, last = max(start * stride - FADE, 0), end * stride
        near = max(first - vocoder.config.reach, 0)  # the frames that the generator is shown begin here,
        far = max(near - decoder.reach, 0)  # and those that the flow is shown here
        beyond = last + vocoder.config.reach
        run.check()
        latent = decoder.flowed(z[..., far:], style)[..., near - far : beyond - far]
        hop = vocoder.config.hop
        sound = vocoder(latent, style, run.check)[0, 0, (first - near) * hop : (last - near) * hop]
        return sound.float().cpu()

    # ------------------------------------------------------------------------------------ render

    def render(self, units: Units, phrase: Phrase, voice: Voice, run: Run) -> Iterator[Waveform]:
        """Pieces of sound that joined are the whole: each is rendered with all that it depends on.

        v3 and v4 paint a mel in windows of about 10 s, and each window is a piece of its own or several.
        """
        tokens, phones = units.ids.to(self._device), phrase.ids[None].to(self._device)
        style = voice.tensors["style"][None, :, None].to(self._device)
        speed, steps = _told(units, "speed", 1.0), int(_told(units, "steps", 0))
        run.check()
        if isinstance(self._networks.decoder, Decoder):
            pieces = self._decoded(tokens, phones, style, speed, units.seed, run)
        else:
            pieces = self._painted(tokens, phones, style, speed, steps, _chance(units.seed), voice, run)
        for samples in pieces:
            yield Waveform(samples[0, 0].float().cpu(), self.sample_rate)

    def _decoded(
        self, tokens: Tensor, phones: Tensor, style: Tensor, speed: float, seed: int, run: Run
    ) -> Iterator[Tensor]:
        """Sound (1, 1, T) of a flow and a generator, in pieces."""
        decoder = self._networks.decoder
        vocoder = decoder.generator
        noise = self._noise(decoder.encoder.frames(tokens.shape[1], speed), seed)
        with torch.inference_mode():
            latent = decoder.latent(tokens, phones, style, noise, speed)
        sound = torch.inference_mode()(lambda frames: vocoder(frames, style, run.check))
        yield from in_pieces(sound, [latent], PIECE, vocoder.config.reach, vocoder.config.hop)

    def _noise(self, frames: int, seed: int) -> Tensor:
        """What is drawn of the prior's spread, (1, width, frames): frame by frame the same for any count."""
        size, chance = (1, self._networks.decoder.config.encoder.width, BLOCK), _chance(seed)
        blocks = [torch.randn(size, generator=chance) for _ in range(0, frames, BLOCK)]
        return NOISE * torch.cat(blocks, dim=-1)[..., :frames].to(self._device)

    def _painted(
        self,
        tokens: Tensor,
        phones: Tensor,
        style: Tensor,
        speed: float,
        steps: int,
        chance: torch.Generator,
        voice: Voice,
        run: Run,
    ) -> Iterator[Tensor]:
        """Sound (1, 1, T) of a mel that goes on from the reference's, in pieces."""
        matcher, vocoder, kept = self._networks.decoder, self._networks.vocoder, voice.tensors
        told = (kept[name][None].to(self._device) for name in ("tokens", "phones"))
        start = matcher.prompt(*told, style, kept["mel"][None].to(self._device))
        mels = matcher.paint(tokens, phones, style, start, chance, steps or None, speed, watch=run.check)
        sound = torch.inference_mode()(lambda frames: vocoder(frames, watch=run.check))
        yield from in_pieces(sound, mels, MEL_PIECE, vocoder.config.reach, vocoder.config.hop)

    def _frames(self, tokens: int, speed: float) -> int:
        """How many frames the vocoder makes sound of."""
        decoder = self._networks.decoder
        frames = decoder.encoder.frames(tokens, speed)
        return frames if isinstance(decoder, Decoder) else int(frames * decoder.config.stretch)

    @property
    def _frame_rate(self) -> float:
        networks = self._networks
        vocoder = networks.vocoder if networks.vocoder is not None else networks.decoder.generator
        return self.sample_rate / vocoder.config.hop


def borders() -> Iterator[int]:
    """Where a sentence that is heard while it is said is cut, in tokens: after 1 s, then ever more rarely.

    Each stretch is half as long again as the one before it, which plays while it is made, up to 4 s.
    """
    end, length = 0, 25.0
    while True:
        end += round(length)
        yield end
        length = min(1.5 * length, 100)


def _crossfaded(tail: Tensor | None, sound: Tensor) -> Tensor:
    """`sound` whose beginning was made before, as `tail`: from the one to the other."""
    if tail is None:
        return sound
    rise = (torch.arange(len(tail)) + 0.5) / len(tail)
    return torch.cat([tail + rise * (sound[: len(tail)] - tail), sound[len(tail) :]])


def _mel(clip: Waveform, rate: int, n_fft: int, hop: int) -> Tensor:
    """The clip's log mel spectrogram, (100, P) float32."""
    return log_mel(audio.resample(clip, rate).samples[None], rate, n_fft, hop, BANDS)[0]


def _context(phrase: Phrase, voice: Voice) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Phones, features and prompt: those of the reference's words in front, where they are known."""
    kept = voice.tensors
    if "tokens" not in kept:
        return phrase.ids, phrase.features, None
    phones = torch.cat([kept["phones"], phrase.ids])
    parts = (kept.get("features"), kept["phones"]), (phrase.features, phrase.ids)
    given = [features for features, _ in parts if features is not None]
    if not given:
        return phones, None, kept["tokens"]
    width = given[0].shape[-1]
    whole = [torch.zeros(len(ids), width) if features is None else features for features, ids in parts]
    return phones, torch.cat(whole), kept["tokens"]


def _chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed % 2**63)


def _asides(sampling: Sampling) -> dict[str, Tensor] | None:
    """What of a sampling is for `render`, where it is not the usual, to be carried as curves of one value."""
    asides = {"speed": (sampling.speed, 1.0), "steps": (sampling.steps, 0)}
    return {name: torch.tensor([float(v)]) for name, (v, usual) in asides.items() if v != usual} or None


def _told(units: Units, name: str, usual: float) -> float:
    """A value that `_asides` put there."""
    return float(units.curves[name]) if units.curves and name in units.curves else usual


def _draw(sampling: Sampling) -> Draw:
    """The knobs of a draw."""
    return Draw(sampling.top_k, sampling.top_p, sampling.temperature, sampling.repetition_penalty)


def _limit(sampling: Sampling) -> int:
    """Tokens that a person allows to a sentence."""
    return round(sampling.max_seconds * TOKEN_RATE)


def _groups(rows: Sequence[_Row], told: int) -> Iterator[Sequence[_Row]]:
    """Rows that fit into the cache together, in order; each has `told` places in front of its own."""
    group: list[_Row] = []
    for row in rows:
        longest = max(told + len(other.phrase.ids) + other.most for other in [*group, row])
        if group and (len(group) + 1) * longest > SLOTS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _plausible(said: Said | None, phrase: Phrase) -> bool:
    """Whether so many tokens can be these phones, and the model ended by itself."""
    return said is not None and said.ended and len(said.tokens) >= QUICKEST * len(phrase.ids)


def _retold(tries: int, plausible: bool) -> str:
    """In words, that a sentence was said more than once."""
    if not plausible:
        return f"Said {tries} times, and none was of a likely length: words may be missing or repeated."
    return f"Said {tries} times, since at first words were swallowed or it did not end." if tries > 1 else ""


def _better(old: Said | None, new: Said, phrase: Phrase) -> Said:
    """Of two implausible ones, the one that ended, then the longer: swallowed words cannot be cut in."""
    if old is None or _plausible(new, phrase):
        return new
    return max(old, new, key=lambda said: (said.ended, len(said.tokens) if said.ended else 0))


def best_stretch(reference: Waveform) -> Waveform:
    """The `LONGEST` seconds with the most sound in them, begun in a pause if there is one to begin in.

    A clip that is no longer comes back as it is.
    """
    if reference.seconds <= LONGEST:
        return reference
    frame = round(FRAME * reference.sample_rate)
    count = round(LONGEST / FRAME)
    power = reference.samples.unfold(0, frame, frame).square().mean(-1)
    loud = (power > 0.01 * power.quantile(0.95)).float()
    sums = functional.pad(loud.cumsum(0), (1, 0))
    amounts = sums[count:] - sums[:-count]
    # A pause may cost half a second of sound.
    start = int((amounts - 0.5 / FRAME * loud[: len(amounts)]).argmax()) * frame
    return replace(reference, samples=reference.samples[start : start + count * frame])


# --------------------------------------------------------------------------------------- loading


def load(folder: Path, placement: Placement) -> GptSovits:
    """The engine of the chosen version in `folder`. Raises `InputError` for parts that do not fit."""
    version, chosen = parts.together(folder)
    networks = Networks(
        version,
        hubert=chosen["hubert"].load("hubert", placement.raised("listen"), "listen"),
        listener=chosen["decoder"].load("listen", placement, "listen"),
        speaker=chosen["speaker"].load("speaker", placement, "say"),
        decoder=chosen["decoder"].load("render", placement, "render"),
        **{
            kind: chosen[kind].load(kind, placement, stage)
            for kind, stage in (("verifier", "listen"), ("vocoder", "render"))
            if kind in chosen
        },
    )
    bert = chosen.get("bert")
    context = None if bert is None else functools.partial(_context_of, bert, placement)
    return GptSovits(placement, networks, Reader(_phones(version), context))


def _context_of(bert: parts.Part, placement: Placement) -> Context:
    return Context(bert.load("bert", placement, "read"), vocabulary(bert.folder))


def _phones(version: str) -> Version:
    return "v1" if version == "v1" else "v2"


def tiny(placement: Placement) -> GptSovits:
    """The real classes at toy sizes with random weights, always the same."""
    return GptSovits(placement, tiny_networks(placement), Reader("v2"))


def tiny_networks(placement: Placement) -> Networks:
    """The networks of `tiny`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Networks(
            "v2",
            hubert=placement.put(Hubert(TINY_HUBERT), "listen"),
            listener=placement.put(Listener(TINY_ENCODER), "listen"),
            speaker=placement.put(Speaker(TINY_SPEAKER), "say"),
            decoder=placement.put(Decoder(TINY_DECODER), "render"),
        )
