"""The contract suite on the Swift store with a real Ceph RGW behind it."""

from __future__ import annotations

from syncer.testing import contract_changes, contract_queries
from tests.stores.swift.test_contract import CANNOT

for module in (contract_changes, contract_queries):
    globals().update({n: t for n, t in vars(module).items() if n.startswith("test_") and n not in CANNOT})
