"""Noticing changes that were made in the served folder directly, not through this server.

By the system's events where it has enough of them to give (inotify, FSEvents), else by looking at all
directories every few seconds while somebody waits. It tells the feed where something happened and concludes
nothing: an event too many costs a look, and what goes unnoticed is found by the next full one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from syncer.engine.model import Entry, Kind, Listing, RelPath
from syncer.engine.paths import TEMPORARY, join, parts
from syncer.errors import SyncerError
from syncer.server.feed import Feed
from syncer.server.served import Key, Served, ServedStore, is_hidden

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

_log = logging.getLogger("syncer.server")

POLL = 5.0  # seconds between two looks at everything
_QUIET = ("opened", "closed_no_write")  # kinds of events in which nothing changed


class Watch:
    """Tells the feed of a served folder what happens in it, from `start` on."""

    def __init__(
        self,
        served: Served,
        feed: Feed,
        *,
        observer: Callable[[], BaseObserver] | None = None,
        poll: float = POLL,
    ) -> None:
        """`observer` is asked for events; where it raises OSError, `poll` seconds lie between two looks."""
        self._served = served
        self._feed = feed
        self._new_observer = observer or _system
        self._poll = poll
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None
        self._poller: threading.Thread | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Returns once nothing that happens from now on goes unnoticed. Costs nothing a second time."""
        with self._lock:
            if self._observer is not None or self._poller is not None or self._stopped.is_set():
                return
            self._observer = self._observing()
            if self._observer is None:
                looks = _Looks(self._served)
                looks.differing()
                self._poller = threading.Thread(
                    target=self._run, args=(looks,), name="syncer-poll", daemon=True
                )
                self._poller.start()

    def stop(self) -> None:
        """Nothing is told any more."""
        self._stopped.set()
        with self._lock:
            if self._observer is not None:
                self._observer.stop()
                self._observer.join(5)
            if self._poller is not None:
                self._poller.join(5)
            self._observer = self._poller = None

    def _observing(self) -> BaseObserver | None:
        from watchdog.events import FileSystemEventHandler

        tell = self._tell

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                tell(event)

        try:
            observer = self._new_observer()
            observer.schedule(Handler(), str(self._served.folder), recursive=True)
            observer.start()
        except OSError as error:  # ENOSPC: fs.inotify.max_user_watches; EMFILE: max_user_instances
            _log.warning("the system gives no events (%s): looking every %g s", error.strerror, self._poll)
            return None
        return observer

    def _tell(self, event: FileSystemEvent) -> None:
        if event.event_type in _QUIET:
            return
        found: set[RelPath] = set()
        for name in (event.src_path, event.dest_path):
            below = self._below(os.fsdecode(name)) if name else None
            if below is None or any(map(is_hidden, parts(below))):
                continue
            own = event.is_directory and event.event_type == "modified"
            found.add(below if own else below.rpartition("/")[0])
            if event.is_directory:
                found.add(below)
        if found:
            self._feed.changed("", found)

    def _below(self, name: str) -> RelPath | None:
        found = os.path.relpath(name, self._served.folder)
        if found == ".":
            return ""
        return None if found.startswith("../") else found

    def _run(self, looks: _Looks) -> None:
        while not self._stopped.wait(self._poll):
            if not self._feed.awaited:
                continue
            changed = looks.differing()
            if changed:
                self._feed.changed("", changed)


def _system() -> BaseObserver:
    from watchdog.observers import Observer

    observer = Observer()
    observer.daemon = True
    return observer


class _Looks:
    """What each directory looked like last."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._known: dict[RelPath, bytes] = {}

    def differing(self) -> list[RelPath]:
        """The directories that look otherwise than at the last call, come or gone ones among them."""
        try:
            with self._served.store(Key(name="")) as store:
                now = dict(_walk(store))
        except SyncerError:
            return []
        before, self._known = self._known, now
        return [path for path in {**before, **now} if before.get(path) != now.get(path)]


def _walk(store: ServedStore) -> Iterator[tuple[RelPath, bytes]]:
    ahead: list[RelPath] = [""]
    while ahead:
        path = ahead.pop()
        try:
            found = store.list(path)
        except SyncerError:
            continue  # gone meanwhile, or not to be read: then nobody is told of it
        yield path, _shape(found)
        for name, seen in found.entries.items():
            if isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY and not is_hidden(name):
                ahead.append(join(path, name))


def _shape(found: Listing) -> bytes:
    hasher = blake2b(digest_size=16)
    for name, seen in sorted(found.entries.items()):
        if not name.startswith(TEMPORARY):
            version = seen.version if isinstance(seen, Entry) else seen.trouble.value.encode()
            hasher.update(os.fsencode(name) + b"/" + version + b"\0")
    return hasher.digest()
