"""Large files go up in segments: what is new crosses, and nothing that anybody relies on is overwritten."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest, WriteRequest
from syncer.engine.model import Done, Failed, Kind, Method, Stale
from syncer.errors import ChangedUnderUs, TransientError
from syncer.stores.swift.slo.layout import LayoutLimits, SloFeatures, limits, suited
from syncer.stores.swift.slo.manifest import Inline
from syncer.stores.swift.slo.upload import OURS, is_old, segment_name
from tests.contents import noise
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.stores.swift.bench import MIB, Bench, edit
from tests.stores.swift.large import SMALL, Content
from tests.swift.fixtures import MakeSwift
from tests.swift.server import Swift


@pytest.fixture
def bench(swift: Swift, tmp_path: Path) -> Iterator[Bench]:
    built = Bench(swift, tmp_path)
    yield built
    built.close()


def test_a_large_file_is_an_ordinary_object_to_others(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, 600 << 10)
    bench.hands.put("dir é", Content_Type="application/directory")
    done = machine.put("dir é/big", data)
    assert done.method is Method.WHOLE
    head = bench.hands.ask("HEAD", "dir é/big")
    assert bench.read("dir é/big") == data
    assert head.headers["X-Object-Meta-Mtime"] == "1700000000.123456789"
    assert head.headers["X-Static-Large-Object"] == "True"
    assert machine.entry("dir é/big") == done.entry


def test_a_smaller_file_is_a_plain_object(bench: Bench) -> None:
    bench.machine().put("small", noise(1, SMALL.worth - 1))
    assert "X-Static-Large-Object" not in bench.hands.ask("HEAD", "small").headers


def test_an_edit_sends_what_is_new(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, 4 * MIB)
    first = machine.put("big", data)
    changed = edit(data, 2)
    done = machine.put("big", changed, over=first.entry)
    assert done.method is Method.SEGMENTS and done.sent < 64 << 10
    assert bench.read("big") == changed


def test_bytes_counted_on_the_wire_agree(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, 4 * MIB)
    first = machine.put("big", data)
    bench.swift.clear()
    changed = edit(data, 2)
    done = machine.put("big", changed, over=first.entry)
    crossed = sum(asked.received for asked in bench.swift.requests(method="PUT"))
    assert crossed == done.sent


def test_another_machine_that_read_it_sends_what_is_new_as_well(bench: Bench) -> None:
    here, there, data = bench.machine("a"), bench.machine("b"), noise(1, 2 * MIB)
    here.put("big", data)
    assert there.get("big") == data
    changed = edit(data, 3)
    done = there.put("big", changed, over=there.entry("big"))
    assert done.method is Method.SEGMENTS and done.sent < 64 << 10 and bench.read("big") == changed


def test_a_machine_that_knows_nothing_of_the_old_content_sends_it_whole(bench: Bench) -> None:
    data = noise(1, MIB)
    bench.machine("a").put("big", data)
    stranger = bench.machine("b")
    done = stranger.put("big", data + b"x", over=stranger.entry("big"))
    assert done.method is Method.WHOLE and bench.read("big") == data + b"x"


def test_many_edits_stay_within_the_limits_and_read_back(bench: Bench) -> None:
    machine, data, random = bench.machine(), noise(1, MIB), Random(5)
    entry = machine.put("big", data).entry
    features = machine.store._context.cluster.limits.features
    assert features is not None and features.ranges and features.inline
    for turn in range(60):
        data = edit(data, turn, edits=1)
        if random.random() < 0.3:
            data = data[: 1000 * turn] + b"inserted" + data[1000 * turn :]
        entry = machine.put("big", data, over=entry).entry
        manifest = machine.manifest("big")
        most = limits(len(data), features, SMALL)
        inline = sum(part.length for part in manifest.parts if isinstance(part, Inline))
        assert len(list(manifest.segments)) <= most.parts and inline <= most.inline
    assert bench.read("big") == data


def test_zeros_are_sent_once(bench: Bench) -> None:
    machine = bench.machine()
    done = machine.put("sparse", bytes(4 * MIB))
    assert bench.read("sparse") == bytes(4 * MIB) and done.sent < 2 * SMALL.segment


# -- deaths, losses, races ---------------------------------------------------------------


def test_an_upload_that_died_before_its_manifest_is_gone_on_with(bench: Bench) -> None:
    data = noise(1, 2 * MIB)
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    outcome = bench.machine("a").outcome("big", data)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert bench.hands.ask("GET", "big", fine=False).status_code == 404
    bench.swift.clear()
    done = bench.machine("b").put("big", data)  # as after a crash: nothing is known any more
    assert bench.uploads() == [] and done.sent < 8 << 10 and bench.read("big") == data


def test_an_upload_that_died_among_its_segments_is_gone_on_with(bench: Bench) -> None:
    data = noise(1, 2 * MIB)
    bench.swift.rule(
        "status", method="PUT", path=f"{bench.container}_segments/*", after=9, times=None, status=403
    )
    assert isinstance(bench.machine("a").outcome("big", data), Failed)
    there = len(bench.segments.names())
    assert there
    bench.swift.reset()
    bench.machine("b").put("big", data)
    assert len(bench.uploads()) == 16 - there and bench.read("big") == data


def test_the_old_content_stands_while_the_new_one_is_on_its_way(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    assert isinstance(machine.outcome("big", edit(data, 1), expected=entry), Failed)
    assert bench.read("big") == data and machine.entry("big") == entry


def test_a_lost_answer_to_a_segment_is_no_harm(bench: Bench) -> None:
    data = noise(1, MIB)
    bench.swift.rule("lose-answer", method="PUT", path=f"{bench.container}_segments/*", times=2)
    bench.machine().put("big", data)
    assert bench.read("big") == data


def test_a_token_that_dies_between_two_segments_is_renewed(bench: Bench) -> None:
    data = noise(1, MIB)
    bench.swift.rule("expire-token", method="PUT", path=f"{bench.container}_segments/*", after=2)
    machine = bench.machine()
    machine.put("big", data)
    assert machine.get("big") == data


def test_a_file_that_changes_while_it_is_read_is_not_published(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    source = BytesSource(data, error=ChangedUnderUs("it changed"))
    item = WriteRequest(path="big", kind=Kind.FILE, source=source, size=len(data), expected=None)
    [outcome] = in_order(machine.store.put([item]), 1)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert bench.hands.ask("GET", "big", fine=False).status_code == 404


def test_a_file_that_is_another_at_the_second_reading_is_not_published(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    changed = edit(data, 1)

    class Shifty(Content):
        def chunks(self, basis: object = None) -> Iterator[bytes]:
            yield from super().chunks()
            self.data = edit(changed, 9, edits=1)

    item = WriteRequest(path="big", kind=Kind.FILE, source=Shifty(changed), size=len(data), expected=entry)
    [outcome] = in_order(machine.store.put([item]), 1)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert bench.read("big") == data


def test_an_edit_that_was_faster_is_not_overwritten(bench: Bench) -> None:
    here, there, data = bench.machine("a"), bench.machine("b"), noise(1, MIB)
    entry = here.put("big", data).entry
    assert there.get("big") == data
    theirs = edit(data, 7)
    there.put("big", theirs, over=there.entry("big"))
    outcome = here.outcome("big", edit(data, 8), expected=entry)
    assert isinstance(outcome, Stale) and bench.read("big") == theirs


def test_an_edit_while_the_segments_go_up_is_not_overwritten(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry

    class Slow(Content):
        def chunks(self, basis: object = None) -> Iterator[bytes]:
            yield from super().chunks()
            bench.hands.put("big", b"theirs")

    item = WriteRequest(
        path="big", kind=Kind.FILE, source=Slow(edit(data, 1)), size=len(data), expected=entry
    )
    [outcome] = in_order(machine.store.put([item]), 1)
    assert isinstance(outcome, Stale) and bench.read("big") == b"theirs"


def test_segments_deleted_under_us_are_sent_again(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    changed = edit(data, 1)
    for name in bench.segments.names()[:3]:
        bench.segments.ask("DELETE", name)
    outcome = machine.outcome("big", changed, expected=entry)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert bench.hands.names(".syncer/trash/"), "what it was made of is kept, broken as it is"
    done = machine.outcome("big", changed, expected=entry)
    assert isinstance(done, Done), "the second try must not rely on what was found to be gone"
    assert bench.read("big") == changed


def test_what_is_replaced_is_whole_in_the_trash(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    machine.put("big", edit(data, 1), over=entry)
    [kept] = bench.hands.names(".syncer/trash/")
    assert bench.read(kept) == data


def test_a_renamed_file_keeps_its_segments_and_takes_edits(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    [done] = in_order(machine.store.rename([RenameRequest(origin="big", path="new", expected=entry)]), 1)
    assert isinstance(done, Done) and bench.read("new") == data
    changed = edit(data, 2)
    assert machine.put("new", changed, over=machine.entry("new")).method is Method.SEGMENTS
    assert bench.read("new") == changed


def test_a_deleted_file_is_whole_in_the_trash(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    [done] = in_order(machine.store.delete([DeleteRequest(path="big", expected=entry)]), 1)
    [kept] = bench.hands.names(".syncer/trash/")
    assert isinstance(done, Done) and bench.read(kept) == data


def test_another_time_for_a_large_file_leaves_it_a_large_one(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    item = SetAttributesRequest(
        path="big", expected=entry, mtime_ns=1_600_000_000_000_000_000, executable=True
    )
    [done] = in_order(machine.store.set_attributes([item]), 1)
    assert isinstance(done, Done) and done.entry == machine.entry("big")
    assert done.entry is not None and done.entry.executable and done.entry.digest == entry.digest
    changed = edit(data, 1)
    assert machine.put("big", changed, over=done.entry).method is Method.SEGMENTS
    assert bench.read("big") == changed


def test_a_large_edit_that_ours_overtook_is_kept_where_there_are_versions(bench: Bench) -> None:
    ours, theirs = bench.machine("a"), bench.machine("b")
    bench.hands.ask("POST", headers={"X-Versions-Enabled": "true"})
    data = noise(1, MIB)
    entry = ours.put("big", data).entry
    assert theirs.get("big") == data
    held = bench.swift.rule("hold", method="PUT", path=f"{bench.container}/big")
    outcomes: list[object] = []
    mine, other = edit(data, 1), edit(data, 2)
    thread = threading.Thread(target=lambda: outcomes.append(ours.outcome("big", mine, expected=entry)))
    thread.start()
    held.hits(at_least=1)
    theirs.put("big", other, over=theirs.entry("big"))
    held.release()
    thread.join()
    [copy] = [name for name in bench.hands.names("big") if name != "big"]
    assert isinstance(outcomes[0], Done), outcomes
    assert bench.read("big") == mine and bench.read(copy) == other


def test_an_old_segment_is_not_relied_on() -> None:
    """One that the collector may have found already: the manifest that names it might come too late."""
    day = {"Date": "Sat, 14 Nov 2026 12:00:00 GMT"}
    now = 1794657600
    assert not is_old({**day, "X-Timestamp": f"{now - 60}.00000"})
    assert is_old({**day, "X-Timestamp": f"{now - 4 * 24 * 3600}.00000"})
    assert is_old({"X-Timestamp": f"{now}.00000"}) and is_old(day)


# -- other tools, other clusters ----------------------------------------------------------


def test_large_objects_of_other_tools_are_read_and_never_built_upon(bench: Bench) -> None:
    machine, pieces = bench.machine(), [noise(n, 200 << 10) for n in range(3)]
    bench.slo("theirs", pieces)
    data = b"".join(pieces)
    assert machine.get("theirs") == data
    theirs = set(bench.segments.names())
    changed = edit(data, 1)
    done = machine.put("theirs", changed, over=machine.entry("theirs"))
    assert done.method is Method.WHOLE and bench.read("theirs") == changed
    assert theirs <= set(bench.segments.names())
    assert all(f"_segments/{OURS}" in segment.path for segment in machine.manifest("theirs").segments)


def test_a_dynamic_large_object_is_read_and_replaced(bench: Bench) -> None:
    machine = bench.machine()
    bench.segments.ask("PUT")
    for index in range(3):
        bench.segments.put(f"dlo/{index}", noise(index, 100 << 10))
    data = b"".join(noise(index, 100 << 10) for index in range(3))
    bench.hands.put("dlo", X_Object_Manifest=f"{bench.container}_segments/dlo/")
    assert machine.get("dlo") == data
    machine.put("dlo", data + b"x", over=machine.entry("dlo"))
    assert bench.read("dlo") == data + b"x" and len(bench.segments.names("dlo/")) >= 3


def test_a_cluster_without_large_objects_gets_plain_ones(make_swift: MakeSwift, tmp_path: Path) -> None:
    bench = Bench(make_swift(without=("slo",)), tmp_path)
    data = noise(1, MIB)
    bench.machine().put("big", data)
    assert bench.read("big") == data
    bench.machines[0].close()


def test_where_no_container_may_be_made_files_are_plain_objects(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    bench.swift.rule("status", method="PUT", path=f"{bench.container}_segments", times=None, status=403)
    machine.put("big", data)
    assert bench.read("big") == data and machine.manifest_or_none("big") is None


def test_on_a_cluster_without_ranges_whole_segments_are_reused(bench: Bench) -> None:
    told = {"swift": {"max_file_size": 5 << 30, "version": "19.2.0"}, "slo": {"max_manifest_segments": 1000}}
    bench.swift.rule("answer", path="/info", times=None, status=200, body=json.dumps(told))
    machine, data = bench.machine(), noise(1, 2 * MIB)
    entry = machine.put("big", data).entry
    bench.swift.clear()
    changed = data[:1000] + b"new" + data[1000:]
    done = machine.put("big", changed, over=entry)
    assert done.method is Method.SEGMENTS and bench.read("big") == changed
    finer = suited(SMALL, SloFeatures(ranges=False, inline=False)).segment
    assert [size // finer for size in bench.uploads()] == [1]
    assert all(part.is_whole for part in machine.manifest("big").segments)
    assert not any(isinstance(part, Inline) for part in machine.manifest("big").parts)


def test_small_parts_are_not_held_up_by_the_cluster(make_swift: MakeSwift, tmp_path: Path) -> None:
    """Swift's own throttle is on: more than ten short parts would come one a second."""
    import time

    bench = Bench(make_swift(slo_throttle=10), tmp_path)
    machine = bench.machine(thresholds=LayoutLimits())
    data = noise(1, 24 * MIB)
    entry = machine.put("big", data).entry
    for turn in range(12):
        data = edit(data, turn, edits=3)
        entry = machine.put("big", data, over=entry).entry
    began = time.monotonic()
    assert bench.read("big") == data
    assert time.monotonic() - began < 3.0
    machine.close()


def test_a_name_that_is_too_long_for_its_segments_is_shortened() -> None:
    long = "d/" * 400 + "é" * 90
    name = segment_name(long, bytes(32), longest=1024)
    assert len(name.encode()) <= 1024 - 9 and name != segment_name(long + "x", bytes(32), longest=1024)
    assert segment_name("a/b", bytes(32), longest=1024) == f"{OURS}a/b/{'00' * 32}"
