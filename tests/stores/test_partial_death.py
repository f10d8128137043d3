"""A put that goes on, dying at any call, or its power going: nothing is torn, the next one ends it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Failed, Kind, Outcome
from syncer.errors import ChangedUnderUs
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from tests.contract.doubles import FarSource, SteppingClock
from tests.contract.rigs import FolderRig, in_order
from tests.simulation.disk import Disk
from tests.simulation.faults import Calls, Die, SimulatedCrash, Watched
from tests.simulation.powercut import PLAIN, Choice, cut
from tests.stores.partials import (
    DATA,
    HALF,
    NAME,
    OLD,
    TOKEN,
    broken_off,
    put,
    temporaries,
    whole,
)


def _story(root: Path, calls: Calls) -> None:
    """A put that goes on, with every call numbered."""
    fs = Watched(FileSystem(), calls, "folder")
    store = FolderStore(str(root), fs=fs, clock=SteppingClock(), tag="0123abcd")
    try:
        source = FarSource(DATA, piece=64 << 10)
        entry = store.stat("f")
        item = WriteRequest(
            path="f", kind=Kind.FILE, source=source, size=len(DATA), expected=entry, token=TOKEN, mtime_ns=5
        )
        in_order(store.put([item]), 1)
    finally:
        store.close()


def _numbered(tmp_path: Path, number: int) -> FolderRig:
    base = tmp_path / str(number)
    base.mkdir()
    rig = FolderRig(base)
    rig.write("f", OLD)
    broken_off(rig, expected=rig.entry("f"))
    return rig


@pytest.mark.parametrize("when", ["before", "after", "half"])
def test_a_death_at_any_call_of_a_put_that_goes_on_tears_nothing(tmp_path: Path, when: str) -> None:
    undisturbed = Calls(looks=True)
    _story(_numbered(tmp_path, 0).root, undisturbed)
    kinds = {call.partition(".")[2] for call in undisturbed.log}
    assert kinds >= {"open_append", "try_lock", "read_at", "write", "sync", "rename", "exchange"}
    deaths = 0
    for k in range(1, len(undisturbed.log) + 1):
        rig = _numbered(tmp_path, k)
        calls = Calls(Die(k, when), looks=True)
        with suppress(SimulatedCrash):
            _story(rig.root, calls)
        deaths += calls.dead
        assert rig.read("f") in (OLD, DATA), k
        assert rig.read("f") == OLD or OLD in rig.kept(), k
        listed = rig.store.list("")
        rig.store.clean_leftovers(listed.leftovers)
        assert rig.read("f") in (OLD, DATA) and set(temporaries(rig)) <= {NAME}, k
        if rig.read("f") == OLD:
            whole(rig, put(rig, FarSource(DATA), expected=rig.entry("f")))
        assert OLD in rig.kept() and temporaries(rig) == [], k
    assert deaths > len(undisturbed.log) - 5, "after a call that fails anyway the process goes on"


def _on(disk: Disk) -> FolderStore:
    return FolderStore("/root", fs=disk, clock=disk.clock, tag="0123abcd")


def _put_on(disk: Disk, source: FarSource) -> Outcome:
    store = _on(disk)
    item = WriteRequest(
        path="f", kind=Kind.FILE, source=source, size=len(source.data), expected=store.stat("f"), token=TOKEN
    )
    outcome = in_order(store.put([item]), 1)[0]
    store.close()
    return outcome


def _shown(disk: Disk) -> bytes | None:
    fd = disk.open_root("/root")
    try:
        return disk.read(disk.open_read("f", fd), 1 << 20)
    except FileNotFoundError:
        return None


def _disk(old: bytes | None) -> Disk:
    disk = Disk()
    disk.mkdir("root", disk.open_root("/"), 0o755)
    if old is not None:
        disk.write(disk.create("f", disk.open_root("/root")), old)
    start = disk.copy()
    start.clock.sleep(10)
    return start


@pytest.mark.parametrize("old", [None, OLD], ids=["a new file", "over an old one"])
def test_whatever_a_power_cut_makes_of_a_partial_is_found_out(old: bytes | None) -> None:
    start = _disk(old)
    disk = start.copy()
    assert isinstance(_put_on(disk, FarSource(DATA, breaks=HALF)), Failed)
    assert isinstance(_put_on(disk, FarSource(DATA)), Done)
    hows = [*map(Choice.plain, PLAIN), *map(Choice.random, range(6))]
    found = {
        _recovered(cut(start, disk.log, at, how), old) for at in range(len(disk.log) + 1) for how in hows
    }
    assert found == {"there", "Done from 0", "Done from further on", "Failed from further on"}


def _recovered(disk: Disk, old: bytes | None) -> str:
    """The next run's sweep and put on what a power cut left; how that put ended."""
    assert _shown(disk) in (old, DATA)
    assert old is None or old in _everything(disk)
    if _shown(disk) == DATA:
        return "there"
    disk.clock.sleep(10)
    _on(disk).clean_leftovers(_on(disk).list("").leftovers)
    source = FarSource(DATA)
    outcome = _put_on(disk, source)
    if not isinstance(outcome, Done):
        assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
        assert _shown(disk) == old and isinstance(_put_on(disk, FarSource(DATA)), Done)
    assert _shown(disk) == DATA and (old is None or old in _everything(disk))
    return f"{type(outcome).__name__} from {'further on' if source.starts[0] else 0}"


def _everything(disk: Disk) -> set[bytes]:
    return {inode.data for inode in disk.inodes.values() if inode.links}
