"""`path/data`: downloads and uploads of whole files, in the second version of the API and in the third.

A client that hangs up within an upload leaves nothing, or (`keep_partial`) what had arrived.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.doubles.smartfile.forms import body, form
from tests.doubles.smartfile.listing import info
from tests.doubles.smartfile.refusals import detail, field_errors
from tests.doubles.smartfile.site import site_of
from tests.doubles.smartfile.tree import Node, names

_PIECE = 64 * 1024  # bytes handed to the server at a time


async def download(request: Request) -> Response:
    """GET: the bytes as they are now; `Range: bytes=N-` (also N-M and -N) gives 206."""
    site = site_of(request)
    node = site.tree.find(request.path_params["path"])
    content = node.content
    if content is None:
        raise detail(415, "It is a directory.")
    headers = {"content-type": node.mime, "accept-ranges": "bytes"}
    wanted = request.headers.get("range")
    if wanted is None:
        return _streamed(content, 200, headers)
    first, last = _range(wanted, len(content))
    if first >= len(content):
        return Response(status_code=416, headers={"content-range": f"bytes */{len(content)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
    return _streamed(content[first : last + 1], 206, headers)


async def upload(request: Request) -> Response:
    """POST (version 2): multipart into a directory; each file part's filename is a name in it."""
    site = site_of(request)
    sent = await form(request)
    folder = request.path_params["path"]
    there = site.tree.look(folder)
    if there is not None and not there.isdir:
        raise detail(415, "It is a file.")
    if not sent.files and sent.whole:
        raise field_errors(file="No file was sent.")
    if not sent.whole and not site.options.keep_partial:
        return Response(status_code=400)
    written = [site.tree.put(folder, file.name, file.content) for file in sent.files]
    answers = [info(node, str(request.base_url)) for node in written]
    single = len(answers) == 1 and not site.options.upload_as_list
    return JSONResponse(answers[0] if single else answers, status_code=site.options.upload_status)


async def replace(request: Request) -> Response:
    """PUT (version 3): the raw body is the whole file."""
    site = site_of(request)
    content, whole = await body(request)
    if not whole and not site.options.keep_partial:
        return Response(status_code=400)
    folder, name = _split(request.path_params["path"])
    node = site.tree.put(folder, name, content)
    return JSONResponse(info(node, str(request.base_url)))


async def append(request: Request) -> Response:
    """PATCH (version 3): `Range: bytes=N-` puts the body at N and ends the file there.

    `If-Unmodified-Since` is compared with the server's time, in whole seconds: 412.
    """
    site = site_of(request)
    content, whole = await body(request)
    if not whole and not site.options.keep_partial:
        return Response(status_code=400)
    with site.tree.lock:
        node = site.tree.find(request.path_params["path"])
        if node.content is None:
            raise detail(415, "It is a directory.")
        _expect_unmodified(node, request.headers.get("if-unmodified-since"))
        first, _ = _range(request.headers.get("range", "bytes=0-"), len(node.content))
        if first > len(node.content):
            raise detail(416, f"The file has {len(node.content)} bytes.")
        site.tree.overwrite(node, node.content[:first] + content, "patch")
        return JSONResponse(info(node, str(request.base_url)))


async def delete(request: Request) -> Response:
    """DELETE (version 3): one file, at once."""
    site = site_of(request)
    with site.tree.lock:
        node = site.tree.find(request.path_params["path"])
        if node.isdir:
            raise detail(415, "It is a directory.")
        site.tree.remove(node)
    return Response(status_code=204)


def _streamed(content: bytes, status: int, headers: dict[str, str]) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]

    headers["content-length"] = str(len(content))
    return StreamingResponse(pieces(), status_code=status, headers=headers)


def _range(header: str, size: int) -> tuple[int, int]:
    """First and last byte; a form that is not known means the whole file (RFC 9110, 14.2)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if found is None or found[1] == found[2] == "":
        return 0, size - 1
    if found[1] == "":
        return max(0, size - int(found[2])), size - 1
    return int(found[1]), min(size - 1, int(found[2])) if found[2] else size - 1


def _expect_unmodified(node: Node, since: str | None) -> None:
    if since is not None and int(node.time) > parsedate_to_datetime(since).timestamp():
        raise detail(412, "The file was modified.")


def _split(path: str) -> tuple[str, str]:
    parts = names(path)
    if not parts:
        raise detail(415, "It is a directory.")
    return "/".join(parts[:-1]), parts[-1]
