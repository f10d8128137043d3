"""What Syncer remembers of one pair of roots: the base, the runs, what waits for a person.

`open` opens, `base` is the engine's base, `history` keeps runs, history, conflicts, problems and
failures, `lock` keeps a second run out. `schema`, `memory_sql` and `ledger_sql` say in
SQLAlchemy's terms what `statements` holds as text; a run does not load them.
"""

from __future__ import annotations

from syncer.state.base import BaseTable
from syncer.state.directory import prepare
from syncer.state.history import (
    ConflictSide,
    Failure,
    HistoryEntry,
    OpenConflict,
    Run,
    RunHistory,
    SeenProblem,
)
from syncer.state.lock import PairLock
from syncer.state.open import NAME, State, open_state, set_aside, view_state
from syncer.state.sqlite import CommitHook, CorruptDatabase, Database

__all__ = [
    "NAME",
    "CommitHook",
    "ConflictSide",
    "CorruptDatabase",
    "Database",
    "Failure",
    "HistoryEntry",
    "RunHistory",
    "OpenConflict",
    "PairLock",
    "Run",
    "SeenProblem",
    "State",
    "BaseTable",
    "open_state",
    "prepare",
    "set_aside",
    "view_state",
]
