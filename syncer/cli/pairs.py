"""`pairs`: the memories of all pairs of roots, with size and age, and forgetting them."""

from __future__ import annotations

import sys
import time

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.json_output import Document
from syncer.cli.text_output import moment
from syncer.config import Settings
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
    """Print the memories in the state directory, the one used last first."""
    found = memories.all_of(session.settings())
    lines = [line for one in found for line in _lines(one)]
    session.answer({"pairs": [_document(one) for one in found]}, *(lines or ["nothing is remembered"]))
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
    chosen = _chosen(settings, names)
    if not yes:
        _ask(chosen, trash)
    for one in chosen:
        memories.forget(one, trash=trash)
    told = [f"{one.place.id}: forgotten{_left(one, trash)}" for one in chosen]
    session.answer({"forgotten": [_document(one) for one in chosen]}, *told)
    return 0


def _chosen(settings: Settings, names: tuple[str, ...]) -> list[PairState]:
    found = memories.all_of(settings)
    chosen: dict[str, PairState] = {}
    for name in names:
        named = [one for one in found if name == one.place.id or name in one.jobs]
        if len(named) != 1:
            told = "several pairs are" if named else "no pair is"
            raise UsageError(f"{told} called {printable(name)}", hint="syncer pairs lists them")
        chosen[named[0].place.id] = named[0]
    return list(chosen.values())


def _ask(chosen: list[PairState], trash: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="say --yes")
    for one in chosen:
        for line in _lines(one):
            click.echo(line, err=True)
    if not click.confirm(f"Forget {'these, with their trash' if trash else 'these'}?", err=True):
        raise click.Abort


def _left(one: PairState, trash: bool) -> str:
    if trash or not one.trash:
        return ""
    return f"; its trash ({show_size(one.trash)}) stays in {one.place.directory}"


def _lines(one: PairState) -> list[str]:
    ago = show_duration(max(1, int(time.time() - one.used)))
    jobs = f"  jobs {', '.join(one.jobs)}" if one.jobs else "  no job of this config has it"
    roots = f"{one.local or '?'} <-> {one.remote or '?'}"
    size = f"{show_size(one.size)}, {show_size(one.trash)} of it trash"
    return [
        f"{one.place.id}  {printable(roots)}",
        f"{jobs}; last used {moment(int(one.used * 1e9))} ({ago} ago); {size}",
    ]


def _document(one: PairState) -> Document:
    return {
        "id": one.place.id,
        "directory": str(one.place.directory),
        "local": one.local or None,
        "remote": one.remote or None,
        "jobs": list(one.jobs),
        "used": one.used,
        "size": one.size,
        "trash": one.trash,
    }
