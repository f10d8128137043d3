"""Requests and replies of SFTP on one ssh process: any number of requests from any thread are under way at
once.

A request gets its number and goes out under one lock; a thread reads replies for as long as the connection
lives and hands each to the request of its number. The number of requests under way is bounded, so that a
reply never waits for memory. When the connection breaks, every request under way fails with the reason. A
server that owes an answer and sends nothing for `timeout` seconds is given up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TypeVar

from syncer.errors import ConfigError, StoreError, TransientError
from syncer.stores.sftp.errors import status_error
from syncer.stores.sftp.packets import (
    LARGEST_PACKET,
    VERSION,
    MalformedPacket,
    PacketReader,
    Status,
    Type,
    string,
    uint32,
)
from syncer.stores.ssh.process import SshProcess

_MOST_UNDER_WAY = 256  # requests; a server works on them one by one
_READ = 256 << 10  # bytes read from the pipe at once
_LOGIN = 120.0  # seconds until the server speaks: a person may have to answer ssh's prompt
_MOST_EXTENSIONS = 256
_LOOK = 5.0  # seconds between looks at how long the server has been silent

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Reply:
    """The type and the body of one packet, its number taken off."""

    type: int
    body: bytes


class Pending:
    """A request that was sent and not waited for yet. `path` is for messages."""

    def __init__(self, connection: SftpConnection, future: Future[Reply], type_: Type, path: bytes) -> None:
        self._connection = connection
        self._future = future
        self._type = type_
        self._path = path

    def done(self) -> None:
        """Wait until it succeeded. Raises what `errors.status_error` makes of any other answer."""
        self._body(Type.STATUS)

    def read(self, wanted: Type, parse: Callable[[PacketReader], ResultT]) -> ResultT:
        """Wait for a reply of the type `wanted`, and read it. Raises StoreError."""
        return parse(PacketReader(self._body(wanted)))

    def read_unless_eof(self, wanted: Type, parse: Callable[[PacketReader], ResultT]) -> ResultT | None:
        """The same; None where the server says that there is no more."""
        try:
            return self.read(wanted, parse)
        except EndOfFile:
            return None

    def _body(self, wanted: Type) -> bytes:
        reply = self._wait()
        if reply.type == Type.STATUS:
            reader = PacketReader(reply.body)
            code = reader.uint32()
            if code == Status.OK and wanted is Type.STATUS:
                return b""
            said = reader.string() if reader.rest else b""
            if code == Status.EOF:
                raise EndOfFile("the SFTP server answered end of file")
            if code == Status.OK:
                raise MalformedPacket("the SFTP server answered OK without what was asked for")
            raise status_error(code, said, self._path, reading=self._type in _READING)
        if reply.type != wanted:
            raise MalformedPacket(
                f"the SFTP server answered {self._type.name} by a packet of type {reply.type}"
            )
        return reply.body

    def settle(self) -> None:
        """Wait until it was answered, whatever the answer is."""
        try:
            self._wait()
        except (StoreError, ConfigError):
            pass

    def _wait(self) -> Reply:
        while True:
            try:
                return self._future.result(_LOOK)
            except FutureTimeout:
                self._connection.give_up_if_silent()


class EndOfFile(MalformedPacket):
    """STATUS 1: no bytes at an offset (READ, copy-data), no more names (READDIR); never an absence."""


_READING = frozenset(
    {Type.READ, Type.LSTAT, Type.STAT, Type.FSTAT, Type.OPENDIR, Type.READDIR, Type.READLINK, Type.REALPATH}
)


class SftpConnection:
    """An SFTP session on a process whose stdin and stdout are the protocol."""

    def __init__(self, process: SshProcess, *, timeout: float = 120.0) -> None:
        """Exchange the versions. Raises AuthError, TransientError, PermanentError, ConfigError."""
        self._process = process
        self._timeout = timeout
        # Two locks: a thread that waits for room in the pipe must not keep the reader from taking replies, or
        # the server, which waits for its replies to be taken, would never make that room.
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._under_way: dict[int, Future[Reply]] = {}
        self._room = threading.Semaphore(_MOST_UNDER_WAY)
        self._next = 0
        self._heard = time.monotonic()
        self._broken: StoreError | ConfigError | None = None
        self._buffer = bytearray()
        self.sent = 0  # bytes of the protocol in each direction, for statistics
        self.received = 0
        try:
            self.extensions: Mapping[bytes, bytes] = self._hello()
        except BaseException:
            process.close()
            raise
        self._reader = threading.Thread(target=self._receive, name=f"sftp-{process.host}", daemon=True)
        self._reader.start()

    @property
    def host(self) -> str:
        return self._process.host

    @property
    def broken(self) -> bool:
        """Whether the connection ended; every further request fails."""
        return self._broken is not None

    def request(self, type_: Type, body: bytes, *, path: bytes = b"") -> Pending:
        """Send a request; blocks while too many are under way. Raises why the connection is broken."""
        while not self._room.acquire(timeout=_LOOK):
            self.give_up_if_silent()
        future: Future[Reply] = Future()
        with self._sending:
            with self._lock:
                if self._broken is not None:
                    self._room.release()
                    raise _copy(self._broken)
                number = self._next
                self._next = (number + 1) & 0xFFFFFFFF
                if not self._under_way:
                    self._heard = time.monotonic()
                self._under_way[number] = future
            self._send(bytes([type_]) + uint32(number) + body)
        return Pending(self, future, type_, path)

    def extended(self, name: bytes, body: bytes, *, path: bytes = b"") -> Pending:
        """Send an extended request."""
        return self.request(Type.EXTENDED, string(name) + body, path=path)

    def give_up_if_silent(self) -> None:
        """End the connection if the server owes an answer and sent nothing for the time-out."""
        if self._under_way and time.monotonic() - self._heard > self._timeout:
            said = f"{self.host} did not answer for {self._timeout:g} s"
            self._break(TransientError(said, hint="the connection was ended; run again"))
            self._process.kill()

    def close(self) -> None:
        """End the session and ssh. Requests under way fail. May be called again."""
        self._break(TransientError(f"the connection to {self.host} was closed"))
        self._process.close()
        self._reader.join(_LOOK)

    def _hello(self) -> dict[bytes, bytes]:
        """INIT and VERSION, which brings the extensions."""
        self._send(bytes([Type.INIT]) + uint32(VERSION))
        reader = PacketReader(self._read_packet(_LOGIN))
        if reader.byte() != Type.VERSION or reader.uint32() < VERSION:
            raise MalformedPacket(f"{self.host} does not speak version {VERSION} of SFTP")
        self._process.established = True
        found: dict[bytes, bytes] = {}
        while reader.rest and len(found) < _MOST_EXTENSIONS:
            name = reader.string()
            found[name] = reader.string()
        return found

    def _send(self, packet: bytes) -> None:
        """Write a whole packet, or end the connection: what follows half of one could not be understood."""
        self.sent += len(packet) + 4
        try:
            self._process.write(uint32(len(packet)) + packet)
        except (StoreError, ConfigError) as error:
            self._break(error)
            raise
        except BaseException:  # a signal's exception, somewhere within the packet
            self._break(TransientError(f"the connection to {self.host} was interrupted"))
            self._process.kill()
            raise

    def _read_packet(self, timeout: float | None) -> bytes:
        """One whole packet without its length. Raises the reason for which the stream ended."""
        while (size := self._announced()) is None or len(self._buffer) < 4 + size:
            data = self._process.read(_READ, timeout)
            if not data:
                raise self._process.failure(b"" if self._process.established else bytes(self._buffer))
            self.received += len(data)
            self._buffer += data
        packet = bytes(memoryview(self._buffer)[4 : 4 + size])
        del self._buffer[: 4 + size]
        return packet

    def _announced(self) -> int | None:
        """The length of the packet at the head of the buffer; None while less than four bytes are there."""
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if 1 <= size <= LARGEST_PACKET:
            return size
        if self._process.established:
            raise MalformedPacket(f"the SFTP server announced a packet of {size} bytes")
        raise self._process.failure(bytes(self._buffer))  # text: four letters are a length beyond all bounds

    def _receive(self) -> None:
        """Hand out replies until the connection ends (a thread of its own)."""
        try:
            while True:
                reader = PacketReader(packet := self._read_packet(None))
                kind, number = reader.byte(), reader.uint32()
                self._heard = time.monotonic()
                with self._lock:
                    future = self._under_way.pop(number, None)
                if future is None:
                    raise MalformedPacket("the SFTP server answered a request that was never sent")
                self._room.release()
                future.set_result(Reply(kind, packet[5:]))
        except (StoreError, ConfigError) as error:
            self._break(error)
            self._process.kill()

    def _break(self, error: StoreError | ConfigError) -> None:
        """Fail everything under way; the first reason stands."""
        with self._lock:
            self._broken = self._broken or error
            futures, self._under_way = list(self._under_way.values()), {}
        for future in futures:
            self._room.release()
            future.set_exception(_copy(self._broken))


def _copy(error: StoreError | ConfigError) -> StoreError | ConfigError:
    """One for each thread that it is raised in: a traceback grows with every raise."""
    return type(error)(error.message, hint=error.hint, path=error.path)


def pipelined(requests: Iterable[Pending], window: int) -> Iterator[Pending]:
    """The requests in order; up to `window` of them are under way while the first is waited for.

    An iterator that is left early waits for the rest, so that no handle is closed under a request.
    """
    waiting: deque[Pending] = deque()
    try:
        for request in requests:
            waiting.append(request)
            if len(waiting) >= window:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for request in waiting:
            request.settle()
