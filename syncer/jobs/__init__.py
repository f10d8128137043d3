"""The composition root: settings to a job that can be synced, planned, explained, checked.

Puts together the lock, the state database, the two stores and the policy, calls the
engine, and writes down afterwards what happened. Decides nothing about files.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from syncer.clock import SystemClock
from syncer.config import JobSettings, Settings
from syncer.engine import check as checking
from syncer.engine import cycle
from syncer.engine import explain as explaining
from syncer.engine.model import MaxDelete, Policy, RelPath, Side
from syncer.engine.ports import Clock, Reporter
from syncer.engine.report import Difference, Explanation, RunReport
from syncer.errors import ConfigError, LocalError, StateError, StoreError, SyncerError
from syncer.ignore import compile_rules
from syncer.jobs import admission, bookkeeping, building, choices, placement
from syncer.jobs.pairs import Place, place_of
from syncer.jobs.results import JobResult
from syncer.state import (
    ConflictSide,
    Damaged,
    HistoryEntry,
    OpenConflict,
    PairLock,
    Run,
    State,
    open_state,
    set_aside,
    view_state,
)

_DAY_NS = 86_400 * 1_000_000_000
chosen = choices.chosen
held = bookkeeping.held

__all__ = [
    "ConflictSide",
    "HistoryEntry",
    "OpenConflict",
    "OpenJob",
    "Run",
    "State",
    "SystemClock",
    "Wish",
    "World",
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
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of one run beyond its job's settings."""

    max_delete: MaxDelete | None = None
    yes: bool = False
    full: bool = False
    trigger: str = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job with everything open: to look at, or to run."""

    settings: JobSettings
    place: Place
    state: State
    stores: building.Stores
    pair: cycle.Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What every job needs from outside."""

    settings: Settings
    reporter: Reporter
    clock: Clock = field(default_factory=SystemClock)


def sync(world: World, job: JobSettings, wish: Wish) -> JobResult:
    """One run of one job. Errors are in the result; nothing is raised but bugs and signals' Interrupted."""
    notes: list[str] = []
    try:
        place = _prepared(world.settings, job)
        with PairLock.acquire(place.directory):
            for _ in range(2):
                try:
                    return _run(world, job, wish, place, notes)
                except Damaged as damage:
                    notes.append(set_aside(place.directory, damage.message, now_ns=world.clock.now_ns))
            raise StateError(f"the state database in {place.directory} is damaged again and again")
    except SyncerError as error:
        return JobResult(job=job.name, error=error, notes=tuple(notes))


def plan(world: World, job: JobSettings, wish: Wish) -> JobResult:
    """What `sync` would do; changes nothing on either side nor in the memory."""
    try:
        with looking(world, job, wish) as opened:
            return JobResult(job=job.name, plan=cycle.survey(opened.pair), notes=_note(opened.state))
    except SyncerError as error:
        return JobResult(job=job.name, error=error)


def explain(world: World, job: JobSettings, path: RelPath) -> Explanation:
    """What is known of one path. Raises what `looking` raises."""
    with looking(world, job, Wish()) as opened:
        return explaining.explain(opened.pair, path)


def check(world: World, job: JobSettings) -> Iterator[Difference]:
    """Differences by content, as they are found. Raises what `looking` raises."""
    with looking(world, job, Wish()) as opened:
        yield from checking.check(opened.pair)


@contextmanager
def looking(world: World, job: JobSettings, wish: Wish) -> Iterator[OpenJob]:
    """A job opened for looking: both roots are the right ones, nothing will be written.

    Raises Busy, GuardTripped, ConfigError, StateError, StoreError.
    """
    place = _prepared(world.settings, job)
    with ExitStack() as stack:
        if place.known:
            stack.enter_context(PairLock.acquire(place.directory))
        state = stack.enter_context(view_state(place.directory))
        stores = stack.enter_context(building.stores(world.settings, job, place, clock=world.clock))
        refusals = admission.refused(state.memory, stores.local, stores.remote, names=_names(job))
        if refusals and not (wish.yes and admission.acceptable(refusals)):
            raise refusals[0]
        if refusals:  # accepted with --yes: as if nothing were known
            state = stack.enter_context(view_state(place.directory / "nothing"))
        if refusals is None:
            stores = building.first_look(stores, str(job.remote))
        yield _opened(world, job, wish, place, state, stores)


@contextmanager
def holding(world: World, job: JobSettings, wish: Wish) -> Iterator[OpenJob]:
    """A job opened for small changes by hand (resolve, trash): locked, its roots the right ones.

    Raises what `looking` raises.
    """
    place = _prepared(world.settings, job)
    with (
        PairLock.acquire(place.directory),
        open_state(place.directory, now_ns=world.clock.now_ns) as state,
        building.stores(world.settings, job, place, clock=world.clock, run="hand") as stores,
    ):
        for refusal in admission.refused(state.memory, stores.local, stores.remote, names=_names(job)) or ():
            raise refusal
        yield _opened(world, job, wish, place, state, stores)


def view(settings: Settings, job: JobSettings) -> State:
    """The state of a job for looking at it, without lock, also while a run goes on. Raises StateError."""
    return view_state(place_of(settings, job).directory)


def _prepared(settings: Settings, job: JobSettings) -> Place:
    """Everything about a job that can be found wrong before anything is opened. Raises ConfigError."""
    placement.check_pair(settings, job)
    building.check_known(settings, job)
    place = place_of(settings, job)
    if not place.known and not os.path.isdir(job.local):
        told = "is not a folder" if os.path.lexists(job.local) else "does not exist"
        raise ConfigError(
            f"{settings.where(job, 'local')}: the local folder {job.local} {told}",
            hint="make the folder, or name the right one; Syncer never makes the local root",
        )
    return place


def _run(world: World, job: JobSettings, wish: Wish, place: Place, notes: list[str]) -> JobResult:
    with open_state(place.directory, now_ns=world.clock.now_ns) as state:
        notes += _note(state)
        number = state.ledger.start_run(wish.trigger)
        heard = bookkeeping.Hearing(world.reporter)
        try:
            report = _cycle(replace(world, reporter=heard), job, wish, place, state, number, notes)
            result = JobResult(job=job.name, run=number, report=report, notes=tuple(notes))
        except Damaged:
            raise
        except SyncerError as error:
            done = heard.so_far()
            result = JobResult(job=job.name, run=number, report=done, error=error, notes=tuple(notes))
        _close(state, number, result)
        return result


def _close(state: State, number: int, result: JobResult) -> None:
    """End the run in the ledger; where the ledger itself is the trouble, the result says so already."""
    try:
        if result.error:
            bookkeeping.record_broken_off(state.ledger, number, result.report)
        bookkeeping.close(state.ledger, number, result)
    except Damaged:
        raise
    except StateError:
        if not result.error:
            raise


def _cycle(
    world: World, job: JobSettings, wish: Wish, place: Place, state: State, number: int, notes: list[str]
) -> RunReport:
    with building.stores(world.settings, job, place, clock=world.clock, run=str(number)) as stores:
        admission.admit(state.memory, stores.local, stores.remote, names=_names(job), accept=wish.yes)
        decided = choices.collect(state.memory, state.ledger.conflicts(), stores.local, stores.remote)
        notes += [f"{path} changed after it was resolved: choose again" for path in decided.void]
        opened = _opened(world, job, wish, place, state, stores)
        policy = replace(opened.pair.policy, choices=decided.valid)
        report = cycle.run(replace(opened.pair, policy=policy))
        choices.forget(state.memory, [*decided.valid, *decided.void])
        told = bookkeeping.record(
            state.ledger,
            number,
            report,
            now_ns=world.clock.now_ns(),
            stores=(stores.local, stores.remote),
            chosen=decided.valid,
        )
        bookkeeping.remember_holds(state.memory, report.holds)
        if report.exit_code in (0, 1):
            notes += _prune(stores, job, world.clock)
        return told


def _prune(stores: building.Stores, job: JobSettings, clock: Clock) -> Iterator[str]:
    """Throw away what is older than `trash_days`; only a run that went well may do so."""
    oldest = clock.now_ns() - job.trash_days * _DAY_NS
    for side, folder in stores.folders.items():
        try:
            folder.empty_trash(older_than_ns=oldest)
        except (StoreError, LocalError) as error:
            yield f"the {side.value} trash was not pruned: {error.message}"


def _opened(
    world: World, job: JobSettings, wish: Wish, place: Place, state: State, stores: building.Stores
) -> OpenJob:
    pair = cycle.Pair(
        local=stores.local,
        remote=stores.remote,
        memory=state.memory,
        policy=policy_of(job, wish),
        clock=world.clock,
        reporter=world.reporter,
        compiler=compile_rules,
    )
    return OpenJob(settings=job, place=place, state=state, stores=stores, pair=pair)


def policy_of(job: JobSettings, wish: Wish) -> Policy:
    """What the job and this run ask of the engine."""
    return Policy(
        conflict=job.conflict,
        mode=job.mode,
        max_delete=wish.max_delete or job.max_delete,
        ignore=job.ignore,
        full=wish.full,
        allow_deletes=wish.yes,
        host=socket.gethostname().partition(".")[0] or "host",
    )


def _names(job: JobSettings) -> Mapping[Side, str]:
    return {Side.LOCAL: str(job.local), Side.REMOTE: str(job.remote.folder or job.remote)}


def _note(state: State) -> tuple[str, ...]:
    return (state.note,) if state.note else ()
