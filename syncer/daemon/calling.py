"""One HTTP call over a unix socket, to a process of our own.

Kept apart from the client, so that a command which finds no daemon need not load HTTP. What the answer
means is not known here.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from syncer.daemon.place import address, peer

_LARGEST: Final = 64 << 20  # bytes of an answer


class Deaf(Exception):
    """Nobody listens at the socket."""


class Garbled(Exception):
    """Something answers, and it is no daemon of ours."""


class _Unix(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("daemon", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            with address(Path(self._path)) as short:
                self.sock.connect(short)
        except OSError as error:
            raise Deaf(error.strerror or str(error)) from None
        uid = peer(self.sock)
        if uid is not None and uid != os.geteuid():
            raise Garbled(f"it belongs to the user {uid}")


def call(
    path: str, method: str, target: str, body: Mapping[str, object] | None = None, *, timeout: float
) -> tuple[int, object]:
    """Status and document of the answer. Raises Deaf, Garbled, TimeoutError, OSError."""
    connection = _Unix(path, timeout)
    sent = None if body is None else json.dumps(body).encode()
    try:
        with suppress(BrokenPipeError):  # refused before all was sent: the answer says why
            connection.request(method, target, sent, {"Content-Type": "application/json"} if sent else {})
        with closing(connection.getresponse()) as reply:
            text = reply.read(_LARGEST)
        return reply.status, json.loads(text)
    except (HTTPException, ValueError, RecursionError) as error:
        if isinstance(error, ConnectionError):  # `RemoteDisconnected` is both: it ended, or was ended
            raise
        raise Garbled(f"{type(error).__name__}: {error}"[:200]) from None
    finally:
        connection.close()
