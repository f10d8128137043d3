"""Problems of watching: reported once, with a remedy that helps, and again when they come back."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from syncer.watch import problems
from syncer.watch.problems import WatchProblem, WatchProblems
from tests.server.clocks import Moved


@pytest.fixture
def clock():
    return Moved()


@pytest.fixture
def said():
    return []


@pytest.fixture
def register(said, clock):
    return WatchProblems(lambda *words: said.append(words), clock)


def test_a_trouble_is_said_once_until_it_is_over(register, said):
    for _ in range(3):
        register.report(WatchProblem.REFUSED, "message", "remedy")
    assert said == [("message", "remedy")]
    register.over(WatchProblem.REFUSED)
    register.report(WatchProblem.REFUSED, "message", "remedy")
    assert len(said) == 2


def test_one_trouble_does_not_hide_another(register, said):
    register.report(WatchProblem.REFUSED, "first")
    register.report(WatchProblem.OVERFLOW, "second")
    assert said == [("first", ""), ("second", "")]


def test_what_lasts_is_not_said_again_however_long_it_does(register, said, clock):
    register.report(WatchProblem.GONE, "gone")
    clock.pass_(10**6)
    register.report(WatchProblem.GONE, "gone")
    assert len(said) == 1


@pytest.mark.parametrize("kind", [WatchProblem.OVERFLOW, WatchProblem.BROKEN])
def test_what_happens_in_a_moment_is_new_after_a_calm(register, said, clock, kind):
    for _ in range(5):
        register.report(kind, "again")
        clock.pass_(500)
    assert len(said) == 1  # there was no calm
    clock.pass_(500)
    register.report(kind, "again")
    assert len(said) == 2


@pytest.mark.parametrize(
    ("number", "name"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_the_remedy_raises_the_limit_that_was_met(number, name):
    message, remedy = problems.refused("/r", number, 5)
    assert "/r every 5 s" in message
    now, later = re.findall(rf"fs\.inotify\.{name}=(\d+)", remedy)
    assert now == later
    limit = Path("/proc/sys/fs/inotify") / name
    assert int(now) >= (2 * int(limit.read_text()) if limit.exists() else 1024)


def test_another_refusal_is_called_by_its_name():
    message, remedy = problems.refused("/r", errno.ENOSYS, 5)
    assert "not implemented" in message.lower()
    assert remedy == ""


def test_a_root_with_an_odd_name_is_spelt_for_people():
    for words in (
        problems.refused("/a\nb", errno.ENOSPC, 5),
        problems.overflow("/a\nb"),
        problems.broken("/a\nb"),
        problems.gone("/a\nb"),
        problems.network("/a\nb", "nfs", 5),
    ):
        assert "\n" not in "".join(words)
        assert "/a\\nb" in words[0]
