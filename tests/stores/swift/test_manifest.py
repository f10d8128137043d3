"""Manifests as values: what Swift gives back is understood, and both compute the same ETag."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from syncer.stores.swift.objects import Stamp
from syncer.stores.swift.slo.manifest import Inline, Manifest, Manifests, Part, Segment, fits, parsed
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.large import Machine
from tests.swift.server import Swift

ETAG = "d41d8cd98f00b204e9800998ecf8427e"


@st.composite
def parts(draw: st.DrawFn) -> Part:
    if draw(st.booleans()):
        return Inline(data=draw(st.binary(min_size=1, max_size=40)))
    size = draw(st.integers(1, 1 << 40))
    start = draw(st.integers(0, size - 1))
    end = draw(st.integers(start + 1, size))
    path = draw(st.sampled_from(["c/a", "c_segments/é b/%2f?#/syncer/0", "c/a/b"]))
    return Segment(path=path, etag=ETAG, size=size, start=start, end=end)


@given(st.lists(parts(), max_size=8))
def test_what_is_put_is_what_is_read_back(found: list[Part]) -> None:
    manifest = Manifest(parts=tuple(found))
    again = parsed(manifest.encoded())
    assert again == manifest and again.size == sum(part.length for part in found)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[1]",
        b"[[]]",
        b'["data"]',
        b'[{"data": "!"}]',
        b'[{"path": "/c/a", "etag": null, "size_bytes": 3}]',
        b'[{"path": "/c/a", "etag": "d41d8cd98f00b204e9800998ecf8427e"}]',
        b'[{"path": "/c", "etag": "d41d8cd98f00b204e9800998ecf8427e", "size_bytes": 3}]',
        b'[{"path": "/c/a", "etag": "d41d8cd98f00b204e9800998ecf8427e", "size_bytes": 3, "range": "0-3"}]',
        b'[{"path": "/c/a", "etag": "d41d8cd98f00b204e9800998ecf8427e", "size_bytes": 3, "range": "2-1"}]',
        b'[{"path": "/c/a", "etag": "d41d8cd98f00b204e9800998ecf8427e", "size_bytes": 3, "range": "-1"}]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_not_taken_for_one(document: bytes) -> None:
    assert parsed(document) is None


def test_swift_agrees_on_the_etag_and_gives_back_what_was_put(swift: Swift, tmp_path: Path) -> None:
    machine = Machine(tempauth_door(swift), swift.fresh_name(), tmp_path)
    url, token = swift.log_in()
    hands = Hands(url, token, machine.place.container)
    hands.put("one é %", b"a" * 5000)
    hands.put("two", b"b" * 5000)
    container = machine.place.container
    sums = [hashlib.md5(letter * 5000).hexdigest() for letter in (b"a", b"b")]
    first = Segment.whole(f"{container}/one é %", etag=sums[0], size=5000)
    second = Segment(path=f"{container}/two", etag=sums[1], size=5000, start=10, end=20)
    manifest = Manifest(parts=(first, Inline(data=b"between"), second, first))
    answer = hands.ask("PUT", "large", query="multipart-manifest=put", data=manifest.encoded())
    assert answer.headers["Etag"].strip('"') == manifest.etag
    assert machine.manifest("large") == manifest
    assert fits(manifest, machine.entry("large").version)
    assert machine.get("large") == b"a" * 5000 + b"between" + b"b" * 10 + b"a" * 5000
    machine.close()


def test_what_is_remembered_may_be_lost_or_damaged(tmp_path: Path) -> None:
    manifests = Manifests(tmp_path / "kept")
    digest, other = blake3(b"1").digest(), blake3(b"2").digest()
    manifest = Manifest(parts=(Inline(data=b"x"),))
    assert manifests.get(digest) is None and manifests.get(None) is None
    manifests.keep(digest, manifest)
    assert manifests.get(digest) == manifest
    manifests.keep(other, manifest, instead=digest)
    assert manifests.get(digest) is None and manifests.get(other) == manifest
    [file] = (tmp_path / "kept").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-1])
    assert manifests.get(other) is None


def test_a_folder_that_cannot_be_written_costs_nothing_but_what_it_would_save(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    manifests = Manifests(tmp_path / "file")
    manifests.keep(bytes(32), Manifest(parts=()))
    assert manifests.get(bytes(32)) is None


def test_only_so_many_are_remembered(tmp_path: Path) -> None:
    manifests = Manifests(tmp_path, most=3)
    for n in range(120):
        manifests.keep(blake3(bytes([n])).digest(), Manifest(parts=(Inline(data=bytes([n])),)))
    assert len(list(tmp_path.iterdir())) < 103  # looked at with every hundredth


def test_a_manifest_fits_only_the_version_that_it_is_of() -> None:
    manifest = Manifest(parts=(Inline(data=b"x"),))
    assert fits(manifest, Stamp(1, manifest.etag).version)
    assert not fits(manifest, Stamp(1, ETAG).version) and not fits(None, Stamp(1, ETAG).version)
    assert json.loads(manifest.encoded()) == [{"data": "eA=="}]
