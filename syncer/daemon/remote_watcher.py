"""Watches a remote for changes: by long polling its change feed, or by polling a small probe at intervals.

What it reports says where to scan. A connection that breaks is made again with exponential backoff; what was
missed meanwhile follows from the cursor of the feed, or everything is reported. For a service that offers
neither the thread ends at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from syncer.engine.interfaces import Store
from syncer.engine.scope import EVERYWHERE, Places
from syncer.errors import SyncerError
from syncer.jobs.change_feed import Feeding, Pulsing, teller

LONG_POLL = 45.0  # seconds that a request to a feed may wait for changes
PROBE = 30.0  # seconds between two probes
_LOGGED_FAILURE = 3  # the failure in a row that is logged: a first run may still be creating the folder
FIRST, LAST = 1.0, 60.0  # seconds until a broken connection is made again: at first, at most
_log = logging.getLogger("syncer.daemon")


class RemoteWatcher:
    """Watches one service in a thread of its own, from `start` to `stop`.

    Calls `changed` with what may have changed, and `recovered` when a broken connection works again.
    """

    def __init__(
        self,
        job: str,
        connect: Callable[[], Store],
        *,
        changed: Callable[[Places], None],
        recovered: Callable[[], None],
        probe: float = PROBE,
        first: float = FIRST,
    ) -> None:
        """`probe` and `first`: see PROBE and FIRST."""
        self._job = job
        self._connect = connect
        self._changed = changed
        self._recovered = recovered
        self._probe = probe
        self._first = first
        self._stopped = threading.Event()
        self._cursor: str | None = None
        self._broken = 0  # times in a row
        self._mode = "interval"
        self._thread = threading.Thread(target=self._run, name=f"watch remote {job}", daemon=True)

    @property
    def mode(self) -> str:
        """feed, probe, or interval: changes are not reported (at the moment)."""
        return self._mode

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Report nothing more. An open request ends by itself, within a minute."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if not self._listen():
                    return
            except SyncerError as error:
                self._break()
                log = _log.warning if self._broken == _LOGGED_FAILURE else _log.debug
                log("%s: cannot listen to the remote: %s", self._job, error.message)
                self._pause()
            except Exception:  # noqa: BLE001 - the remote has to be watched again, whatever this was
                self._break()
                _log.exception("%s: unhandled error in the remote watcher", self._job)
                self._pause()

    def _break(self) -> None:
        self._mode = "interval"
        self._broken += 1

    def _pause(self) -> None:
        delay = min(self._first * 2 ** min(self._broken - 1, 10), LAST)
        self._stopped.wait(delay * random.uniform(0.75, 1.25))

    def _listen(self) -> bool:
        """Watch until the connection breaks or `stop`; False if the service offers neither feed nor probe."""
        store = self._connect()
        try:
            source = teller(store)
            if isinstance(source, Feeding):
                self._follow(source)
            elif isinstance(source, Pulsing):
                self._probe_regularly(source)
            return source is not None
        finally:
            store.close()

    def _follow(self, store: Feeding) -> None:
        while not self._stopped.is_set():
            began, wait = time.monotonic(), LONG_POLL if self._mode == "feed" else 0.0
            news = store.feed(self._cursor, wait)
            self._connected("feed")
            if news.reset or self._cursor is None:  # changes before are unknown
                self._report(EVERYWHERE)
            elif news.changed:
                self._report(Places(directories=frozenset(news.changed)))
            elif wait and time.monotonic() - began < self._first:
                self._stopped.wait(self._first)  # a server that does not wait is not asked in a loop
            self._cursor = news.cursor

    def _probe_regularly(self, store: Pulsing) -> None:
        before = store.pulse()
        self._connected("probe")
        self._report(EVERYWHERE)
        while not self._stopped.wait(self._probe):
            now = store.pulse()
            if now != before:
                before = now
                self._report(EVERYWHERE)

    def _report(self, places: Places) -> None:
        if not self._stopped.is_set():
            self._changed(places)

    def _connected(self, mode: str) -> None:
        self._mode = mode
        if self._broken:
            self._broken = 0
            _log.info("%s: the remote is watched again", self._job)
            self._recovered()
