"""Every test of the contract on every built-in store: the functions of `syncer.testing.contract_*`."""

from __future__ import annotations

from syncer.testing import contract

globals().update(contract.TESTS)


def test_every_test_that_needs_a_capability_exists() -> None:
    assert contract.NEEDS.keys() <= contract.TESTS.keys()
