"""Command `conflicts`: list, show and resolve open conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from syncer import jobs
from syncer.cli.common import CliContext, pass_cli, print_out, shared
from syncer.cli.job_selection import Selection, job_options, select
from syncer.cli.json_output import Document
from syncer.cli.progress import LineReporter
from syncer.cli.text_output import moment
from syncer.config import JobSettings
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import show_size
from syncer.jobs import ConflictSide, Environment, OpenConflict, user_paths
from syncer.jobs import conflicts as resolution
from syncer.jobs.cancellation import CancelToken

WAITING = 1


@click.group(invoke_without_command=True)
@shared
@click.pass_context
def conflicts(context: click.Context) -> int:
    """List, show and resolve open conflicts. Alone it lists those of all jobs."""
    if context.invoked_subcommand is None:
        return listing(context.ensure_object(CliContext), ())
    return 0


@conflicts.command("list")
@click.argument("words", nargs=-1, metavar="[JOB]... | LOCAL REMOTE")
@shared
@pass_cli
def list_(session: CliContext, words: tuple[str, ...]) -> int:
    """List the open conflicts of each JOB."""
    return listing(session, words)


def listing(session: CliContext, words: Sequence[str]) -> int:
    """Print the open conflicts of the jobs that the words name."""
    selection = select(session, words)
    for job in selection.jobs:
        with jobs.view(selection.settings, job) as state:
            if state.note:
                session.inform(f"{job.name}: {printable(state.note)}")
    found = _open(selection)
    lines = [_line(*one) for one in found]
    documents = [_document(*one) for one in found]
    session.answer({"conflicts": documents}, *(lines or ["no open conflicts"]))
    return 0


@conflicts.command()
@click.argument("path")
@job_options
@shared
@pass_cli
def show(session: CliContext, path: str, words: tuple[str, ...]) -> int:
    """Show both sides of the conflict at PATH (a path or a glob)."""
    selection = select(session, words)
    wanted = _named(selection, (path,))
    found = [one for one in _open(selection) if set(resolution.names(one[1])) & wanted.get(one[0], set())]
    if session.json:
        session.answer({"conflicts": [_document(*one) for one in found]})
        return 0
    for name, conflict, take in found:
        print_out(_line(name, conflict, take))
        print_out(f"  since   {moment(conflict.since_ns)}")
        print_out(f"  local   {_side(conflict.local)}")
        print_out(f"  remote  {_side(conflict.remote)}")
    return 0


@conflicts.command()
@click.argument("patterns", nargs=-1, metavar="[PATH | GLOB]...")
@click.option("--all", "everything", is_flag=True, help="Every open conflict.")
@click.option(
    "--take",
    type=click.Choice(["local", "remote", "both"]),
    required=True,
    help="Which content keeps the name; the other goes to the trash. both: keep both, close the conflict.",
)
@job_options
@shared
@pass_cli
def resolve(
    session: CliContext, patterns: tuple[str, ...], everything: bool, take: str, words: tuple[str, ...]
) -> int:
    """Settle conflicts by path, glob or --all. The next sync carries it to the other side."""
    if bool(patterns) == everything:
        raise UsageError("name the conflicts by path or glob, or say --all", hint="syncer conflicts list")
    selection = select(session, words)
    environment = Environment(settings=selection.settings, reporter=LineReporter(session, CancelToken()))
    settled: list[Document] = []
    wanted = _named(selection, patterns)
    for job in selection.jobs:
        if not _of_job(job, selection) or (patterns and job.name not in wanted):
            continue
        for one in resolution.resolve(environment, job, wanted.get(job.name, ()), take):
            session.inform(f"{job.name}: {printable(one.path)}: {one.message}")
            settled.append({"job": job.name, **asdict(one)})
    session.answer({"resolved": settled}, *([] if settled else ["no open conflicts"]))
    return 0 if all(document["settled"] for document in settled) else WAITING


Found = tuple[str, OpenConflict, str]


def _open(selection: Selection) -> list[Found]:
    """All open conflicts: job, conflict, and the choice that was made ("" for none)."""
    return [found for job in selection.jobs for found in _of_job(job, selection)]


def _of_job(job: JobSettings, selection: Selection) -> list[Found]:
    with jobs.view(selection.settings, job) as state:
        return [
            (job.name, conflict, jobs.chosen(state.memory, conflict.path))
            for conflict in state.ledger.conflicts()
        ]


def _named(selection: Selection, texts: Sequence[str]) -> dict[str, set[RelPath]]:
    """The paths of open conflicts that paths and globs name, by job. Raises UsageError."""
    known = {
        job.name: (job, [n for _, conflict, _ in _of_job(job, selection) for n in resolution.names(conflict)])
        for job in selection.jobs
    }
    try:
        return user_paths.find(texts, known)
    except UsageError as missing:
        message = f"there is no open conflict at {missing.message}"
        raise UsageError(message, hint="syncer conflicts list") from None


def _line(name: str, conflict: OpenConflict, take: str) -> str:
    path = f"{name}: {printable(conflict.path)}"
    if conflict.copy:
        return f"{path}: kept beside as {printable(conflict.copy)}"
    return f"{path}: {take} is chosen, the next sync applies it" if take else f"{path}: waits for your choice"


def _side(side: ConflictSide) -> str:
    return f"{show_size(side.size)}, {moment(side.mtime_ns)}"


def _document(name: str, conflict: OpenConflict, take: str) -> Document:
    return {
        "job": name,
        "path": conflict.path,
        "copy": conflict.copy,
        "reason": conflict.reason,
        "resolution": conflict.resolution,
        "since": conflict.since_ns / 1e9,
        "chosen": take or None,
        "local": _side_document(conflict.local),
        "remote": _side_document(conflict.remote),
    }


def _side_document(side: ConflictSide) -> Document:
    mtime = None if side.mtime_ns is None else side.mtime_ns / 1e9
    return {"size": side.size, "mtime": mtime, "digest": side.digest.hex() if side.digest else None}
