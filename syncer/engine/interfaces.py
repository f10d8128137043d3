"""What the engine needs from the world: two stores, a memory, a clock, somebody to tell.

Protocols only. `Store` is the contract that every remote implements; the suite in
`tests/contract` checks it line by line. Paths are `RelPath`s (see `engine.model`),
already found safe by the engine; a store checks again what only it can know.
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
    """What a store can hold and promise, and the windows it cannot close.

    `mtime_granularity_ns`: 0 where no mtime can be held. `folds_case` and
    `folds_form`: names that differ only so are one name there; `keeps_case` and `keeps_form`: and it is
    shown as it was given. `window`: what may happen between a check and its write, in words for `doctor`;
    "" where writes are truly conditional.
    """

    symlinks: bool = True
    executable: bool = True
    mtime_granularity_ns: int = 1
    any_bytes: bool = True  # names that are not UTF-8
    max_name_bytes: int = 255
    forbidden: str = ""  # characters no name may contain, beyond "/" and NUL
    forbidden_ends: str = ""  # characters no name may end in
    reserved_names: bool = False  # no name may be that of a DOS device (CON, AUX, NUL, ...)
    max_file_bytes: int = 0  # of the largest file; 0: no limit is known
    reserves_private: bool = False  # takes our private names, and what looks like them, at no depth
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
    """What the reader of a source has at hand, so that one from afar may send only what is missing.

    Either an older version of the content, to be referred to anywhere, or the beginning of
    the very content, left by a transfer that was broken off.
    """

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def start(self) -> int:
        """So many first bytes of the wanted content are here (0: none); it is then read from there on."""
        ...

    @property
    def digest(self) -> bytes | None:
        """BLAKE3-256 of the whole basis, where it is known."""
        ...

    @property
    def older(self) -> LocalBasis | None:
        """Where `start` is not 0: an older version that is at hand besides."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes. Raises ChangedUnderUs where they are not there (any more), Unreadable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStats:
    """How content crossed a wire: bytes of payload in each direction, headers left out."""

    method: Method = Method.NONE
    sent: int = 0
    received: int = 0


class Source(Protocol):
    """The content of one file, read once, verified before its last bytes are handed out."""

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """The bytes, in pieces of at most 1 MiB; calling it again starts anew.

        With a basis only the bytes from `basis.start` on; whether a source makes use of it otherwise
        is its own affair. The last piece is handed out only after the file was found unchanged since
        it was planned on and the whole content has the right digest, so whoever stops at the exception
        has not published a torn file. A source from afar goes on by itself after a broken connection,
        a bounded number of times. Raises ChangedUnderUs, NotFound, Unreadable, TransientError.
        """
        ...

    @property
    def entry(self) -> Entry:
        """What was read, with its digest; known once `chunks` is exhausted."""
        ...

    @property
    def traffic(self) -> TransferStats | None:
        """How the bytes came; None for content that is here, which crosses no wire by being read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """Make `path` hold what `source` gives (a file), or the link text `target` (a symlink).

    `expected` is what the name must hold right before (None: the name must be free);
    anything else is `Stale`. `mtime_ns` and `executable` are given to the file where the
    store can hold them. `token` names the content that is to come, for going on with a put that was
    broken off, even by another process (b"": not worth it).
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
    """What stands at the root of a store.

    `marker` is the random identity written by `write_root_id` ("" where there is none yet),
    `device` names the file system ("" where that says nothing), `empty` tells
    whether nothing but our own files is there. `mounts` has the mount points inside the root, each with an
    opaque identity of what is mounted there (None: the store cannot tell). `folder` is the same for the same
    directory as long as it exists ("" where nothing tells that).
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

    **Outcomes are values.** The batch methods (`put`, `delete`, `make_directories`,
    `remove_directories`, `rename`, `set_attributes`) take many items, yield `(index, outcome)` exactly
    once for each, in any order, and never raise for trouble with one path. They
    raise only what ends the run: AuthError, GuardTripped, a dead store.

    **A Done is durable.** When `Done` is yielded the effect survives a power cut of the machine
    that holds the store. `Done.entry` is what the store holds now, with the version
    of what *we* put there: never a fresh look at the name, which may show a later edit.

    **Nothing is lost.** What a put or a delete takes from a name goes to the store's trash
    where it has one (`kept` in the store's documentation says how), and a name
    holds its old content or its new content, whole, at every moment.

    **Expectations are checked as late as the service allows.** What is found instead makes the
    item `Stale` and stays as it is.

    **Threads.** Several threads may call one store at once.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def identity(self) -> str:
        """Where this store is, stable over runs, without secrets (`local:/data/docs`)."""
        ...

    def root(self) -> RootState | None:
        """What stands at the root now; None if nothing does. Raises StoreError."""
        ...

    def create_root(self) -> None:
        """Make the root (its parent must exist). Raises NotFound, PermanentError."""
        ...

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        """Write the root's identity durably. Raises StoreError, LocalError.

        `only_first`: one that is there, or that another machine writes at the same time, stands, and this
        is no error: whoever calls looks at the root afterwards, and takes what is there.
        """
        ...

    def scan(self, known: KnownDirectories) -> Scan:
        """Begin a scan over these directories and those that are found below them. Asks nothing yet."""
        ...

    def list(self, path: RelPath) -> Listing:
        """The directory `path` as it is now, complete. Raises NotFound, Unreadable, TransientError."""
        ...

    def stat(self, path: RelPath) -> Seen:
        """One name, looked at freshly; never raises for what it finds there."""
        ...

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """What stands, in order, at names that are known and that a listing did not show.

        No listing is taken at its word where a deletion would follow from it: a directory that changes while
        it is read may leave out names (POSIX readdir leaves it open; btrfs and sshfs do). None for a name
        that is not there. A store that settles doubts about its listings by itself answers None to all.
        """
        ...

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """The entries again, in order, each with its digest (of content that did not change meanwhile)."""
        ...

    def open(self, path: RelPath, expected: Entry) -> Source:
        """The content of a file, if it still is what was expected (found out while reading)."""
        ...

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        """Sources for many files, which a store may send in one stream.

        They are read in this order (`engine.paths.directory_key`), some perhaps not at all.
        """
        ...

    def read_file(self, path: RelPath, limit: int) -> bytes:
        """At most `limit` bytes of a small file; b"" if there is none of that name.

        Raises Unreadable, TransientError where it is there (or may be) and cannot be read.
        """
        ...

    def put(self, items: Sequence[WriteRequest]) -> Results:
        """Sources are read in the order of the items if they come by `engine.paths.directory_key`.

        A `Done` tells how the content crossed (`method`, `sent`, `received`).
        """
        ...

    def delete(self, items: Sequence[DeleteRequest]) -> Results: ...

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        """Parents come before children. An existing directory is `Done`."""
        ...

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        """Children come before parents. One with anything in it is `Stale`; a missing one is `Done`."""
        ...

    def rename(self, items: Sequence[RenameRequest]) -> Results: ...

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results: ...

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Move our temporary files that a dead run left behind to the trash."""
        ...

    def free_space(self) -> int | None:
        """Bytes that can still be written; None if the store cannot tell."""
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
    """What both sides agreed on last: the base. One run at a time writes it.

    The directory a row stands in is kept with the fingerprints that both sides had
    when everything in it was agreed; any `record` that touches a directory voids them.
    """

    def directories(
        self, places: Places = EVERYWHERE
    ) -> Iterator[tuple[RelPath, bytes | None, bytes | None]]:
        """Known directories in tree order, with local and remote fingerprint (None: void).

        Of the places: those, all above them, and all below the trees.
        """
        ...

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        """The base entries of one directory by name; empty where nothing is known."""
        ...

    def known(self) -> int:
        """How many entries (files, symlinks, directories) are remembered."""
        ...

    def record(self, facts: Iterable[Fact]) -> None:
        """Write all or nothing, durably. Raises StateError."""
        ...

    def set_fingerprints(self, fingerprints: Iterable[tuple[RelPath, bytes | None, bytes | None]]) -> None:
        """Store the fingerprints of directories in which everything is agreed (None: void)."""
        ...

    def compute_fingerprints(
        self, directories: Iterable[RelPath]
    ) -> Iterator[tuple[RelPath, bytes | None, bytes | None]]:
        """What `set_fingerprints` wants to know of these directories, computed from what is remembered.

        None for a side where a version is not trusted; directories of which nothing is known are
        left out.
        """
        ...

    def get_setting(self, key: str) -> str:
        """A remembered text, "" where there is none."""
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
