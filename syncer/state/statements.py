"""The statements of the state database as SQLite takes them. Written by `scripts/statements.py`.

What they are made of stands in `schema`, `memory_sql`, `ledger_sql` and `trash_sql`.
"""

from __future__ import annotations

from typing import Final

# ruff: noqa: E501

CREATION: Final = (
    "CREATE TABLE conflicts ( path BLOB NOT NULL, copy BLOB NOT NULL, reason TEXT NOT NULL, resolution TEXT NOT NULL, since_ns INTEGER NOT NULL, local_digest BLOB, local_mtime_ns INTEGER, local_size INTEGER NOT NULL, remote_digest BLOB, remote_mtime_ns INTEGER, remote_size INTEGER NOT NULL, PRIMARY KEY (path, copy) )",
    'CREATE TABLE directories ( id INTEGER NOT NULL, path BLOB NOT NULL, "key" BLOB NOT NULL, local_fingerprint BLOB, remote_fingerprint BLOB, PRIMARY KEY (id), UNIQUE (path), UNIQUE ("key") )',
    "CREATE TABLE failures ( path BLOB NOT NULL, count INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, last_ns INTEGER NOT NULL, PRIMARY KEY (path) )",
    "CREATE TABLE problems ( path BLOB NOT NULL, side TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, waits INTEGER NOT NULL, first_seen_ns INTEGER NOT NULL, PRIMARY KEY (path, side, code) )",
    "CREATE TABLE runs ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, \"trigger\" TEXT NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER, result TEXT, exit_code INTEGER, message TEXT DEFAULT '' NOT NULL, uploaded INTEGER DEFAULT '0' NOT NULL, downloaded INTEGER DEFAULT '0' NOT NULL, deleted INTEGER DEFAULT '0' NOT NULL, moved INTEGER DEFAULT '0' NOT NULL, conflicts INTEGER DEFAULT '0' NOT NULL, bytes_sent INTEGER DEFAULT '0' NOT NULL, bytes_received INTEGER DEFAULT '0' NOT NULL )",
    'CREATE TABLE settings ( "key" TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key") ) WITHOUT ROWID',
    "CREATE TABLE trash_batches ( side TEXT NOT NULL, batch BLOB NOT NULL, size INTEGER NOT NULL, seen_ns INTEGER NOT NULL, seen_run INTEGER NOT NULL, PRIMARY KEY (side, batch) ) WITHOUT ROWID",
    "CREATE TABLE trash_versions ( id INTEGER NOT NULL, side TEXT NOT NULL, batch BLOB NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, replaced INTEGER NOT NULL, taken_ns INTEGER NOT NULL, PRIMARY KEY (id) )",
    "CREATE TABLE entries ( directory_id INTEGER NOT NULL, name BLOB NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL, executable INTEGER NOT NULL, local_version BLOB, remote_version BLOB, local_mtime_ns INTEGER, remote_mtime_ns INTEGER, PRIMARY KEY (directory_id, name), FOREIGN KEY(directory_id) REFERENCES directories (id) ON DELETE CASCADE ) WITHOUT ROWID",
    "CREATE TABLE history ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, action TEXT NOT NULL, path BLOB NOT NULL, other BLOB NOT NULL, reason TEXT NOT NULL, result TEXT NOT NULL, method TEXT NOT NULL, size INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL, message TEXT NOT NULL, digest BLOB, FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE )",
    "CREATE INDEX ix_trash_versions_batch ON trash_versions (side, batch)",
    "CREATE INDEX ix_trash_versions_path ON trash_versions (side, path, taken_ns)",
    "CREATE INDEX ix_history_run ON history (run)",
)
TABLES: Final = frozenset(
    (
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
    )
)
PAGE_FROM: Final = 'SELECT directories.path, directories."key", directories.local_fingerprint, directories.remote_fingerprint FROM directories WHERE directories."key" > ? ORDER BY directories."key" LIMIT ? OFFSET 0'
ROOT: Final = 'SELECT directories.path, directories."key", directories.local_fingerprint, directories.remote_fingerprint FROM directories WHERE directories."key" = ?'
ROWS: Final = 'SELECT entries.name, entries.kind, entries.size, entries.digest, entries.executable, entries.local_version, entries.remote_version, entries.local_mtime_ns, entries.remote_mtime_ns FROM entries WHERE entries.directory_id = (SELECT directories.id FROM directories WHERE directories."key" = ?)'
VERSIONS: Final = 'SELECT entries.name, entries.kind, entries.local_version, entries.remote_version FROM entries WHERE entries.directory_id = (SELECT directories.id FROM directories WHERE directories."key" = ?)'
EXISTS: Final = 'SELECT directories.id FROM directories WHERE directories."key" = ?'
COUNT: Final = "SELECT count(*) AS count_1 FROM entries"
ENSURE: Final = 'INSERT OR IGNORE INTO directories (path, "key") VALUES (?, ?)'
REMEMBER: Final = 'INSERT OR REPLACE INTO entries (directory_id, name, kind, size, digest, executable, local_version, remote_version, local_mtime_ns, remote_mtime_ns) VALUES ((SELECT directories.id FROM directories WHERE directories."key" = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING directory_id'
CLEAR: Final = 'DELETE FROM directories WHERE directories."key" >= ? AND directories."key" < ?'
CLEAR_ALL: Final = "DELETE FROM directories"
DROP: Final = 'DELETE FROM entries WHERE entries.directory_id = (SELECT directories.id FROM directories WHERE directories."key" = ?) AND entries.name = ?'
HAS: Final = 'SELECT entries.kind FROM entries WHERE entries.directory_id = (SELECT directories.id FROM directories WHERE directories."key" = ?) AND entries.name = ?'
VOID: Final = 'UPDATE directories SET local_fingerprint=?, remote_fingerprint=? WHERE directories."key" = ?'
SEAL: Final = 'UPDATE directories SET local_fingerprint=?, remote_fingerprint=? WHERE directories."key" = ?'
SUBTREE: Final = 'SELECT directories.id, directories.path FROM directories WHERE directories."key" >= ? AND directories."key" < ?'
RENAME: Final = 'UPDATE directories SET path=?, "key"=? WHERE directories.id = ?'
REHANG: Final = 'UPDATE entries SET directory_id=(SELECT directories.id FROM directories WHERE directories."key" = ?), name=? WHERE entries.directory_id = (SELECT directories.id FROM directories WHERE directories."key" = ?) AND entries.name = ?'
SETTING: Final = 'SELECT settings.value FROM settings WHERE settings."key" = ?'
SET: Final = 'INSERT OR REPLACE INTO settings ("key", value) VALUES (?, ?)'
START_RUN: Final = 'INSERT INTO runs ("trigger", started_ns) VALUES (?, ?)'
END_RUN: Final = "UPDATE runs SET ended_ns=?, result=?, exit_code=?, message=?, uploaded=?, downloaded=?, deleted=?, moved=?, conflicts=?, bytes_sent=?, bytes_received=? WHERE runs.id = ?"
RUNS: Final = 'SELECT runs.id, runs."trigger", runs.started_ns, runs.ended_ns, runs.result, runs.exit_code, runs.message, runs.uploaded, runs.downloaded, runs.deleted, runs.moved, runs.conflicts, runs.bytes_sent, runs.bytes_received FROM runs ORDER BY runs.id DESC LIMIT ? OFFSET ?'
RUN: Final = 'SELECT runs.id, runs."trigger", runs.started_ns, runs.ended_ns, runs.result, runs.exit_code, runs.message, runs.uploaded, runs.downloaded, runs.deleted, runs.moved, runs.conflicts, runs.bytes_sent, runs.bytes_received FROM runs WHERE runs.id = ?'
FORGET_RUN: Final = "DELETE FROM runs WHERE runs.id = ?"
PRUNE_RUNS: Final = "DELETE FROM runs WHERE runs.id < ?"
PRUNE_IDLE_RUNS: Final = "DELETE FROM runs WHERE runs.id > ? AND runs.id <= ? AND NOT (EXISTS (SELECT history.id FROM history WHERE history.run = runs.id)) AND coalesce(runs.exit_code, 1) = 0"
FORGET_HISTORY: Final = "DELETE FROM history WHERE history.run = ? AND history.path = ?"
NEWEST_RUN: Final = "SELECT max(runs.id) AS max_1 FROM runs"
ADD_HISTORY: Final = "INSERT INTO history (run, action, path, other, reason, result, method, size, sent, received, message, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
HISTORY: Final = "SELECT history.action, history.path, history.other, history.reason, history.result, history.method, history.size, history.sent, history.received, history.message, history.digest FROM history WHERE history.run = ? ORDER BY history.id"
PRUNE_HISTORY: Final = (
    "DELETE FROM history WHERE history.id <= (SELECT max(history.id) AS max_1 FROM history) - ?"
)
OPEN_CONFLICT: Final = "INSERT INTO conflicts (path, copy, reason, resolution, since_ns, local_digest, local_mtime_ns, local_size, remote_digest, remote_mtime_ns, remote_size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, copy) DO UPDATE SET reason = excluded.reason, resolution = excluded.resolution, local_digest = excluded.local_digest, local_mtime_ns = excluded.local_mtime_ns, local_size = excluded.local_size, remote_digest = excluded.remote_digest, remote_mtime_ns = excluded.remote_mtime_ns, remote_size = excluded.remote_size"
SETTLE_CONFLICT: Final = "DELETE FROM conflicts WHERE conflicts.path = ? AND conflicts.copy = ?"
CONFLICTS: Final = "SELECT conflicts.path, conflicts.copy, conflicts.reason, conflicts.resolution, conflicts.since_ns, conflicts.local_digest, conflicts.local_mtime_ns, conflicts.local_size, conflicts.remote_digest, conflicts.remote_mtime_ns, conflicts.remote_size FROM conflicts ORDER BY conflicts.path, conflicts.copy"
ADD_PROBLEM: Final = "INSERT OR REPLACE INTO problems (path, side, code, message, waits, first_seen_ns) VALUES (?, ?, ?, ?, ?, ?)"
DROP_PROBLEM: Final = (
    "DELETE FROM problems WHERE problems.path = ? AND problems.side = ? AND problems.code = ?"
)
PROBLEMS: Final = "SELECT problems.path, problems.side, problems.code, problems.message, problems.waits, problems.first_seen_ns FROM problems ORDER BY problems.path, problems.side, problems.code"
FAIL: Final = "INSERT INTO failures (path, count, code, message, last_ns) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET count = (failures.count + excluded.count), code = excluded.code, message = excluded.message, last_ns = excluded.last_ns"
SUCCEED: Final = "DELETE FROM failures WHERE failures.path = ?"
FAILURES: Final = "SELECT failures.path, failures.count, failures.code, failures.message, failures.last_ns FROM failures ORDER BY failures.path"
ADD_BATCH: Final = (
    "INSERT OR IGNORE INTO trash_batches (side, batch, size, seen_ns, seen_run) VALUES (?, ?, ?, ?, ?)"
)
GROW_BATCH: Final = "UPDATE trash_batches SET size=(trash_batches.size + ?) WHERE trash_batches.side = ? AND trash_batches.batch = ?"
BATCHES: Final = "SELECT trash_batches.batch, trash_batches.size, trash_batches.seen_ns, trash_batches.seen_run FROM trash_batches WHERE trash_batches.side = ? ORDER BY trash_batches.seen_ns, trash_batches.batch"
TRASH_SIZE: Final = "SELECT sum(trash_batches.size) AS sum_1 FROM trash_batches WHERE trash_batches.side = ?"
FORGET_BATCH: Final = "DELETE FROM trash_batches WHERE trash_batches.side = ? AND trash_batches.batch = ?"
FORGET_BATCH_VERSIONS: Final = (
    "DELETE FROM trash_versions WHERE trash_versions.side = ? AND trash_versions.batch = ?"
)
ADD_VERSION: Final = (
    "INSERT INTO trash_versions (side, batch, path, size, replaced, taken_ns) VALUES (?, ?, ?, ?, ?, ?)"
)
REPLACED_VERSIONS: Final = "SELECT trash_versions.id, trash_versions.batch, trash_versions.path, trash_versions.size, trash_versions.taken_ns FROM trash_versions WHERE trash_versions.side = ? AND trash_versions.replaced = ? AND trash_versions.taken_ns < ? ORDER BY trash_versions.path, trash_versions.taken_ns, trash_versions.id"
RESIZE_VERSION: Final = "UPDATE trash_versions SET size=(trash_versions.size + ?) WHERE trash_versions.side = ? AND trash_versions.batch = ? AND trash_versions.path = ?"
FORGET_VERSION: Final = "DELETE FROM trash_versions WHERE trash_versions.id = ?"
