"""`path/oper`: mkdir and rename answer at once, move, copy, remove and checksum start tasks."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.doubles.smartfile.forms import Form, form
from tests.doubles.smartfile.listing import info
from tests.doubles.smartfile.refusals import Refused, bad_argument, detail, field_errors
from tests.doubles.smartfile.site import Site, site_of
from tests.doubles.smartfile.tree import Node, names

_DIGESTS: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda content: hashlib.md5(content).hexdigest(),
    "SHA1": lambda content: hashlib.sha1(content).hexdigest(),
    "SHA256": lambda content: hashlib.sha256(content).hexdigest(),
    "SHA512": lambda content: hashlib.sha512(content).hexdigest(),
    "CRC-32": lambda content: f"{zlib.crc32(content):08x}",
}


async def operate(request: Request) -> Response:
    """POST with a form."""
    sent = await form(request)
    if not sent.whole:
        return Response(status_code=400)
    site, base = site_of(request), str(request.base_url)
    match request.path_params["operation"]:
        case "mkdir":
            return JSONResponse(info(site.tree.mkdir(_needed(sent, "path")), base))
        case "rename":
            return JSONResponse(info(_rename(site, _needed(sent, "src"), _needed(sent, "dst")), base))
        case "move" | "copy" as how:
            return JSONResponse(site.tasks.start(_carry(site, sent, how)))
        case "remove":
            return JSONResponse(site.tasks.start(_remove(site, sent)))
        case "checksum":
            return JSONResponse(site.tasks.start(_checksum(site, sent)))
    raise detail(404, "No such operation.")


async def poll(request: Request) -> Response:
    """GET: how a task is getting on."""
    return JSONResponse(site_of(request).tasks.poll(request.path_params["task"]))


def _rename(site: Site, src: str, dst: str) -> Node:
    with site.tree.lock:
        node = site.tree.find(src)
        *above, name = names(dst) or [""]
        parent = site.tree.folder("/".join(above))
        there = site.tree.look(dst)
        if there is not None and there is not node:
            if site.options.rename_onto == "refuse" or there.isdir or node.within(there):
                raise bad_argument("dst", "The destination exists.", site.options.rename_onto_status)
            site.tree.remove(there)
        return site.tree.move(node, parent, name, "rename")


def _carry(site: Site, sent: Form, how: str) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Move or copy into a directory. A name that is taken is an error of that path alone (unconfirmed)."""
    sources = _present(site, sent, "src")
    target = site.tree.look(_needed(sent, "dst"))
    if target is None or not target.isdir:
        raise bad_argument("dst", "The directory does not exist.", site.options.missing_status)

    def one(node: Node) -> None:
        if node.name in target.children:
            raise detail(400, "The destination exists.")
        if target.within(node):
            raise detail(400, "It cannot be put into itself.")
        if how == "move":
            site.tree.move(node, target, node.name, "move")
        else:
            site.tree.copy(node, target, node.name)

    return lambda errors: {"errors": _each(site, sources, errors, one)}


def _remove(site: Site, sent: Form) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    nodes = _present(site, sent, "path")
    if site.tree.root in nodes:
        raise bad_argument("path", "The root cannot be removed.")
    return lambda errors: {"errors": _each(site, nodes, errors, site.tree.remove)}


def _checksum(site: Site, sent: Form) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    digest = _DIGESTS.get(sent.one("algorithm") or "")
    if digest is None:
        raise field_errors(algorithm="Select a valid choice.")
    nodes = _present(site, sent, "path")
    sums: dict[str, str] = {}

    def one(node: Node) -> None:
        if node.content is None:
            raise detail(415, "It is a directory.")
        sums[node.path] = digest(node.content)

    return lambda errors: {"errors": _each(site, nodes, errors, one), "checksums": sums}


def _each(
    site: Site, nodes: list[Node], errors: Mapping[str, str], one: Callable[[Node], object]
) -> dict[str, str]:
    failed = {}
    with site.tree.lock:
        for node in nodes:
            path = node.path
            try:
                if path in errors:
                    raise detail(400, errors[path])
                one(node)
            except Refused as error:
                failed[path] = str(next(iter(error.body.values())))
    return failed


def _present(site: Site, sent: Form, name: str) -> list[Node]:
    paths = sent.all(name)
    if not paths:
        raise field_errors(**{name: "This field is required."})
    nodes = []
    for path in paths:
        node = site.tree.look(path)
        if node is None:
            raise bad_argument(name, f"Path not found: {path}", site.options.missing_status)
        nodes.append(node)
    return nodes


def _needed(sent: Form, name: str) -> str:
    value = sent.one(name)
    if not value:
        raise field_errors(**{name: "This field is required."})
    return value
