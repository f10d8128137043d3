"""The calls that look, over real HTTP: what a client is shown, and what it never is."""

from __future__ import annotations

import json
import os
from hashlib import blake2b

from blake3 import blake3

from syncer.engine.model import BlockedEntry, BlockReason, Kind, Listing
from syncer.errors import NotFound
from syncer.wire import schema
from tests.server.extension.speaking import Client


def listings(lines) -> dict[str, Listing]:
    return {path: schema.listing_in(told) for path, told in lines}


def test_hello_says_what_the_disk_can_hold_and_how_large_calls_may_be(client):
    told = client.call("hello").json
    able = schema.capabilities_in(told["capabilities"])
    assert able.digests and not able.local and able.symlinks
    assert told["limits"]["items"] >= 1000
    assert told["limits"]["body"] >= 1 << 20
    assert told["server"]


def test_a_listing_comes_with_kinds_sizes_versions_and_a_fingerprint(client, folder):
    (folder / "d").mkdir()
    (folder / "d" / "a").write_bytes(b"hello")
    (folder / "d" / "l").symlink_to("a")
    os.utime(folder / "d" / "a", ns=(10**18, 10**18))
    [(path, listing)] = listings(client.call("list", {"paths": ["d"]}).lines).items()
    assert path == "d"
    assert listing.entries["a"].size == 5
    assert listing.entries["a"].mtime_ns == 10**18
    assert listing.entries["l"].kind is Kind.SYMLINK
    assert listing.entries["l"].target == "a"


def test_a_directory_that_is_not_there_is_that_paths_trouble(client):
    [[path, told]] = client.call("list", {"paths": ["none"]}).lines
    assert path == "none"
    assert isinstance(schema.error_in(told["error"]), NotFound)


def test_a_tree_comes_in_tree_order_with_everything_in_it(client, folder):
    names = ["b", "a", "a b", "a/x", "a/x/y", "a-c", "ä", "b/z"]
    for name in names:
        (folder / name).mkdir()
    (folder / "a" / "x" / "f").write_bytes(b"1")
    lines = client.call("tree", {"path": ""}).lines
    paths = [path for path, _ in lines]
    assert sorted(paths, key=lambda p: os.fsencode(p).replace(b"/", b"\0")) == paths
    assert set(paths) == {"", *names}
    assert listings(lines)["a/x"].entries["f"].size == 1


def test_a_tree_begins_where_it_is_told_to(client, folder):
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "z").mkdir()
    assert [p for p, _ in client.call("tree", {"path": "a/b"}).lines] == ["a/b", "a/b/c"]


def test_names_that_are_not_utf8_come_back_to_their_bytes(client, folder):
    (folder / os.fsdecode(b"n\xff")).mkdir()
    (folder / os.fsdecode(b"n\xff/f\xfe")).write_bytes(b"x")
    tree = listings(client.call("tree", {"path": ""}).lines)
    assert os.fsencode(next(iter(tree["n\udcff"].entries))) == b"f\xfe"
    assert client.call("look", {"paths": ["n\udcff/f\udcfe"]}).lines[0][1] == 1


def test_a_look_finds_entries_nothing_and_obstacles(client, folder):
    (folder / "f").write_bytes(b"123")
    os.mkfifo(folder / "pipe")
    entry, nothing, pipe, ours = client.call("look", {"paths": ["f", "none", "pipe", ".syncer"]}).lines
    assert schema.entry_in(entry).size == 3
    assert nothing is None
    assert schema.seen_in(pipe).trouble is BlockReason.UNSUPPORTED
    assert schema.seen_in(ours).trouble is BlockReason.UNSAFE_NAME


def test_digests_are_computed_once_and_then_come_along(client, folder):
    (folder / "f").write_bytes(b"hello")
    os.utime(folder / "f", ns=(10**18, 10**18))
    entry = client.entry("f")
    wait_until_trusted(client, "f")
    entry = client.entry("f")
    assert entry.digest is None
    [told] = client.call("digests", {"wanted": [["f", schema.entry_out(entry)]]}).lines
    assert schema.entry_in(told).digest == blake3(b"hello").digest()
    assert client.entry("f").digest == blake3(b"hello").digest()
    listing = listings(client.call("list", {"paths": [""]}).lines)[""]
    assert listing.entries["f"].digest == blake3(b"hello").digest()


def test_a_digest_that_is_known_does_not_outlive_its_version(client, folder):
    (folder / "f").write_bytes(b"hello")
    wait_until_trusted(client, "f")
    client.call("digests", {"wanted": [["f", schema.entry_out(client.entry("f"))]]})
    before = client.entry("f")
    (folder / "f").write_bytes(b"other")
    [told] = client.call("digests", {"wanted": [["f", schema.entry_out(before)]]}).lines
    assert schema.entry_in(told).digest == blake3(b"other").digest()
    (folder / "f").write_bytes(b"third")
    wait_until_trusted(client, "f")
    listing = listings(client.call("list", {"paths": [""]}).lines)[""]
    assert listing.entries["f"].digest is None
    assert client.entry("f").digest is None


def test_digests_come_in_order_with_what_is_gone_and_what_cannot_be_read(client, folder):
    (folder / "a").write_bytes(b"a")
    (folder / "z").write_bytes(b"z")
    os.mkfifo(folder / "p")
    some = schema.entry_out(client.entry("a"))
    a, gone, p, z = client.call(
        "digests", {"wanted": [["a", some], ["gone", some], ["p", some], ["z", some]]}
    ).lines
    assert schema.entry_in(a).digest == blake3(b"a").digest()
    assert gone is None
    assert isinstance(schema.seen_in(p), BlockedEntry)
    assert schema.entry_in(z).digest == blake3(b"z").digest()


def wait_until_trusted(client: Client, path: str) -> None:
    for _ in range(1000):
        if client.entry(path).trusted:
            return
    raise AssertionError("it is never trusted")


def test_what_changed_is_told_and_by_name_too(client, folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "f").write_bytes(b"1")
        wait_until_trusted(client, f"{name}/f")
    tree = listings(client.call("tree", {"path": ""}).lines)
    known = [[path, listing.fingerprint.hex()] for path, listing in tree.items()]
    name = blake2b(json.dumps(known, separators=(",", ":")).encode(), digest_size=32).hexdigest()
    assert client.call("changed", {"name": name}).json == {"unknown": True}
    assert client.call("changed", {"name": name, "known": known}).json == {"changed": []}
    (folder / "b" / "g").write_bytes(b"2")
    assert client.call("changed", {"name": name}).json == {"changed": ["b"]}


def test_a_list_under_a_wrong_name_is_refused(client):
    assert client.call("changed", {"name": "00" * 32, "known": [["", "00"]]}).status == 400
    assert client.call("changed", {"name": "00" * 32}).json == {"unknown": True}


def test_our_own_names_are_shown_at_no_depth(client, folder):
    (folder / "sub" / ".syncer" / "trash").mkdir(parents=True)
    (folder / "sub" / ".syncer-tmp-0011223344556677").write_bytes(b"half")
    (folder / "sub" / "f").write_bytes(b"1")
    wait_until_trusted(client, "sub/f")
    tree = listings(client.call("tree", {"path": ""}).lines)
    assert set(tree) == {"", "sub"}
    assert set(tree["sub"].entries) == {"f"}
    assert tree["sub"].fingerprint is None
    [[_, told]] = client.call("list", {"paths": ["sub/.syncer"]}).lines
    assert told["error"]["code"] == "unholdable"


def test_the_temporaries_of_other_calls_are_nobodys_leftovers(client, folder):
    (folder / f".syncer-tmp-{client.served.tag}00112233").write_bytes(b"half")
    listing = listings(client.call("list", {"paths": [""]}).lines)[""]
    assert listing.leftovers == ()
    assert client.call("sweep", {"paths": [f".syncer-tmp-{client.served.tag}00112233"]}).json == {}
    assert (folder / f".syncer-tmp-{client.served.tag}00112233").exists()


def test_small_files_are_read_up_to_a_limit(client, folder):
    (folder / "f").write_bytes(b"0123456789")
    assert client.call("read-small", {"path": "f", "limit": 4}).json == {"content": b"0123".hex()}
    assert client.call("read-small", {"path": "none", "limit": 4}).json == {"content": ""}


def test_a_symlink_in_the_folder_leads_nowhere(client, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "way").symlink_to(outside)
    [[_, told]] = client.call("list", {"paths": ["way"]}).lines
    assert "error" in told
    assert client.call("look", {"paths": ["way/secret"]}).lines == [None]
    assert client.call("read-small", {"path": "way/secret", "limit": 9}).json == {"content": ""}
    assert client.call("hello", root="way").status == 409


def test_answers_are_packed_for_who_likes_it(client, folder):
    for number in range(200):
        (folder / f"name-{number}").mkdir()
    plain = client.call("tree", {"path": ""})
    packed = client.call("tree", {"path": ""}, headers={"Accept-Encoding": "zstd"})
    assert [path for path, _ in packed.lines] == [path for path, _ in plain.lines]


def test_a_root_is_below_the_key_own_folder(client, folder):
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "f").write_bytes(b"1")
    under = Client(client.port, "under")
    assert set(listings(under.call("list", {"paths": [""]}).lines)[""].entries) == {"deep", "f"}
    assert under.call("root", root="deep").json["root"]["empty"] is True
    assert under.call("root", root="none").json == {"root": None}
    assert under.call("hello", root="none").status == 409
    assert under.call("hello", root="none").json["error"]["code"] == "not-found"
    assert under.call("hello", root="..").status == 400
    assert under.call("hello", root=".syncer").status == 403


def test_quota_tells_the_free_space(client):
    told = client.call("quota").json
    assert told["free"] > 0
    assert told["used"] is None
