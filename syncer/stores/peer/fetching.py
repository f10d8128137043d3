"""Many small files in one stream: asked for a window at a time, handed out as their sources are read.

A source that is skipped is read over; one that is read again, or out of turn, fetches itself. Which
files a window holds is guessed from what the ones before turned out to be: a file whose reader has
an older version is better served by a delta than by this stream.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from syncer.engine.model import Entry, RelPath
from syncer.errors import StoreError
from syncer.stores.peer.contents import Content, Wanted, next_content
from syncer.stores.peer.link import Answer, Link
from syncer.wire.frames import Frame
from syncer.wire.values import malformed

SMALL = 64 << 10  # bytes below which no delta is worth asking for
LARGE = 1 << 20  # bytes from which on a file has a request of its own
_FILES, _BYTES = 1000, 16 << 20  # of one window


@dataclass(slots=True)
class _Window:
    """An open stream and the positions that it brings, in order; `next` counts what was begun."""

    answer: Answer
    frames: Iterator[Frame]
    positions: Sequence[int]
    next: int = 0
    begun: Content | None = None
    place: dict[int, int] = field(default_factory=dict)


class Fetching:
    """The stream behind the sources of one `open_many`. One reader at a time; others fetch themselves."""

    def __init__(self, link: Link, wanted: Sequence[tuple[RelPath, Entry]], *, most: int) -> None:
        self._link = link
        self._wanted = wanted
        self._most = min(most, _FILES)
        self._window: _Window | None = None
        self._done = -1  # the last position that was handed out
        self._deltas = True  # whether a middling file is expected to have an older version at the reader
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Where the last sources are never read, nobody else ends the answer: it holds itself."""
        self._close()

    def here(self, position: int) -> Content | None:
        """The content of the file at the position if this stream can bring it now; its data comes next.

        Raises TransientError where the stream broke off: the source then fetches itself.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._wanted[position][1].size >= SMALL:
                self._deltas = False
            return self._content(position)
        except StoreError:
            self._close()
            raise
        finally:
            self._lock.release()

    def elsewhere(self) -> None:
        """A middling file came as a delta: the next ones are likely to do so, too."""
        self._deltas = True

    def _content(self, position: int) -> Content | None:
        if position <= self._done or not self._streamed(self._wanted[position][1].size):
            return None
        window = self._window
        if window is not None and position not in window.place:
            if position < window.positions[-1]:
                return None  # left out on purpose
            self._close()
            window = None
        if window is None:
            window = self._window = self._opened(position)
        self._done = position
        return self._wound(window, window.place[position])

    def _wound(self, window: _Window, target: int) -> Content:
        """Reads over the contents before the target, and its head."""
        while True:
            if window.begun is not None:
                window.begun.skip()
            window.begun = next_content(window.frames)
            if window.begun.index != window.next:
                raise malformed("the contents in the order they were asked for")
            window.next += 1
            if window.next > target:
                return window.begun

    def _opened(self, position: int) -> _Window:
        positions = list(self._next_ones(position))
        told = [Wanted(path=self._wanted[p][0], entry=self._wanted[p][1]).told() for p in positions]
        answer = self._link.open("fetch", {"wanted": [*told]})
        place = {p: at for at, p in enumerate(positions)}
        return _Window(answer, answer.frames(), positions, place=place)

    def _next_ones(self, position: int) -> Iterator[int]:
        files, size = 0, 0
        for at in range(position, len(self._wanted)):
            weight = self._wanted[at][1].size
            if weight >= LARGE and at > position:
                return  # while it is fetched on its own, nobody would read this stream
            if at == position or self._streamed(weight):
                yield at
                files, size = files + 1, size + weight
                if files >= self._most or size >= _BYTES:
                    return

    def _streamed(self, size: int) -> bool:
        return size < SMALL or (size < LARGE and not self._deltas)

    def finished(self) -> None:
        """The reader of the last content is done with it."""
        window = self._window
        if (
            window is not None
            and window.next == len(window.positions)
            and (window.begun is None or window.begun.ended)
        ):
            if window.begun is not None:
                window.begun.close()
            self._close()

    def broke(self) -> None:
        """The reader met trouble with the stream itself."""
        self._close()

    def _close(self) -> None:
        if self._window is not None:
            self._window.answer.close()
            self._window = None
