"""All cases by name, in the order in which they run, with the sizes that each is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import cases_still, cases_work
from benchmarks.contest import Contest, Row
from benchmarks.ground import Ground

SIZES = (20_000, 100_000, 500_000)
QUICK = (20_000,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A case on the shared trees. `sizes` are the numbers of files that it is about."""

    name: str
    build: Callable[[Ground, int], Contest]
    sizes: Sequence[int]

    def runs_at(self, chosen: Sequence[int]) -> frozenset[int]:
        """Those of the chosen sizes that it is about, else the largest of them: better than no figure."""
        return frozenset(self.sizes) & frozenset(chosen) or frozenset({max(chosen)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A case with a tree of its own, or none."""

    name: str
    build: Callable[[Ground, None], Contest]


FIXED: tuple[Fixed, ...] = (
    Fixed(name="help", build=cases_still.help_text),
    Fixed(name="rename", build=cases_work.rename),
    Fixed(name="upload-limit", build=cases_work.upload_limit),
)
# At each size in this order: what edits the trees comes after the peers have looked at them.
SIZED: tuple[Sized, ...] = (
    Sized(name="nothing-to-do", build=cases_still.nothing_to_do, sizes=SIZES),
    Sized(name="first-sync", build=cases_work.first_sync, sizes=(20_000,)),
    Sized(name="after-first", build=cases_still.after_first, sizes=(20_000, 100_000)),
    Sized(name="adopt", build=cases_work.adopt, sizes=(100_000,)),
    Sized(name="30-changes", build=cases_still.thirty_changes, sizes=(500_000,)),
)
NAMES = (*(case.name for case in FIXED), *(case.name for case in SIZED))


def growth(rows: Sequence[Row]) -> tuple[Row, ...]:
    """How peak memory with nothing to do grows from the smallest measured tree to the largest."""
    peaks = sorted(
        (row.files or 0, row.value)
        for row in rows
        if (row.case, row.beside) == ("nothing-to-do", "peak memory")
    )
    if len(peaks) < 2:
        return ()
    (fewest, low), (most, high) = peaks[0], peaks[-1]
    row = Row(
        case="nothing-to-do", files=None, beside="growth of peak",
        own=f"{high:.0f} MiB at {most:,}", other=f"{low:.0f} MiB at {fewest:,}", value=high / low,
    )  # fmt: skip
    return (row,)
