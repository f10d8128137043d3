"""Pause file: durable, private, replaced atomically, refused when damaged."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncer.daemon.pause_file import NAME, paused, set_paused
from syncer.errors import StateError


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_nothing_is_paused_where_nobody_did_and_looking_makes_nothing(state: Path) -> None:
    assert paused(state) == frozenset()
    assert not state.exists()


def test_marks_are_added_and_taken_away_by_name(state: Path) -> None:
    assert set_paused(state, ["a", "b"], True) == {"a", "b"}
    assert set_paused(state, ["c"], True) == {"a", "b", "c"}
    assert set_paused(state, ["b", "unknown"], False) == {"a", "c"}
    assert paused(state) == {"a", "c"}
    assert set_paused(state, ["a", "c"], False) == paused(state) == frozenset()


def test_the_file_is_private_and_alone(state: Path) -> None:
    (state).mkdir()
    (state / f"{NAME}.0123.tmp").write_bytes(b"left by a killed one")
    set_paused(state, ["a"], True)
    assert [path.name for path in state.iterdir()] == [NAME]
    assert (state / NAME).stat().st_mode & 0o777 == 0o600


def test_any_name_comes_back(state: Path) -> None:
    names = {"", "\u00e9", "a\udcff", 'x "y" \n', "~/a <-> b:c"}
    set_paused(state, names, True)
    assert paused(state) == names


def test_two_at_once_lose_no_mark(state: Path) -> None:
    threads = [threading.Thread(target=set_paused, args=(state, [f"j{n}"], True)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert paused(state) == {f"j{n}" for n in range(12)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema": 2, "paused": []}',
        '{"schema": 1, "paused": "a"}',
        '{"schema": 1, "paused": [1]}',
    ],
)
def test_a_damaged_mark_is_an_error_and_not_nothing(state: Path, text: str) -> None:
    """To run what somebody has paused would be a surprise."""
    state.mkdir()
    (state / NAME).write_text(text)
    with pytest.raises(StateError, match="damaged") as caught:
        paused(state)
    assert "remove it" in caught.value.hint
    with pytest.raises(StateError):
        set_paused(state, ["a"], False)
    assert (state / NAME).read_text() == text


def test_a_directory_in_its_place_is_an_error(state: Path) -> None:
    (state / NAME).mkdir(parents=True)
    with pytest.raises(StateError, match="cannot be read"):
        paused(state)
