"""`ValidBatch`: invalid items fail by themselves, and outcomes keep their places."""

from __future__ import annotations

from collections.abc import Sequence

from syncer.engine.interfaces import DeleteRequest, RenameRequest, Results
from syncer.engine.model import Done, Entry, Failed, Kind
from syncer.errors import PermanentError, SyncerError
from syncer.wire.validation import ValidBatch, invalid_path, paths_of

ENTRY = Entry(kind=Kind.FILE, size=1, version=b"v")


def work(items: Sequence[str]) -> Results:
    """The last item is answered first."""
    for index in reversed(range(len(items))):
        yield index, Done(sent=int(items[index]))


def test_outcomes_are_numbered_as_in_the_callers_list() -> None:
    def odd(item: str) -> SyncerError | None:
        return PermanentError("odd") if int(item) % 2 else None

    items = [str(n) for n in range(7)]
    batch = ValidBatch(items, odd)
    found = dict(batch.outcomes(work(batch.items)))
    assert sorted(found) == list(range(7))
    for index, outcome in found.items():
        assert isinstance(outcome, Failed) if index % 2 else outcome == Done(sent=index)


def test_nothing_is_sent_where_nothing_is_valid() -> None:
    def never() -> Results:
        raise AssertionError("it was sent")
        yield

    batch = ValidBatch(["..", ""])
    assert [index for index, _ in batch.outcomes(never())] == [0, 1]


def test_every_path_of_a_request_is_checked() -> None:
    assert paths_of("a") == ("a",)
    assert paths_of(DeleteRequest(path="a", expected=ENTRY)) == ("a",)
    rename = RenameRequest(origin="a", path="b", expected=ENTRY)
    assert paths_of(rename) == ("a", "b") and invalid_path(rename) is None
    for origin, path in (("../a", "b"), ("a", "b//c"), ("", "b"), ("a", "")):
        assert invalid_path(RenameRequest(origin=origin, path=path, expected=ENTRY)) is not None
