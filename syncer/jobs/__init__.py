"""Jobs: sync, plan, explain and check the pair of roots that a job of the config names.

This package is the composition root: it puts the lock, the state database, the two stores and the policy
together, calls the engine, and records the result. What happens to a file is decided by the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from syncer.clock import SystemClock
from syncer.config import JobSettings, Settings
from syncer.engine import check as checking
from syncer.engine import explain as explaining
from syncer.engine import sync as cycle
from syncer.engine.guards import remembered
from syncer.engine.interfaces import Store
from syncer.engine.model import RelPath, Side
from syncer.engine.paths import split
from syncer.engine.report import CheckDifference, Explanation, Plan
from syncer.errors import GuardTripped, SyncerError
from syncer.jobs import conflict_choices, factory, recording, root_identity, session
from syncer.jobs.results import JobResult
from syncer.jobs.runner import Runner, sync
from syncer.jobs.session import Environment, OpenJob, RunOptions, policy_of
from syncer.state import (
    ConflictSide,
    HistoryEntry,
    OpenConflict,
    PairLock,
    Run,
    State,
    open_state,
    root_log,
    view_state,
)

chosen = conflict_choices.chosen
held = recording.held
waiting_exit = recording.waiting_exit

__all__ = [
    "ConflictSide",
    "HistoryEntry",
    "OpenConflict",
    "OpenJob",
    "Run",
    "Runner",
    "State",
    "SystemClock",
    "RunOptions",
    "Environment",
    "check",
    "chosen",
    "explain",
    "held",
    "holding",
    "looking",
    "plan",
    "policy_of",
    "sync",
    "view",
    "waiting_exit",
]


def plan(world: Environment, job: JobSettings, options: RunOptions) -> JobResult:
    """Plan a run: what `sync` would do. Neither side nor the state is changed; errors are in the result."""
    try:
        with looking(world, job, options) as opened:
            ledger = opened.state.ledger
            with _remembering(world, opened) as pair:
                found, chosen_for = _without_chosen(opened, cycle.plan(pair))
            return JobResult(
                job=job.name,
                plan=found,
                notes=(*session.note(opened.state), *chosen_for),
                waits=3 if ledger.failures() else 0,
                kept=recording.kept_conflicts(ledger),
            )
    except SyncerError as error:
        return JobResult(job=job.name, error=error)


def _without_chosen(opened: OpenJob, found: Plan) -> tuple[Plan, list[str]]:
    """The plan without the conflicts that the user has resolved already, and a note on each of those."""
    takes = {c.path: chosen(opened.state.memory, c.path) for c in found.conflicts}
    conflicts = tuple(c for c in found.conflicts if not takes[c.path])
    notes = [f"{path}: {take} is chosen, the next sync applies it" for path, take in takes.items() if take]
    return replace(found, conflicts=conflicts), notes


def explain(world: Environment, job: JobSettings, candidates: Sequence[RelPath]) -> Explanation:
    """Explain one path: the first candidate that exists on a side, in the base or in the trash.

    Raises what `looking` raises.
    """
    with looking(world, job, RunOptions()) as opened, _remembering(world, opened) as pair:
        return explaining.explain(pair, _known(opened, candidates))


@contextmanager
def _remembering(world: Environment, opened: OpenJob) -> Iterator[cycle.SyncContext]:
    """The context with the log of what left its roots, as a run has it: an echo is planned as one."""
    known = {side: remembered(opened.state.memory, side).marker for side in Side}
    found = {side: known[side] or _marker(store) for side, store in opened.pair.stores.items()}
    with root_log.looking(world.settings.state_dir, opened.place.id, found, world.clock) as log:
        yield replace(opened.pair, echoes=log)


def _marker(store: Store) -> str:
    """The marker of a root, "" for none: a first run adopts the one that exists."""
    state = store.root()
    return state.marker if state is not None else ""


def _known(opened: OpenJob, candidates: Sequence[RelPath]) -> RelPath:
    """The first of the candidate paths that exists on a side, in the base or in the trash."""
    if len(candidates) == 1:
        return candidates[0]
    for path in candidates:
        directory, name = split(path)
        in_base = not path or name in opened.state.memory.rows(directory)
        if in_base or any(store.stat(path) is not None for store in opened.pair.stores.values()):
            return path
    kept = {thing.path for folder in opened.stores.folders.values() for thing in folder.trashed()}
    return next((path for path in candidates if path in kept), candidates[0])


def check(world: Environment, job: JobSettings) -> Iterator[CheckDifference]:
    """Compare both sides by content; yields each difference at once. Raises what `looking` raises."""
    with looking(world, job, RunOptions()) as opened:
        yield from checking.check(opened.pair)


@contextmanager
def looking(world: Environment, job: JobSettings, options: RunOptions) -> Iterator[OpenJob]:
    """Open a job read-only: both roots are identified, nothing will be written.

    Raises Busy, GuardTripped, ConfigError, StateError, StoreError.
    """
    place = session.prepared(world.settings, job)
    if not place.known:
        from syncer.jobs import relocation

        place = relocation.find(world.settings, job, world.clock) or place
    with ExitStack() as stack:
        if place.known:
            stack.enter_context(PairLock.acquire(place.directory))
        state = stack.enter_context(view_state(place.directory))
        stores = stack.enter_context(factory.stores(world.settings, job, place, clock=world.clock))
        refusals = _refused(job, state, stores)
        if refusals and not (options.yes and root_identity.acceptable(refusals)):
            raise refusals[0]
        if refusals:  # accepted with --yes: planned as a first run, with an empty base
            state = stack.enter_context(view_state(place.directory / "nothing"))
        if refusals or refusals is None:
            source = job.mode.source
            root_identity.check_first(stores.local, stores.remote, session.names(job), source=source)
            stores = factory.first_look(stores, str(job.remote))
        yield session.opened(world, job, options, place, state, stores)


def _refused(job: JobSettings, state: State, stores: factory.Stores) -> list[GuardTripped] | None:
    names, source = session.names(job), job.mode.source
    return root_identity.refused(state.memory, stores.local, stores.remote, names=names, source=source)


@contextmanager
def holding(world: Environment, job: JobSettings, options: RunOptions) -> Iterator[OpenJob]:
    """Open a job for changes by hand (resolve, restore): locked, both roots identified.

    Raises what `looking` raises.
    """
    from syncer.jobs import relocation

    place = session.prepared(world.settings, job)
    if not place.known:
        place = relocation.adopt(world.settings, job, world.clock) or place
    with (
        PairLock.acquire(place.directory),
        open_state(place.directory, now_ns=world.clock.now_ns) as state,
        factory.stores(world.settings, job, place, clock=world.clock, run="hand") as stores,
    ):
        refusals = _refused(job, state, stores)
        for refusal in refusals or ():
            raise refusal
        yield session.opened(world, job, options, place, state, stores)


def view(settings: Settings, job: JobSettings) -> State:
    """Open the state of a job read-only, without its lock, also during a run. Raises StateError."""
    from syncer.jobs import relocation

    return view_state(relocation.seen_from_here(settings, job).directory)
