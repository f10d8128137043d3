"""Installs and uninstalls the service: writes the definition file, then runs the service manager's commands.

The file is written first and completely. If a command fails or its program is missing, the user is told what
to run. Installing again changes nothing that is right already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from syncer.config import Settings
from syncer.daemon.service import systemd, unit_file
from syncer.daemon.service.launchd import Agents
from syncer.daemon.service.spec import Run, ServiceSpec, Step
from syncer.daemon.service.systemd import UserManager
from syncer.daemon.service.unit_file import UnitFileState
from syncer.errors import ConfigError, UsageError


class Manager(Protocol):
    """A service manager: systemd or launchd."""

    kind: str
    path: Path

    def text(self, wanted: ServiceSpec) -> str: ...
    def variables(self, wanted: ServiceSpec) -> Path | None: ...
    def known(self, *, start: bool, changed: bool) -> tuple[Step, ...]: ...
    def before_removal(self) -> tuple[Step, ...]: ...
    def after_removal(self) -> tuple[Step, ...]: ...
    def remarks(self, settings: Settings) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A command that failed or was not run, for the user to run."""

    words: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of an installation or removal. `kept`: the backup of a definition changed by hand."""

    kind: str
    path: Path
    before: UnitFileState
    kept: Path | None = None
    failures: tuple[Failure, ...] = ()


def manager(
    run: Run, *, config_home: Path, platform: str = sys.platform, home: Path | None = None
) -> Manager:
    """The service manager of this system. Raises UsageError if it is neither systemd nor launchd."""
    if platform == "darwin":
        return Agents(home or Path.home(), uid=os.getuid())
    if platform.startswith("linux"):
        answer = run(systemd.VERSION)
        return UserManager(config_home, version=systemd.version_of(answer.output))
    raise UsageError(
        f"services are known for systemd and launchd, not for {platform}",
        hint="start `syncer daemon` by whatever starts programs here",
    )


def wanted(
    settings: Settings, jobs: Sequence[str], *, environment: Mapping[str, str], harden: bool
) -> ServiceSpec:
    """The service for these jobs. Raises ConfigError for a config that cannot work in a service."""
    if settings.path is None:
        raise ConfigError(
            f"{settings.origin}: there is no config file, and a service has nothing else to go by",
            hint="write one, or name another with --config FILE",
        )
    for name in jobs:
        settings.job(name)
    if not settings.jobs:
        raise ConfigError(f"{settings.origin}: there are no jobs in it", hint="add one: [jobs.NAME]")
    if not os.path.isabs(sys.executable or ""):
        raise ConfigError("the path of the running Python is not known", hint="call syncer by its full path")
    return ServiceSpec(
        python=sys.executable,
        config=settings.path.absolute(),
        jobs=tuple(jobs),
        environment=environment,
        harden=harden,
    )


def install(manager: Manager, wanted: ServiceSpec, run: Run, *, start: bool, force: bool) -> Outcome:
    """Write the definition and load it. Raises UsageError if it was changed by hand, LocalError."""
    text = unit_file.marked(manager.text(wanted))
    before = unit_file.state(manager.path, text)
    kept = unit_file.write(manager.path, text, force=force)
    steps = manager.known(start=start, changed=before in (UnitFileState.OUTDATED, UnitFileState.FOREIGN))
    return Outcome(
        kind=manager.kind, path=manager.path, before=before, kept=kept, failures=_run_steps(steps, run)
    )


def uninstall(manager: Manager, run: Run, *, force: bool) -> Outcome:
    """Stop the service and remove its definition. Raises UsageError if it was changed by hand, LocalError."""
    before = unit_file.state(manager.path)
    if before is UnitFileState.MISSING:
        return Outcome(kind=manager.kind, path=manager.path, before=before)
    unit_file.check_removable(manager.path, force=force)  # before anything is stopped
    failures = _run_steps(manager.before_removal(), run)
    kept = unit_file.remove(manager.path, force=force)
    failures += _run_steps(manager.after_removal(), run)
    return Outcome(kind=manager.kind, path=manager.path, before=before, kept=kept, failures=failures)


def _run_steps(steps: Sequence[Step], run: Run) -> tuple[Failure, ...]:
    """Run the commands in order. After a failure the rest is left to the user too: it would fail as well."""
    failed: list[Failure] = []
    for step in steps:
        if failed:
            failed.append(Failure(words=step.words, output=""))
            continue
        ran = run(step.words)
        if ran.status != 0 and not step.may_fail:
            failed.append(Failure(words=step.words, output=ran.output or f"status {ran.status}"))
    return tuple(failed)
