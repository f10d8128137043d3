"""What makes a run look again at directories that did not change; and runs that look at a part only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine import sync
from syncer.engine.check import check
from syncer.engine.interfaces import KnownDirectories, Scan
from syncer.engine.model import Mode, Policy
from syncer.engine.report import RunReport
from syncer.engine.scope import NOTHING, NOWHERE, Places, Scope
from syncer.errors import GuardTripped, Interrupted, TransientError
from syncer.stores.base import DirectScan, StoreWrapper
from syncer.testing.faulty_store import Fault
from tests.desk import Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Both sides in step, and nothing left to look at."""
    with desk_in(tmp_path, Policy()) as made:
        made.agree({"keep": b"kept", "d/f": b"first", "d/f.tmp": b"scratch"})
        assert made.run().actions == ()
        made.memory.may_forget = True
        yield made


def with_policy(desk: Desk, **more: object) -> None:
    desk.pair = replace(desk.pair, policy=replace(desk.pair.policy, **more))


def test_other_rules_of_the_job_are_heard_although_no_file_changed(desk: Desk) -> None:
    with_policy(desk, ignore=("*.tmp",))
    desk.run()
    assert set(desk.rows()) == {"keep", "d", "d/f"}
    assert desk.local.content("d/f.tmp") == desk.remote.content("d/f.tmp") == b"scratch"


def test_rules_that_are_gone_again_let_the_file_back_in(desk: Desk) -> None:
    with_policy(desk, ignore=("*.tmp",))
    desk.run()
    with_policy(desk, ignore=())
    desk.run()
    assert "d/f.tmp" in desk.rows()


def test_another_mode_looks_at_everything_as_well(desk: Desk) -> None:
    with_policy(desk, mode=Mode.PUSH)
    desk.remote.remove("d/f")
    desk.run()
    assert desk.remote.content("d/f") == b"first"


def test_a_full_run_finds_what_the_stamps_hide(desk: Desk) -> None:
    desk.remote._nodes["d/f"].data = b"other"  # as a lying file system does: same stamp, other bytes
    assert desk.run().actions == ()
    with_policy(desk, full=True)
    desk.run()
    assert desk.local.content("d/f") == b"other"


def test_a_death_while_sealing_under_new_rules_hides_nothing_from_the_old_ones(tmp_path: Path) -> None:
    class Death(BaseException):
        pass

    with desk_in(tmp_path, Policy()) as desk:
        desk.agree({"d/a": b"agreed"})
        desk.local.write("d/n.tmp", b"ignored for one run")
        seal = desk.memory.inner.set_fingerprints

        def seal_and_die(found: Iterable[tuple[str, bytes | None, bytes | None]]) -> None:
            told = list(found)
            seal(told)
            if any(local for _, local, _ in told):
                raise Death

        as_before, desk.memory.set_fingerprints = desk.pair, seal_and_die  # type: ignore[attr-defined]
        desk.pair = replace(desk.pair, policy=Policy(ignore=("*.tmp",)))
        with pytest.raises(Death):
            desk.run()
        desk.pair, desk.memory.set_fingerprints = as_before, seal  # type: ignore[attr-defined]
        desk.run()
        assert desk.remote.content("d/n.tmp") == b"ignored for one run"


def test_a_machine_s_own_rules_that_change_are_heard_by_all_that_stands_below(desk: Desk) -> None:
    desk.agree({"d/deep/down/g.tmp": b"scratch", "d/deep/down/g": b"kept"})
    desk.local.write("d/.syncignore.local", b"*.tmp\n")
    desk.run()
    assert set(desk.rows()) == {"keep", "d", "d/f", "d/deep", "d/deep/down", "d/deep/down/g"}
    desk.local.write("d/deep/down/g.tmp", b"edited")
    assert desk.run().actions == ()
    assert desk.remote.content("d/deep/down/g.tmp") == b"scratch"
    assert desk.remote.stat("d/.syncignore.local") is None
    desk.local.remove("d/.syncignore.local")
    desk.run()
    assert "d/deep/down/g.tmp" in desk.rows()
    desk.comes_to_rest()


def test_a_machine_s_own_rules_that_stay_open_nothing_again(desk: Desk) -> None:
    desk.local.write("d/.syncignore.local", b"*.tmp\n")
    desk.run()
    desk.run()
    assert sync.find_changed_directories(desk.pair).directories == []


def test_a_plan_does_not_take_note_of_a_machine_s_own_rules(desk: Desk) -> None:
    desk.agree({"d/deep/g.tmp": b"scratch"})
    desk.local.write("d/.syncignore.local", b"*.tmp\n")
    assert len(sync.plan(desk.pair).actions) == len(sync.plan(desk.pair).actions) == 2


def test_a_death_while_sealing_under_a_machine_s_own_rules_hides_nothing_afterwards(tmp_path: Path) -> None:
    class Death(BaseException):
        pass

    with desk_in(tmp_path, Policy()) as desk:
        desk.agree({"d/deep/a": b"agreed"})
        desk.local.write("d/deep/n.tmp", b"ignored for one run")
        desk.local.write("d/.syncignore.local", b"*.tmp")
        seal = desk.memory.inner.set_fingerprints

        def seal_and_die(found: Iterable[tuple[str, bytes | None, bytes | None]]) -> None:
            told = list(found)
            seal(told)
            if any(local for path, local, _ in told if path == "d/deep"):
                raise Death

        desk.memory.set_fingerprints = seal_and_die  # type: ignore[attr-defined]
        with pytest.raises(Death):
            any(desk.run().holds for _ in range(3))
        desk.memory.set_fingerprints = seal  # type: ignore[attr-defined]
        desk.local.remove("d/.syncignore.local")
        desk.run()
        assert desk.remote.content("d/deep/n.tmp") == b"ignored for one run"


def test_names_judged_by_an_earlier_reading_of_the_rules_are_judged_anew(desk: Desk) -> None:
    """An update of Syncer that reads a rule otherwise is as if the rule had changed."""
    desk.memory.inner.set(ignore="two-way")
    seen = sync.find_changed_directories(desk.pair)
    assert seen.forced and set(seen.directories) == {"", "d"}


def test_check_of_a_directory_with_rules_beyond_bounds_says_so(desk: Desk) -> None:
    desk.remote.write("d/.syncignore", b"*a" * 100)
    desk.local.write("d/.syncignore", b"*a" * 100)
    desk.local.write("keep", b"other")
    found = {difference.path: difference.message for difference in check(desk.pair)}
    assert set(found) == {"d", "keep"} and "more than 64 stars" in found["d"]


def test_a_signal_ends_a_run_that_judges_many_names(desk: Desk) -> None:
    class Stopped:
        def scanning(self, directories: int) -> None:
            if not directories:
                raise Interrupted(2)

    for number in range(100):
        desk.local.write(f"d/{number}", b"new")
    desk.local.write(".syncignore", b"*.o")
    desk.pair = replace(desk.pair, reporter=Stopped())  # type: ignore[arg-type]
    with pytest.raises(Interrupted):
        sync.plan(desk.pair)
    with pytest.raises(Interrupted):
        list(check(desk.pair))


# A run over a part


def at(*directories: str, trees: Iterable[str] = ()) -> Places:
    return Places(directories=frozenset(directories), trees=frozenset(trees))


def over(desk: Desk, local: Places = NOWHERE, remote: Places = NOWHERE) -> RunReport:
    return sync.sync(desk.pair, sync.find_changed_directories(desk.pair, Scope(local=local, remote=remote)))


def paths_of(report: RunReport) -> list[str]:
    return [done.action.path for done in report.actions]


def test_a_run_over_a_part_leaves_the_rest_for_another(desk: Desk) -> None:
    desk.local.write("d/f", b"edited")
    desk.local.write("keep", b"edited too")
    assert paths_of(over(desk, at("d"))) == ["keep", "d/f"], "directories above are in it"
    desk.local.write("d/f", b"again")
    desk.remote.write("keep", b"there")
    assert paths_of(over(desk, at("d"))) == ["d/f"], "the root did not change on the side that was looked at"
    assert paths_of(over(desk, remote=at(""))) == ["keep"]
    desk.comes_to_rest()


def test_a_run_over_nothing_opens_nothing_and_judges_nothing(desk: Desk) -> None:
    desk.local.write("keep", b"edited")
    seen = sync.find_changed_directories(desk.pair, NOTHING)
    assert not seen.directories and not seen.whole
    report = sync.sync(desk.pair, seen)
    assert report.actions == () and not report.judged("keep")


def test_a_first_run_looks_everywhere_wherever_it_was_sent(tmp_path: Path) -> None:
    with desk_in(tmp_path, Policy()) as desk:
        desk.local.write("deep/down/f", b"new")
        seen = sync.find_changed_directories(desk.pair, Scope(local=at("other"), remote=NOWHERE))
        assert seen.whole and paths_of(sync.sync(desk.pair, seen)) == ["deep", "deep/down", "deep/down/f"]


def test_a_side_that_nothing_is_said_of_is_not_asked(desk: Desk) -> None:
    class Down(StoreWrapper):
        def scan(self, known: KnownDirectories) -> Scan:
            def changed(known: object) -> Iterator[str]:
                raise TransientError("the line is down")

            return DirectScan(known, changed=changed, list_directory=self.list)

    desk.pair = replace(desk.pair, remote=Down(desk.remote))
    assert over(desk, at("d")).actions == ()
    with pytest.raises(TransientError):
        over(desk, remote=at("d"))


@pytest.mark.parametrize(
    "place", ["gone", "d/gone/deeper", "d/f", "d/f/x", "..", "/d", "d//f", "d\0f", "d/", "\udcff"]
)
def test_a_place_that_is_none_does_no_harm_and_hides_nothing(desk: Desk, place: str) -> None:
    desk.local.write("d/f", b"edited")
    assert over(desk, at(place), at(place)).exit_code == 0
    assert paths_of(over(desk, at("d"), at(place))) in ([], ["d/f"])
    desk.comes_to_rest()
    assert desk.remote.content("d/f") == b"edited"


def test_a_directory_that_is_gone_is_found_by_its_own_name_as_well(desk: Desk) -> None:
    desk.local.remove("d")
    assert paths_of(over(desk, at("d"))) == ["d/f", "d/f.tmp", "d"]
    assert desk.remote.stat("d") is None and desk.run().actions == ()


def test_a_new_tree_is_found_whole_by_the_place_it_stands_in(desk: Desk) -> None:
    desk.local.write("d/new/deep/x", b"1")
    desk.local.write("d/new/y", b"2")
    report = over(desk, at("d"))
    assert report.judged("d/new/deep/x") and report.judged("d/new/y") and not report.judged("elsewhere/x")
    assert desk.remote.content("d/new/deep/x") == b"1" and desk.run().actions == ()


@pytest.mark.parametrize("change", [{"ignore": ("*.tmp",)}, {"mode": Mode.PUSH}])
def test_other_rules_or_another_mode_make_any_run_a_full_one(desk: Desk, change: dict[str, object]) -> None:
    with_policy(desk, **change)
    seen = sync.find_changed_directories(desk.pair, Scope(local=at(""), remote=NOWHERE))
    assert seen.whole and seen.forced and set(seen.directories) == {"", "d"}
    assert sync.sync(desk.pair, seen).looked is None


def test_ignore_rules_that_change_in_a_part_are_heard_by_all_that_stands_below(desk: Desk) -> None:
    desk.agree({"d/deep/down/g.tmp": b"scratch", "d/deep/down/g": b"kept"})
    desk.local.write("d/.syncignore", b"*.tmp\n")
    report = over(desk, at("d"))
    assert report.judged("d/deep/down/g.tmp") and not report.judged("other/x")
    assert set(desk.rows()) == {"keep", "d", "d/f", "d/.syncignore", "d/deep", "d/deep/down", "d/deep/down/g"}
    desk.local.write("d/deep/down/g.tmp", b"edited")
    assert desk.run().actions == ()
    assert desk.remote.content("d/deep/down/g.tmp") == b"scratch"
    desk.remote.write("d/.syncignore", b"")
    over(desk, remote=at("d"))
    desk.comes_to_rest()
    assert "d/deep/down/g.tmp" in desk.rows()


def test_rules_above_a_part_hold_in_it_although_nobody_looked_at_them(desk: Desk) -> None:
    desk.agree({"d/.syncignore": b"*.bak\n", "d/deep/g": b"kept"})
    desk.local.write("d/deep/g.bak", b"private")
    assert paths_of(over(desk, at("d/deep"))) == []
    assert desk.remote.stat("d/deep/g.bak") is None


def test_what_is_wrong_with_a_directory_is_not_over_because_its_parent_was_looked_at(desk: Desk) -> None:
    desk.remote.deny("d")
    desk.local.write("d/f", b"edited")
    report = over(desk, at("d"))
    assert [p.path for p in report.problems] == ["d"] and report.judged("d")
    desk.local.write("keep", b"edited")
    report = over(desk, at(""))
    assert paths_of(report) == ["keep"] and report.problems == ()
    assert report.judged("keep") and not report.judged("d") and not report.judged("d/f")


def test_a_directory_that_went_is_judged_by_a_look_at_its_parent(desk: Desk) -> None:
    desk.local.remove("d")
    desk.remote.remove("d")
    assert over(desk, at("")).judged("d")


def test_what_stands_on_one_side_only_is_taken_for_trouble_not_for_a_deletion(desk: Desk) -> None:
    """The other side took the directory away, and nobody looked there: only its parent tells."""
    desk.local.write("d/f", b"edited")
    desk.remote.remove("d")
    report = over(desk, at("d"))
    assert [(p.path, p.code) for p in report.problems] == [("d", "busy")] and report.actions == ()
    assert paths_of(over(desk, at("d", ""), at("d", ""))) == ["d", "d/f", "d/f.tmp"]
    desk.comes_to_rest()
    assert desk.local.content("d/f") == desk.remote.content("d/f") == b"edited"


@pytest.mark.parametrize("side", ["local", "remote"])
def test_an_emptied_side_refuses_a_run_over_a_part_as_well(desk: Desk, side: str) -> None:
    store = desk.local if side == "local" else desk.remote
    other = desk.remote if side == "local" else desk.local
    before = other.tree()
    for path in ("keep", "d"):
        store.remove(path)
    with pytest.raises(GuardTripped):
        over(desk, at(""), at(""))
    assert other.tree() == before


def test_a_place_that_is_ignored_is_left_alone(desk: Desk) -> None:
    desk.agree({"d/.syncignore": b"cache/\n"})
    desk.local.write("d/cache/deep/x", b"private")
    for places in (at("d/cache"), at("d/cache/deep"), at(trees=["d/cache"])):
        assert over(desk, places, places).actions == ()
    assert desk.remote.stat("d/cache") is None and "d/cache" not in desk.rows()


def test_a_directory_with_trouble_is_opened_again_although_it_looks_as_it_did_before(desk: Desk) -> None:
    """The trouble went as it came: who looks at what changed only would never hear that it is over."""
    desk.local.make_directory("d/.SYNCER-tmp-mine")
    assert [p.path for p in over(desk, at("d")).problems] == ["d/.SYNCER-tmp-mine"]
    desk.local.remove("d/.SYNCER-tmp-mine")
    report = over(desk, at("d"))
    assert report.problems == () and report.judged("d/.SYNCER-tmp-mine")
    again = sync.find_changed_directories(desk.pair, Scope(local=at("d"), remote=NOWHERE))
    assert not again.directories, "and that once"


def test_what_failed_in_a_directory_opens_it_again_although_it_looks_as_it_did_before(desk: Desk) -> None:
    desk.local.make_directory("d/new")
    desk.far.faults.append(Fault(method="make_directories", error=TransientError("reset")))
    assert over(desk, at("d")).exit_code == 3
    desk.local.remove("d/new")
    report = over(desk, at("d"))
    assert report.exit_code == 0 and report.judged("d/new")


def test_a_thousand_levels_of_new_directories_need_no_deeper_stack(desk: Desk) -> None:
    path = "/".join(["d", "new", *["deeper"] * 1000, "f"])
    desk.local.write(path, b"x")
    assert desk.run().exit_code == 0 and desk.remote.content(path) == b"x"
