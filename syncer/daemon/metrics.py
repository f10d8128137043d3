"""A daemon's status as metrics: Prometheus' text format 0.0.4. Pure text.

Names and units follow https://prometheus.io/docs/practices/naming/, the format
https://prometheus.io/docs/instrumenting/exposition_formats/. A time that there is none of is 0, so that an
alert on `time() - syncer_job_last_success_timestamp_seconds` also fires for a job that never succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from syncer.daemon.status import AHEAD, DaemonStatus, JobStatus, Phase

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]

_GAUGES: Final = {
    "last_success_timestamp_seconds": ("When all was in step last, 0 for never.", "last_success"),
    "last_full_run_timestamp_seconds": ("When everything was looked at last, 0 for never.", "last_full"),
    "next_run_timestamp_seconds": ("When it runs next if nothing happens before, 0 for not.", "next_run"),
    "phase_since_timestamp_seconds": ("When the phase began.", "since"),
    "last_exit_code": ("How the last run ended, in the program's exit codes.", "last_exit"),
    "max_age_seconds": ("How old the last success may be, 0 for any age.", "max_age"),
    "waiting_places": ("Places that will be looked at.", "waiting"),
    "open_problems": ("Paths that a person should look at.", "problems"),
    "open_conflicts": ("Conflicts that a person has to settle.", "conflicts"),
    "held_deletions": ("Deletions that a guard keeps back.", "held"),
}
_COUNTERS: Final = {
    "runs_total": ("Runs since the daemon began.", "runs"),
    "full_runs_total": ("Runs that looked everywhere.", "full_runs"),
    "failed_runs_total": ("Runs that did not end well.", "failed_runs"),
    "conflicts_total": ("Conflicts met since the daemon began.", "conflicts"),
    "run_seconds_total": ("Time spent in runs.", "seconds"),
}
_ACTIONS: Final = ("uploaded", "downloaded", "deleted", "moved")
_PROGRESS: Final = {
    "run_directories": ("Directories looked at by the run that goes on.", "directories"),
    "run_files": ("Files that the run that goes on will transfer.", "files"),
    "run_files_done": ("Files that it has transferred.", "files_done"),
    "run_bytes": ("Bytes that it will transfer.", "size"),
    "run_bytes_done": ("Bytes that it has transferred.", "size_done"),
}


def text(status: DaemonStatus, *, now: float) -> str:
    """All metrics. `now` in seconds since 1970: whether a job is stale depends on it."""
    jobs = status.jobs
    parts = [
        _metric("build_info", "gauge", "The version that runs.", [({"version": status.version}, 1)]),
        _metric("start_timestamp_seconds", "gauge", "When the daemon began.", [({}, status.started)]),
        _metric("jobs", "gauge", "Jobs that the daemon keeps in step.", [({}, len(jobs))]),
        _of_jobs(jobs, now),
    ]
    return "".join(line + "\n" for part in parts for line in part)


def stale(job: JobStatus, now: float) -> bool:
    """Whether the last success is older than the job allows."""
    if job.max_age is None:
        return False
    if job.last_success is None or job.last_success > now + AHEAD:  # nobody knows how long ago that was
        return True
    return now - job.last_success > job.max_age


def _of_jobs(jobs: tuple[JobStatus, ...], now: float) -> Iterator[str]:
    phases = [({"job": j.job, "phase": p.value}, float(j.phase is p)) for j in jobs for p in Phase]
    yield from _metric("job_phase", "gauge", "1 for what the job does at the moment.", phases)
    old = [({"job": j.job}, float(stale(j, now))) for j in jobs]
    yield from _metric("job_stale", "gauge", "1 if the last success is older than max_age.", old)
    retries = [({"job": j.job}, float(len(j.retries))) for j in jobs]
    yield from _metric("job_retry_paths", "gauge", "Paths that are tried again later.", retries)
    watches = [
        ({"job": j.job, "side": side, "how": how}, 1.0)
        for j in jobs
        for side, how in (("local", j.local_watch), ("remote", j.remote_watch))
        if how
    ]
    yield from _metric("job_watch_info", "gauge", "How news of a side come.", watches)
    for name, (help_, field) in _GAUGES.items():
        values = [({"job": j.job}, float(getattr(j, field) or 0)) for j in jobs]
        yield from _metric(f"job_{name}", "gauge", help_, values)
    yield from _of_runs(jobs)


def _of_runs(jobs: tuple[JobStatus, ...]) -> Iterator[str]:
    for name, (help_, field) in _COUNTERS.items():
        values = [({"job": j.job}, float(getattr(j.counters, field))) for j in jobs]
        yield from _metric(f"job_{name}", "counter", help_, values)
    done = [({"job": j.job, "action": a}, float(getattr(j.counters, a))) for j in jobs for a in _ACTIONS]
    yield from _metric("job_files_total", "counter", "What was done to files.", done)
    crossed = [
        ({"job": j.job, "direction": direction}, float(size))
        for j in jobs
        for direction, size in (("sent", j.counters.bytes_sent), ("received", j.counters.bytes_received))
    ]
    yield from _metric("job_transferred_bytes_total", "counter", "Bytes of content that crossed.", crossed)
    for name, (help_, field) in _PROGRESS.items():
        far = [({"job": j.job}, float(getattr(j.progress, field))) for j in jobs if j.progress]
        yield from _metric(f"job_{name}", "gauge", help_, far)


def _metric(name: str, kind: str, help_: str, samples: Iterable[Sample]) -> Iterator[str]:
    """One metric with all its samples; nothing for none."""
    lines = [f"syncer_{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    if lines:
        yield f"# HELP syncer_{name} {help_}"
        yield f"# TYPE syncer_{name} {kind}"
        yield from lines


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """A name that is not UTF-8 keeps its bytes in view, as \\udcXX does."""
    legible = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return legible.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Whole numbers as such, others with all their digits."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
