"""Validate what crosses the wire: invalid paths before sending, unrepresentable values after receiving.

Values are times, link targets and names. An item with an invalid path fails by itself and the rest of its
batch goes on (`ValidBatch`); an invalid value makes the whole answer malformed. Which names are Syncer's own,
and how long a path may be, is checked by the stores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from syncer.engine.interfaces import RenameRequest, Results
from syncer.engine.model import BlockedEntry, Done, Entry, Failed, Listing, Outcome, RelPath, Seen
from syncer.engine.paths import printable
from syncer.errors import PermanentError, SyncerError, Unholdable
from syncer.wire.schema import malformed, path_in

ItemT = TypeVar("ItemT")
SeenT = TypeVar("SeenT", bound=Seen)
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take


def paths_of(item: object) -> tuple[RelPath, ...]:
    """The paths that a request names, or the path itself; of a rename the origin first."""
    if isinstance(item, str):
        return (item,)
    path: RelPath = item.path  # type: ignore[attr-defined]  # all requests have one
    return (item.origin, path) if isinstance(item, RenameRequest) else (path,)


def invalid_path(item: object) -> SyncerError | None:
    """The error of an item that names something that is no path, or the root; None if it is valid."""
    for path in paths_of(item):
        try:
            valid = path_in(path) != ""
        except PermanentError:
            valid = False
        if not valid:
            return Unholdable(f"{printable(path)!r} is not a path", path=path)
    return None


class ValidBatch(Generic[ItemT]):
    """A batch of requests split into the valid `items` and the outcomes of the `rejected` ones.

    `positions`: of each valid item in the caller's list, by which outcomes are numbered.
    """

    def __init__(
        self,
        items: Sequence[ItemT],
        error_of: Callable[[ItemT], SyncerError | None] = invalid_path,
    ) -> None:
        """`error_of`: the error of an item that is not to be tried, None for a valid one."""
        self.items: list[ItemT] = []
        self.rejected: list[tuple[int, Outcome]] = []
        self.positions: list[int] = []
        for position, item in enumerate(items):
            error = error_of(item)
            if error is not None:
                self.rejected.append((position, Failed(error=error)))
            else:
                self.items.append(item)
                self.positions.append(position)

    def outcomes(self, results: Results) -> Results:
        """Yield the rejections, then the results of the work on `items`."""
        yield from self.rejected
        if self.items:
            for position, outcome in results:
                yield self.positions[position], outcome


def checked_entry(seen: SeenT) -> SeenT:
    """The entry itself. Raises PermanentError for a time or link target that nothing here can hold."""
    if isinstance(seen, Entry):
        if seen.mtime_ns is not None and not -_FARTHEST <= seen.mtime_ns < _FARTHEST:
            raise malformed("a time")
        if seen.target is not None and ("\0" in seen.target or not is_encodable(seen.target)):
            raise malformed("a target")
    return seen


def checked_child(name: str, seen: Entry | BlockedEntry) -> None:
    """Check one name of a directory and its entry. Raises PermanentError."""
    checked_entry(seen)
    if not is_encodable(name):
        raise malformed("a name")


def checked_listing(listing: Listing) -> Listing:
    """The listing itself. Raises PermanentError; which names are safe is judged by the engine."""
    for name, seen in listing.entries.items():
        checked_child(name, seen)
    return listing


def checked_outcome(outcome: Outcome) -> Outcome:
    """The outcome itself. Raises PermanentError for an entry that `checked_entry` refuses."""
    if isinstance(outcome, Done):
        checked_entry(outcome.entry)
    return outcome


def is_encodable(text: str) -> bool:
    """Whether the text stands for bytes (PEP 383): JSON can hold surrogates that stand for none."""
    if text.isascii():
        return True
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
