"""A file of a store held open for reading pieces of it: ranges, and the old content of a patch.

Every piece is handed out only if the file was still the expected one after it was read. A whole file is
read by `Store.open`, which knows its digest afterwards. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
        pieces, left = [], size
        try:
            while left and (piece := self._served.fs.read_at(self._fd, min(left, MEBIBYTE), offset)):
                pieces.append(piece)
                offset, left = offset + len(piece), left - len(piece)
            same = is_planned(self._served.fs.fstat(self._fd), self._expected)
        except OSError as error:
            raise reading(error, self._path) from error
        if left or not same:
            raise ChangedUnderUs(f"{printable(self._path)} changed while it was read", path=self._path)
        return b"".join(pieces)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, in pieces of at most 1 MiB."""
        while start < end:
            yield self.read(start, min(end - start, MEBIBYTE))
            start = min(start + MEBIBYTE, end)

    def close(self) -> None:
        """Lets go of the file."""
        self._served.fs.close(self._fd)

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pin(served: ServedFolder, store: ServedStore, path: RelPath, expected: Entry) -> OpenFile:
    """Opens a file that is what was expected, once its stamp is old enough for any write to show.

    Raises ChangedUnderUs, Unreadable, StoreError.
    """
    fs = served.fs
    try:
        with _root(served, store) as root, DirectoryCursor(fs, root) as cursor:
            dir_fd, name = cursor.parent(path)
            fd = fs.open_read(name, dir_fd)
    except OSError as error:
        raise reading(error, path) from error
    found = fs.fstat(fd)
    if not is_planned(found, expected):
        fs.close(fd)
        raise ChangedUnderUs(f"{printable(path)} is another file by now", path=path)
    served.clock.sleep(stat.untrusted_for_ns(found, served.clock.now_ns()) / 1e9)
    return OpenFile(served, path, expected, fd)


@contextmanager
def _root(served: ServedFolder, store: ServedStore) -> Iterator[int]:
    fd = served.fs.open_root(served.absolute(store.below))
    try:
        yield fd
    finally:
        served.fs.close(fd)
