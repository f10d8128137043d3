"""What a user may do to a path at the worst moment, and which path a call is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from syncer.engine.paths import PRIVATE, TEMPORARY
from tests.simulation.faults import Call
from tests.simulation.hands import Hands
from tests.simulation.machines import RealMachine
from tests.simulation.oracle import SIDES, Oracle

LATE = "a late version, written while a run went on\n"


def overwrite(hands: Hands, path: str) -> None:
    """Write into the file itself; where there is none, make one."""
    kind = hands.kind(path)
    if kind == "file":
        hands.write_into(path, LATE)
    elif kind == "directory":
        hands.write(f"{path}/late", LATE)
    else:
        replace(hands, path)


def replace(hands: Hands, path: str) -> None:
    """Another file takes the name, whatever was there."""
    if hands.kind(path) == "directory":
        hands.rmtree(path)
    if hands.kind(path.rpartition("/")[0]) == "directory":
        hands.write(path, LATE)


def delete(hands: Hands, path: str) -> None:
    kind = hands.kind(path)
    if kind == "directory":
        hands.rmtree(path)
    elif kind:
        hands.delete(path)


def make_directory(hands: Hands, path: str) -> None:
    """A directory with a file in it takes the name."""
    if hands.kind(path) != "directory":
        delete(hands, path)
        if hands.kind(path.rpartition("/")[0]) != "directory":
            return
        hands.mkdir(path)
    hands.write(f"{path}/late", LATE)


def make_link(hands: Hands, path: str) -> None:
    delete(hands, path)
    if hands.kind(path.rpartition("/")[0]) == "directory":
        hands.link(path, "late-target")


def alter_unseen(hands: Hands, path: str) -> None:
    """The same number of bytes and the same mtime as before: only the ctime tells."""
    if hands.kind(path) != "file":
        return
    real = hands.machine.path(path)
    before = os.stat(real)
    text = ("late " * before.st_size)[: before.st_size]
    if text:
        hands.write_into(path, text)
        os.utime(real, ns=(before.st_atime_ns, before.st_mtime_ns))


EDITS = {e.__name__: e for e in (overwrite, replace, delete, make_directory, make_link, alter_unseen)}

UNSEEN = ("alter_unseen",)
"""Between a look and a rename nothing tells such an edit: its bytes must survive, no more."""


def user_path(machine: RealMachine, call: Call) -> str:
    """The user's name that the call is about, "" if it is about none: `local/d/x`."""
    for at in range(1, len(call.arguments) - 1):
        name, fd = call.arguments[at], call.arguments[at + 1]
        if isinstance(name, str) and isinstance(fd, int):
            place = Path(os.readlink(f"/proc/self/fd/{fd}")) / name
            if place.is_relative_to(machine.base):
                path = str(place.relative_to(machine.base))
                if _is_users(path):
                    return path
    return ""


def _is_users(path: str) -> bool:
    side, _, inside = path.partition("/")
    return side in SIDES and TEMPORARY not in path and inside.split("/")[0] not in ("", PRIVATE)


class Rival:
    """Does one edit right before a call; the oracle hears what the user gave up by it."""

    def __init__(self, oracle: Oracle, edit: Callable[[Hands, str], None], path: str) -> None:
        self._oracle = oracle
        self._edit = edit
        self._path = path

    def __call__(self, call: Call) -> None:
        machine = self._oracle.machine
        before = machine.tree()
        self._edit(self._oracle.hands, self._path)
        self._oracle.renounce(before, machine.tree())


def across(path: str) -> str:
    """The same path of the other side."""
    side, _, inside = path.partition("/")
    return f"{SIDES[1 - SIDES.index(side)]}/{inside}"
