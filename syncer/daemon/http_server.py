"""Minimal HTTP/1.1 server for the control socket and the metrics port, on `http.server` and `socketserver`.

One request per connection, at most MAX_CONNECTIONS connections, each in a thread; a client that has not sent
its whole request, or not taken its whole response, within `timeout` seconds is cut off. Request bodies need a
Content-Length of at most MAX_BODY bytes. While nothing connects the server thread sleeps in poll(2).
"""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

MAX_BODY: Final = 1 << 16  # bytes
MAX_CONNECTIONS: Final = 32
_MAX_LINE: Final = 1 << 13  # bytes of the request line, and of each header
_MAX_HEADERS: Final = 64
_MAX_REQUEST: Final = 1 << 18  # bytes read of one connection: head, body and what the buffer reads ahead
_MAX_DRAIN: Final = 1 << 20  # bytes of a refused body that are read, so that the client sees the refusal
_GRACE = 0.4  # seconds that responses under way get when the server stops
_RETRY = 0.2  # seconds until the next accept(2) after one that failed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A complete request. `target` is path and query as sent, `host` is "" without a Host header."""

    method: str
    target: str
    host: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A response; `allow` is the Allow header that status 405 requires."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    content_type: str = "application/json"
    allow: str = ""


class HttpError(Exception):
    """The request is malformed, too large or not permitted; answered with `status`."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves a listening socket from construction until `stop`, in threads of its own.

    `answer` makes the response to a request, `refuse` the one to a request that is not valid HTTP. `forbid`
    returns the reason why a connection is refused (403), or None. `renew` is called every `renew_interval`
    seconds with the listening socket and returns the socket to listen at from then on.
    """

    daemon_threads = True

    def __init__(
        self,
        sock: socket.socket,
        answer: Callable[[HttpRequest], HttpResponse],
        refuse: Callable[[HTTPStatus, str], HttpResponse],
        *,
        forbid: Callable[[socket.socket], str | None] = lambda _: None,
        renew: Callable[[socket.socket], socket.socket] | None = None,
        renew_interval: float = 60.0,
        timeout: float = 5.0,
    ) -> None:
        # TCPServer.__init__ would make a socket; everything else in it is BaseServer's.
        socketserver.BaseServer.__init__(self, sock.getsockname(), _Handler)
        self.socket = sock
        self.answer, self.refuse, self.forbid = answer, refuse, forbid
        self.client_timeout = timeout
        self._renew = renew
        self._renew_interval = renew_interval
        self._changed = threading.Condition()  # guards the two below
        self._open: set[socket.socket] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, name="syncer-http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more; responses under way get a moment, then are cut off. Idempotent."""
        with self._changed:
            if self._stopped:
                return
            self._stopped = True
            self._changed.notify_all()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes poll(2) and accept(2) in the server thread
        self._thread.join(_GRACE)
        with self._changed:
            self._shutdown_all(socket.SHUT_RD)  # ends those that still wait for a request
            self._changed.wait_for(lambda: not self._open, _GRACE)
            self._shutdown_all(socket.SHUT_RDWR)

    def _shutdown_all(self, how: int) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(how)

    def _serve(self) -> None:
        renewed = time.monotonic()
        while not self._stopped:
            try:
                if self._renew is not None:
                    self.timeout = max(0.0, renewed + self._renew_interval - time.monotonic())
                self.handle_request()
                if self._renew is not None and time.monotonic() - renewed >= self._renew_interval:
                    renewed = time.monotonic()
                    self.socket = self._renew(self.socket)
            except Exception:  # the server has to answer for months, whatever one turn ended in
                log.exception("unhandled error in the HTTP server; continuing")
                time.sleep(_RETRY)
        self.server_close()

    # -- hooks of socketserver ---------------------------------------------------------------

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection once there is room for one. Raises OSError."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._open) < MAX_CONNECTIONS or self._stopped)
        try:
            connection, address = super().get_request()
        except OSError as error:
            if not self._stopped:  # no descriptors left, most likely: some may be free again later
                log.warning("cannot accept a connection: %s", error)
                time.sleep(_RETRY)
            raise
        with self._changed:
            self._open.add(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the connection gets a thread."""
        return not self._stopped

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, after its response or instead of one."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the exception that a connection ended in."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):  # the client is gone, or was cut off
            log.debug("a connection ended early: %s", error)
        else:
            log.error("a request could not be answered", exc_info=error)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket up to a deadline for the whole request: a client that sends byte by byte gains nothing.

    The end of the stream raises ConnectionError: `http.client` takes a head that breaks off for a complete
    one, and half of `POST /pause` must not pause every job.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._socket = sock
        self._deadline = time.monotonic() + seconds
        self._left = _MAX_REQUEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        count = self._socket.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large")
        if not count:
            raise ConnectionAbortedError("the client closed the connection within its request")
        return count


class _Handler(BaseHTTPRequestHandler):
    """Reads one request and writes its response."""

    server: HttpServer
    protocol_version = request_version = default_request_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_DeadlineReader(self.connection, self.server.client_timeout))

    def handle(self) -> None:
        """Overrides the loop of `http.server`: every method goes to `answer`, and nothing is kept alive."""
        try:
            reason = self.server.forbid(self.connection)
            if reason is not None:
                raise HttpError(HTTPStatus.FORBIDDEN, reason)
            request = self._read_request()
        except HttpError as error:
            self._write(self.server.refuse(error.status, str(error)))
            # Read on for a moment: close(2) over unread bytes would reset the connection and the response.
            self.connection.settimeout(_RETRY)
            left = _MAX_DRAIN
            with suppress(OSError):
                while left > 0 and (count := len(self.connection.recv(min(left, 1 << 16)))):
                    left -= count
            return
        self._write(self.server.answer(request), head_only=request.method == "HEAD")

    def _read_request(self) -> HttpRequest:
        """Raises HttpError; OSError if the client hangs up or is too slow."""
        self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
        too_long = len(self.raw_requestline) > _MAX_LINE
        # `http.server` also answers HTTP/0.9, two words without headers.
        if too_long or len(self.raw_requestline.split()) != 3 or not self.parse_request():
            raise HttpError(HTTPStatus.BAD_REQUEST, "that is no HTTP/1.1 request")
        length = self._content_length()
        return HttpRequest(
            method=self.command,
            target=self.path,
            host=self.headers.get("Host", ""),
            body=self.rfile.read(length),
        )

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by `parse_request`. Raises HttpError: errors are JSON documents here, not HTML pages."""
        raise HttpError(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _content_length(self) -> int:
        """Bytes of the body, after a check of all headers. Raises HttpError."""
        headers = self.headers
        malformed = bool(headers.defects) or any(
            len(headers.get_all(name, ())) > 1 for name in ("Content-Length", "Host")
        )
        # A line feed within a value is a header that goes on in the next line (obs-fold, RFC 9112, 5.2).
        if malformed or any(len(value) > _MAX_LINE or "\n" in value for value in headers.values()):
            raise HttpError(HTTPStatus.BAD_REQUEST, "the head of the request cannot be read")
        if len(headers) > _MAX_HEADERS:
            raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {_MAX_HEADERS} headers")
        if "Transfer-Encoding" in headers:
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "send the body with its Content-Length")
        length = headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise HttpError(HTTPStatus.BAD_REQUEST, f"Content-Length {length[:40]!r} is no length")
        if len(length) > 9 or int(length) > MAX_BODY:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MAX_BODY:,} bytes")
        return int(length)

    def _write(self, response: HttpResponse, *, head_only: bool = False) -> None:
        """Raises OSError, TimeoutError for a client that does not take it."""
        self.send_response_only(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        if response.allow:
            self.send_header("Allow", response.allow)
        self.connection.settimeout(self.server.client_timeout)  # for a whole sendall(), not for each send(2)
        self.end_headers()
        if not head_only:
            self.wfile.write(response.body)
        self.connection.shutdown(socket.SHUT_WR)
