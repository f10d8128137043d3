"""The double's endpoints on both hosts: addresses, JSON, forms, errors in each of their shapes."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.orange.drive import Drive, Node, Refused
from tests.doubles.orange.login import Login

API, CONTENT = "/cloud/v1", "/content/v1"
PARIS = ZoneInfo("Europe/Paris")
_TYPES = {"jpg": "PICTURE", "png": "PICTURE", "mp4": "VIDEO", "mp3": "AUDIO"}
_FILTERS = {"image": "PICTURE", "video": "VIDEO", "audio": "AUDIO", "other": "FILE"}


class Service:
    """All endpoints over one drive. `content_url` is told to clients as where the content is."""

    def __init__(self, drive: Drive, login: Login) -> None:
        self.drive = drive
        self.login = login
        self.content_url = ""
        self._addresses: dict[str, float] = {}

    def app(self) -> ASGIApp:
        """What is served on both hosts."""
        routes = [
            Route("/oauth/v2/authorize", self.login.authorize),
            Route("/oauth/v2/token", self.login.token, methods=["POST"]),
            Route(f"{API}/freespace", self._do(self.freespace)),
            Route(f"{API}/folders", self._do(self.folder)),
            Route(f"{API}/folders", self._do(self.make), methods=["POST"]),
            Route(f"{API}/folders/{{id}}", self._do(self.folder)),
            Route(f"{API}/folders/{{id}}", self._do(self.alter), methods=["POST"]),
            Route(f"{API}/folders/{{id}}", self._do(self.drop), methods=["DELETE"]),
            Route(f"{API}/files/{{id}}", self._do(self.file)),
            Route(f"{API}/files/{{id}}", self._do(self.alter), methods=["POST"]),
            Route(f"{API}/files/{{id}}", self._do(self.drop), methods=["DELETE"]),
            Route(f"{CONTENT}/files/content", self._do(self.upload), methods=["POST"]),
            Route(f"{CONTENT}/files/{{id}}/content/{{address}}", self._do(self.download)),
        ]
        return self._guarded(Starlette(routes=routes))

    # -- who asks, and how refusals look -----------------------------------------------

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            path: str = scope["path"]
            sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            host = "content" if path.startswith(CONTENT) else "api"
            code = None if path.startswith("/oauth/") else self.login.refusal(sent, host)
            if code is None:
                return await app(scope, receive, send)
            words = {40: "Missing credentials", 41: "Invalid credentials", 42: "Expired credentials"}
            await self.refused(Refused(401, code, words[code]))(scope, receive, send)

        return guarded

    def refused(self, refused: Refused) -> Response:
        """In the shape that is switched on."""
        code, label, shape = refused.code, refused.label, self.drive.options.shape
        if shape == "none" and refused.status in (401, 503):
            return HTMLResponse("<html><body>gateway</body></html>", refused.status)
        told = {"code": code, "message": label, "description": f"{label}."}
        if shape == "nested":
            return JSONResponse({"error": told}, refused.status)
        if shape == "old":
            old = {"code": code, "label": label, "details": "…"}
            return JSONResponse({"error": old}, refused.status)
        return JSONResponse(told, refused.status)

    def _do(self, work: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            asked = await _asked(request)
            with self.drive.lock:
                try:
                    answer: Response = work(request, asked)
                except Refused as refused:
                    return self.refused(refused)
            return answer

        return endpoint

    def _written(self, document: object) -> Response:
        options = self.drive.options
        if options.write_status == 204 or not options.write_body:
            return Response(status_code=options.write_status)
        return JSONResponse(document, options.write_status)

    # -- looking -------------------------------------------------------------------------

    def freespace(self, _: Request, __: Any) -> Response:
        """GET: how much room is left."""
        return JSONResponse({"freespace": self.drive.options.room - self.drive.used()})

    def folder(self, request: Request, _: Any) -> Response:
        """GET: a folder, by default with what is directly in it."""
        query, options = request.query_params, self.drive.options
        path = self.drive.find(request.path_params.get("id", ""), folder=True)
        flat = query.get("flat") == "true" and options.flat
        tree = query.get("tree") == "true"
        below = f"{path}/" if path else ""
        shown = {p: n for p, n in self.drive.view().items() if p.startswith(below)}
        direct = {p: n for p, n in shown.items() if "/" not in p[len(below) :]}
        seen = shown if flat else direct
        files = [] if tree else [self._file(p, n) for p, n in seen.items() if n.content is not None]
        folders = [self._folder(p) for p, n in (shown if tree else seen).items() if n.content is None]
        kind = _FILTERS.get(query.get("filter", ""))
        files = [f for f in files if kind in (None, f["type"])]
        files, folders = self._window(files, folders, query)
        return JSONResponse({**self._folder(path), "files": files, "subfolders": folders})

    def _window(self, files: list[Any], folders: list[Any], query: Any) -> tuple[list[Any], list[Any]]:
        cap = self.drive.options.page_cap
        limit = int(query["limit"]) if "limit" in query else cap
        start = int(query.get("offset", 0))
        end = None if limit is None else start + limit
        if self.drive.options.counted_apart:
            return files[start:end], folders[start:end]
        both = [*((0, f) for f in folders), *((1, f) for f in files)][start:end]
        return [f for kind, f in both if kind], [f for kind, f in both if not kind]

    def file(self, request: Request, _: Any) -> Response:
        """GET: a file, and where its content is for now."""
        path = self.drive.find(request.path_params["id"], folder=False)
        backend = f"https://backend.example/{secrets.token_hex(8)}"
        address = urlsafe_b64encode(backend.encode()).decode().rstrip("=")
        self._addresses[address] = self.drive.clock()
        shown = self._file(path, self.drive.nodes[path])
        url = f"{self.content_url}/files/{shown['id']}/content/{address}"
        return JSONResponse({**shown, "downloadUrl": url})

    def download(self, request: Request, _: Any) -> Response:
        """GET: the bytes, from an address that was given for this file."""
        options, given = self.drive.options, self._addresses.get(request.path_params["address"])
        if given is None or (
            options.url_seconds is not None and self.drive.clock() - given > options.url_seconds
        ):
            raise Refused(options.url_status, 60 if options.url_status == 404 else 50, "Link expired")
        node = self.drive.nodes[self.drive.find(request.path_params["id"], folder=False)]
        data = node.content or b""
        wanted = request.headers.get("range", "")
        if options.ranges and wanted.startswith("bytes="):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            told = {"content-range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Response(data[start:], 206, headers=told, media_type="application/octet-stream")
        return Response(data, media_type="application/octet-stream")

    def _file(self, path: str, node: Node) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        return {
            "id": self.drive.id_of(path, folder=False),
            "name": name,
            "type": _TYPES.get(name.rpartition(".")[2].lower(), "FILE"),
            "metadata": {},
            "size": len(node.content or b""),
            "creationDate": _date(node.created),
            "lastUpdateDate": _date(node.date),
        }

    def _folder(self, path: str) -> dict[str, Any]:
        above, _, name = path.rpartition("/")
        id_, parent = self.drive.id_of(path, folder=True), self.drive.id_of(above, folder=True)
        return {"id": id_, "name": name, "parentId": parent}

    # -- changing ------------------------------------------------------------------------

    def make(self, _: Request, asked: Any) -> Response:
        """POST: a folder."""
        parent = self.drive.find(asked["parentFolderId"], folder=True)
        path = self.drive.make(parent, asked["name"])
        return self._written({**self._folder(path), "files": [], "subfolders": []})

    def alter(self, request: Request, asked: Any) -> Response:
        """POST: another name, another folder, or a copy there."""
        drive, folder = self.drive, "/folders/" in request.url.path
        path = drive.find(request.path_params["id"], folder=folder)
        above, _, name = path.rpartition("/")
        if not path or not isinstance(asked, dict):
            raise Refused(400, 22, "Invalid body")
        if "parentFolderId" in asked:
            above = drive.find(asked["parentFolderId"], folder=True)
            target = f"{above}/{name}" if above else name
            now = drive.copy(path, target) if asked.get("clone") else drive.carry(path, target)
        elif "name" in asked:
            now = drive.carry(path, f"{above}/{asked['name']}" if above else asked["name"])
        else:
            raise Refused(400, 23, "Missing body field")
        return self._written(self._folder(now) if folder else self._file(now, drive.nodes[now]))

    def drop(self, request: Request, _: Any) -> Response:
        """DELETE: for good."""
        folder = "/folders/" in request.url.path
        path = self.drive.find(request.path_params["id"], folder=folder)
        if not path:
            raise Refused(403, 50, "Access denied")
        self.drive.drop(path)
        return Response(status_code=204)

    def upload(self, _: Request, asked: Any) -> Response:
        """POST: a form of a description and a file, in this order."""
        description, content = asked
        if not isinstance(description.get("size"), str) or int(description["size"]) != len(content):
            raise Refused(400, 24, "Invalid body field: size")
        folder = self.drive.find(description["folder"], folder=True) if "folder" in description else ""
        path = self.drive.put(folder, description["name"], content)
        name = path.rpartition("/")[2]
        return self._written({"fileId": self.drive.id_of(path, folder=False), "fileName": name})


async def _asked(request: Request) -> Any:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        async with request.form(max_part_size=64 << 20) as form:
            assert [name for name, _ in form.multi_items()] == ["description", "file"]
            file = form["file"]
            assert not isinstance(file, str)
            return json.loads(str(form["description"])), await file.read()
    body = await request.body()
    return json.loads(body) if body else None


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), PARIS).strftime("%Y-%m-%dT%H:%M:%S%z")
