"""Single instance: the lock that allows one daemon per state directory, and the path of its control socket.

The lock file is in the state directory, so that a daemon is found from every environment (a cron job has no
XDG_RUNTIME_DIR). Its content says where the socket is, whose path is limited to 107 bytes (unix(7)). The
kernel releases the flock(2) when the process dies, so that there are no stale locks.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from syncer.errors import Busy, StateError
from syncer.state import prepare
from syncer.state.directory import private_directory
from syncer.state.lock import FileLock, content_if_locked
from syncer.state.sqlite import translated

LOCK: Final = "daemon.lock"
MAX_PATH: Final = 100  # bytes of a socket's path; the limit is 107 on Linux, 103 on macOS
_TIMEOUT = 0.5  # seconds: `holder` in another process takes the lock for an instant
_PROC: Final = Path("/proc/self/fd")
_ABANDONED = 86_400.0  # seconds since a socket was last touched


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """The content of the lock of a running daemon. `pid` is 0 while it starts."""

    pid: int = 0
    socket: str = ""

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process that just starts"


class InstanceLock(FileLock):
    """The lock of a state directory, until `release` or the end of the process. `socket`: where to listen."""

    socket: Path

    @classmethod
    def acquire(cls, state_dir: Path) -> Self:
        """Raises Busy (exit 6) if another daemon holds the lock, StateError if it cannot be created."""

        def busy(content: bytes) -> Busy:
            return Busy(
                f"another daemon runs with the state directory {state_dir}: {_parse(content)}",
                hint="stop it with syncer stop, or give this one a state_dir of its own",
            )

        prepare(state_dir)
        path = socket_path(state_dir)
        private(path.parent)
        lock = cls(state_dir / LOCK, busy=busy, timeout=_TIMEOUT)
        try:
            lock.socket = path
            lock.write(json.dumps({"pid": os.getpid(), "socket": os.fspath(path)}).encode())
        except BaseException:
            lock.release()
            raise
        return lock


def holder(state_dir: Path) -> InstanceInfo | None:
    """The daemon that holds the lock of a state directory, or None. Creates nothing. Raises StateError."""
    content = content_if_locked(state_dir / LOCK)
    return None if content is None else _parse(content)


def socket_path(state_dir: Path) -> Path:
    """The path where a daemon started in this environment listens, unique per state directory."""
    digits = blake2b(os.fsencode(os.path.realpath(state_dir)), digest_size=6).hexdigest()
    directories = [state_dir / "run"]
    # The runtime directory where there is one. Never /tmp, where another user could create the path first.
    for runtime in (f"/run/user/{os.geteuid()}", os.environ.get("XDG_RUNTIME_DIR", "")):
        if os.path.isabs(runtime) and _is_own_directory(Path(runtime)):
            directories.insert(0, Path(runtime) / "syncer")
    paths = [directory / f"daemon-{digits}.sock" for directory in directories]
    return next((path for path in paths if _is_short(path)), paths[-1])


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The path, short enough for bind(2) and connect(2): by /proc/self/fd on Linux. Raises OSError."""
    if _is_short(path) or not _PROC.is_dir():
        yield os.fspath(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_PROC}/{directory}/{path.name}"
    finally:
        os.close(directory)


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_PATH


def private(directory: Path) -> None:
    """Create the directory of the control socket, for this user only. Raises StateError."""
    private_directory(
        directory,
        purpose="the control socket",
        hint="remove it, or set XDG_RUNTIME_DIR to a directory of your own",
        follow=False,
    )


def bind(path: Path) -> socket.socket:
    """Listen at the path, in place of the socket of a dead daemon. Only for the holder of the lock.

    Raises StateError.
    """
    private(path.parent)
    if not _is_short(path) and not _PROC.is_dir():
        raise StateError(
            f"{path} is too long for a socket ({MAX_PATH} bytes at most)",
            hint="set XDG_RUNTIME_DIR to a directory of your own, or take a shorter state_dir",
        )
    with translated(path):
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Mode 0600 comes after bind(2); until then the directory of mode 0700 protects the socket.
            with address(path) as short:
                listening.bind(short)
            os.chmod(path, 0o600)
            listening.listen(64)
        except BaseException:
            listening.close()
            raise
        # Sockets of dead daemons with other state directories go: a running daemon touches its own.
        oldest = os.lstat(path).st_mtime - _ABANDONED
        for other in path.parent.glob("daemon-*.sock"):
            with suppress(OSError):
                st = os.lstat(other)
                if stat.S_ISSOCK(st.st_mode) and st.st_mtime < oldest:
                    os.unlink(other)
    return listening


def peer(sock: socket.socket) -> int | None:
    """The user id of the peer; None without SO_PEERCRED (then the mode of the directory protects)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(uid)


def stamp(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at the path, None for none."""
    try:
        st = os.lstat(path)
    except OSError:
        return None
    return st.st_dev, st.st_ino


def _is_own_directory(directory: Path) -> bool:
    """Whether it is this user's: with sudo the variable may name another user's runtime directory."""
    try:
        return directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def _clear(path: Path) -> None:
    """Remove the socket that a dead daemon left; anything else in its place stays. Raises StateError."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StateError(
            f"{path} is in the way: the control socket belongs there, and this is none",
            hint="look what it is, and remove it",
        )
    os.unlink(path)


def _parse(text: bytes) -> InstanceInfo:
    """The content of a lock file; an empty InstanceInfo if it is not valid."""
    try:
        document = json.loads(text)
        pid, path = document["pid"], document["socket"]
    except (ValueError, TypeError, KeyError):
        return InstanceInfo()
    known = isinstance(pid, int) and isinstance(path, str)
    return InstanceInfo(pid=pid, socket=path) if known else InstanceInfo()
