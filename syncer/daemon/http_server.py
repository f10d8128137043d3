"""A small HTTP server on one socket: one request a connection, few of them, and no wait for a silent one.

Made for a control socket, not for the world: it knows `Content-Length` bodies of 64 KiB and nothing of
keep-alive. It blocks until something comes; what is answered is its caller's affair (`Answer`).
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader
from typing import Final

MOST_BODY: Final = 1 << 16
MOST_CONNECTIONS: Final = 32
_MOST_LINE: Final = 1 << 13
_MOST_HEADERS: Final = 64
_ONCE: Final = ("content-length", "host")
_DRAINED: Final = 1 << 20  # bytes of a refused body that are read, so that the refusal is
_GRACE = 0.4  # seconds that answers on their way have when it stops
_NAP = 0.2  # seconds until it accepts again after it could not

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What somebody asks. `host` is "" where it was not sent."""

    method: str
    target: str  # path and query, as sent
    host: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What is answered; `allow` goes with 405."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    kind: str = "application/json"
    allow: str = ""


class HttpError(Exception):
    """A request that cannot be read, or is none."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


Answer = Callable[[HttpRequest], HttpResponse]
Refuse = Callable[[HTTPStatus, str], HttpResponse]


class HttpServer:
    """Answers until `stop`. `patience` in seconds: for a request to come, and for its answer to be taken.

    `admit` says why a connection is not answered, None if it is. `renew` is called now and then with the
    listening socket, and may give another one in its place.
    """

    def __init__(
        self,
        sock: socket.socket,
        answer: Answer,
        refuse: Refuse,
        *,
        admit: Callable[[socket.socket], str | None] = lambda _: None,
        renew: Callable[[socket.socket], socket.socket] | None = None,
        every: float = 60.0,
        patience: float = 5.0,
    ) -> None:
        self._socket = sock
        self._answer = answer
        self._refuse = refuse
        self._admit = admit
        self._renew = renew
        self._every = every
        self._patience = patience
        self._lock = threading.Lock()
        self._open: dict[socket.socket, _Connection] = {}
        self._stopped = False
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        sock.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name="syncer-listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more connections; answers on their way have a moment. Again: nothing."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        self.ring()
        self._thread.join(_GRACE)
        with self._lock:
            last = list(self._open.values())
        for connection in last:
            connection.hush(socket.SHUT_RD)
        end = time.monotonic() + _GRACE
        for connection in last:
            connection.thread.join(max(0.0, end - time.monotonic()))
            connection.hush(socket.SHUT_RDWR)
        self._bell.close()

    # -- the thread that accepts -----------------------------------------------------

    def _serve(self) -> None:
        renewed = time.monotonic()
        while not self._stopped:
            try:
                if self._renew and time.monotonic() - renewed >= self._every:
                    renewed = time.monotonic()
                    self._socket = self._renew(self._socket)
                    self._socket.setblocking(False)
                self._turn(None if self._renew is None else renewed + self._every)
            except Exception:  # whatever it is, in a month somebody will want to ask again
                log.exception("the listener stumbled")
                time.sleep(_NAP)
        self._socket.close()
        self._ear.close()

    def _turn(self, wake: float | None) -> None:
        """Waits for what comes first: a connection, a deadline, the bell."""
        with self._lock:
            ends = [c.deadline for c in self._open.values() if c.deadline is not None]
            full = len(self._open) >= MOST_CONNECTIONS
        nearest = min([*ends, *([] if wake is None else [wake])], default=None)
        with selectors.PollSelector() as selector:  # needs no descriptor: there may be none left
            selector.register(self._ear, selectors.EVENT_READ)
            if not full:
                selector.register(self._socket, selectors.EVENT_READ)
            left = None if nearest is None else max(0.0, nearest - time.monotonic())
            ready = [key.fileobj for key, _ in selector.select(left)]
        if self._ear in ready:
            self._ear.recv(4096)
        self._end_overdue()
        if self._socket in ready and not self._stopped:
            self._accept()

    def _end_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [c for c in self._open.values() if c.deadline is not None and c.deadline <= now]
        for connection in late:
            connection.deadline = None
            connection.hush(socket.SHUT_RDWR)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptors left: it may get better
            log.warning("cannot accept a connection: %s", error)
            time.sleep(_NAP)
            return
        sock.setblocking(True)
        connection = _Connection(sock, self)
        with self._lock:
            self._open[sock] = connection
        try:
            connection.thread.start()
        except RuntimeError as error:  # no threads left
            log.warning("cannot answer a connection: %s", error)
            self.closed(sock)
            time.sleep(_NAP)

    def ring(self) -> None:
        """Wakes the thread that accepts: a deadline is new, or a place is free."""
        with suppress(OSError):  # full: it rings already
            self._bell.send(b"!")

    # -- the threads that answer -----------------------------------------------------

    def closed(self, sock: socket.socket) -> None:
        """A connection has ended."""
        with self._lock:
            self._open.pop(sock, None)
        sock.close()
        self.ring()

    def exchange(self, connection: _Connection, sock: socket.socket) -> None:
        """One request, one answer."""
        why_not = self._admit(sock)
        with sock.makefile("rb") as file:
            try:
                if why_not is not None:
                    raise HttpError(HTTPStatus.FORBIDDEN, why_not)
                request = _read(file, sock)
            except HttpError as refused:
                connection.write(self._refuse(refused.status, str(refused)), until=self._soon())
                _drain(sock)
                return
            if request is not None:
                connection.deadline = None  # it is our turn, and the answer may be waited for
                reply = self._answer(request)
                connection.write(reply, head_only=request.method == "HEAD", until=self._soon())

    def _soon(self) -> float:
        return time.monotonic() + self._patience

    @property
    def patience(self) -> float:
        return self._patience


class _Connection:
    """One of them. `deadline`: when it is cut off, on the monotonic clock."""

    def __init__(self, sock: socket.socket, owner: HttpServer) -> None:
        self._socket = sock
        self._owner = owner
        self.deadline: float | None = time.monotonic() + owner.patience
        self.thread = threading.Thread(target=self._run, name="syncer-answer", daemon=True)

    def hush(self, how: int) -> None:
        """Ends reading, or all: whoever is blocked in it goes on at once."""
        with suppress(OSError):
            self._socket.shutdown(how)

    def write(self, reply: HttpResponse, *, until: float, head_only: bool = False) -> None:
        """Raises OSError."""
        self.deadline = until
        self._owner.ring()
        head = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Content-Type: {reply.kind}",
            f"Content-Length: {len(reply.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        head += [f"Allow: {reply.allow}"] if reply.allow else []
        sent = "\r\n".join([*head, "", ""]).encode("ascii")
        self._socket.sendall(sent if head_only else sent + reply.body)
        self._socket.shutdown(socket.SHUT_WR)

    def _run(self) -> None:
        try:
            self._owner.exchange(self, self._socket)
        except OSError as error:  # gone, or cut off
            log.debug("a connection ended early: %s", error)
        except Exception:
            log.exception("a request could not be answered")
        finally:
            self._owner.closed(self._socket)


def _read(file: BufferedReader, sock: socket.socket) -> HttpRequest | None:
    """The request, None for somebody who hung up before its end. Raises Refused, OSError."""
    line = file.readline(_MOST_LINE + 1)
    headers = _headers(file) if line.endswith(b"\n") else None
    if headers is None and len(line) <= _MOST_LINE:
        return None
    words = line.decode("latin-1").split()
    if headers is None or len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise HttpError(HTTPStatus.BAD_REQUEST, "that is no HTTP/1.1 request")
    length = _length(headers)
    if headers.get("expect", "").lower() == "100-continue":
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = file.read(length)
    if len(body) < length:
        return None
    return HttpRequest(method=words[0], target=words[1], host=headers.get("host", ""), body=body)


def _headers(file: BufferedReader) -> Mapping[str, str] | None:
    """By their names in small letters; None if they break off: half a request is none. Raises Refused."""
    found: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = file.readline(_MOST_LINE + 1)
        if line in (b"\r\n", b"\n"):
            return found
        if not line.endswith(b"\n") and len(line) <= _MOST_LINE:
            return None
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.lower()
        if not colon or name != name.strip() or len(line) > _MOST_LINE or (name in found and name in _ONCE):
            raise HttpError(HTTPStatus.BAD_REQUEST, "the head of the request cannot be read")
        found[name] = value.strip()
    raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {_MOST_HEADERS} headers")


def _length(headers: Mapping[str, str]) -> int:
    """Bytes of the body. Raises Refused."""
    if "transfer-encoding" in headers:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "send the body with its Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"Content-Length {length[:40]!r} is no length")
    if len(length) > 9 or int(length) > MOST_BODY:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MOST_BODY:,} bytes")
    return int(length)


def _drain(sock: socket.socket) -> None:
    """Reads on for a moment: closed over unread bytes, a socket takes back what it answered."""
    sock.settimeout(_NAP)
    left = _DRAINED
    with suppress(OSError):
        while left > 0 and (got := sock.recv(min(left, 1 << 16))):
            left -= len(got)
