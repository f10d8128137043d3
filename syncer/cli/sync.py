"""Commands `sync`, `plan` and `apply`: run, or plan, each selected job; an error ends one job only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from syncer import exit_codes, jobs
from syncer.cli import json_output, text_output
from syncer.cli.common import (
    SCHEMA,
    CliContext,
    pass_cli,
    print_error,
    print_json,
    print_out,
    shared,
    stoppable,
)
from syncer.cli.job_selection import PairOptions, Selection, pair, select
from syncer.cli.progress import progress_reporter
from syncer.config import JobSettings, Settings
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.engine.report import RunReport
from syncer.errors import Interrupted, SyncerError, UsageError
from syncer.formatting import parse_max_delete
from syncer.jobs import Environment, RunOptions, overlap, results, saved_plan
from syncer.jobs.cancellation import StoppableClock
from syncer.jobs.results import JobResult
from syncer.jobs.saved_plan import Origin, SavedPlan

Work = Callable[[Environment, JobSettings, RunOptions], JobResult]
_F = TypeVar("_F", bound=Callable[..., object])


def run_flags(command: _F) -> _F:
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


def parse_run_options(max_delete: str | None, yes: bool, full: bool) -> RunOptions:
    """The options of a run, from the command line. Raises UsageError."""
    limit: MaxDelete | None = None
    if max_delete is not None:
        try:
            limit = parse_max_delete(max_delete)
        except ValueError as error:
            raise UsageError(f"--max-delete: {error}") from error
    return RunOptions(max_delete=limit, yes=yes, full=full)


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would be done, like `plan`.")
@run_flags
@click.option("--settle", metavar="TIME", help="LOCAL REMOTE only; files younger than this wait (0: none).")
@shared
@pass_cli
def sync(
    session: CliContext,
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
    run_options = parse_run_options(max_delete, yes, full)
    options = PairOptions(conflict=conflict, mode=mode, ignore=ignore, settle=settle)
    selection = select(session, words, options)
    if dry_run:
        return show_plans(session, selection, run_options)
    found = run_each(session, selection, run_options, jobs.sync, report)
    if session.json:
        print_json(json_output.jobs(found))
    return exit_codes.worst(result.exit_code for result in found)


def show_plans(session: CliContext, selection: Selection, run_options: RunOptions) -> int:
    """Plan the selected jobs and print the plans on stdout. Returns the exit code."""
    found = run_each(session, selection, run_options, jobs.plan, _show if not session.json else report)
    if session.json:
        print_json(json_output.jobs(found))
    return exit_codes.worst(result.exit_code for result in found)


def run_each(
    session: CliContext,
    selection: Selection,
    run_options: RunOptions,
    work: Work,
    show: Callable[[CliContext, JobResult], None],
) -> Sequence[JobResult]:
    """Call `work` for one job after the other, and `show` with each result; a signal ends the loop."""
    found: list[JobResult] = []
    with stoppable() as stop:
        for job in selection.jobs:
            with progress_reporter(session, stop, job.name) as reporter:
                environment = Environment(
                    settings=selection.settings, reporter=reporter, clock=StoppableClock(stop)
                )
                result = _guarded(session, work, environment, job, run_options)
            show(session, result)
            found.append(result)
            if stop.signum:
                if not isinstance(
                    result.error, Interrupted
                ):  # it ended just in time; the next jobs do not run
                    session.inform("stopped by a signal")
                    found.append(JobResult(job=job.name, error=Interrupted(stop.signum)))
                break
    return found


def _guarded(
    session: CliContext, work: Work, environment: Environment, job: JobSettings, run_options: RunOptions
) -> JobResult:
    """Turn an unexpected exception into a result: a bug in one job must not keep the others from running."""
    try:
        return work(environment, job, run_options)
    except Exception as error:  # noqa: BLE001 - see above; -vv shows the traceback
        if session.verbose >= 2:
            import traceback

            traceback.print_exc()
        unexpected = SyncerError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a bug of Syncer; run again with -vv and report what it prints",
        )
        return JobResult(job=job.name, error=unexpected)


def report(session: CliContext, result: JobResult) -> None:
    """Print what a job ended as; its actions were printed while they were done.

    With -q only what somebody must act on: deletions that are held, conflicts that wait, failures.
    """
    urgent = bool(result.exit_code) and not result.error
    _print_result(session, result, session.report, summary=urgent or not session.quiet)


def _show(session: CliContext, result: JobResult) -> None:
    if result.plan:
        for action in result.plan.actions:
            if results.loud(action):
                print_out(text_output.action(action))
    _print_result(session, result, print_out, summary=True)


def _print_result(
    session: CliContext, result: JobResult, print_line: Callable[[str], None], *, summary: bool
) -> None:
    for line in text_output.remarks(result, only_urgent=session.quiet):
        print_line(line)
    if session.verbose:
        for line in text_output.ignored(result):
            print_line(line)
    if result.error:
        print_error(result.error)
    if summary:
        print_line(text_output.summary(result))


# -- `apply`: run a saved plan, from which a person may have removed actions ----


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--max-delete", metavar="N", help="Let up to N (or 50%) deletions through this time.")
@click.option("--yes", "-y", is_flag=True, help="Let all deletions of the plan through.")
@shared
@pass_cli
def apply(session: CliContext, file: Path, max_delete: str | None, yes: bool) -> int:
    """Run the plan in FILE, which `syncer plan -o FILE` saved.

    Actions may have been removed from the file: they wait for the next sync. What the others were
    planned on is looked at again; where it is not so any more, nothing is done (exit 3).
    """
    session.start_logging()
    run_options = parse_run_options(max_delete, yes, full=False)
    settings = session.settings()
    overlap.check(settings, settings.jobs.values())
    plans: dict[str, SavedPlan] = {}
    chosen: list[JobSettings] = []
    for plan in saved_plan.read(file):
        job = _job(settings, plan.origin, file)
        saved_plan.fits(file, plan, settings, job)
        plans[job.name] = plan
        chosen.append(job)
    selection = Selection(settings=settings, jobs=tuple(chosen))
    found = run_each(session, selection, run_options, _applied(plans), report)
    if session.json:
        print_json(json_output.jobs(found))
    return exit_codes.worst(result.exit_code for result in found)


def _job(settings: Settings, origin: Origin, file: Path) -> JobSettings:
    """The job that a plan was made for. Raises ConfigError, UsageError."""
    if origin.named:
        return settings.job(origin.name)
    if origin.name in settings.jobs:
        hint = "make a new plan: syncer plan -o FILE"
        raise UsageError(f"{file}: {origin.name} was a pair of folders, and is a job now", hint=hint)
    options = PairOptions(conflict=origin.conflict, mode=origin.mode, ignore=origin.ignore)
    return replace(pair(settings, origin.local, origin.remote, options), name=origin.name)


def _applied(plans: Mapping[str, SavedPlan]) -> Work:
    """The work for `run_each` that runs each job's part of the plan file."""

    def work(environment: Environment, job: JobSettings, run_options: RunOptions) -> JobResult:
        plan = plans[job.name]
        if not plan.actions:
            return JobResult(job=job.name, report=RunReport())
        chosen = replace(run_options, choice=plan.choice(), full=plan.origin.full, trigger="apply")
        return jobs.sync(environment, job, chosen)

    return work


# -- `plan` ----------------------------------------------------------------------


@click.command()
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Save the plan to a file.")
@run_flags
@shared
@pass_cli
def plan(
    session: CliContext,
    words: tuple[str, ...],
    output: Path | None,
    max_delete: str | None,
    yes: bool,
    full: bool,
    conflict: str | None,
    mode: str | None,
    ignore: tuple[str, ...],
) -> int:
    """Show what `sync` would do with each JOB, and why. Nothing is changed."""
    session.start_logging()
    run_options = parse_run_options(max_delete, yes, full)
    selection = select(session, words, PairOptions(conflict=conflict, mode=mode, ignore=ignore))
    if output is None:
        return show_plans(session, selection, run_options)
    found = run_each(session, selection, run_options, jobs.plan, report)
    # After a signal the results may be fewer than the jobs, or one more.
    known = {job.name: saved_plan.planned(selection.settings, job, run_options) for job in selection.jobs}
    document = {"jobs": [json_output.saved(result, known[result.job]) for result in found]}
    try:
        output.write_text(
            json.dumps({"schema": SCHEMA, **document}, indent=1, ensure_ascii=True) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    session.inform(f"saved to {output}")
    if session.json:
        print_json(document)
    return exit_codes.worst(result.exit_code for result in found)
