"""Periodic maintenance of the server: expire and compact its trash, close idle stores, remove leftovers.

One thread, every 30 seconds. It changes nothing that users see: temporary files of a server that was killed
go to the trash, and only those that are older than this server.
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
    """The maintenance thread; runs until `stop`."""

    def __init__(
        self,
        served: ServedFolder,
        *,
        trash_days: float,
        trash_size: int | None = None,
        uptime: Callable[[], Uptime] = uptime,
    ) -> None:
        """`trash_size`: the limit in bytes; None: half of what the disk would have free without the trash."""
        self._served = served
        self._bound = TrashBound(
            served.trash_index, served.trashes, limit=trash_size, free=served.trash_space
        )
        self._removed = 0  # files, for the size limit, that were not logged yet
        self._logged = False
        self._uptime = uptime
        self._ages = TrashAges(served.state / "trash-ages.json")
        self._trash_days = trash_days
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        """Start the thread, which first removes leftovers."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; return when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def sweep(self) -> int:
        """Move the temporary files of a dead server to the trash; return their number."""
        count = 0
        with self._served.store(Key(name="")) as store:
            for path in leftovers(self._served):
                if self._stop.is_set():
                    break
                store.clean_leftovers([path])
                count += 1
        return count

    def empty_trash(self) -> int:
        """Delete the batches of the trash that are older than `trash_days`; return the number of files."""
        batches = {
            f"{trash.name}/{batch}": (trash, batch)
            for trash in self._served.trashes()
            for batch in trash_restore.batches(trash)
        }
        now = Moment(wall_ns=self._served.clock.now_ns(), uptime=self._uptime())
        old = self._ages.older(now, batches, int(self._trash_days * _DAY_NS) + _HOUR_NS)
        return sum(
            trash_restore.drop(trash, [batch])[0] for trash, batch in map(batches.__getitem__, sorted(old))
        )

    def bound_trash(self) -> int:
        """Delete what is over the size limit of the trash; return the number of files."""
        removed = self._bound.apply()
        self._removed += removed
        return removed

    def log_removals(self, *, hourly: bool) -> None:
        """Log that files were deleted for the size limit: the first time at once, then hourly."""
        if self._removed and (hourly or not self._logged):
            files = "1 file was" if self._removed == 1 else f"{self._removed} files were"
            _log.warning(
                "the trash was over its size limit (--trash-size): %s removed before --trash-days", files
            )
            self._removed, self._logged = 0, True

    def prune(self) -> int:
        """Delete the digests of directories that are gone; return their number.

        Also those of names that are gone, in directories with so many that no listing does it.
        """

        def is_gone(name: bytes, dir_fd: int) -> bool:
            try:
                self._served.fs.stat(os.fsdecode(name), dir_fd)
            except OSError as error:
                return error.errno in GONE
            return False

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
                    for names in self._served.digests.names(directory):
                        self._served.fs.go_on()
                        gone = [name for name in names if is_gone(name, fd)]
                        self._served.digests.forget(directory, gone)
        return count

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            with self._served.fs.cancellable(self._stop.is_set, removing=True):
                try:
                    self._turn(first=turn == 0, hourly=turn % _EMPTY_EVERY == 0)
                except (OSError, SyncerError, sqlite3.Error) as error:
                    if self._stop.is_set():
                        return
                    _log.warning("maintenance: %s", error)
            turn += 1
            self._stop.wait(_EVERY)

    def _turn(self, *, first: bool, hourly: bool) -> None:
        if first:
            self.sweep()
        if hourly:
            self.empty_trash()
            self.prune()
            self._bound.look()
        self._served.compact_trash()
        self.bound_trash()
        self.log_removals(hourly=hourly)
        self._served.close_idle()
        allocator.trim()


def leftovers(served: ServedFolder) -> Iterator[RelPath]:
    """Yield the temporary files with the server's tag that are older than this server. Raises OSError.

    A broken-off upload that can be resumed is named by its content and is kept for some days.
    """

    def oldest(name: str) -> int:
        resumable = len(name) != len(TEMPORARY) + 2 * TAG_LENGTH
        return served.started_ns - PARTIAL_NS if resumable else served.started_ns

    own = TEMPORARY + served.tag
    pending: list[RelPath] = [""]
    with DirectoryCursor(served.fs, served.fs.folder_fd) as cursor:
        while pending:
            directory = pending.pop()
            try:
                fd = cursor.enter(directory)
                ours = []
                for name, found in served.fs.scan(fd):
                    if name.startswith(own) and stat.trusted(found, oldest(name)):
                        ours.append(join(directory, name))
                    elif stat.kind(found) is Kind.DIRECTORY and name != PRIVATE:
                        pending.append(join(directory, name))
                yield from ours  # after the scan: the caller moves them away
            except OSError:
                served.fs.go_on()
                continue  # gone, or not readable
