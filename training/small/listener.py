"""Trains the listener on what `training.small.listener_data` made.

    python -m training.small.listener DIR [--steps 6000] [--threads 1] [--device cpu]

It goes on where it was stopped (DIR/listener.pt), and at every check it reads what new lessons there are and
writes assets/small/listener.safetensors. Every fortieth voice is held out for the checks. Symbols and
energy are learnt by gradient descent; the style, of which there is one a voice and not 40 a second, by ridge
regression on top of it.
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
from safetensors.torch import load_file, save_file
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
WIDENED = 0.6  # share of the stretches whose bands are moved up or down in mels, pitch left alone or not
WIDEN = 0.1  # by how much at most, as a logarithm
HIDDEN = ((2, 8), (3, 24))  # how many stretches, and how long at most, are hidden: bands, and 6.25 ms
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
            warped, drawn, place = torch.rand(3, generator=random).tolist()
            speed = math.exp(WARP * (2 * drawn - 1)) if warped < WARPED else 1.0
            order = torch.randperm(len(clips), generator=random).tolist()
            order *= math.ceil((FRAMES * speed + 2) / sum(len(clip.symbols) for clip in clips))
            whole = joined(clips, order)
            parts.append(excerpt(whole, FRAMES, speed, place))
        samples = torch.stack([part.samples for part in parts])
        yield Batch(
            levelled(augment(samples, random)),
            torch.stack([part.symbols for part in parts]),
            torch.stack([part.energy for part in parts]),
        )
        step += 1


def disturbed(bands: Tensor, random: torch.Generator) -> Tensor:
    """Bands (B, C, T) of longer and shorter vocal tracts, pieces hidden (SpecAugment, arXiv 1904.08779)."""
    batch, count, steps = bands.shape
    drawn = torch.rand(batch, 2, generator=random).to(bands.device)
    factors = torch.where(drawn[:, 0] < WIDENED, (WIDEN * (2 * drawn[:, 1] - 1)).exp(), 1.0)[:, None]
    places = (torch.arange(count, device=bands.device) * factors).clamp(max=count - 1.001)
    below, share = places.long()[..., None], (places % 1)[..., None]
    moved = torch.lerp(
        bands.gather(1, below.expand(-1, -1, steps)), bands.gather(1, below.expand(-1, -1, steps) + 1), share
    )
    hidden = torch.zeros(batch, count, steps, dtype=torch.bool, device=bands.device)
    for axis, (number, longest) in zip((1, 2), HIDDEN, strict=True):
        size = bands.shape[axis]
        first, length = torch.rand(2, batch, number, 1, generator=random).to(bands.device)
        place = torch.arange(size, device=bands.device) - first * size
        covered = ((place >= 0) & (place < length * longest)).any(1)
        hidden |= covered.unsqueeze(3 - axis)
    return torch.where(hidden, moved.mean((1, 2), keepdim=True), moved)


def losses(model: Listener, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
    """Mean losses of the two heads that are learnt by descent."""
    symbols, energy, _ = model.read(disturbed(model.ears.bands(batch.samples), random))
    return {
        "symbols": functional.cross_entropy(symbols.flatten(0, 1), batch.symbols.flatten()),
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
    """Clean sound of voices never trained on: frames right, squared errors of the styles.

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


class Lessons:
    """All voices of a folder that may still grow: `taught`, and `held_out` for the checks."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._basis = folder, style.Basis.load()
        self._seen: set[Path] = set()
        self.taught: dict[int, list[Stretch]] = {}
        self.held_out: dict[int, list[Stretch]] = {}

    def renew(self) -> None:
        """Read what has come since."""
        new = sorted(set(self._folder.glob("lessons-*.safetensors")) - self._seen)
        self._seen.update(new)
        for number, clips in by_voice(listener_data.read(new), self._basis).items():
            held_out = number % HELD_OUT == HELD_OUT - 1
            (self.held_out if held_out else self.taught)[number] = clips
        if new:
            minutes = sum(len(clip.symbols) for clips in self.taught.values() for clip in clips) / 40 / 60
            print(f"{len(self.taught)} voices, {minutes:.0f} min; {len(self.held_out)} held out", flush=True)


def begun(path: Path | None) -> Listener:
    """A network to be trained, with the weights of a file as far as it has them."""
    model = Listener()
    if path is not None:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        model.load_state_dict(tensors, strict=False)
    return model


def adam(model: Listener) -> torch.optim.AdamW:
    taught = [p for name, p in model.named_parameters() if not name.startswith("style.")]
    plain = [p for p in taught if p.dim() < 2]
    matrices = [p for p in taught if p.dim() >= 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.98),
    )  # fmt: skip


def descend(
    model: Listener,
    optimiser: torch.optim.Optimizer,
    voices: dict[int, list[Stretch]],
    steps: range,
    args: argparse.Namespace,
) -> dict[str, float]:
    """These steps; the running means of the losses after them."""
    means: dict[str, float] = {}
    for step, batch in zip(steps, batches(voices, args.seed, steps.start), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * rate(step, args.steps)
        with torch.autocast(args.device, torch.bfloat16):
            parts = losses(model, batch.to(args.device), torch.Generator().manual_seed(step))
        sum(WEIGHTS[name] * loss for name, loss in parts.items()).backward()
        for group in optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 2.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, loss in parts.items():
            means[name] = 0.98 * means.get(name, float(loss.detach())) + 0.02 * float(loss.detach())
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--every", type=int, default=500, help="steps between checks")
    parser.add_argument("--rate", type=float, default=RATE, help="the highest, of AdamW")
    parser.add_argument("--from", dest="start", type=Path, help="weights to begin from, as this writes them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=listener.FILE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    lessons = Lessons(args.folder)

    model = begun(args.start).to(args.device).train()
    optimiser = adam(model)
    kept, first = args.folder / "listener.pt", 0
    if kept.exists():
        state = torch.load(kept, map_location=args.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    started = time.process_time()
    while first < args.steps:
        lessons.renew()
        last = min(args.steps, first - first % args.every + args.every)
        means = descend(model, optimiser, lessons.taught, range(first, last), args)
        first = last
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": first}
        torch.save(state, kept.with_suffix(".part"))
        kept.with_suffix(".part").rename(kept)
        if first == args.steps:
            fit_style(model, lessons.taught, args.device, args.seed)
        figures = {"step": first, "cpu": round(time.process_time() - started)} | means
        figures |= check(model, lessons.held_out, args.device)
        save(model, args.out, f"{first} steps")
        print(json.dumps({k: round(v, 4) for k, v in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
