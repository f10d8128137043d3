"""Item cache of an Orange root: digests by version, and which names exist. One SQLite file.

The service tells no hash, so a digest is kept against the version it was learnt of. And its listings may lag
behind or be cut short, so what is noted here and missing there is asked for by itself. One small
SQLite file in a private directory; losing it costs time only, so nothing waits for the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from syncer.engine.model import RelPath
from syncer.engine.paths import split
from syncer.state.cache import CacheDatabase

NAME = "orange.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    directory TEXT, name TEXT, kind TEXT, version BLOB, digest BLOB, wrote_ns INTEGER,
    PRIMARY KEY (directory, name)) WITHOUT ROWID
"""


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
        self._db = CacheDatabase(None if directory is None else directory / NAME, _SCHEMA)

    def of(self, directory: RelPath) -> Mapping[str, CachedItem]:
        """The cached items of one directory, by name."""
        query = "SELECT name, kind, version, digest, wrote_ns FROM item WHERE directory = ?"
        rows = self._db.select(query, (_text(directory),))
        return {name: _note(kind, version, digest, at) for name, kind, version, digest, at in rows}

    def get(self, path: RelPath) -> CachedItem | None:
        """The cached item at a path."""
        query = "SELECT kind, version, digest, wrote_ns FROM item WHERE directory = ? AND name = ?"
        rows = self._db.select(query, _key(path))
        return _note(*rows[0]) if rows else None

    def digest(self, path: RelPath, version: bytes) -> bytes | None:
        """The digest of this version, if it is known."""
        note = self.get(path)
        return note.digest if note is not None and version and note.version == version else None

    def put(self, path: RelPath, note: CachedItem) -> None:
        """Store the item at a path, in place of an older one."""
        row = (*_key(path), note.kind, note.version, note.digest, note.wrote_ns)
        self._db.write(("INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?, ?)", [row]))

    def drop(self, path: RelPath) -> None:
        """Forget a path and everything below it."""
        here, low, high = _text(path), f"{_text(path)}/", f"{_text(path)}0"  # "0" comes after "/"
        name = "DELETE FROM item WHERE directory = ? AND name = ?"
        tree = "DELETE FROM item WHERE directory = ? OR (directory >= ? AND directory < ?)"
        self._db.write((name, [_key(path)]), (tree, [(here, low, high)]))

    def close(self) -> None:
        self._db.close()


def _note(kind: str, version: bytes, digest: bytes | None, wrote_ns: int) -> CachedItem:
    return CachedItem(kind=kind, version=version, digest=digest, wrote_ns=wrote_ns)


def _key(path: RelPath) -> tuple[str, str]:
    directory, name = split(path)
    return _text(directory), _text(name)


def _text(path: RelPath) -> str:
    """SQLite takes no lone surrogates, and the service no such names: they are looked for in vain."""
    return path.encode("utf-8", "replace").decode()
