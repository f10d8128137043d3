"""A side that goes back in time: a folder restored from a backup does not replace the newer work quietly."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.integration.in_mounts import serving
from tests.world import SIDES, Ran, World, call

EDITED = 12
MADE = 3


def other(side: str) -> str:
    return "remote" if side == "local" else "local"


def set_back(world: World, side: str, *, edited: int = EDITED, served: Path | None = None) -> None:
    """A backup of the side, newer work on both, and then the backup in its place (the marker is in it)."""
    world.fill("local", 40)
    world.settle()
    here = served or world.path(side)
    shutil.copytree(here, world.path("backup"))
    for number in range(edited):
        world.write(f"local/file-{number:03}", f"newer {number}", mtime_ns=1_700_000_000 * 10**9 + number)
    for number in range(MADE):
        world.write(f"local/made-{number}", f"made since {number}")
    world.path("local/file-039").unlink()
    world.settle()
    shutil.rmtree(here)
    shutil.copytree(world.path("backup"), here)


def newer(tree: Path) -> set[str]:
    """The files that hold the newer work."""
    return {
        p.name for p in tree.iterdir() if p.is_file() and p.read_text().startswith(("newer", "made since"))
    }


def held(ran: Ran) -> None:
    assert ran.code == 4, ran
    assert ran.codes == {"went-back"}, ran
    assert "--yes" in ran.err


WORK = {f"file-{n:03}" for n in range(EDITED)} | {f"made-{n}" for n in range(MADE)}


@pytest.mark.parametrize("side", SIDES)
def test_a_folder_restored_from_a_backup_replaces_no_newer_work(world: World, side: str) -> None:
    set_back(world, side)
    world.write(f"{side}/brand-new", "written after the restore")
    world.write(f"{other(side)}/beside", "written on the other side")
    held(world.sync())
    assert newer(world.path(other(side))) == WORK
    assert world.read(f"{other(side)}/brand-new") == b"written after the restore", "what is new flows"
    assert world.read(f"{side}/beside") == b"written on the other side"
    (told,) = world.status()["held"]
    assert (told["guard"], told["side"], set(told["paths"])) == ("went-back", side, WORK)
    held(world.sync())
    for name in WORK:
        shutil.copy2(world.path(f"{other(side)}/{name}"), world.path(f"{side}/{name}"))
    world.settle()
    assert world.equal()
    assert world.status()["held"] == []


@pytest.mark.parametrize("words", [("--yes",), ("--max-delete", str(EDITED + MADE))])
@pytest.mark.parametrize("side", SIDES)
def test_a_person_may_mean_the_older_ones(world: World, side: str, words: tuple[str, ...]) -> None:
    set_back(world, side)
    held(world.sync("--max-delete", str(EDITED)))
    assert world.sync(*words).code == 0
    world.settle()
    assert world.equal()
    assert newer(world.path("local")) == set()
    assert {f"newer {n}".encode() for n in range(EDITED)} <= world.everything(), (
        "the newer ones are in the trash"
    )


@pytest.mark.parametrize("side", SIDES)
def test_a_few_files_put_back_by_hand_flow(world: World, side: str) -> None:
    world.fill("local", 40)
    world.settle()
    for number in range(4):
        world.write(f"{side}/file-{number:03}", f"of long ago {number}", mtime_ns=10**18 + number)
    world.settle()
    assert world.read(f"{other(side)}/file-000") == b"of long ago 0"


def test_many_older_files_among_some_newer_ones_flow(world: World) -> None:
    """As an archive that is unpacked over a tree with its own dates."""
    world.fill("local", 40)
    world.settle()
    for number in range(20):
        world.write(f"local/file-{number:03}", f"older {number}", mtime_ns=10**18 + number)
    for number in range(20, 28):
        world.write(f"local/file-{number:03}", f"newer {number}")
    world.settle()
    assert world.equal()


def test_what_undo_puts_back_is_meant(world: World) -> None:
    world.fill("local", 40)
    world.settle()
    for number in range(EDITED):
        world.write(f"local/file-{number:03}", f"newer {number}")
    run = world.settle().job["run"]
    undone = call(*world.words("undo", str(run), "--yes"))
    assert undone.code == 0, undone
    world.settle()
    assert world.equal()
    assert world.read("remote/file-000") == b"content of file-000"
    for number in range(EDITED):
        world.write(f"local/file-{number:03}", f"older {number}", mtime_ns=10**18 + number)
    held(world.sync())


def test_a_conflict_of_older_and_newer_is_a_conflict_as_ever(world: World) -> None:
    """Nothing is held where nothing would be replaced: both are kept."""
    world.fill("local", 20)
    world.settle()
    for number in range(EDITED):
        world.write(f"local/file-{number:03}", f"older {number}", mtime_ns=10**18 + number)
        world.write(f"remote/file-{number:03}", f"newer {number}")
    ran = world.sync()
    assert ran.code == 0, ran
    assert len(ran.job["conflicts"]) == EDITED


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_a_source_that_went_back_is_held_in_a_one_way_job_too(tmp_path: Path, mode: str) -> None:
    world = World(tmp_path / "world", mode=f'"{mode}"')
    source = "local" if mode == "push" else "remote"
    world.fill(source, 20)
    world.settle()
    for number in range(EDITED):
        world.write(f"{source}/file-{number:03}", f"older {number}", mtime_ns=10**18 + number)
    held(world.sync())
    assert world.read(f"{other(source)}/file-000") == b"content of file-000"


def test_a_served_folder_set_back_to_an_old_copy_is_held(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.path("served").mkdir()
    with serving(world) as account:
        lines = ["[accounts.box]", *(f'{key} = "{value}"' for key, value in account.items())]
        lines += [f'[jobs.it]\nlocal = "{world.path("local")}"\nremote = "box:docs"']
        world.config.write_text("\n".join([f'state_dir = "{world.home}/state"', *lines, ""]))
        world.config.chmod(0o600)
        set_back(world, "remote", served=world.path("served/docs"))
        held(world.sync())
        assert newer(world.path("local")) == WORK
        assert world.sync("--yes").code == 0
        assert newer(world.path("local")) == set()


def test_status_is_not_blinded_by_a_last_success_in_the_future(tmp_path: Path) -> None:
    """A run while the clock was ahead; it is right again, and no run succeeds any more."""
    world = World(tmp_path / "world", max_age='"1h"')
    world.fill("local", 3)
    world.settle()
    assert not world.status()["stale"]
    ahead = time.time() + 60 * 86_400
    with sqlite3.connect(world.database) as database:
        database.execute(
            "UPDATE settings SET value = ? WHERE key = 'state.success-ns'", (str(int(ahead * 1e9)),)
        )
    database.close()
    told = call(*world.words("status"))
    assert told.code == 3, told
    assert "lies in the future" in told.out
    assert world.status()["last_success_ahead"] is True
    world.settle()
    assert not world.status()["stale"], "the next success is of the right time"
