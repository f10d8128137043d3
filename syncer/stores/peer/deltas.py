"""Deltas as the peer store makes and applies them: signatures, the 70% limit, and deltas that came out wrong.

The formats and the search are `engine.delta`'s. `Distrust` remembers which files are better fetched
whole: short sums make a wrong delta possible, and the same delta would be wrong again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from syncer.engine.model import Entry, RelPath
from syncer.engine.ports import Basis
from syncer.stores.peer.keeping import workers

_PIECE = 1 << 20


def signature_of(basis: Basis) -> bytes:
    """The signature that asks for a delta against it: coarse, for the wire. Raises what reading does."""
    from syncer.engine.delta import Parameters, signature

    chunks = (basis.read(at, min(_PIECE, basis.size - at)) for at in range(0, basis.size, _PIECE))
    return b"".join(signature(chunks, Parameters.for_wire(basis.size), workers=workers()))


def patched(basis: Basis, delta: Iterable[bytes], *, size: int) -> Iterator[bytes]:
    """The content that the delta makes of the basis. Raises BadDelta, and what reading either raises."""
    from syncer.engine.delta import patch

    return patch(basis, delta, size=size)


@dataclass(frozen=True, slots=True)
class Distrust:
    """Contents of which a delta came out wrong, as empty files in a folder of ours. Never raises."""

    folder: Path

    def doubts(self, path: RelPath, entry: Entry) -> bool:
        """Whether this content is better fetched whole."""
        return self._place(path, entry).exists()

    def note(self, path: RelPath, entry: Entry) -> None:
        """A delta of this content came out wrong."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._place(path, entry).touch(mode=0o600)
        except OSError:
            return  # it is fetched in vain once more

    def forget(self, path: RelPath, entry: Entry) -> None:
        """The content came, whole."""
        try:
            self._place(path, entry).unlink(missing_ok=True)
        except OSError:
            return

    def _place(self, path: RelPath, entry: Entry) -> Path:
        named = path.encode("utf-8", "surrogateescape") + b"\0" + entry.version
        return self.folder / blake2b(named, digest_size=16).hexdigest()
