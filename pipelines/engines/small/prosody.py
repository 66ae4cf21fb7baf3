"""Rhythm and melody said frame by frame, by a causal transformer over the feed-forward predictor's draft.

The predictor of `model.Speaker` always says a sentence alike: its durations and curves are the *draft*. Here
a frame (40 Hz) is said at a time: whether it is the last of its phoneme (*move*), and the *code* of its
pitch, voicing and energy, both drawn from what was said so far. Phonemes can only be moved on from, one by
one and in order, so that none is skipped or said twice. A prompt (phonemes, frames and codes of the
reference itself) may stand before the sentence: what follows goes on in its manner.

Curves are *normal* here: pitch in deviations from the voice's mean log2 F0, cut at `LOWEST` and `HIGHEST`,
times a presence between 0 and 1 in which the curve falls to 0 Hz; energy in `ENERGY_UNIT` from its mean over
voiced steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.engines.small.config import Config, Melody
from pipelines.engines.small.style import LOWEST as LOWEST_PITCH
from pipelines.engines.small.style import ONSET, QUIETEST, UNVOICED
from pipelines.layers import pitch as pitches
from pipelines.layers.transformer import KVCache, Norm, Stack

LOWEST, HIGHEST = -3.0, 4.0  # deviations of log2 F0
NARROWEST = 0.1  # octaves: no voice's deviation counts as less
MIDDLE = (7.4, 0.25)  # mean and deviation of log2 F0 where a sentence has too little voice to tell
LOUDNESS = 6.0  # energy of voiced steps, where there are too few to tell
ENERGY_UNIT = 3.0
BREATHLESS = 25.0  # Hz, below which what a decoder gives is no pitch
NOTES = 8  # numbers that say what the draft does with a symbol
TRACKS = 3  # pitch, presence, energy, two steps of each a frame
NEAR_END = 16  # frames to a symbol's end that the decoder tells apart
PROMPT = 240  # frames: no longer ones were learned from
SLACK = 4  # frames that any symbol may take beside half as long again as drafted
WATCHED = 16  # frames said between two looks at whether to go on
POSITIONS = 10_000.0  # longest wavelength of the positions' sines, in turns of 2π frames


# -------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class Scale:
    """What normal curves are relative to: `mean` and `deviation` of log2 F0, `energy` of voiced steps."""

    mean: float
    deviation: float
    energy: float


def scale_of(pitch: Tensor, energy: Tensor) -> Scale:
    """The scale of curves (N,): what a listener takes for their pitch, as in `style.to_pitch`."""
    voiced = pitch > LOWEST_PITCH
    if bool(voiced.any()):
        voiced = voiced & (pitch > ONSET * pitch[voiced].median())
    if int(voiced.sum()) < 10:
        return Scale(*MIDDLE, energy=float(energy[voiced].mean()) if bool(voiced.any()) else LOUDNESS)
    loud = voiced & (energy > energy[voiced].quantile(QUIETEST))
    mean, deviation = pitches.statistics(pitch, loud)
    if not bool(torch.isfinite(deviation)):
        return Scale(*MIDDLE, energy=float(energy[voiced].mean()))
    return Scale(float(mean), max(float(deviation), NARROWEST), float(energy[voiced].mean()))


def normal(pitch: Tensor, energy: Tensor, scale: Scale) -> Tensor:
    """Curves (2T,) in Hz and in the teacher's energy to frames (T, 2, 3): pitch, presence, energy."""
    octaves = pitch.float().clamp(min=1.0).log2()
    deviations = ((octaves - scale.mean) / scale.deviation).clamp(LOWEST, HIGHEST)
    presence = (octaves - scale.mean - scale.deviation * deviations).clamp(max=0).exp2()
    presence = presence.where(pitch > UNVOICED, torch.zeros(()))
    loudness = (energy.float() - scale.energy) / ENERGY_UNIT
    return torch.stack([deviations * (presence > 0.5), presence, loudness], dim=-1).unflatten(0, (-1, 2))


def absolute(tracks: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
    """The way back: frames (T, 2, 3) to pitch in Hz and energy, each (2T,) float32."""
    deviations, presence, loudness = tracks.float().flatten(0, 1).unbind(-1)
    octaves = scale.mean + scale.deviation * deviations.clamp(LOWEST, HIGHEST)
    pitch = presence.clamp(0, 1) * octaves.exp2()
    # What lies between is a pitch to the source, but none to an ear: a rumble.
    pitch = torch.where(pitch < BREATHLESS, pitch.clamp(max=UNVOICED - 2), pitch)
    return pitch, scale.energy + ENERGY_UNIT * loudness


def ends(frames: Tensor) -> Tensor:
    """Frames of each symbol (L,) int64 to moves (N,) int64: 1 where a symbol ends."""
    moves = torch.zeros(int(frames.sum()), dtype=torch.int64)
    moves[frames.cumsum(0) - 1] = 1
    return moves


def lasted(moves: Tensor) -> Tensor:
    """The way back: moves (N,) to the frames of each symbol (L,) int64."""
    stops = moves.nonzero()[:, 0] + 1
    return stops.diff(prepend=stops.new_zeros(1))


# --------------------------------------------------------------------------------------- the draft


@dataclass(frozen=True, eq=False)
class Draft:
    """What the feed-forward predictor makes of L symbols.

    `features` (L, F) of the symbols in the voice's style; `lengths` (L,) float32 in frames, at the speed
    asked for; `tracks` (S, 2, 3), its normal curves over the frames that it would say.
    """

    features: Tensor
    lengths: Tensor
    tracks: Tensor

    @property
    def frames(self) -> Tensor:
        """(L,) int64, S in sum."""
        return self.lengths.round().clamp(min=1).long()

    def first(self, count: int) -> Draft:
        """Of its first symbols."""
        frames = int(self.frames[:count].sum())
        return Draft(self.features[:count], self.lengths[:count], self.tracks[:frames])

    def limits(self, most: int) -> list[int]:
        """Frames after which each symbol is moved on from in any case; no more than `most`.

        Half as long again as drafted, and a little: within a silence, the likeliest that can follow silence
        is more of it.
        """
        return (1.5 * self.lengths + SLACK).ceil().clamp(max=most).int().tolist()

    def notes(self) -> Tensor:
        """Each symbol in a few numbers, (L, `NOTES`) float32.

        Length (log2), pitch at its first, middle and last step, mean presence and energy; and length and
        pitch of what comes next are left to the network, which is given the next symbol too.
        """
        steps = self.tracks.flatten(0, 1)  # (2S, 3)
        stops = 2 * self.frames.cumsum(0)
        starts = stops - 2 * self.frames
        middles = (starts + stops) // 2
        sums = F.pad(steps.cumsum(0), (0, 0, 1, 0))
        means = (sums[stops] - sums[starts]) / (stops - starts)[:, None]
        points = [steps[at, 0] for at in (starts, middles, stops - 1)]
        sizes = [self.lengths.clamp(min=0.25).log2(), self.lengths - self.lengths.floor()]
        return torch.stack([*sizes, *points, *means.unbind(1)], dim=1)


@dataclass(frozen=True, eq=False)
class Spoken:
    """Frames said of a draft: `moves` and `codes`, (N,) int64; all of its symbols or the first of them."""

    moves: Tensor
    codes: Tensor

    @property
    def places(self) -> Tensor:
        """The symbol of each frame: (N,) int64."""
        return self.moves.cumsum(0) - self.moves

    @property
    def elapsed(self) -> Tensor:
        """How many frames of its symbol came before each frame: (N,) int64."""
        frames = torch.arange(len(self.moves))
        begun = torch.cat([torch.ones(1, dtype=torch.int64), self.moves[:-1]])
        return frames - (frames * begun).cummax(0).values


# ------------------------------------------------------------------------------------- the network


class Book(nn.Module):
    """The codes: centroids of normal frames."""

    float32_only = True  # the nearest of a thousand is asked for

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.zeros(codes, 2 * TRACKS))
        self.register_buffer("weights", torch.ones(2 * TRACKS))  # of the numbers, in telling frames apart

    def encode(self, tracks: Tensor) -> Tensor:
        """Frames (N, 2, 3) to the nearest codes (N,) int64. NaN in a track: it does not count."""
        frames = tracks.flatten(1).to(self.centroids)
        known = torch.isfinite(frames)
        weights = (self.weights.square() * known)[:, None]
        parts = frames.nan_to_num(0.0).split(256)
        found = [
            ((part[:, None] - self.centroids).square() * weight).sum(-1).argmin(-1)
            for part, weight in zip(parts, weights.split(256), strict=True)
        ]
        return torch.cat(found)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (...) to their centroids (..., 6)."""
        return self.centroids[codes]


class Smoothing(nn.Module):
    """Convolution over time and two layers over channels, around a residual: (B, N, C) to (B, N, C)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = Norm(channels)
        self.up = nn.Linear(channels, 2 * channels)
        self.down = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return x + self.down(F.gelu(self.up(self.norm(y))))


class Curves(nn.Module):
    """From units to normal curves: what codes round off is put back by their neighbours and the phonemes."""

    def __init__(self, c: Config, m: Melody) -> None:
        super().__init__()
        self.symbol = nn.Linear(c.hidden + c.style + NOTES, m.curves)
        self.code = nn.Embedding(m.codes, m.curves)
        self.since = nn.Embedding(NEAR_END, m.curves)
        self.till = nn.Embedding(NEAR_END, m.curves)
        self.blocks = nn.ModuleList(Smoothing(m.curves, m.curve_kernel) for _ in range(m.curve_blocks))
        self.norm = Norm(m.curves)
        self.head = nn.Linear(m.curves, 2 * TRACKS)

    def forward(
        self, symbols: Tensor, codes: Tensor, since: Tensor, till: Tensor, centroids: Tensor
    ) -> Tensor:
        """What each frame's symbol is (B, N, C), codes, frames since its start and till its end (B, N), the
        codes' centroids (B, N, 6), to normal frames (B, N, 2, 3) float32."""
        edges = self.since(since.clamp(max=NEAR_END - 1)) + self.till(till.clamp(max=NEAR_END - 1))
        x = symbols + self.code(codes) + edges
        for block in self.blocks:
            x = block(x)
        return (centroids + self.head(self.norm(x)).float()).unflatten(-1, (2, TRACKS))


# Logits (1, 2) and (1, codes) of a frame, and how many frames of its symbol came before -> move, code
Pick = Callable[[Tensor, Tensor, int], tuple[int, int]]


class Prosody(nn.Module):
    """The autoregressive prosody. Logits and curves are float32, whatever the weights."""

    def __init__(self, c: Config, m: Melody) -> None:
        super().__init__()
        self.width, self.codes, self.longest = m.width, m.codes, m.elapsed
        self.here = nn.Linear(c.hidden + c.style + NOTES, m.width)
        self.next = nn.Linear(c.hidden + c.style + NOTES, m.width)
        self.code = nn.Embedding(m.codes + 1, m.width)  # the last: nothing was said yet
        self.elapsed = nn.Embedding(m.elapsed, m.width)
        self.stack = Stack(m.width, m.heads, m.hidden, m.layers)
        self.move_head = nn.Linear(m.width, 2)
        self.code_head = nn.Linear(m.width, m.codes)
        self.book = Book(m.codes)
        self.curves = Curves(c, m)

    def symbols(self, draft: Draft) -> Tensor:
        """All that is known of each symbol, in the weights' dtype: (L, F + `NOTES`)."""
        notes = draft.notes().to(draft.features.device)
        return torch.cat([draft.features.float(), notes], dim=-1).to(self.code.weight.dtype)

    def context(self, symbols: Tensor) -> Tensor:
        """Each symbol with the one after it: (..., L, F + `NOTES`) to (..., L, width)."""
        following = F.pad(self.next(symbols[..., 1:, :]), (0, 0, 0, 1))
        return self.here(symbols) + following

    def inputs(self, context: Tensor, spoken: Spoken, first: int) -> Tensor:
        """The network's input before each frame: (1, N, width); the first one stands at position `first`."""
        device = context.device
        before = F.pad(spoken.codes[:-1], (1, 0), value=self.codes).to(device)
        elapsed = spoken.elapsed.clamp(max=self.longest - 1).to(device)
        places = positions(first, len(spoken.codes), self.width).to(context)
        x = context[spoken.places.to(device)] + self.code(before) + self.elapsed(elapsed) + places
        return x[None]

    def forward(self, x: Tensor, caches: Sequence[KVCache] | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (B, N, width) to logits (B, N, 2) of moving on and (B, N, codes) of the frame."""
        hidden = self.stack(x, caches)
        return self.move_head(hidden).float(), self.code_head(hidden).float()

    def say(
        self,
        draft: Draft,
        prompt: tuple[Draft, Spoken] | None,
        pick: Pick,
        limits: Sequence[int],
        most: int,
        watch: Callable[[], None],
    ) -> Iterator[tuple[int, int]]:
        """Move and code of one frame after the other, till the last symbol is moved on from; at most `most`.

        `pick` chooses from the logits; each symbol is moved on from after its own of the `limits`, in frames,
        at the latest. `watch` is called every few frames and may raise to end it.
        """
        context = self.context(self.symbols(draft))
        most = min(most, sum(limits))
        first = 0 if prompt is None else len(prompt[1].codes)
        caches = self.stack.caches(1, first + most)
        if prompt is not None:
            self.stack(self.inputs(self.context(self.symbols(prompt[0])), prompt[1], 0), caches)
        places = positions(first, most, self.width).to(context)
        at, elapsed, code = 0, 0, self.codes
        for number in range(most):
            if number % WATCHED == 0:
                watch()
            x = context[at] + self.code.weight[code] + self.elapsed.weight[min(elapsed, self.longest - 1)]
            moves, codes = self((x + places[number])[None, None], caches)
            move, code = pick(moves[0], codes[0], elapsed)
            elapsed += 1
            if elapsed == limits[at]:
                move = 1
            yield move, code
            if move:
                at, elapsed = at + 1, 0
            if at == len(context):
                return

    def tracks(self, draft: Draft, spoken: Spoken) -> Tensor:
        """The normal curves of what was said: (N, 2, 3) float32 on the CPU."""
        device = draft.features.device
        places, since = spoken.places, spoken.elapsed
        till = lasted(spoken.moves)[places] - 1 - since
        symbols = self.curves.symbol(self.symbols(draft))[places.to(device)]
        codes, since, till = (numbers[None].to(device) for numbers in (spoken.codes, since, till))
        return self.curves(symbols[None], codes, since, till, self.book.decode(codes))[0].cpu()


def positions(first: int, count: int, width: int) -> Tensor:
    """Sines and cosines of the positions from `first` on (Vaswani et al., 2017): (count, width) float32."""
    turns = torch.arange(first, first + count)[:, None]
    waves = POSITIONS ** (-torch.arange(0, width, 2) / width)
    return torch.cat([(turns * waves).sin(), (turns * waves).cos()], dim=-1)
