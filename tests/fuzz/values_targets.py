"""JSON from outside, as a fuzzer sees it: what is no value of ours is a PermanentError, and nothing else.

The first byte chooses whose values the rest is taken for: an answer's, or one of a request to the server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

from syncer.errors import PermanentError
from syncer.server.extension import changes, long_poll, queries, uploads
from syncer.server.extension.context import DirectoryListCache
from syncer.server.extension.uploads import PutContents
from syncer.wire import bounded_json, schema, validation
from syncer.wire.bounded_json import Json, dumps
from syncer.wire.contents import FetchItem

_LISTS = DirectoryListCache(1 << 20)


def _again(read: Callable[[Json], Any], told: Callable[[Any], Json]) -> Callable[[Json], None]:
    """What was read can be said, and is then read as the same."""

    def check(value: Json) -> None:
        text = dumps(told(read(value)))
        assert dumps(told(read(json.loads(text)))) == text  # errors are not equal by what they say

    return check


def _entry(value: Json) -> None:
    entry = validation.checked_entry(schema.entry_in(value))
    assert 0 <= entry.size < 1 << 63


def _listing(value: Json) -> None:
    validation.checked_listing(schema.listing_in(value))


def _put(value: Json) -> None:
    call: Any = SimpleNamespace(key=SimpleNamespace(name="k"))
    item = uploads.write_request_in(call, PutContents(iter(())), 0, value)
    changes.path_error((item.path,))


def _call(value: Json) -> None:
    """Every kind of request that has items of its own."""
    call: Any = SimpleNamespace(json=lambda: value)
    for read in (
        FetchItem.from_json,
        lambda v: queries.digests(call) if isinstance(v, dict) else None,
        changes.mtime_in,
        changes.flag_in,
        lambda v: changes._objects(call) if isinstance(v, dict) else None,
    ):
        with suppress(PermanentError):
            read(value)


def _known(value: Json) -> None:
    name = blake2b(dumps(value), digest_size=32).digest()
    kept = list(_LISTS.keep("root", name, value))
    assert list(_LISTS.get("root", name) or ()) == kept


READERS: tuple[Callable[[Json], object], ...] = (
    _entry,
    _listing,
    _again(schema.seen_in, schema.seen_out),
    schema.error_in,
    _again(schema.outcome_in, schema.outcome_out),
    _again(schema.root_in, schema.root_out),
    _again(schema.capabilities_in, schema.capabilities_out),
    _put,
    _call,
    _known,
    schema.path_in,
    schema.octets,
)


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    if not data:
        return
    text = data[1:]
    with suppress(PermanentError):
        long_poll.feed_request_in(text)
    with suppress(PermanentError):
        schema.object_in(text)
    try:
        value = bounded_json.loads(text)
    except ValueError:
        return
    assert _size(value) <= bounded_json.weigh(text).size + 1000
    with suppress(PermanentError):
        READERS[data[0] % len(READERS)](value)


def _size(value: Json) -> int:
    """Bytes of a value with all in it; what is one object however often it is named is left out."""
    if isinstance(value, dict):
        inside = sum(sys.getsizeof(key) + _size(item) for key, item in value.items())
        return sys.getsizeof(value) + inside
    if isinstance(value, list):
        return sys.getsizeof(value) + sum(map(_size, value))
    return 0 if value is None or isinstance(value, bool) else sys.getsizeof(value)


def seeds() -> tuple[bytes, ...]:
    """Sound values to begin with, one for each reader."""
    entry: Json = [1, 5, "00ff", 1_700_000_000_000_000_000, True, "ab" * 32, None, True]
    error: Json = {"code": "transient", "message": "m", "hint": "h", "path": "p", "retry_after": 5}
    told: list[Json] = [
        entry,
        ["00", {"a": entry, "b\udc80": {"trouble": "busy", "message": "m"}}, ["a"], "m"],
        {"trouble": "unreadable", "message": "m"},
        error,
        ["done", entry, "delta"],
        {"marker": "m", "device": "d", "empty": False, "mounts": {"a/b": "x"}, "folder": "1"},
        {"symlinks": True, "max_name_bytes": 255, "forbidden": "x"},
        {"path": "a/b", "kind": 1, "size": 3, "expected": entry, "mtime_ns": 5, "executable": None,
         "target": "x", "token": "00" * 16},
        {"path": "a", "entry": entry, "start": 0, "have": "00" * 32, "items": [{"path": "a"}], "wait": 5},
        [["a/b", "00ff"], ["c", "01"]],
        "a/b/c",
        "00ff",
        ["failed", error],
    ]  # fmt: skip
    return tuple(bytes([number % len(READERS)]) + dumps(value) for number, value in enumerate(told))
