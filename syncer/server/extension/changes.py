"""The calls that change names without sending content: deletes, directories, renames, attributes; the root.

Each is the method of the same name of `ServedStore`, and the change feed is notified of what took effect. An
item with a path that no client may name fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from syncer.delta.index_cache import WORTH
from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Done, Entry, Failed, Outcome, RelPath
from syncer.engine.paths import join, split
from syncer.errors import NotFound, PermanentError, SyncerError, Unholdable
from syncer.server.extension.request import CallRequest, CallResponse, items_of, json_response
from syncer.server.folder import ServedStore, checked
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.validation import ValidBatch, paths_of

ItemT = TypeVar("ItemT")
_FARTHEST = (1 << 63) - 1  # nanoseconds before or after 1970 that every disk's call can take


def delete(call: CallRequest) -> CallResponse:
    """`delete`: files and symlinks."""
    items = [
        DeleteRequest(path=schema.path_in(f.get("path")), expected=schema.entry_in(f.get("expected")))
        for f in _objects(call)
    ]

    def delete_files(store: ServedStore, valid: Sequence[DeleteRequest]) -> Results:
        for index, outcome in store.delete(valid):
            item = valid[index]
            if isinstance(outcome, Done) and item.expected.size >= WORTH:
                path = join(store.below, item.path)
                digest = item.expected.digest or call.served.digests.find(path, item.expected.version)
                if digest is not None:
                    call.shared.indexer.forget(store.below, digest)
            yield index, outcome

    return _applied(call, items, delete_files, takes=True)


def make_directories(call: CallRequest) -> CallResponse:
    """`make-directories`."""
    items = [
        MkdirRequest(
            path=schema.path_in(f.get("path")),
            replaces=schema.optional(f.get("replaces"), schema.entry_in),
        )
        for f in _objects(call)
    ]
    return _applied(call, items, ServedStore.make_directories)


def remove_directories(call: CallRequest) -> CallResponse:
    """`remove-directories`: its items are paths."""
    items = [schema.path_in(value) for value in items_of(call.json(), "items")]
    return _applied(call, items, ServedStore.remove_directories, takes=True)


def rename(call: CallRequest) -> CallResponse:
    """`rename`."""
    items = [
        RenameRequest(
            origin=schema.path_in(f.get("origin")),
            path=schema.path_in(f.get("path")),
            expected=schema.entry_in(f.get("expected")),
        )
        for f in _objects(call)
    ]
    return _applied(call, items, ServedStore.rename, takes=True)


def amend(call: CallRequest) -> CallResponse:
    """`amend`: other attributes for files."""
    items = [
        SetAttributesRequest(
            path=schema.path_in(f.get("path")),
            expected=schema.entry_in(f.get("expected")),
            mtime_ns=mtime_in(f.get("mtime_ns")),
            executable=flag_in(f.get("executable")),
        )
        for f in _objects(call)
    ]
    return _applied(call, items, ServedStore.set_attributes)


def mtime_in(value: Json) -> int | None:
    """A time that a file can have. Raises PermanentError."""
    mtime = schema.optional(value, lambda v: schema.take(v, int, "a time"))
    if mtime is not None and abs(mtime) > _FARTHEST:
        raise schema.malformed("a time that a file can have")
    return mtime


def flag_in(value: Json) -> bool | None:
    """True, false or null. Raises PermanentError."""
    return schema.optional(value, lambda v: schema.take(v, bool, "true or false"))


def _objects(call: CallRequest) -> list[dict[str, Json]]:
    return [schema.take(value, dict, "an item") for value in items_of(call.json(), "items")]


def _applied(
    call: CallRequest,
    items: Sequence[ItemT],
    apply: Callable[[ServedStore, Sequence[ItemT]], Results],
    *,
    takes: bool = False,
) -> CallResponse:
    """The outcomes of all items. Once begun it goes on to its end, whether the client listens or not.

    `apply`: the store's method. `takes`: the first path of each item is free afterwards.
    """

    def results() -> Iterator[tuple[int, Outcome]]:
        with call.store() as store:
            batch = ValidBatch(items, lambda item: path_error(paths_of(item)))
            gone: list[RelPath] = []
            try:
                for index, outcome in batch.outcomes(apply(store, batch.items)):
                    paths = paths_of(items[index])
                    record(call, store, paths, outcome)
                    if takes and isinstance(outcome, Done):
                        gone.append(paths[0])
                    yield index, outcome
            finally:
                call.served.gone(store, gone)

    return call.outcomes(results())


def path_error(paths: Sequence[RelPath]) -> Unholdable | None:
    """The error of an item with a path that no client may name, or with the root; None if it is valid."""
    try:
        for path in paths:
            checked(path)
            if not path:
                raise Unholdable("the root is no item", path=path)
    except Unholdable as error:
        return error
    return None


def record(call: CallRequest, store: ServedStore, paths: Sequence[RelPath], outcome: Outcome) -> None:
    """Store the digest of what a change left, and tell the change feed, if the change took effect."""
    if not isinstance(outcome, Done):
        return
    if isinstance(outcome.entry, Entry):
        call.served.learn(store, paths[-1], outcome.entry)
    call.shared.feed.changed(store.below, {split(path)[0] for path in paths})


# -- the root --------------------------------------------------------------------


def create_root(call: CallRequest) -> CallResponse:
    """`create-root`: a directory made by the store of its parent."""
    parent, name = split(call.root)
    if not call.root:
        with call.store():
            return json_response({"outcome": call.outcome_json(Done())})
    with call.served.store(call.key, parent) as store:
        error = path_error((name,))
        if error is not None:
            raise error
        [(_, outcome)] = store.make_directories([MkdirRequest(path=name)])
        record(call, store, (name,), outcome)
    return json_response({"outcome": call.outcome_json(outcome)})


def mark(call: CallRequest) -> CallResponse:
    """`mark`: write the root's marker."""
    fields = call.json()
    marker = schema.take(fields.get("marker"), str, "a marker")
    only_first = schema.take(fields.get("only_first", False), bool, "true or false")
    if not marker.isascii() or not marker.isalnum() or len(marker) > 64:
        raise schema.malformed("a marker")
    with call.store() as store:
        try:
            store.write_root_id(marker, only_first=only_first)
        except SyncerError as error:
            return json_response({"outcome": call.outcome_json(Failed(error=error))})
    return json_response({"outcome": call.outcome_json(Done())})


def root(call: CallRequest) -> CallResponse:
    """`root`: null where there is none. A link or a file in its place is an error."""
    try:
        with call.store() as store:
            return json_response({"root": schema.root_out(store.root())})
    except NotFound:
        return json_response({"root": None})
    except PermanentError as error:
        if isinstance(error, Unholdable):
            raise
        raise NotFound(error.message) from error
