"""What no honest side says: names that are no paths do not leave, values nothing here can hold do not enter.

An item with such a name fails here, the others of its batch are sent; such a value is a malformed answer.
What a path may be beyond that (our own names, lengths, what the disk holds) is settled elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from syncer.engine.interfaces import Results
from syncer.engine.model import (
    BlockedEntry,
    Done,
    Entry,
    Failed,
    Listing,
    Outcome,
    RelPath,
    Seen,
)
from syncer.engine.paths import printable
from syncer.errors import PermanentError, Unholdable
from syncer.wire.schema import malformed
from syncer.wire.schema import path as is_path

ItemT = TypeVar("ItemT")
SeenT = TypeVar("SeenT", bound=Seen)
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take


def sifted(
    items: Sequence[ItemT],
    named: Callable[[ItemT], Sequence[RelPath]],
    send: Callable[[Sequence[ItemT]], Results],
) -> Results:
    """The outcomes of all items, of which only those with sound names are sent."""
    sound: list[int] = []
    for index, item in enumerate(items):
        bad = next((path for path in named(item) if not _is_sound(path)), None)
        if bad is None:
            sound.append(index)
        else:
            yield index, Failed(error=Unholdable(f"{printable(bad)!r} is not a path", path=bad))
    if sound:
        for position, outcome in send([items[index] for index in sound]):
            yield sound[position], outcome


def _is_sound(path: RelPath) -> bool:
    try:
        return is_path(path) != ""
    except PermanentError:
        return False


def believable(seen: SeenT) -> SeenT:
    """What was shown, if it can be. Raises PermanentError for a time or a link's text that is none."""
    if isinstance(seen, Entry):
        if seen.mtime_ns is not None and not -_FARTHEST <= seen.mtime_ns < _FARTHEST:
            raise malformed("a time")
        if seen.target is not None and ("\0" in seen.target or not can_be_spelt(seen.target)):
            raise malformed("a target")
    return seen


def believable_listing(listing: Listing) -> Listing:
    """The same for all of a directory, and its names; the engine judges which of those are safe."""
    for name, seen in listing.entries.items():
        believable_child(name, seen)
    return listing


def believable_child(name: str, seen: Entry | BlockedEntry) -> None:
    """The same for one name of a directory."""
    believable(seen)
    if not can_be_spelt(name):
        raise malformed("a name")


def believable_outcome(outcome: Outcome) -> Outcome:
    """The same for what a change is said to have left."""
    if isinstance(outcome, Done):
        believable(outcome.entry)
    return outcome


def can_be_spelt(text: str) -> bool:
    """Whether it stands for bytes (PEP 383): JSON can say surrogates that stand for none."""
    if text.isascii():
        return True
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
