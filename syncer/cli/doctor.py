"""Command `doctor`: check this machine, the config, the folders and the accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from syncer.cli.common import CliContext, pass_cli, shared
from syncer.config import Settings
from syncer.config.paths import default_config, default_state_dir
from syncer.engine.paths import printable
from syncer.errors import SyncerError
from syncer.jobs import SystemClock, diagnostics, overlap
from syncer.jobs.diagnostics import Finding


@click.command()
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")
@shared
@pass_cli
def doctor(session: CliContext, accounts: tuple[str, ...]) -> int:
    """Probe Python, librsync, SQLite, the state directory, the config, each job's folders and each account.

    With ACCOUNTs only these: are they reached, do the credentials work, what do they hold. Exits 1 if
    something is bad.
    """
    session.start_logging()
    findings = list(_named(session, accounts) if accounts else _everything(session))
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        mark = "ok  " if finding.ok else "BAD "
        lines.append(f"{mark} {printable(finding.name):<{width}}  {printable(finding.message)}")
        if finding.hint:
            lines.append(f"{'':{width + 5}}  -> {printable(finding.hint)}")
    checks = [{"name": f.name, "ok": f.ok, "message": f.message, "hint": f.hint} for f in findings]
    good = all(finding.ok for finding in findings)
    session.answer({"ok": good, "checks": checks}, *lines)
    return 0 if good else 1


def _named(session: CliContext, names: Iterable[str]) -> Iterator[Finding]:
    from syncer.accounts import verify

    settings = session.settings()
    chosen = [verify.known(settings.accounts, name, settings.origin).name for name in dict.fromkeys(names)]
    yield diagnostics.librsync()
    yield from _accounts(settings, chosen)


def _everything(session: CliContext) -> Iterator[Finding]:
    yield from diagnostics.machine()
    try:
        settings = session.settings()
        overlap.check(settings, settings.jobs.values())
    except SyncerError as error:
        yield Finding(name="config", ok=False, message=error.message.replace("\n", "; "), hint=error.hint)
        yield diagnostics.state_directory(default_state_dir())
        return
    path = str(settings.path) if settings.path else f"none at {default_config()}: all is default"
    yield Finding(name="config", ok=True, message=path)
    yield diagnostics.state_directory(settings.state_dir)
    for job in settings.jobs.values():
        yield from diagnostics.job(settings, job)
    yield from _accounts(settings, settings.accounts)


def _accounts(settings: Settings, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        yield from diagnostics.account(settings, settings.accounts[name], clock=SystemClock())
