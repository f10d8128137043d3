"""Where a daemon can be reached, and that there is one at most for a state directory.

The lock lies in the state directory, so that a daemon is found from every environment (a cron job knows no
XDG_RUNTIME_DIR); what it holds says where the socket is, whose path may be 107 bytes long only (unix(7)).
The kernel drops the lock when the process dies, however it dies: there is no stale one. What is said over
the socket is not known here.
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
MOST: Final = 100  # bytes of a socket's path: 107 on Linux, 103 on macOS
_TIMEOUT = 0.5  # seconds: `holder` locks the file for an instant
_PROC: Final = Path("/proc/self/fd")
_FORSAKEN = 86_400.0  # seconds that nobody touched a socket


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """What the lock says of a daemon that runs. `pid` is 0 as long as it has not said so."""

    pid: int = 0
    socket: str = ""

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process that just starts"


class InstanceLock(FileLock):
    """The lock of a state directory's daemon. `socket`: where this daemon is to listen."""

    socket: Path

    @classmethod
    def acquire(cls, state_dir: Path) -> Self:
        """Raises Busy (exit 6) if another daemon runs, StateError where none can."""

        def busy(content: bytes) -> Busy:
            return Busy(
                f"another daemon runs with the state directory {state_dir}: {_parsed(content)}",
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
    """The daemon of a state directory, None if there is none. Creates nothing. Raises StateError."""
    content = content_if_locked(state_dir / LOCK)
    return None if content is None else _parsed(content)


def socket_path(state_dir: Path) -> Path:
    """Where a daemon started here and now listens: a path of its own for each state directory."""
    digits = blake2b(os.fsencode(os.path.realpath(state_dir)), digest_size=6).hexdigest()
    places = [place / f"daemon-{digits}.sock" for place in _directories(state_dir)]
    return next((place for place in places if _is_short(place)), places[-1])


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The path as bind(2) and connect(2) take it: a long one by way of its open directory, on Linux.

    Raises OSError.
    """
    if _is_short(path) or not _PROC.is_dir():
        yield os.fspath(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_PROC}/{directory}/{path.name}"
    finally:
        os.close(directory)


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= MOST


def private(directory: Path) -> None:
    """Create the directory of the control socket, for this user only. Raises StateError."""
    private_directory(
        directory,
        purpose="the control socket",
        hint="remove it, or set XDG_RUNTIME_DIR to a directory of your own",
        follow=False,
    )


def bind(path: Path) -> socket.socket:
    """A socket that listens at the path, in place of what a dead daemon left. For the one with the tenure.

    Raises StateError.
    """
    private(path.parent)
    if not _is_short(path) and not _PROC.is_dir():
        raise StateError(
            f"{path} is too long for a socket ({MOST} bytes at most)",
            hint="set XDG_RUNTIME_DIR to a directory of your own, or take a shorter state_dir",
        )
    with translated(path):
        _clear(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address(path) as short:
                made.bind(short)
            os.chmod(path, 0o600)
            made.listen(64)
        except BaseException:
            made.close()
            raise
        _sweep(path)
    return made


def peer(sock: socket.socket) -> int | None:
    """The user at the other end, None where the system does not say (then the directory's mode must do)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(uid)


def stamp(path: Path) -> tuple[int, int] | None:
    """Which file a path is at the moment, None for none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _directories(state_dir: Path) -> Iterator[Path]:
    """The runtime directory, else one in the state directory. Never /tmp, where anybody may be faster."""
    for runtime in (Path(os.environ.get("XDG_RUNTIME_DIR", "")), Path(f"/run/user/{os.geteuid()}")):
        if runtime.is_absolute() and _is_ours(runtime):
            yield runtime / "syncer"
    yield state_dir / "run"


def _is_ours(directory: Path) -> bool:
    """Not so where another user's environment came along, as with sudo."""
    try:
        return directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def _clear(path: Path) -> None:
    """Whoever left it is dead, or has lost the tenure: a socket of ours may go, nothing else."""
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


def _sweep(fresh: Path) -> None:
    """Sockets of dead daemons whose state directory nobody uses any more: a living one touches its own."""
    oldest = os.lstat(fresh).st_mtime - _FORSAKEN
    for path in fresh.parent.glob("daemon-*.sock"):
        with suppress(OSError):
            found = os.lstat(path)
            if stat.S_ISSOCK(found.st_mode) and found.st_mtime < oldest:
                os.unlink(path)


def _parsed(text: bytes) -> InstanceInfo:
    """What a daemon wrote into its lock; an empty value if it is something else."""
    try:
        document = json.loads(text)
        pid, path = document["pid"], document["socket"]
    except (ValueError, TypeError, KeyError):
        return InstanceInfo()
    known = isinstance(pid, int) and isinstance(path, str)
    return InstanceInfo(pid=pid, socket=path) if known else InstanceInfo()
