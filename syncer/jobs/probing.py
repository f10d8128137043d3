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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_hex

from syncer import mounts
from syncer.config import JobSettings, Settings
from syncer.engine.paths import TEMPORARY
from syncer.errors import SyncerError
from syncer.jobs import building
from syncer.jobs.pairs import Place, place_of
from syncer.state import view_state
from syncer.stores import traits
from syncer.stores.fsops import FileSystem
from syncer.stores.traits import Traits
from syncer.units import show_size


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
            fs = FileSystem()
            found = traits.probe(fs, fd, f"{TEMPORARY}{token_hex(8)}")
            abilities = [_exchange(fs, fd), *_abilities(found), *_names(found), *_mounted(root)]
            if fs.free_space(fd) is None:
                room = "says nothing of its free space"
    except OSError as error:
        return Finding(name=name, ok=False, message=f"{root}: {error.strerror}")
    return Finding(name=name, ok=True, message=f"{root}: {room}, {', '.join(filter(None, abilities))}")


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


def _exchange(fs: FileSystem, fd: int) -> str:
    for name in ("a", "b"):
        fs.close(fs.create(name, fd))
    try:
        fs.exchange("a", fd, "b", fd)
    except OSError as error:
        return f"no exchange of names ({errno.errorcode.get(error.errno or 0, 'unknown')})"
    return "exchange of names"


def _abilities(found: Traits) -> Iterator[str]:
    """What a run makes use of; of what every disk can, only what is missing."""
    if found.links:
        yield "hard links"
    elif found.link_error:
        yield f"no hard links ({errno.errorcode.get(found.link_error, 'unknown')})"
    else:
        yield "no hard links (each name has an inode of its own)"
    yield "symlinks" if found.symlinks else "no symlinks"
    yield "folds case" if found.folds_case else "tells case apart"
    yield "" if found.keeps_case else "names lose their case"
    yield "" if not found.folds_form else "folds Unicode forms"
    yield "" if found.keeps_form else "names are kept in a Unicode form of its own"
    yield "" if found.executable else "no executable bit"
    yield "" if found.modes else "permissions cannot be set"
    yield "" if found.inodes else "inode numbers change with a rename"
    yield "" if found.link_times or not found.symlinks else "times of symlinks cannot be set"
    coarse = found.mtime_granularity_ns > 1_000_000
    yield f"times to {found.mtime_granularity_ns / 1e9:g} s" if coarse else ""


def _names(found: Traits) -> Iterator[str]:
    """What it cannot hold."""
    yield "" if found.any_bytes else "names in UTF-8 only"
    yield "" if found.max_name_bytes >= 255 else f"names up to {found.max_name_bytes} bytes"
    shown = " ".join(c for c in found.forbidden if c.isprintable())
    yield f"no {shown} in names" if shown else ""
    yield "no dot or blank at the end of names" if found.forbidden_ends else ""
    yield "no names of DOS devices" if found.reserved else ""
    yield f"files up to {show_size(found.largest_file)}" if found.largest_file else ""


def _mounted(root: Path) -> Iterator[str]:
    under = mounts.under(os.path.realpath(root), mounts.read())
    for mount in under:
        if mount.is_network:
            yield f"{mount.kind} at {mount.place}: what other machines do is looked for every few seconds"
        elif mount.is_stacked:
            yield f"{mount.kind} at {mount.place}: what is done behind it is looked for by `interval`"
