"""The server for one request: loopback only, one answer with our state, everything else refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
import requests

from syncer.accounts.login.oauth_redirect import Address, Denied, Granted, RedirectListener, Reply, address_of
from tests.jobs.login.players import free_port, with_query

STATE = "state-of-this-login"


class Open:
    """A listener that is open, and what it heard."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/back"
        self.heard: SimpleQueue[Reply] = SimpleQueue()
        address = Address(hosts=[(socket.AF_INET, "127.0.0.1")], port=port, path="/back", name="127.0.0.1")
        self.listener = RedirectListener(address, STATE, self.heard.put)

    def get(self, **fields: str) -> requests.Response:
        return requests.get(with_query(self.url, **fields), timeout=20)


@pytest.fixture
def opened() -> Iterator[Open]:
    found = Open(free_port())
    with found.listener:
        yield found


def test_the_code_is_heard_and_the_page_does_not_show_it(opened: Open) -> None:
    page = opened.get(code="made-up-code", state=STATE)
    assert page.status_code == 200 and "Logged in" in page.text
    assert "made-up-code" not in page.text and STATE not in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert opened.heard.get(timeout=20) == Granted(code="made-up-code")


def test_a_denial_is_heard_and_no_words_of_a_stranger(opened: Open) -> None:
    page = opened.get(error="access_denied", error_description="no\x1b[31m thanks", state=STATE)
    assert "Not logged in" in page.text and "thanks" not in page.text
    assert opened.heard.get(timeout=20) == Denied(words="access_denied")


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "stolen", "state": "another"},
        {"code": "stolen"},
        {"code": "", "state": STATE},
        {"error": "access_denied", "state": "another"},
        {"error": "access_denied"},  # any page of the web could end a login so
        {},
    ],
)
def test_what_does_not_belong_to_this_login_is_refused_and_waited_past(
    opened: Open, fields: dict[str, str]
) -> None:
    assert opened.get(**fields).status_code == 400
    assert opened.heard.empty()
    assert opened.get(code="right", state=STATE).status_code == 200
    assert opened.heard.get(timeout=20) == Granted(code="right")


def test_an_error_that_is_none_of_the_protocol_is_not_repeated(opened: Open) -> None:
    opened.get(error="call +1 555 0100 now", state=STATE)
    assert opened.heard.get(timeout=20) == Denied(words="for a reason of its own")


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:{port}", "127.0.0.1", "localhost:{port}"]
)
def test_a_request_under_another_name_is_refused(opened: Open, host: str) -> None:
    """A name of the web that leads to this machine (DNS rebinding) brings a page's own requests here."""
    port = opened.url.split(":")[2].partition("/")[0]
    headers = {"Host": host.format(port=port)}
    url = with_query(opened.url, code="stolen", state=STATE)
    assert requests.get(url, headers=headers, timeout=20).status_code == 421
    assert opened.heard.empty()


def test_a_redirect_address_with_a_port_that_is_none_is_no_place_to_listen() -> None:
    assert address_of("http://localhost:99999999/") is None and address_of("http://[::1/") is None


def test_two_codes_in_one_answer_are_none(opened: Open) -> None:
    url = f"{opened.url}?code=one&code=two&state={STATE}"
    assert requests.get(url, timeout=20).status_code == 400


def test_a_second_answer_is_refused(opened: Open) -> None:
    opened.get(code="first", state=STATE)
    assert opened.get(code="second", state=STATE).status_code == 410
    assert opened.heard.get(timeout=20) == Granted(code="first")
    assert opened.heard.empty()


def test_other_pages_and_methods_are_not_there(opened: Open) -> None:
    base = opened.url.removesuffix("/back")
    assert requests.get(f"{base}/favicon.ico", timeout=20).status_code == 404
    assert requests.post(opened.url, data={"code": "x", "state": STATE}, timeout=20).status_code == 501
    assert opened.heard.empty()


def test_a_connection_that_says_nothing_holds_nobody_up(opened: Open) -> None:
    port = int(opened.url.split(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)):
        assert opened.get(code="right", state=STATE).status_code == 200


def test_after_the_end_nobody_listens_and_the_port_is_free_at_once() -> None:
    port = free_port()
    for _ in range(2):
        found = Open(port)
        with found.listener:
            assert found.get(code="right", state=STATE).status_code == 200
        with pytest.raises(requests.ConnectionError):
            found.get(code="late", state=STATE)


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(opened: Open) -> None:
    port = int(opened.url.split(":")[2].partition("/")[0])
    with pytest.raises(OSError, match="in use"), Open(port).listener:
        pass


def test_only_redirects_to_this_machine_can_be_listened_for() -> None:
    found = address_of("http://localhost:8080/some/path?x=y")
    assert found is not None and found.port == 8080 and found.path == "/some/path"
    assert all(host in ("127.0.0.1", "::1") for _, host in found.hosts)
    bare = address_of("http://127.0.0.1")
    assert bare is not None and (bare.port, bare.path) == (80, "/")
    for uri in (
        "https://localhost:8080/",
        "http://192.0.2.1:8080/",
        "http://0.0.0.0:8080/",
        "urn:oob",
        "http:///x",
    ):
        assert address_of(uri) is None
