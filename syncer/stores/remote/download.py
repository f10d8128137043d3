"""Downloads: resume after a broken connection, hold the last piece back until the content is verified."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from syncer.engine.interfaces import LocalBasis, Source, TransferStats
from syncer.engine.model import BlockedEntry, BlockReason, Entry, RelPath, Seen
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs, NotFound, TransientError, Unreadable
from syncer.stores.retry_policy import Attempts

_PIECE = 1 << 20


class RemoteSource(ABC):
    """The `engine.interfaces.Source` of one file: its entry, known after a complete pass, and its traffic."""

    def __init__(self, path: RelPath, expected: Entry) -> None:
        self._path = path
        self._expected = expected
        self._entry: Entry | None = None
        self._traffic = TransferStats()

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return self._traffic

    @abstractmethod
    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """See `engine.interfaces.Source.chunks`."""

    def _changed(self, what: str = "changed since it was planned on") -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)} {what}", path=self._path)


def read_prefix(basis: LocalBasis | None, size: int) -> Iterator[bytes]:
    """The first `size` bytes of the basis: what an earlier download has stored already. For hashing."""
    for offset in range(0, size, _PIECE):
        assert basis is not None
        yield basis.read(offset, min(_PIECE, size - offset))


def hold_last(pieces: Iterator[bytes], verify: Callable[[], None]) -> Iterator[bytes]:
    """All pieces, the last one only after `verify` succeeded: a reader never has all of a wrong content."""
    held = b""
    for piece in pieces:
        if held:
            yield held
        held = piece
    verify()
    if held:
        yield held


def resumed(
    fetch: Callable[[int, Attempts], Iterator[bytes]],
    start: int,
    end: int,
    *,
    path: RelPath,
    sleep: Callable[[float], None],
) -> Iterator[bytes]:
    """The bytes from `start` to `end`, by as many requests as it takes.

    `fetch(position, attempts)` yields bytes from a position on and never beyond the end. After a
    TransientError it is called again for the rest, until the retry policy gives up; data that arrived counts
    as progress and begins the count anew. The requests are made within `attempts.shared()`, so that the
    retries of the HTTP client and these are counted together.
    """
    position, failures, attempts = start, 0, Attempts()
    while position < end:
        before = position
        try:
            for piece in fetch(position, attempts):
                position += len(piece)
                yield piece
            if position < end:
                raise TransientError(f"{printable(path)}: the response ended too early", path=path)
        except TransientError as error:
            if position > before:
                failures = 0
                attempts.progress()
            failures += 1
            attempts.wait(error, sleep, failures)


def read_through(source: Source) -> Seen:
    """The entry of a source after a complete pass, with its digest; why there is none, as a look says it."""
    try:
        for _ in source.chunks():
            pass
    except NotFound:
        return None
    except ChangedUnderUs as error:
        return BlockedEntry(BlockReason.BUSY, str(error))
    except Unreadable as error:
        return BlockedEntry(BlockReason.UNREADABLE, str(error))
    return source.entry
