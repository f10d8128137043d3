"""Private directories on a local disk, and files in them that survive a power cut.

The state directory, a pair's directory, the daemon's socket and the server's state need one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex
from typing import Final

from syncer.errors import StateError
from syncer.mounts import is_network
from syncer.state.sqlite import translated

_MOUNTS: Final = Path("/proc/self/mounts")
_ESCAPES: Final = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\"))  # proc(5)


def prepare(directory: Path) -> None:
    """Create a private directory for a state database, on a local disk. Raises StateError."""
    private_directory(
        directory,
        purpose="the state",
        hint="name a state_dir of your own, or run as the user it belongs to",
    )
    kind = file_system(directory, mounts())
    # A write-ahead log needs memory that all processes with the database share (https://sqlite.org/wal.html),
    # and all must see its flock: neither works across machines.
    if is_network(kind):
        raise StateError(
            f"{directory} is on a network file system ({kind}), where locks and the database are not safe",
            hint="name a folder on a local disk as state_dir",
        )


def private_directory(
    directory: Path, *, purpose: str, hint: str, own: bool = True, follow: bool = True
) -> None:
    """Create a directory, and missing ones above it, with mode 0700; close one that is open to others.

    `own`: it must belong to this user. `follow`: it may be a symlink to a directory. `purpose` and `hint` are
    for the message: what would not be safe in it, and what to do. Raises StateError.
    """
    with translated(directory):
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)  # another process may create it at this moment
            sync(path.parent)
        status = os.stat(directory, follow_symlinks=follow)
        if not stat.S_ISDIR(status.st_mode):
            raise StateError(f"{directory} is not a directory", hint=hint)
        if own and status.st_uid != os.geteuid():
            raise StateError(
                f"{directory} belongs to another user: it is not safe to keep {purpose} there", hint=hint
            )
        if status.st_mode & 0o077:
            os.chmod(directory, 0o700)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file (0600) as `NAME.<random>.tmp`, then rename it: at any moment the old or the new one is
    there.

    A process that dies in between leaves the temporary file. Raises OSError.
    """
    temporary = path.with_name(f"{path.name}.{token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """fsync a file, or a directory's names. Raises OSError."""
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
    """The type of the file system that a path is on, "" if unknown; `table`: lines as `mounts` returns them.

    The deepest mount point above the path counts; of several mounts on one point the last.
    """
    wanted = os.fsencode(path.resolve())
    deepest, kind = -1, b""
    for line in table:
        fields = line.split(b" ")
        if len(fields) < 3:
            continue
        point = fields[1]
        for octal, character in _ESCAPES:
            point = point.replace(octal, character)
        inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= deepest:
            deepest, kind = len(point), fields[2]
    return os.fsdecode(kind)
