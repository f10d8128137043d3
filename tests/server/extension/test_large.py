"""A file of 512 MiB goes in and out of a real server: no content of it is ever whole in memory."""

from __future__ import annotations

from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.engine.model import Done
from syncer.wire import frames as wire
from syncer.wire.frames import Data, End, Head
from tests.server.conftest import serving
from tests.server.extension.processes import client_of, peak
from tests.server.extension.speaking import told, wanted

SIZE = 512 << 20
PIECE = 1 << 20
MOST = 150 << 20  # bytes of memory


def content():
    stream = blake3(b"large")
    for at in range(0, SIZE, PIECE):
        yield stream.digest(PIECE, seek=at)


def put(digest: bytes):
    yield Head({"items": [told("f", SIZE)]})
    yield Head({"index": 0, "encoding": "whole", "start": 0})
    yield from map(Data, content())
    yield End({"digest": digest.hex()})


def test_a_large_file_costs_the_server_little_memory(tmp_path):
    hasher = blake3()
    for piece in content():
        hasher.update(piece)
    with serving(tmp_path / "folder", state=tmp_path / "state") as server:
        client = client_of(server)
        [done] = client.call("put", wire.encode(put(hasher.digest()))).outcomes
        assert isinstance(done, Done)
        assert (tmp_path / "folder" / "f").stat().st_size == SIZE
        after_put = peak(server)
        size, end = client.stream("fetch", {"wanted": [wanted("f", done.entry)]})
        assert size == SIZE
        assert end == {"digest": hasher.hexdigest(), "entry": end["entry"]}
        assert max(after_put, peak(server)) <= MOST, (after_put, peak(server))
    kept = tmp_path / "state" / "sketches" / f"{hasher.hexdigest()}.sketch"
    if kept.exists():  # the server may have been stopped before it was made
        assert BlockIndex.load([kept.read_bytes()]).digest == hasher.digest()
