"""Command `init`: write a config file with one job, or add a job to an existing one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.job_selection import PairOptions, pair
from syncer.config import JobSettings, Settings, load, writer
from syncer.config.paths import default_config, default_state_dir
from syncer.engine.paths import printable
from syncer.errors import ConfigError, UsageError
from syncer.jobs import overlap

_REMOTE = "Where to (a folder, or ACCOUNT:PATH)"


@click.command()
@click.option("--local", metavar="FOLDER", help="The folder here.")
@click.option("--remote", metavar="PLACE", help="ACCOUNT:PATH, or another folder here.")
@click.option("--name", metavar="NAME", help="What to call the job (default: the folder's name).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@shared
@pass_cli
def init(session: CliContext, local: str | None, remote: str | None, name: str | None, yes: bool) -> int:
    """Write a config file with one job, or add a job to the one that is there.

    What is not said by options is asked, on a terminal. Nothing is synced yet.
    """
    path = session.config or default_config()
    settings = _settings(session, path)
    asking = sys.stdin.isatty() and not yes
    if not asking:
        _check_said(local, remote)
    local = local or click.prompt("Which folder here", err=True)
    remote = remote or click.prompt(_REMOTE, err=True)
    job = pair(settings, local, remote, PairOptions(), new=True)
    suggested = _suggested(job.local)
    name = name or (click.prompt("Name of the job", default=suggested, err=True) if asking else suggested)
    job = replace(job, name=name)
    _check(settings, job, path)
    if asking:
        session.inform(f"\n{printable_lines(writer.table(job))}")
        if not click.confirm(f"Write this to {path}?", default=True, err=True):
            raise click.Abort
    return _told(session, path, job, made=writer.add(path, job))


def _suggested(local: Path) -> str:
    """The folder's name, as far as a job may have it."""
    return local.name.replace(":", "-").strip().lstrip("-") or "files"


def printable_lines(text: str) -> str:
    """Each line as a terminal can show it."""
    return "\n".join(map(printable, text.split("\n")))


def _settings(session: CliContext, path: Path) -> Settings:
    """What the file holds already; a named one need not be there. Raises ConfigError."""
    if os.path.lexists(path):
        return load(path)
    return Settings(path=path, state_dir=default_state_dir(), accounts={}, jobs={})


def _check_said(local: str | None, remote: str | None) -> None:
    missing = [option for option, said in (("--local", local), ("--remote", remote)) if not said]
    if missing:
        raise UsageError(
            f"nobody is there to be asked: {' and '.join(missing)} must be given",
            hint="syncer init --local ~/Documents --remote ACCOUNT:PATH",
        )


def _check(settings: Settings, job: JobSettings, path: Path) -> None:
    """What can be found wrong before the first run. Raises ConfigError, UsageError."""
    if job.name in settings.jobs:
        raise UsageError(
            f"{path}: there is a job {printable(job.name)} already",
            hint=f"choose another --name, or write by hand:\n{writer.table(job)}",
        )
    if not job.local.is_dir():
        told = "is not a folder" if os.path.lexists(job.local) else "does not exist"
        raise ConfigError(f"LOCAL: {job.local} {told}", hint="make the folder, or name the right one")
    folder = job.remote.folder
    if folder and not folder.is_dir():
        if os.path.lexists(folder):
            raise ConfigError(f"REMOTE: {folder} is not a folder", hint="name the right one")
        if not folder.parent.is_dir():
            raise ConfigError(
                f"REMOTE: {folder} cannot be made: {folder.parent} does not exist",
                hint="is a disk not mounted? the first run makes the folder, but not its parent",
            )
    overlap.check(settings, [*settings.jobs.values(), job])


def _told(session: CliContext, path: Path, job: JobSettings, *, made: bool) -> int:
    given = f" --config {path}" if session.config else ""
    following = [f"syncer{given} {command}" for command in ("plan", "sync", "daemon")]
    document = {
        "file": str(path),
        "made": made,
        "job": job.name,
        "local": str(job.local),
        "remote": str(job.remote),
        "next": following,
    }
    meanings = ("shows what the first run would do", "runs it", "keeps both sides in step from then on")
    session.answer(
        document,
        f"{path}: {'made, with' if made else 'now has'} the job {printable(job.name)}",
        f"  {job.local} <-> {printable(str(job.remote))}",
        *(f"  {line:<28}{meaning}" for line, meaning in zip(following, meanings, strict=True)),
    )
    return 0
