"""Trains the listener on what `training.small.listener_data` made.

    python -m training.small.listener DIR [--steps 6000] [--threads 1] [--device cpu]

It goes on where it was stopped (DIR/listener.pt), and writes assets/small/listener.safetensors at every
check. Every fortieth voice is held out for the checks. What tells symbols and energy is learnt by gradient
descent; the style, of which there is one a voice and not 40 a second, by ridge regression on top of it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from pipelines.engines.small import listener, style
from pipelines.engines.small.listener import HOP, Listener, levelled
from training.small import listener_data
from training.small.listener_augment import augment

FRAMES = 160  # of a stretch, 4 s
BATCH = 16
HELD_OUT = 40
RATE, WARM_UP, DECAY = 1e-3, 150, 0.02  # of AdamW: the highest, steps until it, weight decay
WARPED = 0.6  # share of the stretches whose speed, and with it pitch and vocal tract, is changed
WARP = 0.13  # deviation of its logarithm's range, either way
WEIGHTS = {"symbols": 1.0, "energy": 0.2}
RIDGE = 8000.0  # in deviations squared, summed over 812 lessons of 1664 numbers


@dataclass(frozen=True, eq=False)
class Stretch:
    """All that one voice says, on end: `samples` (T,) float32, and a label for each of its T / 400 frames."""

    samples: Tensor
    symbols: Tensor  # (N,) int64
    energy: Tensor  # (2N,)
    style: Tensor  # (256,) in deviations of the basis


@dataclass(frozen=True, eq=False)
class Batch:
    """`samples` (B, T); `symbols` (B, N); `energy` (B, 2N)."""

    samples: Tensor
    symbols: Tensor
    energy: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def by_voice(clips: Sequence[dict[str, Tensor]], basis: style.Basis) -> dict[int, list[Stretch]]:
    """The clips of each voice, with labels a frame."""
    middles = style.middle(basis.styles)
    mean, deviation = middles.mean(0), middles.std(0)
    found: dict[int, list[Stretch]] = {}
    for clip in clips:
        symbols = clip["ids"].repeat_interleave(clip["frames"])
        samples = clip["samples"].float()[: len(symbols) * HOP] / 32768
        samples = functional.pad(samples, (0, len(symbols) * HOP - len(samples)))
        stretch = Stretch(samples, symbols, clip["energy"], (clip["style"] - mean) / deviation)
        found.setdefault(int(clip["voice"]), []).append(stretch)
    return found


def joined(clips: Sequence[Stretch], order: Sequence[int]) -> Stretch:
    """A voice's clips on end, in this order."""
    parts = [clips[i] for i in order]
    return Stretch(
        torch.cat([part.samples for part in parts]),
        torch.cat([part.symbols for part in parts]),
        torch.cat([part.energy for part in parts]),
        parts[0].style,
    )


def excerpt(whole: Stretch, frames: int, speed: float, place: float) -> Stretch:
    """So many frames of it, `speed` times as fast: labels are looked up where the sound comes from."""
    wide = min(round(frames * speed), len(whole.symbols) - 1)
    start = int(place * (len(whole.symbols) - wide))
    samples = whole.samples[start * HOP : (start + wide) * HOP]
    if speed != 1.0:
        samples = functional.interpolate(samples[None, None], frames * HOP, mode="linear")[0, 0]

    def labels(of: Tensor, count: int) -> Tensor:
        return of[start * count + ((torch.arange(frames * count) + 0.5) * wide / frames).long()]

    samples = functional.pad(samples, (0, frames * HOP - len(samples)))
    return Stretch(samples, labels(whole.symbols, 1), labels(whole.energy, 2), whole.style)


def batches(voices: dict[int, list[Stretch]], seed: int, start: int) -> Iterator[Batch]:
    """Endless batches; the one for step n depends on `seed` and n alone."""
    numbers = sorted(voices)
    step = start
    while True:
        random = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randint(len(numbers), (BATCH,), generator=random)
        parts = []
        for which in chosen.tolist():
            clips = voices[numbers[which]]
            whole = joined(clips, torch.randperm(len(clips), generator=random).tolist())
            warped, drawn, place = torch.rand(3, generator=random).tolist()
            speed = math.exp(WARP * (2 * drawn - 1)) if warped < WARPED else 1.0
            parts.append(excerpt(whole, FRAMES, speed, place))
        samples = torch.stack([part.samples for part in parts])
        yield Batch(
            levelled(augment(samples, random)),
            torch.stack([part.symbols for part in parts]),
            torch.stack([part.energy for part in parts]),
        )
        step += 1


def losses(model: Listener, batch: Batch) -> dict[str, Tensor]:
    """Mean losses of the two heads that are learnt by descent."""
    logits, energy, _ = model.summary(batch.samples)
    return {
        "symbols": functional.cross_entropy(logits.flatten(0, 1), batch.symbols.flatten()),
        "energy": functional.smooth_l1_loss(energy, batch.energy),
    }


@torch.no_grad()
def fit_style(model: Listener, voices: dict[int, list[Stretch]], device: str, seed: int) -> None:
    """Set the style head to the ridge regression over all voices, each heard clean and through something."""
    random = torch.Generator().manual_seed(seed)
    found, wanted = [], []
    for clips in voices.values():
        whole = joined(clips, range(len(clips)))
        clean = whole.samples[None]
        for samples in (clean, augment(clean, random)):
            with torch.autocast(device, torch.bfloat16):
                found.append(model.summary(levelled(samples).to(device))[2][0].cpu().double())
            wanted.append(whole.style.double())
    x, y = torch.stack(found), torch.stack(wanted)
    centre, deviation, mean = x.mean(0), x.std(0) + 1e-3, y.mean(0)
    x = (x - centre) / deviation
    weight = (
        torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]), x.T @ (y - mean)) / deviation[:, None]
    )
    model.style.weight.copy_(weight.T)
    model.style.bias.copy_(mean - centre @ weight)


@torch.no_grad()
def check(model: Listener, voices: dict[int, list[Stretch]], device: str) -> dict[str, float]:
    """Clean sound of voices never trained on: share of the frames right, squared errors of the styles.

    "timbre" and "prosody" are the errors of saying the mean of all voices whoever speaks.
    """
    right = total = 0
    found, wanted = [], []
    for clips in voices.values():
        whole = joined(clips, range(len(clips)))
        logits, _, vector = model(levelled(whole.samples)[None].to(device))
        right += int((logits[0].argmax(-1).cpu() == whole.symbols).sum())
        total += len(whole.symbols)
        found.append(vector[0].cpu())
        wanted.append(whole.style)
    error = (torch.stack(found) - torch.stack(wanted)).square().mean(0)
    plain = torch.stack(wanted).square().mean(0)
    return {
        "frames right": right / total,
        "timbre error": float(error[: style.TIMBRE].mean()),
        "timbre": float(plain[: style.TIMBRE].mean()),
        "prosody error": float(error[style.TIMBRE :].mean()),
        "prosody": float(plain[style.TIMBRE :].mean()),
    }


def rate(step: int, steps: int) -> float:
    """A rise, then half a cosine down to a twentieth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = min(1.0, (step - WARM_UP) / max(1, steps - WARM_UP))
    return 0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2


def save(model: Listener, path: Path, note: str) -> None:
    """The weights in float16."""
    tensors = {
        name: tensor.to(torch.float16).cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    save_file(tensors, path, {"source": f"training.small.listener, {note}"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--every", type=int, default=500, help="steps between checks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=listener.FILE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    voices = by_voice(listener_data.read(args.folder), style.Basis.load())
    held_out = {number: clips for number, clips in voices.items() if number % HELD_OUT == HELD_OUT - 1}
    taught = {number: clips for number, clips in voices.items() if number not in held_out}
    minutes = sum(len(clip.symbols) for clips in taught.values() for clip in clips) / 40 / 60
    print(f"{len(taught)} voices, {minutes:.0f} min; {len(held_out)} held out", flush=True)

    model = Listener().to(args.device).train()
    taught_by_descent = [p for name, p in model.named_parameters() if not name.startswith("style.")]
    plain = [p for p in taught_by_descent if p.dim() < 2]
    matrices = [p for p in taught_by_descent if p.dim() >= 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.98),
    )  # fmt: skip
    kept, first = args.folder / "listener.pt", 0
    if kept.exists():
        state = torch.load(kept, map_location=args.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    means: dict[str, float] = {}
    started = time.process_time()
    for step, batch in zip(range(first, args.steps), batches(taught, args.seed, first), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = RATE * rate(step, args.steps)
        with torch.autocast(args.device, torch.bfloat16):
            parts = losses(model, batch.to(args.device))
        sum(WEIGHTS[name] * loss for name, loss in parts.items()).backward()
        torch.nn.utils.clip_grad_norm_(taught_by_descent, 2.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, loss in parts.items():
            means[name] = 0.98 * means.get(name, float(loss.detach())) + 0.02 * float(loss.detach())
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
            figures = {"step": step + 1, "cpu": round(time.process_time() - started)} | means
            fit_style(model, taught, args.device, args.seed)
            figures |= check(model, held_out, args.device)
            save(model, args.out, f"{step + 1} steps")
            print(json.dumps({k: round(v, 4) for k, v in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
