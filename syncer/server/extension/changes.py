"""The calls that change names without sending content: deletes, directories, renames, amendments.

Each is the method of the same name of `ServedStore`; the feed hears of what took effect. A path that no
client may name is that item's failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from syncer.delta.index_cache import WORTH
from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Done, Entry, Failed, Outcome, RelPath
from syncer.engine.paths import join, split
from syncer.errors import NotFound, PermanentError, SyncerError, Unholdable
from syncer.server.extension.request import Answer, Call, listed, one
from syncer.server.folder import ServedStore, checked
from syncer.wire import schema
from syncer.wire.bounded_json import Json

ItemT = TypeVar("ItemT")
_FARTHEST = (1 << 63) - 1  # nanoseconds before or after 1970 that every disk's call can take


def delete(call: Call) -> Answer:
    """`delete`: files and symlinks."""
    items = [
        DeleteRequest(path=schema.path(f.get("path")), expected=schema.entry_in(f.get("expected")))
        for f in _objects(call)
    ]

    def deleted(store: ServedStore, some: Sequence[DeleteRequest]) -> Results:
        for index, outcome in store.delete(some):
            item = some[index]
            if isinstance(outcome, Done) and item.expected.size >= WORTH:
                where = join(store.below, item.path)
                digest = item.expected.digest or call.served.digests.find(where, item.expected.version)
                if digest is not None:
                    call.shared.sketches.forget(store.below, digest)
            yield index, outcome

    return _applied(call, items, lambda i: (i.path,), deleted, takes=True)


def make_directories(call: Call) -> Answer:
    """`make-directories`."""
    items = [
        MkdirRequest(
            path=schema.path(f.get("path")), replaces=schema.optional(f.get("replaces"), schema.entry_in)
        )
        for f in _objects(call)
    ]
    return _applied(call, items, lambda i: (i.path,), lambda store, some: store.make_directories(some))


def remove_directories(call: Call) -> Answer:
    """`remove-directories`: its items are paths."""
    items = [schema.path(value) for value in listed(call.json(), "items")]
    return _applied(
        call, items, lambda path: (path,), lambda store, some: store.remove_directories(some), takes=True
    )


def rename(call: Call) -> Answer:
    """`rename`."""
    items = [
        RenameRequest(
            origin=schema.path(f.get("origin")),
            path=schema.path(f.get("path")),
            expected=schema.entry_in(f.get("expected")),
        )
        for f in _objects(call)
    ]
    return _applied(
        call, items, lambda i: (i.origin, i.path), lambda store, some: store.rename(some), takes=True
    )


def amend(call: Call) -> Answer:
    """`amend`."""
    items = [
        SetAttributesRequest(
            path=schema.path(f.get("path")),
            expected=schema.entry_in(f.get("expected")),
            mtime_ns=moment(f.get("mtime_ns")),
            executable=flag(f.get("executable")),
        )
        for f in _objects(call)
    ]
    return _applied(call, items, lambda i: (i.path,), lambda store, some: store.set_attributes(some))


def moment(value: Json) -> int | None:
    """A time that can be given to a file. Raises PermanentError."""
    found = schema.optional(value, lambda v: schema.take(v, int, "a time"))
    if found is not None and abs(found) > _FARTHEST:
        raise schema.malformed("a time that a file can have")
    return found


def flag(value: Json) -> bool | None:
    """Raises PermanentError."""
    return schema.optional(value, lambda v: schema.take(v, bool, "true or false"))


def _objects(call: Call) -> list[dict[str, Json]]:
    return [schema.take(value, dict, "an item") for value in listed(call.json(), "items")]


def _applied(
    call: Call,
    items: Sequence[ItemT],
    paths: Callable[[ItemT], tuple[RelPath, ...]],
    do: Callable[[ServedStore, Sequence[ItemT]], Results],
    *,
    takes: bool = False,
) -> Answer:
    """The outcomes. Once begun it goes on to its end, whether the client listens or not.

    `takes`: the first path of each item is gone afterwards.
    """

    def results() -> Iterator[tuple[int, Outcome]]:
        with call.store() as store:
            refused = {i: e for i, item in enumerate(items) if (e := refusal(paths(item))) is not None}
            yield from ((i, Failed(error=error)) for i, error in refused.items())
            taken = [i for i in range(len(items)) if i not in refused]
            gone: list[RelPath] = []
            try:
                for index, outcome in do(store, [items[i] for i in taken]):
                    at = taken[index]
                    where = paths(items[at])
                    settled(call, store, where, outcome)
                    if takes and isinstance(outcome, Done):
                        gone.append(where[0])
                    yield at, outcome
            finally:
                call.served.gone(store, gone)

    return call.outcomes(results())


def refusal(paths: Sequence[RelPath]) -> Unholdable | None:
    """Why no client may name one of these; the root itself is changed by nobody."""
    try:
        for path in paths:
            checked(path)
            if not path:
                raise Unholdable("the root is no item", path=path)
    except Unholdable as error:
        return error
    return None


def settled(call: Call, store: ServedStore, paths: Sequence[RelPath], outcome: Outcome) -> None:
    """What is to be known of a change once it took effect: its digest, and by whoever waits for news."""
    if not isinstance(outcome, Done):
        return
    if isinstance(outcome.entry, Entry):
        call.served.learn(store, paths[-1], outcome.entry)
    call.shared.feed.changed(store.below, {split(path)[0] for path in paths})


# -- the root --------------------------------------------------------------------


def create_root(call: Call) -> Answer:
    """`create-root`: by the store of its parent."""
    parent, name = split(call.root)
    if not call.root:
        with call.store():
            return one({"outcome": call.outcome(Done())})
    with call.served.store(call.key, parent) as store:
        refused = refusal((name,))
        if refused is not None:
            raise refused
        [(_, outcome)] = store.make_directories([MkdirRequest(path=name)])
        settled(call, store, (name,), outcome)
    return one({"outcome": call.outcome(outcome)})


def mark(call: Call) -> Answer:
    """`mark`."""
    told = call.json()
    marker = schema.take(told.get("marker"), str, "a marker")
    only_first = schema.take(told.get("only_first", False), bool, "whether another marker stands")
    if not marker.isascii() or not marker.isalnum() or len(marker) > 64:
        raise schema.malformed("a marker")
    with call.store() as store:
        try:
            store.write_root_id(marker, only_first=only_first)
        except SyncerError as error:
            return one({"outcome": call.outcome(Failed(error=error))})
    return one({"outcome": call.outcome(Done())})


def root(call: Call) -> Answer:
    """`root`: null where there is none; a link or a file in its place is none."""
    try:
        with call.store() as store:
            return one({"root": schema.root_out(store.root())})
    except NotFound:
        return one({"root": None})
    except PermanentError as error:
        if isinstance(error, Unholdable):
            raise
        raise NotFound(error.message) from error
