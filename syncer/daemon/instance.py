"""Where a daemon can be reached, and that there is one at most for a state directory.

The lock lies in the state directory, so that a daemon is found from every environment (a cron job knows no
XDG_RUNTIME_DIR); what it holds says where the socket is, whose path may be 107 bytes long only (unix(7)).
The kernel drops the lock when the process dies, however it dies: there is no stale one. What is said over
the socket is not known here.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from syncer.errors import Busy, StateError
from syncer.state import prepare
from syncer.state.sqlite import translated

LOCK: Final = "daemon.lock"
MOST: Final = 100  # bytes of a socket's path: 107 on Linux, 103 on macOS
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_LARGEST = 4096  # bytes that a lock may say
_TRIES = 10
_NAP = 0.05  # seconds
_PROC: Final = Path("/proc/self/fd")
_FORSAKEN = 86_400.0  # seconds that nobody touched a socket


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """What the lock says of a daemon that runs. `pid` is 0 as long as it has not said so."""

    pid: int = 0
    socket: str = ""

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process that just starts"


class InstanceLock:
    """The right to be a state directory's daemon, from `acquire` to `release` or the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.socket = path

    @classmethod
    def acquire(cls, state_dir: Path) -> InstanceLock:
        """Raises Busy (exit 6) if another daemon runs, StateError where none can."""
        prepare(state_dir)
        path = socket_path(state_dir)
        private(path.parent)
        lock = state_dir / LOCK
        with translated(lock):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(lock, flags, 0o600)
        try:
            with translated(lock):
                _lock(descriptor, state_dir)
                _sign(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    def release(self) -> None:
        """Let the next one in. Releasing again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> InstanceLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder(state_dir: Path) -> InstanceInfo | None:
    """The daemon of a state directory, None if there is none. Makes nothing. Raises StateError."""
    lock = state_dir / LOCK
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{lock} cannot be read: {error.strerror}") from None
    try:
        with translated(lock):
            return _said(os.pread(descriptor, _LARGEST, 0)) if _is_held(descriptor) else None
    finally:
        os.close(descriptor)


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
    """Makes a directory that nobody else can enter, or sees that it is one. Raises StateError."""
    with translated(directory):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            what = "belongs to somebody else" if stat.S_ISDIR(found.st_mode) else "is not a directory"
            raise StateError(
                f"{directory} {what}: the control socket would not be safe there",
                hint="remove it, or set XDG_RUNTIME_DIR to a directory of your own",
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.chmod(directory, 0o700)


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


def _lock(descriptor: int, state_dir: Path) -> None:
    """Tried for a moment: who asks whether a daemon runs holds the lock for an instant."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _HELD:
                raise
            if not left:
                who = _said(os.pread(descriptor, _LARGEST, 0))
                raise Busy(
                    f"another daemon runs with the state directory {state_dir}: {who}",
                    hint="stop it with syncer stop, or give this one a state_dir of its own",
                ) from error
        time.sleep(_NAP)


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return True
        raise
    return False


def _sign(descriptor: int, path: Path) -> None:
    os.fchmod(descriptor, 0o600)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "socket": os.fspath(path)}).encode(), 0)


def _said(text: bytes) -> InstanceInfo:
    """What a lock says; nothing, if it is not what we would have written."""
    try:
        document = json.loads(text)
        pid, path = document["pid"], document["socket"]
    except (ValueError, TypeError, KeyError):
        return InstanceInfo()
    known = isinstance(pid, int) and isinstance(path, str)
    return InstanceInfo(pid=pid, socket=path) if known else InstanceInfo()
