"""A server of one script: what a test wants to be answered, and a record of what was asked."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MIB = 1 << 20


@dataclass
class Says:
    """One answer. Without a Content-Length it comes in chunks; `cut`: the connection ends at once."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    cut: bool = False


Script = Callable[[str, str], Says]


@dataclass
class Hostile:
    """Where it is, and what it was asked: method and path with the query."""

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list)

    def times(self, method: str, part: str) -> int:
        """How often something with this in its path was asked for."""
        return sum(1 for m, path in self.asked if m == method and part in path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self._drain()
        server = self.server
        assert isinstance(server, _Server)
        server.hostile.asked.append((self.command, self.path))
        says = server.script(self.command, self.path)
        if says.cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        try:
            self._say(says)
        except OSError:
            self.close_connection = True  # the client has had enough

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the library's names

    def _say(self, says: Says) -> None:
        whole = "Content-Length" in says.headers
        self.send_response(says.status)
        for name, value in says.headers.items():
            self.send_header(name, value)
        if not whole:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in filter(None, says.body):
            self.wfile.write(piece if whole else b"%x\r\n%b\r\n" % (len(piece), piece))
        if not whole:
            self.wfile.write(b"0\r\n\r\n")

    def _drain(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script
    hostile: Hostile


@contextmanager
def serving(script: Script) -> Iterator[Hostile]:
    """On a free port of this machine, until the end of the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.script = script
    server.hostile = Hostile(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.hostile
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def repeated(head: bytes, unit: bytes, size: int, tail: bytes = b"") -> Iterator[bytes]:
    """`head`, so many bytes of `unit` over and over, `tail`; a MiB at a time."""
    yield head
    piece = unit * (MIB // len(unit))
    for _ in range(size // len(piece) + 1):
        yield piece
    yield tail


def gzipped(pieces: Iterable[bytes]) -> list[bytes]:
    """Small, whatever it was."""
    import io

    held = io.BytesIO()
    with gzip.GzipFile(fileobj=held, mode="wb", compresslevel=6) as file:
        for piece in pieces:
            file.write(piece)
    return [held.getvalue()]


def said(text: bytes, status: int = 200, **headers: str) -> Says:
    """A short answer."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Says(status=status, headers={"Content-Length": str(len(text)), **fields}, body=[text])
