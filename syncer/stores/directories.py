"""Making and removing directories in a folder: one component at a time, `rmdir` only.

A directory that takes the place of a file is made beside it and exchanged with it, after the
file got a second name in the trash.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial

from syncer.engine.model import Done, Entry, Kind, RelPath, Stale
from syncer.engine.paths import depth, printable, split
from syncer.engine.ports import Creation, Results
from syncer.stores import stamps
from syncer.stores.batches import Tally, planned_on, runs
from syncer.stores.beneath import Cursor
from syncer.stores.fsops import UNSUPPORTED
from syncer.stores.ground import Ground
from syncer.stores.removal import put_away, take, takes
from syncer.stores.transfer import drop_quietly, is_same, name_it
from syncer.stores.trash import Session, Trash
from syncer.stores.trouble import GONE, NOT_THE_NAME, Unexpected, refused

MODE = 0o777  # the umask takes its part
_MADE = Done(entry=stamps.DIRECTORY)


def make(ground: Ground, trash: Trash, items: Sequence[Creation]) -> Results:
    """See `engine.ports.Store.make_directories`."""
    for piece in runs(items):
        tally = Tally(ground)
        with ground.cursor() as cursor, trash.session() as session:
            for index in piece:
                item = items[index]
                if tally.attempt(index, item.path, partial(_make, ground, cursor, session, item)):
                    tally.touched(index, item.path)
                    tally.ended[index] = _MADE
            tally.sync_directories(cursor)
        yield from tally.results()


def _make(ground: Ground, cursor: Cursor, session: Session, item: Creation) -> None:
    dir_fd, name = cursor.parent(item.path)
    if item.replaces is not None and item.replaces.kind is not Kind.DIRECTORY:
        return _replace(ground, session, dir_fd, name, item.path, item.replaces)
    try:
        _mkdir(ground, name, dir_fd, item.path)
    except FileExistsError:
        if stamps.kind(ground.fs.stat(name, dir_fd)) is not Kind.DIRECTORY:
            raise Unexpected(f"{printable(item.path)} is there by now, and no directory") from None


def _mkdir(ground: Ground, name: str, dir_fd: int, path: RelPath) -> None:
    """Raises Unholdable where the file system makes a directory there, but none of that name."""
    fs, other = ground.fs, ground.temporary()
    try:
        return fs.mkdir(name, dir_fd, MODE)
    except OSError as error:
        if error.errno in NOT_THE_NAME:
            raise
        try:
            fs.mkdir(other, dir_fd, MODE)
            fs.rmdir(other, dir_fd)
        except OSError:
            raise error from None
    try:
        fs.mkdir(name, dir_fd, MODE)
    except FileExistsError:
        raise
    except OSError as again:
        raise refused(path, again) from None


def _replace(
    ground: Ground, session: Session, dir_fd: int, name: str, path: RelPath, replaces: Entry
) -> None:
    seen = planned_on(ground, name, dir_fd, replaces)
    if takes(ground, session, dir_fd):
        take(session, dir_fd, name, path, seen)
        return ground.fs.mkdir(name, dir_fd, MODE)
    session.keep(name, dir_fd, path, seen)
    session.sync()
    fs, temporary = ground.fs, ground.temporary()
    fs.mkdir(temporary, dir_fd, MODE)
    try:
        fs.exchange(temporary, dir_fd, name, dir_fd)
    except OSError as error:
        fs.rmdir(temporary, dir_fd)
        if error.errno not in UNSUPPORTED:
            raise
        put_away(ground, session, dir_fd, name, path, seen)
        return fs.mkdir(name, dir_fd, MODE)
    if is_same(fs, temporary, dir_fd, seen):
        return drop_quietly(fs, temporary, dir_fd)
    _exchange_back(ground, session, dir_fd, temporary, name, path)
    raise Unexpected(f"{printable(path)} changed at the last moment")


def _exchange_back(
    ground: Ground, session: Session, dir_fd: int, temporary: str, name: str, path: RelPath
) -> None:
    try:
        ground.fs.exchange(temporary, dir_fd, name, dir_fd)
    except FileNotFoundError:
        return name_it(ground.fs, temporary, dir_fd, name, dir_fd)
    ground.fs.sync(dir_fd)
    try:
        ground.fs.rmdir(temporary, dir_fd)
    except OSError:  # somebody put a file into it, or replaced it
        session.take(temporary, dir_fd, path)
        session.sync()


def remove(ground: Ground, paths: Sequence[RelPath]) -> Results:
    """See `engine.ports.Store.remove_directories`."""
    for piece in runs(paths):
        tally = Tally(ground)
        with ground.cursor() as cursor:
            for index in piece:
                path = paths[index]
                if tally.attempt(index, path, partial(_remove, ground, cursor, tally, index, path)):
                    tally.ended[index] = Done()
            _sync_what_is_left(tally, cursor)
        yield from tally.results()


def _remove(ground: Ground, cursor: Cursor, tally: Tally, index: int, path: RelPath) -> None:
    try:
        dir_fd, name = cursor.parent(path)
        ground.fs.rmdir(name, dir_fd)
    except FileNotFoundError:
        return  # gone already
    except OSError as error:
        tally.ended[index] = _refused(path, error)
        return
    tally.touched(index, path)


def _refused(path: RelPath, error: OSError) -> Stale:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return Stale(message=f"{printable(path)}: the directory is not empty")
    if error.errno in GONE:
        return Stale(message=f"{printable(path)} is no directory any more")
    raise error


def _sync_what_is_left(tally: Tally, cursor: Cursor) -> None:
    """A directory that was removed itself has no names to make durable: the one above it has."""
    for directory in sorted(tally.dirty, key=depth, reverse=True):
        if directory and _is_gone(cursor, directory):
            above = split(directory)[0]
            tally.dirty.setdefault(above, []).extend(tally.dirty.pop(directory))
    tally.sync_directories(cursor)


def _is_gone(cursor: Cursor, directory: RelPath) -> bool:
    try:
        cursor.enter(directory)
    except OSError as error:
        return error.errno in GONE
    return False
