"""Plain SQL of the state database: every statement that an ordinary run executes.

A run with nothing to do takes less time than importing SQLAlchemy (about 0.2 s and 18 MiB). So the base
table, and the statements by which a run opens, records what it transferred and closes, are text. All others,
of which a person waits for the answer or that a run needs rarely, are SQLAlchemy Core beside the code that
uses them (`history`, `trash_index`); the tables themselves are defined in `schema` only.
`tests/state/test_queries.py` executes each of these statements on the tables that `schema` creates.

Parameters are named (`:key`), and are passed as mappings. `key` of a directory is `engine.paths.tree_key`, in
whose order everything at or below a directory is one range.
"""

from __future__ import annotations

from typing import Final

# The tables that a sound database has: `schema.metadata.tables`, known here without SQLAlchemy.
TABLES: Final = frozenset(
    {
        "conflicts",
        "directories",
        "entries",
        "failures",
        "history",
        "problems",
        "runs",
        "settings",
        "trash_batches",
        "trash_versions",
    }
)

# -- settings: short texts by key ---------------------------------------------------------------------

GET_SETTING: Final = "SELECT value FROM settings WHERE key = :key"
SET_SETTING: Final = "INSERT OR REPLACE INTO settings (key, value) VALUES (:key, :value)"

# -- base: directories --------------------------------------------------------------------------------

# One directory with its fingerprints.
GET_DIRECTORY: Final = (
    "SELECT path, key, local_fingerprint, remote_fingerprint FROM directories WHERE key = :key"
)
# The next page of directories in tree order. Paging by key needs no open cursor, so writes between two
# pages neither skip nor repeat a directory.
NEXT_DIRECTORIES: Final = (
    "SELECT path, key, local_fingerprint, remote_fingerprint FROM directories "
    "WHERE key > :key ORDER BY key LIMIT :limit"
)
DIRECTORY_EXISTS: Final = "SELECT id FROM directories WHERE key = :key"
# Ids and paths of a directory and of all below it: a key range, see `base.subtree_range`.
GET_SUBTREE: Final = "SELECT id, path FROM directories WHERE key >= :first AND key < :end"
# A directory that is there already keeps its row, and so its id, its fingerprints and its entries.
ADD_DIRECTORY: Final = "INSERT OR IGNORE INTO directories (path, key) VALUES (:path, :key)"
RENAME_DIRECTORY: Final = "UPDATE directories SET path = :path, key = :key WHERE id = :id"
SET_FINGERPRINTS: Final = (
    "UPDATE directories SET local_fingerprint = :local, remote_fingerprint = :remote WHERE key = :key"
)
# After any change of a directory's entries: its fingerprints prove nothing until they are set again.
CLEAR_FINGERPRINTS: Final = (
    "UPDATE directories SET local_fingerprint = NULL, remote_fingerprint = NULL WHERE key = :key"
)
# The entries of the directories go with them (ON DELETE CASCADE).
DELETE_SUBTREE: Final = "DELETE FROM directories WHERE key >= :first AND key < :end"
DELETE_EVERYTHING: Final = "DELETE FROM directories"

# -- base: entries ------------------------------------------------------------------------------------

# An entry names its directory by id. The id is looked up within the statement, so that a batch of entries
# needs no round trip for it.
_DIRECTORY_ID: Final = "(SELECT id FROM directories WHERE key = :key)"

GET_ENTRIES: Final = (
    "SELECT name, kind, size, digest, executable, local_version, remote_version, "
    f"local_mtime_ns, remote_mtime_ns FROM entries WHERE directory_id = {_DIRECTORY_ID}"
)
GET_VERSIONS: Final = (
    f"SELECT name, kind, local_version, remote_version FROM entries WHERE directory_id = {_DIRECTORY_ID}"
)
ENTRY_EXISTS: Final = f"SELECT kind FROM entries WHERE directory_id = {_DIRECTORY_ID} AND name = :name"
COUNT_ENTRIES: Final = "SELECT count(*) FROM entries"
PUT_ENTRY: Final = (
    "INSERT OR REPLACE INTO entries (directory_id, name, kind, size, digest, executable, "
    "local_version, remote_version, local_mtime_ns, remote_mtime_ns) "
    f"VALUES ({_DIRECTORY_ID}, :name, :kind, :size, :digest, :executable, "
    ":local_version, :remote_version, :local_mtime_ns, :remote_mtime_ns)"
)
MOVE_ENTRY: Final = (
    f"UPDATE entries SET directory_id = {_DIRECTORY_ID}, name = :name "
    "WHERE directory_id = (SELECT id FROM directories WHERE key = :old_key) AND name = :old_name"
)
DELETE_ENTRY: Final = f"DELETE FROM entries WHERE directory_id = {_DIRECTORY_ID} AND name = :name"

# -- runs and history ---------------------------------------------------------------------------------

START_RUN: Final = "INSERT INTO runs (trigger, started_ns) VALUES (:trigger, :started_ns)"
END_RUN: Final = (
    "UPDATE runs SET ended_ns = :ended_ns, result = :result, exit_code = :exit_code, message = :message, "
    "uploaded = :uploaded, downloaded = :downloaded, deleted = :deleted, moved = :moved, "
    "conflicts = :conflicts, bytes_sent = :bytes_sent, bytes_received = :bytes_received WHERE id = :id"
)
DELETE_RUN: Final = "DELETE FROM runs WHERE id = :id"
NEWEST_RUN: Final = "SELECT max(id) FROM runs"
# For `status`, which people run often: it would take 0.2 s longer with SQLAlchemy.
GET_RUNS: Final = (
    "SELECT id, trigger, started_ns, ended_ns, result, exit_code, message, uploaded, downloaded, deleted, "
    "moved, conflicts, bytes_sent, bytes_received FROM runs ORDER BY id DESC LIMIT :limit"
)
ADD_HISTORY: Final = (
    "INSERT INTO history (run, action, path, other, reason, result, method, size, sent, received, "
    "message, digest) VALUES (:run, :action, :path, :other, :reason, :result, :method, :size, :sent, "
    ":received, :message, :digest)"
)
# Ids only grow, so the newest `kept` rows are all above the highest id less `kept`.
PRUNE_HISTORY: Final = "DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - :kept"

# -- what waits for a person, or for another try ------------------------------------------------------

GET_CONFLICTS: Final = (
    "SELECT path, copy, reason, resolution, since_ns, local_digest, local_mtime_ns, local_size, "
    "remote_digest, remote_mtime_ns, remote_size FROM conflicts ORDER BY path, copy"
)
GET_PROBLEMS: Final = (
    "SELECT path, side, code, message, waits, first_seen_ns FROM problems ORDER BY path, side, code"
)
GET_FAILURES: Final = "SELECT path, count, code, message, last_ns FROM failures ORDER BY path"

# -- the index of the trash ---------------------------------------------------------------------------

GET_BATCHES: Final = (
    "SELECT batch, size, seen_ns, seen_run FROM trash_batches WHERE side = :side ORDER BY seen_ns, batch"
)
TRASH_SIZE: Final = "SELECT sum(size) FROM trash_batches WHERE side = :side"
# A batch that is known keeps the age at which it was first seen; its size grows by GROW_BATCH.
ADD_BATCH: Final = (
    "INSERT OR IGNORE INTO trash_batches (side, batch, size, seen_ns, seen_run) "
    "VALUES (:side, :batch, 0, :seen_ns, :seen_run)"
)
GROW_BATCH: Final = "UPDATE trash_batches SET size = size + :bytes WHERE side = :side AND batch = :batch"
ADD_VERSION: Final = (
    "INSERT INTO trash_versions (side, batch, path, size, replaced, taken_ns) "
    "VALUES (:side, :batch, :path, :size, :replaced, :taken_ns)"
)
# Versions whose names other content took before a time, path by path, the oldest of each path first.
GET_REPLACED: Final = (
    "SELECT id, batch, path, size, taken_ns FROM trash_versions "
    "WHERE side = :side AND replaced = 1 AND taken_ns < :before_ns ORDER BY path, taken_ns, id"
)
