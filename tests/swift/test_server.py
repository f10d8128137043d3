"""The real Swift misbehaves as it is told, and not otherwise: what the store's tests lean on."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.swift.environment import ROOT
from tests.swift.fixtures import MakeSwift
from tests.swift.server import Swift


@dataclass(frozen=True, slots=True)
class Hands:
    """Plain HTTP to one container of a Swift."""

    session: requests.Session
    container: str
    swift: Swift

    def ask(self, method: str, name: str = "", **more: object) -> requests.Response:
        path = f"{self.container}/{name}" if name else self.container
        return self.session.request(method, f"{self.swift.url}/v1/AUTH_test/{path}", **more)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        return [row["name"] for row in self.ask("GET", params={"format": "json"}).json()]


@pytest.fixture
def hands(swift: Swift) -> Iterator[Hands]:
    with requests.Session() as session:
        session.headers["X-Auth-Token"] = swift.log_in()[1]
        hands = Hands(session, swift.fresh_name(), swift)
        hands.ask("PUT").raise_for_status()
        yield hands


def until_broken(answer: requests.Response) -> int:
    """How many bytes came before the answer broke off."""
    got = 0
    try:
        for piece in answer.iter_content(1):
            got += len(piece)
    except requests.exceptions.ChunkedEncodingError:
        return got
    pytest.fail(f"all {got} bytes came")


def test_an_object_comes_back_as_it_was_put(hands: Hands) -> None:
    put = hands.ask("PUT", "a/é.txt", data=b"abc", headers={"X-Object-Meta-Mtime": "1.5"})
    assert put.status_code == 201
    got = hands.ask("GET", "a/é.txt")
    assert (got.content, got.headers["X-Object-Meta-Mtime"]) == (b"abc", "1.5")
    assert got.headers["Etag"] == hashlib.md5(b"abc").hexdigest()
    assert hands.names() == ["a/é.txt"]


def test_a_lost_answer_has_taken_effect(swift: Swift, hands: Hands) -> None:
    rule = swift.rule("lose-answer", method="PUT", path="*/o")
    with pytest.raises(requests.ConnectionError):
        hands.ask("PUT", "o", data=b"abc")
    assert hands.ask("GET", "o").content == b"abc"
    assert rule.hits() == 1


def test_a_dropped_request_and_a_cut_upload_have_none(swift: Swift, hands: Hands) -> None:
    swift.rule("drop", method="PUT", path="*/dropped")
    swift.rule("cut-upload", method="PUT", path="*/cut", bytes=100_000)
    for name in ("dropped", "cut"):
        with pytest.raises(requests.ConnectionError):
            hands.ask("PUT", name, data=b"x" * 1_000_000)
        assert hands.ask("HEAD", name).status_code == 404
    assert hands.names() == []


def test_a_rule_lets_the_first_ones_pass_and_hits_as_often_as_it_says(swift: Swift, hands: Hands) -> None:
    hands.ask("PUT", "o", data=b"abc")
    swift.rule("status", method="GET", kind="object", after=1, times=2, status=503, retry_after=7)
    answers = [hands.ask("GET", "o") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"


@pytest.mark.parametrize("status", [401, 404, 412, 429, 498, 503])
def test_a_status_comes_without_the_effect(swift: Swift, hands: Hands, status: int) -> None:
    swift.rule("status", method="PUT", status=status)
    assert hands.ask("PUT", "o", data=b"abc").status_code == status
    assert hands.ask("HEAD", "o").status_code == 404


def test_another_answer_comes_after_the_effect(swift: Swift, hands: Hands) -> None:
    swift.rule("answer", method="PUT", status=202, headers={"Etag": None})
    put = hands.ask("PUT", "o", data=b"abc")
    assert put.status_code == 202 and "Etag" not in put.headers
    assert hands.ask("GET", "o").content == b"abc"


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_cut_body_breaks_off_after_so_many_bytes(swift: Swift, hands: Hands, size: int) -> None:
    hands.ask("PUT", "o", data=b"x" * 200_000)
    swift.rule("cut", method="GET", path="*/o", bytes=size)
    with hands.ask("GET", "o", stream=True) as answer:
        assert answer.headers["Content-Length"] == "200000"
        assert until_broken(answer) == size
    assert len(hands.ask("GET", "o").content) == 200_000


def test_a_corrupt_body_differs_in_one_bit(swift: Swift, hands: Hands) -> None:
    hands.ask("PUT", "o", data=b"abc")
    swift.rule("corrupt", method="GET", at=2)
    assert hands.ask("GET", "o").content == b"abb"
    assert hands.ask("GET", "o").content == b"abc"


def test_listings_stand_still_until_told(swift: Swift, hands: Hands) -> None:
    hands.ask("PUT", "old", data=b"1")
    swift.lag(None)
    hands.ask("PUT", "new", data=b"1")
    hands.ask("PUT", "old", data=b"12345")
    listing = hands.ask("GET", params={"format": "json"}).json()
    assert [(row["name"], row["bytes"]) for row in listing] == [("old", 1)]
    assert hands.ask("GET", "new").content == b"1"
    assert swift.settle() == 2
    listing = hands.ask("GET", params={"format": "json"}).json()
    assert [(row["name"], row["bytes"]) for row in listing] == [("new", 1), ("old", 5)]
    hands.ask("DELETE", "old")
    assert hands.names() == ["new", "old"]


def test_listings_that_lag_catch_up_by_themselves(swift: Swift, hands: Hands) -> None:
    swift.lag(0.2)
    hands.ask("PUT", "o", data=b"1")
    assert hands.names() == []
    swift.rule("delay", method="GET", seconds=0.4)
    assert hands.names() == ["o"]


def test_a_dead_token_is_refused_and_a_new_one_works(swift: Swift, hands: Hands) -> None:
    swift.expire()
    refused = hands.ask("HEAD")
    assert refused.status_code == 401
    hands.session.headers["X-Auth-Token"] = swift.log_in()[1]
    assert hands.ask("HEAD").status_code == 204


def test_a_token_dies_in_the_middle_of_things(swift: Swift, hands: Hands) -> None:
    swift.rule("expire-token", method="PUT", after=1)
    assert [hands.ask("PUT", f"o{n}", data=b"x").status_code for n in range(3)] == [201, 401, 401]


def test_all_tokens_die_in_the_middle_of_things(swift: Swift, hands: Hands) -> None:
    swift.fresh_tokens()
    other = swift.log_in()[1]
    swift.rule("expire-tokens", method="PUT")
    assert hands.ask("PUT", "o", data=b"x").status_code == 401
    assert hands.ask("HEAD", headers={"X-Auth-Token": other}).status_code == 401


def test_a_rule_may_hit_now_and_then_and_spares_who_asks_for_it(swift: Swift, hands: Hands) -> None:
    swift.rule("status", method="PUT", status=503, every=[3, 1], after=1, times=4)
    spared = [hands.ask("PUT", "o", data=b"x", headers={"X-Spared": "1"}).status_code for _ in range(3)]
    assert spared == [201] * 3
    found = [hands.ask("PUT", "o", data=b"x").status_code for _ in range(9)]
    assert found == [201, 503, 201, 201, 503, 503, 201, 201, 503]


def test_fresh_tokens_leave_the_old_ones_alive(swift: Swift, hands: Hands) -> None:
    swift.fresh_tokens()
    assert swift.log_in()[1] != hands.session.headers["X-Auth-Token"]
    assert hands.ask("HEAD").status_code == 204


def test_a_held_request_waits_for_the_test(swift: Swift, hands: Hands) -> None:
    rule = swift.rule("hold", method="PUT", path="*/o")
    statuses: list[int] = []
    upload = threading.Thread(target=lambda: statuses.append(hands.ask("PUT", "o", data=b"x").status_code))
    upload.start()
    rule.hits(at_least=1)
    assert swift.requests(method="PUT", path=f"{hands.container}/o")[0].status == 0
    rule.release()
    upload.join()
    assert statuses == [201]


def test_a_held_answer_has_taken_effect(swift: Swift, hands: Hands) -> None:
    rule = swift.rule("hold-answer", method="PUT", path="*/o")
    statuses: list[int] = []
    upload = threading.Thread(target=lambda: statuses.append(hands.ask("PUT", "o", data=b"x").status_code))
    upload.start()
    rule.hits(at_least=1)
    with requests.Session() as other:
        token = {"X-Auth-Token": hands.session.headers["X-Auth-Token"]}
        url = f"{swift.url}/v1/AUTH_test/{hands.container}/o"
        while other.head(url, headers=token).status_code == 404:
            pass
    assert statuses == []
    rule.remove()
    upload.join()
    assert statuses == [201]


@pytest.mark.parametrize("do", ["delay", "delay-answer"])
def test_a_delay_is_no_shorter_than_it_says(swift: Swift, hands: Hands, do: str) -> None:
    swift.rule(do, method="PUT", seconds=0.1)
    assert hands.ask("PUT", "o", data=b"x").status_code == 201
    [asked] = swift.requests(method="PUT", kind="object")
    assert asked.seconds >= 0.1


def test_a_reset_lets_go_whom_a_rule_holds(swift: Swift, hands: Hands) -> None:
    rule = swift.rule("hold", method="PUT", path="*/o")
    upload = threading.Thread(target=lambda: hands.ask("PUT", "o", data=b"x"))
    upload.start()
    rule.hits(at_least=1)
    swift.reset()
    upload.join()
    assert hands.ask("GET", "o").content == b"x"


def test_what_was_asked_is_counted(swift: Swift, hands: Hands) -> None:
    swift.clear()
    hands.ask("PUT", "o", data=b"x" * 1000)
    hands.ask("GET", "o", headers={"Range": "bytes=0-99"})
    [put, got] = swift.requests()
    assert (put.method, put.kind, put.status, put.received) == ("PUT", "object", 201, 1000)
    assert (got.method, got.status, got.sent) == ("GET", 206, 100)


def test_settings_make_another_swift(make_swift: MakeSwift) -> None:
    swift = make_swift(token_life=9, limits={"container_listing_limit": 5}, without=("bulk",))
    offered = requests.get(f"{swift.url}/info", timeout=20).json()
    assert offered["swift"]["container_listing_limit"] == 5
    assert "slo" in offered and "bulk_delete" not in offered
    headers = {"X-Auth-User": swift.user, "X-Auth-Key": swift.key}
    life = requests.get(swift.auth_url, headers=headers, timeout=20).headers["X-Auth-Token-Expires"]
    assert 0 < int(life) <= 9


def test_totals_reach_the_account_when_told(swift: Swift, hands: Hands) -> None:
    hands.ask("PUT", "o", data=b"x" * 77)
    swift.update_totals()
    account = f"{swift.url}/v1/AUTH_test"
    assert int(hands.session.head(account).headers["X-Account-Bytes-Used"]) >= 77


def test_nonsense_is_refused_with_its_reason(swift: Swift) -> None:
    with pytest.raises(ValueError, match="no such deed: explode; one of status, answer"):
        swift.rule("explode")


def test_a_stopped_swift_leaves_no_process_and_no_data() -> None:
    swift = Swift()
    root, process = swift.root, swift._process
    assert (root / "proxy-server.conf").exists()
    swift.stop()
    assert process.returncode == 0
    assert not Path(root).exists()


def test_a_swift_ends_with_whoever_started_it() -> None:
    """SIGKILL runs no cleaning; a closed pipe tells the server."""
    script = (
        "from tests.swift.server import Swift; s = Swift()\n"
        "print(s.root, s._process.pid, flush=True); input()"
    )
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        root, _, pid = owner.stdout.readline().rpartition(" ")
        server = os.pidfd_open(int(pid))
        owner.kill()
    ended = select.poll()
    ended.register(server, select.POLLIN)
    assert ended.poll(20_000), "it lives on"
    os.close(server)
    assert not Path(root).exists()
