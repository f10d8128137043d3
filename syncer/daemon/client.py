"""Client of the control API: how commands talk to the daemon of a state directory.

`connect` returns None if no daemon runs. After that every failure is an error that names the process it was
talking to. Responses are validated (`status`).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from syncer.daemon.instance import InstanceInfo, address, holder, peer
from syncer.daemon.status import DaemonStatus, JobStatus, daemon_of, jobs_of
from syncer.errors import Busy, SyncerError, UsageError

_SCHEMA: Final = 1
_POLL: Final = 0.05  # seconds
_MAX_RESPONSE: Final = 64 << 20  # bytes
_ERRORS: Final = {2: UsageError, 6: Busy}


def connect(state_dir: Path, *, patience: float = 5.0) -> Client | None:
    """A client for the daemon, None if no daemon runs. Raises StateError."""
    instance = holder(state_dir)
    return Client(state_dir, instance, patience=patience) if instance else None


class Client:
    """The calls of `control_api.Controlled`, made from another process.

    `patience`: seconds that a response may take, beyond the `wait` of the call. All methods raise the errors
    that the daemon responds with, and SyncerError if it does not respond, has ended, or is no daemon.
    """

    def __init__(self, state_dir: Path, instance: InstanceInfo, *, patience: float = 5.0) -> None:
        self._state_dir = state_dir
        self._patience = patience
        self._instance = instance

    @property
    def pid(self) -> int:
        """The process id of the daemon, 0 while it starts."""
        return self._instance.pid

    def status(self) -> DaemonStatus:
        """Status of the daemon and its jobs."""
        document = self._call("GET", "/status")
        try:
            return daemon_of(document)
        except ValueError as error:
            raise self._invalid(str(error)) from None

    def pause(self, jobs: Sequence[str]) -> None:
        """Pause the jobs, () being all. Raises UsageError for a job that the daemon does not run."""
        self._call("POST", "/pause", jobs)

    def resume(self, jobs: Sequence[str]) -> None:
        """Resume the jobs, () being all. Raises UsageError."""
        self._call("POST", "/resume", jobs)

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """Scan everything; returns the status of the jobs afterwards. Raises UsageError, Busy."""
        document = self._call("POST", f"/flush?wait={wait:g}", jobs, wait=wait)
        try:
            return jobs_of(document)
        except ValueError as error:
            raise self._invalid(str(error)) from None

    def reload(self) -> None:
        """Have the config read again. Raises UsageError with what is wrong in it."""
        self._call("POST", "/reload", ())

    def stop(self) -> None:
        """Ask the daemon to end; `ended` waits for that."""
        self._call("POST", "/stop", ())

    def ended(self, *, within: float) -> bool:
        """Wait up to so many seconds for this daemon to end; returns whether it did."""
        deadline = time.monotonic() + within
        while (now := holder(self._state_dir)) and now.pid in (self.pid, 0):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def _call(
        self, method: str, target: str, jobs: Sequence[str] | None = None, *, wait: float = 0.0
    ) -> Mapping[str, object]:
        status, document = self._request(method, target, jobs, wait)
        if not isinstance(document, Mapping) or document.get("schema") != _SCHEMA:
            raise self._invalid(f"its response does not have schema {_SCHEMA}")
        if status == 200:
            return document
        error = document.get("error")
        if not isinstance(error, Mapping) or not isinstance(error.get("exit"), int):
            raise self._invalid(f"status {status} without an error document")
        raised = _ERRORS.get(error["exit"], SyncerError)
        raise raised(str(error.get("message")), hint=str(error.get("hint", "")))

    def _request(
        self, method: str, target: str, jobs: Sequence[str] | None, wait: float
    ) -> tuple[int, object]:
        body = None if jobs is None else {"jobs": list(jobs)}
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return call(self._instance.socket, method, target, body, timeout=self._patience + wait)
            except NotListening as error:
                # The daemon may be starting, or binding its socket again: the lock says where it listens now.
                instance = holder(self._state_dir)
                if instance is None:
                    raise SyncerError(
                        f"the daemon ({self._instance}) has just ended",
                        hint="start it again with: syncer daemon",
                    ) from None
                self._instance = instance
                if time.monotonic() >= deadline:
                    where = instance.socket or "its socket"
                    raise self._unresponsive(f"nobody listens at {where} ({error})") from None
                time.sleep(_POLL)
            except InvalidResponse as error:
                raise self._invalid(str(error)) from None
            except TimeoutError:
                raise self._unresponsive(f"no answer within {self._patience + wait:g} s") from None
            except OSError as error:
                raise SyncerError(
                    f"the daemon ({self._instance}) ended while it was asked: {error.strerror or error}",
                    hint="its log says why; syncer status says whether one runs",
                ) from None

    def _unresponsive(self, reason: str) -> SyncerError:
        instance = self._instance
        stop = f"end it with: kill {instance.pid}" if instance.pid else "end it"
        return SyncerError(
            f"a daemon runs ({instance}), but it does not answer: {reason}",
            hint=f"see its log; if it stays so, {stop}, and start it again",
        )

    def _invalid(self, reason: str) -> SyncerError:
        return SyncerError(
            f"what answers at {self._instance.socket} ({self._instance}) is no daemon of this version: "
            f"{reason}",
            hint="restart the daemon; if there is none, remove that socket",
        )


class NotListening(Exception):
    """No process listens at the socket."""


class InvalidResponse(Exception):
    """The process at the socket is no daemon of this user and version."""


class _UnixConnection(HTTPConnection):
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
            raise NotListening(error.strerror or str(error)) from None
        uid = peer(self.sock)
        if uid is not None and uid != os.geteuid():
            raise InvalidResponse(f"it belongs to the user {uid}")


def call(
    path: str, method: str, target: str, body: Mapping[str, object] | None = None, *, timeout: float
) -> tuple[int, object]:
    """One HTTP call over a unix socket: status and JSON document of the response.

    Raises NotListening, InvalidResponse, TimeoutError, OSError.
    """
    connection = _UnixConnection(path, timeout)
    sent = None if body is None else json.dumps(body).encode()
    try:
        with suppress(BrokenPipeError):  # refused before all of it was sent: the response says why
            connection.request(method, target, sent, {"Content-Type": "application/json"} if sent else {})
        with closing(connection.getresponse()) as reply:
            text = reply.read(_MAX_RESPONSE)
        return reply.status, json.loads(text)
    except (HTTPException, ValueError, RecursionError) as error:
        if isinstance(error, ConnectionError):  # http.client.RemoteDisconnected is both
            raise
        raise InvalidResponse(f"{type(error).__name__}: {error}"[:200]) from None
    finally:
        connection.close()
