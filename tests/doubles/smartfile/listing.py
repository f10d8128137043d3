"""`path/info`: one object for each file and directory, listings in pages, and the client's attributes.

`time` is what the service's own machines showed: local time of Indianapolis, without a zone, in
whole seconds. Only JSON is spoken (the service also knew `format=xml` and `csv`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from posixpath import splitext
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.doubles.smartfile.forms import form
from tests.doubles.smartfile.refusals import detail, field_errors, missing
from tests.doubles.smartfile.site import Site, site_of
from tests.doubles.smartfile.tree import Node

INDIANA = ZoneInfo("America/Indiana/Indianapolis")
_ALLOWED = {"list": True, "read": True, "remove": True, "write": True}
_ALWAYS = frozenset({"children", "page", "pages", "per_page", "total"})


def local_time(seconds: float) -> str:
    """`2026-01-01T05:00:00`: one hour a year means two."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(INDIANA).replace(tzinfo=None).isoformat()


def info(node: Node, base: str) -> dict[str, Any]:
    """The info object; `base` is the URL of the site."""
    path = node.path
    return {
        "acl": dict(_ALLOWED),
        "attributes": dict(node.attributes),
        "extension": "" if node.isdir else splitext(node.name)[1],
        "id": node.id,
        "isdir": node.isdir,
        "isfile": not node.isdir,
        "items": len(node.children) if node.isdir else None,
        "mime": node.mime,
        "name": node.name,
        "owner": None if node.isdir else {"username": "alice"},
        "path": path,
        "size": node.size,
        "tags": [],
        "time": local_time(node.time),
        "url": f"{base}api/2/path/info{quote(path)}{'' if path == '/' else '/'}",
    }


async def look(request: Request) -> Response:
    """GET: one object; with `children`, one level below it, in pages (version 2.1: all at once)."""
    site = site_of(request)
    query = request.query_params
    if query.get("format", "json") != "json":
        raise detail(400, "This double speaks JSON only.")
    fields = frozenset(query.getlist("fields"))
    base = str(request.base_url)
    with site.tree.lock:
        node = site.tree.find(request.path_params["path"])
        answer = _only(info(node, base), fields)
        if query.get("children") in ("true", "on", "True", "1") and node.isdir:
            below = sorted(node.children.values(), key=lambda child: child.name)
            if request.path_params["version"] != "2.1":
                limit, page = _limit(site, query.get("limit")), _number("page", query.get("page"), 1)
                pages = max(1, -(-len(below) // limit))
                if page > pages:
                    raise detail(404, f"Page {page} of {pages} does not exist.")
                answer |= {"page": page, "pages": pages, "per_page": limit, "total": len(below)}
                below = below[(page - 1) * limit : page * limit]
            answer["children"] = [_only(info(child, base), fields) for child in below]
    return JSONResponse(answer)


async def describe(request: Request) -> Response:
    """POST: `attributes=name=value`, repeated; an empty value removes nothing, it is stored."""
    site = site_of(request)
    sent = await form(request)
    if not sent.whole:
        return Response(status_code=400)
    path = request.path_params["path"]
    with site.tree.lock:
        node = site.tree.find(path)
        if not node.isdir and site.tree.clock() - node.uploaded < site.options.settle:
            raise missing(path)
        for pair in sent.all("attributes"):
            name, equals, value = pair.partition("=")
            if not equals:
                raise field_errors(attributes="Enter name=value.")
            node.attributes[name] = value
        return JSONResponse(info(node, str(request.base_url)))


async def activity(request: Request) -> Response:
    """GET: what happened, oldest first. The fields of a record are unconfirmed."""
    site = site_of(request)
    query = request.query_params
    low, high = float(query.get("timestamp_min", 0)), float(query.get("timestamp_max", "inf"))
    with site.tree.lock:
        records = [
            {"timestamp": when, "action": what, "path": path}
            for when, what, path in site.tree.history
            if low <= when <= high and path.startswith(query.get("path", "/"))
        ]
    limit, page = _limit(site, query.get("limit")), _number("page", query.get("page"), 1)
    pages = max(1, -(-len(records) // limit))
    shown = records[(page - 1) * limit : page * limit]
    links = {"previous": page - 1 if page > 1 else None, "next": page + 1 if page < pages else None}
    return JSONResponse(
        {"total": len(records), "page": page, "pages": pages, "per_page": limit, **links, "results": shown}
    )


class TooMany(Exception):
    """A page so large that the service gives up."""


async def gave_up(request: Request, _: Exception) -> Response:
    """No JSON, and no header that would make it a throttle."""
    return PlainTextResponse("Service Unavailable", status_code=site_of(request).options.large_limit_status)


def _limit(site: Site, text: str | None) -> int:
    limit = _number("limit", text, site.options.per_page)
    if limit > site.options.largest_limit:
        raise TooMany
    return limit


def _number(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise field_errors(**{name: "Enter a whole number."})
    return int(text)


def _only(answer: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {k: v for k, v in answer.items() if k in fields | _ALWAYS} if fields else answer
