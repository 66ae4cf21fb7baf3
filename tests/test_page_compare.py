"""The Compare screen in a real browser, on the toy engine: a run, listening side by side, the blind test."""
# ruff: noqa: F811 (fixtures of test_page are arguments here)

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Locator, Page, Route, expect  # noqa: E402

from pipelines import blind  # noqa: E402
from pipelines.compare import Comparison, Key, Plan  # noqa: E402
from pipelines.types import InputError, Request  # noqa: E402
from tests import toy  # noqa: E402
from tests.conftest import make_speech  # noqa: E402
from tests.test_page import CHROMIUM, browser, playing, serious, served, visit  # noqa: E402, F401
from webui import results, words  # noqa: E402
from webui.comparing import Wanted, aligned, planned  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not tried")

# The toy as an engine that samples by default, so that a run has all kinds of takes and measures.
BABBLER = SimpleNamespace(
    SPEC=replace(toy.SPEC, prosodies=("babble", "flat")),
    missing=toy.missing, prepare=toy.prepare, load=toy.load,
)  # fmt: skip
TEXTS = "A thrush sings.\nDid you hear it?"
STORED = "myna-comparison"


@dataclass(frozen=True)
class Served:
    """A server, its folder, and what a browser remembers of the run that was made on it."""

    address: str
    folder: Path
    stored: str
    said: tuple[str, ...]  # what the progress said


@pytest.fixture(scope="module")
def run(tmp_path_factory, browser) -> Iterator[Served]:
    """One run from the page, for all tests here."""
    folder = tmp_path_factory.mktemp("compared")
    with served(folder, module=BABBLER, pace=0.05) as address:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#coach .coach")).to_be_visible(timeout=30_000)
        open_compare(page)
        page.get_by_role("textbox", name="Sentences").fill(TEXTS)
        said = []
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.locator("#compare-progress")).to_contain_text(re.compile("Take [3-9]"), timeout=30_000)
        said.append(page.locator("#compare-progress").inner_text())
        expect(page.locator(".comparison")).to_be_visible(timeout=120_000)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        page.wait_for_function(f"localStorage.getItem('{STORED}')")
        stored = page.evaluate(f"localStorage.getItem('{STORED}')")
        context.close()
        yield Served(address, folder, stored, tuple(said))


@pytest.fixture
def compared(run, visit) -> Callable[..., Page]:
    """Opens the Compare screen as the visitor who made the run."""

    def open_page(**who: object) -> Page:
        script = f"localStorage.setItem('{STORED}', {json.dumps(run.stored)})"
        page = visit(run.address, init_script=script, **who)
        open_compare(page)
        expect(page.locator(".comparison")).to_be_visible(timeout=20_000)
        return page

    return open_page


def open_compare(page: Page) -> None:
    page.get_by_role("tab").nth(1).click()
    expect(page.locator("#compare-modes input").first).to_be_visible()


def listen(page: Page) -> Locator:
    """Unfold the player and wait for its sounds."""
    page.locator("[data-part=listen] > summary").click()
    pair = page.locator(".pair")
    expect(pair).to_be_visible(timeout=20_000)
    return pair


# --- a run -------------------------------------------------------------------------------


def test_a_run_ends_in_three_cards_one_button_and_one_zip(run, compared):
    page = compared()
    assert any("Take" in said for said in run.said)
    cards = page.locator(".comparison .mode")
    expect(cards).to_have_count(3)
    for card, mode in zip(cards.all(), ("float32", "int8", "bfloat16"), strict=True):
        expect(card.get_by_role("heading")).to_have_text(mode)
        expect(card).to_contain_text("Sounds like")
        expect(card).to_contain_text("Costs")
    expect(page.locator(".comparison button.big:visible")).to_have_count(1)
    assert page.locator(".comparison details[open]").count() == 0  # the rest unfolds
    figures_beside_a_control_are_explained(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything").click()
    with zipfile.ZipFile(download.value.path()) as packed:
        names = [name.rpartition("/")[2] for name in packed.namelist()]
        assert {"report.html", "recipe.json"} <= set(names)
        assert sum(name.endswith(".wav") for name in names) > 10


def figures_beside_a_control_are_explained(page: Page) -> None:
    page.locator("[data-part=figures] > summary").click()
    for name in ("Log-spectral distance", "Same first choice", "Distance of the readings"):
        row = page.get_by_role("row", name=re.compile(name))
        expect(row).to_be_visible()
        assert len(row.locator(".sentence").inner_text()) > 20
    expect(page.get_by_role("columnheader", name="Control").first).to_be_visible()


def test_what_cannot_be_chosen_says_why_and_nothing_chosen_is_a_sentence(run, visit):
    page = visit(run.address)
    open_compare(page)
    impossible = page.get_by_role("checkbox", name="float16")
    impossible = impossible.and_(page.locator("#compare-impossible input"))
    expect(impossible).to_be_disabled()
    expect(page.locator("#compare-impossible")).to_contain_text("It gives no numbers on this processor.")
    for box in page.locator("#compare-modes input").all():
        box.uncheck()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#compare-notice")).to_contain_text("Choose at least one precision")


def test_a_run_can_be_stopped(run, visit):
    page = visit(run.address)
    open_compare(page)
    page.get_by_role("textbox", name="Sentences").fill("This one is rather long, to be stopped. " * 5)
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#compare-progress")).to_contain_text(re.compile("Take [2-9]"), timeout=30_000)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=30_000)
    expect(page.locator(".comparison")).to_contain_text("Stopped early")


def test_a_prosody_that_draws_nothing_is_told_and_its_control_is_named():
    plan = Plan("toy", make_speech(1.0), ("Hello.",), ("int8",))
    key = Key("control")
    found = Comparison(
        plan, False, "cpu", dict.fromkeys((Key("free"), key)), {}, {("int8", "locked"): "No."}, (), (), (),
        (), (), {},
    )  # fmt: skip
    html = results.comparison(found, "token", "en")
    assert words.say("en", "compare.steady") in html
    assert words.say("en", "compare.kind.nudged") in html
    assert words.say("en", "compare.steady") not in results.comparison(
        replace(found, draws=True), "token", "en"
    )


def test_a_plan_is_refused_in_a_sentence():
    request = Request("toy", "", make_speech(1.0))
    for wanted in (
        Wanted(("int8",), " \n "), Wanted(("float32",), "Hello."), Wanted(("int8",), "Hello.\n" * 13),
    ):  # fmt: skip
        for page in ("en", "zh"):
            with pytest.raises(InputError):
                planned(request, wanted, page)
    plan = planned(request, Wanted(("float32", "int8"), " Hello. \n\nYes. ", seeds=3), "en")
    assert (plan.texts, plan.modes, plan.seeds) == (("Hello.", "Yes."), ("int8",), (0, 1, 2))


def test_only_takes_of_the_same_units_are_held_against_each_other_sample_by_sample():
    truth, locked = Key("free"), Key("locked", "bfloat16", "render")
    assert aligned(truth, locked) and aligned(locked, Key("noise"))
    for other in (Key("free", "int8"), Key("control"), Key("locked", "bfloat16", text=1)):
        assert not aligned(truth, other)


# --- side by side ------------------------------------------------------------------------

# Hears what comes out of the player, block by block with the context's own time.
RECORD = """async () => {
  const context = window.myna.context();
  const code = `registerProcessor('recorder', class extends AudioWorkletProcessor {
    process([input]) {
      if (input.length) this.port.postMessage([currentTime, [...input[0]]]);
      return true;
    }
  })`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
  const pair = window.myna.listening.pair;
  const noise = () => {
    const buffer = context.createBuffer(1, 3 * context.sampleRate, context.sampleRate);
    buffer.copyToChannel(Float32Array.from({length: buffer.length}, () => Math.random() - 0.5), 0);
    return buffer;
  };
  pair.pause();
  pair.buffers = new Map([['A', noise()], ['B', noise()]]);
  pair.duration = 3;
  pair.offset = 0;
  pair.heard = 'A';
  pair.play();
  const recorder = new AudioWorkletNode(context, 'recorder');
  window.recorded = [];
  recorder.port.onmessage = ({data}) => window.recorded.push(data);
  pair.output.connect(recorder).connect(context.destination);
}"""
BLOCK = 128  # samples of a block
HEARD = """() => {
  const {pair} = window.myna.listening;
  pair.pause();
  const sounds = Object.fromEntries([...pair.buffers].map(([name, b]) => [name, [...b.getChannelData(0)]]));
  return {blocks: window.recorded, sounds, rate: window.myna.context().sampleRate, started: window.begun};
}"""


def test_switching_keeps_the_position_within_ten_milliseconds(compared):
    page = compared()
    pair = listen(page)
    pair.focus()
    page.keyboard.press("Space")
    page.evaluate(RECORD)
    page.evaluate("window.begun = window.myna.listening.pair.started")
    for _ in range(2):
        page.wait_for_timeout(350)
        page.keyboard.press("s")
    page.wait_for_timeout(350)
    heard = page.evaluate(HEARD)
    rate = heard["rate"]
    places = [placed(heard, time, np.array(block)) for time, block in heard["blocks"]]
    order = [place for place in places if place is not None]
    letters = re.sub(r"(.)\1+", r"\1", "".join(letter for letter, _ in order))
    assert letters == "ABA"  # each key switched once, at once
    errors = [error for _, error in order]
    assert max(errors) - min(errors) < 0.010 * rate  # one position, whatever is heard
    found = [number for number, place in enumerate(places) if place is not None]
    assert max(np.diff(found)) * BLOCK < 0.015 * rate  # a switch itself is done in that time


def placed(heard: dict, time: float, block: np.ndarray) -> tuple[str, int] | None:
    """Which sound a block of output is, and how many samples it lies from where it should be."""
    rate = heard["rate"]
    expected = round((time - heard["started"]) * rate)
    reach = round(0.03 * rate)
    if expected < reach or np.abs(block).max() < 0.01:
        return None
    for letter, samples in heard["sounds"].items():
        near = np.array(samples[expected - reach : expected + reach + len(block)])
        if len(near) < len(block):
            return None
        match = np.correlate(near, block, "valid")
        best = int(match.argmax())
        there = near[best : best + len(block)]
        if match[best] > 0.98 * np.linalg.norm(there) * np.linalg.norm(block):
            return letter, best - reach
    return None


def test_two_takes_are_loaded_as_one_and_seen_as_three(compared):
    page = compared()
    pair = listen(page)
    expect(pair.get_by_role("img")).to_have_count(4)  # A, B, |A-B|, where they part
    lengths = page.evaluate("[...window.myna.listening.pair.buffers.values()].map((b) => b.length)")
    assert len(set(lengths)) == 1 and len(lengths) == 3
    expect(pair.get_by_role("button", name="Difference")).to_be_visible()
    page.locator("[data-part=listen] select[name=second]").select_option("free-int8-")
    expect(pair.get_by_role("button", name="Difference")).to_have_count(0, timeout=20_000)
    expect(page.locator(".pair")).to_contain_text("said anew")
    options = page.locator("[data-part=listen] select[name=second] optgroup")
    assert {o.get_attribute("label") for o in options.all()} >= {
        "Said by each itself", "float32's melody, only rendered anew", "Control: float32 once more",
    }  # fmt: skip


# --- blind -------------------------------------------------------------------------------


def test_ten_trials_by_keyboard_alone_outlive_a_reload_and_betray_nothing(run, compared):
    page = compared()
    told: list[dict] = []
    heard: list[tuple[str, bytes]] = []

    def note(route: Route) -> None:
        answer = route.fetch()
        if "/myna/heard/" in route.request.url:
            heard.append((route.request.url, answer.body()))
        else:
            told.append(answer.json())
        route.fulfill(response=answer)

    page.route(re.compile("/myna/(blind|heard)"), note)
    reach(page, page.get_by_role("button", name="Can you hear it?"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Blind test")
    reach(page, dialog.get_by_role("button", name="Begin"))
    page.keyboard.press("Enter")
    for number in range(1, 11):
        expect(dialog.get_by_role("heading")).to_have_text(f"Trial {number} of 10", timeout=20_000)
        if number == 5:
            page.reload()
            expect(dialog.get_by_role("heading")).to_have_text("Trial 5 of 10", timeout=30_000)
        for key in "abx":
            page.keyboard.press(key)
            button = dialog.get_by_role("button", name=f"Listen to {key.upper()}")
            expect(button).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("ArrowRight" if number % 2 else "1")
        page.keyboard.press("Enter")
    expect(dialog.get_by_role("heading")).to_have_text("Your result", timeout=20_000)

    kept = json.loads(next((run.folder / "data" / "blind").glob("*/sitting.json")).read_text())
    assert len(kept["key"]) == 10 and len(kept["answers"]) == 10
    right = sum(map(str.__eq__, kept["key"], kept["answers"]))
    expect(dialog).to_contain_text(f"{right} / 10")
    expect(dialog).to_contain_text(f"p = {blind.p_value(right, 10):.4f}")
    assert "no proof that they are equal" in dialog.inner_text() or right >= 9
    reach(page, dialog.get_by_role("button", name="Close"))
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    packed = page.request.get(f"{run.address}myna/runs/{kept['about']['run']}").body()
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert any(name.endswith("blind.csv") for name in names)

    *trials, last = told
    assert last["finished"] and len(trials) == 11  # the fifth came twice
    assert {frozenset(sent) for sent in trials} == {frozenset(trials[0])}
    shapes = {re.sub(r"\d+|Next|Finish", "", sent["html"]) for sent in trials}
    assert len(shapes) == 1  # nothing on the page depends on the key
    assert [list(sent["sounds"]) for sent in trials] == [["A", "B", "X"]] * 11
    assert len(heard) == 33
    assert len({url for url, _ in heard}) == len({body for _, body in heard}) == 33
    assert len({len(body) for _, body in heard}) == 1


def reach(page: Page, target: Locator, most: int = 60) -> None:
    """Go to something by Tab alone."""
    expect(target).to_be_visible(timeout=20_000)
    for _ in range(most):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail("Tab does not reach it")


def test_a_preference_can_be_put_off_and_given_up(compared):
    page = compared()
    page.get_by_role("button", name="Can you hear it?").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Which sounds better?").check()
    dialog.get_by_role("spinbutton", name="Own number").fill("4")
    dialog.get_by_role("button", name="Begin").click()
    expect(dialog).to_contain_text("choose 5 to 50")
    dialog.get_by_role("spinbutton", name="Own number").fill("6")
    dialog.get_by_role("button", name="Begin").click()
    expect(dialog.get_by_role("heading")).to_have_text("Trial 1 of 6", timeout=20_000)
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Choose an answer first")
    dialog.get_by_role("button", name="No difference").click()
    dialog.get_by_role("button", name="Next").click()
    expect(dialog.get_by_role("heading")).to_have_text("Trial 2 of 6", timeout=20_000)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Go on with the blind test").click()
    expect(dialog.get_by_role("heading")).to_have_text("Trial 2 of 6", timeout=20_000)
    dialog.get_by_role("button", name="Give up").click()
    expect(dialog).to_have_count(0)
    page.reload()
    expect(page.locator("#coach .coach")).to_be_visible(timeout=20_000)
    expect(dialog).to_have_count(0)


def test_tokens_and_sites_are_looked_at(run, compared):
    page = compared()
    token = page.locator(".comparison").get_attribute("data-run")
    wanted = {"run": token, "first": "free-float32--0-0", "second": "free-int8--0-0"}
    ask = page.request
    assert ask.post(run.address + "myna/pairs", data=wanted).ok
    assert ask.post(run.address + "myna/pairs", data=wanted | {"run": "guess"}).status == 400
    assert ask.post(run.address + "myna/pairs", data=wanted | {"second": "../secret"}).status == 400
    assert ask.post(run.address + "myna/pairs", data="x" * 20_000).status == 400
    foreign = {"Origin": "https://evil.example"}
    assert ask.post(run.address + "myna/pairs", data=wanted, headers=foreign).status == 404
    for path in ("runs/guess", "heard/guess", "pairs/guess/a.pcm"):
        assert ask.get(f"{run.address}myna/{path}").status == 404
    for path in ("blind/guess", "blind/..%2F..%2Fprobe"):
        assert ask.get(f"{run.address}myna/{path}").status in (400, 404)


# --- for everybody -----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it_on_a_phone(compared, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    page = compared(viewport={"width": 390, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
    listen(page)
    for part in ("figures", "more"):
        page.locator(f"[data-part={part}] > summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious(axe, page) == []
    page.get_by_role("button", name="Can you hear it?").click()
    dialog = page.get_by_role("dialog")
    assert serious(axe, page) == []
    dialog.get_by_role("button", name="Begin").click()
    expect(dialog.get_by_role("heading")).to_have_text("Trial 1 of 10", timeout=20_000)
    dialog.get_by_role("button", name="Listen to X").click()
    dialog.get_by_role("button", name="X is B").click()
    assert serious(axe, page) == []
    box = dialog.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_a_chinese_browser_compares_in_chinese(compared):
    page = compared(locale="zh-CN")
    expect(page.get_by_role("button", name="开始比较", exact=True)).to_be_visible()
    expect(page.locator(".comparison")).to_contain_text("完整精度")
    page.locator("[data-part=figures] > summary").click()
    expect(page.locator("[data-part=figures]")).to_contain_text("对数谱距离")
    page.get_by_role("button", name="您听得出来吗").click()
    expect(page.get_by_role("dialog")).to_contain_text("盲听测试")
    assert "__i18n__" not in page.locator("body").inner_text()
