"""Mass deletions and missing disks under a running daemon: the guards hold them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.daemon.status import Phase
from tests.daemon.campaigns.machines import Machine, eventually, machines
from tests.daemon.campaigns.worlds import tree

_WITHIN = 60.0  # seconds


@contextmanager
def between_folders(base: Path, *, files: int, directories: int = 20) -> Iterator[tuple[Machine, Path]]:
    """A daemon with every setting as it comes, at rest, and so many files that are the same on both sides."""
    there = base / "there"
    machine = Machine(home=base / "one", remote=f"local:{there}", options="")
    for number in range(files):
        place = machine.local / f"d{number % directories}" / f"f{number}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"%d" % number)
    with machines(machine):
        machine.start()
        eventually(machine.is_quiet, 300, lambda: machine.log[-2000:])
        assert tree(machine.local) == tree(there)
        yield machine, there
        machine.told_no_nonsense()


def mass_deletion(base: Path, *, files: int, pause: float) -> None:
    """Sixty per cent go, directory by directory; then they come back."""
    with between_folders(base, files=files) as (machine, there):
        kept = base / "kept"
        shutil.copytree(machine.local, kept)
        before = len(tree(there))
        for number in range(12):
            shutil.rmtree(machine.local / f"d{number}")
            time.sleep(pause)
        eventually(lambda: machine.status.phase is Phase.HELD, _WITHIN, lambda: machine.status)
        status = machine.status
        left = len(tree(there))
        assert left >= before / 2 and status.last_exit == 4
        assert status.held == left - len(tree(machine.local)) > 0
        assert "held" in machine.run("status").stdout
        (machine.local / "new").write_text("goes on")
        eventually((there / "new").exists, _WITHIN)
        for number in range(12):
            shutil.copytree(kept / f"d{number}", machine.local / f"d{number}")
        took = eventually(
            lambda: machine.is_quiet() and tree(machine.local) == tree(there), 120, lambda: machine.status
        )
        assert machine.status.held == 0 and len(tree(there)) == before + 1
        print(f"{files} files: of {before} entries {left} were left; well {took:.1f} s after they came back")


def test_of_a_mass_deletion_at_most_half_is_followed(tmp_path: Path) -> None:
    mass_deletion(tmp_path, files=400, pause=0.35)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pause", [0.0, 0.4, 2.0])
def test_of_a_mass_deletion_of_many_files_at_most_half_is_followed(tmp_path: Path, pause: float) -> None:
    mass_deletion(tmp_path, files=5000, pause=pause)


def test_deletions_that_are_held_go_when_a_person_says_so(tmp_path: Path) -> None:
    with between_folders(tmp_path, files=200) as (machine, there):
        for number in range(16):
            shutil.rmtree(machine.local / f"d{number}")
        eventually(lambda: machine.status.phase is Phase.HELD, _WITHIN, lambda: machine.status)
        assert eventually_run(machine, "sync", "--yes") == 0
        eventually(lambda: machine.is_quiet() and machine.status.held == 0, _WITHIN, lambda: machine.status)
        assert tree(machine.local) == tree(there)


def eventually_run(machine: Machine, *words: str) -> int:
    """A command's exit code; one that comes while the daemon's run has the job is given again."""
    end = time.monotonic() + _WITHIN
    while (code := machine.run(*words).returncode) == 6 and time.monotonic() < end:
        time.sleep(0.2)
    return code


@pytest.mark.parametrize("side", ["local", "remote"])
def test_a_folder_that_is_gone_for_a_while_loses_nothing_and_heals_by_itself(
    tmp_path: Path, side: str
) -> None:
    with between_folders(tmp_path, files=100) as (machine, there):
        before = tree(there)
        root, other = (machine.local, there) if side == "local" else (there, machine.local)
        os.rename(root, tmp_path / "away")
        (other / "meanwhile").write_text("written while it was away")
        eventually(lambda: machine.status.phase is Phase.HELD, _WITHIN, lambda: machine.status)
        assert {**before, "meanwhile": tree(other)["meanwhile"]} == tree(other) and not root.exists()
        assert "not there" in machine.run("status").stdout
        os.rename(tmp_path / "away", root)
        took = eventually(lambda: machine.is_quiet() and tree(root) == tree(other), 150)
        assert tree(root).keys() == {*before, "meanwhile"}
        print(f"{side}: well {took:.1f} s after it came back")


def test_an_empty_folder_in_the_place_of_the_root_is_not_followed(tmp_path: Path) -> None:
    with between_folders(tmp_path, files=100) as (machine, there):
        before = tree(there)
        os.rename(machine.local, tmp_path / "away")
        machine.local.mkdir()
        eventually(lambda: machine.status.phase is Phase.HELD, _WITHIN, lambda: machine.status)
        assert tree(there) == before and tree(machine.local) == {}
        machine.local.rmdir()
        os.rename(tmp_path / "away", machine.local)
        eventually(lambda: machine.is_quiet() and tree(machine.local) == before, 150)
        assert tree(there) == before
