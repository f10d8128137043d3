"""The control socket: what a running daemon answers to its own user, as HTTP/1.1 over a unix socket.

    GET  /status              how all jobs stand
    GET  /metrics             the same for Prometheus
    POST /pause  /resume      {"jobs": ["docs"]}; no jobs: all of them
    POST /flush?wait=30       look at everything now; wait so many seconds at most for it to end
    POST /reload  /stop       read the config again; end

    curl --unix-socket "$XDG_RUNTIME_DIR"/syncer/daemon-*.sock http://daemon/status

Errors are `{"schema": 1, "error": {"message", "hint", "exit"}}`, `exit` being the program's exit code. What
the calls do is the daemon's affair (`Controlled`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
MOST_WAIT: Final = 86_400.0  # seconds
MOST_WAITING: Final = 8  # clients that wait for a flush: the others must not be kept out by them

log = logging.getLogger(__name__)


class Controlled(Protocol):
    """The daemon as seen from its control socket. Called from several threads."""

    def standing(self) -> DaemonStatus:
        """How it stands. Quick: no lock is waited for that a run holds."""
        ...

    def pause(self, jobs: Sequence[str]) -> None:
        """No new runs of these jobs, () being all, until `resume`. Raises UsageError for an unknown one."""
        ...

    def resume(self, jobs: Sequence[str]) -> None:
        """They run again. Raises UsageError."""
        ...

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """Look at everything now; `wait` > 0: return once that ended, or after so many seconds.

        Raises UsageError.
        """
        ...

    def reload(self) -> None:
        """The config again. Raises ConfigError, and goes on with the old one."""
        ...

    def stop(self) -> None:
        """End soon; returns at once."""
        ...


class ControlServer:
    """Answers at the tenure's socket until `stop`; the socket is gone then.

    Only processes of `uid` (default: our own) are answered, as far as the system tells who asks.
    """

    def __init__(
        self,
        tenure: InstanceLock,
        controlled: Controlled,
        *,
        clock: Clock | None = None,
        uid: int | None = None,
        patience: float = 5.0,
        renewed: float = 60.0,
    ) -> None:
        """Raises StateError where no socket can be made. `renewed`: how often it is looked after."""
        self.path = tenure.socket
        self._uid = os.geteuid() if uid is None else uid
        made = bind(self.path)
        self._stamp = stamp(self.path)
        self._listener = HttpServer(
            made,
            Answers(controlled, clock or SystemClock()),
            refusal,
            admit=self._stranger,
            renew=self._renew,
            every=renewed,
            patience=patience,
        )

    def stop(self) -> None:
        """Within a second, whoever is connected. Again: nothing."""
        self._listener.stop()
        if self._stamp is not None and stamp(self.path) == self._stamp:
            with suppress(OSError):
                self.path.unlink()
        self._stamp = None

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stranger(self, sock: socket.socket) -> str | None:
        uid = peer(sock)
        if uid is None or uid == self._uid:
            return None
        return f"this daemon belongs to the user {self._uid}, not to {uid}"

    def _renew(self, sock: socket.socket) -> socket.socket:
        """What cleans up old files must not cut us off for the months to come."""
        if stamp(self.path) == self._stamp:
            with suppress(OSError):
                os.utime(self.path)
            return sock
        try:
            made = bind(self.path)
        except SyncerError as error:
            log.warning("the control socket is gone and cannot be made anew: %s", error)
            return sock
        log.warning("the control socket %s was gone: made anew", self.path)
        self._stamp = stamp(self.path)
        sock.close()
        return made


def document(content: Mapping[str, object], status: int = HTTPStatus.OK) -> HttpResponse:
    """A JSON answer. ASCII only, as `--json` is."""
    return HttpResponse(status=status, body=json.dumps({"schema": SCHEMA, **content}).encode() + b"\n")


def refusal(status: HTTPStatus, message: str) -> HttpResponse:
    """An error of the request itself."""
    return complaint(UsageError(message), status)


def complaint(error: SyncerError, status: HTTPStatus) -> HttpResponse:
    """An error of ours as an answer."""
    told = {"message": error.message, "hint": error.hint, "exit": exit_code(error)}
    return document({"error": told}, status)


class Answers:
    """What is answered to each request (`listening.Answer`)."""

    def __init__(self, controlled: Controlled, clock: Clock) -> None:
        self._controlled = controlled
        self._clock = clock
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._calls: Mapping[str, tuple[str, Callable[[HttpRequest], HttpResponse]]] = {
            "/status": ("GET", self._status),
            "/metrics": ("GET", self._metrics),
            "/pause": ("POST", self._pause),
            "/resume": ("POST", self._resume),
            "/flush": ("POST", self._flush),
            "/reload": ("POST", self._reload),
            "/stop": ("POST", self._stop),
        }

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.target).path
        if path not in self._calls:
            return refusal(HTTPStatus.NOT_FOUND, f"there is no {path}; there are {', '.join(self._calls)}")
        method, call = self._calls[path]
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if request.method not in allowed:
            told = refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is asked for with {method}")
            return HttpResponse(status=told.status, body=told.body, allow=", ".join(allowed))
        return guarded(call, request)

    def _status(self, request: HttpRequest) -> HttpResponse:
        return document(daemon_document(self._controlled.standing()))

    def _metrics(self, request: HttpRequest) -> HttpResponse:
        return exposition(self._controlled.standing(), self._clock)

    def _pause(self, request: HttpRequest) -> HttpResponse:
        self._controlled.pause(_jobs(request))
        return document({})

    def _resume(self, request: HttpRequest) -> HttpResponse:
        self._controlled.resume(_jobs(request))
        return document({})

    def _flush(self, request: HttpRequest) -> HttpResponse:
        jobs, wait = _jobs(request), _wait(request)
        if wait and not self._waiting.acquire(blocking=False):
            busy = Busy(
                f"{MOST_WAITING} wait for a flush already", hint="flush without waiting, or try later"
            )
            return complaint(busy, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            ended = self._controlled.flush(jobs, wait=wait)
        finally:
            if wait:
                self._waiting.release()
        return document({"jobs": [job_document(job) for job in ended]})

    def _reload(self, request: HttpRequest) -> HttpResponse:
        self._controlled.reload()
        return document({})

    def _stop(self, request: HttpRequest) -> HttpResponse:
        self._controlled.stop()
        return document({})


def guarded(call: Callable[[HttpRequest], HttpResponse], request: HttpRequest) -> HttpResponse:
    """The call's answer, or its error as one."""
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


def exposition(standing: DaemonStatus, clock: Clock) -> HttpResponse:
    """The metrics of this moment."""
    body = metrics.text(standing, now=clock.now_ns() / 1e9).encode()
    return HttpResponse(body=body, kind=metrics.CONTENT_TYPE)


def _jobs(request: HttpRequest) -> tuple[str, ...]:
    """The jobs that the body names, () for none. Raises UsageError."""
    if not request.body.strip():
        return ()
    try:
        told = json.loads(request.body)
    except (ValueError, RecursionError):
        told = None
    names = told.get("jobs", []) if isinstance(told, dict) and not told.keys() - {"jobs"} else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("the body does not name jobs", hint='send JSON such as {"jobs": ["docs"]}')
    return tuple(names)


def _wait(request: HttpRequest) -> float:
    """Raises UsageError."""
    text = parse_qs(urlsplit(request.target).query).get("wait", ["0"])[-1]
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or not 0 <= seconds <= MOST_WAIT:
        raise UsageError(f"wait={text[:40]}: that is no number of seconds from 0 to {MOST_WAIT:.0f}")
    return seconds
