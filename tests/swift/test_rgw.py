"""The real Ceph RGW of the tests answers as one does, and misbehaves as it is told: what tests lean on.

The facts about RGW that Syncer's code goes by are stated here, so that another release that has others shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.contract.swift_rig import Hands
from tests.swift.environment import ROOT
from tests.swift.rgw import Rgw


@pytest.fixture
def hands(rgw: Rgw) -> Iterator[Hands]:
    url, token = rgw.log_in()
    hands = Hands(url, token, rgw.fresh_name("facts"))
    hands.ask("PUT")
    yield hands
    hands.session.close()


def large(hands: Hands, name: str, pieces: list[bytes]) -> None:
    """A static large object."""
    rows = []
    for index, piece in enumerate(pieces):
        hands.put(f"parts/{name}/{index}", piece)
        row = {"path": f"/{hands.container}/parts/{name}/{index}", "size_bytes": len(piece)}
        rows.append({**row, "etag": hashlib.md5(piece).hexdigest()})
    hands.ask("PUT", name, query="multipart-manifest=put", data=json.dumps(rows))


def test_an_object_comes_back_as_it_was_put(hands: Hands) -> None:
    hands.put("a/é\n?#%20 .txt", b"abc", X_Object_Meta_Mtime="1.5")
    got = hands.ask("GET", "a/é\n?#%20 .txt")
    assert got.content == b"abc" and got.headers["X-Object-Meta-Mtime"] == "1.5"
    assert hands.names() == ["a/é\n?#%20 .txt"]


def test_a_large_body_goes_up_and_comes_down_whole(hands: Hands) -> None:
    data = os.urandom(3 << 20)
    hands.put("large", data)
    assert hands.ask("GET", "large").content == data
    assert (
        hands.ask("GET", "large", headers={"Range": "bytes=1000000-1999999"}).content
        == data[1_000_000:2_000_000]
    )


def test_the_storage_url_leads_through_the_rules(rgw: Rgw, hands: Hands) -> None:
    assert hands.url.startswith(rgw.url)
    rule = rgw.rule("status", method="GET", kind="object", status=503, path="*/x")
    hands.put("x", b"abc")
    assert hands.ask("GET", "x", fine=False).status_code == 503 and rule.hits() == 1
    assert hands.ask("GET", "x").content == b"abc"
    [asked] = rgw.requests(method="PUT", kind="object")
    assert asked.path == f"{hands.container}/x" and asked.received == 3 and asked.status == 201


def test_an_answer_breaks_off_where_it_is_told(rgw: Rgw, hands: Hands) -> None:
    hands.put("x", bytes(1 << 20))
    rgw.rule("cut", method="GET", bytes=1000)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        hands.ask("GET", "x")


def test_a_lost_answer_has_taken_effect(rgw: Rgw, hands: Hands) -> None:
    rgw.rule("lose-answer", method="PUT")
    with pytest.raises(requests.exceptions.ConnectionError):
        hands.put("x", b"abc")
    assert hands.ask("GET", "x").content == b"abc"


def test_a_token_dies_when_it_is_told(rgw: Rgw, hands: Hands) -> None:
    rgw.expire(hands.session.headers["X-Auth-Token"])
    assert hands.ask("GET", fine=False).status_code == 401


def test_it_ends_with_the_process_that_started_it() -> None:
    """Also where that is killed: no daemon of Ceph stays behind."""
    script = "from tests.swift.rgw import Rgw; r = Rgw(); print(r._process.pid, flush=True); input()"
    starter = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None and starter.stdin is not None
    launcher = int(starter.stdout.readline())
    family = [launcher, *_children(launcher)]
    assert len(family) == 4  # with monitor, object storage daemon and gateway
    watched = [os.pidfd_open(pid) for pid in family]
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    for pidfd in watched:
        ended, _, _ = select.select([pidfd], [], [], 30)
        assert ended
        os.close(pidfd)
    starter.stdin.close()
    starter.stdout.close()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# -- facts that Syncer goes by -----------------------------------------------------------------


def test_a_manifest_cannot_be_read_and_does_not_say_that_it_is_one(hands: Hands) -> None:
    large(hands, "big", [b"a" * 1000, b"b" * 1000])
    answer = hands.ask("GET", "big", query="multipart-manifest=get&format=raw")
    assert answer.status_code == 200 and answer.content == b""
    assert "X-Static-Large-Object" not in answer.headers
    head = hands.ask("HEAD", "big")
    assert head.headers["X-Static-Large-Object"] == "True"
    assert head.headers["Content-Length"] == "2000"


def test_a_large_object_is_listed_with_the_digest_of_nothing(hands: Hands) -> None:
    large(hands, "big", [b"a" * 1000, b"b" * 1000])
    hands.put("plain", b"x")
    rows = {row["name"]: row for row in hands.ask("GET", query="format=json").json()}
    assert rows["big"]["hash"] == hashlib.md5(b"").hexdigest() and 0 < rows["big"]["bytes"] < 2000
    assert "slo_etag" not in rows["big"]
    hands.ask("COPY", "big", headers={"Destination": f"{hands.container}/copy"})
    hands.ask("POST", "big", headers={"X-Object-Meta-A": "1"})
    rows = {row["name"]: row for row in hands.ask("GET", query="format=json").json()}
    assert rows["copy"]["hash"] == rows["big"]["hash"] == hashlib.md5(b"").hexdigest()
    assert rows["copy"]["bytes"] == rows["big"]["bytes"] == 0


def test_a_large_object_with_its_first_segment_missing_is_404_and_listed(hands: Hands) -> None:
    large(hands, "big", [b"a" * 1000, b"b" * 1000])
    hands.ask("DELETE", "parts/big/0")
    assert hands.ask("HEAD", "big", fine=False).status_code == 404
    assert hands.ask("GET", "big", fine=False).status_code == 404
    assert hands.ask("HEAD", "big", query="multipart-manifest=get").status_code == 200
    assert "big" in hands.names()
    assert hands.ask("HEAD", "never", query="multipart-manifest=get", fine=False).status_code == 404


def test_with_another_segment_missing_only_the_bytes_of_that_one_are_404(hands: Hands) -> None:
    """A GET of the whole stops there without an end, until the client gives up waiting."""
    large(hands, "big", [b"a" * 1000, b"b" * 1000])
    hands.ask("DELETE", "parts/big/1")
    assert hands.ask("HEAD", "big").headers["Content-Length"] == "2000"
    assert hands.ask("GET", "big", headers={"Range": "bytes=0-999"}).content == b"a" * 1000
    assert hands.ask("GET", "big", fine=False, headers={"Range": "bytes=1000-"}).status_code == 404


def test_a_composite_etag_never_matches(hands: Hands) -> None:
    large(hands, "big", [b"a" * 1000, b"b" * 1000])
    etag = hands.ask("HEAD", "big").headers["Etag"].strip('"')
    assert hands.ask("GET", "big", fine=False, headers={"If-Match": etag}).status_code == 412


def test_conditions_on_writes_are_not_heeded(hands: Hands) -> None:
    hands.put("x", b"1")
    assert hands.ask("PUT", "x", data=b"2", headers={"If-None-Match": "*"}).status_code == 201
    where = {"Destination": f"{hands.container}/y"}
    assert hands.ask("COPY", "x", headers={**where, "If-Match": "0" * 32}).status_code == 201
    refused = hands.ask("COPY", "x", fine=False, headers={**where, "Copy-If-Match": "0" * 32})
    assert refused.status_code == 412


def test_a_manifest_with_a_segment_missing_is_refused_as_not_found(hands: Hands) -> None:
    row = {"path": f"/{hands.container}/none", "etag": "0" * 32, "size_bytes": 5}
    answer = hands.ask("PUT", "big", fine=False, query="multipart-manifest=put", data=json.dumps([row]))
    assert answer.status_code == 404
