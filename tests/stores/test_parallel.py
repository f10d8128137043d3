"""Looking in several processes gives the same answer as looking in one, whatever becomes of a child."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence

import pytest

from syncer.stores.local import parallel_scan


def odd(share: Sequence[int]) -> list[int]:
    return [index for index, item in enumerate(share) if item % 2]


@pytest.fixture
def four_hands(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with four processors, whatever this one has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 100, 1001])
def test_the_answer_is_that_of_one_process_in_order(four_hands: None, count: int) -> None:
    items = [n * 7 % 10 for n in range(count)]
    assert parallel_scan.select(items, odd, worth=1) == odd(items)


def test_the_shares_are_looked_at_by_several_processes(four_hands: None) -> None:
    me = os.getpid()

    def mine(share: Sequence[int]) -> list[int]:
        return list(range(len(share))) if os.getpid() == me else []

    assert parallel_scan.select(range(100), mine, worth=1) == list(range(25))


@pytest.mark.parametrize("end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), 9)], ids=["exit", "kill"])
def test_the_share_of_a_child_that_died_is_looked_at_here(four_hands: None, end: object) -> None:
    me = os.getpid()

    def fragile(share: Sequence[int]) -> list[int]:
        if os.getpid() != me and callable(end):
            end()
        return odd(share)

    assert parallel_scan.select(range(100), fragile, worth=1) == odd(range(100))


def test_a_child_that_raises_leaves_its_share_and_no_second_run_of_the_parents_code(four_hands: None) -> None:
    me = os.getpid()

    def raising(share: Sequence[int]) -> list[int]:
        if os.getpid() != me:
            raise OSError("gone")
        return odd(share)

    assert parallel_scan.select(range(10), raising, worth=1) == odd(range(10))


def test_nothing_is_forked_for_few_items_or_beside_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise AssertionError("forked")

    monkeypatch.setattr(os, "fork", refuse)
    assert parallel_scan.select(range(9), odd, worth=10) == odd(range(9))
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert parallel_scan.select(range(100), odd, worth=1) == odd(range(100))


def test_where_no_process_can_be_forked_everything_is_looked_at_here(
    four_hands: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, "too many processes")

    open_before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(os, "fork", refused)
    assert parallel_scan.select(range(100), odd, worth=1) == odd(range(100))
    assert len(os.listdir("/dev/fd")) == open_before
