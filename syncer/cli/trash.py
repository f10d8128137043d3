"""`trash`: what sync replaced or deleted, getting it back, throwing it away."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.job_selection import Selection, job_options, select
from syncer.cli.json_output import Document
from syncer.cli.progress import LineReporter
from syncer.cli.text_output import moment
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import parse_duration, show_size
from syncer.jobs import Environment, conflicts, user_paths
from syncer.jobs.cancellation import CancelToken
from syncer.jobs.conflicts import RestoreResult, TrashItem

LEFT = 1


@click.group(invoke_without_command=True)
@shared
@click.pass_context
def trash(context: click.Context) -> int:
    """List, restore and empty the trash. Alone it lists that of all jobs."""
    if context.invoked_subcommand is None:
        return listing(context.ensure_object(CliContext), ())
    return 0


@trash.command("list")
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@pass_cli
def list_(session: CliContext, words: tuple[str, ...]) -> int:
    """List what the trash of each JOB holds."""
    return listing(session, words)


def listing(session: CliContext, words: Sequence[str]) -> int:
    """Print the trash of the jobs that the words name."""
    selection = select(session, words)
    environment = _environment(session, selection)
    found = [(job.name, one) for job in selection.jobs for one in conflicts.trashed(environment, job)]
    documents = [_document(name, one) for name, one in found]
    session.answer({"trash": documents}, *([_line(*one) for one in found] or ["the trash is empty"]))
    return 0


@trash.command()
@click.argument("patterns", nargs=-1, required=True, metavar="PATH | GLOB...")
@click.option("--run", default="", help="The version that this run took away (default: the newest).")
@click.option("--to", default="", metavar="PATH", help="Put it there instead of where it was.")
@job_options
@shared
@pass_cli
def restore(session: CliContext, patterns: tuple[str, ...], run: str, to: str, words: tuple[str, ...]) -> int:
    """Put files back where they were. The next sync carries them to the other side."""
    selection = select(session, words)
    environment = _environment(session, selection)
    wanted = _named(environment, selection, patterns, run)
    restored: list[Document] = []
    for job in selection.jobs:
        if job.name in wanted:
            place = user_paths.target(job, to) if to else ""
            restored += [
                _told(session, job.name, one)
                for one in conflicts.restore(environment, job, wanted[job.name], run=run, to=place)
            ]
    session.answer({"restored": restored})
    return 0 if all(document["failure"] == "" for document in restored) else LEFT


def _named(
    environment: Environment, selection: Selection, texts: Sequence[str], run: str
) -> dict[str, set[RelPath]]:
    """What the texts name in the trash, by job. Raises UsageError."""
    known = {
        job.name: (
            job,
            [o.thing.path for o in conflicts.trashed(environment, job) if run in ("", o.thing.run)],
        )
        for job in selection.jobs
    }
    try:
        return user_paths.find(texts, known)
    except UsageError as missing:
        of_run = f" of run {printable(run)}" if run else ""
        told = f"the trash does not hold {missing.message}{of_run}"
        raise UsageError(told, hint="syncer trash list") from None


def _told(session: CliContext, name: str, one: RestoreResult) -> Document:
    where = f"{name}: {printable(one.path)} ({one.side.value})"
    hint = "; use --to PATH to put it elsewhere" if "there already" in one.failure else ""
    session.inform(
        f"{where}: {printable(one.failure)}{hint}" if one.failure else f"{where}: back at {printable(one.to)}"
    )
    return {"job": name, "side": one.side.value, "path": one.path, "to": one.to, "failure": one.failure}


@trash.command()
@click.option(
    "--older-than", default="", metavar="DURATION", help="Only what was taken longer ago, such as 30d."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@job_options
@shared
@pass_cli
def empty(session: CliContext, older_than: str, yes: bool, words: tuple[str, ...]) -> int:
    """Remove for good what the trash holds."""
    selection = select(session, words)
    limit = time.time_ns() - _nanoseconds(older_than)
    if not yes:
        names = ", ".join(job.name for job in selection.jobs)
        _ask(f"Remove for good what is in the trash of {names}?")
    environment = _environment(session, selection)
    removed: list[Document] = []
    for job in selection.jobs:
        files, size = conflicts.empty(environment, job, older_than_ns=limit)
        removed.append({"job": job.name, "files": files, "bytes": size})
    lines = [f"{one['job']}: {one['files']:,} files removed ({show_size(one['bytes'])})" for one in removed]
    session.answer({"removed": removed}, *lines)
    return 0


def _nanoseconds(older_than: str) -> int:
    try:
        # Without a limit also what was taken within this very second goes.
        return int(parse_duration(older_than) * 1e9) if older_than else -1_000_000_000
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from error


def _ask(question: str) -> None:
    import sys

    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="say --yes")
    if not click.confirm(question, err=True):
        raise click.Abort


def _environment(session: CliContext, selection: Selection) -> Environment:
    return Environment(settings=selection.settings, reporter=LineReporter(session, CancelToken()))


def _line(name: str, one: TrashItem) -> str:
    return f"{name}: {printable(one.thing.path)}  ({described(one)})"


def described(one: TrashItem) -> str:
    """The side, the run and the size of a thing in the trash."""
    thing = one.thing
    return f"{one.side.value}, run {thing.run}, {moment(thing.taken_ns)}, {show_size(thing.size)}"


def _document(name: str, one: TrashItem) -> Document:
    return {"job": name, **document(one)}


def document(one: TrashItem) -> Document:
    """A thing in the trash."""
    thing = one.thing
    return {
        "side": one.side.value,
        "path": thing.path,
        "run": thing.run,
        "taken": thing.taken_ns / 1e9,
        "kind": thing.kind.name.lower(),
        "size": thing.size,
        "mtime": thing.mtime_ns / 1e9,
    }
