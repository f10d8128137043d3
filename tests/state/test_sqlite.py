"""Transactions, simulated deaths, and SQLite's errors in our words."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.engine.interfaces import ForgetBase, SetBase
from syncer.engine.model import BaseEntry, Kind
from syncer.errors import Busy, StateError
from syncer.exit_codes import exit_code
from syncer.state import NAME, CorruptDatabase, State, open_state

FILE = BaseEntry(kind=Kind.FILE)


class Death(BaseException):
    """The process ends here."""


class DyingCommits:
    """Lets commits through until number `last`; dies before or after that one."""

    def __init__(self, last: int, *, before: bool) -> None:
        self.left = last
        self.before = before

    def __call__(self, commit: Callable[[], None]) -> None:
        self.left -= 1
        if self.left == 0 and self.before:
            raise Death
        commit()
        if self.left == 0:
            raise Death


def known(place: Path) -> list[str]:
    with open_state(place) as state:
        assert state.note == ""
        return sorted(state.memory.rows(""))


def die_within_a_transaction(state: State) -> None:
    with state.database.transaction():
        state.memory.record([SetBase(path="two", entry=FILE)])
        state.database.abandon()
        raise Death


def read_everything(state: State) -> None:
    for path, _, _ in state.memory.directories():
        state.memory.rows(path)


@pytest.mark.parametrize(("before", "expected"), [(True, ["one"]), (False, ["one", "two"])])
def test_a_death_at_a_commit_leaves_all_or_nothing(place: Path, before: bool, expected: list[str]) -> None:
    state = open_state(place, commit=DyingCommits(2, before=before))
    state.memory.record([SetBase(path="one", entry=FILE)])
    with pytest.raises(Death):
        state.memory.record([SetBase(path="two", entry=FILE)])
    state.database.abandon()
    assert known(place) == expected


def test_an_abandoned_transaction_is_rolled_back(place: Path) -> None:
    state = open_state(place)
    state.memory.record([SetBase(path="one", entry=FILE)])
    with pytest.raises(Death):
        die_within_a_transaction(state)
    del state
    gc.collect()
    assert known(place) == ["one"]


def test_a_failed_commit_can_be_followed_by_a_good_one(place: Path) -> None:
    with open_state(place, commit=DyingCommits(1, before=True)) as state:
        with pytest.raises(Death):
            state.memory.record([SetBase(path="one", entry=FILE)])
        assert state.memory.rows("") == {}
        state.memory.record([SetBase(path="two", entry=FILE)])
    assert known(place) == ["two"]


def test_an_outer_transaction_holds_several_records(place: Path) -> None:
    commits: list[object] = []

    def count(commit: Callable[[], None]) -> None:
        commits.append(commit)
        commit()

    with open_state(place, commit=count) as state, state.database.transaction():
        state.memory.record([SetBase(path="one", entry=FILE)])
        state.memory.set(key="value")
    assert len(commits) == 1
    assert known(place) == ["one"]


def test_a_failed_record_within_a_transaction_undoes_only_itself(state: State) -> None:
    with state.database.transaction():
        state.memory.record([SetBase(path="one", entry=FILE)])
        bad = SetBase(path="bad", entry=BaseEntry(kind=Kind.FILE, size=1 << 70))
        with pytest.raises(StateError):
            state.memory.record([ForgetBase(path="one"), bad])
    assert list(state.memory.rows("")) == ["one"]


def test_the_serialized_bytes_are_a_state_database(state: State, tmp_path: Path) -> None:
    state.memory.record([SetBase(path="one", entry=FILE)])
    other = tmp_path / "other"
    other.mkdir()
    (other / NAME).write_bytes(state.database.serialize())
    state.memory.record([SetBase(path="two", entry=FILE)])
    assert known(other) == ["one"]


def test_the_pragmas_are_those_of_the_protocol(state: State) -> None:
    def pragma(name: str) -> object:
        return state.database.value(f"PRAGMA {name}")

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("busy_timeout") == 5000
    assert pragma("foreign_keys") == 1
    assert pragma("trusted_schema") == 0


def test_a_full_disk_is_an_error_with_a_hint_and_loses_nothing(state: State) -> None:
    state.memory.record([SetBase(path="one", entry=FILE)])
    pages = state.database.value("PRAGMA page_count")
    state.database.execute(f"PRAGMA max_page_count={pages}")
    many = [SetBase(path=f"file{number}", entry=FILE) for number in range(5000)]
    with pytest.raises(StateError) as caught:
        state.memory.record(many)
    assert "space" in caught.value.hint
    assert exit_code(caught.value) == 5
    assert list(state.memory.rows("")) == ["one"]
    state.database.execute("PRAGMA max_page_count=1000000")
    state.memory.record(many)
    assert state.memory.known() == 5001


def test_a_file_held_by_another_process_is_busy(state: State, place: Path) -> None:
    other = sqlite3.connect(place / NAME, isolation_level=None)
    state.database.execute("PRAGMA busy_timeout=1")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        state.memory.record([SetBase(path="one", entry=FILE)])
    other.execute("ROLLBACK")
    other.close()
    state.memory.record([SetBase(path="one", entry=FILE)])


def test_damage_in_the_middle_of_a_run_is_told_apart(place: Path) -> None:
    with open_state(place) as state:
        many = [SetBase(path=f"d{number}/f", entry=FILE) for number in range(3000)]
        state.memory.record(many)
    state = open_state(place)
    state.database.execute("PRAGMA shrink_memory")  # so that the pages are read again
    file = place / NAME
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(8192)
        stream.write(b"\xa5" * (size - 8192))
    with pytest.raises(CorruptDatabase):
        read_everything(state)
    state.database.abandon()


def test_a_closed_database_can_be_closed_again(place: Path) -> None:
    state = open_state(place)
    state.close()
    state.close()
    state.database.abandon()


def test_threads_take_turns(state: State) -> None:
    def work(name: str) -> None:
        for number in range(20):
            state.memory.record([SetBase(path=f"{name}{number}", entry=FILE)])
            state.memory.rows("")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.memory.known() == 80
