"""Commit: a staged file gets its name.

1. Look: the name holds what was planned on, or nothing and its directory stands.
2. What is there is renamed into the trash, and compared there with what was seen: if it is something else, it
   is renamed back, and the item is stale.
3. The staged file gets the name by a rename, which fails where the name is taken.

If the process dies after 2, the name is absent, the old content is in the trash and the new one at the
source, which puts it again. RACE: between 1 and 3, if this service lets a rename replace a file that just
appeared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncer.engine.model import Done, Entry
from syncer.engine.paths import printable
from syncer.errors import StoreError, TransientError
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.context import SmartFileRoot, move
from syncer.stores.smartfile.info import MARGIN_NS
from syncer.stores.smartfile.staging import SmartFileStaging, StagedUpload
from syncer.stores.smartfile.trash import SmartFileTrash
from syncer.stores.stale import StaleError

_LONGEST_WAIT_NS = 5 * 10**9
_LOOKS, _PAUSE = 6, 0.4  # seconds
_OURS = frozenset({attributes.ATTRIBUTE, attributes.MODIFIED, attributes.FOREIGN_DIGEST})


def settle(root: SmartFileRoot, staged: Sequence[StagedUpload]) -> None:
    """Wait until a later write would show another time than the staged files; not for a clock far ahead.

    The clock is the service's: its responses show it in whole seconds, and some a little late, so it is read
    again after the pause. Where it cannot be read the staged files are just not trusted.
    """
    latest = [s.info.span.latest_ns for s in staged if s.info.span is not None]
    asked = [s.info.asked_ns for s in staged if s.info.asked_ns is not None]
    if not latest or not asked:
        return
    quiet = max(latest) + MARGIN_NS
    missing = quiet - max(asked)
    clock = root.api.session.clock
    if 0 < missing <= _LONGEST_WAIT_NS:
        clock.sleep(missing / 1e9)
        for _ in range(_LOOKS):
            try:
                found = root.stat("")
            except TransientError:
                return
            if found is None or found.asked_ns is None or found.asked_ns >= quiet:
                return
            clock.sleep(_PAUSE)


def install(
    root: SmartFileRoot, staging: SmartFileStaging, trash: SmartFileTrash, staged: StagedUpload
) -> Done:
    """Raises StaleError, StoreError; then the name holds what it held, and the staged file is removed."""
    path = staged.item.path
    try:
        before = root.expect_planned(path, staged.item.expected)
        around = before if before is not None else root.parent(path)
        kept = None
        if before is not None:
            # Attributes that other programs gave the file stay with its name, except digests of its content.
            foreign = {name: value for name, value in before.attributes.items() if name not in _OURS}
            if foreign:
                staged = replace(staged, info=staging.annotate(staged.path, foreign))
            kept = trash.keep(path, before)
        try:
            move(root.api, staged.path, root.at(path))
        except StoreError:
            if root.stat(path) is not None:
                raise StaleError(f"{printable(path)} appeared meanwhile") from None
            if kept is not None and before is not None:
                trash.put_back(kept, before, path)
            raise
    except (StoreError, StaleError):
        staging.discard(staged.path)
        raise
    finally:
        if staged.folder is not None:
            staging.discard(staged.folder)
    return Done(
        entry=_entry(root, staging, staged, around.asked_ns),
        method=staged.method,
        sent=staged.sent,
        received=staged.received,
    )


def _entry(
    root: SmartFileRoot, staging: SmartFileStaging, staged: StagedUpload, asked_ns: int | None
) -> Entry:
    """The entry of what was uploaded, never of a later edit.

    `asked_ns`: the service's clock at the last look before the rename. Trusted if that was a later second
    than the time that the file shows: then any write to the name shows another time.
    """
    ours, target = staged.info, root.at(staged.item.path)
    entry = replace(ours, asked_ns=asked_ns).entry()
    try:
        now = root.stat(staged.item.path)
        if now is None or now.directory or now.size != ours.size:
            return replace(entry, trusted=False)
        if now.version == ours.version:
            return entry
        # The rename changed time or attributes. The digest is written again only if the time shows that the
        # content cannot be another one.
        sure = now.time == ours.time
        mark = replace(staged.mark, time=now.time, digest=staged.content.blake3 if sure else None)
        after = staging.annotate(target, mark.attributes())
        if after.mark != mark:
            return replace(ours.entry(), trusted=False)
        return replace(after.entry(), digest=staged.content.blake3, trusted=False)
    except TransientError:  # the file has its name; the next run finds out what it looks like
        return replace(entry, trusted=False)
