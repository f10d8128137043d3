"""How much the server's trash may hold: what is over the bound goes before its time.

Versions of which a newer one is kept go first, the oldest of them first; then whatever is left, the oldest
first. What came within the last looks stays whatever its size. So a program that overwrites a large file
every minute pushes out its own older versions, and not what a person deleted.

What is there is known from an index in SQLite. Every change to the trash is told to it, and `look` brings it
in step with the disk: losing it costs a look, so it is not made durable, and a damaged one is thrown away.
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

from syncer.state.cache import discard, open_cache
from syncer.stores.local import trash_restore
from syncer.stores.local.trash import Kept, Trash

LOOKS: Final = 3
"""What came since so many looks ago is not taken by the bound."""
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
_PENDING: Final = 1000  # arrivals that are written down together
_Row = tuple[int, bytes, bytes, bytes, int]


class TrashIndex:
    """What is in the server's trashes, in the order in which it came. Safe to share between threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._came: list[tuple[bytes, bytes, bytes, int | None]] = []
        try:
            self._base = _opened(file)
        except sqlite3.DatabaseError:
            discard(file)
            self._base = _opened(file)

    def note(self, trash: str, kept: Kept, size: int | None) -> None:
        """Something went to a trash; without a size: it did not stay after all."""
        row = os.fsencode(trash), os.fsencode(kept.path), os.fsencode(kept.batch), size
        with self._lock:
            self._came.append(row)
            if len(self._came) >= _PENDING:
                try:
                    self._write()
                except sqlite3.Error:
                    return  # a full disk: the next look finds what is not written down

    def resize(self, trash: str, kept: Kept, by: int) -> None:
        """Something in a trash takes so many bytes more (less, if negative) than it did."""
        row = by, os.fsencode(trash), os.fsencode(kept.path), os.fsencode(kept.batch)
        with self._lock:
            try:
                self._write()
                with self._base:
                    self._base.execute(_RESIZE, row)
            except sqlite3.Error:
                return  # a full disk: the next look finds the size as it is

    def size(self) -> tuple[int, int]:
        """Bytes in all trashes, and the number of what came last."""
        with self._lock:
            self._write()
            size, last = self._base.execute(_SIZE).fetchone()
            return int(size), int(last)

    def look(self, trashes: Mapping[str, Trash]) -> None:
        """In step with the disk. Raises OSError, sqlite3.Error."""
        _, last = self.size()
        with self._lock:
            [mark] = self._base.execute("SELECT coalesce(max(seen), 0) + 1 FROM kept").fetchone()
        for name, trash in trashes.items():
            for found in trash_restore.contents(trash):
                kept = found.kept
                row = os.fsencode(name), os.fsencode(kept.path), os.fsencode(kept.batch), found.room, mark
                with self._lock:
                    self._base.execute(_SEE, row)
        with self._lock, self._base:
            self._base.execute(_FORGET_UNSEEN, (last, mark))

    def removable(self, over: int, *, last: int, repeated: bool) -> list[_Row]:
        """Up to so many bytes of what came until `last`, the oldest first. `repeated`: only what has a
        newer version.
        """
        found: list[_Row] = []
        at = 0
        while over > 0:
            with self._lock:
                rows = self._base.execute(_REPEATED if repeated else _OLDEST, (at, last)).fetchall()
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
        """These are gone."""
        with self._lock, self._base:
            self._base.executemany(_FORGET, [(row[0],) for row in rows])

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        with self._lock, suppress(sqlite3.Error):
            self._write()
            self._base.close()

    def _write(self) -> None:
        came, self._came = self._came, []
        with self._base:
            for trash, path, batch, size in came:
                if size is None:
                    self._base.execute(_REMOVE, (trash, path, batch))
                else:
                    self._base.execute(_ADD, (trash, path, batch, size))


class TrashBound:
    """Keeps the server's trashes below a size. For one thread."""

    def __init__(
        self,
        index: TrashIndex,
        trashes: Callable[[], Iterator[Trash]],
        *,
        limit: int | None,
        free: Callable[[], int | None],
    ) -> None:
        """`limit` in bytes; None: half of what the disk would have free without the trash."""
        self._index = index
        self._trashes = trashes
        self._limit = limit
        self._free = free
        self._before: deque[int] = deque(maxlen=LOOKS)  # the last arrival at each of the last looks

    def look(self) -> None:
        """See what is really there. Raises OSError, sqlite3.Error."""
        self._index.look({trash.name: trash for trash in self._trashes()})

    def apply(self) -> int:
        """Remove what is over the bound; answers how many files. Raises OSError, sqlite3.Error."""
        size, last = self._index.size()
        young = self._before[0] if len(self._before) == LOOKS else 0
        self._before.append(last)
        most = self._most(size)
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

    def _most(self, size: int) -> int | None:
        if self._limit is not None:
            return self._limit
        free = self._free()
        return (free + size) // 2 if free is not None else None

    def _drop(self, rows: list[_Row]) -> None:
        if not rows:
            return
        there = {os.fsencode(trash.name): trash for trash in self._trashes()}
        for name, trash in there.items():
            wanted = [Kept(os.fsdecode(b), os.fsdecode(p)) for _, t, p, b, _ in rows if t == name]
            trash_restore.drop_versions(trash, wanted)
        self._index.forget(rows)


def _opened(file: Path) -> sqlite3.Connection:
    base = open_cache(file, _SCHEMA)
    try:
        base.execute(_SIZE).fetchone()
    except sqlite3.DatabaseError:
        base.close()
        raise
    return base
