"""What Ceph is asked, and in which words its refusals reach a user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done, Stale
from syncer.errors import NotFound
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.client import Connection
from syncer.stores.swift.names import ContainerPath
from tests.contents import noise
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.contract.swift_rig import Hands, SwiftRig, tempauth_door
from tests.stores.swift.bench import MIB, Bench
from tests.stores.swift.cloud import PREFIX, CloudWorld
from tests.swift.rgw import Rgw
from tests.world import call


@pytest.fixture
def world(rgw: Rgw, tmp_path: Path) -> Iterator[CloudWorld]:
    made = CloudWorld(tmp_path / "w", rgw)
    yield made
    made.close()


def test_ceph_is_told_from_swift(rgw: Rgw, rig: SwiftRig) -> None:
    limits = ClusterInfo(
        Connection(tempauth_door(rgw), clock=rig.clock), ContainerPath(container="any")
    ).limits
    assert limits.is_ceph and limits.hides_manifests and limits.bulk_delete == 1000
    assert limits.features is not None and not limits.features.ranges and not limits.features.inline
    assert limits.features.parts == 1000


def test_many_deletions_go_by_bulk(rgw: Rgw, rig: SwiftRig) -> None:
    items = []
    for n in range(60):
        rig.write(f"d/{n}", b"%d" % n)
        items.append(DeleteRequest(path=f"d/{n}", expected=rig.entry(f"d/{n}")))
    rgw.clear()
    assert in_order(rig.store.delete(items), 60) == [Done()] * 60
    assert len(rgw.requests(kind="account", method="POST")) == 2
    assert rgw.requests(method="DELETE") == [] and len(rig.kept()) == 60


def test_a_copy_into_the_trash_is_made_of_what_was_looked_at(rgw: Rgw, rig: SwiftRig) -> None:
    """Ceph heeds a condition of its own on the source of a copy, not Swift's."""
    rig.write("f", b"before")
    expected = rig.entry("f")
    rule = rgw.rule("hold", method="COPY")
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(rig.put("f", b"ours", expected=expected)))
    thread.start()
    rule.hits(at_least=1)
    rig.write("f", b"theirs")
    rule.release()
    thread.join()
    assert isinstance(outcomes[0], Stale) and rig.read("f") == b"theirs"
    assert rgw.requests(method="COPY")[0].status == 412


def test_a_manifest_that_is_refused_for_a_missing_segment_is_sent_again(bench: Bench) -> None:
    """404, as for a container that is not there."""
    machine, data = bench.machine(), noise(1, MIB)
    rule = bench.swift.rule("hold", method="PUT", path=f"{bench.container}/big")
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(machine.outcome("big", data)))
    thread.start()
    rule.hits(at_least=1)
    bench.segments.ask("DELETE", bench.segments.names(".syncer/")[0])
    rule.release()
    thread.join()
    [outcome] = outcomes
    assert outcome.error.code == "transient", outcome  # type: ignore[attr-defined]
    machine.put("big", data)
    assert bench.read("big") == data


def test_a_manifest_without_its_container_is_not_sent_again(bench: Bench) -> None:
    machine = bench.machine()
    rule = bench.swift.rule("hold", method="PUT", path=f"{bench.container}/big")
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(machine.outcome("big", noise(1, MIB))))
    thread.start()
    rule.hits(at_least=1)
    for name in bench.hands.names():
        bench.hands.ask("DELETE", name)
    bench.hands.ask("DELETE")
    rule.release()
    thread.join()
    assert isinstance(outcomes[0].error, NotFound), outcomes  # type: ignore[attr-defined]


def test_a_large_object_is_not_fetched_for_the_small_size_of_its_row(rgw: Rgw, bench: Bench) -> None:
    writer, reader = bench.machine("a"), bench.machine("b")
    writer.put("big", noise(1, 200 << 10))
    rows = {row["name"]: row for row in bench.hands.ask("GET", query="format=json").json()}
    assert 0 < rows["big"]["bytes"] < 4096
    rgw.clear()
    assert reader.store.list("").entries["big"].size == 200 << 10  # type: ignore[union-attr]
    assert rgw.requests(method="GET", path=f"{bench.container}/big") == []


def test_a_large_file_that_did_not_change_is_not_asked_for_in_every_run(world: CloudWorld) -> None:
    """Its row shows the MD5 of nothing and milliseconds: that is how it is recognised."""
    world.write("local/big", noise(1, 9 << 20))
    world.settle()
    world.swift.clear()
    assert world.sync().actions == []
    assert [a for a in world.swift.requests() if a.path.endswith("/big")] == []


def test_a_container_name_that_the_service_refuses_is_said_to_be_that(world: CloudWorld) -> None:
    for name in ("ab", ".hidden"):
        world.configure(f"{name}/docs")
        ran = world.sync()
        assert ran.code == 2 and "refuses this container name" in ran.err, ran
        assert "3 to 63" in ran.err and "400" not in ran.err


def test_a_container_of_somebody_else_is_said_to_be_that(world: CloudWorld) -> None:
    url, token = world.swift.log_in(world.swift.other_user, world.swift.other_key)
    other = Hands(url, token, "belongs-to-bob")
    other.ask("PUT")
    other.session.close()
    world.configure("belongs-to-bob/docs")
    ran = world.sync()
    assert ran.code == 2 and "another account" in ran.err and "folder" not in ran.err, ran


def test_doctor_does_not_advise_versions_that_ceph_does_not_keep(world: CloudWorld) -> None:
    ran = call(*world.words("doctor", "cloud"))
    assert "Ceph overwrites" in ran.out and "X-Versions-Enabled" not in ran.out, ran


def test_a_user_who_may_only_read_is_told(world: CloudWorld) -> None:
    world.write("local/f", b"x")
    world.settle()
    reading = world.config.read_text()
    reading = reading.replace(world.swift.user, Rgw.reader).replace(
        f'"{world.swift.key}"', f'"{Rgw.reader_key}"'
    )
    world.config.write_text(reading)
    world.write("local/g", b"y")
    ran = world.sync()
    assert ran.code == 3 and "403" in ran.out and world.hands.names(f"{PREFIX}g") == [], ran


def test_many_new_files_are_looked_for_by_pages(rgw: Rgw, rig: SwiftRig) -> None:
    """Two requests for each are left: its PUT, and the HEAD that shows its time."""
    rig.write("f07", b"theirs")
    items = [rig.item(f"f{n:02}", b"ours %d" % n) for n in range(60)]
    rgw.clear()
    outcomes = rig.put_all(items)
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Done)] == [7]
    assert isinstance(outcomes[7], Stale) and rig.read("f07") == b"theirs"
    asked = [a for a in rgw.requests() if a.kind != "other"]
    assert len(asked) < 2.5 * len(items), len(asked)


def test_a_file_that_came_after_the_page_is_not_overwritten(rgw: Rgw, rig: SwiftRig) -> None:
    """A page is of one moment: it is asked for again a quarter of a second later."""

    class Slow(BytesSource):
        def chunks(self, basis: object = None) -> Iterator[bytes]:
            rig.write("f30", b"theirs")
            rig.clock.sleep(1)
            yield from super().chunks()

    items = [rig.item(f"f{n:02}", b"ours") for n in range(30)]
    items += [rig.item("f30", b"ours", source=Slow(b"ours"))]
    outcomes = rig.put_all(items)
    assert isinstance(outcomes[30], Stale) and rig.read("f30") == b"theirs"
    assert all(isinstance(outcome, Done) for outcome in outcomes[:30])
