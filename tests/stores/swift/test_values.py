"""Names, versions and metadata: the pure half of the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.engine.model import Entry, Kind
from syncer.errors import TransientError, Unholdable, Unreadable
from syncer.stores.swift import metadata, objects
from syncer.stores.swift.listing import DirectoryBuilder
from syncer.stores.swift.names import ContainerPath, checked, reachable
from syncer.stores.swift.objects import head_in

ETAG = "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize(
    ("path", "container", "prefix"),
    [("c", "c", ""), ("c/", "c", ""), ("c/a/b", "c", "a/b/"), ("/c/a/", "c", "a/"), ("", "default", "")],
)
def test_the_first_part_of_a_location_is_the_container(path: str, container: str, prefix: str) -> None:
    assert ContainerPath.of(path, default="default") == ContainerPath(container=container, prefix=prefix)


def test_names_are_percent_encoded_with_their_slashes_left() -> None:
    place = ContainerPath(container="c d", prefix="p/")
    assert place.url("p/ä?#%/+") == "c%20d/p/%C3%A4%3F%23%25/%2B"


@pytest.mark.parametrize(
    "path", ["", ".", "a/../b", "a//b", "\udcff", "x" * 256, ".syncer/x", "a/.syncer-tmp-1"]
)
def test_what_no_object_may_be_called_is_refused(path: str) -> None:
    with pytest.raises(Unholdable):
        checked(path)


def test_a_name_counts_with_its_prefix_in_bytes() -> None:
    path = "/".join(["é" * 100] * 5)
    assert checked(path, prefix="p" * 20) == path
    with pytest.raises(Unholdable):
        checked(path, prefix="p" * 21)


@pytest.mark.parametrize(("path", "told"), [("a/b", True), ("a/./b", False), ("..", False), ("a//b", False)])
def test_what_http_clients_would_resolve_is_not_asked_for(path: str, told: bool) -> None:
    assert reachable(path) is told


def test_a_listing_and_a_head_name_the_same_moment() -> None:
    ticks, step = objects.by_listing("2026-11-21T14:23:05.961300")
    assert (ticks, step) == (objects.by_timestamp("1795270985.96130"), 1)
    head = objects.Stamp(objects.by_timestamp("1795270985.96130"), ETAG)
    assert objects.Stamp(ticks, ETAG).version == head.version
    assert (objects.etag_in(head.version), objects.ticks_in(head.version)) == (ETAG, ticks)


def test_a_coarse_listing_agrees_with_every_moment_that_it_may_mean() -> None:
    ticks, step = objects.by_listing("2026-11-21T14:23:05.961Z")
    coarse = objects.Stamp(ticks, ETAG, step)
    assert step == 100 and coarse.may_be(objects.by_timestamp("1795270985.96130"), ETAG)
    assert not coarse.may_be(objects.by_timestamp("1795270985.96230"), ETAG)
    assert not coarse.may_be(objects.by_timestamp("1795270985.96130"), "0" * 32)


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("1767261600.12345", 176726160012345),
        ("1767261600.5", 176726160050000),
        ("1.00001_0000000000000001", 100001),
    ],
)
def test_timestamps_are_read_with_fewer_digits_and_with_offsets(text: str, ticks: int) -> None:
    assert objects.by_timestamp(text) == ticks


def test_etags_are_compared_without_quotes() -> None:
    assert objects.bare(f'"{ETAG}"') == objects.bare(f'W/"{ETAG.upper()}"') == ETAG


def test_other_etags_than_md5_make_versions_of_the_same_length() -> None:
    one, other = (objects.Stamp(1, etag).version for etag in ("abc-3", "abc-4"))
    assert len(one) == len(other) == len(objects.Stamp(1, ETAG).version) and one != other


@given(st.integers(min_value=-(1 << 62), max_value=1 << 62), st.booleans() | st.none())
def test_what_is_written_is_read_again(mtime_ns: int, executable: bool | None) -> None:
    meta = metadata.written(mtime_ns=mtime_ns, executable=executable, digest=b"d" * 32, etag=ETAG)
    back = metadata.meta_in({k.title(): v for k, v in metadata.headers_of(meta).items()})
    assert metadata.mtime_of(back) == mtime_ns and metadata.executable_of(back) is executable
    assert metadata.digest_of(back, ETAG) == b"d" * 32


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e400", "2026-01-01", "9" * 60])
def test_a_time_that_is_none_is_no_time(text: str) -> None:
    assert metadata.mtime_of({"mtime": text}) is None


@pytest.mark.parametrize("text", ["1767261600", "1767261600.25", "1767261600.250000000", "1.76726160025e9"])
def test_times_are_read_as_other_tools_write_them(text: str) -> None:
    assert metadata.mtime_of({"mtime": text}) in (1767261600 * 10**9, 1767261600_250_000_000)


def test_a_digest_counts_only_beside_its_etag() -> None:
    meta = metadata.written(mtime_ns=None, executable=None, digest=b"d" * 32, etag=ETAG)
    assert metadata.digest_of(meta, "0" * 32) is None
    assert metadata.digest_of({"syncer-digest": f"zz/{ETAG}"}, ETAG) is None
    assert metadata.digest_of({"syncer-digest": f"abcd/{ETAG}"}, ETAG) is None


@pytest.mark.parametrize(
    ("name", "size", "kind", "told"),
    [
        ("d", 0, "application/directory", True),
        ("d", 0, "text/directory; charset=x", True),
        ("d", 0, "application/folder", True),
        ("d/", 0, "text/plain", True),
        ("d", 1, "application/directory", False),
        ("d", 0, "application/octet-stream", False),
    ],
)
def test_markers_of_all_kinds_are_known(name: str, size: int, kind: str, told: bool) -> None:
    assert metadata.is_marker(name, size, kind) is told


def test_an_answer_without_a_time_is_no_answer() -> None:
    with pytest.raises(TransientError):
        head_in({"Content-Length": "1", "Etag": ETAG})
    assert (
        head_in({"Content-Length": "1", "Last-Modified": "Thu, 01 Jan 1970 00:00:01 GMT"}).stamp.ticks
        == 100_000
    )


def test_a_directory_without_end_is_given_up() -> None:
    """A service may say of every page that there is another one: all of it was held."""
    entry = Entry(kind=Kind.FILE, size=1, version=b"v" * 24)
    cutter = DirectoryBuilder()
    shown = (found for number in range(500_000) for found in cutter.add((f"d/e/{number:06}", entry)))
    with pytest.raises(Unreadable, match=r"d/e: the service lists more .* than can be held") as caught:
        list(shown)
    assert caught.value.path == "d/e" and "ignore" in caught.value.hint
    cutter = DirectoryBuilder()
    complete = [found for number in range(3000) for found in cutter.add((f"d{number:05}/{'x' * 200}", entry))]
    assert len(complete) == 2999, "those that are complete are held by nobody"
