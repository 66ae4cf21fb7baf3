"""The Models screen: what speaks here, what can be added, and how far an installation is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape

import gradio as gr

from pipelines.catalogue import Catalogue
from pipelines.hub import told_bytes
from pipelines.install import EditionState, Own, PartState, Seen, Store
from pipelines.registry import Engines
from pipelines.types import InputError, Spec
from webui import markup, visitors, words
from webui.choosing import plain
from webui.installing import OWN, Installing, Work
from webui.jobs import trouble
from webui.sentences import told
from webui.serving import AT_ONCE, page_of

GLANCE = 0.7  # seconds between two looks of a page at what goes on

# Cards are kept by name and redrawn only where they changed, so that who tabs through them keeps the place.
CARDS_SCRIPT = """
const place = element.querySelector('.models');
const draw = () => {
  const left = new Map([...place.children].map((card) => [card.dataset.name, card]));
  (props.value || []).forEach((told, number) => {
    let card = left.get(told.name);
    if (!card) {
      card = document.createElement(told.tag);
      card.dataset.name = told.name;
    }
    left.delete(told.name);
    card.className = told.kind;
    if (card.drawn !== told.html) {
      const held = card.contains(document.activeElement) && document.activeElement.dataset;
      const unfolded = [...card.querySelectorAll('details')].map((details) => details.open);
      card.innerHTML = card.drawn = told.html;
      card.alive = '';
      card.querySelectorAll('details').forEach((details, n) => { details.open = !!unfolded[n]; });
      const next = held && (card.querySelector(`footer [data-act="${held.act}"]`)
        || card.querySelector('footer button, summary'));
      if (next) next.focus();
    }
    if (card.alive !== told.live) {
      card.querySelector('.live').innerHTML = told.live;
      card.alive = told.live;
    }
    if (place.children[number] !== card) place.insertBefore(card, place.children[number] || null);
  });
  left.forEach((card) => card.remove());
};
const copy = async (button) => {
  const text = button.dataset.copy;
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
  } else {
    const area = Object.assign(document.createElement('textarea'), {value: text});
    button.after(area);
    area.select();
    document.execCommand('copy');
    area.remove();
    button.focus();
  }
  const said = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = said; }, 1500);
};
place.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const dialog = button.closest('li:has(dialog), article').querySelector('dialog');
  if (button.dataset.copy) copy(button);
  else if (button.dataset.ask !== undefined) dialog.showModal();
  else if (button.dataset.keep !== undefined) dialog.close();
  else if (button.dataset.act) {
    if (dialog && dialog.open) dialog.close();
    const [engine, edition] = button.closest('[data-name]').dataset.name.split('/');
    trigger('click', {act: button.dataset.act, engine, edition, key: button.dataset.key || ''});
  }
});
watch('value', draw);
draw();
"""


def build(engines: Engines, store: Store | None, t: Callable[[str], object], tab: gr.Tab) -> None:
    """Lay out the screen and wire it. `store` knows the folders; the usual one where it is None."""
    installing = Installing(engines, store or Store(engines.models))
    with gr.Column(elem_classes="sheet"):
        plain(markup.heading(str(t("models.heading"))))
        plain(markup.hint(str(t("models.hint"))))
        folder = plain(elem_id="models-folder")
        with gr.Row(elem_classes="chips"):
            check = gr.Button(t("models.check"), elem_id="models-check", size="sm")
        said = plain("", elem_id="models-said", html_template='<div role="status">${value}</div>')
    place = plain([], elem_id="models", html_template='<div class="models"></div>', js_on_load=CARDS_SCRIPT)
    timer = gr.Timer(GLANCE, active=False)
    shown = [folder, said, place, timer]

    def drawn(request: gr.Request, trouble: str = "") -> list[object]:
        page, may = page_of(request), _may_change(request)
        return [
            _folders(installing.store, page)
            if may
            else markup.notice(words.say(page, "models.elsewhere"), "wait"),
            markup.notice(trouble) or _status(installing, page),
            list(cards(installing, page, may)),
            gr.Timer(active=installing.busy),
        ]

    async def look(request: gr.Request) -> list[object]:
        await asyncio.to_thread(installing.look)
        return drawn(request)

    def glance(request: gr.Request) -> list[object]:
        return drawn(request)

    async def act(request: gr.Request, event: gr.EventData) -> list[object]:
        asked = tuple(str(part) for part in (event.act, event.engine, event.edition, event.key))
        try:
            if not _may_change(request):
                raise InputError(words.say(page_of(request), "models.elsewhere"))
            await asyncio.to_thread(_done, installing, page_of(request), *asked)
        except Exception as error:
            return drawn(request, trouble(error, page_of(request)))
        return drawn(request)

    tab.select(look, None, shown, **AT_ONCE)
    check.click(look, None, shown, **AT_ONCE)
    timer.tick(glance, None, shown, **AT_ONCE)
    place.click(act, None, shown, **AT_ONCE)


def _may_change(request: gr.Request) -> bool:
    client = request.client
    headers = {name.lower(): value for name, value in dict(request.headers).items()}
    return visitors.may_change(client.host if client else None, headers, request.username)


def _done(installing: Installing, page: str, act: str, engine: str, edition: str, key: str) -> None:
    """What a button asks for; nothing for a button that there is not."""
    if act in ("install", "use"):
        installing.install(engine, edition, fetching=act == "install")
    elif act == "official":
        installing.install(engine, edition, own=False)
    elif act == "unpack":
        installing.unpack(engine, page)
    elif act == "remove":
        installing.remove(engine, edition)
    elif act == "choose":
        installing.choose(engine, edition)
    elif act == "adopt":
        installing.adopt(engine, key)
    elif act == "prefer":
        installing.prefer(engine, key)
    elif act == "restore":
        installing.restore(engine, key)
    elif act == "discard":
        installing.discard(engine, key)
    elif act == "stop":
        installing.stop(engine, edition)


# --- what is shown ------------------------------------------------------------------------


def _folders(store: Store, page: str) -> str:
    names = words.say(page, "models.folder.or").join(str(folder) for folder in store.folders)
    return markup.hint(escape(words.say(page, "models.folder", folder=names)))


def _status(installing: Installing, page: str) -> str:
    """A look at the folders that takes its time, or what kept it from its end."""
    if complaint := installing.complaint(page):
        return markup.notice(complaint)
    work = installing.looking()
    if work is None:
        return ""
    name = work.step.name
    said = words.say(page, "models.looking", name=name) if name else words.say(page, "models.looking.all")
    return markup.notice(said, "wait")


def cards(installing: Installing, page: str, may: bool = True) -> Iterator[dict[str, str]]:
    """Everything on the screen, in order, as the page's script takes it.

    Who may change nothing sees no buttons, and no names of files that the owner put here.
    """
    for card in _all_cards(installing, page, may):
        if may:
            yield card
        elif not card["kind"].endswith((" owned", " unused")):
            yield card | {"html": card["html"].partition("<footer")[0]}


def _all_cards(installing: Installing, page: str, may: bool) -> Iterator[dict[str, str]]:
    for spec, missing in installing.embedded():
        yield _embedded(spec, missing, installing.work(spec.name, ""), page)
    for engine in installing.published():
        catalogue = installing.store.catalogue(engine)
        yield _head(catalogue, page)
        chosen = installing.store.chosen(engine)
        for state in installing.states(engine):
            if not may:
                state = replace(state, parts=tuple(replace(part, own=False) for part in state.parts))
            yield _card(installing, catalogue, state, state.edition.name == chosen, page)
        if own := installing.own(engine):
            yield _owned(engine, own, installing.work(engine, OWN), page)
    if unused := installing.unused():
        yield _unused(unused, page)


def _head(catalogue: Catalogue, page: str) -> dict[str, str]:
    home = escape(words.say(page, "models.from", home=catalogue.home))
    said = words.after(page, _named(page, f"edition.{catalogue.engine}", ""), home)
    html = f'<h2>{escape(catalogue.title)}</h2><p class="hint">{said}</p>'
    return {
        "name": catalogue.engine, "tag": "header", "kind": "engine",
        "html": f'{html}<div class="live"></div>', "live": "",
    }  # fmt: skip


def _named(page: str, key: str, otherwise: str) -> str:
    """What the page says of something in a catalogue; the catalogue's own words where it says nothing."""
    return escape(words.say(page, key) if key in words.TEXTS else otherwise)


def _embedded(spec: Spec, missing: str | None, work: Work | None, page: str) -> dict[str, str]:
    state = "busy" if work and not work.finished else "missing" if missing else "installed"
    lack = told(page, missing) if missing else words.say(page, "models.ready")
    source = words.say(page, "models.source", source=told(page, spec.source))
    button = _button("unpack", words.say(page, "models.unpack"), "first") if missing else ""
    html = (
        f"{_top(escape(spec.title), state, page)}"
        f'<div class="tags">{_tag(words.say(page, "models.embedded"))}{_rate(spec.sample_rate, page)}</div>'
        f'<p class="lack">{escape(lack)}</p>{_trouble(work, page)}<div class="live"></div>'
        f'<p class="licence">{escape(source)}</p>'
        f'<footer class="actions">{"" if state == "busy" else button}</footer>'
    )
    return {
        "name": f"{spec.name}/", "tag": "article", "kind": f"model {state}",
        "html": html, "live": _live(work, page),
    }  # fmt: skip


def _card(
    installing: Installing, catalogue: Catalogue, state: EditionState, chosen: bool, page: str
) -> dict[str, str]:
    engine, edition = catalogue.engine, state.edition
    work = installing.work(engine, edition.name)
    now = "busy" if work and not work.finished else state.state
    title = _named(page, f"title.{engine}.{edition.name}", edition.title)
    html = (
        f'{_top(title, now, page)}<div class="tags">{_rate(edition.sample_rate, page)}'
        f"{'' if edition.sample_rate else _tag(words.say(page, 'models.addition'))}"
        f"{_tag(words.say(page, 'models.chosen')) if chosen else ''}</div>"
        f'<p class="note">{_named(page, f"edition.{engine}.{edition.name}", "")}</p>'
        f'<p class="lack">{escape(_lack(state, page))}</p>{_trouble(work, page)}<div class="live"></div>'
        f"{_parts(engine, state, page)}"
        f'<p class="licence">{escape(words.say(page, "models.licence", licence=_licences(state, page)))}</p>'
        f'<footer class="actions">{_buttons(installing, catalogue, state, now, chosen, page)}</footer>'
    )
    return {
        "name": f"{engine}/{edition.name}", "tag": "article", "kind": f"model {now}",
        "html": html, "live": _live(work, page),
    }  # fmt: skip


def _licences(state: EditionState, page: str) -> str:
    """Each licence once, with those who gave it."""
    owners: dict[str, dict[str, None]] = {}
    for part in state.parts:
        owners.setdefault(part.part.licence, {})[part.part.owner] = None
    given = [
        words.say(page, "models.licence.of", licence=licence, owners=words.listed(page, list(names)))
        for licence, names in owners.items()
    ]
    return words.listed(page, given)


def _lack(state: EditionState, page: str) -> str:
    here, size = len(state.parts) - len(state.missing), told_bytes(state.to_fetch)
    if state.state == "installed":
        size = told_bytes(sum(part.part.size for part in state.parts))
        return words.say(page, "models.lack.installed", count=len(state.parts), size=size)
    if state.missing and here:
        said = words.say(page, "models.lack.part", here=here, all=len(state.parts), size=size)
    else:
        said = words.say(page, f"models.lack.{state.state}", size=size)
    begun = sum(part.fetched for part in state.missing)
    return words.after(page, said, words.say(page, "models.resume", size=told_bytes(begun)) if begun else "")


def _buttons(
    installing: Installing, catalogue: Catalogue, state: EditionState, now: str, chosen: bool, page: str
) -> str:
    if now == "busy":
        return _button("stop", words.say(page, "stop"), "quiet")
    own = sum(part.part.size for part in state.parts if part.own)
    instead = words.say(page, "models.official", size=told_bytes(own + state.to_fetch))
    official = _button("official", instead) if own else ""
    if now == "installed":
        choose = state.edition.sample_rate is not None and not chosen
        use = _button("choose", words.say(page, "models.choose")) if choose else ""
        return use + official + _removing(installing, catalogue, state, page)
    begun = any(part.fetched for part in state.missing)
    key = "models.resume.install" if begun else "models.install"
    install = words.say(page, key, size=told_bytes(state.to_fetch))
    found = any(part.state == "found" for part in state.parts)
    return (_button("install", install, "first") if state.missing else "") + (
        (_button("use", words.say(page, "models.use"), "" if state.missing else "first") if found else "")
        + official
    )


def _removing(installing: Installing, catalogue: Catalogue, state: EditionState, page: str) -> str:
    """The button that asks first; none where other versions need all of it."""
    engine, edition = catalogue.engine, state.edition
    folders = [place.name for place in installing.store.removable(engine, edition.name)]
    if not folders:
        return ""
    title = f"{catalogue.title} {words.named(page, f'title.{engine}.{edition.name}', edition.title)}"
    question = words.say(page, "models.remove.ask", title=title, folders=words.listed(page, folders))
    name = f"ask-{engine}-{edition.name}"
    yes = _button("remove", words.say(page, "models.remove.yes"), "quiet")
    return _asking(words.say(page, "models.remove"), name, question, yes, page)


def _asking(text: str, name: str, question: str, yes: str, page: str, label: str = "") -> str:
    """A button that asks a question first; `yes` is the button that then does it."""
    named = f' aria-label="{escape(label)}"' if label else ""
    return (
        f'<button type="button" data-ask class="quiet"{named}>{escape(text)}</button>'
        f'<dialog class="ask" aria-labelledby="{escape(name)}"><p id="{escape(name)}">{escape(question)}</p>'
        f'<div class="actions"><button type="button" data-keep autofocus>'
        f"{escape(words.say(page, 'models.remove.no'))}</button>{yes}</div></dialog>"
    )


def _parts(engine: str, state: EditionState, page: str) -> str:
    homes = dict.fromkeys(part.part.repository for part in state.missing)
    label = escape(words.say(page, "models.repository"))
    where = "".join(_copied(f"{label} ", home, page) for home in homes)
    rows = "".join(_part(engine, part, page) for part in state.parts)
    return (
        f"<details><summary>{escape(words.say(page, 'models.parts'))}</summary>"
        f'{where}<ul class="parts">{rows}</ul></details>'
    )


def _part(engine: str, part: PartState, page: str) -> str:
    sign, kind = {"installed": ("✓", "good"), "found": ("✓", "warn"), "missing": ("✕", "bad")}[part.state]
    badge = (
        f'<span class="badge"><span aria-hidden="true">{sign}</span> '
        f"{escape(words.say(page, f'models.part.{part.state}'))}</span>"
    )
    own = ""
    if part.own and part.place is not None:
        own = f"<p>{escape(words.say(page, 'models.own', name=part.place.name))}</p>"
    missing = part.part.files if part.state == "missing" else ()
    files = "".join(_copied("", file.name, page) for file in missing)
    title = _named(page, f"part.{engine}.{part.part.name}", part.part.title)
    return (
        f'<li class="{kind}"><p>{badge}<b>{title}</b>'
        f"<small>{told_bytes(part.part.size)}</small></p>{own}{files}</li>"
    )


def _copied(label: str, name: str, page: str) -> str:
    """A name to copy: of a repository, or of a file in it."""
    copied = escape(words.say(page, "models.copied"))
    said = escape(words.say(page, "models.copy.file", name=name))
    return (
        f'<p class="file"><span>{label}<code>{escape(name)}</code></span>'
        f'<button type="button" data-copy="{escape(name)}" data-copied="{copied}" aria-label="{said}">'
        f"{escape(words.say(page, 'models.copy'))}</button></p>"
    )


def _owned(engine: str, files: tuple[Own, ...], work: Work | None, page: str) -> dict[str, str]:
    idle = work is None or work.finished
    rows = "".join(_own_file(own, idle, page) for own in files)
    html = (
        f"<header><h3>{escape(words.say(page, 'models.own.heading'))}</h3></header>"
        f'<p class="note">{escape(words.say(page, "models.own.hint"))}</p>{_trouble(work, page)}'
        f'<div class="live"></div><ul class="own">{rows}</ul>'
    )
    return {
        "name": f"{engine}/{OWN}", "tag": "article", "kind": "model owned",
        "html": html, "live": _live(work, page),
    }  # fmt: skip


def _own_file(own: Own, idle: bool, page: str) -> str:
    key = f"models.kind.{own.kind}"
    known = key in words.TEXTS
    kind = words.say(page, key, version=own.version) if known else f"{own.kind} {own.version}"
    act = "adopt" if not own.made else "restore" if own.chosen else "prefer"
    label = words.say(page, f"models.{act}.name", name=own.name)
    useful = act != "restore" or own.instead
    button = _keyed(act, own.key, words.say(page, f"models.{act}"), label) if useful else ""
    if own.made:
        button += _discarding(own, page)
    tag = _tag(words.say(page, "models.chosen")) if own.chosen else ""
    return (
        f"<li><span><b>{escape(own.name)}</b> <small>{escape(kind)}</small></span>{tag}"
        f"{button if idle else ''}</li>"
    )


def _discarding(own: Own, page: str) -> str:
    """The button that asks first."""
    question = words.say(page, "models.discard.ask", name=own.name)
    label = words.say(page, "models.discard.name", name=own.name)
    yes = _keyed("discard", own.key, words.say(page, "models.remove.yes"), kind="quiet")
    return _asking(words.say(page, "models.discard"), f"ask-own-{own.key}", question, yes, page, label)


def _keyed(act: str, key: str, text: str, label: str = "", kind: str = "") -> str:
    """A button for one of several files."""
    named = f' aria-label="{escape(label)}"' if label else ""
    return (
        f'<button type="button" data-act="{act}" data-key="{escape(key)}" class="{kind}"{named}>'
        f"{escape(text)}</button>"
    )


def _unused(files: tuple[Seen, ...], page: str) -> dict[str, str]:
    rows = "".join(f"<li>{escape(told(page, file.trouble))}</li>" for file in files)
    html = f'<h3>{escape(words.say(page, "models.unused"))}</h3><ul>{rows}</ul><div class="live"></div>'
    return {"name": "?", "tag": "article", "kind": "model unused", "html": html, "live": ""}


# --- parts of a card ----------------------------------------------------------------------


def _live(work: Work | None, page: str) -> str:
    """How far the work is: what changes many times a second, apart from the rest of its card."""
    if work is None or work.finished:
        return ""
    step, percent = work.step, 100 * work.share
    said = words.say(
        page, f"models.{work.stage}", name=step.name, done=told_bytes(step.done), total=told_bytes(step.total)
    )
    so_far = words.say(page, "progress.seconds", seconds=work.seconds)
    now = f' aria-valuenow="{percent:.0f}"' if percent else ""
    return (
        f'<div class="progress{"" if percent else " unknown"}"><p><span>{escape(said)}</span>'
        f'<small aria-hidden="true">{escape(so_far)}</small></p>'
        f'<div class="bar" role="progressbar" aria-label="{escape(words.say(page, "progress.label"))}" '
        f'aria-valuemin="0" aria-valuemax="100"{now}><i style="width:{percent:.1f}%"></i></div></div>'
    )


def _trouble(work: Work | None, page: str) -> str:
    said = work.said(page) if work and work.finished else ""
    return f'<div role="alert">{markup.notice(said)}</div>' if said else ""


def _top(title: str, state: str, page: str) -> str:
    return f"<header><h3>{title}</h3>{_badge(state, page)}</header>"


def _badge(state: str, page: str) -> str:
    sign, kind = {
        "installed": ("✓", "good"), "found": ("✓", "warn"), "part": ("!", "warn"), "missing": ("○", "plain"),
        "busy": ("…", "warn"),
    }[state]  # fmt: skip
    return (
        f'<span class="state {kind}"><span class="badge"><span aria-hidden="true">{sign}</span> '
        f"{escape(words.say(page, f'models.state.{state}'))}</span></span>"
    )


def _rate(rate: int | None, page: str) -> str:
    return _tag(words.say(page, "models.rate", rate=rate / 1000)) if rate else ""


def _tag(text: str) -> str:
    return f'<span class="tag">{escape(text)}</span>'


def _button(act: str, text: str, kind: str = "") -> str:
    return f'<button type="button" data-act="{act}" class="{kind}">{escape(text)}</button>'
