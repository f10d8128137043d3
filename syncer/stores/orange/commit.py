"""Commit: a staged file gets its name.

1. Look: the name holds what was planned on, or nothing. The staged file beside it shows that its directory
   stands.
2. What is there is moved to the trash, and compared there with what was seen: if it is something else, it is
   moved back, and the item is stale.
3. The staged file gets the name by a rename.

If the process dies after 2, the name is absent, the old content is in the trash and the new one at the
source, which puts it again; the staged file is swept by the next run. RACE: between 1 and 3, if the service
lets a rename replace a file that just appeared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncer.engine.model import Done, Method
from syncer.errors import LocalError, StoreError
from syncer.stores.orange.cache import FILE, CachedItem
from syncer.stores.orange.context import OrangeRoot
from syncer.stores.orange.items import MARGIN_NS, File
from syncer.stores.orange.moves import carry
from syncer.stores.orange.staging import OrangeStaging, StagedFile
from syncer.stores.orange.trash import OrangeTrash
from syncer.stores.stale import StaleError

_LONGEST_WAIT_NS = 3 * MARGIN_NS


def settle(root: OrangeRoot, staged: Sequence[StagedFile]) -> None:
    """Wait until a later write would show another date than the staged files; not for a clock far ahead."""
    missing = [
        s.file.date_ns + MARGIN_NS - s.file.asked_ns
        for s in staged
        if s.file.date_ns is not None and s.file.asked_ns is not None
    ]
    longest = max(missing, default=0)
    if 0 < longest <= _LONGEST_WAIT_NS:
        root.api.session.clock.sleep(longest / 1e9)


def install(
    root: OrangeRoot, trash: OrangeTrash, staging: OrangeStaging, staged: StagedFile, *, now_ns: int
) -> Done:
    """Raises StaleError, StoreError; then the name holds what it held, and the staged file is deleted."""
    path, target = staged.item.path, root.at(staged.item.path)
    try:
        before = root.expect_planned(path, staged.item.expected)
        # Looked at in a later second than it was sent in: its date shows that nobody wrote there since.
        ready = root.seek(staged.path)
        if not isinstance(ready, File) or ready.version != staged.file.version:
            raise StaleError(f"{path}: the uploaded file is not there any more")
        kept = trash.keep(path, before) if before is not None else None
        try:
            after = carry(root, ready, staged.path, target)
        except (StoreError, StaleError):
            taken = root.stat(kept) if kept is not None else None
            if kept is not None and taken is not None:
                trash.put_back(kept, taken, path)
            raise
    except (StoreError, LocalError, StaleError):
        staging.discard(staged.path)
        raise
    staging.named(staged.path)
    # The entry is what was uploaded, never a later edit. It is trusted if the look before the rename was in a
    # later second than the date that is still shown: then any write to the name shows another date.
    if not isinstance(after, File) or after.size != ready.size:
        entry = replace(ready.entry(staged.digest), trusted=False)
    elif after.version != ready.version:  # the rename changed the date, or another client wrote
        entry = replace(after.entry(), trusted=False, digest=staged.digest)
    else:
        entry = ready.entry(staged.digest)
    root.cache.put(
        path,
        CachedItem(
            kind=FILE,
            version=entry.version if entry.trusted else b"",
            digest=staged.digest if entry.trusted else None,
            wrote_ns=now_ns,
        ),
    )
    return Done(entry=entry, method=Method.WHOLE, sent=staged.item.size)
