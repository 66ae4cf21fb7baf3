"""What `read` runs: a text as phones, and what RoBERTa makes of its Chinese characters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipelines.engines.gpt_sovits import text as texts
from pipelines.engines.gpt_sovits.text import Stretch
from pipelines.engines.gpt_sovits.text.symbols import Version
from pipelines.layers.bert import Bert
from pipelines.types import InputError, Phrase

OPEN, CLOSE, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"


@dataclass(frozen=True, eq=False)
class Context:
    """RoBERTa and the numbers of its characters."""

    bert: Bert
    vocabulary: Mapping[str, int]

    @torch.inference_mode()
    def features(self, stretch: Stretch) -> Tensor:
        """(L, width) float32: what each character means here, once for each of its phones."""
        characters = torch.cat([self._read(part) for part in self._parts(stretch.text)])
        return characters.repeat_interleave(torch.tensor(stretch.word2ph), dim=0)

    def _parts(self, text: str) -> Iterator[str]:
        most = self.bert.config.places - 2
        for start in range(0, len(text), most):
            yield text[start : start + most]

    def _read(self, text: str) -> Tensor:
        numbers = [self.vocabulary.get(character, self.vocabulary[UNKNOWN]) for character in text.lower()]
        ids = torch.tensor([[self.vocabulary[OPEN], *numbers, self.vocabulary[CLOSE]]])
        device = self.bert.symbols.weight.device
        return self.bert(ids.to(device))[0, 1:-1].float().cpu()


@dataclass(eq=False)
class Reader:
    """Text and language to a phrase. RoBERTa is loaded when the first Chinese text is read."""

    version: Version
    load: Callable[[], Context] | None = None  # None: it is not installed
    _context: Context | None = field(default=None, init=False)

    def __call__(self, text: str, language: str) -> Phrase:
        """Raises `InputError` as `text.read` does, and for Chinese where RoBERTa is not installed."""
        spoken = texts.read(text, language, self.version)
        return Phrase(text, spoken.phones, self._features(spoken.stretches), spoken.notes)

    def _features(self, stretches: Sequence[Stretch]) -> Tensor | None:
        """(L, width) float32, zero where a stretch is not Chinese; None where none is."""
        if not any(stretch.language == "zh" for stretch in stretches):
            return None
        context = self._ready()
        width = context.bert.config.width
        parts = [
            context.features(stretch) if stretch.language == "zh" else torch.zeros(len(stretch.phones), width)
            for stretch in stretches
        ]
        return torch.cat(parts)

    def _ready(self) -> Context:
        if self._context is None:
            if self.load is None:
                raise InputError(
                    "Chinese is read with RoBERTa, which is not installed: install GPT-SoVITS's Chinese text "
                    "on the Models screen, or with python -m pipelines.install gpt_sovits --version chinese."
                )
            self._context = self.load()
        return self._context


def vocabulary(folder: Path) -> dict[str, int]:
    """The numbers of a tokenizer's words. Raises `InputError` where the folder has no tokenizer."""
    told, lines = folder / "tokenizer.json", folder / "vocab.txt"
    if told.is_file():
        return json.loads(told.read_text(encoding="utf-8"))["model"]["vocab"]
    if lines.is_file():
        return {word: i for i, word in enumerate(lines.read_text(encoding="utf-8").splitlines())}
    raise InputError(
        f"{folder.name} holds no tokenizer.json and no vocab.txt: put one beside RoBERTa's weights, and "
        "convert them again."
    )
