"""What is recorded is what is remembered, for every fact and every strange name."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.engine.fingerprint import fingerprint
from syncer.engine.interfaces import BaseStore, Fact, ForgetBase, MoveBase, SetBase
from syncer.engine.model import BaseEntry, Kind
from syncer.engine.paths import tree_key
from syncer.errors import StateError
from syncer.state import BaseTable, State, open_state

FILE = BaseEntry(kind=Kind.FILE, size=5, digest=b"d" * 32, local_version=b"l1", remote_version=b"r1")
DIRECTORY = BaseEntry(kind=Kind.DIRECTORY)
ODD_NAMES = [
    "line\nbreak",
    "\udcff\udcfe",
    "\x1b[31m",
    "ünïcode",
    "e\u0301",
    "x" * 255,
    " ",
    "%_'\"",
    "\x01",
    "\\",
]


def remembered(memory: BaseTable) -> dict[str, BaseEntry]:
    found = {}
    for directory, _, _ in memory.directories():
        for name, entry in memory.rows(directory).items():
            found[f"{directory}/{name}" if directory else name] = entry
    return found


def remember(memory: BaseTable, *paths: str, entry: BaseEntry = FILE) -> None:
    memory.record([SetBase(path=path, entry=entry) for path in paths])


def paths(memory: BaseTable) -> list[str]:
    return [path for path, _, _ in memory.directories()]


def test_the_state_is_a_memory_of_the_engine(state: State) -> None:
    memory: BaseStore = state.memory
    assert memory.known() == 0


def test_nothing_is_known_at_first(state: State) -> None:
    assert paths(state.memory) == []
    assert state.memory.rows("") == {}
    assert state.memory.get_setting("root") == ""


def test_every_field_comes_back(state: State) -> None:
    entry = BaseEntry(
        kind=Kind.SYMLINK,
        size=1 << 62,
        digest=bytes(range(32)),
        executable=True,
        local_version=b"\0\xff",
        remote_version=b"",
        local_mtime_ns=-1,
        remote_mtime_ns=0,
    )
    remember(state.memory, "a/b", entry=entry)
    assert state.memory.rows("a") == {"b": entry}


def test_what_is_unknown_stays_none(state: State) -> None:
    remember(state.memory, "a", entry=BaseEntry(kind=Kind.FILE))
    assert state.memory.rows("")["a"] == BaseEntry(kind=Kind.FILE)


@pytest.mark.parametrize("moment", [1 << 63, -(1 << 63) - 1, 10**25, -(1 << 63), (1 << 63) - 1])
def test_a_time_beyond_64_bits_comes_back_exactly(state: State, moment: int) -> None:
    remember(state.memory, "a", entry=BaseEntry(kind=Kind.FILE, local_mtime_ns=moment))
    assert state.memory.rows("")["a"].local_mtime_ns == moment


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_files_and_directories_come_back(state: State, name: str) -> None:
    remember(state.memory, f"{name}/{name}")
    assert paths(state.memory) == ["", name]
    assert list(state.memory.rows(name)) == [name]


def test_a_remembered_directory_has_a_row_even_if_empty(state: State) -> None:
    remember(state.memory, "d", entry=DIRECTORY)
    assert paths(state.memory) == ["", "d"]
    assert state.memory.rows("d") == {}
    assert state.memory.known() == 1


def test_the_root_is_known_without_any_entry(state: State) -> None:
    remember(state.memory, "", entry=DIRECTORY)
    assert paths(state.memory) == [""]
    assert state.memory.known() == 0


def test_all_directories_above_are_known(state: State) -> None:
    remember(state.memory, "a/b/c/f")
    assert paths(state.memory) == ["", "a", "a/b", "a/b/c"]


def test_directories_come_in_tree_order_over_many_pages(state: State) -> None:
    names = [f"{top}/{number}" for top in ("a", "a-", "a.b", "a b", "\udcff") for number in range(900)]
    remember(state.memory, *names, entry=DIRECTORY)
    found = paths(state.memory)
    assert len(found) == 5 * 901 + 1
    assert found == sorted(found, key=tree_key)


def test_writing_while_directories_stream_disturbs_neither(state: State) -> None:
    remember(state.memory, *(f"d{number:04}" for number in range(2500)), entry=DIRECTORY)
    seen = []
    for path, _, _ in state.memory.directories():
        seen.append(path)
        if path.endswith("50"):
            remember(state.memory, f"{path}/new")
    assert len(seen) == 2501


def test_the_last_word_on_a_name_counts(state: State) -> None:
    state.memory.record(
        [
            SetBase(path="a", entry=FILE),
            SetBase(path="a", entry=DIRECTORY),
            SetBase(path="a/f", entry=FILE),
        ]
    )
    assert remembered(state.memory) == {"a": DIRECTORY, "a/f": FILE}


def test_a_directory_that_became_a_file_has_nothing_below_it(state: State) -> None:
    remember(state.memory, "a/b/f", "ab/f", "a.txt/f")
    remember(state.memory, "a")
    assert remembered(state.memory) == {"a": FILE, "ab/f": FILE, "a.txt/f": FILE}
    assert paths(state.memory) == ["", "a.txt", "ab"]


def test_that_holds_within_one_record_too(state: State) -> None:
    state.memory.record([SetBase(path="a/b/f", entry=FILE), SetBase(path="a", entry=FILE)])
    assert remembered(state.memory) == {"a": FILE}


def test_dropping_a_file_leaves_its_neighbours(state: State) -> None:
    remember(state.memory, "a/f", "a/f2", "a/f/x")
    state.memory.record([ForgetBase(path="a/f")])
    assert remembered(state.memory) == {"a/f2": FILE}


def test_dropping_a_directory_drops_all_below_and_no_sibling(state: State) -> None:
    remember(state.memory, "a", "a/b", entry=DIRECTORY)
    remember(state.memory, "a/b/f", "a/f", "a-/f", "ab", "a\x01/f")
    state.memory.record([ForgetBase(path="a")])
    assert sorted(remembered(state.memory)) == ["a\x01/f", "a-/f", "ab"]
    assert state.memory.known() == 3


def test_dropping_the_root_forgets_everything(state: State) -> None:
    remember(state.memory, "a/b", "c")
    state.memory.record([ForgetBase(path="")])
    assert paths(state.memory) == []
    assert state.memory.known() == 0


def test_dropping_what_is_unknown_is_nothing(state: State) -> None:
    state.memory.record([ForgetBase(path="x/y/z")])
    assert paths(state.memory) == []


def test_a_relocated_directory_takes_everything_along(state: State) -> None:
    remember(state.memory, "a", "a/b", "a/empty", entry=DIRECTORY)
    remember(state.memory, "a/b/f", "ab/f")
    state.memory.record([MoveBase(origin="a", path="new/home")])
    assert remembered(state.memory) == {
        "ab/f": FILE,
        "new/home": DIRECTORY,
        "new/home/b": DIRECTORY,
        "new/home/empty": DIRECTORY,
        "new/home/b/f": FILE,
    }
    assert paths(state.memory) == ["", "ab", "new", "new/home", "new/home/b", "new/home/empty"]


def test_relocating_replaces_what_was_known_at_the_target(state: State) -> None:
    remember(state.memory, "a/f", "b/g")
    state.memory.record([MoveBase(origin="a", path="b")])
    assert remembered(state.memory) == {"b/f": FILE}


def test_relocating_to_the_same_place_is_nothing(state: State) -> None:
    remember(state.memory, "a/f")
    state.memory.record([MoveBase(origin="a", path="a")])
    assert remembered(state.memory) == {"a/f": FILE}


@pytest.mark.parametrize(("origin", "path"), [("a", "a/b"), ("a/b", "a")])
def test_relocating_into_itself_forgets_rather_than_guesses(state: State, origin: str, path: str) -> None:
    remember(state.memory, "a/b/f", "c")
    state.memory.record([MoveBase(origin=origin, path=path)])
    left = remembered(state.memory)
    assert not any(known.startswith("a/b") for known in left)
    assert "c" in left


def test_odd_names_can_be_relocated_and_dropped(state: State) -> None:
    for name in ODD_NAMES:
        remember(state.memory, f"{name}/d/f")
        state.memory.record([MoveBase(origin=name, path=f"to/{name}")])
        assert state.memory.rows(f"to/{name}/d") == {"f": FILE}
    state.memory.record([ForgetBase(path=f"to/{name}") for name in ODD_NAMES])
    assert state.memory.known() == 0


def test_what_is_sealed_is_told_again(state: State) -> None:
    remember(state.memory, "a/f")
    state.memory.set_fingerprints([("", b"L", None), ("a", b"l" * 16, b"r" * 16)])
    assert list(state.memory.directories()) == [("", b"L", None), ("a", b"l" * 16, b"r" * 16)]


@pytest.mark.parametrize(
    ("fact", "void"),
    [
        (SetBase(path="a/new", entry=FILE), {"a"}),
        (SetBase(path="top", entry=FILE), {""}),
        (SetBase(path="a/b", entry=DIRECTORY), {"a"}),
        (ForgetBase(path="a/f"), {"a"}),
        (ForgetBase(path="a/unknown"), {"a"}),
        (ForgetBase(path="a"), {""}),
        (MoveBase(origin="a/b", path="c/b"), {"a", "c"}),
    ],
)
def test_a_fact_voids_the_directories_it_touches_and_no_other(
    state: State, fact: Fact, void: set[str]
) -> None:
    remember(state.memory, "a/f", "a/b/f", "c/f")
    state.memory.set_fingerprints((path, b"l", b"r") for path in paths(state.memory))
    state.memory.record([fact])
    found = {path for path, local, remote in state.memory.directories() if local is None and remote is None}
    assert found == void


def test_sealable_fingerprints_are_those_a_scan_would_make(state: State) -> None:
    remember(state.memory, "a/f", "a/g")
    remember(state.memory, "a/d", entry=DIRECTORY)
    pairs = [("f", b"l1"), ("g", b"l1"), ("d", b"")]
    theirs = [("f", b"r1"), ("g", b"r1"), ("d", b"")]
    found = list(state.memory.compute_fingerprints(["a", "unknown", "a/d"]))
    assert found == [
        ("a", fingerprint(pairs), fingerprint(theirs)),
        ("a/d", fingerprint([]), fingerprint([])),
    ]


def test_an_untrusted_version_leaves_its_side_unsealed(state: State) -> None:
    remember(state.memory, "f", entry=BaseEntry(kind=Kind.FILE, local_version=None, remote_version=b"r"))
    assert list(state.memory.compute_fingerprints([""])) == [("", None, fingerprint([("f", b"r")]))]


def test_seal_can_be_fed_from_sealable(state: State) -> None:
    remember(state.memory, *(f"{number}/f" for number in range(2100)))
    known = paths(state.memory)
    state.memory.set_fingerprints(state.memory.compute_fingerprints(known))
    unsealed = [path for path, local, remote in state.memory.directories() if None in (local, remote)]
    assert unsealed == []
    state.memory.set_fingerprints([])


def test_settings_are_kept_and_replaced(state: State) -> None:
    state.memory.set(local_root="abc", remote_root="def")
    state.memory.set(local_root="xyz")
    assert [state.memory.get_setting(key) for key in ("local_root", "remote_root", "other")] == [
        "xyz",
        "def",
        "",
    ]


def test_facts_survive_closing(place: Path) -> None:
    with open_state(place) as state:
        remember(state.memory, "a/f")
        state.memory.set(key="value")
    with open_state(place) as state:
        assert remembered(state.memory) == {"a/f": FILE}
        assert state.memory.get_setting("key") == "value"
        assert state.note == ""


def test_a_bad_fact_among_good_ones_records_none(state: State) -> None:
    remember(state.memory, "old")
    bad = BaseEntry(kind=Kind.FILE, size=1 << 70)
    with pytest.raises(StateError):
        state.memory.record(
            [SetBase(path="good", entry=FILE), ForgetBase(path="old"), SetBase(path="bad", entry=bad)]
        )
    assert remembered(state.memory) == {"old": FILE}


def test_recording_nothing_commits_nothing(place: Path) -> None:
    commits = []

    def count(commit: object) -> None:
        commits.append(commit)

    with open_state(place, commit=count) as state:
        state.memory.record([])
        state.memory.set_fingerprints([])
    assert commits == []
