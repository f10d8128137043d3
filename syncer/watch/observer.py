"""The observer of the system's events: on Linux one of ours, elsewhere watchdog's.

watchdog's own for inotify loses sight of directories that are made right before the one they stand in is
renamed, says nothing when a new directory cannot be watched or events were lost, goes on telling of
directories that were moved away, and holds everything back for half a second when a file leaves the folder
(7.1). It also takes an inotify instance and several threads for each folder; ours shares both with all
folders of the process. This module loads watchdog: import it where events are wanted only.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from typing import Protocol

from watchdog.events import FileSystemEventHandler
from watchdog.utils import platform

from syncer.watch.dispatcher import DISPATCHER
from syncer.watch.executor import EXECUTOR, Call
from syncer.watch.translating import Noticed
from syncer.watch.tree import Tree
from syncer.watch.troubles import Break

_PATIENCE = 1.0  # seconds to wait for who is being told something


class Emitter(Protocol):
    """What is asked of a watchdog emitter (`watchdog.observers.api.EventEmitter`)."""

    def is_alive(self) -> bool: ...


class Observer(Protocol):
    """What is asked of a watchdog observer (`watchdog.observers.api.BaseObserver`)."""

    @property
    def emitters(self) -> Collection[Emitter]: ...

    def schedule(self, event_handler: FileSystemEventHandler, path: str, *, recursive: bool) -> object: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class TreeEmitter:
    """Tells what `Tree` finds in one folder, one event for all that came since the last."""

    def __init__(self, handler: FileSystemEventHandler, root: str) -> None:
        self._handler = handler
        self._call: Call | None = None
        self._subscription = DISPATCHER.subscribe(self._came)
        try:
            self._tree = Tree(root, self._subscription)
            self._call = EXECUTOR.call(self._tell)
        except BaseException as error:
            self._subscription.close()
            if isinstance(error, RuntimeError):  # no more threads
                raise OSError(errno.EAGAIN, str(error)) from error
            raise
        self._failed = False
        self._call.wake()  # for what came before it was there

    def is_alive(self) -> bool:
        """Whether it still tells of everything."""
        return self._subscription.alive and not self._failed

    def stop(self) -> None:
        """Nothing more is told, but for what is being told now."""
        if self._call is not None:
            self._call.end(self._subscription.close, _PATIENCE)

    def _came(self) -> None:
        if self._call is not None:
            self._call.wake()

    def _tell(self) -> None:
        try:
            found = self._tree.read()
            if found.places or found.breaks:
                self._handler.dispatch(
                    Noticed(src_path="", places=found.places, breaks=found.breaks, number=found.number)
                )
        except Exception:
            self._failed = True
            raise
        if Break.UPROOTED in found.breaks or Break.REFUSED in found.breaks:
            self.stop()


class TreeObserver:
    """A watchdog observer to who uses it, without a thread or a descriptor of its own."""

    def __init__(self) -> None:
        self._scheduled: list[tuple[FileSystemEventHandler, str]] = []
        self.emitters: list[TreeEmitter] = []
        self._stopped = False

    def schedule(self, event_handler: FileSystemEventHandler, path: str, *, recursive: bool = True) -> None:
        """To be watched from `start` on, with all that is below."""
        self._scheduled.append((event_handler, path))

    def start(self) -> None:
        """Everything is watched when it returns. Raises OSError."""
        for handler, path in self._scheduled:
            self.emitters.append(TreeEmitter(handler, path))

    def stop(self) -> None:
        """Waits for who is being told something, but not for long, and never for itself."""
        self._stopped = True
        for emitter in self.emitters:
            emitter.stop()

    def join(self, timeout: float | None = None) -> None:
        """Nothing is left to wait for."""

    def is_alive(self) -> bool:
        """Whether it was not stopped."""
        return not self._stopped


def system_observer() -> Observer:
    """What gives the system's events here."""
    if platform.is_linux():
        return TreeObserver()
    from watchdog.observers import Observer as Stock

    return Stock()
