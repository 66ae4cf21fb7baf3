"""The listener: what a reference says, and in what voice.

A small HuBERT of our own (`training.small.listener` trains it on sound that the engine itself makes) gives
40 frames a second, the rate that durations count. From a frame it reads the symbol that is being said and
the energy; from where there are phonemes, on the whole, the style.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from pipelines import audio
from pipelines.engines.small.text import IDS
from pipelines.layers import pitch
from pipelines.layers.hubert import Hubert, HubertConfig
from pipelines.types import InputError, Waveform

FILE = Path(__file__).parents[3] / "assets" / "small" / "listener.safetensors"
SAMPLE_RATE = 16_000
HOP = 400  # samples of a frame: 40 frames a second
FRAME_RATE = SAMPLE_RATE / HOP
EMPHASIS = 0.9  # share of the sample before that is taken off, since speech falls by 6 dB an octave
LOUD = 0.95  # the quantile of the frames' energy that all sound is brought to
POOLED = 3  # layers of the transformer, the input counted, that the style is read of
CHANGE = 2.0  # what a new symbol costs, in natural logarithms, where nothing tells which symbols there are
HOPELESS = -8.0  # natural logarithm, at which a frame no longer counts against what is said to be heard
PROMPT = 4.0  # seconds of a clip that lively prosody goes on from
LONGEST = 20.0  # seconds that are listened to
SILENCE = 1e-4  # of the frames' loudest, in full scale, below which there is nothing to hear
NO_SOUND = frozenset({0, *(IDS[symbol] for symbol in ';:,.!?—…"()“” ˈˌː')})  # symbols that are no phoneme
LOW, HIGH = 50.0, 7700.0  # Hz, where the filters begin and end before training
EARS = HubertConfig(
    channels=(128, 192, 256),  # of the first, each pair is one band
    kernels=(400, 5, 5),
    strides=(100, 2, 2),
    width=256,
    heads=4,
    hidden=1024,
    layers=4,
    position_kernel=32,
    position_groups=16,
)


class Ears(Hubert):
    """HuBERT whose first convolution is a bank of filters in pairs, of which the energy is heard.

    Learnt filters with an energy after them (Zeghidour et al., 2018, arXiv 1711.01161) need far less sound
    to learn from than a plain stack of convolutions: to begin with they are a mel spectrogram.
    """

    def __init__(self, config: HubertConfig = EARS) -> None:
        super().__init__(config)
        self.first_norm = nn.Identity()  # it would take a voice's colour away; `levelled` does the level
        with torch.no_grad():
            self.convs[0].weight.copy_(filter_pairs(config.channels[0] // 2, config.kernels[0])[:, None])
        second = self.convs[1]
        self.convs[1] = nn.Conv1d(
            config.channels[0] // 2, second.out_channels, second.kernel_size, second.stride, bias=False
        )

    def forward(self, samples: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T) levelled, T a multiple of `HOP` → (B, T / HOP, width), the last layer."""
        return self.layers(self.bands(samples))[-1]

    def bands(self, samples: Tensor) -> Tensor:
        """The logarithm of the bands' energy: (B, T) → (B, bands, T / 100 + a few) float32."""
        margin = self.config.reach - self.config.hop
        x = functional.pad(samples.to(self.norm.weight.dtype), (margin // 2, margin - margin // 2))
        energy = self.convs[0](x[:, None]).float().unflatten(1, (-1, 2)).square().sum(2)
        return (energy + 1e-5).log() / 4 + 1

    def layers(self, bands: Tensor) -> list[Tensor]:
        """What each layer of the transformer gives, its input first."""
        x = bands.to(self.norm.weight.dtype)
        for conv in self.convs[1:]:
            x = functional.gelu(conv(x))
        x = self.widen(self.feature_norm(x.transpose(1, 2)))  # (B, C, N) -> (B, N, C)
        found = [self.norm(x + self._positions(x))]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found


def filter_pairs(bands: int, size: int) -> Tensor:
    """Cosines and sines under Hann windows, at frequencies even in mels: (2 · bands, size).

    Windows are as long as the distance to the next band allows, at most `size` samples.
    """
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOW, HIGH))
    centres = 700 * (10 ** (torch.linspace(low, high, bands + 2) / 2595) - 1)
    widths = (centres[2:] - centres[:-2])[:, None] / 2
    time = torch.arange(size) - (size - 1) / 2
    lengths = (2 * SAMPLE_RATE / widths).clamp(max=size)
    window = torch.where(time.abs() < lengths / 2, (math.pi * time / lengths).cos().square(), 0.0)
    window = window / window.sum(1, keepdim=True)
    turns = 2 * math.pi * centres[1:-1, None] * time / SAMPLE_RATE
    return torch.stack([window * turns.cos(), window * turns.sin()], dim=1).flatten(0, 1)


class Listener(nn.Module):
    """Symbols, energy and style from sound."""

    def __init__(self, config: HubertConfig = EARS, symbols: int = 178, style: int = 256) -> None:
        super().__init__()
        self.ears = Ears(config)
        self.symbols = nn.Linear(config.width, symbols)
        self.energy = nn.Linear(config.width, 2)
        self.style = nn.Linear(config.channels[0] + 2 * POOLED * config.width, style)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T) levelled → logits (B, N, symbols), energy (B, 2N), style (B, 256) in deviations; float32."""
        logits, energy, summary = self.summary(samples)
        return logits, energy, self.style(summary.to(self.style.weight.dtype)).float()

    def summary(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and energy as `forward` gives them, and what the style is read of, (B, F) float32."""
        return self.read(self.ears.bands(samples))

    def read(self, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`summary` of what `Ears.bands` gave, (B, bands, time)."""
        layers = self.ears.layers(bands)
        logits = self.symbols(layers[-1]).float()
        return logits, self.energy(layers[-1]).flatten(1).float(), self.pooled(bands, layers, logits)

    def pooled(self, bands: Tensor, layers: list[Tensor], logits: Tensor) -> Tensor:
        """Mean and deviation of bands and lower layers while a phoneme is heard, (B, F) float32.

        Each frame counts as much as the listener believes in a phoneme there.
        """
        silent = torch.tensor(sorted(NO_SOUND), device=logits.device)
        weights = 1 - logits.softmax(-1)[..., silent].sum(-1) + 1e-3  # (B, N)
        steps = weights.repeat_interleave(4, 1)
        heard = [moments(bands[..., 6 : 6 + steps.shape[1]].transpose(1, 2), steps)]
        heard += [moments(layer.float(), weights) for layer in layers[:POOLED]]
        return torch.cat(heard, dim=-1)


def moments(x: Tensor, weights: Tensor) -> Tensor:
    """Weighed mean and deviation over time: (B, N, C), (B, N) → (B, 2C)."""
    shares = (weights / weights.sum(1, keepdim=True))[..., None]
    mean = (x * shares).sum(1)
    variance = ((x - mean[:, None]).square() * shares).sum(1)
    return torch.cat([mean, (variance + 1e-4).sqrt()], dim=-1)


def levelled(samples: Tensor) -> Tensor:
    """Sound (..., T) at one level, however loud it was, and brightened; silence stays silence."""
    bright = samples - EMPHASIS * functional.pad(samples, (1, 0))[..., :-1]
    power = bright.unfold(-1, HOP, HOP).square().mean(-1)
    loud = power.quantile(LOUD, dim=-1, keepdim=True)
    return bright * torch.rsqrt(loud.clamp(min=1e-12))


# ------------------------------------------------------------------------------- what is said


@dataclass(frozen=True, eq=False)
class Heard:
    """What was heard in a clip: symbols `ids` (L,) int64, how many frames (40 Hz) each lasts, `frames` (L,).

    `confidence` (L,) is the mean, over the frames that each of them lasts, of the logarithm of its
    probability against that of the likeliest symbol, no less than `HOPELESS`; `energy` (2T,) the vocoder's
    curve of energy; `style` (256,) in deviations of the basis.
    """

    ids: Tensor
    frames: Tensor
    confidence: Tensor
    energy: Tensor
    style: Tensor

    @property
    def sure(self) -> float:
        """How sure the listener is of the phonemes, pauses and stress left out: between 0 and 1.

        The geometric mean over their frames of how probable they are against what is likeliest there. The
        plain mean of probabilities tells right words from wrong ones less well: right words are hardly
        anywhere out of the question, wrong ones often are.
        """
        sound = torch.tensor([symbol not in NO_SOUND for symbol in self.ids.tolist()])
        if not bool(sound.any()):
            return 0.0
        frames = self.frames[sound].float()
        return math.exp((self.confidence[sound] * frames).sum() / frames.sum())


@torch.no_grad()
def hear(reference: Waveform, listener: Listener, ids: Tensor | None = None) -> Heard:
    """What the first 20 s of a clip say: freely, or as the symbols `ids` (L,) that are known to be said.

    Raises `InputError` for silence, and where there are more symbols than the clip has frames.
    """
    samples = audio.resample(reference, SAMPLE_RATE).samples[: round(LONGEST * SAMPLE_RATE)]
    samples = samples[: len(samples) // HOP * HOP]
    if len(samples) < 4 * HOP or float(samples.abs().max()) < SILENCE:
        raise InputError("There is no sound in the clip: choose one where somebody speaks aloud.")
    placed = levelled(samples)[None].to(listener.symbols.weight.device)
    logits, energy, style = (found[0].cpu() for found in listener(placed))
    scores = logits.log_softmax(-1)
    if ids is None:
        path = likeliest(scores)
        ids, frames = path.unique_consecutive(return_counts=True)
    else:
        if len(ids) > len(scores):
            seconds = len(scores) / FRAME_RATE
            raise InputError(
                f"The transcript has {len(ids)} sounds, more than fit into {seconds:.1f} s of sound: "
                "write down only what the clip says."
            )
        frames = aligned(scores, ids)
    places = torch.arange(len(ids)).repeat_interleave(frames)
    said = scores[torch.arange(len(scores)), ids[places]] - scores.amax(1)
    said = said.clamp(min=HOPELESS)
    confidence = torch.zeros(len(ids)).index_add(0, places, said) / frames
    return Heard(ids, frames, confidence, energy, style)


def prompt(reference: Waveform, heard: Heard) -> dict[str, Tensor]:
    """The beginning of a clip as lively prosody goes on from it, cut where the symbols of `PROMPT` s end.

    "prompt_ids" (L,) with a 0 at either end, "prompt_frames" (L,) at 40 Hz; per 12.5 ms of their T frames
    "prompt_pitch" (2T,) in Hz, 0 where there is no voice, and "prompt_energy" (2T,) as the vocoder counts it.
    """
    kept = max(2, int((heard.frames.cumsum(0) <= PROMPT * FRAME_RATE).sum()))
    ids, frames = heard.ids[:kept].clone(), heard.frames[:kept]
    ids[-1] = 0
    steps = 2 * int(frames.sum())
    f0, voiced = pitch.track(audio.resample(reference, SAMPLE_RATE).samples[: steps * HOP // 2])
    middles = ((torch.arange(steps) + 0.5) * HOP / 2 / pitch.HOP).round().long().clamp(max=len(f0) - 1)
    return {
        "prompt_ids": ids,
        "prompt_frames": frames.clone(),
        "prompt_pitch": torch.where(voiced, f0, 0.0)[middles],
        "prompt_energy": heard.energy[:steps].clone(),
    }


def likeliest(scores: Tensor) -> Tensor:
    """The best path through log-probabilities (N, S) where every new symbol costs `CHANGE`: (N,) int64."""
    everywhere = torch.arange(scores.shape[1])
    total, backs = scores[0], []
    for score in scores[1:]:
        best, symbol = total.max(0)
        moves = best - CHANGE > total
        backs.append(torch.where(moves, symbol, everywhere))
        total = torch.where(moves, best - CHANGE, total) + score
    return _traced(int(total.argmax()), backs)


def aligned(scores: Tensor, ids: Tensor) -> Tensor:
    """How many frames, one at least, each of the symbols `ids` (L,) lasts on the best path in their order.

    Dynamic programming (Viterbi, 1967) over log-probabilities (N, S), N ≥ L: from one frame to the next the
    path stays, or moves on by one symbol.
    """
    if not 0 < len(ids) <= len(scores):
        raise ValueError(f"{len(ids)} symbols cannot last a frame or more each in {len(scores)} frames.")
    emitted, places = scores[:, ids], torch.arange(len(ids))
    total = torch.full((len(ids),), -torch.inf)
    total[0] = emitted[0, 0]
    backs = []
    for score in emitted[1:]:
        before = functional.pad(total[:-1], (1, 0), value=-torch.inf)
        moves = before > total
        backs.append(places - moves.long())
        total = torch.where(moves, before, total) + score
    return torch.bincount(_traced(len(ids) - 1, backs), minlength=len(ids))


def _traced(last: int, backs: list[Tensor]) -> Tensor:
    """The path that ends at `last`, from where each place was come to: (N,) int64."""
    path = [last]
    for back in reversed(backs):
        path.append(int(back[path[-1]]))
    return torch.tensor(path[::-1])


def load(path: Path = FILE) -> Listener:
    """The listener that comes with Myna, in float32, for inference."""
    with torch.device("meta"):
        listener = Listener()
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    listener.load_state_dict(tensors, assign=True)
    return listener.eval().requires_grad_(False)
