"""A comparison as files: report.html that opens offline, CSV, wavs, and the recipe that makes it again."""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from html import escape
from pathlib import Path

import numpy as np

from pipelines import audio
from pipelines.compare import KINDS, Comparison, Figure, Key, Value, sheet, where_they_part
from pipelines.measures import MEASURES
from pipelines.types import InputError, Take

Row = Mapping[str, object]


def write(comparison: Comparison, folder: Path, blind: Sequence[Row] = ()) -> None:
    """Write report.html, figures.csv, values.csv, recipe.json and takes/*.wav into `folder`, which is made.

    `blind` are the rows of a table of blind tests, one a test; keys are the column heads. They also become
    blind.csv. Raises `InputError` where the folder cannot be written.
    """
    check_writable(folder)
    try:
        (folder / "takes").mkdir(parents=True, exist_ok=True)
        for name, text in _texts(comparison, blind).items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The report cannot be written to {folder} ({error.strerror}).") from error
    for key, take in comparison.takes.items():
        audio.write(folder / file_of(key), take.waveform, json.dumps(take.recipe))


def pack(comparison: Comparison, path: Path, blind: Sequence[Row] = ()) -> None:
    """The same files as one zip; it is there whole or not at all. Raises `InputError` as `write` does."""
    with tempfile.TemporaryDirectory() as folder:
        write(comparison, Path(folder), blind)
        unfinished = path.with_name(f".{path.name}.part")
        try:
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as packed:
                for file in sorted(Path(folder).rglob("*")):
                    packed.write(file, file.relative_to(folder))
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise InputError(f"{path.name} cannot be written ({error.strerror}).") from error


def check_writable(folder: Path) -> None:
    """Raises `InputError`, before minutes of work, where `write` could not make the folder."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise InputError(f"{folder} cannot be a folder: {there.name} is a file.")


def file_of(key: Key) -> str:
    """Where a take lies in the report's folder."""
    parts = (key.mode, key.kind, key.stage, f"text{key.text + 1}", f"seed{key.seed + 1}")
    return f"takes/{'-'.join(part for part in parts if part)}.wav"


def _texts(comparison: Comparison, blind: Sequence[Row]) -> dict[str, str]:
    recipe = json.dumps(comparison.recipe, indent=1, ensure_ascii=False)
    texts = {
        "report.html": html(comparison, blind),
        "figures.csv": _csv([f.name for f in fields(Figure)], map(asdict, comparison.figures)),
        "values.csv": _csv([f.name for f in fields(Value)], map(asdict, comparison.values)),
        "recipe.json": recipe,
    }
    if blind:
        texts["blind.csv"] = _csv(_heads(blind), blind)
    return texts


def _csv(heads: Sequence[str], rows: Iterable[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, heads)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _heads(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(head for row in rows for head in row))


# ------------------------------------------------------------------------------------------------- the page

LEVELS = {
    "reference": "the reference",
    "same": "the same",
    "near": "close",
    "other": "another reading",
    "worse": "listen for it",
    "no sound": "no sound",
    "impossible": "not possible here",
}
OF_CONCERN = ("worse", "no sound", "impossible")
SECTIONS = {
    "free": (
        "Each mode's own reading",
        "Every mode says the text itself, from the same seed. {parting} Hold it against the control, which "
        "is {control}.",
    ),
    "locked": (
        "The same units, rendered in each mode",
        "What float32 said, turned into sound by each mode: in step sample by sample, so what differs is the "
        "mode's own doing. The control is the same units with other breath noise.",
    ),
    "forced": (
        "What the model expected",
        "The model of each mode is led through float32's units and asked what it would have said at each "
        "step. This needs no listening, and explains the rest.",
    ),
}
DRAWN = {
    "parting": "A sampled reading parts for good at the first unit that differs, so a distance here is first "
    "of all another reading.",
    "control": "float32 with another seed",
}
UNDRAWN = {
    "parting": "Nothing is drawn by chance, so a distance here is the mode's own doing.",
    "control": "float32 with the voice moved by a hundredth and other breath noise",
}
HEADING = 140  # characters of a text that stand above its takes
PLAYERS = """
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);
"""


def html(comparison: Comparison, blind: Sequence[Row] = ()) -> str:
    """The whole page. It asks nothing of the outside world; the takes lie beside it."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    body = "\n".join(
        [
            *_head(comparison),
            *_cards(comparison),
            *_listening(comparison),
            *_figures(comparison),
            *_alone(comparison),
            *_costs(comparison),
            *_parting(comparison),
            *_blind(blind),
            *_made(comparison),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="Myna">\n<link rel="icon" href="data:,">\n'
        f"<title>Precisions compared: {escape(comparison.plan.engine)}</title>\n<style>\n{style}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n<script>{PLAYERS}</script>\n</body>\n</html>\n"
    )


def _head(comparison: Comparison) -> Iterator[str]:
    plan = comparison.plan
    texts, seeds = _count(len(plan.texts), "text"), _count(len(plan.seeds), "seed")
    way = f", {escape(plan.sampling.prosody)} prosody" if plan.sampling.prosody else ""
    yield "<h1>Precisions compared</h1>"
    yield f'<p class="mark">{escape(audio.AI_GENERATED)}</p>'
    yield (
        f'<p class="soft">Engine {escape(plan.engine)}{way}, {texts} and {seeds}, on '
        f"{escape(str(comparison.recipe['machine']['processor']))}.</p>"
    )
    if comparison.stopped:
        yield "<p><b>Stopped before the end:</b> this is what was finished till then.</p>"


def _cards(comparison: Comparison) -> Iterator[str]:
    yield '<ul class="cards">'
    for card in comparison.cards:
        concern = " warn" if card.level in OF_CONCERN else ""
        yield (
            f'<li class="card"><h2>{escape(card.mode)} <span class="level{concern}">{LEVELS[card.level]}'
            f"</span></h2><h3>Sounds like</h3><p>{escape(card.sounds)}</p>"
            f"<h3>Costs</h3><p>{escape(card.costs)}</p></li>"
        )
    yield "</ul>"
    if comparison.notes:
        yield "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in comparison.notes) + "</ul>"


def _listening(comparison: Comparison) -> Iterator[str]:
    yield "<h2>Listen</h2>"
    yield '<p class="soft">Takes are as made, not matched in loudness.</p>'
    first = True
    for text, words in enumerate(comparison.plan.texts):
        for seed, number in enumerate(comparison.plan.seeds):
            keys = [key for key in comparison.takes if (key.text, key.seed) == (text, seed)]
            if not keys:
                continue
            yield f"<details{' open' if first else ''}><summary>{escape(_short(words))}"
            yield f' <small>seed {number}</small></summary><div class="takes">'
            yield from map(_player, keys)
            yield "</div></details>"
            first = False
    if comparison.silent:
        told = (f"<li>{escape(_called(key))}: {escape(why)}</li>" for key, why in comparison.silent.items())
        yield f"<h3>Takes without sound</h3><ul>{''.join(told)}</ul>"


def _player(key: Key) -> str:
    name = escape(f"{_mode(key)}, {_kind(key)}")
    return (
        f"<figure><figcaption><b>{escape(_mode(key))}</b> {escape(_kind(key))}</figcaption>"
        f'<audio controls preload="none" src="{escape(file_of(key))}" aria-label="{name}"></audio></figure>'
    )


def _mode(key: Key) -> str:
    return f"{key.mode}, {key.stage} alone" if key.stage else key.mode


def _kind(key: Key) -> str:
    return KINDS[key.kind]


def _called(key: Key) -> str:
    return f"{_mode(key)}, {_kind(key)}, text {key.text + 1}, seed {key.seed + 1}"


# --------------------------------------------------------------------------------------------------- tables


def _figures(comparison: Comparison) -> Iterator[str]:
    yield "<h2>Measured</h2>"
    yield (
        '<p class="soft">Each figure is the median over all texts and seeds; below it is the range that '
        "holds the true median 95 times of 100 (bootstrap). The control is float32 against float32: what "
        "chance alone changes.</p>"
    )
    words = DRAWN if comparison.draws else UNDRAWN
    for kind, (title, lead) in SECTIONS.items():
        found = [f for f in comparison.figures if f.kind == kind and not f.stage]
        absent = {mode: why for (mode, of), why in comparison.absent.items() if of == kind}
        if not found and not absent:
            continue
        yield f'<h3>{title}</h3><p class="soft">{lead.format_map(words)}</p>'
        if found:
            yield from _table(found, title, [mode for mode in comparison.plan.modes if mode != "float32"])
        for mode, why in absent.items():
            yield f'<p class="soft">{escape(mode)}{": " if mode else ""}{escape(why)}</p>'
    silent = comparison.absent.get(("float32", "noise"))
    if silent:
        yield f'<p class="soft">{escape(silent)}</p>'


def _alone(comparison: Comparison) -> Iterator[str]:
    """Each stage lowered by itself, a table a mode."""
    alone = [figure for figure in comparison.figures if figure.stage]
    if not alone:
        return
    yield "<h2>One stage lowered at a time</h2>"
    yield (
        '<p class="soft">Where the lower precision hurts: hearing the voice (listen), saying the text (say), '
        "or making the sound (render). All other stages stay in float32.</p>"
    )
    for mode in dict.fromkeys(figure.mode for figure in alone):
        for kind in ("locked", "free"):
            found = [f for f in alone if (f.mode, f.kind) == (mode, kind)]
            if found:
                title = f"{mode}, {KINDS[kind]}"
                yield f"<h3>{escape(title)}</h3>"
                yield from _table(found, title, list(dict.fromkeys(f.stage for f in found)), "stage")


def _table(figures: Sequence[Figure], title: str, columns: Sequence[str], of: str = "mode") -> Iterator[str]:
    """Measures as rows, modes (or stages) as columns, the control last."""
    cells = {(figure.name, getattr(figure, of)): figure for figure in figures}
    columns = [column for column in columns if any(key[1] == column for key in cells)]
    control = any(figure.control_median is not None for figure in figures)
    heads = [f'<th scope="col">{escape(column)}</th>' for column in columns]
    heads += ['<th scope="col" class="control">control</th>'] if control else []
    yield f'<div class="scroll" role="region" aria-label="{escape(title)}" tabindex="0"><table><thead><tr>'
    yield f'<th scope="col">Measure</th>{"".join(heads)}</tr></thead><tbody>'
    for name, measure in MEASURES.items():
        row = [cells.get((name, column)) for column in columns]
        known = next((figure for figure in row if figure is not None), None)
        if known is None:
            continue
        unit = f" ({measure.unit})" if measure.unit else ""
        yield f'<tr><th scope="row">{escape(measure.label)}{escape(unit)}'
        yield f"<small>{escape(measure.sentence)} {measure.better.capitalize()} is better.</small></th>"
        fine = measure.unit == "nats"
        yield "".join(_cell(f and (f.median, f.low, f.high), fine=fine) for f in row)
        if control:
            yield _cell((known.control_median, known.control_low, known.control_high), "control")
        yield "</tr>"
    yield "</tbody></table></div>"


def _cell(numbers: Sequence[float | None] | None, kind: str = "", fine: bool = False) -> str:
    classes = f"number {kind}".strip()
    if not numbers or numbers[0] is None:
        return f'<td class="{classes}">–</td>'
    median, low, high = (_number(number, fine) for number in numbers)
    return f'<td class="{classes}"><b>{median}</b><small>{low} to {high}</small></td>'


def _number(value: float, fine: bool = False) -> str:
    """Three digits that mean something, with a real minus sign; three places unless it is `fine`."""
    if 0 < abs(value) < 0.001 and not fine:
        return "0.000"
    small = 0 < abs(value) < 0.001
    text = f"{value:.1e}" if small else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _costs(comparison: Comparison) -> Iterator[str]:
    if not comparison.costs:
        return
    yield "<h2>What each mode costs here</h2>"
    yield (
        '<p class="soft">Timed within this one run, float32 once more beside each mode, so that ratios are '
        "fair. Work for a second of sound is reading, saying and rendering, without loading and listening: "
        "below 1 it is faster than speech. Memory is that of the weights.</p>"
    )
    yield (
        '<div class="scroll" role="region" aria-label="Costs" tabindex="0"><table><thead><tr>'
        '<th scope="col">Mode</th><th scope="col">Speed, × float32</th><th scope="col">Work, s a second</th>'
        '<th scope="col">Weights, MB</th><th scope="col">Loading, s</th></tr></thead><tbody>'
    )
    for cost in comparison.costs:
        noisy = "<small>noisy</small>" if cost.noisy else ""
        memory = "" if cost.memory is None else f"<small>{cost.memory:.0%} of float32's</small>"
        speed = _cell(cost.speed and (cost.speed, cost.speed_low, cost.speed_high))
        yield (
            f'<tr><th scope="row">{escape(cost.mode)}</th>{speed}'
            f'<td class="number">{_number(cost.rtf)}{noisy}</td>'
            f'<td class="number">{cost.weights / 1e6:.1f}{memory}</td>'
            f'<td class="number">{_number(cost.load_seconds)}</td></tr>'
        )
    yield "</tbody></table></div>"


def _blind(blind: Sequence[Row]) -> Iterator[str]:
    if not blind:
        return
    heads = _heads(blind)
    yield '<h2>Blind tests</h2><div class="scroll" role="region" aria-label="Blind tests" tabindex="0">'
    yield "<table><thead><tr>" + "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for row in blind:
        yield "<tr>" + "".join(f"<td>{escape(str(row.get(head, '')))}</td>" for head in heads) + "</tr>"
    yield "</tbody></table></div>"


# ------------------------------------------------------------------------------------------------- pictures

FULL_DB = 15.0  # of distance at which a cell of a strip is opaque
CURVE = 0.6  # so that small distances are still seen


def _parting(comparison: Comparison) -> Iterator[str]:
    """Of the first seed: where along each text a mode parts from float32, and the spectrograms behind it."""
    keys = [
        key
        for key in comparison.takes
        if key.seed == 0 and not key.stage and key.kind in ("free", "locked") and key.mode != "float32"
    ]
    if not keys:
        return
    yield "<h2>Where they part</h2>"
    yield (
        f'<p class="soft">From left to right along the sentence, a cell each 50 ms: the redder, the further '
        f"from float32 ({FULL_DB:.0f} dB is full). First seed only. A reading of its own is stretched onto "
        "float32's first.</p>"
    )
    for text, words in enumerate(comparison.plan.texts):
        found = [key for key in keys if key.text == text]
        if not found:
            continue
        yield f"<h3>{escape(_short(words))}</h3>"
        for key in found:
            yield from _parted(comparison.takes[key.truth], comparison.takes[key], key)
        yield "<details><summary>Spectrograms</summary>"
        for key in found:
            yield from _pictures(comparison.takes[key.truth], comparison.takes[key], key)
        yield "</details>"


def _parted(a: Take, b: Take, key: Key) -> Iterator[str]:
    track = where_they_part(a, b, key.kind == "locked")
    most = int(track.distance.argmax())
    words = f"most at {most * track.step:.1f} s, by {track.distance[most]:.1f} dB"
    yield f'<p class="legend"><b>{escape(_mode(key))}</b> {escape(_kind(key))}: {words}</p>'
    yield _strip(track.distance, f"{_mode(key)}, {_kind(key)}: {words}")


def _pictures(a: Take, b: Take, key: Key) -> Iterator[str]:
    drawn = sheet(a, b, key.kind == "locked")
    scale = (drawn.floor, drawn.top)
    pictures = (
        ("float32", drawn.a, *scale),
        (_mode(key), drawn.b, *scale),
        (f"difference, 0 to {drawn.range:.0f} dB", drawn.apart, 0.0, drawn.range),
    )
    yield f'<p class="legend"><b>{escape(_mode(key))}</b> {escape(_kind(key))}</p><div class="pictures">'
    for name, levels, low, high in pictures:
        data = base64.b64encode(png((levels - low) / (high - low))).decode()
        yield (
            f'<figure><img alt="Spectrogram: {escape(name)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
        )
    yield "</div>"


def _strip(distance: np.ndarray, words: str) -> str:
    """A heat-map of one row as SVG."""
    shares = np.clip(distance / FULL_DB, 0, 1) ** CURVE
    cells = (
        f'<rect x="{x}" width="1.02" height="1" fill-opacity="{share:.2f}"/>'
        for x, share in enumerate(shares)
        if share >= 0.01
    )
    return (
        f'<svg class="strip" role="img" aria-label="{escape(words)}" viewBox="0 0 {len(shares)} 1" '
        f'preserveAspectRatio="none">{"".join(cells)}</svg>'
    )


# Night, violet, ember, straw: lightness rises evenly, so that the picture also reads in grey.
COLOURS = ((0, (8, 7, 22)), (0.35, (84, 25, 108)), (0.7, (226, 90, 66)), (1, (252, 240, 176)))


def png(shares: np.ndarray) -> bytes:
    """PNG of (rows, columns) in 0 to 1, lowest row first, in 256 colours (colour type 3; RFC 2083)."""
    places, colours = zip(*COLOURS, strict=True)
    palette = np.stack(
        [np.interp(np.linspace(0, 1, 256), places, channel) for channel in np.array(colours).T]
    )
    indices = (np.clip(shares, 0, 1)[::-1] * 255).round().astype(np.uint8)
    height, width = indices.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), indices])  # each line begins with its filter, none
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.T.round().astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


# ----------------------------------------------------------------------------------------------- how made


def _made(comparison: Comparison) -> Iterator[str]:
    recipe, consent = comparison.recipe, comparison.plan.consent
    machine, reference = recipe["machine"], recipe["reference"]
    sampling = {name: value for name, value in recipe["sampling"].items() if name != "seed"}
    facts = {
        "Statement": "none" if consent is None else f"{consent.wording} ({consent.when})",
        "Reference": f"{reference['seconds']} s, sha256 {reference['sha256']}; the clip itself is not here",
        "Weights": recipe["weights"],
        "Machine": f"{machine['processor']}; {machine['system']}; Python {machine['python']}, torch "
        f"{machine['torch']}, threads: {machine['threads']}",
        "Texts": " / ".join(recipe["texts"]),
        "Seeds": ", ".join(map(str, recipe["seeds"])),
        "Settings": ", ".join(f"{name} {value}" for name, value in sampling.items() if value != ""),
    }
    yield "<h2>How this was made</h2>"
    yield '<div class="scroll" role="region" aria-label="How this was made" tabindex="0"><table><tbody>'
    for name, value in facts.items():
        yield f'<tr><th scope="row">{name}</th><td><code>{escape(str(value))}</code></td></tr>'
    yield "</tbody></table></div>"
    yield (
        '<p>All figures: <a href="figures.csv">figures.csv</a>; every single value: '
        '<a href="values.csv">values.csv</a>. <a href="recipe.json">recipe.json</a> makes it again: '
        "<code>python -m pipelines.compare --recipe recipe.json --reference CLIP --out FOLDER</code></p>"
    )
    yield "<details><summary>Fingerprints of the takes (sha256 of the samples)</summary><ul>"
    for key, take in comparison.takes.items():
        yield f"<li>{escape(_called(key))}<br><code>{take.sha256}</code></li>"
    yield "</ul></details>"


def _short(words: str) -> str:
    return words if len(words) <= HEADING else f"{words[:HEADING].rsplit(' ', 1)[0]} …"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
