"""A proxy that misbehaves: refused tokens, pauses, lost answers, cut bodies, writes that were not stored."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest
from syncer.engine.model import BlockedEntry, BlockReason, Done, Failed, Stale
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
    Unreadable,
)
from syncer.stores.http.bodies import Body
from syncer.stores.retry import RetryingStore
from syncer.stores.swift.client import Call
from syncer.stores.swift.errors import refusal
from syncer.stores.swift.slo.layout import LayoutLimits
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.contract.swift_rig import SwiftRig, tempauth_door
from tests.swift.server import Rule, Swift

LARGE = os.urandom((8 << 20) + 12345)


class StreamingRig(SwiftRig):
    """Long files are single objects, as on a cluster without static large objects."""

    thresholds = LayoutLimits(worth=1 << 40)


@pytest.fixture
def rig(swift: Swift, tmp_path: Path) -> Iterator[SwiftRig]:
    built = StreamingRig(tmp_path, tempauth_door(swift), swift.fresh_name())
    yield built
    built.close()


def read(rig: SwiftRig, path: str) -> bytes:
    return b"".join(rig.store.open(path, rig.entry(path)).chunks())


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["held", "streamed"])
def test_a_token_that_dies_in_mid_run_is_renewed_and_the_upload_repeated(
    swift: Swift, rig: SwiftRig, data: bytes
) -> None:
    rule = swift.rule("expire-token", method="PUT", path="*/f")
    outcome = rig.put("f", data)
    if isinstance(outcome, Failed):  # the proxy may close the connection before it heard all of a long body
        assert isinstance(outcome.error, TransientError) and data is LARGE
        outcome = rig.put("f", data)
    assert isinstance(outcome, Done) and rule.hits() == 1 and read(rig, "f") == data


def test_a_token_that_dies_between_the_pieces_of_a_download_is_renewed(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", LARGE)
    rig.during_read(swift.expire)
    swift.rule("cut", method="GET", path="*/f", bytes=3 << 20)
    source = rig.store.open("f", rig.entry("f"))
    assert b"".join(source.chunks()) == LARGE
    assert swift.requests(method="GET", path=f"{rig.place.container}/{rig.place.name('f')}")[1].status == 401


def test_a_token_that_is_never_taken_ends_the_run(swift: Swift, rig: SwiftRig) -> None:
    swift.rule("status", kind="object", status=401, times=None)
    with pytest.raises(AuthError):
        rig.store.stat("f")
    with pytest.raises(AuthError):
        rig.put("f", b"x")


@pytest.mark.parametrize("status", [429, 498])
def test_a_put_off_write_is_sent_again_after_the_pause_that_was_asked_for(
    swift: Swift, rig: SwiftRig, status: int
) -> None:
    rule = swift.rule("status", method="PUT", path="*/f", status=status, retry_after=7, times=2)
    assert isinstance(rig.put("f", b"x"), Done)
    assert rule.hits() == 2 and rig.clock.slept.count(7.0) == 2


def test_a_pause_without_a_length_grows(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    swift.rule("status", method="HEAD", path="*/f", status=503, times=3)
    assert rig.entry("f").size == 1
    assert len(rig.clock.slept) == 3 and all(0 < pause <= 30 for pause in rig.clock.slept)


def test_a_service_that_never_answers_is_given_up(swift: Swift, rig: SwiftRig) -> None:
    swift.rule("status", kind="object", status=503, retry_after=2, times=None)
    with pytest.raises(TransientError) as caught:
        rig.store.stat("f")
    assert caught.value.retry_after == 2.0
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)


def test_a_write_that_was_not_stored_is_stale(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"theirs, newer")
    planned = rig.entry("f")
    swift.rule("status", method="PUT", path="*/f", status=202)
    assert isinstance(rig.put("f", b"ours", expected=planned), Stale)
    swift.rule("status", method="PUT", path="*/g", status=202)
    assert isinstance(rig.put("g", b"ours"), Stale)
    assert rig.read("f") == b"theirs, newer" and rig.store.stat("g") is None


def test_a_write_that_is_overwritten_at_once_is_stale_and_theirs_stays(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rule = swift.rule("hold-answer", method="PUT", path="*/f")
    outcome = _meanwhile(rig, rule, lambda: rig.put("f", b"ours", expected=planned), b"theirs")
    assert isinstance(outcome, Stale) and rig.read("f") == b"theirs" and rig.kept() == [b"old"]


def _meanwhile(rig: SwiftRig, rule: Rule, act: Callable[[], object], data: bytes) -> object:
    """Acts, and writes as somebody else once the rule holds the request."""
    results: list[object] = []
    worker = threading.Thread(target=lambda: results.append(act()))
    worker.start()
    rule.hits(at_least=1)
    rig.write("f", data)
    rule.release()
    worker.join()
    return results[0]


def test_a_lost_answer_to_a_put_is_found_to_have_taken_effect(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    swift.rule("lose-answer", method="PUT", path="*/f")
    swift.rule("lose-answer", method="PUT", path="*/new")
    store = RetryingStore(rig.store, sleep=rig.clock.sleep)
    items = [rig.item("f", b"new content", expected=planned), rig.item("new", b"fresh")]
    outcomes = in_order(store.put(items), 2)
    assert all(isinstance(o, Done) for o in outcomes), outcomes
    assert (rig.read("f"), rig.read("new"), rig.kept()) == (b"new content", b"fresh", [b"old"])


def test_a_lost_answer_to_a_delete_is_found_to_have_taken_effect(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    swift.rule("lose-answer", method="DELETE")
    store = RetryingStore(rig.store, sleep=rig.clock.sleep)
    assert in_order(store.delete([DeleteRequest(path="f", expected=rig.entry("f"))]), 1) == [Done()]
    assert rig.kept() == [b"old"]


@pytest.mark.parametrize("request_method", ["COPY", "DELETE"])
def test_a_lost_answer_to_a_rename_loses_nothing(swift: Swift, rig: SwiftRig, request_method: str) -> None:
    rig.write("f", b"x")
    swift.rule("lose-answer", method=request_method)
    in_order(rig.store.rename([RenameRequest(origin="f", path="g", expected=rig.entry("f"))]), 1)
    assert b"x" in [rig.read(p) for p in ("f", "g") if rig.store.stat(p)]
    swift.clear()


def test_a_put_that_dies_before_its_effect_leaves_the_old_content(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    swift.rule("drop", method="PUT", path="*/f")
    outcome = rig.put("f", b"new", expected=rig.entry("f"))
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert rig.read("f") == b"old"


def test_an_upload_that_is_cut_leaves_the_old_content(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"old")
    swift.rule("cut-upload", method="PUT", path="*/f", bytes=2 << 20)
    outcome = rig.put("f", LARGE, expected=rig.entry("f"))
    assert isinstance(outcome, Failed) and rig.read("f") == b"old"


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_large_source_that_breaks_off_publishes_nothing(rig: SwiftRig, old: bytes | None) -> None:
    planned = None
    if old is not None:
        rig.write("f", old)
        planned = rig.entry("f")
    source = BytesSource(LARGE, error=ChangedUnderUs("it changed"))
    outcome = rig.put("f", LARGE, expected=planned, source=source)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ChangedUnderUs)
    short = rig.put("f", LARGE, expected=planned, source=BytesSource(LARGE[:-1]))
    long = rig.put("f", LARGE, expected=planned, source=BytesSource(LARGE + b"!"))
    assert isinstance(short, Failed) and isinstance(long, Failed)
    assert (rig.read("f") if old else rig.store.stat("f")) == old


def test_a_large_file_is_put_with_its_digest_and_time(rig: SwiftRig) -> None:
    outcome = rig.put("f", LARGE, mtime_ns=5, executable=True)
    entry = rig.entry("f")
    assert isinstance(outcome, Done) and outcome.entry == entry and rig.read("f") == LARGE
    assert (entry.mtime_ns, entry.executable, entry.digest) == (5, True, BytesSource(LARGE).entry.digest)


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_large_file_that_arrives_in_another_shape_is_taken_back(
    swift: Swift, rig: SwiftRig, old: bytes | None
) -> None:
    planned = None
    if old is not None:
        rig.write("f", old)
        planned = rig.entry("f")
    rig.connection.changed = garbled
    outcome = rig.put("f", LARGE, expected=planned)
    rig.connection.changed = lambda call: call
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert (rig.read("f") if old else rig.store.stat("f")) == old


def garbled(call: Call) -> Call:
    """The body of an upload with one byte changed on its way."""
    body = call.body
    if not isinstance(body, Body):
        return call
    return replace(
        call, body=Body(open=lambda: (b"?" + piece[1:] for piece in body.open()), length=body.length)
    )


def test_a_small_file_that_arrives_in_another_shape_is_refused_by_swift(rig: SwiftRig) -> None:
    rig.connection.changed = lambda call: replace(call, body=b"?") if call.body == b"x" else call
    outcome = rig.put("f", b"x")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, TransientError)
    assert rig.store.stat("f") is None


@pytest.mark.parametrize("size", [0, 1, 2 << 20, (7 << 20) + 3])
def test_a_download_goes_on_where_it_broke_off(swift: Swift, rig: SwiftRig, size: int) -> None:
    rig.write("f", LARGE)
    entry = rig.entry("f")
    rule = swift.rule("cut", method="GET", path="*/f", bytes=size, times=2)
    swift.clear()
    source = rig.store.open("f", entry)
    assert b"".join(source.chunks()) == LARGE and rule.hits() == 2
    assert source.traffic is not None and source.traffic.received == len(LARGE)


def test_a_download_that_breaks_off_again_and_again_ends(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", LARGE)
    entry = rig.entry("f")
    swift.rule("cut", method="GET", path="*/f", bytes=0, times=None)
    with pytest.raises(TransientError):
        list(rig.store.open("f", entry).chunks())


@pytest.mark.parametrize("size", [3, len(LARGE)])
def test_of_a_corrupted_download_the_last_piece_is_held_back(swift: Swift, rig: SwiftRig, size: int) -> None:
    rig.write("f", LARGE[:size])
    entry = rig.entry("f")
    swift.rule("corrupt", method="GET", path="*/f", at=size - 1)
    got: list[bytes] = []
    with pytest.raises(TransientError):
        got.extend(rig.store.open("f", entry).chunks())
    assert sum(map(len, got)) < size
    assert b"".join(rig.store.open("f", entry).chunks()) == LARGE[:size]


def test_a_file_overwritten_while_a_broken_download_goes_on_is_not_mixed(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", LARGE)
    entry = rig.entry("f")
    swift.rule("cut", method="GET", path="*/f", bytes=4 << 20)
    rig.during_read(lambda: rig.write("f", LARGE[::-1]))
    with pytest.raises(ChangedUnderUs):
        list(rig.store.open("f", entry).chunks())


def test_a_full_container_is_told_from_a_broken_one(swift: Swift, rig: SwiftRig) -> None:
    rig.hands.ask("POST", headers={"X-Container-Meta-Quota-Bytes": "100"})
    swift.forget_info()
    outcome = rig.put("f", b"x" * 1000)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, QuotaExceeded)
    room = rig.opened().free_space()
    assert room is not None and 0 <= room <= 100


def test_a_file_that_no_object_can_hold_is_refused_before_it_is_sent(swift: Swift, rig: SwiftRig) -> None:
    swift.rule("status", path="/info", status=200, body='{"swift": {"max_file_size": 9000000}}', times=None)
    rig.store = rig.opened()  # one that has not asked yet
    swift.clear()
    big = BytesSource(LARGE + LARGE)
    outcome = rig.put("f", big.data, source=big)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)
    assert swift.requests(method="PUT", path="*/f") == []


def test_a_cluster_without_info_and_bulk_deletes_one_by_one(swift: Swift, rig: SwiftRig) -> None:
    swift.rule("status", path="/info", status=403, times=None)
    rig.store = rig.opened()  # one that has not asked yet
    items = []
    for n in range(12):
        rig.write(f"f{n}", b"x")
        items.append(DeleteRequest(path=f"f{n}", expected=rig.entry(f"f{n}")))
    assert in_order(rig.store.delete(items), 12) == [Done()] * 12
    assert len(swift.requests(method="DELETE", status=204)) == 12 and len(rig.kept()) == 12


@pytest.mark.parametrize(
    ("method", "status", "kind"),
    [
        ("GET", 403, Unreadable),
        ("PUT", 403, PermanentError),
        ("PUT", 409, PreconditionFailed),
        ("PUT", 413, QuotaExceeded),
        ("PUT", 414, Unholdable),
        ("PUT", 422, TransientError),
        ("PUT", 400, PermanentError),
        ("PUT", 507, TransientError),
        ("GET", 529, TransientError),
        ("GET", 301, PermanentError),
    ],
)
def test_every_status_has_its_error(method: str, status: int, kind: type[StoreError]) -> None:
    assert type(refusal(method, status, {}, "some/path")) is kind


def test_a_redirect_is_not_followed(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    elsewhere = {"Location": "http://127.0.0.1:9/elsewhere"}
    swift.rule("status", method="HEAD", path="*/f", status=302, headers=elsewhere)
    seen = rig.store.stat("f")
    assert isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.UNREADABLE
