"""Which watcher each side of a job gets, and at which intervals it is scanned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncer.config import DaemonSettings, JobSettings, Location, Settings
from syncer.daemon.remote_watcher import RemoteWatcher
from syncer.daemon.schedule import Intervals
from syncer.daemon.worker import Worker, intervals_of, watchers_of
from syncer.watch.watcher import FolderWatch

DAEMON = DaemonSettings(quiet=0.1, gather=2.0, scan=60.0)
FOLDER = JobSettings(name="docs", local=Path("/a"), remote=Location(account="local", path="/b"), interval=7.0)
SERVICE = replace(FOLDER, remote=Location(account="s", path="x"))


def settings(job: JobSettings) -> Settings:
    return Settings(path=None, state_dir=Path("/s"), accounts={}, jobs={"docs": job}, daemon=DAEMON)


@pytest.mark.parametrize(
    ("job", "interval", "watch"),
    [
        (FOLDER, None, True),
        (SERVICE, 7.0, True),
        (replace(FOLDER, watch=False), 7.0, False),
        (replace(SERVICE, watch=False), 7.0, False),
    ],
    ids=["two folders", "a service", "two folders, not watched", "a service, folder not watched"],
)
def test_only_what_nobody_tells_of_is_looked_at_in_between(
    job: JobSettings, interval: float | None, watch: bool
) -> None:
    assert intervals_of(settings(job), job) == Intervals(
        quiet=0.1, gather=2.0, scan=60.0, interval=interval, watch=watch
    )


@pytest.mark.parametrize(
    ("job", "kinds"),
    [
        (FOLDER, (FolderWatch, FolderWatch)),
        (SERVICE, (FolderWatch, RemoteWatcher)),
        (replace(FOLDER, watch=False), (type(None), type(None))),
        (replace(SERVICE, watch=False), (type(None), RemoteWatcher)),
    ],
    ids=["two folders", "a service", "two folders, not watched", "a service, folder not watched"],
)
def test_folders_are_watched_and_services_listened_to(job: JobSettings, kinds: tuple[type, type]) -> None:
    watchers = watchers_of(settings(job), job)
    worker = Worker(
        settings(job), job, intervals=Intervals(), watchers=watchers, ended=lambda worker, task, result: None
    )
    assert (type(watchers.local(worker)), type(watchers.remote(worker))) == kinds
