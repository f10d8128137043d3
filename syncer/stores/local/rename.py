"""Renames within a folder, sets mtime and executable bit, cleans up temporary files that a run left.

Batches as in `write`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from os import stat_result

from syncer.engine.interfaces import RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Done, Entry, Kind, RelPath
from syncer.engine.paths import fold, is_below, printable, split
from syncer.stores.common import is_private_path
from syncer.stores.local import stat
from syncer.stores.local.batch import (
    BatchOutcomes,
    drop_quietly,
    remove_quietly,
    rename_noreplace,
    runs,
    stat_afresh,
    stat_after_settling,
    stat_if_unchanged,
)
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.scan import on_its_way
from syncer.stores.local.staging import with_executable
from syncer.stores.local.trash import Trash, TrashSession
from syncer.stores.stale import StaleError


class _Changes:
    """A batch of items that change stamps: all are done first, and then looked at."""

    def __init__(self, ground: FolderRoot, cursor: DirectoryCursor) -> None:
        self.ground = ground
        self.cursor = cursor
        self.outcomes = BatchOutcomes(ground)
        self.changed: dict[int, tuple[RelPath, Entry, stat_result]] = {}

    def results(self) -> Results:
        """Files come back untrusted: the change of ctime hides a write made just before ours."""
        self.outcomes.sync_directories(self.cursor)
        for index, (path, expected, ours) in self.changed.items():
            if index not in self.outcomes.ended:
                found, _ = stat_after_settling(self.ground, self.cursor, path, ours)
                self.outcomes.ended[index] = Done(entry=_entry(found, expected))
        yield from self.outcomes.results()


def _entry(found: stat_result, expected: Entry) -> Entry:
    if expected.kind is Kind.DIRECTORY:
        return stat.DIRECTORY
    if expected.kind is Kind.SYMLINK:
        return stat.link_entry(found, expected.target or "", expected.digest or b"", 0)
    return stat.file_entry(found, 0, expected.digest)


# -- rename ------------------------------------------------------------------


def rename(ground: FolderRoot, items: Sequence[RenameRequest]) -> Results:
    """See `engine.interfaces.Store.rename`.

    A rename changes the ctime, and so hides a write made just before it that restored size and mtime:
    a file comes back untrusted, and the next look reads its content.
    """
    for piece in runs(items):
        with ground.cursor() as targets, ground.cursor() as origins:
            changes = _Changes(ground, targets)
            for index in piece:
                step = partial(_rename, changes, origins, index, items[index])
                changes.outcomes.attempt(index, items[index].path, step)
            yield from changes.results()


def _rename(changes: _Changes, origins: DirectoryCursor, index: int, item: RenameRequest) -> None:
    ground = changes.ground
    if is_private_path(item.origin) or is_below(item.path, item.origin):
        raise OSError(errno.EINVAL, "impossible", item.origin)
    from_fd, name = origins.parent(item.origin)
    to_fd, new = changes.cursor.parent(item.path)
    seen = stat_if_unchanged(ground, name, from_fd, item.expected)
    respelt = _move(ground, item, (name, from_fd), (new, to_fd))
    # rename(2) takes whatever has the name at that moment: it is compared afterwards, by its new name, and
    # renamed back if it is another file. A ctime changes by the rename itself, so it is left out.
    moved = stat_afresh(ground.fs, new, to_fd)
    if not _is_moved(moved, seen):
        if not respelt:
            rename_noreplace(ground.fs, new, to_fd, name, from_fd)
        raise StaleError(f"{printable(item.origin)} changed at the last moment")
    ground.fs.sync(to_fd)  # the new name first: a power cut must never find the file under none
    changes.outcomes.touched(index, item.origin)
    changes.changed[index] = item.path, item.expected, moved


def _is_moved(moved: stat_result, seen: stat_result) -> bool:
    if stat.kind(seen) is Kind.DIRECTORY:
        return (moved.st_ino, moved.st_dev) == (seen.st_ino, seen.st_dev)
    return stat.identity(moved) == stat.identity(seen)


Name = tuple[str, int]  # in an open directory


def _move(ground: FolderRoot, item: RenameRequest, old: Name, new: Name) -> bool:
    """Rename; True if both names are one to the file system, and only the spelling changed."""
    try:
        rename_noreplace(ground.fs, *old, *new)
        return False
    except FileExistsError:
        # The new name is taken. On a file system that folds, that may be the file itself by its old spelling.
        same_place = split(item.origin)[0] == split(item.path)[0]
        if not same_place or not _alike(old[0], new[0]) or _shows(ground, *new):
            raise StaleError(f"{printable(item.path)} is there by now") from None
    if ground.traits.folds_case or ground.traits.folds_form:
        try:
            # RACE: a twin made just now in a directory that tells them apart, as no other one here does
            ground.fs.rename(*old, *new)
        except FileExistsError:
            pass  # vfat with iocharset=utf8: it is in its own way, by its short name
    if not _shows(ground, *new):
        _respell_by_steps(ground, old[0], *new)
    return True


def _alike(name: str, new: str) -> bool:
    """Whether the names differ only in what file systems may not see."""
    return fold(name, case=True, form=True) == fold(new, case=True, form=True)


def _shows(ground: FolderRoot, name: str, dir_fd: int) -> bool:
    return any(found == name for found, _ in ground.fs.scan(dir_fd))


def _respell_by_steps(ground: FolderRoot, name: str, new: str, dir_fd: int) -> None:
    """APFS, NTFS and exFAT do it at once. For ext4 and vfat both names are one file, and they do nothing.

    There the file is away for a moment, in a directory of ours and by its new name: after a death
    `clean_leftovers` brings it back.
    """
    fs, aside = ground.fs, ground.temporary()
    # Each step is durable before the next: at any death the file is under its old name, or alone in `aside`.
    fs.mkdir(aside, dir_fd, 0o700)
    fs.sync(dir_fd)
    aside_fd = fs.open_directory(aside, dir_fd)
    try:
        fs.rename(name, dir_fd, new, aside_fd)
        fs.sync(aside_fd)
        fs.sync(dir_fd)
        rename_noreplace(fs, new, aside_fd, new, dir_fd)
        fs.sync(dir_fd)
    except FileExistsError:
        raise StaleError(f"{printable(new)} is there by now") from None
    finally:
        fs.close(aside_fd)
        remove_quietly(fs, aside, dir_fd)


# -- attributes --------------------------------------------------------------


def set_attributes(ground: FolderRoot, items: Sequence[SetAttributesRequest]) -> Results:
    """See `engine.interfaces.Store.set_attributes`.

    What is set changes the ctime, and may hide a write made just before: untrusted as well.
    """
    for piece in runs(items):
        with ground.cursor() as cursor:
            changes = _Changes(ground, cursor)
            for index in piece:
                step = partial(_amend, changes, index, items[index])
                changes.outcomes.attempt(index, items[index].path, step)
            yield from changes.results()


def _amend(changes: _Changes, index: int, item: SetAttributesRequest) -> None:
    ground = changes.ground
    dir_fd, name = changes.cursor.parent(item.path)
    seen = stat_if_unchanged(ground, name, dir_fd, item.expected)
    if item.expected.kind is Kind.FILE:
        ours = _amend_file(ground, name, dir_fd, item)
    else:
        if item.mtime_ns is not None and item.expected.kind is Kind.SYMLINK:
            ground.fs.set_link_times(name, dir_fd, item.mtime_ns)
        ours = ground.fs.stat(name, dir_fd)
    if ours.st_ino != seen.st_ino or ours.st_size != seen.st_size:
        raise StaleError(f"{printable(item.path)} changed at the last moment")
    changes.outcomes.touched(index, item.path)
    changes.changed[index] = item.path, item.expected, ours


def _amend_file(ground: FolderRoot, name: str, dir_fd: int, item: SetAttributesRequest) -> stat_result:
    fs = ground.fs
    fd = fs.open_read(name, dir_fd)
    try:
        before = fs.fstat(fd)
        if not stat.matches(before, item.expected):
            raise StaleError(f"{printable(item.path)} changed since it was planned on")
        mode = with_executable(before.st_mode & 0o7777, item.executable)
        if mode != before.st_mode & 0o7777:
            fs.set_mode(fd, mode)
        if item.mtime_ns is not None:
            fs.set_times(fd, item.mtime_ns)  # RACE: loses the mtime of a write just before, not its bytes
        elif stat.identity(fs.fstat(fd)) != stat.identity(before):
            raise StaleError(f"{printable(item.path)} changed at the last moment")
        fs.sync(fd)
        return fs.fstat(fd)
    finally:
        fs.close(fd)


# -- leftovers -------------------------------------------------------------------


def clean_leftovers(ground: FolderRoot, trash: Trash, leftovers: Sequence[RelPath]) -> None:
    """See `engine.interfaces.Store.clean_leftovers`. What cannot be moved now waits for the next run."""
    with ground.cursor() as cursor, trash.session() as session:
        for path in leftovers:
            try:
                dir_fd, name = cursor.parent(path)
                _take_or_copy(ground, session, dir_fd, name, path)
            except (OSError, StaleError):
                continue


def _take_or_copy(ground: FolderRoot, session: TrashSession, dir_fd: int, name: str, path: RelPath) -> None:
    """Move a leftover to the trash: it may be the last copy of a file that was exchanged out."""
    fs = ground.fs
    seen = fs.stat(name, dir_fd)
    if stat.kind(seen) is Kind.DIRECTORY:
        _bring_back(ground, name, dir_fd)
        try:
            return fs.rmdir(name, dir_fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    try:
        session.take(name, dir_fd, path)
        return session.sync()
    except OSError as error:
        if error.errno != errno.EXDEV or stat.kind(seen) is Kind.DIRECTORY:
            raise
    session.keep(name, dir_fd, path, seen)
    session.sync()
    drop_quietly(fs, name, dir_fd)


def _bring_back(ground: FolderRoot, aside: str, dir_fd: int) -> None:
    """What was on its way to another spelling when a run died gets its name, if that is free."""
    fs = ground.fs
    name = on_its_way(fs, aside, dir_fd)
    if not name:
        return
    fd = fs.open_directory(aside, dir_fd)
    try:
        rename_noreplace(fs, name, fd, name, dir_fd)
        fs.sync(dir_fd)
    except FileExistsError:
        return
    finally:
        fs.close(fd)
