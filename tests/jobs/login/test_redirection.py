"""A code comes back by a browser, or is pasted; and everything that may go wrong on the way has its words."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from syncer.accounts.login import oauth_redirect
from syncer.errors import AuthError
from syncer.exit_codes import exit_code
from tests.jobs.login.players import Player, arrive, dialogue, free_port, with_query
from tests.stores.swift.auth.clocks import HandClock

PAGE = "https://login.example/authorize?client_id=x"
STATE = "state-of-this-login"


def back(port: int) -> str:
    return f"http://localhost:{port}/back"


def by_browser(port: int, **fields: str) -> Player:
    """Somebody whose browser is led back with these fields."""
    return Player(browser=lambda url: arrive(with_query(f"http://127.0.0.1:{port}/back", **fields)))


def asked(person: Player, home: Path, port: int, *, patience: float = 20.0, browser: bool = True) -> str:
    talk = dialogue(person, home, HandClock(), patience=patience, browser=browser)
    return oauth_redirect.code(talk, PAGE, redirect_uri=back(port), state=STATE)


def test_a_browser_brings_the_code(tmp_path: Path) -> None:
    port = free_port()
    person = by_browser(port, code="made-up", state=STATE)
    assert asked(person, tmp_path, port) == "made-up"
    assert person.url == PAGE


def test_a_browser_that_blocks_the_terminal_is_not_waited_for(tmp_path: Path) -> None:
    port, left = free_port(), threading.Event()

    def blocking(url: str) -> None:
        arrive(with_query(f"http://127.0.0.1:{port}/back", code="made-up", state=STATE))
        left.wait(20)

    assert asked(Player(browser=blocking), tmp_path, port) == "made-up"
    left.set()


def test_a_denial_is_told_by_its_code_and_not_in_a_strangers_words(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(AuthError, match=r"refused there: access_denied$") as caught:
        asked(
            by_browser(port, error="access_denied", error_description="not today", state=STATE),
            tmp_path,
            port,
        )
    assert exit_code(caught.value) == 7 and "log in again" in caught.value.hint


def test_nobody_is_waited_for_longer_than_was_said(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(AuthError, match="nobody logged in within 0") as caught:
        asked(Player(browser=lambda url: None), tmp_path, port, patience=0.05)
    assert "--no-browser" in caught.value.hint
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    "pasted",
    [
        "made-up\n",
        "  made-up ",
        f"{back(1)}?code=made-up&state={STATE}\n",
        f"/back?state={STATE}&code=made-up",
        f"code=made-up&state={STATE}",
    ],
)
def test_without_a_browser_the_code_or_the_whole_address_is_pasted(tmp_path: Path, pasted: str) -> None:
    for browser in (False, True):
        person = Player(pasting=lambda url: pasted)
        assert asked(person, tmp_path, free_port(), browser=browser) == "made-up"
        assert person.url == PAGE


@pytest.mark.parametrize(
    ("pasted", "why"),
    [
        ("", "no code"),
        ("two words", "no code"),
        (f"{back(1)}?code=stolen&state=another", "another login"),
        (f"{back(1)}?code=stolen", "which login"),
        (f"{back(1)}?state={STATE}", "no code"),
        ("?" + "&".join(f"a{n}=1" for n in range(60)), "cannot be understood"),
    ],
)
def test_a_paste_of_no_use_says_why(tmp_path: Path, pasted: str, why: str) -> None:
    with pytest.raises(AuthError, match=why):
        asked(Player(pasting=lambda url: pasted), tmp_path, free_port(), browser=False)


def test_a_pasted_denial_is_one(tmp_path: Path) -> None:
    person = Player(pasting=lambda url: f"{back(1)}?error=access_denied&state={STATE}")
    with pytest.raises(AuthError, match="refused there: access_denied"):
        asked(person, tmp_path, free_port(), browser=False)


def test_a_port_that_is_taken_leaves_pasting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        person = Player(browser=lambda url: None, pasting=lambda url: "made-up")
        assert asked(person, tmp_path, taken.getsockname()[1]) == "made-up"
    assert any("Cannot listen" in line for line in person.told)


def test_a_redirect_to_elsewhere_leaves_pasting(tmp_path: Path) -> None:
    person = Player(browser=lambda url: None, pasting=lambda url: "made-up")
    talk = dialogue(person, tmp_path, HandClock())
    found = oauth_redirect.code(talk, PAGE, redirect_uri="https://192.0.2.1/back", state=STATE)
    assert found == "made-up"
