"""Hypothesis strategies: names, paths, small trees, and worlds in which both sides were edited."""

from __future__ import annotations

from hypothesis import strategies as st

from syncer.engine.model import Side
from tests.small_trees import after, forests
from tests.trees import Tree, World, world

_UNUSABLE = {"", ".", ".."}


def names() -> st.SearchStrategy[str]:
    """File names as `os.fsdecode` gives them: any bytes but "/" and NUL, 1 to 255 of them."""
    readable = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=80)
    raw = st.binary(min_size=1, max_size=255).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_"))
    undecodable = raw.map(lambda b: b.decode("utf-8", "surrogateescape"))
    long = st.tuples(st.sampled_from("aé漢😀"), st.integers(1, 255)).map(lambda t: t[0] * t[1])
    return st.one_of(readable, undecodable, long).map(_fitting).filter(lambda n: n not in _UNUSABLE)


def _fitting(name: str) -> str:
    while len(name.encode("utf-8", "surrogateescape")) > 255:
        name = name[:-1]
    return name


def relative_paths() -> st.SearchStrategy[str]:
    """Paths of up to four names."""
    return st.lists(names(), min_size=1, max_size=4).map("/".join)


def small_trees() -> st.SearchStrategy[Tree]:
    """Trees of up to three nodes."""
    return st.integers(0, 3).flatmap(lambda size: st.sampled_from(forests(size)))


@st.composite
def small_worlds(draw: st.DrawFn) -> World:
    """A small base, edited by up to two steps on each side."""
    base = draw(small_trees())
    local, remote = (draw(st.sampled_from(after(base, side, 2))) for side in Side)
    return world(base, local, remote)
