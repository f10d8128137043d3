"""Single instance: the lock that allows one daemon per state directory, and the path of its control socket.

The lock file is in the state directory, so that a daemon is found from every environment (a cron job has no
XDG_RUNTIME_DIR). Its content says where the socket is, whose path is limited to 107 bytes (unix(7)). The
kernel releases the flock(2) when the process dies, so that there are no stale locks.
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
MAX_PATH: Final = 100  # bytes of a socket's path; the limit is 107 on Linux, 103 on macOS
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_MAX_CONTENT = 4096  # bytes read from a lock file
_TRIES = 10
_RETRY = 0.05  # seconds
_PROC: Final = Path("/proc/self/fd")
_ABANDONED = 86_400.0  # seconds since a socket was last touched


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceInfo:
    """The content of the lock of a running daemon. `pid` is 0 while it starts."""

    pid: int = 0
    socket: str = ""

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process that just starts"


class InstanceLock:
    """The lock of a state directory, from `acquire` to `release` or the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.socket = path

    @classmethod
    def acquire(cls, state_dir: Path) -> InstanceLock:
        """Raises Busy (exit 6) if another daemon holds the lock, StateError if it cannot be created."""
        prepare(state_dir)
        path = socket_path(state_dir)
        private(path.parent)
        lock = state_dir / LOCK
        with translated(lock):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(lock, flags, 0o600)
        try:
            with translated(lock):
                # The content is written under the lock, so that a reader who finds it locked reads the
                # holder's.
                _lock(descriptor, state_dir)
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "socket": os.fspath(path)}).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    def release(self) -> None:
        """Release the lock. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> InstanceLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder(state_dir: Path) -> InstanceInfo | None:
    """The daemon that holds the lock of a state directory, or None. Creates nothing. Raises StateError."""
    lock = state_dir / LOCK
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{lock} cannot be read: {error.strerror}") from None
    try:
        with translated(lock):
            try:
                # Shared, so that two askers do not take each other for a daemon. Closing the file releases
                # it.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except OSError as error:
                if error.errno not in _HELD:
                    raise
            return _parse(os.pread(descriptor, _MAX_CONTENT, 0))
    finally:
        os.close(descriptor)


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
    """Create a directory of mode 0700, or check that it is this user's. Raises StateError."""
    with translated(directory):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        st = os.lstat(directory)
        if not stat.S_ISDIR(st.st_mode) or st.st_uid != os.geteuid():
            what = "belongs to somebody else" if stat.S_ISDIR(st.st_mode) else "is not a directory"
            raise StateError(
                f"{directory} {what}: the control socket would not be safe there",
                hint="remove it, or set XDG_RUNTIME_DIR to a directory of your own",
            )
        if stat.S_IMODE(st.st_mode) != 0o700:
            os.chmod(directory, 0o700)


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


def _lock(descriptor: int, state_dir: Path) -> None:
    """Retried for half a second: `holder` in another process takes the lock for an instant."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _HELD:
                raise
            if not left:
                other = _parse(os.pread(descriptor, _MAX_CONTENT, 0))
                raise Busy(
                    f"another daemon runs with the state directory {state_dir}: {other}",
                    hint="stop it with syncer stop, or give this one a state_dir of its own",
                ) from error
        time.sleep(_RETRY)


def _parse(text: bytes) -> InstanceInfo:
    """The content of a lock file; an empty InstanceInfo if it is not valid."""
    try:
        document = json.loads(text)
        pid, path = document["pid"], document["socket"]
    except (ValueError, TypeError, KeyError):
        return InstanceInfo()
    known = isinstance(pid, int) and isinstance(path, str)
    return InstanceInfo(pid=pid, socket=path) if known else InstanceInfo()
