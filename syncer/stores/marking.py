"""Syncer's own directory at a root: the marker that tells roots apart, and what it shows of the disk.

    .syncer/root-id     32 hex digits and a newline
    .syncer/probé       an empty file whose name, mode and mtime come back as the disk keeps them

Looking writes nothing; only `mark` does.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass

from syncer.engine.paths import PRIVATE, is_private
from syncer.stores.fsops import FileSystem
from syncer.stores.ground import Ground
from syncer.stores.transfer import exists, write_all

MARKER = "root-id"
_PROBE, _TWIN = (  # as UTF-8 bytes, whatever the locale takes names for
    os.fsdecode(unicodedata.normalize(form, "prob\u00e9").encode()) for form in ("NFC", "NFD")
)
_PROBE_NS = 1_000_000_001_123_456_789  # an odd second, no round fraction
_STEPS = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)
_LONGEST = 1024  # bytes of a marker worth reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the root's file system does to names and attributes."""

    folds_case: bool = False
    folds_form: bool = False
    mtime_granularity_ns: int = 1
    executable: bool = True


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
        _clear(ground, own)
        _plant(ground, own, _PROBE, mtime_ns=_PROBE_NS)
        _plant(ground, own, MARKER, f"{marker}\n".encode("ascii"))
        fs.sync(own)
        fs.sync(cursor.enter(""))


def _make_private(fs: FileSystem, root_fd: int) -> None:
    try:
        fs.mkdir(PRIVATE, root_fd, 0o700)
    except FileExistsError:
        return


def _clear(ground: Ground, own: int) -> None:
    """Drops what a run left here that died at this very place: nothing of a user's is ever staged here."""
    for name in [name for name, _ in ground.fs.scan(own) if ground.is_own(name)]:
        ground.fs.unlink(name, own)


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


def traits(ground: Ground) -> Traits | None:
    """What the disk shows; None where there is no marked root to look at."""
    fs = ground.fs
    try:
        with ground.cursor() as cursor:
            own = cursor.enter(PRIVATE)
            found = fs.stat(_PROBE, own)
            off = abs(found.st_mtime_ns - _PROBE_NS)
            return Traits(
                folds_case=exists(fs, MARKER.upper(), own),
                folds_form=exists(fs, _TWIN, own),
                mtime_granularity_ns=next((s for s in _STEPS if off < s), _STEPS[-1]),
                executable=not found.st_mode & 0o111,
            )
    except OSError:
        return None


def is_empty(ground: Ground) -> bool:
    """Whether nothing but our own files is at the root. Raises OSError."""
    with ground.cursor() as cursor:
        names = ground.fs.scan(cursor.enter(""))
        return all(is_private(name, at_root=True) for name, _ in names)
