"""Two runs of one job at once: real processes, one lock."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from syncer.state import PairLock
from tests.world import World, call


def test_the_second_run_exits_with_6_and_changes_nothing(world: World) -> None:
    world.fill("local", 3)
    world.settle()
    world.write("local/new", "waits for the other run")
    with PairLock.acquire(world.pair):
        process = world.start("sync", "--json")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 6, err
    assert json.loads(out)["jobs"][0]["exit"] == 6
    assert "another run" in err
    assert f"process {os.getpid()}" in err, "it says who holds the job"
    assert "Traceback" not in err
    assert not world.path("remote/new").exists()
    assert world.sync().code == 0
    assert world.path("remote/new").exists()


def test_processes_started_together_end_with_0_or_6_and_agree(world: World) -> None:
    """As a cron entry, a shell and a script that all sync the same folders."""
    world.fill("local", 300)
    world.fill("remote", 100, "there")
    processes = [world.start("sync", "--json") for _ in range(4)]
    ends = [(process.communicate(timeout=120), process.returncode) for process in processes]
    codes = [code for _, code in ends]
    assert set(codes) <= {0, 6}, ends
    assert 0 in codes
    assert not any("Traceback" in err for (_, err), _ in ends)
    assert world.equal()
    assert len(world.side("local")) == 401
    world.settle()


def test_a_lock_of_a_dead_process_holds_nobody_up(world: World) -> None:
    world.write("local/f", "content")
    world.settle()
    child = os.fork()
    if child == 0:
        PairLock.acquire(world.pair)
        os._exit(0)
    os.waitpid(child, 0)
    assert world.sync().code == 0


def test_runs_in_a_loop_beside_a_user_lose_nothing(world: World) -> None:
    """As cron does it, with no pause at all; the user never edits what the other side edits."""
    world.fill("local", 5)
    world.settle()
    stop = threading.Event()

    def user() -> None:
        for number in range(150):
            world.write("local/diary", f"version {number}")
            world.write(f"remote/note-{number}", f"note {number}")
        stop.set()

    hands = threading.Thread(target=user)
    hands.start()
    codes = set()
    while not stop.is_set():
        codes.add(world.sync().code)
    hands.join()
    assert codes <= {0, 3}, codes
    world.settle()
    assert world.read("remote/diary") == b"version 149"
    assert all(world.read(f"local/note-{n}") == f"note {n}".encode() for n in range(150))
    assert not [path for path in world.side("local") if "sync-conflict" in path]


def test_two_jobs_that_share_a_folder_run_beside_each_other(world: World, tmp_path: Path) -> None:
    world.write("local/f", "content")
    text = world.config.read_text()
    world.config.write_text(
        f'{text}[jobs.second]\nlocal = "{tmp_path}/local"\nremote = "local:{tmp_path}/second"\n'
    )
    ran = call(*world.words("sync", "--json"))
    assert ran.code == 0, ran
    assert (tmp_path / "second/f").read_text() == "content"
    (tmp_path / "second/f").write_text("from the second")
    for _ in range(2):
        assert call(*world.words("sync", "--json")).code == 0
    assert world.read("remote/f") == b"from the second"
    assert [j["actions"] for j in call(*world.words("sync", "--json")).document["jobs"]] == [[], []]
