"""What happens on the served disk becomes news of directories; what cannot be told singly resets who asks."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time

import pytest

from syncer.clock import SystemClock
from syncer.server.change_feed import ChangeFeed
from syncer.server.folder import ServedFolder
from syncer.server.watcher import ChangeWatcher


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def feed(tmp_path, folder):
    (tmp_path / "state").mkdir()
    served = ServedFolder(folder, tmp_path / "state", clock=SystemClock())
    feed = ChangeFeed()
    watch = ChangeWatcher(served, feed, poll=0.05)
    watch.start()
    yield feed
    watch.stop()
    served.close()


def told(feed, cursor, *wanted):
    """All that is told until the wanted directories are among it."""
    seen = set()
    deadline = time.monotonic() + 20
    while not seen >= set(wanted):
        assert time.monotonic() < deadline, seen
        news = asyncio.run(feed.wait("", cursor, 5))
        assert not news.reset
        seen |= set(news.changed)
        cursor = news.cursor
    return seen


def test_of_a_directory_in_place_of_another_all_below_is_told(folder, feed, tmp_path):
    (tmp_path / "other" / "sub" / "deep").mkdir(parents=True)
    cursor = feed.since("", None).cursor
    (folder / "d" / "sub" / "deep").mkdir(parents=True)
    told(feed, cursor, "", "d", "d/sub", "d/sub/deep")
    cursor = feed.since("", None).cursor
    os.rename(folder / "d", tmp_path / "old")
    os.rename(tmp_path / "other", folder / "d")
    told(feed, cursor, "", "d", "d/sub", "d/sub/deep")


def test_what_is_hidden_from_clients_is_no_news_for_them(folder, feed, tmp_path):
    (tmp_path / "other" / ".syncer" / "inside").mkdir(parents=True)
    (tmp_path / "other" / "seen").mkdir()
    cursor = feed.since("", None).cursor
    os.rename(tmp_path / "other", folder / "d")
    (folder / ".SYNCER").mkdir()
    (folder / ".SYNCER" / "f").write_bytes(b"1")
    (folder / "end").mkdir()
    seen = told(feed, cursor, "d", "d/seen", "end")
    assert seen == {"", "d", "d/seen", "end"}


def test_when_the_folder_goes_everybody_looks_at_everything_and_the_log_says_why(folder, feed, caplog):
    cursor = feed.since("", None).cursor
    with caplog.at_level(logging.WARNING, "syncer.server"):
        os.rename(folder, folder.with_name("moved"))
        assert asyncio.run(feed.wait("", cursor, 20)).reset
    assert f"{folder} is not there" in caplog.text
    os.rename(folder.with_name("moved"), folder)
    assert asyncio.run(feed.wait("", feed.since("", None).cursor, 20)).reset


def test_without_events_nothing_is_looked_at_until_somebody_waits(tmp_path, folder):
    def refused(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "state").mkdir()
    served = ServedFolder(folder, tmp_path / "state", clock=SystemClock())
    feed = ChangeFeed()
    watch = ChangeWatcher(served, feed, open_events=refused, poll=0.01)
    watch.start()
    try:
        cursor = feed.since("", None).cursor
        (folder / "f").write_bytes(b"1")
        time.sleep(0.2)
        assert feed.since("", cursor).changed == ()
        assert "" in asyncio.run(feed.wait("", cursor, 20)).changed
    finally:
        watch.stop()
        served.close()
