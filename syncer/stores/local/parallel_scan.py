"""Spreads a read-only scan over the processors, by forking.

Threads do not help where the interpreter is the bottleneck. A forked child sees the same
memory, looks at its share, writes one answer to a pipe and ends. Where forking is
not safe (other threads run) or not worth it, everything is done in this process.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

ItemT = TypeVar("ItemT")
Select = Callable[[Sequence[ItemT]], list[int]]


def select(items: Sequence[ItemT], choose: Select[ItemT], *, worth: int) -> list[int]:
    """The indices that `choose` picks from the items, in order.

    `choose` gets a slice and answers indices into it; it must only read. Below `worth`
    items nothing is forked. A child that fails, or cannot be had, is made good for here.
    """
    shares = _shares(len(items), worth)
    children = [_Child.begin(items[start:stop], choose) for start, stop in shares[1:]]
    first, last = shares[0]
    picked = [index + first for index in choose(items[first:last])]
    for child, (start, stop) in zip(children, shares[1:], strict=True):
        answer = child.answer() if child is not None else None
        picked += [i + start for i in (choose(items[start:stop]) if answer is None else answer)]
    return picked


def _shares(count: int, worth: int) -> list[tuple[int, int]]:
    from syncer.delta.chunking import available_cpus

    alone = threading.active_count() > 1 or not hasattr(os, "fork")
    parts = 1 if alone or count < worth else min(available_cpus(), 8)
    bounds = [count * n // parts for n in range(parts + 1)]
    return list(pairwise(bounds))


class _Child:
    """One forked process at work on a share."""

    def __init__(self, reader: int, pid: int) -> None:
        self._reader = reader
        self._pid = pid

    @classmethod
    def begin(cls, items: Sequence[ItemT], choose: Select[ItemT]) -> _Child | None:
        """A child at work; None where there is no process or descriptor to be had."""
        try:
            reader, writer = os.pipe()
        except OSError:
            return None
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            return None
        if pid == 0:
            _work(writer, items, choose)
        os.close(writer)
        return cls(reader, pid)

    def answer(self) -> list[int] | None:
        """The child's indices; None if it did not end well."""
        with os.fdopen(self._reader, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        return list(array("Q", data)) if status == 0 else None


def _work(writer: int, items: Sequence[ItemT], choose: Select[ItemT]) -> None:
    """The whole life of a child: never returns, runs no clean-up of the parent's."""
    code = 1
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(array("Q", choose(items)).tobytes())
        code = 0
    finally:
        os._exit(code)
