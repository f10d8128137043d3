"""A companion says how to make an object from older versions, and counts only where it can be right."""

from __future__ import annotations

import json
import random
import zlib

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from syncer.stores.s3.delta import NewRange, OldRange, Piece
from syncer.stores.s3.recipes import MAX_ANCESTORS, MAX_BYTES, Ancestor, Recipe, compose


def digest(content: bytes) -> bytes:
    return blake3(content).digest()


def made(pieces: tuple[Piece, ...], old: bytes, new: bytes) -> bytes:
    return b"".join((old if isinstance(p, OldRange) else new)[p.start : p.start + p.length] for p in pieces)


def edited(rng: random.Random, old: bytes) -> tuple[bytes, list[Piece]]:
    new, pieces = b"", list[Piece]()
    for _ in range(rng.randrange(1, 8)):
        if old and rng.random() < 0.7:
            start = rng.randrange(len(old))
            length = rng.randrange(len(old) - start + 1)
            pieces.append(OldRange(start, length))
            new += old[start : start + length]
        else:
            data = rng.randbytes(rng.randrange(9))
            pieces.append(NewRange(len(new), len(data)))
            new += data
    return new, pieces


@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_each_older_version_leads_to_the_newest(rng: random.Random, generations: int) -> None:
    content = rng.randbytes(60)
    versions = [content]
    recipe = Recipe(digest=digest(content), size=len(content))
    for _ in range(generations):
        content, pieces = edited(rng, content)
        recipe = recipe.following(digest=digest(content), size=len(content), pieces=pieces)
        versions.append(content)
    read = Recipe.of(recipe.content(), size=len(content))
    assert read == recipe
    for old in versions:
        ancestor = recipe.ancestor(digest(old))
        if ancestor is not None:
            assert made(ancestor.pieces, old, content) == content
    assert len(versions) == 1 or digest(versions[-2]) == recipe.ancestors[0].digest


@given(st.randoms(use_true_random=False))
def test_composed_pieces_make_the_newest_content_from_the_oldest(rng: random.Random) -> None:
    oldest = rng.randbytes(50)
    middle, earlier = edited(rng, oldest)
    newest, later = edited(rng, middle)
    assert made(compose(later, [p for p in earlier if p.length]), oldest, newest) == newest


def test_a_companion_stays_small_and_keeps_the_newest_versions() -> None:
    rng = random.Random(3)
    size = 512 << 20
    recipe = Recipe(digest=rng.randbytes(32), size=size)
    for _ in range(25):
        pieces: list[Piece] = []
        at = 0
        for start in sorted(rng.sample(range(4096, size - 8192, 8192), 20)):
            pieces += [OldRange(at, start - at), NewRange(start, 4096)]
            at = start + 4096
        recipe = recipe.following(
            digest=rng.randbytes(32), size=size, pieces=[*pieces, OldRange(at, size - at)]
        )
        stored = recipe.content()
        assert len(stored) <= MAX_BYTES
        read = Recipe.of(stored, size=size)
        assert read is not None and read.ancestors[0] == recipe.ancestors[0]
        recipe = read
    assert len(recipe.ancestors) == MAX_ANCESTORS


def test_a_damaged_companion_is_none() -> None:
    recipe = Recipe(
        digest=bytes(32),
        size=10,
        ancestors=(Ancestor(digest=bytes(32), size=9, pieces=(OldRange(0, 9), NewRange(9, 1))),),
    )
    content = recipe.content()
    assert Recipe.of(content, size=10) == recipe
    assert Recipe.of(content, size=11) is None
    for at in range(len(content)):
        assert Recipe.of(content[:at], size=10) is None
        damaged = bytearray(content)
        damaged[at] ^= 4
        assert Recipe.of(bytes(damaged), size=10) in (None, recipe)
    for rows in (
        [[1]],
        [[0, 0]],
        [[20, 0]],
        [[10, -2]],
        [[10, True]],
        [["10", 0]],
        [[10, 1]],
        [[4, 0]],
        "x",
        [[1e9, 0]],
    ):
        document = {"version": 1, "digest": "00" * 32, "size": 10, "ancestors": [["00" * 32, 10, rows]]}
        assert Recipe.of(zlib.compress(json.dumps(document).encode()), size=10) is None, rows


def test_a_companion_that_unpacks_without_end_is_none() -> None:
    assert Recipe.of(zlib.compress(b"[" * (64 << 20)), size=1) is None
