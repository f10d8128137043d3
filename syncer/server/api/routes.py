"""The table's calls bound to their handlers. Both styles of URL, with and without a slash at the end.

URLs below `/api/` are routed as they came, still percent-encoded, so that an encoded slash does not
become one: a handler decodes its path once (`request`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from syncer.server.api.account import Account
from syncer.server.api.deltas import Syncing
from syncer.server.api.endpoints import TABLE, VERSIONS
from syncer.server.api.files import Files
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.openapi import document
from syncer.server.api.operations import Operations
from syncer.server.errors import Json, Refused

Handler = Callable[[Request], Awaitable[Response]]
_SLASHES = re.compile("/{2,}")


def routes(office: HandlerContext) -> list[BaseRoute]:
    """All of the API, and its description."""
    rooms: Mapping[str, object] = {
        "account": Account(office),
        "files": Files(office),
        "operations": Operations(office),
        "syncing": Syncing(office),
    }
    described = document()

    async def description(request: Request) -> Response:
        return Json(described)

    made: list[BaseRoute] = [Route("/openapi.json", description, methods=["GET"])]
    for path, calls in TABLE.items():
        handlers: dict[str, Handler] = {}
        for call in calls:
            room, _, method = call.handler.partition(".")
            handlers[call.method] = getattr(rooms[room], method)
        made += [
            Route(f"/api/{{version}}/{pattern}", _by_method(handlers), methods=list(handlers))
            for pattern in _patterns(path)
        ]
    return made


def _patterns(path: str) -> tuple[str, ...]:
    """`path/info/{path}` stands for the root as well."""
    if path.endswith("/{path}"):
        return path.removesuffix("/{path}"), path.replace("{path}", "{path:path}")
    return (path,)


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def handle(request: Request) -> Response:
        if request.path_params["version"] not in VERSIONS:
            raise Refused(404, f"There are the versions {', '.join(VERSIONS)}.")
        # Starlette adds HEAD to a route that knows GET
        handler = handlers.get(request.method) or handlers["GET"]
        return await handler(request)

    return handle


class RawPath:
    """ASGI middleware: below `/api/` the path stays encoded, repeated and last slashes mean nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw = _SLASHES.sub("/", scope["raw_path"].decode("ascii", "replace"))
            if raw.startswith("/api/"):
                scope = {**scope, "path": raw.rstrip("/")}
        await self._app(scope, receive, send)
