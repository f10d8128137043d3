"""Content that goes out: whole, from a place on, as deltas; and the end that only true content has."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing

import pytest
from blake3 import blake3

from syncer.delta.rsync import SignatureParams, patch, signature
from syncer.wire import BASE, schema
from syncer.wire import frames as wire
from syncer.wire.frames import Data, End, Head
from tests.server.extension.speaking import contents, wanted
from tests.server.extension.test_putting import quiet, random_bytes

BIG = 3 << 20


class Bytes:
    """A basis."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def error(end: End) -> str:
    return end.fields["error"]["code"]


def test_files_come_whole_each_with_its_digest_and_entry(client, folder):
    files = {"a": b"one", "b": b"", "c": random_bytes(BIG)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    asked = [wanted(name, client.entry(name)) for name in files]
    found = list(contents(client.call("fetch", {"wanted": asked}).frames))
    for index, (head, data, end) in enumerate(found):
        name = "abc"[index]
        assert head.fields == {"index": index, "size": len(files[name]), "encoding": "whole"}
        assert data == files[name]
        assert end.fields["digest"] == blake3(data).hexdigest()
        assert schema.entry_in(end.fields["entry"]).version == client.entry(name).version


def test_a_file_comes_from_a_place_on_with_the_digest_of_all_of_it(client, folder):
    data = random_bytes(BIG)
    (folder / "f").write_bytes(data)
    _, rest, end = client.fetch("f", client.entry("f"), start=BIG - 1000)
    assert rest == data[-1000:]
    assert end.fields["digest"] == blake3(data).hexdigest()
    _, nothing, end = client.fetch("f", client.entry("f"), start=BIG + 5)
    assert nothing == b""
    assert end.fields["digest"] == blake3(data).hexdigest()


def test_trouble_with_one_file_is_in_its_end_and_the_others_come(client, folder):
    for name in "abcd":
        (folder / name).write_bytes(name.encode())
    entries = {name: client.entry(name) for name in "abcd"}
    (folder / "a").write_bytes(b"changed")
    (folder / "b").unlink()
    (folder / "c").unlink()
    os.mkfifo(folder / "c")
    asked = [
        *(wanted(n, entries[n]) for n in "abc"),
        wanted(".syncer/root-id", entries["a"]),
        wanted("d", entries["d"]),
    ]
    a, b, c, ours, d = (end for _, _, end in contents(client.call("fetch", {"wanted": asked}).frames))
    assert error(a) == "busy"
    assert error(b) == "not-found"
    assert error(c) in ("busy", "unreadable", "refused", "transient")
    assert error(ours) == "unholdable"
    assert d.fields["digest"] == blake3(b"d").hexdigest()


def test_a_file_that_changes_while_it_is_sent_has_no_end_with_a_digest(client, folder):
    """It is too large to be on its way before its reader takes it: so the change comes in the middle."""
    (folder / "f").write_bytes(bytes(64 << 20))
    body = json.dumps({"wanted": [wanted("f", client.entry("f"))]})
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    connection.request("POST", f"/{BASE}fetch", body, client.headers)
    with closing(connection), connection.getresponse() as response:
        begun = response.read(1 << 20)
        with (folder / "f").open("ab") as file:
            file.write(b"more")
        [(_, _, end)] = contents(wire.decode([begun, response.read()]))
    assert error(end) == "busy"


def test_a_delta_comes_where_the_server_knows_what_the_client_has(client, folder):
    old = random_bytes(BIG)
    client.put(("f", old, None))
    quiet(client)
    assert client.sketches.settle(20)
    new = old[:100_000] + b"inserted" + old[100_000:]
    (folder / "f").write_bytes(new)
    head, delta, end = client.fetch("f", client.entry("f"), have=blake3(old).digest())
    assert head.fields == {"index": 0, "size": len(new), "encoding": "delta"}
    assert len(delta) < 20_000
    assert b"".join(patch(Bytes(old), [delta], size=len(new))) == new
    assert end.fields["digest"] == blake3(new).hexdigest()
    quiet(client)
    assert client.sketches.get("", blake3(new).digest()) is not None


def test_a_server_that_does_not_know_what_the_client_has_asks(client, folder):
    (folder / "f").write_bytes(b"x" * BIG)
    head, data, end = client.fetch("f", client.entry("f"), have=bytes(32))
    assert (head.fields["encoding"], data, end.fields) == ("ask", b"", {})


def test_who_goes_on_with_a_download_gets_the_rest_whatever_it_has(client, folder):
    data = random_bytes(BIG)
    (folder / "f").write_bytes(data)
    head, rest, _ = client.fetch("f", client.entry("f"), have=bytes(32), start=BIG - 5)
    assert head.fields["encoding"] == "whole"
    assert rest == data[-5:]


def ask_delta(client, path, entry, sums, **more):
    frames = [Head({"path": path, "entry": schema.entry_out(entry), **more}), Data(sums), End({})]
    return client.call("delta", wire.encode(frames))


def test_a_delta_is_made_against_the_clients_signature(client, folder):
    old = random_bytes(BIG)
    new = old[:500_000] + b"edit" + old[500_004:]
    (folder / "f").write_bytes(new)
    sums = b"".join(signature([old], SignatureParams.for_wire(len(old))))
    [(head, delta, end)] = contents(ask_delta(client, "f", client.entry("f"), sums, size=len(old)).frames)
    assert head.fields["encoding"] == "delta"
    assert len(delta) < len(new) // 10
    assert b"".join(patch(Bytes(old), [delta], size=len(new))) == new
    assert end.fields["digest"] == blake3(new).hexdigest()


@pytest.mark.parametrize(
    "sums",
    [
        b"",
        b"rs\x016",
        bytes(12),
        b"rs\x01G\0\0\0\x01\0\0\0\x08",
        b"rs\x01G\0\0\x04\0\0\0\0\xff",
        b"rs\x01G" * 99,
    ],
)
def test_a_signature_that_is_none_is_refused(client, folder, sums):
    (folder / "f").write_bytes(b"x" * BIG)
    refused = ask_delta(client, "f", client.entry("f"), sums, size=100)
    assert refused.status == 400
    assert refused.json["error"]["code"] == "bad-delta"


def test_a_signature_is_given_for_the_wire_or_as_fine_as_asked(client, folder):
    data = random_bytes(BIG)
    (folder / "f").write_bytes(data)
    asked = {"path": "f", "entry": schema.entry_out(client.entry("f")), "block": 0, "strong": 0}
    head, *sums, end = client.call("signature", asked).frames
    assert head.fields == {"size": BIG}
    usual = b"".join(signature([data], SignatureParams.for_wire(BIG)))
    assert b"".join(s.payload for s in sums) == usual
    assert end.fields["digest"] == blake3(data).hexdigest()
    head, *sums, end = client.call("signature", {**asked, "block": 4096, "strong": 16}).frames
    assert b"".join(s.payload for s in sums)[4:12] == b"\0\0\x10\0\0\0\0\x10"
    for block, strong in ((1, 8), (255, 8), (1 << 40, 8), (4096, 33)):
        assert client.call("signature", {**asked, "block": block, "strong": strong}).status == 400


def test_the_signature_of_a_file_that_is_gone_ends_in_an_error(client, folder):
    (folder / "f").write_bytes(b"x")
    entry = schema.entry_out(client.entry("f"))
    (folder / "f").unlink()
    *_, end = client.call("signature", {"path": "f", "entry": entry, "block": 0, "strong": 0}).frames
    assert error(end) == "not-found"


def test_a_delta_that_is_packed_is_read_and_answered_packed(client, folder):
    import zstandard

    (folder / "f").write_bytes(bytes(BIG))
    sums = b"".join(signature([b"x" * BIG], SignatureParams.for_wire(BIG)))
    frames = [Head({"path": "f", "entry": schema.entry_out(client.entry("f"))}), Data(sums), End({})]
    body = zstandard.ZstdCompressor().compress(b"".join(wire.encode(frames)))
    packed = {"Content-Encoding": "zstd", "Accept-Encoding": "zstd"}
    [(_, delta, end)] = contents(client.call("delta", body, headers=packed).frames)
    assert b"".join(patch(Bytes(b"x" * BIG), [delta], size=BIG)) == bytes(BIG)
    assert end.fields["digest"] == blake3(bytes(BIG)).hexdigest()
