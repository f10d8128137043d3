"""What every change of one root shares: where it is, what stands at a name, what a name must hold first.

Expectations are checked by a look, as late as this API allows. `StaleError` makes an item stale.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from syncer.engine.interfaces import Capabilities, Results
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath, Stale
from syncer.engine.paths import parts, printable, split, unholdable
from syncer.errors import (
    AuthError,
    LocalError,
    NotFound,
    PreconditionFailed,
    StoreError,
    Unholdable,
)
from syncer.stores.local.root import check_name, is_ours
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile import info as infos
from syncer.stores.smartfile.api import Api
from syncer.stores.smartfile.info import Info
from syncer.stores.smartfile.staging import Staging
from syncer.stores.smartfile.trash import Trash, join_root, look, move
from syncer.stores.stale import StaleError

log = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")
WINDOW = (
    "the service has no conditional writes: a file that another program makes in the instant between the "
    "last look and the rename may be replaced, if the service lets a rename replace; a replaced name is "
    "absent for an instant, and after a kill in it until the next run; old versions are in .syncer/trash"
)
CAPABILITIES = Capabilities(any_bytes=False, window=WINDOW)


@dataclass(slots=True)
class Habits:
    """What renames do to a file here; nobody wrote it down, so it is found out when it matters."""

    keeps_time: bool | None = None  # None: not tried
    keeps_attributes: bool = True


@dataclass(slots=True)
class SmartFileContext:
    """One root. `root` is its path at the service, without a slash at the end ("" for the account's)."""

    api: Api
    root: str
    staging: Staging
    trash: Trash
    able: Capabilities = CAPABILITIES
    habits: Habits = field(default_factory=Habits)
    repaired: int = 0  # patched content that was not right, and was sent whole

    def at(self, path: RelPath) -> str:
        """The service's path."""
        return join_root(self.root, path)

    def look(self, path: RelPath) -> Info | None:
        return look(self.api, self.at(path))

    def expect(self, path: RelPath, expected: Entry | None, *, directories: bool = False) -> Info | None:
        """What stands at the path, which is what was planned on. Raises Unexpected."""
        found = self.look(path)
        if expected is None:
            if found is not None:
                raise StaleError(f"{printable(path)} is there by now")
            return None
        if found is None:
            raise StaleError(f"{printable(path)} is gone")
        entry = found.entry()
        if entry.kind is not expected.kind or entry.version != expected.version:
            raise StaleError(f"{printable(path)} changed since it was planned on")
        if entry.kind is Kind.DIRECTORY and not directories:
            raise StaleError(f"{printable(path)} is a directory")
        return found

    def parent(self, path: RelPath) -> Info:
        """The directory that a path is in. Raises Unexpected where there is none (any more)."""
        directory = split(path)[0]
        found = self.look(directory)
        if found is None or not found.directory:
            raise StaleError(f"{printable(directory) or 'the root'}: no such directory (any more)")
        return found

    def keep(self, path: RelPath, seen: Info) -> str:
        """Takes what was seen at a path into the trash; where it is there. Raises Unexpected.

        What the rename took may be something else by then: it is looked at, and put back.
        """
        try:
            kept = self.trash.keep(path)
        except NotFound:
            raise StaleError(f"{printable(path)} is gone") from None
        taken = look(self.api, kept)
        if taken is not None and self.same(seen, taken):
            return kept
        self.put_back(kept, path)
        raise StaleError(f"{printable(path)} changed meanwhile")

    def put_back(self, kept: str, path: RelPath) -> bool:
        """Gives a name back what was just taken from it; False (and a warning) where that fails."""
        try:
            if look(self.api, self.at(path)) is None:
                move(self.api, kept, self.at(path))
                return True
            log.warning("%s: another file is there by now; what was there is kept at %s", path, kept)
        except StoreError as error:
            log.warning("%s: could not be put back (%s); it is kept at %s", path, error, kept)
        return False

    def same(self, before: Info, after: Info) -> bool:
        """Whether a rename took what was seen. Of directories only that: their times move with children."""
        if before.directory or after.directory:
            return before.directory is after.directory
        if before.size != after.size:
            return False
        if before.version == after.version:
            return True
        self._learn()
        time = before.time == after.time or not self.habits.keeps_time
        return time and (_noted(before) == _noted(after) or not self.habits.keeps_attributes)

    def _learn(self) -> None:
        """Renames a file of our own, in a later second than it was written in."""
        if self.habits.keeps_time is not None:
            return
        from syncer.stores.http.bodies import Body

        directory, name = self.staging.place()
        path, other = f"{directory}/{name}", f"{directory}/{name}-renamed"
        self.api.upload(directory, name, Body(open=lambda: (b"?",), length=1))
        before = self.staging.annotate(path, {attributes.ATTRIBUTE: "?"})
        self.api.session.clock.sleep(infos.MARGIN_NS / 1e9)
        move(self.api, path, other)
        after = self.api.info(other)
        self.staging.discard(other)
        self.habits.keeps_attributes = _noted(before) == _noted(after)
        self.habits.keeps_time = before.time == after.time

    def holdable(self, path: RelPath, kind: Kind, target: str | None = None) -> None:
        """Raises Unholdable for a name, a kind or a target that is not to be put here."""
        why = "not a name" if not path else "one of Syncer's own names" if is_ours(path) else ""
        for part in parts(path):
            try:
                check_name(part)
            except OSError:
                why = "not a name"
            why = why or unholdable(part, self.able)
        if kind is Kind.SYMLINK and not target:
            why = "a symlink without a target"
        if target and len(attributes.target_bytes(target)) > attributes.LONGEST_TARGET:
            why = "the symlink's target is too long"
        if why:
            raise Unholdable(f"{printable(path)}: {why}", path=path)


def _noted(info: Info) -> tuple[str | None, str | None]:
    return info.attributes.get(attributes.ATTRIBUTE), info.attributes.get(attributes.MODIFIED)


def each(items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], do: Callable[[ItemT], Done]) -> Results:
    """One item after the other."""
    for index, item in enumerate(items):
        yield index, outcome(path_of(item), lambda item=item: do(item))  # type: ignore[misc]


def outcome(path: RelPath, do: Callable[[], Done]) -> Outcome:
    """How an item ends; what ends the run is raised."""
    try:
        return do()
    except AuthError:
        raise
    except StaleError as error:
        return Stale(message=str(error))
    except (PreconditionFailed, NotFound) as error:
        return Stale(message=f"{printable(path)}: {error}")
    except (StoreError, LocalError) as error:
        return Failed(error=error)
