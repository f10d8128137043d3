"""Listings of rclone: what is read, what is an obstacle, and what spoils all of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.errors import ConfigError, PermanentError
from syncer.stores.rclone.backend import Replacement, parse_backend
from syncer.stores.rclone.items import parse_item, parse_listing, time_ns
from syncer.stores.rclone.location import parse_location


def document(name: str, directory: str = "d", **more: Any) -> dict[str, Any]:
    base = {"Name": name, "Path": f"{directory}/{name}", "Size": 1, "ModTime": "", "IsDir": False}
    return {**base, **more}


def test_a_file_is_read_whole() -> None:
    (item,) = parse_listing(
        [document("f", Size=7, ModTime="2024-05-06T07:08:09.123456789+02:00", Hashes={"MD5": "x"}, ID="i")],
        "d",
    )
    assert (item.name, item.size, item.ident, item.hashes) == ("f", 7, "i", {"md5": "x"})
    assert item.mtime_ns == 1_714_972_089_123_456_789


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2000-01-01T00:00:00.000000001Z", 946_684_800_000_000_001),
        ("2000-01-01T01:00:00+01:00", 946_684_800_000_000_000),
        ("2000-13-01T00:00:00Z", None),
        ("", None),
        ("now", None),
        (7, None),
    ],
)
def test_times_keep_their_nanoseconds(text: object, expected: int | None) -> None:
    assert time_ns(text) == expected


def test_what_must_be_left_alone_says_why() -> None:
    items = parse_listing(
        [
            document("twice"), document("twice"), document("google", Size=-1), document("bad\ufffdname"),
            document(".."), document("fine"), document("sub", IsDir=True, Size=-1), document("odd", Size="x"),
        ],
        "d",
    )  # fmt: skip
    assert [bool(item.problem) for item in items] == [True, True, True, True, True, False, False, True]


@pytest.mark.parametrize(
    "documents",
    [
        None, {}, "x", [None], [{}], [{"Name": "f"}], [{"Name": 1, "Path": 2}],
        [document("f", directory="other")], [document("f", Path="f")], [document("f", Path="d/../f")],
    ],
)  # fmt: skip
def test_an_item_outside_spoils_the_whole_listing(documents: object) -> None:
    with pytest.raises(PermanentError):
        parse_listing(documents, "d")


def test_a_look_at_one_path_is_about_that_path() -> None:
    assert parse_item(document("f"), "d/f").name == "f"
    with pytest.raises(PermanentError):
        parse_item(document("f"), "d/g")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries({"Name": json_values, "Path": json_values, "Size": json_values}) | json_values
    )
)
def test_any_json_is_items_or_an_error(documents: list[object]) -> None:
    try:
        parse_listing(documents, "")
    except PermanentError:
        pass


@given(json_values)
def test_any_features_are_read_or_refused(features: Any) -> None:
    try:
        backend = parse_backend({"Features": features, "Precision": 1, "Hashes": features})
    except PermanentError:
        return
    assert list(backend.lacks())


def test_a_backend_without_moves_and_buckets_is_unsafe_and_says_so() -> None:
    backend = parse_backend({"Features": {"Copy": True}, "Precision": 3153600000000000000, "Hashes": []})
    assert backend.replacement is Replacement.UNSAFE
    assert any("unsafe_replace" in lack for lack in backend.lacks())


@pytest.mark.parametrize(
    ("text", "remote", "path"),
    [
        ("rclone:drive:docs", "drive", "docs"),
        ("rclone:drive:", "drive", ""),
        ("rclone:my drive:/a//b/", "my drive", "/a/b"),
        ("rclone:s3:bucket/a:b", "s3", "bucket/a:b"),
    ],
)
def test_a_location_names_a_remote_and_a_folder(text: str, remote: str, path: str) -> None:
    found = parse_location(text)
    assert (found.remote, found.path) == (remote, path)
    assert parse_location(found.identity).fs == found.fs


@pytest.mark.parametrize(
    "text",
    [
        "rclone:x", "rclone:", "rclone::", "rclone::s3,secret_access_key=x:b", "rclone:s3,env_auth=true:b",
        "rclone:-x:b", "rclone:a\nb:c", "rclone:a:b\x00", "rclone:a:../b", "s3:a:b",
    ],
)  # fmt: skip
def test_what_is_no_location_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_location(text)
    assert caught.value.hint
