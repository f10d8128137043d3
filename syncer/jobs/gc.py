"""Garbage collection for `syncer gc`: list and delete orphan segments in a container of Swift.

`stores.swift.slo.gc` decides which segments are orphans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncer.clock import SystemClock
from syncer.config import Settings
from syncer.config.settings import Location
from syncer.engine.interfaces import Clock
from syncer.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from syncer.stores.swift.slo.gc import Collector, Garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment that no manifest names: `age` in seconds, `size` in bytes."""

    name: str
    size: int
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What was found. `young`: orphans too new to be touched; `named`: segments in use.

    `unreadable`: large objects that do not show what they are made of; `undecided` segments may be theirs.
    """

    orphans: tuple[Segment, ...]
    young: int
    named: int
    undecided: int = 0
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was removed, in segments and bytes; `kept` were written again since, `failed` are still there."""

    segments: int
    size: int
    kept: int
    failed: int


class Search:
    """One look at one container, and what may follow from it."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._garbage: Garbage | None = None

    def find(self) -> Sweep:
        """Raises NotFound for a container that is not there, TransientError where its listing lags."""
        found = self._garbage = self._collector.find()
        orphans = tuple(Segment(name=one.name, size=one.size, age=one.age) for one in found.orphans)
        return Sweep(
            orphans=orphans,
            young=found.young,
            named=found.named,
            undecided=found.undecided,
            unreadable=found.unreadable,
        )

    def remove(self) -> Swept:
        """What `find` found, if it still is so. Raises StoreError."""
        assert self._garbage is not None, "find comes first"
        done = self._collector.remove(self._garbage)
        return Swept(segments=done.segments, size=done.size, kept=done.kept, failed=done.failed)


@contextmanager
def searching(
    settings: Settings, where: str, *, clock: Clock | None = None, grace: float | None = None
) -> Iterator[Search]:
    """For `ACCOUNT:CONTAINER`. `grace`: seconds for which an orphan is left alone (None: a week).

    Raises UsageError for another text, ConfigError for an account that is none of Swift's, AuthError.
    """
    from syncer.accounts.swift import default_container, door
    from syncer.stores.swift.client import Connection
    from syncer.stores.swift.slo.gc import Collector
    from syncer.stores.swift.slo.upload import GRACE_SECONDS

    try:
        location = Location.parse(where, expand=False)
    except ValueError as error:
        raise UsageError(str(error), hint="syncer gc ACCOUNT:CONTAINER") from error
    account = settings.accounts.get(location.account)
    if account is None or account.type != "swift":
        known = ", ".join(name for name, one in settings.accounts.items() if one.type == "swift") or "none"
        raise ConfigError(
            f"{settings.origin}: {location.account!r} is not an account of type swift",
            hint=f"accounts of type swift: {known}",
        )
    container = location.path.partition("/")[0] or default_container(account)
    if not container:
        raise UsageError("the container is missing", hint="syncer gc ACCOUNT:CONTAINER")
    clock = clock or SystemClock()
    connection = Connection(door(account, clock), clock=clock)
    collector = Collector(connection, container, clock=clock, grace=GRACE_SECONDS if grace is None else grace)
    try:
        yield Search(collector)
    finally:
        collector.close()
        connection.close()
