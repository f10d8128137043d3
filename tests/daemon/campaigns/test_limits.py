"""Limits of inotify (watches, queue) in a running daemon: all changes are found, users are warned."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.campaigns.machines import Machine, eventually, machines
from tests.daemon.campaigns.worlds import tree

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_WITHIN = 40.0  # seconds: a look every five, on a busy machine


def _limited(name: str, most: int) -> list[str]:
    """The words that run a command as a user of its own, who may have so many of something."""
    script = f'echo {most} > /proc/sys/user/{name}; exec "$@"'
    return ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]


def _is_allowed() -> bool:
    try:
        done = subprocess.run([*_limited("max_inotify_watches", 9), "true"], capture_output=True, timeout=10)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and not done.stderr


needs_namespaces = pytest.mark.skipif(not _is_allowed(), reason="no user namespaces on this system")
needs_inotify = pytest.mark.skipif(not _QUEUE.exists(), reason="this system has no inotify")


@contextmanager
def between_folders(base: Path, *before: str) -> Iterator[tuple[Machine, Path]]:
    """A daemon between two folders of thirty directories each, at rest."""
    there = base / "there"
    machine = Machine(home=base / "one", remote=f"local:{there}", before=before)
    for number in range(30):
        (machine.local / f"d{number}").mkdir()
        (machine.local / f"d{number}" / "f").write_text(str(number))
    with machines(machine):
        machine.start()
        eventually(machine.is_quiet, _WITHIN, lambda: machine.log[-2000:])
        yield machine, there
        machine.told_no_nonsense()


def is_told(machine: Machine, words: str) -> bool:
    return words in machine.run("status").stdout


@needs_namespaces
@needs_inotify
@pytest.mark.parametrize(
    "limit",
    [("max_inotify_watches", 12), pytest.param(("max_inotify_instances", 0), marks=pytest.mark.long)],
)
def test_with_too_few_watches_changes_are_found_by_looking_and_a_person_is_told(
    tmp_path: Path, limit: tuple[str, int]
) -> None:
    name, most = limit
    with between_folders(tmp_path, *_limited(name, most)) as (machine, there):
        assert "polling" in (machine.status.local_watch, machine.status.remote_watch)
        (machine.local / "d7" / "new").write_text("here")
        (there / "d8" / "new").write_text("there")
        (machine.local / "d9" / "f").unlink()
        eventually(
            lambda: tree(machine.local) == tree(there) and (machine.local / "d8" / "new").exists(), _WITHIN
        )
        assert not (there / "d9" / "f").exists() and (there / "d7" / "new").read_text() == "here"
        assert is_told(machine, f"sudo sysctl fs.inotify.{name.replace('inotify', 'user')}=")


@needs_inotify
def test_a_queue_that_overflows_loses_no_change_and_a_person_is_told(tmp_path: Path) -> None:
    with between_folders(tmp_path) as (machine, there):
        machine.send(signal.SIGSTOP)
        one, other = machine.local / "d1" / "f", machine.local / "d1" / "g"
        for _ in range(int(_QUEUE.read_text()) // 4 + 100):  # four events each
            os.rename(one, other)
            os.rename(other, one)
        for number in range(30):
            (machine.local / f"d{number}" / "late").write_text(str(number))
        (machine.local / "d3" / "f").unlink()
        machine.send(signal.SIGCONT)
        eventually(lambda: machine.is_quiet() and tree(machine.local) == tree(there), _WITHIN)
        assert len(list(there.rglob("late"))) == 30 and not (there / "d3" / "f").exists()
        assert is_told(machine, "at once than the system keeps")
