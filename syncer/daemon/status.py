"""A daemon's standing as a JSON document, and back from one.

What comes back is checked: what answers at a socket need not be a daemon, or not of this version. A key that
is missing has its default, one not known is passed over; a value of a wrong kind is a ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

# --------------------------------------------------------------------------------
#
# How a daemon's jobs stand, as values, for `status`, the metrics and systemd's status line.


AHEAD = 60.0
"""Seconds by which a last success may lie in the future: clocks are set right by small steps all the time."""


class Phase(Enum):
    """What a job of the daemon does at the moment."""

    STARTING = "starting"  # nothing ran yet
    IDLE = "idle"  # waits for something to happen
    GATHERING = "gathering"  # something happened; waits for quiet
    RUNNING = "running"
    BACKING_OFF = "backing-off"  # the last run failed; the next one comes by itself
    HELD = "held"  # a guard refused; looked at again at every interval
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. `files` and `size` are 0 as long as it only looks."""

    directories: int = 0  # looked at
    files: int = 0
    files_done: int = 0
    size: int = 0  # bytes that will cross
    size_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Since the daemon began."""

    runs: int = 0
    full_runs: int = 0
    failed_runs: int = 0
    uploaded: int = 0
    downloaded: int = 0
    deleted: int = 0
    moved: int = 0
    conflicts: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0  # spent in runs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One job. Times are seconds since 1970, None for never."""

    job: str
    phase: Phase = Phase.STARTING
    since: float = 0.0  # when the phase began
    progress: Progress | None = None  # of the run that goes on
    waiting: int = 0  # places that will be looked at
    retries: tuple[str, ...] = ()  # paths that are tried again later
    next_run: float | None = None  # when, if nothing happens before
    last_success: float | None = None  # everything was looked at, by a full run or by events since one
    last_full: float | None = None
    last_exit: int | None = None  # of the last run
    message: str = ""  # why it is not well
    hint: str = ""
    problems: int = 0
    conflicts: int = 0  # open ones
    held: int = 0  # deletions that a guard keeps back
    local_watch: str = ""  # events, events and interval, polling, off, gone
    remote_watch: str = ""  # as above, or feed, probe, interval
    notes: tuple[str, ...] = ()  # said once, such as a remedy for too few watches
    max_age: float | None = None  # seconds
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """The whole daemon."""

    pid: int
    started: float
    version: str
    config: str
    jobs: tuple[JobStatus, ...] = ()


Document = dict[str, Any]


def daemon_document(standing: DaemonStatus) -> Document:
    """What `GET /status` answers, without the schema."""
    return {
        "daemon": {
            "pid": standing.pid,
            "started": standing.started,
            "version": standing.version,
            "config": standing.config,
        },
        "jobs": [job_document(job) for job in standing.jobs],
    }


def job_document(standing: JobStatus) -> Document:
    """One job."""
    lists = {"retries": list(standing.retries), "notes": list(standing.notes)}
    return {**asdict(standing), "phase": standing.phase.value, **lists}


def daemon_of(document: object) -> DaemonStatus:
    """Raises ValueError, saying what is wrong."""
    whole = _Fields(document, "the answer")
    daemon = whole.inner("daemon")
    if daemon is None:
        raise ValueError("the answer has no daemon")
    return DaemonStatus(
        pid=daemon.integer("pid"),
        started=daemon.number("started"),
        version=daemon.text("version"),
        config=daemon.text("config"),
        jobs=jobs_of(document),
    )


def jobs_of(document: object) -> tuple[JobStatus, ...]:
    """The jobs of an answer. Raises ValueError."""
    return tuple(job_of(job) for job in _Fields(document, "the answer").sequence("jobs"))


def job_of(document: object) -> JobStatus:
    """Raises ValueError."""
    job = _Fields(document, "a job")
    progress, counters = job.inner("progress"), job.inner("counters")
    return JobStatus(
        job=job.text("job"),
        phase=Phase(job.text("phase") or Phase.STARTING.value),
        since=job.number("since"),
        progress=None if progress is None else _progress(progress),
        waiting=job.integer("waiting"),
        retries=job.texts("retries"),
        next_run=job.moment("next_run"),
        last_success=job.moment("last_success"),
        last_full=job.moment("last_full"),
        last_exit=None if job.absent("last_exit") else job.integer("last_exit"),
        message=job.text("message"),
        hint=job.text("hint"),
        problems=job.integer("problems"),
        conflicts=job.integer("conflicts"),
        held=job.integer("held"),
        local_watch=job.text("local_watch"),
        remote_watch=job.text("remote_watch"),
        notes=job.texts("notes"),
        max_age=job.moment("max_age"),
        counters=Counters() if counters is None else _counters(counters),
    )


def _progress(read: _Fields) -> Progress:
    return Progress(
        directories=read.integer("directories"),
        files=read.integer("files"),
        files_done=read.integer("files_done"),
        size=read.integer("size"),
        size_done=read.integer("size_done"),
    )


def _counters(read: _Fields) -> Counters:
    return Counters(
        runs=read.integer("runs"),
        full_runs=read.integer("full_runs"),
        failed_runs=read.integer("failed_runs"),
        uploaded=read.integer("uploaded"),
        downloaded=read.integer("downloaded"),
        deleted=read.integer("deleted"),
        moved=read.integer("moved"),
        conflicts=read.integer("conflicts"),
        bytes_sent=read.integer("bytes_sent"),
        bytes_received=read.integer("bytes_received"),
        seconds=read.number("seconds"),
    )


class _Fields:
    """The keys of one object, each asked for as what it has to be."""

    def __init__(self, document: object, name: str) -> None:
        if not isinstance(document, Mapping):
            raise ValueError(f"{name} is no object")
        self._document: Mapping[object, object] = document

    def absent(self, key: str) -> bool:
        return self._document.get(key) is None

    def text(self, key: str) -> str:
        value = self._document.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def integer(self, key: str) -> int:
        value = self._document.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        value = self._document.get(key, 0.0)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(key, "a number")
        return float(value)

    def moment(self, key: str) -> float | None:
        """A number that may be missing."""
        return None if self.absent(key) else self.number(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Several texts."""
        values = [value for value in self.sequence(key) if isinstance(value, str)]
        if len(values) != len(self.sequence(key)):
            raise self._wrong(key, "a list of texts")
        return tuple(values)

    def sequence(self, key: str) -> Sequence[object]:
        """A list of anything."""
        value = self._document.get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value

    def inner(self, key: str) -> _Fields | None:
        """An object within, None for none."""
        return None if self.absent(key) else _Fields(self._document[key], key)

    def _wrong(self, key: str, what: str) -> ValueError:
        return ValueError(f"{key} is not {what}: {str(self._document.get(key))[:80]!r}")
