"""One request: throttling, errors, redirects, time-outs, and what is never sent or said."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from requests.auth import HTTPBasicAuth

from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
)
from syncer.stores.http.bodies import Body, multipart
from syncer.stores.http.client import HttpSession, pieces
from tests.contract.doubles import SteppingClock
from tests.doubles.faults import Answer, Cut, Delay, Lost, Reset
from tests.doubles.smartfile import SmartFileDouble
from tests.doubles.smartfile.misbehaviour import refused, throttled, too_many_requests

PING = "api/2/ping/"


@pytest.fixture
def double() -> Iterator[SmartFileDouble]:
    with SmartFileDouble() as running:
        yield running


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def session(double: SmartFileDouble, clock: SteppingClock) -> Iterator[HttpSession]:
    opened = HttpSession(
        double.url, HTTPBasicAuth(double.key, double.password), clock=clock, timeouts=(5.0, 0.5)
    )
    yield opened
    opened.close()


def test_an_answer_is_read_whole(session: HttpSession) -> None:
    assert session.request("GET", PING).json() == {"ping": "pong"}


def test_the_old_form_of_throttling_is_waited_for(
    session: HttpSession, double: SmartFileDouble, clock: SteppingClock
) -> None:
    double.misbehave("GET", "/ping/", throttled(2.5), times=3)
    assert session.request("GET", PING).status_code == 200
    assert clock.slept == [2.5, 2.5, 2.5]


@pytest.mark.parametrize(("asked", "slept"), [(7, 7.0), (None, 1.0)])
def test_the_new_form_of_throttling_is_waited_for_with_a_cap(
    session: HttpSession, double: SmartFileDouble, clock: SteppingClock, asked: int | None, slept: float
) -> None:
    double.misbehave("POST", "/oper/mkdir/", too_many_requests(asked))
    session.request("POST", "api/2/path/oper/mkdir/", form=[("path", "/a")])
    assert clock.slept == [slept] and double.contents() == {"/a": None}


def test_a_pause_of_a_day_is_not_waited_for_but_named(
    session: HttpSession, double: SmartFileDouble, clock: SteppingClock
) -> None:
    double.misbehave("POST", "/oper/mkdir/", too_many_requests(86_400), times=None)
    with pytest.raises(TransientError, match=r"asks to wait 1d, until \d\d:\d\d"):
        session.request("POST", "api/2/path/oper/mkdir/", form=[("path", "/a")])
    assert clock.slept == [] and len(double.asked("POST", "/oper/mkdir/")) == 1


def test_a_service_that_throttles_for_ever_is_given_up(
    session: HttpSession, double: SmartFileDouble, clock: SteppingClock
) -> None:
    double.misbehave("GET", "/ping/", too_many_requests(3), times=None)
    with pytest.raises(TransientError) as found:
        session.request("GET", PING)
    assert found.value.retry_after == 3.0 and sum(clock.slept) < 100


def test_a_503_without_a_word_is_a_failure(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/ping/", Answer(status=503))
    with pytest.raises(TransientError):
        session.request("GET", PING)


def test_a_throttled_upload_is_opened_anew_and_arrives_whole(
    session: HttpSession, double: SmartFileDouble
) -> None:
    opened: list[int] = []

    def content() -> Iterator[bytes]:
        opened.append(1)
        yield from (b"x" * 1000 for _ in range(1000))

    double.mkdir("/d")
    double.misbehave("POST", "/path/data/", throttled(1.0))
    body = multipart("file", "f", Body(open=content, length=1_000_000))
    session.request("POST", "api/2/path/data/d/", body=body)
    assert len(opened) == 2 and double.read("/d/f") == b"x" * 1_000_000


def test_a_body_of_unknown_length_is_sent_in_chunks(session: HttpSession, double: SmartFileDouble) -> None:
    double.mkdir("/d")
    body = multipart("file", "f", Body(open=lambda: [b"", b"some", b"", b"thing"], length=None))
    session.request("POST", "api/2/path/data/d/", body=body)
    assert double.read("/d/f") == b"something"


ANSWERS: list[tuple[int, object, type[StoreError]]] = [
    (400, {"field_errors": {"path": ["Bad name."]}}, PermanentError),
    (400, {"src": ["No."]}, PermanentError),
    (400, ["a list"], PermanentError),
    (400, {"detail": "Disk quota exceeded."}, QuotaExceeded),
    (401, {"detail": "no"}, AuthError),
    (402, {"detail": "pay"}, QuotaExceeded),
    (404, {"detail": "not here"}, NotFound),
    (409, {"detail": "no directory"}, PreconditionFailed),
    (412, {}, PreconditionFailed),
    (415, {"detail": "a directory"}, PreconditionFailed),
    (500, {}, TransientError),
    (504, {}, TransientError),
    (507, {}, QuotaExceeded),
]


@pytest.mark.parametrize(("status", "body", "kind"), ANSWERS)
def test_a_status_becomes_an_error_of_the_tree(
    session: HttpSession, double: SmartFileDouble, status: int, body: object, kind: type[StoreError]
) -> None:
    double.misbehave("GET", "/path/info/", refused(status, body), times=2)
    with pytest.raises(StoreError) as found:
        session.request("GET", "api/2/path/info/x/", about="x")
    assert type(found.value) is kind


def test_the_words_of_a_refusal_are_told_without_control_characters(
    session: HttpSession, double: SmartFileDouble
) -> None:
    double.misbehave("GET", "/path/info/", refused(400, {"field_errors": {"path": ["Bad \x1b[31mname."]}}))
    with pytest.raises(PermanentError, match=r"Bad  \[31mname\."):
        session.request("GET", "api/2/path/info/x/", about="x")


def test_a_wrong_url_is_not_taken_for_a_path_that_is_gone(session: HttpSession) -> None:
    with pytest.raises(PermanentError) as found:
        session.request("GET", "elsewhere/")
    assert not isinstance(found.value, NotFound) and "url" in found.value.hint


def test_a_refused_path_is_told_from_a_refused_login(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/path/info/", refused(403, {"detail": "not yours"}))
    with pytest.raises(PermanentError, match="not yours"):
        session.request("GET", "api/2/path/info/x/")
    double.revoke()
    with pytest.raises(AuthError) as found:
        session.request("GET", "api/2/path/info/x/")
    assert "SMARTFILE_API_KEY" in found.value.hint


def test_statuses_that_are_expected_are_answers(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/ping/", refused(422, {"detail": "so"}))
    assert session.request("GET", PING, accept=(412, 422)).json() == {"detail": "so"}


def test_credentials_do_not_follow_to_another_host(session: HttpSession, double: SmartFileDouble) -> None:
    with SmartFileDouble() as other:
        double.misbehave("GET", "/ping/", Answer(status=302, headers={"Location": f"{other.url}{PING}"}))
        with pytest.raises(PermanentError, match="elsewhere"):
            session.request("GET", PING)
        assert other.log == []


def test_a_redirect_on_the_same_host_is_followed_by_reads_only(
    session: HttpSession, double: SmartFileDouble
) -> None:
    away = Answer(status=301, headers={"Location": f"/{PING}"})
    double.misbehave("GET", "/whoami/", away)
    assert session.request("GET", "api/2/whoami/").json() == {"ping": "pong"}
    double.misbehave("POST", "/oper/mkdir/", away)
    with pytest.raises(PermanentError):
        session.request("POST", "api/2/path/oper/mkdir/", form=[("path", "/a")])


def test_a_redirect_in_circles_ends(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/ping/", Answer(status=302, headers={"Location": f"/{PING}"}), times=None)
    with pytest.raises(PermanentError):
        session.request("GET", PING)


def test_a_broken_connection_is_tried_once_more_for_what_changes_nothing(
    session: HttpSession, double: SmartFileDouble
) -> None:
    double.misbehave("GET", "/ping/", Reset())
    assert session.request("GET", PING).status_code == 200
    double.misbehave("POST", "/oper/mkdir/", Lost())
    with pytest.raises(TransientError):
        session.request("POST", "api/2/path/oper/mkdir/", form=[("path", "/a")])
    assert len(double.asked("POST", "/oper/mkdir/")) == 1


def test_a_service_that_hangs_is_not_waited_for(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/ping/", Delay(seconds=1.5), times=None)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:\d+: timed out"):
        session.request("GET", PING)
    double.rest()


def test_an_answer_shorter_than_announced_is_noticed(session: HttpSession, double: SmartFileDouble) -> None:
    double.write("/f", b"x" * 10_000)
    double.misbehave("GET", "/path/data/", Cut(after=5000), times=None)
    response = session.request("GET", "api/2/path/data/f/", stream=True)
    with pytest.raises(TransientError):
        list(pieces(response))
    with pytest.raises(TransientError):
        session.request("GET", "api/2/path/data/f/")


def test_what_the_body_raises_comes_out_as_it_is(session: HttpSession, double: SmartFileDouble) -> None:
    double.mkdir("/d")

    def broken() -> Iterator[bytes]:
        yield b"x" * 10
        raise PreconditionFailed("it changed")

    body = multipart("file", "f", Body(open=broken, length=20))
    with pytest.raises(PreconditionFailed, match="it changed"):
        session.request("POST", "api/2/path/data/d/", body=body)
    double.rest()
    assert double.contents() == {"/d": None}


def test_nobody_there_is_an_error_that_may_pass(clock: SteppingClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    session = HttpSession(f"http://127.0.0.1:{port}", HTTPBasicAuth("key", "secret-of-ours"), clock=clock)
    with pytest.raises(TransientError) as found:
        session.request("GET", PING, params={"token": "secret-of-ours"})
    assert "secret-of-ours" not in str(found.value) + repr(session)


def test_no_cookie_is_kept(session: HttpSession, double: SmartFileDouble) -> None:
    double.misbehave("GET", "/ping/", Answer(status=200, headers={"Set-Cookie": "sessionid=1; Path=/"}))
    session.request("GET", PING)
    session.request("GET", PING)
    assert "cookie" not in double.log[-1].headers
