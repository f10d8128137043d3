"""Delta uploads to a real sshd with nothing else there: few bytes up, and the same content."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.delta.format import Copy, Literal
from syncer.delta.indexed_delta import difference
from syncer.errors import BadDelta, PreconditionFailed
from syncer.stores.sftp.client import RemoteFile, SftpClient
from syncer.stores.sftp.delta_plan import CopyRange, WriteRange, planned
from syncer.stores.sftp.delta_upload import upload_delta, verify_ends, verify_whole
from syncer.stores.sftp.packets import OpenFlags

MIB = 1 << 20
NEW = OpenFlags.READ | OpenFlags.WRITE | OpenFlags.CREATE | OpenFlags.EXCLUSIVE


def chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(MIB):
            yield data


def reader(path: Path) -> Callable[[int, int], bytes]:
    """Reads the local content at an offset."""

    def read(offset: int, size: int) -> bytes:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    return read


def edited(old: Path, new: Path, size: int, edits: int) -> None:
    """`old` of random bytes; `new` the same with edits of 100 bytes, and 1,000 bytes inserted."""
    rng = random.Random(size)
    stride = max(size // MIB // edits, 1)  # in pieces of 1 MiB
    with open(old, "wb") as one, open(new, "wb") as other:
        for at in range(0, size, MIB):
            data = bytearray(rng.randbytes(MIB))
            one.write(data)
            if at == size // 2:
                other.write(rng.randbytes(1000))
            if at // MIB % stride == 0 and at // MIB // stride < edits:
                where = rng.randrange(MIB - 100)
                data[where : where + 100] = rng.randbytes(100)
            other.write(data)


@pytest.fixture
def opened(client: SftpClient, tmp_path: Path) -> Iterator[tuple[RemoteFile, RemoteFile]]:
    """An old file with content, open for reading, and an empty new one."""
    (tmp_path / "there").write_bytes(os.urandom(2 * MIB))
    with (
        client.open(os.fsencode(tmp_path / "there"), OpenFlags.READ) as old,
        client.open(os.fsencode(tmp_path / "new"), NEW) as new,
    ):
        yield old, new


@pytest.mark.parametrize("size", [32 * MIB, 512 * MIB])
def test_twenty_edits_and_an_insertion_cost_less_than_150_kb_up(
    client: SftpClient, tmp_path: Path, size: int
) -> None:
    old, local = tmp_path / "old", tmp_path / "local"
    edited(old, local, size, 20)
    index = BlockIndex.of(chunks(old), size=size)
    delta = difference(index, chunks(local))
    sent, received = client.connection.sent, client.connection.received
    temporary = os.fsencode(tmp_path / ".syncer-tmp-1")
    with client.open(os.fsencode(old), OpenFlags.READ) as there, client.open(temporary, NEW) as new:
        done = upload_delta(there, new, planned(delta))
        new.fsync()
        verify_ends(new, done, reader(local))
        up, down = client.connection.sent - sent, client.connection.received - received
        verify_whole(new, done.size, delta.digest)
    client.posix_rename(temporary, os.fsencode(old))
    assert blake3(old.read_bytes()).digest() == delta.digest == blake3(local.read_bytes()).digest()
    print(
        f"{size // MIB} MiB: {up:,} bytes up, {down:,} down, {len(done.copies)} copies, {done.written:,} new"
    )
    assert up <= 150_000 and down <= 150_000


def test_an_old_file_that_becomes_shorter_meanwhile_is_noticed(
    client: SftpClient, tmp_path: Path, opened: tuple[RemoteFile, RemoteFile]
) -> None:
    old, new = opened

    def steps() -> Iterator[CopyRange | WriteRange]:
        yield CopyRange(0, MIB, 0)
        (tmp_path / "there").write_bytes(b"somebody else")
        yield WriteRange(b"tail", MIB)

    with pytest.raises(PreconditionFailed):
        upload_delta(old, new, steps())


def test_an_old_file_that_is_edited_meanwhile_is_noticed(
    tmp_path: Path, opened: tuple[RemoteFile, RemoteFile]
) -> None:
    old, new = opened
    os.utime(tmp_path / "there", (1_600_000_000, 1_600_000_000))

    def steps() -> Iterator[CopyRange | WriteRange]:
        yield CopyRange(0, MIB, 0)
        with open(tmp_path / "there", "r+b") as file:
            file.write(b"an edit of equal size")
        yield WriteRange(b"tail", MIB)

    with pytest.raises(PreconditionFailed, match="changed while"):
        upload_delta(old, new, steps())


def test_a_replaced_old_file_is_still_the_one_that_was_opened(
    tmp_path: Path, opened: tuple[RemoteFile, RemoteFile]
) -> None:
    old, new = opened
    before = (tmp_path / "there").read_bytes()
    (tmp_path / "other").write_bytes(b"other")
    os.replace(tmp_path / "other", tmp_path / "there")
    assert upload_delta(old, new, [CopyRange(0, 2 * MIB, 0)]).size == 2 * MIB
    assert (tmp_path / "new").read_bytes() == before


def test_an_index_of_another_file_is_found_by_the_ends(
    tmp_path: Path, opened: tuple[RemoteFile, RemoteFile]
) -> None:
    old, new = opened
    local = tmp_path / "local"
    local.write_bytes(bytes(2 * MIB))
    done = upload_delta(old, new, planned([Copy(0, MIB), Literal(b"x"), Copy(MIB, MIB - 1)]))
    with pytest.raises(PreconditionFailed):
        verify_ends(new, done, reader(local))
    with pytest.raises(PreconditionFailed):
        verify_whole(new, done.size, blake3(local.read_bytes()).digest())


def test_steps_beyond_the_old_file_or_with_gaps_are_refused(opened: tuple[RemoteFile, RemoteFile]) -> None:
    old, new = opened
    with pytest.raises(BadDelta):
        upload_delta(old, new, [CopyRange(2 * MIB, 1, 0)])
    with pytest.raises(ValueError, match="gap"):
        upload_delta(old, new, [WriteRange(b"x", 1)])
