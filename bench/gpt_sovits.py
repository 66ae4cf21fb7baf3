"""How quick GPT-SoVITS's speaking model is here, as ratios measured side by side in one run.

    python -m bench.gpt_sovits [--steps 125] [--rounds 5] [--threads 1] [--device cpu] [--out FILE.json]

The official sizes with random weights. Every round says a sentence anew in each way, in turn: 125 tokens
are 5 s. The naive way is the one that GPT-SoVITS's own program goes: float32, plain linear layers, keys and
values joined anew in every step. Beside them, in the same rounds, memory is read in each of `READS`, as many
bytes at once as float32's weights have; the quickest of them is what memory allows, and what float32 reaches
of it is told, of the weights alone and with the keys and values that a step reads besides.

On a CPU with one thread seconds are those of the process, which another program on the machine disturbs less
than those of the clock; else they are the clock's, and want a quiet machine.
"""

from __future__ import annotations

import argparse
import copy
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
MODES = {"cpu": ("float32", "bfloat16", "int8"), "cuda": ("float32", "bfloat16", "float16")}
READS: dict[str, Callable[[Tensor], Tensor]] = {  # of (rows, width) float32
    "a sum": torch.sum,
    "a dot product": lambda matrix: torch.dot(matrix.flatten(), matrix.flatten()),
    "a matrix by a vector": lambda matrix: torch.mv(matrix, matrix[0]),
}
Step = Callable[[], object]
Way = tuple[int, Callable[[], Step]]  # how many tokens a step says, and what begins a sentence of such steps


class Naive:
    """The same model, its cache a tensor a layer that grows by joining. `speaker` is in no placement."""

    def __init__(self, speaker: Speaker, phones: Tensor, prompt: Tensor):
        self._speaker = speaker
        speech = speaker.begin([phones], [None], prompt, 1)
        self._kept = [
            (cache.keys[:, :, : cache.length].clone(), cache.values[:, :, : cache.length].clone())
            for cache in speech.caches
        ]
        self.logits, self._position = speech.logits, len(prompt)

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


def ways(whole: Speaker, most: int, device: str) -> dict[str, Way]:
    """What says sentences of up to `most` tokens on a device, by name."""
    c = whole.config
    phones, prompt = torch.arange(PHONES) % c.symbols, torch.arange(PROMPT) % c.tokens
    token = torch.zeros(1, dtype=torch.int64, device=device)
    plain = copy.deepcopy(whole).to(device)

    def naive() -> Step:
        said = Naive(plain, phones, prompt)
        return lambda: said.step(token)

    def begun(speaker: Speaker, rows: int) -> Step:
        speech = speaker.begin([phones] * rows, [None] * rows, prompt, most)
        return lambda: speaker.step(speech, token.expand(rows))

    found: dict[str, Way] = {"naive": (1, naive)}
    for mode in MODES[torch.device(device).type]:
        speaker = Placement(device, say=mode).put(copy.deepcopy(whole), "say")
        for rows in (1, BATCH):
            name = mode if rows == 1 else f"{mode}, {rows} sentences"
            found[name] = rows, lambda s=speaker, r=rows: begun(s, r)
    return found


def weights(speaker: Speaker) -> int:
    """How many weights of linear layers one step reads."""
    blocks = (layer for block in speaker.blocks for layer in (block.qkv, block.out, block.up, block.down))
    return sum(layer.weight.numel() for layer in (*blocks, speaker.head))


def timed(found: dict[str, Way], steps: int, rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds a token in each way, one figure a round; in each round every way says one sentence."""
    cpu = torch.device(device).type == "cpu"
    clock = time.process_time if cpu and torch.get_num_threads() == 1 else time.perf_counter
    wait = (lambda: None) if cpu else (lambda: torch.cuda.synchronize(device))
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, (tokens, begin) in found.items():
            step = begin()
            step()
            wait()
            started = clock()
            for _ in range(steps):
                step()
            wait()
            seconds[name].append((clock() - started) / steps / tokens)
    return seconds


def measure(
    config: SpeakerConfig, steps: int, rounds: int, device: str = "cpu"
) -> dict[str, dict[str, float | str]]:
    """For each way: tokens a second, and as a multiple of the naive way's, the median over the rounds.

    "memory" is what reading allows: see `allowed`.
    """
    torch.manual_seed(0)
    whole = Speaker(config).eval().requires_grad_(False)
    found = ways(whole, steps + 1, device)
    matrix = torch.randn(weights(whole) // config.width, config.width, device=device)
    reads: dict[str, Way] = {
        name: (1, lambda read=read: lambda: torch.inference_mode()(read)(matrix))
        for name, read in READS.items()
    }
    seconds = timed(found | reads, steps, rounds, device)
    naive = seconds["naive"]
    figures: dict[str, dict[str, float | str]] = {
        name: {
            "tokens a second": 1 / statistics.median(seconds[name]),
            "times naive": statistics.median(n / t for n, t in zip(naive, seconds[name], strict=True)),
        }
        for name in found
    }
    heard = 4 * 2 * config.width * config.layers * (PHONES + PROMPT + 1 + steps / 2)
    figures["memory"] = allowed({name: seconds[name] for name in reads}, seconds["float32"], matrix, heard)
    return figures


def allowed(
    reads: dict[str, list[float]], float32: list[float], matrix: Tensor, heard: float
) -> dict[str, float | str]:
    """What memory gives, by the quickest of `reads` of `matrix`, and how much of that float32 reaches.

    `heard` is how many bytes of keys and values a step reads besides, on average.
    """
    name = min(reads, key=lambda name: statistics.median(reads[name]))
    read = statistics.median(reads[name])
    share = statistics.median(r / t for r, t in zip(reads[name], float32, strict=True))
    return {
        "read as": name,
        "MB of weights": matrix.nbytes / 1e6,
        "MB of keys and values": heard / 1e6,
        "GB a second": matrix.nbytes / read / 1e9,
        "tokens a second": 1 / read,
        "share": share,
        "share with keys and values": share * (1 + heard / matrix.nbytes),
    } | {
        f"GB a second by {way}": matrix.nbytes / statistics.median(taken) / 1e9
        for way, taken in reads.items()
    }


def told(figures: dict[str, dict[str, float | str]]) -> str:
    """The figures as a table, and a sentence on memory."""
    lines = [
        f"{name:<24} {row['tokens a second']:8.1f} tokens/s {row['times naive']:6.2f} × naive"
        for name, row in figures.items()
        if name != "memory"
    ]
    memory = figures["memory"]
    reads = ", ".join(f"{memory[f'GB a second by {way}']:.1f} by {way}" for way in READS)
    sentence = (
        f"memory: {reads} (GB/s). So the {memory['MB of weights']:.0f} MB of float32 weights of a step allow "
        f"{memory['tokens a second']:.1f} tokens/s; float32 reaches {memory['share']:.0%} of it, and "
        f"{memory['share with keys and values']:.0%} of what the {memory['MB of keys and values']:.0f} MB of "
        "keys and values besides leave."
    )
    return "\n".join([*lines, sentence])


def main(arguments: list[str] | None = None, config: SpeakerConfig | None = None) -> int:
    """Print the table; gives the exit code. `config` other than the official sizes is for tests."""
    flags = argparse.ArgumentParser(prog="python -m bench.gpt_sovits", description=main.__doc__)
    flags.add_argument("--steps", type=int, default=125, help="tokens of one way in a round")
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--device", default="cpu", help="cpu, or an NVIDIA card: cuda:0")
    flags.add_argument("--out", type=Path, help="write the figures as JSON too")
    options = flags.parse_args(arguments)
    torch.set_num_threads(options.threads)
    figures = measure(config or SpeakerConfig(), options.steps, options.rounds, options.device)
    print(told(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
