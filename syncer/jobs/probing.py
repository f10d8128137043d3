"""What this machine, a file system and the libraries can do: for `doctor`. Accounts: `probing_accounts`.

A file system is asked by doing: in a temporary directory with one of our private names,
which is never synced and is removed at the end.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_hex

from syncer.config import JobSettings, Settings
from syncer.engine.paths import TEMPORARY
from syncer.errors import SyncerError
from syncer.jobs import building
from syncer.jobs.pairs import Place, place_of
from syncer.state import view_state
from syncer.stores.fsops import FileSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was probed. `ok` False means that something will not work; `hint` says what to do."""

    name: str
    ok: bool
    message: str
    hint: str = ""


def machine() -> Iterator[Finding]:
    """Python, librsync, SQLite."""
    good = sys.version_info >= (3, 11)
    yield Finding(name="python", ok=good, message=f"{sys.version.split()[0]} (3.11 or newer is needed)")
    yield librsync()
    yield Finding(name="sqlite", ok=sqlite3.sqlite_version_info >= (3, 24), message=sqlite3.sqlite_version)


def librsync() -> Finding:
    """Whether the library for deltas loads, and which it is."""
    try:
        importlib.import_module("librsync")
        package = metadata.version("python-librsync")
    except (ImportError, OSError, AttributeError, metadata.PackageNotFoundError) as error:
        hint = "install librsync (apt install librsync2, dnf install librsync, brew install librsync)"
        return Finding(name="librsync", ok=False, message=f"does not load: {error}", hint=hint)
    return Finding(name="librsync", ok=True, message=f"loads (python-librsync {package})")


def state_directory(path: Path) -> Finding:
    """Whether the state directory, or the one it will be made in, can be written."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return Finding(name="state_dir", ok=good, message=f"{path} {'can' if good else 'cannot'} be written")


def job(settings: Settings, job: JobSettings) -> Iterator[Finding]:
    """The account, and the folders of both sides."""
    try:
        building.check_known(settings, job)
        yield Finding(name=f"{job.name} remote", ok=True, message=str(job.remote))
    except SyncerError as error:
        yield Finding(name=f"{job.name} remote", ok=False, message=error.message)
    yield folder(f"{job.name} local", job.local)
    if job.remote.folder and job.remote.folder.exists():
        yield folder(f"{job.name} remote folder", job.remote.folder)
    place = place_of(settings, job)
    if place.known:
        yield memory(f"{job.name} state", place)


def memory(name: str, place: Place) -> Finding:
    """Whether the state database of a pair can be read as it is."""
    try:
        with view_state(place.directory) as state:
            return Finding(
                name=name, ok=not state.note, message=state.note or f"{place.directory} is in order"
            )
    except SyncerError as error:
        return Finding(name=name, ok=False, message=error.message)


def folder(name: str, root: Path) -> Finding:
    """What a root's file system can do, and how much room it has."""
    if not root.is_dir():
        return Finding(name=name, ok=False, message=f"{root} is not there, or no folder")
    try:
        room = f"{shutil.disk_usage(root).free / 1e9:,.1f} GB free"
        with _scratch(root) as fd:
            abilities = _abilities(FileSystem(), fd)
    except OSError as error:
        return Finding(name=name, ok=False, message=f"{root}: {error.strerror}")
    return Finding(name=name, ok=True, message=f"{root}: {room}, {', '.join(abilities)}")


@contextmanager
def _scratch(root: Path) -> Iterator[int]:
    directory = root / f"{TEMPORARY}{token_hex(8)}"
    directory.mkdir(mode=0o700)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(directory)  # only what was made here a moment ago


def _abilities(fs: FileSystem, fd: int) -> list[str]:
    for name in ("a", "b"):
        fs.close(fs.create(name, fd))
    return [
        _ability("exchange of names", lambda: fs.exchange("a", fd, "b", fd)),
        _ability("hard links", lambda: fs.link("a", fd, "c", fd)),
        _ability("symlinks", lambda: fs.symlink("a", "d", fd)),
        _case(fs, fd),
    ]


def _ability(name: str, attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except OSError as error:
        return f"no {name} ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    return name


def _case(fs: FileSystem, fd: int) -> str:
    try:
        fs.stat("A", fd)
    except FileNotFoundError:
        return "tells case apart"
    return "folds case"
