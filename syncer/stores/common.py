"""What every store shares, the local folder too: private paths, digests of symlinks, skipping bytes. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator

from blake3 import blake3

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY


def is_private_path(path: RelPath) -> bool:
    """Whether the path is, or is below, one of Syncer's own names: no request may change it."""
    if path == PRIVATE or path.startswith(PRIVATE + "/"):
        return True
    return TEMPORARY in path and any(part.startswith(TEMPORARY) for part in path.split("/"))


def link_digest(target: str) -> bytes:
    """BLAKE3-256 of the bytes of a symlink's target."""
    return blake3(os.fsencode(target)).digest()


def beyond(pieces: Iterator[bytes], start: int) -> Iterator[bytes]:
    """The bytes after the first `start` ones."""
    for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(start - len(piece), 0)
