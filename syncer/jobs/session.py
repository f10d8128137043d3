"""What every way of opening a job shares: what is asked of it, its place, its two stores as a pair.

Nothing is run here, and nothing is decided about files.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from syncer.clock import SystemClock, Uptime, uptime
from syncer.config import JobSettings, Settings
from syncer.engine import sync
from syncer.engine.gitignore import compile_rules
from syncer.engine.interfaces import Clock, Reporter
from syncer.engine.model import MaxDelete, Policy, Side
from syncer.engine.selection import Choice, everything
from syncer.errors import ConfigError
from syncer.jobs import factory, overlap
from syncer.jobs.state_dir import PairDirectory, place_of
from syncer.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What one run is asked for beyond the settings of its job."""

    max_delete: MaxDelete | None = None
    yes: bool = False
    full: bool = False
    trigger: str = "manual"
    choice: Choice = everything  # which actions of the plan are done
    settles: bool = False  # a run with a choice, too, leaves files out that are younger than `settle`
    patient: bool = False  # wait at the end for files that may still be being written


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job with everything open: to look at, or to run."""

    settings: JobSettings
    place: PairDirectory
    state: State
    stores: factory.Stores
    pair: sync.SyncContext


def host_name() -> str:
    """What this machine's conflict copies are called after."""
    return socket.gethostname().partition(".")[0] or "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What every job needs from outside."""

    settings: Settings
    reporter: Reporter
    clock: Clock = field(default_factory=SystemClock)
    uptime: Callable[[], Uptime] = uptime  # of this machine, by a clock that cannot be set
    host: str = field(default_factory=host_name)


def prepared(settings: Settings, job: JobSettings) -> PairDirectory:
    """Everything about a job that can be found wrong before anything is opened. Raises ConfigError."""
    overlap.check_pair(settings, job)
    factory.check_known(settings, job)
    place = place_of(settings, job)
    if not place.known and not os.path.isdir(job.local):
        told = "is not a folder" if os.path.lexists(job.local) else "does not exist"
        raise ConfigError(
            f"{settings.where(job, 'local')}: the local folder {job.local} {told}",
            hint="make the folder, or name the right one; Syncer never makes the local root",
        )
    return place


def opened(
    world: Environment,
    job: JobSettings,
    wish: RunOptions,
    place: PairDirectory,
    state: State,
    stores: factory.Stores,
) -> OpenJob:
    """Everything put together."""
    pair = sync.SyncContext(
        local=stores.local,
        remote=stores.remote,
        memory=state.memory,
        policy=replace(policy_of(job, wish), host=world.host),
        clock=world.clock,
        reporter=world.reporter,
        compiler=compile_rules,
        choice=wish.choice,
    )
    return OpenJob(settings=job, place=place, state=state, stores=stores, pair=pair)


def policy_of(job: JobSettings, wish: RunOptions) -> Policy:
    """What the job and this run ask of the engine."""
    return Policy(
        conflict=job.conflict,
        mode=job.mode,
        max_delete=wish.max_delete or job.max_delete,
        ignore=job.ignore,
        full=wish.full,
        allow_deletes=wish.yes,
        settle_ns=int(job.settle * 1e9) if wish.settles or wish.choice is everything else 0,
        accepted=wish.max_delete.count if wish.max_delete else None,
        host=host_name(),
    )


def names(job: JobSettings) -> Mapping[Side, str]:
    """What to call either root in a message."""
    return {Side.LOCAL: str(job.local), Side.REMOTE: str(job.remote.folder or job.remote)}


def note(state: State) -> tuple[str, ...]:
    """What opening the database has to say."""
    return (state.note,) if state.note else ()
