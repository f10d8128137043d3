"""Memory against a plain dict, over random facts on few paths."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.engine.interfaces import Fact, ForgetBase, MoveBase, SetBase
from syncer.engine.model import BaseEntry, Kind
from syncer.engine.paths import is_below, parts, tree_key
from syncer.engine.scope import EVERYWHERE, Places
from syncer.state import BaseTable, open_state, view_state

NAMES = st.sampled_from(["a", "b", "ab", "a\n", "\udcff", "a.b", "\x01"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ENTRIES = st.builds(
    BaseEntry,
    kind=st.sampled_from(Kind),
    size=st.integers(0, 3),
    digest=st.binary(max_size=2),
    executable=st.booleans(),
    local_version=st.none() | st.binary(max_size=2),
    remote_version=st.none() | st.binary(max_size=2),
    local_mtime_ns=st.none() | st.integers(-(10**20), 10**20),
    remote_mtime_ns=st.none() | st.integers(-5, 5),
)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(SetBase, path=PATHS, entry=ENTRIES),
    st.builds(SetBase, path=PATHS, entry=ENTRIES),
    st.builds(ForgetBase, path=PATHS),
    st.builds(MoveBase, origin=PATHS, path=PATHS),
)
ODD = st.sampled_from(["", "..", "/a", "a//b", "a/", "\ud800", "nowhere", "ab/\udcff"])
PLACES = st.builds(
    Places, directories=st.frozensets(PATHS | ODD, max_size=4), trees=st.frozensets(PATHS | ODD, max_size=3)
)


class Model:
    """The same promises, kept by rebuilding dicts."""

    def __init__(self) -> None:
        self.entries: dict[str, BaseEntry] = {}
        self.directories: set[str] = set()

    def apply(self, fact: Fact) -> None:
        if isinstance(fact, SetBase):
            self.remember(fact)
        elif isinstance(fact, ForgetBase):
            self.drop(fact.path)
        elif fact.origin != fact.path:
            self.relocate(fact.origin, fact.path)

    def remember(self, fact: SetBase) -> None:
        if fact.entry.kind is not Kind.DIRECTORY:
            self.drop(fact.path)
        self.entries[fact.path] = fact.entry
        self.ensure(fact.path.rpartition("/")[0])
        if fact.entry.kind is Kind.DIRECTORY:
            self.ensure(fact.path)

    def ensure(self, path: str) -> None:
        names = parts(path)
        self.directories |= {"/".join(names[:length]) for length in range(len(names) + 1)}

    def drop(self, path: str) -> None:
        self.entries = {p: e for p, e in self.entries.items() if p != path and not is_below(p, path)}
        self.directories = {p for p in self.directories if p != path and not is_below(p, path)}

    def relocate(self, origin: str, path: str) -> None:
        entries = {p: e for p, e in self.entries.items() if p == origin or is_below(p, origin)}
        directories = {p for p in self.directories if p == origin or is_below(p, origin)}
        self.drop(path)
        self.drop(origin)
        if is_below(path, origin) or is_below(origin, path) or not (entries or directories):
            return
        self.ensure(path.rpartition("/")[0])
        self.entries |= {path + p[len(origin) :]: e for p, e in entries.items()}
        self.directories |= {path + p[len(origin) :] for p in directories}


def compare(memory: BaseTable, model: Model) -> None:
    directories = [path for path, _, _ in memory.directories()]
    assert directories == sorted(model.directories, key=tree_key)
    found = {
        f"{path}/{name}" if path else name: entry
        for path in directories
        for name, entry in memory.rows(path).items()
    }
    assert found == model.entries
    assert memory.known() == len(model.entries)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(FACTS, max_size=6), max_size=5))
def test_memory_does_what_a_dict_would(batches: list[list[Fact]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_state(Path(folder) / "pair") as state:
        model = Model()
        for batch in batches:
            state.memory.record(batch)
            for fact in batch:
                model.apply(fact)
            compare(state.memory, model)


def within(path: str, places: Places) -> bool:
    """Whether a run over these places looks at the directory: said without keys and ranges."""
    asked = places.directories | places.trees
    above = any(p == path or is_below(p, path) for p in asked) or (bool(asked) and path == "")
    return above or any(path == tree or is_below(path, tree) for tree in places.trees)


@settings(max_examples=150, deadline=None)
@given(st.sets(PATHS, max_size=12), PLACES)
def test_the_directories_of_places_are_those_and_all_above_them_and_all_below_trees(
    known: set[str], places: Places
) -> None:
    with view_state(Path("/nowhere/at/all")) as state:
        entry = BaseEntry(kind=Kind.DIRECTORY)
        state.memory.record([SetBase(path=path, entry=entry) for path in sorted(known)])
        every = [path for path, _, _ in state.memory.directories()]
        found = [path for path, _, _ in state.memory.directories(places)]
        assert found == [path for path in every if within(path, places)], "in tree order, each once"
        assert [path for path, _, _ in state.memory.directories(places | EVERYWHERE)] == every
