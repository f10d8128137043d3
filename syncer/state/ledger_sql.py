"""The statements of `history`, as expressions over the tables; `statements` holds what comes of them.

Parameters come in the order of the lists here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from sqlalchemy import Table, bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql.dml import Insert

from syncer.engine.report import Totals
from syncer.state.schema import compiled, conflicts, failures, history, problems, runs, settings

COUNTS = tuple(field.name for field in fields(Totals))  # columns of a run, in the order of the value
_CONFLICT = tuple(column.name for column in conflicts.c)
_PROBLEM = tuple(column.name for column in problems.c)
_FAILURE = tuple(column.name for column in failures.c)
_HISTORY = tuple(column.name for column in history.c if column.name != "id")
_RUN = [column for column in runs.c if column.name not in COUNTS] + [runs.c[name] for name in COUNTS]


def _insert(table: Table, *names: str) -> Insert:
    return insert(table).values({name: bindparam(f"p_{name}") for name in names})


def _parameters(*names: str) -> tuple[str, ...]:
    return tuple(f"p_{name}" for name in names)


START_RUN: Final = compiled(_insert(runs, "trigger", "started_ns"), *_parameters("trigger", "started_ns"))
_ENDED = ("ended_ns", "result", "exit_code", "message", *COUNTS)
END_RUN: Final = compiled(
    update(runs)
    .where(runs.c.id == bindparam("p_id"))
    .values({name: bindparam(f"p_{name}") for name in _ENDED}),
    *_parameters(*_ENDED, "id"),
)
RUNS: Final = compiled(
    select(*_RUN).order_by(runs.c.id.desc()).limit(bindparam("p_limit")).offset(bindparam("p_offset")),
    *_parameters("limit", "offset"),
)
RUN: Final = compiled(select(*_RUN).where(runs.c.id == bindparam("p_id")), "p_id")
FORGET_RUN: Final = compiled(delete(runs).where(runs.c.id == bindparam("p_id")), "p_id")
PRUNE_RUNS: Final = compiled(delete(runs).where(runs.c.id < bindparam("p_id")), "p_id")
_idle = ~select(history.c.id).where(history.c.run == runs.c.id).exists() & (
    func.coalesce(runs.c.exit_code, literal_column("1")) == literal_column("0")
)
PRUNE_IDLE_RUNS: Final = compiled(
    delete(runs).where(runs.c.id > bindparam("p_from"), runs.c.id <= bindparam("p_to"), _idle),
    "p_from",
    "p_to",
)
FORGET_HISTORY: Final = compiled(
    delete(history).where(history.c.run == bindparam("p_run"), history.c.path == bindparam("p_path")),
    "p_run",
    "p_path",
)
NEWEST_RUN: Final = compiled(select(func.max(runs.c.id)))

ADD_HISTORY: Final = compiled(_insert(history, *_HISTORY), *_parameters(*_HISTORY))
HISTORY: Final = compiled(
    select(*(history.c[name] for name in _HISTORY[1:]))
    .where(history.c.run == bindparam("p_run"))
    .order_by(history.c.id),
    "p_run",
)
# Ids only grow, so the newest N rows are all above the highest id less N.
PRUNE_HISTORY: Final = compiled(
    delete(history).where(
        history.c.id <= select(func.max(history.c.id)).scalar_subquery() - bindparam("p_kept")
    ),
    "p_kept",
)

_open_conflict = upsert(conflicts).values({name: bindparam(f"p_{name}") for name in _CONFLICT})
OPEN_CONFLICT: Final = compiled(
    _open_conflict.on_conflict_do_update(
        index_elements=["path", "copy"],
        set_={name: _open_conflict.excluded[name] for name in _CONFLICT[2:] if name != "since_ns"},
    ),
    *_parameters(*_CONFLICT),
)
SETTLE_CONFLICT: Final = compiled(
    delete(conflicts).where(conflicts.c.path == bindparam("p_path"), conflicts.c.copy == bindparam("p_copy")),
    *_parameters("path", "copy"),
)
CONFLICTS: Final = compiled(select(*conflicts.c).order_by(conflicts.c.path, conflicts.c.copy))

ADD_PROBLEM: Final = compiled(_insert(problems, *_PROBLEM).prefix_with("OR REPLACE"), *_parameters(*_PROBLEM))
DROP_PROBLEM: Final = compiled(
    delete(problems).where(
        problems.c.path == bindparam("p_path"),
        problems.c.side == bindparam("p_side"),
        problems.c.code == bindparam("p_code"),
    ),
    *_parameters("path", "side", "code"),
)
PROBLEMS: Final = compiled(select(*problems.c).order_by(problems.c.path, problems.c.side, problems.c.code))

_fail = upsert(failures).values({name: bindparam(f"p_{name}") for name in _FAILURE})
FAIL: Final = compiled(
    _fail.on_conflict_do_update(
        index_elements=["path"],
        set_={
            "count": failures.c.count + _fail.excluded["count"],
            "code": _fail.excluded.code,
            "message": _fail.excluded.message,
            "last_ns": _fail.excluded.last_ns,
        },
    ),
    *_parameters(*_FAILURE),
)
SUCCEED: Final = compiled(delete(failures).where(failures.c.path == bindparam("p_path")), "p_path")
FAILURES: Final = compiled(select(*failures.c).order_by(failures.c.path))

SETTING: Final = compiled(select(settings.c.value).where(settings.c.key == bindparam("p_key")), "p_key")
SET: Final = compiled(
    insert(settings).prefix_with("OR REPLACE").values(key=bindparam("p_key"), value=bindparam("p_value")),
    *_parameters("key", "value"),
)
