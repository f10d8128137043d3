"""The observer of the system's events: on Linux one of ours, elsewhere watchdog's.

watchdog's own for inotify loses sight of directories that are made right before the one they stand in is
renamed, says nothing when a new directory cannot be watched or events were lost, goes on telling of
directories that were moved away, and holds everything back for half a second when a file leaves the folder
(7.1). It also takes an inotify instance and several threads for each folder; ours shares both with all
folders of the process. This module loads watchdog: import it where events are wanted only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.utils import platform

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, parts
from syncer.engine.scope import NOWHERE, Places
from syncer.watch.dispatcher import DISPATCHER
from syncer.watch.executor import EXECUTOR, Call
from syncer.watch.inotify_tree import WatchTree
from syncer.watch.problems import Break

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent


# --------------------------------------------------------------------------------
#
# One folder's events from one observer: where something happens, and what went wrong with it.
#
# It does not judge what to do about the latter; `watcher` does. Loads watchdog when it is opened.


_PATIENCE = 1.0  # seconds for a thread to end


class Events:
    """From the moment it is made, everything that happens in the folder is told. Raises OSError."""

    def __init__(
        self,
        root: str,
        *,
        happened: Callable[[Places], None],
        broke: Callable[[Break, int], None],
        observer: Callable[[], Observer] | None = None,
    ) -> None:
        """`root` must be free of links. `broke` gets the errno of what was refused, 0 else."""
        from watchdog.events import FileSystemEventHandler

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: FileSystemEvent) -> None:
                places = places_of(event, root)
                if places:
                    happened(places)
                for kind in breaks_of(event, root):
                    broke(kind, event.number if isinstance(event, Noticed) else 0)

        self._observer = (observer or _system)()
        try:
            self._observer.schedule(Handler(), root, recursive=True)
            self._observer.start()
        except OSError:
            self._observer.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether all its threads still run."""
        return self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)

    def close(self) -> None:
        """Nothing more is told; waits while somebody is being told something."""
        self._observer.stop()
        with suppress(RuntimeError):  # it is told in the observer's own thread: nothing to wait for
            self._observer.join(_PATIENCE)


def _system() -> Observer:

    return system_observer()


# --------------------------------------------------------------------------------
#
# watchdog's events as places. Pure; what an event means beyond its directory is not asked.
#
# Systems name a change in many ways, and some events in a wrong order: a directory too many is harmless.


_QUIET = ("opened", "closed_no_write")  # kinds of events in which nothing changed
_BORN = ("created", "moved")


@dataclass(unsafe_hash=True)
class Noticed(FileSystemEvent):
    """What our own observer tells: all that one reading brought, as one event."""

    event_type = "noticed"
    places: Places = NOWHERE
    breaks: tuple[Break, ...] = ()
    number: int = 0  # errno, of REFUSED


def places_of(event: FileSystemEvent, root: str) -> Places:
    """Where something may have happened, relative to the root."""
    if isinstance(event, Noticed):
        return event.places
    if event.event_type in _QUIET:
        return NOWHERE
    directories: set[RelPath] = set()
    trees: set[RelPath] = set()
    for path in _paths(event, root):
        directories.add(path.rpartition("/")[0])
        if event.is_directory:
            (trees if path and event.event_type in _BORN else directories).add(path)
    return Places(directories=frozenset(directories), trees=frozenset(trees))


def breaks_of(event: FileSystemEvent, root: str) -> tuple[Break, ...]:
    """What is wrong with the watching itself."""
    if isinstance(event, Noticed):
        return event.breaks
    left = event.is_directory and event.event_type in ("deleted", "moved")
    return (Break.UPROOTED,) if left and os.fsdecode(event.src_path) == root else ()


def _paths(event: FileSystemEvent, root: str) -> Iterator[RelPath]:
    """The event's paths below the root that are not ours alone."""
    for given in (event.src_path, event.dest_path):
        name = os.fsdecode(given)
        if name == root:
            yield ""
        elif name.startswith(root.rstrip("/") + "/"):
            path = name[len(root.rstrip("/")) + 1 :]
            if not any(is_private(part, at_root=n == 0) for n, part in enumerate(parts(path))):
                yield path


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
    """Tells what `WatchTree` finds in one folder, one event for all that came since the last."""

    def __init__(self, handler: FileSystemEventHandler, root: str) -> None:
        self._handler = handler
        self._call: Call | None = None
        self._subscription = DISPATCHER.subscribe(self._came)
        try:
            self._tree = WatchTree(root, self._subscription)
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
