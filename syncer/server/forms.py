"""HTML form parser: urlencoded fields, and multipart bodies whose files are spooled on arrival (RFC 7578).

Starlette's own parser is not used, because it lacks limits that this server needs (on the sum of all fields,
on the headers of a part, on bodies that end too early), and because it decodes file names that are not UTF-8
with loss. Names of files are UTF-8, percent-encoded where a browser has to, or `filename*` (RFC 5987).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from syncer.server.errors import HttpError
from syncer.server.request_body import MAX_FILE, UploadSpool, gathered, whole

_MAX_FORM = 1 << 20
_MAX_FIELDS = 10_000
_MAX_HEAD = 16 << 10  # bytes of one part's headers
_MAX_FILES = 100
_EXTENDED = re.compile(rb"filename\*\s*=\s*utf-8'[^']*'([^;\s]*)", re.IGNORECASE)


@dataclass(slots=True)
class UploadedFile:
    """One uploaded file: the name of its part, the file's own name, its content."""

    part: str
    filename: str
    content: UploadSpool


@dataclass(slots=True)
class Form:
    """All fields in order, and all files. A context manager: closing it deletes the files."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[UploadedFile] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for found, value in self.fields if found == name]

    def one(self, name: str) -> str:
        """The value of a field that is required once. Raises HttpError 400."""
        values = self.all(name)
        if len(values) != 1 or not values[0]:
            raise HttpError(
                400, f"The field {name!r} is required once.", fields={name: ["This is required."]}
            )
        return values[0]

    def close(self) -> None:
        """Delete the files' contents."""
        for file in self.files:
            file.content.close()

    def __enter__(self) -> Form:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def form(request: Request, spools: Path, *, most: int = MAX_FILE) -> Form:
    """Parse a body of either kind. `spools`: the directory of files; `most`: bytes of a body with files.

    Raises HttpError.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        if kind not in (b"application/x-www-form-urlencoded", b""):
            raise HttpError(415, "The body must be a form.")
        return Form(fields=urlencoded_fields(await whole(request, _MAX_FORM)))
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise HttpError(400, "The multipart body names no boundary.")
    parts = MultipartReader(boundary, spools)
    try:
        await gathered(request, most, parts.feed)
        return parts.finish()
    except MultipartParseError as error:
        parts.form.close()
        raise HttpError(400, f"The multipart body cannot be read: {error}") from None
    except BaseException:
        parts.form.close()
        raise


def urlencoded_fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded body in order. Raises HttpError 400."""
    text = body.decode("ascii", "surrogateescape")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise HttpError(400, f"The form cannot be read: {error}") from None


class MultipartReader:
    """Incremental parser of a multipart body; the files are written to spools."""

    def __init__(self, boundary: bytes, spools: Path) -> None:
        self.form = Form()
        self._spools = spools
        self._name, self._value, self._head = bytearray(), bytearray(), 0
        self._headers: dict[bytes, bytes] = {}
        self._take: Callable[[bytes], None] = _ignore
        self._field = b""
        self._text = bytearray()
        self._room = _MAX_FORM
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": partial(self._header, self._name),
                "on_header_value": partial(self._header, self._value),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": lambda data, start, end: self._take(data[start:end]),
                "on_part_end": self._part_end,
                "on_end": partial(setattr, self, "_complete", True),
            },
        )

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Raises MultipartParseError, HttpError, LocalError."""
        self._parser.write(data)

    def finish(self) -> Form:
        """The form. Raises HttpError 400 if its last boundary is missing: the body was cut off."""
        self._parser.finalize()
        if not self._complete:
            raise HttpError(400, "The multipart body ends too early.")
        return self.form

    def _begin(self) -> None:
        if len(self.form.files) >= _MAX_FILES or len(self.form.fields) >= _MAX_FIELDS:
            raise HttpError(413, "The form has too many parts.")
        self._headers, self._head = {}, 0

    def _header(self, buffer: bytearray, data: bytes, start: int, end: int) -> None:
        """Append a piece of a header's name or value."""
        self._head += end - start
        if self._head > _MAX_HEAD:
            raise HttpError(400, "The headers of a part are too long.")
        buffer += data[start:end]

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"")
        filename = _filename(self._headers.get(b"content-disposition", b""), options)
        if filename is not None:
            content = UploadSpool(self._spools)
            part, name = os.fsdecode(self._field), os.fsdecode(filename)
            self.form.files.append(UploadedFile(part=part, filename=name, content=content))
            self._take = content.write
        else:
            self._text = bytearray()
            self._take = self._field_data

    def _field_data(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise HttpError(413, "The fields of the form are too large.")
        self._text += data

    def _part_end(self) -> None:
        if self._take == self._field_data:
            self.form.fields.append((os.fsdecode(self._field), os.fsdecode(bytes(self._text))))
        self._take = _ignore


def _ignore(data: bytes) -> None:
    """Takes the bytes between parts."""


def _filename(header: bytes, options: dict[bytes, bytes]) -> bytes | None:
    """The file name of a part, or None: HTML's escapes are undone, and `filename*` (RFC 5987) is read."""
    name = options.get(b"filename")
    if name is None:
        extended = _EXTENDED.search(header)
        return unquote_to_bytes(extended[1]) if extended else None
    for escape, char in ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n")):
        name = name.replace(escape, char)
    return name
