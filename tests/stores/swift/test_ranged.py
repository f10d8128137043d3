"""Large files come down by what changed: against a manifest that is remembered, verified as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.engine.model import Method
from syncer.errors import ChangedUnderUs, TransientError, Unreadable
from syncer.stores.swift.download import Here as Known
from syncer.stores.swift.download import Told, runs
from syncer.stores.swift.slo.manifest import Inline, Manifest, Part, Segment
from tests.contents import noise
from tests.stores.swift.bench import MIB, Bench, edit
from tests.stores.swift.large import Here
from tests.swift.server import Swift


@pytest.fixture
def bench(swift: Swift, tmp_path: Path) -> Iterator[Bench]:
    built = Bench(swift, tmp_path)
    yield built
    built.close()


SEGMENTS = {f"c/{n}": noise(n, 120_000) for n in range(3)}


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    parts: list[Part] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 4)) == 0:
            parts.append(Inline(data=draw(st.binary(min_size=1, max_size=20))))
            continue
        path = draw(st.sampled_from(sorted(SEGMENTS)))
        start = draw(st.integers(0, 119_999))
        end = draw(st.integers(start + 1, 120_000))
        parts.append(Segment(path=path, etag=path, size=120_000, start=start, end=end))
    return Manifest(parts=tuple(parts))


def content(manifest: Manifest) -> bytes:
    return b"".join(
        part.data if isinstance(part, Inline) else SEGMENTS[part.path][part.start : part.end]
        for part in manifest.parts
    )


@given(manifests(), manifests())
def test_what_is_here_and_what_is_fetched_make_the_new_content(new: Manifest, old: Manifest) -> None:
    before, after, made = content(old), content(new), b""
    for run in runs(new, old):
        if isinstance(run, Told):
            made += run.data
        elif isinstance(run, Known):
            made += before[run.offset : run.offset + run.size]
        else:
            assert run.start == len(made)
            made += after[run.start : run.start + run.size]
    assert made == after


@given(manifests())
def test_of_the_same_content_nothing_is_fetched(manifest: Manifest) -> None:
    assert all(isinstance(run, Told | Known) for run in runs(manifest, manifest))


def changed(bench: Bench, size: int = 4 * MIB) -> tuple[bytes, bytes]:
    """A file that machine b has, and what machine a made of it since."""
    a, b, old = bench.machine("a"), bench.machine("b"), noise(1, size)
    entry = a.put("big", old).entry
    assert b.get("big") == old
    new = edit(old, 2)
    new = new[:MIB] + b"inserted" + new[MIB:]
    a.put("big", new, over=entry)
    return old, new


def test_only_what_changed_is_fetched(bench: Bench) -> None:
    old, new = changed(bench)
    b = bench.machine("b")
    bench.swift.clear()
    assert b.get("big", Here(old)) == new
    assert b.traffic.method is Method.SEGMENTS and b.traffic.received < 64 << 10
    crossed = sum(asked.sent for asked in bench.swift.requests(method="GET", kind="object"))
    assert crossed <= b.traffic.received + 100  # the marker of the root is no content


def test_the_next_change_is_fetched_the_same_way_in_either_direction(bench: Bench) -> None:
    old, new = changed(bench)
    b = bench.machine("b")
    assert b.get("big", Here(old)) == new
    newer = edit(new, 3)
    done = b.put("big", newer, over=b.entry("big"))
    a = bench.machine("a")
    assert done.method is Method.SEGMENTS and done.sent < 64 << 10
    assert a.get("big", Here(new)) == newer
    assert a.traffic.method is Method.SEGMENTS and a.traffic.received < 64 << 10


def test_a_broken_off_transfer_is_gone_on_with(bench: Bench) -> None:
    old, new = changed(bench)
    b, start = bench.machine("b"), 1_500_000
    assert b.get("big", Here(new[:start], start=start, older=Here(old))) == new[start:]
    assert b.traffic.received < 64 << 10
    assert b.get("big", Here(new[:start], start=start)) == new[start:]  # without the older one


def test_a_machine_that_remembers_nothing_fetches_all(bench: Bench) -> None:
    old, new = changed(bench)
    stranger = bench.machine("c")
    assert stranger.get("big", Here(old)) == new and stranger.traffic.method is Method.WHOLE


def test_what_is_here_is_another_than_it_says(bench: Bench) -> None:
    """A disk that gives back wrong bytes: nothing is published, and the next try fetches all."""
    old, new = changed(bench)
    b = bench.machine("b")

    class Rotten(Here):
        def read(self, offset: int, size: int) -> bytes:
            return bytes(size)

    handed: list[bytes] = []
    with pytest.raises(TransientError):
        handed.extend(b.store.open("big", b.entry("big")).chunks(Rotten(old)))
    assert sum(map(len, handed)) < len(new)
    assert b.get("big", Rotten(old)) == new and b.traffic.method is Method.WHOLE


def test_what_the_disk_does_not_give_back_is_fetched(bench: Bench) -> None:
    old, new = changed(bench)
    b = bench.machine("b")

    class Failing(Here):
        def read(self, offset: int, size: int) -> bytes:
            if offset > 2 * MIB:
                raise Unreadable("a bad sector")
            return super().read(offset, size)

    assert b.get("big", Failing(old)) == new
    assert MIB < b.traffic.received < 3 * MIB


def test_a_write_between_two_ranges_is_noticed(bench: Bench) -> None:
    old, new = changed(bench)
    a, b = bench.machine("a"), bench.machine("b")
    source = b.store.open("big", b.entry("big"))
    pieces = source.chunks(Here(old))
    handed = [next(pieces)]
    a.put("big", edit(new, 9), over=a.entry("big"))
    with pytest.raises(ChangedUnderUs):
        handed.extend(pieces)
    assert sum(map(len, handed)) < len(new)


def test_an_object_that_is_another_by_now_is_noticed(bench: Bench) -> None:
    old, _ = changed(bench)
    b = bench.machine("b")
    expected = b.entry("big")
    bench.hands.put("big", b"theirs")
    with pytest.raises(ChangedUnderUs):
        list(b.store.open("big", expected).chunks(Here(old)))


def test_broken_answers_are_gone_on_with(bench: Bench) -> None:
    a, b, random = bench.machine("a"), bench.machine("b"), Random(1)
    old = noise(1, 2 * MIB)
    entry = a.put("big", old).entry
    assert b.get("big") == old
    new = old[:MIB] + random.randbytes(300 << 10) + old[MIB:]
    a.put("big", new, over=entry)
    bench.swift.rule("cut", method="GET", path=f"{bench.container}/big", after=1, times=3, bytes=50_000)
    assert b.get("big", Here(old)) == new and b.traffic.method is Method.SEGMENTS


def test_segments_that_were_deleted_under_us_are_trouble_not_content(bench: Bench) -> None:
    old, new = changed(bench)
    names = [s.path.partition("/")[2] for s in bench.machine("a").manifest("big").segments]
    bench.segments.ask("DELETE", names[-1])
    b = bench.machine("b")
    assert b.get("big", Here(old)) == new, "what changed is there, and the rest is here"
    stranger = bench.machine("c")
    with pytest.raises((TransientError, ChangedUnderUs, Unreadable)):
        list(stranger.store.open("big", stranger.entry("big")).chunks())


def test_a_large_object_of_another_tool_is_fetched_by_what_changed_too(bench: Bench) -> None:
    machine, pieces = bench.machine(), [noise(n, 300 << 10) for n in range(6)]
    bench.slo("theirs", pieces)
    old = b"".join(pieces)
    assert machine.get("theirs") == old
    pieces[2] = noise(77, 300 << 10)
    bench.slo("theirs", pieces)  # which sends, and overwrites, all segments
    assert machine.get("theirs", Here(old)) == b"".join(pieces)
    assert machine.traffic.received < 310 << 10


def test_a_plain_object_that_was_a_large_one_is_read(bench: Bench) -> None:
    old, _ = changed(bench)
    new = noise(5, MIB)
    bench.hands.put("big", new)
    assert bench.machine("b").get("big", Here(old)) == new
