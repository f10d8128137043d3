"""Values for services: what the service runs, and the commands of the service manager with their results."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """The daemon that the service runs. Paths are absolute."""

    python: str  # interpreter with this package; the symlink of a virtual environment unresolved
    config: Path
    jobs: tuple[str, ...] = ()  # () for all jobs of the config
    environment: Mapping[str, str] = field(default_factory=dict)  # written into the definition: no secrets
    harden: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The command line. -P: no file in the home directory is imported in place of a module."""
        ours = ("-P", "-m", "syncer", "--config", str(self.config), "daemon")
        return (self.python, *ours, *self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Result of a command: its exit status, None if it could not be started, and its output."""

    status: int | None
    output: str = ""


Run = Callable[[Sequence[str]], Ran]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command to run for the service; the failure of one that `may_fail` is not reported."""

    words: tuple[str, ...]
    may_fail: bool = False


def run(words: Sequence[str]) -> Ran:
    """Run a command; its output is stdout and stderr."""
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return Ran(status=None, output=f"{words[0]} is not installed")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(status=None, output=str(error))
    return Ran(status=done.returncode, output=done.stdout.decode("utf-8", "backslashreplace").strip())
