"""The contract: what a store shows."""

from __future__ import annotations

import os

import pytest
from blake3 import blake3

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import Done, Entry, Failed, Kind
from syncer.errors import ChangedUnderUs, NotFound, StoreError, SyncerError
from syncer.testing.rig import Rig
from syncer.testing.scans import changed_directories

NAMES = [
    "plain",
    "with space",
    "new\nline",
    "\x1b[31m",
    "ünïcode",
    "a" * 255,
    "-rf",
    "~",
    "tab\t",
    "trailing.",
]


def test_an_identity_names_the_store_and_does_not_change(rig: Rig) -> None:
    assert rig.store.identity == rig.store.identity != ""


def test_a_marked_root_shows_its_marker_and_is_empty(rig: Rig) -> None:
    state = rig.store.root()
    assert state is not None and (state.marker, state.empty) == ("ab" * 16, True)


def test_a_root_with_a_file_is_not_empty(rig: Rig) -> None:
    rig.write("f", b"x")
    state = rig.store.root()
    assert state is not None and not state.empty


def test_a_root_that_is_gone_is_none_and_lists_nothing(rig: Rig) -> None:
    rig.store.list("")
    rig.drop_root()
    assert rig.store.root() is None
    with pytest.raises(NotFound):
        rig.store.list("")


def test_making_a_root_that_is_there_changes_nothing(rig: Rig) -> None:
    rig.write("f", b"x")
    rig.store.create_root()
    assert rig.read("f") == b"x"


def test_marking_again_gives_the_new_marker(rig: Rig) -> None:
    rig.store.write_root_id("cd" * 16)
    state = rig.store.root()
    assert state is not None and state.marker == "cd" * 16


def test_a_listing_shows_files_directories_and_symlinks_of_one_directory(rig: Rig) -> None:
    rig.write("f", b"123")
    rig.write("d/inner", b"")
    rig.link("l", "f")
    found = rig.store.list("").entries
    kinds = {name: entry.kind for name, entry in found.items() if isinstance(entry, Entry)}
    assert kinds == {"f": Kind.FILE, "d": Kind.DIRECTORY, "l": Kind.SYMLINK}
    assert list(rig.store.list("d").entries) == ["inner"]


def test_a_listing_says_what_a_look_says(rig: Rig) -> None:
    rig.write("f", b"123")
    rig.link("l", "somewhere")
    listed = rig.store.list("").entries
    for name in ("f", "l"):
        looked = rig.entry(name)
        entry = listed[name]
        assert isinstance(entry, Entry)
        assert (entry.kind, entry.size, entry.version, entry.target) == (
            looked.kind,
            looked.size,
            looked.version,
            looked.target,
        )


def test_sizes_are_bytes_of_content_or_of_the_target(rig: Rig) -> None:
    rig.write("f", b"12345")
    rig.mkdir("d")
    rig.link("l", "é")
    assert [rig.entry(name).size for name in ("f", "d", "l")] == [5, 0, 2]


def test_a_symlink_shows_its_target_and_that_targets_digest(rig: Rig) -> None:
    rig.link("l", "../out/of/here")
    entry = rig.entry("l")
    assert entry.target == "../out/of/here"
    assert entry.digest in (None, blake3(b"../out/of/here").digest())


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_listed_and_read_as_it_is(rig: Rig, name: str) -> None:
    rig.write(name, b"content")
    assert list(rig.store.list("").entries) == [name]
    assert b"".join(rig.store.open(name, rig.entry(name)).chunks()) == b"content"


def test_a_name_that_is_not_utf8_is_listed_with_its_bytes(rig: Rig) -> None:
    name = os.fsdecode(b"latin-\xe9")
    if not rig.any_bytes:
        assert isinstance(rig.put(name, b"x"), Failed)
        return
    rig.write(name, b"x")
    assert list(rig.store.list("").entries) == [name]


def test_listing_what_is_no_directory_raises_not_found(rig: Rig) -> None:
    rig.write("f", b"x")
    rig.link("l", ".")
    for path in ("missing", "f", "l", "f/below", "l/f"):
        with pytest.raises(NotFound):
            rig.store.list(path)


def test_nothing_is_seen_through_a_symlink(rig: Rig) -> None:
    rig.write("real/f", b"x")
    rig.link("l", "real")
    assert rig.store.stat("l/f") is None


def test_a_look_at_nothing_is_none(rig: Rig) -> None:
    rig.write("f", b"x")
    assert [rig.store.stat(p) for p in ("missing", "f/below", "missing/below")] == [None, None, None]


def test_the_fingerprint_is_that_of_names_and_versions(rig: Rig) -> None:
    rig.store.make_directories([])
    outcome = rig.put("f", b"123")
    rig.make("d")
    found = rig.store.list("")
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert found.fingerprint == fingerprint([("f", outcome.entry.version), ("d", b"")])


def test_an_unchanged_directory_is_not_among_the_changed(rig: Rig) -> None:
    rig.make("d")
    rig.put("d/f", b"1")
    known = [(path, rig.store.list(path).fingerprint) for path in ("", "d")]
    assert all(print_ is not None for _, print_ in known)
    assert changed_directories(rig.store, known) == []


@pytest.mark.parametrize("change", ["edit", "new", "delete", "gone", "link"])
def test_a_changed_directory_is_among_the_changed_and_only_it(rig: Rig, change: str) -> None:
    for directory in ("a", "b"):
        rig.make(directory)
        rig.put(f"{directory}/f", b"1")
    known = [(path, rig.store.list(path).fingerprint) for path in ("a", "b")]
    if change == "edit":
        rig.write("a/f", b"22")
    elif change == "new":
        rig.write("a/g", b"")
    elif change == "delete":
        rig.remove("a/f")
    else:
        rig.remove("a")
    if change == "link":
        rig.link("a", "b")
    assert changed_directories(rig.store, known) == ["a"]


def test_digests_come_in_order_with_the_content_s_digest(rig: Rig) -> None:
    for name in ("a", "b", "c"):
        rig.write(name, name.encode() * 10)
    wanted = [(name, rig.entry(name)) for name in ("c", "a", "b")]
    found = [seen.digest for seen in rig.store.with_digests(wanted) if isinstance(seen, Entry)]
    assert found == [blake3(name.encode() * 10).digest() for name in ("c", "a", "b")]


def test_the_digest_of_what_is_gone_is_none(rig: Rig) -> None:
    rig.write("a", b"x")
    entry = rig.entry("a")
    rig.remove("a")
    assert list(rig.store.with_digests([("a", entry)])) == [None]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 5])
def test_a_source_gives_all_bytes_in_pieces_of_at_most_a_mebibyte(rig: Rig, size: int) -> None:
    data = os.urandom(size)
    rig.write("f", data)
    source = rig.store.open("f", rig.entry("f"))
    for _ in range(2):
        pieces = list(source.chunks())
        assert b"".join(pieces) == data and all(len(piece) <= 1 << 20 for piece in pieces)
    assert source.entry.digest == blake3(data).digest()


def test_the_entry_of_a_source_is_not_known_before_its_end(rig: Rig) -> None:
    rig.write("f", b"x")
    with pytest.raises(SyncerError):
        _ = rig.store.open("f", rig.entry("f")).entry


def test_a_file_that_changed_since_it_was_planned_on_is_not_read(rig: Rig) -> None:
    rig.write("f", b"old")
    entry = rig.entry("f")
    rig.write("f", b"newer")
    with pytest.raises(ChangedUnderUs):
        list(rig.store.open("f", entry).chunks())


def test_of_a_file_that_changes_while_it_is_read_the_last_piece_is_held_back(rig: Rig) -> None:
    rig.write("f", b"a" * (3 << 20))
    source = rig.store.open("f", rig.entry("f"))
    rig.during_read(lambda: rig.write("f", b"b" * (3 << 20)))
    got: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        got.extend(source.chunks())
    assert sum(len(piece) for piece in got) < 3 << 20


def test_a_file_that_vanished_cannot_be_read(rig: Rig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.remove("f")
    with pytest.raises((StoreError, ChangedUnderUs)):
        list(rig.store.open("f", entry).chunks())


def test_reading_a_small_file_stops_at_the_limit_and_never_fails(rig: Rig) -> None:
    rig.write("f", b"123456")
    rig.mkdir("d")
    rig.link("l", "f")
    assert rig.store.read_file("f", 4) == b"1234"
    assert rig.store.read_file("f", 100) == b"123456"
    assert [rig.store.read_file(p, 9) for p in ("missing", "d", "l", "f/below")] == [b""] * 4


def test_names_that_are_not_there_stand_nowhere_when_looked_at_one_by_one(rig: Rig) -> None:
    rig.write("f", b"x")
    rig.write("d/g", b"y")
    asked = ["f", "gone", "d", "d/gone", "d/g", "f/below", "no/such"]
    found = rig.store.left_out(asked)
    assert len(found) == len(asked) and [found[i] for i in (1, 3, 5, 6)] == [None] * 4
    for path, seen in zip(asked, found, strict=True):
        assert seen is None or (isinstance(seen, Entry) and seen.kind is rig.entry(path).kind)
