"""What a comparison found, a pair to listen to, and the blind test, as HTML. Every value is escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from pipelines.blind import ANSWERS, HEARD, Result, Trial
from pipelines.compare import Card, Comparison, Cost, Figure, Key
from webui import words
from webui.comparing import SOUNDS, Pair, title
from webui.markup import SIGNS, icon
from webui.sentences import told

LEVELS = {
    "reference": "good", "same": "good", "near": "good", "other": "warn", "worse": "bad", "no sound": "bad",
    "impossible": "bad",
}  # fmt: skip
TRIALS = (10, 16)  # offered beside a number of one's own
GROUPS = ("free", "locked", "alone", "control")
PICTURES = (("a.png", "A"), ("b.png", "B"), ("apart.png", "|A−B|"))
KEYS = {"A": "1", "B": "2", "=": "3"}  # beside the arrows
Say = Callable[..., str]


def _sayer(page: str) -> Say:
    def say(key: str, **values: object) -> str:
        return escape(words.say(page, key, **values))

    return say


# --- the first view ----------------------------------------------------------------------


def comparison(found: Comparison, token: str, page: str) -> str:
    """A finished run: a card a mode, one button, and the rest folded."""
    say = _sayer(page)
    cards = "".join(_card(card, found, say, page) for card in found.cards)
    halted = f'<p class="hint">{say("compare.stopped")}</p>' if found.stopped else ""
    pairs = len(_variants(found)) > 1
    blind = (
        f'<button type="button" class="big" data-do="blind">{say("compare.blind")}</button>' if pairs else ""
    )
    parts = [_listen(found, say, page)] if pairs else []
    parts += [_figures(found, say, page), _more(found, say, page)]
    return (
        f'<article class="comparison" data-run="{escape(token)}">{halted}'
        f'<div class="modes">{cards}</div>'
        f'<div class="invite">{blind}'
        f'<a class="button" href="myna/runs/{escape(token)}" download="myna-comparison.zip">'
        f"{say('compare.zip')}</a></div>{''.join(parts)}"
        f"<template>{_setup(found, say, page)}</template></article>"
    )


def _card(card: Card, found: Comparison, say: Say, page: str) -> str:
    kind = LEVELS[card.level]
    cost = next((cost for cost in found.costs if cost.mode == card.mode), None)
    sounds, costs = words.card(page, card.level, card.sounds, card.costs, cost)
    return (
        f'<section class="mode"><header><h3>{escape(card.mode)}</h3>'
        f'<span class="{kind}"><span class="badge"><span aria-hidden="true">{SIGNS[kind]}</span> '
        f"{say(f'compare.level.{card.level}')}</span></span></header>"
        f"<dl><div><dt>{say('compare.sounds')}</dt><dd>{escape(sounds)}</dd></div>"
        f"<div><dt>{say('compare.costs')}</dt><dd>{escape(costs)}</dd></div></dl></section>"
    )


def impossible(reasons: Mapping[str, str], page: str) -> str:
    """The precisions that cannot be had here, as choices that cannot be made."""
    say = _sayer(page)
    rows = "".join(
        f'<li><label><input type="checkbox" disabled> <b>{escape(mode)}</b> — '
        f'<span aria-hidden="true">{SIGNS["impossible"]}</span> {escape(told(page, reason))}</label></li>'
        for mode, reason in reasons.items()
    )
    return f"<p>{say('compare.modes.not')}</p><ul>{rows}</ul>" if rows else ""


# --- choosing takes ----------------------------------------------------------------------


def _variants(found: Comparison) -> dict[str, tuple[str, Key]]:
    """What can be listened to, whatever the text and seed: `kind-mode-stage` -> (group, an example)."""
    variants: dict[str, tuple[str, Key]] = {}
    for key in found.takes:
        group = "control" if key.kind in ("control", "noise") else "alone" if key.stage else key.kind
        variants.setdefault(f"{key.kind}-{key.mode}-{key.stage}", (group, key))
    return variants


def _nearest(found: Comparison, variants: dict[str, tuple[str, Key]]) -> str:
    """What to hear first beside float32: the first lowered mode's rendering of the same units, or its own."""
    lowered = [name for name, (_, key) in variants.items() if key.mode != "float32"]
    locked = [name for name in lowered if name.startswith("locked") and name.endswith("-")]
    return next(iter([*locked, *lowered, *variants]))


def _take_select(name: str, label: str, chosen: str, found: Comparison, say: Say, page: str) -> str:
    variants = _variants(found)
    groups = []
    for group in GROUPS:
        options = "".join(
            f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
            f"{escape(title(key, found.draws, page))}</option>"
            for value, (where, key) in variants.items()
            if where == group
        )
        if options:
            groups.append(f'<optgroup label="{say(f"compare.group.{group}")}">{options}</optgroup>')
    return (
        f'<label class="field"><span>{label}</span><select name="{name}">{"".join(groups)}</select></label>'
    )


def _choice(found: Comparison, say: Say, page: str) -> str:
    """The four choices that name two takes."""
    texts = "".join(
        f'<option value="{place}">{escape(_short(text))}</option>'
        for place, text in enumerate(found.plan.texts)
    )
    seeds = "".join(f'<option value="{place}">{seed}</option>' for place, seed in enumerate(found.plan.seeds))
    variants = _variants(found)
    first = _take_select("first", say("compare.first"), "free-float32-", found, say, page)
    second = _take_select("second", say("compare.second"), _nearest(found, variants), found, say, page)
    one_text, one_seed = (
        " hidden" if len(given) < 2 else "" for given in (found.plan.texts, found.plan.seeds)
    )
    return (
        f"{first}{second}"
        f'<label class="field wide"{one_text}><span>{say("compare.text")}</span>'
        f'<select name="text">{texts}</select></label>'
        f'<label class="field"{one_seed}><span>{say("compare.seed")}</span>'
        f'<select name="seed">{seeds}</select></label>'
    )


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _listen(found: Comparison, say: Say, page: str) -> str:
    return (
        f'<details data-part="listen"><summary>{say("compare.listen")}</summary>'
        f'<form class="choice">{_choice(found, say, page)}</form>'
        f'<p class="hint waiting" role="status" data-loading="{say("compare.loading")}"></p>'
        '<div class="place"></div></details>'
    )


# --- a pair ------------------------------------------------------------------------------


def pair(ready: Pair, page: str) -> str:
    """Two takes with their pictures. The script puts the sounds behind it."""
    say = _sayer(page)
    here = f"myna/pairs/{ready.token}"
    letters = "".join(
        f'<button type="button" data-sound="{letter}" aria-pressed="{"true" if letter == "A" else "false"}">'
        f"<kbd>{letter}</kbd> {text}</button>"
        for letter, text in (
            ("A", escape(title(ready.keys[0], ready.draws, page))),
            ("B", escape(title(ready.keys[1], ready.draws, page))),
            *((("D", say("compare.difference")),) if ready.aligned else ()),
        )
    )
    stretched = "" if ready.aligned else f" ({say('compare.stretched')})"
    pictures = "".join(
        f"<figure><figcaption>{escape(label)}{stretched if label == 'B' else ''}</figcaption>"
        '<div class="spectrogram" role="img" aria-label="'
        f'{say("compare.picture", which=label, seconds=ready.seconds, top=ready.top_hz / 1000)}" '
        f"style=\"--picture:url('{here}/{name}')\"><i></i></div></figure>"
        for name, label in PICTURES
    )
    return (
        f'<div class="pair" role="group" tabindex="0" aria-label="{say("compare.player")}">'
        f'<div class="row">{_play(say)}'
        f'<div class="letters">{letters}</div>'
        f'<button type="button" data-do="switch"><kbd>S</kbd> {say("compare.switch")}</button></div>'
        f'<p class="keys">{say("compare.keys")}</p>'
        f'<div class="views">{pictures}'
        f"<figure><figcaption>{say('compare.apart')}</figcaption>{_parting(ready, say)}</figure>"
        '<i class="head" aria-hidden="true"></i>'
        f'<input type="range" min="0" max="1000" value="0" aria-label="{say("take.position")}"></div>'
        f'<p class="hint">{words.after(page, _apart(ready, say), say("compare.scale", **_span(ready)))}</p>'
        f'<p class="hint">{_difference(ready, say)}</p></div>'
    )


def _play(say: Say) -> str:
    return (
        f'<button type="button" class="play" data-do="play" aria-label="{say("take.play")}" '
        f'data-play="{say("take.play")}" data-pause="{say("take.pause")}">'
        f"{icon('play')}{icon('pause')}</button>"
    )


def sounds(ready: Pair) -> dict[str, str]:
    """Letter -> address of a pair's sounds."""
    return {
        letter: f"myna/pairs/{ready.token}/{name}" for letter, name in SOUNDS.items() if name in ready.files
    }


def _span(ready: Pair) -> dict[str, float]:
    floor, top, reach = ready.scale
    return {"span": top - floor, "range": reach}


def _parting(ready: Pair, say: Say) -> str:
    """Where the two part, as a strip of bars: taller and stronger is further apart."""
    most = max(1.0, *ready.parting)
    bars = "".join(
        f'<rect x="{place}" y="{24 * (1 - value / most):.2f}" width="1.02" '
        f'height="{24 * value / most:.2f}" opacity="{0.25 + 0.75 * value / most:.2f}"/>'
        for place, value in enumerate(ready.parting)
    )
    width = ready.seconds / ready.step
    return (
        f'<svg class="parting" viewBox="0 0 {width:.2f} 24" preserveAspectRatio="none" role="img" '
        f'aria-label="{_apart(ready, say)}">{bars}</svg>'
    )


def _apart(ready: Pair, say: Say) -> str:
    track = ready.parting
    most = max(track)
    when = track.index(most) * ready.step
    return say("compare.parting", most=most, when=when, mean=sum(track) / len(track))


def _difference(ready: Pair, say: Say) -> str:
    if ready.quieter is None:
        return say("compare.difference.none")
    if math.isinf(ready.quieter):
        return say("compare.difference.zero")
    return say("compare.difference.is", quieter=ready.quieter, louder=ready.louder)


# --- figures -----------------------------------------------------------------------------


def _figures(found: Comparison, say: Say, page: str) -> str:
    tables = [_costs(found.costs, say)] if found.costs else []
    for kind in ("locked", "forced", "free"):
        chosen = [figure for figure in found.figures if figure.kind == kind]
        if chosen:
            tables.append(_table(kind, chosen, say, page))
    steady = "" if found.draws else f'<p class="hint honest">{say("compare.steady")}</p>'
    return (
        f'<details data-part="figures"><summary>{say("compare.figures")}</summary>{steady}'
        f'<p class="hint">{say("compare.figures.hint")}</p>{"".join(tables)}</details>'
    )


def _table(kind: str, figures: Sequence[Figure], say: Say, page: str) -> str:
    """A row a measure, a column a mode (and stage), the control last."""
    columns = list(dict.fromkeys((figure.mode, figure.stage) for figure in figures))
    cells = {(figure.name, figure.mode, figure.stage): figure for figure in figures}
    measures = {figure.name: figure for figure in figures}
    controlled = any(figure.control_median is not None for figure in figures)
    head = "".join(f'<th scope="col">{escape(mode)}{_only(stage, say)}</th>' for mode, stage in columns)
    last = f'<th scope="col">{say("compare.control")}</th>' if controlled else ""
    rows = "".join(
        f'<tr><th scope="row">{_measure(figure, page)}</th>'
        + "".join(_cell(cells.get((name, *column))) for column in columns)
        + (_control(figure) if controlled else "")
        + "</tr>"
        for name, figure in measures.items()
    )
    label = say(f"compare.table.{kind}")
    return (
        f'<h4>{label}</h4><div class="scroll figures-table" tabindex="0" role="region" aria-label="{label}">'
        f'<table aria-label="{label}"><thead><tr><th scope="col">{say("compare.measure")}</th>'
        f"{head}{last}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _only(stage: str, say: Say) -> str:
    return f"<small>{say('compare.only', stage=say(f'stage.{stage}'))}</small>" if stage else ""


def _measure(figure: Figure, page: str) -> str:
    label, sentence = words.measure(page, figure.name, figure.label, figure.sentence)
    unit = f" <small>{escape(figure.unit)}</small>" if figure.unit else ""
    return f'{escape(label)}{unit}<span class="sentence">{escape(sentence)}</span>'


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return '<td class="number">–</td>'
    return _ranged(figure.median, figure.low, figure.high)


def _control(figure: Figure) -> str:
    if figure.control_median is None:
        return '<td class="number">–</td>'
    return _ranged(figure.control_median, figure.control_low, figure.control_high)


def _ranged(median: float, low: float | None, high: float | None) -> str:
    reach = "" if low is None or high is None else f"<small>{_number(low)} … {_number(high)}</small>"
    return f'<td class="number"><b>{_number(median)}</b>{reach}</td>'


def _number(value: float) -> str:
    """Three significant figures, as people write them.

    >>> _number(0.01234), _number(123.4), _number(-0.0)
    ('0.0123', '123', '0')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 6)}f}".replace("-", "−")


def _costs(costs: Sequence[Cost], say: Say) -> str:
    head = "".join(
        f'<th scope="col">{say(key)}</th>'
        for key in ("verdict.mode", "compare.speed", "compare.rtf", "compare.memory", "compare.load")
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(cost.mode)}</th>{_speed(cost)}'
        f'<td class="number">{_number(cost.rtf)} s</td>{_memory(cost)}'
        f'<td class="number">{_number(cost.load_seconds)} s</td></tr>'
        for cost in costs
    )
    busy = f" {say('compare.noisy')}" if any(cost.noisy for cost in costs) else ""
    label = say("compare.table.costs")
    return (
        f'<h4>{label}</h4><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="hint">{say("compare.costs.hint")}{busy}</p>'
    )


def _speed(cost: Cost) -> str:
    if cost.speed is None:
        return '<td class="number"><b>1 ×</b></td>'
    reach = f"<small>{_number(cost.speed_low)} … {_number(cost.speed_high)}</small>"
    return f'<td class="number"><b>{_number(cost.speed)} ×</b>{reach}</td>'


def _memory(cost: Cost) -> str:
    share = f"<small>{_number(cost.memory)} ×</small>" if cost.memory is not None else ""
    return f'<td class="number"><b>{cost.weights / 1e6:.0f} MB</b>{share}</td>'


def _more(found: Comparison, say: Say, page: str) -> str:
    made = say("compare.made", count=len(found.takes), texts=len(found.plan.texts), place=found.place)
    absent = [(mode, kind and f"compare.absent.{kind}", why) for (mode, kind), why in found.absent.items()]
    silent = [(key.mode, key.stage and f"stage.{key.stage}", why) for key, why in found.silent.items()]
    missing = [_missing(*row, page) for row in (*absent, *silent)]
    left_out = f"<h4>{say('compare.left_out')}</h4>{_list(dict.fromkeys(missing))}" if missing else ""
    notes = (
        f"<h4>{say('take.notes')}</h4>{_list(told(page, note) for note in found.notes)}"
        if found.notes
        else ""
    )
    return (
        f'<details data-part="more"><summary>{say("compare.more")}</summary>'
        f'<div class="prose"><p>{made}</p>{left_out}{notes}</div></details>'
    )


def _missing(mode: str, key: str, why: str, page: str) -> str:
    """What was not made, and why; `key` is of the words for the part of the mode, empty for all of it."""
    part = words.say(page, key) if key else ""
    return words.say(page, "compare.why", what=f"{mode} {part}".strip(), why=told(page, why))


def _list(rows: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(row)}</li>' for row in rows)}</ul>"


# --- the blind test ----------------------------------------------------------------------


def _setup(found: Comparison, say: Say, page: str) -> str:
    """What is chosen before a blind test."""
    kinds = "".join(
        f'<label><input type="radio" name="kind" value="{kind}"{" checked" if kind == "abx" else ""}> '
        f"{say(f'blind.kind.{kind}')}</label>"
        for kind in HEARD
    )
    counts = "".join(
        f'<label><input type="radio" name="trials" value="{count}"{" checked" if count == TRIALS[0] else ""}>'
        f" {count}</label>"
        for count in TRIALS
    )
    return (
        '<form class="setup" novalidate><header>'
        f'<h2 id="blind-title" tabindex="-1">{say("blind.heading")}</h2></header>'
        f'<p>{say("blind.hint")}</p><div class="choice">{_choice(found, say, page)}</div>'
        f"<fieldset><legend>{say('blind.kind')}</legend>{kinds}</fieldset>"
        f"<fieldset><legend>{say('blind.trials')}</legend>{counts}"
        f'<label><input type="radio" name="trials" value="own"> {say("blind.trials.own")}</label>'
        f'<input type="number" name="own" min="5" max="50" value="20" aria-label="{say("blind.trials.own")}">'
        f'<p class="hint">{say("blind.trials.hint")}</p></fieldset>'
        '<p class="said" role="alert"></p><footer>'
        f'<button type="submit" class="big">{say("blind.begin")}</button>'
        f'<button type="button" data-do="close">{say("blind.close")}</button></footer></form>'
    )


def trial(step: Trial, page: str) -> str:
    """One trial, with nothing on it that the answer could be read from."""
    say = _sayer(page)
    listen = "".join(
        f'<button type="button" data-sound="{letter}" aria-pressed="false" '
        f'aria-label="{say("blind.listen.to", letter=letter)}">{letter}</button>'
        for letter in HEARD[step.kind]
    )
    answers = "".join(
        f'<button type="button" data-answer="{answer}" aria-pressed="false"><kbd>{KEYS[answer]}</kbd> '
        f"{say(f'blind.{step.kind}.{answer}')}</button>"
        for answer in ANSWERS[step.kind]
    )
    last = "blind.last" if step.number == step.trials else "blind.next"
    return (
        f'<section class="trial" data-number="{step.number}"><header><h2 id="blind-title" tabindex="-1">'
        f"{say('blind.number', number=step.number, trials=step.trials)}</h2>"
        f'<progress max="{step.trials}" value="{step.number - 1}" aria-label="{say("progress.label")}">'
        f"</progress></header><p>{say(f'blind.ask.{step.kind}')}</p>"
        f'<div class="letters" role="group" aria-label="{say("blind.listen")}">{listen}</div>'
        f'<div class="row">{_play(say)}'
        '<div class="course" aria-hidden="true"><i></i></div></div>'
        f'<div class="answers" role="group" aria-label="{say("blind.answer")}">{answers}</div>'
        f'<p class="said" role="status" data-first="{say("blind.first")}"></p>'
        f'<footer><button type="button" class="big" data-do="next">{say(last)}</button>'
        f'<button type="button" data-do="later">{say("blind.later")}</button>'
        f'<button type="button" class="quiet" data-do="abandon">{say("blind.abandon")}</button></footer>'
        f'<p class="keys">{say(f"blind.keys.{step.kind}")}</p></section>'
    )


def result(done: Result, page: str) -> str:
    """How a blind test ended."""
    say = _sayer(page)
    kind = "good" if done.clear else "wait"
    sign = SIGNS["good"] if done.clear else "="
    score = f"{done.score} / {done.counted}"
    label = say("blind.right") if done.kind == "abx" else say("blind.chosen", name=done.names[0])
    rows = "".join(
        f'<tr><th scope="row">{number}</th><td>{escape(key)}</td><td>{escape(said)}</td>'
        f'<td aria-hidden="true">{"✓" if key == said else "·"}</td></tr>'
        for number, (key, said) in enumerate(zip(done.key, done.answers, strict=True), 1)
    )
    was = say("blind.was") if done.kind == "abx" else say("blind.first_was", name=done.names[0])
    return (
        '<section class="outcome"><header>'
        f'<h2 id="blind-title" tabindex="-1">{say("blind.result")}</h2></header>'
        f'<div class="notice {kind}"><span class="sign" aria-hidden="true">{sign}</span>'
        f"<p>{escape(words.outcome(page, done))}</p></div>"
        f"<p>{say('blind.what', first=done.names[0], second=done.names[1])}</p>"
        f'<dl class="figures"><div><dt>{label}</dt><dd>{score}</dd></div>'
        f"<div><dt>{say('blind.p')}</dt><dd>{say('blind.p.value', p=done.p)}</dd></div>"
        f"<div><dt>{say(f'blind.rate.{done.kind}')}</dt>"
        f"<dd>{say('blind.rate.value', low=done.low, high=done.high)}</dd></div></dl>"
        f'<p class="hint">{say("blind.rate.hint")}</p>'
        f'<details><summary>{say("blind.list")}</summary><div class="scroll"><table><thead><tr>'
        f'<th scope="col">#</th><th scope="col">{was}</th><th scope="col">{say("blind.said")}</th>'
        "<td></td></tr>"
        f"</thead><tbody>{rows}</tbody></table></div></details>"
        f'<footer><button type="button" class="big" data-do="close">{say("blind.close")}</button>'
        "</footer></section>"
    )
