"""What `listen` and `render` run in all versions: codebook, style, the encoder of what is said, flow, sound.

Written from the published architectures (VITS, arXiv 2106.06103; Meta-StyleSpeech, arXiv 2106.03153;
HiFi-GAN, arXiv 2010.05646) and from the weights' names and shapes. Layout is (B, C, T); the rows of a batch
have one length. Frames are 20 ms, tokens 40 ms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engines.gpt_sovits.config import DecoderConfig, EncoderConfig
from pipelines.engines.gpt_sovits.wavenet import WaveNet
from pipelines.layers.hifigan import Hifigan, Watch, unwatched
from pipelines.layers.transformer import attend

# ------------------------------------------------------------------------------------- listen


class Listener(nn.Module):
    """What is kept of a reference: its tokens and its style.

    Always float32: the tokens are an arg-min over near neighbours, and the mean over time overflows in half.
    """

    float32_only = True

    def __init__(self, config: EncoderConfig):
        super().__init__()
        c = config
        self.content = nn.Conv1d(c.content, c.content, c.content_stride, c.content_stride)
        self.codebook = nn.Parameter(torch.randn(c.codes, c.content))
        self.style = StyleEncoder(c)
        self.verified = nn.Linear(c.verifier, c.style) if c.verifier else None
        self.slope = nn.PReLU(c.style) if c.verifier else None

    def tokens(self, content: Tensor) -> Tensor:
        """HuBERT features (B, N, content) to the nearest codes, (B, N // content_stride) int64."""
        x = self.content(content.float().transpose(1, 2)).transpose(1, 2)  # (B, C, T) -> (B, T, C)
        distances = self.codebook.square().sum(-1) - 2 * x @ self.codebook.T
        return distances.argmin(-1)

    def styled(self, spectrogram: Tensor, verification: Tensor | None = None) -> Tensor:
        """The style of a voice, (B, style, 1), from magnitudes (B, bins or more, N) at 32 kHz.

        v2Pro and v2ProPlus also want a speaker-verification embedding (B, verifier). Raises `ValueError`
        where one is missing, or given to another version.
        """
        if (verification is None) != (self.verified is None):
            words = "is missing" if verification is None else "means nothing to this version"
            raise ValueError(f"A speaker-verification embedding {words}.")
        style = self.style(spectrogram.float())
        if verification is not None:
            style = self.slope(style + self.verified(verification.float()))
        return style[..., None]


class StyleEncoder(nn.Module):
    """A spectrogram (B, bins or more, N) to one vector (B, style)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        c, hidden = config, config.style_hidden
        self.bins, self.heads = c.bins, c.style_heads
        self.spectral = nn.ModuleList([nn.Linear(c.bins, hidden), nn.Linear(hidden, hidden)])
        self.temporal = nn.ModuleList(
            nn.Conv1d(hidden, 2 * hidden, c.style_kernel, padding=c.style_kernel // 2) for _ in range(2)
        )
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, c.style)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram[:, : self.bins].transpose(1, 2)  # (B, C, N) -> (B, N, C)
        for linear in self.spectral:
            x = functional.mish(linear(x))
        x = x.transpose(1, 2)
        for conv in self.temporal:
            x = x + functional.glu(conv(x), dim=1)
        return self.last(self._attended(x.transpose(1, 2))).mean(1)

    def _attended(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # It was trained with scores divided by the root of all channels, not of one head's.
        made = attend(query / math.sqrt(self.heads), key, value)
        return x + self.out(made.transpose(1, 2).flatten(2))


# ------------------------------------------------------------------------------------- render


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T), in float32."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2).float()  # (B, C, T) -> (B, T, C)
        y = functional.layer_norm(y, y.shape[-1:], self.gain.float(), self.bias.float(), 1e-5)
        return y.transpose(1, 2).to(x.dtype)


class RelativeAttention(nn.Module):
    """Self-attention that knows how far away a frame is, up to `window` either way (arXiv 1803.02155)."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.out = nn.Conv1d(width, width, 1)
        self.key_places = nn.Parameter(torch.randn(2 * window + 1, width // heads))
        self.value_places = nn.Parameter(torch.randn(2 * window + 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, C, T)."""
        query, key, value = self.qkv(x).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        query = query / math.sqrt(query.shape[-1])  # each (B, heads, T, D)
        places, near = self._places(x.shape[-1], x.device)
        scores = query @ key.transpose(-1, -2)
        # Each frame's scores of the places around it, put where those places are.
        around = (query @ self.key_places.T).masked_fill(~near, 0)
        scores = scores.scatter_add(-1, places.expand_as(around), around)
        weights = scores.float().softmax(-1).to(x.dtype)
        around = weights.gather(-1, places.expand_as(around)).masked_fill(~near, 0)
        made = weights @ value + around @ self.value_places
        return self.out(made.transpose(-1, -2).flatten(1, 2))

    def _places(self, frames: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """For each frame the 2 · window + 1 around it, (frames, 2 · window + 1), and which of them exist."""
        places = torch.arange(-self.window, self.window + 1, device=device)
        places = torch.arange(frames, device=device)[:, None] + places
        return places.clamp(0, frames - 1), (places >= 0) & (places < frames)


class EncoderBlock(nn.Module):
    """Relative attention and two convolutions, each summed with its input and then normed."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        c, around = config, config.kernel // 2
        self.attention = RelativeAttention(c.width, c.heads, c.window)
        self.attention_norm = ChannelNorm(c.width)
        self.up = nn.Conv1d(c.width, c.hidden, c.kernel, padding=around)
        self.down = nn.Conv1d(c.hidden, c.width, c.kernel, padding=around)
        self.feed_norm = ChannelNorm(c.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) to (B, C, T)."""
        x = self.attention_norm(x + self.attention(x))
        return self.feed_norm(x + self.down(functional.relu(self.up(x))))


class Joiner(nn.Module):
    """Tokens look at phones; the style is added to every frame."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        c = config
        self.heads = c.joint_heads
        self.tokens, self.phones = nn.Conv1d(c.width, c.joint, 1), nn.Conv1d(c.width, c.joint, 1)
        self.query = nn.Conv1d(c.joint, c.joint, 1)
        self.key_value = nn.Conv1d(c.joint, 2 * c.joint, 1)
        self.out = nn.Conv1d(c.joint, c.joint, 1)
        self.last = nn.Conv1d(c.joint, c.width, 1)

    def forward(self, tokens: Tensor, phones: Tensor, style: Tensor) -> Tensor:
        """(B, width, T), (B, width, L) and (B, joint, 1) to (B, width, T)."""
        x, y = self.tokens(tokens), self.phones(phones)
        query = self.query(x).unflatten(1, (self.heads, -1)).transpose(-1, -2)
        key, value = self.key_value(y).unflatten(1, (2, self.heads, -1)).transpose(-1, -2).unbind(1)
        made = self.out(attend(query, key, value).transpose(-1, -2).flatten(1, 2))
        return self.last(made + x + style)


class ContentEncoder(nn.Module):
    """Tokens, phones and style to one hidden state per frame."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        c = config
        self.stride = c.content_stride
        self.codebook = nn.Embedding(c.codes, c.content)
        self.content = nn.Conv1d(c.content, c.width, 1)
        self.symbols = nn.Embedding(c.symbols, c.width)
        self.token_blocks, self.phone_blocks, self.joint_blocks = (
            nn.ModuleList(EncoderBlock(c) for _ in range(count)) for count in c.layers
        )
        self.joiner = Joiner(c)
        self.narrow = nn.Linear(c.style, c.joint) if c.style != c.joint else None

    def frames(self, tokens: int, speed: float = 1.0) -> int:
        """How many frames so many tokens give."""
        frames = self.stride * tokens
        return frames if speed == 1 else int(frames / speed) + 1

    def forward(self, tokens: Tensor, phones: Tensor, style: Tensor, speed: float = 1.0) -> Tensor:
        """(B, T) and (B, L) int64, (B, style, 1) to (B, width, `frames(T, speed)`)."""
        content = self.codebook(tokens).transpose(1, 2).repeat_interleave(self.stride, dim=-1)
        x, y = self.content(content), self.symbols(phones).transpose(1, 2)
        for block in self.token_blocks:
            x = block(x)
        for block in self.phone_blocks:
            y = block(y)
        style = style.to(x.dtype)
        if self.narrow is not None:
            style = self.narrow(style[..., 0])[..., None]
        x = self.joiner(x, y, style)
        for block in self.joint_blocks:
            x = block(x)
        if speed != 1:
            x = functional.interpolate(x, self.frames(tokens.shape[1], speed), mode="linear")
        return x


class Coupling(nn.Module):
    """One step of the flow, undone: half the channels say what to take from the other half."""

    def __init__(self, channels: int, config: DecoderConfig):
        super().__init__()
        half = channels // 2
        self.first = nn.Conv1d(half, channels, 1)
        self.wavenet = WaveNet(config.flow, channels, config.encoder.style)
        self.last = nn.Conv1d(channels, half, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, T) to (B, C, T)."""
        known, other = x.chunk(2, dim=1)
        return torch.cat([known, other - self.last(self.wavenet(self.first(known), style))], dim=1)


class Decoder(nn.Module):
    """Tokens, phones and style to sound at 32 kHz: v1, v2, v2Pro, v2ProPlus."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        width = config.encoder.width
        self.encoder = ContentEncoder(config.encoder)
        self.prior = nn.Conv1d(width, 2 * width, 1)
        self.couplings = nn.ModuleList(Coupling(width, config) for _ in range(config.flows))
        self.generator = Hifigan(config.generator)

    @property
    def reach(self) -> int:
        """Frames on either side that one frame of the flow depends on."""
        flow = self.config.flow
        return self.config.flows * flow.layers * (flow.kernel // 2)

    def forward(
        self,
        tokens: Tensor,
        phones: Tensor,
        style: Tensor,
        noise: Tensor | None = None,
        speed: float = 1.0,
        watch: Watch = unwatched,
    ) -> Tensor:
        """(B, T) and (B, L) int64, (B, style, 1) to (B, 1, frames · hop) float32 in [-1, 1].

        `noise` (B, width, `encoder.frames(T, speed)`) is what chance adds, normal and already scaled (0.5 is
        usual); none where None.
        """
        z = self.latent(tokens, phones, style, noise, speed)
        watch()
        return self.generator(z, style, watch)

    def latent(
        self, tokens: Tensor, phones: Tensor, style: Tensor, noise: Tensor | None = None, speed: float = 1.0
    ) -> Tensor:
        """What the generator makes sound of, (B, width, frames): a draw of the prior, led by the flow."""
        return self.flowed(self.drawn(tokens, phones, style, noise, speed), style)

    def drawn(
        self, tokens: Tensor, phones: Tensor, style: Tensor, noise: Tensor | None = None, speed: float = 1.0
    ) -> Tensor:
        """A draw of the prior, (B, width, frames)."""
        mean, log_scale = self.prior(self.encoder(tokens, phones, style, speed)).chunk(2, dim=1)
        return mean if noise is None else mean + noise.to(mean) * log_scale.exp()

    def flowed(self, z: Tensor, style: Tensor) -> Tensor:
        """From the prior's space to the generator's, (B, width, frames)."""
        style = style.to(self.prior.weight.dtype)
        z = z.to(style.dtype)
        for coupling in reversed(self.couplings):
            z = coupling(z.flip(1), style)
        return z
