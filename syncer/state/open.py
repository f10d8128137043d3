"""From a pair's directory to an open, sound, current state database; or to a new, empty one.

A damaged file is never repaired and never deleted: it is moved aside with its journal, and an
empty one takes its place, which makes the next run a first run (nothing is deleted,
equal files are adopted). A file of a newer Syncer is not touched at all.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncer.state import statements
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
from syncer.state.stored import APPLICATION_ID
from syncer.state.trash_index import TrashIndex

NAME: Final = "state.db"
ALWAYS_CHECKED_BELOW: Final = 64 << 20  # bytes: quick_check of so much costs well below a second
CHECK_EVERY_NS: Final = 7 * 86_400 * 1_000_000_000
_JOURNALS = ("-wal", "-shm")
_HEADER = struct.Struct(">60xI4xI")  # user_version at 60, application_id at 68
_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An open state database. `note` is a sentence for the user if a damaged one was replaced, else ""."""

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
    """The state in a pair's directory, made where it is missing. The caller holds the pair's lock.

    Raises StateError: newer schema, disk full, no rights, a file system that cannot hold it.
    """
    prepare(directory)
    path = directory / NAME
    note = ""
    _part_with_orphans(directory, now_ns)
    try:
        _look_for_damage(path)
        _create_if_missing(path, migrations)
        database = _open_checked(path, commit, now_ns, migrations)
    except CorruptDatabase as damage:
        note = set_aside(directory, str(damage), now_ns=now_ns)
        _create_if_missing(path, migrations)
        database = _open_checked(path, commit, now_ns, migrations)
    return _state(database, note, now_ns)


def view_state(directory: Path, *, migrations: Sequence[Migration] = MIGRATIONS) -> State:
    """The state for looking at it, also while a run writes; what is stored stays as it is.

    Where nothing is there yet, or what is there is damaged (then `note` says so), it is empty.
    Raises StateError.
    """
    path = directory / NAME
    with translated(path):
        present = path.exists()
    if not present:
        return _state(_empty(path))
    try:
        _look_for_damage(path)
        return _state(_view(path, migrations))
    except CorruptDatabase as damage:
        return _state(_empty(path), f"{damage}; the next run moves it aside and starts anew")


def _state(database: Database, note: str = "", now_ns: Callable[[], int] = time.time_ns) -> State:
    memory, ledger = BaseTable(database), RunHistory(database, now_ns=now_ns)
    return State(database=database, memory=memory, ledger=ledger, trash=TrashIndex(database), note=note)


def set_aside(directory: Path, reason: str, *, now_ns: Callable[[], int] = time.time_ns) -> str:
    """Move a damaged database with its journal out of the way, keeping all of it; a sentence that says so.

    The database must be closed or abandoned. Raises StateError.
    """
    path = directory / NAME
    moment = datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC).strftime("%Y%m%d-%H%M%S")
    aside = _free_name(f"{path}.corrupt-{moment}")
    with translated(path):
        for suffix in ("", *_JOURNALS):
            if os.path.lexists(f"{path}{suffix}"):
                os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        sync(directory)
    name = Path(aside).name
    return f"{reason}; it was moved to {name}, and the two sides are merged as if for the first time"


def _part_with_orphans(directory: Path, now_ns: Callable[[], int]) -> None:
    """The journal of a lost database would be replayed into the next one: out of the way with it."""
    path = directory / NAME
    journal = Path(f"{path}-wal")
    with translated(path):
        if os.path.lexists(path):
            return
        if journal.exists() and journal.stat().st_size:
            set_aside(directory, "the database is gone", now_ns=now_ns)
        for suffix in _JOURNALS:
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _look_for_damage(path: Path) -> None:
    """What can be told from the files alone, before SQLite may write to them. Raises Damaged."""
    with translated(path):
        if not os.path.lexists(path):
            return
        if not path.is_file() or path.is_symlink():
            raise CorruptDatabase(f"{path} is not a file")
        with path.open("rb") as stream:
            head = stream.read(100)
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise CorruptDatabase(f"the state database {path} is damaged: {_what_it_is(head)}")


def _what_it_is(head: bytes) -> str:
    return "it is not a database" if head else "it is empty"


def _create_if_missing(path: Path, migrations: Sequence[Migration]) -> None:
    """Under a passing name first: so an empty file is never one that a dead run was about to fill."""
    if path.exists():
        return
    fresh = path.with_name(NAME + ".new")
    with translated(path):
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_image(current(migrations)))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(fresh, path)
        sync(path.parent)


def _image(version: int) -> bytes:
    """The bytes of a database with empty tables."""
    raw = connect_memory()
    try:
        for statement in statements.CREATION:
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
    with translated(path):
        _restrict(path)
        _refuse_newer_file(path, migrations)
    database = Database.connect(path, commit=commit)
    try:
        _identify(database)
        moment = now_ns()
        backup = path.with_name(f"{NAME}.before-schema-{current(migrations)}")
        upgrade(database, migrations, backup=backup)
        if _check(database, path, moment) and _is_big(path):
            BaseTable(database).set(**{CHECKED: str(moment)})
    except BaseException:
        database.abandon()
        raise
    return database


def _restrict(path: Path) -> None:
    """Rights for this user only, whatever a restored backup or another tool left."""
    for suffix in ("", *_JOURNALS):
        file = Path(f"{path}{suffix}")
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(0o600)


def _refuse_newer_file(path: Path, migrations: Sequence[Migration]) -> None:
    """By the header alone, since opening a file may already change it."""
    with path.open("rb") as stream:
        version, application = _HEADER.unpack(stream.read(_HEADER.size))
    if application == APPLICATION_ID:
        refuse_newer(version, path, migrations)


def _identify(database: Database) -> None:
    if database.value("PRAGMA application_id") != APPLICATION_ID:
        raise CorruptDatabase(f"{database.path} is a database, but not one of Syncer")


def _check(database: Database, path: Path, moment: int) -> bool:
    """Raises Damaged. A big file that was closed well and checked lately is not read through: then False."""
    tables = {row[0] for row in database.select("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = statements.TABLES - tables
    if missing:
        raise CorruptDatabase(f"the state database {path} lacks the table {min(missing)}")
    if _is_big(path) and _recently_sound(database, moment):
        return False
    verdict = database.value("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise CorruptDatabase(f"the state database {path} is damaged: {verdict}")
    return True


def _is_big(path: Path) -> bool:
    with translated(path):
        return path.stat().st_size >= ALWAYS_CHECKED_BELOW


def _recently_sound(database: Database, moment: int) -> bool:
    memory = BaseTable(database)
    checked = memory.get_setting(CHECKED)
    age = moment - int(checked) if checked.isdecimal() else -1
    return memory.get_setting(CLEAN) == "1" and 0 <= age < CHECK_EVERY_NS


def _view(path: Path, migrations: Sequence[Migration]) -> Database:
    database = Database.connect(path, readonly=True)
    try:
        _identify(database)
        version = int(database.value("PRAGMA user_version"))
        refuse_newer(version, path, migrations)
        if version == current(migrations):
            _check(database, path, time.time_ns())
            return database
        older = database.serialize()
    except BaseException:
        database.abandon()
        raise
    database.close()
    copy = Database.in_memory(path, older)
    upgrade(copy, migrations, backup=None)
    return copy


def _free_name(wanted: str) -> str:
    name, count = wanted, 1
    while any(os.path.lexists(f"{name}{suffix}") for suffix in ("", *_JOURNALS)):
        count += 1
        name = f"{wanted}-{count}"
    return name
