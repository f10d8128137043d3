"""From errors to outcomes: how one item of a batch ends, and batches of items one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from syncer.engine.interfaces import Results, WriteRequest
from syncer.engine.model import Done, Failed, Outcome, RelPath, Stale
from syncer.engine.paths import printable
from syncer.errors import AuthError, LocalError, NotFound, PreconditionFailed, StoreError
from syncer.stores.stale import StaleError

ItemT = TypeVar("ItemT")
StagedT = TypeVar("StagedT")


def run_item(path: RelPath, change: Callable[[], Done]) -> Outcome:
    """Make one change; its error is its outcome. Raises AuthError, which ends the run.

    A precondition of the service that failed, and a name that vanished, make the item stale like a
    `StaleError`: another client was faster, and the next run plans anew.
    """
    try:
        return change()
    except AuthError:
        raise
    except StaleError as error:
        return Stale(message=str(error))
    except (PreconditionFailed, NotFound) as error:
        return Stale(message=f"{printable(path)}: {error}")
    except (StoreError, LocalError) as error:
        return Failed(error=error)


def run_each(
    items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], change: Callable[[ItemT], Done]
) -> Results:
    """`run_item` for one item after the other: (index, outcome) as each one ends."""
    for index, item in enumerate(items):
        yield index, run_item(path_of(item), lambda item=item: change(item))  # type: ignore[misc]


def grouped(items: Sequence[WriteRequest], *, files: int, size: int) -> Iterator[range]:
    """Ranges of consecutive items with at most `files` of them and `size` bytes, but at least one item."""
    start = total = 0
    for index, item in enumerate(items):
        if index > start and (index - start == files or total + item.size > size):
            yield range(start, index)
            start, total = index, 0
        total += item.size
    if start < len(items):
        yield range(start, len(items))


def put_staged(
    items: Sequence[WriteRequest],
    *,
    files: int,
    size: int,
    stage: Callable[[WriteRequest], StagedT],
    settle: Callable[[Sequence[StagedT]], None],
    commit: Callable[[StagedT], Done],
    discard: Callable[[StagedT], None],
) -> Results:
    """Put items in groups of at most `files` and `size` bytes: stage all of a group, then commit each.

    `stage` uploads the content under a private name; nothing that a user sees changes. `settle` waits once
    for the whole group until the service's clock shows a later second than the uploads. `commit` gives a
    staged content its name, or discards it and raises. What is staged and not committed when the caller
    stops, or an error ends the run, is discarded.
    """
    for group in grouped(items, files=files, size=size):
        staged: dict[int, StagedT] = {}
        try:
            for index in group:
                step = partial(_stage_into, staged, index, stage, items[index])
                outcome = run_item(items[index].path, step)
                if index not in staged:
                    yield index, outcome
            settle(list(staged.values()))
            for index in list(staged):
                yield index, run_item(items[index].path, partial(commit, staged.pop(index)))
        finally:
            for left in staged.values():
                discard(left)


def _stage_into(
    staged: dict[int, StagedT], index: int, stage: Callable[[WriteRequest], StagedT], item: WriteRequest
) -> Done:
    staged[index] = stage(item)
    return Done()
