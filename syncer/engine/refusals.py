"""Refused names: what a side did not accept is not written to it again until something changes.

Most of what a side cannot hold is known before (`ports.Capabilities`). A name that a file system refuses for
a reason of its own is not: that shows when its whole content was sent and is to be named. The pair's memory
has such names, each with what was true then: the entry, the names it would stand beside, and what the side
says it can do. As long as all of that is the same, the name is reported and waits.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from syncer.engine import paths
from syncer.engine.interfaces import BaseStore, Capabilities, Store
from syncer.engine.model import Action, Entry, Failed, MakeDirectory, RelPath, Side, Transfer
from syncer.engine.renames import DIRECTORY
from syncer.engine.report import ActionReport
from syncer.errors import LocalError, StoreError, Unholdable

REFUSED = "refused"  # the setting
_MOST = 1000  # names that are remembered; others are tried again


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a side did not take a name, in words, and on what that was planned."""

    token: str
    message: str


Refusals = Mapping[tuple[Side, RelPath], Refusal]


def known(memory: BaseStore) -> Refusals:
    """By the side that refused, and the path."""
    text = memory.get_setting(REFUSED)
    rows = json.loads(text) if text else []
    return {(Side(side), path): Refusal(token, message) for side, path, token, message in rows}


def token(entry: Entry, names: Collection[str], able: Capabilities) -> str:
    """The same as long as there is no use in another try. `names` stand where this one is to stand."""
    told = repr((entry.kind.value, entry.size, entry.version, entry.target, sorted(names), able))
    return blake2b(told.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def remember(
    memory: BaseStore,
    stores: Mapping[Side, Store],
    reports: Sequence[ActionReport],
    visited: Collection[RelPath],
    upheld: Collection[tuple[Side, RelPath]],
) -> None:
    """What was refused now, and of what was known before what still stands or was not looked at."""
    before = known(memory)
    now = {
        (side, path): refusal
        for (side, path), refusal in before.items()
        if (side, path) in upheld or paths.split(path)[0] not in visited
    }
    for report in reports:
        found = _refused(report.action)
        if found is None or not isinstance(report.outcome, Failed):
            continue
        error, (side, entry) = report.outcome.error, found
        names = _names(stores[side], paths.split(report.action.path)[0])
        if isinstance(error, Unholdable) and names is not None:
            why = error.message.removeprefix(f"{paths.printable(report.action.path)}: ")
            now[side, report.action.path] = Refusal(token(entry, names, stores[side].capabilities), why)
    if now != before:
        rows = [(side.value, path, r.token, r.message) for (side, path), r in list(now.items())[-_MOST:]]
        memory.set(**{REFUSED: json.dumps(rows) if rows else ""})


def _refused(action: Action) -> tuple[Side, Entry] | None:
    """The side that was to get something new by this action, and what."""
    if isinstance(action, Transfer) and action.expected is None:
        return action.source.other, action.seen
    if isinstance(action, MakeDirectory) and action.replaces is None:
        return action.side, DIRECTORY
    return None


def _names(store: Store, directory: RelPath) -> Collection[str] | None:
    try:
        return store.list(directory).entries.keys()
    except (StoreError, LocalError):
        return None
