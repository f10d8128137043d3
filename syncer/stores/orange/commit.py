"""How staged content gets its name.

1. look: the name holds what was planned on, or nothing; the staged file beside it shows that its directory
   stands;
2. what is there goes to the trash by a move, and is looked at there: if it is not what was seen, it goes
   back, and the item is stale;
3. the staged file gets the name by a rename.

Dead after 2: the name is absent, the old content in the trash, the new one at the source, which puts it
again; the staged file is swept. RACE: between 1 and 3, if the service lets a rename replace a file that just
appeared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncer.engine.model import Done, Entry, Method
from syncer.errors import LocalError, StoreError
from syncer.stores.orange.cache import FILE, CachedItem
from syncer.stores.orange.context import Item, OrangeContext
from syncer.stores.orange.items import MARGIN_NS, File
from syncer.stores.orange.moves import carry
from syncer.stores.orange.staging import Staged, Staging
from syncer.stores.orange.trash import Trash
from syncer.stores.stale import StaleError

_PATIENCE_NS = 3 * MARGIN_NS


def settle(ground: OrangeContext, staged: Sequence[Staged]) -> None:
    """Waits until a later write shows another date than what was staged; not for a clock that runs wild."""
    behind = [
        s.file.date_ns + MARGIN_NS - s.file.asked_ns
        for s in staged
        if s.file.date_ns is not None and s.file.asked_ns is not None
    ]
    longest = max(behind, default=0)
    if 0 < longest <= _PATIENCE_NS:
        ground.api.session.clock.sleep(longest / 1e9)


def install(ground: OrangeContext, trash: Trash, staging: Staging, staged: Staged, *, now_ns: int) -> Done:
    """Raises Unexpected, StoreError; then the name holds what it held, and the staged file is dropped."""
    path = staged.item.path
    try:
        before = ground.expect(path, staged.item.expected)
        ready = _as_sent(ground, staged)
        if before is None:
            after = carry(ground, ready, staged.place, ground.at(path))
        else:
            after = _exchanged(ground, trash, staged, ready, before)
    except (StoreError, LocalError, StaleError):
        staging.discard(staged.place)
        raise
    staging.named(staged.place)
    entry = _entry(staged, ready, after)
    ground.book.put(
        path,
        CachedItem(
            kind=FILE,
            version=entry.version if entry.trusted else b"",
            digest=staged.digest if entry.trusted else None,
            wrote_ns=now_ns,
        ),
    )
    return Done(entry=entry, method=Method.WHOLE, sent=staged.item.size)


def _as_sent(ground: OrangeContext, staged: Staged) -> File:
    """What is staged, looked at in a later second than it was sent in: nobody wrote there since."""
    found = ground.seek(staged.place)
    if not isinstance(found, File) or found.version != staged.file.version:
        raise StaleError(f"{staged.item.path}: what was sent is not there any more")
    return found


def _exchanged(ground: OrangeContext, trash: Trash, staged: Staged, ready: File, before: Item) -> Item:
    path = staged.item.path
    kept = trash.keep(path, before)
    try:
        return carry(ground, ready, staged.place, ground.at(path))
    except (StoreError, StaleError):
        taken = ground.seek(kept)
        if taken is not None:
            trash.put_back(kept, taken, path)
        raise


def _entry(staged: Staged, ready: File, after: Item) -> Entry:
    """What the name holds now: what we put there, never a later edit.

    Trusted if the last look before the rename was in a later second than the date that is still shown: then
    any write to the name shows another one.
    """
    if not isinstance(after, File) or after.size != ready.size:
        return replace(ready.entry(staged.digest), trusted=False)
    if after.version != ready.version:  # the rename took the date, or somebody wrote: the next run reads it
        return replace(after.entry(), trusted=False, digest=staged.digest)
    return ready.entry(staged.digest)
