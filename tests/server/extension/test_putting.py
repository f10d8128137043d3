"""Content that comes in: whole, as deltas, broken off, gone on with, and wrong in every way there is."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from blake3 import blake3

from syncer.delta.rsync import (
    Copy,
    Literal,
    Signature,
    SignatureParams,
    delta,
    encode,
    signature,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Stale
from syncer.errors import BadDelta, ChangedUnderUs, NoSpace, PermanentError, TransientError
from syncer.wire import BASE
from syncer.wire import frames as wire
from syncer.wire.frames import Data, End, Head
from syncer.wire.schema import error_out
from tests.server.extension.speaking import Client, delta_frames, put_frames, told, whole

BIG = 300_000
TOKEN = bytes(range(8))


def send(client, frames):
    return client.call("put", wire.encode(frames)).outcomes


def random_bytes(size: int) -> bytes:
    return blake3(b"%d" % size).digest(size)


def listing(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != ".syncer")


def test_new_files_come_with_content_time_and_bit(client, folder):
    (folder / "d").mkdir()
    items = [("a", b"one", None), ("b", b"", None), ("d/c", random_bytes(BIG), None)]
    done = client.put(*items)
    assert [type(o) for o in done] == [Done] * 3
    for (path, data, _), outcome in zip(items, done, strict=True):
        assert (folder / path).read_bytes() == data
        assert outcome.entry.digest == blake3(data).digest()
        assert outcome.entry.mtime_ns == 1_700_000_000_000_000_000
        assert outcome.entry.version == client.entry(path).version
        assert outcome.method is Method.WHOLE


def test_a_symlink_is_made_and_leads_nowhere_here(client, folder):
    item = told("l", 11, kind=int(Kind.SYMLINK), target="/etc/passwd")
    [done] = send(client, [Head({"items": [item]})])
    assert os.readlink(folder / "l") == "/etc/passwd"
    assert done.entry.target == "/etc/passwd"


def test_a_file_is_replaced_only_if_it_is_the_expected_one(client, folder):
    client.put(("f", b"one", None))
    one = client.entry("f")
    [done] = client.put(("f", b"two", one))
    assert isinstance(done, Done)
    [stale] = client.put(("f", b"three", one))
    assert isinstance(stale, Stale)
    assert (folder / "f").read_bytes() == b"two"


def test_what_the_store_does_not_read_is_passed_over(client, folder):
    (folder / "a").write_bytes(b"taken")
    (folder / "c").write_bytes(b"taken")
    stale, done, again, last = client.put(
        ("a", random_bytes(BIG), None), ("b", b"two", None), ("c", b"x", None), ("d", b"four", None)
    )
    assert isinstance(stale, Stale) and isinstance(again, Stale)
    assert isinstance(done, Done) and isinstance(last, Done)
    assert (folder / "b").read_bytes() == b"two"
    assert (folder / "a").read_bytes() == b"taken"


def test_a_wrong_digest_puts_nothing(client, folder):
    frames = [Head({"items": [told("f", 3)]}), *whole(0, b"abc", digest=bytes(32))]
    [failed] = send(client, frames)
    assert isinstance(failed.error, BadDelta)
    assert listing(folder) == []


def test_a_delta_that_makes_much_of_next_to_nothing_is_refused(client, folder):
    """27 KB made 1.6 GiB: copies of the old content, as often as fit a delta."""
    old = random_bytes(BIG)
    (folder / "f").write_bytes(old)
    size = 200 * BIG
    swollen = b"".join(encode([Copy(0, BIG)] * 200))
    assert len(swollen) < 2000
    [failed] = send(client, delta_frames("f", client.entry("f"), swollen, size, blake3(old * 200).digest()))
    assert isinstance(failed.error, BadDelta)
    assert "send it whole" in failed.error.message
    assert (folder / "f").read_bytes() == old
    assert listing(folder) == ["f"]


def test_what_does_not_fit_the_disk_is_refused_before_it_is_received(client, folder):
    room = os.statvfs(folder)
    more = room.f_bavail * room.f_frsize + (1 << 30)
    refused, done = send(client, [Head({"items": [told("f", more), told("g", 1)]}), *whole(1, b"g")])
    assert isinstance(refused.error, NoSpace)
    assert isinstance(done, Done)
    assert listing(folder) == ["g"]


@pytest.mark.parametrize("size", [2, 4, 1 << 20])
def test_a_content_of_another_size_than_announced_puts_nothing(client, folder, size):
    [failed] = send(client, [Head({"items": [told("f", size)]}), *whole(0, b"abc")])
    assert isinstance(failed.error, BadDelta)
    assert listing(folder) == []


def test_what_the_client_takes_back_is_not_kept(client, folder):
    frames = [
        Head({"items": [told("f", BIG, token=TOKEN), told("g", 1)]}),
        Head({"index": 0, "encoding": "whole", "start": 0}),
        Data(random_bytes(BIG)[:-1]),
        End({"error": error_out(TransientError("my disk"))}),
        *whole(1, b"g"),
    ]
    failed, done = send(client, frames)
    assert isinstance(failed.error, ChangedUnderUs)
    assert isinstance(done, Done)
    assert listing(folder) == ["g"]


def test_a_content_that_is_left_out_is_that_items_trouble(client, folder):
    failed, done = send(client, [Head({"items": [told("f", 1), told("g", 1)]}), *whole(1, b"g")])
    assert isinstance(failed.error, PermanentError)
    assert isinstance(done, Done)


def test_paths_that_are_ours_are_refused_and_the_others_flow(client, folder):
    outcomes = client.put((".syncer-tmp-x", b"2", None), (".syncer/x", b"1", None))
    assert [o.error.code for o in outcomes] == ["unholdable", "unholdable"]
    refused, done = client.put((".SYNCER", b"1", None), ("f", b"3", None))
    assert isinstance(refused, Failed) and isinstance(done, Done)
    assert (folder / "f").read_bytes() == b"3"


# -- deltas --------------------------------------------------------------------


@pytest.fixture
def old(client):
    content = random_bytes(BIG)
    client.put(("f", content, None))
    return content


def made(old: bytes, new: bytes) -> bytes:
    parameters = SignatureParams(block_len=1024, strong_len=8)
    against = Signature.load(signature([old], parameters), basis_size=len(old))
    return b"".join(delta(against, [new]))


def test_a_delta_is_applied_to_what_is_here(client, folder, old):
    new = old[:1000] + b"inserted" + old[1000:-5]
    patch = made(old, new)
    assert len(patch) < 4096
    [done] = send(client, delta_frames("f", client.entry("f"), patch, len(new), blake3(new).digest()))
    assert (folder / "f").read_bytes() == new
    assert done.method is Method.DELTA
    assert done.entry.digest == blake3(new).digest()


def wrong_deltas() -> dict[str, bytes]:
    magic = bytes.fromhex("72730236")
    good = b"".join(encode([Copy(0, BIG)]))
    return {
        "empty": b"",
        "no magic": b"\0\0\0\0\0",
        "no end": good[:-1],
        "cut": good[:5],
        "bytes after the end": good + b"x",
        "reserved": magic + b"\x55\0",
        "copy beyond the old content": b"".join(encode([Copy(1, BIG)])),
        "copy of 2^60 bytes": b"".join(encode([Copy(0, 1 << 60)])),
        "copy of nothing": magic + bytes([0x45, 0, 0]) + b"\0",
        "literal of 2^60 bytes": magic + b"\x44" + (1 << 60).to_bytes(8, "big") + b"xyz",
        "more than announced": b"".join(encode([Copy(0, BIG), Literal(b"x")])),
        "less than announced": b"".join(encode([Copy(0, BIG - 1)])),
        "other bytes": b"".join(encode([Copy(0, BIG - 1), Literal(b"\xff")])),
    }


@pytest.mark.parametrize("name", wrong_deltas())
def test_a_delta_that_is_wrong_in_any_way_leaves_the_file(client, folder, old, name):
    frames = delta_frames("f", client.entry("f"), wrong_deltas()[name], BIG, blake3(old).digest())
    [failed] = send(client, frames)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, BadDelta)
    assert (folder / "f").read_bytes() == old
    assert listing(folder) == ["f"]


def test_a_delta_against_another_version_is_stale(client, folder, old):
    before = client.entry("f")
    client.put(("f", b"x" * BIG, before))
    frames = delta_frames("f", before, made(old, old + b"1"), BIG + 1, blake3(old + b"1").digest())
    [stale] = send(client, frames)
    assert isinstance(stale, Stale)
    assert (folder / "f").read_bytes() == b"x" * BIG


def test_a_delta_of_a_file_that_was_edited_in_place_meanwhile_is_not_published(client, folder, old):
    before = client.entry("f")

    def frames():
        yield Head({"items": [told("f", BIG, before)]})
        yield Head({"index": 0, "encoding": "delta", "start": 0})
        with (folder / "f").open("r+b") as file:
            file.write(b"EDIT")
        yield Data(b"".join(encode([Copy(0, BIG)])))
        yield End({"digest": blake3(old).digest().hex()})

    [outcome] = send(client, frames())
    assert not isinstance(outcome, Done)
    assert (folder / "f").read_bytes() == b"EDIT" + old[4:]


def test_a_delta_for_a_new_file_is_refused(client, folder):
    frames = delta_frames("n", None, b"".join(encode([Literal(b"x")])), 1, blake3(b"x").digest())
    [failed] = send(client, frames)
    assert isinstance(failed.error, BadDelta)
    assert listing(folder) == []


# -- broken connections -----------------------------------------------------------


def half(client, frames, keep: int, *, until: Callable[[], bool] = lambda: True) -> None:
    """Sends so many bytes of a put, and lets go once the server is at it and `until` is true."""
    body = b"".join(wire.encode(frames))
    head = f"POST /{BASE}put HTTP/1.1\r\nHost: x\r\nX-Key: all\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(head.encode() + body[:keep])
        eventually(client.working)
        eventually(until)


def eventually(true: Callable[[], object]) -> None:
    """Returns once it is."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never is"


def arriving(folder) -> Callable[[], bool]:
    """Whether there is a MiB of something under a temporary name."""
    return lambda: any(p.stat().st_size >= 1 << 20 for p in folder.glob(".syncer-tmp-*"))


def quiet(client) -> None:
    """Returns once the server is done with what was sent before."""
    deadline = time.monotonic() + 20
    while client.working():
        assert time.monotonic() < deadline, "a call goes on after its client left"
        client.call("quota")


def test_a_put_broken_off_at_any_frame_leaves_old_or_new_content(client, folder):
    """Every cut: the file that came whole before it may be there, nothing of the others is."""
    client.put(("b", b"old" * 50, None))
    data = {"a": b"A" * 200, "b": b"B" * 200, "c": b"C" * 200}
    body = b"".join(wire.encode(put_frames(*((p, d, None) for p, d in data.items()))))
    for keep in sorted({*range(0, len(body), 97), len(body) - 6, len(body) - 1}):
        expected = {p: (client.entry(p) if (folder / p).exists() else None) for p in data}
        half(client, put_frames(*((p, d, expected[p]) for p, d in data.items())), keep)
        quiet(client)
        for path, content in data.items():
            if (folder / path).exists():
                assert (folder / path).read_bytes() in (content, b"old" * 50), (keep, path)
        assert set(listing(folder)) <= set(data), keep


def test_a_put_that_was_broken_off_goes_on_where_it_stopped(client, folder):
    content = random_bytes(3 << 20)
    frames = list(put_frames(("f", content, None), token=TOKEN))
    half(client, frames, 2 << 20, until=arriving(folder))
    quiet(client)
    start = client.call("partial", {"path": "f", "token": TOKEN.hex()}).json["start"]
    assert 1 << 20 <= start <= 2 << 20
    rest = [Head({"items": [told("f", len(content), token=TOKEN)]}), *whole(0, content, start=start)]
    [done] = send(client, rest)
    assert isinstance(done, Done)
    assert (folder / "f").read_bytes() == content
    assert client.call("partial", {"path": "f", "token": TOKEN.hex()}).json == {"start": 0}


def test_a_beginning_that_is_not_of_this_content_is_found_out_and_dropped(client, folder):
    content = random_bytes(3 << 20)
    half(client, list(put_frames(("f", bytes(3 << 20), None), token=TOKEN)), 2 << 20, until=arriving(folder))
    quiet(client)
    start = client.call("partial", {"path": "f", "token": TOKEN.hex()}).json["start"]
    assert start
    rest = [Head({"items": [told("f", len(content), token=TOKEN)]}), *whole(0, content, start=start)]
    [failed] = send(client, rest)
    assert isinstance(failed.error, BadDelta)
    assert client.call("partial", {"path": "f", "token": TOKEN.hex()}).json == {"start": 0}
    [done] = client.put(("f", content, None))
    assert isinstance(done, Done)


def test_a_beginning_is_not_needed_by_who_sends_everything(client, folder):
    content = random_bytes(3 << 20)
    half(client, list(put_frames(("f", content, None), token=TOKEN)), 2 << 20, until=arriving(folder))
    quiet(client)
    [done] = client.put(("f", content, None), token=TOKEN)
    assert isinstance(done, Done)
    assert (folder / "f").read_bytes() == content


def test_who_claims_a_beginning_that_is_not_here_is_told(client, folder):
    content = random_bytes(BIG)
    [failed] = send(client, [Head({"items": [told("f", BIG, token=TOKEN)]}), *whole(0, content, start=1000)])
    assert "beginning" in failed.error.message
    assert isinstance(failed.error, BadDelta)
    assert listing(folder) == []


def test_of_a_file_that_changes_again_and_again_a_few_former_sketches_are_kept(client):
    """An image of 200 MB that was written to each minute left 2 MB each time, up to 512 MiB."""
    contents = [os.urandom(1 << 20) for _ in range(12)]
    assert overwritten(client, contents) == [False] * 3 + [True] * 9
    now = replace(client.entry("f"), digest=blake3(contents[11]).digest())
    assert overwritten(client, [contents[3]], now) == [True], "it stands again, and is former no more"


def overwritten(client: Client, contents: list[bytes], expected: Entry | None = None) -> list[bool]:
    """One content after another at the same path; of which of them a sketch is kept then."""
    for content in contents:
        client.put(("f", content, expected))
        quiet(client)
        assert client.sketches.settle(20)
        expected = replace(client.entry("f"), digest=blake3(content).digest())
    return [client.sketches.get("", blake3(content).digest()) is not None for content in contents]


def test_a_sketch_is_kept_of_what_came(client):
    content = random_bytes(2 << 20)
    client.put(("f", content, None))
    quiet(client)
    assert client.sketches.settle(20)
    assert client.sketches.get("", blake3(content).digest()).size == len(content)
    new = content[:100] + content[200:]
    [done] = send(
        client, delta_frames("f", client.entry("f"), made(content, new), len(new), blake3(new).digest())
    )
    assert isinstance(done, Done)
    quiet(client)
    assert client.sketches.settle(20)
    assert client.sketches.get("", blake3(new).digest()).digest == blake3(new).digest()
