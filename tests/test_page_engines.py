"""The choice of engine: behind the page on two toys, and on the page in a real browser."""
# ruff: noqa: F811 (fixtures of test_page are arguments here)

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Page, expect  # noqa: E402

from pipelines import audio, coach  # noqa: E402
from pipelines.registry import ENGINES, Engines  # noqa: E402
from pipelines.types import InputError  # noqa: E402
from tests import parrot, test_page, toy  # noqa: E402
from tests.conftest import make_speech  # noqa: E402
from tests.test_page import browser, drop, first_take, playing, seconds_of, serious, served, speak, visit  # noqa: E402, F401
from tests.test_request import TABLE, ask, done  # noqa: E402
from webui import markup, tuning, words  # noqa: E402
from webui.handlers import Desk  # noqa: E402


def engines_in(folder: Path, installed: bool = True) -> Engines:
    """Two engines of which the second is installed or not."""
    for name in ("toy", *(["parrot"] if installed else [])):
        (folder / "models" / name).mkdir(parents=True, exist_ok=True)
        (folder / "models" / name / "config.json").write_text("{}")
    return Engines(folder / "models", folder / "data", TABLE, {"toy": toy, "parrot": parrot})


def desk_in(folder: Path, installed: bool = True) -> Desk:
    return Desk(engines_in(folder, installed), folder / "data", "toy")


@pytest.fixture
def clip(tmp_path) -> str:
    path = tmp_path / "clip.wav"
    audio.write(path, make_speech(4.0), generated=False)
    return str(path)


# --- behind the page ---------------------------------------------------------------------


def test_the_engine_and_the_words_of_the_clip_reach_recipe_card_and_second_making(tmp_path, clip):
    desk = desk_in(tmp_path)
    asked = ask(clip, engine="parrot", language="zh", transcript="  What it says. ")
    job = done(desk.speak("me", asked, "en"))
    recipe = json.loads(desk.file(job.token, "recipe.json").read_text())
    assert (recipe["engine"], recipe["language"]) == ("parrot", "zh")
    assert recipe["transcript"] == "What it says."
    assert job.rate == job.card.sample_rate == parrot.SAMPLE_RATE  # the loaded version's, not the spec's
    assert "Parrot" in markup.take(job.card, "en")
    again = done(desk.again("me", job.token, "en"))
    assert again.error is None and again.card.again == job.card.sha256


def test_without_a_choice_the_servers_engine_speaks_and_leaves_out_what_it_does_not_ask(tmp_path, clip):
    desk = desk_in(tmp_path)
    job = done(desk.speak("me", ask(clip, transcript="left over", prosody="another's"), "en"))
    recipe = json.loads(desk.file(job.token, "recipe.json").read_text())
    assert recipe["engine"] == "toy" and recipe["transcript"] is None and job.card.engine == "Toy"


def test_what_an_engine_cannot_do_is_a_sentence(tmp_path, clip):
    desk = desk_in(tmp_path)
    with pytest.raises(InputError, match="no engine 'dodo'; there are toy, parrot"):
        desk.speak("me", ask(clip, engine="dodo"), "en")
    job = done(desk.speak("me", ask(clip, engine="toy", language="zh"), "en"))
    assert "Toy does not speak 'zh'" in job.error and job.card is None


def test_an_engine_without_weights_says_so_and_nothing_else_changes(tmp_path, clip):
    desk = desk_in(tmp_path, installed=False)
    job = done(desk.speak("me", ask(clip, engine="parrot"), "en"))
    assert job.error == parrot.missing(tmp_path) and desk.missing(job.engine) is not None
    assert desk.chosen("parrot").name == desk.chosen("dodo").name == desk.chosen(["x"]).name == "toy"
    assert done(desk.speak("me", ask(clip), "en")).error is None


def test_a_voice_is_closer_only_for_the_engine_that_brought_it_closer(tmp_path, clip):
    desk = desk_in(tmp_path)
    assert done(desk.refine("me", ask(clip), "en")).error is None
    assert desk.clip(clip).refined and not desk.clip(clip, "parrot").refined
    assert done(desk.speak("me", ask(clip, engine="parrot"), "en")).error is None
    closer = done(desk.speak("me", ask(clip), "en")).card
    assert "How the voice was made: refined: 5 steps" in markup.take(closer, "en")


def test_every_language_and_engine_has_a_name_in_both_languages(tmp_path):
    engines = Engines(tmp_path, tmp_path, TABLE)
    for name in ENGINES:
        spec = engines.spec(name)
        assert name in words.CHINESE_ENGINES and spec.transcript
        assert words.engine("en", spec) != words.engine("zh", spec)
        for page in ("en", "zh"):
            assert all(label != code for label, code in words.languages(page, spec))
    assert words.languages("en", parrot.SPEC)[0] == ("Find out by itself", "auto")


def test_the_coach_judges_and_cuts_by_what_the_engine_wants(tmp_path):
    desk, path = desk_in(tmp_path), str(tmp_path / "long.wav")
    audio.write(Path(path), make_speech(14.0, seed=3), generated=False)
    assert [found.kind for found in desk.clip(path).findings] == ["good"]
    (found,) = desk.clip(path, "parrot").findings
    assert found.kind == "overlong" and found.words.endswith("It forgets all but nine seconds.")
    with pytest.raises(InputError, match="cannot be mended"):
        desk.mend(path, "overlong")
    rate, pcm = desk.mend(path, "overlong", "parrot")
    assert 3 <= len(pcm) / rate < 9


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_tells_of_its_clips_in_chinese_too(tmp_path, name):
    spec = Engines(tmp_path, tmp_path, TABLE).spec(name)
    for seconds in (1.5, 33.0):
        found = coach.examine(make_speech(seconds), None, spec.reference_seconds, spec.overlong)
        for finding in found:
            told, mend = words.finding("zh", finding, name)
            assert re.search("[a-z]{5,}", told + (mend or "")) is None
    assert bool(spec.overlong) == (name in words.CHINESE_OVERLONG)


def test_what_a_browser_kept_of_knobs_is_looked_at(tmp_path):
    engines = Engines(tmp_path, tmp_path, TABLE)
    spec = engines.spec("gpt_sovits")
    kept = {
        "top_k": 30,
        "temperature": 9.0,
        "top_p": "x",
        "prosody": "lively",
        "steps": 16,
        "candidates": True,
    }
    assert tuning.kept({"knobs": {"gpt_sovits": kept}}, spec, "v3") == {"top_k": 30, "steps": 16}
    assert tuning.kept({"knobs": {"gpt_sovits": kept}}, spec, "v2") == {"top_k": 30}  # which has no steps
    for nonsense in (None, [], {"knobs": 3}, {"knobs": {"gpt_sovits": [1]}}):
        assert tuning.kept(nonsense, spec) == {}
    assert "repetition_penalty" not in tuning.offered(engines.spec("small"))
    assert tuning.usual(spec, "top_k") == 15 and tuning.usual(engines.spec("small"), "prosody") == "steady"


def test_knobs_of_the_engine_before_are_not_sent_with_another(tmp_path):
    desk = desk_in(tmp_path)
    shown = [1.5, "babble", 0.5, 7, 0.9, 1.0, 2, 0]
    store = {"knobs": {"parrot": {"speed": 1.2}, "toy": {"speed": 1.3}}}
    assert tuning.asked(desk, "parrot", store, ["toy", *shown]) == {"speed": 1.2}
    told = tuning.asked(desk, "toy", store, ["toy", *shown])
    assert told == {
        "speed": 1.5, "prosody": "babble", "temperature": 0.5, "top_k": 7, "top_p": 0.9, "candidates": 2
    }  # fmt: skip
    assert tuning.asked(desk, "parrot", store, ["parrot", *shown]) == {"speed": 1.5, "steps": 0}


# --- on the page -------------------------------------------------------------------------

on_the_page = test_page.pytestmark


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[str]:
    """A page with two engines, both ready."""
    folder = tmp_path_factory.mktemp("two")
    with served(folder, engines=engines_in(folder), pace=0.0) as address:
        yield address


def choice(page: Page, title: str):
    return page.get_by_role("radio", name=re.compile(f"^{title}"))


@on_the_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_voice_text_and_speak_are_seen_at_once(two, visit, width, height, scheme):
    page = visit(two, viewport={"width": width, "height": height}, color_scheme=scheme)
    choice(page, "Parrot").check()
    expect(page.get_by_label("Language of the text")).to_be_visible()
    line, clip, text, speak, go = (
        page.locator(name).bounding_box()
        for name in (".engine-line", "#clip", "#text textarea", "#speak", ".sheet.go")
    )
    assert line["height"] < 45 and line["y"] + line["height"] < clip["y"]
    assert clip["y"] + clip["height"] < text["y"]
    assert text["y"] + 60 < go["y"]  # two lines of it
    assert speak["y"] + speak["height"] <= height
    assert page.evaluate("scrollY") == 0 and page.evaluate("document.documentElement.scrollWidth") <= width


@on_the_page
def test_the_coach_speaks_of_the_chosen_engine_and_its_cut_forgets_the_words(two, visit, tmp_path):
    page = visit(two)
    drop(page, tmp_path, "long.wav", make_speech(14.0, seed=3))
    expect(page.locator("#coach")).to_contain_text("A good clip: 14.0 seconds")
    page.get_by_label("I have the right to use this voice").check()
    choice(page, "Parrot").check()
    expect(page.locator("#coach")).to_contain_text(
        "3 to 9 seconds are best. It forgets all but nine seconds."
    )
    expect(page.get_by_label("I have the right to use this voice")).to_be_checked()  # not asked again
    said = page.get_by_label("What the clip says")
    said.fill("All of its words.")
    page.get_by_role("button", name="Keep the best seconds").click()
    expect(page.locator("#coach")).to_contain_text("A good clip")
    expect(said).to_have_value("")
    page.get_by_role("button", name="Back to the original clip").click()
    expect(page.locator("#coach")).to_contain_text("It forgets all but nine seconds.")
    choice(page, "Toy").check()
    expect(page.locator("#coach")).to_contain_text("A good clip: 14.0 seconds")


@on_the_page
def test_turned_knobs_stay_with_their_engine_and_go_back_to_usual(two, visit):
    page = visit(two)
    page.get_by_role("button", name="Fine tuning").click()
    back = page.get_by_role("button", name="Back to the usual values")
    speed, tries = (page.get_by_role("spinbutton", name=name) for name in ("Speed", "Tries"))
    liveliness = page.get_by_role("spinbutton", name="Liveliness")
    expect(back).to_be_hidden()
    expect(page.locator("#temperature")).to_contain_text("Usual: 1.")
    expect(page.get_by_label("Avoid repeating").first).to_be_hidden()  # means nothing to it
    page.get_by_label("babble").check()
    liveliness.fill("0.6")
    liveliness.blur()
    expect(back).to_be_visible()
    choice(page, "Parrot").check()
    expect(tries).to_be_hidden()
    expect(back).to_be_hidden()
    expect(speed).to_have_value("1")
    speed.fill("1.5")
    speed.blur()
    expect(back).to_be_visible()
    choice(page, "Toy").check()
    expect(liveliness).to_have_value("0.6")
    expect(page.get_by_label("babble")).to_be_checked()
    expect(speed).to_have_value("1")
    page.wait_for_timeout(300)  # until the browser has kept it
    page.reload()
    page.get_by_role("button", name="Fine tuning").click()
    expect(page.get_by_label("babble")).to_be_checked(timeout=20_000)
    expect(liveliness).to_have_value("0.6")
    speak(page, "As it was left.")
    recipe = first_take(page).get_by_role("link", name="Download recipe")
    told = page.request.get(two + recipe.get_attribute("href")).json()["sampling"]
    assert (told["prosody"], told["temperature"], told["speed"]) == ("babble", 0.6, 1.0)
    back.click()
    expect(liveliness).to_have_value("1")
    expect(page.get_by_label("hum")).to_be_checked()
    expect(back).to_be_hidden()
    choice(page, "Parrot").check()
    expect(speed).to_have_value("1.5")  # another engine's are left alone


@on_the_page
def test_another_engine_changes_what_is_offered_and_the_take_says_who_spoke(visit, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    with served(tmp_path, engines=engines_in(tmp_path), pace=0.0) as address:
        page = visit(address, viewport={"width": 390, "height": 844})
        page.get_by_role("button", name="Fine tuning").click()
        expect(choice(page, "Toy")).to_be_checked()
        expect(page.get_by_label("Liveliness").first).to_be_visible()
        expect(page.get_by_label("What the clip says")).to_be_hidden()
        choice(page, "Parrot").focus()
        page.keyboard.press("Space")
        said = page.get_by_label("What the clip says")
        expect(said).to_be_visible()
        expect(page.get_by_text("It repeats these words best.")).to_be_visible()
        expect(page.get_by_text("3 to 9 clear seconds")).to_be_visible()
        expect(page.get_by_label("Liveliness").first).to_be_hidden()
        expect(page.get_by_role("button", name="Bring it closer")).to_be_hidden()
        expect(page.get_by_label("Language of the text")).to_have_value("Find out by itself")
        assert serious(axe, page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        said.fill("A bird that speaks.")
        speak(page)
        card = first_take(page)
        expect(card.locator(".figures .engine")).to_contain_text("Parrot")
        # The take may be there before the sound that is made meanwhile is asked for.
        page.wait_for_function(f"window.myna.live.rate === {parrot.SAMPLE_RATE}")
        assert page.evaluate("window.myna.heard.seconds") == pytest.approx(seconds_of(card), abs=0.01)
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("#compare-voice")).to_contain_text("Parrot speaks")
        page.reload()
        expect(choice(page, "Parrot")).to_be_checked(timeout=20_000)  # remembered
        expect(said).to_be_visible()
        page.get_by_role("button", name="Fine tuning").click()
        expect(page.get_by_label("Liveliness").first).to_be_hidden()
        expect(page.locator("#prosody")).to_be_hidden()
        (tmp_path / "models/parrot/config.json").unlink()
        speak(page)
        expect(page.locator("#notice")).to_contain_text("The parrot has flown away")
        page.locator("#way").click()
        expect(page.locator("#models")).to_be_visible()
        page.get_by_role("tab", name="Clone").click()
        expect(choice(page, "Toy")).to_be_checked()
        page.get_by_role("button", name="Install Parrot").click()
        expect(page.locator("#models")).to_be_visible()


@on_the_page
def test_a_voice_brought_closer_for_an_engine_left_meanwhile_shows_the_next_nothing(visit, tmp_path):
    engines = engines_in(tmp_path)
    with served(tmp_path, engines=engines, pace=0.4) as address:
        page = visit(address)
        drop(page, tmp_path, "near.wav", make_speech(6.0, seed=7))
        page.get_by_label("I have the right to use this voice").check()
        page.get_by_role("button", name="Bring it closer").click()
        expect(page.locator("#progress")).to_contain_text("Bringing the voice closer")
        choice(page, "Parrot").check()
        expect(page.get_by_role("button", name="Bring it closer")).to_be_hidden()
        page.wait_for_function("!document.querySelector('#progress .progress')")
        expect(page.get_by_label("Use the closer voice")).to_be_hidden()
        choice(page, "Toy").check()
        expect(page.get_by_label("Use the closer voice")).to_be_checked()
        choice(page, "Parrot").check()
        expect(page.get_by_label("Use the closer voice")).to_be_hidden()
