"""Tasks: what takes longer than a request should, with a number to ask for its result.

Results are kept for an hour, a bounded number of them, for the key that asked; they do not
survive the server. The status stands where both generations of clients look.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from syncer.engine.ports import Clock
from syncer.errors import SyncerError
from syncer.server.answers import Refused

_KEPT_SECONDS = 3600.0
_MOST, _MOST_WAITING = 1000, 200
_WORKERS = 2
_log = logging.getLogger("syncer.server")

Result = dict[str, Any]
Work = Callable[[], Result]


@dataclass(slots=True, kw_only=True)
class _Task:
    owner: str
    status: str = "PENDING"
    result: Result = field(default_factory=dict)
    ended: float | None = None


class Tasks:
    """The tasks of one server. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="task")

    def start(self, owner: str, work: Work) -> Result:
        """Begins it as soon as a worker is free; answers what the client polls. Raises Refused 429."""
        task, name = _Task(owner=owner), str(uuid4())
        with self._lock:
            self._tidy()
            if sum(t.ended is None for t in self._tasks.values()) >= _MOST_WAITING:
                raise Refused(429, "Too many tasks are waiting.", headers={"Retry-After": "5"})
            self._tasks[name] = task
        self._pool.submit(self._run, task, work)
        return _shown(name, task)

    def result(self, owner: str, name: str) -> Result:
        """Raises Refused 404 for a task that is unknown, too old or somebody else's."""
        with self._lock:
            self._tidy()
            task = self._tasks.get(name)
            if task is None or task.owner != owner:
                raise Refused(404, "There is no such task.")
            return _shown(name, task)

    def close(self) -> None:
        """Ends once what runs has ended; what waits is never begun."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, task: _Task, work: Work) -> None:
        self._ended(task, "PROGRESS", {}, None)
        try:
            self._ended(task, "SUCCESS", work(), self._clock.monotonic())
        except (SyncerError, Refused) as error:
            self._ended(task, "FAILURE", {"detail": str(error)}, self._clock.monotonic())
        except Exception as error:  # noqa: BLE001 - a task that fails must say so to whoever polls it
            _log.exception("a task failed unexpectedly")
            detail = f"unexpected {type(error).__name__}; see the server's log"
            self._ended(task, "FAILURE", {"detail": detail}, self._clock.monotonic())

    def _ended(self, task: _Task, status: str, result: Result, at: float | None) -> None:
        with self._lock:
            task.status, task.result, task.ended = status, result, at

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        old = [n for n, t in self._tasks.items() if t.ended is not None and t.ended + _KEPT_SECONDS < now]
        done = [n for n, t in self._tasks.items() if t.ended is not None]
        for name in {*old, *done[: max(len(self._tasks) - _MOST, 0)]}:
            del self._tasks[name]


def _shown(name: str, task: _Task) -> Result:
    return {
        "uuid": name,
        "url": f"/api/2/task/{name}/",
        "status": task.status,
        "result": {"status": task.status, "result": dict(task.result)},
    }
