"""Executor: calls at their times, never concurrently with themselves, none blocked by another."""

from __future__ import annotations

import threading
import time

import pytest

from syncer.watch.executor import _GRACE, Executor

LONG = 30.0  # seconds after which a test gives up


def nothing() -> None:
    """No last thing to do."""


def until(true) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def executor(request):
    return Executor(request.node.name)


def threads(executor) -> int:
    return sum(thread.name == executor._name for thread in threading.enumerate())


def test_a_call_is_made_again_and_again_and_once_more_when_it_is_woken(executor):
    made = []
    often = executor.call(lambda: made.append("often"), every=0.01)
    woken = executor.call(lambda: made.append("woken"))
    until(lambda: made.count("often") > 5)
    assert "woken" not in made
    woken.wake()
    until(lambda: "woken" in made)
    for call in (often, woken):
        call.end(nothing, LONG)
    made.clear()
    woken.wake()
    time.sleep(0.05)
    assert made == []


def test_hundreds_of_calls_take_two_threads_and_none_when_they_end(executor):
    count = [0] * 300
    calls = []
    for n in range(300):

        def act(n=n):
            count[n] += 1

        calls.append(executor.call(act, every=0.05))
    until(lambda: min(count) > 2)
    until(lambda: threads(executor) <= 2)
    for call in calls:
        call.end(nothing, LONG)
    until(lambda: threads(executor) == 0)


def test_calls_that_hang_keep_no_other_waiting_and_their_threads_end_with_them(executor):
    released, hung, quick = threading.Event(), [], []

    def hang():
        hung.append(1)
        released.wait(LONG)

    stuck = [executor.call(hang) for _ in range(5)]
    for call in stuck:
        call.wake()
    until(lambda: len(hung) == 5)
    other = executor.call(lambda: quick.append(time.monotonic()), every=0.01)
    until(lambda: len(quick) > 20)
    released.set()
    until(lambda: threads(executor) <= 2)
    for call in (*stuck, other):
        call.end(nothing, LONG)
    until(lambda: threads(executor) == 0)


def test_many_slow_calls_are_made_one_after_the_other(executor):
    """On a machine that is busy all of them are slow: a thread for each would make it worse."""
    most, made = [0], [0]

    def act():
        time.sleep(0.02)
        most[0] = max(most[0], threads(executor))
        made[0] += 1

    calls = [executor.call(act) for _ in range(50)]
    began = time.monotonic()
    for call in calls:
        call.wake()
    until(lambda: made[0] == 50)
    assert most[0] <= 2 + (time.monotonic() - began) // _GRACE  # more where a call took so long
    for call in calls:
        call.end(nothing, LONG)


def test_a_call_that_hangs_after_its_end_is_no_thread_that_others_may_count_on(executor):
    released, began = threading.Event(), threading.Event()
    stuck = executor.call(lambda: (began.set(), released.wait(LONG)))
    stuck.wake()
    assert began.wait(LONG)
    stuck.end(nothing, 0.01)
    made = threading.Event()
    other = executor.call(made.set)
    other.wake()
    assert made.wait(LONG)
    released.set()
    other.end(nothing, LONG)
    until(lambda: threads(executor) == 0)


def test_what_is_woken_while_it_is_made_is_made_once_more_and_never_twice_at_once(executor):
    at_once, most, made = [0], [0], [0]
    entered, leave = threading.Semaphore(0), threading.Semaphore(0)

    def act():
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        made[0] += 1
        entered.release()
        leave.acquire(timeout=LONG)
        at_once[0] -= 1

    call = executor.call(act)
    call.wake()
    assert entered.acquire(timeout=LONG)
    for _ in range(10):
        call.wake()
    time.sleep(1.2 * _GRACE)  # long enough for another thread to take over
    leave.release()
    assert entered.acquire(timeout=LONG)
    leave.release()
    call.end(nothing, LONG)
    assert (made[0], most[0]) == (2, 1)


def test_the_last_thing_is_done_after_the_call_that_goes_on_and_once(executor):
    released, began, order = threading.Event(), threading.Event(), []

    def act():
        began.set()
        released.wait(LONG)
        order.append("act")

    call = executor.call(act)
    call.wake()
    assert began.wait(LONG)
    call.end(lambda: order.append("last"), 0.01)
    assert order == []
    released.set()
    until(lambda: order == ["act", "last"])
    call.end(lambda: order.append("again"), LONG)
    assert order == ["act", "last"]


def test_a_call_may_end_itself(executor):
    order = []

    def act():
        call.end(lambda: order.append("last"), LONG)
        order.append("act")

    call = executor.call(act)
    call.wake()
    until(lambda: order == ["act", "last"])
    until(lambda: threads(executor) == 0)


def test_a_call_that_fails_is_made_again_and_ends_no_other(executor, caplog):
    made = [0]

    def act():
        made[0] += 1
        raise OSError("planted")

    call = executor.call(act, every=0.01)
    until(lambda: made[0] > 2)
    call.end(nothing, LONG)
    assert "planted" in caplog.text
