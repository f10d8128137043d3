"""A root at a server that is gone for good, and one that may only be read."""

from __future__ import annotations

import shutil

from tests.stores.peer.conftest import World, actions, tree


def test_a_folder_at_the_server_that_is_gone_for_good_had_no_way_out(world: World) -> None:
    one, two = world.machine("one"), world.machine("two")
    one.write("a", b"1")
    one.write("d/b", b"2")
    one.sync()
    two.sync()
    two.write("only two", b"3")
    (one.local / "a").unlink()  # not to be carried over by what was known of the folder that is gone
    shutil.rmtree(world.remote)
    for words in (("sync",), ("sync", "--max-delete", "100%"), ("plan",)):
        refused = one.call(*words)
        assert refused.code == 4
        assert "run sync once with --yes: it is made anew" in refused.err
    assert not world.remote.exists() and tree(one.local) == {"d/b": b"2"}
    planned = one.call("plan", "--yes")
    assert (planned.code, "1 up" in planned.out, "delete" in planned.out) == (0, True, False)
    assert not world.remote.exists()

    assert ("upload", "d/b") in actions(one.sync("--yes"))
    assert tree(world.remote) == {"d/b": b"2"}
    assert "another folder than last time" in two.call("sync").err
    two.sync("--yes")
    one.sync()
    everything = {"a": b"1", "d/b": b"2", "only two": b"3"}
    assert tree(world.remote) == one.tree() == two.tree() == everything
    assert one.sync()["actions"] == two.sync()["actions"] == []


def test_a_folder_made_again_by_hand_at_the_server_is_merged_as_at_first(world: World) -> None:
    one = world.machine("one")
    one.write("a", b"1")
    one.sync()
    shutil.rmtree(world.remote)
    world.remote.mkdir()
    (world.remote / "b").write_bytes(b"2")
    refused = one.call("sync")
    assert (refused.code, "--yes" in refused.err) == (4, True)
    one.sync("--yes")
    assert tree(world.remote) == one.tree() == {"a": b"1", "b": b"2"}


def test_a_pull_with_a_key_that_may_only_read_failed_at_its_first_run(world: World) -> None:
    (world.remote / "d").mkdir(parents=True)
    (world.remote / "a").write_bytes(b"1")
    (world.remote / "d/b").write_bytes(b"2")
    before = {p: p.lstat().st_mtime_ns for p in world.remote.rglob("*")}
    key, password = world.process.reader
    one = world.machine("one", key=key, password=password, extra='mode = "pull"')
    one.sync()
    assert one.tree() == tree(world.remote) == {"a": b"1", "d/b": b"2"}
    assert (one.local / ".syncer/root-id").exists(), "the following side has what identifies the pair"
    assert {p: p.lstat().st_mtime_ns for p in world.remote.rglob("*")} == before, "nothing was written there"
    assert one.sync()["actions"] == []
    (world.remote / "a").unlink()
    (world.remote / "c").write_bytes(b"3")
    one.write("mine", b"4")
    assert sorted(actions(one.sync())) == [("delete-local", "a"), ("download", "c")]
    assert one.tree() == {"c": b"3", "d/b": b"2", "mine": b"4"}
    assert one.call("check").code == 1, "mine is here only"

    other = world.machine("other")
    other.sync()
    assert one.sync()["actions"] == [], "marked by another machine since: the same folder"
    away = world.remote.rename(world.remote.with_name(f"{world.below} away"))
    refused = one.call("sync")
    assert (refused.code, "--yes" in refused.err) == (4, False), "what is pulled from is never made"
    world.remote.mkdir()
    assert one.call("sync").code == 4, "another folder"
    assert one.tree() == {"c": b"3", "d/b": b"2", "mine": b"4"}
    world.remote.rmdir()
    away.rename(world.remote)
    assert one.sync()["actions"] == []


def test_a_source_without_a_marker_that_is_emptied_empties_nothing(world: World) -> None:
    world.remote.mkdir()
    for name in "abc":
        (world.remote / name).write_bytes(name.encode())
    key, password = world.process.reader
    one = world.machine("one", key=key, password=password, extra='mode = "pull"')
    one.sync()
    shutil.rmtree(world.remote)
    world.remote.mkdir()
    assert one.call("sync").code == 4
    assert one.tree() == {"a": b"a", "b": b"b", "c": b"c"}


def test_what_is_to_be_pulled_is_not_made_at_the_first_run(world: World) -> None:
    one = world.machine("one", extra='mode = "pull"')
    for words in (("sync",), ("plan",), ("sync", "--yes")):
        answer = one.call(*words)
        assert (answer.code, "does not exist" in answer.err) == (2, True)
    assert not world.remote.exists()


def test_two_ways_with_a_key_that_may_only_read_is_refused(world: World) -> None:
    world.remote.mkdir()
    (world.remote / "a").write_bytes(b"1")
    key, password = world.process.reader
    one = world.machine("one", key=key, password=password)
    answer = one.call("sync")
    assert (answer.code, "read-only" in answer.err) == (3, True)
    assert one.tree() == {}


def test_a_waiting_deletion_was_undone_after_the_account_was_reached_in_another_way(world: World) -> None:
    one = world.machine("one")
    for name in ("a", "b"):
        one.write(name, name.encode())
    one.sync()
    (one.local / "a").unlink()
    one.url = one.url.replace("127.0.0.1", "localhost")
    one.configure()
    job = one.sync()
    assert "what was known of them is kept" in job["notes"][0]
    assert actions(job) == [("delete-remote", "a")]
    assert one.sync()["actions"] == []
    assert len([p for p in (one.home / "state/pairs").iterdir() if (p / "state.db").exists()]) == 1
