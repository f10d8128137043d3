"""`gc` on Ceph, which hands out no manifest: a segment that a large object may name is never removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncer.cli.gc import sweep
from syncer.engine.model import Failed
from tests.contents import noise
from tests.contract.doubles import SteppingClock
from tests.stores.swift.bench import MIB, Bench
from tests.stores.swift.test_gc import Sweeper, session


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
