"""One connection to one SQLite file: pragmas, transactions, errors in our own words.

It knows nothing of what the tables mean (`base`, `history`) nor how a file is
made, checked or moved aside (`open`). Everything durable passes through the one `commit`
given at the start, so a test can die before or after the k-th of them.

Pragmas as <https://sqlite.org/pragma.html> describes them. `synchronous=FULL`: with WAL
a weaker setting may roll back the last commits in a power cut, and what a run did because of them
cannot be rolled back.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from syncer.errors import Busy, StateError

Value: TypeAlias = bytes | int | str | None
Row: TypeAlias = tuple[Value, ...]
CommitHook: TypeAlias = Callable[[Callable[[], None]], None]

BUSY_TIMEOUT_MS = 5000
_FULL, _IOERR, _READONLY, _CANTOPEN = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
)
_HINTS = {
    _FULL: "free some space on the file system of state_dir",
    _IOERR: "look at the disk that holds state_dir: its free space, then its health (kernel log)",
    _READONLY: "make state_dir writable, or name another one",
    _CANTOPEN: "make state_dir readable and writable for this user, or name another one",
}
_ERRNOS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _IOERR,
    errno.EROFS: _READONLY,
}


class CorruptDatabase(StateError):
    """The database file is damaged: it can be moved aside, and the run started over."""

    code = "corruptdatabase"


def just_commit(commit: Callable[[], None]) -> None:
    """The commit hook that adds nothing."""
    commit()


class Database:
    """A connection that may be shared by threads; statements and transactions exclude each other.

    Every method raises StateError (`CorruptDatabase` where the file itself is the trouble).
    """

    def __init__(self, raw: sqlite3.Connection, path: Path, *, commit: CommitHook = just_commit) -> None:
        self.path = path
        self._raw = raw
        self._hook = commit
        self._lock = threading.RLock()
        self._depth = 0
        self._closed = False

    @classmethod
    def connect(cls, path: Path, *, commit: CommitHook = just_commit, readonly: bool = False) -> Database:
        """Open an existing file; `readonly` still follows a run that goes on in another process."""
        with translated(path):
            raw = _connect(path, "ro" if readonly else "rw")
            try:
                _configure(raw, path, readonly=readonly)
                return cls(raw, path, commit=commit)
            except BaseException:
                raw.close()
                raise

    @classmethod
    def in_memory(cls, path: Path, image: bytes) -> Database:
        """A throw-away copy of a database file's bytes, for looking at it; `path` is for messages."""
        with translated(path):
            raw = connect_memory()
            raw.deserialize(image[:18] + b"\1\1" + image[20:])  # a file in WAL mode cannot be held in memory
            return cls(raw, path)

    def execute(self, sql: str, row: Row = ()) -> int:
        """Run one statement; the number of rows it changed."""
        with self._lock, translated(self.path):
            return self._raw.execute(sql, row).rowcount

    def execute_many(self, sql: str, rows: Sequence[Row]) -> None:
        if rows:
            with self._lock, translated(self.path):
                self._raw.executemany(sql, rows)

    def insert(self, sql: str, row: Row) -> int:
        """Run one INSERT; the id of the new row."""
        with self._lock, translated(self.path):
            return int(self._raw.execute(sql, row).lastrowid or 0)

    def select(self, sql: str, row: Row = ()) -> Sequence[Any]:
        """All rows at once, so that no cursor stays open between two statements."""
        with self._lock, translated(self.path):
            return self._raw.execute(sql, row).fetchall()

    def value(self, sql: str, row: Row = ()) -> Any:
        """The first column of the first row, None if there is no row."""
        found = self.select(sql, row)
        return found[0][0] if found else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable at the end; one within another is durable with the outer one."""
        with self._lock:
            outermost = self._depth == 0
            self.execute("BEGIN IMMEDIATE" if outermost else "SAVEPOINT nested")
            self._depth += 1
            try:
                yield
                self.commit() if outermost else self.execute("RELEASE nested")
            except BaseException:
                self._roll_back("ROLLBACK" if outermost else "ROLLBACK TO nested", outermost)
                raise
            finally:
                self._depth -= 1

    def commit(self) -> None:
        """The one place where anything becomes durable."""
        self._hook(self._commit)

    def close(self) -> None:
        """Fold the journal into the file and let go. Closing again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with translated(self.path):
                    self._raw.close()

    def abandon(self) -> None:
        """Let go as a dying process does: what is not committed is gone."""
        with self._lock:
            self._closed = True
            self._raw.close()

    def serialize(self) -> bytes:
        """The committed content as the bytes of a database file that `open` can open."""
        with self._lock, translated(self.path):
            return self._raw.serialize()

    def copy_to(self, path: Path) -> None:
        """A compact copy in a file that must not exist yet. Needs no transaction to be open."""
        self.execute("VACUUM INTO ?", (str(path),))

    def _commit(self) -> None:
        self.execute("COMMIT")

    def _roll_back(self, undo: str, outermost: bool) -> None:
        """Undo, if there is still something to undo: some errors have done it already."""
        if self._closed or not self._raw.in_transaction:
            return
        try:
            self._raw.execute(undo)
            if not outermost:
                self._raw.execute("RELEASE nested")
        except sqlite3.Error:
            self.abandon()  # nothing said on this connection can be believed any more


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours (result codes: https://sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path) from error
    except OverflowError as error:  # an absurd size from a peer: more than 64 bits
        raise StateError(f"the state database {path} cannot hold such a number: {error}") from error
    except OSError as error:
        code = _ERRNOS.get(error.errno or 0, _CANTOPEN)
        raise StateError(f"{path}: {error.strerror or error}", hint=_HINTS[code]) from error


def _ours(error: BaseException | None, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CorruptDatabase(f"the state database {path} is damaged: {error}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"the state database {path} is held by another process", hint="try again later")
    return StateError(f"the state database {path} cannot be used: {error}", hint=_HINTS.get(code, ""))


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Neither mode makes a file: that is done with its rights set first.

    A reader must be "ro": any other would remove the journal when it closes last, by its name, which may
    by then be the journal of another file (https://sqlite.org/howtocorrupt.html, 4.2).
    """
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # we say BEGIN and COMMIT ourselves
        check_same_thread=False,  # the lock of Database keeps threads apart
        timeout=BUSY_TIMEOUT_MS / 1000,
    )


def connect_memory() -> sqlite3.Connection:
    """A connection to a database that is nowhere but in memory."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _configure(raw: sqlite3.Connection, path: Path, *, readonly: bool) -> None:
    raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    raw.execute("PRAGMA trusted_schema=OFF")
    if readonly:
        raw.execute("PRAGMA query_only=ON")
        return
    mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StateError(
            f"{path}: this file system cannot hold a write-ahead log",
            hint="put state_dir on a local disk",
        )
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("PRAGMA foreign_keys=ON")
