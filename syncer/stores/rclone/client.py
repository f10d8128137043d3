"""HTTP client of rclone's remote control API on loopback: JSON in, JSON out, one connection for each call
under way.

A call returns when rclone is done, however long an upload takes; closing its connection makes rclone stop
it and remove what it wrote so far. Answers are bounded. Nothing is sent twice here: rclone retries requests
to the service by itself, and a call that broke off may have had its effect.
"""

from __future__ import annotations

import base64
import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from syncer.errors import ConfigError, PermanentError, StoreError, TransientError
from syncer.stores.rclone.errors import call_error
from syncer.stores.rclone.process import RcloneDaemon

_LARGEST = 1 << 30  # bytes of one answer
_PIECE = 1 << 20
_LOOK = 2.0  # seconds between looks at whether rclone still runs
_STALL = 120.0  # seconds within an answer that has begun
_IDLE = 8  # connections that are kept for the next call

Json: TypeAlias = Mapping[str, Any]


class RcloneClient:
    """Calls to one running rclone, from any number of threads."""

    def __init__(self, daemon: RcloneDaemon) -> None:
        self._daemon = daemon
        login = base64.b64encode(f"{daemon.user}:{daemon.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    def call(self, method: str, parameters: Json, *, path: str = "", timeout: float | None = None) -> Json:
        """One call. `path` is what it is about, for messages; `timeout` in seconds (None: as long as it
        takes).

        Raises the error that rclone's text stands for, TransientError where the connection breaks off.
        """
        headers = {**self._headers, "Content-Type": "application/json"}
        connection = self._connection()
        reusable = False
        try:
            connection.request("POST", f"/{method}", json.dumps(parameters), headers)
            self._await(connection, method, timeout)
            response = connection.getresponse()
            body = _bounded(response, method)
            reusable = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(method, path, error) from error
        finally:
            self._give_back(connection, reusable=reusable)
        document = _parsed(body, response.status, method)
        if response.status != 200:
            said = document.get("error")
            remote = str(parameters.get("fs") or parameters.get("dstFs") or "").partition(":")[0]
            text = said if isinstance(said, str) else ""
            raise call_error(response.status, text, method=method, path=path, remote=remote)
        return document

    def read_range(self, fs: str, path: str, offset: int, size: int) -> Iterator[bytes]:
        """Exactly these bytes of a file, which must have them; in pieces of at most 1 MiB.

        Raises NotFound, TransientError (also where the file turned out to be shorter), PermanentError.
        """
        if size <= 0:
            return
        headers = {**self._headers, "Range": f"bytes={offset}-{offset + size - 1}"}
        connection = self._connection()
        try:
            connection.request("GET", f"/{quote(f'[{fs}]', safe='')}/{quote(path)}", headers=headers)
            self._await(connection, "read", None)
            response = connection.getresponse()
            # 200 is the whole file: right only if the whole file was asked for.
            if response.status != 206 and not (
                response.status == 200 and response.length == size and offset == 0
            ):
                said = response.read(_PIECE).decode("utf-8", "replace")
                if response.status == 200:
                    raise PermanentError(f"{path}: rclone ignores byte ranges", path=path)
                raise call_error(response.status, said, method="read", path=path, remote=fs.partition(":")[0])
            left = size
            while left:
                data = response.read(min(_PIECE, left))
                if not data:
                    raise TransientError(f"{path}: rclone sent less than was asked for", path=path)
                left -= len(data)
                yield data
        except (OSError, http.client.HTTPException) as error:
            raise self._broken("read", path, error) from error
        finally:
            self._give_back(connection, reusable=False)

    def close(self) -> None:
        """Stop every call under way. The daemon is closed by its owner."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for connection in idle:
            connection.close()
        for connection in busy:  # its own thread closes it
            _shut(connection)

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._closed:
                raise TransientError("the connection to rclone was closed")
            found = (
                self._idle.pop()
                if self._idle
                else http.client.HTTPConnection("127.0.0.1", self._daemon.port, timeout=_STALL)
            )
            self._busy.add(found)
            return found

    def _give_back(self, connection: http.client.HTTPConnection, *, reusable: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if reusable and not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _await(self, connection: http.client.HTTPConnection, method: str, timeout: float | None) -> None:
        """Wait until an answer begins. Raises TransientError at the time-out, or when rclone is gone."""
        waiting = select.poll()
        waiting.register(connection.sock, select.POLLIN)
        waited = 0.0
        while not waiting.poll(_LOOK * 1000):
            waited += _LOOK
            if not self._daemon.alive:
                raise TransientError(f"rclone ended during {method}")
            if timeout is not None and waited >= timeout:
                raise TransientError(f"rclone did not answer {method} within {timeout:g} s")

    def _broken(self, method: str, path: str, error: Exception) -> StoreError | ConfigError:
        """rclone 1.60 ends where its configuration cannot be decrypted: its log has the reason."""
        last = self._daemon.log.splitlines()[-1:] or [str(error)]
        if "decrypt" in self._daemon.log:
            return call_error(500, "unable to decrypt", method=method, path=path, remote="")
        return TransientError(f"the connection to rclone broke off during {method}: {last[0]}", path=path)


def _shut(connection: http.client.HTTPConnection) -> None:
    """From another thread than the one that waits in it: `close` alone would not wake that."""
    try:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _bounded(response: http.client.HTTPResponse, method: str) -> bytes:
    parts, size = [], 0
    while data := response.read(_PIECE):
        size += len(data)
        if size > _LARGEST:
            raise PermanentError(f"rclone answers {method} with more than {_LARGEST >> 30} GiB")
        parts.append(data)
    return b"".join(parts)


def _parsed(body: bytes, status: int, method: str) -> Json:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        if status != 200:
            return {}
        raise PermanentError(f"rclone answers {method} with something else than JSON") from error
    if not isinstance(document, dict):
        raise PermanentError(f"rclone answers {method} with something else than an object")
    return document
