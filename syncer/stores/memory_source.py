"""The content of one file of a memory store, read as a slow disk does. It keeps nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from blake3 import blake3

from syncer.engine.model import Entry, RelPath
from syncer.engine.ports import Basis, Traffic
from syncer.errors import ChangedUnderUs

_CHUNK = 1 << 20


class MemorySource:
    """`read` answers the bytes of a file that is as expected; `between` acts before the last piece."""

    def __init__(
        self,
        path: RelPath,
        expected: Entry,
        *,
        read: Callable[[RelPath, Entry], tuple[bytes, Entry]],
        between: Callable[[RelPath], None],
    ) -> None:
        self._path = path
        self._expected = expected
        self._read = read
        self._between = between
        self._entry: Entry | None = None

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{self._path} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> Traffic | None:
        return None

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        self._entry = None
        data, entry = self._read(self._path, self._expected)
        digest = blake3(data).digest()
        data = data[basis.start :] if basis is not None else data
        pieces = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
        yield from pieces[:-1]
        self._between(self._path)
        self._read(self._path, self._expected)
        if self._expected.digest not in (None, digest):
            raise ChangedUnderUs(f"{self._path} changed", path=self._path)
        self._entry = replace(entry, digest=digest)
        yield from pieces[-1:]
