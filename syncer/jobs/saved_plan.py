"""Saved plans: `plan -o FILE` writes one, `apply FILE` runs it.

Each action carries `expects`, an opaque text of what it was planned on. `apply` plans again, with every
guard, and does those actions of the fresh plan whose text is in the file. So an edited file can only leave
actions out. An action that the fresh plan no longer has is reported (`stale`); one that no plan has ever had
is refused before anything is done.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

from syncer.config import JobSettings, Settings
from syncer.engine import selection
from syncer.engine.model import Action, ConflictPolicy, Mode, Problem, Side
from syncer.engine.paths import printable
from syncer.engine.selection import ActionSelection, Choice
from syncer.errors import UsageError
from syncer.jobs import results
from syncer.jobs.session import RunOptions
from syncer.jobs.state_dir import place_of

SCHEMA = 1
LARGEST = 512 << 20  # bytes; some million actions
STALE = "stale"
_AGAIN = "make a new plan: syncer plan -o FILE"
_RUN_AGAIN = "it is not so any more; run plan again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The job that a plan was made for. `named`: a job of the config, by its name."""

    name: str
    named: bool
    pair: str  # the identity of both roots, see `jobs.state_dir`
    local: str
    remote: str
    conflict: str
    mode: str
    ignore: tuple[str, ...]
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAction:
    """One action in the file, and the text that identifies what it was planned on."""

    action: str
    path: str
    expects: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """One job's part of the file."""

    origin: Origin
    actions: tuple[SavedAction, ...]

    def choice(self) -> Choice:
        """Which actions of a fresh plan are done: see `choice_of`."""
        return choice_of(self.actions)


def choice_of(saved_actions: Iterable[SavedAction]) -> Choice:
    """A choice that does the saved actions of a fresh plan; updates of the base alone are always done.

    A saved action that the fresh plan no longer has is reported as a problem with the code `stale`.
    """
    saved = {action.expects: action for action in saved_actions}

    def choose(actions: Sequence[Action]) -> ActionSelection:
        fresh = {id(a): expects(a) for a in actions}
        present = set(fresh.values())
        gone = [_stale(action) for text, action in saved.items() if text not in present]
        picked = selection.pick(actions, lambda a: fresh[id(a)] in saved or not results.loud(a))
        return ActionSelection(actions=picked.actions, left=picked.left, missed=(*gone, *picked.missed))

    return choose


def expects(action: Action) -> str:
    """The text that identifies an action: digests of its name and path, and of what it was planned on."""
    return (
        f"{_name(results.name_of(action), action.path, results.other_path(action))}-{selection.facts(action)}"
    )


def planned(settings: Settings, job: JobSettings, options: RunOptions) -> Mapping[str, object]:
    """What a saved plan records about its job, beside the actions."""
    return {
        "pair": place_of(settings, job).id,
        "named": settings.jobs.get(job.name) is job,
        "local": str(job.local),
        "remote": str(job.remote),
        "conflict": job.conflict.value,
        "mode": job.mode.value,
        "ignore": list(job.ignore),
        "full": options.full,
    }


def read(path: Path) -> list[SavedPlan]:
    """The plans in a file, checked as far as the file goes. Raises UsageError."""
    document = _document(path, _text(path))
    plans = [_plan(path, number, job) for number, job in enumerate(_jobs(path, document))]
    names = [plan.origin.name for plan in plans]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path}: the job {printable(name)} is in it twice", hint=_AGAIN)
    return plans


def fits(path: Path, plan: SavedPlan, settings: Settings, job: JobSettings) -> None:
    """Raises UsageError if the job does not lead to the roots that the plan was made for."""
    if place_of(settings, job).id != plan.origin.pair:
        raise UsageError(
            f"{path}: this plan of {printable(plan.origin.name)} was made for other roots: "
            f"{printable(plan.origin.local)} and {printable(plan.origin.remote)}, "
            f"and the job has {job.local} and {job.remote}",
            hint=_AGAIN,
        )


# The file


def _text(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo must not keep us waiting
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path}: this is no file", hint="name a file made by syncer plan -o FILE")
            if found.st_size > LARGEST:
                raise UsageError(f"{path}: too large for a plan ({found.st_size:,} bytes)", hint=_AGAIN)
            return file.read(LARGEST)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file", hint="syncer plan -o FILE makes one") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _document(path: Path, text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start})", hint=_AGAIN) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "mind the commas around what you removed, or make a new plan: syncer plan -o FILE"
        raise UsageError(f"{path}: is not JSON: {error.msg} at {where}", hint=hint) from None
    except (RecursionError, ValueError):  # the latter: a number of thousands of digits
        raise UsageError(f"{path}: is not a plan: nothing of ours is like this", hint=_AGAIN) from None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise UsageError(f"{path}: is not a plan: it has no schema", hint=_AGAIN)
    if document["schema"] > SCHEMA:
        told = f"{path}: this plan was made by a newer Syncer (schema {document['schema']})"
        raise UsageError(told, hint="use that one, or make a new plan with this one")
    return document


def _jobs(path: Path, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    jobs = document.get("jobs")
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise UsageError(f"{path}: is not a plan: jobs must be a list of objects", hint=_AGAIN)
    if not jobs:
        raise UsageError(f"{path}: holds no job", hint=_AGAIN)
    return jobs


def _plan(path: Path, number: int, job: Mapping[str, Any]) -> SavedPlan:
    where = f"{path}: jobs[{number}]"
    if not isinstance(job.get("job"), str) or not isinstance(job.get("planned"), dict):
        hint = "a plan that can be applied is saved with syncer plan -o FILE"
        raise UsageError(f"{where}: does not say which job it was planned for", hint=hint)
    if job.get("result") == "error" or job.get("result") == "refused":
        hint = "remove it from the file, or make a new plan: syncer plan -o FILE"
        raise UsageError(f"{where}: {printable(job['job'])} could not be planned", hint=hint)
    actions = job.get("actions")
    if not isinstance(actions, list):
        raise UsageError(f"{where}: actions must be a list", hint=_AGAIN)
    saved = tuple(_action(f"{where}.actions[{n}]", value) for n, value in enumerate(actions))
    return SavedPlan(origin=_origin(where, job["job"], job["planned"]), actions=saved)


def _origin(where: str, name: str, found: Mapping[str, Any]) -> Origin:
    texts = ("pair", "local", "remote", "conflict", "mode")
    ignore = found.get("ignore")
    good = all(isinstance(found.get(key), str) for key in texts) and isinstance(ignore, list)
    if not good or not all(isinstance(line, str) for line in cast(list[object], ignore)):
        raise UsageError(f"{where}.planned: says too little about the job", hint=_AGAIN)
    if found["conflict"] not in _values(ConflictPolicy) or found["mode"] not in _values(Mode):
        raise UsageError(f"{where}.planned: conflict or mode is nothing we know", hint=_AGAIN)
    return Origin(
        name=name,
        named=found.get("named") is True,
        ignore=tuple(cast(list[str], ignore)),
        full=found.get("full") is True,
        **{key: str(found[key]) for key in texts},
    )


def _values(kind: type[ConflictPolicy] | type[Mode]) -> list[str]:
    return [member.value for member in kind]


def _action(where: str, found: object) -> SavedAction:
    """One action; only what a plan has made carries the digest of its own name and path."""
    if not isinstance(found, dict):
        raise UsageError(f"{where}: must be an object", hint=_AGAIN)
    name, path, text = found.get("action"), found.get("path"), found.get("expects")
    if not isinstance(name, str) or not isinstance(path, str):
        raise UsageError(f"{where}: has no action or no path", hint=_AGAIN)
    told = f"{where}: {printable(name)} {printable(path)}"
    hint = "actions can be removed from a plan, not added or altered; put it back, or make a new plan"
    if not isinstance(text, str):
        raise UsageError(f"{told}: was added: no plan has made it", hint=hint)
    other = found.get("from") if "from" in found else found.get("copy", "")
    if text.partition("-")[0] != _name(name, path, other if isinstance(other, str) else ""):
        raise UsageError(f"{told}: was altered: no plan has made it so", hint=hint)
    return SavedAction(action=name, path=path, expects=text)


def _name(action: str, path: str, other: str) -> str:
    named = repr((action, path, other)).encode("utf-8", "surrogateescape")
    return blake2b(named, digest_size=6).hexdigest()


def _stale(one: SavedAction) -> Problem:
    there = one.action == "upload" or one.action.endswith("-remote")
    message = f"{one.action}: {_RUN_AGAIN}"
    return Problem(path=one.path, side=Side.REMOTE if there else Side.LOCAL, code=STALE, message=message)
