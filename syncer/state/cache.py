"""SQLite cache files: format number, pragmas, discarded when damaged, bounded in size.

A cache holds what can be found out again: losing it costs time only. So it never raises for the state of the
disk, it is not durable (synchronous=NORMAL: a power cut may lose the last writes, it damages nothing), and a
file that is damaged or of another format is deleted and begun anew.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

log = logging.getLogger(__name__)
MAX_BYTES: Final = 4 << 30  # a full cache forgets nothing, but learns nothing more
_MAX_JOURNAL: Final = 16 << 20  # bytes that the write-ahead log keeps after a checkpoint
# Errors that say nothing against the file: another process uses it, the disk is full or fails.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
    }
)
_Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


def open_cache(path: Path | None, schema: str, *, version: int = 1) -> sqlite3.Connection:
    """Open a file, None: a database in memory. Raises sqlite3.Error, also for another format.

    `schema`: statements CREATE … IF NOT EXISTS. `version` is the format number, stored as `user_version`; a
    file with 0 there is taken for the first format, or is new.
    """
    connection = sqlite3.connect(path or ":memory:", check_same_thread=False)
    try:
        [stored] = connection.execute("PRAGMA user_version").fetchone()
        if stored not in (0, version):
            raise sqlite3.DatabaseError("it has another format")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA journal_size_limit={_MAX_JOURNAL}")
        [page_size] = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count={MAX_BYTES // page_size}")
        connection.executescript(schema)
        if stored != version:
            connection.execute(f"PRAGMA user_version={version}")
    except BaseException:
        connection.close()
        raise
    return connection


def discard(path: Path) -> None:
    """Delete a cache file with its journals. Raises OSError.

    The journals come first: SQLite would replay one that is left alone into the next file.
    """
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class CacheDatabase:
    """A cache in a file, or in memory if the file cannot be used. Safe to share between threads.

    A statement that fails selects nothing, or writes nothing; if the file is to blame, it is discarded.
    """

    def __init__(self, path: Path | None, schema: str, *, version: int = 1) -> None:
        """`path`: None keeps the cache in memory. File and directory (0700) are created on first use."""
        self._path = path
        self._schema = schema
        self._version = version
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def select(self, sql: str, parameters: _Parameters = ()) -> list[Any]:
        """All rows of a SELECT as tuples; none if it fails, or after `close`."""
        with self._lock:
            if self._closed:
                return []
            try:
                return self._opened().execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                self._failed(error)
                return []

    def write(self, *statements: tuple[str, Sequence[_Parameters]]) -> None:
        """Run statements, each for all its rows of parameters, in one transaction; all or none of them."""
        with self._lock:
            if self._closed:
                return
            try:
                with self._opened() as connection:
                    for sql, rows in statements:
                        connection.executemany(sql, rows)
            except sqlite3.Error as error:
                self._failed(error)

    def close(self) -> None:
        """Close the file. Closing again does nothing."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        """The file; else, after it was discarded, a new one; else a database in memory."""
        if self._path is not None:
            for _ in range(2):
                try:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    return open_cache(self._path, self._schema, version=self._version)
                except sqlite3.Error as error:
                    log.info("the cache %s cannot be opened: %s", self._path, error)
                    if _code(error) in _PASSING:
                        break
                    try:
                        discard(self._path)
                    except OSError:
                        break
                except OSError as error:
                    log.info("the cache %s cannot be opened: %s", self._path, error)
                    break
        return open_cache(None, self._schema, version=self._version)

    def _failed(self, error: sqlite3.Error) -> None:
        """Keep a file that is busy, or on a disk that is full; begin anew with one that cannot be read."""
        log.info("the cache %s failed: %s", self._path, error)
        if _code(error) in _PASSING or self._connection is None:
            return
        self._connection.close()
        self._connection = None  # the next use opens a new one
        if self._path is not None:
            try:
                discard(self._path)
            except OSError:
                self._path = None  # in memory from now on


def _code(error: sqlite3.Error) -> int:
    """The primary result code (https://sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
