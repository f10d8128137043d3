"""Command `trash`: list, restore and delete what sync replaced or deleted."""

from __future__ import annotations

import sys
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
    versions = [(job.name, v) for job in selection.jobs for v in conflicts.trashed(environment, job)]
    documents = [{"job": name, **document(version)} for name, version in versions]
    lines = [f"{name}: {printable(v.thing.path)}  ({described(v)})" for name, v in versions]
    session.answer({"trash": documents}, *(lines or ["the trash is empty"]))
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
                _report(session, job.name, one)
                for one in conflicts.restore(environment, job, wanted[job.name], run=run, to=place)
            ]
    session.answer({"restored": restored})
    return 0 if all(document["failure"] == "" for document in restored) else LEFT


def _named(
    environment: Environment, selection: Selection, texts: Sequence[str], run: str
) -> dict[str, set[RelPath]]:
    """The paths in the trash that paths and globs name, by job. Raises UsageError."""
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
        message = f"the trash does not hold {missing.message}{of_run}"
        raise UsageError(message, hint="syncer trash list") from None


def _report(session: CliContext, name: str, one: RestoreResult) -> Document:
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
    try:
        # Without a limit also what came within this very second is removed: its time may be rounded up.
        age_ns = int(parse_duration(older_than) * 1e9) if older_than else -1_000_000_000
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from error
    limit = time.time_ns() - age_ns
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", hint="say --yes")
        names = ", ".join(job.name for job in selection.jobs)
        if not click.confirm(f"Remove for good what is in the trash of {names}?", err=True):
            raise click.Abort
    environment = _environment(session, selection)
    removed: list[Document] = []
    for job in selection.jobs:
        files, size = conflicts.empty(environment, job, older_than_ns=limit)
        removed.append({"job": job.name, "files": files, "bytes": size})
    lines = [f"{one['job']}: {one['files']:,} files removed ({show_size(one['bytes'])})" for one in removed]
    session.answer({"removed": removed}, *lines)
    return 0


def _environment(session: CliContext, selection: Selection) -> Environment:
    return Environment(settings=selection.settings, reporter=LineReporter(session, CancelToken()))


def described(one: TrashItem) -> str:
    """Side, run, time and size of a version in the trash."""
    thing = one.thing
    return f"{one.side.value}, run {thing.run}, {moment(thing.taken_ns)}, {show_size(thing.size)}"


def document(one: TrashItem) -> Document:
    """A version in the trash."""
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
