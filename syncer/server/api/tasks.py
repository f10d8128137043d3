"""Background tasks of the SmartFile API, whose results a client polls by their id.

Results are kept for an hour, in limited number and size, for the key that started the task; they are lost
with the process. A key may have a limited number of tasks, and never all threads. The status has two places
in the result, for both generations of clients.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import uuid4

from syncer.errors import SyncerError
from syncer.server.errors import HttpError
from syncer.server.fair_shares import ENTRY, ListingBudget
from syncer.server.folder import ServedFolder, counting

_KEPT_SECONDS = 3600.0
_MOST, _MOST_WAITING = 1000, 200
_MOST_ERRORS = 1000  # of one result
_HEAVIEST = 16 << 20  # bytes of all results together
_WORKERS, _EACH = 4, 2  # threads, and those of one key
_log = logging.getLogger("syncer.server")

Result = dict[str, Any]
Work = Callable[[], Result]


@dataclass(slots=True, kw_only=True)
class _Task:
    owner: str
    work: Work | None
    status: str = "PENDING"
    result: Result = field(default_factory=dict)
    weight: int = 0
    ended: float | None = None
    begun: bool = False
    cancelled: bool = False


class Tasks:
    """The tasks of one server. Thread-safe."""

    def __init__(self, served: ServedFolder, *, each: int, listings: ListingBudget) -> None:
        """`each`: tasks of one key that may wait or run. `listings`: memory for what they list."""
        self._listings = listings
        self._served = served
        self._clock = served.clock
        self._each = each
        self._lock = threading.Lock()
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._weight = 0
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="task")

    def start(self, owner: str, work: Work) -> Result:
        """Run the work when a thread is free; return the task for the client. Raises HttpError 429."""
        task, name = _Task(owner=owner, work=work), str(uuid4())
        with self._lock:
            self._admit(owner)
            self._tasks[name] = task
            self._begin()
        return _shown(name, task)

    def admit(self, owner: str) -> None:
        """Raise HttpError 429 if the key has too many tasks, before any work for another one."""
        with self._lock:
            self._admit(owner)

    def _admit(self, owner: str) -> None:
        self._tidy()
        open_ = [task for task in self._tasks.values() if task.ended is None]
        if len(open_) >= _MOST_WAITING or sum(task.owner == owner for task in open_) >= self._each:
            raise HttpError(429, "Too many tasks are waiting.", headers={"Retry-After": "5"})

    def result(self, owner: str, name: str) -> Result:
        """The task as JSON. Raises HttpError 404 if it is unknown, too old or another key's."""
        with self._lock:
            self._tidy()
            task = self._tasks.get(name)
            if task is None or task.owner != owner:
                raise HttpError(404, "There is no such task.")
            return _shown(name, task)

    def cancel(self, owner: str | None = None) -> None:
        """Cancel the tasks of a key, or all, at their next step; waiting ones are not started."""
        with self._lock:
            for task in self._tasks.values():
                if task.ended is None and owner in (None, task.owner):
                    task.cancelled = True
                    if not task.begun:
                        self._end(task, "FAILURE", {"detail": "it was cancelled"})

    def close(self) -> None:
        """Cancel all tasks, and wait for their threads."""
        self.cancel()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        """Start the oldest waiting tasks of keys that have not their share of the threads."""
        for task in self._tasks.values():
            if self._running.total() >= _WORKERS:
                return
            if not task.begun and task.ended is None and self._running[task.owner] < _EACH:
                task.begun, task.status = True, "PROGRESS"
                self._running[task.owner] += 1
                self._pool.submit(self._run, task)

    def _run(self, task: _Task) -> None:
        work, task.work = task.work, None
        status, result = "FAILURE", {}
        try:
            assert work is not None
            with (
                self._listings.names(task.owner, ENTRY) as names,
                counting(names),
                self._served.fs.cancellable(lambda: task.cancelled),
            ):
                self._served.fs.go_on()
                status, result = "SUCCESS", work()
                if errors := result.get("errors"):
                    shown = dict(islice(errors.items(), _MOST_ERRORS))
                    shown = {path: self._served.without_paths(text) for path, text in shown.items()}
                    if len(errors) > _MOST_ERRORS:
                        shown["..."] = f"and {len(errors) - _MOST_ERRORS} more"
                    result = {**result, "errors": shown}
        except (SyncerError, HttpError) as error:
            result = {"detail": self._served.without_paths(str(error))}
        except OSError as error:
            result = {"detail": f"it was ended: {error.strerror}"}
        except Exception as error:  # noqa: BLE001 - the client polls the result of a failed task, too
            _log.exception("a task failed unexpectedly")
            result = {"detail": f"unexpected {type(error).__name__}; see the server's log"}
        with self._lock:
            self._running[task.owner] -= 1
            if not self._running[task.owner]:
                del self._running[task.owner]
            self._end(task, status, result)
            if not task.cancelled:
                self._begin()

    def _end(self, task: _Task, status: str, result: Result) -> None:
        task.status, task.result, task.work = status, result, None
        task.weight = _weight(result)
        task.ended = self._clock.monotonic()
        self._weight += task.weight

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        for name, task in list(self._tasks.items()):
            if task.ended is None:
                continue
            old = task.ended + _KEPT_SECONDS < now
            if old or len(self._tasks) > _MOST or self._weight > _HEAVIEST:
                self._weight -= task.weight
                del self._tasks[name]


def _weight(result: Result) -> int:
    """The bytes of memory that a result takes, about."""
    return 500 + sum(
        sum(200 + len(key) + len(text) for key, text in value.items()) if isinstance(value, dict) else 200
        for value in result.values()
    )


def _shown(name: str, task: _Task) -> Result:
    return {
        "uuid": name,
        "url": f"/api/2/task/{name}/",
        "status": task.status,
        "result": {"status": task.status, "result": dict(task.result)},
    }
