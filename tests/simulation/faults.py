"""Numbers every effect of a run, and lets the k-th one go wrong.

`Calls` is the counter that both stores' file systems (`Watched`) and the state database's
commit hook share. What may happen at call k: the process dies before or after it (or
halfway through a write), it fails with an errno once or from then on, a write is short,
or somebody else changes something just before it. Nothing is patched: the parts are handed in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncer.errors import StateError
from syncer.stores.local.filesystem import FileSystem
from tests.simulation.disk import Disk

EFFECTS = (
    "create", "write", "truncate", "set_mode", "set_owner", "set_times", "set_link_times", "sync",
    "sync_file_system", "link", "symlink", "rename", "rename_noreplace", "exchange", "unlink", "mkdir",
    "rmdir",
)  # fmt: skip
LOOKS = (
    "open_root", "open_directory", "scan", "stat", "fstat", "readlink", "open_read", "read",
    "read_at", "open_append", "try_lock",
    "free_space", "file_system_id", "kind", "refresh", "unlimited",
)  # fmt: skip
COMMIT = "commit"


class SimulatedCrash(BaseException):
    """The process is dead from here on: nothing it still calls has an effect."""


@dataclass(frozen=True, slots=True)
class Call:
    """One numbered call. `where` is "local", "remote" or "state"."""

    number: int
    where: str
    name: str
    arguments: tuple[Any, ...]
    do: Callable[[], Any]

    def __str__(self) -> str:
        return f"#{self.number} {self.where}.{self.name}{self.arguments}"


@dataclass(frozen=True, slots=True)
class Die:
    """The process dies at call `at`: "before" it, "after" it, or "half" way through a write."""

    at: int
    when: str = "before"

    def strike(self, call: Call, calls: Calls) -> Any:
        if self.when == "after":
            call.do()
        elif self.when == "half" and call.name == "write":
            calls.half(call)
        calls.dead = True
        raise SimulatedCrash(str(call))

    def concerns(self, call: Call, calls: Calls) -> bool:
        return call.number == self.at


@dataclass(frozen=True, slots=True)
class Fail:
    """Call `at` fails with `code`; with `for_ever` so does every later one at the same place."""

    at: int
    code: int
    for_ever: bool = False

    def strike(self, call: Call, calls: Calls) -> Any:
        calls.failed_at = calls.failed_at or call.where
        if call.name == "sync" and isinstance(call.arguments[0], Disk):
            call.arguments[0].sync_failed(call.arguments[1])
        if call.name == COMMIT:
            raise StateError(f"commit: {os.strerror(self.code)}")
        raise OSError(self.code, os.strerror(self.code))

    def concerns(self, call: Call, calls: Calls) -> bool:
        if call.number == self.at:
            return True
        return self.for_ever and call.number > self.at and call.where == calls.failed_at


@dataclass(frozen=True, slots=True)
class Short:
    """The write at call `at` takes only half of what it was given, as write(2) may."""

    at: int

    def strike(self, call: Call, calls: Calls) -> Any:
        return calls.half(call) if call.name == "write" else call.do()

    def concerns(self, call: Call, calls: Calls) -> bool:
        return call.number == self.at


@dataclass(frozen=True, slots=True)
class Race:
    """Somebody does `edit` right before call `at`."""

    at: int
    edit: Callable[[Call], None]

    def strike(self, call: Call, calls: Calls) -> Any:
        self.edit(call)
        return call.do()

    def concerns(self, call: Call, calls: Calls) -> bool:
        return call.number == self.at


@dataclass(frozen=True, slots=True)
class Then:
    """Two faults in one run, the first one first."""

    first: Race
    second: Die

    def strike(self, call: Call, calls: Calls) -> Any:
        return (self.first if call.number == self.first.at else self.second).strike(call, calls)

    def concerns(self, call: Call, calls: Calls) -> bool:
        return call.number in (self.first.at, self.second.at)


@dataclass(frozen=True, slots=True)
class Listen:
    """Nothing goes wrong; somebody hears of every call before it is made."""

    hear: Callable[[Call], None]

    def strike(self, call: Call, calls: Calls) -> Any:
        self.hear(call)
        return call.do()

    def concerns(self, call: Call, calls: Calls) -> bool:
        return True


Fault = Die | Fail | Short | Race | Then | Listen


class Calls:
    """Counts the calls of one process and lets `fault` strike. `log` keeps what was called."""

    def __init__(self, fault: Fault | None = None, *, looks: bool = False) -> None:
        self.fault = fault
        self.log: list[str] = []
        self.dead = False
        self.failed_at = ""
        self.struck = False
        self._looks = looks
        self._lock = threading.Lock()

    def call(self, where: str, name: str, arguments: tuple[Any, ...], do: Callable[[], Any]) -> Any:
        """Do it, unless the fault says otherwise. Raises SimulatedCrash once the process is dead."""
        if self.dead:
            raise SimulatedCrash("dead")
        if name in LOOKS and not self._looks:
            return do()
        with self._lock:
            self.log.append(f"{where}.{name}")
            number = len(self.log)
        call = Call(number, where, name, arguments, do)
        if self.fault is None or not self.fault.concerns(call, self):
            return do()
        self.struck = True
        return self.fault.strike(call, self)

    def half(self, call: Call) -> int:
        """Do half of a write."""
        fs, fd, data = call.arguments
        return int(fs.write(fd, bytes(data)[: max(len(data) // 2, 1)]))

    def commit(self, commit: Callable[[], None]) -> None:
        """The state database's commit hook."""
        self.call("state", COMMIT, (), commit)


class Watched(FileSystem):
    """A file system whose calls are numbered. Closing is not: even a dead process lets go of its files."""

    def __init__(self, inner: FileSystem, calls: Calls, where: str) -> None:
        self.inner = inner
        self.calls = calls
        self.where = where

    def close(self, fd: int) -> None:
        self.inner.close(fd)

    def umask(self) -> int:
        return self.inner.umask()

    def effective_user(self) -> int:
        return self.inner.effective_user()

    def any_bytes(self) -> bool:
        return self.inner.any_bytes()

    def is_read_only(self, fd: int) -> bool:
        return self.inner.is_read_only(fd)

    def is_subvolume_snapshot(self, fd: int) -> bool:
        return self.inner.is_subvolume_snapshot(fd)

    def mount_list(self, fd: int) -> tuple[str, str]:
        return self.inner.mount_list(fd)

    def mount_id(self, fd: int) -> int:
        return self.inner.mount_id(fd)


def _numbered(name: str) -> Callable[..., Any]:
    def method(self: Watched, *arguments: Any) -> Any:
        given = (self.inner, *arguments)
        return self.calls.call(self.where, name, given, lambda: getattr(self.inner, name)(*arguments))

    method.__name__ = name
    return method


for _name in (*EFFECTS, *LOOKS):
    setattr(Watched, _name, _numbered(_name))
