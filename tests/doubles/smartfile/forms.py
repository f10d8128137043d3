"""Bodies of requests: urlencoded or multipart (RFC 7578), whole or broken off.

A name in `filename="…"` is read as the service's framework (Django) does: UTF-8, backslash escapes
undone, percent escapes left alone, and only what follows the last slash. `filename*=` (RFC 5987) is
decoded and goes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from starlette.requests import ClientDisconnect, Request

from tests.doubles.smartfile.refusals import detail

_PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file part: its field, its name and what arrived of it."""

    part: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Fields in the order they came (names repeat), and files.

    `whole`: the client did not hang up before the end.
    """

    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    whole: bool = True

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]

    def one(self, name: str) -> str | None:
        """Its last value."""
        return next(iter(self.all(name)[::-1]), None)

    def file(self, part: str) -> File | None:
        """The file part of that name."""
        return next((f for f in self.files if f.part == part), None)


async def body(request: Request) -> tuple[bytes, bool]:
    """What arrived, and whether it is all."""
    pieces: list[bytes] = []
    try:
        async for piece in request.stream():
            pieces += [piece]
    except ClientDisconnect:
        return b"".join(pieces), False
    return b"".join(pieces), True


async def form(request: Request) -> Form:
    """The body read as a form; 400 if it is none."""
    raw, whole = await body(request)
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return _multipart(raw, dict(_parameters(kind)).get("boundary", ""), whole)
    fields = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    return Form(fields=tuple(fields), whole=whole)


def _multipart(raw: bytes, boundary: str, whole: bool) -> Form:
    if not boundary:
        raise detail(400, "Multipart form parse error - Invalid boundary in multipart: None")
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    _, *parts = (b"\r\n" + raw).split(delimiter)
    if whole and not (parts and parts[-1].startswith(b"--")):
        raise detail(400, "Multipart form parse error - the closing boundary is missing")
    fields: list[tuple[str, str]] = []
    files: list[File] = []
    for part in parts:
        head, blank, content = part.partition(b"\r\n\r\n")
        if part.startswith(b"--") or not blank:
            continue
        about = _disposition(head.decode("utf-8", "replace"))
        name = about.get("name", "")
        if "filename" in about:
            files.append(File(part=name, name=about["filename"].rpartition("/")[2], content=content))
        else:
            fields.append((name, content.decode("utf-8", "replace")))
    return Form(fields=tuple(fields), files=tuple(files), whole=whole)


def _disposition(head: str) -> dict[str, str]:
    for line in head.split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            found = dict(_parameters(value))
            extended = found.pop("filename*", None)
            if extended is not None:
                charset, _, text = extended.split("'", 2)
                found["filename"] = unquote(text, encoding=charset)
            return found
    return {}


def _parameters(value: str) -> list[tuple[str, str]]:
    return [
        (name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else plain)
        for name, quoted, plain in _PARAMETER.findall(value)
    ]
