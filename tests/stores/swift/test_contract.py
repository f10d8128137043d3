"""The contract suite on the Swift store, through TempAuth and through Keystone, bare and decorated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncer.engine.model import Failed
from syncer.engine.ports import Rename
from syncer.errors import Unholdable, Unmovable
from syncer.stores.swift.auth import Door
from syncer.stores.swift.auth.keystone import KeystoneLogin
from syncer.stores.swift.auth.renewing import RenewingDoor
from syncer.stores.swift.auth.token import TokenDoor
from tests.contract import test_changing, test_looking
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import DECORATORS, in_order
from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.swift.fixtures import shared_cloud, shared_swift

CANNOT = {  # what no object store can do; what it does instead is tested below
    "test_a_name_that_is_not_utf8_is_listed_with_its_bytes",
    "test_a_directory_is_renamed_with_all_that_is_below",
}
for module in (test_changing, test_looking):
    globals().update({n: t for n, t in vars(module).items() if n.startswith("test_") and n not in CANNOT})


def keystone_door() -> Door:
    cloud, clock = shared_cloud(), SteppingClock()
    login = KeystoneLogin.settled(
        {},
        clock=clock,
        auth_url=cloud.auth_url,
        username=cloud.user,
        password=lambda: cloud.password,
        project_name=cloud.project,
        user_domain_name=cloud.domain,
        project_domain_name=cloud.domain,
        region_name="RegionOne",
    )
    return RenewingDoor(login, clock=clock)


def token_door() -> Door:
    storage_url, token = shared_swift().log_in()
    return TokenDoor(storage_url=storage_url, token=lambda: token)


DOORS: dict[str, Callable[[], Door]] = {
    "tempauth": lambda: tempauth_door(shared_swift()),
    "keystone": keystone_door,
    "token": token_door,
}
RIGS = [
    ("tempauth", ""),
    ("tempauth", "+faults"),
    ("keystone", ""),
    *(pytest.param(("tempauth", d), marks=pytest.mark.long) for d in DECORATORS if d not in ("", "+faults")),
    pytest.param(("token", ""), marks=pytest.mark.long),
]


@pytest.fixture(params=RIGS, ids="".join)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SwiftRig]:
    door, decorator = request.param
    server = shared_cloud().swift if door == "keystone" else shared_swift()
    server.reset()
    built = SwiftRig(tmp_path, DOORS[door](), server.fresh_name())
    built.store = DECORATORS[decorator](built.store)
    yield built
    built.close()


def test_a_name_that_is_not_utf8_is_refused(rig: SwiftRig) -> None:
    outcome = rig.put("latin-\udce9", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert not rig.store.capabilities.any_bytes and rig.store.look("latin-\udce9") is None


def test_a_directory_is_not_moved_at_once(rig: SwiftRig) -> None:
    rig.write("a/deep/f", b"x")
    item = Rename(origin="a", path="b", expected=rig.entry("a"))
    outcome = in_order(rig.store.rename([item]), 1)[0]
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unmovable)
    assert not rig.store.capabilities.moves_directories and rig.read("a/deep/f") == b"x"
