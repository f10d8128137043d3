"""Connections are given back at once, not when the garbage collector comes by: a daemon runs for months."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.auth import HTTPBasicAuth

from syncer.clock import SystemClock
from syncer.engine.model import Entry
from syncer.stores.http.client import HttpSession
from syncer.stores.peer.store import PeerStore
from tests.server.conftest import Serving, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "folder", state=tmp_path / "state") as found:
        yield found


@pytest.fixture(autouse=True)
def nobody_collects() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def connected(server: Serving) -> HttpSession:
    return HttpSession(server.url, HTTPBasicAuth(server.key, server.password), clock=SystemClock())


def sockets() -> int:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and os.readlink(link).startswith("socket:") for link in links)


def test_a_session_that_is_closed_leaves_nothing_open_though_an_answer_is_still_known(
    server: Serving,
) -> None:
    before = sockets()
    session = connected(server)
    answer = session.request("GET", "api/2/ping/")
    assert sockets() == before + 1
    session.close()
    assert sockets() == before and answer.status_code == 200


def test_files_that_nobody_reads_in_the_end_hold_no_connection(server: Serving, tmp_path: Path) -> None:
    for number in range(5):
        (server.folder / f"f{number}").write_bytes(b"%d" % number)
    session = connected(server)
    store = PeerStore(session, "", cache=tmp_path / "cache")
    listed = store.list("").entries
    wanted = [(name, entry) for name, entry in sorted(listed.items()) if isinstance(entry, Entry)]
    before = sockets()
    for _ in range(6):
        first, *_rest = store.open_many(wanted)
        assert b"".join(first.chunks()) == b"0"
        del first, _rest
    assert sockets() <= before + 1
    store.close()
    session.close()


def test_whole_runs_hold_no_more_than_a_few(server: Serving, tmp_path: Path) -> None:
    """A connection made anew each time, as after trouble."""
    (server.folder / "d").mkdir()
    before = sockets()
    for _ in range(6):
        session = connected(server)
        store = PeerStore(session, "", cache=tmp_path / "cache")
        assert store.root() is not None
        store.list("")
        store.list("d")
        store.close()
        session.close()
    assert sockets() == before
