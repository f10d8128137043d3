"""Packets of SFTP: what is written is read again, and nothing that a server sends is believed unchecked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.stores.sftp.packets import Attributes, MalformedPacket, PacketReader, string, uint32

numbers = st.none() | st.integers(0, 2**32 - 1)


@given(st.none() | st.integers(0, 2**63 - 1), numbers, numbers, numbers)
def test_attributes_come_back_as_they_were_written(
    size: int | None, uid: int | None, mode: int | None, mtime: int | None
) -> None:
    written = Attributes(size=size, uid=uid, gid=uid, mode=mode, atime=mtime, mtime=mtime)
    reader = PacketReader(written.encoded())
    assert reader.attributes() == written
    assert reader.rest == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (PacketReader.attributes, PacketReader.names, PacketReader.handle, PacketReader.string):
        try:
            parse(PacketReader(data))
        except MalformedPacket:
            pass


@pytest.mark.parametrize(
    "body",
    [
        uint32(2**32 - 1),
        uint32(2**32 - 1) + bytes(100),
        uint32(3) + string(b"a") + string(b"a") + uint32(0),
        uint32(1) + string(b"a") + string(b"a") + uint32(1 << 31) + uint32(2**31),
        uint32(1) + string(b"a") + string(b"a") + uint32(1) + b"\xff" * 8,
    ],
)
def test_counts_and_sizes_beyond_the_packet_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        PacketReader(body).names()


def test_a_handle_has_at_most_256_bytes() -> None:
    assert PacketReader(string(b"x" * 256)).handle() == b"x" * 256
    with pytest.raises(MalformedPacket):
        PacketReader(string(b"x" * 257)).handle()
