"""Cuts content into chunks of a given length, and processes chunks in order by several threads.

For work that lets go of the interpreter's lock (hashing, librsync). It holds a few pieces
at a time, never a file, and knows nothing of what the work is.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

DoneT = TypeVar("DoneT")


def available_cpus() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cut(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size` bytes; only the last may be shorter, none is empty."""
    held = bytearray()
    for chunk in chunks:
        if not held and len(chunk) == size:
            yield bytes(chunk)
            continue
        held += chunk
        if len(held) >= size:
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield bytes(held[start : start + size])
            del held[:whole]
    if held:
        yield bytes(held)


def spread(work: Callable[[bytes], DoneT], pieces: Iterable[bytes], *, workers: int) -> Iterator[DoneT]:
    """`work` of each piece, in their order; at most `workers + 2` pieces are held at a time.

    With one worker no thread is made. An exception of `work` or of `pieces` comes out
    unchanged, in its place. When the iterator is closed early, work under way is waited for.
    """
    if workers <= 1:
        yield from map(work, pieces)
        return
    pending: deque[Future[DoneT]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for piece in pieces:
            pending.append(pool.submit(work, piece))
            del piece
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
