"""ASGI application of the server: access log, deadlines, authentication, the routes of both protocols.

`opened` builds it from a folder, a state directory and a key file, and takes it apart; `runner` puts it on a
socket.
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
from syncer.server.errors import HttpError, JsonResponse, http_error_of
from syncer.server.extension import Extension
from syncer.server.fair_shares import ENTRY, Budget, FairSemaphore, ListingBudget
from syncer.server.folder import ServedFolder, counting
from syncer.server.maintenance import Maintenance
from syncer.server.request_body import UploadThreads
from syncer.server.state_dir import StateDirLock, prepare
from syncer.server.timeouts import Deadlines, Timeouts
from syncer.wire.versions import ROOT


class Application:
    """The application of one server. Close it once no request is in flight."""

    def __init__(self, served: ServedFolder, keys: Keys, *, limits: Timeouts | None = None) -> None:
        """Raises StateError."""
        self.limits = limits or Timeouts()
        self.served = served
        listings = ListingBudget(Budget(self.limits.memory, self.limits.memory_per_key))
        self.context = HandlerContext(
            served=served,
            attributes=Attributes(served.state / "attributes.sqlite"),
            tasks=Tasks(served, each=self.limits.tasks_per_key, listings=listings),
            uploads=UploadThreads(self.limits.uploads, self.limits.uploads_per_key),
            extended=True,
        )
        served.on_gone = self.context.attributes.forget
        self._extension = Extension(served, self.limits, listings)
        inner = RequestLimiter(RawPath(_starlette(self.context, self._extension)), self.limits, listings)
        self._auth = BasicAuthMiddleware(
            inner, keys=keys, clock=served.clock, revoked=lambda key: self.context.tasks.cancel(key.name)
        )
        self._app: ASGIApp = AccessLog(Deadlines(self._auth, self.limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def check_keys(self) -> None:
        """End the requests and tasks of keys that were revoked. Call it regularly, in the event loop."""
        self._auth.check_keys()

    def stop(self) -> None:
        """Fail every long read from here on. Writes that have begun are completed."""
        self.served.fs.stop()
        self.context.tasks.cancel()

    def close(self) -> None:
        """End running tasks, then close the folder."""
        self.stop()
        self.context.tasks.close()
        self._extension.close()
        self.context.attributes.close()
        self.served.close()


class RequestLimiter:
    """ASGI middleware: limits the SmartFile API's requests at once, in all and for each key; the rest waits.

    It also reserves the memory for the names of directories that a request lists. The calls of Syncer's own
    protocol are limited in `extension.endpoint`.
    """

    def __init__(self, app: ASGIApp, limits: Timeouts, listings: ListingBudget) -> None:
        self._app = app
        self._listings = listings
        self._slots = FairSemaphore(limits.requests, limits.requests_per_key, timeout=limits.queue_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(f"/{ROOT}"):
            return await self._app(scope, receive, send)
        owner = scope["state"]["key"].name
        try:
            await self._slots.acquire(owner)
        except SyncerError as error:
            return await http_error_of(error).response()(scope, receive, send)
        try:
            with self._listings.names(owner, ENTRY) as names, counting(names):
                await self._app(scope, receive, send)
        finally:
            self._slots.release(owner)


def _starlette(context: HandlerContext, extension: Extension) -> Starlette:
    async def failed(request: Request, error: Exception) -> Response:
        http_error = http_error_of(error) if isinstance(error, SyncerError) else error
        assert isinstance(http_error, HttpError)
        http_error.detail = context.served.without_paths(http_error.detail)
        return http_error.response()

    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JsonResponse({"detail": error.detail}, error.status_code, error.headers)

    app = Starlette(
        routes=[*routes(context), *extension.routes()],
        exception_handlers={HttpError: failed, SyncerError: failed, HTTPException: no_route},
    )
    app.router.redirect_slashes = False
    return app


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
    """The application, for as long as the block runs; no request may be in flight when it ends.

    Raises StateError, Busy (another server has the state directory), ConfigError (the key file), SyncerError.
    """
    prepare(state)
    lock = StateDirLock(state)
    try:
        try:
            served = ServedFolder(folder, state, clock=clock)
        except sqlite3.Error as error:
            raise StateError(f"the state directory {state} cannot be used: {error}") from error
        except OSError as error:
            raise SyncerError(f"{folder} cannot be served: {error.strerror}") from error
        app = Application(served, Keys(keys, clock), limits=limits)
        maintenance = Maintenance(app.served, trash_days=trash_days, trash_size=trash_size)
        maintenance.start()
        try:
            yield app
        finally:
            # In this order: nothing is closed while a thread may still use it.
            maintenance.stop()
            app.close()
    finally:
        lock.release()
