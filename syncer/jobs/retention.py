"""Trash retention: delete old items by age and by size, and thin out frequent versions of one file.

Three rules, after every run that put something there, and in full after every run that looked at everything;
before them old versions of large files are made smaller (`stores.local.trash_deltas`):

- *Age*: a run's folder goes when it is older than `trash_days` by the pair's own time
  (`state.trash_index`), which no clock can move, and was seen by a few runs since. Each machine removes
  what it put there itself.
- *Thinning*: of the versions of a path that other content replaced, all of the last hour stay, then the
  first of each hour, then the first of each day. What was deleted is never thinned.
- *Size*: what is over `trash_size` goes before its time, versions of which a newer one is kept first, the
  oldest of them first; then whole runs, the oldest first. The latest runs stay whatever their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeVar

from syncer.clock import DAY_NS, Moment, Passed
from syncer.config import JobSettings
from syncer.engine.interfaces import BaseStore
from syncer.engine.model import Done, RelPath, Side, Transfer
from syncer.engine.report import RunReport
from syncer.errors import LocalError, StoreError
from syncer.formatting import show_duration, show_size
from syncer.state import State
from syncer.state.trash_index import Age, Batch, Version
from syncer.stores.local import trash_deltas, trash_restore
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import LARGE, Kept

RUNS: Final = 3
"""The number of full runs that must have seen an item in the trash before it may be deleted by age."""
LATEST: Final = 3
"""The number of latest runs whose trash the limit by size never deletes."""
_HOUR_NS: Final = 3600 * 10**9
_JUMP_NS: Final = 3600 * 10**9  # a clock that was set by less is not worth a word
_UNOWNED_DAYS: Final = 30  # what an earlier version of Syncer put there may be another machine's
_T = TypeVar("_T", Batch, Version)
_EARLY: Final = "trash-early"  # the setting that tells what the bound by size took before its time


def keep_house(
    state: State,
    folders: Mapping[Side, FolderStore],
    job: JobSettings,
    now: Moment,
    report: RunReport | None,
    *,
    whole: bool,
) -> list[str]:
    """Note what a run put into the trash, and remove what need not be kept; answers what is worth saying.

    `whole`: the run looked at everything. Raises StateError; trouble with a trash itself is only told.
    """
    put = {side: folder.trash.log or {} for side, folder in folders.items()}
    if not whole and not any(put.values()):
        return []
    age, since = state.trash.grow_older(now, runs=int(whole))
    notes = [*_jump(since)] if whole else []
    if whole:
        state.ledger.grow_older(age.ns, job.trash_days * DAY_NS)
    for side, folder in folders.items():
        keeper = _Keeper(state, folder, side, age)
        keeper.note(put[side], _replaced(report, side))
        try:
            keeper.compact(put[side])
            if whole:
                keeper.look()
                keeper.remove_old(job.trash_days)
                keeper.thin()
            notes += keeper.bound(job.trash_size)
        except (OSError, StoreError, LocalError) as error:
            notes.append(f"the {side.value} trash was not pruned: {error}")
    return notes


def resize(state: State, side: Side, folder: FolderStore) -> None:
    """In the index, what takes more or less room in the trash than it did. Raises StateError."""
    trash = folder.trash
    state.trash.resize(side.value, {(kept.batch, kept.path): by for kept, by in trash.resized.items()})
    trash.resized.clear()


def told(memory: BaseStore) -> list[str]:
    """What `status` says of the trash: whether the bound by size took something before its time."""
    found = [memory.get_setting(f"{_EARLY}.{side.value}") for side in Side]
    return [text.partition(" ")[2] for text in found if text]


def _jump(since: Passed) -> Iterator[str]:
    if abs(since.jump_ns) >= _JUMP_NS:
        way = "forward" if since.jump_ns > 0 else "back"
        far = show_duration(abs(since.jump_ns) // 10**9)
        yield (
            f"the clock of this machine was set {way} by {far} since the last run; "
            "nothing in the trash is removed earlier for that"
        )


def _replaced(report: RunReport | None, side: Side) -> frozenset[RelPath]:
    """The paths of a side whose content a run replaced with other content."""
    return frozenset(
        done.action.path
        for done in (report.actions if report else ())
        if isinstance(done.outcome, Done)
        and isinstance(done.action, Transfer)
        and done.action.source is not side
        and done.action.expected is not None
    )


class _Keeper:
    """Applies the three rules to the trash of one side."""

    def __init__(self, state: State, folder: FolderStore, side: Side, age: Age) -> None:
        self._state = state
        self._index = state.trash
        self._folder = folder
        self._trash = folder.trash
        self._side = side.value
        self._age = age

    def note(self, put: Mapping[Kept, int], replaced: frozenset[RelPath]) -> None:
        """What the run put there: once in the index, however often this is asked of one run."""
        weights: dict[str, int] = {}
        for kept, size in put.items():
            weights[kept.batch] = weights.get(kept.batch, 0) + size
        for batch, weight in weights.items():
            self._index.add_batch(self._side, batch, weight, self._age)
        for flag in (True, False):
            found = [self._version(k, size) for k, size in put.items() if (k.path in replaced) is flag]
            self._index.add_versions(self._side, found, replaced=flag)

    def _version(self, kept: Kept, size: int) -> Version:
        return Version(batch=kept.batch, path=kept.path, size=size, taken_ns=self._age.ns)

    def compact(self, put: Mapping[Kept, int]) -> None:
        """Large files: what the run put there may make the versions before it smaller. Raises OSError."""
        large = [kept for kept, size in put.items() if size >= LARGE]
        if large:
            trash_deltas.compact(self._trash, large)
            self._resize()

    def _resize(self) -> None:
        resize(self._state, Side(self._side), self._folder)

    def look(self) -> None:
        """Bring the index in step with what is there: emptied by hand, or put there by nobody it knows."""
        there = trash_restore.batches(self._trash)
        known = {batch.name for batch in self._index.batches(self._side)}
        for name in there:
            if name not in known:
                self._index.add_batch(self._side, name, trash_restore.weigh(self._trash, name), self._age)
        self._index.forget_batches(self._side, known.difference(there))

    def remove_old(self, days: int) -> None:
        """What is older than `trash_days`. Raises OSError."""
        self._drop([batch.name for batch in self._index.batches(self._side) if self._old(batch, days)])

    def _old(self, batch: Batch, days: int) -> bool:
        ours = trash_restore.owned(batch.name) or not self._trash.owner
        limit = days if ours else max(days, _UNOWNED_DAYS)
        return self._age.ns - batch.seen.ns > limit * DAY_NS and self._age.runs - batch.seen.runs >= RUNS

    def thin(self) -> None:
        """Versions that were replaced again and again. Raises OSError."""
        replaced = self._index.replaced(self._side, before_ns=self._age.ns - _HOUR_NS)
        doomed: list[Version] = []
        for _, versions in groupby(replaced, key=lambda v: v.path):
            seen: set[tuple[int, int]] = set()
            for version in versions:
                step = _HOUR_NS if self._age.ns - version.taken_ns <= DAY_NS else DAY_NS
                span = step, version.taken_ns // step
                if span in seen:
                    doomed.append(version)
                seen.add(span)
        self._drop_versions(doomed)
        runs = ((trash_restore.run_of(version.batch), version.path) for version in doomed)
        self._state.ledger.forget_history([(int(run), path) for run, path in runs if run.isdecimal()])

    def bound(self, limit: int | None) -> list[str]:
        """Take what is over the bound. Raises OSError."""
        size = self._index.size(self._side)
        most = self._most(size) if limit is None else limit
        over = size - most if most is not None else 0
        if over <= 0:
            self._hush()
            return []
        latest = {b.name for b in self._index.batches(self._side)[-LATEST:]}
        repeated = self._repeated(latest)
        doomed = list(_until(over, repeated))
        self._drop_versions(doomed)
        over -= sum(version.size for version in doomed)
        older = [b for b in self._index.batches(self._side) if b.name not in latest]
        batches = list(_until(over, older))
        self._drop([batch.name for batch in batches])
        if not doomed and not batches:
            return []
        text = (
            f"the {self._side} trash was over its bound of {show_size(most or 0)} (trash_size): "
            f"{len(doomed)} older versions and {len(batches)} older runs of it were removed before trash_days"
        )
        self._say(text)
        return [text]

    def _most(self, size: int) -> int | None:
        """Half of what the disk would have free without this trash; None where that cannot be told."""
        free = self._folder.free_space()
        return (free + size) // 2 if free is not None else None

    def _repeated(self, latest: set[str]) -> list[Version]:
        """Versions of paths of which a newer one is kept, the oldest first."""
        found: list[Version] = []
        for _, versions in groupby(
            self._index.replaced(self._side, before_ns=self._age.ns + 1), key=lambda v: v.path
        ):
            found += [version for version in list(versions)[:-1] if version.batch not in latest]
        return sorted(found, key=lambda version: (version.taken_ns, version.id))

    def _say(self, text: str) -> None:
        self._state.memory.set(**{f"{_EARLY}.{self._side}": f"{self._age.ns} {text}"})

    def _hush(self) -> None:
        """After a day `status` no longer speaks of it."""
        key = f"{_EARLY}.{self._side}"
        said = self._state.memory.get_setting(key)
        if said and self._age.ns - int(said.partition(" ")[0]) > DAY_NS:
            self._state.memory.set(**{key: ""})

    def _drop(self, names: Sequence[str]) -> None:
        trash_restore.drop(self._trash, names)
        self._resize()
        self._index.forget_batches(self._side, names)

    def _drop_versions(self, versions: Sequence[Version]) -> None:
        trash_restore.drop_versions(self._trash, (Kept(v.batch, v.path) for v in versions))
        self._resize()
        self._index.forget_versions(self._side, versions)


def _until(over: int, things: Iterable[_T]) -> Iterator[_T]:
    """The first of the things, until so many bytes are reached."""
    for thing in things:
        if over <= 0:
            return
        over -= thing.size
        yield thing
