"""`doctor`: probes this machine, the config, the folders and the accounts, on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from syncer.cli.options import Session, session_of, shared
from syncer.config import Settings
from syncer.config.paths import default_config, default_state_dir
from syncer.engine.paths import printable
from syncer.errors import SyncerError
from syncer.jobs import SystemClock, placement, probing
from syncer.jobs.probing import Finding


@click.command()
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")
@shared
@session_of
def doctor(session: Session, accounts: tuple[str, ...]) -> int:
    """Probe Python, librsync, SQLite, the state directory, the config, each job's folders and each account.

    With ACCOUNTs only these: are they reached, do the credentials work, what do they hold. Exits 1 if
    something is bad.
    """
    session.start_logging()
    found = list(_named(session, accounts) if accounts else _everything(session))
    width = max(len(finding.name) for finding in found)
    lines = [line for finding in found for line in _lines(finding, width)]
    checks = [{"name": f.name, "ok": f.ok, "message": f.message, "hint": f.hint} for f in found]
    good = all(finding.ok for finding in found)
    session.answer({"ok": good, "checks": checks}, *lines)
    return 0 if good else 1


def _lines(finding: Finding, width: int) -> Iterator[str]:
    mark = "ok  " if finding.ok else "BAD "
    yield f"{mark} {printable(finding.name):<{width}}  {printable(finding.message)}"
    if finding.hint:
        yield f"{'':{width + 5}}  -> {printable(finding.hint)}"


def _named(session: Session, names: Iterable[str]) -> Iterator[Finding]:
    from syncer.jobs import trying

    settings = session.settings()
    chosen = [trying.known(settings.accounts, name, settings.origin).name for name in dict.fromkeys(names)]
    yield probing.librsync()
    yield from _accounts(settings, chosen)


def _everything(session: Session) -> Iterator[Finding]:
    yield from probing.machine()
    try:
        settings = session.settings()
        placement.check(settings, settings.jobs.values())
    except SyncerError as error:
        yield Finding(name="config", ok=False, message=error.message.replace("\n", "; "), hint=error.hint)
        yield probing.state_directory(default_state_dir())
        return
    told = str(settings.path) if settings.path else f"none at {default_config()}: all is default"
    yield Finding(name="config", ok=True, message=told)
    yield probing.state_directory(settings.state_dir)
    for job in settings.jobs.values():
        yield from probing.job(settings, job)
    yield from _accounts(settings, settings.accounts)


def _accounts(settings: Settings, names: Iterable[str]) -> Iterator[Finding]:
    from syncer.jobs import probing_accounts

    for name in names:
        yield from probing_accounts.account(settings, settings.accounts[name], clock=SystemClock())
