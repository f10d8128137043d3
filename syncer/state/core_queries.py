"""SQLAlchemy Core statements of the state database: those that an ordinary run does not execute.

A person waits for the answer (`status`, `history`, `undo`), or a run needs them rarely (a conflict was found,
the history is pruned). Importing this imports SQLAlchemy: do it where a statement is executed. The statements
of every run are the plain SQL of `queries`.

Parameters are named after the columns; where a column is also assigned, or two limits are needed, the name is
explicit. An INSERT takes the columns of the rows it is executed with.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from syncer.state.schema import conflicts, failures, history, problems, runs, trash_batches, trash_versions

# -- runs and history ---------------------------------------------------------------------------------

GET_RUN: Final = select(runs).where(runs.c.id == bindparam("id"))
DELETE_RUNS_BEFORE: Final = delete(runs).where(runs.c.id < bindparam("id"))
# Finished runs without an action and without an error, with numbers in (after, until].
DELETE_IDLE_RUNS: Final = delete(runs).where(
    runs.c.id > bindparam("after"),
    runs.c.id <= bindparam("until"),
    runs.c.exit_code == 0,
    ~select(history.c.id).where(history.c.run == runs.c.id).exists(),
)
GET_HISTORY: Final = (
    select(*(column for column in history.c if column.name not in ("id", "run")))
    .where(history.c.run == bindparam("run"))
    .order_by(history.c.id)
)
DELETE_HISTORY: Final = delete(history).where(
    history.c.run == bindparam("run"), history.c.path == bindparam("path")
)

# -- conflicts, problems, failures --------------------------------------------------------------------

_conflict = upsert(conflicts)
# A conflict that is known already keeps the time since when it is.
PUT_CONFLICT: Final = _conflict.on_conflict_do_update(
    index_elements=conflicts.primary_key,
    set_={c.name: c for c in _conflict.excluded if c.name not in ("path", "copy", "since_ns")},
)
DELETE_CONFLICT: Final = delete(conflicts).where(
    conflicts.c.path == bindparam("path"), conflicts.c.copy == bindparam("copy")
)
PUT_PROBLEM: Final = insert(problems).prefix_with("OR REPLACE")
DELETE_PROBLEM: Final = delete(problems).where(
    problems.c.path == bindparam("path"),
    problems.c.side == bindparam("side"),
    problems.c.code == bindparam("code"),
)
_failure = upsert(failures)
PUT_FAILURE: Final = _failure.on_conflict_do_update(
    index_elements=failures.primary_key,
    set_={
        "count": failures.c.count + 1,
        "code": _failure.excluded.code,
        "message": _failure.excluded.message,
        "last_ns": _failure.excluded.last_ns,
    },
)
DELETE_FAILURE: Final = delete(failures).where(failures.c.path == bindparam("path"))

# -- the index of the trash ---------------------------------------------------------------------------

DELETE_BATCH: Final = delete(trash_batches).where(
    trash_batches.c.side == bindparam("side"), trash_batches.c.batch == bindparam("batch")
)
DELETE_BATCH_VERSIONS: Final = delete(trash_versions).where(
    trash_versions.c.side == bindparam("side"), trash_versions.c.batch == bindparam("batch")
)
GROW_VERSION: Final = (
    update(trash_versions)
    .where(
        trash_versions.c.side == bindparam("of_side"),
        trash_versions.c.batch == bindparam("of_batch"),
        trash_versions.c.path == bindparam("of_path"),
    )
    .values(size=trash_versions.c.size + bindparam("bytes"))
)
DELETE_VERSION: Final = delete(trash_versions).where(trash_versions.c.id == bindparam("id"))
