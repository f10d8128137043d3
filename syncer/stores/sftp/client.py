"""SFTP operations on paths and handles, with OpenSSH's extensions where the server has them.

Paths are the server's bytes, absolute or relative to the home directory. Everything may be called from
several threads. What a server lacks is known from its greeting (`Extensions`); a call to a missing
extension raises Unsupported before anything is sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from syncer.errors import NotFound, StoreError, Unholdable
from syncer.stores.sftp.connection import Pending, SftpConnection, pipelined
from syncer.stores.sftp.errors import Unsupported
from syncer.stores.sftp.packets import (
    LARGEST_PACKET,
    Attributes,
    MalformedPacket,
    Name,
    OpenFlags,
    PacketReader,
    Type,
    string,
    uint32,
    uint64,
)
from syncer.stores.ssh.command import SshOptions, subsystem_arguments
from syncer.stores.ssh.location import Destination
from syncer.stores.ssh.process import SshProcess

_LEAST_DATA = 32 << 10  # bytes of one read or write that every server takes
_MOST_DATA = 128 << 10  # bytes of one read or write that are asked for: larger ones are no faster
_READDIRS = 8  # READDIR requests under way for one directory; OpenSSH answers with up to 100 names
_MOST_NAMES = 20_000_000  # in one directory; beyond, the server goes in circles


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """Which of OpenSSH's extensions a server announced.

    `posix_rename`: replaces an existing target atomically. `copy_data`: copies ranges between two open files.
    """

    posix_rename: bool = False
    hardlink: bool = False
    fsync: bool = False
    statvfs: bool = False
    limits: bool = False
    copy_data: bool = False
    lsetstat: bool = False
    expand_path: bool = False

    @classmethod
    def of(cls, announced: Mapping[bytes, bytes]) -> Extensions:
        """From the greeting; an extension counts in the version that is spoken here."""
        return cls(
            **{field: announced.get(name) == version for field, (name, version) in _EXTENSIONS.items()}
        )


_EXTENSIONS: dict[str, tuple[bytes, bytes]] = {
    "posix_rename": (b"posix-rename@openssh.com", b"1"),
    "hardlink": (b"hardlink@openssh.com", b"1"),
    "fsync": (b"fsync@openssh.com", b"1"),
    "statvfs": (b"statvfs@openssh.com", b"2"),
    "limits": (b"limits@openssh.com", b"1"),
    "copy_data": (b"copy-data", b"1"),
    "lsetstat": (b"lsetstat@openssh.com", b"1"),
    "expand_path": (b"expand-path@openssh.com", b"1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes of one read and one write, and files open at once (0: the server names no limit)."""

    read: int = _LEAST_DATA
    write: int = _LEAST_DATA
    handles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """What `statvfs` tells, in bytes, for an ordinary user; `read_only` by its mount."""

    size: int
    free: int
    longest_name: int
    read_only: bool


class SftpClient:
    """A session. `connect` starts one through ssh."""

    def __init__(self, connection: SftpConnection) -> None:
        self._connection = connection
        self.extensions = Extensions.of(connection.extensions)
        self.limits = self._limits() if self.extensions.limits else Limits()

    @classmethod
    def connect(cls, at: Destination, options: SshOptions, *, timeout: float = 120.0) -> SftpClient:
        """Log in and greet. `timeout`: seconds that the server may be silent while it owes an answer.

        Raises AuthError, TransientError, PermanentError, ConfigError.
        """
        process = SshProcess(
            subsystem_arguments(at, options, "sftp"),
            host=str(at),
            program="sftp",
            own_session=options.batch,
            timeout=timeout,
        )
        return cls(SftpConnection(process, timeout=timeout))

    @property
    def connection(self) -> SftpConnection:
        return self._connection

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- Looking ----------------------------------------------------------------

    def lstat(self, path: bytes) -> Attributes:
        """A symlink is not followed. Raises NotFound, Unreadable, TransientError."""
        return self._call(Type.LSTAT, string(path), path).read(Type.ATTRS, PacketReader.attributes)

    def lstat_many(self, paths: Iterator[bytes], window: int = 64) -> Iterator[Attributes | StoreError]:
        """`lstat` of each path in order, pipelined; an error is a value in its place."""
        sent = (self._call(Type.LSTAT, string(path), path) for path in paths)
        for pending in pipelined(sent, window):
            try:
                yield pending.read(Type.ATTRS, PacketReader.attributes)
            except StoreError as error:
                if self._connection.broken:
                    raise
                yield error

    def stat(self, path: bytes) -> Attributes:
        """What a symlink leads to."""
        return self._call(Type.STAT, string(path), path).read(Type.ATTRS, PacketReader.attributes)

    def exists(self, path: bytes) -> bool:
        """Whether the name is taken, by whatever. Raises where that cannot be told."""
        try:
            self.lstat(path)
        except NotFound:
            return False
        return True

    def listdir(self, path: bytes) -> Iterator[Name]:
        """The names of a directory, complete when the iterator ends, `.` and `..` left out.

        Raises NotFound, Unreadable, TransientError, and MalformedPacket for what cannot be one name.
        """
        opened = self._call(Type.OPENDIR, string(path), path)
        handle = opened.read(Type.HANDLE, PacketReader.handle)
        try:
            yield from self._names(handle, path)
        finally:
            self._close_quietly(handle)

    def _names(self, handle: bytes, path: bytes) -> Iterator[Name]:
        count, ended = 0, False

        def sent() -> Iterator[Pending]:
            # One request at first: nearly all directories are small, and each request too many is a round
            # trip of the server's own. The window opens as soon as a directory is not.
            while not ended:
                yield self._call(Type.READDIR, string(handle), path)

        requests = sent()
        first = next(requests).read_unless_eof(Type.NAME, PacketReader.names)
        batches = (p.read_unless_eof(Type.NAME, PacketReader.names) for p in pipelined(requests, _READDIRS))
        names = first
        while names is not None:
            count += len(names)
            if count > _MOST_NAMES or not names:
                raise MalformedPacket("the SFTP server lists a directory without end")
            for name in names:
                if name.name in (b".", b".."):
                    continue
                if not name.name or b"/" in name.name or b"\0" in name.name:
                    raise MalformedPacket(f"the SFTP server listed {name.name!r}, which is no name")
                yield name
            names = next(batches)
        ended = True
        for _ in batches:  # answers to what was asked beyond the end
            pass

    def readlink(self, path: bytes) -> bytes:
        """The text of a symlink."""
        return self._call(Type.READLINK, string(path), path).read(Type.NAME, _only_name)

    def realpath(self, path: bytes) -> bytes:
        """Absolute, symlinks resolved; the last name need not exist."""
        return self._call(Type.REALPATH, string(path), path).read(Type.NAME, _only_name)

    def expand_path(self, path: bytes) -> bytes:
        """`realpath` that knows `~` and `~user` (extension)."""
        return self._extended("expand_path", string(path), path).read(Type.NAME, _only_name)

    def statvfs(self, path: bytes) -> FileSystem:
        """The file system that a path stands on (extension)."""
        return self._extended("statvfs", string(path), path).read(Type.EXTENDED_REPLY, _file_system)

    # -- Names ------------------------------------------------------------------

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """Raises SftpFailure where the name is taken, NotFound where the parent is missing."""
        self._call(Type.MKDIR, string(path) + Attributes(mode=mode).encoded(), path).done()

    def rmdir(self, path: bytes) -> None:
        """Raises SftpFailure where anything is in it."""
        self._call(Type.RMDIR, string(path), path).done()

    def remove(self, path: bytes) -> None:
        """A file or a symlink."""
        self._call(Type.REMOVE, string(path), path).done()

    def rename(self, origin: bytes, path: bytes) -> None:
        """The protocol's own rename. OpenSSH refuses an existing target (SftpFailure); others replace it."""
        self._call(Type.RENAME, string(origin) + string(path), path).done()

    def posix_rename(self, origin: bytes, path: bytes) -> None:
        """rename(2): an existing file at the target is replaced atomically (extension)."""
        self._extended("posix_rename", string(origin) + string(path), path).done()

    def hardlink(self, origin: bytes, path: bytes) -> None:
        """link(2): a second name for a file; the target must be free (extension)."""
        self._extended("hardlink", string(origin) + string(path), path).done()

    def symlink(self, target: bytes, path: bytes) -> None:
        """OpenSSH takes the two in the order of symlink(2), against the draft; so do those who imitate it."""
        self._call(Type.SYMLINK, string(target) + string(path), path).done()

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        """Follows symlinks."""
        self._call(Type.SETSTAT, string(path) + attributes.encoded(), path).done()

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        """Does not follow symlinks (extension)."""
        self._extended("lsetstat", string(path) + attributes.encoded(), path).done()

    # -- Open files -------------------------------------------------------------

    def open(self, path: bytes, flags: OpenFlags, attributes: Attributes | None = None) -> RemoteFile:
        """Raises NotFound, Unreadable, SftpFailure (an EXCLUSIVE name is taken; too many files are open)."""
        body = string(path) + uint32(flags) + (attributes or Attributes()).encoded()
        opened = self._call(Type.OPEN, body, path)
        return RemoteFile(self, opened.read(Type.HANDLE, PacketReader.handle), path)

    def _call(self, type_: Type, body: bytes, path: bytes) -> Pending:
        if b"\0" in path:
            raise Unholdable("a path cannot contain a NUL")
        if len(body) > LARGEST_PACKET - 1024:
            raise Unholdable("the path is too long for one SFTP packet")
        return self._connection.request(type_, body, path=path)

    def _extended(self, field: str, body: bytes, path: bytes) -> Pending:
        name, _ = _EXTENSIONS[field]
        if not getattr(self.extensions, field):
            raise Unsupported(f"the SFTP server has no {name.decode()}")
        return self._connection.extended(name, body, path=path)

    def _close_quietly(self, handle: bytes) -> None:
        """Nothing hangs on closing what was only read; a broken connection closed it anyway."""
        with contextlib.suppress(StoreError):
            self._call(Type.CLOSE, string(handle), b"").done()

    def _limits(self) -> Limits:
        packet, read, write, handles = self._extended("limits", b"", b"").read(
            Type.EXTENDED_REPLY, lambda reader: tuple(reader.uint64() for _ in range(4))
        )
        del packet
        return Limits(
            read=min(max(read, _LEAST_DATA), _MOST_DATA),
            write=min(max(write, _LEAST_DATA), _MOST_DATA),
            handles=handles,
        )


class RemoteFile:
    """An open file of the server, at offsets; requests are only sent here, and waited for by the caller."""

    def __init__(self, client: SftpClient, handle: bytes, path: bytes) -> None:
        self.client = client
        self.path = path
        self._handle = string(handle)
        self._open = True

    def read(self, offset: int, size: int) -> Pending:
        """Ask for bytes. A server may answer with fewer (`files.read_ranges` asks again)."""
        return self._call(Type.READ, self._handle + uint64(offset) + uint32(size))

    def write(self, offset: int, data: bytes | memoryview) -> Pending:
        """At most `Limits.write` bytes."""
        return self._call(Type.WRITE, self._handle + uint64(offset) + string(bytes(data)))

    def copy(self, origin: RemoteFile, offset: int, size: int, to: int) -> Pending:
        """Bytes of another open file into this one, at the server (extension). `size` must not be 0."""
        if size <= 0:
            raise ValueError("a copy-data of 0 bytes copies everything to the end of the file")
        body = origin._handle + uint64(offset) + uint64(size) + self._handle + uint64(to)
        return self.client._extended("copy_data", body, self.path)

    def fsync(self) -> None:
        """Returns once the content is durable (extension)."""
        self.client._extended("fsync", self._handle, self.path).done()

    def stat(self) -> Attributes:
        return self._call(Type.FSTAT, self._handle).read(Type.ATTRS, PacketReader.attributes)

    def setstat(self, attributes: Attributes) -> None:
        """Size, mode, owner, times."""
        self._call(Type.FSETSTAT, self._handle + attributes.encoded()).done()

    def close(self) -> None:
        """Some servers tell of a failed write only here. Raises StoreError. May be called again."""
        if self._open:
            self._open = False
            self._call(Type.CLOSE, self._handle).done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What went wrong within is what counts, not that the close fails after it."""
        with contextlib.suppress(*((StoreError,) if kind else ())):
            self.close()

    def _call(self, type_: Type, body: bytes) -> Pending:
        return self.client.connection.request(type_, body, path=self.path)


def _only_name(reader: PacketReader) -> bytes:
    names = reader.names()
    if len(names) != 1:
        raise MalformedPacket(f"the SFTP server answered with {len(names)} names, not one")
    return names[0].name


def _file_system(reader: PacketReader) -> FileSystem:
    """The reply of statvfs@openssh.com: eleven numbers of eight bytes."""
    _, fragment, blocks, _, available, *_, flags, longest = (reader.uint64() for _ in range(11))
    return FileSystem(
        size=blocks * fragment, free=available * fragment, longest_name=longest, read_only=bool(flags & 1)
    )
