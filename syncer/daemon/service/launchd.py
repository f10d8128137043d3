"""The agent of launchd on macOS: its property list, where it belongs, and the commands. Pure.

launchd knows no exit codes but success: a daemon that ends with a wrong config is started again after
ThrottleInterval, and says again what is wrong. It does not rotate what it catches of stderr either.
"""

from __future__ import annotations

import plistlib
from pathlib import Path

from syncer.config import Settings
from syncer.daemon.service.spec import ServiceSpec, Step

LABEL = "syncer.daemon"


def log_path(home: Path) -> Path:
    """What the daemon says on stderr: all its log, unless `[daemon] log` names a file."""
    return home / "Library" / "Logs" / "syncer.log"


def plist(wanted: ServiceSpec, *, home: Path) -> str:
    """The property list's text."""
    log = str(log_path(home))
    words = {
        "Label": LABEL,
        "ProgramArguments": list(wanted.words),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 60,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "ExitTimeOut": 30,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if wanted.environment:
        words["EnvironmentVariables"] = dict(wanted.environment)
    return plistlib.dumps(words, sort_keys=False).decode("utf-8")


class Agents:
    """launchd's agents of one user, as `installer` sees them (launchd.plist(5))."""

    kind = "launchd"

    def __init__(self, home: Path, *, uid: int) -> None:
        self.path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._home = home
        self._domain = f"gui/{uid}"

    def text(self, wanted: ServiceSpec) -> str:
        """The definition."""
        return plist(wanted, home=self._home)

    def variables(self, wanted: ServiceSpec) -> Path | None:
        """launchd reads none from a file."""
        return None

    def known(self, *, start: bool, changed: bool) -> tuple[Step, ...]:
        """After it was written. An agent that is loaded keeps its old list: it is taken out first."""
        if not start:
            return ()
        enable = Step(words=("launchctl", "enable", f"{self._domain}/{LABEL}"))
        # It fails where the agent is loaded, which is what is wanted.
        load = Step(words=("launchctl", "bootstrap", self._domain, str(self.path)), may_fail=not changed)
        return (*self.before_removal(), enable, load) if changed else (enable, load)

    def before_removal(self) -> tuple[Step, ...]:
        """Stop and unload; fails where it is not loaded."""
        return (Step(words=("launchctl", "bootout", f"{self._domain}/{LABEL}"), may_fail=True),)

    def after_removal(self) -> tuple[Step, ...]:
        """Nothing is left."""
        return ()

    def remarks(self, settings: Settings) -> tuple[str, ...]:
        """What a person should know of services here."""
        if settings.daemon.log is not None:
            return ()
        return (
            f"launchd never rotates {log_path(self._home)}: set `log` in [daemon] for a log that is bounded",
        )
