"""Every code of the vendor's reference, in each shape of an answer: which of Syncer's errors it is."""

from __future__ import annotations

import json

import pytest

from syncer.engine.model import Done, Failed
from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
)
from syncer.stores.orange import errors
from tests.contract.orange_rig import OrangeRig
from tests.doubles.faults import Answer

CASES: list[tuple[int, int, str, type[StoreError]]] = [
    *((400, code, "Invalid", PermanentError) for code in (20, 21, 22, 23, 25, 26, 27, 28)),
    (400, 24, "Invalid body field", Unholdable),
    (401, 40, "Missing credentials", AuthError),
    (401, 41, "Invalid credentials", AuthError),
    (401, 42, "Expired credentials", AuthError),
    (403, 50, "Access denied", PermanentError),
    (403, 51, "Requester forbidden", PermanentError),
    (403, 52, "User forbidden", PermanentError),
    (403, 53, "Too many requests", TransientError),
    (403, 0, "CGU_NOT_ACCEPTED", AuthError),
    (403, 0, "USER_NOT_ELIGIBLE", AuthError),
    (404, 60, "Resource not found", NotFound),
    (405, 61, "Method not allowed", PermanentError),
    (406, 62, "Not acceptable", PermanentError),
    (408, 63, "Request time-out", TransientError),
    (411, 64, "Length required", PermanentError),
    (412, 65, "Precondition failed", PreconditionFailed),
    (413, 66, "Request entity too large", Unholdable),
    (414, 67, "Request URI too long", Unholdable),
    (500, 1, "Internal error", TransientError),
    (500, 1, "SESSION_EXPIRED", TransientError),
    (500, 1, "TOO_BIG_FILE", Unholdable),
    (500, 1, "NO_SPACE_LEFT", QuotaExceeded),
    (501, 2, "Not implemented", PermanentError),
    (503, 5, "Temporarily unavailable", TransientError),
    (503, 6, "Over capacity", TransientError),
    (403, 800, "PDK_CW_0003-FORBIDDEN_ACCESS", PermanentError),
    (500, 800, "PDK_CW_0003-FORBIDDEN_ACCESS", PermanentError),
    (409, 800, "PDK_CW_0009-ALREADY_EXISTS", PreconditionFailed),
    (400, 800, "PDK_CW_0010-INVALID_NAME", Unholdable),
    (400, 800, "PDK_CW_0005-FILE_NOT_FOUND", NotFound),
    (500, 800, "PDK_CW_0099-SOMETHING", TransientError),
]


def bodies(code: int, words: str) -> list[bytes]:
    shapes: list[object] = [
        {"code": code, "message": words, "description": f"{words}, described"},
        {"error": {"code": code, "message": words, "description": ""}},
        {"error": {"code": str(code), "label": words, "details": "…"}},
    ]
    return [json.dumps(shape).encode() for shape in shapes]


@pytest.mark.parametrize(("status", "code", "words", "kind"), CASES)
def test_every_code_in_every_shape_is_one_kind_of_error(
    status: int, code: int, words: str, kind: type[StoreError]
) -> None:
    for body in bodies(code, words):
        found = errors.error(errors.read(status, body), "a/path", again="log in again", naming=True)
        assert type(found) is kind, (found, body)
        assert kind is AuthError or ("a/path" in found.message and words in found.message)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentError),
        (401, AuthError),
        (403, PermanentError),
        (404, PermanentError),
        (429, TransientError),
        (500, TransientError),
        (502, TransientError),
        (503, TransientError),
        (504, TransientError),
        (418, PermanentError),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>gateway</html>", b"[1]", b'{"error": 5}', b"[" * 100_000, b"\xff"]
)
def test_an_answer_without_json_is_judged_by_its_status(
    status: int, kind: type[StoreError], body: bytes
) -> None:
    found = errors.error(errors.read(status, body), "p", again="")
    assert type(found) is kind


def test_a_page_that_is_missing_is_not_a_file_that_is_gone(rig: OrangeRig) -> None:
    """Else a wrong api_url would look like an empty cloud."""
    rig.write("f", b"x")
    rig.double.misbehave("GET", "", Answer(status=404, body=b"<html>"), times=None)
    with pytest.raises(PermanentError) as found:
        rig.store.root()
    assert not isinstance(found.value, NotFound) and "api_url" in found.value.hint


def test_words_of_the_service_cannot_draw_on_the_terminal() -> None:
    read = errors.read(400, json.dumps({"code": 20, "message": "\x1b[31mred\nline"}).encode())
    assert "\x1b" not in read.words and "\n" not in read.words


def test_too_many_requests_is_waited_out_and_not_taken_for_no_permission(rig: OrangeRig) -> None:
    body = b'{"code": 53, "message": "Too many requests"}'
    rig.double.misbehave("POST", "", Answer(status=403, body=body), times=3)
    assert isinstance(rig.put("f", b"x"), Done)
    assert len(rig.clock.slept) >= 3 and rig.clock.slept == sorted(rig.clock.slept)
    assert rig.read("f") == b"x"


@pytest.mark.parametrize(("status", "code"), [(403, 53), (503, 5), (503, 6)])
def test_too_many_requests_for_too_long_is_a_trouble_of_the_moment(
    rig: OrangeRig, status: int, code: int
) -> None:
    body = json.dumps({"error": {"code": code, "message": "later"}}).encode()
    rig.double.misbehave("GET", "/files/", Answer(status=status, body=body), times=None)
    with pytest.raises(TransientError) as found:
        rig.store.stat("f")
    assert found.value.attempts == 5 and len(rig.clock.slept) == 4


def test_a_full_cloud_fails_the_file_and_leaves_nothing(rig: OrangeRig) -> None:
    rig.double.options.room = rig.double.drive.used() + 5
    outcome = rig.put("f", b"too much for it")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, QuotaExceeded)
    assert rig.store.free_space() == 5 and rig.store.list("").entries == {}


def test_a_file_too_big_for_the_service_is_unholdable(rig: OrangeRig) -> None:
    rig.double.options.largest = 5
    outcome = rig.put("f", b"too much for it")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable)


def test_a_name_the_service_would_change_is_refused_and_what_was_there_stays(rig: OrangeRig) -> None:
    rig.write("a:b", b"old")
    planned = rig.entry("a:b")
    rig.double.options.renamed = lambda name: name.replace(":", "_")
    for outcome in (
        rig.put("new:name", b"x"),
        rig.make("new:folder"),
        rig.put("a:b", b"y", expected=planned),
    ):
        assert isinstance(outcome, Failed) and isinstance(outcome.error, Unholdable), outcome
    assert b"old" in rig.double.files(rig.root).values()
    names = set(rig.store.list("").entries)
    assert names <= {"a:b", "a_b"} and rig.store.list("").leftovers == ()
