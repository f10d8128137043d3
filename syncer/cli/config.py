"""Command `config`: check the config file, or show all settings with their defaults."""

from __future__ import annotations

from typing import Any

import click

from syncer.cli.common import CliContext, pass_cli, print_err, shared
from syncer.cli.json_output import Document
from syncer.config import DaemonSettings, JobSettings, Settings
from syncer.config.paths import default_config
from syncer.config.secrets import Secret
from syncer.config.settings import HOOKS
from syncer.engine.paths import printable
from syncer.errors import ConfigError
from syncer.formatting import counted, show_duration, show_max_delete
from syncer.jobs import overlap, patterns


@click.group(invoke_without_command=True)
@shared
@click.pass_context
def config(context: click.Context) -> int:
    """Check or show the config file. Alone it checks."""
    if context.invoked_subcommand is None:
        return checked(context.ensure_object(CliContext))
    return 0


@config.command("check")
@shared
@pass_cli
def check(session: CliContext) -> int:
    """Say whether the config file is right: exit 2 with file, key and remedy if it is not."""
    return checked(session)


def checked(session: CliContext) -> int:
    """Load the config; check that roots exist and do not overlap, and that patterns make sense.

    A pattern that is surely a mistake stops no run, where it matches what git matches. Here it is an error.
    """
    settings = session.loaded()
    overlap.check(settings, settings.jobs.values())
    wrong = [
        f"{settings.where(job, 'ignore')}: {printable(text)}"
        for job in settings.jobs.values()
        for text in patterns.complaints(job)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong), hint="patterns are those of gitignore(5)")
    for warning in settings.warnings:
        print_err(f"syncer: warning: {warning}")
    missing = [
        f"{settings.where(job, 'local')}: {job.local} is not there"
        for job in settings.jobs.values()
        if not job.local.is_dir()
    ]
    missing += [text for job in settings.jobs.values() for text in patterns.complaints_at_root(job)]
    warnings = [*settings.warnings, *missing]
    if settings.path is None:
        line = f"there is no config file at {default_config()}: all is default"
    else:
        counts = f"{counted(len(settings.jobs), 'job')}, {counted(len(settings.accounts), 'account')}"
        line = f"{settings.path}: good, {counts}"
    document = {
        "file": str(settings.path) if settings.path else None,
        "jobs": list(settings.jobs),
        "accounts": list(settings.accounts),
        "warnings": warnings,
    }
    session.answer(document, line, *(f"  warning: {printable(text)}" for text in missing))
    return 0


@config.command()
@shared
@pass_cli
def show(session: CliContext) -> int:
    """Show every setting with its value, defaults filled in, secrets masked."""
    settings = session.settings()
    session.answer(_document(settings), *_lines(settings))
    return 0


def _document(settings: Settings) -> Document:
    return {
        "file": str(settings.path) if settings.path else None,
        "state_dir": str(settings.state_dir),
        "daemon": _daemon(settings.daemon),
        "accounts": {name: _account(account) for name, account in settings.accounts.items()},
        "jobs": {name: _job(job) for name, job in settings.jobs.items()},
    }


def _account(account: Any) -> Document:
    """The keys that are set; of a secret only where it is stored."""
    return {
        key: value.describe() if isinstance(value, Secret) else str(value)
        for key, value in account
        if key != "name" and value not in (None, False)  # a switch that is off is not set
    }


def _job(job: JobSettings) -> Document:
    """In the notation of the config file."""
    return {
        "local": str(job.local),
        "remote": str(job.remote),
        "conflict": job.conflict.value,
        "mode": job.mode.value,
        "ignore": list(job.ignore),
        "watch": job.watch,
        "settle": show_duration(job.settle) if job.settle else "0s",
        "interval": show_duration(job.interval),
        "max_delete": show_max_delete(job.max_delete),
        "max_age": None if job.max_age is None else show_duration(job.max_age),
        "trash_days": job.trash_days,
        "trash_size": job.trash_size,
        "upload_limit": job.upload_limit,
        "download_limit": job.download_limit,
        **{key: None if getattr(job, key) is None else list(getattr(job, key)) for key in HOOKS},
    }


def _daemon(daemon: DaemonSettings) -> Document:
    """In the notation of the config file."""
    return {
        "quiet": show_duration(daemon.quiet),
        "gather": show_duration(daemon.gather),
        "scan": show_duration(daemon.scan),
        "metrics": daemon.metrics,
        "desktop": daemon.desktop,
        "log": str(daemon.log or ""),
        **{key: list(getattr(daemon, key)) for key in HOOKS},
    }


def _lines(settings: Settings) -> list[str]:
    import json

    document = _document(settings)
    lines = [f"# {settings.path or 'no config file: all is default'}"]
    lines.append(f"state_dir = {json.dumps(document['state_dir'])}")
    lines += _table("daemon", document["daemon"])
    for kind in ("accounts", "jobs"):
        for name, table in document[kind].items():
            lines += _table(f"{kind}.{json.dumps(name) if not name.isidentifier() else name}", table)
    return lines


def _table(name: str, table: Document) -> list[str]:
    return [
        "",
        f"[{name}]",
        *(f"{key} = {_toml(value)}" for key, value in table.items() if value is not None),
    ]


def _toml(value: Any) -> str:
    import json

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
