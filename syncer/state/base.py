"""The base: what both sides agreed on last. The engine's `Memory`, kept in SQLite.

It stores and answers; it decides nothing. Facts are written in bulk: consecutive ones of a
kind become a few statements, each for all rows, and no id of a directory ever comes
back to Python. A directory has a row as soon as anything at or below it is
remembered, and then all directories above it have one too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from syncer.engine.fingerprint import fingerprint
from syncer.engine.interfaces import Fact, ForgetBase, MoveBase, SetBase
from syncer.engine.model import BaseEntry, Kind, RelPath
from syncer.engine.paths import is_below, split, tree_key, upwards
from syncer.engine.scope import EVERYWHERE, Places
from syncer.state import statements as sql
from syncer.state.sqlite import CorruptDatabase, Database, Row
from syncer.state.stored import below, unwide, wide

Sealed = tuple[RelPath, bytes | None, bytes | None]

_PAGE = 2000  # directories read at once; no cursor stays open while the engine works on them
_KINDS = {int(kind): kind for kind in Kind}


class BaseTable:
    """`engine.interfaces.BaseStore` over a state database. All methods raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def directories(self, places: Places = EVERYWHERE) -> Iterator[Sealed]:
        """Known directories in tree order; read in pages, so writing meanwhile is harmless."""
        if places.everywhere:
            yield from self._from(b"", None)
            return
        trees = set(_keys(places.trees))
        wanted = {up for path in places.directories | places.trees for up in upwards(path)}
        end = b""  # what is before it was told already
        for key in sorted(_keys(wanted)):
            if key in trees and key >= end:
                end = below(key)[1]
                yield from self._from(key, end)
            elif key >= end:
                yield from map(_sealed, self._database.select(sql.ROOT, (key,)))

    def _from(self, key: bytes, end: bytes | None) -> Iterator[Sealed]:
        """The directory with this key and what comes behind it, up to the end (None: of all)."""
        page = self._database.select(sql.ROOT, (key,))
        while page:
            for row in page:
                if end is not None and row[1] >= end:
                    return
                yield _sealed(row)
            page = self._database.select(sql.PAGE_FROM, (page[-1][1], _PAGE))

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        found = self._database.select(sql.ROWS, (tree_key(directory),))
        return {os.fsdecode(row[0]): _entry(row) for row in found}

    def known(self) -> int:
        """Counts row by row (about 0.1 s for a million): ask once per run at most."""
        return int(self._database.value(sql.COUNT))

    def record(self, facts: Iterable[Fact]) -> None:
        waiting = list(facts)
        if not waiting:
            return
        with self._database.transaction():
            batch = _Batch()
            for fact in waiting:
                if isinstance(fact, SetBase):
                    if batch.contradicts(fact):
                        batch.flush(self._database)
                    batch.add(fact)
                    continue
                batch.flush(self._database)
                self._drop(fact.path) if isinstance(fact, ForgetBase) else self._relocate(fact)
            batch.flush(self._database)

    def set_fingerprints(self, fingerprints: Iterable[Sealed]) -> None:
        stream = iter(fingerprints)
        first = list(islice(stream, _PAGE))
        if not first:
            return
        with self._database.transaction():
            while first:
                rows: list[Row] = [(local, remote, tree_key(path)) for path, local, remote in first]
                self._database.execute_many(sql.SEAL, rows)
                first = list(islice(stream, _PAGE))

    def compute_fingerprints(self, directories: Iterable[RelPath]) -> Iterator[Sealed]:
        """The directories' fingerprints as the remembered rows make them (`engine.interfaces.BaseStore`)."""
        for path in directories:
            key = tree_key(path)
            rows = self._database.select(sql.VERSIONS, (key,))
            if rows or self._database.value(sql.EXISTS, (key,)) is not None:
                yield path, _fingerprint(rows, 2), _fingerprint(rows, 3)

    def get_setting(self, key: str) -> str:
        return str(self._database.value(sql.SETTING, (key,)) or "")

    def set(self, **settings: str) -> None:
        with self._database.transaction():
            self._database.execute_many(sql.SET, list(settings.items()))

    def _drop(self, path: RelPath) -> None:
        if not path:
            self._database.execute(sql.CLEAR_ALL)
            return
        directory, name = split(path)
        key = tree_key(directory)
        self._database.execute(sql.CLEAR, below(tree_key(path)))
        self._database.execute(sql.DROP, (key, os.fsencode(name)))
        self._database.execute(sql.VOID, (None, None, key))

    def _relocate(self, fact: MoveBase) -> None:
        """Where one of the two is within the other nothing sensible is left to say: both are dropped."""
        origin, path = fact.origin, fact.path
        if origin == path:
            return
        self._drop(path)
        if is_below(path, origin) or is_below(origin, path):
            self._drop(origin)
            return
        self._move_row(origin, path)
        self._move_directories(origin, path)

    def _move_row(self, origin: RelPath, path: RelPath) -> None:
        (old_directory, old_name), (directory, name) = split(origin), split(path)
        old_key, key = tree_key(old_directory), tree_key(directory)
        old, new = os.fsencode(old_name), os.fsencode(name)
        if self._knows(origin):
            self._database.execute_many(sql.ENSURE, _ancestry(directory))
            self._database.execute(sql.REHANG, (key, new, old_key, old))
        self._database.execute_many(sql.VOID, [(None, None, old_key), (None, None, key)])

    def _knows(self, path: RelPath) -> bool:
        """Whether the path, or anything below it, is remembered."""
        directory, name = split(path)
        if self._database.value(sql.EXISTS, (tree_key(path),)) is not None:
            return True
        found = self._database.value(sql.HAS, (tree_key(directory), os.fsencode(name)))
        return found is not None

    def _move_directories(self, origin: RelPath, path: RelPath) -> None:
        cut = len(os.fsencode(origin))
        prefix = os.fsencode(path)
        rows: list[Row] = []
        for number, old in self._database.select(sql.SUBTREE, below(tree_key(origin))):
            moved = prefix + old[cut:]
            rows.append((moved, moved.replace(b"/", b"\0"), number))
        self._database.execute_many(sql.RENAME, rows)


class _Batch:
    """Facts of the kind Remember that can be written in any order, except for the last word on one name."""

    def __init__(self) -> None:
        self._known: dict[RelPath, Row] = {}  # directories that get a row: path and key
        self._cleared: dict[bytes, list[Row]] = {}  # by directory: its names below which nothing is
        self._entries: list[Row] = []
        self._touched: dict[RelPath, bytes] = {}  # the directories rows are written to, and their keys

    def contradicts(self, fact: SetBase) -> bool:
        """Whether the batch took for a directory what is none now."""
        return fact.entry.kind is not Kind.DIRECTORY and fact.path in self._known

    def add(self, fact: SetBase) -> None:
        if fact.entry.kind is Kind.DIRECTORY:
            self._ensure(fact.path)
        if not fact.path:  # the root stands in no directory
            return
        directory, name = split(fact.path)
        key = self._touched.get(directory)
        if key is None:
            key = self._touched[directory] = tree_key(directory)
            self._ensure(directory)
        if fact.entry.kind is not Kind.DIRECTORY:
            self._cleared.setdefault(key, []).append(below(tree_key(fact.path)))
        self._entries.append(_row(key, name, fact.entry))

    def flush(self, database: Database) -> None:
        for key, rows in self._cleared.items():
            if database.value(sql.EXISTS, (key,)) is not None:  # below a new directory nothing is known yet
                database.execute_many(sql.CLEAR, rows)
        database.execute_many(sql.ENSURE, list(self._known.values()))
        database.execute_many(sql.REMEMBER, self._entries)
        database.execute_many(sql.VOID, [(None, None, key) for key in self._touched.values()])
        for kept in (self._known, self._cleared, self._entries, self._touched):
            kept.clear()

    def _ensure(self, path: RelPath) -> None:
        """Upwards until a directory that the batch has already: then all above it are there too."""
        while path not in self._known:
            self._known[path] = (os.fsencode(path), tree_key(path))
            if not path:
                return
            path = split(path)[0]


def _keys(paths: Iterable[RelPath]) -> Iterator[bytes]:
    """Keys of those that can be names at all: where to look is said by others, hostile servers among them."""
    for path in paths:
        try:
            yield tree_key(path)
        except UnicodeEncodeError:
            continue


def _sealed(row: Any) -> Sealed:
    path, _, local, remote = row
    return os.fsdecode(path), local, remote


def _ancestry(path: RelPath) -> list[Row]:
    """Path and key of a directory and of all above it."""
    batch = _Batch()
    batch._ensure(path)
    return list(batch._known.values())


def _row(key: bytes, name: str, entry: BaseEntry) -> Row:
    return (
        key,
        os.fsencode(name),
        int(entry.kind),
        entry.size,
        entry.digest,
        int(entry.executable),
        entry.local_version,
        entry.remote_version,
        wide(entry.local_mtime_ns),
        wide(entry.remote_mtime_ns),
    )


def _entry(row: Any) -> BaseEntry:
    _, kind, size, digest, executable, local, remote, local_mtime, remote_mtime = row
    try:
        return BaseEntry(
            kind=_KINDS[kind],
            size=size,
            digest=digest,
            executable=bool(executable),
            local_version=local,
            remote_version=remote,
            local_mtime_ns=unwide(local_mtime),
            remote_mtime_ns=unwide(remote_mtime),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptDatabase(f"the state database holds a row that makes no sense: {error!r}") from error


def _fingerprint(rows: Iterable[Any], column: int) -> bytes | None:
    """Over name and version of one side; None where a version is missing."""
    pairs: list[tuple[str, bytes]] = []
    for row in rows:
        version = b"" if row[1] == Kind.DIRECTORY else row[column]
        if version is None:
            return None
        pairs.append((os.fsdecode(row[0]), version))
    return fingerprint(pairs)
