"""One inotify instance for all watched folders of a process: a user may have few of them (128, often).

A thread reads it and hands each event to the subscriptions that watch the directory. The kernel has one
watch for a directory, however many ask for it (two jobs with one root, a root inside another), so a watch is
given back with its last subscription. Nothing here looks at a folder: a file system that does not answer
holds up who asked, and nobody else.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from syncer.watch import inotify
from syncer.watch.inotify import InotifyEvent, Instance

_PAUSE, _LONG_PAUSE = 0.005, 0.05  # seconds between two readings; the longer where there is no end of them
_CALM, _BURST = 0.1, 1.0  # seconds: without news; with news all the time
_REMOVED = 512  # watches given back between two readings: each is an event in the queue, too
_PATIENCE = 1.0  # seconds for the thread to end, or for watches to be given back
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_log = logging.getLogger("syncer.watch")


class Taken(NamedTuple):
    """What came since the last time. `lost`: not all of it, and nothing is watched any more."""

    events: list[InotifyEvent]
    lost: bool


class Subscription:
    """The directories that one folder has under watch, and what happened in them. See `Dispatcher`."""

    def __init__(self, dispatcher: Dispatcher, notify: Callable[[], None], most: int) -> None:
        self.notify = notify
        self.sole = (self,)  # the only one that watches something: most watches have this very value
        self.watches: set[int] = set()  # the dispatcher's, like all below
        self.pending: list[InotifyEvent] = []
        self.lost = False
        self.refused = 0  # errno
        self.alive = True
        self._dispatcher = dispatcher
        self._most = most

    def add(self, path: str, *, itself: bool = False) -> int:
        """See `Instance.add`; may wait for a file system, and keeps nobody else waiting. Raises OSError."""
        return self._dispatcher.add(self, path, itself=itself)

    def remove(self, watch: int) -> None:
        """Nothing more comes from there to this one."""
        self._dispatcher.remove(self, (watch,))

    def take(self) -> Taken:
        """What came since the last call. Raises OSError where the system refused to go on."""
        return self._dispatcher.take(self)

    def close(self) -> None:
        """Gives everything back. Again does nothing."""
        self._dispatcher.unsubscribe(self)

    def push(self, event: InotifyEvent) -> None:
        """The dispatcher's. What is not taken must not fill the memory: it is lost then, as in the kernel."""
        if len(self.pending) >= self._most:
            self.lost = True
        if not self.lost:
            self.pending.append(event)


class Dispatcher:
    """Reads as long as there is a subscription. Safe to share; `notify` is called in its thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._reader: threading.Thread | None = None
        self._subscriptions: set[Subscription] = set()
        self._interested: dict[int, tuple[Subscription, ...]] = {}  # by watch
        self._orphans: set[int] = set()  # watches that nobody wants any more, to be given back
        self._adding = 0  # calls of `add` under way
        self._removed: set[int] = set()  # watches that ended since the first of those began

    def subscribe(self, notify: Callable[[], None]) -> Subscription:
        """`notify` is called when something came. Raises OSError: no more instances, or descriptors."""
        subscription = Subscription(self, notify, _most_queued())
        with self._lock:
            if self._instance is None:
                self._open(Instance())
            self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """See `Subscription.close`."""
        with self._lock:
            if subscription not in self._subscriptions:
                return
            self._subscriptions.remove(subscription)
            subscription.alive = False
            reader, instance = self._reader, self._instance
            if self._subscriptions or instance is None:
                self._release(subscription, list(subscription.watches))
                return
            self._forget()
            instance.wake()
        if reader is not None:
            reader.join(_PATIENCE)

    def add(self, subscription: Subscription, path: str, *, itself: bool) -> int:
        """See `Subscription.add`.

        The call may take long, so no lock is held: it counts only if meanwhile neither its instance was
        replaced (an overflow) nor its watch given back by another subscription.
        """
        while True:
            with self._lock:
                instance = self._instance
                if instance is None or not subscription.alive:
                    raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
                self._adding += 1
            watch, error = -1, None
            try:
                watch = instance.add(path, itself=itself)
            except OSError as refused:
                error = refused
            with self._lock:
                valid = instance is self._instance and watch not in self._removed
                self._adding -= 1
                if not self._adding:
                    self._removed.clear()
                if valid and error is None and subscription.alive:
                    self._register(subscription, watch)
                    return watch
            if valid and error is not None and not (error.errno == errno.ENOSPC and self._gave_back()):
                raise error

    def remove(self, subscription: Subscription, watches: Iterable[int]) -> None:
        """See `Subscription.remove`."""
        with self._lock:
            self._release(subscription, watches)

    def take(self, subscription: Subscription) -> Taken:
        """See `Subscription.take`."""
        with self._lock:
            if subscription.refused:
                raise OSError(subscription.refused, os.strerror(subscription.refused))
            taken = Taken([] if subscription.lost else subscription.pending, subscription.lost)
            subscription.pending, subscription.lost = [], False
            if taken.lost:
                self._release(subscription, list(subscription.watches))
        return taken

    # -- with the lock held ----------------------------------------------------------------

    def _open(self, instance: Instance) -> None:
        """Raises OSError where there is no more thread to read it."""
        self._forget()
        reader = threading.Thread(target=self._read, args=(instance,), name="syncer-inotify", daemon=True)
        self._instance, self._reader = instance, reader
        try:
            reader.start()
        except RuntimeError as error:
            self._forget()
            instance.close()
            raise OSError(errno.EAGAIN, str(error)) from error

    def _forget(self) -> None:
        """All watches, and the instance."""
        self._instance = self._reader = None
        self._interested, self._orphans = {}, set()
        for subscription in self._subscriptions:
            subscription.watches = set()

    def _register(self, subscription: Subscription, watch: int) -> None:
        if watch in subscription.watches:
            return
        subscription.watches.add(watch)
        self._orphans.discard(watch)
        others = self._interested.get(watch)
        self._interested[watch] = subscription.sole if others is None else (*others, subscription)

    def _release(self, subscription: Subscription, watches: Iterable[int]) -> None:
        for watch in watches:
            if watch not in subscription.watches:
                continue
            subscription.watches.discard(watch)
            left = tuple(s for s in self._interested.pop(watch) if s is not subscription)
            if left:
                self._interested[watch] = left if len(left) > 1 else left[0].sole
            else:
                self._orphans.add(watch)
        if self._orphans and self._instance is not None:
            self._instance.wake()

    # -- the thread ------------------------------------------------------------------------

    def _read(self, instance: Instance) -> None:
        current: Instance | None = instance
        began = last = 0.0
        try:
            while current is not None and self._instance is current:
                events = current.read(0 if self._orphans else None)
                current = self._route(current, events)
                if events:
                    now = monotonic()
                    began = now if now - last > _CALM else began
                    sleep(_LONG_PAUSE if now - began > _BURST else _PAUSE)  # not woken by each single write
                    last = monotonic()
        except Exception:  # noqa: BLE001 - each folder notices that it is not alive, and begins anew
            _log.exception("the reader of the system's events stumbled")
            with self._lock:
                if self._instance is current:
                    self._forget()
                    for subscription in self._subscriptions:
                        subscription.alive = False
        finally:
            if current is not None:
                current.close()

    def _route(self, instance: Instance, events: list[InotifyEvent]) -> Instance | None:
        """To whom it concerns; the instance to read from now on."""
        told: set[Subscription] = set()
        with self._lock:
            if self._instance is not instance:
                return instance
            for event in events:
                if event.mask & inotify.OVERFLOW:
                    told, replaced = self._subscriptions.copy(), self._replaced(instance)
                    break
                for subscription in self._interested.get(event.watch, ()):
                    subscription.push(event)
                    told.add(subscription)
                if event.mask & inotify.IGNORED:
                    self._ended(event.watch)
            else:
                replaced = instance
                self._give_back(instance)
        for subscription in told:
            subscription.notify()
        return replaced

    def _replaced(self, instance: Instance) -> Instance | None:
        """After an overflow: a new instance, whose queue tells nothing of before. None if there is none.

        Events behind a gap may end in a state that was never true, so none of the old ones is used.
        """
        thread = self._reader
        self._forget()
        instance.close()  # first: its watches count until then
        number = 0
        try:
            self._instance, self._reader = Instance(), thread
        except OSError as error:
            number = error.errno or errno.EIO
        for subscription in self._subscriptions:
            subscription.pending, subscription.lost, subscription.refused = [], True, number
        return self._instance

    def _ended(self, watch: int) -> None:
        """The kernel gave it up: the directory is gone."""
        for subscription in self._interested.pop(watch, ()):
            subscription.watches.discard(watch)
        self._orphans.discard(watch)
        if self._adding:
            self._removed.add(watch)

    def _give_back(self, instance: Instance) -> None:
        for _ in range(min(_REMOVED, len(self._orphans))):
            watch = self._orphans.pop()
            instance.remove(watch)
            if self._adding:
                self._removed.add(watch)

    def _gave_back(self) -> bool:
        """Whether there were watches that nobody wants any more, and now there are fewer."""
        before, deadline = len(self._orphans), monotonic() + _PATIENCE
        while self._orphans and monotonic() < deadline:
            sleep(_PAUSE)
        return len(self._orphans) < before


def _most_queued() -> int:
    """Events that are kept for one folder: as many as the kernel keeps."""
    try:
        return int(_QUEUE.read_text())
    except (OSError, ValueError):
        return 16384


DISPATCHER = Dispatcher()  # of all folders that this process watches
