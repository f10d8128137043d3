"""Echoes: which of two values is the older state, by what left either root."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from syncer.engine import echo
from syncer.engine.echo import ABSENT, EchoChange, Past, value_of
from syncer.engine.model import (
    Action,
    Delete,
    Entry,
    KeepBoth,
    Kind,
    MakeDirectory,
    Mode,
    Policy,
    Reason,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
    Transfer,
)

OLD = Entry(kind=Kind.FILE, size=1, version=b"1", mtime_ns=10**18, digest=b"old")
NEW = Entry(kind=Kind.FILE, size=1, version=b"2", mtime_ns=2 * 10**18, digest=b"new")


def val(entry: Entry | None) -> bytes:
    found = value_of(entry)
    assert found is not None
    return found


def change(
    left: Entry | None, now: Entry | None, origin: int, mover: str = "other", *, pending: bool = True
) -> EchoChange:
    return EchoChange(left=val(left), now=val(now), origin=origin, mover=mover, pending=pending)


class Roots:
    """What two roots remember of the name `f` (and of `d`)."""

    job = "me"

    def __init__(self, local: Past = (), remote: Past = (), *, shared: bool = True) -> None:
        self._pasts = {Side.LOCAL: local, Side.REMOTE: remote}
        self._shared = shared

    def concerned(self) -> Collection[RelPath]:
        return {"f", "d"}

    def past(self, side: Side, path: RelPath) -> Past:
        return self._pasts[side]

    def everywhere(self, path: RelPath) -> Collection[Past]:
        return self._pasts.values()

    def shared(self, side: Side) -> bool:
        return self._shared

    def called(self, job: str) -> str:
        return job


def learn(side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
    return [entry for _, entry in wanted]


def settle(
    action: Action, roots: Roots, mode: Mode = Mode.TWO_WAY, mixed: Collection[RelPath] = ()
) -> echo.Settled:
    return echo.settle([action], [], roots, Policy(mode=mode), learn, mixed)


def arriving(reason: Reason = Reason.REMOTE_NEW, expected: Entry | None = None) -> Transfer:
    return Transfer(path="f", reason=reason, source=Side.REMOTE, seen=OLD, expected=expected)


def test_content_that_left_the_other_root_since_is_deleted_where_it_comes_from() -> None:
    (found,) = settle(arriving(), Roots(local=[change(OLD, None, 1)])).actions
    assert isinstance(found, Delete) and (found.side, found.reason) == (Side.REMOTE, Reason.ECHO)


def test_content_that_was_replaced_on_the_other_root_since_is_replaced_as_well() -> None:
    (found,) = settle(arriving(expected=NEW), Roots(local=[change(OLD, NEW, 1)])).actions
    assert isinstance(found, Transfer) and (found.source, found.seen) == (Side.LOCAL, NEW)


def test_what_this_job_has_looked_at_already_is_no_reason() -> None:
    action = arriving()
    assert settle(action, Roots(local=[change(OLD, None, 1, pending=False)])).actions == [action]


def test_a_value_that_is_new_to_its_root_is_never_an_echo() -> None:
    action = arriving()
    again = Roots(local=[change(OLD, None, 1)], remote=[change(OLD, None, 2)])
    assert settle(action, again).actions == [action]
    edited = arriving(Reason.REMOTE_CHANGED, expected=NEW)
    assert settle(edited, Roots(local=[change(OLD, NEW, 1)])).actions == [edited]


def test_of_two_values_that_jobs_brought_the_one_that_was_new_later_is_followed() -> None:
    roots = Roots(local=[change(OLD, NEW, 7, pending=False)], remote=[change(NEW, OLD, 3, pending=False)])
    (found,) = settle(arriving(Reason.REMOTE_CHANGED, expected=NEW), roots).actions
    assert isinstance(found, Transfer) and found.source is Side.LOCAL
    other = Roots(local=[change(OLD, NEW, 3, pending=False)], remote=[change(NEW, OLD, 7, pending=False)])
    action = arriving(Reason.REMOTE_CHANGED, expected=NEW)
    assert settle(action, other).actions == [action]


def test_two_values_of_which_none_took_the_others_place_are_no_echo_whichever_is_older() -> None:
    mine = Entry(kind=Kind.FILE, size=1, version=b"3", mtime_ns=3 * 10**18, digest=b"mine")
    for first, second in ((3, 7), (7, 3)):
        roots = Roots(local=[change(OLD, mine, first)], remote=[change(OLD, NEW, second)])
        action = KeepBoth(
            path="f", copy="c", reason=Reason.BOTH_CHANGED, loser=Side.REMOTE, winner=mine, lost=NEW
        )
        assert settle(action, roots).actions == [action]


def test_a_value_of_which_is_not_known_when_it_was_new_is_no_echo() -> None:
    """As of a file that somebody just made."""
    roots = Roots(local=[change(OLD, None, 5, pending=False)], remote=[change(None, NEW, 0, pending=False)])
    action = Transfer(path="f", reason=Reason.REMOTE_NEW, source=Side.REMOTE, seen=NEW, expected=None)
    assert settle(action, roots).actions == [action]


def test_a_deletion_is_the_older_state_only_if_that_very_one_came_before() -> None:
    arrival = Transfer(path="f", reason=Reason.REMOTE_NEW, source=Side.REMOTE, seen=NEW, expected=None)
    later = Roots(
        local=[change(OLD, None, 9, pending=False)],
        remote=[change(OLD, None, 2, pending=False), change(None, NEW, 4, pending=False)],
    )
    assert settle(arrival, later).actions == [arrival]


def test_a_side_that_may_not_be_changed_is_not_changed_for_an_echo() -> None:
    action = arriving()
    assert settle(action, Roots(local=[change(OLD, None, 1)]), Mode.PULL).actions == [action]


def test_a_directory_that_holds_what_is_not_synced_is_never_taken_away_for_an_echo() -> None:
    action = MakeDirectory(path="d", reason=Reason.REMOTE_NEW, side=Side.LOCAL)
    gone = Roots(local=[EchoChange(left=echo.DIRECTORY, now=ABSENT, origin=1, mover="other", pending=True)])
    (found,) = settle(action, gone).actions
    assert isinstance(found, RemoveDirectory) and found.side is Side.REMOTE
    assert settle(action, gone, mixed={"d/e"}).actions == [action]


def test_two_values_that_went_round_twice_end_with_the_one_that_exists() -> None:
    waves = [change(OLD, None, 1, pending=False), change(None, OLD, 2, pending=False)] * 3
    deletion = Delete(path="f", reason=Reason.REMOTE_DELETED, side=Side.LOCAL, expected=OLD)
    (found,) = settle(deletion, Roots(local=waves, shared=False)).actions
    assert isinstance(found, Transfer) and (found.source, found.seen) == (Side.LOCAL, OLD)


def test_a_file_that_is_made_anew_with_another_date_each_time_may_be_deleted_each_time() -> None:
    """As a program does with its lock."""
    past: list[EchoChange] = []
    for number in range(6):
        lock = Entry(kind=Kind.FILE, size=0, version=b"", mtime_ns=number * 10**10, digest=b"empty")
        past += [change(None, lock, number, pending=False), change(lock, None, number, pending=False)]
    lock = Entry(kind=Kind.FILE, size=0, version=b"", mtime_ns=77 * 10**10, digest=b"empty")
    past.append(change(None, lock, 9, pending=False))
    deletion = Delete(path="f", reason=Reason.REMOTE_DELETED, side=Side.LOCAL, expected=lock)
    assert settle(deletion, Roots(local=past, shared=False)).actions == [deletion]
