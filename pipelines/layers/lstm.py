"""An LSTM that gives gradients on every device."""

from __future__ import annotations

from typing import Self

from torch import nn


class Lstm(nn.LSTM):
    """As torch's, in training mode for ever: without dropout, which it takes none of, that changes nothing.

    On an NVIDIA card cuDNN refuses the gradients of an LSTM in eval mode ("cudnn RNN backward can only be
    called in training mode"), and a voice is refined along gradients through networks that are in it.
    """

    def __init__(self, inputs: int, hidden: int, layers: int = 1, bidirectional: bool = False):
        super().__init__(inputs, hidden, layers, batch_first=True, bidirectional=bidirectional)

    def train(self, mode: bool = True) -> Self:
        """Stays in training mode."""
        return super().train(True)
