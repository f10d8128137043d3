"""Scans of a store in one call, for tests that ask for nothing else."""

from __future__ import annotations

from syncer.engine.interfaces import KnownDirectories, Store
from syncer.engine.model import RelPath


def changed_directories(store: Store, known: KnownDirectories) -> list[RelPath]:
    """The known directories that a scan of its own finds changed, as the store yields them."""
    with store.scan(known) as scan:
        return list(scan.changed())
