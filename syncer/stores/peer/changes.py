"""Changes without content: deletes, directories, renames and attributes, many in one request.

The server checks the condition of each item at the last moment. When a connection breaks, the names of all
unanswered items are looked up in one request, and only what did not take effect is sent again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Failed, Outcome, Seen, Stale
from syncer.errors import TransientError
from syncer.stores.peer.client import PeerClient, PeerResponse, RetryBudget
from syncer.stores.peer.queries import Queries
from syncer.stores.peer.upload import mtime_out
from syncer.stores.remote import effects
from syncer.wire.bounded_json import Json
from syncer.wire.schema import entry_out, malformed, outcome_in
from syncer.wire.validation import checked_outcome, paths_of


class Changes:
    """Changes at one root."""

    def __init__(self, client: PeerClient, queries: Queries) -> None:
        self._client = client
        self._queries = queries

    def send(self, call: str, items: Sequence[object]) -> Results:
        """Yield the outcome of every item of a call such as `delete`."""
        for batch in self._queries.cut(range(len(items))):
            retries = RetryBudget(self._client.clock)
            remaining = [*batch]
            repeated = False
            while remaining:
                payload: Json = {"items": [_to_json(items[i]) for i in remaining]}
                lost = TransientError(f"{call}: the server left out an outcome")
                answered: set[int] = set()
                try:
                    with self._client.open(call, payload, accept_compressed=True) as response:
                        for at, outcome in outcomes(response, len(remaining)):
                            answered.add(at)
                            retries.progress()
                            if repeated and isinstance(outcome, Stale):
                                # The first request may have gone on at the server after its connection broke:
                                # what is in the way of the second may be its effect.
                                outcome = self._effect(items[remaining[at]]) or outcome
                            yield remaining[at], outcome
                except TransientError as error:
                    lost = error
                remaining = [i for at, i in enumerate(remaining) if at not in answered]
                if remaining:
                    remaining = yield from self._settle(remaining, items, retries, lost)
                    repeated = True

    def _effect(self, item: object) -> Outcome | None:
        try:
            return _outcome_of_effect(item, list(self._queries.look(paths_of(item))))
        except TransientError:
            return None

    def _settle(
        self, lost: list[int], items: Sequence[object], retries: RetryBudget, error: TransientError
    ) -> Generator[tuple[int, Outcome], None, list[int]]:
        """Yield the outcomes of unanswered items that took effect; return those to be sent again.

        After the last try all of them have failed.
        """
        try:
            retries.failed(error)
            found = self._queries.look([path for i in lost for path in paths_of(items[i])])
            seen = list(found)
        except TransientError as last:
            yield from ((i, Failed(error=last)) for i in lost)
            return []
        again: list[int] = []
        for i in lost:
            count = len(paths_of(items[i]))
            outcome = _outcome_of_effect(items[i], seen[:count])
            del seen[:count]
            if outcome is None:
                again.append(i)
            else:
                yield i, outcome
        return again


def outcomes(response: PeerResponse, count: int) -> Results:
    """Yield position and outcome of each line of a response to `count` items. Raises PermanentError."""
    unanswered = set(range(count))
    for line in response.lines():
        match line:
            case [int(at), outcome] if at in unanswered:
                unanswered.discard(at)
                yield at, checked_outcome(outcome_in(outcome))
            case _:
                raise malformed("an outcome")


def _to_json(item: object) -> Json:
    """An item of the call, with the field names of the request in `engine.interfaces`."""
    match item:
        case DeleteRequest():
            return {"path": item.path, "expected": entry_out(item.expected)}
        case MkdirRequest():
            replaces = entry_out(item.replaces) if item.replaces is not None else None
            return {"path": item.path, "replaces": replaces}
        case RenameRequest():
            return {"origin": item.origin, "path": item.path, "expected": entry_out(item.expected)}
        case SetAttributesRequest():
            return {
                "path": item.path,
                "expected": entry_out(item.expected),
                "mtime_ns": mtime_out(item.mtime_ns),
                "executable": item.executable,
            }
        case str():
            return item
    raise TypeError(f"not an item of a change: {type(item).__name__}")


def _outcome_of_effect(item: object, seen: Sequence[Seen]) -> Outcome | None:
    """The outcome of an item that took effect, by what stands at `paths_of(item)`; None: send it again."""
    match item:
        case DeleteRequest():
            return effects.was_deleted(seen[0])
        case MkdirRequest():
            return effects.was_made(seen[0])
        case RenameRequest():
            return effects.was_renamed(item, origin=seen[0], target=seen[1])
        case SetAttributesRequest():
            return effects.was_amended(item, seen[0])
    return None  # removing a directory twice is the same as once
