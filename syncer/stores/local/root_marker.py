"""Syncer's own directory at a root: the marker that tells roots apart, and what its disk does.

.syncer/root-id     32 hex digits and a newline
.syncer/.gitignore  a star: `git add`, `git clean` and `git reset` leave the directory alone
.syncer/probé       an empty file whose name, mode and mtime come back as the disk keeps them: what Syncer
                    before `traits` looked at, and still does where it shares the root
.syncer/traits      see `stores.local.traits`
"""

from __future__ import annotations

import os
import unicodedata

from syncer.engine.paths import PRIVATE, is_private
from syncer.errors import LocalError
from syncer.stores.local.batch import exists, rename_noreplace, write_all
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import MARKER, FolderRoot, is_ours_to_use
from syncer.stores.local.traits import PROBE_NS, clear

_PROBE = os.fsdecode(unicodedata.normalize("NFC", "prob\u00e9").encode())  # UTF-8, whatever the locale
_GIT_IGNORE = ".gitignore"
_LONGEST = 1024  # bytes of a marker worth reading


def read_marker(ground: FolderRoot) -> str:
    """The root's identity, "" where there is none. Raises OSError, LocalError."""
    fs = ground.fs
    try:
        with ground.cursor() as cursor:
            own = cursor.enter(PRIVATE)
            check_owner(fs, own, ground.root_fd())
            fd = fs.open_read(MARKER, own)
    except FileNotFoundError:
        return ""
    try:
        return fs.read(fd, _LONGEST).decode("ascii", "replace").strip()
    finally:
        fs.close(fd)


def write_marker(ground: FolderRoot, marker: str, *, only_first: bool = False) -> None:
    """Makes `.syncer` with the marker in it, durably; `only_first`: another marker stands.

    Raises OSError, LocalError.
    """
    fs = ground.fs
    with ground.cursor() as cursor:
        _make_private(fs, cursor.enter(""))
        own = cursor.enter(PRIVATE)
        check_owner(fs, own, ground.root_fd())
        clear(fs, own, ground.is_own)
        tried = ground.try_within(own)
        _plant(ground, own, _PROBE, mtime_ns=PROBE_NS)
        _plant(ground, own, _GIT_IGNORE, b"*\n")
        _plant(ground, own, MARKER, f"{marker}\n".encode("ascii"), only_first=only_first)
        fs.sync(own)
        fs.sync(cursor.enter(""))
        if tried:
            ground.keep_traits()


def write_git_ignore(ground: FolderRoot) -> None:
    """At a root that has a marker and not yet this. Raises OSError."""
    with ground.cursor() as cursor:
        own = cursor.enter(PRIVATE)
        if exists(ground.fs, MARKER, own) and not exists(ground.fs, _GIT_IGNORE, own):
            _plant(ground, own, _GIT_IGNORE, b"*\n")


def check_owner(fs: FileSystem, own: int, root: int) -> None:
    """Whether `.syncer` is ours, or whose the root is. Raises LocalError.

    Where others may write to the root, one of them may have made it: to have our marker, which tells
    whether a memory belongs to this root, and to have a trash that is open to them.
    """
    if is_ours_to_use(fs, own, root):
        return
    raise LocalError(
        f"{PRIVATE} at the root of the folder belongs to another user, and is not used",
        hint="see who made it; remove it, or take it over with chown",
        path=PRIVATE,
    )


def _make_private(fs: FileSystem, root_fd: int) -> None:
    try:
        fs.mkdir(PRIVATE, root_fd, 0o700)
    except FileExistsError:
        return


def _plant(
    ground: FolderRoot,
    own: int,
    name: str,
    content: bytes = b"",
    *,
    mtime_ns: int | None = None,
    only_first: bool = False,
) -> None:
    """A file that is there complete or not at all; a half-made probe would be believed for ever.

    `only_first`: one that is there stands, also if two machines write it at once.
    """
    fs, temporary = ground.fs, ground.temporary()
    fd = fs.create(temporary, own)
    try:
        write_all(fs, fd, [content] if content else [])
        if mtime_ns is not None:
            fs.set_times(fd, mtime_ns)
        fs.sync(fd)
    finally:
        fs.close(fd)
    if not only_first:
        return fs.rename(temporary, own, name, own)
    try:
        rename_noreplace(fs, temporary, own, name, own, spare=True)
    except FileExistsError:
        fs.unlink(temporary, own)


def is_empty(ground: FolderRoot) -> bool:
    """Whether nothing but our own files is at the root. Raises OSError."""
    with ground.cursor() as cursor:
        names = ground.fs.scan(cursor.enter(""))
        return all(is_private(name, at_root=True) for name, _ in names)
