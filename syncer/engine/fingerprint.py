"""Directory fingerprint: a short digest over the names and versions in a directory; equal means unchanged.

Pure. Both the scan (from stamps) and the state (from remembered rows) make it, so it
lives here. A directory within contributes its name only: what is below it has a
fingerprint of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from syncer.engine.model import Version


def fingerprint(entries: Iterable[tuple[str, Version]]) -> bytes:
    """16 bytes over the names and versions of one directory, in any order.

    A file's version is fixed-length per store, so the joined form is unambiguous: "/" cannot
    be part of a name and ends it.
    """
    lines = sorted(os.fsencode(name) + b"/" + version for name, version in entries)
    return hashlib.blake2b(b"\0".join(lines), digest_size=16).digest()
