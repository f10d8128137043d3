"""Layouts of changed files: they give the new content, however many edits came before, and stay readable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from secrets import token_hex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.delta.rsync import Copy, Literal
from syncer.stores.swift.slo.layout import (
    InlineBytes,
    LayoutLimits,
    NewBytes,
    SloFeatures,
    Step,
    Upload,
    fragmentation_of,
    fresh,
    gathered,
    limits,
    planned,
    segment_size,
)
from syncer.stores.swift.slo.manifest import Inline, Manifest, Part, Segment
from tests.contents import noise

SMALL = LayoutLimits(
    segment=16 << 10,
    shortest=1 << 10,
    inline=64,
    most_inline=256,
    min_kept_gap=8,
    least_parts=16,
    least_dead=32 << 10,
)
"""The usual proportions, a thousandth of the size."""
DIALECTS = {
    "swift": SloFeatures(),
    "ceph": SloFeatures(ranges=False, inline=False),
    "old": SloFeatures(inline=False),
    "tight": SloFeatures(parts=40),
}


@dataclass
class Cluster:
    """Segments by path, and what a plan's steps make of them."""

    features: SloFeatures
    thresholds: LayoutLimits = SMALL
    objects: dict[str, bytes] = field(default_factory=dict)
    sent: int = 0

    def put(self, steps: Sequence[Step], content: bytes) -> Manifest:
        return Manifest(parts=tuple(self._part(step, content) for step in steps))

    def _part(self, step: Step, content: bytes) -> Part:
        if isinstance(step, Segment):
            return step
        data = content[step.start : step.start + step.size]
        self.sent += len(data)
        if isinstance(step, InlineBytes):
            return Inline(data=data)
        path = f"c/{len(self.objects)}"
        self.objects[path] = data
        return Segment.whole(path, etag=hashlib.md5(data).hexdigest(), size=len(data))

    def read(self, manifest: Manifest) -> bytes:
        return b"".join(
            part.data if isinstance(part, Inline) else self.objects[part.path][part.start : part.end]
            for part in manifest.parts
        )

    def first(self, content: bytes) -> Manifest:
        return self.put(fresh(len(content), self.features, self.thresholds), content)

    def edit(self, old: Manifest, changes: Sequence[Copy | NewBytes], content: bytes) -> Manifest:
        steps = planned(old, changes, features=self.features, thresholds=self.thresholds)
        manifest = self.put(steps, content)
        assert self.read(manifest) == content
        assert fragmentation_of(steps, self.thresholds).within(
            limits(len(content), self.features, self.thresholds)
        )
        if not self.features.ranges:
            assert all(segment.is_whole for segment in manifest.segments)
        if not self.features.inline:
            assert not any(isinstance(part, Inline) for part in manifest.parts)
        return manifest


Cut = tuple[int, int, bytes]  # at, removed, inserted


def changed(content: bytes, cuts: Sequence[Cut]) -> tuple[list[Copy | NewBytes], bytes]:
    """Edits in ascending order as commands, and what they make."""
    commands: list[Copy | Literal] = []
    at, made = 0, b""
    for place, removed, data in sorted(cuts):
        place = max(place, at)
        if place > at:
            commands.append(Copy(at, place - at))
        made += content[at:place] + data
        commands.append(Literal(data))
        at = min(place + removed, len(content))
    if at < len(content):
        commands.append(Copy(at, len(content) - at))
    return gathered(commands), made + content[at:]


cuts = st.lists(
    st.tuples(st.integers(0, 200_000), st.integers(0, 40_000), st.integers(0, 30_000)), min_size=1, max_size=8
)


def fitted(drawn: Sequence[tuple[int, int, int]], content: bytes, seed: int) -> list[Cut]:
    return [(min(at, len(content)), gone, noise(seed + n, new)) for n, (at, gone, new) in enumerate(drawn)]


@given(st.sampled_from(sorted(DIALECTS)), st.lists(cuts, min_size=1, max_size=6), st.integers(1, 150_000))
def test_a_layout_gives_the_new_content_and_keeps_to_the_limits(
    features: str, edits: list[list[tuple[int, int, int]]], size: int
) -> None:
    cluster = Cluster(DIALECTS[features])
    content = noise(1, size)
    manifest = cluster.first(content)
    for turn, drawn in enumerate(edits):
        changes, content = changed(content, fitted(drawn, content, turn * 10))
        manifest = cluster.edit(manifest, changes, content)


@settings(max_examples=5)
@given(st.sampled_from(sorted(DIALECTS)), st.integers(0, 1000))
def test_three_hundred_edits_leave_an_object_that_reads_like_a_fresh_one(features: str, seed: int) -> None:
    cluster, random = Cluster(DIALECTS[features]), Random(seed)
    content = noise(seed, 512 << 10)
    manifest = cluster.first(content)
    least = len(manifest.parts)
    for _ in range(300):
        at, gone = random.randrange(len(content)), random.choice([0, 4, 4, 40])
        changes, content = changed(content, [(at, gone, random.randbytes(random.choice([1, 4, 4, 200])))])
        manifest = cluster.edit(manifest, changes, content)
    parts = len(list(manifest.segments))
    assert parts <= max(SMALL.least_parts, SMALL.max_fragmentation * least)


def test_what_rewriting_costs_is_bounded_over_many_edits() -> None:
    """An edit costs at most a small share of the file on average: no rewrite each time."""
    cluster, random = Cluster(DIALECTS["swift"]), Random(7)
    content = noise(7, 512 << 10)
    manifest = cluster.first(content)
    cluster.sent = 0
    for _ in range(300):
        at = random.randrange(len(content) - 4)
        changes, content = changed(content, [(at, 4, random.randbytes(4))])
        manifest = cluster.edit(manifest, changes, content)
    assert cluster.sent / 300 < len(content) / 100


def test_a_small_edit_goes_into_the_manifest_and_sends_nothing_else() -> None:
    cluster = Cluster(DIALECTS["swift"])
    content = noise(1, 100 << 10)
    old = cluster.first(content)
    cluster.sent = 0
    changes, content = changed(content, [(50_000, 4, b"new!")])
    cluster.edit(old, changes, content)
    assert cluster.sent == 4


def test_an_insert_at_the_start_moves_nothing() -> None:
    cluster = Cluster(DIALECTS["swift"])
    content = noise(1, 500 << 10)
    old = cluster.first(content)
    changes, content = changed(content, [(0, 0, noise(2, 1000))])
    new = cluster.edit(old, changes, content)
    assert new.parts[1:] == old.parts


def test_without_ranges_the_other_segments_stay_whole() -> None:
    cluster = Cluster(DIALECTS["ceph"])
    content = noise(1, 160 << 10)
    old = cluster.first(content)
    changes, content = changed(content, [(5, 1, b"xyz")])
    new = cluster.edit(old, changes, content)
    assert new.parts[1:] == old.parts[1:] and new.parts[0].length == old.parts[0].length + 2


def test_content_that_is_all_new_is_laid_out_afresh() -> None:
    old = Cluster(DIALECTS["swift"]).first(noise(1, 100 << 10))
    steps = planned(old, [NewBytes(90_000), Copy(0, 1000)], features=SloFeatures(), thresholds=SMALL)
    assert steps == fresh(91_000, SloFeatures(), SMALL)
    assert all(isinstance(step, Upload) for step in steps)


def test_segments_that_are_mostly_dead_are_given_up() -> None:
    """A file that shrinks from within must not keep everything that it was alive."""
    cluster = Cluster(DIALECTS["swift"])
    content = noise(1, 512 << 10)
    manifest = cluster.first(content)
    while len(content) > 40 << 10:
        removals = [(at, 3 << 10, b"") for at in range(0, len(content), 12 << 10)]
        changes, content = changed(content, removals)
        manifest = cluster.edit(manifest, changes, content)  # holds it to the limits
    alive = sum(len(cluster.objects[path]) for path in {segment.path for segment in manifest.segments})
    assert alive <= len(content) + max(SMALL.least_dead, len(content) * SMALL.dead)


def test_no_segment_of_a_fresh_layout_is_short_but_an_only_one() -> None:
    usual = LayoutLimits()
    for size in (8 << 20, (16 << 20) + 1, (32 << 20) - 1, 5 << 30, 400 << 30):
        steps = fresh(size, SloFeatures(), usual)
        assert fragmentation_of(steps, usual).short == 0 and len(steps) <= 250
        assert sum(step.size for step in steps if isinstance(step, Upload)) == size


def test_a_segment_is_never_longer_than_an_object_may_be() -> None:
    tight = SloFeatures(segment=4 << 20)
    assert max(_sizes(fresh(100 << 20, tight, LayoutLimits()))) <= 4 << 20
    assert segment_size(1 << 40, replace(tight, segment=5 << 30), LayoutLimits()) <= 5 << 30


def _sizes(steps: Sequence[Step]) -> Iterator[int]:
    return (step.size for step in steps if isinstance(step, Upload))


@pytest.mark.parametrize(("mebibytes", "edits"), [(64, 300), (512, 300), (20 << 10, 150)])
def test_no_small_edit_costs_a_large_part_of_a_large_file(mebibytes: int, edits: int) -> None:
    """Sizes only, as they are in life: an edit of 4 KiB is some 6 KiB in blocks."""
    size, random, sent = mebibytes << 20, Random(1), []
    manifest = _sized(fresh(size, SloFeatures(), LayoutLimits()))
    for _ in range(edits):
        at = random.randrange(4096, size - 10_240)
        changes = [Copy(0, at), NewBytes(6144), Copy(at + 6144, size - at - 6144)]
        steps = planned(manifest, changes, features=SloFeatures(), thresholds=LayoutLimits())
        assert fragmentation_of(steps, LayoutLimits()).within(limits(size, SloFeatures(), LayoutLimits()))
        sent.append(sum(step.size for step in steps if not isinstance(step, Segment)))
        manifest = _sized(steps)
    assert max(sent) < size // 4 and sum(sent) / edits < 4 << 20


def _sized(steps: Sequence[Step]) -> Manifest:
    """As if it were put: every segment by itself, what stands in the manifest zeros."""
    return Manifest(
        parts=tuple(
            step
            if isinstance(step, Segment)
            else Inline(data=bytes(step.size))
            if isinstance(step, InlineBytes)
            else Segment.whole(f"c/{token_hex(8)}", etag="0" * 32, size=step.size)
            for step in steps
        )
    )
