"""Progress of a run in the daemon: shown in `status`, logged per action, and where a stop takes effect."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from syncer.daemon.log import line_of
from syncer.daemon.status import Progress
from syncer.engine.model import Action, Outcome, Side, Transfer
from syncer.jobs import results
from syncer.jobs.cancellation import CancelToken

_log = logging.getLogger("syncer.daemon")


class Listener:
    """The `engine.interfaces.Reporter` of one run; its `progress` is read by other threads.

    All methods of the reporter raise Interrupted once the job is to stop.
    """

    def __init__(self, job: str, stop: CancelToken) -> None:
        self._job = job
        self._stop = stop
        self._lock = threading.Lock()
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """Progress of the run so far."""
        with self._lock:
            return self._progress

    def scanning(self, directories: int) -> None:
        """See `engine.interfaces.Reporter`, like the following methods."""
        self._stop.check()
        with self._lock:
            seen = self._progress
            self._progress = replace(seen, directories=seen.directories + directories)

    def transferring(self, files: int, size: int) -> None:
        self._stop.check()
        with self._lock:
            self._progress = replace(self._progress, files=files, size=size)

    def finished(self, action: Action, outcome: Outcome) -> None:
        if results.loud(action):
            _log.info("%s: %s", self._job, line_of(action, outcome))
        with self._lock:
            done = self._progress.files_done + isinstance(action, Transfer)
            self._progress = replace(self._progress, files_done=done)
        self._stop.check()

    def moved(self, side: Side, size: int) -> None:
        self._stop.check()
        with self._lock:
            self._progress = replace(self._progress, size_done=self._progress.size_done + size)
