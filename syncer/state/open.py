"""Open the state database of a pair: create it, check it, migrate it, quarantine it if it is damaged.

A damaged file is never repaired and never deleted: it is renamed, together with its journal, and an empty
database takes its place. The next run is then a first run, which deletes nothing and adopts equal files. A
file of a newer Syncer is not touched at all.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from syncer.state import queries
from syncer.state.base import BaseTable
from syncer.state.directory import prepare, sync
from syncer.state.history import CHECKED, CLEAN, RunHistory
from syncer.state.migrations import MIGRATIONS, Migration, current, refuse_newer, upgrade
from syncer.state.sqlite import (
    CommitHook,
    CorruptDatabase,
    Database,
    connect_memory,
    just_commit,
    translated,
)
from syncer.state.trash_index import TrashIndex

NAME: Final = "state.db"
APPLICATION_ID: Final = (
    0x53594E43  # "SYNC" in the file's header (sqlite.org/fileformat.html), for file(1) too
)
ALWAYS_CHECKED_BELOW: Final = 64 << 20  # bytes: quick_check of so much takes well below a second
CHECK_EVERY_NS: Final = 7 * 86_400 * 1_000_000_000
_JOURNALS = ("-wal", "-shm")
_HEADER = struct.Struct(">60xI4xI")  # user_version at 60, application_id at 68
_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An open state database. `note`: a sentence for the user if a damaged one was quarantined, else ""."""

    database: Database
    memory: BaseTable
    ledger: RunHistory
    trash: TrashIndex
    note: str = ""

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_state(
    directory: Path,
    *,
    commit: CommitHook = just_commit,
    now_ns: Callable[[], int] = time.time_ns,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> State:
    """The state in a pair's directory, created if it is missing. The caller holds the pair's lock.

    Raises StateError: newer schema, disk full, no rights, a file system that cannot hold it.
    """
    prepare(directory)
    path = directory / NAME
    note = ""
    _quarantine_orphan_journal(directory, now_ns)
    try:
        _check_header(path)
        _create_if_missing(path, migrations)
        database = _open_checked(path, commit, now_ns, migrations)
    except CorruptDatabase as damage:
        note = quarantine(directory, str(damage), now_ns=now_ns)
        _create_if_missing(path, migrations)
        database = _open_checked(path, commit, now_ns, migrations)
    return _state(database, note, now_ns)


def view_state(directory: Path, *, migrations: Sequence[Migration] = MIGRATIONS) -> State:
    """The state for reading only, also while a run writes it; the file is not changed.

    It is empty if there is none yet, or if the file is damaged (then `note` says so). Raises StateError.
    """
    path = directory / NAME
    with translated(path):
        present = path.exists()
    if not present:
        return _state(_empty(path))
    try:
        _check_header(path)
        return _state(_view(path, migrations))
    except CorruptDatabase as damage:
        return _state(_empty(path), f"{damage}; the next run moves it aside and starts anew")


def _state(database: Database, note: str = "", now_ns: Callable[[], int] = time.time_ns) -> State:
    base, history = BaseTable(database), RunHistory(database, now_ns=now_ns)
    return State(database=database, memory=base, ledger=history, trash=TrashIndex(database), note=note)


def quarantine(directory: Path, reason: str, *, now_ns: Callable[[], int] = time.time_ns) -> str:
    """Rename a damaged database and its journal, so that nothing of them is lost; a sentence for the user.

    The database must be closed or abandoned. Raises StateError.
    """
    path = directory / NAME
    moment = datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC).strftime("%Y%m%d-%H%M%S")
    aside = wanted = f"{path}.corrupt-{moment}"
    count = 1
    while any(os.path.lexists(f"{aside}{suffix}") for suffix in ("", *_JOURNALS)):
        count += 1
        aside = f"{wanted}-{count}"
    with translated(path):
        for suffix in ("", *_JOURNALS):
            if os.path.lexists(f"{path}{suffix}"):
                os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        sync(directory)
    name = Path(aside).name
    return f"{reason}; it was moved to {name}, and the two sides are merged as if for the first time"


def _quarantine_orphan_journal(directory: Path, now_ns: Callable[[], int]) -> None:
    """Quarantine a -wal whose database is missing: SQLite would replay it into a new database.

    One that is empty holds nothing, and a -shm without its -wal neither: they are deleted.
    """
    path = directory / NAME
    journal = Path(f"{path}-wal")
    with translated(path):
        if os.path.lexists(path):
            return
        if journal.exists() and journal.stat().st_size:
            quarantine(directory, "the database is gone", now_ns=now_ns)
        for suffix in _JOURNALS:
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _check_header(path: Path) -> None:
    """Check what the file alone shows, before SQLite may write to it. Raises CorruptDatabase."""
    with translated(path):
        if not os.path.lexists(path):
            return
        if not path.is_file() or path.is_symlink():
            raise CorruptDatabase(f"{path} is not a file")
        with path.open("rb") as stream:
            head = stream.read(100)
    if len(head) < 100 or not head.startswith(_MAGIC):
        damage = "it is not a database" if head else "it is empty"
        raise CorruptDatabase(f"the state database {path} is damaged: {damage}")


def _create_if_missing(path: Path, migrations: Sequence[Migration]) -> None:
    """Write an empty database under a temporary name, then rename it.

    So a run that dies here never leaves an empty or half-written file under the database's name.
    """
    if path.exists():
        return
    temporary = path.with_name(NAME + ".new")
    with translated(path):
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_image(current(migrations)))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
        sync(path.parent)


@cache
def _image(version: int) -> bytes:
    """The bytes of a database with empty tables."""
    from syncer.state import schema

    raw = connect_memory()
    try:
        for statement in schema.creation():
            raw.execute(statement)
        raw.execute(f"PRAGMA application_id={APPLICATION_ID}")
        raw.execute(f"PRAGMA user_version={version}")
        return raw.serialize()
    finally:
        raw.close()


def _empty(path: Path) -> Database:
    return Database.in_memory(path, _image(current(MIGRATIONS)))


def _open_checked(
    path: Path, commit: CommitHook, now_ns: Callable[[], int], migrations: Sequence[Migration]
) -> Database:
    """Open an existing file for writing, migrated and checked. Raises CorruptDatabase, StateError."""
    with translated(path):
        # Mode 0600, whatever a restored backup or another tool left.
        for suffix in ("", *_JOURNALS):
            file = Path(f"{path}{suffix}")
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
        # A newer schema is refused by the header alone, because opening a file may already change it.
        with path.open("rb") as stream:
            version, application = _HEADER.unpack(stream.read(_HEADER.size))
        if application == APPLICATION_ID:
            refuse_newer(version, path, migrations)
    database = Database.connect(path, commit=commit)
    try:
        _check_application(database)
        moment = now_ns()
        backup = path.with_name(f"{NAME}.before-schema-{current(migrations)}")
        upgrade(database, migrations, backup=backup)
        if _check_content(database, path, moment) and _is_big(path):
            BaseTable(database).set(**{CHECKED: str(moment)})
    except BaseException:
        database.abandon()
        raise
    return database


def _check_application(database: Database) -> None:
    if database.value("PRAGMA application_id") != APPLICATION_ID:
        raise CorruptDatabase(f"{database.path} is a database, but not one of Syncer")


def _check_content(database: Database, path: Path, now_ns: int) -> bool:
    """Check tables and pages. Raises CorruptDatabase.

    The pages of a big file are not read if it was closed cleanly and checked in the last `CHECK_EVERY_NS`:
    then False.
    """
    tables = {row[0] for row in database.select("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = queries.TABLES - tables
    if missing:
        raise CorruptDatabase(f"the state database {path} lacks the table {min(missing)}")
    if _is_big(path):
        base = BaseTable(database)
        checked = base.get_setting(CHECKED)
        age_ns = now_ns - int(checked) if checked.isdecimal() else -1
        if base.get_setting(CLEAN) == "1" and 0 <= age_ns < CHECK_EVERY_NS:
            return False
    verdict = database.value("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise CorruptDatabase(f"the state database {path} is damaged: {verdict}")
    return True


def _is_big(path: Path) -> bool:
    with translated(path):
        return path.stat().st_size >= ALWAYS_CHECKED_BELOW


def _view(path: Path, migrations: Sequence[Migration]) -> Database:
    """Open an existing file for reading; one with an older schema is migrated in memory."""
    database = Database.connect(path, readonly=True)
    try:
        _check_application(database)
        version = int(database.value("PRAGMA user_version"))
        refuse_newer(version, path, migrations)
        if version == current(migrations):
            _check_content(database, path, time.time_ns())
            return database
        older = database.serialize()
    except BaseException:
        database.abandon()
        raise
    database.close()
    copy = Database.in_memory(path, older)
    upgrade(copy, migrations, backup=None)
    return copy
