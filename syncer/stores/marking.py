"""Syncer's own directory at a root: the marker that tells roots apart, and what its disk does.

.syncer/root-id     32 hex digits and a newline
.syncer/probé       an empty file whose name, mode and mtime come back as the disk keeps them: what Syncer
                    before `traits` looked at, and still does where it shares the root
.syncer/traits      see `stores.traits`
"""

from __future__ import annotations

import os
import unicodedata

from syncer.engine.paths import PRIVATE, is_private
from syncer.stores.fsops import FileSystem
from syncer.stores.ground import MARKER, Ground
from syncer.stores.traits import PROBE_NS, clear
from syncer.stores.transfer import write_all

_PROBE = os.fsdecode(unicodedata.normalize("NFC", "prob\u00e9").encode())  # UTF-8, whatever the locale
_LONGEST = 1024  # bytes of a marker worth reading


def read_marker(ground: Ground) -> str:
    """The root's identity, "" where there is none. Raises OSError."""
    fs = ground.fs
    try:
        with ground.cursor() as cursor:
            fd = fs.open_read(MARKER, cursor.enter(PRIVATE))
    except FileNotFoundError:
        return ""
    try:
        return fs.read(fd, _LONGEST).decode("ascii", "replace").strip()
    finally:
        fs.close(fd)


def write_marker(ground: Ground, marker: str) -> None:
    """Makes `.syncer` with the marker in it, durably. Raises OSError."""
    fs = ground.fs
    with ground.cursor() as cursor:
        _make_private(fs, cursor.enter(""))
        own = cursor.enter(PRIVATE)
        clear(fs, own, ground.is_own)
        _plant(ground, own, _PROBE, mtime_ns=PROBE_NS)
        _plant(ground, own, MARKER, f"{marker}\n".encode("ascii"))
        fs.sync(own)
        fs.sync(cursor.enter(""))
        ground.try_again()


def _make_private(fs: FileSystem, root_fd: int) -> None:
    try:
        fs.mkdir(PRIVATE, root_fd, 0o700)
    except FileExistsError:
        return


def _plant(ground: Ground, own: int, name: str, content: bytes = b"", *, mtime_ns: int | None = None) -> None:
    """A file that is there complete or not at all; a half-made probe would be believed for ever."""
    fs, temporary = ground.fs, ground.temporary()
    fd = fs.create(temporary, own)
    try:
        write_all(fs, fd, [content] if content else [])
        if mtime_ns is not None:
            fs.set_times(fd, mtime_ns)
        fs.sync(fd)
    finally:
        fs.close(fd)
    fs.rename(temporary, own, name, own)


def is_empty(ground: Ground) -> bool:
    """Whether nothing but our own files is at the root. Raises OSError."""
    with ground.cursor() as cursor:
        names = ground.fs.scan(cursor.enter(""))
        return all(is_private(name, at_root=True) for name, _ in names)
