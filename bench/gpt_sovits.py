"""How quick GPT-SoVITS's speaking model is here, as ratios measured side by side in one run.

    python -m bench.gpt_sovits [--steps 40] [--rounds 7] [--out FILE.json]

The official sizes with random weights, one thread. Every round says a few tokens in each way, in turn. The
naive way is the one that GPT-SoVITS's own program goes: float32, keys and values joined anew in every step.
The floor is what reading the weights takes: the linear layers alone, each once a step, in float32. Seconds
are those of the process, which another program on the machine disturbs less than those of the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.device import Placement
from pipelines.engines.gpt_sovits.config import SpeakerConfig
from pipelines.engines.gpt_sovits.speaker import Speaker, positions

PHONES, PROMPT = 60, 125  # a sentence and a reference of about 5 s each
BATCH = 4
MODES = ("float32", "bfloat16", "int8")


class Naive:
    """The same model, its cache a tensor a layer that grows by joining."""

    def __init__(self, speaker: Speaker, phones: Tensor, prompt: Tensor):
        self._speaker = speaker
        speech = speaker.begin([phones], [None], prompt, 1)
        self._kept = [
            (cache.keys[:, :, : cache.length].clone(), cache.values[:, :, : cache.length].clone())
            for cache in speech.caches
        ]
        self.logits, self._position = speech.logits, speech.position

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> None:
        """One token more."""
        speaker = self._speaker
        x = speaker.tokens(tokens[:, None])
        x = x + speaker.token_scale * positions(self._position, 1, x)
        for i, block in enumerate(speaker.blocks):
            query, key, value = (
                part.unflatten(-1, (block.heads, -1)).transpose(1, 2)
                for part in block.qkv(x).chunk(3, dim=-1)
            )
            old_keys, old_values = self._kept[i]
            self._kept[i] = keys, values = torch.cat([old_keys, key], 2), torch.cat([old_values, value], 2)
            made = functional.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(2)
            x = block.attention_norm(x + block.out(made))
            x = block.feed_norm(x + block.down(functional.relu(block.up(x))))
        self.logits = speaker.head(x[:, -1]).float()
        self._position += 1


def ways(config: SpeakerConfig, most: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """What is measured: by name, how many tokens one call says, and the call."""
    torch.manual_seed(0)
    whole = Speaker(config)
    phones, prompt = torch.arange(PHONES) % config.symbols, torch.arange(PROMPT) % config.tokens
    token = torch.zeros(1, dtype=torch.int64)
    found: dict[str, tuple[int, Callable[[], object]]] = {}
    for mode in MODES:
        speaker = Speaker(config)
        speaker.load_state_dict(whole.state_dict())
        speaker = Placement(say=mode).put(speaker, "say")
        for rows in (1, BATCH):
            speech = speaker.begin([phones] * rows, [None] * rows, prompt, most)
            said = token.expand(rows)
            name = mode if rows == 1 else f"{mode}, {rows} sentences"
            found[name] = rows, lambda s=speaker, h=speech, t=said: s.step(h, t)
        if mode == "float32":
            naive = Naive(speaker, phones, prompt)
            found["naive"] = 1, lambda n=naive: n.step(token)
            found["floor"] = 1, lambda s=speaker: _linears(s)
    return found


@torch.inference_mode()
def _linears(speaker: Speaker) -> None:
    x = speaker.head.weight.new_ones(1, 1, speaker.config.width)
    wide = speaker.head.weight.new_ones(1, 1, speaker.config.hidden)
    for block in speaker.blocks:
        block.qkv(x), block.out(x), block.up(x), block.down(wide)
    speaker.head(x)


def measure(config: SpeakerConfig, steps: int, rounds: int) -> dict[str, dict[str, float]]:
    """For each way: tokens a second, and as a multiple of the naive way's, the median over the rounds."""
    found = ways(config, (steps + 1) * rounds + 1)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, (tokens, call) in found.items():
            call()
            started = time.process_time()
            for _ in range(steps):
                call()
            seconds[name].append((time.process_time() - started) / steps / tokens)
    naive = seconds["naive"]
    return {
        name: {
            "tokens a second": 1 / statistics.median(taken),
            "times naive": statistics.median(n / t for n, t in zip(naive, taken, strict=True)),
        }
        for name, taken in seconds.items()
    }


def main(arguments: list[str] | None = None, config: SpeakerConfig | None = None) -> int:
    """Print the table; gives the exit code. `config` other than the official sizes is for tests."""
    flags = argparse.ArgumentParser(prog="python -m bench.gpt_sovits", description=main.__doc__)
    flags.add_argument("--steps", type=int, default=40, help="tokens of one way in a round")
    flags.add_argument("--rounds", type=int, default=7)
    flags.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = flags.parse_args(arguments)
    torch.set_num_threads(1)
    figures = measure(config or SpeakerConfig(), options.steps, options.rounds)
    for name, told in figures.items():
        print(f"{name:<24} {told['tokens a second']:8.1f} tokens/s {told['times naive']:6.2f} × naive")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
