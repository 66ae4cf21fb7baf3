"""The Models screen in a real browser, against the stand-in of the hub, on a toy that is published there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Page, expect  # noqa: E402

from pipelines import audio  # noqa: E402
from pipelines.install import Store  # noqa: E402
from pipelines.registry import Engines  # noqa: E402
from pipelines.types import Run  # noqa: E402
from tests import hub as stand_in  # noqa: E402
from tests import test_page, toy  # noqa: E402
from tests.conftest import make_speech  # noqa: E402
from tests.hub import FILES, Hub, serving  # noqa: E402
from webui import layout, models_words  # noqa: E402
from webui import models as screen  # noqa: E402
from webui.handlers import Desk, Example  # noqa: E402
from webui.installing import Installing  # noqa: E402

pytestmark = test_page.pytestmark
playing, browser, visit = test_page.playing, test_page.browser, test_page.visit


@contextmanager
def served(folder: Path, store: Store, **launch: object) -> Iterator[str]:
    """The page on these official files."""
    (folder / "models" / "toy").mkdir(parents=True)
    (folder / "models" / "toy" / "config.json").write_text(json.dumps({}))
    engines = Engines(folder / "models", folder / "data", test_page.TABLE, {"toy": toy})
    clip = folder / "example.wav"
    audio.write(clip, make_speech(6.0), generated=False)
    desk = Desk(engines, folder / "data", "toy", Example(clip, "A bird.", "CC0", "2026-11-21T00:00:00+00:00"))
    page = layout.build(desk, files=store)
    _, address, _ = page.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, **layout.launch_options(desk) | launch
    )
    try:
        yield address
    finally:
        page.close(verbose=False)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving(FILES) as hub:
        yield hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def store(folder, hub) -> Store:
    return Store(folder / "models", engines=stand_in.engines(), endpoint=hub.address, patience=0.01)


@pytest.fixture(scope="module")
def address(folder, store) -> Iterator[str]:
    with served(folder, store) as address:
        yield address


@pytest.fixture(autouse=True)
def well(hub) -> Iterator[None]:
    """A hub that behaves, before and after each test."""
    yield
    hub.trickle, hub.status = False, None


def models(page: Page, name: str = "Models") -> Page:
    page.get_by_role("tab", name=name).click()
    expect(card(page, "one")).to_be_visible(timeout=20_000)
    return page


def card(page: Page, edition: str):
    return page.locator(f'[data-name="toys/{edition}"]')


def press(page: Page, edition: str, name: str) -> None:
    card(page, edition).get_by_role("button", name=name).click()


def fetched(hub: Hub, name: str) -> int:
    return sum((method, file) == ("GET", name) for method, file, _ in hub.asked)


def test_one_download_is_watched_by_all_survives_a_reload_stops_and_goes_on(address, visit, hub):
    anna, bert = models(visit(address)), models(visit(address))
    expect(card(anna, "one")).to_contain_text("Nothing of it is here yet: 100 kB to fetch.")
    card(anna, "one").locator("summary").click()
    expect(card(anna, "one").locator("code", has_text="toys/Toy")).to_be_visible()
    expect(card(anna, "one").locator("code", has_text="mouth-one.ckpt")).to_be_visible()
    hub.trickle = True
    press(anna, "one", "Install (100 kB)")
    expect(card(anna, "one")).to_contain_text("Fetching model.bin: ")
    expect(card(anna, "one").get_by_role("progressbar")).to_have_attribute(
        "aria-valuenow", re.compile("1[6-9]|2.")
    )
    press(bert, "one", "Install (100 kB)")  # who comes second watches the first
    expect(card(bert, "one").get_by_role("progressbar")).to_be_visible()
    assert fetched(hub, "ears/model.bin") == 1
    anna.reload()
    models(anna)
    expect(card(anna, "one")).to_contain_text("Working")
    press(anna, "one", "Stop")
    expect(card(anna, "one")).to_contain_text("Stopped. What was fetched is kept", timeout=20_000)
    hub.trickle = False
    press(anna, "one", "Go on (")
    expect(card(anna, "one")).to_contain_text("Installed", timeout=20_000)
    expect(card(anna, "one")).to_contain_text("In use")
    assert hub.ranges_asked and fetched(hub, "mouth-one.ckpt") == 1
    expect(card(anna, "two")).to_contain_text("1 of 2 parts are here; 50 kB to fetch.")


def test_files_that_are_put_there_are_used_and_removing_asks_first(address, visit, hub, folder, store):
    store.install("toys", "one", Run())
    page = models(visit(address))
    inbox = folder / "models" / "official"
    for name in ("ears/model.bin", "ears/config.json", "two/mouth-two.ckpt"):
        (inbox / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / "mine" / name).write_bytes(FILES[name])
    (inbox / "voice.pth").write_bytes(b"EVIL os.system\n")
    asked = len(hub.asked)
    page.get_by_role("button", name="Check again").click()
    expect(card(page, "two")).to_contain_text("Files are here", timeout=20_000)
    expect(page.locator(".unused")).to_contain_text("voice.pth was refused: it asks Python for os.system")
    press(page, "two", "Use the files found")
    expect(card(page, "two")).to_contain_text("Installed", timeout=20_000)
    press(page, "two", "Use this version")
    expect(card(page, "two")).to_contain_text("In use", timeout=20_000)
    (inbox / "mine.ckpt").write_bytes(stand_in.content("mouth", "two", 51_000))
    page.get_by_role("button", name="Check again").click()
    page.get_by_role("button", name="Convert mine.ckpt").click()
    page.get_by_role("button", name="Use mine").click(timeout=20_000)
    expect(page.locator(".owned")).to_contain_text("In use", timeout=20_000)
    page.get_by_role("button", name="Back to the official part instead of mine").click()
    expect(page.get_by_role("button", name="Use mine")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Remove mine …").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("button", name="Convert mine.ckpt")).to_be_visible(timeout=20_000)
    assert (inbox / "mine.ckpt").is_file() and not (folder / "models" / "toys" / "mine").exists()
    press(page, "two", "Remove …")
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("mouth-two")
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    press(page, "two", "Remove …")
    question.get_by_role("button", name="Remove", exact=True).click()
    expect(card(page, "two")).to_contain_text("Files are here", timeout=20_000)
    assert (inbox / "mine" / "two" / "mouth-two.ckpt").is_file()
    assert not (folder / "models" / "toys" / "mouth-two").exists()
    assert len(hub.asked) == asked


def test_what_goes_wrong_is_said_in_the_visitors_language(address, visit, hub, folder):
    odd = folder / "models" / "official" / "voice\a.pth"
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(b"TOY mouth one\n")
    page = models(visit(address, locale="zh-CN"), "模型")
    expect(page.locator(".unused")).to_contain_text("voice�.pth 的文件名无法显示，请改名。")
    odd.unlink()
    hub.status = 503
    card(page, "letters").get_by_role("button").filter(has_text="安装").click()
    said = models_words.CHINESE_SETBACKS["refused"].format(
        repository="toys/Toy", file="more.pth", status="503"
    )
    expect(card(page, "letters").get_by_role("alert")).to_contain_text(said, timeout=20_000)
    assert "__i18n__" not in page.locator("body").inner_text()


def test_a_file_of_ones_own_can_give_way_to_the_official(tmp_path, hub):
    store = Store(tmp_path, engines=stand_in.engines(), endpoint=hub.address)
    store.inbox.mkdir()
    (store.inbox / "mine.ckpt").write_bytes(stand_in.content("mouth", "one", 41_000))
    installing = Installing(Engines(tmp_path, tmp_path, {}, {}), store)
    installing.look()
    told = {part["name"]: part["html"] for part in screen.cards(installing, "zh")}
    assert "改为下载官方文件（100 kB）" in told["toys/one"] and "mine.ckpt" in told["toys/one"]
    assert "改为下载" not in told["toys/two"] and "转换 mine.ckpt" in told["toys/*"]


def test_a_forged_name_is_refused(address, visit, folder):
    page = models(visit(address))
    letters = card(page, "letters").element_handle()
    for forged, said in (
        ("toys/../../elsewhere", "no version '..'"),
        ("../../etc/one", "no engine '..'"),
        ("small/one", "no engine 'small'"),
    ):
        letters.evaluate("(card, name) => { card.dataset.name = name; }", forged)
        letters.query_selector("[data-act=install]").click()
        expect(page.locator("#models-said")).to_contain_text(said)
        letters.evaluate("card => { card.dataset.name = 'toys/letters'; }")
    assert {path.name for path in folder.iterdir()} <= {"data", "example.wav", "models"}


def test_a_phone_and_the_keyboard_are_enough(address, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    page = models(visit(address, viewport={"width": 390, "height": 844}, reduced_motion="reduce"))
    card(page, "letters").locator("summary").focus()
    page.keyboard.press("Enter")
    expect(card(page, "letters").locator(".parts")).to_be_visible()
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.dataset.copy")
    assert focused == "toys/Toy"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert test_page.serious(axe, page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.evaluate("document.body.classList.add('dark')")
    expect(page.locator("#models-check")).to_have_css("background-color", "rgb(37, 34, 30)")
    assert test_page.serious(axe, page) == []


ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


def test_who_comes_from_elsewhere_sees_the_list_and_why_it_cannot_be_changed(address, visit, store, hub):
    store.install("toys", "two", Run())
    asked, there = len(hub.asked), store.survey("toys")
    page = models(visit(address, extra_http_headers=ELSEWHERE))
    expect(page.locator("#models-folder")).to_contain_text("Only a browser on this machine itself")
    expect(page.locator("#models-folder")).not_to_contain_text(str(store.inbox))
    expect(card(page, "two")).to_contain_text("Installed")
    assert page.locator("#models [data-act], #models [data-ask]").count() == 0
    for act in (
        "install",
        "remove",
        "choose",
        "official",
        "use",
        "stop",
        "adopt",
        "prefer",
        "discard",
        "unpack",
    ):
        card(page, "letters").evaluate(
            """(card, act) => {
                const button = Object.assign(document.createElement('button'), {type: 'button'});
                button.dataset.act = act;
                card.append(button);
                button.click();
            }""",
            act,
        )
        expect(page.locator("#models-said")).to_contain_text("Only a browser on this machine itself")
        page.get_by_role("button", name="Check again").click()
        expect(page.locator("#models-said")).not_to_contain_text("Only a browser")
    assert len(hub.asked) == asked and store.survey("toys") == there


def test_who_has_signed_in_may_change_models_from_elsewhere(tmp_path, hub, browser):
    store = Store(tmp_path / "models", engines=stand_in.engines(), endpoint=hub.address)
    with served(tmp_path, store, auth=("anna", "secret")) as address:
        context = browser.new_context(locale="en-US", extra_http_headers=ELSEWHERE)
        page = context.new_page()
        page.goto(address)
        page.get_by_label("username").fill("anna")
        page.get_by_label("password").fill("secret")
        page.get_by_role("button", name="Login").click()
        press(models(page), "letters", "Install (")
        expect(card(page, "letters")).to_contain_text("Installed", timeout=20_000)
        context.close()
