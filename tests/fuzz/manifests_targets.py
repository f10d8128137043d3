"""The manifest of a large object from outside, as a fuzzer sees it: it is understood, or it is None.

One that is understood is believed: its sizes add up, and it is put back as it came.
"""

from __future__ import annotations

from syncer.errors import PermanentError
from syncer.stores.swift.slo.companions import name_of, reference
from syncer.stores.swift.slo.manifest import Segment, parsed


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    try:
        found = parsed(data)
    except PermanentError:
        return  # too large
    if found is None:
        return
    assert 0 <= found.size < 1 << 63
    place = 0
    for part in found.parts:
        assert part.length >= 0
        if isinstance(part, Segment):
            assert type(part.size) is int and 0 <= part.start <= part.end <= part.size
            part.path.encode()  # it is asked for
        place += part.length
    assert place == found.size
    assert parsed(found.encoded()) == found
    name_of(reference(found), found.etag)


def seeds() -> tuple[bytes, ...]:
    """Sound manifests to begin with."""
    etag = b"ab" * 16
    return (
        b'[{"path":"/c/o","etag":"%b","size_bytes":5}]' % etag,
        b'[{"path":"/c/o","etag":"\\"%b\\"","size_bytes":50,"range":"3-7"},{"data":"YWJj"}]' % etag,
        b'[{"path":"c/o\\u00e9","etag":"%b","size_bytes":50,"range":null,"hash":"x"}]' % etag,
        b"[]",
    )
