"""Change detection: compares one side's entry with the base, and says which digests that needs.

Pure. An equal version proves that nothing changed; another version proves nothing yet: then the size, and at
last the digest, decide. Clocks play no part: an older mtime is a change like any other, and equal bytes are
never a change.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from syncer.engine.model import BaseEntry, Entry, Kind, Side


class Change(Enum):
    """How one side differs from the base. Without a base row, an entry is EDITED."""

    SAME = auto()
    TOUCHED = auto()  # same bytes, other mtime or executable bit
    EDITED = auto()
    GONE = auto()
    DIRECTORY = auto()

    @property
    def keeps_bytes(self) -> bool:
        """True if the content is the agreed one."""
        return self in (Change.SAME, Change.TOUCHED)


def change(base: BaseEntry | None, seen: Entry | None, side: Side, *, granularity_ns: int) -> Change:
    """How a side differs from the base; its digest must be known if `wanted` asked for it.

    `granularity_ns`: the coarser of both sides' mtime granularities, 0 if a side cannot hold mtimes.
    """
    if seen is None:
        return Change.GONE
    if seen.kind is Kind.DIRECTORY:
        return Change.DIRECTORY
    if base is None or base.kind is not seen.kind:
        return Change.EDITED
    # A version is in the base only if it was trusted when it was recorded: any write since would have given
    # another one. So an equal version needs no look at the content.
    if seen.version == base.version(side):
        return Change.SAME
    # Another version with the base's digest is a touch. Where the sizes are equal, `wanted` had the digest
    # read; where they differ, no digest is needed to know that the content is another.
    if seen.size != base.size or seen.digest != base.digest:
        return Change.EDITED
    return Change.TOUCHED if _touched(base, seen, side, granularity_ns) else Change.SAME


def _touched(base: BaseEntry, seen: Entry, side: Side, granularity_ns: int) -> bool:
    """True if the executable bit or the mtime is another than the base's; only files have either."""
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
    """Whether the digest of the local and of the remote entry must be read before anything can be decided.

    Reading a file is what makes a run slow, so a digest is asked for in two cases only.
    """
    # A name that only one side has, and the base has not, is new whatever its content: nothing to compare.
    if (local is None and remote is None) or (base is None and (local is None or remote is None)):
        return False, False
    # One: a touch and an edit look alike as long as the size is the base's.
    unsure_local = _unsure(base, local, Side.LOCAL)
    unsure_remote = _unsure(base, remote, Side.REMOTE)
    # Two: both sides may have changed, and to the same content. Equal content is never a conflict, so both
    # digests are read before the two are called one.
    rival = (
        _version_differs(base, local, Side.LOCAL)
        and _version_differs(base, remote, Side.REMOTE)
        and _could_be_equal(local, remote)
    )
    return (
        _lacks_digest(local) and (unsure_local or rival),
        _lacks_digest(remote) and (unsure_remote or rival),
    )


def _lacks_digest(seen: Entry | None) -> bool:
    return seen is not None and seen.kind is Kind.FILE and seen.digest is None


def _version_differs(base: BaseEntry | None, seen: Entry | None, side: Side) -> bool:
    """True if the version token differs from the base, i.e. the content may have changed."""
    if seen is None:
        return False
    return base is None or seen.version != base.version(side)


def _unsure(base: BaseEntry | None, seen: Entry | None, side: Side) -> bool:
    """True if the version differs and the size does not: a touch or an edit."""
    if base is None or seen is None or not _version_differs(base, seen, side):
        return False
    return base.kind is Kind.FILE and seen.kind is Kind.FILE and seen.size == base.size


def _could_be_equal(local: Entry | None, remote: Entry | None) -> bool:
    """True if kind and size allow both files to have the same content."""
    if local is None or remote is None:
        return False
    return local.kind is Kind.FILE and remote.kind is Kind.FILE and local.size == remote.size


def same_bytes(local: Entry, remote: Entry) -> bool:
    """True if both entries are known to have equal content; the executable bit and mtime do not count."""
    if local.kind is not remote.kind:
        return False
    if local.kind is Kind.DIRECTORY:
        return True
    # An unknown digest is no equality: two contents are called one only if both were read.
    return local.size == remote.size and local.digest is not None and local.digest == remote.digest


def with_digest(seen: Entry, base: BaseEntry | None) -> Entry:
    """The entry with the base's digest, if it has none; the caller found it unchanged against the base."""
    if base is None or seen.digest is not None or seen.kind is Kind.DIRECTORY:
        return seen
    return replace(seen, digest=base.digest)


def merged_executable(base: BaseEntry | None, local: Entry, remote: Entry) -> bool | None:
    """Three-way merge of the executable bit; None if neither side can hold one.

    Of two bits that differ, one differs from the base: that is the change. Without a base the set bit wins,
    since it is easily lost (by archives, FAT, mail) and rarely set by accident.
    """
    if local.executable is None or remote.executable is None:
        return remote.executable if local.executable is None else local.executable
    if local.executable == remote.executable:
        return local.executable
    return True if base is None or base.kind is not Kind.FILE else not base.executable


def agreement(local: Entry, remote: Entry) -> BaseEntry:
    """The base row for content that both sides hold. At least one digest must be known.

    A version whose stamp is not trusted is recorded as None: a write within the same clock tick would leave
    it as it is, so the next run has to read the content again.
    """
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
