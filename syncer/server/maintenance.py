"""What the server does beside requests: closes what is idle, empties old trash and lets large versions in it
take less room, sweeps after a dead server.

A thread that looks now and then. Nothing of what users see is touched: temporaries of a server that was
killed go to the trash, and only those that are older than this server.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator

from syncer import allocator
from syncer.clock import Moment, Uptime, uptime
from syncer.engine.model import Kind, RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, join
from syncer.errors import SyncerError
from syncer.server.folder import Key, ServedFolder
from syncer.server.trash_ages import TrashAges
from syncer.server.trash_bound import TrashBound
from syncer.stores.local import stat, trash_restore
from syncer.stores.local.errors import GONE
from syncer.stores.local.root import TAG_LENGTH, DirectoryCursor
from syncer.stores.local.scan import PARTIAL_NS

_EVERY = 30.0  # seconds
_EMPTY_EVERY = 120  # turns: an hour
_DAY_NS = 24 * 3600 * 10**9
_HOUR_NS = 3600 * 10**9
_log = logging.getLogger("syncer.server")


class Maintenance:
    """Runs until `stop`."""

    def __init__(
        self,
        served: ServedFolder,
        *,
        trash_days: float,
        trash_size: int | None = None,
        uptime: Callable[[], Uptime] = uptime,
    ) -> None:
        """`trash_size` in bytes; None: half of what the disk would have free without the trash."""
        self._served = served
        self._bound = TrashBound(
            served.trash_index, served.trashes, limit=trash_size, free=served.trash_space
        )
        self._removed = 0  # by the bound, since that was said
        self._said = False
        self._uptime = uptime
        self._ages = TrashAges(served.state / "trash-ages.json")
        self._trash_days = trash_days
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begins with the sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def sweep(self) -> int:
        """Moves what a dead server left half-done to the trash; answers how many files."""
        count = 0
        with self._served.store(Key(name="")) as store:
            for path in leftovers(self._served):
                if self._stop.is_set():
                    break
                store.clean_leftovers([path])
                count += 1
        return count

    def empty_trash(self) -> int:
        """Removes what went to the trash longer ago than it is kept; answers how many files."""
        there = {
            f"{trash.name}/{batch}": (trash, batch)
            for trash in self._served.trashes()
            for batch in trash_restore.batches(trash)
        }
        now = Moment(wall_ns=self._served.clock.now_ns(), uptime=self._uptime())
        old = self._ages.older(now, there, int(self._trash_days * _DAY_NS) + _HOUR_NS)
        return sum(
            trash_restore.drop(trash, [batch])[0] for trash, batch in map(there.__getitem__, sorted(old))
        )

    def bound_trash(self) -> int:
        """Removes what is over the bound by size; answers how many files."""
        removed = self._bound.apply()
        self._removed += removed
        return removed

    def look_at_trash(self) -> None:
        """Brings the index that the bound goes by in step with the disk."""
        self._bound.look()

    def say(self, *, hourly: bool) -> None:
        """That the bound bit: at once, and from then on hourly, since a full trash always loses something."""
        if self._removed and (hourly or not self._said):
            what = "1 file was" if self._removed == 1 else f"{self._removed} files were"
            _log.warning("the trash was over its bound (--trash-size): %s removed before --trash-days", what)
            self._removed, self._said = 0, True

    def prune(self) -> int:
        """Forgets the digests of directories that are gone; answers of how many.

        And those of names that are gone, where a listing does not see to it: in directories with very many.
        """
        count = 0
        with DirectoryCursor(self._served.fs, self._served.fs.folder_fd) as cursor:
            for directory in self._served.digests.directories():
                self._served.fs.go_on()
                try:
                    fd = cursor.enter(directory)
                except OSError as error:
                    if error.errno in GONE:
                        self._served.digests.forget(directory)
                        count += 1
                    continue
                if self._served.digests.of_directory(directory) is None:
                    self._prune_names(directory, fd)
        return count

    def _prune_names(self, directory: RelPath, fd: int) -> None:
        for names in self._served.digests.names(directory):
            self._served.fs.go_on()
            self._served.digests.forget(directory, [name for name in names if self._is_gone(name, fd)])

    def _is_gone(self, name: bytes, fd: int) -> bool:
        try:
            self._served.fs.stat(os.fsdecode(name), fd)
        except OSError as error:
            return error.errno in GONE
        return False

    def _run(self) -> None:
        with self._served.fs.cancellable(self._stop.is_set, removing=True):
            self._turns()

    def _turns(self) -> None:
        turn = 0
        while True:
            try:
                if turn == 0:
                    self.sweep()
                if turn % _EMPTY_EVERY == 0:
                    self.empty_trash()
                    self.prune()
                    self.look_at_trash()
                self._served.compact_trash()
                self.bound_trash()
                self.say(hourly=turn % _EMPTY_EVERY == 0)
                self._served.close_idle()
                allocator.trim()
            except (OSError, SyncerError, sqlite3.Error) as error:
                if self._stop.is_set():
                    return
                _log.warning("upkeep: %s", error)
            turn += 1
            if self._stop.wait(_EVERY):
                return


def _oldest(served: ServedFolder, name: str) -> int:
    """What is older is nobody's any more; a partial waits some days for whoever goes on with it."""
    short = len(name) == len(TEMPORARY) + 2 * TAG_LENGTH
    return served.started_ns if short else served.started_ns - PARTIAL_NS


def leftovers(served: ServedFolder) -> Iterator[RelPath]:
    """Temporaries with the server's tag that are older than this server. Raises OSError."""
    own = TEMPORARY + served.tag
    pending: list[RelPath] = [""]
    with DirectoryCursor(served.fs, served.fs.folder_fd) as cursor:
        while pending:
            directory = pending.pop()
            try:
                fd = cursor.enter(directory)
                ours = []
                for name, found in served.fs.scan(fd):
                    if name.startswith(own) and stat.trusted(found, _oldest(served, name)):
                        ours.append(join(directory, name))
                    elif stat.kind(found) is Kind.DIRECTORY and name != PRIVATE:
                        pending.append(join(directory, name))
                yield from ours  # which may be gone then: not while they are read
            except OSError:
                served.fs.go_on()
                continue  # gone, or not for us to read
