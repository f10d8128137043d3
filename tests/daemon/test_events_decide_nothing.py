"""Invariant 13: events change when we look, never what we conclude.

False events, lost ones, doubled ones, ones for paths that cannot be: whatever a run over such places does, a
run over everything would have done; what no event told of, a run over everything finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from syncer.engine import sync
from syncer.engine.interfaces import Capabilities
from syncer.engine.model import Action, Side
from syncer.engine.scope import NOWHERE, Places, Scope
from tests.daemon.bench import LONG, Bench, at_work
from tests.desk import Desk
from tests.engine.test_scope import ANY_DELETES, becomes, contents, fleeting
from tests.small_trees import stroll
from tests.trees import Tree

HOSTILE = (
    "",
    ".",
    "..",
    "../..",
    "/",
    "/etc/passwd",
    "a/../..",
    "a\0b",
    "\0",
    "a//b",
    "a/",
    "\ud800",
    "\udcff",
)
TRUE = ("a", "b", "a/a", "a/b", "b/a", "a/a/a", "nowhere", "nowhere/at/all", ".syncer", ".syncer-tmp-x")


def rumour(dice: Random) -> Places:
    """What somebody might say of where something happened."""
    said = [dice.choice(HOSTILE + TRUE) for _ in range(dice.randint(0, 4))]
    trees = [place for place in said if place and dice.random() < 0.3]
    return Places(directories=frozenset(said), trees=frozenset(trees))


def planned(
    base: Tree, local: Tree, remote: Tree, scope: Scope | None
) -> tuple[Sequence[Action], set[bytes], Desk]:
    """What a run does of it (None: over everything), and all content there was before."""
    with fleeting() as memory:
        desk = Desk(memory, ANY_DELETES)
        desk.memory.may_forget = True
        for store in (desk.local, desk.remote):  # a move takes two events to be found
            store.able = Capabilities(local=True, moves=False, moves_directories=False)
        becomes(desk.local, {}, base)
        desk.run()
        becomes(desk.local, base, local)
        becomes(desk.remote, base, remote)
        before = contents(desk)
        seen = sync.find_changed_directories(desk.pair, scope) if scope is not None else None
        done = [report.action for report in sync.sync(desk.pair, seen).actions]
        assert before <= contents(desk), "lost"
        if scope is not None:
            for _ in range(4):
                desk.run()
            desk.comes_to_rest()
        return done, before, desk


def test_no_rumour_makes_a_run_do_what_a_look_at_everything_would_not() -> None:
    for seed in range(150):
        dice = Random(seed)
        base = stroll({}, dice, 1, dice.randint(1, 12))
        local, remote = (stroll(base, dice, 101 + i, dice.randint(0, 4)) for i in range(2))
        scope = Scope(local=rumour(dice), remote=rumour(dice))
        expected, _, _ = planned(base, local, remote, None)
        done, _, _ = planned(base, local, remote, scope)
        assert set(done) <= set(expected), f"seed {seed}: {scope}"


def test_no_rumour_makes_a_run_do_anything_where_nothing_happened() -> None:
    for seed in range(100):
        dice = Random(seed)
        tree = stroll({}, dice, 1, dice.randint(0, 12))
        done, _, desk = planned(tree, tree, tree, Scope(local=rumour(dice), remote=rumour(dice)))
        assert done == [] and desk.memory.inner is not None, f"seed {seed}"


@pytest.mark.parametrize("place", HOSTILE + TRUE, ids=ascii)
def test_a_worker_that_hears_nonsense_stays_in_step(tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"nobody's business")
    with at_work(Bench(tmp_path / "bench")) as bench:
        for hand in (bench.local, bench.remote):
            hand.told(Places(directories=frozenset({place}), trees=frozenset({place} - {""})))
        bench.write("local/a/b/f", b"1")
        bench.local.tell("")
        bench.until(lambda: bench.read("remote/a/b/f") == b"1")
        bench.until(lambda: not bench.status.waiting)
        assert bench.status.counters.failed_runs == 0, bench.status.message
        assert {result.exit_code for _, result in bench.ended} == {0}
        assert bench.status.counters.deleted == bench.status.counters.downloaded == 0
    assert (outside / "f").read_bytes() == b"nobody's business"


def test_events_that_are_lost_are_made_up_for_by_the_next_look_at_everything(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path)) as bench:
        bench.write("local/a/f", b"1")
        bench.write("remote/b/f", b"2")
        assert bench.worker.flushed(bench.worker.flush(), LONG)
        assert bench.read("remote/a/f") == b"1" and bench.read("local/b/f") == b"2"


def test_events_that_come_a_thousand_times_do_the_work_once(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path)) as bench:
        bench.write("local/f", b"1")
        for _ in range(1000):
            bench.local.tell("", "d")
            bench.remote.tell("", "d")
        bench.until(lambda: bench.read("remote/f") == b"1")
        bench.until(lambda: not bench.status.waiting and bench.status.progress is None)
        assert (bench.status.counters.uploaded, bench.status.counters.downloaded) == (1, 0)


def test_an_event_for_what_is_gone_deletes_nothing_that_was_edited(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path)) as bench:
        bench.write("local/d/f", b"1")
        assert bench.worker.flushed(bench.worker.flush(), LONG)
        (bench.home / "local/d/f").unlink()
        bench.write("remote/d/f", b"edited")
        bench.local.tell("d")
        bench.until(lambda: bench.read("local/d/f") == b"edited")
        assert bench.read("remote/d/f") == b"edited"


@pytest.mark.parametrize("side", list(Side))
def test_a_word_about_one_side_concludes_nothing_about_the_other(side: Side) -> None:
    """The other side's root is empty by now; nobody said so, and that is no deletion of anything."""
    with fleeting() as memory:
        desk = Desk(memory, ANY_DELETES)
        desk.agree({"a/f": b"1", "g": b"2"})
        desk.run()
        told, other = (desk.local, desk.remote) if side is Side.LOCAL else (desk.remote, desk.local)
        other.remove("a")
        said = Places(directories=frozenset({"a"}))
        scope = Scope(local=said, remote=NOWHERE) if side is Side.LOCAL else Scope(local=NOWHERE, remote=said)
        assert sync.sync(desk.pair, sync.find_changed_directories(desk.pair, scope)).actions == ()
        assert told.content("a/f") == b"1"
