"""Answers that no honest server gives: refused, bounded, and never believed about content."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blake3 import blake3

from syncer.delta.rsync import Copy, Literal
from syncer.delta.rsync import encode as delta_of
from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Stale
from syncer.errors import ChangedUnderUs, PermanentError, StoreError, SyncerError, TransientError
from syncer.stores.peer.store import PeerStore
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.compression import compress, decompress
from syncer.wire.frames import Data, End, Frame, Head, decode, encode
from tests.contents import Held, noise
from tests.contract.doubles import BytesSource, SteppingClock

MIB = 1 << 20
HELLO = {"server": "x", "capabilities": {}, "limits": {"items": 100, "body": 1}}


@dataclass
class Scripted:
    """A session whose answers a test writes: by call, a body, or what makes one of the request's body."""

    answers: dict[str, Any]
    clock: SteppingClock = field(default_factory=SteppingClock)
    base_url: str = "http://scripted/"
    calls: list[tuple[str, bytes]] = field(default_factory=list)

    def request(self, method: str, path: str, *, body: Any, **options: Any) -> Any:
        call = path.removeprefix("syncer/1/").partition("?")[0]
        sent = b"".join(body.open())
        self.calls.append((call, sent))
        answer = self.answers[call]
        if isinstance(answer, list):
            answer = answer.pop(0)
        status, data = 200, answer(sent) if callable(answer) else answer
        if isinstance(data, tuple):
            status, data = data
        if isinstance(data, SyncerError):
            raise data
        packed = isinstance(data, bytearray)
        headers = {"Transfer-Encoding": "chunked", **({"Content-Encoding": "zstd"} if packed else {})}
        return SimpleNamespace(
            status_code=status, headers=headers, close=lambda: None,
            raw=SimpleNamespace(stream=lambda size, decode_content: iter([bytes(data)])),
        )  # fmt: skip

    def close(self) -> None:
        return


def store(cache: Path, **answers: Any) -> tuple[PeerStore, Scripted]:
    given = {name.replace("_", "-"): answer for name, answer in answers.items()}
    scripted = Scripted({"hello": said(HELLO), **given})
    return PeerStore(scripted, "root", cache=cache), scripted  # type: ignore[arg-type]


def said(value: Json) -> bytes:
    return json.dumps(value).encode()


def lines(*found: Json, end: bool = True) -> bytes:
    return b"".join(said(line) + b"\n" for line in [*found, *(["end"] if end else [])])


def framed(*frames: Frame) -> bytes:
    return b"".join(encode(frames))


def entry(data: bytes, version: bytes = b"v1") -> Entry:
    return Entry(kind=Kind.FILE, size=len(data), version=version)


def content(
    data: bytes, *, digest: bytes | None = None, encoding: str = "whole", index: int = 0
) -> list[Frame]:
    told = schema.entry_out(entry(data))
    right = (digest or blake3(data).digest()).hex()
    head = Head({"index": index, "size": len(data), "encoding": encoding})
    return [head, *([Data(data)] if data else []), End({"digest": right, "entry": told})]


def item(data: bytes, expected: Entry | None = None, path: str = "f") -> WriteRequest:
    return WriteRequest(
        path=path, kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=expected
    )


def outcome(result: Done | Stale | Failed, at: int = 0) -> Json:
    return [at, schema.outcome_out(result)]


def test_another_content_than_announced_is_held_back(tmp_path: Path) -> None:
    data = noise(1, 3 * MIB)
    peer, _ = store(tmp_path, fetch=framed(*content(data, digest=b"x" * 32)))
    got: list[bytes] = []
    with pytest.raises(ChangedUnderUs):
        got.extend(peer.open("f", entry(data)).chunks())
    assert sum(map(len, got)) < len(data)


def test_a_content_that_is_not_the_one_planned_on_is_held_back(tmp_path: Path) -> None:
    planned = Entry(kind=Kind.FILE, size=3, version=b"v1", digest=blake3(b"old").digest())
    peer, _ = store(tmp_path, fetch=framed(*content(b"new")))
    with pytest.raises(ChangedUnderUs):
        list(peer.open("f", planned).chunks())


@dataclass(frozen=True, slots=True)
class Basis(Held):
    """What the reader has."""

    start: int = 0
    digest: bytes | None = None


def wrong_delta(new: bytes) -> bytes:
    """A delta that makes something else of the basis, under the right digest."""
    body = b"".join(delta_of([Copy(0, len(new) - 5), Literal(b"wrong")]))
    told = schema.entry_out(entry(new))
    end = End({"digest": blake3(new).digest().hex(), "entry": told})
    return framed(Head({"index": 0, "size": len(new), "encoding": "delta"}), Data(body), end)


def test_a_delta_that_came_out_wrong_is_thrown_away_and_the_next_try_is_whole(tmp_path: Path) -> None:
    old = noise(1, 200_000)
    new = old[:-5] + b"right"
    peer, scripted = store(tmp_path, delta=wrong_delta(new), fetch=framed(*content(new)))
    with pytest.raises(PermanentError, match="thrown away"):
        list(peer.open("f", entry(new)).chunks(Basis(old)))
    again, _ = store(tmp_path, fetch=framed(*content(new)))
    assert b"".join(again.open("f", entry(new)).chunks(Basis(old))) == new
    assert [call for call, _ in scripted.calls] == ["delta"] and not list(
        (tmp_path / "wrong-deltas").iterdir()
    )


@pytest.mark.parametrize(
    "delta", [b"", b"rs\x026", b"rs\x026\x41\xff", b"junk", b"".join(delta_of([Copy(0, 1 << 60)]))]
)
def test_a_delta_that_is_none_is_given_up_for_the_whole(tmp_path: Path, delta: bytes) -> None:
    old, new = noise(1, 100_000), noise(2, 100_000)
    head = Head({"index": 0, "size": len(new), "encoding": "delta"})
    end = End({"digest": blake3(new).digest().hex(), "entry": schema.entry_out(entry(new))})
    sent = framed(head, *([Data(delta)] if delta else []), end)
    peer, _ = store(tmp_path, delta=sent, fetch=framed(*content(new)))
    source = peer.open("f", entry(new))
    assert b"".join(source.chunks(Basis(old))) == new
    assert source.traffic is not None and source.traffic.method is Method.WHOLE


def test_a_refused_delta_is_repaired_by_the_whole_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = noise(1, 200_000), noise(1, 200_000)[:-1] + b"!"
    from syncer.delta.rsync import SignatureParams, signature
    from syncer.errors import BadDelta

    sums = b"".join(signature([old], SignatureParams.for_wire(len(old))))
    done = Done(entry=entry(new, b"v2"), method=Method.WHOLE)
    answers = [lines(), lines(outcome(Failed(error=BadDelta("wrong digest")))), lines(outcome(done))]
    peer, scripted = store(
        tmp_path, put=answers, signature=framed(Head({"size": len(sums)}), Data(sums), End({})),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        [(_, result)] = peer.put([item(new, expected=entry(old))])
    assert isinstance(result, Done) and (result.method, result.sent) == (Method.WHOLE, len(new))
    assert peer.repaired == 1 and "sent whole" in caplog.text
    (_, whole) = scripted.calls[-1]
    assert b"".join(f.payload for f in decode([whole]) if isinstance(f, Data)) == new


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"nonsense\n", lines([5, ["done", None, "whole"]]), lines(["x"]), lines([0, ["what"]]),
        lines([0, ["done", None, "flying"]]), lines({"a": 1}), b"[" * 100_000 + b"\n", b"\xff\xfe\n",
    ],
)  # fmt: skip
def test_outcomes_that_are_none_end_in_an_error_or_a_failure(tmp_path: Path, answer: bytes) -> None:
    peer, _ = store(tmp_path, put=[lines(), *[answer] * 9], look=lines(None), digests=lines())
    try:
        [(_, result)] = peer.put([item(b"content")])
    except StoreError:
        return
    assert isinstance(result, Failed)


@pytest.mark.parametrize("call", ["list", "tree"])
@pytest.mark.parametrize(
    "line",
    [["", 5], ["", [None, {"f": None}, []]], [5, [None, {}, []]], ["", [None, {"f": [1]}, []]], "x", [""],
     ["", {"error": 5}], ["../..", [None, {}, []]]],
)  # fmt: skip
def test_a_listing_that_is_none_is_no_listing(tmp_path: Path, call: str, line: Json) -> None:
    peer, _ = store(tmp_path, list=lines(line), tree=lines(line))
    with pytest.raises(StoreError):
        peer.list("") if call == "list" else peer.scan([]).list("")


def test_a_listing_that_breaks_off_is_no_listing(tmp_path: Path) -> None:
    half = lines(["other", [None, {}, []]], end=False)
    peer, _ = store(tmp_path, list=half, tree=half)
    with pytest.raises(TransientError):
        peer.list("wanted")
    with pytest.raises(TransientError):
        peer.scan([]).list("wanted")


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"content": 5}', b'{"content": "zz"}', b'{"content": "0000"}', b'{"error": 1}'],
)
def test_a_small_file_is_no_larger_than_asked_for_and_of_bytes(tmp_path: Path, answer: bytes) -> None:
    peer, _ = store(tmp_path, read_small=answer)
    with pytest.raises(StoreError):
        peer.read_file("f", 1)


def test_what_is_packed_a_thousandfold_is_not_all_held(tmp_path: Path) -> None:
    bomb = b"".join(compress([bytes(MIB)] * 64))
    assert len(bomb) < 64_000
    assert max(len(piece) for piece in decompress([bomb])) <= MIB
    with pytest.raises(PermanentError):
        list(decompress([b"\x28\xb5\x2f\xfd" + b"junk" * 9]))
    peer, _ = store(tmp_path, quota=bytearray(bomb))
    with pytest.raises(PermanentError):
        peer.quota()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentError),
        (404, PermanentError),
        (413, PermanentError),
        (500, TransientError),
        (503, TransientError),
    ],
)
def test_a_status_is_an_error_of_its_kind(tmp_path: Path, status: int, kind: type[StoreError]) -> None:
    peer, _ = store(tmp_path, quota=(status, b"<html>"))
    with pytest.raises(kind):
        peer.quota()


def test_a_source_that_changes_meanwhile_tells_the_server_so(tmp_path: Path) -> None:
    refused = lines(outcome(Failed(error=ChangedUnderUs("gone"))))
    peer, scripted = store(tmp_path, put=[lines(), refused])
    put = WriteRequest(
        path="f",
        kind=Kind.FILE,
        source=BytesSource(b"abcdef", error=ChangedUnderUs("it moved")),
        size=6,
        expected=None,
    )
    [(_, result)] = peer.put([put])
    assert isinstance(result, Failed) and result.error.message == "it moved"
    ends = [f for f in decode([scripted.calls[-1][1]]) if isinstance(f, End)]
    assert [sorted(end.fields) for end in ends] == [["error"]]


def test_names_that_are_no_paths_never_leave(tmp_path: Path) -> None:
    peer, scripted = store(tmp_path, put=[lines(), lines(outcome(Done(entry=entry(b"x"))))])
    results = dict(peer.put([item(b"x", path="../up"), item(b"x", path="fine"), item(b"x", path="")]))
    assert [type(results[i]) for i in range(3)] == [Failed, Done, Failed]
    assert b"../up" not in scripted.calls[-1][1]
