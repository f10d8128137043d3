"""Hearing of changes at a service: by its feed, or by a small question now and then, where it has either.

What is heard says where to look. A line that breaks is made anew, later and later; what was missed
meanwhile is told by the feed's cursor, or by a look at everything. Where a service tells nothing, nothing
runs here.
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

WAIT = 45.0  # seconds that one question to a feed may be left open
PROBE = 30.0  # seconds between two small questions
_PATIENCE = 3  # failures before a word is said: a first run may still be making the folder
FIRST, LAST = 1.0, 60.0  # seconds until a broken line is made anew
_log = logging.getLogger("syncer.daemon")


class RemoteWatcher:
    """Listens to one service in a thread of its own, from `start` to `stop`.

    `heard` is told where something may have changed, `recovered` that a line which was broken works again.
    """

    def __init__(
        self,
        job: str,
        connect: Callable[[], Store],
        *,
        heard: Callable[[Places], None],
        recovered: Callable[[], None],
        probe: float = PROBE,
        first: float = FIRST,
    ) -> None:
        """`probe` and `first`: see PROBE and FIRST."""
        self._job = job
        self._connect = connect
        self._heard = heard
        self._regained = recovered
        self._probe = probe
        self._first = first
        self._stopped = threading.Event()
        self._cursor: str | None = None
        self._broken = 0  # times in a row
        self._mode = "interval"
        self._thread = threading.Thread(target=self._run, name=f"ear {job}", daemon=True)

    @property
    def mode(self) -> str:
        """feed, probe, or interval: nothing is heard (at the moment)."""
        return self._mode

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is told any more. An open question ends by itself, within a minute."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if not self._listen():
                    return
            except SyncerError as error:
                self._break()
                told = _log.warning if self._broken == _PATIENCE else _log.debug
                told("%s: cannot listen to the remote: %s", self._job, error.message)
                self._pause()
            except Exception:  # noqa: BLE001 - whatever is wrong, the remote has to be heard again some day
                self._break()
                _log.exception("%s: listening to the remote ended in a bug", self._job)
                self._pause()

    def _break(self) -> None:
        self._mode = "interval"
        self._broken += 1

    def _pause(self) -> None:
        delay = min(self._first * 2 ** min(self._broken - 1, 10), LAST)
        self._stopped.wait(delay * random.uniform(0.75, 1.25))

    def _listen(self) -> bool:
        """Until the line breaks or nobody listens any more; False where there is nothing to be heard."""
        store = self._connect()
        try:
            found = teller(store)
            if isinstance(found, Feeding):
                self._follow(found)
            elif isinstance(found, Pulsing):
                self._feel(found)
            return found is not None
        finally:
            store.close()

    def _follow(self, store: Feeding) -> None:
        while not self._stopped.is_set():
            began, wait = time.monotonic(), WAIT if self._mode == "feed" else 0.0
            news = store.feed(self._cursor, wait)
            self._works("feed")
            if news.reset or self._cursor is None:  # nobody knows what happened before somebody listened
                self._tell(EVERYWHERE)
            elif news.changed:
                self._tell(Places(directories=frozenset(news.changed)))
            elif wait and time.monotonic() - began < self._first:
                self._stopped.wait(self._first)  # it was to wait, and does not: nothing is gained by hurry
            self._cursor = news.cursor

    def _feel(self, store: Pulsing) -> None:
        before = store.pulse()
        self._works("probe")
        self._tell(EVERYWHERE)
        while not self._stopped.wait(self._probe):
            now = store.pulse()
            if now != before:
                before = now
                self._tell(EVERYWHERE)

    def _tell(self, places: Places) -> None:
        if not self._stopped.is_set():
            self._heard(places)

    def _works(self, mode: str) -> None:
        self._mode = mode
        if self._broken:
            self._broken = 0
            _log.info("%s: the remote is heard again", self._job)
            self._regained()
