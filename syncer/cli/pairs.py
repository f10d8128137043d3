"""Command `pairs`: list the state directories of pairs of roots, with size and age, and delete them."""

from __future__ import annotations

import sys
import time

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.json_output import Document
from syncer.cli.text_output import moment
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.formatting import show_duration, show_size
from syncer.jobs import memories
from syncer.jobs.memories import PairState


@click.group(invoke_without_command=True)
@shared
@click.pass_context
def pairs(context: click.Context) -> int:
    """List and forget what is remembered of pairs of roots. Alone it lists them."""
    if context.invoked_subcommand is None:
        return listing(context.ensure_object(CliContext))
    return 0


@pairs.command("list")
@shared
@pass_cli
def list_(session: CliContext) -> int:
    """List every pair that is remembered, also those that no job of the config has."""
    return listing(session)


def listing(session: CliContext) -> int:
    """Print the pairs in the state directory, the one used last first."""
    known = memories.all_of(session.settings())
    lines = [line for pair in known for line in _lines(pair)]
    session.answer({"pairs": [_document(pair) for pair in known]}, *(lines or ["nothing is remembered"]))
    return 0


@pairs.command()
@click.argument("names", nargs=-1, required=True, metavar="ID | JOB...")
@click.option("--trash", is_flag=True, help="Its trash as well: the files in it are gone for good.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@shared
@pass_cli
def forget(session: CliContext, names: tuple[str, ...], trash: bool, yes: bool) -> int:
    """Forget pairs, by id or by job. No file is lost: the next run of one merges as if for the first time."""
    settings = session.settings()
    known = memories.all_of(settings)
    chosen: dict[str, PairState] = {}
    for name in names:
        matches = [pair for pair in known if name == pair.place.id or name in pair.jobs]
        if len(matches) != 1:
            number = "several pairs are" if matches else "no pair is"
            raise UsageError(f"{number} called {printable(name)}", hint="syncer pairs lists them")
        chosen[matches[0].place.id] = matches[0]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", hint="say --yes")
        for pair in chosen.values():
            for line in _lines(pair):
                click.echo(line, err=True)
        if not click.confirm(f"Forget {'these, with their trash' if trash else 'these'}?", err=True):
            raise click.Abort
    lines = []
    for pair in chosen.values():
        memories.forget(pair, trash=trash)
        stays = f"; its trash ({show_size(pair.trash)}) stays in {pair.place.directory}"
        lines.append(f"{pair.place.id}: forgotten{stays if pair.trash and not trash else ''}")
    session.answer({"forgotten": [_document(pair) for pair in chosen.values()]}, *lines)
    return 0


def _lines(pair: PairState) -> list[str]:
    ago = show_duration(max(1, int(time.time() - pair.used)))
    jobs = f"  jobs {', '.join(pair.jobs)}" if pair.jobs else "  no job of this config has it"
    roots = f"{pair.local or '?'} <-> {pair.remote or '?'}"
    size = f"{show_size(pair.size)}, {show_size(pair.trash)} of it trash"
    return [
        f"{pair.place.id}  {printable(roots)}",
        f"{jobs}; last used {moment(int(pair.used * 1e9))} ({ago} ago); {size}",
    ]


def _document(pair: PairState) -> Document:
    return {
        "id": pair.place.id,
        "directory": str(pair.place.directory),
        "local": pair.local or None,
        "remote": pair.remote or None,
        "jobs": list(pair.jobs),
        "used": pair.used,
        "size": pair.size,
        "trash": pair.trash,
    }
