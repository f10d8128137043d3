"""A daemon's standing as a JSON document, and back from one.

What comes back is checked: what answers at a socket need not be a daemon, or not of this version. A key that
is missing has its default, one not known is passed over; a value of a wrong kind is a ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from syncer.daemon.standing import Counters, DaemonStanding, JobStanding, Phase, Progress

Document = dict[str, Any]


def daemon_document(standing: DaemonStanding) -> Document:
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


def job_document(standing: JobStanding) -> Document:
    """One job."""
    lists = {"retries": list(standing.retries), "notes": list(standing.notes)}
    return {**asdict(standing), "phase": standing.phase.value, **lists}


def daemon_of(document: object) -> DaemonStanding:
    """Raises ValueError, saying what is wrong."""
    whole = _Fields(document, "the answer")
    daemon = whole.inner("daemon")
    if daemon is None:
        raise ValueError("the answer has no daemon")
    return DaemonStanding(
        pid=daemon.integer("pid"),
        started=daemon.number("started"),
        version=daemon.text("version"),
        config=daemon.text("config"),
        jobs=jobs_of(document),
    )


def jobs_of(document: object) -> tuple[JobStanding, ...]:
    """The jobs of an answer. Raises ValueError."""
    return tuple(job_of(job) for job in _Fields(document, "the answer").sequence("jobs"))


def job_of(document: object) -> JobStanding:
    """Raises ValueError."""
    job = _Fields(document, "a job")
    progress, counters = job.inner("progress"), job.inner("counters")
    return JobStanding(
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
