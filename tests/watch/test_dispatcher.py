"""Several watched folders on one inotify instance, which has one watch per directory.

Roots that are the same, that lie in each other, that come and go: each folder is told all that happens in it,
and what befalls one is no other's.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from syncer.engine.scope import NOWHERE
from syncer.watch import dispatcher as dispatching
from syncer.watch.dispatcher import Dispatcher
from syncer.watch.inotify import Instance
from syncer.watch.problems import Break
from tests.watch.manual_queue import Grown, Queue, places, read
from tests.watch.random_changes import RandomChanges
from tests.watch.recorder import LONG, Follower

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux'")


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    return made


def test_of_two_with_one_root_each_is_told_and_the_end_of_one_is_not_the_other_s(root, grown, queue):
    (root / "d").mkdir()
    one, other = grown(root), grown(root)
    (root / "d" / "f").write_bytes(b"1")
    assert read(one) == read(other) == places("d")
    one.close()
    queue.read()
    (root / "d" / "f").write_bytes(b"2")
    assert read(other) == places("d")
    (root / "d" / "new").mkdir()
    assert read(other) == places("d", trees=["d/new"])


def test_what_leaves_one_root_is_still_watched_for_the_other(root, outside, grown, queue):
    (root / "in" / "d").mkdir(parents=True)
    around, within = grown(root), grown(root / "in")
    os.rename(root / "in" / "d", root / "d")
    assert read(within) == places("", "d")
    assert read(around) == places("", "in", "in/d", trees=["d"])
    queue.read()
    (root / "d" / "f").write_bytes(b"1")
    assert read(around) == places("d")
    assert read(within) == NOWHERE


def test_a_root_that_moves_inside_another_is_watched_on_under_its_new_name(root, grown):
    (root / "in" / "d").mkdir(parents=True)
    around, within = grown(root), grown(root / "in")
    os.rename(root / "in", root / "moved")
    assert Break.UPROOTED in within.read().breaks
    assert read(around) == places("", "in", trees=["moved"])
    (root / "moved" / "f").write_bytes(b"1")
    (root / "moved" / "d" / "f").write_bytes(b"1")
    assert read(around) == places("moved", "moved/d")


def test_the_end_of_a_root_is_told_though_another_root_around_it_was_watched_later(root, grown):
    (root / "in").mkdir()
    within, around = grown(root / "in"), grown(root)
    os.rename(root / "in", root / "moved")
    assert Break.UPROOTED in within.read().breaks
    assert not around.read().breaks


def test_a_directory_that_moves_from_one_root_to_another_is_news_in_both(root, outside, grown):
    (root / "d" / "e").mkdir(parents=True)
    one, other = grown(root), grown(outside)
    os.rename(root / "d", outside / "came")
    assert read(other) == places("", trees=["came"])
    assert read(one) == places("", "d")
    (outside / "came" / "e" / "f").write_bytes(b"1")
    assert read(one) == NOWHERE
    assert read(other) == places("came/e")


def test_more_than_the_kernel_keeps_is_told_to_all_and_all_goes_on(root, outside, grown):
    for n in range(2):
        (root / f"{n}").mkdir()
    one, other = grown(root), grown(outside)
    files = [os.open(root / f"{n}" / "f", os.O_CREAT | os.O_WRONLY) for n in range(2)]
    (outside / "lost").mkdir()  # read long before the gap, and told all the same
    for turn in range(dispatching.max_queued_events()):
        for file in files:
            os.pwrite(file, b"x", turn)
    (root / "new" / "deep").mkdir(parents=True)
    (outside / "new" / "deep").mkdir(parents=True)
    for tree, folder in ((one, root), (other, outside)):
        assert any(Break.OVERFLOW in tree.read().breaks for _ in range(10))
        read(tree)
        (folder / "new" / "deep" / "f").write_bytes(b"1")
        assert read(tree) == places("new/deep")
    for file in files:
        os.close(file)


def test_who_does_not_take_what_came_loses_his_own_and_nobody_else_s(
    root, outside, grown, queue, monkeypatch
):
    monkeypatch.setattr(dispatching, "max_queued_events", lambda: 10)
    slow, quick = grown(root), grown(outside)
    (root / "gone").mkdir()
    read(slow)
    for n in range(20):
        (root / f"{n}").mkdir()
        (outside / f"{n}").mkdir()
        assert not quick.read().breaks
    (root / "gone").rmdir()
    assert slow.read().breaks == (Break.OVERFLOW,)
    assert len(slow.subscription.pending) == 0
    for n in range(20):
        (root / f"{n}" / "f").write_bytes(b"1")
        assert read(slow) == places(f"{n}")
        (outside / f"{n}" / "f").write_bytes(b"1")
        assert read(quick) == places(f"{n}")


def test_a_watch_that_another_gives_back_at_that_moment_is_asked_for_again(
    root, outside, grown, queue, monkeypatch
):
    """The kernel answers with another folder's watch, which is taken off before the answer is noted."""
    (root / "d").mkdir()
    one = grown(root / "d")
    grown(outside)  # so that the first is not the last
    add = Instance.add

    def late(self, path, *, itself=False):
        number = add(self, path, itself=itself)
        if one.subscription.alive and path.endswith("/d"):
            one.close()
            queue.read()
        return number

    monkeypatch.setattr(Instance, "add", late)
    tree = grown(root)
    assert not one.subscription.alive
    read(tree)
    (root / "d" / "f").write_bytes(b"1")
    assert read(tree) == places("d")


def test_a_watch_asked_for_while_the_queue_is_replaced_is_asked_of_the_new_one(
    root, grown, queue, monkeypatch
):
    (root / "d").mkdir()
    add, replaced = Instance.add, []

    def early(self, path, *, itself=False):
        if not replaced:
            replaced.append(self)
            queue._instance = queue._replaced(self)
        return add(self, path, itself=itself)

    monkeypatch.setattr(Instance, "add", early)
    tree = grown(root)
    assert Break.OVERFLOW in tree.read().breaks
    read(tree)
    (root / "d" / "f").write_bytes(b"1")
    assert read(tree) == places("d")


def test_watches_that_nobody_wants_are_given_back_a_few_at_a_time(root, outside, grown, queue):
    """Each is an event in the queue: thousands at once would fill it for all."""
    for n in range(1200):
        (root / f"{n}").mkdir()
    large, small = grown(root), grown(outside)
    assert len(queue._interested) == 1202
    large.close()
    readings = []
    while queue._orphans or readings[-1:] != [0]:
        readings.append(queue.read())
    assert max(readings) <= dispatching._REMOVED and sum(readings) == 1201
    assert set(queue._interested) == small.subscription.watches
    (outside / "f").write_bytes(b"1")
    assert read(small) == places("")


def test_a_system_that_refuses_another_queue_after_an_overflow_says_so_to_all(
    root, outside, grown, queue, monkeypatch
):
    one, other = grown(root), grown(outside)

    def refuse(self):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Instance, "__init__", refuse)
    queue._instance = queue._replaced(queue._instance)
    for tree in (one, other):
        found = tree.read()
        assert (found.breaks, found.number) == ((Break.REFUSED,), errno.EMFILE)


def test_a_queue_that_nobody_could_read_for_lack_of_threads_is_no_queue(root, monkeypatch):
    """The next folder would be told nothing, and believe that it is watched."""
    dispatcher = Dispatcher()
    before = set(os.listdir("/proc/self/fd"))

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            dispatcher.subscribe(lambda: None)
    assert set(os.listdir("/proc/self/fd")) == before
    came = threading.Event()
    subscription = dispatcher.subscribe(came.set)
    subscription.add(str(root))
    (root / "f").write_bytes(b"1")
    assert came.wait(LONG)
    subscription.close()
    assert set(os.listdir("/proc/self/fd")) == before


class Guests:
    """Folders on parts of another that come and go all the time, and are read or not."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self._queue = queue
        self._chance = random.Random(seed)
        self._all: list[Grown] = []

    def turn(self, root: Path, directories: list[str]) -> None:
        with suppress(OSError):  # gone, if it is in one that was renamed
            self._all.append(Grown(root / self._chance.choice(directories), self._queue))
        for guest in [g for g in self._all if self._chance.random() < 0.3]:
            if self._chance.random() < 0.5 or guest.read().breaks:
                guest.close()
                self._all.remove(guest)

    def end(self) -> None:
        for guest in self._all:
            guest.close()


def follow(root: Path, outside: Path, queue: Queue, seed: int, *, turns: int) -> None:
    """Two folders that exchange directories, and guests on parts of the first."""
    pairs = [(folder, Grown(folder, queue), Follower(folder)) for folder in (root, outside)]
    stirrer, guests = RandomChanges(root, outside, seed), Guests(queue, seed)
    for turn in range(turns):
        stirrer.stir(1 + (seed + turn) % 7)
        if (seed + turn) % 2:
            guests.turn(root, stirrer.directories())
        for _, tree, follower in pairs[(seed + turn) % 3 :]:
            found = tree.read()
            assert not found.breaks
            follower.changed(found.places)
        if turn % 5 == 0:
            for _, tree, follower in pairs:
                follower.changed(read(tree))
                assert follower.wrong() == []
    for _, tree, _ in pairs:
        read(tree)
    for folder, tree, _ in pairs:
        for directory, _, _ in os.walk(folder):
            (Path(directory) / "probe").write_bytes(b"1")
            name = os.path.relpath(directory, folder)
            assert read(tree) == places("" if name == "." else name)
    guests.end()
    while queue.read() or queue._orphans:
        pass
    assert set(queue._interested) == set().union(*(tree.subscription.watches for _, tree, _ in pairs))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_others_watch_each_folder_is_known_completely(root, outside, queue, seed):
    follow(root, outside, queue, seed, turns=25)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_whatever_others_watch_each_folder_is_known_completely_long(root, outside, queue, seed):
    follow(root, outside, queue, seed, turns=60)
