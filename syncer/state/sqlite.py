"""One connection to one SQLite file: statements, transactions, pragmas, and errors as StateError.

A statement is text, or a SQLAlchemy Core expression, which is compiled to text and executed on the same
connection: there is no SQLAlchemy engine, so every transaction passes through `Database.transaction`, and
everything durable through the one commit hook given at the start. Tests use the hook to simulate a death
before or after the k-th commit. The tables are in `schema`; `open` creates, checks and quarantines files.

Pragmas are described at <https://sqlite.org/pragma.html>. `synchronous=FULL`: with a write-ahead log, a
weaker setting may lose the last commits in a power cut, but what a run did on the disk after them is not
undone.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from syncer.errors import Busy, StateError

if TYPE_CHECKING:
    from sqlalchemy.sql import ClauseElement

Value: TypeAlias = bytes | int | str | None
Parameters: TypeAlias = Mapping[str, Value] | tuple[Value, ...]  # for `:name`, or for `?`
Statement: TypeAlias = "str | ClauseElement"
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
    """The database file is damaged: it can be quarantined, and the run started over."""

    code = "corruptdatabase"


def just_commit(commit: Callable[[], None]) -> None:
    """The commit hook that only commits."""
    commit()


class Database:
    """A connection that may be shared by threads; statements and transactions exclude each other.

    Every method raises StateError (`CorruptDatabase` if the file itself is damaged).
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
        """Open an existing file; `readonly` works while a run in another process writes to it."""
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
        """A database in memory with the content of a file; `path` is for messages."""
        with translated(path):
            raw = connect_memory()
            raw.deserialize(
                image[:18] + b"\1\1" + image[20:]
            )  # bytes 18, 19: no WAL, which memory has none of
            return cls(raw, path)

    def execute(self, statement: Statement, parameters: Parameters = ()) -> int:
        """Run one statement; the number of rows it changed."""
        sql, [values] = _rendered(statement, [parameters])
        with self._lock, translated(self.path):
            return self._raw.execute(sql, values).rowcount

    def execute_many(self, statement: Statement, rows: Sequence[Parameters]) -> None:
        """Run one statement for each row."""
        if rows:
            sql, values = _rendered(statement, rows)
            with self._lock, translated(self.path):
                self._raw.executemany(sql, values)

    def insert(self, statement: Statement, parameters: Parameters) -> int:
        """Run one INSERT; the id of the new row."""
        sql, [values] = _rendered(statement, [parameters])
        with self._lock, translated(self.path):
            return int(self._raw.execute(sql, values).lastrowid or 0)

    def select(self, statement: Statement, parameters: Parameters = ()) -> Sequence[Any]:
        """All rows as tuples, read at once, so that no cursor stays open between two statements."""
        sql, [values] = _rendered(statement, [parameters])
        with self._lock, translated(self.path):
            return self._raw.execute(sql, values).fetchall()

    def value(self, statement: Statement, parameters: Parameters = ()) -> Any:
        """The first column of the first row, None if there is no row."""
        rows = self.select(statement, parameters)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable at the end; a nested one becomes durable with the outermost one."""
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
        """Make the open transaction durable, through the commit hook: no other place does."""
        self._hook(self._commit)

    def close(self) -> None:
        """Write the journal back into the file and close it. Closing again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with translated(self.path):
                    self._raw.close()

    def abandon(self) -> None:
        """Close as a dying process does: what is not committed is lost."""
        with self._lock:
            self._closed = True
            self._raw.close()

    def serialize(self) -> bytes:
        """The committed content as the bytes of a database file, for `in_memory`."""
        with self._lock, translated(self.path):
            return self._raw.serialize()

    def copy_to(self, path: Path) -> None:
        """Write a compact copy to a file that must not exist or be empty. No transaction may be open."""
        self.execute("VACUUM INTO ?", (str(path),))

    def _commit(self) -> None:
        self.execute("COMMIT")

    def _roll_back(self, undo: str, outermost: bool) -> None:
        """Roll back, unless SQLite did so already because of the error (sqlite.org/lang_transaction.html)."""
        if self._closed or not self._raw.in_transaction:
            return
        try:
            self._raw.execute(undo)
            if not outermost:
                self._raw.execute("RELEASE nested")
        except sqlite3.Error:
            self.abandon()  # the state of the connection is unknown: no later statement may use it


def encode_int(number: int | None) -> int | bytes | None:
    """A number as SQLite stores it: an INTEGER of 64 bits, or decimal digits in a BLOB if it needs more."""
    if number is None or -(1 << 63) <= number < 1 << 63:
        return number
    return str(number).encode()


def decode_int(stored: int | bytes | None) -> int | None:
    """The number that `encode_int` stored."""
    return None if stored is None else int(stored)


def _rendered(statement: Statement, rows: Sequence[Parameters]) -> tuple[str, Sequence[Parameters]]:
    """SQL text and its rows of parameters. Only a Core statement makes this import SQLAlchemy.

    The constants of a Core statement become parameters too: they are added to each row, which must be a
    mapping then. All rows have the keys of the first.
    """
    if isinstance(statement, str):
        return statement, rows
    from syncer.state.schema import DIALECT

    mappings = [dict(row) if isinstance(row, Mapping) else {} for row in rows]
    compiled = statement.compile(dialect=DIALECT, column_keys=list(mappings[0]) or None)
    return str(compiled), [{**compiled.params, **row} for row in mappings]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise errors of SQLite and of the system as StateError (codes: https://sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise CorruptDatabase(f"the state database {path} is damaged: {error}") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = f"the state database {path} is held by another process"
            raise Busy(message, hint="try again later") from error
        raise StateError(
            f"the state database {path} cannot be used: {error}", hint=_HINTS.get(code, "")
        ) from error
    except OverflowError as error:  # more than 64 bits: an absurd size that a server sent
        raise StateError(f"the state database {path} cannot hold such a number: {error}") from error
    except OSError as error:
        code = _ERRNOS.get(error.errno or 0, _CANTOPEN)
        raise StateError(f"{path}: {error.strerror or error}", hint=_HINTS[code]) from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open an existing file; neither mode creates one, because that is done with its mode 0600 set first.

    A reader must be "ro": any other removes the journal by its name when it closes last, and that may
    by then be the journal of another file (https://sqlite.org/howtocorrupt.html, 4.2).
    """
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # Database.transaction says BEGIN and COMMIT
        check_same_thread=False,  # Database has a lock
        timeout=BUSY_TIMEOUT_MS / 1000,
    )


def connect_memory() -> sqlite3.Connection:
    """A connection to a new database in memory."""
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
