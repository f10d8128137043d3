"""The double's app: addresses, who may ask, and the two ways to write a URL.

Every API path is known with and without a slash at its end; repeated slashes count as one. A file
named `a/` does not exist, so nothing is lost by it.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.smartfile import content, listing, operations, sync
from tests.doubles.smartfile.auth import oauth_routes
from tests.doubles.smartfile.listing import TooMany, gave_up
from tests.doubles.smartfile.refusals import Refused, answered, no_such_url
from tests.doubles.smartfile.site import Site, site_of


class Tail(Convertor[str]):
    """The rest of a path with whatever is in it: a file name may hold a line feed."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Version(Convertor[str]):
    """The versions that clients were seen to ask for."""

    regex = r"2|2\.0|2\.1|3"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("tail", Tail())
register_url_convertor("version", Version())


def build(site: Site) -> ASGIApp:
    """The app of one site."""
    api = "/api/{version:version}"
    raw = "/api/{version:version}/path/data/{path:tail}"
    app = Starlette(
        routes=[
            Route(f"{api}/ping/", ping),
            Route(f"{api}/whoami/", whoami),
            Route(f"{api}/activity/", listing.activity),
            Route(f"{api}/path/info/{{path:tail}}", listing.look, methods=["GET"]),
            Route(f"{api}/path/info/{{path:tail}}", listing.describe, methods=["POST"]),
            Route(raw, content.download, methods=["GET"]),
            Route(raw, content.upload, methods=["POST"]),
            Route(raw, content.replace, methods=["PUT"]),
            Route(raw, content.append, methods=["PATCH"]),
            Route(raw, content.delete, methods=["DELETE"]),
            Route(f"{api}/path/oper/{{operation}}/", operations.operate, methods=["POST"]),
            Route(f"{api}/path/sync/signature/{{path:tail}}", sync.signature, methods=["GET"]),
            Route(f"{api}/path/sync/delta/{{path:tail}}", sync.delta, methods=["POST"]),
            Route(f"{api}/path/sync/patch/{{path:tail}}", sync.patch, methods=["POST"]),
            Route(f"{api}/task/{{task}}/", operations.poll),
            *oauth_routes(site.credentials),
        ],
        exception_handlers={Refused: answered, TooMany: gave_up, 404: no_such_url},
    )
    app.state.site = site
    app.router.redirect_slashes = False
    return _guarded(app, site)


async def ping(_: Request) -> Response:
    """GET: is it there."""
    return JSONResponse({"ping": "pong"})


async def whoami(request: Request) -> Response:
    """GET: the user, and how much room is left."""
    site = site_of(request)
    used, limit = site.tree.root.size, site.options.disk_limit
    shown: tuple[object, object] = (str(used), str(limit)) if site.options.quota_as_text else (used, limit)
    quota = {"disk_bytes_tally": shown[0], "disk_bytes_limit": shown[1]}
    user = {"username": "alice", "name": "Alice A", "email": "alice@example.net"}
    return JSONResponse({"user": user, "site": {"name": "acme", "quota": quota}, "address": "127.0.0.1"})


def _guarded(app: ASGIApp, site: Site) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.endswith("/"):
            scope["path"] = f"{path}/"
        if path.startswith("/api/"):
            sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            if not site.credentials.admits(sent):
                await _forbidden(site)(scope, receive, send)
                return
        await app(scope, receive, send)

    return guarded


def _forbidden(site: Site) -> Response:
    status = site.options.refused_status
    headers = {"www-authenticate": 'Basic realm="SmartFile"'} if status == 401 else None
    body = {"detail": "Authentication credentials were not provided or are wrong."}
    return JSONResponse(body, status_code=status, headers=headers)
