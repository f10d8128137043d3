"""Item cache of an Orange root: digests by version, and which names exist. One SQLite file.

The service tells no hash, so a digest is kept against the version it was learnt of. And its listings may lag
behind or be cut short, so what is noted here and missing there is asked for by itself. One small
SQLite file in a private directory; losing it costs time only, so nothing waits for the disk.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from syncer.engine.model import RelPath
from syncer.engine.paths import split

log = logging.getLogger(__name__)
NAME = "orange.sqlite3"
FoundT = TypeVar("FoundT")
_FORMAT = 1
_BATCH = 256  # changes between two commits: what a kill costs
_TABLE = (
    "CREATE TABLE item (directory TEXT, name TEXT, kind TEXT, version BLOB, digest BLOB, wrote_ns INTEGER, "
    "PRIMARY KEY (directory, name)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedItem:
    """One name.

    `version`: b"" if it could not be trusted; `wrote_ns`: when this client wrote it, 0 for never.
    """

    kind: str  # FILE, FOLDER, GONE
    version: bytes = b""
    digest: bytes | None = None
    wrote_ns: int = 0


FILE, FOLDER, GONE = "file", "folder", "gone"


class ItemCache:
    """Safe to share between threads. Never raises: what cannot be stored or read counts as unknown."""

    def __init__(self, directory: Path | None) -> None:
        """`directory` is made (0700) with the first entry; None: in memory only."""
        self._directory = directory
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._pending = 0

    def of(self, directory: RelPath) -> Mapping[str, CachedItem]:
        """The cached items of one directory, by name."""
        query = "SELECT name, kind, version, digest, wrote_ns FROM item WHERE directory = ?"
        nothing: list[tuple[str, str, bytes, bytes | None, int]] = []
        rows = self._used(lambda c: c.execute(query, (_text(directory),)).fetchall(), nothing)
        return {name: _note(kind, version, digest, at) for name, kind, version, digest, at in rows}

    def get(self, path: RelPath) -> CachedItem | None:
        """The cached item at a path."""
        query = "SELECT kind, version, digest, wrote_ns FROM item WHERE directory = ? AND name = ?"
        row = self._used(lambda c: c.execute(query, _key(path)).fetchone(), None)
        return None if row is None else _note(*row)

    def digest(self, path: RelPath, version: bytes) -> bytes | None:
        """The digest of this version, if it is known."""
        note = self.get(path)
        return note.digest if note is not None and version and note.version == version else None

    def put(self, path: RelPath, note: CachedItem) -> None:
        """Store the item at a path, in place of an older one."""
        row = (*_key(path), note.kind, note.version, note.digest, note.wrote_ns)
        query = "INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?, ?)"
        self._used(lambda c: self._changed(c, c.execute(query, row)), None)

    def drop(self, path: RelPath) -> None:
        """Forget a path and everything below it."""
        here, low, high = _text(path), f"{_text(path)}/", f"{_text(path)}0"  # "0" comes after "/"
        name = "DELETE FROM item WHERE directory = ? AND name = ?"
        tree = "DELETE FROM item WHERE directory = ? OR (directory >= ? AND directory < ?)"
        self._used(lambda c: self._changed(c, c.execute(name, _key(path))), None)
        self._used(lambda c: self._changed(c, c.execute(tree, (here, low, high))), None)

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                try:
                    self._open.commit()
                except sqlite3.Error as error:
                    log.info("%s could not be kept: %s", NAME, error)
                self._open.close()
                self._open = None

    def _changed(self, connection: sqlite3.Connection, _: object) -> None:
        self._pending += 1
        if self._pending >= _BATCH:
            self._pending = 0
            connection.commit()

    def _used(self, work: Callable[[sqlite3.Connection], FoundT], otherwise: FoundT) -> FoundT:
        with self._lock:
            try:
                if self._open is None:
                    self._open = self._opened()
                return work(self._open)
            except sqlite3.OperationalError as error:  # another process has it, the disk is full
                log.info("%s is not of use: %s", NAME, error)
            except sqlite3.Error as error:
                log.info("%s is damaged (%s); begun anew", NAME, error)
                self._lost()
            return otherwise

    def _lost(self) -> None:
        """Remove a damaged file; the next use makes a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None
        if self._directory is not None:
            for end in ("", "-journal"):
                (self._directory / f"{NAME}{end}").unlink(missing_ok=True)

    def _opened(self) -> sqlite3.Connection:
        try:
            if self._directory is not None:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                return _connect(str(self._directory / NAME))
        except (OSError, sqlite3.OperationalError) as error:
            log.info("nothing is kept between runs: %s", error)
        return _connect(":memory:")


def _connect(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version != _FORMAT:
            connection.execute("DROP TABLE IF EXISTS item")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _note(kind: str, version: bytes, digest: bytes | None, wrote_ns: int) -> CachedItem:
    return CachedItem(kind=kind, version=version, digest=digest, wrote_ns=wrote_ns)


def _key(path: RelPath) -> tuple[str, str]:
    directory, name = split(path)
    return _text(directory), _text(name)


def _text(path: RelPath) -> str:
    """SQLite takes no lone surrogates, and the service no such names: they are looked for in vain."""
    return path.encode("utf-8", "replace").decode()
