"""Whole runs of the engine between folders and one container."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.engine.model import Done
from syncer.engine.report import RunReport
from syncer.errors import GuardTripped
from syncer.stores.swift.names import ContainerPath
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift

Make = Callable[[str], Machine]


@pytest.fixture
def machine(swift: Swift, tmp_path: Path) -> Make:
    door, place = tempauth_door(swift), ContainerPath(container=swift.fresh_name(), prefix="p/")
    return lambda name: Machine(tmp_path / name, door, place)


def hands(one: Machine) -> Hands:
    access = one.door.open()
    return Hands(access.storage_url, access.token, one.place.container)


def test_two_machines_are_brought_in_step(machine: Make) -> None:
    one, two = machine("one"), machine("two")
    for n in range(40):
        one.write(f"d{n % 4}/e/f{n}", b"%d" % n * n)
    one.write("large", os.urandom(9 << 20))
    (one.local / "empty").mkdir()
    (one.local / "link").symlink_to("d1/nowhere é")
    os.utime(one.write("old", b"x"), ns=(5, 1_000_000_005))
    one.write("script", b"#!").chmod(0o755)
    assert all(isinstance(a.outcome, Done) for a in one.run().actions)
    assert one.run().actions == ()
    two.settled()
    assert two.tree() == one.tree() and (two.local / "empty").is_dir()
    assert os.readlink(two.local / "link") == "d1/nowhere é"
    assert (two.local / "old").stat().st_mtime_ns == 1_000_000_005
    assert (two.local / "script").stat().st_mode & 0o100 and not (two.local / "old").stat().st_mode & 0o100


def test_edits_deletes_and_moves_go_both_ways(swift: Swift, machine: Make) -> None:
    one, two = machine("one"), machine("two")
    for n in range(12):
        one.write(f"d/f{n}", b"%d" % n * 100)
    one.settled()
    two.settled()
    one.write("d/f1", b"edited")
    (one.local / "d/f2").unlink()
    (one.local / "d/f3").rename(one.local / "moved")
    two.write("d/f4", b"edited there")
    (two.local / "d/f5").unlink()
    swift.clear()
    one.settled()
    assert len(swift.requests(method="PUT", path=f"{one.place.container}/p/moved")) == 0, (
        "copied by the server"
    )
    two.settled()
    one.settled()
    assert one.tree() == two.tree() and len(one.tree()) == 10
    assert one.tree()["d/f4"] == b"edited there" and one.tree()["moved"] == b"3" * 100


def test_a_conflict_keeps_both(machine: Make) -> None:
    one, two = machine("one"), machine("two")
    one.write("f", b"agreed")
    one.settled()
    two.settled()
    one.write("f", b"one's")
    two.write("f", b"two's, longer")
    one.settled()
    two.settled()
    one.settled()
    assert one.tree() == two.tree() and sorted(one.tree().values()) == [b"one's", b"two's, longer"]


def test_a_lost_cache_costs_requests_and_no_file(machine: Make) -> None:
    one = machine("one")
    for n in range(20):
        one.write(f"d/f{n}", b"%d" % n)
    one.settled()
    before = one.tree()
    for file in (one.home / "cache").iterdir():
        file.unlink()
    assert one.run().actions == () and one.tree() == before


def test_a_lost_memory_adopts_what_is_equal_without_a_transfer(swift: Swift, machine: Make) -> None:
    one = machine("one")
    for n in range(20):
        one.write(f"d/f{n}", b"%d" % n)
    one.settled()
    for file in (one.home / "state").iterdir():
        file.unlink()
    swift.clear()
    one.settled()
    contents = [a for a in swift.requests(kind="object") if a.method in ("PUT", "GET") and "d/f" in a.path]
    assert contents == []


def test_an_edit_by_another_tool_comes_down_and_keeps_the_executable_bit(machine: Make) -> None:
    one = machine("one")
    one.write("script", b"old").chmod(0o755)
    one.settled()
    hands(one).put("p/script", b"by another tool")
    one.settled()
    assert one.tree() == {"script": b"by another tool"}
    assert (one.local / "script").stat().st_mode & 0o100


def test_a_deleted_container_stops_the_job(machine: Make) -> None:
    one = machine("one")
    one.write("f", b"x")
    one.settled()
    user = hands(one)
    for name in user.names():
        user.ask("DELETE", name)
    user.ask("DELETE")
    with pytest.raises(GuardTripped):
        one.run()
    assert one.tree() == {"f": b"x"}


def test_a_file_by_another_tool_beside_a_directory_of_its_name_waits(machine: Make) -> None:
    one = machine("one")
    one.write("a/b", b"x")
    one.settled()
    user = hands(one)
    user.ask("DELETE", "p/a", fine=False)
    user.put("p/a", b"an object where our directory is")
    report = one.run()
    assert [p.code for p in report.problems] == ["clash"] and one.tree() == {"a/b": b"x"}


def test_names_that_are_hard_elsewhere_cross(machine: Make) -> None:
    one, two = machine("one"), machine("two")
    names = [
        "sp ace",
        "per%cent",
        "qu?est",
        "ha#sh",
        "pl+us",
        "new\nline",
        "back\\slash",
        "é",
        "é",
        "trail.",
        "x" * 255,
    ]
    for name in names:
        one.write(name, name.encode())
    one.settled()
    two.settled()
    assert two.tree() == {name: name.encode() for name in names}


@pytest.mark.parametrize("trouble", ["expire-tokens", "lose-answer", "drop", "status"])
def test_a_run_survives_a_proxy_that_misbehaves_now_and_then(
    swift: Swift, machine: Make, trouble: str
) -> None:
    one, two = machine("one"), machine("two")
    how = {"status": 503, "retry_after": 0} if trouble == "status" else {}
    for machines in range(2):
        for n in range(20):
            one.write(f"d{n % 3}/f{n}", b"%d %d" % (machines, n))
        # Tokens that die twice in a row are refused credentials: they do so once here.
        dying = trouble == "expire-tokens"
        for kind in ("PUT",) if dying else ("PUT", "GET", "HEAD", "COPY"):
            swift.rule(trouble, method=kind, kind="object", after=3, times=1 if dying else 2, **how)
        one.settled()
        two.settled()
        one.settled()
    assert one.tree() == two.tree() and len(one.tree()) == 20
    assert set(one.tree().values()) == {b"1 %d" % n for n in range(20)}


def test_a_run_with_nothing_to_do_takes_as_many_requests_as_pages_and_five(
    make_swift: Callable[..., Swift], tmp_path: Path
) -> None:
    server = make_swift(limits={"container_listing_limit": 50})
    one = Machine(tmp_path / "one", tempauth_door(server), ContainerPath(container="c", prefix="p/"))
    for n in range(220):
        one.write(f"d{n % 9}/f{n}", b"%d" % n)
    one.settled()
    one.door = tempauth_door(server)  # a new process logs in
    server.clear()
    assert one.run().actions == ()
    asked, objects = server.requests(), 220 + 9 + 2  # files, markers, those of the root
    assert len(asked) <= -(-objects // 50) + 5, [(a.method, a.path) for a in asked]
    assert one.tree() == {f"d{n % 9}/f{n}": b"%d" % n for n in range(220)}


ODD = {
    "p/docs//x": "docs//",
    "p/docs//y/z": "docs//",
    "p/http://host/page": "http://",
    "p//lead": "/",
    "p/both//deep/": "both//",
    "p/docs/": "docs//",
}
"""Objects of another tool whose names are no paths, and as what each is reported."""


def _problems(report: RunReport) -> set[tuple[str, str, str]]:
    return {(p.path, p.side.value, p.code) for p in report.problems}


def test_a_name_with_an_empty_part_is_reported_and_nothing_else_suffers(machine: Make) -> None:
    """In the first run and in later ones, whether all is listed or a few directories."""
    one, two = machine("one"), machine("two")
    for n in range(6):
        one.write(f"docs/f{n}", b"%d" % n)
        one.write(f"both/f{n}", b"%d" % n)
        one.write(f"other/f{n}", b"%d" % n)
    one.settled()
    user = hands(one)
    for name in ODD:
        user.put(name, b"by another tool")
    told = {(path, "remote", "unsafe-name") for path in ODD.values()}
    for step in range(3):
        one.write(f"docs/new{step}", b"beside it")
        one.write("docs/f1", b"edited %d" % step)
        (one.local / f"docs/f{step + 2}").unlink()
        user.put(f"p/docs/there{step}", b"put there")
        report = one.run()
        assert _problems(report) == told, report.problems
        assert report.exit_code == 1
        assert not report.failures, report.failures
        assert one.tree()[f"docs/there{step}"] == b"put there"
        assert {p: c for p, c in two_in_step(two).items() if "odd" not in p} == one.tree()
    assert _problems(one.run()) == told, "a run with nothing to do says it too"
    for path in list(one.tree()):
        if path.startswith("docs/"):
            (one.local / path).unlink()
    (one.local / "docs").rmdir()
    one.run()
    assert {name for name in user.names() if name in ODD} == set(ODD), "nothing of another tool's is touched"
    for name in ODD:
        user.ask("DELETE", name)
    one.settled()
    two.settled()
    assert one.tree() == two.tree()


def two_in_step(two: Machine) -> dict[str, bytes]:
    report = two.run()
    assert not report.failures, report.failures
    return two.tree()
