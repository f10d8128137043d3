"""An account type for Syncer: a tree of files in one SQLite database, such as a single file on a USB stick.

[accounts.stick]
type = "sqlite"
database = "/media/stick/files.db"

[jobs.docs]
local = "~/Documents"
remote = "stick:docs"
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pydantic

import syncer

DIRECTORY = syncer.Entry(kind=syncer.Kind.DIRECTORY, size=0, version=b"")
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    parent TEXT,          -- NULL for a root
    version INTEGER,      -- NULL for a directory
    mtime_ns INTEGER,
    content BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS children ON files (parent);
CREATE TABLE IF NOT EXISTS counter (last INTEGER);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);
"""


class SqliteStore(syncer.Store):
    """A directory of the database. A version is a number from a counter: no two writes share one."""

    class Config(pydantic.BaseModel):
        """The keys of an account of type `sqlite`."""

        database: Path

    capabilities = syncer.Capabilities(
        symlinks=False, executable=False, any_bytes=False, moves=True, moves_directories=False
    )

    def __init__(self, database: Path, path: str = "") -> None:
        self._database = database
        self._root = f"/{path.strip('/')}".rstrip("/")

    @classmethod
    def open(cls, config: Config, path: str, *, context: syncer.StoreContext) -> SqliteStore:
        return cls(config.database, path)

    # Every call has a connection of its own, so that several threads may call at once. BEGIN IMMEDIATE takes
    # the write lock first: nothing changes between the check of `expected` and the change.

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, timeout=30, isolation_level=None)) as database:
            database.executescript(SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")  # durable: SQLite syncs the file (PRAGMA synchronous is FULL)

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/")

    def _stat(self, database: sqlite3.Connection, path: str) -> syncer.Entry | None:
        row = database.execute(
            "SELECT version, mtime_ns, length(content) FROM files WHERE path = ?", (self._key(path),)
        ).fetchone()
        return None if row is None else _entry(*row)

    def _check(self, database: sqlite3.Connection, path: str, expected: syncer.Entry | None) -> None:
        found = self._stat(database, path)
        if (found and (found.kind, found.version)) != (expected and (expected.kind, expected.version)):
            raise syncer.StaleError(f"{path} changed")

    def stat(self, path: str) -> syncer.Entry | None:
        with self._transaction() as database:
            return self._stat(database, path)

    def list(self, path: str) -> Mapping[str, syncer.Entry]:
        with self._transaction() as database:
            found = self._stat(database, path)
            if found is None or found.kind is not syncer.Kind.DIRECTORY:
                raise syncer.NotFound(f"{path}: no such directory", path=path)
            rows = database.execute(
                "SELECT path, version, mtime_ns, length(content) FROM files WHERE parent = ?",
                (self._key(path),),
            )
            return {name.rpartition("/")[2]: _entry(*rest) for name, *rest in rows}

    def read(self, path: str, expected: syncer.Entry) -> Iterator[bytes]:
        with self._transaction() as database:
            self._check(database, path, expected)
            [content] = database.execute(
                "SELECT content FROM files WHERE path = ?", (self._key(path),)
            ).fetchone()
        yield content

    def write(
        self,
        path: str,
        content: Iterator[bytes],
        *,
        expected: syncer.Entry | None,
        mtime_ns: int | None,
        executable: bool | None,
    ) -> syncer.Entry:
        data = b"".join(content)  # to its end first: it raises if the file changed while it was read
        with self._transaction() as database:
            self._check(database, path, expected)
            database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                (self._key(path), self._key(_parent(path)), _next(database), mtime_ns or 0, data),
            )
            entry = self._stat(database, path)
        assert entry is not None
        return entry

    def delete(self, path: str, expected: syncer.Entry) -> None:
        with self._transaction() as database:
            self._check(database, path, expected)
            database.execute("DELETE FROM files WHERE path = ?", (self._key(path),))

    def mkdir(self, path: str) -> None:
        with self._transaction() as database:
            parent = self._key(_parent(path)) if path else None
            values = (self._key(path), parent, None, None, None)
            database.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?)", values)

    def rmdir(self, path: str) -> None:
        with self._transaction() as database:
            if database.execute("SELECT 1 FROM files WHERE parent = ?", (self._key(path),)).fetchone():
                raise syncer.StaleError(f"{path} is not empty")
            database.execute("DELETE FROM files WHERE path = ?", (self._key(path),))

    def rename(self, origin: str, path: str, expected: syncer.Entry) -> syncer.Entry:
        with self._transaction() as database:
            self._check(database, origin, expected)
            self._check(database, path, None)
            database.execute(
                "UPDATE files SET path = ?, parent = ? WHERE path = ?",
                (self._key(path), self._key(_parent(path)), self._key(origin)),
            )
        return expected


def _entry(version: int | None, mtime_ns: int | None, size: int | None) -> syncer.Entry:
    if version is None:
        return DIRECTORY
    return syncer.Entry(kind=syncer.Kind.FILE, size=size or 0, version=b"%d" % version, mtime_ns=mtime_ns)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _next(database: sqlite3.Connection) -> int:
    database.execute("UPDATE counter SET last = last + 1")
    [number] = database.execute("SELECT last FROM counter").fetchone()
    return int(number)
