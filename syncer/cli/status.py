"""Commands `status` and `history`: the state database and a running daemon. Neither side is scanned."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from syncer import __version__, exit_codes, jobs
from syncer.cli import json_output, text_output
from syncer.cli.common import CliContext, pass_cli, print_error, shared
from syncer.cli.job_selection import select
from syncer.cli.json_output import Document
from syncer.cli.text_output import moment
from syncer.config import JobSettings, Settings
from syncer.daemon.client import connect
from syncer.daemon.pause_file import paused
from syncer.daemon.status import AHEAD, DaemonStatus, JobStatus, Phase, Progress, job_document
from syncer.engine.paths import printable
from syncer.errors import ConfigError, SyncerError, UsageError
from syncer.formatting import counted, show_duration, show_size
from syncer.jobs import HistoryEntry, Run, State
from syncer.jobs import session as job_session

# -- The status of a running daemon -----------------------------------------------
#
# If a daemon does not answer, its error is printed, and the rest comes from the state database all the same.


_SHOWN = 10  # paths that are retried
_BAR = 20  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonView:
    """The daemon as seen now. `status` is None if no daemon runs, or if it did not answer (then `error`)."""

    status: DaemonStatus | None = None
    pid: int = 0
    error: SyncerError | None = None
    paused: frozenset[str] = frozenset()  # jobs in the pause file, with or without a daemon
    pause_error: SyncerError | None = None  # if the pause file cannot be read

    def of(self, job: str) -> JobStatus | None:
        """The daemon's status of a job, None if no daemon answered or it does not run the job."""
        jobs = self.status.jobs if self.status else ()
        return next((status for status in jobs if status.job == job), None)

    def document(self) -> Document | None:
        """The daemon for `--json`."""
        if self.status:
            daemon = self.status
            return {"pid": daemon.pid, "started": daemon.started, "version": daemon.version}
        if self.error:
            return {"pid": self.pid, "started": None, "version": None, "error": self.error.message}
        return None

    def lines(self, now: float) -> Iterator[str]:
        """The daemon for people; nothing if none answered. `now` in seconds since 1970."""
        if self.status:
            daemon = self.status
            since = f"{moment(int(daemon.started * 1e9))} ({_span(now - daemon.started)})"
            yield f"daemon: process {daemon.pid}, since {since}, version {printable(daemon.version)}"
            if daemon.version != __version__:
                yield f"  this program is version {__version__}: restart the daemon"


def query_daemon(state_dir: Path, *, patience: float = 3.0) -> DaemonView:
    """Query the daemon of a state directory, if one runs; `patience`: seconds to wait for its answer."""
    now = DaemonView()
    try:
        now = replace(now, paused=paused(state_dir))
    except SyncerError as error:
        now = replace(now, pause_error=error)
    try:
        client = connect(state_dir, patience=patience)
        if client is None:
            return now
        now = replace(now, pid=client.pid)
        return replace(now, status=client.status())
    except SyncerError as error:
        return replace(now, error=error)


def job_lines(job: JobStatus, now: float) -> Iterator[str]:
    """What the daemon does with a job, what waits, and what to do about it."""
    yield f"  {_doing(job, now)}"
    if job.phase is not Phase.RUNNING and job.waiting:
        yield f"  waits: {counted(job.waiting, 'place')} to be looked at"
    watches = [
        f"{side} by {how}" for side, how in (("here", job.local_watch), ("there", job.remote_watch)) if how
    ]
    if watches:
        yield f"  watches: {', '.join(map(printable, watches))}"
    yield from (f"  tried again later: {printable(path)}" for path in job.retries[:_SHOWN])
    if len(job.retries) > _SHOWN:
        yield f"  and {len(job.retries) - _SHOWN:,} more are tried again later"
    if job.message:
        yield f"  {printable(job.message)}"
    if job.hint:
        yield f"    hint: {printable(job.hint)}"
    yield from (f"  note: {printable(note)}" for note in job.notes)


def marked(job: str) -> str:
    """The line of a job that is paused while no daemon runs."""
    return f"  paused: a daemon will not run it until: syncer resume {shlex.quote(job)}"


def _doing(job: JobStatus, now: float) -> str:
    ago = f", for {_span(now - job.since)}" if job.since else ""
    left = "" if job.next_run is None else _span(job.next_run - now)
    match job.phase:
        case Phase.RUNNING:
            return f"running: {_progress_bar(job.progress)}{ago}"
        case Phase.STARTING:
            return "daemon: starts with this job"
        case Phase.GATHERING:
            return "daemon: changes detected, waiting for them to settle"
        case Phase.BACKING_OFF:
            return f"daemon: the last run failed; the next one {f'in {left}' if left else 'comes by itself'}"
        case Phase.HELD:
            return f"daemon: a guard refused{ago}; looks again{f' in {left}' if left else ' by itself'}"
        case Phase.PAUSED:
            return f"daemon: paused{ago}; go on with: syncer resume {shlex.quote(job.job)}"
        case Phase.STOPPED:
            return f"daemon: does not run this job any more{ago}"
        case Phase.IDLE:
            return f"daemon: waits for changes{ago}{f'; looks by itself in {left}' if left else ''}"


def _progress_bar(progress: Progress | None) -> str:
    """`120 of 3,400 files, 12.0 MB of 96.0 MB [##------------------] 12%`."""
    if progress is None:
        return "just began"
    if not progress.files:
        return f"looking, {progress.directories:,} directories so far"
    done, all_ = (
        (progress.size_done, progress.size) if progress.size else (progress.files_done, progress.files)
    )
    share = min(1.0, done / all_)
    full = int(share * _BAR)
    files = f"{progress.files_done:,} of {counted(progress.files, 'file')}"
    sizes = f"{show_size(progress.size_done)} of {show_size(progress.size)}"
    return f"{files}, {sizes} [{'#' * full}{'-' * (_BAR - full)}] {int(share * 100)}%"


def _span(seconds: float) -> str:
    return show_duration(max(1, int(seconds)))


STALE = 3
_ENOUGH = 20  # runs, among which the last one that is no undo is searched


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@pass_cli
def status(session: CliContext, words: tuple[str, ...]) -> int:
    """Say when each JOB last succeeded, and what waits: conflicts, problems, failures, held deletions.

    With a daemon, also what it does at the moment, what it will look at, and when.
    Exits as `sync` would: 1 something waits for you, 3 a transfer failed (or the last success is older than
    the job's max_age), 4 something is held or refused; and as the last run did, if an error ended it.
    """
    selection = select(session, words)
    now = query_daemon(selection.settings.state_dir)
    for error in filter(None, (now.error, now.pause_error)):
        print_error(error)
    found: list[Document] = []
    lines = [*now.lines(time.time())]
    for job in selection.jobs:
        job_status = now.of(job.name)
        with jobs.view(selection.settings, job) as state:
            document = _job(job, state, job_status)
        document["paused"] = job.name in now.paused
        found.append(document)
        lines += _lines(document)
        lines += _never_possible(selection.settings, job, document)
        lines += job_lines(job_status, time.time()) if job_status else []
        lines += [marked(job.name)] if document["paused"] and not now.status else []
    session.answer({"daemon": now.document(), "jobs": found}, *lines)
    return exit_codes.worst(int(document["exit"]) for document in found)


def _never_possible(settings: Settings, job: JobSettings, document: Document) -> list[str]:
    """The error that keeps a job from ever running; a job that ran once has it in its history."""
    if document["last_run"] is not None:
        return []
    try:
        job_session.prepared(settings, job)
    except ConfigError as error:
        document["exit"] = exit_codes.worst((document["exit"], exit_codes.exit_code(error)))
        return [f"  {printable(error.message)}", f"    hint: {printable(error.hint)}"]
    return []


def _job(job: JobSettings, state: State, daemon: JobStatus | None) -> Document:
    from syncer.jobs import retention

    ledger = state.ledger
    last = next(iter(ledger.runs(1)), None)
    now = time.time()
    success = _newer(ledger.last_success_ns(), daemon, now)
    ahead = success is not None and success > now + AHEAD  # the clock was set back: the age is not known
    age = None if success is None or ahead else max(0.0, now - success)
    held = jobs.held(state.memory)
    stale = job.max_age is not None and (age is None or age > job.max_age)
    codes = (jobs.waiting_exit(ledger, state.memory), _ended(ledger.runs(_ENOUGH)), STALE if stale else 0)
    return {
        "job": job.name,
        "exit": exit_codes.worst(codes),
        "local": str(job.local),
        "remote": str(job.remote),
        "last_success": success,
        "last_success_ahead": ahead,
        "stale": stale,
        "last_run": run_document(last) if last else None,
        "conflicts": [
            {"path": c.path, "copy": c.copy, "reason": c.reason, "resolution": c.resolution}
            for c in ledger.conflicts()
        ],
        "problems": [json_output.problem(p.problem) for p in ledger.problems()],
        "failures": [
            {"path": f.path, "code": f.code, "message": f.message, "count": f.count}
            for f in ledger.failures()
        ],
        "held": held,
        "pending": sorted({p for h in held for p in h["paths"]} | {f.path for f in ledger.failures()}),
        "known": state.memory.known(),
        "notes": [*([state.note] if state.note else []), *retention.told(state.memory)],
        "daemon": job_document(daemon) if daemon else None,
    }


def _ended(runs: Sequence[Run]) -> int:
    """The exit code of the error that ended the last run, not counting undos; 0 if it ended without one.

    What a run left waiting is in the state database. The next run continues one that a signal stopped.
    """
    last = next((run for run in runs if run.result and not run.trigger.startswith("undo ")), None)
    if last is None or last.result not in ("error", "refused", "interrupted"):
        return 0
    return last.exit_code or exit_codes.FATAL if last.result != "interrupted" else STALE


def _newer(recorded_ns: int | None, daemon: JobStatus | None, now: float) -> float | None:
    """The last success, in seconds since 1970: the daemon's partial runs are not in the state database.

    A time in the future, from before the clock was set right, counts only if there is no other.
    """
    known = [] if recorded_ns is None else [recorded_ns / 1e9]
    if daemon and daemon.last_success is not None:
        known.append(daemon.last_success)
    return max([at for at in known if at <= now + AHEAD] or known, default=None)


def _lines(document: Document) -> Iterator[str]:
    last, success = document["last_run"], document["last_success"]
    ago = "" if success is None else f" ({show_duration(max(1, int(time.time() - success)))} ago)"
    head = "never synced" if success is None else f"last success {moment(int(success * 1e9))}{ago}"
    late = ", too long ago (max_age)" if document["stale"] else ""
    if document["last_success_ahead"]:
        head, late = head.removesuffix(ago), ", which lies in the future: the clock was set back since"
    yield f"{document['job']}: {head}{late}"
    roots = f"{printable(document['local'])} <-> {printable(document['remote'])}"
    yield f"  {roots}, {document['known']:,} paths known"
    if last and last["exit"] not in (0, None):
        yield f"  run {last['run']} ended: {last['result']} {printable(last['message'])}".rstrip()
    if last and last["result"] is None:
        yield f"  run {last['run']} is going on, or died"
    for conflict in document["conflicts"]:
        beside = (
            f", kept beside as {printable(conflict['copy'])}"
            if conflict["copy"]
            else ", waits for your choice"
        )
        yield f"  conflict: {printable(conflict['path'])}{beside}"
    for held in document["held"]:
        yield f"  held: {held['message']}"
        yield from (f"    {printable(path)}" for path in held["paths"])
    for problem in document["problems"]:
        message = text_output.without(problem["path"], problem["message"])
        yield f"  problem: {printable(problem['path'])} ({problem['side']}): {message}"
    for failure in document["failures"]:
        times = counted(failure["count"], "time")
        message = text_output.without(failure["path"], failure["message"])
        yield f"  failed {times}: {printable(failure['path'])}: {message}"
    yield from (f"  {printable(note)}" for note in document["notes"])


def run_document(run: Run) -> Document:
    """One run; times in seconds since 1970."""
    return {
        "run": run.id,
        "trigger": run.trigger,
        "started": run.started_ns / 1e9,
        "ended": None if run.ended_ns is None else run.ended_ns / 1e9,
        "result": run.result,
        "exit": run.exit_code,
        "message": run.message,
        "totals": asdict(run.totals),
    }


def history_document(entry: HistoryEntry) -> Document:
    """One action of a run; the digest (BLAKE3 of what it put at the path) in hex."""
    return {**asdict(entry), "digest": entry.digest.hex() if entry.digest else None}


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@click.option("--limit", "-n", default=20, show_default=True, help="So many runs.")
@click.option("--run", "number", type=int, help="What one run did, action by action.")
@shared
@pass_cli
def history(session: CliContext, words: tuple[str, ...], limit: int, number: int | None) -> int:
    """List the last runs of each JOB, or what one run did."""
    selection = select(session, words)
    if number is not None and len(selection.jobs) != 1:
        raise UsageError("--run needs one job", hint="name it: syncer history JOB --run N")
    found: list[Document] = []
    lines: list[str] = []
    for job in selection.jobs:
        with jobs.view(selection.settings, job) as state:
            entries: tuple[HistoryEntry, ...] = ()
            if number is None:
                runs = state.ledger.runs(max(limit, 1))
            elif (run := state.ledger.run(number)) is not None:
                runs, entries = (run,), state.ledger.history(number)
            else:
                hint = "syncer history lists the runs that are kept"
                raise UsageError(f"there is no run {number}", hint=hint)
            document: Document = {"job": job.name, "runs": [run_document(run) for run in runs]}
            if number is not None:
                document["actions"] = [history_document(entry) for entry in entries]
            found.append(document)
            lines += [f"{job.name}:{'' if runs else ' never ran'}", *map(_run_line, runs)]
            lines += map(_action_line, entries)
            if state.note:
                session.inform(f"{job.name}: {printable(state.note)}")
    session.answer({"jobs": found}, *lines)
    return 0


def _run_line(run: Run) -> str:
    total = run.totals
    did = [
        f"{total.uploaded:,} up, {total.downloaded:,} down",
        f"{total.deleted:,} deleted, {total.moved:,} moved",
        f"{show_size(total.bytes_sent)} sent, {show_size(total.bytes_received)} received",
    ]
    head = f"  {run.id:>5}  {moment(run.started_ns)}  {run.result or 'unfinished':<12}"
    return f"{head} {', '.join(did)}  {printable(run.message)}".rstrip()


def _action_line(entry: HistoryEntry) -> str:
    other = f" ({printable(entry.other)})" if entry.other else ""
    why = f": {printable(entry.message)}" if entry.message else ""
    return f"    {entry.action:<14}{printable(entry.path)}{other}  {entry.reason}, {entry.result}{why}"
