"""The engine's interfaces: store, scan, source, base, clock and reporter, as protocols.

`Store` is the contract that every remote implements; the suite in `tests/contract` checks it line by line.
Paths are `RelPath`s (see `engine.model`) that the engine found safe; a store checks again what only it can
know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from syncer.engine.model import (
    Action,
    BaseEntry,
    DeleteRequest,
    Entry,
    Kind,
    Listing,
    Method,
    MkdirRequest,
    Outcome,
    RelPath,
    RenameRequest,
    Seen,
    SetAttributesRequest,
    Side,
)
from syncer.engine.scope import EVERYWHERE, Places

__all__ = [
    "BaseStore",
    "Capabilities",
    "Clock",
    "DeleteRequest",
    "Fact",
    "ForgetBase",
    "KnownDirectories",
    "LocalBasis",
    "MkdirRequest",
    "MoveBase",
    "RenameRequest",
    "Reporter",
    "Results",
    "RootState",
    "Scan",
    "SetAttributesRequest",
    "SetBase",
    "Source",
    "Store",
    "TransferStats",
    "WriteRequest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store can hold and promise, and the race windows that it cannot close.

    `mtime_granularity_ns`: 0 if the store holds no mtimes. `folds_case` and `folds_form`: names that differ
    only in case, or in Unicode form, are one name; `keeps_case` and `keeps_form`: such a name is listed as it
    was given. `window`: what may happen between a check and its write, in words for `doctor`; "" if writes
    are truly conditional.
    """

    symlinks: bool = True
    executable: bool = True
    mtime_granularity_ns: int = 1
    any_bytes: bool = True  # holds names that are not UTF-8
    max_name_bytes: int = 255
    forbidden: str = ""  # characters that no name may contain, beyond "/" and NUL
    forbidden_ends: str = ""  # characters that no name may end in
    reserved_names: bool = False  # no name may be that of a DOS device (CON, AUX, NUL, ...)
    max_file_bytes: int = 0  # size of the largest file; 0: no limit is known
    reserves_private: bool = False  # refuses Syncer's private names, and what looks like them, at any depth
    folds_case: bool = False
    folds_form: bool = False
    keeps_case: bool = True
    keeps_form: bool = True
    moves: bool = True  # renames a file without sending it
    moves_directories: bool = True
    digests: bool = False  # knows our digest without reading the content
    local: bool = False  # reading costs no network
    window: str = ""


class LocalBasis(Protocol):
    """Content that the reader of a source has already, so that a remote source need send only the rest.

    Either an older version of the content, for a delta, or the beginning of the content itself, left by a
    transfer that was broken off.
    """

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def start(self) -> int:
        """How many first bytes of the wanted content are here (0: none); reading goes on from there."""
        ...

    @property
    def digest(self) -> bytes | None:
        """BLAKE3-256 of the whole basis, None if it is not known."""
        ...

    @property
    def older(self) -> LocalBasis | None:
        """If `start` is not 0: an older version that is here as well, None if there is none."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes. Raises ChangedUnderUs if the basis has changed, Unreadable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStats:
    """How content was transferred: bytes of payload in each direction, without headers."""

    method: Method = Method.NONE
    sent: int = 0
    received: int = 0


class Source(Protocol):
    """The content of one file, verified before its last bytes are yielded."""

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """The bytes, in pieces of at most 1 MiB; another call starts anew.

        With a basis only the bytes from `basis.start` on; a source may use it for a delta. The last piece is
        yielded only after the file was found unchanged since it was planned on and the whole content has the
        right digest, so a caller that stops at the exception has not published a torn file. A remote source
        resumes after a broken connection by itself, a bounded number of times. Raises ChangedUnderUs,
        NotFound, Unreadable, TransientError.
        """
        ...

    @property
    def entry(self) -> Entry:
        """The entry of the content that was read, with its digest; known once `chunks` is exhausted."""
        ...

    @property
    def traffic(self) -> TransferStats | None:
        """How the bytes were transferred; None for a local file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """Write a file with the content of `source`, or a symlink with the text `target`, at `path`.

    `expected` is the entry that the name must have right before (None: the name must be free); anything else
    is `Stale`. `mtime_ns` and `executable` are set if the store can hold them. `token` names the content, so
    that a write that was broken off can be resumed, even by another process (b"": not worth it).
    """

    path: RelPath
    kind: Kind
    source: Source | None
    size: int
    expected: Entry | None
    mtime_ns: int | None = None
    executable: bool | None = None
    target: str | None = None
    token: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootState:
    """The state of a store's root.

    `marker` is the random identity that `write_root_id` wrote ("" if there is none yet), `device` names the
    file system ("" if unknown), `empty` is true if nothing but Syncer's own files is there. `mounts` has the
    mount points inside the root, each with an opaque identity of the mounted file system (None: the store
    cannot tell). `folder` stays the same for the same directory as long as it exists ("" if unknown).
    """

    marker: str
    device: str
    empty: bool
    mounts: Mapping[RelPath, str] | None = None
    folder: str = ""


Results: TypeAlias = Iterator[tuple[int, Outcome]]

KnownDirectories: TypeAlias = Sequence[tuple[RelPath, bytes | None]]
"""Known directories in tree order (`engine.paths.tree_key`), each with its last fingerprint.

None: the directory is known, and will be listed whatever its fingerprint is now.
"""


class Scan(Protocol):
    """One look at a store: which known directories changed, and what stands in directories.

    A store may read ahead what the engine is likely to list: directories that changed, and everything below a
    directory that is not known. What was read ahead belongs to the scan: it is handed out at most once, and
    dropped when the scan is closed. So a scan shows a directory as it was at some moment between the begin of
    the scan and the call. `changed` is called at most once, before any `list`. For one thread at a time.
    """

    def changed(self) -> Iterable[RelPath]:
        """The known directories whose fingerprint is another one now, or cannot be told, in any order.

        Directories that are gone are among them; those that came with None are neither compared nor
        answered. Costs as little as the store can manage, and must not raise for a single directory.
        """
        ...

    def list(self, path: RelPath) -> Listing:
        """The directory `path`, complete. Raises NotFound, Unreadable, TransientError."""
        ...

    def close(self) -> None:
        """Drop what was read ahead."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """One side of a job.

    **Outcomes are values.** The batch methods (`put`, `delete`, `make_directories`, `remove_directories`,
    `rename`, `set_attributes`) take many items, yield `(index, outcome)` exactly once for each, in any order,
    and never raise for trouble with one path. They raise only what ends the run: AuthError, GuardTripped, a
    store that does not answer.

    **A Done is durable.** When `Done` is yielded the effect survives a power cut of the machine that holds
    the store. `Done.entry` has the version of what *this call* wrote: never a fresh stat of the name, which
    may show a later edit and would hide it from the next run.

    **Nothing is lost.** The old content that a put or a delete takes from a name goes to the store's trash,
    if it has one, and a name holds its old or its new content, whole, at every moment.

    **Expectations are checked as late as the service allows.** If another entry is found the item is `Stale`,
    and that entry stays as it is.

    **Threads.** Several threads may call one store at once.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def identity(self) -> str:
        """The location of the store, stable over runs, without secrets (`local:/data/docs`)."""
        ...

    def root(self) -> RootState | None:
        """The state of the root now; None if there is no root. Raises StoreError."""
        ...

    def create_root(self) -> None:
        """Make the root (its parent must exist). Raises NotFound, PermanentError."""
        ...

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        """Write the root's identity (marker) durably. Raises StoreError, LocalError.

        `only_first`: a marker that exists, or that another machine writes at the same time, stays, and that
        is no error: the caller asks for `root` afterwards and takes the marker that is there.
        """
        ...

    def scan(self, known: KnownDirectories) -> Scan:
        """Begin a scan over these directories and those that are found below them. Asks nothing yet."""
        ...

    def list(self, path: RelPath) -> Listing:
        """The directory `path` as it is now, complete. Raises NotFound, Unreadable, TransientError."""
        ...

    def stat(self, path: RelPath) -> Seen:
        """The entry of one name now, None if there is none; what cannot be judged is a BlockedEntry."""
        ...

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """The entries, in order, of known names that a listing did not show; None for a name that is absent.

        A deletion would follow from the absence, so no listing is trusted alone: a directory that changes
        while it is read may leave out names (readdir(3) leaves it open; btrfs and sshfs do). A store that
        verifies its listings itself returns None for all.
        """
        ...

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """The entries as they are now, in order, each with its digest; a file that changes is blocked."""
        ...

    def open(self, path: RelPath, expected: Entry) -> Source:
        """The content of a file; whether it still is the expected one is checked while it is read."""
        ...

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        """Sources for many files, whose contents a store may send in one stream.

        They are read in this order (`engine.paths.directory_key`); some may not be read at all.
        """
        ...

    def read_file(self, path: RelPath, limit: int) -> bytes:
        """At most `limit` first bytes of a small file; b"" if there is no file of that name.

        Raises Unreadable, TransientError if the file exists (or may exist) and cannot be read.
        """
        ...

    def put(self, items: Sequence[WriteRequest]) -> Results:
        """Write files and symlinks.

        Sources are read in the order of the items if these are sorted by `engine.paths.directory_key`. A
        `Done` has how the content was transferred (`method`, `sent`, `received`).
        """
        ...

    def delete(self, items: Sequence[DeleteRequest]) -> Results: ...

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        """Make directories; parents come before children. An existing directory is `Done`."""
        ...

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        """Remove empty directories, children first. A missing one is `Done`, one with entries `Stale`."""
        ...

    def rename(self, items: Sequence[RenameRequest]) -> Results: ...

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results: ...

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Move Syncer's own temporary files that a run left behind, because it died, to the trash."""
        ...

    def free_space(self) -> int | None:
        """How many more bytes can be written; None if the store cannot tell."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBase:
    """Both sides agree on `entry` at `path`."""

    path: RelPath
    entry: BaseEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetBase:
    """Nothing is agreed about `path`, nor about anything below it."""

    path: RelPath


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveBase:
    """The directory `origin`, with all that is known below it, is now `path`."""

    origin: RelPath
    path: RelPath


Fact: TypeAlias = SetBase | ForgetBase | MoveBase


class BaseStore(Protocol):
    """The base: what both sides agreed on last. One run at a time writes it.

    For each directory the fingerprints are stored that both sides had when everything in it was agreed; a
    `record` that touches a directory voids them.
    """

    def directories(
        self, places: Places = EVERYWHERE
    ) -> Iterator[tuple[RelPath, bytes | None, bytes | None]]:
        """Known directories in tree order, with their local and remote fingerprint (None: void).

        Only those in `places`: the named directories, all above them, and all below the trees.
        """
        ...

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        """The base rows of one directory by name; empty if the directory is not known."""
        ...

    def known(self) -> int:
        """The number of base rows (files, symlinks, directories)."""
        ...

    def record(self, facts: Iterable[Fact]) -> None:
        """Write all facts or none, durably. Raises StateError."""
        ...

    def set_fingerprints(self, fingerprints: Iterable[tuple[RelPath, bytes | None, bytes | None]]) -> None:
        """Store the local and remote fingerprints of directories (None: void)."""
        ...

    def compute_fingerprints(
        self, directories: Iterable[RelPath]
    ) -> Iterator[tuple[RelPath, bytes | None, bytes | None]]:
        """Fingerprints of these directories for `set_fingerprints`, computed from the base rows.

        None for a side on which a version is not trusted; directories that are not known are left out.
        """
        ...

    def get_setting(self, key: str) -> str:
        """A stored text, "" if there is none of that key."""
        ...

    def set(self, **settings: str) -> None: ...


class Clock(Protocol):
    """Time. Wall time only names things and ages stamps; waiting uses the monotonic one."""

    def now_ns(self) -> int: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Reporter(Protocol):
    """Somebody who wants to hear how the run goes. May raise Interrupted to stop it between steps."""

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None:
        """The plan is made: so many files and bytes will cross."""
        ...

    def finished(self, action: Action, outcome: Outcome) -> None: ...

    def moved(self, side: Side, size: int) -> None:
        """So many bytes more went to (`side`: the target) a side."""
        ...
