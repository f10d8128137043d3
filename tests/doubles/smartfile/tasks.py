"""Operations that go on after their answer: a client polls `GET /api/2/task/<uuid>/` until they end.

What an operation does to files is settled in `operations`; here only when, and what the polls see.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.smartfile.options import Options
from tests.doubles.smartfile.refusals import detail

# Given the paths that shall fail, with the reason of each: does the rest, returns the task's result.
Work = Callable[[Mapping[str, str]], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one task goes.

    `end=None`: never; `errors`: these paths fail, the others are done;
    without `effect` nothing is done, whatever is said.
    """

    states: tuple[str, ...] | None = None  # None: as the options say
    end: str | None = "SUCCESS"
    errors: Mapping[str, str] = field(default_factory=dict)
    effect: bool = True


@dataclass(slots=True, kw_only=True)
class Task:
    """One operation under way."""

    id: str
    states: deque[str]
    script: Script
    work: Work
    result: dict[str, Any] | None = None  # None: not carried out yet

    def carry_out(self) -> dict[str, Any]:
        """Once only."""
        if self.result is None:
            self.result = self.work(self.script.errors) if self.script.effect else {"errors": {}}
        return self.result

    def next(self) -> tuple[str, dict[str, Any]]:
        """What the next poll sees: a status and a result."""
        if self.states:
            return self.states.popleft(), {}
        match self.script.end:
            case None:
                return "PROGRESS", {}
            case "FAILURE":
                return "FAILURE", {"errors": dict(self.script.errors)}
            case end:
                return end, self.carry_out()


class Tasks:
    """All tasks of a site. Scripts are used up by the tasks that start next, in order."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._scripts: deque[Script] = deque()

    def script(self, *scripts: Script) -> None:
        """How the next tasks go; after these, all goes well."""
        with self._lock:
            self._scripts.extend(scripts)

    def expire(self) -> None:
        """All tasks so far are forgotten: 404."""
        with self._lock:
            self._tasks.clear()

    def start(self, work: Work) -> dict[str, str]:
        """The answer to an operation. A task that ends in FAILURE has no effect."""
        with self._lock:
            script = self._scripts.popleft() if self._scripts else Script()
            states = deque(self._options.task_states if script.states is None else script.states)
            task = Task(id=str(uuid.uuid4()), states=states, script=script, work=work)
            self._tasks[task.id] = task
            if self._options.task_effect == "start" and script.end != "FAILURE":
                task.carry_out()
        return {"uuid": task.id, "url": f"/api/2/task/{task.id}/"}

    def poll(self, task_id: str) -> dict[str, Any]:
        """The answer to a poll, in the layout that the options name."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None:
                raise detail(404, "No such task.")
            status, result = task.next()
        if self._options.task_layout == "flat":
            return {"uuid": task_id, "status": status, "result": result}
        return {"uuid": task_id, "result": {"status": status, "result": result}}
