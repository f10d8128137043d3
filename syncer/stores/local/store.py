"""`FolderStore`: a folder on a disk as a store (`local:`), one side of every job.

This file only gathers the parts: `scan` and `read` look, `write`, `delete` and `rename` change, `root_marker`
identifies the root, `trash` keeps what is taken away. All calls to the disk go through `filesystem`. It
decides nothing about syncing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from syncer.engine.interfaces import (
    Capabilities,
    Clock,
    DeleteRequest,
    KnownDirectories,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    Scan,
    SetAttributesRequest,
    Source,
    WriteRequest,
)
from syncer.engine.model import Entry, Listing, Outcome, RelPath, Seen
from syncer.engine.paths import PRIVATE, join, printable
from syncer.errors import (
    LocalError,
    NotFound,
    PermanentError,
    StoreError,
    TransientError,
    Unidentified,
    Unreadable,
)
from syncer.stores.base import DirectScan
from syncer.stores.common import is_private_path
from syncer.stores.local import (
    delete,
    mounts,
    packed_listing,
    parallel_scan,
    read,
    rename,
    root_marker,
    scan,
    snapshots,
    staging,
    trash_restore,
    write,
)
from syncer.stores.local.errors import GONE, translate
from syncer.stores.local.errors import reading as read_error
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import TOKEN_LENGTH, FolderRoot
from syncer.stores.local.traits import USUAL, Traits
from syncer.stores.local.trash import Kept, Trash

_WORTH_FORKING = 256  # directories from which on a second process pays


class FolderStore:
    """Implements `engine.interfaces.Store`; see there for every method's contract.

    `root` is an absolute path, `tag` eight hex digits that mark our temporary names. What a put or a
    delete takes away is kept in `trash`, else under `.syncer/trash` at the root.
    """

    def __init__(
        self,
        root: str,
        *,
        fs: FileSystem,
        clock: Clock,
        tag: str,
        trash: Trash | None = None,
        abandoned: dict[str, os.stat_result] | None = None,
        traits: Traits = USUAL,
    ) -> None:
        """`abandoned` and `traits` (see `FolderRoot`) may be shared with those of other roots on a disk."""
        self.trash = trash if trash is not None else Trash.inside(root, fs=fs, clock=clock)
        self._ground = FolderRoot(
            root, fs=fs, clock=clock, tag=tag, abandoned=abandoned, traits=traits, on_adapted=self.trash.use
        )
        self._readers = read.Readers(self._ground)
        self._root = root
        self._mounts = mounts.Table()
        self._plain: set[int] = set()  # devices inside the root that are no snapshots, in this run

    # -- what it is ----------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """Those of the disk, as soon as there is a marked root; until then the usual ones."""
        seen = self.traits
        return Capabilities(
            symlinks=seen.symlinks,
            executable=seen.executable,
            mtime_granularity_ns=seen.mtime_granularity_ns,
            any_bytes=seen.any_bytes and self._ground.disk.any_bytes(),
            max_name_bytes=seen.max_name_bytes,
            forbidden=seen.forbidden,
            forbidden_ends=seen.forbidden_ends,
            reserved_names=seen.reserved,
            max_file_bytes=seen.largest_file,
            folds_case=seen.folds_case,
            folds_form=seen.folds_form,
            keeps_case=seen.keeps_case,
            keeps_form=seen.keeps_form,
            local=True,
        )

    @property
    def traits(self) -> Traits:
        """What the file system does otherwise than others, as far as that is known."""
        try:
            self._ground.root_fd()
        except OSError:
            return USUAL
        return self._ground.traits

    @property
    def identity(self) -> str:
        return f"local:{os.path.normpath(self._root)}"

    def root(self) -> RootState | None:
        fd = None
        self._plain.clear()
        try:
            fd = self._ground.reopen()
            return RootState(
                marker=root_marker.read_marker(self._ground),
                mounts=self._mounts.look(self._ground.fs, fd),
                device=self._ground.fs.file_system_id(fd),
                empty=root_marker.is_empty(self._ground),
                folder=f"{self._ground.fs.fstat(fd).st_ino}",
            )
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            if fd is not None:
                raise self._unidentified() from None
            raise PermanentError(f"{printable(self._root)} is not a folder", path=self._root) from None
        except OSError as error:
            raise read_error(error, self._root) from error

    def _unidentified(self) -> Unidentified:
        return Unidentified(
            f"{printable(os.path.join(self._root, PRIVATE))} is no folder: "
            "what tells this root from others is kept in one of that name",
            hint="rename it; nothing of that name is ever synced",
            path=self._root,
        )

    def create_root(self) -> None:
        parent, name = os.path.split(os.path.normpath(self._root))
        fs = self._ground.fs
        try:
            fd = fs.open_root(parent)
            try:
                fs.mkdir(name, fd, delete.MODE)
                fs.sync(fd)
            finally:
                fs.close(fd)
        except FileExistsError:
            return
        except OSError as error:
            raise translate(error, self._root) from error

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        try:
            root_marker.write_marker(self._ground, marker, only_first=only_first)
        except OSError as error:
            raise translate(error, self._root) from error

    def keep_private(self) -> None:
        """Tells git, as far as the disk lets us, that our own directory at the root is none of its
        business.
        """
        try:
            root_marker.write_git_ignore(self._ground)
        except OSError:
            return  # a disk that can only be read; the marker stands all the same

    def free_space(self) -> int | None:
        try:
            return self._ground.fs.free_space(self._ground.root_fd())
        except OSError:
            return None

    # -- looking -------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        """Nothing is read ahead: each directory is opened when it is compared or listed."""
        return DirectScan(known, changed=self._changed, list_directory=self.list)

    def _changed(self, known: Sequence[tuple[RelPath, bytes]]) -> Sequence[RelPath]:
        try:
            root_fd = self._ground.root_fd()
        except OSError:
            return [path for path, _ in known]

        def differing(share: Sequence[tuple[RelPath, bytes]]) -> list[int]:
            found = scan.fingerprints(self._ground.fs, root_fd, (path for path, _ in share))
            return [i for i, now in enumerate(found) if now != share[i][1]]

        return [known[i][0] for i in parallel_scan.select(known, differing, worth=_WORTH_FORKING)]

    def list(self, path: RelPath) -> Listing:
        now = self._ground.clock.now_ns()
        with self._entered(path) as fd:
            found = scan.listing(
                self._ground.fs, fd, now_ns=now, at_root=not path, is_own=self._ground.is_own
            )
            mount = self._mount(path, fd)
        return Listing(
            entries=found.entries,
            fingerprint=found.fingerprint,
            leftovers=tuple(join(path, name) for name in found.leftovers),
            mount=mount,
        )

    def _check_no_snapshot(self, path: RelPath, fd: int) -> None:
        """A known directory may have become one, or lie in one, without a change in the directory above."""
        fs, root_fd = self._ground.fs, self._ground.root_fd()
        device = fs.fstat(fd).st_dev
        if not path or device == fs.fstat(root_fd).st_dev or device in self._plain:
            return
        top = snapshots.snapshot_above(fs, root_fd, path)
        if top:
            where = "it" if top == path else printable(top)
            raise Unreadable(f"{printable(path)}: {where} is {snapshots.OBSTACLE.message}", path=path)
        self._plain.add(device)

    def list_packed(
        self, path: RelPath, *, hides: Callable[[str], bool], hold: Callable[[int], None]
    ) -> tuple[packed_listing.Packed, str]:
        """The listing packed, for a server that passes it on, and its mount; see `packed_listing`."""
        now = self._ground.clock.now_ns()
        with self._entered(path) as fd:
            found = packed_listing.listing(
                self._ground.fs, fd, now_ns=now, at_root=not path, hides=hides, hold=hold
            )
            return found, self._mount(path, fd)

    @contextmanager
    def _entered(self, path: RelPath) -> Iterator[int]:
        """The open directory, to be listed. Raises NotFound, Unreadable, TransientError."""
        try:
            with self._ground.cursor() as cursor:
                fd = cursor.enter(path)
                self._check_no_snapshot(path, fd)
                yield fd
                if not path and self._ground.fs.fstat(fd).st_nlink == 0:
                    raise NotFound(f"{printable(self._root)} was removed", path=path)
        except OSError as error:
            raise _listing_error(error, path) from error

    def _mount(self, path: RelPath, fd: int) -> str:
        return self._mounts.of(self._ground.fs, self._ground.root_fd(), fd) if path else ""

    def stat(self, path: RelPath) -> Seen:
        return read.look(self._ground, path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [*read.look_at_each(self._ground, paths)]

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return read.digests(self._ground, wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return read.FolderSource(self._ground, self._readers, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return read.read_file(self._ground, path, limit)

    # -- changing ------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._guarded(write.put(self._ground, self.trash, items))

    def partial(self, path: RelPath, token: bytes) -> int:
        """How many first bytes of the content that `token` names are here already, for a put to `path`.

        0 where there are none, or another put is writing them. A put goes on from there, but has at
        least the last byte sent again: never from beyond `size - 1`.
        """
        if len(token) != TOKEN_LENGTH or is_private_path(path):
            return 0
        try:
            with self._ground.cursor() as cursor:
                return staging.length(self._ground, token, cursor.parent(path)[0])
        except OSError:
            return 0

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._guarded(delete.delete(self._ground, self.trash, items))

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._guarded(delete.make(self._ground, self.trash, items))

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._guarded(delete.remove_again(self._ground, paths))

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._guarded(rename.rename(self._ground, items))

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._guarded(rename.set_attributes(self._ground, items))

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        try:
            rename.clean_leftovers(self._ground, self.trash, leftovers)
        except OSError:
            return  # the next run tries again

    # -- the trash -------------------------------------------------------------

    def trashed(self) -> Iterator[trash_restore.Trashed]:
        """What the trash holds, oldest run first. Raises StoreError, LocalError."""
        try:
            yield from trash_restore.contents(self.trash)
        except OSError as error:
            raise read_error(error, "") from error

    def restore(self, kept: Kept, to: RelPath = "") -> Outcome:
        """Puts one thing back where it was (or to `to`); `Stale` if the name is taken."""
        return trash_restore.restore(self._ground, self.trash, kept, to)

    def put_back(self, wanted: Sequence[tuple[Kept, Entry]]) -> Results:
        """Puts things back where they were, over the entry that stands there now: that goes to the trash."""
        return self._guarded(trash_restore.put_back(self._ground, self.trash, wanted))

    def empty_trash(self, *, older_than_ns: int) -> tuple[int, int]:
        """Removes what was taken by runs that began before; answers (files, bytes)."""
        try:
            return trash_restore.empty(self.trash, older_than_ns=older_than_ns)
        except OSError as error:
            raise translate(error, "") from error

    def _guarded(self, results: Results) -> Results:
        """A root that cannot even be opened ends the run."""
        try:
            yield from results
        except OSError as error:
            raise translate(error, self._root) from error

    def close(self) -> None:
        self._readers.close()
        self._ground.close()


def _listing_error(error: OSError, path: RelPath) -> StoreError | LocalError:
    where = printable(path) or "the root"
    if error.errno in GONE:
        return NotFound(f"{where}: no such directory", path=path)
    known = read_error(error, path)
    if isinstance(known, Unreadable | TransientError):
        return known
    return TransientError(known.message, path=path)
