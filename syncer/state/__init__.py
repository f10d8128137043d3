"""What Syncer remembers of one pair of roots: the base, the runs, what waits for a person.

`opening` opens, `memory` is the engine's base, `ledger` keeps runs, history, conflicts, problems and
failures, `lock` keeps a second run out. `schema`, `memory_sql` and `ledger_sql` say in
SQLAlchemy's terms what `statements` holds as text; a run does not load them.
"""

from __future__ import annotations

from syncer.state.database import CommitHook, Damaged, Database
from syncer.state.ledger import (
    ConflictSide,
    Failure,
    HistoryEntry,
    Ledger,
    OpenConflict,
    Run,
    SeenProblem,
)
from syncer.state.lock import PairLock
from syncer.state.memory import StateMemory
from syncer.state.opening import NAME, State, open_state, set_aside, view_state
from syncer.state.place import prepare

__all__ = [
    "NAME",
    "CommitHook",
    "ConflictSide",
    "Damaged",
    "Database",
    "Failure",
    "HistoryEntry",
    "Ledger",
    "OpenConflict",
    "PairLock",
    "Run",
    "SeenProblem",
    "State",
    "StateMemory",
    "open_state",
    "prepare",
    "set_aside",
    "view_state",
]
