"""How one side of one name stands to the base, and what must be read to tell.

Pure. A version that is equal proves sameness; one that differs proves nothing yet:
then size, and in the end the digest, decide. Clocks play no part: an older mtime is
a change like any other, and equal bytes are never one.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from syncer.engine.model import BaseEntry, Entry, Kind, Side


class Change(Enum):
    """One side against the base. Without a base, what is there is EDITED."""

    SAME = auto()
    TOUCHED = auto()  # same bytes, other mtime or executable bit
    EDITED = auto()
    GONE = auto()
    DIRECTORY = auto()

    @property
    def keeps_bytes(self) -> bool:
        return self in (Change.SAME, Change.TOUCHED)


def change(base: BaseEntry | None, seen: Entry | None, side: Side, *, granularity_ns: int) -> Change:
    """How a side stands to the base; its digest must be known where `wanted` asked for it."""
    if seen is None:
        return Change.GONE
    if seen.kind is Kind.DIRECTORY:
        return Change.DIRECTORY
    if base is None or base.kind is not seen.kind:
        return Change.EDITED
    if seen.version == base.version(side):
        return Change.SAME
    if seen.size != base.size or seen.digest != base.digest:
        return Change.EDITED
    return Change.TOUCHED if _touched(base, seen, side, granularity_ns) else Change.SAME


def _touched(base: BaseEntry, seen: Entry, side: Side, granularity_ns: int) -> bool:
    if seen.kind is not Kind.FILE:
        return False
    if seen.executable is not None and seen.executable != base.executable:
        return True
    return not same_time(seen.mtime_ns, base.mtime_ns(side), granularity_ns)


def same_time(a: int | None, b: int | None, granularity_ns: int) -> bool:
    """Whether two mtimes are equal as far as a side can hold them; unknown counts as equal."""
    if a is None or b is None or granularity_ns == 0:
        return True
    return a // granularity_ns == b // granularity_ns


def wanted(base: BaseEntry | None, local: Entry | None, remote: Entry | None) -> tuple[bool, bool]:
    """Of which sides the digest must be learnt before anything can be decided."""
    if (local is None and remote is None) or (base is None and (local is None or remote is None)):
        return False, False
    unsure_local = _unsure(base, local, Side.LOCAL)
    unsure_remote = _unsure(base, remote, Side.REMOTE)
    rival = _moved(base, local, Side.LOCAL) and _moved(base, remote, Side.REMOTE) and _alike(local, remote)
    return (
        _unread(local) and (unsure_local or rival),
        _unread(remote) and (unsure_remote or rival),
    )


def _unread(seen: Entry | None) -> bool:
    return seen is not None and seen.kind is Kind.FILE and seen.digest is None


def _moved(base: BaseEntry | None, seen: Entry | None, side: Side) -> bool:
    """Whether the stamp alone leaves it open that the content is another."""
    if seen is None:
        return False
    return base is None or seen.version != base.version(side)


def _unsure(base: BaseEntry | None, seen: Entry | None, side: Side) -> bool:
    """Whether the stamp moved and the size did not: a touch or an edit."""
    if base is None or seen is None or not _moved(base, seen, side):
        return False
    return base.kind is Kind.FILE and seen.kind is Kind.FILE and seen.size == base.size


def _alike(local: Entry | None, remote: Entry | None) -> bool:
    """Whether two rivals could still be equal."""
    if local is None or remote is None:
        return False
    return local.kind is Kind.FILE and remote.kind is Kind.FILE and local.size == remote.size


def same_bytes(local: Entry, remote: Entry) -> bool:
    """Equality of content, the executable bit left aside."""
    if local.kind is not remote.kind:
        return False
    if local.kind is Kind.DIRECTORY:
        return True
    return local.size == remote.size and local.digest is not None and local.digest == remote.digest


def with_digest(seen: Entry, base: BaseEntry | None) -> Entry:
    """An entry that was found the same as the base knows the base's digest."""
    if base is None or seen.digest is not None or seen.kind is Kind.DIRECTORY:
        return seen
    return replace(seen, digest=base.digest)


def merged_executable(base: BaseEntry | None, local: Entry, remote: Entry) -> bool | None:
    """The executable bit after both sides had their say; None if neither side can hold one.

    Of two that differ, one differs from the base: that one is somebody's change. Without
    a base executable wins, since the bit is easily lost on the way and rarely gained.
    """
    if local.executable is None or remote.executable is None:
        return remote.executable if local.executable is None else local.executable
    if local.executable == remote.executable:
        return local.executable
    return True if base is None or base.kind is not Kind.FILE else not base.executable


def agreement(local: Entry, remote: Entry) -> BaseEntry:
    """The base row for content that both sides hold. At least one digest must be known."""
    executable = remote.executable if local.executable is None else local.executable
    return BaseEntry(
        kind=local.kind,
        size=0 if local.kind is Kind.DIRECTORY else local.size,
        digest=local.digest or remote.digest or b"",
        executable=bool(executable),
        local_version=local.version if local.trusted else None,
        remote_version=remote.version if remote.trusted else None,
        local_mtime_ns=local.mtime_ns,
        remote_mtime_ns=remote.mtime_ns,
    )


DIRECTORY = BaseEntry(kind=Kind.DIRECTORY)
