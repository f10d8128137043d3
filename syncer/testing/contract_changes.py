"""The contract: how a store is changed, and what never happens meanwhile."""

from __future__ import annotations

import pytest
from blake3 import blake3

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Stale
from syncer.errors import AuthError, ChangedUnderUs, TransientError
from syncer.exit_codes import exit_code
from syncer.testing.rig import Rig, in_order
from syncer.testing.sources import BytesSource, FarSource

SECOND = 10**9


def done(outcome: object) -> Entry:
    """The entry of an outcome that must be `Done`."""
    assert isinstance(outcome, Done), outcome
    assert outcome.entry is not None
    return outcome.entry


def test_a_put_makes_a_file_and_says_what_it_made(rig: Rig) -> None:
    outcome = rig.put("f", b"content", mtime_ns=5 * SECOND, executable=True)
    entry = done(outcome)
    assert rig.read("f") == b"content"
    assert (entry.kind, entry.size, entry.digest) == (Kind.FILE, 7, blake3(b"content").digest())
    assert (entry.mtime_ns, entry.executable) == (5 * SECOND, rig.bit(True))
    assert isinstance(outcome, Done) and outcome.sent == 7


def test_what_a_put_answers_is_what_a_look_then_shows(rig: Rig) -> None:
    entry = done(rig.put("f", b"content"))
    seen = rig.entry("f")
    assert (seen.version, seen.size, seen.mtime_ns) == (entry.version, entry.size, entry.mtime_ns)
    assert entry.trusted


def test_an_empty_file_is_put(rig: Rig) -> None:
    assert done(rig.put("f", b"")).digest == blake3(b"").digest()
    assert rig.read("f") == b""


@pytest.mark.parametrize("seconds", [0, -1, -(10**9), 9 * 10**9])
def test_times_long_ago_and_far_ahead_are_kept(rig: Rig, seconds: int) -> None:
    assert done(rig.put("f", b"x", mtime_ns=seconds * SECOND)).mtime_ns == seconds * SECOND


def test_a_replaced_file_is_kept_in_the_trash(rig: Rig) -> None:
    rig.write("f", b"old")
    done(rig.put("f", b"new", expected=rig.entry("f")))
    assert rig.read("f") == b"new" and rig.kept() == [b"old"]


def test_two_versions_of_one_name_are_both_kept(rig: Rig) -> None:
    first = done(rig.put("f", b"1"))
    second = done(rig.put("f", b"2", expected=first))
    done(rig.put("f", b"3", expected=second))
    assert sorted(rig.kept()) == [b"1", b"2"]


def test_a_put_never_clobbers_a_name_that_should_be_free(rig: Rig) -> None:
    rig.write("f", b"theirs")
    assert isinstance(rig.put("f", b"ours"), Stale)
    assert rig.read("f") == b"theirs" and rig.kept() == []


def test_an_edit_between_plan_and_put_stays(rig: Rig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.write("f", b"edited")
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.read("f") == b"edited" and rig.kept() == []


def test_an_edit_while_the_content_arrives_stays(rig: Rig) -> None:
    rig.write("f", b"old")
    source = BytesSource(b"new content", during=lambda: rig.write("f", b"edited"))
    assert isinstance(rig.put("f", b"new content", expected=rig.entry("f"), source=source), Stale)
    assert rig.read("f") == b"edited"


def test_a_file_that_appears_while_the_content_arrives_stays(rig: Rig) -> None:
    source = BytesSource(b"new content", during=lambda: rig.write("f", b"theirs"))
    assert isinstance(rig.put("f", b"new content", source=source), Stale)
    assert rig.read("f") == b"theirs"


def test_a_file_deleted_since_the_plan_stays_deleted(rig: Rig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.remove("f")
    assert isinstance(rig.put("f", b"new", expected=planned), Stale)
    assert rig.store.stat("f") is None


def test_a_source_that_breaks_off_publishes_nothing(rig: Rig) -> None:
    rig.write("f", b"old")
    source = BytesSource(b"new content", error=ChangedUnderUs("it changed"))
    outcome = rig.put("f", b"new content", expected=rig.entry("f"), source=source)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    assert rig.read("f") == b"old"
    assert list(rig.store.list("").entries) == ["f"] and rig.store.list("").leftovers == ()


def test_a_source_shorter_than_planned_publishes_nothing(rig: Rig) -> None:
    outcome = rig.put("f", b"planned size", source=BytesSource(b"short"))
    assert isinstance(outcome, Failed)
    assert rig.store.stat("f") is None and rig.store.list("").leftovers == ()


def test_a_transient_error_of_the_source_fails_that_item_only(rig: Rig) -> None:
    bad = BytesSource(b"xx", error=TransientError("later"))
    items = [rig.item("a", b"1"), rig.item("b", b"xx", source=bad), rig.item("c", b"3")]
    first, second, third = rig.put_all(items)
    assert isinstance(first, Done) and isinstance(second, Failed) and isinstance(third, Done)
    assert rig.read("a") + rig.read("c") == b"13"


def test_a_put_that_broke_off_is_gone_on_with_or_done_again(rig: Rig) -> None:
    data = bytes(range(256)) * 1024
    source = FarSource(data, breaks=100_000)
    outcome = rig.put("f", data, source=source, token=b"8 bytes.")
    assert isinstance(outcome, Done | Failed) and rig.store.list("").leftovers == ()
    entry = done(
        outcome if isinstance(outcome, Done) else rig.put("f", data, source=source, token=b"8 bytes.")
    )
    assert rig.read("f") == data and entry.digest == blake3(data).digest()
    assert list(rig.store.list("").entries) == ["f"] and len(source.starts) == 2


def test_a_source_may_refer_to_what_is_replaced(rig: Rig) -> None:
    old = bytes(range(256)) * 1024
    rig.write("f", old)
    data = old[:100_000] + b"inserted" + old[100_000:]
    done(rig.put("f", data, expected=rig.entry("f"), source=FarSource(data, alike=100_000)))
    assert rig.read("f") == data and rig.kept() == [old]


def test_missing_credentials_end_the_run(rig: Rig) -> None:
    with pytest.raises(AuthError):
        rig.put("a", b"xx", source=BytesSource(b"xx", error=AuthError("expired")))


def test_many_items_are_all_answered_once(rig: Rig) -> None:
    for directory in ("x", "y"):
        rig.make(directory)
    items = [rig.item(f"{'xy'[n % 2]}/{n}", b"%d" % n) for n in range(80)]
    assert all(isinstance(outcome, Done) for outcome in rig.put_all(items))
    assert [rig.read(item.path) for item in items] == [b"%d" % n for n in range(80)]


def test_the_permission_to_execute_is_set_cleared_and_left(rig: Rig) -> None:
    entry = done(rig.put("f", b"1", executable=True))
    entry = done(rig.put("f", b"2", expected=entry))
    assert entry.executable is rig.bit(True)
    assert done(rig.put("f", b"3", expected=entry, executable=False)).executable is rig.bit(False)


def test_a_symlink_is_put_with_its_target_only(rig: Rig) -> None:
    entry = done(rig.put_link("l", "/etc/passwd"))
    assert (entry.kind, entry.target, entry.size) == (Kind.SYMLINK, "/etc/passwd", 11)
    assert rig.entry("l").version == entry.version


def test_a_symlink_replaces_a_file_and_a_file_a_symlink(rig: Rig) -> None:
    rig.write("f", b"file")
    link = done(rig.put_link("f", "target", expected=rig.entry("f")))
    done(rig.put("f", b"again", expected=link))
    assert rig.read("f") == b"again" and sorted(rig.kept()) == [b"file", b"target"]


def test_content_never_replaces_a_directory(rig: Rig) -> None:
    rig.make("d")
    assert isinstance(rig.put("d", b"x", expected=rig.entry("d")), Stale)
    assert isinstance(rig.put("d", b"x"), Stale)
    assert rig.entry("d").kind is Kind.DIRECTORY


def test_nothing_is_put_through_a_symlink(rig: Rig) -> None:
    rig.make("real")
    rig.link("l", "real")
    assert isinstance(rig.put("l/f", b"x"), Stale)
    assert list(rig.store.list("real").entries) == []


def test_nothing_is_put_where_the_directory_is_gone(rig: Rig) -> None:
    assert isinstance(rig.put("gone/f", b"x"), Stale)
    assert rig.store.stat("gone") is None


@pytest.mark.parametrize(
    "path",
    [
        "../f",
        "a/../f",
        ".",
        "..",
        "",
        "a//b",
        "nul\0",
        ".syncer/x",
        ".syncer",
        ".syncer-tmp-1",
        "d/.syncer-tmp-1",
    ],
)
def test_a_hostile_path_is_refused_by_every_change(rig: Rig, path: str) -> None:
    rig.write("a/f", b"x")
    rig.make("d")
    entry = rig.entry("a/f")
    for outcome in (
        rig.put(path, b"evil"),
        rig.put_link(path, "evil"),
        rig.make(path) if path else Stale(message=""),
        in_order(rig.store.rename([RenameRequest(origin="a/f", path=path, expected=entry)]), 1)[0],
        in_order(rig.store.delete([DeleteRequest(path=path, expected=entry)]), 1)[0],
    ):
        assert not isinstance(outcome, Done)
    assert rig.read("a/f") == b"x" and sorted(rig.store.list("").entries) == ["a", "d"]


def test_a_name_of_255_bytes_is_put_and_a_longer_one_refused(rig: Rig) -> None:
    """Or of as many as the file system holds."""
    done(rig.put("é" * (rig.longest // 2) + "x", b"1"))
    outcome = rig.put("x" * (rig.longest + 1), b"1")
    assert isinstance(outcome, Failed) and exit_code(outcome.error) == 3


def test_a_delete_moves_the_file_to_the_trash(rig: Rig) -> None:
    rig.write("f", b"precious")
    outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=rig.entry("f"))]), 1)[0]
    assert outcome == Done(entry=None)
    assert rig.store.stat("f") is None and rig.kept() == [b"precious"]


def test_a_symlink_is_deleted_and_not_what_it_points_to(rig: Rig) -> None:
    rig.write("f", b"x")
    rig.link("l", "f")
    in_order(rig.store.delete([DeleteRequest(path="l", expected=rig.entry("l"))]), 1)
    assert rig.store.stat("l") is None and rig.read("f") == b"x" and rig.kept() == [b"f"]


def test_an_edited_file_is_not_deleted(rig: Rig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.write("f", b"edited")
    assert isinstance(in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0], Stale)
    assert rig.read("f") == b"edited"


def test_deleting_a_directory_as_a_file_is_stale(rig: Rig) -> None:
    rig.write("d/f", b"x")
    outcome = in_order(rig.store.delete([DeleteRequest(path="d", expected=rig.entry("d"))]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("d/f") == b"x"


def test_directories_are_made_parents_first_and_once_more_for_nothing(rig: Rig) -> None:
    assert isinstance(rig.make("a"), Done) and isinstance(rig.make("a/b"), Done)
    assert done(rig.make("a/b")).kind is Kind.DIRECTORY


def test_a_directory_takes_no_file_s_place_unasked(rig: Rig) -> None:
    rig.write("f", b"x")
    assert isinstance(rig.make("f"), Stale) and rig.read("f") == b"x"


def test_a_directory_takes_the_place_of_the_file_it_was_planned_on(rig: Rig) -> None:
    rig.write("f", b"x")
    assert isinstance(rig.make("f", rig.entry("f")), Done)
    assert rig.entry("f").kind is Kind.DIRECTORY and rig.kept() == [b"x"]


def test_a_directory_takes_no_edited_file_s_place(rig: Rig) -> None:
    rig.write("f", b"x")
    planned = rig.entry("f")
    rig.write("f", b"edited")
    assert isinstance(rig.make("f", planned), Stale) and rig.read("f") == b"edited"


def test_only_empty_directories_are_removed(rig: Rig) -> None:
    rig.write("full/f", b"x")
    rig.write("file", b"x")
    rig.mkdir("a/b")
    outcomes = in_order(rig.store.remove_directories(["full", "file", "a/b", "a", "missing"]), 5)
    assert [type(outcome) for outcome in outcomes] == [Stale, Stale, Done, Done, Done]
    assert rig.read("full/f") == b"x" and rig.store.stat("a") is None


def rename(rig: Rig, origin: str, path: str, expected: Entry | None = None) -> object:
    """Rename one item; its outcome."""
    item = RenameRequest(origin=origin, path=path, expected=expected or rig.entry(origin))
    return in_order(rig.store.rename([item]), 1)[0]


def test_a_file_is_renamed_with_its_content(rig: Rig) -> None:
    rig.write("a/f", b"x")
    rig.make("b")
    entry = done(rename(rig, "a/f", "b/g"))
    assert rig.store.stat("a/f") is None and rig.read("b/g") == b"x"
    assert rig.entry("b/g").version == entry.version


def test_a_directory_is_renamed_with_all_that_is_below(rig: Rig) -> None:
    rig.write("a/deep/f", b"x")
    done(rename(rig, "a", "b"))
    assert rig.store.stat("a") is None and rig.read("b/deep/f") == b"x"


def test_a_rename_never_clobbers(rig: Rig) -> None:
    rig.write("f", b"ours")
    rig.write("g", b"theirs")
    rig.mkdir("d")
    assert isinstance(rename(rig, "f", "g"), Stale) and isinstance(rename(rig, "f", "d"), Stale)
    assert (rig.read("f"), rig.read("g")) == (b"ours", b"theirs")


def test_an_edited_or_missing_file_is_not_renamed(rig: Rig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.write("f", b"edited")
    assert isinstance(rename(rig, "f", "g", planned), Stale) and rig.read("f") == b"edited"
    assert isinstance(rename(rig, "missing", "g", planned), Stale)


def test_a_directory_does_not_move_into_itself(rig: Rig) -> None:
    rig.write("a/f", b"x")
    assert not isinstance(rename(rig, "a", "a/b"), Done)
    assert rig.read("a/f") == b"x"


def amend(rig: Rig, path: str, expected: Entry, mtime_ns: int | None, executable: bool | None) -> object:
    """Set the attributes of one item; its outcome."""
    item = SetAttributesRequest(path=path, expected=expected, mtime_ns=mtime_ns, executable=executable)
    return in_order(rig.store.set_attributes([item]), 1)[0]


def test_time_and_permission_are_amended_and_the_content_stays(rig: Rig) -> None:
    first = done(rig.put("f", b"x", executable=False))
    entry = done(amend(rig, "f", first, 7 * SECOND, None))
    assert (entry.mtime_ns, entry.executable, entry.digest) == (7 * SECOND, rig.bit(False), first.digest)
    entry = done(amend(rig, "f", entry, None, True))
    assert (entry.mtime_ns, entry.executable) == (7 * SECOND, rig.bit(True))
    assert rig.entry("f").version == entry.version and rig.read("f") == b"x"


def test_an_edited_file_is_not_amended(rig: Rig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.write("f", b"edited")
    edited = rig.entry("f").mtime_ns
    assert isinstance(amend(rig, "f", planned, 7 * SECOND, True), Stale)
    assert rig.entry("f").mtime_ns == edited


def test_nothing_at_all_to_do_is_done_at_once(rig: Rig) -> None:
    store = rig.store
    for results in (
        store.put([]),
        store.delete([]),
        store.make_directories([]),
        store.remove_directories([]),
    ):
        assert list(results) == []
    assert list(store.rename([])) == list(store.set_attributes([])) == []
    store.clean_leftovers([])
