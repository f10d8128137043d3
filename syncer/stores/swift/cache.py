"""Object cache: the last known state of each object, kept between runs, so that only changes are probed.

A listing tells no mtime, no digest, no symlink's target; and it may be late. Facts come from the objects
themselves (HEAD, or our own writes). Losing the file costs a HEAD for each object, and for one run the doubt
about a listing that lacks something. It decides nothing: see `overlay`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from syncer.engine.model import Entry, Kind
from syncer.state.cache import CacheDatabase
from syncer.stores.swift.names import LAST

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
    name BLOB PRIMARY KEY, ticks INTEGER NOT NULL, listed TEXT NOT NULL, volatile INTEGER NOT NULL,
    kind INTEGER NOT NULL, size INTEGER NOT NULL, version BLOB NOT NULL,
    mtime_ns INTEGER, executable INTEGER, digest BLOB, target BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS missing (name BLOB PRIMARY KEY, since_ns INTEGER NOT NULL) WITHOUT ROWID;
"""
_ROWS = 64  # that are read at once where most may be skipped
_MTIMES = range(-(1 << 63), 1 << 63)  # what an INTEGER holds


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedObject:
    """One object. `ticks` and `listed` (an ETag) are how a listing that is up to date shows it.

    `volatile`: what it holds may change without a trace in the listing (DLOs, links of Swift's own).
    """

    name: str
    ticks: int
    listed: str
    entry: Entry
    volatile: bool = False


class ObjectCache:
    """Facts by the objects' names. Safe to share between threads; never raises for what is on the disk."""

    def __init__(self, folder: Path | None) -> None:
        """In a private folder, which is made; None, or one that cannot be written: in memory."""
        self._db = CacheDatabase(None if folder is None else folder / "objects.sqlite", _SCHEMA)

    def between(self, low: str, high: str) -> list[CachedObject]:
        """Those with low < name <= high, by the bytes of their names."""
        rows = self._db.select(
            "SELECT * FROM facts WHERE name > ? AND name <= ? ORDER BY name", (_key(low), _key(high))
        )
        return [_fact(row) for row in rows]

    def count(self) -> int:
        """The number of cached objects."""
        rows = self._db.select("SELECT COUNT(*) FROM facts")
        return int(rows[0][0]) if rows else 0

    def below(self, prefix: str, *, but: Collection[str]) -> list[CachedObject]:
        """Objects whose names begin with it, without those below some directories right in it."""
        steps = self._steps(prefix, lambda head: prefix + head in but)
        return [_fact(row) for head, row in steps if prefix + head not in but]

    def children(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        """What stands right below a prefix, by the rest of its name; directories below it end in a slash."""
        directory = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
        for head, row in self._steps(prefix, lambda _: True):
            yield head, directory if head.endswith("/") else _fact(row).entry

    def heads(self, prefix: str, most: int) -> int:
        """How many names stand right below a prefix; no more than `most` are counted."""
        return sum(1 for _ in islice(self._steps(prefix, lambda _: True), most))

    def fact(self, name: str) -> CachedObject | None:
        rows = self._db.select("SELECT * FROM facts WHERE name = ?", (_key(name),))
        return _fact(rows[0]) if rows else None

    def remember(self, facts: Iterable[CachedObject]) -> None:
        """Store facts: these objects exist."""
        rows = [_row(fact) for fact in facts]
        if rows:
            self._db.write(
                ("INSERT OR REPLACE INTO facts VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows),
                ("DELETE FROM missing WHERE name = ?", [(row[0],) for row in rows]),
            )

    def forget(self, names: Iterable[str]) -> None:
        """Remove facts: the objects are deleted or unknown."""
        keys = [(_key(name),) for name in names]
        if keys:
            self._db.write(
                ("DELETE FROM facts WHERE name = ?", keys), ("DELETE FROM missing WHERE name = ?", keys)
            )

    def missing_since(self, name: str, now_ns: int) -> int:
        """When an object was first not found (ns); stores the current time at the first miss."""
        rows = self._db.select("SELECT since_ns FROM missing WHERE name = ?", (_key(name),))
        if rows and rows[0][0] <= now_ns:
            return int(rows[0][0])
        self._db.write(("INSERT OR REPLACE INTO missing VALUES (?, ?)", [(_key(name), now_ns)]))
        return now_ns

    def close(self) -> None:
        self._db.close()

    def _steps(self, prefix: str, passed: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
        """Rows below a prefix with the name right below it; of directories that are passed, the first row."""
        at, end, over = _key(prefix), _key(prefix + LAST), b""
        while rows := self._db.select(
            "SELECT * FROM facts WHERE name > ? AND name < ? ORDER BY name LIMIT ?", (at, end, _ROWS)
        ):
            for row in rows:
                if over and row[0].startswith(over):
                    continue
                head, slash, _ = row[0].decode()[len(prefix) :].partition("/")
                over = _key(prefix + head + slash) if slash and passed(head + slash) else b""
                yield head + slash, row
            at = over + _key(LAST) if over else rows[-1][0]


def _key(name: str) -> bytes:
    return name.encode()


def _row(fact: CachedObject) -> tuple[Any, ...]:
    entry = fact.entry
    target = None if entry.target is None else entry.target.encode("utf-8", "surrogateescape")
    mtime = entry.mtime_ns if entry.mtime_ns is not None and entry.mtime_ns in _MTIMES else None
    return (
        _key(fact.name),
        fact.ticks,
        fact.listed,
        fact.volatile,
        entry.kind.value,
        entry.size,
        entry.version,
        mtime,
        entry.executable,
        entry.digest,
        target,
    )


def _fact(row: Any) -> CachedObject:
    name, ticks, listed, volatile, kind, size, version, mtime_ns, executable, digest, target = row
    entry = Entry(
        kind=Kind(kind),
        size=size,
        version=version,
        mtime_ns=mtime_ns,
        executable=None if executable is None else bool(executable),
        digest=digest,
        target=None if target is None else target.decode("utf-8", "surrogateescape"),
    )
    return CachedObject(name=name.decode(), ticks=ticks, listed=listed, entry=entry, volatile=bool(volatile))
