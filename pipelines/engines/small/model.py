"""The networks of the embedded engine: Kokoro-82M (StyleTTS 2 with an iSTFTNet decoder), by stage.

`Speaker` says: phoneme ids and the prosody half of a style become durations, pitch and energy.
`Renderer` renders: the same ids, those curves and the timbre half become a waveform at 24 kHz.

Written from the published architecture (StyleTTS 2, arXiv 2306.07691; iSTFTNet, arXiv 2203.02395;
ALBERT, arXiv 1909.11942) and from the weights' names and shapes. Modules are named as the official
checkpoint names them, so that its keys need no table. Everything is differentiable in the style.
Layout is (B, C, T) unless a comment says otherwise; rates are those of `config.Config`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.engines.small.config import Config
from pipelines.layers.lstm import Lstm
from pipelines.layers.transformer import attend

SLOPE = 0.2  # of the leaky ReLUs, but for the generator's (iSTFTNet keeps HiFi-GAN's)
DILATIONS = (1, 3, 5)  # of a residual block's three rounds
VOICED = 10.0  # Hz of pitch above which a frame has a voice in it
SINE, BREATH = 0.1, 0.003  # amplitude of each harmonic, and of the noise beside it
MARGIN = 10  # steps of the curves (0.125 s) that the generator reaches around a piece

Watch = Callable[[], None]  # called between the steps of a long computation; may raise to end it
See = Callable[[Tensor], tuple[Tensor, Tensor]]  # mean and variance to normalise a layer's input by


def unwatched() -> None:
    """Nobody watches."""


# ------------------------------------------------------------------------------- shared blocks


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32, whatever flows through."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2).float()  # (B, C, T) -> (B, T, C)
        y = F.layer_norm(y, y.shape[-1:], self.gamma.float(), self.beta.float(), 1e-5)
        return y.transpose(1, 2).to(x.dtype)


class StyleLayerNorm(nn.Module):
    """Layer norm over the last axis of (B, T, C) whose gain and bias come from the style (B, S)."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, bias = self.fc(style).float()[:, None].chunk(2, dim=-1)
        normed = F.layer_norm(x.float(), x.shape[-1:], eps=1e-5)
        return ((1 + gain) * normed + bias).to(x.dtype)


class AdaIN(nn.Module):
    """Instance norm over time whose gain and bias come from the style (B, S)."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gain, bias = self.affine(style, *moments(x))
        return torch.addcmul(bias, x.float(), gain).to(x.dtype)

    def affine(self, style: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Norm, gain and bias as one multiplication and one addition, each (B, C, 1) float32."""
        gain, bias = self.fc(style).float()[:, :, None].chunk(2, dim=1)
        gain = (1 + gain) * torch.rsqrt(variance + 1e-5)
        return gain, bias - gain * mean


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over time of (B, C, T), as (B, C, 1) float32."""
    x = x.float()
    mean = x.mean(dim=-1, keepdim=True)
    # torch.var_mean is twenty times slower on a CPU: it does not vectorise Welford's recurrence.
    return mean, (x - mean).square_().mean(dim=-1, keepdim=True)


class Moments:
    """Statistics of one pass through a network, and the means to pass again with the same.

    `watch` is called at every layer.
    """

    def __init__(self, watch: Watch = unwatched) -> None:
        self._watch = watch
        self._kept: list[tuple[Tensor, Tensor]] = []

    def record(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The moments of x itself, remembered."""
        self._watch()
        self._kept.append(moments(x))
        return self._kept[-1]

    def replay(self) -> See:
        """For one more pass: what was remembered, layer by layer."""
        kept = iter(self._kept)

        def see(x: Tensor) -> tuple[Tensor, Tensor]:
            self._watch()
            return next(kept)

        return see


class StyleBlock(nn.Module):
    """Two convolutions with AdaIN around a shortcut; with `up`, the length doubles."""

    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.norm1 = AdaIN(style, inputs)
        self.norm2 = AdaIN(style, outputs)
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv1x1 = nn.Conv1d(inputs, outputs, 1, bias=False)
        if up:
            self.pool = nn.ConvTranspose1d(inputs, inputs, 3, 2, 1, output_padding=1, groups=inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(x, style), SLOPE)
        if self.up:
            y = self.pool(y)
            x = x.repeat_interleave(2, dim=-1)
        y = self.conv1(y)
        y = self.conv2(F.leaky_relu(self.norm2(y, style), SLOPE))
        if hasattr(self, "conv1x1"):
            x = self.conv1x1(x)
        return (x + y) * math.sqrt(0.5)


def bidirectional(inputs: int, outputs: int) -> Lstm:
    """An LSTM both ways over (B, T, C), half of the outputs each."""
    return Lstm(inputs, outputs // 2, bidirectional=True)


# --------------------------------------------------------------------------------------- say


class Albert(nn.Module):
    """Phoneme ids (B, L) in their context, (B, L, hidden): one transformer layer, applied again and again."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads, self.depth = c.albert_heads, c.albert_layers
        self.word = nn.Embedding(c.symbols, c.albert_embedding)
        self.position = nn.Embedding(c.max_tokens, c.albert_embedding)
        self.kind = nn.Embedding(2, c.albert_embedding)
        self.norm = LayerNorm(c.albert_embedding, eps=1e-12)
        self.widen = nn.Linear(c.albert_embedding, c.albert_hidden)
        self.query = nn.Linear(c.albert_hidden, c.albert_hidden)
        self.key = nn.Linear(c.albert_hidden, c.albert_hidden)
        self.value = nn.Linear(c.albert_hidden, c.albert_hidden)
        self.dense = nn.Linear(c.albert_hidden, c.albert_hidden)
        self.attention_norm = LayerNorm(c.albert_hidden, eps=1e-12)
        self.ffn = nn.Linear(c.albert_hidden, c.albert_ffn)
        self.ffn_output = nn.Linear(c.albert_ffn, c.albert_hidden)
        self.full_norm = LayerNorm(c.albert_hidden, eps=1e-12)

    def forward(self, ids: Tensor, watch: Watch) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.widen(self.norm(self.word(ids) + self.position(positions) + self.kind.weight[0]))
        for _ in range(self.depth):
            watch()
            x = self.attention_norm(x + self.dense(self.attention(x)))
            x = self.full_norm(x + self.ffn_output(F.gelu(self.ffn(x), approximate="tanh")))
        return x

    def attention(self, x: Tensor) -> Tensor:
        parts = (self.query(x), self.key(x), self.value(x))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return attend(query, key, value).transpose(1, 2).flatten(2)


class DurationEncoder(nn.Module):
    """Phoneme features with the style mixed in at every layer: (B, L, C), (B, S) -> (B, L, C + S)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(c.duration_layers):
            layers += [bidirectional(c.hidden + c.style, c.hidden), StyleLayerNorm(c.style, c.hidden)]
        self.lstms = nn.ModuleList(layers)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        styles = style[:, None].expand(-1, x.shape[1], -1)
        x = torch.cat([x, styles], dim=-1)
        for lstm, norm in zip(self.lstms[::2], self.lstms[1::2], strict=True):
            x = torch.cat([norm(lstm(x)[0], style), styles], dim=-1)
        return x


class Predictor(nn.Module):
    """Durations from phoneme features; pitch and energy from the features stretched by them."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.text_encoder = DurationEncoder(c)
        self.lstm = bidirectional(c.hidden + c.style, c.hidden)
        self.duration_proj = nn.Linear(c.hidden, c.max_duration)
        self.shared = bidirectional(c.hidden + c.style, c.hidden)
        self.F0, self.N = self._curve(c), self._curve(c)
        self.F0_proj = nn.Conv1d(c.hidden // 2, 1, 1)
        self.N_proj = nn.Conv1d(c.hidden // 2, 1, 1)

    @staticmethod
    def _curve(c: Config) -> nn.ModuleList:
        wide, narrow = c.hidden, c.hidden // 2
        return nn.ModuleList(
            [
                StyleBlock(wide, wide, c.style),
                StyleBlock(wide, narrow, c.style, up=True),
                StyleBlock(narrow, narrow, c.style),
            ]
        )

    def curves(self, stretched: Tensor, style: Tensor, watch: Watch) -> tuple[Tensor, Tensor]:
        x = self.shared(stretched)[0].transpose(1, 2)  # (B, T, C) -> (B, C, T)
        pitch = energy = x
        for block in self.F0:
            watch()
            pitch = block(pitch, style)
        for block in self.N:
            watch()
            energy = block(energy, style)
        return self.F0_proj(pitch)[:, 0].float(), self.N_proj(energy)[:, 0].float()


class Speaker(nn.Module):
    """What `say` runs. Styles are the prosody half, (B, style).

    In steps, since whoever searches for a style repeats only the later ones: `phones` knows no style,
    `features` are read by `durations` and by `curves`.
    """

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.bert = Albert(c)
        self.bert_encoder = nn.Linear(c.albert_hidden, c.hidden)
        self.predictor = Predictor(c)

    def phones(self, ids: Tensor, watch: Watch = unwatched) -> Tensor:
        """Phonemes in their context, whoever says them: ids (B, L) -> (B, L, hidden)."""
        return self.bert_encoder(self.bert(ids, watch))

    def features(self, phones: Tensor, style: Tensor) -> Tensor:
        """Phonemes in this style: (B, L, hidden) -> (B, L, hidden + style)."""
        return self.predictor.text_encoder(phones, style.to(phones.dtype))

    def durations(self, features: Tensor) -> Tensor:
        """How many frames each phoneme lasts at speed 1, (B, L) float32, not yet whole."""
        x = self.predictor.lstm(features)[0]
        return torch.sigmoid(self.predictor.duration_proj(x).float()).sum(dim=-1)

    def curves(
        self, features: Tensor, frames: Tensor, style: Tensor, watch: Watch = unwatched
    ) -> tuple[Tensor, Tensor]:
        """Pitch in Hz (about 0 where there is none) and energy, each (B, 2T) float32.

        The phonemes last `frames` (L,) int64, T in sum.
        """
        stretched = features.repeat_interleave(frames, dim=1)
        return self.predictor.curves(stretched, style.to(features.dtype), watch)


# ------------------------------------------------------------------------------------- render


class TextEncoder(nn.Module):
    """What the decoder is told of the phonemes: ids (B, L) -> (B, C, L)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(c.symbols, c.hidden)
        kernel = c.text_kernel
        self.cnn = nn.ModuleList(
            nn.ModuleList([nn.Conv1d(c.hidden, c.hidden, kernel, padding=kernel // 2), ChannelNorm(c.hidden)])
            for _ in range(c.text_layers)
        )
        self.lstm = bidirectional(c.hidden, c.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids).transpose(1, 2)  # (B, L, C) -> (B, C, L)
        for conv, norm in self.cnn:
            x = F.leaky_relu(norm(conv(x)), SLOPE)
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


class SnakeBlock(nn.Module):
    """iSTFTNet's residual block: three rounds of AdaIN, Snake, dilated convolution, twice each."""

    def __init__(self, channels: int, kernel: int, style: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(self._conv(channels, kernel, d) for d in DILATIONS)
        self.convs2 = nn.ModuleList(self._conv(channels, kernel, 1) for _ in DILATIONS)
        self.adain1 = nn.ModuleList(AdaIN(style, channels) for _ in DILATIONS)
        self.adain2 = nn.ModuleList(AdaIN(style, channels) for _ in DILATIONS)
        self.alpha1 = nn.ParameterList(torch.ones(1, channels, 1) for _ in DILATIONS)
        self.alpha2 = nn.ParameterList(torch.ones(1, channels, 1) for _ in DILATIONS)

    @staticmethod
    def _conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
        return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) // 2 * dilation)

    def forward(self, x: Tensor, style: Tensor, see: See) -> Tensor:
        for i in range(len(DILATIONS)):
            y = self.convs1[i](snake(x, *self.adain1[i].affine(style, *see(x)), self.alpha1[i]))
            x = x + self.convs2[i](snake(y, *self.adain2[i].affine(style, *see(y)), self.alpha2[i]))
        return x


def snake(x: Tensor, gain: Tensor, bias: Tensor, alpha: Tensor) -> Tensor:
    """Snake (arXiv 2006.08195) of y = gain · x + bias: y + sin²(αy)/α, as y + c - c · cos(2αy), c = 1/(2α).

    Written so that norm, gain and Snake read `x` twice and never more: at 4.8 kHz and 128 channels this,
    not the convolutions' arithmetic, is what a CPU waits for.
    """
    half = 0.5 / alpha.float()
    wave = torch.addcmul(2 * alpha.float() * bias, x.float(), 2 * alpha.float() * gain).cos_()
    return torch.addcmul(bias + half, x.float(), gain).addcmul_(wave, -half).to(x.dtype)


class Excitation(nn.Module):
    """Harmonics of the pitch, mixed to one source signal at the sound's own rate (NSF, arXiv 1904.12088)."""

    float32_only = True  # phases of hundreds of thousands of radians

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.rate, self.hop = c.sample_rate, c.curve_hop
        self.l_linear = nn.Linear(c.harmonics, 1)

    @torch.no_grad()
    def forward(self, pitch: Tensor, generator: torch.Generator | None) -> Tensor:
        """Pitch (B, N) in Hz -> (B, N · hop); noise drawn from `generator` on the CPU, none without one."""
        pitch = pitch.float()
        harmonics = torch.arange(1, self.l_linear.in_features + 1)
        # Whole turns are dropped before they are summed, and the sum is kept in float64: after ten
        # seconds a float32 phase is off by a hundredth of a radian. Apple's GPU has no float64.
        turns = (pitch.cpu().double()[:, None] * harmonics[:, None] / self.rate % 1).cumsum(-1) * self.hop
        turns = (F.interpolate(turns, scale_factor=self.hop, mode="linear") % 1).float().to(pitch.device)
        wave = torch.sin(2 * math.pi * turns).transpose(1, 2)  # -> (B, samples, harmonics)
        voiced = (pitch > VOICED).float().repeat_interleave(self.hop, dim=-1)[..., None]
        wave = self.l_linear(SINE * wave * voiced)
        if generator is not None:
            # A noise of its own on each harmonic, mixed by the weights, is one noise of this size.
            size = self.l_linear.weight.norm() * (BREATH * voiced + SINE / 3 * (1 - voiced))
            wave = wave + size * torch.randn(wave.shape, generator=generator).to(wave.device)
        return torch.tanh(wave)[..., 0]


class Generator(nn.Module):
    """Decoder features to samples: two upsamplings, each joined by the source, then an inverse STFT."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.n_fft, self.hop = c.stft_size, c.stft_hop
        self.m_source = Excitation(c)
        self.ups, self.noise_convs, self.noise_res, self.resblocks = (nn.ModuleList() for _ in range(4))
        channels = c.generator_channels
        for i, rate in enumerate(c.upsample_rates):
            after = math.prod(c.upsample_rates[i + 1 :])
            channels //= 2
            self.ups.append(nn.ConvTranspose1d(2 * channels, channels, 2 * rate, rate, rate // 2))
            kernel, stride = (2 * after, after) if after > 1 else (1, 1)
            self.noise_convs.append(
                nn.Conv1d(self.n_fft + 2, channels, kernel, stride, (stride + 1) // 2 * (after > 1))
            )
            self.noise_res.append(SnakeBlock(channels, c.noise_kernels[i], c.style))
            self.resblocks.extend(SnakeBlock(channels, kernel, c.style) for kernel in c.resblock_kernels)
        self.conv_post = nn.Conv1d(channels, self.n_fft + 2, 7, padding=3)

    def source(self, pitch: Tensor, generator: torch.Generator | None) -> Tensor:
        """Magnitude and phase of the source: pitch (B, N) -> (B, n_fft + 2, N · curve_hop / hop + 1)."""
        wave = self.m_source(pitch, generator)
        window = torch.hann_window(self.n_fft, device=wave.device)
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=window, pad_mode="reflect", return_complex=True
        )
        return torch.cat([spectrum.abs(), spectrum.angle()], dim=1)

    def forward(self, x: Tensor, source: Tensor, style: Tensor, see: See, watch: Watch) -> Tensor:
        """Features (B, C, N), their source and the style to samples (B, N · curve_hop) float32."""
        last, kinds = len(self.ups) - 1, len(self.resblocks) // len(self.ups)
        for i, (up, conv, block) in enumerate(zip(self.ups, self.noise_convs, self.noise_res, strict=True)):
            joined = block(conv(source), style, see)
            watch()
            x = up(F.leaky_relu(x, 0.1))
            x = joined + (F.pad(x, (1, 0), mode="reflect") if i == last else x)
            y = 0
            for resblock in self.resblocks[kinds * i : kinds * (i + 1)]:
                y = y + resblock(x, style, see)
                watch()
            x = y / kinds
        x = self.conv_post(F.leaky_relu(x, 0.01)).float()
        bins = self.n_fft // 2 + 1
        magnitude, phase = x[:, :bins].exp(), x[:, bins:].sin()
        window = torch.hann_window(self.n_fft, device=x.device)
        return torch.istft(torch.polar(magnitude, phase), self.n_fft, self.hop, window=window)


class Decoder(nn.Module):
    """Stretched text features with pitch and energy to the generator's features, at the curves' rate."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        wide, extra = c.decoder_channels, 2
        self.encode = StyleBlock(c.hidden + extra, wide, c.style)
        joined = wide + extra + c.text_residual
        self.decode = nn.ModuleList(StyleBlock(joined, wide, c.style) for _ in range(3))
        self.decode.append(StyleBlock(joined, c.generator_channels, c.style, up=True))
        self.F0_conv = nn.Conv1d(1, 1, 3, 2, 1)
        self.N_conv = nn.Conv1d(1, 1, 3, 2, 1)
        self.asr_res = nn.ModuleList([nn.Conv1d(c.hidden, c.text_residual, 1)])
        self.generator = Generator(c)

    def front(self, text: Tensor, pitch: Tensor, energy: Tensor, style: Tensor, watch: Watch) -> Tensor:
        """(B, hidden, T), curves (B, 2T) -> (B, generator channels, 2T)."""
        curves = [
            conv(curve[:, None].to(text.dtype))
            for conv, curve in ((self.F0_conv, pitch), (self.N_conv, energy))
        ]
        x = self.encode(torch.cat([text, *curves], dim=1), style)
        residual = self.asr_res[0](text)
        for block in self.decode:
            watch()
            x = block(torch.cat([x, residual, *curves], dim=1), style)
        return x


class Renderer(nn.Module):
    """What `render` runs. Styles are the timbre half, (B, style)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.curve_hop = c.curve_hop
        self.spectrum_hop = c.curve_hop // c.stft_hop
        self.text_encoder = TextEncoder(c)
        self.decoder = Decoder(c)

    def front(
        self,
        ids: Tensor,
        frames: Tensor,
        pitch: Tensor,
        energy: Tensor,
        style: Tensor,
        watch: Watch = unwatched,
    ) -> Tensor:
        """Everything at the low rates, over the whole sentence: (B, generator channels, 2T)."""
        text = self.text_encoder(ids).repeat_interleave(frames, dim=2)
        return self.decoder.front(text, pitch, energy, style.to(text.dtype), watch)

    def source(self, pitch: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The excitation's spectrum for the whole sentence, so that its phase runs through all pieces.

        Pitch (B, 2T) in Hz -> (B, n_fft + 2, M) float32; no gradient flows through it.
        """
        return self.decoder.generator.source(pitch, generator)

    def samples(
        self,
        x: Tensor,
        source: Tensor,
        style: Tensor,
        see: See = moments,
        watch: Watch = unwatched,
        start: int = 0,
        stop: int | None = None,
    ) -> Tensor:
        """Samples of the curve frames `start` to `stop` of `front`'s features, (B, frames · curve_hop).

        With the moments fixed by `see` the generator reaches `MARGIN` frames far, so that pieces
        computed with that margin equal the whole; with moments of each piece its own, they do not.
        """
        stop = x.shape[2] if stop is None else stop
        a, b = max(0, start - MARGIN), min(x.shape[2], stop + MARGIN)
        source = source[:, :, a * self.spectrum_hop : b * self.spectrum_hop + 1].to(x.dtype)
        wave = self.decoder.generator(x[:, :, a:b], source, style.to(x.dtype), see, watch)
        return wave[:, (start - a) * self.curve_hop : (stop - a) * self.curve_hop]
