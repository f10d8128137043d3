"""Sources of file system events for one folder: inotify on Linux, watchdog elsewhere.

watchdog's own observer for inotify (7.1) loses sight of directories that are created right before the one
they stand in is renamed, is silent when a new directory cannot be watched or events were lost, goes on
reporting directories that moved away, and delays everything by half a second when a file leaves the folder.
It also takes an inotify instance and three threads per folder; `InotifyEvents` shares both among all folders
of the process. watchdog is imported only where it is used.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, parts
from syncer.engine.scope import NOWHERE, Places
from syncer.watch.dispatcher import DISPATCHER
from syncer.watch.executor import EXECUTOR, Call
from syncer.watch.inotify_tree import Select, WatchTree, every_one
from syncer.watch.problems import Break

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent

Changed = Callable[[Places], None]
Broke = Callable[[Break, int], None]  # with the errno of Break.REFUSED, else 0

_HAS_INOTIFY: Final = sys.platform == "linux"
_STOP_TIMEOUT = 1.0  # seconds to wait for a callback that runs
_READ_ONLY_EVENTS = ("opened", "closed_no_write")  # types of watchdog events that change nothing


class EventSource(Protocol):
    """Reports every change in a folder from construction until `close`."""

    @property
    def alive(self) -> bool:
        """Whether it still reports everything."""
        ...

    def close(self) -> None:
        """Report nothing more; waits for a callback that runs, but never for the calling thread itself."""
        ...


OpenEvents = Callable[[str, Changed, Broke], EventSource]
"""Opens the source for a folder whose path has no symlinks. Raises OSError where there are no events."""


def open_events(root: str, changed: Changed, broke: Broke, select: Select = every_one) -> EventSource:
    """The events of this system. `select` says which subdirectories are watched. Raises OSError."""
    if _HAS_INOTIFY:
        return InotifyEvents(root, changed, broke, select)
    return WatchdogEvents(root, changed, broke)


class InotifyEvents:
    """Events of a `WatchTree`, reported in a thread of the shared executor."""

    def __init__(self, root: str, changed: Changed, broke: Broke, select: Select = every_one) -> None:
        """Raises OSError: no watches or inotify instances left, no thread, no folder."""
        self._changed = changed
        self._broke = broke
        self._failed = False
        self._call: Call | None = None
        self._subscription = DISPATCHER.subscribe(self._wake)
        try:
            self._tree = WatchTree(root, self._subscription, select)
            self._call = EXECUTOR.call(self._report)
        except BaseException as error:
            self._subscription.close()
            if isinstance(error, RuntimeError):  # no more threads
                raise OSError(errno.EAGAIN, str(error)) from error
            raise
        self._call.wake()  # for the events that came before the call existed

    @property
    def alive(self) -> bool:
        """See `EventSource`."""
        return self._subscription.alive and not self._failed

    def close(self) -> None:
        """See `EventSource`."""
        if self._call is not None:
            self._call.end(self._subscription.close, _STOP_TIMEOUT)

    def _wake(self) -> None:
        if self._call is not None:
            self._call.wake()

    def _report(self) -> None:
        try:
            found = self._tree.read()
            if found.places:
                self._changed(found.places)
            for kind in found.breaks:
                self._broke(kind, found.number)
        except Exception:
            self._failed = True
            raise
        if Break.UPROOTED in found.breaks or Break.REFUSED in found.breaks:
            self.close()


class WatchdogEvents:
    """Events of watchdog's observer for this system."""

    def __init__(self, root: str, changed: Changed, broke: Broke) -> None:
        """Raises OSError."""
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                places = places_of(event, root)
                if places:
                    changed(places)
                left = event.is_directory and event.event_type in ("deleted", "moved")
                if left and os.fsdecode(event.src_path) == root:
                    broke(Break.UPROOTED, 0)

        self.observer = Observer()
        try:
            self.observer.schedule(Handler(), root, recursive=True)
            self.observer.start()
        except OSError:
            self.observer.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether all threads of watchdog still run."""
        return self.observer.is_alive() and all(emitter.is_alive() for emitter in self.observer.emitters)

    def close(self) -> None:
        """See `EventSource`."""
        self.observer.stop()
        with suppress(RuntimeError):  # called in the observer's own thread: nothing to wait for
            self.observer.join(_STOP_TIMEOUT)


def places_of(event: FileSystemEvent, root: str) -> Places:
    """The directories and trees, relative to the root, in which a watchdog event says something changed.

    Systems report one change in many ways, and some events in a wrong order: a directory too many costs a
    look, one too few would lose a change.
    """
    directories: set[RelPath] = set()
    trees: set[RelPath] = set()
    base = root.rstrip("/") + "/"
    for given in (event.src_path, event.dest_path):
        name = os.fsdecode(given)
        if event.event_type in _READ_ONLY_EVENTS or not (name == root or name.startswith(base)):
            continue
        path = name[len(base) :]
        if any(is_private(part, at_root=n == 0) for n, part in enumerate(parts(path))):
            continue
        directories.add(path.rpartition("/")[0])
        if event.is_directory:
            # What is below a directory that appears is new as well.
            (trees if path and event.event_type in ("created", "moved") else directories).add(path)
    return Places(directories=frozenset(directories), trees=frozenset(trees)) if directories else NOWHERE
