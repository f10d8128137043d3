"""Command `undo`: revert a run, after showing the steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import click

from syncer.cli.common import CliContext, pass_cli, print_out, shared, stoppable
from syncer.cli.job_selection import Selection, job_options, select_one
from syncer.cli.json_output import Document
from syncer.cli.progress import LineReporter
from syncer.cli.text_output import moment
from syncer.config import JobSettings
from syncer.engine.model import Side
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import counted
from syncer.jobs import Environment
from syncer.jobs import undo as undo_job
from syncer.jobs.cancellation import StoppableClock
from syncer.jobs.undo import UndoReport, UndoResult
from syncer.jobs.undo_steps import What

Act = Callable[[Environment, JobSettings, int | None], UndoReport]
_LABELS = {
    What.PUT_BACK: "put back",
    What.REMOVE: "remove",
    What.MAKE: "make dir",
    What.UNMAKE: "remove dir",
    What.RENAME: "rename back",
}
_SHOWN = 40
_NEXT = "the next sync carries this to the other side; what is taken away is in the trash"


@click.command()
@click.argument("run", type=int, required=False)
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would be done.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@job_options
@shared
@pass_cli
def undo(session: CliContext, run: int | None, dry_run: bool, yes: bool, words: tuple[str, ...]) -> int:
    """Take RUN back (the last one that did anything; `syncer history` lists them).

    What it overwrote or deleted in a folder stands there again, what it brought goes to the trash, names it
    changed are changed back. The next sync then carries that to the other side.
    """
    session.start_logging()
    selection = select_one(session, words)
    name = selection.jobs[0].name
    if not dry_run and not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="look with --dry-run, then say --yes")
    if dry_run or not yes:
        seen = _work(session, selection, run, undo_job.preview)
        if dry_run:
            return _report(session, name, seen)
        run = seen.run.id
        for line in _lines(name, seen):
            session.inform(line)
        if not seen.steps or not click.confirm(f"Take run {run} of {name} back?", err=True):
            raise click.Abort
    return _report(session, name, _work(session, selection, run, undo_job.undo))


def _work(session: CliContext, selection: Selection, run: int | None, act: Act) -> UndoReport:
    (job,) = selection.jobs
    with stoppable() as stop:
        environment = Environment(
            settings=selection.settings, reporter=LineReporter(session, stop), clock=StoppableClock(stop)
        )
        return act(environment, job, run)


def _report(session: CliContext, name: str, done: UndoReport) -> int:
    if session.json:
        session.answer(_document(name, done))
    else:
        for line in _lines(name, done):
            print_out(line)
    return done.exit_code


def _lines(name: str, done: UndoReport) -> Iterator[str]:
    ended = done.run.ended_ns or done.run.started_ns
    dry = done.number == 0
    yield f"{name}: run {done.run.id}, {moment(ended)}"
    shown = [t for t in done.steps if not t.failure][:_SHOWN]
    failed = [t for t in done.steps if t.failure]
    yield from map(_line, shown)
    more = len(done.steps) - len(failed) - len(shown)
    if more:
        yield f"  and {more:,} more"
    yield from map(_line, failed)
    yield from (f"  {printable(note)}" for note in done.notes)
    count = len(done.steps) - len(failed)
    text = f"{counted(count, 'step')} {'would be' if dry else 'was' if count == 1 else 'were'} taken back"
    yield f"{name}: {text}" + (f", {len(failed):,} not" if failed else "")
    if count:
        yield f"  {_NEXT}"


def _line(taken: UndoResult) -> str:
    step = taken.step
    where = "here" if step.side is Side.LOCAL else "there"
    path = f"{printable(step.path)} → {printable(step.origin)}" if step.origin else printable(step.path)
    line = f"  {f'{_LABELS[step.what]} {where}':<20}{path}"
    return f"{line}  NOT: {printable(taken.failure)}" if taken.failure else line


def _document(name: str, done: UndoReport) -> Document:
    steps = [
        {
            "action": t.step.what.value,
            "side": t.step.side.value,
            "path": t.step.path,
            "to": t.step.origin,
            "failure": t.failure,
        }
        for t in done.steps
    ]
    return {
        "job": name,
        "run": done.run.id,
        "undo": done.number,
        "result": "planned" if done.number == 0 else "undone",
        "exit": done.exit_code,
        "steps": steps,
        "notes": list(done.notes),
    }
