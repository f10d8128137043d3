"""Bytes, requests and seconds of a delta upload, and of the download that follows it, on real S3 servers.

    python -m tests.stores.s3.bench [--size MIB] [rgw|swift|seaweedfs|moto …]

Bytes up and down are those of bodies, as the server's side counts them; `with headers` adds what the client
sends around them. Each content is read back whole and compared.
"""

from __future__ import annotations

import argparse
import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3

from syncer.stores.s3.delta import LineSpeed, NewRange, OldRange, Piece, plan
from syncer.stores.s3.delta_upload import DeltaUpload
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.names import BucketPath
from syncer.stores.s3.objects import CopySource, S3Bucket
from syncer.stores.s3.recipes import Recipe
from tests.s3.fixtures import client
from tests.s3.servers import KINDS, S3Server, shared

MIB = 1 << 20
HOME_LINE = LineSpeed(latency=0.01, bandwidth=2.5e6, copy_rate=300e6)  # 20 Mbit/s up
KEY = "folder/large.img"


def scattered(old: bytes, count: int, seed: int) -> tuple[bytes, list[Piece]]:
    """`count` edits of 4 KiB, and 1 KiB inserted after the first MiB."""
    rng = random.Random(seed)
    places = [rng.randrange(len(old) - 4096) for _ in range(count)]
    events = sorted([*((at, 4096, rng.randbytes(4096)) for at in places), (MIB, 0, rng.randbytes(1024))])
    pieces: list[Piece] = []
    parts: list[bytes] = []
    position = length = 0
    for at, cut, data in events:
        if at < position:
            continue
        pieces += [OldRange(position, at - position), NewRange(length + at - position, len(data))]
        parts += [old[position:at], data]
        length += at - position + len(data)
        position = at + cut
    return b"".join([*parts, old[position:]]), [*pieces, OldRange(position, len(old) - position)]


def one_byte(old: bytes, _count: int, _seed: int) -> tuple[bytes, list[Piece]]:
    """Another byte in the middle."""
    at = len(old) // 2
    new = old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :]
    return new, [OldRange(0, at), NewRange(at, 1), OldRange(at + 1, len(old) - at - 1)]


def in_front(old: bytes, _count: int, _seed: int) -> tuple[bytes, list[Piece]]:
    """Five bytes in front of all."""
    return b"hello" + old, [NewRange(0, 5), OldRange(0, len(old))]


EDITS: Sequence[tuple[str, Callable[[bytes, int, int], tuple[bytes, list[Piece]]]]] = (
    ("20 edits of 4 KiB + 1 KiB", scattered),
    ("one byte", one_byte),
    ("5 bytes in front", in_front),
)


def first_upload(bucket: S3Bucket, content: bytes) -> str:
    """In parts of 16 MiB; the ETag."""
    uploads = MultipartUploads(bucket)
    upload = uploads.create(KEY)
    pieces = [content[at : at + 16 * MIB] for at in range(0, len(content), 16 * MIB)]
    parts = [uploads.send(KEY, upload, number, piece) for number, piece in enumerate(pieces, 1)]
    return uploads.complete(KEY, upload, parts).etag


def measured(server: S3Server, size: int) -> None:
    """All edits, one after the other, on one server."""
    requests = client(server, f"bench-{uuid.uuid4().hex[:8]}")
    bucket = S3Bucket(requests)
    bucket.create()
    place = BucketPath(bucket=requests.bucket)
    rng = random.Random(7)
    old = b"".join(rng.randbytes(MIB) for _ in range(size))
    first_upload(bucket, old)
    recipe = Recipe(digest=blake3(old).digest(), size=len(old))
    for name, edit in EDITS:
        new, pieces = edit(old, 20, 9)
        found = plan(pieces, old_size=len(old), line=HOME_LINE)
        assert found is not None
        server.control.clear()
        began = time.monotonic()
        with ThreadPoolExecutor(4) as executor:
            made = DeltaUpload(
                bucket, key=KEY, source=CopySource(key=KEY), plan=found, helpers=place.helpers,
                read=lambda start, length, new=new: new[start : start + length],  # type: ignore[misc]
            ).run(meta={}, executor=executor)  # fmt: skip
        recipe = recipe.following(digest=blake3(new).digest(), size=len(new), pieces=pieces)
        bucket.put(place.recipe(KEY, made.etag), recipe.content())
        seconds = time.monotonic() - began
        asked = server.control.requests()
        up = sum(one.received for one in asked)
        headers = sum(len(one.path) + len(one.query) for one in asked) + 480 * len(asked)
        server.control.clear()
        fresh = downloaded(bucket, place, made.etag, old)
        down = sum(one.sent for one in server.control.requests())
        asked_down = len(server.control.requests())
        with bucket.get(KEY) as answer:
            assert answer.read(1 << 40) == new == fresh, "the content is another one"
        assert [row.key for row in bucket.rows(place.helpers)] == []
        print(
            f"{server.kind:10} {size} MiB, {name:26} up {up:>9,} B ({found.sent:,} new; with headers"
            f" ~{up + headers:,}), {len(asked)} requests, {found.copied / 1e6:.0f} MB copied,"
            f" {seconds:.1f} s; down {down:,} B, {asked_down} requests",
            flush=True,
        )
        old = new
    bucket.delete_many([(row.key, "") for row in bucket.rows()])
    bucket.delete_bucket()
    requests.close()


def downloaded(bucket: S3Bucket, place: BucketPath, etag: str, old: bytes) -> bytes:
    """What a machine does that has the old version: the companion, then the ranges that are new."""
    head = bucket.head(KEY)
    assert head is not None and head.etag == etag
    with bucket.get(place.recipe(KEY, etag)) as answer:
        recipe = Recipe.of(answer.read(), size=head.size)
    assert recipe is not None
    ancestor = recipe.ancestor(blake3(old).digest())
    assert ancestor is not None
    parts = []
    for piece in ancestor.pieces:
        if isinstance(piece, OldRange):
            parts.append(old[piece.start : piece.start + piece.length])
        else:
            with bucket.get(KEY, start=piece.start, end=piece.start + piece.length, etag=etag) as answer:
                parts.append(answer.read())
    content = b"".join(parts)
    assert blake3(content).digest() == recipe.digest
    return content


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--size", type=int, default=64)
    words = parser.parse_args()
    for kind in words.kinds:
        measured(shared(kind), words.size)


if __name__ == "__main__":
    main()
