"""A disk that can be hooked into; the clock and the sources are those of `syncer.testing`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncer.stores.local.filesystem import FileSystem
from syncer.testing.sources import BytesSource, FarSource, SteppingClock

__all__ = [
    "BytesSource",
    "FarSource",
    "HookedDisk",
    "SteppingClock",
    "failing",
    "let_the_disk_tick",
    "once_before",
]


Hook = Callable[[str, tuple[Any, ...]], None]


@dataclass
class HookedDisk:
    """The real disk; every call is written down, and `before` may act, or raise, ahead of it."""

    before: Hook = lambda method, arguments: None
    real: FileSystem = field(default_factory=FileSystem)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, method: str) -> Any:
        real = getattr(self.real, method)

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append((method, arguments))
            self.before(method, arguments)
            return real(*arguments, **named)

        return call

    def names(self) -> list[str]:
        return [method for method, _ in self.calls]


def failing(method: str, code: int, *, when: Callable[[tuple[Any, ...]], bool] = lambda a: True) -> Hook:
    """A hook that fails every call of one method."""

    def before(called: str, arguments: tuple[Any, ...]) -> None:
        if called == method and when(arguments):
            raise OSError(code, os.strerror(code))

    return before


def once_before(method: str, act: Callable[[], None]) -> Hook:
    """A hook that acts ahead of the first call of one method."""
    left = [act]

    def before(called: str, arguments: tuple[Any, ...]) -> None:
        if called == method and left:
            left.pop()()

    return before


def let_the_disk_tick(beside: Path) -> None:
    """Until the disk gives another time than it did for its last write: its clock may tick every 10 ms."""
    scratch = beside.parent / "scratch"
    scratch.write_bytes(b"")
    before = os.stat(scratch).st_ctime_ns
    while os.stat(scratch).st_ctime_ns == before:
        scratch.write_bytes(b"x")
