"""`status` and `history`: what the ledger says, and a running daemon, without looking at the two sides."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from syncer import __version__, exit_codes, jobs
from syncer.cli import json_output, text_output
from syncer.cli.common import CliContext, complain, session_of, shared
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
from syncer.jobs import session as opening

# -- What a running daemon adds to `status`: asked once, told in lines for people ----
#
# A daemon that does not answer is no reason to hide what the ledger knows: it is told, and left at that.


_SHOWN = 10  # paths of a kind
_BAR = 20  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What there is to know now. `standing` is None where no daemon runs, or where it did not answer."""

    standing: DaemonStatus | None = None
    pid: int = 0
    error: SyncerError | None = None  # why it did not answer
    paused: frozenset[str] = frozenset()  # by the mark that a daemon honours
    unmarked: SyncerError | None = None  # why that is not known

    def of(self, job: str) -> JobStatus | None:
        """The daemon's word on a job, None if there is no daemon or the job is not its own."""
        jobs = self.standing.jobs if self.standing else ()
        return next((one for one in jobs if one.job == job), None)

    def document(self) -> Document | None:
        """The daemon itself, for `--json`."""
        if self.standing:
            told = self.standing
            return {"pid": told.pid, "started": told.started, "version": told.version}
        if self.error:
            return {"pid": self.pid, "started": None, "version": None, "error": self.error.message}
        return None

    def lines(self, now: float) -> Iterator[str]:
        """The daemon itself, for people; nothing where there is none. `now` in seconds since 1970."""
        if self.standing:
            told = self.standing
            since = f"{moment(int(told.started * 1e9))} ({_span(now - told.started)})"
            yield f"daemon: process {told.pid}, since {since}, version {printable(told.version)}"
            if told.version != __version__:
                yield f"  this program is version {__version__}: restart the daemon"


def look(state_dir: Path, *, patience: float = 3.0) -> Live:
    """Asks the daemon of a state directory, if one runs."""
    now = Live()
    try:
        now = replace(now, paused=paused(state_dir))
    except SyncerError as error:
        now = replace(now, unmarked=error)
    try:
        client = connect(state_dir, patience=patience)
        if client is None:
            return now
        now = replace(now, pid=client.pid)
        return replace(now, standing=client.standing())
    except SyncerError as error:
        return replace(now, error=error)


def job_lines(job: JobStatus, now: float) -> Iterator[str]:
    """What a job of the daemon does, what waits, what to do about it."""
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
    """The line for a job that is paused while no daemon runs."""
    return f"  paused: a daemon will not run it until: syncer resume {shlex.quote(job)}"


def _doing(job: JobStatus, now: float) -> str:
    ago = f", for {_span(now - job.since)}" if job.since else ""
    left = "" if job.next_run is None else _span(job.next_run - now)
    match job.phase:
        case Phase.RUNNING:
            return f"running: {_far(job.progress)}{ago}"
        case Phase.STARTING:
            return "daemon: starts with this job"
        case Phase.GATHERING:
            return "daemon: something happened, waits for quiet"
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


def _far(progress: Progress | None) -> str:
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
_ENOUGH = 20  # runs among which the last one that was no undo is


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@session_of
def status(session: CliContext, words: tuple[str, ...]) -> int:
    """Say when each JOB last succeeded, and what waits: conflicts, problems, failures, held deletions.

    With a daemon, also what it does at the moment, what it will look at, and when.
    Exits as `sync` would: 1 something waits for you, 3 a transfer failed (or the last success is older than
    the job's max_age), 4 something is held or refused; and as the last run did, if an error ended it.
    """
    selection = select(session, words)
    now = look(selection.settings.state_dir)
    for error in filter(None, (now.error, now.unmarked)):
        complain(error)
    found: list[Document] = []
    lines = [*now.lines(time.time())]
    for job in selection.jobs:
        standing = now.of(job.name)
        with jobs.view(selection.settings, job) as state:
            document = _job(job, state, standing)
        document["paused"] = job.name in now.paused
        found.append(document)
        lines += _lines(document)
        lines += _never_possible(selection.settings, job, document)
        lines += job_lines(standing, time.time()) if standing else []
        lines += [marked(job.name)] if document["paused"] and not now.standing else []
    session.answer({"daemon": now.document(), "jobs": found}, *lines)
    return exit_codes.worst(int(document["exit"]) for document in found)


def _never_possible(settings: Settings, job: JobSettings, document: Document) -> list[str]:
    """What is wrong with a job that no run was ever begun for: it stands in no ledger."""
    if document["last_run"] is not None:
        return []
    try:
        opening.prepared(settings, job)
    except ConfigError as error:
        document["exit"] = exit_codes.worst((document["exit"], exit_codes.exit_code(error)))
        return [f"  {printable(error.message)}", f"    hint: {printable(error.hint)}"]
    return []


def _job(job: JobSettings, state: State, standing: JobStatus | None) -> Document:
    ledger = state.ledger
    last = next(iter(ledger.runs(1)), None)
    now = time.time()
    success = _newer(ledger.last_success_ns(), standing, now)
    ahead = success is not None and success > now + AHEAD  # nobody knows how long ago that was
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
        "notes": [*([state.note] if state.note else []), *_of_the_trash(state)],
        "daemon": job_document(standing) if standing else None,
    }


def _of_the_trash(state: State) -> list[str]:
    from syncer.jobs import retention

    return retention.told(state.memory)


def _ended(runs: Sequence[Run]) -> int:
    """The exit code of an error that ended the last run; what a run only left waiting is in the ledger.

    One that a signal stopped is gone on with by the next run. To take a run back is none of them.
    """
    last = next((run for run in runs if run.result and not run.trigger.startswith("undo ")), None)
    if last is None or last.result not in ("error", "refused", "interrupted"):
        return 0
    return last.exit_code or exit_codes.FATAL if last.result != "interrupted" else STALE


def _newer(recorded_ns: int | None, standing: JobStatus | None, now: float) -> float | None:
    """The last success: a daemon that looks where something happens knows of later ones than the ledger.

    One that lies in the future, from before the clock was set right, gives way to one that does not.
    """
    known = [] if recorded_ns is None else [recorded_ns / 1e9]
    if standing and standing.last_success is not None:
        known.append(standing.last_success)
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
@session_of
def history(session: CliContext, words: tuple[str, ...], limit: int, number: int | None) -> int:
    """List the last runs of each JOB, or what one run did."""
    selection = select(session, words)
    if number is not None and len(selection.jobs) != 1:
        raise UsageError("--run needs one job", hint="name it: syncer history JOB --run N")
    found: list[Document] = []
    lines: list[str] = []
    for job in selection.jobs:
        with jobs.view(selection.settings, job) as state:
            runs = state.ledger.runs(max(limit, 1)) if number is None else _the_run(state, number)
            entries = state.ledger.history(number) if number is not None else ()
            document: Document = {"job": job.name, "runs": [run_document(run) for run in runs]}
            if number is not None:
                document["actions"] = [history_document(entry) for entry in entries]
            found.append(document)
            lines += [f"{job.name}:{'' if runs else ' never ran'}", *map(_run_line, runs)]
            lines += map(_action_line, entries)
            if state.note:
                session.talk(f"{job.name}: {printable(state.note)}")
    session.answer({"jobs": found}, *lines)
    return 0


def _the_run(state: State, number: int) -> tuple[Run]:
    run = state.ledger.run(number)
    if run is None:
        raise UsageError(f"there is no run {number}", hint="syncer history lists the runs that are kept")
    return (run,)


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
