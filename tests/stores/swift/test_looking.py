"""Listings, and what other tools leave in a container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Kind,
    Listing,
)
from syncer.errors import StoreError
from syncer.testing.scans import changed_directories
from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.swift.fixtures import MakeSwift
from tests.swift.server import Swift


def seen(listing: Listing) -> dict[str, Kind | BlockReason]:
    return {n: e.kind if isinstance(e, Entry) else e.trouble for n, e in listing.entries.items()}


@pytest.fixture
def paged(make_swift: MakeSwift, tmp_path: Path) -> Iterator[tuple[Swift, SwiftRig]]:
    """A Swift that shows four names at a time."""
    server = make_swift(limits={"container_listing_limit": 4})
    built = SwiftRig(tmp_path, tempauth_door(server), "c")
    yield server, built
    built.close()


def test_directories_are_cut_from_many_pages(paged: tuple[Swift, SwiftRig]) -> None:
    _, rig = paged
    tree = ["a", "a b/x", "a.txt", "b/1", "b/2/y", "b/2/z", "b/3", "b.txt", "b0", "é/ü/ö"]
    for path in tree:
        rig.write(path, path.encode())
    rig.mkdir("empty")
    assert seen(rig.store.list("")) == {
        "a": Kind.FILE, "a b": Kind.DIRECTORY, "a.txt": Kind.FILE, "b": Kind.DIRECTORY, "b.txt": Kind.FILE,
        "b0": Kind.FILE, "empty": Kind.DIRECTORY, "é": Kind.DIRECTORY,
    }  # fmt: skip
    below = {d: sorted(rig.store.list(d).entries) for d in ("a b", "b", "b/2", "empty", "é", "é/ü")}
    assert below == {
        "a b": ["x"],
        "b": ["1", "2", "3"],
        "b/2": ["y", "z"],
        "empty": [],
        "é": ["ü"],
        "é/ü": ["ö"],
    }
    alone = {d: seen(rig.opened().list(d)) for d in ("b", "b/2", "empty")}
    assert alone == {d: seen(rig.opened().list(d)) for d in alone} and set(alone["b"]) == {"1", "2", "3"}


def test_a_run_with_nothing_to_do_asks_for_pages_only(paged: tuple[Swift, SwiftRig]) -> None:
    server, rig = paged
    for n in range(6):
        rig.make(f"d{n}")
        rig.put_all([rig.item(f"d{n}/f{m}", b"x" * m) for m in range(5)])
    known = [(p, rig.store.list(p).fingerprint) for p in ("", *(f"d{n}" for n in range(6)))]
    again = rig.opened(cache=rig.base / "cache")
    server.clear()
    assert changed_directories(again, known) == []
    asked = server.requests()
    objects = 6 * 5 + 6 + 1  # files, markers, the root's identity
    assert {a.kind for a in asked} <= {"container", "other"} and len(asked) <= -(-objects // 4) + 3
    server.clear()
    rig.write("d3/f1", b"changed")
    with again.scan(known) as scan:
        assert list(scan.changed()) == ["d3"]
        assert [(a.method, a.path) for a in server.requests(kind="object", method="HEAD")] == [
            ("HEAD", f"c/{rig.place.name('d3/f1')}")
        ]
        server.clear()
        assert len(scan.list("d3").entries) == 5 and len(scan.list("d2").entries) == 5
        assert server.requests() == []


def test_the_trash_is_jumped_over(paged: tuple[Swift, SwiftRig]) -> None:
    server, rig = paged
    for n in range(20):
        rig.hands.put(f"{rig.place.private}trash/run/{n}", b"x")
    rig.write("f", b"x")
    server.clear()
    assert list(rig.store.list("").entries) == ["f"]
    assert len(server.requests(kind="container")) <= 4


def test_what_another_tool_changes_is_asked_about_once(swift: Swift, rig: SwiftRig) -> None:
    for n in range(5):
        rig.write(f"f{n}", b"x")
    rig.store.list("")
    swift.clear()
    rig.hands.ask("POST", rig.place.name("f2"), headers={"X-Object-Meta-Mtime": "5.5"})
    listing = rig.store.list("")
    assert len(swift.requests(method="HEAD", kind="object")) == 1
    entry = listing.entries["f2"]
    assert isinstance(entry, Entry) and entry.mtime_ns == 5_500_000_000


def test_markers_of_other_tools_are_directories(rig: SwiftRig) -> None:
    name = rig.place.name
    rig.hands.put(name("folder"), Content_Type="application/folder")
    rig.hands.put(name("text"), Content_Type="text/directory")
    rig.hands.put(name("slash/"), Content_Type="text/plain")
    rig.hands.put(name("both"), Content_Type="application/directory")
    rig.hands.put(name("both/"))
    rig.hands.put(name("both/f"), b"x")
    expected = dict.fromkeys(("folder", "text", "slash", "both"), Kind.DIRECTORY)
    assert seen(rig.store.list("")) == seen(rig.opened().list("")) == expected
    assert [seen(rig.store.list(d)) for d in ("slash", "both")] == [{}, {"f": Kind.FILE}]
    assert all(rig.entry(d).kind is Kind.DIRECTORY for d in expected)
    assert [type(o) for _, o in rig.store.remove_directories(["slash", "text"])] == [Done, Done]
    assert set(rig.store.list("").entries) == {"folder", "both"}


def test_an_object_beside_a_directory_of_its_name_is_an_obstacle(rig: SwiftRig) -> None:
    rig.write("a", b"file")
    rig.write("a/b", b"below")
    rig.write("z/a", b"file")
    for store in (rig.store, rig.opened()):
        found = store.list("")
        assert seen(found) == {"a": BlockReason.CLASH, "z": Kind.DIRECTORY} and found.fingerprint is None
    assert rig.read("a") == b"file" and rig.read("a/b") == b"below"


@pytest.mark.parametrize("whole", [True, False])
def test_names_that_are_no_paths_are_obstacles_where_they_begin(rig: SwiftRig, whole: bool) -> None:
    listing = f"{rig.hands.url}?format=json"
    for odd in ("d/%2E/x", "d/%2E%2E/y", "d//z", "/lead"):
        # HTTP libraries resolve dots themselves: such a name is sent through a prepared request.
        request = rig.hands.session.prepare_request(_put(f"{rig.hands.url}/x"))
        request.url = f"{rig.hands.url}/{_quoted(rig.place.prefix)}{odd}"
        assert rig.hands.session.send(request).status_code == 201
    assert len(rig.hands.session.get(listing).json()) >= 5
    rig.write("d/good", b"x")
    with rig.store.scan([]) as scan:
        assert seen(scan.list("")) == {"/": BlockReason.UNSAFE_NAME, "d": Kind.DIRECTORY}
        found = scan.list("d") if whole else rig.opened().list("d")
    assert seen(found)["good"] is Kind.FILE
    assert {n for n, e in found.entries.items() if isinstance(e, BlockedEntry)} >= {".", "..", "/"}
    assert found.fingerprint is None


def _put(url: str) -> object:
    import requests

    return requests.Request("PUT", url, data=b"odd")


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


def test_large_objects_and_links_of_other_tools_are_read_whole(rig: SwiftRig) -> None:
    name, container = rig.place.name, rig.place.container
    for n, data in enumerate((b"one-", b"two-", b"three")):
        rig.hands.put(name(f".syncer/segments/{n}"), data)
    parts = [{"path": f"{container}/{name('.syncer/segments/')}{n}"} for n in range(3)]
    rig.hands.ask("PUT", name("static"), query="multipart-manifest=put", data=json.dumps(parts))
    from urllib.parse import quote

    manifest = quote(f"{container}/{name('.syncer/segments/')}")
    rig.hands.put(name("dynamic"), X_Object_Manifest=manifest)
    rig.hands.put(name("plain"), b"plain")
    rig.hands.put(name("linked"), X_Symlink_Target=quote(f"{container}/{name('plain')}"))
    listing = rig.store.list("")
    whole = b"one-two-three"
    for path, content in (("static", whole), ("dynamic", whole), ("linked", b"plain")):
        entry = listing.entries[path]
        assert isinstance(entry, Entry) and (entry.kind, entry.size) == (Kind.FILE, len(content))
        assert b"".join(rig.store.open(path, entry).chunks()) == content
        assert entry.version == rig.entry(path).version
    again = rig.store.list("")
    assert listing.fingerprint == again.fingerprint


def test_a_dynamic_object_that_grows_is_seen_although_the_listing_shows_nothing(rig: SwiftRig) -> None:
    name = rig.place.name
    rig.hands.put(name(".syncer/parts/1"), b"one")
    from urllib.parse import quote

    rig.hands.put(name("d"), X_Object_Manifest=quote(f"{rig.place.container}/{name('.syncer/parts/')}"))
    before = rig.store.list("").fingerprint
    rig.hands.put(name(".syncer/parts/2"), b"two")
    after = rig.store.list("")
    entry = after.entries["d"]
    assert after.fingerprint != before and isinstance(entry, Entry) and entry.size == 6


def test_metadata_survives_an_amendment_and_a_manifest_too(rig: SwiftRig) -> None:
    from urllib.parse import quote

    from syncer.engine.interfaces import SetAttributesRequest

    name = rig.place.name
    rig.hands.put(name(".syncer/parts/1"), b"one")
    manifest = quote(f"{rig.place.container}/{name('.syncer/parts/')}")
    rig.hands.put(
        name("d"), X_Object_Manifest=manifest, X_Object_Meta_Colour="grün".encode(), X_Delete_At="4000000000"
    )
    item = SetAttributesRequest(path="d", expected=rig.entry("d"), mtime_ns=7 * 10**9, executable=True)
    assert [type(o) for _, o in rig.store.set_attributes([item])] == [Done]
    headers = rig.hands.ask("HEAD", name("d")).headers
    assert (
        headers["X-Object-Meta-Colour"].encode("latin-1").decode() == "grün"
        and headers["X-Delete-At"] == "4000000000"
    )
    assert headers["X-Object-Manifest"] == manifest and rig.read("d") == b"one"
    assert rig.entry("d").mtime_ns == 7 * 10**9


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "{}",
        "[1]",
        '[{"name": "pre fix/é/b"}]',
        '[{"subdir": "elsewhere"}]',
        '[{"name": "pre fix/é/b", "bytes": 1, "hash": "0", "last_modified": "soon", "content_type": ""}]',
    ],
)
def test_a_listing_that_is_none_is_no_empty_one(swift: Swift, rig: SwiftRig, body: str) -> None:
    rig.write("f", b"x")
    swift.rule("status", method="GET", kind="container", status=200, body=body or "<html>", times=None)
    with pytest.raises(StoreError):
        rig.store.list("")
    with pytest.raises(StoreError):
        changed_directories(rig.store, [("", b"x")])


def test_a_listing_that_goes_round_ends(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    page = rig.hands.ask("GET", query="format=json").text
    swift.rule("status", method="GET", kind="container", status=200, body=page, times=None)
    with pytest.raises(StoreError, match="out of order"):
        rig.store.list("")


def test_digests_of_foreign_objects_are_read_once(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"content")
    entry = rig.entry("f")
    swift.clear()
    first = [*rig.store.with_digests([("f", entry)])]
    assert isinstance(first[0], Entry) and first[0].digest == blake3(b"content").digest()
    assert len(swift.requests(method="GET", kind="object")) == 1
    listed = rig.store.list("").entries["f"]
    assert isinstance(listed, Entry) and listed.digest == first[0].digest


def test_a_container_that_is_gone_is_no_empty_root(rig: SwiftRig) -> None:
    rig.write("f", b"x")
    rig.store.list("")
    for name in rig.hands.names():
        rig.hands.ask("DELETE", name)
    rig.hands.ask("DELETE")
    assert rig.store.root() is None
    with pytest.raises(StoreError):
        rig.store.list("")
    with pytest.raises(StoreError):
        changed_directories(rig.store, [("", b"x")])
