"""The parts of the page that are not Gradio's: cards, progress, verdicts, as HTML. Every value is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from pipelines.coach import Finding
from pipelines.device import Table, Verdict
from pipelines.types import Spec
from webui import words
from webui.handlers import Clip
from webui.jobs import Card, Job
from webui.sentences import told

SIGNS = {"good": "✓", "warn": "!", "bad": "✕", "safe": "✓", "possible": "!", "impossible": "✕"}
BARS = (120, 48)  # of the waveform's outline: count, height


def icon(name: str) -> str:
    """A small picture beside a word that says the same."""
    paths = {
        "play": "M7 4.5v15l13-7.5z",
        "pause": "M7 5h4v14H7zM13 5h4v14h-4z",
    }
    return f'<svg viewBox="0 0 24 24" aria-hidden="true" class="icon-{name}"><path d="{paths[name]}"/></svg>'


def header(bird: str, title: str, tagline: str) -> str:
    """The top of the page. `bird` is an SVG drawing."""
    return (
        f'<header class="masthead"><span aria-hidden="true">{bird}</span>'
        f"<div><h1>{title}</h1><p>{tagline}</p></div></header>"
    )


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{text}</h2>"


def hint(text: str) -> str:
    """A quiet line of help."""
    return f'<p class="hint">{text}</p>'


def notice(text: str, kind: str = "bad") -> str:
    """A sentence that the person should see now; empty for none."""
    if not text:
        return ""
    sign = SIGNS.get(kind, "i")
    return (
        f'<div class="notice {kind}"><span class="sign" aria-hidden="true">{sign}</span>'
        f"<p>{escape(text)}</p></div>"
    )


# --- the clip -----------------------------------------------------------------------------


def coached(clip: Clip, licence: str, page: str) -> str:
    """What the coach says about a clip, each finding with the button that mends it."""
    length = words.say(page, "coach.seconds", seconds=clip.seconds, rate=clip.sample_rate)
    rows = "".join(_finding(finding, clip.engine, page) for finding in clip.findings)
    said = words.say(page, "voice.licence", licence=told(page, licence)) if clip.example else ""
    line = f'<p class="licence">{escape(said)}</p>' if said else ""
    title = escape(words.say(page, "coach.heading"))
    fine = " fine" if [finding.kind for finding in clip.findings] == ["good"] else ""
    return (
        f'<section class="coach{fine}"><h3>{title} <small>{escape(length)}</small></h3>'
        f"<ul>{rows}</ul>{line}</section>"
    )


def _finding(finding: Finding, engine: str, page: str) -> str:
    word = words.say(page, f"coach.{finding.severity}")
    text, mend = words.finding(page, finding, engine)
    button = ""
    if mend:
        button = f'<button type="button" data-mend="{escape(finding.kind)}">{escape(mend)}</button>'
    return (
        f'<li class="{finding.severity}"><span class="badge"><span aria-hidden="true">'
        f"{SIGNS[finding.severity]}</span> {escape(word)}</span>"
        f'<span class="words">{escape(text)}</span>{button}</li>'
    )


# --- progress -----------------------------------------------------------------------------


def progress(job: Job, page: str) -> str:
    """How far a job is, with the address of its sound; at the end, a word for a screen reader alone."""
    if job.finished:
        ready = words.say(page, "take.ready", seconds=job.heard) if job.speaks and job.card else ""
        return f'<p class="unseen">{escape(ready)}</p>'
    key = "stopping" if job.stopping else job.stage
    said = words.say(page, f"progress.{key}", done=job.done, total=job.total)
    detail = job.words if page == "en" and key == "compare" else ""
    share = 100 * job.share
    now = f' aria-valuenow="{share:.0f}"' if share else ""
    sound = f' data-sound="myna/sound/{job.token}"' if job.speaks else ""
    heard = words.say(page, "progress.heard", seconds=job.heard) if job.heard else ""
    so_far = words.say(page, "progress.seconds", seconds=job.seconds)
    return (
        f'<div class="progress{"" if share > 0 else " unknown"}"{sound}>'
        f"<p><span>{escape(said)}</span>"
        f'<small aria-hidden="true">{escape(detail)}</small>'
        f'<small aria-hidden="true">{escape(heard)}</small>'
        f'<small aria-hidden="true">{escape(so_far)}</small></p>'
        f'<div class="bar" role="progressbar" aria-label="{escape(words.say(page, "progress.label"))}" '
        f'aria-valuemin="0" aria-valuemax="100"{now}><i style="width:{share:.0f}%"></i></div></div>'
    )


# --- takes --------------------------------------------------------------------------------


def take(card: Card, page: str) -> str:
    """A take as a card."""
    here = f"myna/takes/{card.token}"
    name = f"myna-ai-generated-{card.seed}-{card.sha256[:6]}"

    def say(key: str, **values: object) -> str:
        return escape(words.say(page, key, **values))

    tags = "".join(
        f'<span class="tag">{say(key)}</span>'
        for key, shown in (
            ("take.ai", True),
            ("take.refined", card.refined),
            ("take.stopped", card.stopped),
        )
        if shown
    )
    return (
        f'<header><blockquote>{escape(card.text)}</blockquote><div class="tags">{tags}</div></header>'
        f"{_player(card, here, say)}"
        f'<div class="spectrogram" role="img" aria-label="'
        f'{say("take.picture", top=card.top_hz / 1000, seconds=card.seconds)}" '
        f"style=\"--picture:url('{here}/spectrogram.png')\"><i></i></div>"
        f'<dl class="figures">{_figures(card, say, page)}</dl>'
        f"{_notes((told(page, note) for note in card.notes), say)}{_again(card, say)}"
        f"<details><summary>{say('take.stages')}</summary>{_stages(card, say, page)}"
        f"{_heard(card, say, page)}</details>"
        '<footer class="actions">'
        f'<a class="button" href="{here}/take.wav" download="{name}.wav">{say("take.wav")}</a>'
        f'<a class="button" href="{here}/take.srt" download="{name}.srt">{say("take.subtitles")}</a>'
        f'<a class="button" href="{here}/recipe.json" download="{name}.json">{say("take.recipe")}</a>'
        f"{_remake(card, say)}"
        f'<button type="button" data-act="delete" class="quiet">{say("take.delete")}</button></footer>'
    )


def _heard(card: Card, say, page: str) -> str:
    lines = [say("take.heard", words=card.heard)] if card.heard else []
    lines += [say("take.voice", facts=words.facts(page, card.voice))] if card.voice else []
    return "".join(f'<p class="hint">{line}</p>' for line in lines)


def _remake(card: Card, say) -> str:
    """The button for the same bytes; a take that was stopped has no end to come to again."""
    return "" if card.stopped else f'<button type="button" data-act="again">{say("take.again")}</button>'


def _player(card: Card, here: str, say) -> str:
    count, height = BARS
    bars = "".join(
        f'<rect x="{4 * i}" y="{(height - h) / 2:.1f}" width="2.600" height="{h:.1f}" rx="1.300"/>'
        for i, h in enumerate(max(2.0, height * peak) for peak in card.outline)
    )
    wave = (
        f'<svg viewBox="0 0 {4 * count} {height}" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
    )
    return (
        f'<div class="player" data-seconds="{card.seconds:.3f}">'
        f'<button type="button" class="play" aria-label="{say("take.play")}" '
        f'data-play="{say("take.play")}" data-pause="{say("take.pause")}">'
        f"{icon('play')}{icon('pause')}</button>"
        f'<div class="track"><div class="wave">{wave}</div><div class="wave done">{wave}</div>'
        f'<input type="range" min="0" max="1000" value="0" aria-label="{say("take.position")}"></div>'
        f'<span class="clock"><b>0.0</b> / {say("take.seconds", seconds=card.seconds)}</span>'
        f'<audio preload="metadata" src="{here}/take.wav"></audio></div>'
    )


def _figures(card: Card, say, page: str) -> str:
    likeness = f"{card.similarity:.2f}" if card.similarity is not None else "–"
    loud = f"{card.loudness:.1f} LUFS" if math.isfinite(card.loudness) else "–"
    shown = words.precision(page, card.precision.get("requested", ""), card.precision.get("used", ""))
    figures = (
        ("take.engine", card.engine, ""),
        ("take.similarity", likeness, "take.similarity.hint"),
        ("take.loudness", loud, ""),
        ("take.rtf", f"{card.rtf:.2f}", "take.rtf.hint"),
        ("take.seed", str(card.seed), ""),
        ("take.precision", shown, ""),
    )
    return "".join(
        f'<div class="{key[5:]}" title="{say(hint) if hint else ""}">'
        f"<dt>{say(key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value, hint in figures
    )


def _notes(notes: Iterable[str], say) -> str:
    rows = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<div class="notes"><h4>{say("take.notes")}</h4><ul>{rows}</ul></div>' if rows else ""


def _again(card: Card, say) -> str:
    if card.again is None:
        return ""
    same = card.again == card.sha256
    kind = "good" if same else "warn"
    said = say("take.same", sha256=card.sha256) if same else say("take.different", other=card.again)
    return f'<p class="again {kind}"><span aria-hidden="true">{SIGNS[kind]}</span> {said}</p>'


def _stages(card: Card, say, page: str) -> str:
    head = "".join(
        f'<th scope="col">{say(key)}</th>'
        for key in ("take.stage", "take.time", "take.device", "take.dtype", "take.note")
    )
    rows = "".join(
        f'<tr><th scope="row">{say(f"stage.{line.stage}")}</th>'
        f"<td>{line.seconds:.2f} s</td><td>{escape(line.device)}</td>"
        f"<td>{escape(line.dtype)}</td><td>{escape(told(page, line.note))}</td></tr>"
        for line in card.stages
    )
    reason = told(page, card.precision.get("reason", ""))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{say("take.stages")}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="hint">{escape(reason)}</p>'
        f'<p class="hint">{_explained("take.similarity", page)}</p>'
        f'<p class="hint">{_explained("take.rtf", page)}</p>'
        f'<p class="hash">sha256 {card.sha256}</p>'
    )


def _explained(key: str, page: str) -> str:
    hint = words.say(page, f"{key}.hint")
    return escape(words.say(page, "take.explained", name=words.say(page, key), hint=hint))


# --- settings -----------------------------------------------------------------------------


def verdicts(table: Table, page: str) -> str:
    """What the probe found, a table for each device."""

    def say(key: str, **values: object) -> str:
        return escape(words.say(page, key, **values))

    head = "".join(
        f'<th scope="col">{say(key)}</th>'
        for key in ("verdict.mode", "verdict.verdict", "verdict.speed", "verdict.error", "verdict.reason")
    )
    parts = []
    for place, modes in table.items():
        rows = "".join(
            f'<tr><th scope="row">{mode}</th>'
            f'<td class="{v.verdict}"><span aria-hidden="true">{SIGNS[v.verdict]}</span> '
            f"{say(f'verdict.{v.verdict}')}</td>"
            f"{_figures_of(v)}<td>{escape(told(page, v.reason))}</td></tr>"
            for mode, v in modes.items()
        )
        label = f"{say('settings.table')}: {escape(place)}"
        parts.append(
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
            f"<table><caption>{escape(place)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table></div>"
        )
    return "".join(parts)


def _figures_of(verdict: Verdict) -> str:
    """Speed and error as two cells, empty where nothing was measured."""
    speed = f"{verdict.speed:.1f} ×" if verdict.speed is not None else ""
    error = f"{100 * verdict.error:.2g} %" if verdict.error is not None else ""
    return f'<td class="number">{speed}</td><td class="number">{error}</td>'


def engines(specs: Iterable[tuple[Spec, str | None]], page: str) -> str:
    """What is known of every engine, with what keeps it from speaking."""
    heading = f"<h2>{escape(words.say(page, 'engine.heading'))}</h2>"
    return heading + "".join(_engine(spec, missing, page) for spec, missing in specs)


def _engine(spec: Spec, missing: str | None, page: str) -> str:
    state = told(page, missing) if missing else words.say(page, "engine.ready")
    rows = (
        ("engine.languages", words.listed(page, [name for name, _ in words.languages(page, spec)])),
        ("engine.rate", f"{spec.sample_rate} Hz"),
        ("engine.state", state),
        ("engine.source", told(page, spec.source)),
    )
    body = "".join(f"<div><dt>{escape(words.say(page, k))}</dt><dd>{escape(v)}</dd></div>" for k, v in rows)
    about, _ = words.engine(page, spec)
    note = f'<p class="hint">{escape(about)}</p>' if about else ""
    return f'<h3>{escape(spec.title)}</h3><dl class="facts">{body}</dl>{note}'


def about(folder: str, page: str) -> str:
    """Where the data is, and what the page does not do."""
    return "".join(
        f"<h2>{escape(words.say(page, f'{part}.heading'))}</h2>"
        f"<p>{escape(words.say(page, f'{part}.words', folder=folder))}</p>"
        for part in ("data", "about")
    )
