"""A machine of a user: a folder, a config, and `syncer daemon` as a process of its own, started and killed.

    machine = Machine(home=tmp_path / "one", remote=f"local:{there}")
    machine.start()
    eventually(lambda: same(machine.local, there), 30)
    machine.stop()

It is asked over its control socket, as the program's own commands ask it.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from syncer.daemon.client import Client, connect
from syncer.daemon.status import JobStatus, Phase
from syncer.errors import SyncerError
from tests.server.conftest import environment, program

JOB = "docs"
_STARTS_WITHIN = 60.0  # seconds; the machine that tests may be busy with others
_ENDS_WITHIN = 60.0


@dataclass(slots=True, kw_only=True)
class Machine:
    """`accounts` and `jobs` are TOML tables, `options` TOML lines of the job, `daemon` ones of the daemon."""

    home: Path
    remote: str
    accounts: str = ""
    options: str = 'max_delete = "100%"'
    daemon: str = ""
    jobs: str = ""  # beside the one that every machine has
    before: Sequence[str] = ()  # words that the daemon's command is put behind
    process: subprocess.Popen[str] | None = None
    started: int = 0  # times
    _runtime: Path = field(init=False)

    def __post_init__(self) -> None:
        self.local.mkdir(parents=True, exist_ok=True)
        self._runtime = Path(tempfile.mkdtemp(prefix="syncer-run-"))  # short, as a socket's path has to be
        self.configure()

    @property
    def local(self) -> Path:
        return self.home / "local"

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def log(self) -> str:
        """Everything that its daemons said on stderr."""
        path = self.home / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def configure(self) -> None:
        """Writes the config as it is described now."""
        text = (
            f'state_dir = "{self.state}"\n[daemon]\n{self.daemon}\n{self.accounts}\n'
            f'[jobs.{JOB}]\nlocal = "{self.local}"\nremote = "{self.remote}"\nsettle = 0\n{self.options}\n'
            f"{self.jobs}\n"
        )
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def words(self, *words: str) -> list[str]:
        return program("--config", str(self.config), *words)

    def environment(self) -> dict[str, str]:
        return {**environment(), "XDG_RUNTIME_DIR": str(self._runtime)}

    # -- the daemon --------------------------------------------------------------------

    def start(self) -> None:
        """Returns when the daemon says that it is ready."""
        with (self.home / "log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*self.before, *self.words("daemon", "--json")],
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.started += 1
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _STARTS_WITHIN)
        line = self.process.stdout.readline() if ready else ""
        assert line, f"no daemon within {_STARTS_WITHIN} s: {self.log[-3000:]}"
        assert json.loads(line)["pid"] == self.process.pid or self.before

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power switch ends it: nothing is put in order."""
        if self.process is not None:
            self.process.kill()
            self._ended()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self._ended()

    def _ended(self) -> int:
        assert self.process is not None and self.process.stdout is not None
        code = self.process.wait(_ENDS_WITHIN)
        self.process.stdout.close()
        self.process = None
        return code

    def leave(self) -> None:
        """Nothing of it runs any more, and nothing is left outside of its home."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self._runtime, ignore_errors=True)

    # -- asking it ---------------------------------------------------------------------

    @property
    def client(self) -> Client:
        found = connect(self.state, patience=30.0)
        assert found is not None, f"no daemon runs: {self.log[-3000:]}"
        return found

    @property
    def statuses(self) -> tuple[JobStatus, ...]:
        return self.client.status().jobs

    @property
    def status(self) -> JobStatus:
        [job] = [job for job in self.statuses if job.job == JOB]
        return job

    def flush(self, wait: float = 60.0) -> JobStatus:
        """Everything is looked at; how it stands afterwards."""
        [job] = self.client.flush((), wait=wait)
        return job

    def is_quiet(self) -> bool:
        """Whether all is well, and nothing waits to be done."""
        try:
            job = self.status
        except SyncerError:
            return False
        return job.phase is Phase.IDLE and job.waiting == 0 and job.last_exit == 0 and not job.retries

    def done(self) -> dict[str, object]:
        """Counts of what it did, for a comparison with later."""
        return asdict(self.status.counters)

    def open_files(self) -> list[str]:
        """What the daemon has open; connections and folders among them."""
        assert self.process is not None
        folder = Path(f"/proc/{self.process.pid}/fd")
        found = []
        for link in folder.iterdir():
            with suppress(FileNotFoundError):
                found.append(os.readlink(link))
        return sorted(found)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The program with this config, to its end."""
        return subprocess.run(
            self.words(*words), env=self.environment(), capture_output=True, text=True, timeout=120
        )

    def told_no_nonsense(self) -> None:
        """No daemon stumbled."""
        assert "Traceback" not in self.log, self.log[self.log.index("Traceback") - 1000 :][:6000]


@contextmanager
def machines(*found: Machine) -> Iterator[None]:
    """They are gone when the block ends, however it ends."""
    try:
        yield
    finally:
        for machine in found:
            machine.leave()


def eventually(look: Callable[[], object], seconds: float, what: Callable[[], object] = lambda: "") -> float:
    """Waits until `look` answers something; seconds that it took. `what` tells of it if it never does."""
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what()}")
        time.sleep(0.05)
    return time.monotonic() - began
