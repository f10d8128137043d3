"""Numbered steps from older schemas to the current one.

`MIGRATIONS[i]` turns version i+1 into i+2; the current version follows from their number.
A step only runs SQL on the database it is given: the transaction around all steps, the
backup before them and the version after them are the business of `upgrade`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from syncer.errors import StateError
from syncer.state.directory import sync
from syncer.state.sqlite import CorruptDatabase, Database, translated

Migration: TypeAlias = Callable[[Database], None]


def _history_knows_digests(database: Database) -> None:
    """2: what a run put somewhere is known by its content, so that `undo` tells whether it still stands."""
    database.execute("ALTER TABLE history ADD COLUMN digest BLOB")


def _add_trash_index(database: Database) -> None:
    """3: what the trash holds, and since when."""
    database.execute(
        "CREATE TABLE trash_batches (side TEXT NOT NULL, batch BLOB NOT NULL, size INTEGER NOT NULL, "
        "seen_ns INTEGER NOT NULL, seen_run INTEGER NOT NULL, PRIMARY KEY (side, batch)) WITHOUT ROWID"
    )
    database.execute(
        "CREATE TABLE trash_versions (id INTEGER NOT NULL, side TEXT NOT NULL, batch BLOB NOT NULL, "
        "path BLOB NOT NULL, size INTEGER NOT NULL, replaced INTEGER NOT NULL, taken_ns INTEGER NOT NULL, "
        "PRIMARY KEY (id))"
    )
    database.execute("CREATE INDEX ix_trash_versions_batch ON trash_versions (side, batch)")
    database.execute("CREATE INDEX ix_trash_versions_path ON trash_versions (side, path, taken_ns)")


MIGRATIONS: tuple[Migration, ...] = (_history_knows_digests, _add_trash_index)


def current(migrations: Sequence[Migration]) -> int:
    """The schema version that these steps lead to."""
    return 1 + len(migrations)


def refuse_newer(version: int, path: Path, migrations: Sequence[Migration]) -> None:
    """Raises StateError: a file of a later Syncer is left exactly as it is."""
    known = current(migrations)
    if version > known:
        raise StateError(
            f"the state database {path} has schema {version}; this Syncer knows up to {known}",
            hint="use the newer Syncer that wrote it",
        )


def upgrade(database: Database, migrations: Sequence[Migration], *, backup: Path | None) -> None:
    """Bring an older file to the current schema: all steps or none.

    `backup` names the copy made before (None: no copy, the database is one already). An
    older backup of that name is replaced, since a step that failed is tried again.
    Raises StateError; Damaged if the file has no version of ours.
    """
    version = int(database.value("PRAGMA user_version"))
    if version < 1:
        raise CorruptDatabase(f"the state database {database.path} has no schema version")
    refuse_newer(version, database.path, migrations)
    pending = migrations[version - 1 :]
    if not pending:
        return
    if backup is not None:
        _copy(database, backup)
    database.execute("PRAGMA foreign_keys=OFF")  # a step may rebuild a table others point to
    try:
        with database.transaction():
            for step in pending:
                step(database)
            if database.select("PRAGMA foreign_key_check"):
                raise CorruptDatabase(f"the state database {database.path} has rows that belong to nothing")
            database.execute(f"PRAGMA user_version={current(migrations)}")
    finally:
        database.execute("PRAGMA foreign_keys=ON")


def _copy(database: Database, backup: Path) -> None:
    """A durable copy, readable by nobody else from its first byte on."""
    with translated(backup):
        backup.unlink(missing_ok=True)
        os.close(os.open(backup, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        database.copy_to(backup)
        for path in (backup, backup.parent):
            sync(path)
