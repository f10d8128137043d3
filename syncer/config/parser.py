"""Parse and validate the text of a config file, with pydantic models for its tables.

All mistakes are collected into one ConfigError: file, key, what is wrong, what would be right.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from syncer.config.paths import default_state_dir, read_path
from syncer.config.secrets import Secret
from syncer.config.settings import HOOKS, LOCAL, SETTLE, DaemonSettings, JobSettings, Settings
from syncer.config.types import (
    Address,
    Command,
    Duration,
    DurationOrNone,
    FolderPath,
    Limit,
    LogPath,
    Names,
    Patterns,
    Policy,
    RemotePlace,
    Size,
    Way,
)
from syncer.engine.gitignore import own_complaints
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode
from syncer.errors import ConfigError
from syncer.formatting import near, quoted, show_duration

if TYPE_CHECKING:
    from syncer.config.accounts import Account

_TOP = ("state_dir", "daemon", "accounts", "jobs")


_PLAIN = DaemonSettings()


class _Job(BaseModel):
    """A table `[jobs.NAME]`: the same keys as `JobSettings`, as they are written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
    name: str
    local: FolderPath
    remote: RemotePlace
    conflict: Policy = ConflictPolicy.KEEP_BOTH
    mode: Way = Mode.TWO_WAY
    settle: DurationOrNone = SETTLE
    ignore: Patterns = ()
    watch: bool = True
    interval: Duration = 300.0
    max_delete: Limit = MaxDelete()
    max_age: Duration | None = None
    trash_days: int = Field(default=30, ge=1, le=36_500)
    trash_size: Size | None = None
    upload_limit: Size | None = None
    download_limit: Size | None = None
    on_conflict: Command | None = None
    on_error: Command | None = None
    on_guard: Command | None = None
    on_stale: Command | None = None


class _Daemon(BaseModel):
    """The table `[daemon]`: the same keys as `DaemonSettings`, as they are written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    quiet: Duration = _PLAIN.quiet
    gather: Duration = _PLAIN.gather
    scan: Duration = _PLAIN.scan
    metrics: Address = _PLAIN.metrics
    desktop: bool = _PLAIN.desktop
    log: LogPath = _PLAIN.log
    pass_env: Names = _PLAIN.pass_env
    on_conflict: Command = ()
    on_error: Command = ()
    on_guard: Command = ()
    on_stale: Command = ()


def parse(text: str, path: Path) -> Settings:
    """Settings from the text of a config file that stands at `path`. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its message ends in "(at line 3, column 7)"
        raise ConfigError(f"{path}: not valid TOML: {error}", hint="see https://toml.io") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from None
    complaints: list[str] = []
    settings = _settings(table, path, complaints)
    if complaints:
        lines = [f"{path}: {complaint}" for complaint in complaints]
        raise ConfigError("\n".join(lines), hint="config.example.toml shows every key with its default")
    return settings


def _settings(table: Mapping[str, Any], path: Path, complaints: list[str]) -> Settings:
    complaints += [
        f"{key}: unknown key{near(key, _TOP)}; known: {', '.join(_TOP)}" for key in table if key not in _TOP
    ]
    base = path.parent.absolute()
    state_dir = base
    if "state_dir" not in table:
        state_dir = default_state_dir()
    else:
        try:
            state_dir = read_path(table["state_dir"], base)
        except ValueError as error:
            complaints.append(f"state_dir: {error}")
    tables = _tables(table, "accounts", complaints)
    accounts = {name: _account(name, value, base, complaints) for name, value in tables.items()}
    jobs = {n: _job(n, t, base, complaints) for n, t in _tables(table, "jobs", complaints).items()}
    known = [LOCAL, *accounts]
    for name, job in jobs.items():
        if job and job.remote.account not in known:
            wrong = f"unknown account {quoted(job.remote.account)}{near(job.remote.account, known)}"
            complaints.append(f"jobs.{name}.remote: {wrong}; known: {', '.join(known)}")
    return Settings(
        path=path,
        state_dir=state_dir,
        accounts={name: account for name, account in accounts.items() if account},
        jobs={name: job for name, job in jobs.items() if job},
        daemon=_daemon(table, base, complaints),
        warnings=(
            *(
                f"{path}: accounts.{name}: {account.unusable}"
                for name, account in accounts.items()
                if account and account.unusable
            ),
            *(
                f"{path}: jobs.{name}.ignore: {text}"
                for name, job in jobs.items()
                if job
                for text in own_complaints(job.ignore)
            ),
        ),
    )


def _tables(table: Mapping[str, Any], key: str, complaints: list[str]) -> Mapping[str, Mapping[str, Any]]:
    """The sub-tables of `accounts` or `jobs`, without those that have a bad name or are not tables."""
    whole = table.get(key, {})
    if not isinstance(whole, dict):
        complaints.append(f"{key}: must be tables, such as [{key}.NAME]")
        return {}
    good = {}
    for name, value in whole.items():
        wrong = _wrong_name(name, key) if isinstance(value, dict) else f"must be a table: [{key}.{name}]"
        if wrong:
            complaints.append(f"{key}.{name}: {wrong}")
        else:
            good[name] = value
    return good


def _wrong_name(name: str, key: str) -> str:
    if key == "accounts" and name == LOCAL:
        return "this name is built in and stands for folders on this machine; take another"
    if not name.strip() or not name.isprintable() or name.startswith("-") or any(c in name for c in ":/"):
        return 'a name must be printable, without ":" and "/", and not start with "-"'
    return ""


def _account(name: str, table: Mapping[str, Any], base: Path, complaints: list[str]) -> Account | None:
    from syncer.config import account_types
    from syncer.config.accounts import UnusableAccount  # builds many models, and most configs name few

    try:
        model = account_types.model_of(table)
    except account_types.WrongType as error:
        complaints.append(f"accounts.{name}.{error.key}: {error}")
        return None
    except account_types.BrokenPlugin as error:  # its keys are not checked, and other accounts go on
        return UnusableAccount(name=name, type=table["type"], reason=str(error))
    return _validated(model, f"accounts.{name}", name, table, base, complaints)


def _job(name: str, table: Mapping[str, Any], base: Path, complaints: list[str]) -> JobSettings | None:
    checked = _validated(_Job, f"jobs.{name}", name, table, base, complaints)
    return JobSettings(**dict(checked)) if checked else None


def job_settings(name: str, table: Mapping[str, Any], base: Path) -> JobSettings:
    """A job that is in no config file, from the keys of one. Raises ConfigError, a line for each complaint.

    `local` may be a Path and `remote` a Location; other paths are relative to `base`.
    """
    complaints: list[str] = []
    checked = _validated(_Job, "job", name, table, base, complaints)
    if checked is None or complaints:
        raise ConfigError("\n".join(complaints), hint="config.example.toml shows every key with its default")
    return JobSettings(**dict(checked))


def _daemon(table: Mapping[str, Any], base: Path, complaints: list[str]) -> DaemonSettings:
    given = table.get("daemon", {})
    if not isinstance(given, dict):
        complaints.append("daemon: must be a table: [daemon]")
        return _PLAIN
    checked = _validated(_Daemon, "daemon", None, given, base, complaints)
    if checked is None:
        return _PLAIN
    if checked.gather < checked.quiet:
        complaints.append(f"daemon.gather: must not be shorter than quiet ({show_duration(checked.quiet)})")
    return DaemonSettings(**dict(checked))


_M = TypeVar("_M", bound=BaseModel)


def _validated(
    model: type[_M], key: str, name: str | None, table: Mapping[str, Any], base: Path, complaints: list[str]
) -> _M | None:
    fields = [field for field in model.model_fields if field != "name"]
    unknown = [word for word in table if word not in fields]
    complaints += [
        f"{key}.{word}: unknown key{near(word, fields)}; known: {', '.join(fields)}" for word in unknown
    ]
    given = {word: value for word, value in table.items() if word in fields}
    named = {} if name is None else {"name": name}
    try:
        return model.model_validate({**given, **named}, context={"base": base})
    except ValidationError as error:
        complaints += [_complaint(key, detail) for detail in error.errors(include_url=False)]
        return None


_EXPECTED = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
}


def _complaint(key: str, detail: Mapping[str, Any]) -> str:
    """One line for one of pydantic's error details; never with the value of a secret."""
    where = ".".join([key, *(str(part) for part in detail["loc"][:1])])
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = "at least" if "ge" in context else "at most"
        return f"{where}: must be {bound} {context.get('ge', context.get('le'))}"
    return f"{where}: {_EXPECTED.get(kind, detail['msg'])}"


def with_warnings(settings: Settings, mode: int, *, shared: bool) -> Settings:
    """The settings with warnings about the file. `shared`: other users may write it; `mode` is its st_mode.

    Raises ConfigError for a file that others may write and that names commands: they would run as us.
    """
    warnings = []
    if shared:
        commands = list(_commands(settings))
        if commands:
            raise ConfigError(
                f"{settings.path}: others may write this file (or its directory), and it names commands that "
                f"would run as you ({', '.join(commands)})",
                hint="see who owns the file and its directory, and take write permission from all others: "
                f"chmod go-w {settings.path}",
            )
        warnings.append(f"{settings.path}: others may write this file, or its directory; chmod go-w it")
    literal = [
        f"accounts.{name}.{field}"
        for name, account in settings.accounts.items()
        for field, value in account
        if isinstance(value, Secret) and value.literal
    ]
    if literal and stat.S_IMODE(mode) & 0o077:
        keys = ", ".join(literal)
        warnings.append(
            f"{settings.path}: others may read this file, and it holds secrets ({keys}); chmod 600 it"
        )
    warnings += [
        f"accounts.{name}: insecure = true: its secrets and files may cross the network unencrypted"
        for name, account in settings.accounts.items()
        if account.insecure
    ]
    return replace(settings, warnings=(*settings.warnings, *warnings))


def _commands(settings: Settings) -> Iterator[str]:
    """The keys under which the file names commands."""
    yield from (f"daemon.{key}" for key in HOOKS if getattr(settings.daemon, key))
    for name, job in settings.jobs.items():
        yield from (f"jobs.{name}.{key}" for key in HOOKS if getattr(job, key))
    for name, account in settings.accounts.items():
        yield from (
            f"accounts.{name}.{field}"
            for field, value in account
            if isinstance(value, Secret) and value.source == "command"
        )
