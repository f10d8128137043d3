"""Job selection: which jobs the words of a command line name, from the config or as LOCAL REMOTE."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click

from syncer.cli.common import CliContext
from syncer.config import SETTLE, JobSettings, Location, Settings, check_own, choose
from syncer.config.paths import absolute
from syncer.engine.model import ConflictPolicy, Mode
from syncer.errors import ConfigError, UsageError
from syncer.formatting import near, parse_duration_or_none
from syncer.jobs import overlap

_F = TypeVar("_F", bound=Callable[..., Any])
_NO_JOBS = "write a [jobs.NAME] table (see config.example.toml), or call: syncer sync LOCAL REMOTE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Options of the command line for LOCAL REMOTE."""

    conflict: str | None = None
    mode: str | None = None
    ignore: tuple[str, ...] = ()
    settle: str | None = None

    @property
    def given(self) -> bool:
        return bool(self.conflict or self.mode or self.ignore or self.settle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The settings, and at least one job."""

    settings: Settings
    jobs: tuple[JobSettings, ...]


def select(session: CliContext, words: Sequence[str], options: PairOptions | None = None) -> Selection:
    """The jobs that the words name; all jobs for no words. Raises ConfigError, UsageError."""
    options = options or PairOptions()
    settings = session.settings()
    if is_pair(settings, words):
        return Selection(settings=settings, jobs=(pair(settings, words[0], words[1], options),))
    if options.given:
        raise UsageError(
            "--conflict, --mode, --ignore and --settle go with LOCAL REMOTE only",
            hint="a job's own settings stand in the config file",
        )
    if not words and not settings.jobs:
        raise ConfigError(f"{settings.origin}: there are no jobs", hint=_NO_JOBS)
    chosen = [settings.job(word) for word in dict.fromkeys(words)] if words else list(settings.jobs.values())
    overlap.check(settings, settings.jobs.values())
    return Selection(settings=settings, jobs=tuple(chosen))


def select_one(session: CliContext, words: Sequence[str]) -> Selection:
    """Exactly one job: the named one, or the only one of the config. Raises ConfigError, UsageError."""
    selection = select(session, words)
    if len(selection.jobs) != 1:
        names = ", ".join(job.name for job in selection.jobs)
        raise UsageError("which job?", hint=f"name one of: {names}")
    return selection


def job_options(command: _F) -> _F:
    """Add `--job` and `--pair` to a command whose arguments are paths; it gets them as `words`."""

    @functools.wraps(command)
    def called(*args: Any, job: tuple[str, ...], pair: tuple[str, str] | None, **rest: Any) -> Any:
        if job and pair:
            raise UsageError("--job and --pair exclude each other")
        return command(*args, words=pair or job, **rest)

    job = click.option("--job", multiple=True, metavar="NAME", help="The job (default: all of them).")
    of_pair = click.option("--pair", nargs=2, metavar="LOCAL REMOTE", help="A pair without a config.")
    return cast(_F, job(of_pair(called)))


def is_pair(settings: Settings, words: Sequence[str]) -> bool:
    """Whether the words are LOCAL REMOTE: two, not both jobs, one of them an ACCOUNT:PATH or a path."""
    if len(words) != 2 or all(word in settings.jobs for word in words):
        return False
    return looks_like_place(words[1]) or looks_like_place(words[0])


def looks_like_place(word: str) -> bool:
    """An ACCOUNT:PATH, or a path."""
    return ":" in word or "/" in word or word in (".", "..", "~") or os.path.isdir(word)


def pair(
    settings: Settings, local: str, remote: str, options: PairOptions, *, new: bool = False
) -> JobSettings:
    """A job without a config. Raises ConfigError, UsageError.

    `new`: the remote may be a single name, for a folder that the first run creates.
    """
    if not local:
        raise UsageError("LOCAL is empty", hint="name the folder here, such as ~/Documents")
    place = _remote(settings, remote, new=new and remote not in settings.accounts)
    try:
        folder = absolute(local.removeprefix("local:"))
    except ValueError as error:
        raise ConfigError(f"LOCAL: {error}") from error
    known = ["local", *settings.accounts]
    if place.account not in known:
        raise ConfigError(
            f"REMOTE: unknown account {place.account!r} in {remote}; known: {', '.join(known)}",
            hint=f"for a folder here write local:/some/folder; accounts stand in {settings.origin}",
        )
    try:
        check_own(options.ignore)
    except ValueError as error:
        raise UsageError(f"--ignore: {error}") from error
    try:
        settle = SETTLE if options.settle is None else parse_duration_or_none(options.settle)
    except ValueError as error:
        raise UsageError(f"--settle: {error}") from error
    try:
        return JobSettings(
            name=f"{local} <-> {remote}",
            local=folder,
            remote=place,
            conflict=choose(ConflictPolicy, options.conflict or "keep-both"),
            mode=choose(Mode, options.mode or "two-way"),
            ignore=options.ignore,
            settle=settle,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _remote(settings: Settings, text: str, *, new: bool) -> Location:
    """Parse ACCOUNT:PATH or a path, which may have a colon after a slash. Raises ConfigError, UsageError.

    A single name is a path only if such a folder exists (or `new`): it might be an account without its colon,
    or a misspelt job, and a folder of that name would be created silently.
    """
    head = text.partition(":")[0]
    try:
        if ":" in text and "/" not in head and not head.startswith((".", "~")):
            return Location.parse(text, expand=False)
        if not text or not (new or looks_like_place(text)):
            raise _no_place(settings, text)
        return Location(account="local", path=str(absolute(text)))
    except ValueError as error:
        raise ConfigError(f"REMOTE: {error}") from error


def _no_place(settings: Settings, text: str) -> UsageError:
    known = ", ".join(["local", *settings.accounts])
    if not text:
        return UsageError(
            "REMOTE is empty: it names neither an account nor a folder",
            hint=f"write ACCOUNT:PATH (accounts: {known}), or the path of a folder",
        )
    job = near(text, settings.jobs) or (f' (or the job "{text}"?)' if text in settings.jobs else "")
    return UsageError(
        f"REMOTE: there is no folder {text} here; did you mean `{text}:`?{job}",
        hint=f"accounts: {known}; to have a new folder made write ./{text}",
    )
