"""The Python API: `sync()`, `Job`, `Daemon`, `load_config` and the frozen values that they return.

A `Job` is a pair of roots with its settings, the same as a table `[jobs.NAME]` of the config file. What goes
wrong with single paths is a value in the report; what ends a run is raised as a subclass of `SyncError`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from syncer.config import JobSettings, Location, Settings, load
from syncer.config.paths import absolute
from syncer.engine.model import Action, Failed, MaxDelete, Outcome, Problem, Side
from syncer.engine.report import (
    ActionReport,
    CheckDifference,
    ConflictReport,
    Explanation,
    Hold,
    Plan,
    RunReport,
    Totals,
)
from syncer.engine.selection import Choice, everything, pick
from syncer.errors import ConfigError, UsageError
from syncer.formatting import parse_max_delete
from syncer.jobs import Environment, RunOptions, overlap, results, saved_plan, user_paths
from syncer.jobs.results import JobResult
from syncer.jobs.runner import Runner
from syncer.jobs.saved_plan import SavedAction
from syncer.jobs.undo import UndoReport
from syncer.state import HistoryEntry, OpenConflict, Run

StrPath = str | os.PathLike[str]
ProgressCallback = Callable[["Progress"], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One action of a plan, in the words of `--json`.

    `action` is upload, download, delete-local, delete-remote, move-local, move-remote, mkdir-local,
    mkdir-remote, keep-both, adopt or forget. `path` is relative to the roots, with "/" between its parts.
    `reason` says why, such as "local-changed". `size` is in bytes, 0 for what has no content. `other` is the
    second path: where a move comes from, or the conflict copy of keep-both. `expects` identifies what the
    action was planned on; two actions with the same text are the same.
    """

    action: str
    path: str
    reason: str
    size: int = 0
    other: str = ""
    expects: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPlan:
    """What a run would do, in the order in which it would do it: an iterable of its actions."""

    actions: tuple[PlannedAction, ...] = ()
    conflicts: tuple[ConflictReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    holds: tuple[Hold, ...] = ()  # deletions that a guard would hold back
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[PlannedAction]:
        return iter(self.actions)

    def __len__(self) -> int:
        return len(self.actions)

    def select(self, where: Callable[[PlannedAction], bool]) -> SyncPlan:
        """The plan with those of its actions for which `where` is true; `Job.sync` runs it."""
        return replace(self, actions=tuple(filter(where, self.actions)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """One action and how it ended.

    `result` is done, stale (a side changed meanwhile, nothing was done), failed or skipped; `message` says
    why it is not done and `code` names the error. `sent` and `received` are the bytes that crossed the wire.
    """

    action: PlannedAction
    result: str
    method: str = "none"
    sent: int = 0
    received: int = 0
    message: str = ""
    code: str = ""

    @property
    def done(self) -> bool:
        return self.result == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a run did.

    `run` is the number under which the history keeps it. `result` is in-sync, applied (a part of the plan, as
    asked), attention (conflicts or skipped items wait for a person), incomplete (running again may help) or
    held (a guard held deletions back).
    """

    run: int
    result: str
    actions: tuple[ActionResult, ...] = ()
    conflicts: tuple[ConflictReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    holds: tuple[Hold, ...] = ()
    totals: Totals = field(default_factory=Totals)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is done and nothing waits for a person."""
        return self.result in ("in-sync", "applied")

    @property
    def failures(self) -> tuple[ActionResult, ...]:
        """The actions that were not done."""
        return tuple(result for result in self.actions if not result.done)

    @property
    def uploaded(self) -> int:
        """How many files went to the remote."""
        return self.totals.uploaded

    @property
    def downloaded(self) -> int:
        """How many files came from the remote."""
        return self.totals.downloaded

    @property
    def deleted(self) -> int:
        """How many names were deleted, on both sides together."""
        return self.totals.deleted

    @property
    def moved(self) -> int:
        """How many names were renamed, on both sides together."""
        return self.totals.moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: sizes in bytes, `files` and `size` are those that the plan transfers.

    `finished` is the action that just ended, None where the event is about something else.
    """

    stage: Literal["scanning", "transferring"]
    directories: int = 0  # scanned so far
    files: int = 0
    size: int = 0
    transferred: int = 0  # bytes so far, in both directions
    finished: ActionResult | None = None


def load_config(path: StrPath | None = None) -> Settings:
    """The settings of a config file; without a path those of the default one, which need not exist.

    Raises ConfigError with a line for each thing that is wrong.
    """
    return load(None if path is None else Path(path))


def sync(
    local: StrPath,
    remote: StrPath,
    *,
    config: Settings | None = None,
    on_progress: ProgressCallback | None = None,
    **settings: Any,
) -> SyncReport:
    """Bring a folder and a remote in step, once.

    `remote` is `ACCOUNT:PATH` with an account of the config, `local:/some/folder`, or a path. The keywords
    are those of `Job`. Raises what `Job.sync` raises.
    """
    with Job(local, remote, config=config, **settings) as job:
        return job.sync(on_progress=on_progress)


class Job:
    """A pair of roots with its settings. A context manager: between runs it keeps its connections open.

    For one thread at a time; several jobs may run in several threads.
    """

    def __init__(
        self,
        local: StrPath,
        remote: StrPath | Location,
        *,
        config: Settings | None = None,
        state_dir: StrPath | None = None,
        name: str = "",
        **settings: Any,
    ) -> None:
        """Nothing is opened yet.

        `config` has the accounts and the state directory; without one the default config file is read.
        `state_dir` overrides where the state database and the trash are. `settings` are the keys of a job in
        the config file, as they are written there: `conflict="newer"`, `mode="push"`, `ignore=["*.tmp"]`,
        `settle="2s"`, `max_delete="50%"`, `trash_days=30`, `upload_limit="4M"` and so on.

        Raises ConfigError.
        """
        config = load() if config is None else config
        if state_dir is not None:
            config = replace(config, state_dir=_absolute("state_dir", state_dir))
        folder, place = _absolute("local", local), _location(remote)
        name = name or f"{local} <-> {remote}"
        if settings:
            from syncer.config.parser import job_settings  # loads pydantic

            table = {"local": folder, "remote": place, **settings}
            job = job_settings(name, table, Path.cwd())
        else:
            job = JobSettings(name=name, local=folder, remote=place)
        self._open(config, job)

    @classmethod
    def from_config(cls, name: str, config: Settings | None = None) -> Self:
        """The job of that name in a config file. Raises ConfigError."""
        config = load() if config is None else config
        found = config.job(name)
        overlap.check(config, config.jobs.values())
        job = cls.__new__(cls)
        job._open(config, found)
        return job

    def _open(self, config: Settings, job: JobSettings) -> None:
        self._config = config
        self._job = job
        self._runner = Runner(self._world(None), job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the state database and the connection to the service; the next call opens them again."""
        self._runner.close()

    @property
    def name(self) -> str:
        return self._job.name

    @property
    def settings(self) -> JobSettings:
        """The settings of the job, checked, with all defaults."""
        return self._job

    def plan(self, *, full: bool = False) -> SyncPlan:
        """What `sync` would do; nothing is changed on either side.

        `full`: trust no time stamp, hash every file. Raises Busy, GuardError, ConfigError, StateError,
        StoreError, AuthError.
        """
        from syncer import jobs

        found = _raised(jobs.plan(self._world(None), self._job, RunOptions(full=full)))
        plan = found.plan or Plan()
        return SyncPlan(
            actions=tuple(_planned(action) for action in plan.actions if results.loud(action)),
            conflicts=plan.conflicts,
            problems=(*plan.missed, *plan.problems),
            holds=plan.holds,
            notes=found.notes,
        )

    def sync(
        self,
        plan: SyncPlan | None = None,
        *,
        where: Callable[[PlannedAction], bool] | None = None,
        on_progress: ProgressCallback | None = None,
        allow_deletes: bool = False,
        max_delete: int | str | None = None,
        accept_roots: bool = False,
        full: bool = False,
        wait: bool = True,
    ) -> SyncReport:
        """One run.

        `plan`: do the actions of this plan and no others; each is checked again against what it was planned
        on, and one that no longer fits is reported as a problem with the code `stale`. `where`: do only the
        actions for which it is true; the others wait for a later run. `max_delete` (a count, or "50%") and
        `allow_deletes` (all) let deletions through that a guard would hold back, and `accept_roots` a root
        that was emptied or replaced. `full`: trust no time stamp, hash every file. `wait`: sync files that
        were younger than `settle` at the end, when they are old enough; else they wait for a later run.

        `on_progress` is called with a `Progress`, perhaps from several threads. An exception that it raises
        ends the run between two steps; the state stays consistent.

        Raises Busy, GuardError, ConfigError, StateError, StoreError, AuthError, LocalError.
        """
        options = RunOptions(
            max_delete=_limit(max_delete, allow_deletes),
            yes=accept_roots,
            full=full,
            choice=_choice(plan, where),
            settles=plan is None,
            patient=wait,
        )
        result = _raised(self._runner.run(options, reporter=_ProgressReporter(on_progress)))
        report = result.report or RunReport()
        return SyncReport(
            run=result.run,
            result=report.result,
            actions=tuple(_result(a.action, a.outcome) for a in _loud(report.actions)),
            conflicts=report.conflicts,
            problems=(*report.missed, *report.problems),
            holds=report.holds,
            totals=results.totals(report),
            notes=result.notes,
        )

    def explain(self, path: StrPath) -> Explanation:
        """The base, local and remote state of one path, the rule that applies, and what a run would do.

        `path` is absolute, relative to the working directory, or relative to the roots. Raises UsageError for
        a path outside both roots, and what `plan` raises.
        """
        from syncer import jobs

        return jobs.explain(self._world(None), self._job, user_paths.checked(self._job, os.fspath(path)))

    def check(self) -> Iterator[CheckDifference]:
        """The paths whose content differs, hashed on both sides. Raises what `plan` raises."""
        from syncer import jobs

        return jobs.check(self._world(None), self._job)

    def conflicts(self) -> tuple[OpenConflict, ...]:
        """The conflicts that nobody has settled yet. Raises StateError."""
        from syncer import jobs

        with jobs.view(self._config, self._job) as state:
            return state.ledger.conflicts()

    def resolve(self, path: StrPath, *, take: Literal["local", "remote", "both"]) -> bool:
        """Settle the open conflict at a path; the next run carries the decision to the other side.

        True if it is settled; False if the conflict stays open, because a file was edited since. Raises
        UsageError if there is no conflict at the path, and what `plan` raises.
        """
        from syncer.jobs import conflicts

        if take not in ("local", "remote", "both"):
            raise UsageError(f"take={take!r} is not known; one of local, remote, both")
        paths = user_paths.checked(self._job, os.fspath(path))
        found = conflicts.resolve(self._world(None), self._job, paths, take)
        if not found:
            raise UsageError(f"there is no open conflict at {os.fspath(path)}")
        return all(outcome.settled for outcome in found)

    def history(self, limit: int = 20) -> tuple[Run, ...]:
        """The latest runs, newest first, with their totals. Raises StateError."""
        from syncer import jobs

        with jobs.view(self._config, self._job) as state:
            return state.ledger.runs(limit)

    def actions(self, run: int) -> tuple[HistoryEntry, ...]:
        """What one run of the history did. Raises StateError."""
        from syncer import jobs

        with jobs.view(self._config, self._job) as state:
            return state.ledger.history(run)

    def undo(self, run: int | None = None, *, preview: bool = False) -> UndoReport:
        """Take a run back, the last one that did anything if none is named; the next run carries it over.

        `preview`: only say what would be done. Raises UsageError if there is no such run, and what `sync`
        raises.
        """
        from syncer.jobs import undo

        self._runner.close()  # an undo takes the lock of the job and opens the database itself
        act = undo.preview if preview else undo.undo
        return act(self._world(None), self._job, run)

    def _world(self, on_progress: ProgressCallback | None) -> Environment:
        return Environment(settings=self._config, reporter=_ProgressReporter(on_progress))


class Daemon:
    """Keeps the jobs of a config in step, woken by changes on either side: what `syncer daemon` runs."""

    def __init__(self, config: Settings, jobs: Sequence[str] = ()) -> None:
        """`jobs` are names of the config; all jobs for none. Raises ConfigError."""
        self._config = config
        self._jobs = tuple(config.job(name) for name in jobs) or tuple(config.jobs.values())
        if not self._jobs:
            raise ConfigError(f"{config.origin}: there are no jobs", hint="write a [jobs.NAME] table")
        overlap.check(config, config.jobs.values())

    def run(self, *, on_ready: Callable[[str], None] | None = None) -> int:
        """Run until `stop` or a signal; 0, or the number of the signal.

        `on_ready` is called with the path of the control socket once every job is watched. In the main thread
        SIGINT, SIGTERM and SIGHUP are handled while it runs. Raises ConfigError, StateError, and Busy if a
        daemon runs already for this state directory.
        """
        from syncer.daemon.supervisor import serve

        code = serve(lambda: (self._config, self._jobs), started=on_ready or (lambda socket: None))
        return code - 128 if code > 128 else code

    def stop(self) -> bool:
        """Ask the daemon of this state directory to end, from any thread or process; False if none runs."""
        from syncer.daemon.client import connect

        client = connect(self._config.state_dir)
        if client is None:
            return False
        client.stop()
        return True


def _absolute(key: str, path: StrPath) -> Path:
    try:
        return absolute(os.fspath(path).removeprefix("local:"))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def _location(remote: StrPath | Location) -> Location:
    """The remote root; a path without an account is a folder of this machine."""
    if isinstance(remote, Location):
        return remote
    text = os.fspath(remote)
    if not isinstance(remote, str) or ":" not in text.partition("/")[0]:
        text = f"local:{text}"
    try:
        return Location.parse(text, expand=False)
    except ValueError as error:
        raise ConfigError(f"remote: {error}") from None


def _limit(max_delete: int | str | None, allow_deletes: bool) -> MaxDelete | None:
    if allow_deletes:
        return MaxDelete(share=None, count=1 << 62)
    try:
        return None if max_delete is None else parse_max_delete(max_delete)
    except ValueError as error:
        raise UsageError(f"max_delete: {error}") from None


def _choice(plan: SyncPlan | None, where: Callable[[PlannedAction], bool] | None) -> Choice:
    if plan is not None:
        actions = plan.actions if where is None else filter(where, plan.actions)
        return saved_plan.choice_of(
            SavedAction(action=a.action, path=a.path, expects=a.expects) for a in actions
        )
    if where is None:
        return everything
    return lambda actions: pick(actions, lambda a: not results.loud(a) or where(_planned(a)))


def _raised(result: JobResult) -> JobResult:
    if result.error is not None:
        raise result.error
    return result


def _planned(action: Action) -> PlannedAction:
    return PlannedAction(
        action=results.name_of(action),
        path=action.path,
        reason=action.reason.value,
        size=results.size_of(action),
        other=results.other_path(action),
        expects=saved_plan.expects(action),
    )


def _loud(reports: Sequence[ActionReport]) -> Iterator[ActionReport]:
    return (report for report in reports if results.loud(report.action))


def _result(action: Action, outcome: Outcome) -> ActionResult:
    sent, received = results.crossed(outcome)
    method = getattr(outcome, "method", None)
    return ActionResult(
        action=_planned(action),
        result=results.result_of(outcome),
        method=method.value if method is not None else "none",
        sent=sent,
        received=received,
        message=results.message_of(outcome),
        code=outcome.error.code if isinstance(outcome, Failed) else "",
    )


class _ProgressReporter:
    """Passes the events of a run to a callback as `Progress` values (`engine.interfaces.Reporter`)."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._now = Progress(stage="scanning")
        self._lock = threading.Lock()  # transfers report from several threads

    def scanning(self, directories: int) -> None:
        self._report(directories=directories)

    def transferring(self, files: int, size: int) -> None:
        self._report(stage="transferring", files=files, size=size)

    def finished(self, action: Action, outcome: Outcome) -> None:
        if self._callback is not None and results.loud(action):
            self._report(finished=_result(action, outcome))

    def moved(self, side: Side, size: int) -> None:
        with self._lock:
            self._now = replace(self._now, transferred=self._now.transferred + size)
        self._report()

    def _report(self, *, finished: ActionResult | None = None, **changes: Any) -> None:
        with self._lock:
            self._now = replace(self._now, **changes)
            event = replace(self._now, finished=finished)
        if self._callback is not None:
            self._callback(event)
