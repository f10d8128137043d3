"""The service's errors: a status and one of the shapes of JSON bodies that it was seen to use."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

_NO_SUCH_URL = (
    "<!DOCTYPE html><html><head><title>Page not found</title></head><body><h1>404</h1></body></html>"
)


class Refused(Exception):
    """Raised anywhere in the double; becomes the answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def detail(status: int, text: str) -> Refused:
    """{"detail": "…"}"""
    return Refused(status, {"detail": text})


def field_errors(**fields: str) -> Refused:
    """400 {"field_errors": {"path": ["…"]}}"""
    return Refused(400, {"field_errors": {name: [text] for name, text in fields.items()}})


def bad_argument(name: str, text: str, status: int = 400) -> Refused:
    """{"src": ["…"]}, as operations refuse a path."""
    return Refused(status, {name: [text]})


def missing(path: str) -> Refused:
    """404 with a JSON body: the URL is right, the path is not there."""
    return detail(404, f"Path not found: {path}")


async def answered(_: Request, error: Exception) -> Response:
    """What the client sees of a refusal."""
    assert isinstance(error, Refused)
    return JSONResponse(error.body, status_code=error.status)


async def no_such_url(_: Request, __: Exception) -> Response:
    """404 in HTML: the client is at fault."""
    return HTMLResponse(_NO_SUCH_URL, status_code=404)
