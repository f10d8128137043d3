"""One request is tried five times at most, whichever layers insist on it: counted where it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.engine.interfaces import Store, WriteRequest
from syncer.engine.model import Entry, Failed, Kind
from syncer.errors import AuthError, SyncerError, TransientError
from syncer.stores.retry import RetryingStore
from syncer.stores.retry_policy import POLICY, Attempts, attempts, counted
from tests.contract.doubles import BytesSource, SteppingClock
from tests.stores import client_process
from tests.stores.client_process import STORES
from tests.stores.hostile_http import Says, said, serving

HELLO = json.dumps({"server": "x", "capabilities": {}, "limits": {"items": 100, "body": 1}}).encode()
TROUBLE = {
    "503": lambda: Says(status=503),
    "503 with a pause": lambda: Says(status=503, headers={"Retry-After": "7", "Content-Length": "0"}),
    "429 without one": lambda: Says(status=429, headers={"Content-Length": "0"}),
    "500": lambda: Says(status=500, headers={"Content-Length": "0"}),
    "a connection that is cut": lambda: Says(cut=True),
    "Orange's own": lambda: said(b'{"code": 53, "message": "Too many"}', status=403),
}
CALLS: dict[str, Callable[[Store], object]] = {
    "root": lambda store: store.root(),
    "list": lambda store: store.list(""),
    "look": lambda store: store.stat("f"),
    "small": lambda store: store.read_file("f", 9),
    "read": lambda store: list(store.open("f", Entry(kind=Kind.FILE, size=9, version=b"v" * 24)).chunks()),
    "put": lambda store: list(
        store.put([WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(b"x"), size=1, expected=None)])
    ),
}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = SteppingClock()
    monkeypatch.setattr(client_process, "CLOCK", clock)
    return clock.slept


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_request_that_fails_is_sent_five_times_at_most(
    kind: str, call: str, trouble: str, tmp_path: Path, slept: list[float]
) -> None:
    """A session, a store and its decorator had a loop each: up to 150 tries, 50 silent minutes."""

    def script(method: str, path: str) -> Says:
        return said(HELLO) if path.startswith("/syncer/1/hello") else TROUBLE[trouble]()

    with serving(script) as hostile:
        store = STORES[kind](hostile.url, tmp_path)
        retrying = RetryingStore(store, sleep=client_process.CLOCK.sleep)
        try:
            ended = CALLS[call](retrying)
        except SyncerError:
            ended = None
        store.close()
    counts = {one: hostile.asked.count(one) for one in hostile.asked if "hello" not in one[1]}
    assert counts and max(counts.values()) <= POLICY.tries, counts
    assert sum(slept) < 150
    if call == "put" and ended is not None:
        assert all(isinstance(outcome, Failed) for _, outcome in ended)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["peer", "smartfile", "swift"])  # Orange names no pauses
@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_longer_than_a_run_waits_fails_that_request_at_once(
    kind: str, status: int, tmp_path: Path, slept: list[float]
) -> None:
    headers = {"Retry-After": "7200", "Content-Length": "0"}

    def script(method: str, path: str) -> Says:
        return said(HELLO) if path.startswith("/syncer/1/hello") else Says(status=status, headers=headers)

    with serving(script) as hostile:
        store = RetryingStore(STORES[kind](hostile.url, tmp_path), sleep=client_process.CLOCK.sleep)
        with pytest.raises(TransientError, match=r"asks to wait 2h, until \d\d:\d\d, and a run waits 1m"):
            store.stat("f")
        store.close()
    assert slept == [] and len([one for one in hostile.asked if "hello" not in one[1]]) == 1


@pytest.mark.parametrize("kind", ["v1", "keystone", "hubic"])
@pytest.mark.parametrize("trouble", ["503", "500", "a connection that is cut"])
def test_a_login_that_fails_is_tried_five_times_at_most(
    kind: str, trouble: str, tmp_path: Path, slept: list[float]
) -> None:
    """Each of five tries of a request began with five of the login."""
    from syncer.stores.swift.auth.session import RenewingTokenProvider
    from syncer.stores.swift.client import Connection
    from syncer.stores.swift.names import ContainerPath
    from syncer.stores.swift.store import SwiftStore

    class Login:
        def __init__(self, url: str) -> None:
            self.url = url

        def log_in(self) -> object:
            return client_process._login(kind, self.url)

        def free_space(self) -> int | None:
            return None

    with serving(lambda method, path: TROUBLE[trouble]()) as hostile:
        clock = client_process.CLOCK
        door = RenewingTokenProvider(Login(hostile.url), clock=clock)  # type: ignore[arg-type]
        store: Store = SwiftStore(
            Connection(door, clock=clock), ContainerPath.of("box", default=""), whereabouts="w", clock=clock,
            cache=tmp_path, tag="a" * 8,
        )  # fmt: skip
        with pytest.raises((TransientError, AuthError)):
            RetryingStore(store, sleep=clock.sleep).list("")
        store.close()
    counts = {one: hostile.asked.count(one) for one in hostile.asked}
    assert counts and max(counts.values()) <= POLICY.tries, counts


def test_what_comes_on_in_between_begins_the_count_anew() -> None:
    tries = Attempts()
    with tries.shared():
        for _ in range(4):
            counted(TransientError("x"), "GET /")
    tries.progress()
    with tries.shared():
        assert counted(TransientError("x"), "GET /").attempts == 1


def test_requests_are_counted_apart_and_threads_do_not_share() -> None:
    with attempts() as tries:
        assert [counted(TransientError("x"), f"GET /{n}").attempts for n in (1, 2, 1)] == [1, 1, 2]
        with attempts() as inner:
            assert inner is tries
    assert counted(TransientError("x"), "GET /1").attempts == 1


def test_no_try_is_begun_after_two_and_a_half_minutes() -> None:
    """A service that takes every request and answers none was waited for five times a minute and more."""
    moments = iter((0.0, 151.0))
    tries = Attempts(now=lambda: next(moments))
    with pytest.raises(TransientError):
        tries.pause(counted(TransientError("x"), "GET /"))
