"""Size limit of the server's trash: what is over it is deleted before it expires.

Versions of which a newer one is in the trash are deleted first, the oldest of them first; then any others,
the oldest first. What arrived within the last checks stays whatever its size. So a program that overwrites a
large file every minute pushes out its own older versions, and not what a person deleted.

An index in SQLite lists the content of the trash. Every change of the trash is recorded, and `look` brings
it in step with the disk: losing it costs a scan, so it is not made durable, and a damaged one is deleted.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from syncer.stores.local import trash_restore
from syncer.stores.local.trash import Kept, Trash

LOOKS: Final = 3
"""What arrived within so many checks is not deleted for the limit."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kept(
    id INTEGER PRIMARY KEY, trash BLOB NOT NULL, path BLOB NOT NULL, batch BLOB NOT NULL,
    size INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0, UNIQUE (trash, path, batch))
"""
_ADD: Final = "INSERT OR REPLACE INTO kept(trash, path, batch, size) VALUES (?, ?, ?, ?)"
_SEE: Final = """
INSERT INTO kept(trash, path, batch, size, seen) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (trash, path, batch) DO UPDATE SET size = excluded.size, seen = excluded.seen
"""
_RESIZE: Final = "UPDATE kept SET size = size + ? WHERE trash = ? AND path = ? AND batch = ?"
_REMOVE: Final = "DELETE FROM kept WHERE trash = ? AND path = ? AND batch = ?"
_FORGET: Final = "DELETE FROM kept WHERE id = ?"
_FORGET_UNSEEN: Final = "DELETE FROM kept WHERE id <= ? AND seen <> ?"
_SIZE: Final = "SELECT coalesce(sum(size), 0), coalesce(max(id), 0) FROM kept"
_REPEATED: Final = """
SELECT id, trash, path, batch, size FROM kept AS old WHERE id > ? AND id <= ? AND EXISTS (
    SELECT 1 FROM kept AS new WHERE new.trash = old.trash AND new.path = old.path AND new.id > old.id)
ORDER BY id LIMIT 500
"""
_OLDEST: Final = """
SELECT id, trash, path, batch, size FROM kept WHERE id > ? AND id <= ? ORDER BY id LIMIT 500
"""
_PENDING: Final = 1000  # arrivals that are written together
_Row = tuple[int, bytes, bytes, bytes, int]


class TrashIndex:
    """The content of all trashes of a server in the order of arrival. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._arrived: list[tuple[bytes, bytes, bytes, int | None]] = []
        try:
            self._database = _open(file)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            self._database = _open(file)

    def note(self, trash: str, kept: Kept, size: int | None) -> None:
        """Record an arrival; `size` None: it was taken back."""
        row = os.fsencode(trash), os.fsencode(kept.path), os.fsencode(kept.batch), size
        with self._lock:
            self._arrived.append(row)
            if len(self._arrived) >= _PENDING:
                try:
                    self._write()
                except sqlite3.Error:
                    return  # a full disk: the next `look` finds what is not written

    def resize(self, trash: str, kept: Kept, by: int) -> None:
        """Record that a version takes `by` bytes more (less, if negative)."""
        row = by, os.fsencode(trash), os.fsencode(kept.path), os.fsencode(kept.batch)
        with self._lock:
            try:
                self._write()
                with self._database:
                    self._database.execute(_RESIZE, row)
            except sqlite3.Error:
                return  # a full disk: the next `look` finds the size

    def size(self) -> tuple[int, int]:
        """Bytes in all trashes, and the number of the last arrival."""
        with self._lock:
            self._write()
            size, last = self._database.execute(_SIZE).fetchone()
            return int(size), int(last)

    def look(self, trashes: Mapping[str, Trash]) -> None:
        """Bring the index in step with the disk. Raises OSError, sqlite3.Error."""
        _, last = self.size()
        with self._lock:
            [mark] = self._database.execute("SELECT coalesce(max(seen), 0) + 1 FROM kept").fetchone()
        for name, trash in trashes.items():
            for found in trash_restore.contents(trash):
                kept = found.kept
                row = os.fsencode(name), os.fsencode(kept.path), os.fsencode(kept.batch), found.room, mark
                with self._lock:
                    self._database.execute(_SEE, row)
        with self._lock, self._database:
            self._database.execute(_FORGET_UNSEEN, (last, mark))

    def removable(self, over: int, *, last: int, repeated: bool) -> list[_Row]:
        """The oldest rows up to arrival `last` that come to `over` bytes; `repeated`: that have a newer
        version.
        """
        found: list[_Row] = []
        at = 0
        while over > 0:
            with self._lock:
                rows = self._database.execute(_REPEATED if repeated else _OLDEST, (at, last)).fetchall()
            if not rows:
                break
            for row in rows:
                if over <= 0:
                    break
                found.append(row)
                over -= row[4]
            at = rows[-1][0]
        return found

    def forget(self, rows: list[_Row]) -> None:
        """Delete the rows of what was deleted."""
        with self._lock, self._database:
            self._database.executemany(_FORGET, [(row[0],) for row in rows])

    def close(self) -> None:
        """Write what is pending and close the database."""
        with self._lock, suppress(sqlite3.Error):
            self._write()
            self._database.close()

    def _write(self) -> None:
        arrived, self._arrived = self._arrived, []
        with self._database:
            for trash, path, batch, size in arrived:
                if size is None:
                    self._database.execute(_REMOVE, (trash, path, batch))
                else:
                    self._database.execute(_ADD, (trash, path, batch, size))


class TrashBound:
    """Keeps the trashes of a server below a size. For one thread."""

    def __init__(
        self,
        index: TrashIndex,
        trashes: Callable[[], Iterator[Trash]],
        *,
        limit: int | None,
        free: Callable[[], int | None],
    ) -> None:
        """`limit` in bytes; None: half of what the disk would have free without the trash. `free`: bytes."""
        self._index = index
        self._trashes = trashes
        self._limit = limit
        self._free = free
        self._before: deque[int] = deque(maxlen=LOOKS)  # the last arrival at each of the last checks

    def look(self) -> None:
        """Bring the index in step with the disk. Raises OSError, sqlite3.Error."""
        self._index.look({trash.name: trash for trash in self._trashes()})

    def apply(self) -> int:
        """Delete what is over the limit; return the number of files. Raises OSError, sqlite3.Error."""
        size, last = self._index.size()
        young = self._before[0] if len(self._before) == LOOKS else 0
        self._before.append(last)
        most = self._limit
        if most is None and (free := self._free()) is not None:
            most = (free + size) // 2
        if most is None or size <= most:
            return 0
        rows = self._index.removable(size - most, last=young, repeated=True)
        self._drop(rows)
        over = size - most - sum(row[4] for row in rows)
        if over > 0:
            rest = self._index.removable(over, last=young, repeated=False)
            self._drop(rest)
            rows += rest
        return len(rows)

    def _drop(self, rows: list[_Row]) -> None:
        if not rows:
            return
        trashes = {os.fsencode(trash.name): trash for trash in self._trashes()}
        for name, trash in trashes.items():
            wanted = [Kept(os.fsdecode(b), os.fsdecode(p)) for _, t, p, b, _ in rows if t == name]
            trash_restore.drop_versions(trash, wanted)
        self._index.forget(rows)


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_SCHEMA)
        database.execute(_SIZE).fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
