"""Whatever a server answers, the client stays below 300 MiB: bombs against a process that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from syncer.wire.compression import compress
from syncer.wire.frames import Data, Frame, Head, encode
from tests.stores.hostile_http import MIB, Says, gzipped, repeated, said, serving

ROOT = Path(__file__).parents[2]
BAR = 300 * MIB
HELLO = {"server": "x", "capabilities": {}, "limits": {"items": 100, "body": 1}}
ENTRY = b'"%08x":[1,0,"",null,null,null,null,true],'


def measured(kind: str, call: str, url: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.client_process", kind, call, url],
        cwd=ROOT, capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(kind: str, call: str, answer: Says) -> str:
    """How the call ended, which did not take more memory than it may."""

    def script(method: str, path: str) -> Says:
        if path.startswith("/syncer/1/hello"):
            return said(json.dumps(HELLO).encode())
        return answer

    with serving(script) as hostile:
        found = measured(kind, call, hostile.url)
    assert found["peak"] < BAR, f"{found['peak'] >> 20} MiB: {found['ended']}"
    return str(found["ended"])


def packed(pieces: Iterable[bytes]) -> Says:
    body = list(compress(pieces))
    assert sum(map(len, body)) < MIB
    return Says(headers={"Content-Encoding": "zstd"}, body=body)


def framed(frames: Iterable[Frame]) -> Says:
    return packed(encode(frames))


PEER = {
    "a line of lists that never ends": ("list", packed(repeated(b'["",[null,{},[', b"[],", 300 * MIB))),
    "a line of one string": ("list", packed(repeated(b'["', b"a", 240 * MIB))),
    "a line of escapes": ("list", packed(repeated(b'["', b"\\ud83d\\ude00", 240 * MIB))),
    "a listing of one value": ("list", packed(repeated(b'["",[null,{"a":', b"[[],", 28 * MIB, b"]}]]\n"))),
    "fifteen MiB of objects": ("root", Says(body=repeated(b'{"root":[', b"{},", 15 * MIB, b"0]}"))),
    "objects without end": ("root", Says(body=repeated(b'{"root":[', b'{"":0},', 200 * MIB, b"0]}"))),
    "directories without end": ("changed", Says(body=repeated(b'{"changed":[', b'"d",', 15 * MIB, b'""]}'))),
    "a head of lists": ("read", framed([Head({"a": [[]] * 4_000_000})])),
    "a delta of signs of life": ("delta", Says(body=repeated(b"", b"H\0\0\0\x02[]", 64 * MIB))),
    "names in a reply to a change": ("put", Says(body=repeated(b"[0,[", b"[],", 60 * MIB))),
}


@pytest.mark.parametrize("name", PEER)
def test_no_answer_of_a_server_of_ours_fills_the_memory(name: str) -> None:
    """KiBs of zstd became 8.4 GB."""
    call, answer = PEER[name]
    assert refused("peer", call, answer).startswith("refused: ")


def test_a_directory_of_too_many_names_is_refused_and_says_what_to_do() -> None:
    def lines() -> Iterable[bytes]:
        yield b'["",[null,{'
        for start in range(0, 800_000, 20_000):
            yield b"".join(ENTRY % number for number in range(start, start + 20_000))
        yield b'"z":[1,0,"",null,null,null,null,true]},[]]]\n"end"\n'

    ended = refused("peer", "list", Says(body=lines()))
    assert "PermanentError" in ended and ("more in one directory" in ended or "a line of more than" in ended)


def test_a_directory_of_two_hundred_thousand_names_is_listed() -> None:
    """In one line, as servers before this version send it."""

    def lines() -> Iterable[bytes]:
        yield b'["",[null,{'
        for start in range(0, 200_000, 20_000):
            yield b"".join(ENTRY % number for number in range(start, start + 20_000))
        yield b'"z":[1,0,"",null,null,null,null,true]},[]]]\n"end"\n'

    assert refused("peer", "list", Says(body=lines())) == "200001"


SIGNATURE = [Head({"size": 9}), *[Data(b"rs\x01\x47\0\0\x01\0\0\0\0\x20" + bytes(MIB - 12))] * 90]


def test_a_signature_of_a_file_of_a_terabyte_is_not_loaded_whole() -> None:
    def script(method: str, path: str) -> Says:
        if path.startswith("/syncer/1/hello"):
            return said(json.dumps(HELLO).encode())
        return framed(SIGNATURE) if path.startswith("/syncer/1/signature") else said(b'"end"\n')

    with serving(script) as hostile:
        found = measured("peer", "put", hostile.url)
        assert hostile.times("POST", "/syncer/1/signature")
    assert found["peak"] < BAR, found


def json_bomb(size: int) -> list[bytes]:
    return list(repeated(b'{"children":[', b"[],", size, b"0]}"))


@pytest.mark.parametrize("kind", ["smartfile", "orange", "swift"])
@pytest.mark.parametrize("call", ["list", "root", "look"])
def test_no_json_of_a_service_fills_the_memory(kind: str, call: str) -> None:
    refused(kind, call, Says(headers={"Content-Type": "application/json"}, body=json_bomb(15 * MIB)))


@pytest.mark.parametrize("kind", ["smartfile", "orange", "swift"])
def test_no_gzip_of_a_service_fills_the_memory(kind: str) -> None:
    """1.5 MB became 3 GB."""
    body = gzipped(repeated(b'{"children":[', b"[],", 300 * MIB, b"0]}"))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    refused(kind, "list", Says(headers=headers, body=body))


@pytest.mark.parametrize("kind", ["v1", "keystone", "hubic", "ovh", "orange"])
@pytest.mark.parametrize("how", ["gzip", "json", "endless"])
def test_no_answer_of_a_login_service_fills_the_memory(kind: str, how: str) -> None:
    headers = {"Content-Type": "application/json"}
    if how == "gzip":
        headers["Content-Encoding"] = "gzip"
        body: Iterable[bytes] = gzipped(repeated(b'{"a":[', b"[],", 300 * MIB, b"0]}"))
    else:
        body = list(repeated(b'{"a":[', b"[],", (1 if how == "json" else 60) * MIB, b"0]}"))
    ended = refused(kind, "login", Says(headers=headers, body=body))
    assert ended.startswith("refused: ")


def test_a_service_whose_pages_never_end_is_given_up() -> None:
    """Each page is small and says that there are 400,000."""
    entry = {
        "name": "n",
        "isdir": False,
        "isfile": True,
        "size": 1,
        "path": "/n",
        "time": "2026-01-01T00:00:00",
    }
    asked = 0

    def script(method: str, path: str) -> Says:
        nonlocal asked
        asked += 1
        entries = [
            {**entry, "name": f"{asked}-{n}" + "x" * 2000, "path": f"/{asked}-{n}"} for n in range(500)
        ]
        document = {"page": asked, "pages": 400_000, "count": 200_000_000, "children": entries}
        return said(json.dumps({**entry, "isdir": True, "isfile": False, **document}).encode())

    with serving(script) as hostile:
        found = measured("smartfile", "list", hostile.url)
    assert found["peak"] < BAR and found["ended"].startswith("refused: Unreadable"), found
