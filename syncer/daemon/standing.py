"""How a daemon's jobs stand, as values, for `status`, the metrics and systemd's status line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

AHEAD = 60.0
"""Seconds by which a last success may lie in the future: clocks are set right by small steps all the time."""


class Phase(Enum):
    """What a job of the daemon does at the moment."""

    STARTING = "starting"  # nothing ran yet
    IDLE = "idle"  # waits for something to happen
    GATHERING = "gathering"  # something happened; waits for quiet
    RUNNING = "running"
    BACKING_OFF = "backing-off"  # the last run failed; the next one comes by itself
    HELD = "held"  # a guard refused; looked at again at every interval
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. `files` and `size` are 0 as long as it only looks."""

    directories: int = 0  # looked at
    files: int = 0
    files_done: int = 0
    size: int = 0  # bytes that will cross
    size_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Since the daemon began."""

    runs: int = 0
    full_runs: int = 0
    failed_runs: int = 0
    uploaded: int = 0
    downloaded: int = 0
    deleted: int = 0
    moved: int = 0
    conflicts: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0  # spent in runs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """One job. Times are seconds since 1970, None for never."""

    job: str
    phase: Phase = Phase.STARTING
    since: float = 0.0  # when the phase began
    progress: Progress | None = None  # of the run that goes on
    waiting: int = 0  # places that will be looked at
    retries: tuple[str, ...] = ()  # paths that are tried again later
    next_run: float | None = None  # when, if nothing happens before
    last_success: float | None = None  # everything was looked at, by a full run or by events since one
    last_full: float | None = None
    last_exit: int | None = None  # of the last run
    message: str = ""  # why it is not well
    hint: str = ""
    problems: int = 0
    conflicts: int = 0  # open ones
    held: int = 0  # deletions that a guard keeps back
    local_watch: str = ""  # events, events and interval, polling, off, gone
    remote_watch: str = ""  # as above, or feed, probe, interval
    notes: tuple[str, ...] = ()  # said once, such as a remedy for too few watches
    max_age: float | None = None  # seconds
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStanding:
    """The whole daemon."""

    pid: int
    started: float
    version: str
    config: str
    jobs: tuple[JobStanding, ...] = ()
