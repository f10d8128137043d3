"""The program rdiff understands what we write, and we understand what it writes (Debian: `rdiff`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given

from syncer.delta.block_index import BlockIndex
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import (
    Signature,
    SignatureParams,
    SumType,
    commands,
    delta,
    encode,
    patch,
    signature,
)
from syncer.errors import BadDelta
from tests.contents import Edit, Held, contents, edited, edits, noise
from tests.librsync_patch import patched

BOTH = [
    (SignatureParams(family=SumType.MD4, block_len=2048, strong_len=8), ("-H", "md4", "-R", "rollsum")),
    (SignatureParams(block_len=1024, strong_len=12), ("-H", "blake2", "-R", "rabinkarp")),
]
OLD = noise(1, 3_000_000)
NEW = edited(
    OLD,
    [
        Edit(at=100, removed=0, data=noise(2, 777)),
        Edit(at=500, removed=5000, data=b""),
        Edit(at=900, removed=40, data=bytes(100_000)),
    ],
)


def rdiff(*arguments: str | Path) -> None:
    subprocess.run(["rdiff", "-f", *map(str, arguments)], check=True, timeout=60)


@pytest.mark.parametrize(("parameters", "options"), BOTH, ids=["md4", "blake2"])
@pytest.mark.parametrize("content", [b"", b"hello", OLD], ids=["empty", "short", "long"])
def test_rdiff_makes_the_same_signature(
    parameters: SignatureParams, options: tuple[str, ...], content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(content)
    sizes = ("-b", str(parameters.block_len), "-S", str(parameters.strong_len))
    rdiff(*options, *sizes, "signature", tmp_path / "old", tmp_path / "signature")
    assert (tmp_path / "signature").read_bytes() == b"".join(signature([content], parameters))


@pytest.mark.parametrize(("parameters", "options"), BOTH, ids=["md4", "blake2"])
@pytest.mark.parametrize(("old", "new"), [(OLD, NEW), (NEW, OLD), (b"", NEW), (OLD, b""), (OLD, OLD)])
def test_rdiff_makes_a_delta_from_our_signature_and_we_apply_it(
    parameters: SignatureParams, options: tuple[str, ...], old: bytes, new: bytes, tmp_path: Path
) -> None:
    (tmp_path / "signature").write_bytes(b"".join(signature([old], parameters)))
    (tmp_path / "new").write_bytes(new)
    rdiff("delta", tmp_path / "signature", tmp_path / "new", tmp_path / "delta")
    made = (tmp_path / "delta").read_bytes()
    assert b"".join(patch(Held(old), [made], size=len(new))) == new
    ours = delta(Signature.load(signature([old], parameters), basis_size=len(old)), [new])
    assert sum(map(len, ours)) <= len(made)


@pytest.mark.parametrize(("parameters", "options"), BOTH, ids=["md4", "blake2"])
def test_rdiff_applies_the_delta_we_make_from_its_signature(
    parameters: SignatureParams, options: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(OLD)
    rdiff(*options, "-b", "1024", "signature", tmp_path / "old", tmp_path / "signature")
    sums = (tmp_path / "signature").read_bytes()
    with Signature.load([sums], basis_size=len(OLD), family=parameters.family) as against:
        (tmp_path / "delta").write_bytes(b"".join(delta(against, [NEW], workers=2)))
    rdiff("patch", tmp_path / "old", tmp_path / "delta", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == NEW


def test_rdiff_applies_what_a_sketch_tells_apart(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(OLD)
    found = difference(BlockIndex.of([OLD], size=len(OLD)), [NEW])
    (tmp_path / "delta").write_bytes(b"".join(encode(found)))
    rdiff("patch", tmp_path / "old", tmp_path / "delta", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == NEW


@given(contents(20_000), edits(3000))
def test_the_patch_job_of_librsync_makes_the_same_bytes(old: bytes, changes: list[Edit]) -> None:
    new = edited(old, changes)
    against = Signature.load(
        signature([old], SignatureParams(block_len=256, strong_len=4)), basis_size=len(old)
    )
    made = b"".join(delta(against, [new]))
    assert patched(old, made) == new
    assert b"".join(encode(commands([made]))) == made


@pytest.mark.parametrize("end", ["", "55", "450000 00", "4500 ff 00", "4100 00"])
def test_what_librsync_refuses_we_refuse_too(end: str) -> None:
    made = bytes.fromhex("72730236" + end)
    with pytest.raises(BadDelta):
        patched(b"abc", made)
    with pytest.raises(BadDelta):
        list(patch(Held(b"abc"), [made], size=3))
