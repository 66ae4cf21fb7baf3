"""How a token is drawn, in the order that GPT-SoVITS was tuned with, and when speech ends.

The order matters: the repetition penalty first, and what it leaves is also what the stop rule sees; top-p
on the logits before the temperature; then the temperature, then top-k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.engines.gpt_sovits.speaker import Speaker
from pipelines.layers import sampling
from pipelines.types import Run, Unsound

LEAST = 11  # tokens before speech may end, 0.44 s
MOST = 1500  # tokens, 60 s


@dataclass(frozen=True)
class Draw:
    """The knobs of one draw. `top_k` 0 is no limit."""

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35


@dataclass(frozen=True, eq=False)
class Said:
    """The tokens of one row, (N,) int64, and whether the model ended it itself."""

    tokens: Tensor
    ended: bool


def probabilities(logits: Tensor, draw: Draw) -> Tensor:
    """What tokens are drawn with, (B, V) float32, of penalised logits (B, V)."""
    nucleus = sampling.top_p(logits, draw.top_p, crossing=False)
    return sampling.top_k(sampling.tempered(nucleus, draw.temperature), draw.top_k).softmax(-1)


def drawn(probabilities: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(B, V) to (B,) int64: where p / e is largest, e drawn from Exp(1), each row with its own generator."""
    width = probabilities.shape[-1]
    waits = [torch.empty(width).exponential_(1, generator=generator) for generator in generators]
    return (probabilities / torch.stack(waits).to(probabilities.device)).argmax(-1)


def say(
    speaker: Speaker,
    phones: Sequence[Tensor],
    features: Sequence[Tensor | None],
    prompt: Tensor | None,
    generators: Sequence[torch.Generator],
    draw: Draw = Draw(),  # noqa: B008 - frozen
    most: int = MOST,
    run: Run = Run(),  # noqa: B008 - frozen
) -> list[Said]:
    """The tokens of every row; a row is drawn with its own generator and equals itself said alone.

    Takes what `Speaker.begin` takes. A row ends where the likeliest or the drawn token is the end, never
    before `LEAST` tokens, or after `most`. Raises `Cancelled`, and `Unsound` for logits that are not finite.
    """
    speech = speaker.begin(phones, features, prompt, most)
    prompt = torch.zeros(0, dtype=torch.int64) if prompt is None else prompt
    device = speech.logits.device
    history = prompt.to(device).expand(len(phones), -1)
    rows = list(range(len(phones)))  # those still being said, by their place in the batch
    said: dict[int, Said] = {}
    end = speaker.config.tokens
    for step in range(most):
        run.check()
        run.progress("say", step, most)
        if not bool(speech.logits.isfinite().all()):
            raise Unsound("The speaking model gave numbers that are not finite.")
        open_logits = speech.logits[:, :end] if step < LEAST else speech.logits
        logits = sampling.penalise(open_logits, history, draw.repetition_penalty)
        tokens = drawn(probabilities(logits, draw), [generators[row] for row in rows])
        ended = (logits.argmax(-1) == end) | (tokens == end)
        if bool(ended.any()):
            for i in ended.nonzero()[:, 0].tolist():
                said[rows[i]] = Said(history[i, len(prompt) :].cpu(), ended=True)
            if bool(ended.all()):
                break
            going = (~ended).nonzero()[:, 0]
            speech.keep(going)
            history, tokens = history[going], tokens[going]
            rows = [rows[i] for i in going.tolist()]
        history = torch.cat([history, tokens[:, None]], dim=1)
        if step + 1 < most:
            speaker.step(speech, tokens)
    else:
        said |= {row: Said(history[i, len(prompt) :].cpu(), ended=False) for i, row in enumerate(rows)}
    return [said[row] for row in range(len(phones))]
