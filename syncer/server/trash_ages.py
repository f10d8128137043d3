"""Ages of the batches in the server's trash, measured by elapsed time, in a file of the state directory.

The wall clock may be set, or be wrong after a boot: nothing in the trash gets older by that
(`clock.passed`). A batch that the file does not name is new, and so are all if the file cannot be read.
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
"""A batch must have been seen so many times since the first time before it expires."""


@dataclass(slots=True)
class _Ages:
    age_ns: int = 0
    looks: int = 0
    moment: Moment | None = None
    seen: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # by name: age and looks at the first sight


class TrashAges:
    """The age file. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ages = _Ages()
        try:
            document = json.loads(path.read_text(encoding="ascii"))
            uptime = Uptime(boot=str(document["boot"]), ns=int(document["uptime_ns"]))
            self._ages = _Ages(
                age_ns=int(document["age_ns"]),
                looks=int(document["looks"]),
                moment=Moment(wall_ns=int(document["wall_ns"]), uptime=uptime),
                seen={
                    os.fsdecode(bytes.fromhex(name)): (int(age), int(looks))
                    for name, (age, looks) in document["seen"].items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # missing or damaged: everything is new

    def older(self, now: Moment, present: Collection[str], kept_ns: int) -> set[str]:
        """The names among those present that have been there for longer than `kept_ns`. Raises OSError."""
        ages = self._ages
        if ages.moment is not None:
            ages.age_ns += passed(ages.moment, now).ns
        ages.moment, ages.looks = now, ages.looks + 1
        ages.seen = {name: ages.seen.get(name, (ages.age_ns, ages.looks)) for name in present}
        document = {
            "age_ns": ages.age_ns,
            "looks": ages.looks,
            "wall_ns": now.wall_ns,
            "boot": now.uptime.boot,
            "uptime_ns": now.uptime.ns,
            "seen": {os.fsencode(name).hex(): seen for name, seen in ages.seen.items()},
        }
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(descriptor)
        os.rename(fresh, self._path)
        return {
            name
            for name, (age, looks) in ages.seen.items()
            if ages.age_ns - age > kept_ns and ages.looks - looks >= LOOKS
        }
