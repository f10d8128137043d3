"""Deleting files, and making and removing directories, in a folder.

A file gets a second name in the trash, durably, before its own name goes. Directories are made and removed
one component at a time, and only by mkdir and rmdir. A directory that replaces a file is made beside it and
exchanged with it, after the file got a second name in the trash.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from os import stat_result

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, Results
from syncer.engine.model import Done, Entry, Kind, Outcome, RelPath, Stale
from syncer.engine.paths import depth, printable, split
from syncer.stores.local import staging, stat
from syncer.stores.local.batch import (
    BatchOutcomes,
    drop_quietly,
    in_order,
    is_same,
    name_lock,
    rename_noreplace,
    runs,
    stat_if_unchanged,
)
from syncer.stores.local.errors import GONE, NOT_THE_NAME, refused
from syncer.stores.local.filesystem import UNSUPPORTED
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.trash import Kept, Trash, TrashSession
from syncer.stores.stale import StaleError

# --------------------------------------------------------------------------------
#
# Deleting files: link to the trash, sync; then rename aside, compare, unlink.
#
# Batches as in `write`. A file that turns out to be another one gets its name back; if that name was taken
# meanwhile, it goes to the trash instead.


def delete(ground: FolderRoot, trash: Trash, items: Sequence[DeleteRequest]) -> Results:
    """See `engine.interfaces.Store.delete`."""
    for piece in runs(items):
        batch = {i: items[i] for i in in_order(piece, lambda i: items[i].path)}
        with ground.cursor() as cursor, trash.session() as session:
            outcomes = _Deletion(ground, cursor, session, batch).run()
        yield from outcomes.results()


class _Deletion:
    def __init__(
        self,
        ground: FolderRoot,
        cursor: DirectoryCursor,
        session: TrashSession,
        items: dict[int, DeleteRequest],
    ) -> None:
        self._ground = ground
        self._cursor = cursor
        self._session = session
        self._items = items
        self._outcomes = BatchOutcomes(ground)
        self._seen: dict[int, stat_result] = {}

    def run(self) -> BatchOutcomes:
        for index, item in self._items.items():
            self._outcomes.attempt(index, item.path, partial(self._keep, index, item))
        self._make_durable()
        for index in self._seen:
            item = self._items[index]
            if index not in self._outcomes.ended:
                self._outcomes.attempt(index, item.path, partial(self._remove, index, item))
        self._outcomes.sync_directories(self._cursor)
        for index in self._items:
            self._outcomes.ended.setdefault(index, Done())
        return self._outcomes

    def _keep(self, index: int, item: DeleteRequest) -> None:
        if item.expected.kind is Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is a directory: not deleted as a file")
        dir_fd, name = self._cursor.parent(item.path)
        seen = stat_if_unchanged(self._ground, name, dir_fd, item.expected)
        if not takes(self._ground, self._session, dir_fd):
            self._session.keep(name, dir_fd, item.path, seen)
        self._seen[index] = seen

    def _make_durable(self) -> None:
        try:
            self._session.sync()
        except OSError as error:
            for index in self._seen:
                self._outcomes.attempt(index, self._items[index].path, partial(_fail, error))

    def _remove(self, index: int, item: DeleteRequest) -> None:
        dir_fd, name = self._cursor.parent(item.path)
        with name_lock(self._ground.fs, dir_fd, name):
            put_away(self._ground, self._session, dir_fd, name, item.path, self._seen[index])
        self._outcomes.touched(index, item.path)


def takes(ground: FolderRoot, session: TrashSession, dir_fd: int) -> bool:
    """True if a file is itself moved to the trash, instead of getting a second name there first.

    Without hard links the second name would be a copy: it takes room on a disk that may be full, and without
    stable inodes an edit within one clock tick could be taken for the copied file, and be unlinked.
    """
    return not ground.traits.links and session.is_beside(dir_fd)


def put_away(
    ground: FolderRoot, session: TrashSession, dir_fd: int, name: str, path: RelPath, seen: stat_result
) -> None:
    """Remove a name whose file is in the trash, or move it there. Raises StaleError if it is another file."""
    if takes(ground, session, dir_fd):
        take(session, dir_fd, name, path, seen)
    else:
        _remove_kept(ground, session, dir_fd, name, path, seen)


def take(session: TrashSession, dir_fd: int, name: str, path: RelPath, seen: stat_result) -> Kept:
    """Move a name to the trash, durably; if it is not what was seen, move it back and raise StaleError."""
    kept = session.take(name, dir_fd, path)
    if session.holds(kept, seen):
        session.sync()
        return kept
    give_back(session, kept, dir_fd, name)
    raise StaleError(f"{printable(path)} changed at the last moment")


def give_back(session: TrashSession, kept: Kept, dir_fd: int, name: str) -> None:
    """Give a file in the trash its name again; if that is taken by now, the file stays in the trash."""
    try:
        session.give_back(kept, name, dir_fd)
    except FileExistsError:
        session.sync()


def _remove_kept(
    ground: FolderRoot, session: TrashSession, dir_fd: int, name: str, path: RelPath, seen: stat_result
) -> None:
    """Unlink a name whose content is durable in the trash. Raises StaleError if it is another file by now."""
    aside = ground.temporary()
    # unlink(2) cannot check what it removes. Under a private name no program replaces the file any more, so
    # it can be compared first.
    ground.fs.rename(name, dir_fd, aside, dir_fd)
    if is_same(ground.fs, aside, dir_fd, seen):
        return drop_quietly(ground.fs, aside, dir_fd)
    try:
        rename_noreplace(ground.fs, aside, dir_fd, name, dir_fd)
    except FileExistsError:
        session.take(aside, dir_fd, path)
        session.sync()
    raise StaleError(f"{printable(path)} changed at the last moment")


def _fail(error: OSError) -> None:
    raise error


MODE = 0o777  # the umask takes its part
_MADE = Done(entry=stat.DIRECTORY)


def make(ground: FolderRoot, trash: Trash, items: Sequence[MkdirRequest]) -> Results:
    """See `engine.interfaces.Store.make_directories`."""
    for piece in runs(items):
        outcomes = BatchOutcomes(ground)
        with ground.cursor() as cursor, trash.session() as session:
            for index in piece:
                item = items[index]
                if outcomes.attempt(index, item.path, partial(_make, ground, cursor, session, item)):
                    outcomes.touched(index, item.path)
                    outcomes.ended[index] = _MADE
            outcomes.sync_directories(cursor)
        yield from outcomes.results()


def _make(ground: FolderRoot, cursor: DirectoryCursor, session: TrashSession, item: MkdirRequest) -> None:
    dir_fd, name = cursor.parent(item.path)
    if item.replaces is not None and item.replaces.kind is not Kind.DIRECTORY:
        with name_lock(ground.fs, dir_fd, name):
            return _replace(ground, session, dir_fd, name, item.path, item.replaces)
    try:
        _mkdir(ground, name, dir_fd, item.path)
    except FileExistsError:
        if stat.kind(ground.fs.stat(name, dir_fd)) is not Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is there by now, and no directory") from None


def _mkdir(ground: FolderRoot, name: str, dir_fd: int, path: RelPath) -> None:
    """Make a directory. Raises Unholdable if the file system refuses the name, though another one works."""
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
    ground: FolderRoot, session: TrashSession, dir_fd: int, name: str, path: RelPath, replaces: Entry
) -> None:
    seen = stat_if_unchanged(ground, name, dir_fd, replaces)
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
    raise StaleError(f"{printable(path)} changed at the last moment")


def _exchange_back(
    ground: FolderRoot, session: TrashSession, dir_fd: int, temporary: str, name: str, path: RelPath
) -> None:
    try:
        ground.fs.exchange(temporary, dir_fd, name, dir_fd)
    except FileNotFoundError:
        return rename_noreplace(ground.fs, temporary, dir_fd, name, dir_fd)
    ground.fs.sync(dir_fd)
    try:
        ground.fs.rmdir(temporary, dir_fd)
    except OSError:  # another program put a file into it, or replaced it
        session.take(temporary, dir_fd, path)
        session.sync()


def remove(ground: FolderRoot, paths: Sequence[RelPath]) -> Results:
    """See `engine.interfaces.Store.remove_directories`."""
    for piece in runs(paths):
        outcomes = BatchOutcomes(ground)
        with ground.cursor() as cursor:
            for index in piece:
                path = paths[index]
                if outcomes.attempt(index, path, partial(_remove, ground, cursor, outcomes, index, path)):
                    outcomes.ended[index] = Done()
            _sync_what_is_left(outcomes, cursor)
        yield from outcomes.results()


def _remove(
    ground: FolderRoot, cursor: DirectoryCursor, outcomes: BatchOutcomes, index: int, path: RelPath
) -> None:
    try:
        dir_fd, name = cursor.parent(path)
        ground.fs.rmdir(name, dir_fd)
    except FileNotFoundError:
        return  # gone already
    except OSError as error:
        outcomes.ended[index] = _refused(path, error)
        return
    outcomes.touched(index, path)


def _refused(path: RelPath, error: OSError) -> Stale:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return Stale(message=f"{printable(path)}: the directory is not empty")
    if error.errno in GONE:
        return Stale(message=f"{printable(path)} is no directory any more")
    raise error


def _sync_what_is_left(outcomes: BatchOutcomes, cursor: DirectoryCursor) -> None:
    """Sync the parents of removed directories; for one that was removed itself, the next one above."""
    for directory in sorted(outcomes.dirty, key=depth, reverse=True):
        if directory and _is_gone(cursor, directory):
            above = split(directory)[0]
            outcomes.dirty.setdefault(above, []).extend(outcomes.dirty.pop(directory))
    outcomes.sync_directories(cursor)


def _is_gone(cursor: DirectoryCursor, directory: RelPath) -> bool:
    try:
        cursor.enter(directory)
    except OSError as error:
        return error.errno in GONE
    return False


# --------------------------------------------------------------------------------
#
# Removing directories in which nothing is left but content that never arrived, or only parts of it.
#
# Around `directories.remove`: what a broken-off put left in a directory must not keep that from going. A
# directory with anything else in it stays as it is, partials included.


def remove_again(ground: FolderRoot, paths: Sequence[RelPath]) -> Results:
    """See `engine.interfaces.Store.remove_directories`."""
    stale: dict[int, Outcome] = {}
    for index, outcome in remove(ground, paths):
        if isinstance(outcome, Stale):
            stale[index] = outcome
        else:
            yield index, outcome
    for index, outcome in sorted(stale.items()):  # children first: one that goes may empty its parent
        yield index, _again(ground, paths[index]) or outcome


def _again(ground: FolderRoot, path: RelPath) -> Outcome | None:
    """How the second try ended; None if there is no use in one."""
    if not _clear(ground, path):
        return None
    return dict(remove(ground, [path]))[0]


def _clear(ground: FolderRoot, path: RelPath) -> bool:
    """Remove abandoned temporaries from a directory that holds nothing else; whether it is empty now."""
    try:
        with ground.cursor() as cursor:
            fd = cursor.enter(path)
            names = [name for name, _ in ground.fs.scan(fd)]
            if not all(ground.is_partial(name) or _is_abandoned(ground, name, fd) for name in names):
                return False
            return all(_discard(ground, name, fd) for name in names)
    except OSError:
        return False


def _is_abandoned(ground: FolderRoot, name: str, dir_fd: int) -> bool:
    """Whether it is what a put made, and left when the directory was moved under it."""
    made = ground.abandoned.get(name)
    return made is not None and is_same(ground.fs, name, dir_fd, made)


def _discard(ground: FolderRoot, name: str, dir_fd: int) -> bool:
    if ground.is_partial(name):
        return staging.discard(ground, name, dir_fd)
    ground.fs.unlink(name, dir_fd)
    ground.abandoned.pop(name, None)
    return True
