"""SQLite cache of the digests of served files: each version of a file is hashed once.

Losing it costs time only, so it is not made durable, and a damaged one is deleted. Rows are keyed by
directory, because listings ask for a directory. Only versions of entries that are `trusted` may be added.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from syncer.engine.model import RelPath, Version
from syncer.engine.paths import split

_SCHEMA = """
CREATE TABLE IF NOT EXISTS digests(
    directory BLOB NOT NULL, name BLOB NOT NULL, version BLOB NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (directory, name)) WITHOUT ROWID
"""
_FIND = "SELECT name, version, digest FROM digests WHERE directory = ? LIMIT ?"
_FIND_SOME = "SELECT name, version, digest FROM digests WHERE directory = ? AND name IN ({})"
_FIND_ONE = "SELECT digest FROM digests WHERE directory = ? AND name = ? AND version = ?"
_FORGET = "DELETE FROM digests WHERE directory = ? AND name = ?"
_FORGET_BELOW = "DELETE FROM digests WHERE directory = ? OR (directory >= ? AND directory < ?)"
_NAMES = "SELECT name FROM digests WHERE directory = ? AND name > ? ORDER BY name LIMIT 1000"
_FORGET_ALL = "DELETE FROM digests WHERE directory = ?"
_DIRECTORIES = "SELECT DISTINCT directory FROM digests WHERE directory > ? ORDER BY directory LIMIT 1000"
_BATCH = 256  # rows that are written at once
_MOST = 5000  # rows of one directory that are held at once
_KEEP = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)"


class DigestCache:
    """BLAKE3-256 by path (relative to the served folder) and version. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[bytes, bytes, bytes, bytes]] = []  # not yet written
        try:
            self._database = _open(file)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            self._database = _open(file)

    def find(self, path: RelPath, version: Version) -> bytes | None:
        """The digest of a file in this version, or None."""
        directory, name = split(path)
        rows = self._query(_FIND_ONE, (os.fsencode(directory), os.fsencode(name), version))
        return rows[0][0] if rows else None

    def of_directory(self, directory: RelPath) -> Mapping[bytes, tuple[Version, bytes]] | None:
        """Version and digest of the names in one directory; None if there are more than 5,000."""
        rows = self._query(_FIND, (os.fsencode(directory), _MOST))
        return None if len(rows) == _MOST else {name: (version, digest) for name, version, digest in rows}

    def of_names(self, directory: RelPath, names: Sequence[bytes]) -> Mapping[bytes, tuple[Version, bytes]]:
        """Version and digest of some of the names, 2,000 at most."""
        query = _FIND_SOME.format(",".join("?" * len(names)))
        rows = self._query(query, (os.fsencode(directory), *names))
        return {name: (version, digest) for name, version, digest in rows}

    def keep(self, rows: Iterable[tuple[RelPath, Version, bytes]]) -> None:
        """Add path, version and digest of files whose version is trusted."""
        added = []
        for path, version, digest in rows:
            directory, name = split(path)
            added.append((os.fsencode(directory), os.fsencode(name), version, digest))
        with self._lock:
            self._pending += added
            if len(self._pending) >= _BATCH:
                self._write()

    def _write(self) -> None:
        """Write the added rows together: a transaction for each file took a tenth of the time of a put."""
        rows, self._pending = self._pending, []
        if not rows:
            return
        try:
            with self._database:
                self._database.executemany(_KEEP, rows)
        except sqlite3.Error:
            return  # a full disk, a damaged cache: the file is hashed again next time

    def forget(self, directory: RelPath, names: Iterable[bytes] | None = None) -> None:
        """Delete the rows of names that are gone from a directory, or of a directory that is gone."""
        where = os.fsencode(directory)
        try:
            with self._lock, self._database:
                self._write()
                if names is None:
                    self._database.execute(_FORGET_ALL, (where,))
                else:
                    self._database.executemany(_FORGET, [(where, name) for name in names])
        except sqlite3.Error:
            return  # they are deleted the next time

    def gone(self, paths: Iterable[RelPath]) -> None:
        """Delete the rows of paths that were removed or renamed, and of all below them."""
        names = [(os.fsencode(directory), os.fsencode(name)) for directory, name in map(split, paths)]
        below = [(found, found + b"/", found + b"0") for found in map(os.fsencode, paths)]  # "0" follows "/"
        try:
            with self._lock, self._database:
                self._write()
                self._database.executemany(_FORGET, names)
                self._database.executemany(_FORGET_BELOW, below)
        except sqlite3.Error:
            return  # they are deleted the next time

    def names(self, directory: RelPath) -> Iterator[list[bytes]]:
        """Yield the names that have rows in a directory, in order, some at a time."""
        last = b""
        while found := self._query(_NAMES, (os.fsencode(directory), last)):
            last = found[-1][0]
            yield [name for (name,) in found]

    def directories(self) -> Iterator[RelPath]:
        """Yield the directories that have rows, in order; rows may be deleted meanwhile."""
        last = b""
        if self._query(_FIND, (b"", 1)):
            yield ""
        while found := self._query(_DIRECTORIES, (last,)):
            last = found[-1][0]
            yield from (os.fsdecode(directory) for (directory,) in found)

    def close(self) -> None:
        """Write what is pending and close the database."""
        with self._lock:
            self._write()
            self._database.close()

    def _query(self, query: str, values: tuple[bytes | int, ...]) -> list[tuple[bytes, ...]]:
        try:
            with self._lock:
                self._write()
                return self._database.execute(query, values).fetchall()
        except sqlite3.Error:
            return []


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_SCHEMA)
        database.execute("SELECT count(*) FROM (SELECT 1 FROM digests LIMIT 1)").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
