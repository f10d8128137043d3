"""SQLite table of the attributes that clients give to files: small texts, valid for one version of the file.

They are keyed by path and version: what a client stored about the old content (a checksum, a date) says
nothing about the new one. A directory has no version, so its attributes stay.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from syncer.engine.model import RelPath, Version
from syncer.errors import StateError
from syncer.server.errors import HttpError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attributes(
    path BLOB NOT NULL, version BLOB NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (path, name)) WITHOUT ROWID
"""
MOST = 64
"""Attributes of one path."""
_MOST_NAME, _MOST_VALUE = 255, 4096


class Attributes:
    """Attributes by path (relative to the served folder) and version. Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Open or make the database. Raises StateError."""
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(file, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise StateError(
                f"{file}: {error}", hint="move the file away: only attributes that clients set are lost"
            ) from error

    def of(self, path: RelPath, version: Version) -> Mapping[str, str]:
        """The attributes of this version."""
        query = "SELECT name, value FROM attributes WHERE path = ? AND version = ?"
        with self._lock:
            return dict(self._database.execute(query, (os.fsencode(path), version)))

    def set(self, path: RelPath, version: Version, pairs: Iterable[tuple[str, str]]) -> None:
        """Add attributes to this version, durably. Raises HttpError 400 for too many or too long ones."""
        added = dict(pairs)
        for name, value in added.items():
            if not 0 < len(name) <= _MOST_NAME or len(value) > _MOST_VALUE or not _is_text(name + value):
                message = "An attribute is name=value, the name up to 255 characters, the value up to 4096."
                raise HttpError(400, message, fields={"attributes": [message]})
        key = os.fsencode(path)
        with self._lock, self._database:
            self._database.execute("DELETE FROM attributes WHERE path = ? AND version <> ?", (key, version))
            self._database.executemany(
                "INSERT OR REPLACE INTO attributes VALUES (?, ?, ?, ?)",
                [(key, version, name, value) for name, value in added.items()],
            )
            [(count,)] = self._database.execute("SELECT count(*) FROM attributes WHERE path = ?", (key,))
            if count > MOST:
                message = f"A path has {MOST} attributes at most."
                raise HttpError(
                    400, message, fields={"attributes": [message]}
                )  # the transaction is rolled back

    def forget(self, paths: Iterable[RelPath]) -> None:
        """Delete the attributes of paths that were removed or renamed, and of all below them, durably."""
        where = "path = ? OR (path >= ? AND path < ?)"  # "0" follows "/"
        bounds = [(base, base + b"/", base + b"0") for base in map(os.fsencode, paths)]
        with self._lock, self._database:
            known = [
                b for b in bounds
                if self._database.execute(f"SELECT 1 FROM attributes WHERE {where} LIMIT 1", b).fetchone()
            ]  # fmt: skip
            if known:
                self._database.executemany(f"DELETE FROM attributes WHERE {where}", known)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
