"""Listings set aside until they are asked for, each once; on disk where they are many. Nothing lasts."""

from __future__ import annotations

import pickle
import tempfile
from typing import IO

from syncer.engine.model import Listing, RelPath

_IN_MEMORY = 8 << 20  # bytes of listings before they go to a file


class Aside:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._places: dict[RelPath, tuple[int, int]] = {}

    def add(self, path: RelPath, listing: Listing) -> None:
        """Listings come one after the other, before any is taken."""
        start = self._file.tell()
        pickle.dump((dict(listing.entries), listing.fingerprint), self._file)
        self._places[path] = start, self._file.tell() - start

    def take(self, path: RelPath) -> Listing | None:
        """What was set aside for it, once."""
        place = self._places.pop(path, None)
        if place is None:
            return None
        self._file.seek(place[0])
        entries, print_ = pickle.loads(self._file.read(place[1]))
        return Listing(entries=entries, fingerprint=print_)

    def close(self) -> None:
        self._file.close()
