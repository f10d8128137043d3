"""Attributes that clients give to files: small texts, kept as long as the file stays as it is.

Keyed by path and version, so they die with a changed version: what a client said of the old content (a
checksum, a date) is no word about the new one. A directory has no version: its attributes stay.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from syncer.engine.model import RelPath, Version
from syncer.errors import StateError
from syncer.server.errors import Refused

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attributes(
    path BLOB NOT NULL, version BLOB NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (path, name)) WITHOUT ROWID
"""
MOST = 64
"""Attributes of one path."""
_MOST_NAME, _MOST_VALUE = 255, 4096


class Attributes:
    """By path (relative to the served folder) and version. Safe to share between threads."""

    def __init__(self, file: Path) -> None:
        """Raises StateError."""
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(file, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise StateError(
                f"{file}: {error}", hint="move the file away: only attributes that clients set are lost"
            ) from error

    def of(self, path: RelPath, version: Version) -> Mapping[str, str]:
        """Those set since this version came to be."""
        question = "SELECT name, value FROM attributes WHERE path = ? AND version = ?"
        with self._lock:
            return dict(self._base.execute(question, (os.fsencode(path), version)))

    def set(self, path: RelPath, version: Version, pairs: Iterable[tuple[str, str]]) -> None:
        """Adds to those of this version, durably. Raises Refused 400 for too many or too long ones."""
        fresh = dict(pairs)
        for name, value in fresh.items():
            if not 0 < len(name) <= _MOST_NAME or len(value) > _MOST_VALUE or not _is_text(name + value):
                message = "An attribute is name=value, the name up to 255 characters, the value up to 4096."
                raise Refused(400, message, fields={"attributes": [message]})
        key = os.fsencode(path)
        with self._lock, self._base:
            self._base.execute("DELETE FROM attributes WHERE path = ? AND version <> ?", (key, version))
            self._base.executemany(
                "INSERT OR REPLACE INTO attributes VALUES (?, ?, ?, ?)",
                [(key, version, name, value) for name, value in fresh.items()],
            )
            [(count,)] = self._base.execute("SELECT count(*) FROM attributes WHERE path = ?", (key,))
            if count > MOST:
                message = f"A path has {MOST} attributes at most."
                raise Refused(400, message, fields={"attributes": [message]})  # nothing of it is written

    def forget(self, paths: Iterable[RelPath]) -> None:
        """Of what was removed or has another name now, and of all below it. Durably, where there were any."""
        where = "path = ? OR (path >= ? AND path < ?)"  # "0" follows "/"
        bounds = [(base, base + b"/", base + b"0") for base in map(os.fsencode, paths)]
        with self._lock, self._base:
            known = [
                b for b in bounds
                if self._base.execute(f"SELECT 1 FROM attributes WHERE {where} LIMIT 1", b).fetchone()
            ]  # fmt: skip
            if known:
                self._base.executemany(f"DELETE FROM attributes WHERE {where}", known)

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        with self._lock:
            self._base.close()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
