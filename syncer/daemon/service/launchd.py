"""launchd agent on macOS: its property list, the path of it, and the commands of launchctl. Pure.

launchd tells exit codes apart only by success: a daemon that ends because of a wrong config is started again
after ThrottleInterval, and logs the error again. launchd does not rotate the file it writes stderr to.
"""

from __future__ import annotations

import plistlib
from pathlib import Path

from syncer.config import Settings
from syncer.daemon.service.spec import ServiceSpec, Step

LABEL = "syncer.daemon"


def log_path(home: Path) -> Path:
    """The file for the daemon's stderr: its whole log, unless `[daemon] log` names another file."""
    return home / "Library" / "Logs" / "syncer.log"


def plist(wanted: ServiceSpec, *, home: Path) -> str:
    """The text of the property list (launchd.plist(5))."""
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
    """The `installer.Manager` for launchd's agents of one user."""

    kind = "launchd"

    def __init__(self, home: Path, *, uid: int) -> None:
        self.path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._home = home
        self._domain = f"gui/{uid}"

    def text(self, wanted: ServiceSpec) -> str:
        """The text of the definition."""
        return plist(wanted, home=self._home)

    def variables(self, wanted: ServiceSpec) -> Path | None:
        """None: launchd reads no file of variables."""
        return None

    def known(self, *, start: bool, changed: bool) -> tuple[Step, ...]:
        """The commands after the file was written. A loaded agent keeps its old list until unloaded."""
        if not start:
            return ()
        enable = Step(words=("launchctl", "enable", f"{self._domain}/{LABEL}"))
        # Fails if the agent is loaded already, which is the aim.
        load = Step(words=("launchctl", "bootstrap", self._domain, str(self.path)), may_fail=not changed)
        return (*self.before_removal(), enable, load) if changed else (enable, load)

    def before_removal(self) -> tuple[Step, ...]:
        """Stop and unload the agent; fails if it is not loaded."""
        return (Step(words=("launchctl", "bootout", f"{self._domain}/{LABEL}"), may_fail=True),)

    def after_removal(self) -> tuple[Step, ...]:
        """No commands."""
        return ()

    def remarks(self, settings: Settings) -> tuple[str, ...]:
        """Notes for the user about services on this system."""
        if settings.daemon.log is not None:
            return ()
        return (
            f"launchd never rotates {log_path(self._home)}: set `log` in [daemon] for a log that is bounded",
        )
