"""Who may change what is installed: a browser on this machine, or whoever has signed in."""

from __future__ import annotations

import pytest

from webui.visitors import PASSED_ON, is_here, may_change

HERE = {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860", "referer": "http://127.0.0.1:7860/"}


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "127.0.0.1:7860"),
        ("127.0.0.1", "localhost:7860"),
        ("127.8.9.10", "127.8.9.10"),
        ("::1", "[::1]:7860"),
        ("::ffff:127.0.0.1", "LOCALHOST"),
    ],
)
def test_a_browser_on_this_machine_is_here(address, host):
    assert is_here(address, {"host": host})
    assert is_here(address, {"host": host, "origin": f"http://{host}", "referer": f"http://{host}/x"})


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "192.168.1.7",
        "10.0.0.2",
        "172.17.0.1",
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "fe80::1",
        "unix",
        "0.0.0.0",
    ],
)
def test_an_address_of_elsewhere_is_not_here_whatever_the_headers_say(address):
    assert not is_here(address, HERE)


@pytest.mark.parametrize("name", PASSED_ON)
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", ""])
def test_what_a_proxy_passes_on_is_not_here(name, value):
    assert not is_here("127.0.0.1", HERE | {name: value})


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "myna.example"},  # a proxy that keeps the name, or a name that was made to point here
        {"host": "192.168.1.7:7860"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {},
        HERE
        | {"origin": "https://myna.example"},  # a proxy that says nothing, and names us by our own address
        HERE | {"origin": "null"},
        HERE | {"origin": "http://127.0.0.1@evil.example"},
        HERE | {"referer": "https://evil.example/127.0.0.1"},
    ],
    ids=str,
)
def test_a_page_that_was_opened_at_another_name_is_not_here(headers):
    assert not is_here("127.0.0.1", headers)


def test_whoever_has_signed_in_may_change_models_from_anywhere():
    assert may_change("8.8.8.8", {"host": "myna.example", "x-forwarded-for": "8.8.8.8"}, "anna")
    assert may_change("127.0.0.1", HERE, None)
    for nobody in (None, ""):
        assert not may_change("8.8.8.8", HERE, nobody)
