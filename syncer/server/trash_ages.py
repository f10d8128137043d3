"""How long each folder of the server's trash has been there, by the time that passed for this server.

A file in the state directory. The wall clock may be set forth or back, or be wrong after a boot: nothing in
the trash gets older by that (`clock.passed`). What is not known, or a file that cannot be read, is new.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from syncer.clock import Moment, Uptime, passed

LOOKS: Final = 3
"""So often must something have been seen since before it may go for its age."""


@dataclass(slots=True)
class _Ages:
    age_ns: int = 0
    looks: int = 0
    moment: Moment | None = None
    seen: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # by name: age and looks at the first sight


class TrashAges:
    """For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ages = _read(path)

    def older(self, now: Moment, there: Collection[str], kept_ns: int) -> set[str]:
        """Of the names that are there now, those that have been for longer. Raises OSError."""
        ages = self._ages
        if ages.moment is not None:
            ages.age_ns += passed(ages.moment, now).ns
        ages.moment, ages.looks = now, ages.looks + 1
        ages.seen = {name: ages.seen.get(name, (ages.age_ns, ages.looks)) for name in there}
        self._write()
        return {
            name
            for name, (age, looks) in ages.seen.items()
            if ages.age_ns - age > kept_ns and ages.looks - looks >= LOOKS
        }

    def _write(self) -> None:
        ages, moment = self._ages, self._ages.moment
        assert moment is not None
        document = {
            "age_ns": ages.age_ns,
            "looks": ages.looks,
            "wall_ns": moment.wall_ns,
            "boot": moment.uptime.boot,
            "uptime_ns": moment.uptime.ns,
            "seen": {os.fsencode(name).hex(): seen for name, seen in ages.seen.items()},
        }
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(descriptor)
        os.rename(fresh, self._path)


def _read(path: Path) -> _Ages:
    try:
        told = json.loads(path.read_text(encoding="ascii"))
        uptime = Uptime(boot=str(told["boot"]), ns=int(told["uptime_ns"]))
        return _Ages(
            age_ns=int(told["age_ns"]),
            looks=int(told["looks"]),
            moment=Moment(wall_ns=int(told["wall_ns"]), uptime=uptime),
            seen={
                os.fsdecode(bytes.fromhex(name)): (int(age), int(looks))
                for name, (age, looks) in told["seen"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _Ages()
