"""Routes of the SmartFile API: the endpoint table bound to its handlers.

URLs below `/api/`, with or without a slash at the end, are routed percent-encoded, so that an encoded slash
does not become a separator; `request` decodes the path once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from syncer.server.api.account import AccountHandlers
from syncer.server.api.deltas import DeltaHandlers
from syncer.server.api.endpoints import TABLE, VERSIONS
from syncer.server.api.files import FileHandlers
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.openapi import document
from syncer.server.api.operations import OperationHandlers
from syncer.server.errors import HttpError, JsonResponse

Handler = Callable[[Request], Awaitable[Response]]
_SLASHES = re.compile("/{2,}")


def routes(context: HandlerContext) -> list[BaseRoute]:
    """All routes, and that of the OpenAPI document."""
    groups: Mapping[str, object] = {
        "account": AccountHandlers(context),
        "files": FileHandlers(context),
        "operations": OperationHandlers(context),
        "deltas": DeltaHandlers(context),
    }
    openapi = document()

    async def description(request: Request) -> Response:
        return JsonResponse(openapi)

    routes: list[BaseRoute] = [Route("/openapi.json", description, methods=["GET"])]
    for path, methods in TABLE.items():
        handlers: dict[str, Handler] = {}
        for spec in methods:
            group, _, name = spec.handler.partition(".")
            handlers[spec.method] = getattr(groups[group], name)
        patterns = [path.replace("{path}", "{path:path}")]
        if path.endswith("/{path}"):
            patterns.insert(0, path.removesuffix("/{path}"))  # the root itself
        routes += [
            Route(f"/api/{{version}}/{pattern}", _by_method(handlers), methods=list(handlers))
            for pattern in patterns
        ]
    return routes


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def handle(request: Request) -> Response:
        if request.path_params["version"] not in VERSIONS:
            raise HttpError(404, f"There are the versions {', '.join(VERSIONS)}.")
        # Starlette adds HEAD to a route with GET
        handler = handlers.get(request.method) or handlers["GET"]
        return await handler(request)

    return handle


class RawPath:
    """ASGI middleware: below `/api/` the path stays encoded; repeated and trailing slashes are ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw = _SLASHES.sub("/", scope["raw_path"].decode("ascii", "replace"))
            if raw.startswith("/api/"):
                scope = {**scope, "path": raw.rstrip("/")}
        await self._app(scope, receive, send)
