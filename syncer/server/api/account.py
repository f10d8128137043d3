"""Who and what: ping, whoami with the quota, info objects and listings, attributes, tasks.

Nothing of a file's content is read or changed here.
"""

from __future__ import annotations

import os

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from syncer.engine.model import Entry, Kind, RelPath
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.request import asked_path, existing, key_of, local_path, writer
from syncer.server.api.serializers import Info, restricted
from syncer.server.errors import Json, Refused
from syncer.server.folder import Key
from syncer.server.forms import Form, form
from syncer.wire import versions

_MOST_FORM = 1 << 20
_TRUE = frozenset({"true", "on", "1", "yes"})


class Account:
    """Small answers."""

    def __init__(self, office: HandlerContext) -> None:
        self._office = office
        self._served = office.served

    async def ping(self, request: Request) -> Response:
        """Announces Syncer's own protocol where it is served."""
        extension = {"syncer": versions.announcement()} if self._office.extended else {}
        return Json({"ping": "pong", **extension})

    async def whoami(self, request: Request) -> Response:
        """The key, and the space of the file system that holds its folder."""
        key = key_of(request)
        used, limit = await run_in_threadpool(self._quota, key)
        return Json(
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

    def _quota(self, key: Key) -> tuple[int, int]:
        with self._served.store(key) as store:
            fd = self._served.fs.open_root(self._served.absolute(store.below))
        try:
            room = os.fstatvfs(fd)
        finally:
            self._served.fs.close(fd)
        limit = room.f_blocks * room.f_frsize
        return limit - room.f_bavail * room.f_frsize, limit

    async def info(self, request: Request) -> Response:
        """One path; with `children` one level of what is below, by pages (2.1: all of it)."""
        asked = dict(request.query_params)
        fields = request.query_params.getlist("fields")
        found = await run_in_threadpool(
            self._info, key_of(request), asked_path(request), asked, _paged(request)
        )
        return Json(restricted(found, fields))

    def _info(self, key: Key, path: RelPath, asked: dict[str, str], paged: bool) -> Info:
        with self._served.store(key) as store:
            entry = existing(store, path)
            if entry.kind is Kind.DIRECTORY and asked.get("children", "").lower() in _TRUE:
                return self._office.listing(key, store, path, asked, paged=paged)
            return self._office.info(key, store, path, entry)

    async def annotate(self, request: Request) -> Response:
        """`attributes=name=value`, repeated."""
        key, path = writer(request), asked_path(request)
        with await form(request, self._office.spools, most=_MOST_FORM) as sent:
            return Json(await run_in_threadpool(self._annotate, key, path, sent))

    def _annotate(self, key: Key, path: RelPath, sent: Form) -> Info:
        pairs = []
        for text in sent.all("attributes"):
            name, equals, value = text.partition("=")
            if not equals:
                message = "An attribute is name=value."
                raise Refused(400, message, fields={"attributes": [message]})
            pairs.append((name, value))
        with self._served.store(key) as store:
            entry: Entry = existing(store, path)
            self._office.attributes.set(local_path(self._served, store, path), entry.version, pairs)
            return self._office.info(key, store, path, entry)

    async def task(self, request: Request) -> Response:
        """How a task stands."""
        return Json(self._office.tasks.result(key_of(request).name, request.path_params["task"]))


def _paged(request: Request) -> bool:
    return str(request.path_params["version"]) != "2.1"
