"""A server and its client agree on the highest common version of the protocol, or say what to update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from requests.auth import HTTPBasicAuth

from syncer.config import load
from syncer.daemon.status import Phase
from syncer.daemon.worker import Worker, intervals_of, watchers_of
from syncer.engine.scope import Places
from syncer.errors import NoCommonVersion
from syncer.exit_codes import exit_code
from syncer.stores.http.client import HttpSession
from syncer.stores.peer.store import PeerStore
from syncer.wire import versions
from tests.compat.programs import TODAY, Home, Program, tomorrow, tree
from tests.compat.relay import Relay
from tests.contract.doubles import SteppingClock
from tests.server.conftest import eventually

URL = "http://box/"


@pytest.mark.parametrize(
    ("told", "spoken", "version"),
    [
        (None, (1,), None),
        ("1", (1,), None),
        ({"extension": 1, "base": "syncer/1/"}, (1,), 1),
        ({"extension": 1, "base": "http://elsewhere/"}, (1,), 1),
        ({"extension": 1, "versions": [1, 2, 3]}, (1,), 1),
        ({"extension": 1, "versions": [1, 2, 3]}, (1, 2), 2),
        ({"extension": 1, "versions": [3, 1, 2]}, (2, 3, 4), 3),
        ({"extension": 1}, (1, 2), 1),
        ({"extension": 2, "versions": ["2", None, True, 2.0, 10**20, 2]}, (1, 2), 2),
    ],
)
def test_the_highest_common_version_is_spoken(
    told: object, spoken: tuple[int, ...], version: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "SPOKEN", spoken)
    assert versions.agreed(told, URL) == version


@pytest.mark.parametrize(
    ("told", "spoken", "update"),
    [
        ({"extension": 2, "versions": [2, 3]}, (1,), "update Syncer on this machine"),
        ({"extension": 2, "base": "syncer/2/"}, (1,), "update Syncer on this machine"),
        ({"extension": 1}, (2, 3), f"update Syncer at the server, {URL}"),
        ({"versions": [1, 4]}, (2, 3), f"update Syncer on this machine and at the server, {URL}"),
        ({}, (1,), f"update Syncer on this machine and at the server, {URL}"),
        ({"versions": [True, "x"]}, (1,), f"update Syncer on this machine and at the server, {URL}"),
    ],
)
def test_without_a_common_version_it_is_said_what_to_update(
    told: object, spoken: tuple[int, ...], update: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "SPOKEN", spoken)
    with pytest.raises(NoCommonVersion, match="none in common") as caught:
        versions.agreed(told, URL)
    assert caught.value.hint == update and exit_code(caught.value) == 5


class Pair:
    """A server and a client, each of some version; the requests that went between them."""

    def __init__(self, base: Path, client: Program) -> None:
        self.folder, self.state, self.home = base / "folder", base / "server", Home(base=base / "home")
        self.client = client
        self.key = TODAY.add_key(self.folder, self.state)
        (self.folder / "docs").mkdir(parents=True)

    @contextmanager
    def served(self, server: Program) -> Iterator[Relay]:
        with server.serving(self.folder, state=self.state) as found, Relay(found.url) as heard:
            self.home.configure(heard.url, *self.key)
            yield heard


AGREED = {
    "today with tomorrow's server": (tomorrow(1, 2), TODAY, "syncer/1"),
    "tomorrow with today's server": (TODAY, tomorrow(1, 2), "syncer/1"),
    "both of tomorrow": (tomorrow(1, 2), tomorrow(1, 2, 3), "syncer/2"),
}


@pytest.mark.parametrize("case", AGREED)
def test_versions_that_overlap_sync(tmp_path: Path, case: str) -> None:
    server, client, base = AGREED[case]
    pair = Pair(tmp_path, client)
    with pair.served(server) as heard:
        (pair.folder / "docs/b").write_bytes(b"theirs")
        pair.home.write("a", b"ours" * 50_000)
        client.sync(pair.home)
        assert heard.bases() == {base}
        (pair.home.local / "b").unlink()
        client.sync(pair.home)
    assert tree(pair.folder / "docs") == tree(pair.home.local) == {"a": b"ours" * 50_000}


APART = {
    "today with tomorrow's server": (tomorrow(2), TODAY, "update Syncer on this machine"),
    "tomorrow with today's server": (TODAY, tomorrow(2, 3), "update Syncer at the server"),
}


@pytest.mark.parametrize("case", APART)
def test_versions_that_do_not_overlap_end_with_one_word_and_exit_5(tmp_path: Path, case: str) -> None:
    server, client, update = APART[case]
    pair = Pair(tmp_path, client)
    with pair.served(server) as heard:
        pair.home.write("a", b"ours")
        done = client.run("--config", str(pair.home.config), "sync")
        assert done.returncode == 5
        assert done.stderr.count(update) == 1 and "Traceback" not in done.stderr
        assert (heard.pings(), heard.bases()) == (1, set()), "it is asked once, and nothing else is"
    assert tree(pair.folder / "docs") == {}
    assert not (pair.folder / "docs/.syncer").exists()


def test_a_server_that_was_exchanged_under_an_open_connection_says_what_it_speaks(tmp_path: Path) -> None:
    """A call of a version that is gone; the next run asks anew, and speaks what there is."""
    pair = Pair(tmp_path, TODAY)
    with pair.served(tomorrow(2)) as heard:
        session = HttpSession(heard.url, HTTPBasicAuth(*pair.key), clock=SteppingClock())
        store = PeerStore(session, "docs", cache=tmp_path / "cache")
        with pytest.raises(NoCommonVersion) as caught:
            store.root()
        assert caught.value.hint == "update Syncer on this machine"
        store.close()


def test_a_daemon_holds_a_job_without_a_common_version_and_goes_on_once_there_is_one(tmp_path: Path) -> None:
    pair, ended = Pair(tmp_path, TODAY), []
    with ExitStack() as stack, ExitStack() as of_tomorrow:
        server = of_tomorrow.enter_context(tomorrow(2).serving(pair.folder, state=pair.state))
        heard = stack.enter_context(Relay(server.url))
        pair.home.configure(heard.url, *pair.key).write("a", b"ours")
        settings = load(pair.home.config)
        job = replace(settings.jobs["docs"], watch=False, interval=3600)
        worker = Worker(
            settings, job, intervals=intervals_of(settings, job), watchers=watchers_of(settings, job),
            ended=lambda worker, task, result: ended.append(result),
        )  # fmt: skip
        worker.start()
        try:
            eventually(lambda: len(ended) == 1 and worker.status.phase is Phase.HELD)
            assert worker.status.hint == "update Syncer on this machine"
            for text in ("b", "c", "d"):
                pair.home.write(text, b"ours")
                worker.notice_local(Places(directories=frozenset({""})))
            eventually(lambda: heard.pings() >= 4)
            assert len(ended) == 1, "whatever happens meanwhile: the ear alone asks, now and then"
            of_tomorrow.close()
            heard.lead_to(stack.enter_context(TODAY.serving(pair.folder, state=pair.state)).url)
            eventually(lambda: len(tree(pair.folder / "docs")) == 4)
        finally:
            worker.stop(15)
            assert worker.join(20)
