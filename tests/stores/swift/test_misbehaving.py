"""The contract suite, and whole runs, on a proxy that misbehaves all the time.

Whoever works behind the store's back is spared (`Hands` with a header), and sees at once what it wrote; the
store sees its own writes late. The store is the one that tries again, as jobs have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done, Failed, Stale
from syncer.errors import TransientError
from syncer.stores.retry import RetryingStore
from syncer.stores.retry_policy import RetryPolicy
from syncer.stores.swift.names import ContainerPath
from syncer.testing import contract_changes, contract_queries
from tests.contents import noise
from tests.contract.rigs import in_order
from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.stores.swift.bench import MIB, Bench
from tests.stores.swift.machines import Machine
from tests.stores.swift.test_contract import CANNOT
from tests.swift.doors import DOORS, Way, way_in
from tests.swift.server import Swift

OTHERWISE = CANNOT | {
    "test_a_put_that_broke_off_is_gone_on_with_or_done_again",  # it counts how often a source is read
    "test_a_file_is_renamed_with_its_content",  # Stale where the copy is there already: see below
}
for module in (contract_changes, contract_queries):
    globals().update({n: t for n, t in vars(module).items() if n.startswith("test_") and n not in OTHERWISE})

NOW_AND_THEN = (5, 7, 4, 6)
"""How many requests are between those that go wrong. The next try of one goes well, and what a change takes
is never hit at the same place again and again."""


def _often(swift: Swift, do: str, **how: Any) -> None:
    swift.rule(do, times=None, every=NOW_AND_THEN, after=3, **{"kind": "object", **how})


TROUBLES: dict[str, Callable[[Swift], None]] = {
    "late": lambda swift: swift.lag(None),
    "busy": lambda swift: _often(swift, "status", kind="*", status=503, retry_after=0),
    "throttled": lambda swift: _often(swift, "status", status=498),
    "forgetful": lambda swift: swift.rule("expire-token", kind="[co]*", times=None, every=(31,)),
    "lost": lambda swift: _often(swift, "lose-answer"),
    "dropped": lambda swift: _often(swift, "drop"),
    "cut": lambda swift: _often(swift, "cut", method="GET", bytes=1),
}
QUICK = ("late",)


class SparedRig(SwiftRig):
    """What is done by hand goes well, and is listed."""

    def __init__(self, base: Path, swift: Swift) -> None:
        super().__init__(base, tempauth_door(swift), swift.fresh_name())
        self.swift = swift
        _, token = swift.log_in(swift.reseller, swift.reseller_key)  # the store's token dies with others
        self.hands.session.headers.update({"X-Auth-Token": token, "X-Spared": "1"})
        self.store = RetryingStore(self.store, sleep=self.clock.sleep, policy=RetryPolicy(tries=12))

    def write(self, path: str, data: bytes) -> None:
        super().write(path, data)
        self.swift.settle()

    def link(self, path: str, target: str) -> None:
        super().link(path, target)
        self.swift.settle()

    def mkdir(self, path: str) -> None:
        super().mkdir(path)
        self.swift.settle()

    def remove(self, path: str) -> None:
        self.swift.settle()
        super().remove(path)
        self.swift.settle()

    def kept(self) -> list[bytes]:
        """Each once: where the answer to a copy is lost, there are two."""
        self.swift.settle()
        return list(dict.fromkeys(super().kept()))


@pytest.fixture(params=[pytest.param(t, marks=() if t in QUICK else pytest.mark.long) for t in TROUBLES])
def rig(request: pytest.FixtureRequest, swift: Swift, tmp_path: Path) -> Iterator[SwiftRig]:
    built = SparedRig(tmp_path, swift)
    TROUBLES[request.param](swift)
    yield built
    built.close()


# -- whole runs, through every door ------------------------------------------------------


@pytest.fixture(params=DOORS)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    with way_in(request.param) as way:
        yield way


def machines(way: Way, folder: Path) -> tuple[Machine, Machine]:
    place = ContainerPath(container=way.swift.fresh_name(), prefix="p/")
    one, two = (Machine(folder / name, way.door, place) for name in ("one", "two"))
    return one, two


def test_tokens_that_die_in_mid_run_are_renewed_through_the_door(way: Way, tmp_path: Path) -> None:
    one, two = machines(way, tmp_path)
    for n in range(12):
        one.write(f"d{n % 3}/f{n}", b"%d" % n)
    large = one.write("large", noise(1, 9 * MIB)).read_bytes()
    tried = _dying_now_and_then(way)
    one.settled()
    two.settled()
    assert one.tree() == two.tree() and len(one.tree()) == 13 and two.tree()["large"] == large
    assert len(tried()) >= 2


def _dying_now_and_then(way: Way) -> Callable[[], list[object]]:
    """In front of Keystone a token that dies there is remembered by Swift for a while: so Swift says it."""
    if way.name == "keystone":
        way.swift.rule("status", status=401, kind="[co]*", times=None, every=(37,), after=3)
    else:
        way.swift.rule("expire-token", kind="[co]*", times=None, every=(37,), after=3)
    return lambda: list(way.swift.requests(status=401))


# -- what a run meets now and then ----------------------------------------------------------


@pytest.fixture
def bench(swift: Swift, tmp_path: Path) -> Iterator[Bench]:
    built = Bench(swift, tmp_path)
    yield built
    built.close()


def test_a_manifest_that_was_not_stored_is_stale(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    bench.swift.rule("status", method="PUT", query="multipart-manifest=put", status=202)
    assert isinstance(machine.outcome("big", noise(2, MIB), expected=entry), Stale)
    assert bench.read("big") == data


def test_a_segment_that_was_never_stored_is_in_no_manifest(bench: Bench) -> None:
    segments = f"{bench.container}_segments/*"
    bench.swift.rule("status", method="PUT", path=segments, status=202, times=None)
    outcome = bench.machine().outcome("big", noise(1, MIB))
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert bench.hands.names("big") == []


def test_a_lost_answer_to_a_manifest_is_found_to_have_taken_effect(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    bench.swift.rule("lose-answer", method="PUT", query="multipart-manifest=put")
    machine.store = RetryingStore(machine.store, sleep=machine.clock.sleep)
    done = machine.outcome("big", noise(2, MIB), expected=entry)
    assert isinstance(done, Done) and bench.read("big") == noise(2, MIB)


@pytest.mark.parametrize("status", [401, 503])
def test_a_refused_manifest_is_sent_again(bench: Bench, status: int) -> None:
    machine = bench.machine()
    machine.store = RetryingStore(machine.store, sleep=machine.clock.sleep)
    rule = bench.swift.rule("status", method="PUT", query="multipart-manifest=put", status=status)
    machine.put("big", noise(1, MIB))
    assert rule.hits() == 1 and bench.read("big") == noise(1, MIB)


def test_a_lost_answer_to_a_bulk_delete_is_found_to_have_taken_effect(swift: Swift, tmp_path: Path) -> None:
    rig = SparedRig(tmp_path, swift)
    for n in range(12):
        rig.write(f"f{n}", b"%d" % n)
    rule = swift.rule("lose-answer", method="POST", kind="account")
    removals = [DeleteRequest(path=f"f{n}", expected=rig.entry(f"f{n}")) for n in range(12)]
    assert in_order(rig.store.delete(removals), 12) == [Done()] * 12
    assert rule.hits() == 1 and sorted(rig.kept()) == sorted(b"%d" % n for n in range(12))
    rig.close()


def test_a_rename_that_stops_between_copy_and_delete_is_finished_by_the_next_run(
    swift: Swift, tmp_path: Path
) -> None:
    one = Machine(
        tmp_path / "one", tempauth_door(swift), ContainerPath(container=swift.fresh_name(), prefix="p/")
    )
    one.write("f", b"precious" * 100)
    one.settled()
    (one.local / "f").rename(one.local / "g")
    rule = swift.rule("drop", method="DELETE", path="*/p/f", times=None)
    one.run()
    assert rule.hits() and one.tree() == {"g": b"precious" * 100}
    rule.remove()
    one.settled()
    assert one.tree() == {"g": b"precious" * 100}
    remote = one.remote()
    assert set(remote.list("").entries) == {"g"}
    remote.close()
