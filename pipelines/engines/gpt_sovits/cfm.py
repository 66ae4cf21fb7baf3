"""v3 and v4: features to a mel spectrogram by flow matching, in the voice of the mel that is shown in front.

Flow matching after Lipman et al. (2022, arXiv 2210.02747) with a transformer after F5-TTS (arXiv 2410.06885),
which is also told the size of the step (shortcut models, arXiv 2410.12557). Spectrograms and features are
(B, C, N), the transformer's insides (B, N, C). The state that is integrated, norms and guidance are float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engines.gpt_sovits.config import EstimatorConfig, MatcherConfig
from pipelines.engines.gpt_sovits.model import ContentEncoder
from pipelines.engines.gpt_sovits.wavenet import WaveNet
from pipelines.layers.hifigan import Watch, unwatched
from pipelines.layers.transformer import Norm, attend

FLOOR, CEILING = -12.0, 2.0  # of the logarithm of a mel band, which flow matching sees as -1..1
PLACES = 4096  # positions that the features' table tells apart
BASE = 10_000.0  # of the sines of times, places and rotations
LONGEST_PROMPT = {"v3": 468, "v4": 500}  # frames of the reference, 5 s: the last ones are shown
WINDOW = {"v3": 934, "v4": 1000}  # frames of prompt and new ones together, 10 s
STEPS = {"v3": 32, "v4": 8}  # the official defaults
TOKEN_FRAMES = {"v3": 3.875, "v4": 4.0}  # mel frames of a token, as the official mask counts them


def normalised(mel: Tensor) -> Tensor:
    """Logarithms of a mel spectrogram, moved from -12..2 to -1..1."""
    return (mel - FLOOR) / (CEILING - FLOOR) * 2 - 1


def denormalised(mel: Tensor) -> Tensor:
    """Back from -1..1 to the logarithms that a vocoder takes."""
    return (mel + 1) / 2 * (CEILING - FLOOR) + FLOOR


# ---------------------------------------------------------------------------------- features


class Features(nn.Module):
    """The encoder's hidden frames (one each 20 ms) to what steers flow matching, one a mel frame."""

    def __init__(self, config: MatcherConfig):
        super().__init__()
        width = config.features
        self.version, self.stretch = config.version, config.stretch
        self.bridge = nn.Conv1d(config.encoder.width, width, 1)
        self.pre = nn.Conv1d(width, width, 1)
        self.enc = WaveNet(config.wavenet, width, config.encoder.style)
        self.proj = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Tensor, style: Tensor, tokens: int, speed: float = 1.0) -> Tensor:
        """(B, encoder.width, n) and (B, style, 1) to (B, features, int(n · stretch)), in the weights' dtype.

        `tokens` were encoded at `speed`. Where the official length mask ends before the frames do, the
        frames behind it are zero, as there.
        """
        x = functional.leaky_relu(self.bridge(hidden.to(self.bridge.weight.dtype)))
        x = functional.interpolate(x, scale_factor=self.stretch, mode="nearest")
        frames = x.shape[-1]
        real = min(frames, int(tokens * TOKEN_FRAMES[self.version] / speed) + (speed != 1))
        x = self.proj(self.enc(self.pre(x[..., :real]), style))
        return functional.pad(x, (0, frames - real))


# --------------------------------------------------------------------------------- estimator


class Moment(nn.Module):
    """A number from 0 to 1 (a time, or the size of a step) to a vector."""

    def __init__(self, config: EstimatorConfig):
        super().__init__()
        self.waves = config.time_waves
        self.up = nn.Linear(config.time_waves, config.width)
        self.down = nn.Linear(config.width, config.width)

    def forward(self, moment: Tensor) -> Tensor:
        """(B,) float32 to (B, width)."""
        half = self.waves // 2
        rates = torch.exp(torch.arange(half, device=moment.device) * (-math.log(BASE) / (half - 1)))
        angles = 1000 * moment[:, None] * rates
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1).to(self.up.weight.dtype)
        return self.down(functional.silu(self.up(waves)))


class FeatureBlock(nn.Module):
    """A ConvNeXt V2 block (arXiv 2301.00808): its response norm looks at all frames at once."""

    def __init__(self, config: EstimatorConfig):
        super().__init__()
        width, hidden = config.features, config.feature_hidden
        self.conv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = Norm(width, 1e-6)
        self.up = nn.Linear(width, hidden)
        self.gain = nn.Parameter(torch.zeros(1, 1, hidden))
        self.bias = nn.Parameter(torch.zeros(1, 1, hidden))
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, features) to the same."""
        local = self.conv(x.transpose(1, 2)).transpose(1, 2)  # (B, N, C) -> (B, C, N) -> (B, N, C)
        y = functional.gelu(self.up(self.norm(local))).float()
        energy = y.norm(dim=1, keepdim=True)
        response = y * (energy / (energy.mean(-1, keepdim=True) + 1e-6))
        y = self.gain.float() * response + self.bias.float() + y
        return x + self.down(y.to(x.dtype))


class Neighbours(nn.Module):
    """What stands around a frame, by two grouped convolutions: the transformer's sense of place."""

    def __init__(self, config: EstimatorConfig):
        super().__init__()
        kernel, groups = config.position_kernel, config.position_groups

        def conv() -> nn.Conv1d:
            return nn.Conv1d(config.width, config.width, kernel, padding=kernel // 2, groups=groups)

        self.first, self.second = conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same."""
        y = functional.mish(self.first(x.transpose(1, 2)))  # (B, N, C) -> (B, C, N)
        return functional.mish(self.second(y)).transpose(1, 2)


class EstimatorBlock(nn.Module):
    """Attention and a feed-forward, shifted, scaled and gated by the moment (DiT, arXiv 2212.09748)."""

    def __init__(self, config: EstimatorConfig):
        super().__init__()
        width, inner = config.width, config.heads * config.head_width
        self.heads = config.heads
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(inner, width)
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, width)

    def forward(self, x: Tensor, moment: Tensor, rotation: Tensor) -> Tensor:
        """(B, N, width), (B, width) and the `rotation` of the places, to (B, N, width)."""
        parts = self.modulation(functional.silu(moment))[:, None].chunk(6, dim=-1)
        shift, scale, gate, feed_shift, feed_scale, feed_gate = parts
        x = x + gate * self.attention(modulated(x, shift, scale), rotation)
        hidden = functional.gelu(self.up(modulated(x, feed_shift, feed_scale)), approximate="tanh")
        return x + feed_gate * self.down(hidden)

    def attention(self, x: Tensor, rotation: Tensor) -> Tensor:
        """(B, N, width) to the same. The first head alone knows places: the official files are so trained."""
        heads = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, N, 3, heads, D) -> 3 × (B, heads, N, D)
        query, key = (torch.cat([rotated(t[:, :1], rotation), t[:, 1:]], dim=1) for t in (query, key))
        return self.out(attend(query, key, value).transpose(1, 2).flatten(2))


class Estimator(nn.Module):
    """Where flow matching goes next."""

    def __init__(self, config: EstimatorConfig):
        super().__init__()
        self.config = config
        self.time, self.step = Moment(config), Moment(config)
        self.feature_blocks = nn.ModuleList(FeatureBlock(config) for _ in range(config.feature_layers))
        self.enter = nn.Linear(2 * config.mels + config.features, config.width)
        self.neighbours = Neighbours(config)
        self.blocks = nn.ModuleList(EstimatorBlock(config) for _ in range(config.layers))
        self.modulation = nn.Linear(config.width, 2 * config.width)
        self.leave = nn.Linear(config.width, config.mels)

    def read(self, features: Tensor) -> Tensor:
        """(B, features, N) to the (B, N, features) that `forward` takes: once for all steps."""
        x = features.transpose(1, 2).to(self.enter.weight.dtype)
        x = (x.float() + places(x.shape[1], x.shape[2], x.device)).to(x.dtype)
        for block in self.feature_blocks:
            x = block(x)
        return x

    def forward(
        self, x: Tensor, prompt: Tensor, read: Tensor, time: Tensor, step: Tensor, watch: Watch = unwatched
    ) -> Tensor:
        """The velocity, (B, mels, N) float32, at `x` (B, mels, N), at `time` (B,) for a step of `step` (B,).

        `prompt` (B, mels, N) holds the mel that is shown, zero where there is none; `read` is what the
        method of this name made of the features.
        """
        moment = self.time(time) + self.step(step)
        dtype = self.enter.weight.dtype
        mels = torch.cat([x, prompt], dim=1).transpose(1, 2).to(dtype)  # (B, 2 · mels, N) -> (B, N, ...)
        h = self.enter(torch.cat([mels, read], dim=-1))
        h = self.neighbours(h) + h
        rotation = rotations(h.shape[1], self.config.head_width, h.device)
        for block in self.blocks:
            watch()
            h = block(h, moment, rotation)
        scale, shift = self.modulation(functional.silu(moment))[:, None].chunk(2, dim=-1)
        return self.leave(modulated(h, shift, scale)).float().transpose(1, 2)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """The layer norm of `x`, scaled and shifted: in float32, given back in the dtype of `x`."""
    normed = functional.layer_norm(x.float(), x.shape[-1:], eps=1e-6)
    return torch.addcmul(shift.float(), normed, 1 + scale.float()).to(x.dtype)


def places(count: int, width: int, device: torch.device) -> Tensor:
    """Cosines, then sines, of where a frame stands: (count, width) float32."""
    angles = torch.arange(count, device=device).clamp(max=PLACES - 1)[:, None] * frequencies(width, device)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotations(count: int, width: int, device: torch.device) -> Tensor:
    """Cosines and sines that turn pairs by place (RoFormer, arXiv 2104.09864), (2, count, width / 2)."""
    angles = torch.arange(count, device=device)[:, None] * frequencies(width, device)
    return torch.stack([angles.cos(), angles.sin()])


def frequencies(width: int, device: torch.device | None = None) -> Tensor:
    """Radians a frame, falling with each pair of channels: (width / 2,) float32."""
    return BASE ** (-torch.arange(0, width, 2, device=device) / width)


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """Channels in neighbouring pairs, turned: (..., N, D) by `rotations`, in the dtype of `x`."""
    cosine, sine = rotation
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)


# --------------------------------------------------------------------------------- the flow


@dataclass(frozen=True)
class Prompt:
    """What is shown in front: a mel in -1..1, (1, mels, P), and the features that belong to it, (1, F, P)."""

    mel: Tensor
    features: Tensor

    @property
    def frames(self) -> int:
        """P."""
        return self.mel.shape[-1]


def prompt(mel: Tensor, features: Tensor, longest: int) -> Prompt:
    """What is shown of a reference: both cut to the shorter, and of these the last `longest` frames."""
    frames = min(mel.shape[-1], features.shape[-1])
    start = max(frames - longest, 0)
    return Prompt(mel[..., start:frames], features[..., start:frames])


@torch.inference_mode()
def flow(
    estimator: Estimator,
    features: Tensor,
    shown: Tensor,
    noise: Tensor,
    steps: int,
    guidance: float = 0.0,
    watch: Watch = unwatched,
) -> Tensor:
    """From noise (B, mels, N) to a mel in -1..1 of that shape, float32, in `steps` steps of Euler's method.

    `features` (B, F, N) and the mel `shown` (B, mels, P) belong to the same frames from the first on; what is
    given back is zero where the prompt stood. With `guidance` each velocity is driven away, that many times,
    from what it would be with neither features nor prompt (the official programs use 0).
    """
    frames, told = noise.shape[-1], shown.shape[-1]
    x = functional.pad(noise.float()[..., told:], (told, 0))
    front = functional.pad(shown.to(x), (0, frames - told))
    read = estimator.read(features)
    blind = estimator.read(torch.zeros_like(features)) if guidance else None
    size = torch.full((len(x),), 1 / steps, device=x.device)
    for step in range(steps):
        time = torch.full_like(size, step / steps)
        velocity = estimator(x, front, read, time, size, watch)
        if blind is not None:
            astray = estimator(x, torch.zeros_like(front), blind, time, size, watch)
            velocity = velocity + guidance * (velocity - astray)
        x = x + velocity / steps
        x[..., :told] = 0
    return x


def paint(
    estimator: Estimator,
    features: Tensor,
    start: Prompt,
    window: int,
    steps: int,
    generator: torch.Generator,
    guidance: float = 0.0,
    watch: Watch = unwatched,
) -> Iterator[Tensor]:
    """Mels in -1..1 for features (1, F, N), as they are ready: joined, they are (1, mels, N) float32.

    Each piece is at most so long that it and its prompt fill the `window`; what was made last is the next
    prompt. The noise comes from `generator` (on the CPU) alone, in the order of the official program.
    """
    piece = window - start.frames
    if piece <= 0:
        raise ValueError(f"A prompt of {start.frames} frames leaves no room in a window of {window}.")
    shown = start
    for first in range(0, features.shape[-1], piece):
        new = features[..., first : first + piece]
        told = torch.cat([shown.features.to(new), new], dim=-1)
        size = (1, estimator.config.mels, told.shape[-1])
        noise = torch.randn(size, generator=generator).to(new.device)
        mel = flow(estimator, told, shown.mel, noise, steps, guidance, watch)[..., shown.frames :]
        yield mel
        last = max(new.shape[-1] - start.frames, 0)
        shown = Prompt(mel[..., last:], new[..., last:])


# -------------------------------------------------------------------------------- all together


class Matcher(nn.Module):
    """Tokens, phones and style to a log mel spectrogram that goes on from a reference's: v3 and v4."""

    def __init__(self, config: MatcherConfig):
        super().__init__()
        self.config = config
        self.encoder = ContentEncoder(config.encoder)
        self.features = Features(config)
        self.estimator = Estimator(config.estimator)

    def read(self, tokens: Tensor, phones: Tensor, style: Tensor, speed: float = 1.0) -> Tensor:
        """What steers the flow, (1, F, N): (1, T) and (1, L) int64, (1, style, 1)."""
        hidden = self.encoder(tokens, phones, style, speed)
        return self.features(hidden, style, tokens.shape[1], speed)

    @torch.inference_mode()
    def prompt(self, tokens: Tensor, phones: Tensor, style: Tensor, mel: Tensor) -> Prompt:
        """What is shown of a reference: of its tokens, its transcript's phones, its log mel (1, mels, P)."""
        features = self.read(tokens, phones, style)
        return prompt(normalised(mel.to(features.device)), features, LONGEST_PROMPT[self.config.version])

    @torch.inference_mode()
    def paint(
        self,
        tokens: Tensor,
        phones: Tensor,
        style: Tensor,
        start: Prompt,
        generator: torch.Generator,
        steps: int | None = None,
        speed: float = 1.0,
        guidance: float = 0.0,
        watch: Watch = unwatched,
    ) -> Iterator[Tensor]:
        """Log mels as they are ready, each (1, mels, up to the window less the prompt) float32.

        `steps` are those of `STEPS` where None. The rest as in `paint` and `read`.
        """
        version = self.config.version
        features = self.read(tokens, phones, style, speed)
        watch()
        steps = steps or STEPS[version]
        for mel in paint(self.estimator, features, start, WINDOW[version], steps, generator, guidance, watch):
            yield denormalised(mel)
