"""Schedule of a job with artificial times: when the next run is due, and what it scans."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from syncer.daemon.schedule import (
    FIRST_JOB,
    FIRST_PATH,
    LAST_JOB,
    LAST_PATH,
    Ending,
    Intervals,
    Schedule,
    Task,
)
from syncer.engine.paths import split
from syncer.engine.scope import EVERYTHING, EVERYWHERE, NOTHING, NOWHERE, Places, Scope

START = 1000.0
FINE = Ending()


def at(*directories: str) -> Places:
    return Places(directories=frozenset(directories))


def local(*directories: str) -> Scope:
    return Scope(local=at(*directories), remote=NOWHERE)


def remote(*directories: str) -> Scope:
    return Scope(local=NOWHERE, remote=at(*directories))


def new(**intervals: float | bool | None) -> Schedule:
    """One whose delays are exact, right at the start."""
    return Schedule(Intervals(**intervals), START, spread=lambda delay: delay)  # type: ignore[arg-type]


def begun(**intervals: float | bool | None) -> Schedule:
    """One whose first run, over everything, went well."""
    schedule = new(**intervals)
    schedule.ended(schedule.take(START), FINE, START)
    return schedule


def ran(schedule: Schedule, now: float, ending: Ending = FINE) -> Task:
    """The run that is due at that moment, which took no time."""
    assert schedule.due() <= now
    task = schedule.take(now)
    schedule.ended(task, ending, now)
    return task


# The beginning, and the clock


def test_the_first_run_is_over_everything_and_at_once() -> None:
    schedule = new()
    assert schedule.due() <= START
    assert schedule.take(START) == Task(scope=EVERYTHING, trigger="start")


def test_with_nothing_to_do_the_next_run_is_the_full_one_of_every_hour() -> None:
    schedule = begun(interval=None)
    assert schedule.due() == START + 3600
    assert ran(schedule, START + 3600) == Task(scope=EVERYTHING, trigger="scan")
    assert schedule.due() == START + 7200


def test_a_full_run_for_another_reason_puts_the_next_scan_off() -> None:
    schedule = begun(interval=None)
    schedule.asked()
    ran(schedule, START + 1800)
    assert schedule.due() == START + 1800 + 3600


def test_at_every_interval_the_remote_is_looked_at() -> None:
    schedule = begun(interval=300.0)
    assert schedule.due() == START + 300
    assert ran(schedule, START + 300) == Task(
        scope=Scope(local=NOWHERE, remote=EVERYWHERE), trigger="interval"
    )
    assert schedule.due() == START + 600


def test_a_side_that_nobody_watches_is_looked_at_every_interval_too() -> None:
    assert ran(begun(interval=300.0, watch=False), START + 300) == Task(scope=EVERYTHING, trigger="interval")


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_the_remote_is_looked_at_at_least_as_often_as_was_asked_for(factor: float) -> None:
    schedule = Schedule(Intervals(interval=300.0), START, spread=lambda delay: delay * factor)
    schedule.ended(schedule.take(START), FINE, START)
    assert START < schedule.due() <= START + 300


def test_delays_are_spread_so_that_many_jobs_do_not_come_at_once() -> None:
    def due() -> float:
        schedule = Schedule(Intervals(), START)
        schedule.ended(schedule.take(START), Ending(delay=100.0), START)
        return schedule.due()

    found = {due() for _ in range(20)}
    assert len(found) > 10 and all(START + 75 <= moment <= START + 125 for moment in found)


# What happens


def test_news_is_gathered_until_it_is_quiet() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10)
    assert schedule.gathering and schedule.due() == pytest.approx(START + 10.2)
    schedule.noticed(local("b"), START + 10.1)
    assert schedule.due() == pytest.approx(START + 10.3)
    assert ran(schedule, START + 10.4) == Task(scope=local("a", "b"), trigger="watch")
    assert not schedule.gathering and schedule.due() > START + 10.4


def test_somebody_who_never_stops_writing_is_not_waited_for_for_ever() -> None:
    schedule = begun()
    for tick in range(60):
        schedule.noticed(local("log"), START + 10 + tick / 10)
    assert schedule.due() == pytest.approx(START + 15)


def test_news_that_was_gathered_elsewhere_is_not_gathered_again() -> None:
    schedule = begun()
    schedule.noticed(remote("a"), START + 10, settled=True)
    assert schedule.due() == START + 10


def test_a_side_that_is_not_quiet_yet_is_left_out_of_a_run_for_the_other() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10)
    schedule.noticed(remote("b"), START + 10.0, settled=True)
    assert ran(schedule, START + 10).scope == remote("b")
    assert ran(schedule, START + 10.2).scope == local("a")


def test_a_full_run_takes_all_that_was_noticed_with_it() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10)
    schedule.asked()
    assert ran(schedule, START + 10).scope == EVERYTHING
    assert not schedule.gathering and schedule.waiting == 0


def test_news_during_a_run_waits_for_the_next_one() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10)
    task = schedule.take(START + 11)
    schedule.noticed(local("a"), START + 11.5)
    schedule.ended(task, FINE, START + 20)
    assert ran(schedule, START + 20).scope == local("a")


# Runs that fail


def test_a_job_that_cannot_run_is_tried_later_and_later_but_never_later_than_that() -> None:
    schedule, now, waits = new(), START, []
    for _ in range(12):
        ran(schedule, now, Ending(delay=FIRST_JOB))
        assert schedule.backing_off and not schedule.due() <= now
        waits.append(schedule.due() - now)
        now = schedule.due()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, LAST_JOB, LAST_JOB, LAST_JOB]
    assert ran(schedule, now).scope == EVERYTHING
    assert not schedule.backing_off
    ran_again = now + 3600
    ran(schedule, ran_again, Ending(delay=FIRST_JOB))
    assert schedule.due() == ran_again + 1, "what failed long ago is forgotten"


def test_somebody_who_syncs_by_hand_is_asked_steadily_and_leaves_no_grudge() -> None:
    schedule, now = begun(), START + 10
    schedule.noticed(local("a"), now, settled=True)
    for _ in range(30):
        ran(schedule, now, Ending(delay=2.0, constant_delay=True))
        assert schedule.due() == now + 2
        now += 2
    ran(schedule, now, Ending(delay=FIRST_JOB))
    assert schedule.due() <= now + 2, "then the network failed once: that is not the 31st failure"


def test_nothing_that_happens_shortens_a_delay_but_a_word() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10, settled=True)
    ran(schedule, START + 10, Ending(delay=60.0))
    schedule.noticed(local("b"), START + 11, settled=True)
    assert schedule.due() == START + 70
    schedule.reset_backoff()
    assert schedule.due() <= START + 11 and not schedule.backing_off
    assert ran(schedule, START + 11).scope == local("a", "b")


def test_what_a_failed_run_was_to_look_at_is_owed() -> None:
    schedule = begun(interval=None)
    schedule.noticed(local("a"), START + 10, settled=True)
    ran(schedule, START + 10, Ending(delay=5.0))
    assert schedule.waiting == 1
    assert ran(schedule, START + 15) == Task(scope=local("a"), trigger="watch")
    assert schedule.due() == START + 3600


def test_a_scan_that_failed_is_owed_whole() -> None:
    schedule = begun(interval=None)
    ran(schedule, START + 3600, Ending(delay=5.0))
    assert ran(schedule, START + 3605) == Task(scope=EVERYTHING, trigger="scan")


def test_a_run_that_was_stopped_half_way_goes_on_at_once() -> None:
    schedule = begun()
    schedule.noticed(local("a"), START + 10, settled=True)
    ran(schedule, START + 10, Ending(broken_off=True))
    assert not schedule.backing_off
    assert ran(schedule, START + 10) == Task(scope=local("a"), trigger="watch")


# Paths that fail


def failing(schedule: Schedule, now: float, *paths: str) -> Task:
    return ran(schedule, now, Ending(paths=frozenset(paths)))


def test_a_path_that_fails_is_tried_alone_later_and_later() -> None:
    schedule, now, waits = begun(interval=None, scan=1e9), START + 10, []
    schedule.noticed(local("d"), now, settled=True)
    for _ in range(12):
        failing(schedule, now, "d/f")
        waits.append(schedule.due() - now)
        now = schedule.due()
        assert list(schedule.retries) == ["d/f"]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, LAST_PATH, LAST_PATH]
    task = ran(schedule, now)
    assert task.trigger == "retry" and schedule.retries == {}


def test_where_a_path_failed_is_looked_at_on_both_sides_and_it_may_be_a_directory() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 1, settled=True)
    failing(schedule, START + 1, "d/f")
    assert ran(schedule, START + 2).scope == Scope(local=at("d", "d/f"), remote=at("d", "d/f"))


def test_a_path_that_came_to_its_turn_during_a_run_is_not_forgotten_by_it() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f")
    schedule.noticed(local("e"), START + 10.5, settled=True)
    task = schedule.take(START + 10.5)
    assert task.scope == local("e"), "it is not the path's turn yet"
    schedule.ended(task, FINE, START + 60)
    assert list(schedule.retries) == ["d/f"]
    assert ran(schedule, START + 60).scope.local == at("d", "d/f")


def test_a_word_during_a_run_does_not_make_it_forget_what_it_did_not_try() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f")
    schedule.noticed(local("e"), START + 10.5, settled=True)
    task = schedule.take(START + 10.5)
    schedule.reset_backoff()
    schedule.ended(task, FINE, START + 11)
    assert list(schedule.retries) == ["d/f"] and schedule.due() <= START + 11


def test_a_look_at_one_side_only_is_not_a_try() -> None:
    """The directory may look there as it always did, and is not opened: the other side has what failed."""
    schedule = begun()
    schedule.noticed(remote("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f")
    schedule.noticed(local("d"), START + 10.1, settled=True)
    ran(schedule, START + 10.1)
    assert list(schedule.retries) == ["d/f"]


def test_a_path_that_went_well_before_its_turn_is_forgotten() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f", "e/f")
    schedule.noticed(local("d"), START + 10.1, settled=True)
    ran(schedule, START + 10.1, Ending(settled=lambda path: path.startswith("d/")))
    assert list(schedule.retries) == ["e/f"]


def test_paths_wait_each_for_its_own_time() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f")
    schedule.noticed(local("e"), START + 10.5, settled=True)
    failing(schedule, START + 10.5, "e/f")
    assert schedule.retries == {"d/f": START + 11, "e/f": START + 11.5}
    assert ran(schedule, START + 11).scope.local == at("d", "d/f")
    assert list(schedule.retries) == ["e/f"]


def test_a_full_run_tries_all_paths_and_forgets_those_that_went_well() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f", "d/g")
    schedule.asked()
    failing(schedule, START + 10.1, "d/g")
    assert schedule.retries == {"d/g": pytest.approx(START + 10.1 + 2 * FIRST_PATH)}


def test_a_job_that_fails_as_a_whole_keeps_the_paths() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START + 10, settled=True)
    failing(schedule, START + 10, "d/f")
    ran(schedule, START + 11, Ending(delay=5.0))
    assert list(schedule.retries) == ["d/f"]
    assert ran(schedule, START + 16).scope.remote == at("d", "d/f")


# A word


def test_a_word_makes_everything_due_at_once() -> None:
    schedule = begun()
    schedule.asked()
    assert schedule.due() <= START and schedule.waiting == 1
    assert ran(schedule, START) == Task(scope=EVERYTHING, trigger="flush")
    assert schedule.waiting == 0


def test_a_word_during_a_run_is_not_answered_by_it() -> None:
    schedule = begun()
    schedule.asked()
    task = schedule.take(START)
    schedule.asked()
    schedule.ended(task, FINE, START + 5)
    assert ran(schedule, START + 5).trigger == "flush"


# All of it together

SIDES = ("local", "remote")
Pending = list[tuple[str, Places]]
DIRECTORIES = ("", "a", "a/b", "a/b/c", "d", "e")
paths = st.sampled_from(("f", "a/f", "a/b/f", "d/f"))
places = st.builds(
    Places,
    directories=st.frozensets(st.sampled_from(DIRECTORIES), max_size=2),
    trees=st.frozensets(st.sampled_from(DIRECTORIES[1:]), max_size=1),
)


def covers(whole: Places, part: Places) -> bool:
    def within(path: str) -> bool:
        return any(not tree or path == tree or path.startswith(tree + "/") for tree in whole.trees)

    return all(d in whole.directories or within(d) for d in part.directories) and all(map(within, part.trees))


class Months(RuleBasedStateMachine):
    """Whatever happens, in whatever order: nothing is forgotten, nothing comes early, nothing spins."""

    @initialize(interval=st.sampled_from((None, 300.0)), watch=st.booleans(), factor=st.floats(0.75, 1.25))
    def begin(self, interval: float | None, watch: bool, factor: float) -> None:
        self.now = START
        self.schedule = Schedule(
            Intervals(interval=interval, watch=watch), START, spread=lambda delay: delay * factor
        )
        self.pending = [(side, EVERYWHERE) for side in SIDES]
        self.floor = 0.0  # before this nothing may begin, unless somebody says a word

    @rule(seconds=st.sampled_from((0.05, 0.2, 1.0, 7.0, 400.0, 5000.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(local=places, remote=places, settled=st.booleans())
    def something_happens(self, local: Places, remote: Places, settled: bool) -> None:
        scope = Scope(local=local, remote=remote)
        self.schedule.noticed(scope, self.now, settled=settled)
        self.pending += [("local", local), ("remote", remote)]

    @rule()
    def somebody_asks(self) -> None:
        self.schedule.asked()
        self.floor = 0.0
        assert self.schedule.due() <= self.now

    @rule()
    def somebody_encourages(self) -> None:
        self.schedule.reset_backoff()
        self.floor = 0.0

    @rule(
        seconds=st.sampled_from((0.0, 0.5, 30.0)),
        kind=st.sampled_from(("fine", "fine", "failed", "constant_delay", "stopped", "paths")),
        failed=st.frozensets(paths, min_size=1, max_size=3),
        meanwhile=places,
    )
    def run(self, seconds: float, kind: str, failed: frozenset[str], meanwhile: Places) -> None:
        due = self.schedule.due()
        if due > self.now:
            return
        assert self.now >= self.floor, "it did not wait as it was to"
        task, before = self.schedule.take(self.now), self.pending
        self.pending = []
        if meanwhile:
            self.something_happens(meanwhile, NOWHERE, settled=False)
        self.now += seconds
        self._end(task, kind, failed, before)

    def _end(self, task: Task, kind: str, failed: frozenset[str], before: Pending) -> None:
        if kind in ("failed", "constant_delay"):
            ending = Ending(delay=10.0, constant_delay=kind == "constant_delay")
            self.floor = self.now + 0.75 * 10
        elif kind == "stopped":
            ending = Ending(broken_off=True)
        else:
            ending = Ending(paths=failed if kind == "paths" else frozenset())
            before = [(side, part) for side, part in before if not covers(getattr(task.scope, side), part)]
            before += [(side, at(split(path)[0])) for path in ending.paths for side in SIDES]
        self.pending += before
        nothing = not self.schedule.gathering and ending == FINE and not self.schedule.retries
        self.schedule.ended(task, ending, self.now)
        if nothing and not self.pending:
            assert self.schedule.due() > self.now, "it spins"

    @invariant()
    def a_run_will_come(self) -> None:
        if hasattr(self, "schedule"):
            assert self.schedule.due() <= self.now + 3600
            self.schedule.retries, self.schedule.backing_off
            assert self.schedule.waiting >= 0

    def teardown(self) -> None:
        """Everything that waits is looked at by runs that go well, and then there is peace."""
        if not hasattr(self, "schedule"):
            return
        for _ in range(12):
            if not self.pending:
                break
            self.now = max(self.now, self.schedule.due())
            self.run(0.0, "fine", frozenset(), NOWHERE)
        assert not self.pending, "something was forgotten"


def test_whatever_happens_nothing_is_forgotten_nothing_comes_early_and_nothing_spins() -> None:
    run_state_machine_as_test(
        Months, settings=settings(max_examples=120, stateful_step_count=30, deadline=None)
    )


def test_a_task_over_nothing_is_never_made() -> None:
    schedule = begun()
    schedule.noticed(NOTHING, START + 1)
    assert not schedule.gathering and schedule.due() > START + 1


def test_a_young_file_is_looked_at_again_when_it_has_settled() -> None:
    schedule = begun()
    schedule.noticed(local("d"), START)
    task = schedule.take(START + 5)
    schedule.ended(task, Ending(young=frozenset({"d/f"}), settles=1.5), START + 5)
    assert not schedule.backing_off, "nothing failed"
    assert schedule.due() == START + 6.5
    again = schedule.take(START + 6.5)
    assert again.trigger == "retry"
    assert "d" in again.scope.local.directories
    schedule.ended(again, Ending(), START + 7)
    assert schedule.retries == {}
