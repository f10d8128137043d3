"""The contract, with several clients at once: threads that share a store, and stores that share a place.

A listing that another client's work can shorten is taken for deletions. Every test runs on a flat root and on
a directory below it: what is held for all (the root's descriptor, a walk, a cache) is not the same in both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, Store
from syncer.engine.model import Done, Entry, Stale
from syncer.engine.paths import join
from syncer.testing.rig import Rig, in_order
from syncer.testing.scans import changed_directories
from tests.contract.rigs import RIGS, build

CLIENTS = 6
ROUNDS = 12
PATIENCE = 120  # seconds
INSTANT = 20.0  # seconds, on a busy machine


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    built = build(request.param, tmp_path)
    yield built
    built.store.close()


@pytest.fixture(params=["one store for all threads", "a store each"])
def stores(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Sequence[Store]]:
    if request.param == "a store each":
        others = [rig.another() for _ in range(CLIENTS - 1)]
        yield [rig.store, *others]
        for store in others:
            store.close()
    else:
        yield [rig.store] * CLIENTS


@pytest.fixture(params=["", "deep/er"], ids=["flat", "deep"])
def directory(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def at_once(works: Sequence[Callable[[], None]], patience: float = PATIENCE) -> None:
    """Each in a thread of its own, all beginning together; raises what one of them raised."""
    gate, broken = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        try:
            gate.wait(patience)
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            broken.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
        assert not thread.is_alive()
    if broken:
        raise broken[0]


def fill(rig: Rig, directory: str) -> set[str]:
    """So many files in the directory; their names."""
    if directory:
        rig.mkdir(directory)
    names = {f"f{number:03}" for number in range(rig.many)}
    for name in sorted(names):
        rig.write(join(directory, name), name.encode())
    return names


def missing(store: Store, directory: str, names: set[str], out: list[tuple[int, int]]) -> None:
    """Lists the directory again and again; notes each listing that is not exactly all the names."""
    for _ in range(ROUNDS):
        found = set(store.list(directory).entries) - {"deep"}
        if found != names:
            out.append((len(names - found), len(found - names)))


def test_clients_that_list_one_directory_at_once_each_see_all_of_it(
    rig: Rig, stores: Sequence[Store], directory: str
) -> None:
    names = fill(rig, directory)
    wrong: list[tuple[int, int]] = []
    at_once([lambda s=store: missing(s, directory, names, wrong) for store in stores])
    assert wrong == [], "listings with (names left out, names too many)"


def test_a_root_that_others_list_is_never_seen_empty(rig: Rig, stores: Sequence[Store]) -> None:
    names = fill(rig, "")
    empty: list[bool] = []

    def look(store: Store) -> None:
        for _ in range(ROUNDS):
            state = store.root()
            empty.append(state is None or state.empty)

    listing = [lambda s=store: missing(s, "", names, []) for store in stores[: CLIENTS // 2]]
    at_once([*listing, *(lambda s=store: look(s) for store in stores[CLIENTS // 2 :])])
    assert not any(empty)


def test_what_did_not_change_has_not_changed_for_any_client(
    rig: Rig, stores: Sequence[Store], directory: str
) -> None:
    fill(rig, directory)
    known = [(directory, print_)] if (print_ := settled(rig, directory)) else []
    wrong: list[str] = []

    def look(store: Store) -> None:
        for _ in range(ROUNDS):
            wrong.extend(changed_directories(store, known))

    if known:
        at_once([lambda s=store: look(s) for store in stores])
    assert wrong == []


def settled(rig: Rig, directory: str) -> bytes | None:
    """The directory's fingerprint; a store that gives it later than at the third look has none."""
    for _ in range(3):
        found = rig.store.list(directory).fingerprint
        if found is not None:
            return found
    return None


def test_a_name_that_one_client_overwrites_is_not_taken_for_deleted_by_another(
    rig: Rig, stores: Sequence[Store], directory: str
) -> None:
    """In every listing; where the service cannot replace at once, in a look of its own soon afterwards."""
    names = fill(rig, directory)
    name = f"f{rig.many // 2:03}"
    path, over, left_out = join(directory, name), threading.Event(), []

    def overwrite(store: Store) -> None:
        try:
            for number in range(ROUNDS):
                found = store.stat(path)
                assert isinstance(found, Entry)
                item = rig.item(path, b"again %d" % number, expected=found)
                [outcome] = in_order(store.put([item]), 1)
                assert isinstance(outcome, Done), outcome
        finally:
            over.set()

    def watch(store: Store) -> None:
        while not over.is_set():
            gone = names - set(store.list(directory).entries)
            if gone == {name} and not rig.replaces_at_once and comes_back(store, path):
                continue
            left_out.extend(gone)

    at_once([lambda: overwrite(stores[0]), *(lambda s=store: watch(s) for store in stores[1:])])
    assert left_out == []


def comes_back(store: Store, path: str) -> bool:
    """Whether a name is seen again within an instant."""
    until = time.monotonic() + INSTANT
    while time.monotonic() < until:
        if store.stat(path) is not None:
            return True
    return False


def test_of_clients_that_make_one_name_at_once_one_succeeds(
    rig: Rig, stores: Sequence[Store], directory: str
) -> None:
    if directory:
        rig.mkdir(directory)
    outcomes: list[object] = []

    def make(store: Store, number: int) -> None:
        [outcome] = in_order(store.put([rig.item(join(directory, "new"), b"by %d" % number)]), 1)
        outcomes.append((number, outcome))

    at_once([lambda s=store, n=number: make(s, n) for number, store in enumerate(stores)])
    winners = [number for number, outcome in outcomes if isinstance(outcome, Done)]
    if rig.exclusive:
        assert len(winners) == 1, outcomes
        assert all(isinstance(o, Done | Stale) for _, o in outcomes), outcomes
        assert rig.read(join(directory, "new")) == b"by %d" % winners[0]
    else:
        kept = {rig.read(join(directory, "new")), *rig.kept()}
        assert {b"by %d" % number for number in winners} <= kept


def test_clients_that_work_beside_each_other_do_not_disturb_each_other(
    rig: Rig, stores: Sequence[Store], directory: str
) -> None:
    names = fill(rig, directory)
    mine = [[join(directory, name) for name in sorted(names)[n::CLIENTS]] for n in range(CLIENTS)]

    def work(store: Store, paths: Sequence[str]) -> None:
        """Replaces, renames and deletes files of its own, next to those of all others."""
        for first, second, third in zip(paths[0:9:3], paths[1:9:3], paths[2:9:3], strict=True):
            seen = [store.stat(path) for path in (first, second, third)]
            assert all(isinstance(entry, Entry) for entry in seen), seen
            done = [
                *in_order(store.put([rig.item(first, b"new", expected=seen[0])]), 1),
                *in_order(
                    store.rename([RenameRequest(origin=second, path=second + "r", expected=seen[1])]), 1
                ),
                *in_order(store.delete([DeleteRequest(path=third, expected=seen[2])]), 1),
            ]
            assert all(isinstance(outcome, Done) for outcome in done), done

    at_once([lambda s=store, p=paths: work(s, p) for store, paths in zip(stores, mine, strict=True)])
    expected = {join(directory, name): name.encode() for name in names}
    for paths in mine:
        expected.update(dict.fromkeys(paths[0:9:3], b"new"))
        expected.update({path + "r": expected.pop(path) for path in paths[1:9:3]})
        for path in paths[2:9:3]:
            del expected[path]
    listed = {join(directory, name) for name in rig.store.list(directory).entries} - {"deep"}
    assert listed == set(expected)
    assert {path: rig.read(path) for path in expected} == expected
