"""Names that are no paths never leave: such an item fails here, and the others of its batch are sent.

What a path may be beyond that (our own names, lengths, what the disk holds) the server decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from syncer.engine.model import Failed, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Results
from syncer.errors import PermanentError, Unholdable
from syncer.wire.values import path as is_path

ItemT = TypeVar("ItemT")


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
