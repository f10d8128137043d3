"""What no honest client sends: it is refused with 400 and an error, never a 500, in bounded memory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import tracemalloc

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncer.server.extension import CHANGING, READING
from syncer.server.extension.request import MAX_BODY, MAX_ITEMS
from syncer.wire import BASE, schema
from syncer.wire import frames as wire
from syncer.wire.compression import LEVEL_WINDOW, decompress
from syncer.wire.frames import Data, End, Head
from tests.server.extension.speaking import listening, told, whole
from tests.server.extension.test_putting import quiet


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("hostile")
    for name in ("served", "state"):
        (base / name).mkdir()
    with listening(base / "served", base / "state") as found:
        yield found


@pytest.fixture
def folder(server):
    """Empty, whatever the test before left."""
    for path in server.served.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return server.served.folder


@pytest.fixture
def client(server, folder):
    return server


FRAMED = {"put", "delta"}
ASKED = sorted({**READING, **CHANGING}.keys() - FRAMED - {"hello", "quota", "root", "create-root"})
ENTRY = [1, 1, "00", 0, False, None, None, True]


@pytest.mark.parametrize("call", [*ASKED, "feed"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"items": 5}', b"{}"])
def test_a_body_that_is_no_question_is_refused(client, call, body):
    if call == "feed" and body in (b"{}", b'{"items": 5}'):
        return  # that is a question
    if call == "sweep" and body.startswith(b"{") and body != b"{":
        return  # and what is to be swept is not looked at
    refused = client.call(call, body)
    assert refused.status == 400
    assert refused.json["error"]["code"] == "refused"


BAD_PATHS = ["..", "a/../b", "/etc", "a//b", "./a", "a/.", "x\0y", 5, None, "x" * 70_000]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_none_is_refused_everywhere(client, folder, path):
    (folder / "a").mkdir()
    questions = {
        "list": {"paths": [path]},
        "tree": {"path": path},
        "look": {"paths": [path]},
        "digests": {"wanted": [[path, ENTRY]]},
        "read-small": {"path": path, "limit": 1},
        "fetch": {"wanted": [{"path": path, "entry": ENTRY}]},
        "signature": {"path": path, "entry": ENTRY},
        "partial": {"path": path, "token": "00" * 8},
        "delete": {"items": [{"path": path, "expected": ENTRY}]},
        "make-directories": {"items": [{"path": path}]},
        "remove-directories": {"items": [path]},
        "rename": {"items": [{"origin": "a", "path": path, "expected": ENTRY}]},
        "amend": {"items": [{"path": path, "expected": ENTRY}]},
    }
    for call, question in questions.items():
        assert client.call(call, question).status == 400, call
    put = wire.encode([Head({"items": [told(path, 1)]})])
    assert client.call("put", put).status == 400
    assert os.listdir(folder) == ["a"]


@pytest.mark.parametrize("path", ["\ud800", "x" * 300, "a/" * 2000 + "a", "a\\..\\b"])
def test_a_path_that_no_disk_takes_is_that_items_trouble(client, folder, path):
    [listed] = client.call("list", {"paths": [path]}).lines
    assert listed[1]["error"]["code"] == "unholdable"
    [made] = client.call("make-directories", {"items": [{"path": path}]}).outcomes
    assert made.error.code == "unholdable"
    [put] = client.call("put", wire.encode([Head({"items": [told(path, 1)]}), *whole(0, b"x")])).outcomes
    assert put.error.code == "unholdable"
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "target", ["..", "%2e%2e", "a%2f..%2f..", "%00", "a%00", "/etc", "%2fetc", "%c0%ae%c0%ae%2f"]
)
def test_a_root_outside_the_folder_is_refused(client, target):
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(
            f"POST /{BASE}list?root={target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            'Content-Length: 14\r\n\r\n{"paths":[""]}'.encode()
        )
        answer = connection.makefile("rb").read()
    assert answer.split()[1] in (b"400", b"403", b"409"), answer
    assert b"root:" not in answer


@pytest.mark.parametrize("query", ["?root=a&root=b", "?other=1", "?root=" + "a" * 20_000])
def test_a_query_that_is_not_one_root_is_refused(client, query):
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        head = (
            f"POST /{BASE}hello{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.makefile("rb").read().split()[1] in (b"400", b"409")


def frame(kind: bytes, length: int, payload: bytes = b"") -> bytes:
    return struct.pack(">cI", kind, length) + payload


HEAD = b"".join(wire.frame_parts(Head({"items": [told("f", 3)]})))
BEGUN = b"".join(wire.frame_parts(Head({"index": 0, "encoding": "whole", "start": 0})))


@pytest.mark.parametrize("call", sorted(FRAMED))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Z",
        frame(b"Z", 0),
        frame(b"Z", 0) + b"more",
        frame(b"D", 3, b"abc"),
        frame(b"E", 2, b"{}") + frame(b"Z", 0),
        frame(b"X", 0),
        frame(b"D", 1 << 31),
        frame(b"H", 1 << 31),
        frame(b"H", 2, b"[]"),
        frame(b"H", 2, b"{}"),
        frame(b"H", 100_000, b"[" * 100_000),
        frame(b"H", 13, b'{"items": {}}'),
        frame(b"H", 14, b'{"items": [5]}'),
    ],
)
def test_a_stream_that_begins_with_no_head_of_its_kind_is_refused(client, folder, call, body):
    refused = client.call(call, body)
    assert refused.status in (400, 503), refused  # 503: it may have been broken off
    assert "error" in refused.json
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "rest",
    [
        frame(b"H", 2, b"{}"),
        b"".join(wire.frame_parts(Head({"index": 7, "encoding": "whole"}))) + frame(b"Z", 0),
        b"".join(wire.frame_parts(Head({"index": 0, "encoding": "gzip"}))),
        b"".join(wire.frame_parts(Head({"index": -1, "encoding": "whole"}))),
        b"".join(wire.frame_parts(Head({"index": 0, "encoding": "delta", "start": 5}))),
        BEGUN + frame(b"D", 3, b"abc") + b"".join(wire.frame_parts(Head({"index": 1, "encoding": "whole"}))),
        BEGUN + frame(b"D", 3, b"abc") + frame(b"E", 2, b"{}") + frame(b"Z", 0),
        BEGUN + frame(b"D", 3, b"abc") + frame(b"E", 15, b'{"digest":"00"}') + frame(b"Z", 0),
        BEGUN + frame(b"D", 3, b"abc") + frame(b"E", 12, b'{"error":[]}') + frame(b"Z", 0),
        BEGUN + frame(b"D", 3, b"abc") + frame(b"E", 4, b"nope"),
        BEGUN + frame(b"D", 1 << 30),
        frame(b"D", 3, b"abc") + frame(b"Z", 0),
        BEGUN + BEGUN,
    ],
)
def test_a_stream_that_goes_wrong_later_puts_nothing(client, folder, rest):
    answer = client.call("put", HEAD + rest)
    assert answer.status in (200, 400, 503)
    if answer.status == 200:
        found = [json.loads(line) for line in answer.body.splitlines()]
        assert schema.outcome_in(found[0][1]).error.code in ("refused", "bad-delta", "transient")
    assert os.listdir(folder) == []


def test_items_have_to_come_directory_by_directory(client):
    items = [told("b/x", 1), told("a/x", 1)]
    assert client.call("put", wire.encode([Head({"items": items})])).status == 400


@pytest.mark.parametrize("token", ["ab", "ab" * 7, "ab" * 9, "no hex", 8, None])
def test_a_token_has_its_length_or_is_none(client, folder, token):
    frames = [Head({"items": [{**told("f", 1), "token": token}]}), *whole(0, b"x")]
    assert client.call("put", wire.encode(frames)).status == 400
    assert os.listdir(folder) == []


def test_there_are_only_so_many_items_and_bytes(client):
    assert client.call("look", {"paths": ["a"] * (MAX_ITEMS + 1)}).status == 413
    assert client.call("look", b" " * (MAX_BODY + 1)).status == 413
    head = frame(b"H", wire.LARGEST_JSON, b" " * wire.LARGEST_JSON)
    assert client.call("put", head).status == 400


def test_a_bomb_does_not_go_off(client):
    bomb = zstandard.ZstdCompressor().compress(bytes(256 << 20))
    assert len(bomb) < 100_000
    packed = {"Content-Encoding": "zstd"}
    assert client.call("look", bomb, headers=packed).status == 413
    assert client.call("put", bomb, headers=packed).status == 400
    tracemalloc.start()
    try:
        assert sum(map(len, decompress([bomb], window=LEVEL_WINDOW))) == 256 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b"", b"no zstd", b"\x28\xb5\x2f\xfd\xff\xff"])
def test_what_is_not_packed_as_it_says_is_refused(client, body):
    assert client.call("look", body, headers={"Content-Encoding": "zstd"}).status == 400
    assert client.call("look", b"{}", headers={"Content-Encoding": "gzip"}).status == 400


def test_there_is_no_other_call(client):
    assert client.call("format-disk").status == 404


def test_an_entry_that_claims_anything_is_compared_with_what_is_there(client, folder):
    """Sizes, times and versions in an expectation are a client's words: at most they do not fit."""
    (folder / "f").write_bytes(b"1")
    huge = [1, (1 << 63) - 1, "ff" * 4096, -(10**30), True, "00" * 32, "\0", True]
    outcomes = client.call("delete", {"items": [{"path": "f", "expected": huge}]}).outcomes
    assert [type(o).__name__ for o in outcomes] == ["Stale"]
    [(_, end)] = [client.call("fetch", {"wanted": [{"path": "f", "entry": huge}]}).frames]
    assert "error" in end.fields
    assert (
        client.call("amend", {"items": [{"path": "f", "expected": ENTRY, "mtime_ns": 10**40}]}).status == 400
    )
    item = told("f", 1, mtime_ns=10**40)
    assert client.call("put", wire.encode([Head({"items": [item]})])).status == 400
    for target in ("a\0b", "x" * 5000, "\ud800"):
        item = told("l", 1, kind=3, target=target)
        assert client.call("put", wire.encode([Head({"items": [item]})])).status == 400
    assert (folder / "f").read_bytes() == b"1"


def test_a_client_that_leaves_in_the_middle_of_an_answer_holds_no_thread(client, folder):
    (folder / "f").write_bytes(bytes(64 << 20))
    question = json.dumps({"wanted": [{"path": "f", "entry": schema.entry_out(client.entry("f"))}]}).encode()
    for _ in range(60):  # more than there are threads
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            head = f"POST /{BASE}fetch HTTP/1.1\r\nHost: x\r\nContent-Length: {len(question)}\r\n\r\n"
            connection.sendall(head.encode() + question)
            assert connection.recv(100)
    quiet(client)
    assert client.call("quota").status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *("path", "paths", "items", "wanted", "entry", "expected", "origin", "replaces", "limit", "token"),
        *("marker", "name", "known", "start", "have", "block", "strong", "cursor", "wait", "mtime_ns"),
    ]
)
NEAR = st.sampled_from([ENTRY, "a", "", "00" * 32, [["", "00"]], [ENTRY], {"path": "a"}, [{"path": "a"}], 0])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    call=st.sampled_from([*ASKED, "feed"]),
    question=st.dictionaries(FIELDS, JSON | NEAR | st.lists(st.dictionaries(FIELDS, NEAR), max_size=3)),
)
def test_no_question_is_a_mistake_of_the_server(client, call, question):
    answer = client.call(call, json.dumps({**question, "wait": 0}).encode())
    assert answer.status in (200, 400, 403, 409, 413), answer


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.builds(Head, st.dictionaries(FIELDS | st.sampled_from(["index", "encoding"]), NEAR))
        | st.just(Head({"index": 0, "encoding": "whole", "start": 0}))
        | st.just(Head({"index": 0, "encoding": "delta", "start": 0}))
        | st.builds(Data, st.binary(max_size=50))
        | st.builds(End, st.dictionaries(st.sampled_from(["digest", "error", "size"]), JSON | NEAR)),
        max_size=6,
    ),
    cut=st.integers(0, 40),
)
def test_no_stream_is_a_mistake_of_the_server(client, folder, frames, cut):
    body = b"".join(wire.encode([Head({"items": [told("f", 3)]}), *frames]))
    answer = client.call("put", body[: len(body) - cut])
    assert answer.status in (200, 400, 503), answer
    assert os.listdir(folder) == []
