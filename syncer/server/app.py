"""The server as one ASGI app: log, deadlines, gate, then the routes of both protocols.

Built from a served folder and its keys; how it is reached is settled in `runner`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from syncer.engine.interfaces import Clock
from syncer.errors import StateError, SyncerError
from syncer.server.access_log import AccessLog
from syncer.server.api.attributes import Attributes
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.routes import RawPath, routes
from syncer.server.api.tasks import Tasks
from syncer.server.api_keys import KeyFile
from syncer.server.auth import BasicAuthMiddleware, Keys
from syncer.server.errors import Json, Refused, refusal
from syncer.server.extension import Extension
from syncer.server.fair_shares import ENTRY, Budget, Listings, Places
from syncer.server.folder import Key, ServedFolder, counting
from syncer.server.maintenance import Maintenance
from syncer.server.request_body import Uploads
from syncer.server.state_dir import StateDirLock, prepare
from syncer.server.timeouts import Deadlines, Timeouts
from syncer.wire.versions import ROOT


class Application:
    """The app of one server. Close it once no request is in flight."""

    def __init__(self, served: ServedFolder, keys: Keys, *, limits: Timeouts | None = None) -> None:
        """Raises StateError."""
        self.limits = limits or Timeouts()
        self.served = served
        listings = Listings(Budget(self.limits.memory, self.limits.memory_per_key))
        self.office = HandlerContext(
            served=served,
            attributes=Attributes(served.state / "attributes.sqlite"),
            tasks=Tasks(served, each=self.limits.tasks_per_key, listings=listings),
            uploads=Uploads(self.limits.uploads, self.limits.uploads_per_key),
            extended=True,
        )
        served.forgets = self.office.attributes.forget
        self._extension = Extension(served, self.limits, listings)
        inner = Turns(RawPath(_starlette(self.office, self._extension)), self.limits, listings)
        self._gate = BasicAuthMiddleware(inner, keys=keys, clock=served.clock, revoked=self._end)
        self._app: ASGIApp = AccessLog(Deadlines(self._gate, self.limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def look(self) -> None:
        """Ends what is open of keys that were revoked. To be called now and then, in the loop."""
        self._gate.look()

    def _end(self, key: Key) -> None:
        self.office.tasks.cancel(key.name)

    def stop(self) -> None:
        """Whatever reads for long fails from here on; what was begun to be written is ended in good order."""
        self.served.fs.stop()
        self.office.tasks.cancel()

    def close(self) -> None:
        """Ends running tasks, then lets go of the folder."""
        self.stop()
        self.office.tasks.close()
        self._extension.close()
        self.office.attributes.close()
        self.served.close()


class Turns:
    """ASGI middleware: so many requests of the SmartFile API at once, and so many of one key; the rest waits.

    Each has memory of its key's for the names of a directory. The extension has places of its own
    (`extension.endpoint`).
    """

    def __init__(self, app: ASGIApp, limits: Timeouts, listings: Listings) -> None:
        self._app = app
        self._listings = listings
        self._places = Places(limits.requests, limits.requests_per_key, patience=limits.queue_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(f"/{ROOT}"):
            return await self._app(scope, receive, send)
        owner = scope["state"]["key"].name
        try:
            await self._places.take(owner)
        except SyncerError as error:
            return await refusal(error).response()(scope, receive, send)
        try:
            with self._listings.names(owner, ENTRY) as names, counting(names):
                await self._app(scope, receive, send)
        finally:
            self._places.leave(owner)


def _starlette(office: HandlerContext, extension: Extension) -> Starlette:
    async def refused(request: Request, error: Exception) -> Response:
        told = refusal(error) if isinstance(error, SyncerError) else error
        assert isinstance(told, Refused)
        told.detail = office.served.discreetly(told.detail)
        return told.response()

    app = Starlette(
        routes=[*routes(office), *extension.routes()],
        exception_handlers={Refused: refused, SyncerError: refused, HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    return app


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"detail": error.detail}, error.status_code, error.headers)


# --------------------------------------------------------------------------------
#
# A server put together and taken apart: state directory, served folder, keys, app, upkeep.
#
# The order of the end matters: nothing is let go while a thread may still use it.


@contextmanager
def opened(
    folder: Path,
    state: Path,
    keys: KeyFile,
    *,
    clock: Clock,
    trash_days: float,
    trash_size: int | None = None,
    limits: Timeouts | None = None,
) -> Iterator[Application]:
    """The app, for as long as the block runs; no request may be in flight when it ends.

    Raises StateError, Busy (another server has the folder), ConfigError (the key file).
    """
    prepare(state)
    occupied = StateDirLock(state)
    try:
        app = Application(_served(folder, state, clock), Keys(keys, clock), limits=limits)
        upkeep = Maintenance(app.served, trash_days=trash_days, trash_size=trash_size)
        upkeep.start()
        try:
            yield app
        finally:
            upkeep.stop()
            app.close()
    finally:
        occupied.release()


def _served(folder: Path, state: Path, clock: Clock) -> ServedFolder:
    try:
        return ServedFolder(folder, state, clock=clock)
    except sqlite3.Error as error:
        raise StateError(f"the state directory {state} cannot be used: {error}") from error
    except OSError as error:
        raise SyncerError(f"{folder} cannot be served: {error.strerror}") from error
