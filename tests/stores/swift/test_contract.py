"""The contract suite on the Swift store through each of the five doors, bare and decorated.

`make test` goes through every door bare, and through one with scripted failures; the other decorators, which
do not know what is behind them, go through every door in `make test-long`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.interfaces import RenameRequest
from syncer.engine.model import Failed
from syncer.errors import Unholdable, Unmovable
from syncer.testing import contract_changes, contract_queries
from tests.contract.rigs import DECORATORS, in_order
from tests.contract.swift_rig import SwiftRig
from tests.swift.doors import DOORS, way_in

CANNOT = {  # what no object store can do; what it does instead is tested below
    "test_a_name_that_is_not_utf8_is_listed_with_its_bytes",
    "test_a_directory_is_renamed_with_all_that_is_below",
}
for module in (contract_changes, contract_queries):
    globals().update({n: t for n, t in vars(module).items() if n.startswith("test_") and n not in CANNOT})

QUICK = {(door, "") for door in DOORS} | {("v1", "+faults")}
RIGS = [
    pytest.param((door, decorator), marks=() if (door, decorator) in QUICK else pytest.mark.long)
    for door in DOORS
    for decorator in DECORATORS
]


@pytest.fixture(params=RIGS, ids="".join)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SwiftRig]:
    door, decorator = request.param
    with way_in(door) as way:
        built = SwiftRig(tmp_path, way.door, way.swift.fresh_name())
        built.store = DECORATORS[decorator](built.store)
        yield built
        built.close()


def test_a_name_that_is_not_utf8_is_refused(rig: SwiftRig) -> None:
    outcome = rig.put("latin-\udce9", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert not rig.store.capabilities.any_bytes and rig.store.stat("latin-\udce9") is None


def test_a_directory_is_not_moved_at_once(rig: SwiftRig) -> None:
    rig.write("a/deep/f", b"x")
    item = RenameRequest(origin="a", path="b", expected=rig.entry("a"))
    outcome = in_order(rig.store.rename([item]), 1)[0]
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unmovable)
    assert not rig.store.capabilities.moves_directories and rig.read("a/deep/f") == b"x"
