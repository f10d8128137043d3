"""Digests of served files, kept so that a file is hashed once for each of its versions.

A cache in SQLite: losing it costs time only, so it is not made durable, and a damaged one is thrown away.
Rows are by directory, since listings ask by directory. What a version is worth is not judged
here: only those that are `Entry.trusted` may be handed in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from syncer.engine.model import RelPath, Version
from syncer.engine.paths import split
from syncer.state.cache import CacheDatabase

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
    """BLAKE3-256 by path (relative to the served folder) and version. Safe to share between threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._kept: list[tuple[bytes, bytes, bytes, bytes]] = []  # not yet written
        self._base = CacheDatabase(file, _SCHEMA)

    def find(self, path: RelPath, version: Version) -> bytes | None:
        """The digest of a file in that version; None if it is not known."""
        directory, name = split(path)
        rows = self._ask(_FIND_ONE, (os.fsencode(directory), os.fsencode(name), version))
        return rows[0][0] if rows else None

    def of_directory(self, directory: RelPath) -> Mapping[bytes, tuple[Version, bytes]] | None:
        """What is known of the names in one directory: version and digest; None if it is of very many."""
        rows = self._ask(_FIND, (os.fsencode(directory), _MOST))
        return None if len(rows) == _MOST else {name: (version, digest) for name, version, digest in rows}

    def of_names(self, directory: RelPath, names: Sequence[bytes]) -> Mapping[bytes, tuple[Version, bytes]]:
        """The same of some of the names, 2,000 at most."""
        question = _FIND_SOME.format(",".join("?" * len(names)))
        rows = self._ask(question, (os.fsencode(directory), *names))
        return {name: (version, digest) for name, version, digest in rows}

    def keep(self, rows: Iterable[tuple[RelPath, Version, bytes]]) -> None:
        """Path, version and digest of files whose version is trusted."""
        found = []
        for path, version, digest in rows:
            directory, name = split(path)
            found.append((os.fsencode(directory), os.fsencode(name), version, digest))
        with self._lock:
            self._kept += found
            if len(self._kept) >= _BATCH:
                self._write()

    def _write(self) -> None:
        """What was handed in since the last time: a transaction for each file took a tenth of a put."""
        rows, self._kept = self._kept, []
        if rows:
            self._base.write((_KEEP, rows))

    def forget(self, directory: RelPath, names: Iterable[bytes] | None = None) -> None:
        """Of names that are gone from a directory, or of all in one that is gone."""
        where = os.fsencode(directory)
        with self._lock:
            self._write()
            if names is None:
                self._base.write((_FORGET_ALL, [(where,)]))
            else:
                self._base.write((_FORGET, [(where, name) for name in names]))

    def gone(self, paths: Iterable[RelPath]) -> None:
        """Of names that were taken away or have another one now, and of all below them."""
        names = [(os.fsencode(directory), os.fsencode(name)) for directory, name in map(split, paths)]
        below = [(found, found + b"/", found + b"0") for found in map(os.fsencode, paths)]  # "0" follows "/"
        with self._lock:
            self._write()
            self._base.write((_FORGET, names), (_FORGET_BELOW, below))

    def names(self, directory: RelPath) -> Iterator[list[bytes]]:
        """Those that something is known of in a directory, in order, some at a time."""
        last = b""
        while found := self._ask(_NAMES, (os.fsencode(directory), last)):
            last = found[-1][0]
            yield [name for (name,) in found]

    def directories(self) -> Iterator[RelPath]:
        """Those that something is known of, in order; they may be forgotten meanwhile."""
        last = b""
        if self._ask(_FIND, (b"", 1)):
            yield ""
        while found := self._ask(_DIRECTORIES, (last,)):
            last = found[-1][0]
            yield from (os.fsdecode(directory) for (directory,) in found)

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        with self._lock:
            self._write()
            self._base.close()

    def _ask(self, question: str, values: tuple[bytes | int, ...]) -> list[tuple[bytes, ...]]:
        with self._lock:
            self._write()
            return self._base.select(question, values)
