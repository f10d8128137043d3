"""Work that may say nothing for long, on a line that is given up when nothing comes.

A thread of its own does the work; whoever sends asks what there is, and hears now and then that there
is nothing yet. What the silence is filled with is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue

SILENCE = 5.0  # seconds after which there is a sign of life
_AHEAD = 4  # pieces made before they are asked for


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class _Over:
    """Nothing more comes."""


def lively(pieces: Iterator[bytes], silence: float = SILENCE) -> Iterator[bytes]:
    """The pieces as they are made by another thread; an empty one for each `silence` seconds without any.

    What `pieces` raises comes out unchanged. Closed early, it waits until the work noticed.
    """
    queue: Queue[bytes | _Raised | _Over] = Queue(_AHEAD)
    unwanted = threading.Event()

    def give(piece: bytes | _Raised | _Over) -> None:
        while not unwanted.is_set():
            try:
                return queue.put(piece, timeout=0.5)
            except Full:
                continue

    def work() -> None:
        try:
            for piece in pieces:
                if unwanted.is_set():
                    return
                give(piece)
            give(_Over())
        except BaseException as error:  # noqa: BLE001 - it is raised again, where somebody can do something about it
            give(_Raised(error))

    thread = threading.Thread(target=work, name="lively", daemon=True)
    thread.start()
    try:
        while not isinstance(found := _next(queue, silence), _Over):
            if isinstance(found, _Raised):
                raise found.error
            yield found
    finally:
        unwanted.set()
        thread.join()


def _next(queue: Queue[bytes | _Raised | _Over], silence: float) -> bytes | _Raised | _Over:
    try:
        return queue.get(timeout=silence)
    except Empty:
        return b""
