"""Content from the trash as content to be put: it takes its name, and what stands there goes, in one step.

For a name that is taken; to a free one `trashcan.restore` leads. What is put back stays in the trash as well,
until it is emptied: a copy too many is better than a step in which there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from os import stat_result

from blake3 import blake3

from syncer.engine.model import Entry, Kind
from syncer.engine.paths import printable
from syncer.engine.ports import Basis, Put, Results, Traffic
from syncer.errors import ChangedUnderUs
from syncer.stores import install, stamps, trash_deltas
from syncer.stores.batches import Tally
from syncer.stores.beneath import Cursor
from syncer.stores.ground import Ground
from syncer.stores.reading import beyond
from syncer.stores.transfer import MEBIBYTE
from syncer.stores.trash import Kept, Trash
from syncer.stores.trouble import Unexpected, reading


def put_back(ground: Ground, trash: Trash, wanted: Sequence[tuple[Kept, Entry]]) -> Results:
    """Puts things back over what stands at their names, by the protocol of every other put.

    Raises OSError where the root cannot be opened.
    """
    ground.root_fd()  # the trash is looked at as the root's file system wants to be looked at
    tally = Tally(ground)
    puts: dict[int, Put] = {}
    for index, (kept, expected) in enumerate(wanted):
        tally.attempt(index, kept.path, partial(_find, puts, index, trash, kept, expected))
    found = list(puts)
    for number, outcome in install.put(ground, trash, list(puts.values())):
        tally.ended[found[number]] = outcome
    yield from tally.results()


def _find(puts: dict[int, Put], index: int, trash: Trash, kept: Kept, expected: Entry) -> None:
    puts[index] = item(trash, kept, expected)


def item(trash: Trash, kept: Kept, expected: Entry) -> Put:
    """A put of what is kept to its own path, where `expected` stands.

    Raises OSError, Unexpected, BadDelta.
    """
    fs = trash.fs
    with trash_deltas.opened(trash) as deltas:
        if deltas is not None:
            trash.resize(kept, deltas.make_whole(kept))
    with _opened(trash, kept) as (fd, name):
        seen = fs.stat(name, fd)
        kind = stamps.kind(seen)
        if kind not in (Kind.FILE, Kind.SYMLINK):
            raise Unexpected(f"{printable(kept.path)} is no file in the trash")
        is_file = kind is Kind.FILE
        return Put(
            path=kept.path,
            kind=kind,
            source=KeptSource(trash, kept, seen) if is_file else None,
            size=seen.st_size,
            expected=expected,
            mtime_ns=stamps.mtime(seen),
            executable=stamps.executable(seen) if is_file else None,
            target=None if is_file else fs.readlink(name, fd),
        )


@contextmanager
def _opened(trash: Trash, kept: Kept) -> Iterator[tuple[int, str]]:
    """The directory in the trash that holds a thing, and its name there."""
    fd = trash.open(make=False)
    try:
        with Cursor(trash.fs, fd) as cursor:
            yield cursor.parent(f"{kept.batch}/{kept.path}")
    finally:
        trash.fs.close(fd)


@dataclass(slots=True)
class KeptSource:
    """The content of a file in the trash (`engine.ports.Source`): late writers may still send bytes to it."""

    trash: Trash
    kept: Kept
    seen: stat_result
    read: Entry | None = field(default=None)

    @property
    def entry(self) -> Entry:
        if self.read is None:
            raise self._changed()
        return self.read

    @property
    def traffic(self) -> Traffic | None:
        return None

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        """Everything is read, as from a folder."""
        self.read = None
        pieces = self._pieces()
        return pieces if basis is None or not basis.start else beyond(pieces, basis.start)

    def _pieces(self) -> Iterator[bytes]:
        fs = self.trash.fs
        try:
            with _opened(self.trash, self.kept) as (fd, name):
                file = fs.open_read(name, fd)
            try:
                yield from self._verified(file)
            finally:
                fs.close(file)
        except OSError as error:
            raise reading(error, self.kept.path) from error

    def _verified(self, fd: int) -> Iterator[bytes]:
        fs, hasher, held = self.trash.fs, blake3(), b""
        now = self.trash.clock.now_ns()
        while chunk := fs.read(fd, MEBIBYTE):
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        after = fs.fstat(fd)
        if stamps.identity(after) != stamps.identity(self.seen):
            raise self._changed()
        self.read = stamps.file_entry(after, now, hasher.digest())
        if held:
            yield held

    def _changed(self) -> ChangedUnderUs:
        path = self.kept.path
        return ChangedUnderUs(f"{printable(path)} changed in the trash while it was read", path=path)
