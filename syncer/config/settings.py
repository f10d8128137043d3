"""Settings: the values of a config file, frozen, with all defaults. No file is read here.

Apart from `parser`, so that a run without a config file does not load pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from syncer.config.paths import absolute, default_config, read_path
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.errors import ConfigError
from syncer.formatting import near, quoted

if TYPE_CHECKING:
    from syncer.config.accounts import Account

LOCAL = "local"  # the account that needs no entry: local:/some/folder
HOOKS = ("on_conflict", "on_error", "on_guard", "on_stale")
_E = TypeVar("_E", bound=Enum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """`ACCOUNT:PATH`. The path of a `local:` one is absolute; others are the account's own."""

    account: str
    path: str

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, None for a service."""
        return Path(self.path) if self.account == LOCAL else None

    def __str__(self) -> str:
        return f"{self.account}:{self.path}"

    @classmethod
    def parse(cls, text: object, base: Path | None = None, *, expand: bool = True) -> Location:
        """From the text of a config file or (`expand=False`) of the command line. Raises ValueError."""
        account, colon, path = text.partition(":") if isinstance(text, str) else ("", "", "")
        if not colon or not account or "/" in account:
            there = (
                f'; for a folder on this machine write "local:{text}"'
                if isinstance(text, str) and text
                else ""
            )
            raise ValueError(f"{quoted(text)} is not ACCOUNT:PATH{there}")
        if "\0" in path:
            raise ValueError("a path cannot hold a NUL")
        if account == LOCAL:
            if not path:
                raise ValueError('the folder is missing; write for example "local:/mnt/disk/docs"')
            return cls(account=account, path=str(read_path(path, base) if expand else absolute(path, base)))
        if any(part in (".", "..") for part in path.split("/")):
            raise ValueError('the path of an account cannot hold "." or ".." as a part')
        return cls(account=account, path="/".join(part for part in path.split("/") if part))


def choose(kind: type[_E], value: object) -> _E:
    """The member of an enum by its text. Raises ValueError listing what is allowed."""
    allowed = [str(member.value) for member in kind]
    if isinstance(value, kind):
        return value
    if value not in allowed:
        raise ValueError(f"{quoted(value)} is not known{near(value, allowed)}; one of {', '.join(allowed)}")
    return kind(value)


SETTLE = 2.0
"""The default of `settle`: a file younger than this many seconds waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """One job: two roots and how to keep them in step. Rates in bytes per second, times in seconds."""

    name: str
    local: Path
    remote: Location
    conflict: ConflictPolicy = ConflictPolicy.KEEP_BOTH
    mode: Mode = Mode.TWO_WAY
    settle: float = SETTLE  # a file that was written to within this time waits; 0: none does
    ignore: tuple[str, ...] = ()
    watch: bool = True
    interval: float = 300.0
    max_delete: MaxDelete = field(default_factory=MaxDelete)
    max_age: float | None = None
    trash_days: int = 30
    trash_size: int | None = None  # bytes; None: half of what the disk would have free without the trash
    upload_limit: int | None = None
    download_limit: int | None = None
    # Commands as words; None: the daemon's own, (): none for this job.
    on_conflict: tuple[str, ...] | None = None
    on_error: tuple[str, ...] | None = None
    on_guard: tuple[str, ...] | None = None
    on_stale: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """How the daemon works. Times in seconds; a hook is a command as words, () for none."""

    quiet: float = 0.2  # changes are gathered until nothing happened for so long
    gather: float = 5.0  # and no longer than this
    scan: float = 3600.0  # everything is looked at this often
    metrics: str = ""  # HOST:PORT of this machine; "": only on the control socket
    desktop: bool = False
    log: Path | None = None  # None: stderr
    pass_env: tuple[str, ...] = ()  # variables that hooks get beside the usual ones
    on_conflict: tuple[str, ...] = ()
    on_error: tuple[str, ...] = ()
    on_guard: tuple[str, ...] = ()
    on_stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A whole config file. `path` is None where there is none and all is default."""

    path: Path | None
    state_dir: Path
    accounts: Mapping[str, Account]
    jobs: Mapping[str, JobSettings]
    warnings: tuple[str, ...] = ()
    daemon: DaemonSettings = DaemonSettings()

    @property
    def origin(self) -> str:
        """The file's name, for messages: also where there is none, it is the one to write."""
        return str(self.path or default_config())

    def where(self, job: JobSettings, key: str) -> str:
        """How a message names a key of a job: `FILE: jobs.docs.local`; LOCAL or REMOTE for a pair."""
        if self.jobs.get(job.name) is not job:
            return key.upper()
        return f"{self.origin}: jobs.{job.name}.{key}"

    def hooks(self, job: JobSettings) -> Mapping[str, tuple[str, ...]]:
        """The commands of a job by their keys, its own before the daemon's; only those there are."""
        found = {key: self._hook(job, key) for key in HOOKS}
        return {key: command for key, command in found.items() if command}

    def _hook(self, job: JobSettings, key: str) -> tuple[str, ...]:
        own: tuple[str, ...] | None = getattr(job, key)
        common: tuple[str, ...] = getattr(self.daemon, key)
        return common if own is None else own

    def job(self, name: str) -> JobSettings:
        """The job of that name. Raises ConfigError."""
        if name not in self.jobs:
            known = ", ".join(self.jobs) or ("none" if self.path else "none, for there is no such file")
            raise ConfigError(
                f"{self.origin}: there is no job {quoted(name)}{near(name, self.jobs)}",
                hint=f"jobs of this config: {known}; without a config: syncer sync LOCAL REMOTE",
            )
        return self.jobs[name]
