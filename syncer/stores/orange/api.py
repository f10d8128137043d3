"""The endpoints of Orange's Cloud France API 1.x, one method each: ids in, values out.

No policy: what to do first and what a refusal means for a path is for others. An answer that is not of
this API's shape is a TransientError, never an empty one: absence is concluded from these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import requests

from syncer.errors import PermanentError, TransientError
from syncer.stores.http import errors
from syncer.stores.http.bodies import Body, multipart
from syncer.stores.http.json import Malformed
from syncer.stores.http.origins import same_origin
from syncer.stores.orange import items
from syncer.stores.orange.items import File, Folder
from syncer.stores.orange.session import ANSWER_BYTES, FLAT_BYTES, OrangeRequest, OrangeSession
from syncer.wire.bounded_json import loads

API_URL = "https://api.orange.com/cloud/v1"
CONTENT_URL = "https://cloudapi.orange.com/cloud/v1"
ValueT = TypeVar("ValueT")
_VALUES = 6  # bytes that the values of an answer may take for each of its text: honest ones have some 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OrangePage:
    """A response about a folder: the folder itself, and its items as JSON."""

    itself: Folder
    files: tuple[object, ...]
    folders: tuple[object, ...]
    asked_ns: int | None


class OrangeApi:
    """Safe to share between threads. `restricted`: the application's own folder is the root."""

    def __init__(
        self,
        session: OrangeSession,
        *,
        api_url: str = API_URL,
        content_url: str = CONTENT_URL,
        restricted: bool = False,
    ) -> None:
        self.session = session
        self._api = api_url.rstrip("/")
        self._content = content_url.rstrip("/")
        self._flags = {"restrictedmode": ""} if restricted else {}

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self._api

    # -- looking -----------------------------------------------------------------

    def page(
        self,
        id_: str = "",
        *,
        flat: bool = False,
        offset: int = 0,
        limit: int | None = None,
        about: str = "",
    ) -> OrangePage:
        """A folder ("" for the root) and what is in it, or (`flat`) in all of its subtree."""
        params: dict[str, str] = {}
        if flat:
            params["flat"] = "true"
        if offset:
            params["offset"] = str(offset)
        if limit is not None:
            params["limit"] = str(limit)
        where = f"folders/{quote(id_, safe='')}" if id_ else "folders"
        most = FLAT_BYTES if flat else ANSWER_BYTES
        found, response = self._json("GET", where, params=params, about=about, most=most)
        files, folders = found.get("files", []), found.get("subfolders", [])
        if not isinstance(files, list) or not isinstance(folders, list):
            raise TransientError(f"{about or 'the root'}: the service gives no listing", path=about)
        return OrangePage(
            itself=_understood(lambda: items.folder(found), about),
            files=tuple(files),
            folders=tuple(folders),
            asked_ns=errors.asked_ns(response),
        )

    def file(self, id_: str, about: str = "") -> File:
        """A file, with a URL of its content that is valid for a short while."""
        found, response = self._json("GET", f"files/{quote(id_, safe='')}", about=about)
        return _understood(lambda: items.file(found, errors.asked_ns(response)), about)

    def content(self, url: str, *, start: int = 0, about: str = "") -> requests.Response:
        """A file's bytes, from the address that was told, to be read by `pieces`; maybe from `start` on.

        The bearer goes to the account's own hosts only.
        """
        if not (same_origin(url, self._content) or same_origin(url, self._api)):
            raise PermanentError(
                f"{about or 'a file'}: the service names another host than its own for the content",
                hint="check the account's content_url",
                path=about,
            )
        headers = {"Accept": "*/*"}
        if start:
            headers["Range"] = f"bytes={start}-"
        return self.session.send(
            OrangeRequest(method="GET", url=url, headers=headers, about=about), stream=True
        )

    def free(self) -> int | None:
        """Bytes that can still be written; None where the service does not say."""
        found, _ = self._json("GET", "freespace")
        room = found.get("freespace")
        return room if isinstance(room, int) and not isinstance(room, bool) and room >= 0 else None

    # -- changing ----------------------------------------------------------------

    def make(self, name: str, parent: str, about: str = "") -> Folder | None:
        """Make a folder; None where the response does not describe it."""
        answer = self._answer("POST", "folders", json={"name": name, "parentFolderId": parent}, about=about)
        return _told(answer)

    def rename(self, id_: str, name: str, *, folder: bool, about: str = "") -> Folder | None:
        """Rename an item; its new id and name, None where the response has none."""
        return self._altered(id_, {"name": name}, folder=folder, about=about)

    def move(self, id_: str, parent: str, *, folder: bool, about: str = "") -> Folder | None:
        """Move an item into another folder; its new id and name, None where the response has none."""
        return self._altered(id_, {"parentFolderId": parent}, folder=folder, about=about)

    def copy(self, id_: str, parent: str, *, folder: bool, about: str = "") -> Folder | None:
        """Copy an item into another folder; the copy's id and name, None where the response has none."""
        return self._altered(id_, {"parentFolderId": parent, "clone": True}, folder=folder, about=about)

    def delete(self, id_: str, *, folder: bool, about: str = "") -> None:
        """Delete an item for good, a folder with all that is in it."""
        self._answer("DELETE", f"{_kind(folder)}/{quote(id_, safe='')}", about=about)

    def upload(self, parent: str, name: str, content: Body, about: str = "") -> str | None:
        """The new file's id, None if the response has none. `parent`: an id, "" for the root.

        `name` is plain ASCII; the content's length must be known.
        """
        description = {"name": name, "size": str(content.length or 0)}  # the service wants the size as text
        if parent:
            description["folder"] = parent
        call = OrangeRequest(
            method="POST",
            url=f"{self._content}/files/content",
            body=multipart("file", name, content, before=json.dumps(description)),
            params=self._flags,
            about=about,
        )
        found = _object(self.session.send(call))
        id_ = found.get("fileId") if found is not None else None
        return id_ if isinstance(id_, str) and id_ else None

    # -- how ---------------------------------------------------------------------

    def _altered(self, id_: str, change: object, *, folder: bool, about: str) -> Folder | None:
        where = f"{_kind(folder)}/{quote(id_, safe='')}"
        return _told(self._answer("POST", where, json=change, about=about))

    def _json(
        self,
        method: str,
        where: str,
        *,
        params: Mapping[str, str] | None = None,
        about: str = "",
        most: int = ANSWER_BYTES,
    ) -> tuple[dict[str, object], requests.Response]:
        response = self._answer(method, where, params=params, about=about, most=most)
        found = _object(response, most=_VALUES * most)
        if found is None:
            raise TransientError(f"{about or 'the service'}: an answer that makes no sense", path=about)
        return found, response

    def _answer(
        self,
        method: str,
        where: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        about: str = "",
        most: int = ANSWER_BYTES,
    ) -> requests.Response:
        asked = {**self._flags, **(params or {})}
        call = OrangeRequest(
            method=method, url=f"{self._api}/{where}", params=asked, json=json, about=about, max_bytes=most
        )
        return self.session.send(call)


def _kind(folder: bool) -> str:
    return "folders" if folder else "files"


def _object(response: requests.Response, *, most: int = _VALUES * ANSWER_BYTES) -> dict[str, object] | None:
    """None for what is no JSON object. Raises TooLarge."""
    try:
        found = loads(response.content, most=most)
    except ValueError:
        return None
    return {**found} if isinstance(found, dict) else None


def _told(response: requests.Response) -> Folder | None:
    """The item in the response to a write; None where there is none, some have no body at all."""
    try:
        return items.folder(_object(response))
    except Malformed:
        return None


def _understood(read: Callable[[], ValueT], about: str) -> ValueT:
    try:
        return read()
    except Malformed as error:
        raise TransientError(
            f"{about or 'the service'}: an answer that makes no sense ({error})", path=about
        ) from None
