"""Talking to the daemon of a state directory, from another process.

`connect` answers None where none runs; from there on everything that goes wrong is an error which says which
process was asked. What is answered is checked (`status`).
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
from syncer.daemon.status import DaemonStatus, JobStatus
from syncer.errors import Busy, SyncerError, UsageError

_SCHEMA: Final = 1
_NAP: Final = 0.05  # seconds
_ERRORS: Final = {2: UsageError, 6: Busy}


def connect(state_dir: Path, *, patience: float = 5.0) -> Client | None:
    """A client for the daemon, None if no daemon runs. Raises StateError."""
    found = holder(state_dir)
    return Client(state_dir, found, patience=patience) if found else None


class Client:
    """The calls of `control.Controlled`, made from another process.

    `patience`: seconds that an answer may take, beyond what was asked to be waited for. All methods raise
    SyncerError where the daemon is deaf, has ended, or is none; and the errors that it answers with.
    """

    def __init__(self, state_dir: Path, found: InstanceInfo, *, patience: float = 5.0) -> None:
        self._state_dir = state_dir
        self._patience = patience
        self._holder = found

    @property
    def pid(self) -> int:
        """The daemon's process, 0 if it did not say so yet."""
        return self._holder.pid

    def standing(self) -> DaemonStatus:
        """How it stands."""
        from syncer.daemon.status import daemon_of

        document = self._call("GET", "/status")
        try:
            return daemon_of(document)
        except ValueError as error:
            raise self._strange(str(error)) from None

    def pause(self, jobs: Sequence[str]) -> None:
        """Raises UsageError for a job that the daemon does not know."""
        self._call("POST", "/pause", jobs)

    def resume(self, jobs: Sequence[str]) -> None:
        """Raises UsageError."""
        self._call("POST", "/resume", jobs)

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """How they stand afterwards. Raises UsageError, Busy."""
        from syncer.daemon.status import jobs_of

        document = self._call("POST", f"/flush?wait={wait:g}", jobs, wait=wait)
        try:
            return jobs_of(document)
        except ValueError as error:
            raise self._strange(str(error)) from None

    def reload(self) -> None:
        """Raises UsageError with what is wrong in the config."""
        self._call("POST", "/reload", ())

    def stop(self) -> None:
        """Asks it to end; see `ended`."""
        self._call("POST", "/stop", ())

    def ended(self, *, within: float) -> bool:
        """Whether this daemon ended within so many seconds."""
        end = time.monotonic() + within
        while (now := holder(self._state_dir)) and now.pid in (self.pid, 0):
            if time.monotonic() >= end:
                return False
            time.sleep(_NAP)
        return True

    def _call(
        self, method: str, target: str, jobs: Sequence[str] | None = None, *, wait: float = 0.0
    ) -> Mapping[str, object]:
        status, document = self._answer(method, target, jobs, wait)
        if not isinstance(document, Mapping) or document.get("schema") != _SCHEMA:
            raise self._strange(f"its answer is none of schema {_SCHEMA}")
        if status == 200:
            return document
        told = document.get("error")
        if not isinstance(told, Mapping) or not isinstance(told.get("exit"), int):
            raise self._strange(f"it answers {status} without an error of ours")
        raise _ERRORS.get(told["exit"], SyncerError)(str(told.get("message")), hint=str(told.get("hint", "")))

    def _answer(
        self, method: str, target: str, jobs: Sequence[str] | None, wait: float
    ) -> tuple[int, object]:

        body = None if jobs is None else {"jobs": list(jobs)}
        end = time.monotonic() + self._patience
        while True:
            try:
                return call(self._holder.socket, method, target, body, timeout=self._patience + wait)
            except NotListening as deaf:
                self._wait(str(deaf), end)
            except InvalidResponse as garbled:
                raise self._strange(str(garbled)) from None
            except TimeoutError:
                raise self._silent(f"no answer within {self._patience + wait:g} s") from None
            except OSError as error:
                raise SyncerError(
                    f"the daemon ({self._holder}) ended while it was asked: {error.strerror or error}",
                    hint="its log says why; syncer status says whether one runs",
                ) from None

    def _wait(self, why: str, end: float) -> None:
        """It may just start, or renew its socket: ask again, where the lock says, as long as there is one."""
        now = holder(self._state_dir)
        if now is None:
            raise SyncerError(
                f"the daemon ({self._holder}) has just ended", hint="start it again with: syncer daemon"
            )
        self._holder = now
        if time.monotonic() >= end:
            raise self._silent(f"nobody listens at {now.socket or 'its socket'} ({why})")
        time.sleep(_NAP)

    def _silent(self, why: str) -> SyncerError:
        who = self._holder
        stop = f"end it with: kill {who.pid}" if who.pid else "end it"
        return SyncerError(
            f"a daemon runs ({who}), but it does not answer: {why}",
            hint=f"see its log; if it stays so, {stop}, and start it again",
        )

    def _strange(self, why: str) -> SyncerError:
        return SyncerError(
            f"what answers at {self._holder.socket} ({self._holder}) is no daemon of this version: {why}",
            hint="restart the daemon; if there is none, remove that socket",
        )


# -- One HTTP call over a unix socket, to a process of our own ------------------
#
# Kept apart from the client, so that a command which finds no daemon need not load HTTP. What the answer
# means is not known here.


_LARGEST: Final = 64 << 20  # bytes of an answer


class NotListening(Exception):
    """Nobody listens at the socket."""


class InvalidResponse(Exception):
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
            raise NotListening(error.strerror or str(error)) from None
        uid = peer(self.sock)
        if uid is not None and uid != os.geteuid():
            raise InvalidResponse(f"it belongs to the user {uid}")


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
        raise InvalidResponse(f"{type(error).__name__}: {error}"[:200]) from None
    finally:
        connection.close()
