"""The sync part of the double: librsync's own program behind it, with the formats of librsync 0.9.7."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.doubles.asking import Asking
from tests.doubles.smartfile import SmartFileDouble
from tests.doubles.smartfile.listing import local_time
from tests.doubles.smartfile.refusals import Refused

HELLO_SIGNATURE = "72730136 00000800 00000008 07f802af866437cb7a794bce"  # of `hello`, blocks of 2048
EMPTY_SIGNATURE = "72730136 00000800 00000008"
BLAKE2_SIGNATURE = "72730137 00000800 00000008"
RABIN_SIGNATURE = "72730146 00000800 00000008"
ABCD_XY = bytes.fromhex("72730236 450004 025859 00")  # copy the first 4 bytes, then "XY"


def patch(ask: Asking, path: str, delta: bytes) -> int:
    return ask("POST", f"api/2/path/sync/patch{path}/", files={"delta": delta}).status_code


def rdiff(*arguments: object) -> None:
    subprocess.run(["rdiff", *map(str, arguments)], check=True, capture_output=True)


def test_a_signature_is_byte_for_byte_that_of_the_notes(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"hello")
    double.write("/empty", b"")
    answer = ask("GET", "api/2/path/sync/signature/a/?block_size=2048")
    assert answer.content == bytes.fromhex(HELLO_SIGNATURE)
    assert answer.headers["content-type"] == "application/librsync-signature"
    assert ask("GET", "api/2/path/sync/signature/empty").content == bytes.fromhex(EMPTY_SIGNATURE)


def test_the_size_of_blocks_is_heeded(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", bytes(10_000))
    made = ask("GET", "api/2/path/sync/signature/a?block_size=100").content
    assert len(made) == 12 + 100 * 12 and int.from_bytes(made[4:8]) == 100
    assert ask("GET", "api/2/path/sync/signature/a?block_size=0").status_code == 400


def test_a_delta_against_my_signature_leads_to_the_stored_file(
    double: SmartFileDouble, ask: Asking, tmp_path: Path
) -> None:
    double.write("/a", b"hello" * 1000)
    mine = tmp_path / "mine"
    mine.write_bytes(b"hello" * 900 + b"other")
    rdiff("-H", "md4", "-R", "rollsum", "-b", "64", "-S", "8", "signature", mine, tmp_path / "signature")
    files = {"signature": (tmp_path / "signature").read_bytes()}
    answer = ask("POST", "api/2/path/sync/delta/a/", files=files)
    assert answer.headers["content-type"] == "application/librsync-delta"
    (tmp_path / "delta").write_bytes(answer.content)
    rdiff("patch", mine, tmp_path / "delta", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"hello" * 1000


@pytest.mark.parametrize("signature", [BLAKE2_SIGNATURE, RABIN_SIGNATURE, "", "7273"])
def test_only_md4_signatures_are_understood(double: SmartFileDouble, ask: Asking, signature: str) -> None:
    double.write("/a", b"hello")
    answer = ask("POST", "api/2/path/sync/delta/a/", files={"signature": bytes.fromhex(signature)})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("delta", "wrong"),
    [
        ("72730236 450005 00", "a copy past the end"),
        ("72730236 450004", "no end"),
        ("72730236 4500", "cut within a command"),
        ("72730236 55 00", "a reserved command"),
        ("72730236 450000 00", "a copy of nothing"),
        ("72730136 00", "no delta at all"),
        ("", "nothing"),
    ],
)
def test_a_bad_delta_is_refused_and_the_file_stays(
    double: SmartFileDouble, ask: Asking, delta: str, wrong: str
) -> None:
    double.write("/a", b"abcd", time=5.0)
    assert patch(ask, "/a", bytes.fromhex(delta)) == 400, wrong
    assert double.read("/a") == b"abcd" and ask.info("/a")["time"] == local_time(5)


def test_a_patch_is_applied_to_whatever_the_file_is(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/a", b"abcd")
    assert patch(ask, "/a", ABCD_XY) == 200
    assert double.read("/a") == b"abcdXY"
    double.write("/a", b"changed meanwhile")
    assert patch(ask, "/a", ABCD_XY) == 200
    assert double.read("/a") == b"chanXY"


def test_a_file_removed_under_a_patch_does_not_come_back(double: SmartFileDouble, ask: Asking) -> None:
    double.write("/d/a", b"abcd")
    node = double.site.tree.find("/d/a")
    double.remove("/d")
    with pytest.raises(Refused):
        double.site.tree.overwrite(node, b"larger", "patch")
    assert double.contents() == {} and ask.info("/")["size"] == 0


def test_sync_needs_a_file(double: SmartFileDouble, ask: Asking) -> None:
    double.mkdir("/d")
    assert ask("GET", "api/2/path/sync/signature/none").status_code == 404
    assert patch(ask, "/none", ABCD_XY) == 404
    assert ask("GET", "api/2/path/sync/signature/d").status_code == 415
    double.write("/a", b"")
    assert ask("POST", "api/2/path/sync/patch/a/", data={"delta": "x"}).status_code == 400
    assert patch(ask, "/a", bytes.fromhex("72730236410361626300")) == 200
    assert double.read("/a") == b"abc"


@pytest.mark.parametrize("survive", [True, False])
def test_attributes_may_or_may_not_survive_a_write(
    double: SmartFileDouble, ask: Asking, survive: bool
) -> None:
    if not survive:
        double.options.attributes_survive = frozenset()
    kept = {"k": "v"} if survive else {}
    double.write("/a", b"abcd", attributes={"k": "v"})
    patch(ask, "/a", ABCD_XY)
    assert double.attributes("/a") == kept
    double.write("/a", b"abcd", attributes={"k": "v"})
    ask.upload("/", "a", b"2")
    assert double.attributes("/a") == kept
