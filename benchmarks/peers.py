"""The programs beside which Syncer is measured, as far as they are installed.

Each gets a home of its own in the work folder and is told to be silent and to ask nothing. A peer
that is missing is named once and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contest import Contestant
from benchmarks.ground import Ground, empty
from benchmarks.running import Command, run

BISYNC_MOST: Final = 20_000  # files; rclone bisync needs a minute for 100k that did not change
_PEERS = ("rsync", "unison", "rclone")
_VERSIONS = {"rsync": "--version", "unison": "-version", "rclone": "version", "syncthing": "--version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The peers of one case, with a home of their own; `forget` takes away what they remember."""

    ground: Ground
    user: str

    def rsync(self, source: Path, target: Path) -> Command:
        return self._command("rsync", "-a", f"{source}/", f"{target}/")

    def rsync_and_sync(self, source: Path, target: Path) -> Command:
        """`rsync -a`, then what it wrote made durable, as Syncer does."""
        flush = 'sync -f "$2"' if sys.platform == "linux" else "sync"
        return self._command("sh", "-c", f'rsync -a "$1/" "$2/" && {flush}', "sh", str(source), str(target))

    def rsync_delete(self, source: Path, target: Path) -> Command:
        return self._command("rsync", "-a", "--delete", f"{source}/", f"{target}/")

    def unison(self, one: Path, other: Path) -> Command:
        """Both ways, with times; 1 would mean that it skipped something."""
        words = ["-ui", "text", "-batch", "-silent", "-times", "-confirmbigdel=false", "-log=false"]
        return self._command("unison", str(one), str(other), *words)

    def bisync(self, one: Path, other: Path) -> Command:
        return self._command(
            "rclone", "bisync", str(one), str(other), "--workdir", str(self._home / "bisync")
        )

    def bisync_first(self, one: Path, other: Path) -> Command:
        again = self.bisync(one, other)
        return self._command(*again.argv, "--resync")

    def find(self, one: Path, other: Path) -> Command:
        """Looks at the times of every file of both trees, and prints none."""
        return self._command("find", str(one), str(other), "-mtime", "+1000000")

    def python(self) -> Command:
        """An interpreter that does nothing: what every Python program pays."""
        return self._command(sys.executable, "-c", "pass")

    def untimed(self, command: Command) -> None:
        """Runs a command outside of any measurement. Raises BenchError."""
        run(command, self.ground.outputs / "untimed.out")

    def forget(self) -> None:
        """Takes away what peers remember of any pair."""
        home = self._home
        empty(home)
        home.mkdir()

    @property
    def _home(self) -> Path:
        return self.ground.home(f"peers-{self.user}")

    def _command(self, *argv: str) -> Command:
        home = self._home
        environment = {
            "HOME": str(home),
            "UNISON": str(home / "unison"),
            "RCLONE_CONFIG": str(home / "rclone.conf"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
        }
        return Command(argv=argv, environment=environment, folder=home)


def contestant(name: str, command: Command, prepare: Callable[[int], None] = lambda _: None) -> Contestant:
    """A peer whose command is the same in every round."""
    return Contestant(name=name, command=lambda _: command, prepare=prepare)


def present(contestants: Sequence[Contestant]) -> tuple[Contestant, ...]:
    """Those whose program is installed; a name begins with its program."""
    return tuple(one for one in contestants if one.name.split()[0] not in missing())


def missing() -> tuple[str, ...]:
    """Peers that are not installed."""
    return tuple(name for name in (*_PEERS, "find") if shutil.which(name) is None)


def versions(names: Sequence[str] = _PEERS) -> dict[str, str]:
    """Those of these programs that are installed, with their versions."""
    found = {}
    for name in names:
        if shutil.which(name) is not None:
            done = subprocess.run([name, _VERSIONS[name]], capture_output=True, text=True, check=False)
            words = done.stdout.replace("version", " ").split()
            found[name] = next((word for word in words if any(c.isdigit() for c in word)), "?").lstrip("v")
    return found
