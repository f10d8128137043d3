"""Every way in which a double can be told to misbehave, seen from a client; and the log of requests."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from typing import Literal

import pytest
import requests
from starlette.types import Receive, Scope, Send

from tests.doubles.asking import Asking
from tests.doubles.faults import Aborted, Altered, Answer, Cut, Delay, Fault, Held, Lost, Meanwhile, Reset
from tests.doubles.serving import Served
from tests.doubles.smartfile import SmartFileDouble, misbehaviour

LARGE = bytes(range(256)) * 4096  # 1 MiB: more than the buffers of two sockets on loopback take unread


def broken(call: Callable[[], object]) -> str:
    """The name of what a client meets when a connection breaks."""
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)) as caught:
        call()
    text = repr(caught.value)
    names = ("ConnectionResetError", "BrokenPipeError", "IncompleteRead", "RemoteDisconnected")
    return next((name for name in names if name in text), text)


def put(ask: Asking, content: bytes = LARGE) -> requests.Response:
    return ask("PUT", "api/3/path/data/a", data=content)


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        (misbehaviour.throttled(2.5), 503, ("X-Throttle", "throttled; next=2.5 sec")),
        (misbehaviour.throttled(0, after=5000), 503, ("X-Throttle", "throttled; next=0 sec")),
        (misbehaviour.too_many_requests(3), 429, ("Retry-After", "3")),
        (misbehaviour.too_many_requests(), 429, ("Retry-After", None)),
        (
            misbehaviour.too_many_requests(1, after=1, old_header=True),
            429,
            ("X-Throttle", "throttled; next=1 sec"),
        ),
    ],
)
def test_a_throttle_answers_so_many_times_and_the_upload_has_no_effect(
    double: SmartFileDouble, ask: Asking, fault: Fault, status: int, header: tuple[str, str | None]
) -> None:
    double.misbehave("PUT", "/path/data/", fault, times=2)
    for _ in range(2):
        answer = put(ask)
        assert answer.status_code == status and answer.headers.get(header[0]) == header[1]
        assert double.contents() == {}
    assert put(ask).status_code == 200 and double.read("/a") == LARGE


def test_a_throttle_in_the_middle_of_an_upload_comes_before_its_end(
    double: SmartFileDouble, ask: Asking
) -> None:
    double.misbehave("PUT", "/path/data/", misbehaviour.throttled(after=100_000))
    assert put(ask).status_code == 503
    assert 100_000 <= double.log[-1].received < len(LARGE)


def test_a_rule_waits_for_its_turn_and_its_path(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("GET", "/ping/", Answer(status=500), skip=1, times=2)
    assert ask("GET", "api/2/whoami/").status_code == 200
    assert [ask("GET", "api/2/ping/").status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    rule = double.misbehave("*", "", Answer(status=500), times=None)
    assert {ask("GET", "api/2/ping/").status_code for _ in range(5)} == {500} and rule.acted == 5
    double.behave()
    assert ask("GET", "api/2/ping/").status_code == 200


@pytest.mark.parametrize("after", [None, 0, 100_000])
def test_a_reset_before_the_effect_leaves_nothing(
    double: SmartFileDouble, ask: Asking, after: int | None
) -> None:
    double.misbehave("PUT", "", Reset(after=after))
    broken(lambda: put(ask))
    assert double.contents() == {} and double.log[-1].status is None


@pytest.mark.parametrize(("rst", "seen"), [(True, "ConnectionResetError"), (False, "RemoteDisconnected")])
def test_an_answer_is_lost_after_the_effect(
    double: SmartFileDouble, ask: Asking, rst: bool, seen: str
) -> None:
    double.write("/a", b"abcd")
    double.misbehave("POST", "/path/sync/patch/", Lost(rst=rst))
    delta = {"delta": bytes.fromhex("72730236 450004 025859 00")}
    assert broken(lambda: ask("POST", "api/2/path/sync/patch/a", files=delta)) == seen
    assert double.read("/a") == b"abcdXY"


def test_an_error_may_be_answered_after_the_effect(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("PUT", "", misbehaviour.refused(500, {"detail": "?"}, effect=True))
    answer = put(ask, b"1")
    assert answer.status_code == 500 and answer.json() == {"detail": "?"} and double.read("/a") == b"1"


def test_a_download_ends_short_of_its_length(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", LARGE)
    double.misbehave("GET", "/path/data/", Cut(after=100_000))
    with ask("GET", "api/2/path/data/a", stream=True) as answer:
        assert answer.headers["content-length"] == str(len(LARGE))
        assert answer.raw.read(100_000) == LARGE[:100_000]
        assert broken(lambda: answer.content) == "IncompleteRead"
    assert double.log[-1].sent == 100_000


def test_a_download_ends_by_reset(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", LARGE)
    double.misbehave("GET", "/path/data/", Cut(after=500_000, rst=True))
    assert broken(lambda: ask("GET", "api/2/path/data/a")) in ("ConnectionResetError", "IncompleteRead")


@pytest.mark.parametrize("keep", [False, True])
def test_an_upload_broken_off_leaves_nothing_or_a_part(
    double: SmartFileDouble, ask: Asking, keep: bool
) -> None:
    double.options.keep_partial = keep
    double.misbehave("PUT", "", Aborted(after=1000))
    broken(lambda: put(ask))
    assert double.contents() == ({"/a": LARGE[:1000]} if keep else {})
    double.write("/a", b"old")
    double.misbehave("POST", "", Aborted(after=1000))
    broken(lambda: ask.upload("/", "a", LARGE))
    if keep:
        assert 800 < len(double.read("/a")) < 1000 and LARGE.startswith(double.read("/a"))
    else:
        assert double.read("/a") == b"old"


@pytest.mark.parametrize("keep", [False, True])
def test_a_client_that_hangs_up_within_its_upload_leaves_nothing_or_a_part(
    double: SmartFileDouble, ask: Asking, keep: bool
) -> None:
    double.options.keep_partial = keep
    headers = dict(ask("GET", "api/2/ping/").request.headers) | {"Content-Length": "1000"}
    connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=20)
    connection.putrequest("PUT", "/api/3/path/data/a")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(b"x" * 10)
    double.wait_until(lambda log: log[-1].method == "PUT" and log[-1].received == 10)
    connection.close()
    double.rest()
    assert double.contents() == ({"/a": b"x" * 10} if keep else {})


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that is never asked."""


def test_another_client_acts_between_two_requests(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"old")
    double.misbehave("GET", "/path/data/", Meanwhile(hand=lambda: double.write("/a", b"new")))
    assert ask("GET", "api/2/path/data/a").content == b"new"
    double.misbehave("GET", "/path/data/", Meanwhile(hand=lambda: double.remove("/a"), after=True))
    assert ask("GET", "api/2/path/data/a").content == b"new"
    assert ask("GET", "api/2/path/data/a").status_code == 404


def test_another_client_may_be_one_over_http(double: SmartFileDouble, ask: Asking) -> None:
    auth = (double.key, double.password)

    def other() -> None:
        requests.put(f"{double.url}api/3/path/data/b", data=b"2", auth=auth, timeout=20).close()

    double.misbehave("PUT", "/data/a", Meanwhile(hand=other))
    assert put(ask, b"1").status_code == 200
    assert double.contents() == {"/a": b"1", "/b": b"2"}


def test_a_held_request_waits_while_others_are_served(double: SmartFileDouble, ask: Asking) -> None:
    go = threading.Event()
    double.misbehave("PUT", "", Held(until=go))
    waiting = threading.Thread(target=put, args=(ask, b"1"))
    with requests.Session() as session:
        waiting.start()
        other = Asking(double, session)
        assert other("GET", "api/2/ping/").status_code == 200 and double.contents() == {}
        go.set()
        waiting.join(20)
    assert double.read("/a") == b"1"


def test_a_delayed_request_outlasts_an_impatient_client(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("GET", "/ping/", Delay(seconds=30))
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{double.url}api/2/ping/", auth=(double.key, double.password), timeout=0.05)


def test_content_and_checksums_may_be_wrong(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"abc")
    double.options.task_states = ()
    double.misbehave("GET", "/path/data/", misbehaviour.garbled(1))
    double.misbehave("GET", "/path/data/", Altered(change=lambda body: body + b"more"), skip=1)
    assert ask("GET", "api/2/path/data/a").content == b"a\x9dc"
    assert ask("GET", "api/2/path/data/a").content == b"abcmore"
    layouts: tuple[Literal["nested", "flat"], ...] = ("nested", "flat")
    for layout in layouts:
        double.options.task_layout = layout
        double.misbehave("GET", "/task/", misbehaviour.wrong_checksum())
        answer = ask.poll(ask.start("checksum", path="/a", algorithm="MD5"))["result"]
        assert answer.get("result", answer)["checksums"] == {"/a": "0" * 32}


def test_an_error_may_stand_within_a_success(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("PUT", "", misbehaviour.midway())
    answer = put(ask, b"1")
    assert answer.status_code == 200 and answer.json()["status"] == 400 and double.contents() == {}


def test_the_quota_may_be_exceeded_at_once(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("PUT", "", misbehaviour.out_of_space(400))
    assert put(ask, b"1").status_code == 400 and double.contents() == {}


def test_setting_attributes_may_fail_once(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"1")
    double.misbehave("POST", "/path/info/", Answer(status=500))
    statuses = [ask("POST", "api/2/path/info/a", data={"attributes": "k=v"}).status_code for _ in range(2)]
    assert statuses == [500, 200] and double.attributes("/a") == {"k": "v"}


def test_faults_nest_in_the_order_they_were_added(double: SmartFileDouble, ask: Asking) -> None:
    double.misbehave("PUT", "", Meanwhile(hand=lambda: double.write("/b", b"2")))
    double.misbehave("PUT", "", Lost())
    broken(lambda: put(ask, b"1"))
    assert double.contents() == {"/a": b"1", "/b": b"2"}


def test_the_log_tells_what_went_over_the_wire(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"12345")
    ask("GET", "api//2/path/data/a?x=1", headers={"X-Own": "y"})
    put(ask, b"123")
    first, second = double.log
    assert (first.method, first.path, first.query, first.status) == ("GET", "/api/2/path/data/a", "x=1", 200)
    assert (first.received, first.sent, first.headers["x-own"]) == (0, 5, "y")
    assert (second.method, second.received, second.status) == ("PUT", 3, 200)
    assert double.asked("PUT", "/data/") == [second]
    double.forget()
    assert double.log == []


def test_a_mistake_in_an_app_is_raised_in_the_test() -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("a mistake")

    served = Served(wrong).start()
    assert requests.get(served.url, timeout=20).status_code == 500
    with pytest.raises(ExceptionGroup) as caught:
        served.stop()
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_a_stopped_server_refuses_connections(double: SmartFileDouble) -> None:
    with Served(_nothing) as served:
        socket.create_connection(("127.0.0.1", served.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port))
