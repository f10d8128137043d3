"""The decision table for one name that is no directory on either side.

Pure and total: every combination of base, local and remote has exactly one answer.
Each branch says what is known there and why the choice is safe. Directories and kind
clashes are `engine.reconcile`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from syncer.engine.changes import (
    Change,
    change,
    merged_executable,
    same_bytes,
    same_time,
    with_digest,
)
from syncer.engine.model import (
    Action,
    Adopt,
    BaseEntry,
    ConflictPolicy,
    Delete,
    Entry,
    Forget,
    KeepBoth,
    Mode,
    Reason,
    RelPath,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.report import ConflictReport, Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One name with what is known of it; `granularity_ns` is the coarser of both sides' mtimes."""

    path: RelPath
    base: BaseEntry | None
    local: Entry | None
    remote: Entry | None
    granularity_ns: int = 1

    def seen(self, side: Side) -> Entry | None:
        return self.local if side is Side.LOCAL else self.remote

    def change(self, side: Side) -> Change:
        return change(self.base, self.seen(side), side, granularity_ns=self.granularity_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides where the observations leave a choice; `copy_name` finds a free conflict name."""

    conflict: ConflictPolicy
    mode: Mode
    copy_name: Callable[[RelPath, Entry], RelPath]
    now_ns: int | None = None  # see `Policy`


@dataclass(frozen=True, slots=True)
class Decision:
    """At most one action, and the conflict it came from (or that waits instead of it)."""

    action: Action | None = None
    conflict: ConflictReport | None = None


AHEAD_NS = 24 * 3600 * 10**9
"""An mtime that lies so far in the future was given by a wrong clock."""
_BY_TIME = frozenset({ConflictPolicy.KEEP_BOTH, ConflictPolicy.NEWER})
NOTHING = Decision()
CHANGED = {Side.LOCAL: Reason.LOCAL_CHANGED, Side.REMOTE: Reason.REMOTE_CHANGED}
NEW = {Side.LOCAL: Reason.LOCAL_NEW, Side.REMOTE: Reason.REMOTE_NEW}
DELETED = {Side.LOCAL: Reason.LOCAL_DELETED, Side.REMOTE: Reason.REMOTE_DELETED}
WON = {Side.LOCAL: Resolution.LOCAL_WON, Side.REMOTE: Resolution.REMOTE_WON}


def decide(leaf: Leaf, settings: Settings) -> Decision:
    """What is to be done about one name."""
    local, remote = leaf.local, leaf.remote
    if local is not None and remote is not None:
        return _both_there(leaf, local, remote, settings)
    if local is not None:
        return _one_there(leaf, Side.LOCAL, local, settings)
    if remote is not None:
        return _one_there(leaf, Side.REMOTE, remote, settings)
    # Gone on both sides (or never there): there is nothing left that could be lost.
    return Decision(Forget(path=leaf.path, reason=Reason.BOTH_DELETED)) if leaf.base else NOTHING


def _one_there(leaf: Leaf, side: Side, seen: Entry, settings: Settings) -> Decision:
    """The name is there on `side` and absent on the other."""
    if not settings.mode.may_change(side.other):
        return _one_there_on_follower(leaf, side, seen)
    if leaf.base is None:
        return Decision(_send(leaf, side, seen, NEW[side]))
    if not leaf.change(side).keeps_bytes:
        # Edited here, deleted there: the edit exists nowhere else, the deletion can be repeated.
        return Decision(_send(leaf, side, seen, Reason.EDIT_BEATS_DELETE))
    if not settings.mode.may_change(side):
        # One-way job, and the file was deleted on the following side: it is put back.
        return Decision(_send(leaf, side, seen, Reason.MIRROR))
    # Unchanged here, deleted there: what goes to the trash is what both had agreed on.
    return Decision(_delete(leaf, side, seen))


def _one_there_on_follower(leaf: Leaf, side: Side, seen: Entry) -> Decision:
    """One-way, and only the side that follows has the name; the other side may not be changed."""
    if leaf.base is None:
        return NOTHING  # only the following side has it: a one-way job leaves it alone
    if leaf.change(side).keeps_bytes:
        return Decision(_delete(leaf, side, seen))
    # Edited there, deleted at the source: left alone, and not this job's file from now on.
    return Decision(Forget(path=leaf.path, reason=DELETED[side.other]))


def _both_there(leaf: Leaf, local: Entry, remote: Entry, settings: Settings) -> Decision:
    here, there = leaf.change(Side.LOCAL), leaf.change(Side.REMOTE)
    # Neither side changed its bytes: at most mtime and executable bit are to be agreed on.
    if here.keeps_bytes and there.keeps_bytes:
        return _settle(leaf, local, remote, settings)
    # One side changed: the other still holds the agreed bytes, which the trash keeps when they are replaced.
    if here.keeps_bytes or there.keeps_bytes:
        changed = Side.REMOTE if here.keeps_bytes else Side.LOCAL
        return _one_edited(leaf, changed, settings)
    if same_bytes(local, remote):
        # Equal content is never a conflict, however it came about.
        return _settle(leaf, local, remote, settings)
    return _conflict(leaf, local, remote, settings, Reason.BOTH_CHANGED if leaf.base else Reason.BOTH_NEW)


def _one_edited(leaf: Leaf, side: Side, settings: Settings) -> Decision:
    """Edited on one side, the other still holds the agreed bytes: it follows."""
    local, remote = leaf.local, leaf.remote
    assert local is not None and remote is not None
    if not settings.mode.may_change(side.other):
        return _conflict(leaf, local, remote, settings, Reason.MIRROR)
    seen = local if side is Side.LOCAL else remote
    executable = merged_executable(leaf.base, local, remote)
    if seen.executable is not None and not settings.mode.may_change(side):
        executable = seen.executable
    action = _send(leaf, side, seen, CHANGED[side], executable=executable)
    return Decision(action)


def _settle(leaf: Leaf, local: Entry, remote: Entry, settings: Settings) -> Decision:
    """Equal bytes on both sides: agree on executable bit and mtime, and remember."""
    local, remote = _knowing(leaf, local, remote)
    executable = merged_executable(leaf.base, local, remote)
    follower = _follower(leaf, local, remote, executable, settings)
    if follower is not None:
        return _touch(leaf, follower, local, remote, executable)
    if leaf.base is None:
        return Decision(Adopt(path=leaf.path, reason=Reason.EQUAL, local=local, remote=remote))
    if _remembered(leaf.base, local, Side.LOCAL) and _remembered(leaf.base, remote, Side.REMOTE):
        return NOTHING
    quiet = leaf.change(Side.LOCAL).keeps_bytes
    reason = Reason.METADATA if quiet else Reason.EQUAL
    return Decision(Adopt(path=leaf.path, reason=reason, local=local, remote=remote, silent=quiet))


def _knowing(leaf: Leaf, local: Entry, remote: Entry) -> tuple[Entry, Entry]:
    """Both entries with their digest: their own, or the base's if they still are what it says."""
    here = leaf.base if leaf.change(Side.LOCAL).keeps_bytes else None
    there = leaf.base if leaf.change(Side.REMOTE).keeps_bytes else None
    return with_digest(local, here), with_digest(remote, there)


def _remembered(base: BaseEntry, seen: Entry, side: Side) -> bool:
    return base.version(side) == (seen.version if seen.trusted else None)


def _follower(
    leaf: Leaf, local: Entry, remote: Entry, executable: bool | None, settings: Settings
) -> Side | None:
    """The side whose executable bit or mtime is to follow the other's; None if neither."""
    if settings.mode is not Mode.TWO_WAY:
        return _one_way_follower(leaf, local, remote, settings.mode)
    for side, seen in ((Side.LOCAL, local), (Side.REMOTE, remote)):
        if seen.executable is not None and seen.executable != executable:
            return side
    if leaf.base is None or same_time(local.mtime_ns, remote.mtime_ns, leaf.granularity_ns):
        return None  # first meeting: both keep their dates
    # Whose mtime moved since the last agreement is followed; if both did, the newer one.
    touched = [s for s in Side if leaf.change(s) is Change.TOUCHED]
    if len(touched) == 1:
        return touched[0].other
    return _older(local, remote) if touched else None


def _one_way_follower(leaf: Leaf, local: Entry, remote: Entry, mode: Mode) -> Side | None:
    follower = Side.REMOTE if mode is Mode.PUSH else Side.LOCAL
    differs = local.executable is not None and remote.executable is not None
    if differs and local.executable != remote.executable:
        return follower
    if leaf.base is None or same_time(local.mtime_ns, remote.mtime_ns, leaf.granularity_ns):
        return None
    touched = any(leaf.change(s) is Change.TOUCHED for s in Side)
    return follower if touched else None


def _older(local: Entry, remote: Entry) -> Side | None:
    if local.mtime_ns is None or remote.mtime_ns is None or local.mtime_ns == remote.mtime_ns:
        return None
    return Side.LOCAL if local.mtime_ns < remote.mtime_ns else Side.REMOTE


def _touch(leaf: Leaf, follower: Side, local: Entry, remote: Entry, executable: bool | None) -> Decision:
    leader = local if follower is Side.REMOTE else remote
    behind = remote if follower is Side.REMOTE else local
    wanted_bit = leader.executable if leader.executable is not None else executable
    action = Touch(
        path=leaf.path,
        reason=Reason.METADATA,
        side=follower,
        seen=leader,
        expected=behind,
        mtime_ns=leader.mtime_ns,
        executable=wanted_bit,
    )
    return Decision(action)


def newer(local: Entry, remote: Entry, now_ns: int | None = None) -> Side:
    """Whose version keeps the name: the newer mtime's; the remote's if that says nothing.

    The only place where clocks of two machines meet: it names a winner and never
    decides whether something changed. An mtime more than a day after `now_ns` comes from a wrong clock: the
    other version keeps the name.
    """
    if local.mtime_ns is None or remote.mtime_ns is None:
        return Side.REMOTE
    ahead = from_the_future(local, remote, now_ns)
    # A wrong clock must not win all conflicts from now on; if both are ahead, neither clock says anything.
    if len(ahead) == 1:
        return ahead[0].other
    return Side.LOCAL if local.mtime_ns > remote.mtime_ns and not ahead else Side.REMOTE


def from_the_future(local: Entry, remote: Entry, now_ns: int | None) -> list[Side]:
    """The sides whose mtime lies more than a day ahead."""
    if now_ns is None:
        return []
    sides = ((Side.LOCAL, local), (Side.REMOTE, remote))
    return [side for side, e in sides if e.mtime_ns is not None and e.mtime_ns > now_ns + AHEAD_NS]


def winner(
    policy: ConflictPolicy, mode: Mode, local: Entry, remote: Entry, now_ns: int | None = None
) -> Side:
    """Whose version keeps the name in a conflict. One-way, it is always the source's."""
    if mode is not Mode.TWO_WAY:
        return Side.LOCAL if mode is Mode.PUSH else Side.REMOTE
    if policy is ConflictPolicy.LOCAL:
        return Side.LOCAL
    if policy is ConflictPolicy.REMOTE:
        return Side.REMOTE
    return newer(local, remote, now_ns)


def _conflict(leaf: Leaf, local: Entry, remote: Entry, settings: Settings, reason: Reason) -> Decision:
    """Two contents that exist nowhere else want one name: neither may be lost."""
    if settings.conflict is ConflictPolicy.ASK:
        return Decision(None, report(leaf.path, reason, Resolution.ASKED, local, remote))
    won = winner(settings.conflict, settings.mode, local, remote, settings.now_ns)
    kept, lost = (local, remote) if won is Side.LOCAL else (remote, local)
    by_time = settings.mode is Mode.TWO_WAY and settings.conflict in _BY_TIME
    ahead = from_the_future(local, remote, settings.now_ns) if by_time else []
    if settings.conflict is not ConflictPolicy.KEEP_BOTH and not ahead:
        # The loser is in the trash of its own side before the winner takes the name.
        action: Action = _send(leaf, won, kept, reason)
        return Decision(action, report(leaf.path, reason, WON[won], local, remote))
    copy = settings.copy_name(leaf.path, lost)
    action = KeepBoth(
        path=leaf.path,
        copy=copy,
        reason=reason,
        loser=won.other,
        winner=kept,
        lost=lost,
        one_way=settings.mode is not Mode.TWO_WAY,
    )
    told = report(leaf.path, reason, Resolution.KEPT_BOTH, local, remote, copy)
    return Decision(action, replace(told, ahead=ahead[0] if ahead else None))


def report(
    path: RelPath, reason: Reason, resolution: Resolution, local: Entry, remote: Entry, copy: RelPath = ""
) -> ConflictReport:
    """A conflict as the run's report has it."""
    return ConflictReport(
        path=path, reason=reason, resolution=resolution, local=local, remote=remote, copy=copy
    )


def _agreed(leaf: Leaf, side: Side) -> Entry | None:
    """What a side shows, with the base's digest where its bytes are still the agreed ones.

    The digest lets a store name what it has, so that only what is new against it is sent.
    """
    seen = leaf.seen(side)
    return seen if seen is None or not leaf.change(side).keeps_bytes else with_digest(seen, leaf.base)


def _send(leaf: Leaf, side: Side, seen: Entry, reason: Reason, *, executable: bool | None = None) -> Transfer:
    return Transfer(
        path=leaf.path,
        reason=reason,
        source=side,
        seen=seen,
        expected=_agreed(leaf, side.other),
        executable=seen.executable if executable is None else executable,
        agreed_ns=leaf.base.mtime_ns(side) if leaf.base else None,
    )


def _delete(leaf: Leaf, side: Side, seen: Entry) -> Delete:
    return Delete(
        path=leaf.path, reason=DELETED[side.other], side=side, expected=with_digest(seen, leaf.base)
    )
