"""Content to and from a server, pipelined: the round trip is paid once for a window of requests, not for
each.

The window is bounded in bytes, so memory is bounded and a slow line is not filled with what nobody waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from syncer.errors import ChangedUnderUs, NotFound, PreconditionFailed, QuotaExceeded, StoreError
from syncer.stores.sftp.client import RemoteFile
from syncer.stores.sftp.connection import EndOfFile, Pending, pipelined
from syncer.stores.sftp.errors import SftpFailure, Unsupported
from syncer.stores.sftp.packets import MalformedPacket, PacketReader, Type

_WINDOW = 4 << 20  # bytes under way
_COPY = 32 << 20  # bytes of one copy-data: the server answers nothing else meanwhile
_COPIES = 16  # of them, or of small ones, under way
_FULL = 1 << 20  # bytes; less free than this is a full disk


def read_range(file: RemoteFile, offset: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes from `offset`, in order, in pieces of at most 128 KiB.

    Raises ChangedUnderUs where the file ends before, StoreError.
    """
    return read_ranges(file, [(offset, size)])


def read_ranges(file: RemoteFile, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of many ranges (offset, size), one after the other, pipelined over all of them."""
    most = file.client.limits.read
    asked: deque[tuple[int, int]] = deque()

    def requests() -> Iterator[Pending]:
        for offset, size in spans:
            for at in range(offset, offset + size, most):
                asked.append((at, min(most, offset + size - at)))
                yield file.read(*asked[-1])

    for answer in pipelined(requests(), max(_WINDOW // most, 2)):
        at, wanted = asked.popleft()
        data = _checked(answer.read_unless_eof(Type.DATA, PacketReader.string), wanted)
        yield data
        # A server may answer with less than was asked for anywhere; only the end of the file has a status.
        got = len(data)
        while got < wanted:
            answer = file.read(at + got, wanted - got)
            data = _checked(answer.read_unless_eof(Type.DATA, PacketReader.string), wanted - got)
            yield data
            got += len(data)


def _checked(data: bytes | None, wanted: int) -> bytes:
    if not data:
        raise ChangedUnderUs("the file on the server became shorter while it was read")
    if len(data) > wanted:
        raise MalformedPacket(f"the SFTP server sent {len(data)} bytes where {wanted} were asked for")
    return data


class FileWriter:
    """Writes and copies into an open file; `finish` returns once the server has answered all of them.

    After an error nothing more is sent, and the file is of no use.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._most = file.client.limits.write
        self._waiting: deque[tuple[Pending, int]] = deque()
        self._cost = 0

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Bytes at an offset. Raises QuotaExceeded, StoreError, of this or an earlier write."""
        view = memoryview(data)
        for at in range(0, len(view), self._most):
            piece = view[at : at + self._most]
            self._sent(self._file.write(offset + at, piece), len(piece))

    def copy(self, origin: RemoteFile, offset: int, size: int, to: int) -> None:
        """Bytes of another open file, copied by the server. Raises PreconditionFailed, and as `write`."""
        for at in range(0, size, _COPY):
            self._sent(
                self._file.copy(origin, offset + at, min(_COPY, size - at), to + at), _WINDOW // _COPIES
            )

    def finish(self) -> None:
        """Wait for every answer. Raises QuotaExceeded, StoreError."""
        while self._waiting:
            self._settle()

    def _sent(self, pending: Pending, cost: int) -> None:
        self._waiting.append((pending, cost))
        self._cost += cost
        while self._cost > _WINDOW:
            self._settle()

    def _settle(self) -> None:
        pending, cost = self._waiting.popleft()
        self._cost -= cost
        try:
            pending.done()
        except SftpFailure as error:
            raise self._named(error) from error
        except EndOfFile as error:
            raise PreconditionFailed("the file on the server ends before the range that is copied") from error

    def _named(self, error: SftpFailure) -> StoreError:
        """OpenSSH answers ENOSPC and EDQUOT by a bare Failure; the file system tells which it was."""
        try:
            free = self._file.client.statvfs(self._file.path).free
        except (SftpFailure, NotFound, Unsupported):
            return error
        if free < _FULL:
            return QuotaExceeded(
                f"{error.message}: the disk of the server is full",
                hint="make room on the server",
                path=error.path,
            )
        return error


def write_chunks(file: RemoteFile, chunks: Iterable[bytes], offset: int = 0) -> int:
    """The chunks one after the other from `offset`; answers where the last one ends. Raises StoreError."""
    writer = FileWriter(file)
    for chunk in chunks:
        writer.write(offset, chunk)
        offset += len(chunk)
    writer.finish()
    return offset
