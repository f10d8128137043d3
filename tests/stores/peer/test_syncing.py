"""`syncer sync` against `syncer serve`: what a user sees, from the first run to the refusals."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from tests.contents import noise
from tests.stores.peer.conftest import FENCED, Machine, World, actions, tree

MIB = 1 << 20


def test_the_first_run_makes_the_folder_and_brings_everything(world: World, machine: Machine) -> None:
    machine.write("a", b"1")
    machine.write("deep/er/b", b"2" * 100_000)
    (machine.local / "link").symlink_to("a")
    job = machine.sync()
    assert job["totals"]["uploaded"] == 3 and job["totals"]["bytes_sent"] == 100_002
    assert tree(world.remote) == machine.tree() and os.readlink(world.remote / "link") == "a"
    assert machine.sync()["actions"] == []


def test_a_second_machine_gets_it_all(world: World, machine: Machine) -> None:
    for n in range(300):
        machine.write(f"d{n % 7}/f{n}", b"%d" % n * n)
    machine.write("large", noise(1, 3 * MIB))
    machine.sync()
    other = world.machine("two")
    job = other.sync()
    assert other.tree() == machine.tree() and job["totals"]["downloaded"] == 301
    assert job["totals"]["bytes_received"] == sum(map(len, machine.tree().values()))


def test_edits_go_both_ways(world: World, machine: Machine) -> None:
    machine.write("mine", b"1")
    machine.write("theirs", b"1")
    machine.sync()
    machine.write("mine", b"22")
    (world.remote / "theirs").write_bytes(b"333")
    (world.remote / "new").mkdir()
    (world.remote / "new/file").write_bytes(b"4")
    assert sorted(actions(machine.sync())) == [
        ("download", "new/file"),
        ("download", "theirs"),
        ("mkdir-local", "new"),
        ("upload", "mine"),
    ]
    assert tree(world.remote) == machine.tree() == {"mine": b"22", "theirs": b"333", "new/file": b"4"}
    assert world.kept() == [b"1"]


def test_deletes_go_both_ways_and_are_kept(world: World, machine: Machine) -> None:
    for name in "abc":
        machine.write(name, name.encode())
    machine.sync()
    (machine.local / "a").unlink()
    (world.remote / "b").unlink()
    job = machine.sync()
    assert sorted(actions(job)) == [("delete-local", "b"), ("delete-remote", "a")]
    assert tree(world.remote) == machine.tree() == {"c": b"c"} and world.kept() == [b"a"]


def test_a_conflict_keeps_both(world: World, machine: Machine) -> None:
    machine.write("f", b"agreed")
    machine.sync()
    machine.write("f", b"mine")
    (world.remote / "f").write_bytes(b"theirs, later")
    machine.sync()
    assert sorted(machine.tree().values()) == [b"mine", b"theirs, later"]
    assert tree(world.remote) == machine.tree()


def test_two_machines_that_change_the_same_file_lose_nothing(world: World, machine: Machine) -> None:
    other = world.machine("two")
    machine.write("f", b"agreed")
    machine.sync()
    other.sync()
    machine.write("f", b"from one")
    other.write("f", b"from the other")
    machine.sync()
    other.sync()
    machine.sync()
    assert machine.tree() == other.tree() == tree(world.remote)
    assert sorted(machine.tree().values()) == [b"from one", b"from the other"]


def test_a_rename_sends_nothing_either_way(world: World, machine: Machine) -> None:
    for n in range(20):
        machine.write(f"before/f{n}", noise(n, 10_000))
    machine.write("large", noise(99, 2 * MIB))
    machine.sync()
    (machine.local / "before").rename(machine.local / "after")
    (world.remote / "large").rename(world.remote / "larger")
    job = machine.sync()
    assert (job["totals"]["bytes_sent"], job["totals"]["bytes_received"]) == (0, 0)
    assert {kind for kind, _ in actions(job)} == {"move-remote", "move-local"}
    assert tree(world.remote) == machine.tree()


def test_a_touched_file_sends_no_content(machine: Machine) -> None:
    file = machine.write("large", noise(1, 2 * MIB))
    machine.sync()
    os.utime(file, (1_000_000_000, 1_000_000_000))
    assert machine.sync()["totals"]["bytes_sent"] == 0


@pytest.mark.parametrize("kept", [True, False])
def test_an_edited_large_file_goes_up_as_a_delta(world: World, machine: Machine, kept: bool) -> None:
    data = noise(1, 4 * MIB)
    machine.write("large", data)
    machine.sync()
    if not kept:
        machine.forget_sketches()
    machine.write("large", data[:MIB] + b"inserted" + data[MIB:])
    [action] = machine.sync()["actions"]
    assert (action["action"], action["method"]) == ("upload", "delta")
    assert action["sent"] < (8_000 if kept else 64_000)
    assert (action["received"] == 0) is kept
    assert tree(world.remote) == machine.tree() and world.kept() == [data]


def test_an_edited_large_file_comes_down_as_a_delta(world: World, machine: Machine) -> None:
    data = noise(1, 4 * MIB)
    machine.write("large", data)
    machine.sync()
    (world.remote / "large").write_bytes(data[:MIB] + b"inserted" + data[MIB:])
    [action] = machine.sync()["actions"]
    assert (action["action"], action["method"]) == ("download", "delta")
    assert action["sent"] + action["received"] < 64_000
    assert tree(world.remote) == machine.tree()


def test_a_middling_file_is_worth_a_delta_too(world: World, machine: Machine) -> None:
    data = noise(1, 300_000)
    machine.write("f", data)
    machine.sync()
    machine.write("f", data[:1000] + b"x" + data[1000:])
    [up] = machine.sync()["actions"]
    assert up["method"] == "delta" and up["sent"] + up["received"] < 30_000
    (world.remote / "f").write_bytes(data[:200_000] + b"yy" + data[200_000:])
    [down] = machine.sync()["actions"]
    assert down["method"] == "delta" and down["sent"] + down["received"] < 30_000
    assert tree(world.remote) == machine.tree()


def test_a_file_with_nothing_in_common_goes_whole(world: World, machine: Machine) -> None:
    machine.write("large", noise(1, 2 * MIB))
    machine.sync()
    machine.write("large", noise(2, 2 * MIB))
    [up] = machine.sync()["actions"]
    assert up["method"] == "whole" and up["sent"] == 2 * MIB
    (world.remote / "large").write_bytes(noise(3, 2 * MIB))
    [down] = machine.sync()["actions"]
    assert down["method"] == "whole" and tree(world.remote) == machine.tree()


def test_after_a_delta_either_way_the_next_needs_no_sums(world: World, machine: Machine) -> None:
    data = noise(1, 4 * MIB)
    machine.write("large", data)
    machine.sync()
    for turn in range(3):
        data = data[: turn * MIB] + b"edit" + data[turn * MIB :]
        (world.remote / "large").write_bytes(data)
        machine.sync()
        data = data[: turn * MIB] + b"another" + data[turn * MIB :]
        machine.write("large", data)
        [up] = machine.sync()["actions"]
        assert (up["method"], up["received"]) == ("delta", 0) and up["sent"] < 8_000
    assert (world.remote / "large").read_bytes() == data
    assert len(list(machine.home.glob("state/pairs/*/cache/sketches/*.sketch"))) == 1


def test_a_wrong_password_is_exit_7_and_says_what_to_do(world: World) -> None:
    answer = world.machine(password="x" * 40).call("sync")
    assert answer.code == 7 and "SMARTFILE_API_PASSWORD" in answer.err + answer.out


def test_a_server_that_is_not_there_is_exit_3(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = world.machine(url=f"http://127.0.0.1:{port}/").call("sync", "--json")
    assert answer.code == 3


def test_a_read_only_key_may_pull_and_not_push(world: World, machine: Machine) -> None:
    machine.write("f", b"1")
    machine.sync()
    key, password = world.process.reader
    reader = world.machine("reader", key=key, password=password)
    assert reader.sync()["totals"]["downloaded"] == 1
    reader.write("mine", noise(1, 8 * MIB))
    answer = reader.call("sync")
    assert answer.code == 3 and "read-only" in answer.out + answer.err
    assert tree(world.remote) == {"f": b"1"}


def test_a_key_sees_only_what_is_under_its_folder(world: World) -> None:
    machine = world.machine(below=FENCED.partition("/")[0])
    machine.write("in/f", b"1")
    machine.write("out", b"secret")
    machine.sync()
    key, password = world.process.fenced
    other = world.machine("other", key=key, password=password, below="")
    other.sync()
    assert other.tree() == {"f": b"1"}
    assert world.machine("out", key=key, password=password, below="../..").call("sync").code in (2, 3)


def test_a_parent_that_is_missing_is_not_made(world: World) -> None:
    answer = world.machine(below=f"{world.below}/not/there").call("sync")
    assert answer.code == 2 and "parent" in answer.out + answer.err
    assert not world.remote.exists()


def test_a_root_that_vanished_is_refused(world: World, machine: Machine) -> None:
    machine.write("f", b"1")
    machine.sync()
    shutil.rmtree(world.remote)
    assert machine.call("sync").code == 4
    assert machine.tree() == {"f": b"1"}


def test_plan_before_the_first_run_changes_nothing(world: World, machine: Machine) -> None:
    machine.write("f", b"1")
    answer = machine.call("plan", "--json")
    assert answer.code == 0 and actions(answer.job) == [("upload", "f")]
    assert not world.remote.exists()


def test_names_of_any_bytes_make_the_way_and_back(world: World, machine: Machine) -> None:
    for name in (b"latin-\xe9", b"new\nline", b"100%", b"a?b#c&d", "ünï".encode()):
        machine.write(os.fsdecode(name), name)
    machine.sync()
    other = world.machine("two")
    other.sync()
    assert other.tree() == machine.tree() == tree(world.remote)


def test_a_former_root_inside_the_folder_stops_nothing(world: World, machine: Machine) -> None:
    machine.write("old/.syncer/root-id", b"00" * 16)
    machine.write("old/.syncer/trash/20260101-000000-1/secret", b"deleted long ago")
    machine.write("old/f", b"1")
    machine.sync()
    assert machine.sync()["actions"] == [] and tree(world.remote) == {"old/f": b"1"}


def test_a_users_own_folder_called_like_ours_is_reported_and_not_tried_for_ever(
    world: World, machine: Machine
) -> None:
    machine.write("d/.syncer/notes", b"mine")
    machine.write("d/f", b"1")
    for _ in range(2):
        answer = machine.call("sync", "--json")
        assert answer.code == 1 and answer.job["problems"][0]["code"] == "unholdable"
    assert tree(world.remote) == {"d/f": b"1"}
