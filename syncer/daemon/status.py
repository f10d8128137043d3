"""Status of the daemon and its jobs: the values, and their JSON form on the control socket.

Decoding validates: the process at a socket need not be a daemon, or not one of this version. A missing key
has the default of its field, an unknown key is ignored, a value of the wrong type raises ValueError.
(pydantic is not used here: its `str` refuses the lone surrogates of file names that are not UTF-8.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

AHEAD = 60.0
"""Seconds by which a last success may lie in the future: clocks are corrected by small steps."""


class Phase(Enum):
    """What a job of the daemon does at the moment."""

    STARTING = "starting"  # no run has ended yet
    IDLE = "idle"  # waits for changes
    GATHERING = "gathering"  # changes were detected; waits for them to settle
    RUNNING = "running"
    BACKING_OFF = "backing-off"  # the last run failed; it is tried again automatically
    HELD = "held"  # a guard refused the run; checked again at every interval
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a run. `files` and `size` are 0 while the run only scans."""

    directories: int = 0  # scanned
    files: int = 0  # to transfer
    files_done: int = 0
    size: int = 0  # bytes to transfer
    size_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals of a job since the daemon started."""

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
    """Status of one job. Times are seconds since 1970, None for never."""

    job: str
    phase: Phase = Phase.STARTING
    since: float = 0.0  # when the phase began
    progress: Progress | None = None  # of the current run
    waiting: int = 0  # directories and trees that the next run will scan
    retries: tuple[str, ...] = ()  # paths that failed and are tried again later
    next_run: float | None = None  # the latest time of the next run
    last_success: float | None = None  # in sync by then, by a full run or by events since one
    last_full: float | None = None  # end of the last run over everything
    last_exit: int | None = None  # exit code of the last run
    message: str = ""  # error of the last run
    hint: str = ""
    problems: int = 0
    conflicts: int = 0  # unresolved ones
    held: int = 0  # deletions that a guard holds back
    local_watch: str = ""  # events, events and interval, polling, off, gone
    remote_watch: str = ""  # the same, or feed, probe, interval
    notes: tuple[str, ...] = ()  # warnings about watching, such as a limit that is too low
    max_age: float | None = None  # seconds
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """Status of the daemon and all its jobs."""

    pid: int
    started: float
    version: str
    config: str
    jobs: tuple[JobStatus, ...] = ()


Document = dict[str, Any]


def daemon_document(status: DaemonStatus) -> Document:
    """The body of `GET /status`, without its schema number."""
    return {
        "daemon": {
            "pid": status.pid,
            "started": status.started,
            "version": status.version,
            "config": status.config,
        },
        "jobs": [job_document(job) for job in status.jobs],
    }


def job_document(status: JobStatus) -> Document:
    """One job as JSON."""
    lists = {"retries": list(status.retries), "notes": list(status.notes)}
    return {**asdict(status), "phase": status.phase.value, **lists}


def daemon_of(document: object) -> DaemonStatus:
    """Decode the body of `GET /status`. Raises ValueError naming the key that is wrong."""
    body = _object(document, "the answer")
    if body.get("daemon") is None:
        raise ValueError("the answer has no daemon")
    whole = {**_object(body["daemon"], "daemon"), "jobs": body.get("jobs", [])}
    return _decode(DaemonStatus, whole, "daemon")  # type: ignore[no-any-return]


def jobs_of(document: object) -> tuple[JobStatus, ...]:
    """Decode the jobs of an answer. Raises ValueError."""
    jobs = _object(document, "the answer").get("jobs", [])
    return _decode(tuple[JobStatus, ...], jobs, "jobs")  # type: ignore[no-any-return]


def job_of(document: object) -> JobStatus:
    """Decode one job. Raises ValueError."""
    return _decode(JobStatus, document, "a job")  # type: ignore[no-any-return]


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no object")
    return value


_hints = cache(get_type_hints)


def _decode(kind: Any, value: object, name: str) -> Any:
    """Convert JSON to the annotated type: dataclass, enum, tuple, `X | None`, str, int or float."""
    if is_dataclass(kind):
        found, create = _object(value, name), cast(Any, kind)
        hints = _hints(create)
        decoded = {key: _decode(hints[key], found[key], key) for key in hints if key in found}
        try:
            return create(**decoded)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
    kinds = get_args(kind)
    if get_origin(kind) is UnionType:
        return None if value is None else _decode(kinds[0], value, name)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list: {str(value)[:80]!r}")
        return tuple(_decode(kinds[0], item, name) for item in value)
    if issubclass(kind, Enum):
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # isinstance() would take True for a number
        raise ValueError(f"{name} is not of type {kind.__name__}: {str(value)[:80]!r}")
    return value
