"""Undo a run: restore what it overwrote or deleted in a folder, and remove what it added.

**The result.** Each step changes the side that the run changed, and only that. The base keeps what
both sides agreed on after the run, so the side as undone counts as changed by a person, and the next sync
carries it over by the ordinary decisions (`engine.decide`):

    the run did, on a side S    the undo, on S        the next sync sees    and does
    overwrite x (old → trash)   old put back over x   x changed on S        S's x to the other side
    make x new                  x to the trash        x deleted on S        x deleted there, too
    delete x (→ trash)          x put back            x new on S            x sent there
    rename a to x               x renamed to a        x gone, a new on S    x renamed there, too
    make directory d            d removed if empty    d deleted on S        d deleted there, too
    delete directory d          d made                d new on S            d made there
    keep both, adopt, touch     nothing: it took nothing away

The other side edited meanwhile is a conflict like any other: an edit beats a deletion, of two
edits both are kept. Deletions that the next sync makes of it pass the guard like any other.

**Later changes stay.** A step is done only where S still has the content that the run left there. A path that
was edited or created since, or that a later run replaced, is left and reported. A later run that was itself
undone does not count.

**Nothing is lost.** What stands at a name goes to the trash in the step in which the old content takes it
(the protocol of every put); nothing is removed that is not, to the digest, what both sides agreed on after
the run and no later run touched; directories go only when empty. Steps are recorded as a run of their own,
group by group, so what an undo took away can be found, or taken back, itself. Killed in the middle it
has done some steps; asked again it does the rest, since each looks at what is there.

Not for one-way jobs: their next run would do it all again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from syncer.config import JobSettings
from syncer.engine import sync
from syncer.engine.model import Mode, RelPath, Side, Stale
from syncer.engine.paths import printable, split
from syncer.engine.report import Totals
from syncer.errors import SyncerError, UsageError
from syncer.exit_codes import exit_code
from syncer.jobs import (
    factory,
    relocation,
    results,
    retention,
    root_identity,
    session,
    undo_steps,
)
from syncer.jobs.session import Environment, OpenJob, RunOptions
from syncer.jobs.undo_steps import Ended, Past, UndoExecutor, UndoStep, What
from syncer.state import PairLock, Run, State, open_state, view_state
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Kept

TRIGGER = "undo"
UNDONE = "undone"  # the result in the ledger
_CHANGING = ("upload", "download", "delete-", "mkdir-", "move-")
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoResult:
    """The result of one step: `failure` is "" if it was done. `again`: a retry may help."""

    step: UndoStep
    failure: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoReport:
    """The result of an undo of `run`; `number` is the run number of the undo itself, 0 for a preview."""

    run: Run
    number: int = 0
    steps: tuple[UndoResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all of it was (or can be) undone, 1: some of it never can, 3: a retry may help."""
        if any(taken.again for taken in self.steps):
            return 3
        return 1 if any(taken.failure for taken in self.steps) else 0


def preview(world: Environment, job: JobSettings, number: int | None) -> UndoReport:
    """What `undo` would do; changes nothing. Raises what `undo` raises."""
    _check_mode(job)
    place = session.prepared(world.settings, job)
    if not place.known:
        place = relocation.find(world.settings, job, world.clock) or place
    if not place.known:
        raise _never(job)
    with (
        PairLock.acquire(place.directory),
        view_state(place.directory) as state,
        factory.stores(world.settings, job, place, clock=world.clock) as stores,
    ):
        run = _the_run(state, job, number)
        opened = _admitted(session.opened(world, job, RunOptions(), place, state, stores))
        todo = _reachable(opened, _todo(opened, run))
        return UndoReport(run=run, steps=tuple(_foreseen(opened, todo)), notes=_notes(state, run))


def undo(world: Environment, job: JobSettings, number: int | None) -> UndoReport:
    """Undo a run, by default the last one that changed anything.

    Raises UsageError, Busy, GuardTripped, ConfigError, StateError, StoreError, Interrupted.
    """
    _check_mode(job)
    place = session.prepared(world.settings, job)
    if not place.known:
        place = relocation.adopt(world.settings, job, world.clock) or place
    if not place.known:
        raise _never(job)
    with PairLock.acquire(place.directory), open_state(place.directory, now_ns=world.clock.now_ns) as state:
        run = _the_run(state, job, number)
        own = state.ledger.start_run(f"{TRIGGER} {run.id}")
        try:
            with factory.stores(world.settings, job, place, clock=world.clock, run=str(own)) as stores:
                opened = _admitted(session.opened(world, job, RunOptions(), place, state, stores))
                taken = tuple(_carried_out(opened, _reachable(opened, _todo(opened, run)), own))
                for side, folder in stores.folders.items():
                    retention.resize(state, side, folder)
        except SyncerError as error:
            state.ledger.end_run(
                own, result="error", exit_code=exit_code(error), message=error.message, synced=False
            )
            raise
        done = UndoReport(run=run, number=own, steps=taken, notes=_notes(state, run))
        state.ledger.end_run(
            own, result=UNDONE, exit_code=done.exit_code, totals=_totals(taken), synced=False
        )
        return done


def _foreseen(opened: OpenJob, todo: Sequence[UndoStep]) -> Iterator[UndoResult]:
    """What a look says now, step by step: some make a name free for those that come after them."""
    freed: dict[Side, set[RelPath]] = {side: set() for side in Side}
    for step in todo:
        failure = step.obstacle
        if not failure:
            hand = UndoExecutor(opened.stores.folders[step.side], opened.state.memory)
            failure = hand.foresee(step, freed[step.side])
        if not failure and undo_steps.settled(step):
            freed[step.side].add(step.path)
        yield UndoResult(step=step, failure=failure)


def _check_mode(job: JobSettings) -> None:
    if job.mode is not Mode.TWO_WAY:
        raise UsageError(
            f"{job.name} is a {job.mode.value} job: its next run would do again what is undone",
            hint="change the side that is followed; syncer trash restore gets single files back",
        )


def _never(job: JobSettings) -> UsageError:
    return UsageError(f"{job.name}: never ran", hint="there is nothing to take back")


def _admitted(opened: OpenJob) -> OpenJob:
    """Raises GuardTripped if a root is not the one that the memory belongs to."""
    names = session.names(opened.settings)
    stores = opened.stores
    for refusal in root_identity.refused(opened.state.memory, stores.local, stores.remote, names=names) or ():
        raise refusal
    return opened


def _reachable(opened: OpenJob, todo: Sequence[UndoStep]) -> Sequence[UndoStep]:
    """The steps, with an obstacle where they lie below a mount point whose disk is not mounted today.

    What is put there would lie in the directory beneath, out of sight as soon as the disk is back.
    """
    disks = sync.mounted(opened.pair)

    def judged(step: UndoStep) -> UndoStep:
        point = disks[step.side].absent_above(step.path)
        if point is None or step.obstacle:
            return step
        return replace(step, obstacle=f"{printable(point)}: {disks[step.side].absent[point]}")

    return [judged(step) for step in todo]


# Which run, and what of it


def _the_run(state: State, job: JobSettings, number: int | None) -> Run:
    if number is None:
        found = next(_candidates(state), None)
        if found is None:
            raise UsageError(f"{job.name}: no run did anything that can be taken back", hint="syncer history")
        return found
    run = state.ledger.run(number)
    if run is None:
        hint = f"syncer history {job.name} lists the runs that are kept"
        raise UsageError(f"{job.name}: there is no run {number}", hint=hint)
    return run


def _candidates(state: State) -> Iterator[Run]:
    """Runs that changed something, the latest first, without undos and what they took back."""
    undone: set[str] = set()
    for run in state.ledger.runs():
        word, _, other = run.trigger.partition(" ")
        if word == TRIGGER:
            undone |= {other} if run.result == UNDONE else set()
        elif str(run.id) not in undone and _changed(state, run):
            yield run


def _changed(state: State, run: Run) -> bool:
    rows = state.ledger.history(run.id)
    return any(r.result == "done" and r.action.startswith(_CHANGING) for r in rows)


def _todo(opened: OpenJob, run: Run) -> list[UndoStep]:
    """The steps, each with what is known to stand in its way."""
    ledger = opened.state.ledger
    later, own = _later(ledger.runs(), run)
    folders = opened.stores.folders
    past = Past(
        rows=ledger.history(run.id),
        kept={(side, one.path): one for side in folders for one in _kept(folders[side], run)},
        folders=frozenset(folders),
        later=frozenset(p for r in later for h in ledger.history(r.id) for p in (h.path, h.other)),
        undone=[row for r in reversed(own) for row in ledger.history(r.id) if row.result == "done"],
    )
    return list(undo_steps.steps(past))


def _later(runs: Sequence[Run], run: Run) -> tuple[list[Run], list[Run]]:
    """What came after a run: runs whose effect stands, and undos of this very run, the latest first."""
    standing: list[Run] = []
    own: list[Run] = []
    undone: set[str] = set()
    for one in runs:
        if one.id <= run.id:
            break
        word, _, other = one.trigger.partition(" ")
        if word == TRIGGER and other == str(run.id):
            own.append(one)
        elif word == TRIGGER and one.result == UNDONE and str(one.id) not in undone:
            undone.add(other)  # these two come to nothing
        elif str(one.id) not in undone:
            standing.append(one)
    return standing, own


def _kept(folder: FolderStore, run: Run) -> Iterator[Kept]:
    """What the run took away, the first of two things at one path last.

    Numbers begin anew where a database was lost: the time has to fit as well.
    """
    end = run.ended_ns if run.ended_ns is not None else 1 << 63
    found = [
        thing.kept
        for thing in folder.trashed()
        if thing.run == str(run.id) and run.started_ns - _SECOND_NS <= thing.taken_ns <= end + _SECOND_NS
    ]
    return iter(sorted(found, key=lambda kept: _generation(kept.batch), reverse=True))


def _generation(batch: str) -> int:
    number = batch.partition("~")[2]
    return int(number) if number.isdecimal() else 1


def _notes(state: State, run: Run) -> tuple[str, ...]:
    rows = [r for r in state.ledger.history(run.id) if r.result == "done"]
    notes = []
    both = sum(r.action == "keep-both" for r in rows)
    if both:
        notes.append(f"{both} kept both contents: nothing was taken away (syncer conflicts resolve)")
    counted = run.totals.uploaded + run.totals.downloaded + run.totals.deleted + run.totals.moved
    if counted > sum(r.action.startswith((*_CHANGING, "keep-both")) for r in rows):
        notes.append("the history of this run is not whole any more; what it does not name stays")
    return tuple(notes)


# Doing it


def _carried_out(opened: OpenJob, todo: Sequence[UndoStep], own: int) -> Iterator[UndoResult]:
    """The steps in groups; each is in the history before the next begins."""
    memory, ledger = opened.state.memory, opened.state.ledger
    touched = {split(path)[0] for step in todo for path in (step.path, step.origin) if path}
    memory.set_fingerprints((directory, None, None) for directory in sorted(touched))
    for _, members in groupby(todo, key=lambda step: (step.what, step.side, bool(step.obstacle))):
        group = list(members)
        opened.pair.reporter.scanning(0)  # may stop here
        if group[0].obstacle:
            ended = [(step, Ended(Stale(message=step.obstacle))) for step in group]
        else:
            ended = UndoExecutor(opened.stores.folders[group[0].side], memory).do(group)
        rows = [
            undo_steps.row_of(step, replaced=e.replaced, digest=e.digest) for step, e in ended if e.changed
        ]
        ledger.add_history(own, rows)
        yield from (_taken(step, e) for step, e in ended)


def _taken(step: UndoStep, ended: Ended) -> UndoResult:
    failure = results.message_of(ended.outcome)
    return UndoResult(
        step=step, failure=failure, again=bool(failure) and not isinstance(ended.outcome, Stale)
    )


def _totals(taken: Sequence[UndoResult]) -> Totals:
    done = [t.step for t in taken if not t.failure]
    back = [step for step in done if step.what is What.PUT_BACK]
    return Totals(
        uploaded=sum(step.side is Side.REMOTE for step in back),
        downloaded=sum(step.side is Side.LOCAL for step in back),
        deleted=sum(step.what in (What.REMOVE, What.UNMAKE) for step in done),
        moved=sum(step.what is What.RENAME for step in done),
    )
