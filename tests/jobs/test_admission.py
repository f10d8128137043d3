"""Roots that can only be read: on a disk, as another user sees them who may not write there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.config import Location
from syncer.engine.model import Mode
from tests.jobs.runners import Desk, done

NOBODY = 65534


@contextmanager
def read_only(*roots: Path) -> Iterator[None]:
    """The folders as one sees them who may not write."""
    places = [p for root in roots for p in (root, *root.rglob("*"))]
    modes = {p: p.stat().st_mode & 0o777 for p in places}
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        yield
    finally:
        for place in places:
            place.chmod(modes[place])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    home = tmp_path / "home"
    (tmp_path / "first").mkdir()
    home.mkdir()
    first = Desk(tmp_path / "first")  # loads what another user may not be able to read
    (first.local / "a").write_bytes(b"1")
    assert first.run().exit_code == 0
    (first.local / "a").unlink()
    assert [first.run().exit_code for _ in range(3)] == [0, 0, 0]
    first.runner.close()
    made = Desk(home)
    made.remote.mkdir()
    if os.geteuid() == 0:
        ways = {p: p.stat().st_mode for p in home.parents}
        for way, mode in ways.items():
            if not mode & 0o001:
                way.chmod(mode | 0o011)
        for place in (home, made.local, made.remote):
            os.chown(place, NOBODY, NOBODY)
        os.seteuid(NOBODY)  # rights are nothing to the superuser
    yield made
    made.runner.close()
    if os.getuid() == 0:
        os.seteuid(0)


def one_way(desk: Desk, mode: Mode) -> tuple[Desk, Path, Path]:
    """The job again, one-way; the source and the side that follows."""
    remote = Location(account="local", path=str(desk.remote))
    made = Desk.__new__(Desk)
    desk.local.rmdir()
    made.__init__(desk.home, mode=mode, remote=remote)  # type: ignore[misc]
    return made, *((made.local, made.remote) if mode is Mode.PUSH else (made.remote, made.local))


@pytest.mark.parametrize("mode", [Mode.PUSH, Mode.PULL])
def test_a_source_on_a_disk_that_can_only_be_read_failed_at_its_first_run(desk: Desk, mode: Mode) -> None:
    desk, source, target = one_way(desk, mode)
    (source / "d").mkdir()
    (source / "a").write_bytes(b"1")
    (source / "d/b").write_bytes(b"2")
    with read_only(source):
        assert done(desk.run()) == ["d", "a", "d/b"]
        assert desk.run().exit_code == 0
    assert sorted(p.name for p in source.iterdir()) == ["a", "d"], "nothing was written there"
    assert (target / "d/b").read_bytes() == b"2"
    assert (target / ".syncer/root-id").exists()
    (source / "a").unlink()
    with read_only(source):
        assert "a" in done(desk.run())
        assert not (target / "a").exists() and (target / "d/b").exists()
    away = source.rename(source.with_name("away"))
    assert desk.run(yes=True).exit_code == 4
    away.rename(source)
    assert desk.run().exit_code == 0


def test_a_two_way_job_needs_both_sides_writable(desk: Desk) -> None:
    (desk.remote / "a").write_bytes(b"1")
    with read_only(desk.remote):
        result = desk.run()
        assert (result.exit_code, result.result) == (3, "error")
    assert not (desk.local / "a").exists()
