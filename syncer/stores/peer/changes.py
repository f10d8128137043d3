"""Changes without content: deletes, directories, renames, amendments, many in one request.

Every one is conditional on the server. What was in flight when a connection broke is looked at
before it is asked for again, all of it in two requests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Failed, Outcome, RelPath, Seen, Stale
from syncer.errors import TransientError
from syncer.stores.peer.client import PeerClient, RetryBudget
from syncer.stores.peer.queries import Queries
from syncer.stores.peer.upload import time_out
from syncer.stores.remote import effects
from syncer.wire.bounded_json import Json
from syncer.wire.schema import entry_out, malformed, outcome_in
from syncer.wire.validation import believable_outcome

ItemT = TypeVar("ItemT")


class Changes:
    """Changes at one root."""

    def __init__(self, link: PeerClient, asking: Queries) -> None:
        self._link = link
        self._asking = asking

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._all("delete", items, _removal, lambda i: (i.path,), _was_deleted)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._all("make-directories", items, _creation, lambda i: (i.path,), _was_made)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._all("remove-directories", paths, lambda p: p, lambda p: (p,), _unknown)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._all("rename", items, _rename, lambda i: (i.path, i.origin), _was_renamed)

    def amend(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._all("amend", items, _amend, lambda i: (i.path,), _was_amended)

    def _all(
        self,
        call: str,
        items: Sequence[ItemT],
        told: Callable[[ItemT], Json],
        paths: Callable[[ItemT], Sequence[RelPath]],
        took_effect: Callable[[ItemT, Sequence[Seen]], Outcome | None],
    ) -> Results:
        """The outcomes of all; what a broken connection left open is looked at, then asked for again."""
        for some in self._asking.cut(range(len(items))):
            tries = RetryBudget(self._link.clock)
            left = [*some]
            repeated = False
            while left:
                error: TransientError | None = None
                answered: set[int] = set()
                try:
                    for at, outcome in self._sent(call, [told(items[i]) for i in left]):
                        answered.add(left[at])
                        tries.progress()
                        if repeated and isinstance(outcome, Stale):
                            outcome = self._overtaken(items[left[at]], paths, took_effect) or outcome
                        yield left[at], outcome
                except TransientError as broken:
                    error = broken
                left = [i for i in left if i not in answered]
                if left:
                    lost = error or TransientError(f"{call}: the server left out an outcome")
                    left = yield from self._settled(left, items, paths, took_effect, tries, lost)
                    repeated = True

    def _overtaken(
        self,
        item: ItemT,
        paths: Callable[[ItemT], Sequence[RelPath]],
        took_effect: Callable[[ItemT, Sequence[Seen]], Outcome | None],
    ) -> Outcome | None:
        """A request that broke off may have gone on at the server: what is in our way may be ours."""
        try:
            return took_effect(item, list(self._asking.look(paths(item))))
        except TransientError:
            return None

    def _settled(
        self,
        lost: list[int],
        items: Sequence[ItemT],
        paths: Callable[[ItemT], Sequence[RelPath]],
        took_effect: Callable[[ItemT, Sequence[Seen]], Outcome | None],
        tries: RetryBudget,
        error: TransientError,
    ) -> Generator[tuple[int, Outcome], None, list[int]]:
        """Of what was in flight: what took effect; answers the rest. After the last try all has failed."""
        try:
            tries.failed(error)
            seen = list(self._asking.look([p for i in lost for p in paths(items[i])]))
        except TransientError as last:
            yield from ((i, Failed(error=last)) for i in lost)
            return []
        left: list[int] = []
        for i in lost:
            count = len(paths(items[i]))
            outcome = took_effect(items[i], seen[:count])
            del seen[:count]
            if outcome is None:
                left.append(i)
            else:
                yield i, outcome
        return left

    def _sent(self, call: str, told: list[Json]) -> Iterator[tuple[int, Outcome]]:
        with self._link.open(call, {"items": told}, unpacks=True) as answer:
            open_ = set(range(len(told)))
            for line in answer.lines():
                match line:
                    case [int(at), outcome] if at in open_:
                        open_.discard(at)
                        yield at, believable_outcome(outcome_in(outcome))
                    case _:
                        raise malformed("an outcome")


def _removal(item: DeleteRequest) -> Json:
    return {"path": item.path, "expected": entry_out(item.expected)}


def _creation(item: MkdirRequest) -> Json:
    return {"path": item.path, "replaces": entry_out(item.replaces) if item.replaces is not None else None}


def _rename(item: RenameRequest) -> Json:
    return {"origin": item.origin, "path": item.path, "expected": entry_out(item.expected)}


def _amend(item: SetAttributesRequest) -> Json:
    return {
        "path": item.path,
        "expected": entry_out(item.expected),
        "mtime_ns": time_out(item.mtime_ns),
        "executable": item.executable,
    }


# -- did it take effect? ------------------------------------------------------------


def _was_deleted(item: DeleteRequest, seen: Sequence[Seen]) -> Outcome | None:
    return effects.was_deleted(seen[0])


def _was_made(item: MkdirRequest, seen: Sequence[Seen]) -> Outcome | None:
    return effects.was_made(seen[0])


def _unknown(path: RelPath, seen: Sequence[Seen]) -> Outcome | None:
    """Removing a directory twice is the same as once."""
    return None


def _was_renamed(item: RenameRequest, seen: Sequence[Seen]) -> Outcome | None:
    return effects.was_renamed(item, origin=seen[1], target=seen[0])


def _was_amended(item: SetAttributesRequest, seen: Sequence[Seen]) -> Outcome | None:
    return effects.was_amended(item, seen[0])
