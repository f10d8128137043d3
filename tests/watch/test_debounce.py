"""Debouncer: when a run is due and what it scans; nothing is lost, and nothing waits too long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncer.engine.paths import is_below
from syncer.engine.scope import EVERYTHING, EVERYWHERE, NOTHING, NOWHERE, Places, Scope
from syncer.watch.debounce import Debouncer


def local(*directories, trees=()):
    return Scope(local=Places(directories=frozenset(directories), trees=frozenset(trees)), remote=NOWHERE)


def remote(*directories, trees=()):
    return Scope(local=NOWHERE, remote=Places(directories=frozenset(directories), trees=frozenset(trees)))


def test_nothing_is_due_before_anything_happened():
    gathering = Debouncer()
    assert gathering.due is None
    assert gathering.take() == NOTHING
    gathering.add(NOTHING, 5.0)
    assert gathering.due is None


def test_a_run_is_due_after_so_much_quiet():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(local("a"), 10.0)
    assert gathering.due == 10.2
    gathering.add(local("b"), 10.1)
    assert gathering.due == 10.1 + 0.2
    assert gathering.take() == local("a", "b")
    assert gathering.due is None
    assert gathering.take() == NOTHING


def test_without_quiet_a_run_is_due_all_the_same():
    gathering = Debouncer(quiet=0.2, most=5.0)
    for n in range(100):
        gathering.add(local("a"), 10.0 + n * 0.1)
    assert gathering.due == 15.0
    gathering.take()
    gathering.add(local("a"), 20.0)
    assert gathering.due == 20.2


def test_news_that_were_gathered_already_wait_for_nothing():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(remote("a"), 10.0, settled=True)
    assert gathering.due == 10.0
    gathering.add(remote("b"), 10.1)
    assert gathering.due == 10.0
    gathering.add(remote("c"), 10.2, settled=True)
    assert gathering.due == 10.0
    assert gathering.take() == remote("a", "b", "c")


def test_settled_news_come_before_the_quiet_of_earlier_ones():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(remote("a"), 10.0)
    gathering.add(remote("b"), 10.1, settled=True)
    assert gathering.due == 10.1


def test_each_side_has_a_quiet_of_its_own():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(local("a"), 10.0)
    gathering.add(remote("b"), 10.0, settled=True)
    assert gathering.due == 10.0
    assert gathering.take(10.0) == remote("b")
    assert gathering.due == 10.2
    assert gathering.take(10.1) == NOTHING
    assert gathering.take(10.2) == local("a")
    assert gathering.due is None


def test_taken_without_a_time_it_is_everything():
    gathering = Debouncer()
    gathering.add(local("a"), 10.0)
    gathering.add(remote("b"), 10.0, settled=True)
    assert gathering.take() == local("a") | remote("b")
    gathering.add(local("c", trees=["d"]), 11.0)
    assert gathering.take() == local("c", trees=["d"])
    assert gathering.take() == NOTHING


def test_a_directory_in_a_tree_adds_nothing():
    gathering = Debouncer()
    gathering.add(local("a/b", "c", "ab", trees=["a/x"]), 1.0)
    gathering.add(local(trees=["a"]), 1.0)
    gathering.add(local("a/b/c", "a"), 1.0)
    assert gathering.take() == local("c", "ab", trees=["a"])


def test_everywhere_is_everywhere():
    gathering = Debouncer()
    gathering.add(local("a", trees=["b"]), 1.0)
    gathering.add(EVERYTHING, 1.0)
    gathering.add(local("c", ""), 1.0)
    assert gathering.waiting == 2 + 2
    assert gathering.take() == Scope(local=EVERYWHERE, remote=EVERYWHERE)


def test_where_much_happens_few_trees_are_kept():
    gathering = Debouncer()
    for a in range(30):
        gathering.add(local(*(f"top/{a}/{b}" for b in range(1000))), 1.0)
        assert gathering.waiting <= 10_000
    gathering.add(local("elsewhere/x"), 1.0)
    told = gathering.take().local
    assert "elsewhere/x" in told.directories
    assert told.trees <= {f"top/{a}" for a in range(30)}
    assert not told.everywhere


def test_where_too_much_happens_at_the_top_all_is_looked_at():
    gathering = Debouncer(many=100)
    gathering.add(local(*map(str, range(101))), 1.0)
    assert gathering.take() == local(trees=[""])
    gathering.add(local(trees=map(str, range(101))), 1.0)
    assert gathering.take().local.everywhere


def test_what_happened_before_a_collapse_is_in_it():
    gathering = Debouncer(many=4)
    gathering.add(local("a/b/c", "a/b/d", "a/e/f", "x", "a/b/c/g"), 1.0)
    told = gathering.take().local
    assert told == Places(directories=frozenset({"x"}), trees=frozenset({"a"}))


PATHS = st.lists(st.sampled_from("abc"), max_size=4).map("/".join)
PLACES = st.builds(
    Places, directories=st.frozensets(PATHS, max_size=6), trees=st.frozensets(PATHS.filter(bool), max_size=2)
)
TELLING = st.lists(
    st.tuples(st.builds(Scope, local=PLACES, remote=PLACES), st.floats(0, 3), st.booleans()), max_size=12
)


def holds(places, path, *, tree):
    """Whether a run there looks at the path (with all below, if it is a tree)."""
    inside = any(path == t or not t or is_below(path, t) for t in places.trees)
    return inside or (not tree and path in places.directories)


@given(TELLING, st.integers(2, 12))
def test_nothing_that_was_told_is_left_out_and_little_is_kept(telling, many):
    gathering = Debouncer(many=many)
    now = 0.0
    for scope, later, settled in telling:
        now += later
        gathering.add(scope, now, settled=settled)
        assert gathering.waiting <= 2 * many
    taken = gathering.take()
    for scope, _, _ in telling:
        for told, kept in ((scope.local, taken.local), (scope.remote, taken.remote)):
            assert all(holds(kept, d, tree=False) for d in told.directories)
            assert all(holds(kept, t, tree=True) for t in told.trees)


def test_what_is_quiet_does_not_wait_for_what_never_is():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(local("calm"), 10.0)
    for n in range(4):
        gathering.add(local("log"), 10.05 + n * 0.1)
    assert gathering.due == 10.4
    assert gathering.take(10.39) == NOTHING
    assert gathering.take(10.4) == local("calm")
    assert gathering.due == 10.05 + 0.3 + 0.2
    gathering.add(local("log"), 15.0)
    assert gathering.due == 15.05
    assert gathering.take(15.05) == local("log")
    assert gathering.due is None


def test_a_tree_is_not_quiet_while_something_happens_in_it():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(local(trees=["new"]), 10.0)
    for n in range(1, 10):
        gathering.add(local(f"new/{n}"), 10.0 + n * 0.1)
    assert gathering.take(10.95) == NOTHING
    assert gathering.take(11.2) == local(trees=["new"])


def test_both_ends_of_a_rename_are_looked_at_together():
    gathering = Debouncer(quiet=0.2, most=5.0)
    gathering.add(local("log", "calm"), 10.0)
    gathering.add(local("other log"), 10.1)
    for n in range(1, 4):
        gathering.add(local("log"), 10.0 + n * 0.1)
        gathering.add(local("other log"), 10.1 + n * 0.1)
    assert gathering.take(10.4) == local("log", "calm")
    assert gathering.take() == local("other log")


@given(TELLING)
def test_a_run_is_due_neither_too_early_nor_too_late(telling):
    gathering = Debouncer(quiet=0.5, most=2.0)
    now, first, last = 0.0, None, None
    for scope, later, _ in telling:
        now += later
        if scope.local:
            first, last = (now if first is None else first), now
        gathering.add(Scope(local=scope.local, remote=NOWHERE), now)
    if first is None:
        assert gathering.due is None
    else:
        assert min(last + 0.5, first + 1.0) <= gathering.due <= min(last + 0.5, first + 2.0)


@given(TELLING, st.lists(st.floats(0, 3), max_size=12))
def test_nothing_is_left_out_by_taking_what_is_quiet(telling, waits):
    gathering = Debouncer(quiet=0.5, most=2.0)
    now, taken = 0.0, NOTHING
    for (scope, later, _), wait in zip(telling, [*waits, *[0.0] * 12], strict=False):
        now += later
        gathering.add(scope, now)
        now += wait
        taken |= gathering.take(now)
    taken |= gathering.take()
    for scope, _, _ in telling:
        for told, kept in ((scope.local, taken.local), (scope.remote, taken.remote)):
            assert all(holds(kept, d, tree=False) for d in told.directories)
            assert all(holds(kept, t, tree=True) for t in told.trees)
    assert gathering.due is None
    assert gathering.waiting == 0
