"""Trains the autoregressive prosody of the embedded engine on what `prosody_data` recorded.

    python -m training.small.prosody --data FOLDER --work FOLDER [--steps 4000] [--device cuda]

Restartable: `--work` holds the codes, the last checkpoint and the table of losses, and the same command goes
on from there. The weights are averaged over steps; at the end, and with `--export` at any time, they are
written to assets/small/prosody.safetensors in float16.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from pipelines.engines.small import style
from pipelines.engines.small.config import Config, Melody
from pipelines.engines.small.prosody import (
    PROMPT,
    Draft,
    Prosody,
    Scale,
    Spoken,
    ends,
    lasted,
    normal,
    positions,
    scale_of,
)

OUT = style.ASSETS / "prosody.safetensors"
# What counts in telling frames apart: pitch in deviations, presence, energy in units; two steps of each.
WEIGHTS = torch.tensor([1.0, 1.2, 0.45] * 2)
ROUNDS, SAMPLED = 40, 200_000  # of k-means, and frames it sees
BATCH = 5000  # frames, padding included
ALONE = 0.35  # share of sentences without another before them
SHORTEST = 40  # frames of the other, at the most `PROMPT`
NEAR, NEAR_SHARE, FAR_SHARE = 8, 0.12, 0.02  # codes heard wrongly: one of the nearest, or any
KEPT = 0.998  # of the running average of the weights, a step
WARM = 150  # steps
DEFAULT, SIZES = Config(), Melody()


@dataclass(frozen=True, eq=False)
class Utterance:
    """One sentence: what the network is told of its symbols, and what it has to say.

    `features` (L, 512), `style` (128,), `notes` (L, 8) float16; `spoken`; `tracks` (T, 2, 3) float16.
    """

    features: Tensor
    style: Tensor
    notes: Tensor
    spoken: Spoken
    tracks: Tensor

    @property
    def symbols(self) -> Tensor:
        """(L, 648) float32."""
        wide = self.style.expand(len(self.features), -1)
        return torch.cat([self.features.float(), wide.float(), self.notes.float()], dim=1)

    def cut(self, frames: int) -> Utterance:
        """Its first symbols, of so many frames or a few less; one symbol at least."""
        stops = self.spoken.moves.nonzero()[:, 0] + 1
        count = max(1, int((stops <= frames).sum()))
        stop = int(stops[count - 1])
        spoken = Spoken(self.spoken.moves[:stop], self.spoken.codes[:stop])
        return Utterance(self.features[:count], self.style, self.notes[:count], spoken, self.tracks[:stop])


Session = list[Utterance]


# ---------------------------------------------------------------------------------------- data


def normalised(kept: Sequence[dict[str, Tensor]]) -> Session:
    """A session as recorded, its curves relative to all that was said in it; codes are still 0."""
    day = scale_of(*(torch.cat([said[name].float() for said in kept]) for name in ("pitch", "energy")))
    return [_normalised(said, day) for said in kept]


def _normalised(said: dict[str, Tensor], day: Scale) -> Utterance:
    drafted = [said[f"draft_{name}"].float() for name in ("pitch", "energy")]
    tracks = normal(*drafted, scale_of(*drafted))
    draft = Draft(torch.empty(0), said["draft_lengths"].float(), tracks)
    moves = ends(said["frames"].long())
    return Utterance(
        said["features"],
        said["style"],
        draft.notes().to(torch.float16),
        Spoken(moves, torch.zeros_like(moves)),
        normal(said["pitch"].float(), said["energy"].float(), day).to(torch.float16),
    )


def load(folder: Path, kind: str) -> list[Session]:
    """The sessions of "train" or "held" that are there."""
    return [
        normalised(kept)
        for path in sorted(folder.glob(f"{kind}-*.pt"))
        for kept in torch.load(path, map_location="cpu", weights_only=True)
    ]


def clustered(sessions: Sequence[Session], codes: int, seed: int) -> Tensor:
    """Centroids (codes, 6) of frames by k-means; a code that nothing is near begins anew at some frame."""
    random = torch.Generator().manual_seed(seed)
    frames = torch.cat([said.tracks.float().flatten(1) for session in sessions for said in session])
    frames = frames[torch.randperm(len(frames), generator=random)[:SAMPLED]] * WEIGHTS
    centroids = frames[:codes].clone()
    for _ in range(ROUNDS):
        nearest = torch.cat([torch.cdist(part, centroids).argmin(1) for part in frames.split(20_000)])
        counts = torch.bincount(nearest, minlength=codes)
        sums = torch.zeros_like(centroids).index_add(0, nearest, frames)
        fresh = frames[torch.randint(len(frames), (codes,), generator=random)]
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), fresh)
    return centroids / WEIGHTS


def encoded(sessions: Sequence[Session], network: Prosody) -> list[Session]:
    """The sessions with their frames' codes."""
    return [
        [
            Utterance(
                s.features, s.style, s.notes, Spoken(s.spoken.moves, network.book.encode(s.tracks)), s.tracks
            )
            for s in session
        ]
        for session in sessions
    ]


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows of a prompt and a sentence behind it, or a sentence alone; padding has `real` False.

    `symbols` (B, L, C), `last` (B, L) where nothing follows; per frame (B, N): `places`, `previous`,
    `elapsed`, `till`, `moves`, `codes`, `real`; `tracks` (B, N, 2, 3).
    """

    symbols: Tensor
    last: Tensor
    places: Tensor
    previous: Tensor
    elapsed: Tensor
    till: Tensor
    moves: Tensor
    codes: Tensor
    real: Tensor
    tracks: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def rows(sessions: Sequence[Session], random: torch.Generator) -> Iterator[Session]:
    """Every sentence once, most of them behind the beginning of another of its session."""
    for number in torch.randperm(len(sessions), generator=random).tolist():
        session = sessions[number]
        for place, said in enumerate(session):
            if float(torch.rand(1, generator=random)) < ALONE or len(session) < 2:
                yield [said]
                continue
            other = int(torch.randint(1, len(session), (1,), generator=random))
            length = int(torch.randint(SHORTEST, PROMPT, (1,), generator=random))
            yield [session[(place + other) % len(session)].cut(length), said]


def batches(
    sessions: Sequence[Session], random: torch.Generator, codes: int, near: Tensor | None
) -> Iterator[Batch]:
    """One pass, rows of similar length together, batches shuffled; codes are misheard if `near` is given."""
    made = sorted(rows(sessions, random), key=_length)
    groups: list[list[Session]] = [[]]
    for row in made:
        if groups[-1] and _length(row) * (len(groups[-1]) + 1) > BATCH:
            groups.append([])
        groups[-1].append(row)
    for number in torch.randperm(len(groups), generator=random).tolist():
        yield _batch(groups[number], codes, near, random)


def _length(row: Session) -> int:
    return sum(len(said.spoken.moves) for said in row)


def _batch(group: list[Session], codes: int, near: Tensor | None, random: torch.Generator) -> Batch:
    columns: dict[str, list[Tensor]] = {name: [] for name in Batch.__dataclass_fields__}
    for row in group:
        parts = [_columns(said, codes) for said in row]
        shift = 0
        for said, part in zip(row, parts, strict=True):
            part["places"] = part["places"] + shift
            shift += len(said.features)
        for name in columns:
            columns[name].append(torch.cat([part[name] for part in parts]))
    padded = {
        name: torch.nn.utils.rnn.pad_sequence(column, batch_first=True) for name, column in columns.items()
    }
    if near is not None:
        padded["previous"] = _misheard(padded["previous"], near, random)
    return Batch(**padded)


def _columns(said: Utterance, codes: int) -> dict[str, Tensor]:
    spoken = said.spoken
    last = torch.zeros(len(said.features), dtype=torch.bool)
    last[-1] = True
    frames = lasted(spoken.moves)
    return {
        "symbols": said.symbols,
        "last": last,
        "places": spoken.places,
        "previous": F.pad(spoken.codes[:-1], (1, 0), value=codes),
        "elapsed": spoken.elapsed,
        "till": frames[spoken.places] - 1 - spoken.elapsed,
        "moves": spoken.moves,
        "codes": spoken.codes,
        "real": torch.ones(len(spoken.moves), dtype=torch.bool),
        "tracks": said.tracks.float(),
    }


def _misheard(previous: Tensor, near: Tensor, random: torch.Generator) -> Tensor:
    """Codes with a few of them replaced, since what is drawn is never quite what was taught."""
    codes = len(near)
    chance = torch.rand(previous.shape, generator=random)
    which = torch.randint(near.shape[1], previous.shape, generator=random)
    close = near[previous.clamp(max=codes - 1), which]
    anything = torch.randint(codes, previous.shape, generator=random)
    heard = torch.where(chance < NEAR_SHARE, close, previous)
    heard = torch.where(chance > 1 - FAR_SHARE, anything, heard)
    return torch.where(previous < codes, heard, previous)


# ---------------------------------------------------------------------------------------- losses


@dataclass(frozen=True)
class Losses:
    """Of one batch, means over frames: nats of the move and of the code, the decoder's error."""

    move: Tensor
    code: Tensor
    curves: Tensor
    right: Tensor  # share of codes that are the likeliest
    semitones: Tensor  # error of the decoder's pitch, in a hundredth of a deviation

    @property
    def whole(self) -> Tensor:
        return self.move + self.code + self.curves

    def detached(self) -> Losses:
        """The figures without what led to them."""
        return Losses(*(getattr(self, name).detach() for name in self.__dataclass_fields__))


def forced(network: Prosody, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits before each real frame, in one pass: (frames, 2), (frames, codes) float32."""
    following = F.pad(network.next(batch.symbols[:, 1:]), (0, 0, 0, 1)).masked_fill(batch.last[..., None], 0)
    context = network.here(batch.symbols) + following
    x = _at(context, batch.places) + network.code(batch.previous)
    x = x + network.elapsed(batch.elapsed.clamp(max=network.longest - 1))
    x = x + positions(0, x.shape[1], network.width).to(x)
    hidden = network.stack(x)[batch.real]
    return network.move_head(hidden).float(), network.code_head(hidden).float()


def losses(network: Prosody, batch: Batch) -> Losses:
    """Of the transformer and of the decoder, on what was said."""
    real, tracks = batch.real, batch.tracks[batch.real]
    moves, codes = forced(network, batch)
    said = batch.codes[real]
    made = network.curves(
        _at(network.curves.symbol(batch.symbols), batch.places),
        batch.codes,
        batch.elapsed,
        batch.till,
        network.book.decode(batch.codes),
    )[real]
    voiced = (tracks[..., 1] > 0.5).float()
    pitch = ((made[..., 0] - tracks[..., 0]).abs() * voiced).sum() / voiced.sum()
    presence = (made[..., 1] - tracks[..., 1]).abs().mean()
    loudness = (made[..., 2] - tracks[..., 2]).abs().mean()
    return Losses(
        F.cross_entropy(moves, batch.moves[real]),
        F.cross_entropy(codes, said),
        pitch + 2 * presence + loudness,
        (codes.argmax(-1) == said).float().mean(),
        100 * pitch,
    )


def _at(x: Tensor, places: Tensor) -> Tensor:
    """(B, L, C) at (B, N) places: (B, N, C)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


# -------------------------------------------------------------------------------------- training


def fresh(book: Tensor, seed: int, config: Config = DEFAULT, sizes: Melody = SIZES) -> Prosody:
    """A network that knows its codes: embeddings and head begin as projections of the centroids."""
    torch.manual_seed(seed)
    network = Prosody(config, sizes)
    spread = (book - book.mean(0)) / book.std(0)
    with torch.no_grad():
        network.book.centroids.copy_(book)
        network.book.weights.copy_(WEIGHTS)
        for layer in (
            network.code,
            network.elapsed,
            network.curves.code,
            network.curves.since,
            network.curves.till,
        ):
            layer.weight.mul_(0.1)
        width = network.code.weight.shape[1]
        network.code.weight[:-1] += spread @ torch.randn(6, width) * 0.2
        network.code_head.weight.add_(spread @ torch.randn(6, width) * 0.02)
        network.curves.head.weight.mul_(0.1)
    return network


def rate(step: int, steps: int, most: float) -> float:
    """Warm up, then fall along a cosine to a fiftieth."""
    if step < WARM:
        return most * (step + 1) / WARM
    share = min(1.0, (step - WARM) / max(1, steps - WARM))
    return most * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass
class Work:
    """A training on its way; `save` and `resume` keep it in one file."""

    network: Prosody
    average: Prosody
    adam: torch.optim.Optimizer
    step: int
    table: list[dict[str, float]]

    @classmethod
    def begin(
        cls, book: Tensor, seed: int, device: str, config: Config = DEFAULT, sizes: Melody = SIZES
    ) -> Work:
        network = fresh(book, seed, config, sizes).to(device)
        adam = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98), weight_decay=0.02)
        return cls(network, copy.deepcopy(network).requires_grad_(False), adam, 0, [])

    def resume(self, path: Path) -> None:
        kept = torch.load(path, map_location=self.network.code.weight.device, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.adam.load_state_dict(kept["adam"])
        self.step, self.table = kept["step"], kept["table"]

    def save(self, path: Path) -> None:
        kept = {name: getattr(self, name).state_dict() for name in ("network", "average", "adam")}
        draft = path.with_suffix(".part")
        torch.save({**kept, "step": self.step, "table": self.table}, draft)
        draft.replace(path)

    def learn(self, batch: Batch, speed: float, kind: str) -> Losses:
        """One step of AdamW."""
        for group in self.adam.param_groups:
            group["lr"] = speed
        with torch.autocast(kind, torch.bfloat16):
            found = losses(self.network, batch)
        self.adam.zero_grad()
        found.whole.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.adam.step()
        self.step += 1
        kept = min(KEPT, self.step / (self.step + 20))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - kept)
        return found


@torch.no_grad()
def judged(work: Work, held: Sequence[Session], device: str) -> dict[str, float]:
    """The averaged network on sessions held out."""
    codes = work.network.codes
    found = []
    for batch in batches(held, torch.Generator().manual_seed(0), codes, None):
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            found.append(losses(work.average.eval(), batch.to(device)))
    return {
        name: float(torch.stack([getattr(one, name) for one in found]).mean())
        for name in Losses.__dataclass_fields__
    }


def export(network: Prosody, out: Path) -> None:
    """Write the weights in float16."""
    tensors = {
        name: tensor.to("cpu", torch.float16).contiguous() for name, tensor in network.state_dict().items()
    }
    save_file(tensors, out, {"source": "trained on sentences of our own, said by Kokoro-82M (Apache-2.0)"})
    count = sum(tensor.numel() for tensor in network.parameters())
    print(f"{out.name}: {count / 1e6:.2f} M parameters, {out.stat().st_size / 1e6:.2f} MB")


def train(work: Work, args: argparse.Namespace) -> None:
    """Till `args.steps`, with a checkpoint every so many minutes.

    The data is looked at anew before each pass, so that one may learn from the first shards while the others
    are still being made.
    """
    coder = copy.deepcopy(work.network).cpu()
    held = encoded(load(args.data, "held"), coder)
    checkpoint, kind = args.work / "checkpoint.pt", torch.device(args.device).type
    near = (
        torch.cdist(*(work.network.book.centroids.cpu() * WEIGHTS,) * 2).topk(NEAR + 1, largest=False).indices
    )
    started = saved = time.time()
    sums: list[Losses] = []
    while work.step < args.steps:
        learned = encoded(load(args.data, "train"), coder)
        hours = sum(_length(session) for session in learned) / 40 / 3600
        print(f"{len(learned)} sessions, {hours:.1f} hours; {len(held)} held out", flush=True)
        random = torch.Generator().manual_seed(args.seed + work.step)
        for batch in batches(learned, random, work.network.codes, near[:, 1:]):
            speed = rate(work.step, args.steps, args.rate)
            sums.append(work.learn(batch.to(args.device), speed, kind).detached())
            if work.step % args.every == 0 or work.step == args.steps:
                line = {"step": work.step, "seconds": time.time() - started}
                line |= {
                    f"learned {n}": float(sum(getattr(s, n) for s in sums) / len(sums))
                    for n in ("move", "code")
                }
                line |= judged(work, held, args.device)
                sums = []
                work.table.append(line)
                print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)
                (args.work / "losses.json").write_text(json.dumps(work.table, indent=1))
            if time.time() - saved > 240:
                work.save(checkpoint)
                saved = time.time()
            if work.step >= args.steps:
                break
    work.save(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="what prosody_data made")
    parser.add_argument("--work", type=Path, required=True, help="a folder for checkpoints")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1e-3, help="of AdamW, at its highest")
    parser.add_argument("--every", type=int, default=100, help="steps between two lines of the table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--export", action="store_true", help="only write the checkpoint's weights")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    book_file, checkpoint = args.work / "book.pt", args.work / "checkpoint.pt"
    if not book_file.exists():
        torch.save(clustered(load(args.data, "train"), SIZES.codes, args.seed), book_file)
    work = Work.begin(torch.load(book_file, weights_only=True), args.seed, args.device)
    if checkpoint.exists():
        work.resume(checkpoint)
    if not args.export:
        train(work, args)
    export(work.average, args.out)


if __name__ == "__main__":
    main()
