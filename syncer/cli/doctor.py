"""`doctor`: probes this machine, the config and the folders, on one screen."""

from __future__ import annotations

from collections.abc import Iterator

import click

from syncer.cli.options import Session, session_of, shared
from syncer.config.paths import default_config, default_state_dir
from syncer.engine.paths import printable
from syncer.errors import SyncerError
from syncer.jobs import placement, probing
from syncer.jobs.probing import Finding


@click.command()
@shared
@session_of
def doctor(session: Session) -> int:
    """Probe Python, librsync, SQLite, the state directory, the config and each job's folders."""
    found = [*probing.machine(), *_config(session)]
    width = max(len(finding.name) for finding in found)
    lines = [
        f"{'ok  ' if finding.ok else 'BAD '} {printable(finding.name):<{width}}  {printable(finding.message)}"
        for finding in found
    ]
    checks = [{"name": f.name, "ok": f.ok, "message": f.message} for f in found]
    good = all(finding.ok for finding in found)
    session.answer({"ok": good, "checks": checks}, *lines)
    return 0 if good else 1


def _config(session: Session) -> Iterator[Finding]:
    try:
        settings = session.settings()
        placement.check(settings, settings.jobs.values())
    except SyncerError as error:
        yield Finding(name="config", ok=False, message=error.message.replace("\n", "; "))
        yield probing.state_directory(default_state_dir())
        return
    told = str(settings.path) if settings.path else f"none at {default_config()}: all is default"
    yield Finding(name="config", ok=True, message=told)
    yield probing.state_directory(settings.state_dir)
    for job in settings.jobs.values():
        yield from probing.job(settings, job)
