"""The contract suite on the Swift store with a real Ceph RGW behind it."""

from __future__ import annotations

from tests.contract import test_changing, test_looking
from tests.stores.swift.test_contract import CANNOT

for module in (test_changing, test_looking):
    globals().update({n: t for n, t in vars(module).items() if n.startswith("test_") and n not in CANNOT})
