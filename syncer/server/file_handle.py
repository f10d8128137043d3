"""An open file for random access: byte ranges, and the old content of a patch. Read-only.

A piece is returned only if the file was still the expected version after it was read. Whole files are read by
`Store.open`, which computes their digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from syncer.engine.model import Entry, RelPath
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs
from syncer.server.folder import ServedFolder, ServedStore
from syncer.stores.local import stat
from syncer.stores.local.batch import MEBIBYTE
from syncer.stores.local.errors import reading
from syncer.stores.local.read import is_planned
from syncer.stores.local.root import DirectoryCursor


class OpenFile:
    """One file in one version (`delta.rsync.Basis`). For one thread."""

    def __init__(self, served: ServedFolder, path: RelPath, expected: Entry, fd: int) -> None:
        self._served = served
        self._path = path
        self._expected = expected
        self._fd = fd

    @property
    def size(self) -> int:
        """In bytes."""
        return self._expected.size

    def read(self, offset: int, size: int) -> bytes:
        """Exactly these bytes. Raises ChangedUnderUs, Unreadable."""
        pieces, remaining = [], size
        try:
            while remaining and (
                piece := self._served.fs.read_at(self._fd, min(remaining, MEBIBYTE), offset)
            ):
                pieces.append(piece)
                offset, remaining = offset + len(piece), remaining - len(piece)
            same = is_planned(self._served.fs.fstat(self._fd), self._expected)
        except OSError as error:
            raise reading(error, self._path) from error
        if remaining or not same:
            raise ChangedUnderUs(f"{printable(self._path)} changed while it was read", path=self._path)
        return b"".join(pieces)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end`, in pieces of at most 1 MiB."""
        while start < end:
            yield self.read(start, min(end - start, MEBIBYTE))
            start = min(start + MEBIBYTE, end)

    def close(self) -> None:
        """Close the file."""
        self._served.fs.close(self._fd)

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_file(served: ServedFolder, store: ServedStore, path: RelPath, expected: Entry) -> OpenFile:
    """Open a file of the expected version, and wait until its timestamp is old enough to show any later
    write.

    Raises ChangedUnderUs, Unreadable, StoreError.
    """
    fs = served.fs
    try:
        root = fs.open_root(served.absolute(store.below))
        try:
            with DirectoryCursor(fs, root) as cursor:
                dir_fd, name = cursor.parent(path)
                fd = fs.open_read(name, dir_fd)
        finally:
            fs.close(root)
    except OSError as error:
        raise reading(error, path) from error
    found = fs.fstat(fd)
    if not is_planned(found, expected):
        fs.close(fd)
        raise ChangedUnderUs(f"{printable(path)} is another file by now", path=path)
    served.clock.sleep(stat.untrusted_for_ns(found, served.clock.now_ns()) / 1e9)
    return OpenFile(served, path, expected, fd)
