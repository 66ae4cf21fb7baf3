"""Takes outlive the server, for the browser that has their tokens and for nobody else."""
# ruff: noqa: F811 (fixtures of test_page are arguments here)

from __future__ import annotations

import json
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import expect  # noqa: E402

from pipelines.types import InputError  # noqa: E402
from tests import test_page  # noqa: E402
from tests.test_page import browser, playing, seconds_of, served, speak_twice, visit  # noqa: E402, F401
from tests.test_request import ask, desk_in, done, hummed  # noqa: E402
from webui import markup  # noqa: E402


@pytest.fixture
def clip(tmp_path) -> str:
    return hummed(tmp_path / "clip.wav", 140.0)


def test_a_take_outlives_the_server_with_all_its_files_and_is_made_again_byte_by_byte(tmp_path, clip):
    before = desk_in(tmp_path)
    texts = ("Longer than a second, this one is.", "Short.")
    cards = [done(before.speak("me", ask(clip, text=text, seed=2), "en")).card for text in texts]
    tokens = [card.token for card in reversed(cards)]
    desk = desk_in(tmp_path)
    assert desk.cards("you") == []
    assert desk.arrive("you", tokens) == list(reversed(cards))  # newest first
    for name in ("take.wav", "recipe.json", "take.srt", "spectrogram.png"):
        assert desk.file(tokens[0], name).is_file()
    again = done(desk.again("you", tokens[0], "en"))
    assert again.error is None and again.card.again == cards[1].sha256
    assert "the same bytes" in markup.take(again.card, "en")


def test_nobody_gets_a_take_without_its_token_nor_what_is_kept_beside_it(tmp_path, clip):
    card = done(desk_in(tmp_path).speak("me", ask(clip), "en")).card
    desk = desk_in(tmp_path)
    for forged in (
        "",
        "x" * 24,
        "../takes/" + card.token,
        card.token + "/",
        "." * 24,
        card.token[:-1],
        3,
        None,
    ):
        assert desk.arrive("you", [forged]) == []
    assert desk.file("../" + card.token, "take.wav") is None
    for name in ("voice.safetensors", "request.json", "card.json", "../recipe.json"):
        assert desk.file(card.token, name) is None
    with pytest.raises(InputError, match="no longer here"):
        desk.again("you", card.token, "en")
    desk.delete("you", card.token)
    assert desk.file(card.token, "take.wav").is_file()  # another's is not theirs to delete


def test_a_deleted_take_is_gone_from_the_disk_after_a_restart_too(tmp_path, clip):
    card = done(desk_in(tmp_path).speak("me", ask(clip), "en")).card
    desk = desk_in(tmp_path)
    desk.arrive("you", [card.token])
    desk.delete("you", card.token)
    assert list((tmp_path / "data" / "takes").iterdir()) == [] and desk.cards("you") == []
    assert desk_in(tmp_path).arrive("me", [card.token]) == []


def test_a_take_of_another_version_is_left_out(tmp_path, clip):
    card = done(desk_in(tmp_path).speak("me", ask(clip), "en")).card
    path = tmp_path / "data" / "takes" / card.token / "card.json"
    told = json.loads(path.read_text())
    for changed in (told | {"unknown": 1}, {"stages": []}, [], "no card"):
        path.write_text(json.dumps(changed))
        assert desk_in(tmp_path).arrive("me", [card.token]) == []


@test_page.pytestmark
def test_the_cards_come_back_after_a_restart(visit, tmp_path):
    with served(tmp_path, pace=0.0) as address:
        page = visit(address)
        speak_twice(page)
        page.wait_for_timeout(300)  # until the browser has kept their tokens
        port = int(address.rstrip("/").rpartition(":")[2])
    with served(tmp_path, port=port, pace=0.0) as address:
        page.goto(address)
        expect(page.locator(".take")).to_have_count(2, timeout=30_000)
        card = page.locator(".take").first
        expect(card).to_contain_text("The younger.")
        assert seconds_of(card) > 0.5
        for name in ("Download wav", "Download subtitles", "Download recipe"):
            assert page.request.get(address + card.get_by_role("link", name=name).get_attribute("href")).ok
        card.get_by_role("button", name="Make again exactly").click()
        expect(card).to_contain_text("the same bytes", timeout=20_000)
        stranger = visit(address)
        assert stranger.locator(".take").count() == 0
        card.get_by_role("button", name="Delete").click()
        expect(page.locator(".take")).to_have_count(1)
        assert len(list(Path(tmp_path / "data/takes").iterdir())) == 1
