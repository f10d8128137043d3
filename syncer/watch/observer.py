"""The observer that watchdog runs for us: on Linux with an emitter of ours, elsewhere as it comes.

watchdog's own emitter for inotify loses sight of directories that are made right before the one they
stand in is renamed, says nothing when a new directory cannot be watched or events were lost, goes on
telling of directories that were moved away, and holds everything back for half a second when a file
leaves the folder (7.1). This module loads watchdog: import it where events are wanted only.
"""

from __future__ import annotations

from time import monotonic

from watchdog.observers.api import BaseObserver, EventEmitter
from watchdog.utils import platform

from syncer.watch.translating import Noticed
from syncer.watch.tree import Tree
from syncer.watch.troubles import Break

_PAUSE, _LONG_PAUSE = 0.005, 0.05  # seconds between two readings; the longer where there is no end of them
_CALM, _BURST = 0.1, 1.0  # seconds: without news; with news all the time
_AHEAD = 16  # readings not told yet; beyond that the kernel's queue fills, and says so when it is full
_BUSY = 0.05  # seconds until the next look whether somebody listens again


class TreeEmitter(EventEmitter):
    """Tells what `Tree` finds, one event for each reading."""

    _tree: Tree | None = None
    _began = 0.0  # when the last calm ended
    _last = 0.0  # when the last reading did

    def on_thread_start(self) -> None:
        """Everything is watched when it returns. Raises OSError."""
        self._tree = Tree(str(self.watch.path))

    def on_thread_stop(self) -> None:
        if self._tree is not None:
            self._tree.wake()

    def run(self) -> None:
        """Until `stop`, or until the folder itself goes."""
        try:
            super().run()
        finally:
            if self._tree is not None:
                self._tree.close()

    def queue_events(self, timeout: float) -> None:
        """One reading, once there is room for it."""
        if self._tree is None or (self._event_queue.qsize() >= _AHEAD and not self.stopped_event.wait(_BUSY)):
            return
        found = self._tree.read()
        if found.places or found.breaks:
            self.queue_event(
                Noticed(src_path="", places=found.places, breaks=found.breaks, number=found.number)
            )
        if Break.UPROOTED in found.breaks or Break.REFUSED in found.breaks:
            self.stop()
        self._rest()

    def _rest(self) -> None:
        """A busy writer is not to wake us at each write."""
        now = monotonic()
        if now - self._last > _CALM:
            self._began = now
        self.stopped_event.wait(_LONG_PAUSE if now - self._began > _BURST else _PAUSE)
        self._last = monotonic()


def system_observer() -> BaseObserver:
    """What gives the system's events here."""
    if platform.is_linux():
        return BaseObserver(TreeEmitter)
    from watchdog.observers import Observer

    return Observer()
