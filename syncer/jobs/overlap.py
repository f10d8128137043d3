"""Check that roots and the state directory do not overlap.

Nested roots would sync a folder into itself, and a state directory inside a root would be synced as user
files. Paths are compared with their symlinks resolved; an overlap is a ConfigError with the key to change.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import combinations

from syncer.config import LOCAL, JobSettings, Location, Settings
from syncer.errors import ConfigError

_APART = "roots must stand apart: give one of them another folder"


def check(settings: Settings, jobs: Iterable[JobSettings]) -> None:
    """Check all jobs against each other and against the state directory. Raises ConfigError."""
    chosen = list(jobs)
    for job in chosen:
        check_pair(settings, job)
    for one, other in combinations(chosen, 2):
        _check_jobs(settings.origin, one, other)


def check_pair(settings: Settings, job: JobSettings) -> None:
    """Check the two roots of one job and the state directory. Raises ConfigError."""
    local, remote = _ends(job)
    relation = _relation(remote, local)
    if relation or _same_folder(local, remote):
        told = relation or "the same folder as"
        raise ConfigError(
            f"{settings.where(job, 'remote')}: {_show(remote)} is {told} "
            f"the job's own local root {_show(local)}",
            hint=_APART,
        )
    state = Location(account=LOCAL, path=os.path.realpath(settings.state_dir))
    for key, root in (("local", local), ("remote", remote)):
        relation = _relation(state, root)
        if relation:
            raise ConfigError(
                f"{settings.origin}: state_dir: the state directory {state.path} is {relation} "
                f"the root {_show(root)} ({settings.where(job, key)})",
                hint="set state_dir to a folder outside of every root",
            )


def _check_jobs(origin: str, one: JobSettings, other: JobSettings) -> None:
    if set(_ends(one)) == set(_ends(other)):
        raise ConfigError(
            f"{origin}: jobs.{other.name}: it has the same two roots as jobs.{one.name}",
            hint="a pair of roots has one memory: keep one of the two jobs",
        )
    for key, root in zip(("local", "remote"), _ends(one), strict=True):
        for other_key, other_root in zip(("local", "remote"), _ends(other), strict=True):
            relation = _relation(other_root, root)
            if relation and relation != "the same as":  # one folder may be synced to several places
                raise ConfigError(
                    f"{origin}: jobs.{other.name}.{other_key}: {_show(other_root)} is {relation} "
                    f"{_show(root)} of jobs.{one.name}.{key}",
                    hint=_APART,
                )


def _show(root: Location) -> str:
    return root.path if root.account == LOCAL else str(root)


def _ends(job: JobSettings) -> tuple[Location, Location]:
    """Both roots with symlinks resolved."""
    folder = job.remote.folder
    remote = Location(account=LOCAL, path=os.path.realpath(folder)) if folder else job.remote
    return Location(account=LOCAL, path=os.path.realpath(job.local)), remote


def _relation(one: Location, other: Location) -> str:
    """How `one` relates to `other`: "the same as", "inside", "around", or "" if they do not overlap."""
    if one.account != other.account:
        return ""
    first, second = _parts(one), _parts(other)
    if first == second:
        return "the same as"
    if first[: len(second)] == second:
        return "inside"
    return "around" if second[: len(first)] == first else ""


def _parts(root: Location) -> list[str]:
    return [part for part in root.path.split("/") if part]


def _same_folder(one: Location, other: Location) -> bool:
    """Whether two paths are one folder: a bind mount, or a file system that folds case."""
    try:
        return one.account == other.account == LOCAL and os.path.samefile(one.path, other.path)
    except OSError:
        return False
