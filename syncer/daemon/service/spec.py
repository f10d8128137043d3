"""What a service of the user's session is made from, and what a command that was run answered."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """The daemon that the service is to run. Paths are absolute."""

    python: str  # the interpreter that holds this package, a virtual environment's link unresolved
    config: Path
    jobs: tuple[str, ...] = ()  # () for all of the config
    environment: Mapping[str, str] = field(default_factory=dict)  # no secrets: it stands in the definition
    harden: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The command. -P: a file in the home directory must not be taken for a module of ours."""
        ours = ("-P", "-m", "syncer", "--config", str(self.config), "daemon")
        return (self.python, *ours, *self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended: `status` is None where it could not be run at all."""

    status: int | None
    output: str = ""


Run = Callable[[Sequence[str]], Ran]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command to run for the service. One that may fail is told of only if a person asks."""

    words: tuple[str, ...]
    may_fail: bool = False


def run(words: Sequence[str]) -> Ran:
    """Really run a command; stdout and stderr are the output."""
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        return Ran(status=None, output=f"{words[0]} is not installed")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(status=None, output=str(error))
    return Ran(status=done.returncode, output=done.stdout.decode("utf-8", "backslashreplace").strip())
