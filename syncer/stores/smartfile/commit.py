"""How staged content gets its name.

1. look: the name holds what was planned on, or nothing and its directory stands;
2. what is there goes to the trash by a rename, and is looked at there: if it is not what was seen, it goes
   back, and the item is stale;
3. the staged file gets the name by a rename, which fails where the name is taken.

Dead after 2: the name is absent, the old content in the trash, the new one at the source, which puts it
again. RACE: between 1 and 3, if this service lets a rename replace a file that just appeared.
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.model import Done, Entry, RelPath
from syncer.engine.paths import printable
from syncer.errors import StoreError, TransientError
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.context import SmartFileContext
from syncer.stores.smartfile.info import MARGIN_NS, Info
from syncer.stores.smartfile.staging import Staged
from syncer.stores.smartfile.trash import look, move
from syncer.stores.stale import StaleError

_PATIENCE_NS = 5 * 10**9
_LOOKS, _PAUSE = 6, 0.4  # seconds
_OURS = frozenset({attributes.ATTRIBUTE, attributes.MODIFIED, attributes.FOREIGN_DIGEST})


def settle(ground: SmartFileContext, staged: list[Staged]) -> None:
    """Waits until a later write shows another time than what was staged; not for a clock that runs wild.

    The clock is the service's; its answers tell it in whole seconds, and some a little late.
    """
    spans = [s.info.span.latest_ns for s in staged if s.info.span is not None]
    asked = [s.info.asked_ns for s in staged if s.info.asked_ns is not None]
    if not spans or not asked:
        return
    quiet = max(spans) + MARGIN_NS
    missing = quiet - max(asked)
    clock = ground.api.session.clock
    if 0 < missing <= _PATIENCE_NS:
        clock.sleep(missing / 1e9)
        for _ in range(_LOOKS):
            if _clock(ground, quiet) >= quiet:
                return
            clock.sleep(_PAUSE)


def _clock(ground: SmartFileContext, otherwise: int) -> int:
    """The service's, now; `otherwise` where it cannot be had: what is staged is just not trusted then."""
    try:
        found = ground.look("")
    except TransientError:
        return otherwise
    return otherwise if found is None or found.asked_ns is None else found.asked_ns


def install(ground: SmartFileContext, staged: Staged) -> Done:
    """Raises Unexpected, StoreError; then the name holds what it held, and the staged file is dropped."""
    path = staged.item.path
    try:
        before = ground.expect(path, staged.item.expected)
        around = before if before is not None else ground.parent(path)
        if before is not None:
            staged = _with_foreign(ground, staged, before)
        kept = ground.keep(path, before) if before is not None else None
        _named(ground, staged, path, kept)
    except (StoreError, StaleError):
        ground.staging.discard(staged.path)
        raise
    finally:
        if staged.folder is not None:
            ground.staging.discard(staged.folder)
    return Done(
        entry=_entry(ground, staged, around.asked_ns),
        method=staged.method,
        sent=staged.sent,
        received=staged.received,
    )


def _named(ground: SmartFileContext, staged: Staged, path: RelPath, kept: str | None) -> None:
    target = ground.at(path)
    try:
        move(ground.api, staged.path, target)
    except StoreError:
        if look(ground.api, target) is not None:
            raise StaleError(f"{printable(path)} appeared meanwhile") from None
        if kept is not None:
            ground.put_back(kept, path)
        raise


def _with_foreign(ground: SmartFileContext, staged: Staged, before: Info) -> Staged:
    """What other programs noted about the file stays with its name, but for digests."""
    foreign = {name: value for name, value in before.attributes.items() if name not in _OURS}
    if not foreign:
        return staged
    return replace(staged, info=ground.staging.annotate(staged.path, foreign))


def _entry(ground: SmartFileContext, staged: Staged, asked_ns: int | None) -> Entry:
    """What the name holds now: what we put there, never a later edit.

    `asked_ns`: the service's clock at the latest look before the rename. Trusted if it was a later second
    than the one shown: then any write to the name shows another time.
    """
    ours = staged.info
    entry = replace(ours, asked_ns=asked_ns).entry()
    try:
        now = look(ground.api, ground.at(staged.item.path))
        if now is None or now.directory or now.size != ours.size:
            return replace(entry, trusted=False)
        return entry if now.version == ours.version else _marked_again(ground, staged, now)
    except TransientError:  # it is done; what it looks like is for the next run to find out
        return replace(entry, trusted=False)


def _marked_again(ground: SmartFileContext, staged: Staged, now: Info) -> Entry:
    """The rename changed time or attributes. The digest is noted again only where it surely belongs."""
    ours = staged.info
    sure = now.time == ours.time
    mark = replace(staged.mark, time=now.time, digest=staged.content.blake3 if sure else None)
    after = ground.staging.annotate(ground.at(staged.item.path), mark.attributes())
    if after.mark != mark:
        return replace(ours.entry(), trusted=False)
    return replace(after.entry(), digest=staged.content.blake3, trusted=False)
