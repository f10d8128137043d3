"""The tables of the state database, in SQLAlchemy's terms. The only definition of them.

Importing this imports SQLAlchemy, which takes longer than a run with nothing to do: import it only where it
is needed (see `queries`). No statement of `queries` may need more than these tables have.

Names and paths are BLOBs (`os.fsencode`), because a name need not be UTF-8. Wall time is in nanoseconds since
1970. Stored values are `bytes`, `int`, `str` or None, and need no conversion.

`directories.key` is `engine.paths.tree_key`, in whose order the keys of everything at or below a directory
are one range (`base.subtree_range`).
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

DIALECT = sqlite.dialect(paramstyle="named")
metadata = MetaData()

directories = Table(
    "directories",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("key", LargeBinary, nullable=False, unique=True),
    Column("local_fingerprint", LargeBinary),
    Column("remote_fingerprint", LargeBinary),
)

entries = Table(
    "entries",
    metadata,
    Column("directory_id", Integer, ForeignKey("directories.id", ondelete="CASCADE"), nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("executable", Integer, nullable=False),
    Column("local_version", LargeBinary),
    Column("remote_version", LargeBinary),
    # A time after the year 2262 needs more than 64 bits: decimal digits in a BLOB (`sqlite.encode_int`).
    Column("local_mtime_ns", Integer),
    Column("remote_mtime_ns", Integer),
    PrimaryKeyConstraint("directory_id", "name"),
    sqlite_with_rowid=False,
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("trigger", Text, nullable=False),
    Column("started_ns", Integer, nullable=False),
    Column("ended_ns", Integer),
    Column("result", Text),
    Column("exit_code", Integer),
    Column("message", Text, nullable=False, server_default=""),
    Column("uploaded", Integer, nullable=False, server_default="0"),
    Column("downloaded", Integer, nullable=False, server_default="0"),
    Column("deleted", Integer, nullable=False, server_default="0"),
    Column("moved", Integer, nullable=False, server_default="0"),
    Column("conflicts", Integer, nullable=False, server_default="0"),
    Column("bytes_sent", Integer, nullable=False, server_default="0"),
    Column("bytes_received", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,  # a run's number is never given again
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Integer, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("other", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("digest", LargeBinary),  # BLAKE3 of what the action put at `path`; NULL: nothing, or not known
    sqlite_autoincrement=True,
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("path", LargeBinary, nullable=False),
    Column("copy", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("resolution", Text, nullable=False),
    Column("since_ns", Integer, nullable=False),
    Column("local_digest", LargeBinary),
    Column("local_mtime_ns", Integer),
    Column("local_size", Integer, nullable=False),
    Column("remote_digest", LargeBinary),
    Column("remote_mtime_ns", Integer),
    Column("remote_size", Integer, nullable=False),
    PrimaryKeyConstraint("path", "copy"),
)

problems = Table(
    "problems",
    metadata,
    Column("path", LargeBinary, nullable=False),
    Column("side", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("waits", Integer, nullable=False),
    Column("first_seen_ns", Integer, nullable=False),
    PrimaryKeyConstraint("path", "side", "code"),
)

failures = Table(
    "failures",
    metadata,
    Column("path", LargeBinary, primary_key=True, nullable=False),
    Column("count", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("last_ns", Integer, nullable=False),
)

trash_batches = Table(
    "trash_batches",  # the folders of runs in a side's trash
    metadata,
    Column("side", Text, nullable=False),
    Column("batch", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("seen_ns", Integer, nullable=False),  # first seen then, in the pair's own time (`trash_index.Age`)
    Column("seen_run", Integer, nullable=False),
    PrimaryKeyConstraint("side", "batch"),
    sqlite_with_rowid=False,
)

trash_versions = Table(
    "trash_versions",  # the things in them, as far as a run of this pair put them there
    metadata,
    Column("id", Integer, primary_key=True),
    Column("side", Text, nullable=False),
    Column("batch", LargeBinary, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("replaced", Integer, nullable=False),  # 1: other content took its name; 0: it was deleted
    Column("taken_ns", Integer, nullable=False),  # in the pair's own time
)
Index("ix_trash_versions_batch", trash_versions.c.side, trash_versions.c.batch)
Index("ix_trash_versions_path", trash_versions.c.side, trash_versions.c.path, trash_versions.c.taken_ns)


def creation() -> list[str]:
    """The statements that create the tables and indexes, in an order that foreign keys allow."""
    tables = metadata.sorted_tables
    indexes = [index for table in tables for index in sorted(table.indexes, key=lambda i: str(i.name))]
    statements: list[DDLElement] = [*map(CreateTable, tables), *map(CreateIndex, indexes)]
    return [" ".join(str(statement.compile(dialect=DIALECT)).split()) for statement in statements]
