"""Packets of SFTP version 3 as bytes: numbers, strings, attributes, and a reader that believes nothing.

Pure. Every length that a server names is checked against what is really there before anything is made of it.
Raises MalformedPacket.
"""

from __future__ import annotations

import enum
import stat
import struct
from dataclasses import dataclass

from syncer.errors import PermanentError

VERSION = 3
LARGEST_PACKET = (256 << 10) + 1024  # bytes; OpenSSH sends at most 256 KiB, the draft demands 34,000
_LARGEST_HANDLE = 256  # bytes, by the draft

_UINT32, _UINT64 = struct.Struct(">I"), struct.Struct(">Q")


class MalformedPacket(PermanentError):
    """The server sent bytes that are no SFTP."""

    code = "protocol"


class Type(enum.IntEnum):
    """The first byte of a packet."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(enum.IntEnum):
    """The code of a STATUS packet. FAILURE stands for every errno that has no code of its own."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    UNSUPPORTED = 8


class OpenFlags(enum.IntFlag):
    """How a file is opened. EXCLUSIVE goes with CREATE."""

    READ = 1
    WRITE = 2
    APPEND = 4
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32


_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a server tells of a file, or is to set; None is not told, not set.

    `mode` holds the type of the file too. Times are whole seconds since 1970, 0 to 2**32 - 1.
    """

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    atime: int | None = None
    mtime: int | None = None

    @property
    def is_directory(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return self.mode is not None and stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return self.mode is not None and stat.S_ISLNK(self.mode)

    def encoded(self) -> bytes:
        """As an ATTRS structure. The owner and the two times only go together."""
        flags, parts = 0, []
        if self.size is not None:
            flags |= _SIZE
            parts.append(uint64(self.size))
        if self.uid is not None and self.gid is not None:
            flags |= _OWNER
            parts += [uint32(self.uid), uint32(self.gid)]
        if self.mode is not None:
            flags |= _MODE
            parts.append(uint32(self.mode))
        if self.mtime is not None:
            flags |= _TIMES
            parts += [uint32(self.mtime if self.atime is None else self.atime), uint32(self.mtime)]
        return uint32(flags) + b"".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One entry of a directory; `name` in the bytes of the server."""

    name: bytes
    attributes: Attributes


def uint32(number: int) -> bytes:
    """Big-endian, four bytes."""
    return _UINT32.pack(number)


def uint64(number: int) -> bytes:
    """Big-endian, eight bytes."""
    return _UINT64.pack(number)


def string(data: bytes) -> bytes:
    """With its length before it."""
    return _UINT32.pack(len(data)) + data


class PacketReader:
    """Takes fields from the body of one packet, in order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def rest(self) -> int:
        """Bytes that were not taken yet."""
        return len(self._body) - self._at

    def byte(self) -> int:
        return self._take(1)[0]

    def uint32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def uint64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def string(self) -> bytes:
        return self._take(self.uint32())

    def handle(self) -> bytes:
        """A file or directory handle: an opaque string. Raises MalformedPacket beyond 256 bytes."""
        handle = self.string()
        if len(handle) > _LARGEST_HANDLE:
            raise MalformedPacket(f"the SFTP server sent a handle of {len(handle)} bytes")
        return handle

    def attributes(self) -> Attributes:
        """An ATTRS structure; extended attributes are passed over."""
        flags = self.uint32()
        size = self.uint64() if flags & _SIZE else None
        uid, gid = (self.uint32(), self.uint32()) if flags & _OWNER else (None, None)
        mode = self.uint32() if flags & _MODE else None
        atime, mtime = (self.uint32(), self.uint32()) if flags & _TIMES else (None, None)
        if flags & _EXTENDED:
            for _ in range(self._count(least=8)):
                self.string(), self.string()
        if size is not None and size >= 1 << 63:
            raise MalformedPacket("the SFTP server sent a file size beyond 2**63")
        return Attributes(size=size, uid=uid, gid=gid, mode=mode, atime=atime, mtime=mtime)

    def names(self) -> list[Name]:
        """The entries of a NAME packet; the long form of `ls -l` is passed over."""
        names = []
        for _ in range(self._count(least=12)):
            name, _ = self.string(), self.string()
            names.append(Name(name=name, attributes=self.attributes()))
        return names

    def _count(self, *, least: int) -> int:
        """A number of items that take at least so many bytes each."""
        count = self.uint32()
        if count > self.rest // least:
            raise MalformedPacket(f"the SFTP server announced {count} items in {self.rest} bytes")
        return count

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._body):
            raise MalformedPacket("the SFTP server sent a packet that ends too early")
        data = self._body[self._at : end]
        self._at = end
        return data
