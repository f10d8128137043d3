"""What is promised (architecture.md, "Budgets"), in one table, and the verdict on a row.

A budget is bound to a case, to what it is compared with, and to a range of sizes. A row that
no budget covers is shown for orientation, without a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.contest import Row, show_seconds

_ALL = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """`value <= limit` is promised for trees of `least` to below `below` files."""

    case: str
    beside: str
    limit: float
    least: int = 0
    below: int = _ALL

    def covers(self, row: Row) -> bool:
        """Whether this promise is about that row."""
        return (self.case, self.beside) == (row.case, row.beside) and (
            self.least <= (row.files or 0) < self.below
        )


BUDGETS: tuple[Budget, ...] = (
    Budget(case="help", beside="wall time", limit=0.2),
    Budget(case="nothing-to-do", beside="rsync -a", limit=1.0, least=100_000),
    Budget(case="nothing-to-do", beside="rsync -a", limit=2.0, least=20_000, below=100_000),
    Budget(case="nothing-to-do", beside="peak memory", limit=150.0),
    Budget(case="nothing-to-do", beside="growth of peak", limit=1.25),  # what "flat in N" means here
    Budget(case="first-sync", beside="rsync -a", limit=1.5, least=20_000),
    Budget(case="adopt", beside="unison", limit=0.5, least=100_000),
    Budget(case="30-changes", beside="nothing to do", limit=1.1, least=500_000),
    Budget(case="rename", beside="content sent", limit=0.0),
    Budget(case="upload-limit", beside="rate over limit", limit=1.05),  # pieces of 64 KiB, a clock's jitter
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A row and the promise about it, if there is one."""

    row: Row
    budget: Budget | None

    @property
    def word(self) -> str:
        """`met`, `MISSED`, or nothing where nothing is promised."""
        if self.budget is None:
            return ""
        return "met" if self.row.value <= self.budget.limit else "MISSED"


def judged(rows: Iterable[Row], budgets: Sequence[Budget] = BUDGETS) -> tuple[Verdict, ...]:
    """Each row with its verdict."""
    return tuple(
        Verdict(row=row, budget=next((budget for budget in budgets if budget.covers(row)), None))
        for row in rows
    )


def shown(value: float, unit: str) -> str:
    """A value as the table shows it."""
    match unit:
        case "x":
            return f"{value:.2f} x"
        case "s":
            return show_seconds(value)
        case "%":
            return f"{value:.2f} %"
        case _:
            return f"{value:,.0f} {unit}"
