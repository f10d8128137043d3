"""What the batch protocols of a folder share: order, outcomes per item, durability, the late look.

No protocol of its own: `install` (put), `removal` (delete, directories) and `moving`
(rename, amend) are built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os import stat_result
from typing import TypeVar

from syncer.engine.model import Done, Entry, Failed, Outcome, RelPath
from syncer.engine.paths import directory_key, printable, split, tree_key
from syncer.engine.ports import Results
from syncer.errors import AuthError, LocalError, StoreError, Unholdable
from syncer.stores import stamps
from syncer.stores.beneath import Cursor, is_ours
from syncer.stores.fsops import UNSUPPORTED
from syncer.stores.ground import Ground
from syncer.stores.transfer import stat_afresh
from syncer.stores.trouble import GONE, Unexpected, outcome

FEW = 32  # up to so many files are synced one by one, more by one syncfs
MOST = 1024  # items of one batch: what a kill costs at most
_SETTLE_NS = stamps.FINE_MARGIN_NS + 5_000_000

ItemT = TypeVar("ItemT")


def runs(items: Sequence[ItemT], most: int = MOST) -> Iterator[range]:
    """The items' indices in pieces of bounded length."""
    for start in range(0, len(items), most):
        yield range(start, min(start + most, len(items)))


def in_order(indices: Sequence[int], path_of: Callable[[int], RelPath]) -> list[int]:
    """Directory by directory, so that the cursor opens each once."""
    return sorted(indices, key=lambda i: directory_key(path_of(i)))


@dataclass(slots=True)
class Tally:
    """How the items of one batch ended so far, and which directories have unsynced names."""

    ground: Ground
    ended: dict[int, Outcome] = field(default_factory=dict)
    dirty: dict[RelPath, list[int]] = field(default_factory=dict)

    def attempt(self, index: int, path: RelPath, step: Callable[[], None]) -> bool:
        """Does one step of one item; trouble with it becomes the item's outcome."""
        try:
            if is_ours(path):
                raise Unholdable(f"{printable(path)}: one of Syncer's own names", path=path)
            step()
        except AuthError:
            raise
        except (StoreError, LocalError) as error:
            self.ended[index] = Failed(error=error)
        except (OSError, Unexpected) as error:
            self.ended[index] = outcome(error, path)
        return index not in self.ended

    def touched(self, index: int, *paths: RelPath) -> None:
        """The names in the directories of these paths changed for the item."""
        for path in paths:
            self.dirty.setdefault(split(path)[0], []).append(index)

    def sync_directories(self, cursor: Cursor) -> None:
        """Makes the new names durable; where that fails nothing is claimed to be done."""
        if len(self.dirty) > FEW and self._sync_at_once():
            return self.dirty.clear()
        for directory in sorted(self.dirty, key=tree_key):
            try:
                self.ground.fs.sync(cursor.enter(directory))
            except OSError as error:
                self._not_durable(error, directory)
        self.dirty.clear()

    def _sync_at_once(self) -> bool:
        try:
            return sync_everything(self.ground)
        except OSError as error:
            for directory in self.dirty:
                self._not_durable(error, directory)
            return True

    def _not_durable(self, error: OSError, directory: RelPath) -> None:
        for index in self.dirty[directory]:
            if isinstance(self.ended.get(index), Done | None):
                self.ended[index] = outcome(error, directory)

    def results(self) -> Results:
        yield from sorted(self.ended.items())


def sync_everything(ground: Ground) -> bool:
    """One syncfs for the whole root; False where there is none. Raises OSError (EIO: data is lost)."""
    try:
        ground.fs.sync_file_system(ground.root_fd())
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def planned_on(ground: Ground, name: str, dir_fd: int, expected: Entry) -> stat_result:
    """The stamp of a name that is exactly as planned; raises Unexpected otherwise."""
    try:
        found = ground.fs.stat(name, dir_fd)
    except OSError as error:
        if error.errno in GONE:
            raise Unexpected(f"{printable(name)} is gone") from None
        raise
    if not stamps.matches(found, expected):
        raise Unexpected(f"{printable(name)} changed since it was planned on")
    return found


def settle(ground: Ground, since_ns: int) -> None:
    """Waits until stamps given before `since_ns` are old enough to be trusted."""
    missing = since_ns + _SETTLE_NS - ground.clock.now_ns()
    if 0 < missing <= _SETTLE_NS:
        ground.clock.sleep(missing / 1e9)


def late_look(ground: Ground, cursor: Cursor, path: RelPath, ours: stat_result) -> tuple[stat_result, bool]:
    """The stamp to remember for what we put at `path`, and whether it was still untouched.

    `ours` was taken right after the name was given, which changes the ctime. If somebody wrote
    since, even with size and mtime restored, it stays the one of what we put, and is not
    trusted.
    """
    try:
        directory_fd, name = cursor.parent(path)
        found = stat_afresh(ground.fs, name, directory_fd)
    except OSError:
        return ours, False
    same = stamps.version(found) == stamps.version(ours)
    return (found, True) if same else (ours, False)
