"""An opened job: the options of a run, the environment, the state directory, both stores as a context.

Shared by all ways to open a job (`jobs.looking`, `jobs.holding`, `runner`). Nothing is run here.
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
    """A job with its state database and both stores open."""

    settings: JobSettings
    place: PairDirectory
    state: State
    stores: factory.Stores
    pair: sync.SyncContext


def host_name() -> str:
    """The host name in the names of conflict copies."""
    return socket.gethostname().partition(".")[0] or "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What all jobs share: the settings, the reporter, the clocks and the host name."""

    settings: Settings
    reporter: Reporter
    clock: Clock = field(default_factory=SystemClock)
    uptime: Callable[[], Uptime] = uptime  # of this machine, by a clock that nobody can set
    host: str = field(default_factory=host_name)


def prepared(settings: Settings, job: JobSettings) -> PairDirectory:
    """Check a job before anything is opened, and find its state directory. Raises ConfigError."""
    overlap.check_pair(settings, job)
    factory.check_known(settings, job)
    place = place_of(settings, job)
    if not place.known and not os.path.isdir(job.local):
        reason = "is not a folder" if os.path.lexists(job.local) else "does not exist"
        raise ConfigError(
            f"{settings.where(job, 'local')}: the local folder {job.local} {reason}",
            hint="make the folder, or name the right one; Syncer never makes the local root",
        )
    return place


def opened(
    world: Environment,
    job: JobSettings,
    options: RunOptions,
    place: PairDirectory,
    state: State,
    stores: factory.Stores,
) -> OpenJob:
    """The opened job: its parts and the sync context made of them."""
    pair = sync.SyncContext(
        local=stores.local,
        remote=stores.remote,
        memory=state.memory,
        policy=replace(policy_of(job, options), host=world.host),
        clock=world.clock,
        reporter=world.reporter,
        compiler=compile_rules,
        choice=options.choice,
    )
    return OpenJob(settings=job, place=place, state=state, stores=stores, pair=pair)


def policy_of(job: JobSettings, options: RunOptions) -> Policy:
    """The policy for the engine, from the settings of the job and the options of the run."""
    return Policy(
        conflict=job.conflict,
        mode=job.mode,
        max_delete=options.max_delete or job.max_delete,
        ignore=job.ignore,
        full=options.full,
        allow_deletes=options.yes,
        settle_ns=int(job.settle * 1e9) if options.settles or options.choice is everything else 0,
        accepted=options.max_delete.count if options.max_delete else None,
        host=host_name(),
    )


def names(job: JobSettings) -> Mapping[Side, str]:
    """How messages name either root."""
    return {Side.LOCAL: str(job.local), Side.REMOTE: str(job.remote.folder or job.remote)}


def note(state: State) -> tuple[str, ...]:
    """The note that opening the database left, if any: a migration, a database set aside."""
    return (state.note,) if state.note else ()
