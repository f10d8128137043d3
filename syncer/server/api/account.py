"""Handlers of `ping`, `whoami`, `path/info`, `task`: account, quota, info objects, listings, attributes."""

from __future__ import annotations

import os

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from syncer.engine.model import Kind
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.request import asked_path, existing, key_of, local_path, writer
from syncer.server.api.serializers import Info, restricted
from syncer.server.errors import HttpError, JsonResponse
from syncer.server.forms import form
from syncer.wire import versions

_MOST_FORM = 1 << 20
_TRUE = frozenset({"true", "on", "1", "yes"})


class AccountHandlers:
    """Handlers that neither read nor change the content of files."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._served = context.served

    async def ping(self, request: Request) -> Response:
        """`pong`, and the versions of Syncer's own protocol."""
        extension = {"syncer": versions.announcement()} if self._context.extended else {}
        return JsonResponse({"ping": "pong", **extension})

    async def whoami(self, request: Request) -> Response:
        """The key, and the space of the file system of its folder."""
        key = key_of(request)

        def quota() -> tuple[int, int]:
            with self._served.store(key) as store:
                fd = self._served.fs.open_root(self._served.absolute(store.below))
            try:
                found = os.fstatvfs(fd)
            finally:
                self._served.fs.close(fd)
            limit = found.f_blocks * found.f_frsize
            return limit - found.f_bavail * found.f_frsize, limit

        used, limit = await run_in_threadpool(quota)
        return JsonResponse(
            {
                "user": {"username": key.name, "name": key.name, "email": ""},
                "site": {
                    "name": "syncer",
                    "quota": {"disk_bytes_tally": str(used), "disk_bytes_limit": str(limit)},
                },
                "address": request.client.host if request.client else "",
                "read_only": key.read_only,
            }
        )

    async def info(self, request: Request) -> Response:
        """The info object of a path; with `children` those of a directory, in pages (version 2.1: all)."""
        query = dict(request.query_params)
        key, path = key_of(request), asked_path(request)
        paged = str(request.path_params["version"]) != "2.1"

        def info() -> Info:
            with self._served.store(key) as store:
                entry = existing(store, path)
                if entry.kind is Kind.DIRECTORY and query.get("children", "").lower() in _TRUE:
                    return self._context.listing(key, store, path, query, paged=paged)
                return self._context.info(key, store, path, entry)

        fields = request.query_params.getlist("fields")
        return JsonResponse(restricted(await run_in_threadpool(info), fields))

    async def annotate(self, request: Request) -> Response:
        """Set attributes: the field `attributes` is `name=value`, and may be repeated."""
        key, path = writer(request), asked_path(request)
        with await form(request, self._context.spools, most=_MOST_FORM) as sent:
            pairs = []
            for text in sent.all("attributes"):
                name, equals, value = text.partition("=")
                if not equals:
                    message = "An attribute is name=value."
                    raise HttpError(400, message, fields={"attributes": [message]})
                pairs.append((name, value))

        def work() -> Info:
            with self._served.store(key) as store:
                entry = existing(store, path)
                self._context.attributes.set(local_path(self._served, store, path), entry.version, pairs)
                return self._context.info(key, store, path, entry)

        return JsonResponse(await run_in_threadpool(work))

    async def task(self, request: Request) -> Response:
        """Status and result of a task."""
        return JsonResponse(self._context.tasks.result(key_of(request).name, request.path_params["task"]))
