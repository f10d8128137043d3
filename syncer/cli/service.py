"""Command `service`: install, remove and show the daemon as a service of the user's session."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.cli.json_output import Document
from syncer.config import Settings
from syncer.config.paths import default_config
from syncer.daemon.service import environment, installer, unit_file
from syncer.daemon.service.installer import Manager, Outcome
from syncer.daemon.service.spec import ServiceSpec, run
from syncer.daemon.service.unit_file import UnitFileState
from syncer.engine.paths import printable

UNFINISHED = 1
_jobs = click.argument("jobs", nargs=-1, metavar="[JOB]...")
_harden = click.option(
    "--harden", is_flag=True, help="Forbid setuid programs and odd system calls (systemd)."
)


@click.group()
@shared
def service() -> None:
    """Run the daemon at every login: a systemd user unit, or a launchd agent."""


@service.command()
@_jobs
@click.option("--no-start", is_flag=True, help="Only write the definition.")
@click.option("--force", is_flag=True, help="Replace one that was changed by hand; a copy is kept.")
@_harden
@shared
@pass_cli
def install(session: CliContext, jobs: tuple[str, ...], no_start: bool, force: bool, harden: bool) -> int:
    """Write the service that runs the daemon for each JOB (all jobs if none is named), and start it."""
    settings = session.settings()
    wanted = _wanted(settings, jobs, harden=harden)
    manager = _manager()
    done = installer.install(manager, wanted, run, start=not no_start, force=force)
    remarks = [*_lacking(settings, wanted, manager), *manager.remarks(settings)]
    document = {**_outcome(done), "remarks": remarks}
    session.answer({"service": document}, *_installed(done), *_failures(done))
    for remark in remarks:
        session.inform(f"  note: {printable(remark)}")
    return UNFINISHED if done.failures else 0


@service.command()
@click.option("--force", is_flag=True, help="Also one that was changed by hand; a copy is kept.")
@shared
@pass_cli
def uninstall(session: CliContext, force: bool) -> int:
    """Stop the service and remove its definition. Config, state and files stay."""
    done = installer.uninstall(_manager(), run, force=force)
    session.answer({"service": _outcome(done)}, *_removed(done), *_failures(done))
    return UNFINISHED if done.failures and done.before is not UnitFileState.MISSING else 0


@service.command()
@_jobs
@_harden
@shared
@pass_cli
def show(session: CliContext, jobs: tuple[str, ...], harden: bool) -> int:
    """Print the definition that `install` would write, and whether it is in place."""
    settings = session.settings()
    wanted = _wanted(settings, jobs, harden=harden)
    manager = _manager()
    text = unit_file.marked(manager.text(wanted))
    state = unit_file.state(manager.path, text)
    document = {"kind": manager.kind, "path": str(manager.path), "state": state.value, "text": text}
    session.answer({"service": document}, text.rstrip("\n"))
    session.inform(f"{printable(str(manager.path))}: {_STATES[state]}")
    return 0


_STATES = {
    UnitFileState.MISSING: "not installed",
    UnitFileState.CURRENT: "installed, as above",
    UnitFileState.OUTDATED: "installed, for something else than above",
    UnitFileState.FOREIGN: "changed by hand, or not Syncer's",
}


def _manager() -> Manager:
    return installer.manager(run, config_home=default_config().parent.parent)


def _wanted(settings: Settings, jobs: tuple[str, ...], *, harden: bool) -> ServiceSpec:
    return installer.wanted(settings, jobs, environment=environment.carried(os.environ), harden=harden)


def _lacking(settings: Settings, wanted: ServiceSpec, manager: Manager) -> Iterator[str]:
    """Variables of this shell, and programs on its PATH, that the service will not have."""
    file = manager.variables(wanted)
    defined = environment.given(file.read_text("utf-8", "replace")) if file and file.is_file() else set()
    text = wanted.config.read_text("utf-8")
    for name, where in environment.lacking(settings, text, os.environ).items():
        if name in defined:
            continue
        remedy = f"put {name}=… into {file} (chmod 600)" if file else "use {keyring}, {file} or {command}"
        yield f"the service will not have {name} ({where}): {remedy}"
    for name, where in environment.unfound(
        settings, lambda word, path: shutil.which(word, path=path)
    ).items():
        yield f"the service may not find {name} ({where}): write its whole path"


def _outcome(done: Outcome) -> Document:
    return {
        "kind": done.kind,
        "path": str(done.path),
        "before": done.before.value,
        "kept": str(done.kept) if done.kept else None,
        "failed": [{"command": list(f.words), "message": f.output} for f in done.failures],
    }


def _installed(done: Outcome) -> Iterator[str]:
    verb = {UnitFileState.MISSING: "written", UnitFileState.CURRENT: "is right as it is"}.get(
        done.before, "written anew"
    )
    yield f"{printable(str(done.path))}: {verb}"
    yield from _kept(done)


def _removed(done: Outcome) -> Iterator[str]:
    ending = "not installed" if done.before is UnitFileState.MISSING else "removed"
    yield f"{printable(str(done.path))}: {ending}"
    yield from _kept(done)


def _kept(done: Outcome) -> Iterator[str]:
    if done.kept:
        yield f"what was there is kept as {printable(str(done.kept))}"


def _failures(done: Outcome) -> Iterator[str]:
    """The commands that failed, for the user to run."""
    if done.failures:
        first = done.failures[0]
        yield f"{shlex.join(first.words)} did not work: {printable(first.output)}"
        yield "run yourself:"
        yield from (f"  {shlex.join(failure.words)}" for failure in done.failures)
