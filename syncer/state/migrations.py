"""Migrations of the state database: numbered steps from older schemas to the current one.

`MIGRATIONS[i]` turns version i+1 into i+2; the current version follows from their number. A step only runs
SQL; `upgrade` makes the backup, the transaction around all steps, and the new version number. The SQL of a
step is text and is never changed: the tables of `schema` go on changing, but old files do not.
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


def _add_history_digest(database: Database) -> None:
    """2: the digest of what an action put at its path, so that `undo` sees whether it is still there."""
    database.execute("ALTER TABLE history ADD COLUMN digest BLOB")


def _add_trash_index(database: Database) -> None:
    """3: the index of the trash."""
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


MIGRATIONS: tuple[Migration, ...] = (_add_history_digest, _add_trash_index)


def current(migrations: Sequence[Migration]) -> int:
    """The schema version after these steps."""
    return 1 + len(migrations)


def refuse_newer(version: int, path: Path, migrations: Sequence[Migration]) -> None:
    """Raise StateError for a file of a newer Syncer, which is left as it is."""
    known = current(migrations)
    if version > known:
        raise StateError(
            f"the state database {path} has schema {version}; this Syncer knows up to {known}",
            hint="use the newer Syncer that wrote it",
        )


def upgrade(database: Database, migrations: Sequence[Migration], *, backup: Path | None) -> None:
    """Migrate an older file to the current schema: all steps or none.

    `backup`: where a copy is written first (None: no copy, because the database is one). A backup of that
    name is replaced: it is from an attempt that failed. Raises StateError; CorruptDatabase if the file has no
    schema version, or rows that violate a foreign key.
    """
    version = int(database.value("PRAGMA user_version"))
    if version < 1:
        raise CorruptDatabase(f"the state database {database.path} has no schema version")
    refuse_newer(version, database.path, migrations)
    pending = migrations[version - 1 :]
    if not pending:
        return
    if backup is not None:
        with translated(backup):
            backup.unlink(missing_ok=True)
            # Created with its mode before it has content, so that nobody else can read it at any moment.
            os.close(os.open(backup, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            database.copy_to(backup)
            for path in (backup, backup.parent):
                sync(path)
    database.execute("PRAGMA foreign_keys=OFF")  # a step may rebuild a table that others refer to
    try:
        with database.transaction():
            for step in pending:
                step(database)
            if database.select("PRAGMA foreign_key_check"):
                raise CorruptDatabase(f"the state database {database.path} has rows that belong to nothing")
            database.execute(f"PRAGMA user_version={current(migrations)}")
    finally:
        database.execute("PRAGMA foreign_keys=ON")
