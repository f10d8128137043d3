"""What a plan was planned on is the same in the next look, as long as nothing changes in the drive."""

from __future__ import annotations

from syncer.engine import selection, sync
from syncer.engine.model import Policy
from tests.contract.orange_rig import OrangeRig
from tests.stores.orange.test_syncing import Machine, rig

__all__ = ["rig"]


def facts(machine: Machine) -> list[str]:
    with machine._pair(Policy(host="h"), patient=True) as pair:
        return [selection.facts(action) for action in sync.plan(pair).actions]


def test_two_looks_at_a_drive_see_the_same(rig: OrangeRig) -> None:
    one, two = Machine(rig, rig.base / "one"), Machine(rig, rig.base / "two")
    for name in ("edit", "gone", "old", "d/far"):
        one.write(name, f"first {name}".encode())
    one.at_rest()
    two.at_rest()
    two.write("d/far", b"edited there")
    two.write("there", b"new there")
    two.at_rest()
    one.write("edit", b"edited here")
    (one.local / "gone").unlink()
    (one.local / "old").rename(one.local / "moved")
    found = facts(one)
    assert len(found) >= 5
    assert facts(one) == found
