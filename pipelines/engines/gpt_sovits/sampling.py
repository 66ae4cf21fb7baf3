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
    waits = [_waits(probabilities.shape[-1], generator) for generator in generators]
    return (probabilities / torch.stack(waits).to(probabilities.device)).argmax(-1)


def _waits(count: int, generator: torch.Generator) -> Tensor:
    return torch.empty(count).exponential_(1, generator=generator)


class Saying:
    """Sentences being said: each `step` draws one more token of every row that goes on.

    A row is drawn with its own generator and equals itself said alone. It ends where the likeliest or the
    drawn token is the end, never before `LEAST` tokens, or after its `most`.
    """

    def __init__(
        self,
        speaker: Speaker,
        phones: Sequence[Tensor],
        features: Sequence[Tensor | None],
        prompt: Tensor | None,
        generators: Sequence[torch.Generator],
        draw: Draw,
        most: Sequence[int],
        begun: Tensor | None = None,
    ):
        """Takes what `Speaker.begin` takes. `begun` (N,) are tokens that are said already, in every row."""
        told = torch.zeros(0, dtype=torch.int64) if prompt is None else prompt
        begun = torch.zeros(0, dtype=torch.int64) if begun is None else begun
        heard = torch.cat([told, begun])
        self._speaker, self._draw = speaker, draw
        self._generators, self._most = generators, most
        self._speech = speaker.begin(phones, features, heard if len(heard) else None, max(most) - len(begun))
        self._start = len(told)
        self._history = heard.to(self._speech.logits.device).expand(len(phones), -1)
        self._rows = list(range(len(phones)))  # those that go on, by their place in the batch
        self._said: dict[int, Said] = {}
        for generator in generators:
            for step in range(len(begun)):
                _waits(self._width(step), generator)

    @property
    def count(self) -> int:
        """How many tokens each row that goes on has."""
        return self._history.shape[1] - self._start

    @property
    def done(self) -> bool:
        """Whether every row has come to its end."""
        return not self._rows

    def so_far(self, row: int) -> Said:
        """What a row has said until now."""
        if row in self._said:
            return self._said[row]
        return Said(self._history[self._rows.index(row), self._start :].cpu(), ended=False)

    def step(self) -> None:
        """Draw the next tokens. Raises `Unsound` for logits that are not finite."""
        logits = self._speech.logits
        if not bool(logits.isfinite().all()):
            raise Unsound("The speaking model gave numbers that are not finite.")
        logits = sampling.penalise(
            logits[:, : self._width(self.count)], self._history, self._draw.repetition_penalty
        )
        generators = [self._generators[row] for row in self._rows]
        tokens = drawn(probabilities(logits, self._draw), generators)
        end = self._speaker.config.tokens
        ended = (logits.argmax(-1) == end) | (tokens == end)
        if bool(ended.any()):
            tokens = tokens[self._keep(ended, True)]
        self._history = torch.cat([self._history, tokens[:, None]], dim=1)
        full = [self._most[row] <= self.count for row in self._rows]
        if any(full):
            tokens = tokens[self._keep(torch.tensor(full, device=tokens.device), False)]
        if self._rows:
            self._speaker.step(self._speech, tokens)

    def _width(self, step: int) -> int:
        """Of how many symbols the one at `step` is drawn: the end is the last of them."""
        return self._speaker.config.tokens + (step >= LEAST)

    def _keep(self, done: Tensor, ended: bool) -> Tensor:
        """Put the rows that are done aside, and go on with the others, whose places are given."""
        for i in done.nonzero()[:, 0].tolist():
            self._said[self._rows[i]] = Said(self._history[i, self._start :].cpu(), ended)
        going = (~done).nonzero()[:, 0]
        self._rows = [self._rows[i] for i in going.tolist()]
        self._history = self._history[going]
        if self._rows:
            self._speech.keep(going)
        return going


def say(
    speaker: Speaker,
    phones: Sequence[Tensor],
    features: Sequence[Tensor | None],
    prompt: Tensor | None,
    generators: Sequence[torch.Generator],
    draw: Draw = Draw(),  # noqa: B008 - frozen
    most: Sequence[int] | int = MOST,
    run: Run = Run(),  # noqa: B008 - frozen
) -> list[Said]:
    """All that `Saying` says, row by row; `most` is of each row, or of all.

    Raises `Cancelled`, and `Unsound` for logits that are not finite.
    """
    limits = [most] * len(phones) if isinstance(most, int) else list(most)
    saying = Saying(speaker, phones, features, prompt, generators, draw, limits)
    while not saying.done:
        run.check()
        run.progress("say", saying.count, max(limits))
        saying.step()
    return [saying.so_far(row) for row in range(len(phones))]
