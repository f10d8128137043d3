"""The endpoints of SmartFile's API as typed calls. Paths are the service's own: `/docs/a.txt`, `/`.

One method, one request, no state and no decisions; `staging` and `commit` make writes safe. The librsync
calls are in `deltas`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import requests

from syncer.engine.paths import printable
from syncer.errors import AuthError, NotFound, PermanentError, StoreError, TransientError, Unholdable
from syncer.stores.http import errors, json
from syncer.stores.http.bodies import Body, multipart
from syncer.stores.http.client import HttpSession
from syncer.stores.http.json import Malformed
from syncer.stores.smartfile import info
from syncer.stores.smartfile.info import Info

# -- Long operations: started by one request, waited for by polling -------------
#
# `{"uuid": …}` now, `{"uuid": …, "result": {"status": …, "result": …}}` later (older answers have the
# status at the top). SUCCESS with a list of errors is a failure of those paths. Whether an operation took
# effect whose task got lost is for the caller to look at: `Lost` says so.


FIRST_PAUSE, LONGEST_PAUSE, PATIENCE = 0.192, 6.1, 390.0  # seconds, as the service's own client waits
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Lost(TransientError):
    """It is unknown how an operation ended: its task is forgotten, or does not end."""


def finish(session: HttpSession, started: object, about: str) -> dict[str, object]:
    """Waits for the task that an operation was answered with; what it has to say of its success.

    Raises PermanentError where it failed, also in part, TransientError for FAILURE, Lost.
    """
    inner = _settled(started, about)
    if inner is not None:
        return inner
    uuid = started.get("uuid") if isinstance(started, dict) else None
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
        raise Lost(f"{about}: the service does not say how far it is", path=about)
    clock, pause = session.clock, FIRST_PAUSE
    until = clock.monotonic() + PATIENCE
    while clock.monotonic() < until:
        try:
            task = json.mapping(session.request("GET", f"api/2/task/{uuid}/", about=about), about)
        except NotFound:
            raise Lost(f"{about}: the service has forgotten the task", path=about) from None
        inner = _settled(task, about)
        if inner is not None:
            return inner
        clock.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    raise Lost(f"{about}: the service does not come to an end with it", path=about)


def _settled(found: object, about: str) -> dict[str, object] | None:
    """The result of a task that ended; None while it runs."""
    if not isinstance(found, dict):
        return None
    result = found.get("result")
    nested = isinstance(result, dict) and isinstance(result.get("status"), str)
    layer = result if nested and isinstance(result, dict) else found
    if layer.get("status") == "FAILURE":
        raise TransientError(f"{about}: the service failed to do it", path=about)
    if layer.get("status") != "SUCCESS":
        return None
    inner = layer.get("result")
    payload = inner if isinstance(inner, dict) else {}
    errors = payload.get("errors")
    if errors:
        words = next(iter(errors.values()), "refused") if isinstance(errors, dict) else "refused"
        text = "".join(c if c.isprintable() else " " for c in str(words))[:300]
        raise PermanentError(f"{about}: {text}", path=about)
    return payload


_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartFilePage:
    """One page of a directory: itself, its children as the service describes them, and the paging as told."""

    itself: Info
    children: tuple[object, ...]
    page: int | None
    pages: int | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """In bytes."""

    used: int
    limit: int


class Overtaxed(Exception):
    """A listing was refused (403 or 503): maybe too much was asked for at once. `error` is the refusal."""

    def __init__(self, error: StoreError) -> None:
        super().__init__(str(error))
        self.error = error


class SmartFileApi:
    """All raise what `HttpSession.request` raises; `NotFound` always means that the path is not there."""

    def __init__(self, session: HttpSession) -> None:
        self.session = session

    # -- looking -------------------------------------------------------------------

    def info(self, path: str) -> Info:
        response = self.session.request("GET", f"api/2/path/info{quoted(path)}/", about=path)
        return _info(response, path)

    def page(self, path: str, page: int, limit: int) -> SmartFilePage:
        """Children of a directory; NotFound for what is none. Raises Overtaxed, for a large `limit` also."""
        params = {"children": "true", "limit": str(limit), "page": str(page)}
        response = self.session.request(
            "GET", f"api/2/path/info{quoted(path)}/", params=params, accept=(403, 503), about=path
        )
        if response.status_code in (403, 503):
            error = self.session.error(response, path)
            raise error if isinstance(error, AuthError) else Overtaxed(error)
        found = json.mapping(response, path)
        itself = _info(response, path)
        if not itself.directory:
            raise NotFound(f"{path}: not a directory", path=path)
        children = found.get("children")
        if not isinstance(children, list):
            raise TransientError(f"{path}: the listing has no children", path=path)
        payload = (json.number(found.get(key)) for key in ("page", "pages", "total"))
        number, pages, total = payload
        return SmartFilePage(itself=itself, children=tuple(children), page=number, pages=pages, total=total)

    def content(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str = ""
    ) -> requests.Response:
        """An open answer with the bytes from `start` (to before `end`): read it by `session.pieces`.

        `etag`: only of the content that was answered with it. Raises TransientError if the service gives
        another range than that, PreconditionFailed for other content.
        """
        headers = {"If-Match": etag} if etag else {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-" if end is None else f"bytes={start}-{end - 1}"
        response = self.session.request(
            "GET", f"api/2/path/data{quoted(path)}/", headers=headers, stream=True, about=path
        )
        if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            errors.drop(response)
            raise TransientError(f"{path}: the service does not go on where it was asked to", path=path)
        return response

    def quota(self) -> Quota | None:
        """None where the service says nothing that can be understood, or sets no limit."""
        found: object = json.mapping(self.session.request("GET", "api/2/whoami/"), "")
        for key in ("site", "quota"):
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            return None
        used, limit = (json.number(found.get(f"disk_bytes_{key}")) for key in ("tally", "limit"))
        return Quota(used=used, limit=limit) if used is not None and limit else None

    def checksum(self, path: str) -> bytes:
        """SHA-256 of the content as the service holds it. Raises TransientError, PermanentError."""
        form = [("path", path), ("algorithm", "SHA256")]
        response = self.session.request("POST", "api/2/path/oper/checksum/", form=form, about=path)
        payload = finish(self.session, json.document(response, path), path).get("checksums")
        sums = payload if isinstance(payload, dict) else {}
        found = sums.get(path, sums.get(path + "/"))
        if not isinstance(found, str) or not _SHA256.fullmatch(found):
            raise TransientError(f"{path}: the service gives no checksum", path=path)
        return bytes.fromhex(found)

    # -- changing ------------------------------------------------------------------

    def upload(self, directory: str, name: str, body: Body) -> None:
        """Upload content under a private name (plain ASCII) into a directory, over an older one."""
        path = f"{directory}/{name}"
        response = self.session.request(
            "POST",
            f"api/2/path/data{quoted(directory)}/",
            body=multipart("file", name, body),
            about=path,
        )
        try:
            document = json.document(response, "")
        except StoreError:
            document = None  # responses to an upload vary; one that is no JSON says nothing of a failure
        error = json.inner_error(document, path)
        if error is not None:
            raise error

    def attributes(self, path: str, values: Mapping[str, str]) -> None:
        """Set these attributes; others stay."""
        form = [("attributes", f"{name}={value}") for name, value in values.items()]
        self.session.request("POST", f"api/2/path/info{quoted(path)}/", form=form, about=path)

    def mkdir(self, path: str) -> None:
        """Make a directory, and (it seems) those above it; an existing one stays."""
        self.session.request("POST", "api/2/path/oper/mkdir/", form=[("path", path)], about=path)

    def rename(self, origin: str, path: str) -> None:
        """Rename a file or directory to a full path. The effect on a taken path is not documented."""
        form = [("src", origin), ("dst", path)]
        self.session.request("POST", "api/2/path/oper/rename/", form=form, about=origin)

    def copy(self, origin: str, directory: str) -> None:
        """Copy into another directory under the same name, and wait for it."""
        form = [("src", origin), ("dst", directory)]
        response = self.session.request("POST", "api/2/path/oper/copy/", form=form, about=origin)
        finish(self.session, json.document(response, origin), origin)

    def remove(self, path: str, *, wait: bool = True) -> None:
        """Remove for good, a directory with all that is in it: only called for our own files."""
        response = self.session.request("POST", "api/2/path/oper/remove/", form=[("path", path)], about=path)
        if wait:
            finish(self.session, json.document(response, path), path)


def quoted(path: str) -> str:
    """A path for a URL, without the slash at its end; each name percent-encoded as UTF-8."""
    try:
        return "".join("/" + quote(name, safe="") for name in path.split("/") if name)
    except UnicodeEncodeError:
        raise Unholdable(f"{printable(path)}: not UTF-8", path=path) from None


def _info(response: requests.Response, path: str) -> Info:
    try:
        return info.read(json.mapping(response, path), errors.asked_ns(response))
    except Malformed as error:
        raise TransientError(f"{path}: the answer is not understood: {error}", path=path) from None
