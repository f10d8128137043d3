"""Downloads that break off, lie or change: they go on where they stopped, and never end in a wrong file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
from blake3 import blake3
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncer.engine.model import BlockedEntry, Done, Entry, Method
from syncer.errors import ChangedUnderUs, NotFound, StoreError, TransientError, Unreadable
from tests.contract.smartfile_rig import SmartFileRig
from tests.doubles.faults import Altered, Answer, Cut, Fault, Meanwhile, Reset
from tests.doubles.smartfile.misbehaviour import garbled, refused, too_many_requests, wrong_checksum
from tests.stores.smartfile.bases import MEBIBYTE, Held

DATA = os.urandom(2 * MEBIBYTE + 77)
CONTENT = "/path/data/.*/f/"


def read(rig: SmartFileRig, basis: Held | None = None) -> bytes:
    return b"".join(rig.store.open("f", rig.entry("f")).chunks(basis))


def test_a_download_goes_on_where_it_broke_off(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, Cut(after=MEBIBYTE))
    rig.double.misbehave("GET", CONTENT, Cut(after=600_000), skip=1)
    source = rig.store.open("f", rig.entry("f"))
    assert b"".join(source.chunks()) == DATA
    asked = rig.double.asked("GET", CONTENT)
    assert len(asked) == 3 and asked[1].headers["range"].startswith("bytes=")
    assert sum(r.sent for r in asked) < 2 * len(DATA)
    assert source.traffic is not None
    assert (source.traffic.method, source.traffic.received) == (Method.WHOLE, len(DATA))


@dataclass(frozen=True)
class Tagged:
    """The proper answer with an ETag."""

    etag: bytes

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def tagging(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"etag", self.etag)]
            await send(message)

        await app(scope, receive, tagging)


@pytest.mark.parametrize(("etag", "asked"), [(b'"v1"', '"v1"'), (b'W/"v1"', None)])
def test_going_on_is_asked_for_the_same_content_only(
    rig: SmartFileRig, etag: bytes, asked: str | None
) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, Tagged(etag), times=None)
    rig.double.misbehave("GET", CONTENT, Cut(after=MEBIBYTE))
    assert read(rig) == DATA
    assert rig.double.asked("GET", CONTENT)[1].headers.get("if-match") == asked


def test_without_progress_it_ends_after_a_few_tries(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, Reset(), times=None)
    with pytest.raises(TransientError):
        read(rig)
    assert len(rig.double.asked("GET", CONTENT)) <= 8


def test_a_service_that_ignores_the_range_is_not_pieced_together(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, Cut(after=MEBIBYTE))
    rig.double.misbehave("GET", CONTENT, Answer(status=200, body=b"y" * 1000), skip=1, times=None)
    with pytest.raises(TransientError):
        read(rig)


def test_a_file_that_changed_while_the_connection_was_down_is_left(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    source = rig.store.open("f", rig.entry("f"))
    rig.double.misbehave("GET", CONTENT, Cut(after=MEBIBYTE))
    chunks = source.chunks()
    next(chunks)
    rig.write("f", DATA[::-1])
    with pytest.raises(ChangedUnderUs):
        list(chunks)


WRONG: dict[str, Fault] = {
    "a byte is another": garbled(1000),
    "it is too short": Altered(change=lambda body: body[:-1]),
    "it is too long": Altered(change=lambda body: body + b"x"),
    "it is a page of HTML": Answer(status=200, headers={"content-type": "text/html"}, body=b"<html>"),
}


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_bytes_are_never_all_handed_out(rig: SmartFileRig, wrong: str, noted: bool) -> None:
    if noted:
        assert isinstance(rig.put("f", DATA), Done)
    else:
        rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, WRONG[wrong], times=None)
    got: list[bytes] = []
    with pytest.raises((ChangedUnderUs, TransientError)):
        got.extend(rig.store.open("f", rig.entry("f")).chunks())
    assert sum(map(len, got)) < len(DATA)


def test_a_checksum_that_differs_is_heeded(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", "/task/", wrong_checksum(), skip=2)
    with pytest.raises(ChangedUnderUs):
        read(rig)


def test_a_service_without_checksums_is_believed(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("POST", "/oper/checksum/", refused(400, {"algorithm": ["no"]}), times=None)
    assert read(rig) == DATA


def test_content_with_our_note_needs_no_checksum(rig: SmartFileRig) -> None:
    assert isinstance(rig.put("f", DATA), Done)
    rig.double.forget()
    assert read(rig) == DATA
    assert rig.double.asked("POST", "/oper/checksum/") == []
    assert rig.entry("f").digest == blake3(DATA).digest()


@pytest.mark.parametrize("start", [1, MEBIBYTE, len(DATA) - 1, len(DATA)])
def test_what_is_here_already_is_not_fetched_again(rig: SmartFileRig, start: int) -> None:
    rig.write("f", DATA)
    source = rig.store.open("f", rig.entry("f"))
    assert b"".join(source.chunks(Held(DATA[:start], start=start))) == DATA[start:]
    assert source.entry.digest == blake3(DATA).digest()
    assert source.traffic is not None and source.traffic.received == len(DATA) - start


def test_a_beginning_that_is_another_is_noticed(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    beginning = Held(b"x" * MEBIBYTE, start=MEBIBYTE)
    got: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        got.extend(rig.store.open("f", rig.entry("f")).chunks(beginning))
    assert sum(map(len, got)) < len(DATA) - MEBIBYTE


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refused(403, {"detail": "not yours"}), Unreadable),
        (refused(415, {"detail": "a directory"}), ChangedUnderUs),
        (refused(404, {"detail": "gone"}), NotFound),
    ],
)
def test_a_refused_download_says_why(rig: SmartFileRig, fault: Fault, kind: type[StoreError]) -> None:
    rig.write("f", b"x")
    rig.double.misbehave("GET", CONTENT, fault, times=None)
    with pytest.raises(kind):
        read(rig)


def test_a_throttled_download_is_waited_for(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    rig.double.misbehave("GET", CONTENT, too_many_requests(4), times=2)
    assert read(rig) == DATA and rig.clock.slept.count(4.0) == 2


def test_a_file_that_calls_itself_json_is_given_as_bytes(rig: SmartFileRig) -> None:
    rig.double.write("/base/root/f", b'{"a": 1}', kind="application/json")
    assert read(rig) == b'{"a": 1}'
    assert rig.store.read_file("f", 100) == b'{"a": 1}'


def test_the_digest_of_what_cannot_be_read_is_an_obstacle(rig: SmartFileRig) -> None:
    for name in ("e", "f"):
        rig.write(name, b"x")
    wanted = [(name, rig.entry(name)) for name in ("e", "f")]
    rig.double.misbehave("GET", "/path/data/.*/e/", refused(403, {"detail": "not yours"}))
    first, second = rig.store.with_digests(wanted)
    assert isinstance(first, BlockedEntry)
    assert isinstance(second, Entry) and second.digest == blake3(b"x").digest()


def test_many_sources_are_opened_at_once_and_read_one_by_one(rig: SmartFileRig) -> None:
    for name in ("a", "b"):
        rig.write(name, name.encode())
    sources = rig.store.open_many([(name, rig.entry(name)) for name in ("a", "b")])
    assert [b"".join(s.chunks()) for s in sources] == [b"a", b"b"]


def test_nothing_is_asked_for_of_an_empty_file(rig: SmartFileRig) -> None:
    rig.write("f", b"")
    assert read(rig) == b"" and rig.double.asked("GET", CONTENT) == []


def test_right_content_of_a_file_that_is_another_by_now_is_not_handed_out_whole(rig: SmartFileRig) -> None:
    rig.write("f", DATA)
    expected = replace(rig.entry("f"), digest=blake3(DATA).digest())
    rig.double.misbehave("GET", CONTENT, Meanwhile(hand=lambda: rig.write("f", b"new"), after=True))
    got: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        got.extend(rig.store.open("f", expected).chunks())
    assert sum(map(len, got)) < len(DATA)
