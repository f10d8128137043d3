"""Large files on Ceph cross by what changed, in both directions, though it takes whole segments only."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import RenameRequest, SetAttributesRequest
from syncer.engine.model import Failed, Kind, Method
from syncer.errors import TransientError
from syncer.stores.swift.slo.companions import FOLDER
from syncer.stores.swift.slo.layout import LayoutLimits, SloFeatures, fresh, segment_size, suited
from tests.contents import noise
from tests.contract.rigs import in_order
from tests.stores.swift.bench import MIB, Bench, edit
from tests.stores.swift.ceph.conftest import COARSE
from tests.stores.swift.large import Here, Machine

SEGMENT = suited(COARSE, SloFeatures(ranges=False, inline=False)).segment


def crossed(bench: Bench, method: str) -> int:
    """Bytes of bodies since the last `clear`."""
    asked = bench.swift.requests(method=method)
    return sum(a.received if method == "PUT" else a.sent for a in asked)


def test_the_usual_segments_are_a_mebibyte_and_a_large_file_fits_into_a_manifest() -> None:
    features = SloFeatures(ranges=False, inline=False, parts=1000)
    usual = suited(LayoutLimits(), features)
    assert segment_size(64 * MIB, features, usual) == MIB
    for size in (512 * MIB, 3 << 30, 100 << 30):
        steps = fresh(size, features, usual)
        assert len(steps) <= 501 and sum(step.size for step in steps) == size  # type: ignore[union-attr]


def test_an_edit_sends_the_segments_it_touches(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, 4 * MIB)
    entry = machine.put("big", data).entry
    changed = edit(data, 2, edits=1)
    bench.swift.clear()
    done = machine.put("big", changed, over=entry)
    assert done.method is Method.SEGMENTS and bench.read("big") == changed
    assert done.sent == crossed(bench, "PUT") and sum(bench.uploads()) < 3 * SEGMENT
    assert len([size for size in bench.uploads() if size == SEGMENT]) <= 2


def test_another_machine_gets_what_changed(bench: Bench) -> None:
    here, there, data = bench.machine("a"), bench.machine("b"), noise(1, 4 * MIB)
    entry = here.put("big", data).entry
    assert there.get("big") == data
    changed = edit(data, 2, edits=3)
    changed = changed[:MIB] + b"inserted" + changed[MIB:]
    here.put("big", changed, over=entry)
    bench.swift.clear()
    assert there.get("big", Here(data)) == changed
    assert there.traffic.method is Method.SEGMENTS
    assert there.traffic.received == crossed(bench, "GET") < 12 * SEGMENT


def test_another_machine_sends_what_changed_and_the_first_one_gets_that(bench: Bench) -> None:
    here, there, data = bench.machine("a"), bench.machine("b"), noise(1, 4 * MIB)
    here.put("big", data)
    assert there.get("big") == data
    changed = edit(data, 2, edits=1)
    assert there.put("big", changed, over=there.entry("big")).method is Method.SEGMENTS
    assert here.get("big", Here(data)) == changed and here.traffic.method is Method.SEGMENTS


@pytest.mark.parametrize("deed", ["renamed", "copied by another tool", "another mtime"])
def test_what_is_known_of_the_segments_goes_along(bench: Bench, deed: str) -> None:
    here, there, data = bench.machine("a"), bench.machine("b"), noise(1, 4 * MIB)
    entry = here.put("big", data).entry
    assert entry is not None
    name = "big"
    if deed == "renamed":
        name = "new"
        in_order(here.store.rename([RenameRequest(origin="big", path="new", expected=entry)]), 1)
    elif deed == "copied by another tool":
        name = "copy"
        bench.hands.ask("COPY", "big", headers={"Destination": f"{bench.container}/copy"})
    else:
        item = SetAttributesRequest(
            path="big", expected=entry, mtime_ns=1_600_000_000_000_000_000, executable=True
        )
        in_order(here.store.set_attributes([item]), 1)
    assert there.get(name) == data
    changed = edit(data, 2, edits=1)
    assert there.put(name, changed, over=there.entry(name)).method is Method.SEGMENTS
    assert bench.read(name) == changed


def test_a_companion_of_another_content_is_not_believed(bench: Bench) -> None:
    """Metadata that was copied to another object, or a document that was damaged, cost a whole transfer."""
    here, there = bench.machine("a"), bench.machine("b")
    here.put("one", noise(1, MIB))
    here.put("two", noise(2, MIB))
    one, two = (
        bench.hands.ask("HEAD", name).headers["X-Object-Meta-Syncer-Manifest"] for name in ("one", "two")
    )
    assert one != two
    bench.hands.ask("POST", "two", headers={"X-Object-Meta-Syncer-Manifest": one})
    assert there.store._segments.layout("two", there.entry("two").version) is None
    assert there.store._segments.layout("one", there.entry("one").version) is not None
    [document] = [name for name in bench.segments.names(FOLDER) if one.partition("/")[0] in name]
    bench.segments.put(document, bench.segments.ask("GET", document).content + b" ")
    assert there.store._segments.layout("one", there.entry("one").version) is None
    assert there.get("one") == noise(1, MIB) and there.get("two") == noise(2, MIB)


def test_an_upload_that_dies_between_the_companion_and_the_manifest_changes_nothing(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    assert isinstance(machine.outcome("big", edit(data, 1), expected=entry), Failed)
    assert bench.read("big") == data and machine.entry("big") == entry
    assert len(bench.segments.names(FOLDER)) == 2
    assert machine.store._segments.layout("big", entry.version) is not None  # type: ignore[union-attr]


def test_no_manifest_is_put_whose_companion_was_not_stored(bench: Bench) -> None:
    bench.swift.rule(
        "status", method="PUT", path=f"{bench.container}_segments/{FOLDER}*", status=503, times=None
    )
    outcome = bench.machine().outcome("big", noise(1, MIB))
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert bench.hands.names("big") == []


def test_an_answer_to_the_companion_that_is_lost_is_no_harm(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    bench.swift.rule("lose-answer", method="PUT", path=f"{bench.container}_segments/{FOLDER}*")
    assert isinstance(machine.outcome("big", data), Failed)
    machine.put("big", data)
    assert bench.read("big") == data and machine.entry("big").kind is Kind.FILE


@pytest.mark.long
def test_edits_of_half_a_gibibyte_stay_within_the_bars(bench: Bench) -> None:
    """20 edits of 4 KiB and an insert of 1 KiB: 25 MB up, 25 MB down on another machine; one byte: 2.2 MB."""
    usual = LayoutLimits()
    here, there = bench.machine("a", usual), bench.machine("b", usual)
    data = b"".join(noise(n, 16 * MIB) for n in range(32))
    entry = here.put("big", data).entry
    assert there.get("big") == data
    changed = edit(data, 2, edits=20, size=4096)
    changed = changed[: 300 * MIB] + noise(3, 1024) + changed[300 * MIB :]
    up, down = _exchanged(bench, here, there, entry, data, changed)
    print(f"20 edits and an insert: {up:,} up, {down:,} down")
    assert up <= 25_000_000 and down <= 25_000_000, (up, down)
    byte = bytearray(changed)
    byte[100 * MIB] ^= 1
    up, down = _exchanged(bench, here, there, here.entry("big"), changed, bytes(byte))
    print(f"one byte: {up:,} up, {down:,} down")
    assert up <= 2_200_000 and down <= 2_200_000, (up, down)


def _exchanged(
    bench: Bench, here: Machine, there: Machine, entry: object, old: bytes, new: bytes
) -> tuple[int, int]:
    bench.swift.clear()
    here.put("big", new, over=entry)  # type: ignore[arg-type]
    up = crossed(bench, "PUT")
    bench.swift.clear()
    assert there.get("big", Here(old)) == new
    return up, crossed(bench, "GET")
