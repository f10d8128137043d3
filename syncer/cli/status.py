"""`status` and `history`: what the ledger says, and a running daemon, without looking at the two sides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from syncer import jobs
from syncer.cli import documents, live, wordings
from syncer.cli.documents import Document
from syncer.cli.options import Session, complain, session_of, shared
from syncer.cli.selection import select
from syncer.cli.wordings import moment
from syncer.config import JobSettings, Settings
from syncer.daemon.describing import job_document
from syncer.daemon.standing import AHEAD, JobStanding
from syncer.engine.paths import printable
from syncer.errors import ConfigError, SyncerError, UsageError
from syncer.jobs import HistoryEntry, Run, State, opening, results
from syncer.units import show_duration, show_size
from syncer.wording import counted

STALE = 3
_ENOUGH = 20  # runs among which the last one that was no undo is


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@session_of
def status(session: Session, words: tuple[str, ...]) -> int:
    """Say when each JOB last succeeded, and what waits: conflicts, problems, failures, held deletions.

    With a daemon, also what it does at the moment, what it will look at, and when.
    Exits as `sync` would: 1 something waits for you, 3 a transfer failed (or the last success is older than
    the job's max_age), 4 something is held or refused; and as the last run did, if an error ended it.
    """
    selection = select(session, words)
    now = live.look(selection.settings.state_dir)
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
        lines += live.job_lines(standing, time.time()) if standing else []
        lines += [live.marked(job.name)] if document["paused"] and not now.standing else []
    session.answer({"daemon": now.document(), "jobs": found}, *lines)
    return results.worst(int(document["exit"]) for document in found)


def _never_possible(settings: Settings, job: JobSettings, document: Document) -> list[str]:
    """What is wrong with a job that no run was ever begun for: it stands in no ledger."""
    if document["last_run"] is not None:
        return []
    try:
        opening.prepared(settings, job)
    except ConfigError as error:
        document["exit"] = results.worst((document["exit"], error.exit_code))
        return [f"  {printable(error.message)}", f"    hint: {printable(error.hint)}"]
    return []


def _job(job: JobSettings, state: State, standing: JobStanding | None) -> Document:
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
        "exit": results.worst(codes),
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
        "problems": [documents.problem(p.problem) for p in ledger.problems()],
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
    return last.exit_code or SyncerError.exit_code if last.result != "interrupted" else STALE


def _newer(recorded_ns: int | None, standing: JobStanding | None, now: float) -> float | None:
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
        message = wordings.without(problem["path"], problem["message"])
        yield f"  problem: {printable(problem['path'])} ({problem['side']}): {message}"
    for failure in document["failures"]:
        times = counted(failure["count"], "time")
        message = wordings.without(failure["path"], failure["message"])
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
def history(session: Session, words: tuple[str, ...], limit: int, number: int | None) -> int:
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
