"""More than one pair: hubs, chains, rings, two services. Nothing is lost, everything comes to rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from syncer.engine.model import Action, Delete, Mode, Reason, Side
from tests.simulation.topologies import (
    CHAIN,
    FIVE_MACHINES,
    FOUR_MACHINES,
    HUB,
    RING,
    SQUARE,
    THREE_MACHINES,
    TWO_SERVICES,
    Net,
    Shape,
    campaign,
    net,
)

SHAPES = {
    "hub": HUB,
    "chain": CHAIN,
    "ring": RING,
    "square": SQUARE,
    "two services": TWO_SERVICES,
    "five machines": FIVE_MACHINES,
}
MACHINES = {"three machines": THREE_MACHINES, "four machines": FOUR_MACHINES, "five machines": FIVE_MACHINES}
FEW, MANY = 3, 50


@pytest.mark.parametrize("seed", range(FEW))
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_users_do_all_folders_come_to_rest_and_nothing_is_lost(shape: str, seed: int) -> None:
    campaign(SHAPES[shape], seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(FEW, MANY))
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_users_do_all_folders_come_to_rest_and_nothing_is_lost_many(shape: str, seed: int) -> None:
    campaign(SHAPES[shape], seed, steps=50)


@pytest.mark.parametrize("seed", range(FEW - 1))
@pytest.mark.parametrize("shape", SHAPES | MACHINES)
def test_deaths_states_lost_or_set_back_and_wrong_clocks_lose_nothing(shape: str, seed: int) -> None:
    campaign((SHAPES | MACHINES)[shape], seed, trouble=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(FEW - 1, MANY))
@pytest.mark.parametrize("shape", SHAPES | MACHINES)
def test_deaths_states_lost_or_set_back_and_wrong_clocks_lose_nothing_many(shape: str, seed: int) -> None:
    campaign((SHAPES | MACHINES)[shape], seed, steps=50, trouble=True)


def run(made: Net, *names: str) -> None:
    for name in names:
        (number,) = [n for n, (_, a, b) in enumerate(made.shape.jobs) if f"{a}{b}" == name]
        made.run(number)


def shows(made: Net, path: str) -> list[str]:
    """What each folder has there."""
    return [made.tree(folder).get(path, b"-").decode() for folder in made.shape.folders]


@pytest.fixture
def ring() -> Iterator[Net]:
    with net(RING, 0) as made:
        (made.home / "a/keep").write_text("keep")
        made.round()
        made.round()
        made.round()
        yield made


def test_a_file_deleted_while_it_goes_round_a_ring_stays_deleted(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    run(ring, "ab", "ca")
    (ring.home / "b/f").unlink()
    ring.settle()
    assert shows(ring, "f") == ["-", "-", "-"]


def test_a_content_set_back_while_the_edit_goes_round_a_ring_is_the_last_word(ring: Net) -> None:
    (ring.home / "a/f").write_text("v1")
    ring.round()
    ring.round()
    (ring.home / "b/f").write_text("v2")
    run(ring, "bc")
    (ring.home / "c/f").write_text("v1")
    run(ring, "ab", "bc", "ca")
    ring.settle()
    assert shows(ring, "f") == ["v1", "v1", "v1"]


def test_a_file_that_is_put_back_after_its_deletion_went_round_is_no_echo(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    ring.round()
    ring.round()
    (ring.home / "b/f").unlink()
    ring.round()
    ring.round()
    assert shows(ring, "f") == ["-", "-", "-"]
    (ring.home / "c/f").write_text("x")
    ring.settle()
    assert shows(ring, "f") == ["x", "x", "x"]


def test_a_directory_deleted_while_it_goes_round_a_ring_stays_deleted(ring: Net) -> None:
    (ring.home / "a/d/e").mkdir(parents=True)
    (ring.home / "a/d/e/f").write_text("x")
    run(ring, "ab", "ca")
    (ring.home / "b/d/e/f").unlink()
    (ring.home / "b/d/e").rmdir()
    (ring.home / "b/d").rmdir()
    ring.settle()
    assert not any((ring.home / folder / "d").exists() for folder in "abc")


def test_the_first_run_of_a_job_deletes_nothing_whatever_its_root_remembers(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    ring.round()
    ring.round()
    (ring.home / "a/f").unlink()
    ring.round()
    ring.round()
    made = Shape((*RING.jobs, ("m", "a", "new")))
    (ring.home / "new").mkdir()
    (ring.home / "new/f").write_text("x")
    ring.shape = made
    run(ring, "anew")
    assert (ring.home / "new/f").read_text() == "x" and (ring.home / "a/f").read_text() == "x"


# -- what a plan says ------------------------------------------------------------------------------


def test_a_plan_knows_an_echo_as_the_run_does(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    run(ring, "ab", "ca")
    (ring.home / "b/f").unlink()
    run(ring, "ab")
    planned = ring.plan(1).plan  # of b and c: c has the file, which left b
    assert planned is not None
    (action,) = planned.actions
    assert isinstance(action, Delete) and (action.side, action.reason) == (Side.REMOTE, Reason.ECHO)
    report = ring.run(1).report
    assert report is not None and [done.action for done in report.actions] == [action]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", ["ring", "two services"])
def test_a_run_does_what_the_plan_said(shape: str, seed: int) -> None:
    with net(SHAPES[shape], seed) as made:
        made.round()
        for step in range(40):
            made.act()
            if step % 2:
                number = made.random.randrange(len(made.shape.jobs))
                planned, report = made.plan(number).plan, made.run(number).report
                assert planned is not None and report is not None
                assert _plain(planned.actions) == _plain(r.action for r in report.actions)


def _plain(actions: Iterable[Action]) -> list[tuple[str, str, str]]:
    return sorted((type(a).__name__, a.path, a.reason.value) for a in actions)


# -- what a user just made is no echo, and two that know nothing of each other are a conflict ------


@pytest.fixture
def hub() -> Iterator[Net]:
    with net(HUB, 0) as made:
        (made.home / "x/f").write_text("old")
        for _ in range(3):
            made.round()
        assert shows(made, "f") == ["old"] * 4
        yield made


def test_a_file_made_anew_where_its_deletion_had_come_stays(hub: Net) -> None:
    (hub.home / "y/f").unlink()
    run(hub, "huby", "hubx", "hubz")
    (hub.home / "z/f").write_text("new")
    run(hub, "hubz", "huby", "hubx")
    assert shows(hub, "f") == ["new"] * 4
    hub.settle()


def test_a_file_made_where_it_never_was_stays_though_it_was_deleted_elsewhere(hub: Net) -> None:
    (hub.home / "hub/g").write_text("old")
    run(hub, "hubx", "huby")
    (hub.home / "y/g").unlink()
    run(hub, "huby")
    (hub.home / "z/g").write_text("new")
    run(hub, "hubz", "huby", "hubx")
    assert shows(hub, "g") == ["new"] * 4
    hub.settle()


def test_an_edit_that_beat_a_deletion_beats_it_everywhere(hub: Net) -> None:
    (hub.home / "y/f").unlink()
    run(hub, "huby", "hubx")
    (hub.home / "z/f").write_text("edited")
    run(hub, "hubz", "huby", "hubx")
    assert shows(hub, "f") == ["edited"] * 4
    hub.settle()


def test_two_edits_that_meet_in_the_middle_of_a_chain_are_both_kept() -> None:
    with net(CHAIN, 0) as made:
        (made.home / "a/f").write_text("old")
        for _ in range(3):
            made.round()
        (made.home / "a/f").write_text("of a")
        (made.home / "d/f").write_text("of d")
        run(made, "ab", "cd", "bc")
        made.settle()
        assert sorted(made.tree("a").values()) == [b"of a", b"of d"]


# -- two machines that push to one folder, two bridges that settle one conflict ---------------------


PUSHING = Shape((("m1", "one", "shared"), ("m2", "two", "shared")))


@pytest.fixture
def pushing() -> Iterator[Net]:
    with net(PUSHING, 0, Mode.PUSH) as made:
        for folder, data in (("one", "of one"), ("two", "of two")):
            (made.home / folder / "f").write_text(data)
        yield made


def test_two_machines_that_push_different_versions_make_one_copy_of_each(pushing: Net) -> None:
    for _ in range(8):
        pushing.round()
    assert sorted(pushing.tree("shared").values()).count(b"of one") <= 2
    assert len(pushing.tree("shared")) <= 3


def test_what_two_machines_push_over_each_other_is_held_after_three_times_and_named(pushing: Net) -> None:
    results = [result for _ in range(10) for result in pushing.round()]
    assert results[-1].exit_code == 4 or results[-2].exit_code == 4
    report = next(r.report for r in reversed(results) if r.exit_code == 4)
    assert report is not None
    (hold,) = report.holds
    assert (hold.guard, hold.paths) == ("flip-flop", ("f",))
    assert "-shared" in hold.message and "somebody else" in hold.message
    before = pushing.tree("shared")
    for _ in range(3):
        pushing.round()
    assert pushing.tree("shared") == before, "nothing moves any more"


def test_a_name_that_is_held_goes_on_when_the_contents_agree(pushing: Net) -> None:
    for _ in range(10):
        pushing.round()
    (pushing.home / "two/f").write_text("of one")
    for _ in range(2):
        results = pushing.round()
    assert [result.exit_code for result in results] == [0, 0]
    assert pushing.tree("shared")["f"] == b"of one"


def test_a_user_who_switches_to_and_fro_between_two_versions_is_never_held() -> None:
    with net(CHAIN, 0) as made:
        for number in range(8):
            (made.home / "a/f").write_text(f"version {number % 2}")
            assert {result.exit_code for result in made.round()} == {0}
        assert shows(made, "f") == ["version 1"] * 4


@pytest.fixture
def bridges() -> Iterator[Net]:
    """Two machines settled one conflict at the same moment, each with a copy of its own."""
    with net(TWO_SERVICES, 0) as made:
        (made.home / "m1/f").write_text("of m1")
        (made.home / "m2/f").write_text("of m2")
        run(made, "m1s1", "m2s2", "m2s1", "m1s2")
        assert copies(made, "m1") != copies(made, "m2")
        yield made


def copies(made: Net, folder: str) -> list[str]:
    return sorted(name for name in made.tree(folder) if ".sync-conflict-" in name)


def test_two_bridges_that_settle_one_conflict_at_the_same_moment_keep_the_loser_once(bridges: Net) -> None:
    first = min(copies(bridges, "m1") + copies(bridges, "m2"))
    bridges.settle()
    assert copies(bridges, "m1") == [first]
    assert sorted(bridges.tree("m1").values()) == [b"of m1", b"of m2"]


def test_of_two_copies_of_one_conflict_the_edited_one_and_the_other_both_stay(bridges: Net) -> None:
    (edited,) = copies(bridges, "m1")
    (bridges.home / "m1" / edited).write_text("OF M1")
    bridges.settle()
    assert sorted(bridges.tree("m1").values()) == [b"OF M1", b"of m1", b"of m2"]


def test_a_copy_that_a_user_deletes_takes_its_twin_along_nowhere(bridges: Net) -> None:
    """Whoever deletes one copy has not seen the other: that one stays."""
    (mine,) = copies(bridges, "m1")
    (bridges.home / "m1" / mine).unlink()
    bridges.settle()
    assert sorted(bridges.tree("m1").values()) == [b"of m1", b"of m2"]


def test_the_open_conflict_is_that_of_the_copy_that_stays(bridges: Net) -> None:
    first = min(copies(bridges, "m1") + copies(bridges, "m2"))
    bridges.settle()
    told = {conflict.copy for conflict in bridges.conflicts()}
    assert told == {first}
