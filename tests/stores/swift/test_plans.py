"""What a plan was planned on is the same in the next look, as long as nothing changes in the container."""

from __future__ import annotations

from pathlib import Path

from syncer.engine import selection, sync
from syncer.engine.model import Policy
from syncer.stores.swift.names import ContainerPath
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift


def facts(machine: Machine) -> list[str]:
    with machine._pair(Policy(host="h")) as pair:
        return [selection.facts(action) for action in sync.plan(pair).actions]


def test_two_looks_at_a_container_see_the_same(swift: Swift, tmp_path: Path) -> None:
    door, place = tempauth_door(swift), ContainerPath(container=swift.fresh_name(), prefix="p/")
    one, two = Machine(tmp_path / "one", door, place), Machine(tmp_path / "two", door, place)
    for name in ("edit", "gone", "old", "d/far"):
        one.write(name, f"first {name}".encode())
    one.settled()
    two.settled()
    two.write("d/far", b"edited there")
    two.write("there", b"new there")
    two.settled()
    one.write("edit", b"edited here")
    (one.local / "gone").unlink()
    (one.local / "old").rename(one.local / "moved")
    found = facts(one)
    assert len(found) == 5
    assert facts(one) == found
    access = door.open()
    Hands(access.storage_url, access.token, place.container).put("p/gone", b"edited meanwhile")
    assert len(set(facts(one)) & set(found)) == 4
