"""The change feed: who waits is told where something changed, by whomever, and holds no thread meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time

import pytest

from syncer.clock import SystemClock
from syncer.server.feed import Feed
from syncer.server.served import Served
from syncer.server.watching import Watch
from tests.server.extension.speaking import Client


def ask(client, cursor=None, wait=0, root=""):
    return client.call("feed", {"cursor": cursor, "wait": wait}, root=root).json


def until(client, cursor, directory, root=""):
    """Asks until the directory is among what changed."""
    seen = set()
    deadline = time.monotonic() + 20
    while directory not in seen:
        assert time.monotonic() < deadline, seen
        news = ask(client, cursor, 5, root)
        assert not news["reset"]
        seen |= set(news["changed"])
        cursor = news["cursor"]
    return cursor


def test_who_comes_without_a_cursor_gets_one_and_has_to_look_at_everything(client):
    first = ask(client)
    assert first["reset"] is True
    again = ask(client, first["cursor"])
    assert again == {"cursor": first["cursor"], "changed": [], "reset": False}


def test_a_change_by_another_client_wakes_who_waits(client, folder):
    (folder / "d").mkdir()
    cursor = ask(client)["cursor"]
    told = []
    waiting = threading.Thread(target=lambda: told.append(ask(client, cursor, 20)))
    began = time.monotonic()
    waiting.start()
    client.put(("d/f", b"1", None))
    waiting.join(20)
    assert time.monotonic() - began < 15
    assert told[0]["changed"]
    until(client, cursor, "d")


def test_a_change_on_the_disk_is_noticed_at_any_depth(client, folder):
    (folder / "a" / "b").mkdir(parents=True)
    cursor = ask(client)["cursor"]
    (folder / "a" / "b" / "f").write_bytes(b"1")
    cursor = until(client, cursor, "a/b")
    (folder / "a" / "new").mkdir()
    cursor = until(client, cursor, "a")
    (folder / "a" / "b" / "f").unlink()
    until(client, cursor, "a/b")


def test_our_own_files_are_no_news(client, folder):
    (folder / "d").mkdir()
    cursor = ask(client)["cursor"]
    (folder / "d" / ".syncer").mkdir()
    (folder / "d" / ".syncer" / "x").write_bytes(b"1")
    (folder / "e").mkdir()
    cursor = until(client, cursor, "e")
    assert "d/.syncer" not in ask(client, cursor)["changed"]


def test_each_root_sees_its_part_under_its_own_names(client, folder):
    (folder / "sub" / "x").mkdir(parents=True)
    (folder / "other").mkdir()
    under = Client(client.port, "under")
    cursor = ask(under)["cursor"]
    everything = ask(client)["cursor"]
    client.put(("sub/x/f", b"1", None))
    until(under, cursor, "x")
    until(client, everything, "sub/x")
    cursor = ask(under)["cursor"]
    while (news := ask(under, cursor, 0.3))["changed"]:  # the disk's own word of it may come later
        cursor = news["cursor"]
    client.put(("other/f", b"1", None))
    assert ask(under, cursor, 0.3)["changed"] == []


def test_there_is_no_feed_of_a_root_that_is_not_there(client):
    assert client.call("feed", {"cursor": None, "wait": 0}, root="none").status == 409


@pytest.mark.parametrize("cursor", ["x", "0.0", ".", "9" * 50, "abc.-1"])
def test_a_cursor_of_another_life_is_unknown(client, cursor):
    assert ask(client, cursor)["reset"] is True


@pytest.mark.parametrize("question", [{"wait": -1}, {"wait": "1"}, {"wait": float("nan")}, {"cursor": 5}])
def test_a_question_that_is_none_is_refused(client, question):
    assert client.call("feed", question).status == 400


def test_many_wait_at_once_without_a_thread_each(client, folder):
    cursor = ask(client)["cursor"]
    before = threading.active_count()
    told = []
    waiting = [
        threading.Thread(target=lambda: told.append(ask(client, cursor, 20)), name="client")
        for _ in range(60)
    ]
    for thread in waiting:
        thread.start()
    ours = [t for t in threading.enumerate() if t.name != "client"]
    assert len(ours) <= before + 8
    client.put(("f", b"1", None))
    for thread in waiting:
        thread.join(20)
    assert len(told) == 60
    assert all(news["changed"] == [""] for news in told)


# -- the feed itself ---------------------------------------------------------------


def test_what_was_forgotten_resets_who_asks_for_it():
    feed = Feed(most=3)
    old = feed.since("", None).cursor
    feed.changed("", ["a", "b", "c"])
    assert set(feed.since("", old).changed) == {"a", "b", "c"}
    feed.changed("", ["d"])
    assert feed.since("", old).reset
    recent = feed.since("", None).cursor
    feed.changed("", ["d", "d", "e"])
    assert set(feed.since("", recent).changed) == {"d", "e"}


def test_a_change_of_what_holds_a_root_is_a_change_of_the_root():
    feed = Feed()
    cursor = feed.since("a/b", None).cursor
    feed.changed("", ["a"])
    assert feed.since("a/b", cursor).changed == ("",)
    feed.changed("a/b", ["", "c"])
    assert set(feed.since("", cursor).changed) == {"a", "a/b", "a/b/c"}
    assert feed.since("a/bc", cursor).changed == ("",)


def test_after_a_loss_everybody_looks_at_everything():
    feed = Feed()
    cursor = feed.since("", None).cursor
    feed.lost()
    assert feed.since("", cursor).reset
    assert not feed.since("", feed.since("", None).cursor).reset


def test_a_batch_of_changes_is_told_at_once():
    async def story():
        feed = Feed()
        cursor = feed.since("", None).cursor
        waiting = asyncio.create_task(feed.wait("", cursor, 20))
        await asyncio.sleep(0)
        for name in "abc":
            feed.changed("", [name])
        return await waiting, feed.awaited

    news, awaited = asyncio.run(story())
    assert set(news.changed) == {"a", "b", "c"}
    assert not awaited


def test_who_waits_in_vain_is_told_so():
    async def story():
        feed = Feed()
        return await feed.wait("", feed.since("", None).cursor, 0.01)

    assert asyncio.run(story()).changed == ()


# -- where the system gives no events -----------------------------------------------


def refused():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_without_events_the_folder_is_looked_at_while_somebody_waits(tmp_path):
    folder, state = tmp_path / "folder", tmp_path / "state"
    (folder / "a").mkdir(parents=True)
    state.mkdir()
    served = Served(folder, state, clock=SystemClock())
    feed = Feed()
    watch = Watch(served, feed, observer=refused, poll=0.01)
    watch.start()
    try:
        for change, where in (
            (lambda: (folder / "a" / "f").write_bytes(b"1"), "a"),
            ((folder / "b").mkdir, "b"),
            ((folder / "a" / "f").unlink, "a"),
            ((folder / "b").rmdir, "b"),
        ):
            cursor = feed.since("", None).cursor
            change()
            assert where in asyncio.run(feed.wait("", cursor, 20)).changed
    finally:
        watch.stop()
        served.close()


def test_a_watch_that_stopped_tells_nothing_and_does_not_begin_again(tmp_path):
    folder, state = tmp_path / "folder", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    served = Served(folder, state, clock=SystemClock())
    feed = Feed()
    watch = Watch(served, feed)
    watch.start()
    watch.start()
    watch.stop()
    watch.start()
    cursor = feed.since("", None).cursor
    (folder / "f").write_bytes(b"1")
    assert asyncio.run(feed.wait("", cursor, 0.2)).changed == ()
    served.close()
