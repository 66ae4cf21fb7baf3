"""The page in a real browser (Debian's Chromium through Playwright): on the toy engine, once on `small`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, expect, sync_playwright  # noqa: E402

from pipelines import audio  # noqa: E402
from pipelines.device import Verdict  # noqa: E402
from pipelines.registry import Engines  # noqa: E402
from pipelines.types import Run, Waveform  # noqa: E402
from tests import toy  # noqa: E402
from tests.conftest import make_speech  # noqa: E402
from webui import layout, markup, words  # noqa: E402
from webui.handlers import Desk, Example  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not tried")

QUIET = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
]  # fmt: skip
FULL = Verdict("safe", True, 0.0, 1.0, "The reference.")
TABLE = {
    "cpu": {
        "float32": FULL,
        "bfloat16": Verdict("possible", True, 0.003, 0.5, "It runs, but slower than float32."),
        "float16": Verdict("impossible", False, None, None, "It gives no numbers on this processor."),
        "int8": Verdict("safe", True, 0.01, 1.0, "No faster here."),
    }
}
LONG = "This sentence is said again and again. " * 40
PACE = 0.25  # seconds that the toy takes for a piece: a few words are a second or two


@contextmanager
def served(
    folder: Path,
    *,
    port: int | None = None,
    engines: Engines | None = None,
    engine: str = "toy",
    module: object = toy,
    pace: float = PACE,
    **options,
) -> Iterator[str]:
    """The page on the toy engine, on another `module` like it, or on `engines`; gives its address."""
    (folder / "models" / "toy").mkdir(parents=True, exist_ok=True)
    (folder / "models" / "toy" / "config.json").write_text(json.dumps({"pace": pace}))
    engines = engines or Engines(folder / "models", folder / "data", TABLE, {"toy": module})
    clip = folder / "example.wav"
    audio.write(clip, make_speech(6.0), generated=False)
    example = Example(clip, "A bird that speaks.", "Made for this test; CC0.", "2026-11-21T00:00:00+00:00")
    desk = Desk(engines, folder / "data", engine, example)
    page = layout.build(desk)
    _, address, _ = page.launch(
        server_name="127.0.0.1", server_port=port, quiet=True, prevent_thread_lock=True,
        **options, **layout.launch_options(desk),
    )  # fmt: skip
    try:
        yield address
    finally:
        page.close(verbose=False)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture(scope="module")
def playing() -> Iterator[Playwright]:
    with sync_playwright() as playing:
        yield playing


@pytest.fixture(scope="module")
def browser(playing) -> Iterator[Browser]:
    chromium = playing.chromium.launch(executable_path=CHROMIUM, args=QUIET)
    yield chromium
    chromium.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Page]]:
    """Opens the page as somebody; every visit watches that nothing is asked of another host."""
    visits: list[BrowserContext] = []
    foreign: list[str] = []

    def open_page(address: str, *, init_script: str | None = None, **who: object) -> Page:
        context = browser.new_context(**{"locale": "en-US", **who})
        visits.append(context)
        page = context.new_page()
        if init_script:
            page.add_init_script(init_script)
        page.on("request", lambda r: foreign.append(r.url) if not ours(r.url) else None)
        page.goto(address)
        expect(page.locator("#coach .coach")).to_be_visible(timeout=30_000)
        return page

    def ours(url: str) -> bool:
        return url.startswith(("http://127.0.0.1:", "data:", "blob:"))

    yield open_page
    for context in visits:
        context.close()
    assert foreign == []


def speak(page: Page, text: str | None = None) -> None:
    if text is not None:
        page.get_by_role("textbox", name="What to say").fill(text)
    page.get_by_role("button", name="Speak", exact=True).click()


def first_take(page: Page, timeout: float = 30_000):
    card = page.locator(".take").first
    expect(card).to_be_visible(timeout=timeout)
    return card


def seconds_of(card) -> float:
    """The duration of a card's audio element, once the browser knows it."""
    return card.locator("audio").evaluate(
        """audio => new Promise(done => audio.duration > 0 ? done(audio.duration)
           : audio.addEventListener('loadedmetadata', () => done(audio.duration)))"""
    )


def drop(page: Page, folder: Path, name: str, waveform: Waveform) -> None:
    """Choose a sound file as the reference."""
    path = folder / name
    audio.write(path, waveform, generated=False)
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#clip input[type=file]").set_input_files(path)


def test_the_first_click_speaks_and_is_heard_as_it_is_made(address, visit):
    page = visit(address)
    speak(page)
    page.wait_for_function("window.myna.heard.seconds > 0.3")
    assert page.locator(".take").count() == 0  # heard before the take is there
    card = first_take(page)
    seconds = seconds_of(card)
    assert seconds > 0.5
    assert page.evaluate("window.myna.heard.seconds") == pytest.approx(seconds, abs=0.01)
    expect(card).to_contain_text("AI-generated")
    assert card.get_by_role("img").get_attribute("aria-label").startswith("Spectrogram of the take")
    card.locator("summary").click()
    for stage in ("Listen", "Read", "Say", "Render"):
        expect(card.get_by_role("rowheader", name=stage)).to_be_visible()


def test_small_speaks_at_the_first_click(visit, tmp_path):
    engines = Engines(Path(__file__).parents[1] / "models", tmp_path / "data", TABLE)
    engines.prepare("small", Run())
    with served(tmp_path, engines=engines, engine="small") as address:
        page = visit(address)
        page.get_by_role("button", name="Fine tuning").click()
        liveliness = page.get_by_role("slider", name="Liveliness")
        expect(liveliness).to_be_disabled()  # steady draws nothing
        page.get_by_label("Lively: drawn by chance").check()
        expect(liveliness).to_be_enabled()
        page.get_by_label("Steady: the same melody").check()
        speak(page)
        page.wait_for_function("window.myna.heard.seconds > 0.3", timeout=60_000)
        card = first_take(page, timeout=60_000)
        assert 0.5 < seconds_of(card) < 5
        assert page.evaluate("window.myna.heard.seconds") == pytest.approx(seconds_of(card), abs=0.01)


def test_the_files_of_a_take_are_downloads_and_its_recipe_is_json(address, visit):
    page = visit(address)
    speak(page, "A short one, not too short.")
    card = first_take(page)
    with page.expect_download() as wav:
        card.get_by_role("link", name="Download wav").click()
    assert audio.read(wav.value.path()).seconds == pytest.approx(seconds_of(card), abs=0.01)
    assert "ai-generated" in wav.value.suggested_filename
    assert b"AI-generated speech" in Path(wav.value.path()).read_bytes()
    with page.expect_download() as recipe:
        card.get_by_role("link", name="Download recipe").click()
    assert json.loads(Path(recipe.value.path()).read_text())["text"] == "A short one, not too short."


def test_made_again_exactly_is_said_on_the_card(address, visit):
    page = visit(address)
    speak(page, "Once more.")
    card = first_take(page)
    card.get_by_role("button", name="Make again exactly").click()
    expect(card).to_contain_text("the same bytes", timeout=20_000)


def speak_twice(page: Page) -> None:
    """Make two takes, one after the other."""
    speak(page, "The elder.")
    first_take(page)
    expect(page.locator("#speak")).to_be_enabled()
    speak(page, "The younger.")
    expect(page.locator(".take")).to_have_count(2, timeout=20_000)


def test_cards_are_stacked_newest_first_and_can_be_deleted(address, visit):
    page = visit(address)
    speak_twice(page)
    expect(page.locator(".take").first).to_contain_text("The younger.")
    page.locator(".take").first.get_by_role("button", name="Delete").click()
    expect(page.locator(".take")).to_have_count(1)
    page.reload()
    expect(page.locator(".take")).to_have_count(1, timeout=20_000)
    expect(page.locator(".take")).to_contain_text("The elder.")


def test_stop_stops_within_a_second_and_keeps_what_was_made(address, visit):
    page = visit(address)
    speak(page, LONG)
    page.wait_for_function("window.myna.heard.seconds > 1.2")
    before = time.monotonic()
    page.get_by_role("button", name="Stop").click()
    card = first_take(page)
    assert time.monotonic() - before < 5  # the machine may be busy; the work itself ends within a second
    expect(card).to_contain_text("stopped early")
    assert 0.5 < seconds_of(card) < 40
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_two_browsers_hear_their_own(address, visit, tmp_path):
    anna, bert = visit(address), visit(address)
    speak(anna, "Anna speaks here.")
    speak(bert, "Bert has something longer to say.")
    for page, own, other in ((anna, "Anna", "Bert"), (bert, "Bert", "Anna")):
        card = first_take(page)
        expect(page.locator(".take")).to_have_count(1)
        expect(card).to_contain_text(own)
        assert other not in page.locator("#takes").inner_text()
        assert page.evaluate("window.myna.heard.seconds") == pytest.approx(seconds_of(card), abs=0.01)


def test_who_waits_sees_the_place_and_can_stop(address, visit):
    anna, bert = visit(address), visit(address)
    speak(anna, LONG)
    anna.wait_for_function("window.myna.heard.seconds > 0")
    speak(bert)
    expect(bert.locator("#progress")).to_contain_text("place 1 of 1")
    bert.get_by_role("button", name="Stop").click()
    expect(bert.locator("#notice")).to_contain_text("Stopped before any sound was made.")
    anna.keyboard.press("Escape")
    first_take(anna)


def test_a_refusal_is_a_sentence(address, visit, tmp_path):
    page = visit(address)
    speak(page, "  ")
    expect(page.locator("#notice")).to_contain_text("Write something to say first.")
    text = tmp_path / "voice.wav"
    text.write_text("These are words and no sound. " * 50)
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#clip input[type=file]").set_input_files(text)
    expect(page.locator("#coach")).to_contain_text("voice.wav is a text file")
    assert "Traceback" not in page.content()


def test_consent_is_asked_for_a_voice_of_ones_own(address, visit, tmp_path):
    page = visit(address)
    expect(page.get_by_label("I have the right")).to_be_hidden()  # the example's is given
    drop(page, tmp_path, "own.wav", make_speech(6.0, seed=5, pitch=180.0))
    box = page.get_by_label("I have the right to use this voice")
    expect(box).to_be_visible()
    speak(page, "Not yet.")
    expect(page.locator("#notice")).to_contain_text("Tick the box")
    box.check()
    speak(page, "Now then.")
    first_take(page)
    page.reload()
    expect(page.locator("#coach .coach")).to_be_visible(timeout=20_000)
    drop(page, tmp_path, "own.wav", make_speech(6.0, seed=5, pitch=180.0))
    expect(box).to_be_checked()  # asked once a voice


def test_the_coach_mends_a_clip_and_gives_the_original_back(address, visit, tmp_path):
    page = visit(address)
    good = make_speech(6.0, seed=6)
    drop(page, tmp_path, "quiet.wav", Waveform(good.samples * 0.005, good.sample_rate))
    finding = page.locator("#coach li", has=page.get_by_role("button", name="Make it louder"))
    expect(finding).to_be_visible()
    finding.get_by_role("button").click()
    expect(finding).to_have_count(0)
    page.get_by_role("button", name="Back to the original clip").click()
    expect(finding).to_be_visible()


def test_a_voice_is_brought_closer_and_refining_can_be_stopped(address, visit, tmp_path):
    page = visit(address)
    drop(page, tmp_path, "near.wav", make_speech(6.0, seed=7))
    page.get_by_label("I have the right to use this voice").check()
    page.get_by_role("button", name="Bring it closer").click()
    expect(page.locator("#progress")).to_contain_text("Bringing the voice closer")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_label("Use the closer voice")).to_be_checked(timeout=20_000)
    speak(page, "Closer now.")
    expect(first_take(page)).to_contain_text("closer voice")


def test_nothing_needs_a_mouse(address, visit):
    page = visit(address)
    box = page.get_by_role("textbox", name="What to say")
    for _ in range(60):
        page.keyboard.press("Tab")
        if box.evaluate("box => box === document.activeElement"):
            break
    else:
        pytest.fail("Tab does not reach the text")
    page.keyboard.press("Control+a")
    page.keyboard.type(LONG[:400])
    page.keyboard.press("Control+Enter")
    page.wait_for_function("window.myna.heard.seconds > 0")
    page.keyboard.press("Escape")
    play = first_take(page).get_by_role("button", name="Play")
    for _ in range(60):
        page.keyboard.press("Tab")
        if play.evaluate("button => button === document.activeElement"):
            break
    else:
        pytest.fail("Tab does not reach the player")
    assert play.evaluate("button => getComputedStyle(button).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.take audio').currentTime > 0.1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scroll(address, visit, scheme):
    page = visit(address, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    speak(page, "On a phone. " + "Averylongwordwithoutanyspaceinit" * 4)
    first_take(page).locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("tab", name="Settings").click()
    expect(page.locator("#verdicts table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_is_dark_for_who_wants_it_dark(address, visit):
    def brightness(scheme: str) -> float:
        page = visit(address, color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
        return sum(float(part) for part in colour.strip("rgba()").split(",")[:3]) / 3

    assert brightness("dark") < 60 < 200 < brightness("light")


def test_a_chinese_browser_gets_a_chinese_page(address, visit):
    page = visit(address, locale="zh-CN")
    expect(page.get_by_role("button", name="开始说", exact=True)).to_be_visible()
    expect(page.locator("#coach")).to_contain_text("关于这个片段")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert "__i18n__" not in page.locator("body").inner_text()
    page.get_by_role("textbox", name="要说的话").fill(" ")
    page.get_by_role("button", name="开始说", exact=True).click()
    expect(page.locator("#notice")).to_contain_text(words.say("zh", "error.no_text"))
    page.get_by_role("tab", name="设置").click()
    expect(page.locator("#verdicts")).to_contain_text("不可用")


def test_an_impossible_precision_is_refused_with_a_safe_button(address, visit):
    page = visit(address)
    page.get_by_role("tab", name="Settings").click()
    # Not `check`: the refusal may be back, and the choice as it was, before it has looked.
    page.get_by_label("float16", exact=False).and_(page.locator("#precision input[value=float16]")).click()
    expect(page.locator("#refusal")).to_contain_text("float16")
    expect(page.locator("#precision input[value=float16]")).not_to_be_checked()
    page.get_by_role("button", name="Use float32").click()
    expect(page.locator("#precision input[value=float32]")).to_be_checked()


def test_settings_survive_a_reload_and_a_restart(visit, tmp_path):
    with served(tmp_path) as address:
        page = visit(address)
        page.get_by_role("tab", name="Settings").click()
        page.locator("#precision input[value=bfloat16]").check()
        expect(page.locator("#refusal")).to_contain_text("Kept in this browser")
        page.reload()
        page.get_by_role("tab", name="Settings").click()
        expect(page.locator("#precision input[value=bfloat16]")).to_be_checked(timeout=20_000)
        port = int(address.rstrip("/").rpartition(":")[2])
    with served(tmp_path, port=port) as address:
        page.goto(address)
        page.get_by_role("tab", name="Settings").click()
        expect(page.locator("#precision input[value=bfloat16]")).to_be_checked(timeout=20_000)
        page.evaluate("localStorage.setItem('myna-settings', 'not what was stored')")
        page.reload()
        page.get_by_role("tab", name="Settings").click()
        expect(page.locator("#precision input[value=auto]")).to_be_checked(timeout=20_000)


def test_no_serious_violation_of_accessibility(address, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    for scheme in ("light", "dark"):
        page = visit(address, color_scheme=scheme, reduced_motion="reduce")
        page.get_by_role("button", name="Fine tuning").click()
        assert serious(axe, page) == []
        speak(page, "Seen by all.")
        first_take(page).locator("summary").click()
        assert serious(axe, page) == []
        page.get_by_role("tab", name="Settings").click()
        expect(page.locator("#verdicts table")).to_be_visible()
        assert serious(axe, page) == []


def serious(axe, page: Page) -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_a_forged_path_is_refused(address, visit, tmp_path):
    secret = tmp_path / "private.wav"
    audio.write(secret, make_speech(3.0), generated=False)
    page = visit(address)
    forgeries: list[str] = []

    def forge(route: Route) -> None:
        sent = json.loads(route.request.post_data)
        for number, part in enumerate(sent["data"]):
            if isinstance(part, dict) and "path" in part:
                sent["data"][number] = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
                forgeries.append(part["path"])
        route.continue_(post_data=json.dumps(sent))

    page.route("**/gradio_api/queue/join*", forge)
    speak(page, "Somebody else's file.")
    expect(page.get_by_text("Something went wrong on our side")).to_be_visible()
    assert len(forgeries) == 1
    assert page.locator(".take").count() == 0 and page.evaluate("window.myna.heard.seconds") == 0
    assert str(tmp_path) not in page.content()


def test_a_bug_is_a_sentence_here_and_a_traceback_in_the_terminal(address, visit, monkeypatch, caplog):
    def broken(*given: object) -> None:
        raise KeyError("a secret of ours")

    page = visit(address)
    speak(page, "Not lost.")
    first_take(page)
    monkeypatch.setattr(markup, "engines", broken)
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_text("Nothing you made is lost")).to_be_visible()
    expect(page.locator(".toast-wrap, [data-testid=status-tracker]").get_by_text("Error")).to_be_hidden()
    assert "a secret of ours" not in page.content()
    assert "a secret of ours" in caplog.text and "broken" in caplog.text  # the traceback
    page.get_by_role("tab", name="Clone").click()
    expect(page.locator(".take")).to_contain_text("Not lost.")


def test_sound_needs_its_token_and_foreign_names_are_refused(address, visit):
    page = visit(address)
    for path in ("myna/sound/guess", "myna/takes/guess/take.wav", "gradio_api/file=/etc/passwd"):
        assert page.request.get(address + path).status in (403, 404)
    assert page.request.get(address, headers={"Host": "evil.example"}).status == 400


def test_a_password_guards_the_takes_too(visit, browser, tmp_path):
    with served(tmp_path, auth=("anna", "sesame")) as address:
        inside, outside = browser.new_context(), browser.new_context()
        answer = inside.request.post(address + "login", form={"username": "anna", "password": "sesame"})
        assert answer.ok
        page = inside.new_page()
        page.goto(address)
        expect(page.locator("#coach .coach")).to_be_visible(timeout=20_000)
        page.locator("#speak").click()
        card = first_take(page)
        assert page.evaluate("window.myna.heard.seconds") > 0
        file = card.locator("audio").get_attribute("src")
        assert inside.request.get(address + file).ok
        assert outside.request.get(address + file).status == 404
        inside.close()
        outside.close()


def test_a_refused_microphone_is_a_sentence(address, visit):
    page = visit(address)
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#clip").get_by_label("Record audio").click()
    page.locator("#clip .record-button, #clip button:has-text('Record')").first.click()
    expect(page.locator("#mic-trouble")).to_contain_text("microphone", ignore_case=True)


def test_a_recording_becomes_a_voice(address, playing, tmp_path):
    sound = tmp_path / "spoken.wav"
    audio.write(sound, make_speech(8.0, seed=9), generated=False)
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={sound}"]  # fmt: skip
    chromium = playing.chromium.launch(executable_path=CHROMIUM, args=QUIET + fake)
    page = chromium.new_context(locale="en-US", permissions=["microphone"]).new_page()
    page.goto(address)
    expect(page.locator("#coach .coach")).to_be_visible(timeout=20_000)
    page.locator("#clip").get_by_label("Clear").click()
    page.locator("#clip").get_by_label("Record audio").click()
    page.locator("#clip .record-button, #clip button:has-text('Record')").first.click()
    page.wait_for_timeout(4000)
    page.locator("#clip .stop-button, #clip button:has-text('Stop')").first.click()
    box = page.get_by_label("I have the right to use this voice")
    expect(box).to_be_visible(timeout=20_000)
    box.check()
    speak(page, "From the microphone.")
    assert seconds_of(first_take(page)) > 0.5
    chromium.close()
