"""Suites of the Swift store on a real Ceph RGW, but for what only OpenStack Swift has.

What Ceph does otherwise is tested in the modules beside this one.
"""

from __future__ import annotations

from tests.stores.swift import (
    test_changing,
    test_gc,
    test_interop,
    test_looking,
    test_ranged,
    test_segments,
    test_sigkill,
    test_syncing,
    test_two_machines,
)
from tests.stores.swift.test_interop import tool
from tests.stores.swift.test_sigkill import seed, story

__all__ = ["seed", "story", "tool"]

OTHERWISE: set[str] = set()
for module in (
    test_changing,
    test_gc,
    test_interop,
    test_looking,
    test_ranged,
    test_segments,
    test_sigkill,
    test_syncing,
    test_two_machines,
):
    found = {n: t for n, t in vars(module).items() if n.startswith("test_") and n not in OTHERWISE}
    assert not found.keys() & globals().keys()
    globals().update(found)
