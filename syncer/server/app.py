"""The server as one ASGI app: log, deadlines, gate, then the routes of both protocols.

Built from a served folder and its keys; how it is reached is settled in `running`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from syncer.errors import SyncerError
from syncer.server.access import AccessLog
from syncer.server.answers import Json, Refused, refusal
from syncer.server.api.attributes import Attributes
from syncer.server.api.office import Office
from syncer.server.api.routes import AsItCame, routes
from syncer.server.api.tasks import Tasks
from syncer.server.bodies import Uploads
from syncer.server.extension import Extension
from syncer.server.gate import Gate, Keys
from syncer.server.limits import Deadlines, Limits
from syncer.server.rooted import counting
from syncer.server.served import Key, Served
from syncer.server.shares import ENTRY, Budget, Listings, Places
from syncer.wire.versions import ROOT


class Application:
    """The app of one server. Close it once no request is in flight."""

    def __init__(self, served: Served, keys: Keys, *, limits: Limits | None = None) -> None:
        """Raises StateError."""
        self.limits = limits or Limits()
        self.served = served
        listings = Listings(Budget(self.limits.memory, self.limits.memory_per_key))
        self.office = Office(
            served=served,
            attributes=Attributes(served.state / "attributes.sqlite"),
            tasks=Tasks(served, each=self.limits.tasks_per_key, listings=listings),
            uploads=Uploads(self.limits.uploads, self.limits.uploads_per_key),
            extended=True,
        )
        served.forgets = self.office.attributes.forget
        self._extension = Extension(served, self.limits, listings)
        inner = Turns(AsItCame(_starlette(self.office, self._extension)), self.limits, listings)
        self._gate = Gate(inner, keys=keys, clock=served.clock, revoked=self._end)
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

    def __init__(self, app: ASGIApp, limits: Limits, listings: Listings) -> None:
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


def _starlette(office: Office, extension: Extension) -> Starlette:
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
