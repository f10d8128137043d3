"""Metrics in the text format of Prometheus, version 0.0.4, from the status of the daemon. Pure.

Names and units follow https://prometheus.io/docs/practices/naming/, the format
https://prometheus.io/docs/instrumenting/exposition_formats/. A time that does not exist is 0, so that an
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
    "last_success_timestamp_seconds": ("When both sides were in sync last, 0 for never.", "last_success"),
    "last_full_run_timestamp_seconds": ("When everything was scanned last, 0 for never.", "last_full"),
    "next_run_timestamp_seconds": ("When the next run is due at the latest, 0 for none.", "next_run"),
    "phase_since_timestamp_seconds": ("When the phase began.", "since"),
    "last_exit_code": ("Exit code of the last run.", "last_exit"),
    "max_age_seconds": ("How old the last success may become, 0 for any age.", "max_age"),
    "waiting_places": ("Directories and trees that will be scanned.", "waiting"),
    "open_problems": ("Paths with an open problem.", "problems"),
    "open_conflicts": ("Unresolved conflicts.", "conflicts"),
    "held_deletions": ("Deletions that a guard holds back.", "held"),
}
_COUNTERS: Final = {
    "runs_total": ("Runs since the daemon started.", "runs"),
    "full_runs_total": ("Runs that scanned everything.", "full_runs"),
    "failed_runs_total": ("Runs that failed.", "failed_runs"),
    "conflicts_total": ("Conflicts found since the daemon started.", "conflicts"),
    "run_seconds_total": ("Time spent in runs.", "seconds"),
}
_ACTIONS: Final = ("uploaded", "downloaded", "deleted", "moved")
_PROGRESS: Final = {
    "run_directories": ("Directories scanned by the current run.", "directories"),
    "run_files": ("Files that the current run transfers.", "files"),
    "run_files_done": ("Files that the current run has transferred.", "files_done"),
    "run_bytes": ("Bytes that the current run transfers.", "size"),
    "run_bytes_done": ("Bytes that the current run has transferred.", "size_done"),
}


def text(status: DaemonStatus, *, now: float) -> str:
    """All metrics as text. `now`: seconds since 1970, to decide which jobs are stale."""
    jobs = status.jobs
    lines = [
        *_metric("build_info", "gauge", "The version that runs.", [({"version": status.version}, 1)]),
        *_metric("start_timestamp_seconds", "gauge", "When the daemon started.", [({}, status.started)]),
        *_metric("jobs", "gauge", "Jobs that the daemon runs.", [({}, len(jobs))]),
    ]
    phases = [({"job": j.job, "phase": p.value}, float(j.phase is p)) for j in jobs for p in Phase]
    lines += _metric("job_phase", "gauge", "1 for the current phase of the job.", phases)
    old = [({"job": j.job}, float(stale(j, now))) for j in jobs]
    lines += _metric("job_stale", "gauge", "1 if the last success is older than max_age.", old)
    retries = [({"job": j.job}, float(len(j.retries))) for j in jobs]
    lines += _metric("job_retry_paths", "gauge", "Paths that are retried later.", retries)
    watches = [
        ({"job": j.job, "side": side, "how": how}, 1.0)
        for j in jobs
        for side, how in (("local", j.local_watch), ("remote", j.remote_watch))
        if how
    ]
    lines += _metric("job_watch_info", "gauge", "How changes on a side are detected.", watches)
    for name, (help_, field) in _GAUGES.items():
        values = [({"job": j.job}, float(getattr(j, field) or 0)) for j in jobs]
        lines += _metric(f"job_{name}", "gauge", help_, values)
    for name, (help_, field) in _COUNTERS.items():
        values = [({"job": j.job}, float(getattr(j.counters, field))) for j in jobs]
        lines += _metric(f"job_{name}", "counter", help_, values)
    done = [({"job": j.job, "action": a}, float(getattr(j.counters, a))) for j in jobs for a in _ACTIONS]
    lines += _metric("job_files_total", "counter", "Files by what was done to them.", done)
    transferred = [
        ({"job": j.job, "direction": direction}, float(size))
        for j in jobs
        for direction, size in (("sent", j.counters.bytes_sent), ("received", j.counters.bytes_received))
    ]
    lines += _metric("job_transferred_bytes_total", "counter", "Bytes of content transferred.", transferred)
    for name, (help_, field) in _PROGRESS.items():
        values = [({"job": j.job}, float(getattr(j.progress, field))) for j in jobs if j.progress]
        lines += _metric(f"job_{name}", "gauge", help_, values)
    return "".join(line + "\n" for line in lines)


def stale(job: JobStatus, now: float) -> bool:
    """Whether the last success is older than the job allows."""
    if job.max_age is None:
        return False
    if job.last_success is None or job.last_success > now + AHEAD:  # its age is unknown
        return True
    return now - job.last_success > job.max_age


def _metric(name: str, kind: str, help_: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one metric; none without samples."""
    lines = []
    for labels, value in samples:
        escaped = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        number = str(int(value)) if float(value).is_integer() else repr(float(value))
        lines.append(f"syncer_{name}{{{escaped}}} {number}" if labels else f"syncer_{name} {number}")
    if lines:
        yield f"# HELP syncer_{name} {help_}"
        yield f"# TYPE syncer_{name} {kind}"
        yield from lines


def _escape(value: str) -> str:
    """Escape a label value. Bytes of a name that are not UTF-8 appear as \\udcXX."""
    legible = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return legible.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
