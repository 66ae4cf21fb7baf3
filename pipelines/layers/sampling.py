"""From logits to a drawn symbol, in steps that each engine puts in the order it was trained with.

Every step takes logits (B, V) and gives logits (B, V) in float32, -inf where a symbol may not be drawn;
`draw` draws from them. Nothing is changed in place, and chance comes from the caller's generator alone. The
usual order is that of `choose`: temperature, top-k, top-p, draw.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLDEST = 1e-5  # of a temperature, so that 0 means: the likeliest


def penalise(logits: Tensor, previous: Tensor, penalty: float) -> Tensor:
    """Make what was said less likely: of symbols in `previous` (B, S) int64, logits below zero are multiplied
    by `penalty`, others divided by it (Keskar et al., 2019, arXiv 1909.05858). 1 changes nothing."""
    logits = logits.float()
    if penalty == 1 or previous.shape[-1] == 0:
        return logits
    said = logits.gather(-1, previous)
    return logits.scatter(-1, previous, torch.where(said < 0, said * penalty, said / penalty))


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Divided by the temperature: below 1 the likely becomes likelier; at 0 nothing else is left."""
    return logits.float() / max(temperature, COLDEST)


def top_k(logits: Tensor, count: int) -> Tensor:
    """Only the `count` likeliest, and what is as likely as the last of them. 0: all."""
    logits = logits.float()
    if not 0 < count < logits.shape[-1]:
        return logits
    least = logits.topk(count, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def top_p(logits: Tensor, mass: float, crossing: bool = True) -> Tensor:
    """Only the likeliest, as many as hold `mass` of the probability (nucleus, arXiv 1904.09751); never none.

    The one with which the sum reaches `mass` is among them; without `crossing` it is the first left out,
    unless it is the likeliest of all. 1: all.
    """
    logits = logits.float()
    if mass >= 1:
        return logits
    ordered, places = logits.sort(dim=-1, descending=True, stable=True)
    chances = ordered.softmax(-1)
    sums = chances.cumsum(-1)
    beyond = sums - chances >= mass if crossing else sums > mass
    beyond[..., 0] = False
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, places, beyond), -torch.inf)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One symbol a row, (B,) int64, by the probabilities that the logits stand for.

    The likeliest after each probability is divided by an exponential number: as exact as `multinomial`,
    and always one draw of B · V numbers, on the CPU, whatever the device.
    """
    chances = logits.float().softmax(-1)
    waits = torch.empty(chances.shape).exponential_(1, generator=generator)
    return (chances / waits.to(chances.device)).argmax(-1)


def choose(
    logits: Tensor, generator: torch.Generator, temperature: float = 1.0, count: int = 0, mass: float = 1.0
) -> Tensor:
    """One symbol a row, (B,) int64, after temperature, top-k and top-p, in this order."""
    return draw(top_p(top_k(tempered(logits, temperature), count), mass), generator)


def quantile(
    generator: torch.Generator, temperature: float = 1.0, count: int = 0, mass: float = 1.0
) -> float:
    """Where to draw from a distribution over ordered things, such as durations: between 0 and 1.

    Uniform at temperature 1, so that what lies at the quantile is a fair draw. A normal number is stretched
    by the temperature: 0 gives 0.5, the median, and more than 1 the ends. `mass` keeps to so much around the
    median, and a `count` of 1 to the median itself.
    """
    drawn = torch.randn((), generator=generator) * (0.0 if count == 1 else temperature)
    return 0.5 + mass * (float(torch.special.ndtr(drawn)) - 0.5)
