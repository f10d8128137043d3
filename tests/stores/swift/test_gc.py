"""Orphan segments are found and removed; what a manifest, a version or the trash names is never touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from syncer.cli.common import CliContext
from syncer.cli.gc import gc, sweep
from syncer.engine.interfaces import DeleteRequest, RenameRequest
from syncer.engine.model import Done, Failed, Stale
from syncer.errors import ConfigError, NotFound, TransientError, UsageError
from syncer.stores.swift.slo.gc import Collector, Garbage, Removed
from syncer.stores.swift.slo.upload import GRACE_SECONDS
from tests.contents import noise
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import in_order
from tests.stores.swift.bench import MIB, Bench, edit
from tests.stores.swift.large import Machine
from tests.swift.server import Swift


@pytest.fixture
def bench(swift: Swift, tmp_path: Path) -> Iterator[Bench]:
    built = Bench(swift, tmp_path)
    yield built
    built.close()


class Sweeper:
    """A collector whose waiting takes no time, and calls `meanwhile`."""

    def __init__(self, bench: Bench, *, grace: float = -60.0) -> None:
        self.clock = SteppingClock()
        connection = bench.machine("sweeper").connection
        self.collector = Collector(connection, bench.container, clock=self.clock, grace=grace)

    def find(self) -> Garbage:
        return self.collector.find()

    def sweep(self) -> Removed:
        removed = self.collector.remove(self.collector.find())
        self.collector.close()
        return removed


def empty_trash(bench: Bench) -> None:
    for name in bench.hands.names(".syncer/trash/"):
        bench.hands.ask("DELETE", name)


def test_what_is_named_stays(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    machine.put("big", edit(data, 1), over=entry)
    garbage = Sweeper(bench).find()
    assert garbage.orphans == () and garbage.named == len(bench.segments.names())


def test_the_trash_keeps_old_segments_alive_until_it_is_emptied(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    machine.put("big", noise(2, MIB), over=entry)
    before = len(bench.segments.names())
    assert Sweeper(bench).sweep().segments == 0
    [kept] = bench.hands.names(".syncer/trash/")
    assert bench.read(kept) == data
    empty_trash(bench)
    assert Sweeper(bench).sweep() == Removed(segments=before // 2, size=MIB, kept=0, failed=0)
    assert len(bench.segments.names()) == before // 2 and bench.read("big") == noise(2, MIB)


def test_an_upload_that_died_leaves_orphans_that_go_after_the_grace_time(bench: Bench) -> None:
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    assert isinstance(bench.machine().outcome("big", noise(1, MIB)), Failed)
    there = len(bench.segments.names())
    young = Sweeper(bench, grace=GRACE_SECONDS).find()
    assert young.orphans == () and young.young == there
    assert Sweeper(bench).sweep().segments == there and bench.segments.names() == []


def test_segments_of_other_tools_are_not_ours_to_remove(bench: Bench) -> None:
    bench.machine()
    bench.slo("theirs", [noise(1, 5000)])
    bench.hands.ask("DELETE", "theirs")
    assert Sweeper(bench).sweep().segments == 0 and len(bench.segments.names()) == 1


def test_manifests_of_other_tools_keep_our_segments(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    bench.hands.ask(
        "COPY", "big", query="multipart-manifest=get", headers={"Destination": f"{bench.container}/theirs"}
    )
    assert isinstance(in_order(machine.store.delete([DeleteRequest(path="big", expected=entry)]), 1)[0], Done)
    empty_trash(bench)
    assert Sweeper(bench).sweep().segments == 0 and bench.read("theirs") == data


def test_older_versions_keep_their_segments(bench: Bench) -> None:
    bench.machine()
    bench.hands.ask("POST", headers={"X-Versions-Enabled": "true"})
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    machine.put("big", noise(2, MIB), over=entry)
    empty_trash(bench)
    assert Sweeper(bench).sweep().segments == 0
    rows = bench.hands.ask("GET", query="versions=true&format=json&prefix=big").json()
    [old] = [row["version_id"] for row in rows if not row["is_latest"]]
    assert bench.hands.ask("GET", "big", query=f"version-id={old}").content == data
    versions = bench.hands.ask("GET", query="versions=true&format=json").json()
    for row in versions:
        if row["name"] != "big" or not row["is_latest"]:
            bench.hands.ask("DELETE", row["name"], query=f"version-id={row['version_id']}")
    assert Sweeper(bench).sweep().segments == 8 and bench.read("big") == noise(2, MIB)


def test_a_listing_that_lags_behind_a_rename_costs_nothing(bench: Bench) -> None:
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("old", data).entry
    assert entry is not None
    bench.swift.lag(None)
    assert isinstance(
        in_order(machine.store.rename([RenameRequest(origin="old", path="new", expected=entry)]), 1)[0], Done
    )
    sweeper = Sweeper(bench)
    with pytest.raises(TransientError):
        sweeper.sweep()
    bench.swift.lag(0)
    bench.swift.settle()
    assert Sweeper(bench).sweep().segments == 0 and bench.read("new") == data


def test_a_rename_between_the_looks_costs_nothing(bench: Bench) -> None:
    """Behind the listing's back to a name that was passed already: the second look finds it there."""
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("z", data).entry
    assert entry is not None
    sweeper = Sweeper(bench)
    asked = sweeper.collector._look

    def looking(headers: object) -> object:
        found = asked(headers)
        sweeper.collector._look = asked
        assert isinstance(
            in_order(machine.store.rename([RenameRequest(origin="z", path="a", expected=entry)]), 1)[0], Done
        )
        return set(), *found[1:]  # as if the first look had met neither name

    sweeper.collector._look = looking  # type: ignore[method-assign,assignment]
    assert sweeper.sweep().segments == 0 and bench.read("a") == data


def test_a_segment_that_is_written_again_before_it_goes_stays(bench: Bench) -> None:
    bench.swift.rule("drop", method="PUT", path=f"{bench.container}/big")
    bench.machine().outcome("big", noise(1, MIB))
    sweeper = Sweeper(bench)
    garbage = sweeper.find()
    again = garbage.orphans[0].name
    bench.segments.put(again, bench.segments.ask("GET", again).content)
    removed = sweeper.collector.remove(garbage)
    assert removed.kept == 1 and bench.segments.names() == [again]


def test_a_manifest_that_cannot_be_read_ends_the_search(bench: Bench) -> None:
    machine = bench.machine()
    machine.put("big", noise(1, MIB))
    bench.swift.rule("status", method="GET", query="multipart-manifest", times=None, status=403)
    sweeper = Sweeper(bench)
    with pytest.raises(Exception, match="403"):
        sweeper.find()


def test_where_the_listing_does_not_tell_large_objects_each_is_asked(bench: Bench) -> None:
    told = {"swift": {"version": "19.2.0"}, "slo": {"max_manifest_segments": 1000}}
    machine, data = bench.machine(), noise(1, MIB)
    machine.put("big", data)
    bench.hands.put("plain", noise(2, MIB))
    bench.swift.rule("answer", path="/info", times=None, status=200, body=json.dumps(told))
    assert Sweeper(bench).sweep().segments == 0 and bench.read("big") == data


def test_a_container_that_is_not_there_is_an_error_not_an_empty_one(bench: Bench) -> None:
    connection = bench.machine().connection
    collector = Collector(connection, bench.container + "x", clock=SteppingClock())
    with pytest.raises(NotFound):
        collector.find()


def campaign(bench: Bench, seed: int, steps: int) -> None:
    """Overwrites, deletes, renames and broken-off uploads by two machines; then one search."""
    random = Random(seed)
    machines = [bench.machine("a"), bench.machine("b")]
    there: dict[str, bytes] = {}
    for step in range(steps):
        machine, name = random.choice(machines), random.choice("pqrst")
        deed = random.random()
        if deed < 0.6 or name not in there:
            _write(bench, machine, random, there, name, step)
        elif deed < 0.75:
            entry = machine.entry(name)
            assert isinstance(
                in_order(machine.store.delete([DeleteRequest(path=name, expected=entry)]), 1)[0], Done
            )
            del there[name]
        else:
            free = next(n for n in (f"{name}{step}",) if n not in there)
            item = RenameRequest(origin=name, path=free, expected=machine.entry(name))
            assert isinstance(in_order(machine.store.rename([item]), 1)[0], Done)
            there[free] = there.pop(name)
            there.pop(free) if random.random() < 0.5 and _gone(machine, free) else None
    _held(bench, there)
    Sweeper(bench).sweep()
    _held(bench, there)  # none was lost
    for name in bench.hands.names(".syncer/trash/"):
        assert len(bench.read(name)) > 0
    empty_trash(bench)
    Sweeper(bench).sweep()
    _held(bench, there)
    reader = bench.machine("reader")
    named = {s.path.partition("/")[2] for name in there for s in reader.manifest(name).segments}
    assert set(bench.segments.names(".syncer/")) == named  # none was leaked


def _write(
    bench: Bench, machine: Machine, random: Random, there: dict[str, bytes], name: str, step: int
) -> None:
    old = there.get(name)
    new = edit(old, step) if old is not None and random.random() < 0.8 else noise(step, 300 << 10)
    rule = None
    if random.random() < 0.3:
        rule = bench.swift.rule(
            random.choice(["drop", "lose-answer"]),
            method="PUT",
            path=f"{bench.container}*",
            after=random.randrange(4),
        )
    outcome = machine.outcome(name, new, expected=machine.entry(name) if old is not None else None)
    if rule is not None:
        rule.remove()
    if isinstance(outcome, Done) or bench.hands.ask("GET", name, fine=False).content == new:
        there[name] = new
    else:
        assert isinstance(outcome, Failed | Stale)


def _gone(machine: Machine, name: str) -> bool:
    item = DeleteRequest(path=name, expected=machine.entry(name))
    return isinstance(in_order(machine.store.delete([item]), 1)[0], Done)


def _held(bench: Bench, there: dict[str, bytes]) -> None:
    for name, data in there.items():
        assert bench.read(name) == data


def test_no_segment_is_leaked_or_lost_in_a_short_campaign(bench: Bench) -> None:
    campaign(bench, 1, 40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_no_segment_is_leaked_or_lost(bench: Bench, seed: int) -> None:
    campaign(bench, seed, 500)


# -- the command -----------------------------------------------------------------------------


def session(bench: Bench, tmp_path: Path, *, json: bool = False) -> CliContext:
    config, swift = tmp_path / "config.toml", bench.swift
    config.write_text(
        f'[accounts.cloud]\ntype = "swift"\nauth = "v1"\nauth_url = "{swift.auth_url}"\n'
        f'user = "{swift.user}"\nkey = "{swift.key}"\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    made = CliContext()
    made.config, made.json = config, json
    return made


def test_the_command_lists_and_removes_with_yes_only(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine, where = bench.machine(), f"cloud:{bench.container}"
    entry = machine.put("big", noise(1, MIB)).entry
    assert entry is not None
    assert isinstance(in_order(machine.store.delete([DeleteRequest(path="big", expected=entry)]), 1)[0], Done)
    empty_trash(bench)
    people, programs, clock = session(bench, tmp_path), session(bench, tmp_path, json=True), SteppingClock()
    assert sweep(people, where, grace=None, yes=True, clock=clock) == 0
    assert "no orphan segments (0 are in use, 8 too new to tell)" in capsys.readouterr().out
    assert sweep(people, where, grace=-60, yes=False, clock=clock) == 0
    assert "8 orphan segments (1.0 MB); --yes removes them" in capsys.readouterr().out
    assert len(bench.segments.names()) == 8
    assert sweep(programs, where, grace=-60, yes=True, clock=clock) == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed == {"segments": 8, "bytes": MIB, "kept": 0, "failed": 0}
    assert bench.segments.names() == []


@pytest.mark.parametrize(
    "words",
    [("nowhere",), ("cloud:",), ("other:c",), ("local:/tmp",), ("cloud:c", "--older-than", "soon")],
)
def test_what_cannot_be_meant_is_an_error(bench: Bench, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(gc, words, obj=session(bench, tmp_path), standalone_mode=False)
    assert isinstance(result.exception, UsageError | ConfigError)
