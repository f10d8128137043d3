"""`gc` on Ceph, which hands out no manifest: a segment that a large object may name is never removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncer.cli.gc import sweep
from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Failed
from syncer.errors import Unreadable
from syncer.stores.swift.slo.companions import FOLDER
from syncer.stores.swift.slo.gc import Collector
from syncer.stores.swift.slo.upload import GRACE_SECONDS
from tests.contents import noise
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import in_order
from tests.contract.swift_rig import Hands, SwiftRig
from tests.stores.swift.bench import MIB, Bench, edit
from tests.stores.swift.test_gc import Sweeper, empty_trash, session
from tests.stores.swift.test_interop import CONTENT, Tool
from tests.swift.rgw import Rgw


def test_an_upload_that_died_leaves_orphans_that_go(bench: Bench) -> None:
    """Their listing shows milliseconds, a HEAD more: they are the same all the same."""
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    assert isinstance(bench.machine().outcome("big", noise(1, MIB)), Failed)
    there = len(bench.segments.names())
    assert there == len(bench.segments.names(".syncer/")) + 1  # with the list of them
    removed = Sweeper(bench).sweep()
    assert (removed.segments, removed.kept) == (there, 0) and bench.segments.names() == []


def test_segments_of_live_files_are_no_orphans(bench: Bench) -> None:
    machine = bench.machine()
    machine.put("big", noise(1, MIB))
    before = bench.segments.names()
    garbage = Sweeper(bench).find()
    assert garbage.orphans == ()
    assert Sweeper(bench).sweep().segments == 0 and bench.segments.names() == before


def test_as_long_as_an_object_does_not_show_its_segments_nothing_is_removed(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another tool's, say: any segment may be one of its parts."""
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/died")
    assert isinstance(bench.machine().outcome("died", noise(1, MIB)), Failed)
    bench.slo("theirs", [noise(2, 5000)])
    before = bench.segments.names()
    where, clock = f"cloud:{bench.container}", SteppingClock()
    assert sweep(session(bench, tmp_path, json=True), where, grace=-60, yes=True, clock=clock) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["orphans"] == [] and told["unreadable"] == ["theirs"] and told["undecided"]
    assert told["removed"] is None and bench.segments.names() == before
    assert sweep(session(bench, tmp_path), where, grace=-60, yes=True, clock=clock) == 1
    said = capsys.readouterr().out
    assert "Nothing is removed" in said and "theirs" in said
    bench.hands.ask("DELETE", "theirs")
    assert Sweeper(bench).sweep().segments == told["undecided"]


def test_files_that_were_edited_renamed_or_copied_keep_their_segments(bench: Bench) -> None:
    machine = bench.machine()
    contents = {name: noise(n, MIB) for n, name in enumerate(("edited", "renamed", "copied", "amended"))}
    entries = {name: machine.put(name, data).entry for name, data in contents.items()}
    assert all(entry is not None for entry in entries.values())
    contents["edited"] = edit(contents["edited"], 9)
    machine.put("edited", contents["edited"], over=entries["edited"])
    [done] = in_order(
        machine.store.rename(
            [RenameRequest(origin="renamed", path="new name é", expected=entries["renamed"])]
        ),
        1,
    )
    assert isinstance(done, Done)
    contents["new name é"] = contents.pop("renamed")
    for query in ("", "multipart-manifest=get"):
        name = f"copy-{len(query)}"
        bench.hands.ask("COPY", "copied", query=query, headers={"Destination": f"{bench.container}/{name}"})
        contents[name] = contents["copied"]
    bench.hands.ask("DELETE", "copied")
    del contents["copied"]
    amend = SetAttributesRequest(
        path="amended", expected=entries["amended"], mtime_ns=10**18, executable=True
    )
    assert isinstance(in_order(machine.store.set_attributes([amend]), 1)[0], Done)
    assert Sweeper(bench, grace=GRACE_SECONDS).find().orphans == ()
    for _ in range(2):  # as long as the trash names the old ones, and when it does no more
        Sweeper(bench).sweep()
        for name, data in contents.items():
            assert bench.read(name) == data, name
        empty_trash(bench)
    named = {s.path.partition("/")[2] for name in contents for s in machine.manifest(name).segments}
    assert set(bench.segments.names(".syncer/")) == named, "what nothing names is gone"
    assert len(bench.segments.names(FOLDER)) == 4, "and the lists of what is gone are, too"


def test_the_trash_keeps_what_it_holds_until_it_is_emptied(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    assert isinstance(in_order(machine.store.delete([DeleteRequest(path="big", expected=entry)]), 1)[0], Done)
    there = len(bench.segments.names())
    assert Sweeper(bench).sweep().segments == 0
    [kept] = bench.hands.names(".syncer/trash/")
    assert bench.read(kept) == data
    empty_trash(bench)
    assert Sweeper(bench).sweep().segments == there and bench.segments.names() == []


def test_a_file_whose_metadata_another_tool_took_away_is_safe(bench: Bench) -> None:
    """A POST replaces all metadata: nobody can say any more what the object is made of."""
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("big", data)
    bench.hands.ask("POST", "big", headers={"X-Object-Meta-Color": "red"})
    garbage = Sweeper(bench).find()
    assert garbage.orphans == () and garbage.unreadable == ("big",) and garbage.undecided
    assert Sweeper(bench).sweep().segments == 0 and bench.read("big") == data


def test_a_file_of_an_earlier_version_of_syncer_is_safe(bench: Bench) -> None:
    """It has no companion; another file with the same content has one, and other segments."""
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("new", data)
    machine.put("old", data)
    head = bench.hands.ask("HEAD", "old").headers
    kept = {k: v for k, v in head.items() if k.lower().startswith("x-object-meta-") and "Manifest" not in k}
    bench.hands.ask("POST", "old", headers=kept)
    assert Sweeper(bench).sweep().segments == 0 and bench.read("old") == data


def test_equal_contents_under_two_names_keep_the_segments_of_both(bench: Bench) -> None:
    """Also where the reference of the one was written to the other: an amendment that came too late."""
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("one", data)
    machine.put("two", data)
    meta = {k: v for k, v in bench.hands.ask("HEAD", "one").headers.items() if k.startswith("X-Object-Meta-")}
    bench.hands.ask("POST", "two", headers=meta)
    assert Sweeper(bench).sweep().segments == 0
    assert bench.read("one") == bench.read("two") == data


def test_a_list_of_segments_that_may_not_be_read_ends_the_search(bench: Bench) -> None:
    bench.machine().put("big", noise(1, MIB))
    bench.swift.rule(
        "status", method="GET", path=f"{bench.container}_segments/{FOLDER}*", times=None, status=403
    )
    with pytest.raises(Unreadable, match="403"):
        Sweeper(bench).find()


def test_a_list_of_segments_that_is_gone_or_damaged_hides_what_it_listed(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("big", data)
    [document] = bench.segments.names(FOLDER)
    bench.segments.put(document, bench.segments.ask("GET", document).content[:-100] + b"]")
    assert Sweeper(bench).find().unreadable == ("big",)
    bench.segments.ask("DELETE", document)
    assert Sweeper(bench).find().unreadable == ("big",)
    assert Sweeper(bench).sweep().segments == 0 and bench.read("big") == data


def test_a_broken_object_hides_its_other_segments(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("big", data)
    machine.put("other", noise(2, MIB))
    names = bench.segments.names(".syncer/big/")
    [first] = [name for name in names if data.startswith(bench.segments.ask("GET", name).content)]
    bench.segments.ask("DELETE", first)
    garbage = Sweeper(bench).find()
    assert garbage.orphans == () and garbage.unreadable == ("big",)


def test_a_dynamic_large_object_over_our_segments_keeps_them(bench: Bench) -> None:
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    bench.machine().outcome("big", noise(1, MIB))
    bench.hands.put("theirs", X_Object_Manifest=f"{bench.container}_segments/.syncer/big/")
    assert Sweeper(bench).sweep().segments == 0 and len(bench.read("theirs")) == MIB


@pytest.mark.parametrize("name", ["swift", "rclone"])
def test_large_objects_of_other_tools_cost_no_segment(
    rgw: Rgw, rig: SwiftRig, tmp_path: Path, name: str
) -> None:
    """Theirs do not show what they are made of; so nothing goes as long as they are there."""
    tool, up = Tool(name, rgw, rig), tmp_path / "up"
    up.mkdir()
    (up / "theirs").write_bytes(CONTENT * 3)
    tool.upload(up, segments=1 << 20)
    ours = noise(1, 9 * MIB)
    assert isinstance(rig.put("ours", ours), Done)
    collector = Collector(rig.connection, rig.place.container, clock=rig.clock, grace=-60.0)
    garbage = collector.find()
    assert garbage.orphans == ()
    collector.remove(garbage)
    collector.close()
    assert rig.read("ours") == ours and rig.read("theirs") == CONTENT * 3


def test_a_reference_that_names_another_etag_is_none(bench: Bench) -> None:
    """An amendment of what another machine replaced meanwhile: the metadata of the old content on the new."""
    machine, data = bench.machine(), noise(1, MIB)
    old = machine.put("big", data).entry
    meta = {k: v for k, v in bench.hands.ask("HEAD", "big").headers.items() if k.startswith("X-Object-Meta-")}
    new = edit(data, 1)
    machine.put("big", new, over=old)
    bench.hands.ask("POST", "big", headers=meta)
    empty_trash(bench)
    garbage = Sweeper(bench).find()
    assert garbage.orphans == () and garbage.unreadable == ("big",)
    assert Sweeper(bench).sweep().segments == 0 and bench.read("big") == new


def test_versions_that_are_kept_elsewhere_keep_their_segments(tmp_path: Path) -> None:
    """`X-Versions-Location`, which a gateway may be told to heed: old contents go to another container."""
    gateway = Rgw({"rgw_swift_versioning_enabled": "true"})
    bench = Bench(gateway, tmp_path)
    url, token = gateway.log_in()
    archive = Hands(url, token, f"{bench.container}-old")
    try:
        machine, data = bench.machine(), noise(1, MIB)
        archive.ask("PUT")
        bench.hands.ask("POST", headers={"X-Versions-Location": archive.container})
        entry = machine.put("big", data).entry
        machine.put("big", noise(2, MIB), over=entry)
        empty_trash(bench)
        [old] = [name for name in archive.names() if name.endswith(tuple("0123456789")) and "big" in name]
        assert archive.ask("GET", old).content == data
        assert Sweeper(bench).sweep().segments == 0
        assert archive.ask("GET", old).content == data and bench.read("big") == noise(2, MIB)
    finally:
        archive.session.close()
        bench.close()
        gateway.stop()
