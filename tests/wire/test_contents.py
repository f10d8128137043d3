"""`ContentReader`: contents of one stream in order, and errors that stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncer.errors import NotFound, PermanentError, SyncerError, TransientError
from syncer.wire.bounded_json import Json
from syncer.wire.contents import DELTA, WHOLE, ContentReader, unframed
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import error_out

DIGEST = "00" * 32


def content(index: int, *pieces: bytes, **head: Json) -> list[Frame]:
    """The frames of one content."""
    fields: dict[str, Json] = {"index": index, "encoding": WHOLE, **head}
    return [Head(fields), *map(Data, pieces), End({"digest": DIGEST})]


def reader(*contents: list[Frame]) -> ContentReader:
    return ContentReader(iter([frame for frames in contents for frame in frames]))


def test_contents_are_read_in_order() -> None:
    stream = reader(content(0, b"a", b"b"), content(3, start=7))
    first = stream.next()
    assert first is not None and list(first.data()) == [b"a", b"b"] and first.digest == bytes(32)
    second = stream.next()
    assert second is not None and (second.index, second.start) == (3, 7) and list(second.data()) == []
    assert stream.next() is None


def test_next_skips_what_was_not_read() -> None:
    stream = reader(content(0, b"a", b"b"), content(1, b"c"))
    first = stream.next()
    assert first is not None
    data = first.data()
    assert next(data) == b"a"
    second = stream.next()
    assert second is not None and list(second.data()) == [b"c"]
    with pytest.raises(TransientError):
        next(data)


@pytest.mark.parametrize(
    "frames",
    [
        [Data(b"x")],
        [End({})],
        content(0) + content(0),
        content(1) + content(0),
        content(0, encoding="gzip"),
        content(0, encoding=DELTA, start=1),
        content(0, start=-1),
        content(0)[:-1] + content(1),
        content(0)[:-1],
        [Head({"encoding": WHOLE})],
    ],
)
def test_frames_out_of_order_are_refused_again_and_again(frames: list[Frame]) -> None:
    stream = reader(frames)
    for _ in range(2):
        with pytest.raises(PermanentError):
            list(iter(stream.next, None))


def test_an_error_of_the_stream_stays() -> None:
    def broken() -> Iterator[Frame]:
        yield from content(0, b"a")[:2]
        raise TransientError("the stream broke off")

    stream = ContentReader(broken())
    first = stream.next()
    assert first is not None
    with pytest.raises(TransientError):
        list(first.data())
    with pytest.raises(TransientError):
        stream.next()


def test_an_error_of_the_sender_ends_one_content_only() -> None:
    failed = [Head({"index": 0, "encoding": WHOLE}), End({"error": error_out(NotFound("gone"))})]
    stream = reader(failed, content(1, b"b"))
    first = stream.next()
    assert first is not None
    with pytest.raises(NotFound):
        list(first.data())
    second = stream.next()
    assert second is not None and list(second.data()) == [b"b"]


def test_what_follows_the_last_content_is_refused() -> None:
    stream = reader(content(0), content(1))
    first = stream.next()
    assert first is not None and list(first.data()) == []
    with pytest.raises(PermanentError):
        stream.expect_end()


@pytest.mark.parametrize("frames", [[], [Data(b"x")], [Head({}), End({})]])
def test_a_signature_without_its_end_is_refused(frames: list[Frame]) -> None:
    with pytest.raises(SyncerError):
        list(unframed(iter(frames)))
