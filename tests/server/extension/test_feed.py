"""The change feed: who waits is told where something changed, by whomever, and holds no thread meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time

import pytest

from syncer.clock import SystemClock
from syncer.server.change_feed import ChangeFeed
from syncer.server.folder import ServedFolder
from syncer.server.watcher import ChangeWatcher
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


def test_a_number_of_400_digits_is_a_long_wait_and_no_mistake_of_the_server(client):
    body = b'{"cursor":null,"wait":' + b"9" * 400 + b"}"
    assert client.call("feed", body).status == 200


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
    feed = ChangeFeed(most=3)
    old = feed.since("", None).cursor
    feed.changed("", ["a", "b", "c"])
    assert set(feed.since("", old).changed) == {"a", "b", "c"}
    feed.changed("", ["d"])
    assert feed.since("", old).reset
    recent = feed.since("", None).cursor
    feed.changed("", ["d", "d", "e"])
    assert set(feed.since("", recent).changed) == {"d", "e"}


def test_a_change_of_what_holds_a_root_is_a_change_of_the_root():
    feed = ChangeFeed()
    cursors = {root: feed.since(root, None).cursor for root in ("a/b", "", "a/bc")}
    feed.changed("", ["a"])
    assert feed.since("a/b", cursors["a/b"]).changed == ("",)
    feed.changed("a/b", ["", "c"])
    assert set(feed.since("", cursors[""]).changed) == {"a", "a/b", "a/b/c"}
    assert feed.since("a/bc", cursors["a/bc"]).changed == ("",)


def test_a_cursor_says_nothing_of_what_other_roots_do():
    """It was a count of all changes of the whole folder."""
    feed = ChangeFeed()
    cursor = feed.since("mine", None).cursor
    feed.changed("", [f"theirs/{n}" for n in range(100)])
    assert feed.since("mine", cursor).cursor == cursor
    assert feed.since("mine", None).cursor == cursor
    theirs = feed.since("theirs", None).cursor
    assert feed.since("mine", theirs).reset, "and that of another root is none here"
    feed.changed("mine", [""])
    assert feed.since("mine", cursor).changed == ("",)


def test_a_root_that_was_quiet_for_long_need_not_look_at_everything():
    feed = ChangeFeed(most=100)
    cursor = feed.since("mine", None).cursor
    for turn in range(50):
        feed.changed("", [f"theirs/{turn}/{n}" for n in range(20)])
        news = feed.since("mine", cursor)
        assert not news.reset and not news.changed
        cursor = news.cursor


def test_an_old_cursor_of_a_quiet_root_costs_next_to_nothing():
    """It was looked for among all changes since, under the lock of all."""
    feed = ChangeFeed()
    cursor = feed.since("mine", None).cursor
    feed.changed("", [f"theirs/{n % 250}/{n}" for n in range(15_000)])
    began = time.thread_time()
    for _ in range(1000):
        assert feed.since("mine", cursor).changed == ()
    assert time.thread_time() - began < 1, "a linear look takes some 3 ms each"


def test_what_is_forgotten_leaves_nothing_behind():
    feed = ChangeFeed(most=10)
    for n in range(1000):
        feed.changed("", [f"a/{n}/b/c"])
    count, ahead = 0, [feed._top]
    while ahead:
        node = ahead.pop()
        count += 1
        ahead += node.children.values()
    assert count < 50


def test_a_change_is_told_once_though_the_disk_tells_it_too():
    """By the put, and by the server's own watch: each client looked twice."""

    async def story():
        feed = ChangeFeed()
        cursor = feed.since("", None).cursor
        waiting = asyncio.create_task(feed.wait("", cursor, 20))
        await asyncio.sleep(0)
        feed.changed("", ["d"], noticed=True)  # a new content gets its name
        await asyncio.sleep(0)  # ... and is made durable
        feed.changed("", ["d"])
        feed.changed("", ["d"], noticed=True)
        news = await waiting
        assert news.changed == ("d",)
        assert (await feed.wait("", news.cursor, 0.3)).changed == ()

    asyncio.run(story())


def test_many_that_wait_are_woken_one_after_the_other():
    async def story():
        feed = ChangeFeed()
        cursor = feed.since("", None).cursor
        loop = asyncio.get_running_loop()
        came = []

        async def listen():
            await feed.wait("", cursor, 20)
            came.append(loop.time())

        listeners = [asyncio.create_task(listen()) for _ in range(48)]
        await asyncio.sleep(0)
        feed.changed("", ["d"])
        await asyncio.gather(*listeners)
        assert max(came) - min(came) > 0.3
        assert max(came) - min(came) < 5

    asyncio.run(story())


def test_after_a_loss_everybody_looks_at_everything():
    feed = ChangeFeed()
    cursor = feed.since("", None).cursor
    feed.lost()
    assert feed.since("", cursor).reset
    assert not feed.since("", feed.since("", None).cursor).reset


def test_a_batch_of_changes_is_told_at_once():
    async def story():
        feed = ChangeFeed()
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
        feed = ChangeFeed()
        return await feed.wait("", feed.since("", None).cursor, 0.01)

    assert asyncio.run(story()).changed == ()


# -- where the system gives no events -----------------------------------------------


def refused(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_without_events_the_folder_is_looked_at_while_somebody_waits(tmp_path):
    folder, state = tmp_path / "folder", tmp_path / "state"
    (folder / "a").mkdir(parents=True)
    state.mkdir()
    served = ServedFolder(folder, state, clock=SystemClock())
    feed = ChangeFeed()
    watch = ChangeWatcher(served, feed, open_events=refused, poll=0.01)
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
    served = ServedFolder(folder, state, clock=SystemClock())
    feed = ChangeFeed()
    watch = ChangeWatcher(served, feed)
    watch.start()
    watch.start()
    watch.stop()
    watch.start()
    cursor = feed.since("", None).cursor
    (folder / "f").write_bytes(b"1")
    assert asyncio.run(feed.wait("", cursor, 0.2)).changed == ()
    served.close()
