"""Tasks: what takes longer than a request should, with a number to ask for its result.

Results are kept for an hour, a bounded number and weight of them, for the key that asked; they do not
survive the server. A key has so many tasks at a time, and never all the threads. The status stands where both
generations of clients look.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from syncer.errors import SyncerError
from syncer.server.errors import Refused
from syncer.server.fair_shares import ENTRY, Listings
from syncer.server.folder import ServedFolder, counting

_KEPT_SECONDS = 3600.0
_MOST, _MOST_WAITING = 1000, 200
_MOST_TOLD = 1000  # names of one result that went wrong
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
    """The tasks of one server. Safe to share between threads."""

    def __init__(self, served: ServedFolder, *, each: int, listings: Listings) -> None:
        """`each`: how many of one key may wait or run. `listings`: memory for what they read."""
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
        """Begins it as soon as a thread is free; answers what the client polls. Raises Refused 429."""
        task, name = _Task(owner=owner, work=work), str(uuid4())
        with self._lock:
            self._admit(owner)
            self._tasks[name] = task
            self._begin()
        return _shown(name, task)

    def admit(self, owner: str) -> None:
        """Raises Refused 429 if the key has too many tasks already: before any work for another one."""
        with self._lock:
            self._admit(owner)

    def _admit(self, owner: str) -> None:
        self._tidy()
        open_ = [task for task in self._tasks.values() if task.ended is None]
        if len(open_) >= _MOST_WAITING or sum(task.owner == owner for task in open_) >= self._each:
            raise Refused(429, "Too many tasks are waiting.", headers={"Retry-After": "5"})

    def result(self, owner: str, name: str) -> Result:
        """Raises Refused 404 for a task that is unknown, too old or somebody else's."""
        with self._lock:
            self._tidy()
            task = self._tasks.get(name)
            if task is None or task.owner != owner:
                raise Refused(404, "There is no such task.")
            return _shown(name, task)

    def cancel(self, owner: str | None = None) -> None:
        """Ends the tasks of a key, or all, at their next step; what waits is never begun."""
        with self._lock:
            for task in self._tasks.values():
                if task.ended is None and owner in (None, task.owner):
                    task.cancelled = True
                    if not task.begun:
                        self._end(task, "FAILURE", {"detail": "it was cancelled"})

    def close(self) -> None:
        """Cancels all, and waits until their threads have ended."""
        self.cancel()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        """Has threads take what waits longest, of keys that have not their share."""
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
                status, result = "SUCCESS", self._bounded(work())
        except (SyncerError, Refused) as error:
            result = {"detail": self._served.discreetly(str(error))}
        except OSError as error:
            result = {"detail": f"it was ended: {error.strerror}"}
        except Exception as error:  # noqa: BLE001 - a task that fails must say so to whoever polls it
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

    def _bounded(self, result: Result) -> Result:
        errors = result.get("errors")
        if not errors:
            return result
        told = {path: self._served.discreetly(text) for path, text in list(errors.items())[:_MOST_TOLD]}
        if len(errors) > _MOST_TOLD:
            told["..."] = f"and {len(errors) - _MOST_TOLD} more"
        return {**result, "errors": told}

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
    """About how many bytes of memory it takes."""
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
