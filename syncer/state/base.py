"""The base: what both sides agreed on last. The engine's `BaseStore`, kept in SQLite.

Only storage: no decisions. Facts are written in bulk: consecutive `SetBase` facts become a few statements,
each executed for all rows, and no id of a directory ever comes back to Python.

Invariant: a directory has a row as soon as anything at or below it is recorded, and then all directories
above it have a row too. So the rows at or below a directory are one range of keys, and a directory without
a row has nothing below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from syncer.engine.fingerprint import fingerprint
from syncer.engine.interfaces import Fact, ForgetBase, MoveBase, SetBase
from syncer.engine.model import BaseEntry, Kind, RelPath
from syncer.engine.paths import is_below, split, tree_key, upwards
from syncer.engine.scope import EVERYWHERE, Places
from syncer.state import queries
from syncer.state.sqlite import CorruptDatabase, Database, Parameters, decode_int, encode_int

Sealed = tuple[RelPath, bytes | None, bytes | None]

_PAGE = 2000  # directories that are read, or written, by one statement
_KINDS = {int(kind): kind for kind in Kind}


class BaseTable:
    """`engine.interfaces.BaseStore` over a state database. All methods raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def directories(self, places: Places = EVERYWHERE) -> Iterator[Sealed]:
        """Recorded directories in tree order. Read in pages, so the caller may write between two of them."""
        if places.everywhere:
            yield from self._pages(b"", None)
            return
        trees = set(_keys(places.trees))
        wanted = {up for path in places.directories | places.trees for up in upwards(path)}
        done = b""  # every directory whose key is lower has been yielded already
        for key in sorted(_keys(wanted)):
            if key < done:
                continue  # within a tree before it
            if key in trees:
                _, done = subtree_range(key)
                yield from self._pages(key, done)
            else:
                yield from map(_sealed, self._database.select(queries.GET_DIRECTORY, {"key": key}))

    def _pages(self, key: bytes, end: bytes | None) -> Iterator[Sealed]:
        """The directory with this key, and those after it with keys below `end` (None: all)."""
        page = self._database.select(queries.GET_DIRECTORY, {"key": key})
        while page:
            for row in page:
                if end is not None and row[1] >= end:
                    return
                yield _sealed(row)
            page = self._database.select(queries.NEXT_DIRECTORIES, {"key": page[-1][1], "limit": _PAGE})

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        entries = self._database.select(queries.GET_ENTRIES, {"key": tree_key(directory)})
        return {os.fsdecode(row[0]): _entry(row) for row in entries}

    def known(self) -> int:
        """The number of entries. Counted row by row (about 0.1 s for a million): once per run at most."""
        return int(self._database.value(queries.COUNT_ENTRIES))

    def record(self, facts: Iterable[Fact]) -> None:
        """Apply facts in order, in one transaction (`engine.interfaces.BaseStore`)."""
        pending = list(facts)
        if not pending:
            return
        with self._database.transaction():
            batch = _Batch()
            for fact in pending:
                if isinstance(fact, SetBase):
                    if batch.contradicts(fact):
                        batch.flush(self._database)
                    batch.add(fact)
                    continue
                batch.flush(self._database)
                self._forget(fact.path) if isinstance(fact, ForgetBase) else self._move(fact)
            batch.flush(self._database)

    def set_fingerprints(self, fingerprints: Iterable[Sealed]) -> None:
        stream = iter(fingerprints)
        page = list(islice(stream, _PAGE))
        if not page:
            return
        with self._database.transaction():
            while page:
                self._database.execute_many(
                    queries.SET_FINGERPRINTS,
                    [
                        {"local": local, "remote": remote, "key": tree_key(path)}
                        for path, local, remote in page
                    ],
                )
                page = list(islice(stream, _PAGE))

    def compute_fingerprints(self, directories: Iterable[RelPath]) -> Iterator[Sealed]:
        """The directories' fingerprints, computed from the recorded rows (`engine.interfaces.BaseStore`)."""
        for path in directories:
            key = tree_key(path)
            rows = self._database.select(queries.GET_VERSIONS, {"key": key})
            if rows or self._directory_exists(key):
                yield path, _fingerprint(rows, 2), _fingerprint(rows, 3)

    def get_setting(self, key: str) -> str:
        return str(self._database.value(queries.GET_SETTING, {"key": key}) or "")

    def set(self, **settings: str) -> None:
        with self._database.transaction():
            rows: list[Parameters] = [{"key": key, "value": value} for key, value in settings.items()]
            self._database.execute_many(queries.SET_SETTING, rows)

    def _directory_exists(self, key: bytes) -> bool:
        return self._database.value(queries.DIRECTORY_EXISTS, {"key": key}) is not None

    def _forget(self, path: RelPath) -> None:
        """Delete the rows of a path and of everything below it."""
        if not path:
            self._database.execute(queries.DELETE_EVERYTHING)
            return
        directory, name = split(path)
        key = tree_key(directory)
        self._database.execute(queries.DELETE_SUBTREE, _range(tree_key(path)))
        self._database.execute(queries.DELETE_ENTRY, {"key": key, "name": os.fsencode(name)})
        self._database.execute(queries.CLEAR_FINGERPRINTS, {"key": key})

    def _move(self, fact: MoveBase) -> None:
        """Give the rows of a path, and of everything below it, another path.

        If one of the two paths is within the other, no true statement about either is left: both are
        forgotten.
        """
        origin, path = fact.origin, fact.path
        if origin == path:
            return
        self._forget(path)
        if is_below(path, origin) or is_below(origin, path):
            self._forget(origin)
            return

        # The entry in its parent directory.
        (old_directory, old_name), (directory, name) = split(origin), split(path)
        key, old_key = tree_key(directory), tree_key(old_directory)
        entry = {"key": old_key, "name": os.fsencode(old_name)}
        recorded = self._database.value(queries.ENTRY_EXISTS, entry) is not None
        if recorded or self._directory_exists(tree_key(origin)):
            parents: list[Parameters] = [
                {"path": os.fsencode(up), "key": tree_key(up)} for up in upwards(directory)
            ]
            self._database.execute_many(queries.ADD_DIRECTORY, parents)
            self._database.execute(
                queries.MOVE_ENTRY,
                {
                    "key": key,
                    "name": os.fsencode(name),
                    "old_key": old_key,
                    "old_name": os.fsencode(old_name),
                },
            )
        self._database.execute_many(queries.CLEAR_FINGERPRINTS, [{"key": old_key}, {"key": key}])

        # The directory of this path and those below it: their entries name them by id, and follow.
        prefix, cut = os.fsencode(path), len(os.fsencode(origin))
        renamed: list[Parameters] = []
        for number, old in self._database.select(queries.GET_SUBTREE, _range(tree_key(origin))):
            moved = prefix + old[cut:]
            renamed.append({"path": moved, "key": moved.replace(b"/", b"\0"), "id": number})
        self._database.execute_many(queries.RENAME_DIRECTORY, renamed)


class _Batch:
    """`SetBase` facts that can be written in any order, since of two about one path the last is kept."""

    def __init__(self) -> None:
        self._directories: dict[RelPath, Parameters] = {}  # rows to add: these directories and all above them
        self._files: dict[
            bytes, list[Parameters]
        ] = {}  # by directory: ranges below names of files, to delete
        self._entries: list[Parameters] = []
        self._changed: dict[RelPath, bytes] = {}  # keys of the directories that `_entries` are in

    def contradicts(self, fact: SetBase) -> bool:
        """Whether the fact makes a file of a path that the batch records as a directory."""
        return fact.entry.kind is not Kind.DIRECTORY and fact.path in self._directories

    def add(self, fact: SetBase) -> None:
        if fact.entry.kind is Kind.DIRECTORY:
            self._add_directory(fact.path)
        if not fact.path:
            return  # the root is an entry of no directory
        directory, name = split(fact.path)
        key = self._changed.get(directory)
        if key is None:
            key = self._changed[directory] = tree_key(directory)
            self._add_directory(directory)
        if fact.entry.kind is not Kind.DIRECTORY:
            self._files.setdefault(key, []).append(_range(tree_key(fact.path)))
        self._entries.append(_row(key, name, fact.entry))

    def flush(self, database: Database) -> None:
        """Write the batch and empty it."""
        # What a file replaces may have been a directory: nothing is below it any more. This comes before the
        # new directories are added; in a directory without a row, nothing is below any name.
        for key, ranges in self._files.items():
            if database.value(queries.DIRECTORY_EXISTS, {"key": key}) is not None:
                database.execute_many(queries.DELETE_SUBTREE, ranges)
        database.execute_many(queries.ADD_DIRECTORY, list(self._directories.values()))
        database.execute_many(queries.PUT_ENTRY, self._entries)
        database.execute_many(queries.CLEAR_FINGERPRINTS, [{"key": key} for key in self._changed.values()])
        for written in (self._directories, self._files, self._entries, self._changed):
            written.clear()

    def _add_directory(self, path: RelPath) -> None:
        """Upwards until a directory that the batch has already: then it has all above that, too."""
        while path not in self._directories:
            self._directories[path] = {"path": os.fsencode(path), "key": tree_key(path)}
            if not path:
                return
            path = split(path)[0]


def subtree_range(key: bytes) -> tuple[bytes, bytes]:
    """The range [first, end) of the keys of a directory and of all below it; not for the root.

    The key of something below continues with a NUL, which no name contains; so a sibling such as `ab` beside
    `a` is outside.
    """
    return key, key + b"\x01"


def _range(key: bytes) -> Parameters:
    first, end = subtree_range(key)
    return {"first": first, "end": end}


def _keys(paths: Iterable[RelPath]) -> Iterator[bytes]:
    """Keys of the paths. Servers send paths too: those that no name can have are skipped."""
    for path in paths:
        try:
            yield tree_key(path)
        except UnicodeEncodeError:
            continue


def _sealed(row: Any) -> Sealed:
    path, _, local, remote = row
    return os.fsdecode(path), local, remote


def _row(key: bytes, name: str, entry: BaseEntry) -> Parameters:
    return {
        "key": key,
        "name": os.fsencode(name),
        "kind": int(entry.kind),
        "size": entry.size,
        "digest": entry.digest,
        "executable": int(entry.executable),
        "local_version": entry.local_version,
        "remote_version": entry.remote_version,
        "local_mtime_ns": encode_int(entry.local_mtime_ns),
        "remote_mtime_ns": encode_int(entry.remote_mtime_ns),
    }


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
            local_mtime_ns=decode_int(local_mtime),
            remote_mtime_ns=decode_int(remote_mtime),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptDatabase(f"the state database has an invalid entry: {error!r}") from error


def _fingerprint(rows: Sequence[Any], column: int) -> bytes | None:
    """Over the names and one side's versions; None if a version is missing."""
    pairs: list[tuple[str, bytes]] = []
    for row in rows:
        version = b"" if row[1] == Kind.DIRECTORY else row[column]
        if version is None:
            return None
        pairs.append((os.fsdecode(row[0]), version))
    return fingerprint(pairs)
