"""Signatures, deltas and patches over HTTP, checked by `rdiff`: another program of the same formats."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Serving, emptied, serving

MD4 = bytes.fromhex("72730136")
DELTA = bytes.fromhex("72730236")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("syncing")
    with serving(home / "folder", state=home / "state") as found:
        yield found


@pytest.fixture
def server(running: Serving) -> Serving:
    return emptied(running)


def rdiff(folder: Path, *words: str) -> None:
    subprocess.run(["rdiff", *words], cwd=folder, check=True, capture_output=True)


def edited(content: bytes) -> bytes:
    chance = random.Random(1)
    made = bytearray(content)
    for _ in range(5):
        place = chance.randrange(len(made))
        made[place : place + 100] = chance.randbytes(120)
    return bytes(made)


def test_a_signature_is_what_rdiff_makes(server: Serving, tmp_path: Path) -> None:
    content = os.urandom(300_001)
    (server.folder / "a").write_bytes(content)
    (tmp_path / "a").write_bytes(content)
    for block in (256, 2048, 4096):
        rdiff(
            tmp_path, "-f", "-H", "md4", "-R", "rollsum", "-b", str(block), "-S", "8", "signature", "a", "s"
        )
        answer = server.get(f"api/2/path/sync/signature/a/?block_size={block}")
        assert answer.headers["content-type"] == "application/librsync-signature"
        assert answer.content == (tmp_path / "s").read_bytes()
    assert server.get("api/2/path/sync/signature/a/").content[4:8] == struct.pack(">I", 2048)


def test_known_signatures_are_as_documented(server: Serving) -> None:
    (server.folder / "hello").write_bytes(b"hello")
    (server.folder / "empty").write_bytes(b"")
    hello = server.get("api/2/path/sync/signature/hello").content
    assert hello.hex() == "727301360000080000000008" + "07f802af866437cb7a794bce"
    assert server.get("api/2/path/sync/signature/empty").content == hello[:12]


def test_a_delta_of_ours_is_applied_by_rdiff(server: Serving, tmp_path: Path) -> None:
    old = os.urandom(500_000)
    new = edited(old)
    (server.folder / "a").write_bytes(new)
    (tmp_path / "old").write_bytes(old)
    rdiff(tmp_path, "-H", "md4", "-R", "rollsum", "-b", "1024", "-S", "8", "signature", "old", "s")
    with (tmp_path / "s").open("rb") as signature:
        answer = server.post("api/2/path/sync/delta/a/", files={"signature": signature})
    assert answer.status_code == 200 and len(answer.content) < len(new) // 10
    (tmp_path / "d").write_bytes(answer.content)
    rdiff(tmp_path, "patch", "old", "d", "made")
    assert (tmp_path / "made").read_bytes() == new


def test_a_delta_of_rdiff_is_applied_by_us(server: Serving, tmp_path: Path) -> None:
    old = os.urandom(500_000)
    new = edited(old)
    (server.folder / "a").write_bytes(old)
    (tmp_path / "s").write_bytes(server.get("api/2/path/sync/signature/a/").content)
    (tmp_path / "new").write_bytes(new)
    rdiff(tmp_path, "delta", "s", "new", "d")
    answer = server.post("api/2/path/sync/patch/a/", files={"delta": (tmp_path / "d").read_bytes()})
    assert answer.status_code == 200 and answer.json()["size"] == len(new)
    assert (server.folder / "a").read_bytes() == new
    assert old in server.kept()
    assert server.get("api/2/path/data/a").headers["etag"] == answer.headers["etag"]


def test_the_delta_of_the_protocol_page(server: Serving) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    delta = DELTA + bytes.fromhex("450004 02 5859 00")
    assert server.post("api/2/path/sync/patch/a/", files={"delta": delta}).ok
    assert (server.folder / "a").read_bytes() == b"abcdXY"


HUGE = struct.pack(">Q", 1 << 60)
BAD = {
    "nothing": b"",
    "another magic": b"abcd\0",
    "no end": DELTA + b"\x02XY",
    "a literal cut off": DELTA + b"\x05XY",
    "a reserved command": DELTA + b"\x55\0",
    "a copy beyond the base": DELTA + bytes.fromhex("450005 00"),
    "a copy of nothing": DELTA + bytes.fromhex("450000 00"),
    "a copy of 2^60 bytes": DELTA + b"\x54" + bytes(8) + HUGE + b"\0",
    "a copy from 2^60": DELTA + b"\x54" + HUGE + struct.pack(">Q", 1) + b"\0",
    "a literal of 2^60 bytes": DELTA + b"\x44" + HUGE + b"x" * 100,
    "something after the end": DELTA + b"\x02XY\0more",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_delta_is_a_400_and_the_file_stays(server: Serving, name: str) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    before = (server.folder / "a").stat()
    assert server.post("api/2/path/sync/patch/a/", files={"delta": BAD[name]}).status_code == 400
    after = (server.folder / "a").stat()
    assert (server.folder / "a").read_bytes() == b"abcd"
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)
    assert server.names() == ["a"]


def test_a_small_delta_that_makes_a_huge_file_is_refused(server: Serving) -> None:
    (server.folder / "a").write_bytes(bytes(1 << 20))
    copies = (b"\x46" + b"\0" + struct.pack(">H", 65535)) * 600_000  # 2.4 MB that make 39 GB
    answer = server.post("api/2/path/sync/patch/a/", files={"delta": DELTA + copies + b"\0"})
    assert answer.status_code == 413
    assert (server.folder / "a").stat().st_size == 1 << 20


def test_a_patch_may_name_the_version_it_is_meant_for(server: Serving) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    tag = server.get("api/2/path/data/a").headers["etag"]
    (server.folder / "a").write_bytes(b"other")
    delta = DELTA + bytes.fromhex("450004 00")
    refused = server.post("api/2/path/sync/patch/a/", files={"delta": delta}, headers={"If-Match": tag})
    assert refused.status_code == 412
    assert (server.folder / "a").read_bytes() == b"other"


SIGNATURES = {
    "nothing": b"",
    "a short header": MD4 + b"\0\0",
    "another magic": b"abcd" + struct.pack(">II", 2048, 8),
    "blocks of 0 bytes": MD4 + struct.pack(">II", 0, 8),
    "blocks of 1 byte": MD4 + struct.pack(">II", 1, 8) + b"x" * 12,
    "blocks of 4 GB": MD4 + struct.pack(">II", 0xFFFFFFFF, 8),
    "strong sums of 0 bytes": MD4 + struct.pack(">II", 2048, 0),
    "strong sums of 17 bytes": MD4 + struct.pack(">II", 2048, 17),
    "a block cut off": MD4 + struct.pack(">II", 2048, 8) + b"x" * 11,
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_bad_signature_is_a_400(server: Serving, name: str) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    assert server.post("api/2/path/sync/delta/a/", files={"signature": SIGNATURES[name]}).status_code == 400


def test_a_signature_of_too_many_blocks_is_refused(server: Serving) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    many = MD4 + struct.pack(">II", 256, 4) + os.urandom(8 * ((1 << 20) + 5))
    assert server.post("api/2/path/sync/delta/a/", files={"signature": many}).status_code == 400


@pytest.mark.parametrize("size", ["0", "255", "1048577", "-1", "x", "99999999999", "２０４８"])
def test_a_block_size_out_of_bounds_is_refused(server: Serving, size: str) -> None:
    (server.folder / "a").write_bytes(b"abcd")
    assert server.get("api/2/path/sync/signature/a", params={"block_size": size}).status_code == 400


def test_of_what_is_no_file_there_is_no_signature(server: Serving) -> None:
    (server.folder / "d").mkdir()
    for path, status in (("d", 415), ("none", 404), ("", 415)):
        assert server.get(f"api/2/path/sync/signature/{path}").status_code == status
        for call, part in (("delta", "signature"), ("patch", "delta")):
            url = f"api/2/path/sync/{call}/{path}"
            assert server.post(url, files={part: b"x"}).status_code == status
    (server.folder / "a").write_bytes(b"a")
    assert server.post("api/2/path/sync/patch/a", data={"delta": "x"}).status_code == 400
