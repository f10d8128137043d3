"""The engine's values: entries, listings, base rows, requests, actions, outcomes, policy.

Frozen values only; no I/O, no decisions. A path (`RelPath`) is a `str` relative to
the root with "/" between its parts and "" for the root itself; names that are not
UTF-8 carry their bytes as surrogate escapes (PEP 383), as `os.fsdecode` gives them.
`engine.paths` knows which strings are paths at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TypeAlias

from syncer.errors import SyncerError

RelPath: TypeAlias = str
Version: TypeAlias = bytes  # opaque: only the store that made it can read it


class Side(Enum):
    """One of the two stores of a job."""

    other: Side  # the side across; an attribute, since hot loops ask for it

    LOCAL = "local"
    REMOTE = "remote"


Side.LOCAL.other, Side.REMOTE.other = Side.REMOTE, Side.LOCAL
SIDES = (Side.LOCAL, Side.REMOTE)  # the same as `Side`, but quick to go through


class Kind(IntEnum):
    """What a name stands for. The numbers are stored in the state database."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One name as one side shows it.

    `size` is in bytes (0 for a directory, the length of the target for a symlink).
    `version` equal to an earlier one means unchanged, provided that the earlier
    one was `trusted`: a stamp taken within the clock tick of the last write proves
    nothing about what comes after it. `digest` is BLAKE3-256 of the bytes (of the
    target's bytes for a symlink), None where the side does not tell without reading.
    `mtime_ns` (since 1970, may be negative) and `executable` are None where the side
    cannot hold them.
    """

    kind: Kind
    size: int
    version: Version
    mtime_ns: int | None = None
    executable: bool | None = None
    digest: bytes | None = None
    target: str | None = None
    trusted: bool = True


class BlockReason(Enum):
    """Why a name can be seen but not judged. The values are codes in `--json`."""

    UNREADABLE = "unreadable"
    UNSAFE_NAME = "unsafe-name"
    CLASH = "clash"
    UNSUPPORTED = "unsupported"  # fifo, socket, device: never opened
    UNHOLDABLE = "unholdable"  # the other side cannot hold the name or the kind
    UNMOUNTED = "unmounted"  # below a mount point at which something else is mounted than last time
    BUSY = "busy"  # changed while we looked, or could not be looked at for the moment


@dataclass(frozen=True, slots=True)
class BlockedEntry:
    """A name that is there and cannot be judged: an observation, never an absence."""

    trouble: BlockReason
    message: str


Seen: TypeAlias = Entry | BlockedEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """What decides about a name: a line of a file, or an item of the job's own `ignore`.

    `negated`: it does not ignore, it brings back. `remote`: the file as it stands on the remote side.
    """

    file: RelPath
    line: int
    pattern: str
    negated: bool = False
    remote: bool = False

    def __str__(self) -> str:
        """FILE:LINE:PATTERN, as `git check-ignore -v` has it."""
        return f"{self.file}:{self.line}:{self.pattern}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One directory of one side, complete, private names left out.

    `fingerprint` is None unless every entry is trusted and no name is an obstacle.
    `leftovers` are the paths of temporary files of ours that a dead run left behind. `mount` is the identity
    of what is mounted there or above it inside the root (see `ports.RootState.mounts`), "" for nothing.
    """

    entries: Mapping[str, Entry | BlockedEntry]
    fingerprint: bytes | None = None
    leftovers: tuple[str, ...] = ()
    mount: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseEntry:
    """What both sides agreed on last, and what each of them showed at that moment.

    A version is None where the stamp could not be trusted: content is looked at again.
    """

    kind: Kind
    size: int = 0
    digest: bytes = b""
    executable: bool = False
    local_version: Version | None = None
    remote_version: Version | None = None
    local_mtime_ns: int | None = None
    remote_mtime_ns: int | None = None

    def version(self, side: Side) -> Version | None:
        return self.local_version if side is Side.LOCAL else self.remote_version

    def mtime_ns(self, side: Side) -> int | None:
        return self.local_mtime_ns if side is Side.LOCAL else self.remote_mtime_ns


class Reason(Enum):
    """Why an action is planned. The values are in `--json` and in `explain`."""

    LOCAL_CHANGED = "local-changed"
    REMOTE_CHANGED = "remote-changed"
    LOCAL_NEW = "local-new"
    REMOTE_NEW = "remote-new"
    LOCAL_DELETED = "local-deleted"
    REMOTE_DELETED = "remote-deleted"
    BOTH_DELETED = "both-deleted"
    EQUAL = "equal-content"
    EDIT_BEATS_DELETE = "edit-beats-delete"
    BOTH_CHANGED = "both-changed"
    BOTH_NEW = "both-new"
    KIND_CLASH = "kind-clash"
    METADATA = "metadata-changed"
    RENAMED = "renamed"
    IGNORED = "newly-ignored"
    ECHO = "echo"  # old content that came back by another job: what took its place is followed
    SECOND_COPY = "second-copy"  # a conflict copy whose content another conflict copy keeps
    MIRROR = "one-way-restore"  # push or pull: the following side was changed, and is put back


# What a store is asked to do with one name. The actions below that change one side are such requests, with
# the side and the reason: the engine hands them to the store as they are.


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRequest:
    """Take the file or symlink `path` away if it still is what `expected` says; `Stale` otherwise."""

    path: RelPath
    expected: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class MkdirRequest:
    """Make the directory `path`, first moving the file `replaces` (if any) to the trash."""

    path: RelPath
    replaces: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRequest:
    """Rename `origin` to `path` if it still is what `expected` says and `path` is free."""

    origin: RelPath
    path: RelPath
    expected: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAttributesRequest:
    """Give the file `path` another mtime or executable bit (None: leave it)."""

    path: RelPath
    expected: Entry
    mtime_ns: int | None
    executable: bool | None


COARSEST_NS = 2_000_000_000
"""Two mtimes that differ by no more may be one and the same on a file system with coarse stamps (FAT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Bring the content of `path` from `source` to the other side.

    `seen` is what was planned on at the source, `expected` at the target
    (None: the name must be free).
    """

    path: RelPath
    reason: Reason
    source: Side
    seen: Entry
    expected: Entry | None
    executable: bool | None = None  # what both sides are to have (merged from two changes)
    agreed_ns: int | None = field(default=None, compare=False, repr=False)  # mtime at the source when agreed

    @property
    def goes_back(self) -> bool:
        """Whether the source shows something older than what both sides had agreed on."""
        if self.expected is None or self.agreed_ns is None or self.seen.mtime_ns is None:
            return False
        return self.seen.mtime_ns + COARSEST_NS < self.agreed_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch(SetAttributesRequest):
    """Give `path` on `side` another mtime or executable bit; its bytes are right already."""

    reason: Reason
    side: Side
    seen: Entry  # at the other side, which is followed; with its digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(DeleteRequest):
    """Move the file or symlink `path` of `side` to the trash."""

    reason: Reason
    side: Side
    clearing: bool = False  # makes room for another kind at the same path: done before transfers
    kept: RelPath = field(default="", compare=False)  # of a second copy: where the same content stays


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory(MkdirRequest):
    """Make `path` on `side`; `replaces` is a file or symlink that goes to the trash first."""

    reason: Reason
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDirectory:
    """Remove the directory `path` of `side`, if it is empty by then."""

    path: RelPath
    reason: Reason
    side: Side
    clearing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(RenameRequest):
    """Rename `origin` to `path` on `side`, because the other side did.

    For a directory `seen` and `expected` are directory entries and everything below
    moves along; `below` says what is then agreed about it. `instead` does the same without a
    rename, for a store that finds out that it cannot. `respells`: nothing but case or Unicode form changes,
    and whatever else happened at the path is another action; the base has it as `known` ("": not at all).
    """

    reason: Reason
    side: Side
    seen: Entry  # at `path` on the other side
    below: tuple[Adopt, ...] = ()
    instead: tuple[Action, ...] = field(default=(), compare=False, repr=False)
    respells: bool = False
    known: RelPath = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepBoth:
    """Two contents want one name: `loser`'s goes to `copy`, the other's keeps `path`, on both sides.

    `winner` may be a directory: then it is made on the loser's side.
    `one_way` (push, pull): the copy is kept on the loser's side only.
    """

    path: RelPath
    copy: RelPath
    reason: Reason
    loser: Side
    winner: Entry
    lost: Entry
    one_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Both sides show the same: remember it."""

    path: RelPath
    reason: Reason
    local: Entry
    remote: Entry
    silent: bool = False  # only stamps were refreshed: nothing a user wants to hear of


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop the base row of `path`, and all rows below it; `now`: they are kept, as those of that path."""

    path: RelPath
    reason: Reason
    now: RelPath = ""


Action: TypeAlias = (
    Transfer | Touch | Delete | MakeDirectory | RemoveDirectory | Move | KeepBoth | Adopt | Forget
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something a person should know about one path. `code` is stable, `message` is for people.

    `waits` tells whether the two sides may differ because of it (exit code 1).
    """

    path: RelPath
    side: Side
    code: str
    message: str
    waits: bool = True


class Method(Enum):
    """How content crossed. The values are in `--json`."""

    DELTA = "delta"
    SEGMENTS = "segments"
    WHOLE = "whole"
    COPY = "copy"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The action took effect. `entry` is what the changed side shows now (None: nothing)."""

    entry: Entry | None = None
    method: Method = Method.NONE
    sent: int = 0  # bytes that crossed the wire, headers left out
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """What was planned on is no longer so; nothing was changed. The next run decides anew."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It did not work; nothing was changed that a user can see. The error loses its traceback."""

    error: SyncerError

    def __post_init__(self) -> None:
        # A traceback refers to the frames of the batch, and these to the outcomes of the batch: a reference
        # cycle with all its entries, which only a late run of the garbage collector would free.
        error: BaseException | None = self.error
        seen: set[int] = set()  # an error that is raised again while it is handled is its own context
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error.__traceback__ = None
            error = error.__cause__ or error.__context__


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Not tried, because of what `message` says."""

    message: str


Outcome: TypeAlias = Done | Stale | Failed | Skipped


class ConflictPolicy(Enum):
    """What to do when both sides changed differently."""

    KEEP_BOTH = "keep-both"
    NEWER = "newer"
    LOCAL = "local"
    REMOTE = "remote"
    ASK = "ask"


class Mode(Enum):
    """Which sides a job may change."""

    TWO_WAY = "two-way"
    PUSH = "push"
    PULL = "pull"

    @property
    def source(self) -> Side | None:
        """The side that is only read, None where both are changed."""
        return {Mode.PUSH: Side.LOCAL, Mode.PULL: Side.REMOTE}.get(self)

    def may_change(self, side: Side) -> bool:
        if self is Mode.TWO_WAY:
            return True
        return side is (Side.REMOTE if self is Mode.PUSH else Side.LOCAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxDelete:
    """How many deletions on a side pass unasked: a share of the known entries, or a count."""

    share: float | None = 0.5
    count: int | None = None
    floor: int = 10  # with a share: fewer deletions than this always pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a job's settings ask of the engine."""

    conflict: ConflictPolicy = ConflictPolicy.KEEP_BOTH
    mode: Mode = Mode.TWO_WAY
    max_delete: MaxDelete = field(default_factory=MaxDelete)
    ignore: tuple[str, ...] = ()
    full: bool = False  # trust no stamp, hash everything
    allow_deletes: bool = False  # --yes
    settle_ns: int = 0  # files younger than this are not read yet
    accepted: int | None = None  # --max-delete N: so many deletions a person lets pass in this run
    host: str = "host"  # names conflict copies
    choices: Mapping[RelPath, ConflictPolicy] = field(default_factory=dict)  # a person's, for single paths
    deleted_lately: Mapping[Side, int] = field(default_factory=dict)  # by runs right before, of one stroke
    went_back_lately: Mapping[Side, int] = field(default_factory=dict)  # the same of older contents
    meant: Collection[RelPath] = ()  # where a person put older contents back by a command of ours
    now_ns: int | None = None  # when the run began: an mtime far beyond it is no newer than any other
