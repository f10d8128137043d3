"""The directory a pair's state lives in: made with the right rights, on a file system that will do.

No SQLite here. What is written below is only trusted once `sync` returned.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from syncer.errors import StateError
from syncer.mounts import is_network
from syncer.state.sqlite import translated

_MOUNTS: Final = Path("/proc/self/mounts")


def prepare(directory: Path) -> None:
    """Make the directory and those above it, for this user only. Raises StateError."""
    with translated(directory):
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)  # another run may be making it too
            sync(path.parent)
        found = directory.stat()
        if found.st_uid != os.geteuid():
            raise StateError(
                f"{directory} belongs to another user: it is not safe to keep the state there",
                hint="name a state_dir of your own, or run as the user it belongs to",
            )
        if found.st_mode & 0o077:
            directory.chmod(0o700)
    kind = file_system(directory, mounts())
    # SQLite's journal needs memory shared by all who open it, and flock must be seen by all of them
    # (https://sqlite.org/wal.html): neither holds across machines.
    if is_network(kind):
        raise StateError(
            f"{directory} is on a network file system ({kind}), where locks and the database are not safe",
            hint="name a folder on a local disk as state_dir",
        )


def sync(path: Path) -> None:
    """Make a file's content, or a directory's names, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mounts() -> list[bytes]:
    """The lines of the mount table; empty on a system that has none to read."""
    try:
        return _MOUNTS.read_bytes().splitlines()
    except OSError:
        return []


def file_system(path: Path, table: Iterable[bytes]) -> str:
    """The type of the file system a path is on, "" if unknown. The last of the deepest mounts covers it."""
    wanted = os.fsencode(path.resolve())
    deepest, kind = -1, b""
    for line in table:
        fields = line.split(b" ")
        point = _unescaped(fields[1]) if len(fields) > 2 else b""
        inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if point and inside and len(point) >= deepest:
            deepest, kind = len(point), fields[2]
    return os.fsdecode(kind)


def _unescaped(field: bytes) -> bytes:
    """As proc(5) writes blanks in it: octal."""
    for octal, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(octal, char)
    return field
