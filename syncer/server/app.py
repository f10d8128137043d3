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
from syncer.server.served import Served


class Application:
    """The app of one server. Close it once no request is in flight."""

    def __init__(self, served: Served, keys: Keys, *, limits: Limits | None = None) -> None:
        """Raises StateError."""
        self.limits = limits or Limits()
        self.served = served
        self.office = Office(
            served=served,
            attributes=Attributes(served.state / "attributes.sqlite"),
            tasks=Tasks(served.clock),
            uploads=Uploads(),
            extended=True,
        )
        self._extension = Extension(served, self.limits)
        inner = Gate(AsItCame(_starlette(self.office, self._extension)), keys=keys, clock=served.clock)
        self._app: ASGIApp = AccessLog(Deadlines(inner, self.limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Waits for running tasks, then lets go of the folder."""
        self.office.tasks.close()
        self._extension.close()
        self.office.attributes.close()
        self.served.close()


def _starlette(office: Office, extension: Extension) -> Starlette:
    app = Starlette(
        routes=[*routes(office), *extension.routes()],
        exception_handlers={Refused: _refused, SyncerError: _failed, HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, SyncerError)
    return refusal(error).response()


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"detail": error.detail}, error.status_code, error.headers)
