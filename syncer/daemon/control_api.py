"""Control API of a running daemon: HTTP/1.1 over a unix socket, for processes of the same user.

    GET  /status              the status of all jobs
    GET  /metrics             the same for Prometheus
    POST /pause  /resume      {"jobs": ["docs"]}; no jobs: all of them
    POST /flush?wait=30       scan everything now; wait up to so many seconds for the end of the run
    POST /reload  /stop       read the config again; end the daemon

    curl --unix-socket "$XDG_RUNTIME_DIR"/syncer/daemon-*.sock http://daemon/status

Errors are `{"schema": 1, "error": {"message", "hint", "exit"}}`, `exit` being the program's exit code. The
supervisor implements the calls (`Controlled`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from math import isfinite
from typing import Final, Protocol
from urllib.parse import parse_qs, urlsplit

from syncer.clock import SystemClock
from syncer.daemon import metrics
from syncer.daemon.http_server import HttpRequest, HttpResponse, HttpServer
from syncer.daemon.instance import InstanceLock, bind, peer, stamp
from syncer.daemon.status import DaemonStatus, JobStatus, daemon_document, job_document
from syncer.engine.interfaces import Clock
from syncer.errors import Busy, ConfigError, SyncerError, UsageError
from syncer.exit_codes import exit_code

SCHEMA: Final = 1
MAX_WAIT: Final = 86_400.0  # seconds
MAX_WAITING: Final = 8  # clients that wait for a flush; the other connections stay free for other calls

_METHODS: Final = {
    "/status": "GET",
    "/metrics": "GET",
    "/pause": "POST",
    "/resume": "POST",
    "/flush": "POST",
    "/reload": "POST",
    "/stop": "POST",
}

log = logging.getLogger(__name__)


class Controlled(Protocol):
    """What the control API needs of the daemon. Called from several threads."""

    def status(self) -> DaemonStatus:
        """The status of all jobs. Never waits for a run."""
        ...

    def pause(self, jobs: Sequence[str]) -> None:
        """Start no runs of these jobs, () being all, until `resume`. Raises UsageError for an unknown job."""
        ...

    def resume(self, jobs: Sequence[str]) -> None:
        """Let the jobs run again. Raises UsageError."""
        ...

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """Scan everything now; `wait` > 0: return when the runs ended, or after so many seconds.

        Returns the status of the jobs. Raises UsageError.
        """
        ...

    def reload(self) -> None:
        """Read the config again. Raises ConfigError, and goes on with the old config."""
        ...

    def stop(self) -> None:
        """End the daemon soon; returns at once."""
        ...


class ControlServer:
    """Serves the control API at the socket of the instance lock until `stop`, which removes the socket.

    Only processes of user `uid` (default: the daemon's) are served, where the system tells who connects.
    """

    def __init__(
        self,
        lock: InstanceLock,
        controlled: Controlled,
        *,
        clock: Clock | None = None,
        uid: int | None = None,
        patience: float = 5.0,
        renewed: float = 60.0,
    ) -> None:
        """`renewed`: seconds between two checks of the socket's file. Raises StateError."""
        self.path = lock.socket
        self._uid = os.geteuid() if uid is None else uid
        listening = bind(self.path)
        self._stamp = stamp(self.path)
        self._server = HttpServer(
            listening,
            ControlApi(controlled, clock or SystemClock()),
            refusal,
            forbid=self._forbid,
            renew=self._renew,
            renew_interval=renewed,
            timeout=patience,
        )

    def stop(self) -> None:
        """Stop within a second, whatever the clients do. Idempotent."""
        self._server.stop()
        if self._stamp is not None and stamp(self.path) == self._stamp:
            with suppress(OSError):
                self.path.unlink()
        self._stamp = None

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _forbid(self, sock: socket.socket) -> str | None:
        uid = peer(sock)
        if uid is None or uid == self._uid:
            return None
        return f"this daemon belongs to the user {self._uid}, not to {uid}"

    def _renew(self, sock: socket.socket) -> socket.socket:
        """Touch the socket, so that no cleaner of old files removes it; bind it again if one did."""
        if stamp(self.path) == self._stamp:
            with suppress(OSError):
                os.utime(self.path)
            return sock
        try:
            renewed = bind(self.path)
        except SyncerError as error:
            log.warning("the control socket was removed and cannot be created again: %s", error)
            return sock
        log.warning("the control socket %s was removed: created again", self.path)
        self._stamp = stamp(self.path)
        sock.close()
        return renewed


def document(content: Mapping[str, object], status: int = HTTPStatus.OK) -> HttpResponse:
    """A JSON response. ASCII only, like the output of `--json`."""
    return HttpResponse(status=status, body=json.dumps({"schema": SCHEMA, **content}).encode() + b"\n")


def refusal(status: HTTPStatus, message: str) -> HttpResponse:
    """The response to a request that is wrong in itself."""
    return complaint(UsageError(message), status)


def complaint(error: SyncerError, status: HTTPStatus) -> HttpResponse:
    """An error as a response."""
    return document(
        {"error": {"message": error.message, "hint": error.hint, "exit": exit_code(error)}}, status
    )


class ControlApi:
    """Answers one request; safe to call from several threads."""

    def __init__(self, controlled: Controlled, clock: Clock) -> None:
        self._controlled = controlled
        self._clock = clock
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.target).path
        if path not in _METHODS:
            return refusal(HTTPStatus.NOT_FOUND, f"there is no {path}; there are {', '.join(_METHODS)}")
        method = _METHODS[path]
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if request.method not in allowed:
            refused = refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} needs the method {method}")
            return replace(refused, allow=", ".join(allowed))
        return guarded(lambda request: self._respond(path, request), request)

    def _respond(self, path: str, request: HttpRequest) -> HttpResponse:
        daemon = self._controlled
        match path:
            case "/status":
                return document(daemon_document(daemon.status()))
            case "/metrics":
                return exposition(daemon.status(), self._clock)
            case "/flush":
                return self._flush(request)
            case "/pause":
                daemon.pause(_jobs(request))
            case "/resume":
                daemon.resume(_jobs(request))
            case "/reload":
                daemon.reload()
            case "/stop":
                daemon.stop()
        return document({})

    def _flush(self, request: HttpRequest) -> HttpResponse:
        jobs = _jobs(request)
        text = parse_qs(urlsplit(request.target).query).get("wait", ["0"])[-1]
        try:
            wait = float(text)
        except ValueError:
            wait = -1.0
        if not isfinite(wait) or not 0 <= wait <= MAX_WAIT:
            raise UsageError(f"wait={text[:40]}: that is no number of seconds from 0 to {MAX_WAIT:.0f}")
        if wait and not self._waiting.acquire(blocking=False):
            busy = Busy(f"{MAX_WAITING} wait for a flush already", hint="flush without waiting, or try later")
            return complaint(busy, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            ended = self._controlled.flush(jobs, wait=wait)
        finally:
            if wait:
                self._waiting.release()
        return document({"jobs": [job_document(job) for job in ended]})


def guarded(call: Callable[[HttpRequest], HttpResponse], request: HttpRequest) -> HttpResponse:
    """The response of a call, or its exception as a response."""
    try:
        return call(request)
    except (UsageError, ConfigError) as error:
        return complaint(error, HTTPStatus.BAD_REQUEST)
    except SyncerError as error:
        return complaint(error, HTTPStatus.INTERNAL_SERVER_ERROR)
    except Exception as error:
        log.exception("%s failed", request.target)
        bug = SyncerError(
            f"unexpected {type(error).__name__} in the daemon: {error}",
            hint="this is a bug of Syncer; its log says more",
        )
        return complaint(bug, HTTPStatus.INTERNAL_SERVER_ERROR)


def exposition(status: DaemonStatus, clock: Clock) -> HttpResponse:
    """The metrics at this moment."""
    body = metrics.text(status, now=clock.now_ns() / 1e9).encode()
    return HttpResponse(body=body, content_type=metrics.CONTENT_TYPE)


def _jobs(request: HttpRequest) -> tuple[str, ...]:
    """The jobs named in the body, () for none. Raises UsageError."""
    if not request.body.strip():
        return ()
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    # Anything unexpected is refused: read as {} it would mean "all jobs".
    names = body.get("jobs", []) if isinstance(body, dict) and not body.keys() - {"jobs"} else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("the body does not name jobs", hint='send JSON such as {"jobs": ["docs"]}')
    return tuple(names)
