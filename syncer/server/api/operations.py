"""Handlers of `path/oper`: make directories, rename, move, copy and remove trees, checksums.

What may take long is a task, whose `errors` list what failed. Removed files go to the trash one by one; a
directory is removed by `rmdir`, so that nothing that was not listed goes with it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath
from syncer.engine.paths import is_below, join, parts, split
from syncer.errors import SyncerError
from syncer.server.api.handlers import HandlerContext, one, shown
from syncer.server.api.request import (
    directory_at,
    existing,
    key_of,
    named_path,
    seen,
    writer,
)
from syncer.server.api.tasks import Result
from syncer.server.errors import HttpError, JsonResponse, http_error_of, settled
from syncer.server.folder import Key, ServedStore, is_hidden
from syncer.server.forms import Form, form
from syncer.server.request_body import check_space

_DEEPEST = 200  # directories within each other
_AT_ONCE = 500  # files of one batch
_MOST_DIRECTORIES = 200_000  # of one tree that is removed
_MOST_ERRORS = 20_000  # of one task that are listed
_MOST_FORM = 1 << 20
_TAKEN = "There is something of that name already."


class OperationHandlers:
    """Each handler reads its form, checks what can be checked at once, and does the work or starts a task."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._served = context.served

    async def mkdir(self, request: Request) -> Response:
        """Make a directory and its parents; those that exist are fine. 409 if a file is in the way."""

        def work(key: Key, sent: Form) -> Result:
            path = named_path(sent.one("path"))
            with self._served.store(key) as store:
                directory = ""
                for name in parts(path):
                    directory = join(directory, name)
                    found = seen(store, directory)
                    if found is None:
                        settled(one(store.make_directories([MkdirRequest(path=directory)])), stale=409)
                        self._context.changed(store, {split(directory)[0]})
                    elif found.kind is not Kind.DIRECTORY:
                        message = "A file is in the way."
                        raise HttpError(409, message, fields={"path": [message]})
                return self._context.info(key, store, path, existing(store, path))

        return await self._now(request, work)

    async def rename(self, request: Request) -> Response:
        """Rename `src` to the full new path `dst`, which must be free (409)."""

        def work(key: Key, sent: Form) -> Result:
            origin, path = named_path(sent.one("src"), "src"), named_path(sent.one("dst"), "dst")
            with self._served.store(key) as store:
                entry = self._renamed(store, origin, path, existing(store, origin, "src"))
                return self._context.info(key, store, path, entry)

        return await self._now(request, work)

    async def move(self, request: Request) -> Response:
        """Move each `src` into the directory `dst`."""

        def move_one(key: Key, origin: RelPath, directory: RelPath) -> None:
            with self._served.store(key) as store:
                path = join(directory, split(origin)[1])
                self._renamed(store, origin, path, existing(store, origin))

        return await self._later(request, partial(self._into_directory, move_one))

    async def copy(self, request: Request) -> Response:
        """Copy each `src`, with all below it, into the directory `dst`."""

        def copy_one(key: Key, origin: RelPath, directory: RelPath) -> None:
            path = join(directory, split(origin)[1])
            with self._served.store(key) as store:
                if not origin or path == origin or is_below(path, origin):
                    raise HttpError(400, "It cannot be copied there.")
                if store.stat(path) is not None:
                    raise HttpError(409, _TAKEN)
                self._copy(store, origin, path, existing(store, origin))

        return await self._later(request, partial(self._into_directory, copy_one))

    async def remove(self, request: Request) -> Response:
        """Move each `path`, with all below it, to the trash."""

        def prepare(key: Key, sent: Form) -> Callable[[], Result]:
            paths = [named_path(text) for text in sent.all("path")]
            if not paths or not all(paths):
                raise HttpError(400, "A `path` is required.", fields={"path": ["This is required."]})
            with self._served.store(key) as store:
                for path in paths:
                    existing(store, path, "path")

            def work() -> Result:
                errors: dict[str, str] = {}
                with self._served.store(key) as store:
                    removal = _TreeRemoval(store=store, context=self._context, errors=errors)
                    for path, error in self._each(paths, lambda p: removal.remove(p, existing(store, p))):
                        errors[f"/{path}"] = error
                return {"errors": errors}

            return work

        return await self._later(request, prepare)

    async def checksum(self, request: Request) -> Response:
        """The checksum of each file `path`, by `algorithm`. Changes nothing."""

        def prepare(key: Key, sent: Form) -> Callable[[], Result]:
            compute = _ALGORITHMS.get(sent.one("algorithm").upper())
            if compute is None:
                names = ", ".join(_ALGORITHMS)
                raise HttpError(
                    400, f"The algorithm is one of {names}.", fields={"algorithm": [f"One of {names}."]}
                )
            paths = [named_path(text) for text in sent.all("path")]
            if not paths:
                raise HttpError(400, "A `path` is required.", fields={"path": ["This is required."]})
            with self._served.store(key) as store:
                for path in paths:
                    if existing(store, path, "path").kind is not Kind.FILE:
                        message = "This is a directory."
                        raise HttpError(400, message, fields={"path": [message]})

            def work() -> Result:
                sums: dict[str, str] = {}

                def add(path: RelPath) -> None:
                    source = store.open(path, existing(store, path))
                    sums[f"/{path}"] = compute(source.chunks())
                    self._served.learn(store, path, source.entry)

                with self._served.store(key) as store:
                    errors = {f"/{path}": error for path, error in self._each(paths, add)}
                return {"checksums": sums, "errors": errors}

            return work

        return await self._later(request, prepare, changes=False)

    async def _now(self, request: Request, work: Callable[[Key, Form], Result]) -> Response:
        key = writer(request)
        with await form(request, self._context.spools, most=_MOST_FORM) as sent:
            return JsonResponse(await run_in_threadpool(work, key, sent))

    async def _later(
        self, request: Request, prepare: Callable[[Key, Form], Callable[[], Result]], *, changes: bool = True
    ) -> Response:
        key = writer(request) if changes else key_of(request)
        self._context.tasks.admit(key.name)
        with await form(request, self._context.spools, most=_MOST_FORM) as sent:
            work = await run_in_threadpool(prepare, key, sent)
        return JsonResponse(self._context.tasks.start(key.name, work))

    def _into_directory(
        self, single: Callable[[Key, RelPath, RelPath], None], key: Key, sent: Form
    ) -> Callable[[], Result]:
        """Prepare a task that calls `single` with each `src` and the directory `dst`."""
        directory = named_path("".join(sent.all("dst")[:1]), "dst")
        if not sent.all("dst") or not sent.all("src"):
            raise HttpError(400, "Both `src` and `dst` are required.", fields={"src": ["This is required."]})
        origins = [named_path(text, "src") for text in sent.all("src")]
        with self._served.store(key) as store:
            directory_at(store, directory, missing=404, field="dst")
            for origin in origins:
                existing(store, origin, "src")

        def work() -> Result:
            found = self._each(dict.fromkeys(origins), lambda origin: single(key, origin, directory))
            return {"errors": {f"/{path}": error for path, error in found}}

        return work

    def _each(
        self, paths: Iterable[RelPath], work: Callable[[RelPath], None]
    ) -> Iterator[tuple[RelPath, str]]:
        """Do the work for each path, unless cancelled; yield the paths that failed, with their errors."""
        for path in paths:
            self._served.fs.go_on()
            try:
                work(path)
            except (SyncerError, HttpError) as error:
                yield path, str(error)

    def _renamed(self, store: ServedStore, origin: RelPath, path: RelPath, found: Entry) -> Entry:
        if not origin or not path or origin == path or is_below(path, origin):
            raise HttpError(400, "It cannot be moved there.", fields={"dst": ["It cannot be moved there."]})
        if store.stat(path) is not None:
            raise HttpError(409, _TAKEN, fields={"dst": [_TAKEN]})
        directory_at(store, split(path)[0], missing=409, field="dst")
        outcome = one(store.rename([RenameRequest(origin=origin, path=path, expected=found)]))
        entry = self._context.record(store, path, outcome, stale=409)
        self._context.gone(store, origin)
        return entry

    def _copy(self, store: ServedStore, origin: RelPath, path: RelPath, found: Entry) -> None:
        if found.kind is Kind.DIRECTORY:
            settled(one(store.make_directories([MkdirRequest(path=path)])), stale=409)
            self._context.changed(store, {split(path)[0]})
            if origin.count("/") > _DEEPEST:
                raise HttpError(400, "The tree is too deep.")
            deeper = []
            for name, entry in shown(store, origin).items():
                if entry.kind is Kind.DIRECTORY:
                    deeper.append((name, entry))
                else:
                    self._copy(store, join(origin, name), join(path, name), entry)
            for name, entry in deeper:  # after the entries of the files are freed
                self._copy(store, join(origin, name), join(path, name), entry)
            return
        check_space(found.size, store.free_space())
        item = WriteRequest(
            path=path,
            kind=Kind.FILE,
            source=store.open(origin, found),
            size=found.size,
            expected=None,
            mtime_ns=found.mtime_ns,
            executable=found.executable,
        )
        self._context.record(store, path, one(store.put([item])), stale=409)


@dataclass(slots=True, kw_only=True)
class _TreeRemoval:
    """Removes a tree, files before their directories; what fails stays, with the directories above it."""

    store: ServedStore
    context: HandlerContext
    errors: dict[str, str]
    _files: list[DeleteRequest] = field(default_factory=list)

    def remove(self, path: RelPath, found: Entry) -> None:
        """Remove a file or a tree. Raises StoreError if it cannot be listed."""
        if found.kind is not Kind.DIRECTORY:
            return self._delete([DeleteRequest(path=path, expected=found)])
        directories = [path]
        fs = self.context.served.fs
        for directory in directories:  # grows during the loop: parents before children
            batch = []
            for name, entry in self.store.list(directory).entries.items():
                if not isinstance(entry, Entry) or is_hidden(name):
                    continue
                if entry.kind is Kind.DIRECTORY:
                    directories.append(join(directory, name))
                    continue
                batch.append(DeleteRequest(path=join(directory, name), expected=entry))
                if len(batch) == _AT_ONCE:
                    fs.go_on()
                    self._delete(batch)
                    batch = []
            fs.go_on()
            self._delete(batch)
            if len(directories) > _MOST_DIRECTORIES:
                raise HttpError(400, f"There are more than {_MOST_DIRECTORIES} directories below it.")
        directories.reverse()
        for index, outcome in self.store.remove_directories(directories):
            self._note(directories[index], outcome)

    def _delete(self, items: list[DeleteRequest]) -> None:
        for index, outcome in self.store.delete(items):
            self._note(items[index].path, outcome)

    def _note(self, path: RelPath, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            return self.context.gone(self.store, path)
        if len(self.errors) >= _MOST_ERRORS:
            return
        error = http_error_of(outcome.error).detail if isinstance(outcome, Failed) else outcome.message
        self.errors[f"/{path}"] = error


def _hashed(name: str, chunks: Iterator[bytes]) -> str:
    hasher = hashlib.new(name, usedforsecurity=False)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def _crc32(chunks: Iterator[bytes]) -> str:
    value = 0
    for chunk in chunks:
        value = zlib.crc32(chunk, value)
    return f"{value:08x}"


_ALGORITHMS: dict[str, Callable[[Iterator[bytes]], str]] = {
    **{name: partial(_hashed, name.lower()) for name in ("MD5", "SHA1", "SHA256", "SHA512")},
    "CRC-32": _crc32,
}
