"""`path/sync`: signature, delta and patch, each made by the `rdiff` program (librsync) on temporary files.

As the service did, with the formats of librsync 0.9.7 (weak sum "rollsum", strong sum MD4): a signature
of any newer kind is refused, and a delta is applied to whatever the file is at that moment: there is no
check that it is still the one whose signature was taken.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.doubles.smartfile.forms import form
from tests.doubles.smartfile.listing import info
from tests.doubles.smartfile.refusals import detail, field_errors
from tests.doubles.smartfile.site import Site, site_of
from tests.doubles.smartfile.tree import Node

_DELTA = b"rs\x026"
_LARGEST_BLOCK = 2**30


async def signature(request: Request) -> Response:
    """GET, with `block_size` (bytes) as a wish."""
    site = site_of(request)
    _, content = _file(site, request)
    wish = request.query_params.get("block_size", str(site.options.block_size))
    if not wish.isdecimal() or not 0 < int(wish) <= _LARGEST_BLOCK:
        raise field_errors(block_size="Enter a whole number.")
    made = await _rdiff(
        ["-H", "md4", "-R", "rollsum", "-b", wish, "-S", str(site.options.strong_length), "signature"],
        content,
    )
    return Response(made, media_type="application/librsync-signature")


async def delta(request: Request) -> Response:
    """POST, file part `signature`: from the file that it was taken of to the stored one."""
    site = site_of(request)
    sent = await _part(request, "signature")
    _, content = _file(site, request)
    if sent[:4] not in site.options.magics:
        raise detail(400, "Bad magic number in the signature.")
    made = await _rdiff(["delta"], sent, content)
    return Response(made, media_type="application/librsync-delta")


async def patch(request: Request) -> Response:
    """POST, file part `delta`: the file becomes what the delta makes of it, or stays as it is (400)."""
    site = site_of(request)
    sent = await _part(request, "delta")
    node, content = _file(site, request)
    if not sent.startswith(_DELTA):
        raise detail(400, "Bad magic number in the delta.")
    made = await _rdiff(["patch"], content, sent)
    site.tree.overwrite(node, made, "patch")
    return JSONResponse(info(node, str(request.base_url)))


def _file(site: Site, request: Request) -> tuple[Node, bytes]:
    node = site.tree.find(request.path_params["path"])
    if node.content is None:
        raise detail(415, "It is a directory.")
    return node, node.content


async def _part(request: Request, name: str) -> bytes:
    sent = await form(request)
    file = sent.file(name)
    if file is None or not sent.whole:
        raise field_errors(**{name: "No file was sent."})
    return file.content


async def _rdiff(arguments: list[str], *inputs: bytes) -> bytes:
    return await asyncio.to_thread(_run, arguments, inputs)


def _run(arguments: list[str], inputs: tuple[bytes, ...]) -> bytes:
    """400 with the program's own words when it fails."""
    with tempfile.TemporaryDirectory(prefix="double-") as folder:
        files = [Path(folder, str(number)) for number in range(len(inputs) + 1)]
        for file, content in zip(files, inputs, strict=False):
            file.write_bytes(content)
        done = subprocess.run(["rdiff", *arguments, *files], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise detail(400, done.stderr.strip() or f"rdiff failed with {done.returncode}")
        return files[-1].read_bytes()
