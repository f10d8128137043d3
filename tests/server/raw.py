"""Requests as bytes on a socket, for what no HTTP library would send."""

from __future__ import annotations

import base64
import re
import socket

from tests.server.conftest import Serving

_PATIENCE = 20  # seconds


def connect(server: Serving) -> socket.socket:
    """A connection of its own."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE)


def authorization(server: Serving) -> str:
    """The header that lets in."""
    return (
        "Authorization: Basic "
        + base64.b64encode(f"{server.key}:{server.password}".encode()).decode()
        + "\r\n"
    )


def ask(server: Serving, line: str, *, headers: str = "", body: bytes = b"") -> tuple[int, bytes]:
    """One request with the key, its length added unless `headers` has one; the status and all that came."""
    length = (
        ""
        if re.search("content-length|transfer-encoding", headers, re.IGNORECASE)
        else f"Content-Length: {len(body)}\r\n"
    )
    head = f"{line}\r\nHost: x\r\nConnection: close\r\n{authorization(server)}{length}{headers}\r\n"
    return send(server, head.encode("utf-8") + body)


def send(server: Serving, data: bytes) -> tuple[int, bytes]:
    """Sends it all; the status of the first answer (0: none) and everything after its head, to the end."""
    with connect(server) as sock:
        sock.sendall(data)
        answer = received(sock)
    return status(answer), answer.partition(b"\r\n\r\n")[2]


def received(sock: socket.socket) -> bytes:
    """Everything until the server ends the connection."""
    pieces = []
    try:
        while piece := sock.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pass  # it closed while we were still sending: what came before counts
    return b"".join(pieces)


def status(answer: bytes) -> int:
    """Of an answer's first line; 0 where there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0
