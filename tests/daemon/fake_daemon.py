"""FakeDaemon: a control socket whose daemon only records the calls that it receives.

with fake_daemon(state_dir) as daemon:
    connect(state_dir).pause(["docs"])
    assert daemon.asked == [("pause", ("docs",))]
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from syncer import __version__
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import InstanceLock
from syncer.daemon.status import DaemonStatus, JobStatus, Phase
from syncer.errors import UsageError


def idle(job: str) -> JobStatus:
    return JobStatus(job=job, phase=Phase.IDLE, since=1_000.0, last_success=2_000.0)


@dataclass(slots=True, kw_only=True)
class FakeDaemon:
    """`control.Controlled`. `before` is called first in each call: it may raise, or block."""

    jobs: list[JobStatus] = field(default_factory=lambda: [idle("docs"), idle("photos")])
    asked: list[tuple[str, object]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    stopped: threading.Event = field(default_factory=threading.Event)
    version: str = __version__

    def status(self) -> DaemonStatus:
        self._asked("status", None)
        return DaemonStatus(
            pid=os.getpid(), started=1_000.0, version=self.version, config="/c.toml", jobs=tuple(self.jobs)
        )

    def pause(self, jobs: Sequence[str]) -> None:
        self._asked("pause", self._known(jobs))

    def resume(self, jobs: Sequence[str]) -> None:
        self._asked("resume", self._known(jobs))

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        self._asked("flush", (self._known(jobs), wait))
        return [job for job in self.jobs if job.job in (jobs or [job.job])]

    def reload(self) -> None:
        self._asked("reload", None)

    def stop(self) -> None:
        self._asked("stop", None)
        self.stopped.set()

    def shows(self, **changed: object) -> None:
        """What the first job shows from now on."""
        self.jobs[0] = replace(self.jobs[0], **changed)  # type: ignore[arg-type]

    def _asked(self, what: str, how: object) -> None:
        self.before()
        self.asked.append((what, how))

    def _known(self, jobs: Sequence[str]) -> tuple[str, ...]:
        for job in jobs:
            if job not in [known.job for known in self.jobs]:
                raise UsageError(f"the daemon runs no job {job!r}", hint="it runs: docs, photos")
        return tuple(jobs)


@contextmanager
def fake_daemon(state_dir: Path, **options: object) -> Iterator[FakeDaemon]:
    """A daemon of that state directory, in this process; it ends when it is told to, or with the block."""
    daemon = FakeDaemon()
    with InstanceLock.acquire(state_dir) as lock:
        server = ControlServer(lock, daemon, **options)  # type: ignore[arg-type]

        def end() -> None:
            daemon.stopped.wait()
            server.stop()
            lock.release()

        ending = threading.Thread(target=end)
        ending.start()
        try:
            yield daemon
        finally:
            daemon.stopped.set()
            ending.join(20)
