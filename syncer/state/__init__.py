"""State of one pair of roots: the base, runs and history, what waits for a person, the trash's index.

`open` opens the database, `base` is the engine's base, `history` has runs, conflicts, problems and failures,
`trash_index` the content of the trash, `lock` allows one run at a time. `schema` defines the tables;
`queries` has the plain SQL of ordinary runs, `core_queries` the SQLAlchemy statements of everything else.
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
from syncer.state.open import NAME, State, open_state, quarantine, view_state
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
    "quarantine",
    "view_state",
]
