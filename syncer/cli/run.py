"""`sync`: one run of every chosen job; one job's trouble does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from syncer import jobs
from syncer.cli import documents, wordings
from syncer.cli.options import Session, complain, print_json, put, session_of, shared
from syncer.cli.progress import telling
from syncer.cli.selection import PairOptions, Selection, select
from syncer.cli.signals import stoppable
from syncer.config import JobSettings
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.errors import Interrupted, SyncerError, UsageError
from syncer.jobs import Wish, World, results
from syncer.jobs.results import JobResult
from syncer.jobs.stopping import Stop, StoppableClock
from syncer.units import parse_max_delete

Work = Callable[[World, JobSettings, Wish], JobResult]
_F = TypeVar("_F", bound=Callable[..., object])


def run_options(command: _F) -> _F:
    """The options that `sync` and `plan` share."""
    for option in reversed(
        (
            click.option(
                "--max-delete", metavar="N", help="Let up to N (or 50%) deletions through this time."
            ),
            click.option(
                "--yes", "-y", is_flag=True, help="Let all deletions through, accept replaced roots."
            ),
            click.option("--full", is_flag=True, help="Trust no time stamp: read and hash everything."),
            click.option("--conflict", metavar="RULE", help=_allowed(ConflictPolicy)),
            click.option("--mode", metavar="MODE", help=_allowed(Mode)),
            click.option(
                "--ignore", metavar="PATTERN", multiple=True, help="LOCAL REMOTE only; gitignore syntax."
            ),
        )
    ):
        command = option(command)
    return command


def _allowed(kind: type[ConflictPolicy] | type[Mode]) -> str:
    return f"LOCAL REMOTE only; one of {', '.join(member.value for member in kind)}."


def wish_of(max_delete: str | None, yes: bool, full: bool) -> Wish:
    """Raises UsageError."""
    limit: MaxDelete | None = None
    if max_delete is not None:
        try:
            limit = parse_max_delete(max_delete)
        except ValueError as error:
            raise UsageError(f"--max-delete: {error}") from error
    return Wish(max_delete=limit, yes=yes, full=full)


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would be done, like `plan`.")
@run_options
@click.option("--settle", metavar="TIME", help="LOCAL REMOTE only; files younger than this wait (0: none).")
@shared
@session_of
def sync(
    session: Session,
    words: tuple[str, ...],
    dry_run: bool,
    max_delete: str | None,
    yes: bool,
    full: bool,
    conflict: str | None,
    mode: str | None,
    ignore: tuple[str, ...],
    settle: str | None,
) -> int:
    """Bring both sides of each JOB in step (all jobs of the config if none is named).

    LOCAL REMOTE syncs a folder without any config; REMOTE is ACCOUNT:PATH or a path.
    """
    session.start_logging()
    wish = wish_of(max_delete, yes, full)
    options = PairOptions(conflict=conflict, mode=mode, ignore=ignore, settle=settle)
    selection = select(session, words, options)
    if dry_run:
        return show_plans(session, selection, wish)
    found = each(session, selection, wish, jobs.sync, tell)
    if session.json:
        print_json(documents.jobs(found))
    return results.worst(result.exit_code for result in found)


def show_plans(session: Session, selection: Selection, wish: Wish) -> int:
    """Plans of all chosen jobs: on stdout, since they are what was asked for."""
    found = each(session, selection, wish, jobs.plan, _show if not session.json else tell)
    if session.json:
        print_json(documents.jobs(found))
    return results.worst(result.exit_code for result in found)


def each(
    session: Session,
    selection: Selection,
    wish: Wish,
    work: Work,
    told: Callable[[Session, JobResult], None],
) -> Sequence[JobResult]:
    """Work on one job after the other; a signal ends it."""
    found: list[JobResult] = []
    with stoppable() as stop:
        for job in selection.jobs:
            with telling(session, stop, job.name) as reporter:
                world = World(settings=selection.settings, reporter=reporter, clock=StoppableClock(stop))
                result = _guarded(session, work, world, job, wish)
            told(session, result)
            found.append(result)
            if stop.signum:
                _stopped(session, found, stop)
                break
    return found


def _stopped(session: Session, found: list[JobResult], stop: Stop) -> None:
    """The last job's result says that the rest was not done, also if it ended just in time itself."""
    last = found[-1]
    if not isinstance(last.error, Interrupted):
        session.talk("stopped by a signal")
        found.append(JobResult(job=last.job, error=Interrupted(stop.signum)))


def _guarded(session: Session, work: Work, world: World, job: JobSettings, wish: Wish) -> JobResult:
    """A bug met in one job must not keep the others from being synced."""
    try:
        return work(world, job, wish)
    except Exception as error:  # noqa: BLE001 - see above; -vv shows the traceback
        if session.verbose >= 2:
            import traceback

            traceback.print_exc()
        unexpected = SyncerError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a bug of Syncer; run again with -vv and report what it prints",
        )
        return JobResult(job=job.name, error=unexpected)


def tell(session: Session, result: JobResult) -> None:
    """What there is to say after a job, on stderr; its actions were told while they were done."""
    for line in wordings.remarks(result):
        session.talk(line)
    if session.verbose:
        for line in wordings.ignored(result):
            session.talk(line)
    if result.error:
        complain(result.error)
    session.talk(wordings.summary(result))


def _show(session: Session, result: JobResult) -> None:
    if result.plan:
        for action in result.plan.actions:
            if results.loud(action):
                put(wordings.action(action))
    for line in wordings.remarks(result):
        put(line)
    if session.verbose:
        for line in wordings.ignored(result):
            put(line)
    if result.error:
        complain(result.error)
    put(wordings.summary(result))
