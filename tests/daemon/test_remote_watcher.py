"""Remote watcher against a scripted service, and once against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from syncer.clock import SystemClock
from syncer.config import parse
from syncer.daemon.remote_watcher import LONG_POLL, RemoteWatcher
from syncer.engine.interfaces import Store
from syncer.engine.scope import EVERYWHERE, NOWHERE, Places
from syncer.errors import AuthError, TransientError
from syncer.jobs import factory
from syncer.jobs.state_dir import place_of
from tests.server.conftest import serving

LONG = 30.0  # seconds after which a test gives up


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    cursor: str
    changed: tuple[str, ...] = ()
    reset: bool = False


class Script:
    """What a service answers to one question after the other; then it keeps its answer until it is let go."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[object] = []
        self.connected = self.closed = 0
        self.exhausted = threading.Event()
        self.let_go = threading.Event()

    def next(self, question: object) -> object:
        self.asked.append(question)
        if not self.answers:
            self.exhausted.set()
            self.let_go.wait(LONG)
            raise TransientError("the service went away")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


class Feeds(Script):
    def feed(self, cursor: str | None, wait: float) -> News:
        return cast(News, self.next((cursor, wait)))


class Pulses(Script):
    def pulse(self) -> bytes:
        return cast(bytes, self.next("pulse"))


class Heard:
    """What an ear told."""

    def __init__(self) -> None:
        self.places: list[Places] = []
        self.recovered = 0

    def regain(self) -> None:
        self.recovered += 1

    @property
    def all(self) -> Places:
        whole = NOWHERE
        for places in self.places:
            whole |= places
        return whole


@contextmanager
def listening(script: Script, heard: Heard, *, probe: float = 0.01) -> Iterator[RemoteWatcher]:
    def connect() -> Store:
        script.connected += 1
        return cast(Store, script)

    ear = RemoteWatcher(
        "docs", connect, changed=heard.places.append, recovered=heard.regain, probe=probe, first=0.01
    )
    ear.start()
    try:
        yield ear
    finally:
        ear.stop()
        script.let_go.set()


def heard_of(script: Script) -> Heard:
    """What was told by the end of the script."""
    heard = Heard()
    with listening(script, heard):
        assert script.exhausted.wait(LONG), script.asked
    return heard


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


# A feed


def test_what_a_feed_tells_is_passed_on_and_the_next_question_goes_on_from_there() -> None:
    script = Feeds(News(cursor="1"), News(cursor="2", changed=("a", "b/c")), News(cursor="3", changed=("d",)))
    assert heard_of(script).places == [
        EVERYWHERE,
        Places(directories=frozenset({"a", "b/c"})),
        Places(directories=frozenset({"d"})),
    ]
    assert script.asked == [(None, 0.0), ("1", LONG_POLL), ("2", LONG_POLL), ("3", LONG_POLL)]


def test_when_it_begins_to_listen_all_may_have_changed_before() -> None:
    """Else what happens between the first run's look and the first question is heard of by nobody."""
    assert heard_of(Feeds(News(cursor="1"))).places == [EVERYWHERE]


def test_a_quiet_feed_tells_nothing_and_is_not_asked_without_end() -> None:
    script = Feeds(News(cursor="1"), *(News(cursor="1") for _ in range(5)))
    assert heard_of(script).places == [EVERYWHERE]


def test_a_feed_that_forgot_the_cursor_means_that_all_may_have_changed() -> None:
    script = Feeds(
        News(cursor="1"), News(cursor="9", reset=True, changed=("a",)), News(cursor="9", changed=("b",))
    )
    assert heard_of(script).places == [EVERYWHERE, EVERYWHERE, Places(directories=frozenset({"b"}))]


def test_a_line_that_breaks_is_made_anew_and_goes_on_from_its_cursor() -> None:
    down = TransientError("reset by peer")
    script = Feeds(News(cursor="1"), down, down, down, News(cursor="2", changed=("a",)))
    heard = heard_of(script)
    assert heard.places == [EVERYWHERE, Places(directories=frozenset({"a"}))], "and not everything once more"
    assert heard.recovered == 1
    assert script.asked[1:] == [("1", LONG_POLL), ("1", 0.0), ("1", 0.0), ("1", 0.0), ("2", LONG_POLL)]
    assert script.closed == 3 and script.connected == 4


@pytest.mark.parametrize(
    "trouble", [AuthError("expired"), ValueError("a bug"), KeyError("another")], ids=repr
)
def test_whatever_goes_wrong_the_remote_is_heard_again_some_day(trouble: Exception) -> None:
    script = Feeds(News(cursor="1"), trouble, News(cursor="2", changed=("a",)))
    heard = heard_of(script)
    assert heard.recovered == 1 and heard.places[-1] == Places(directories=frozenset({"a"}))


def test_while_the_line_is_broken_it_says_so() -> None:
    script, heard = Feeds(News(cursor="1")), Heard()
    with listening(script, heard) as ear:
        assert script.exhausted.wait(LONG) and ear.mode == "feed"
        script.let_go.set()
        eventually(lambda: ear.mode == "interval")


def test_a_service_that_cannot_be_reached_at_first_is_tried_again() -> None:
    heard, script, tries = Heard(), Feeds(News(cursor="1")), [0]

    def connect() -> Store:
        tries[0] += 1
        if tries[0] < 4:
            raise TransientError("no route")
        return cast(Store, script)

    ear = RemoteWatcher("docs", connect, changed=heard.places.append, recovered=heard.regain, first=0.01)
    ear.start()
    assert script.exhausted.wait(LONG)
    ear.stop()
    script.let_go.set()
    assert heard.recovered == 1 and heard.places == [EVERYWHERE]


def test_one_who_stopped_listening_tells_nothing_any_more() -> None:
    class Slow(Feeds):
        def next(self, question: object) -> object:
            self.exhausted.set()
            self.let_go.wait(LONG)
            return super().next(question)

    script, heard = Slow(News(cursor="1", changed=("a",), reset=True)), Heard()
    with listening(script, heard) as ear:
        assert script.exhausted.wait(LONG)
        ear.stop()
        script.let_go.set()
        eventually(lambda: script.closed == 1)
    assert heard.places == [] and script.connected == 1


def test_an_ear_that_was_stopped_before_it_began_asks_nobody() -> None:
    script = Feeds()
    ear = RemoteWatcher(
        "docs", lambda: cast(Store, script), changed=lambda places: None, recovered=lambda: None
    )
    ear.stop()
    ear.start()
    ear._thread.join(LONG)
    assert not ear._thread.is_alive() and script.asked == []


# A token that moves


def test_a_token_that_moves_means_that_all_may_have_changed() -> None:
    assert heard_of(Pulses(b"1", b"1", b"1", b"2", b"2", b"3")).places == [EVERYWHERE] * 3


def test_a_token_says_nothing_of_what_was_before_the_line_was_made_again() -> None:
    heard = heard_of(Pulses(b"1", TransientError("reset"), b"1", b"1"))
    assert heard.places == [EVERYWHERE] * 2 and heard.recovered == 1


def test_a_service_that_tells_nothing_is_left_alone() -> None:
    script, heard = Script(), Heard()
    with listening(script, heard) as ear:
        ear._thread.join(LONG)
        assert not ear._thread.is_alive() and ear.mode == "interval"
    assert (script.connected, script.closed, heard.places) == (1, 1, [])


# A real one


def test_changes_in_the_folder_of_a_real_server_are_heard(tmp_path: Path) -> None:
    with serving(tmp_path / "folder", state=tmp_path / "server") as server:
        (tmp_path / "local").mkdir()
        (tmp_path / "folder/d").mkdir()
        text = (
            f'state_dir = "{tmp_path}/state"\n'
            f'[accounts.s]\ntype = "smartfile"\nurl = "{server.url}"\nkey = "{server.key}"\n'
            f'password = "{server.password}"\n'
            f'[jobs.docs]\nlocal = "{tmp_path}/local"\nremote = "s:"\nsettle = 0\n'
        )
        settings = parse(text, tmp_path / "config.toml")
        job, heard = settings.jobs["docs"], Heard()

        def connect() -> Store:
            return factory.service(settings, job, place_of(settings, job), SystemClock())

        ear = RemoteWatcher("docs", connect, changed=heard.places.append, recovered=heard.regain, first=0.01)
        ear.start()
        try:
            eventually(lambda: ear.mode == "feed")
            eventually(lambda: heard.places == [EVERYWHERE])
            heard.places.clear()
            (tmp_path / "folder/d/new").write_bytes(b"1")
            eventually(lambda: "d" in heard.all.directories or heard.all.everywhere)
        finally:
            ear.stop()
