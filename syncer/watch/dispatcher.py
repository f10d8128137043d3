"""Shares one inotify instance among all watched folders of a process: a user may have only 128 of them.

One thread reads it and hands each event to the subscriptions of the directory. The kernel has one watch per
directory, however many folders need it (two jobs with one root, a root inside another), so a watch is removed
with its last subscription. The reading thread never touches a file system: one that does not respond blocks
only the thread that adds watches there.
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

_PAUSE, _LONG_PAUSE = 0.005, 0.05  # seconds between two reads; the longer one in a burst of events
_CALM, _BURST = 0.1, 1.0  # a pause of _CALM seconds ends a burst, which counts as one after _BURST seconds
_REMOVED = 512  # watches removed between two reads: each removal puts an event into the queue
_TIMEOUT = 1.0  # seconds for the thread to end, or for watches to be removed
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_log = logging.getLogger("syncer.watch")


class Taken(NamedTuple):
    """Events since the last call. `lost`: some were lost, and all watches of the subscription are gone."""

    events: list[InotifyEvent]
    lost: bool


class Subscription:
    """The watched directories of one folder, and their pending events. See `Dispatcher`."""

    def __init__(self, dispatcher: Dispatcher, notify: Callable[[], None], most: int) -> None:
        self.notify = notify
        self.sole = (self,)  # shared value for the many watches that have only this subscription
        self.watches: set[int] = set()  # guarded by the dispatcher's lock, like all below
        self.pending: list[InotifyEvent] = []
        self.lost = False
        self.refused = 0  # errno
        self.alive = True
        self._dispatcher = dispatcher
        self._most = most

    def add(self, path: str, *, itself: bool = False) -> int:
        """See `Instance.add`. May block in the file system, but no other thread. Raises OSError."""
        return self._dispatcher.add(self, path, itself=itself)

    def remove(self, watch: int) -> None:
        """Remove a watch from this subscription."""
        self._dispatcher.remove(self, (watch,))

    def take(self) -> Taken:
        """The events since the last call. Raises OSError if there was no new instance after an overflow."""
        return self._dispatcher.take(self)

    def close(self) -> None:
        """Remove all watches. Idempotent."""
        self._dispatcher.unsubscribe(self)

    def push(self, event: InotifyEvent) -> None:
        """Called by the dispatcher. The queue is bounded like the kernel's: beyond that events are lost."""
        if len(self.pending) >= self._most:
            self.lost = True
        if not self.lost:
            self.pending.append(event)


class Dispatcher:
    """Reads events while there is a subscription. Thread-safe; `notify` is called in the reading thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._reader: threading.Thread | None = None
        self._subscriptions: set[Subscription] = set()
        self._interested: dict[int, tuple[Subscription, ...]] = {}  # by watch
        self._orphans: set[int] = set()  # watches without a subscription, to be removed
        self._adding = 0  # calls of `add` under way
        self._removed: set[int] = set()  # watches that ended since the first of these calls began

    def subscribe(self, notify: Callable[[], None]) -> Subscription:
        """`notify` is called when events came. Raises OSError: no instances or descriptors left."""
        subscription = Subscription(self, notify, max_queued_events())
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
            reader.join(_TIMEOUT)

    def add(self, subscription: Subscription, path: str, *, itself: bool) -> int:
        """See `Subscription.add`.

        No lock is held during inotify_add_watch(2), which may take long. Its result counts only if meanwhile
        neither the instance was replaced (after an overflow) nor the watch removed for another subscription;
        else it is tried again.
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
                # The kernel answers with the number of the watch that a directory has already. If that watch
                # was removed for another subscription after the call, the number is void: ask again.
                valid = instance is self._instance and watch not in self._removed
                self._adding -= 1
                if not self._adding:
                    self._removed.clear()
                if valid and error is None and subscription.alive:
                    self._register(subscription, watch)
                    return watch
            if valid and error is not None and not (error.errno == errno.ENOSPC and self._made_room()):
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

    # -- called with the lock held ------------------------------------------------------------

    def _open(self, instance: Instance) -> None:
        """Start reading an instance. Raises OSError if no thread can be started."""
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
        """Drop the instance and all watches."""
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

    # -- the reading thread --------------------------------------------------------------------

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
                    # Lets events gather in the kernel, which merges equal ones: one wakeup for many writes.
                    sleep(_LONG_PAUSE if now - began > _BURST else _PAUSE)
                    last = monotonic()
        except Exception:  # noqa: BLE001 - each folder notices that its subscription is dead, and begins anew
            _log.exception("unhandled error in the thread that reads inotify events")
            with self._lock:
                if self._instance is current:
                    self._forget()
                    for subscription in self._subscriptions:
                        subscription.alive = False
        finally:
            if current is not None:
                current.close()

    def _route(self, instance: Instance, events: list[InotifyEvent]) -> Instance | None:
        """Hand events to their subscriptions; returns the instance to read from now on."""
        notified: set[Subscription] = set()
        with self._lock:
            if self._instance is not instance:  # the last subscription closed meanwhile
                return instance
            for event in events:
                if event.mask & inotify.OVERFLOW:
                    notified, replaced = self._subscriptions.copy(), self._replaced(instance)
                    break
                for subscription in self._interested.get(event.watch, ()):
                    subscription.push(event)
                    notified.add(subscription)
                if event.mask & inotify.IGNORED:  # the kernel removed the watch: its directory is gone
                    for subscription in self._interested.pop(event.watch, ()):
                        subscription.watches.discard(event.watch)
                    self._orphans.discard(event.watch)
                    if self._adding:  # an `add` under way may have got this number before it ended
                        self._removed.add(event.watch)
            else:
                replaced = instance
                for _ in range(min(_REMOVED, len(self._orphans))):
                    watch = self._orphans.pop()
                    instance.remove(watch)
                    if self._adding:
                        self._removed.add(watch)
        for subscription in notified:
            subscription.notify()
        return replaced

    def _replaced(self, instance: Instance) -> Instance | None:
        """After an overflow: a new instance with an empty queue, or None if there is none left.

        The events that are still queued are discarded: behind a gap they may describe a state of the tree
        that never existed, such as a directory under a name that it had left.
        """
        thread = self._reader
        self._forget()
        instance.close()  # first: until then its watches count against the user's limit
        number = 0
        try:
            self._instance, self._reader = Instance(), thread
        except OSError as error:
            number = error.errno or errno.EIO
        for subscription in self._subscriptions:
            subscription.pending, subscription.lost, subscription.refused = [], True, number
        return self._instance

    def _made_room(self) -> bool:
        """Wait for orphaned watches to be removed; whether there are fewer now."""
        before, deadline = len(self._orphans), monotonic() + _TIMEOUT
        while self._orphans and monotonic() < deadline:
            sleep(_PAUSE)
        return len(self._orphans) < before


def max_queued_events() -> int:
    """The limit of the kernel's queue, which also bounds the pending events of each folder."""
    try:
        return int(_QUEUE.read_text())
    except (OSError, ValueError):
        return 16384


DISPATCHER = Dispatcher()  # of all folders that this process watches
