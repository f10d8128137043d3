"""Forms: urlencoded fields, and multipart bodies whose files are put aside as they come (RFC 7578).

Names of files come as UTF-8, percent-encoded where a browser has to, or as `filename*` (RFC 5987).
Sizes and counts are bounded here; what the fields mean is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from syncer.server.errors import Refused
from syncer.server.request_body import MAX_FILE, UploadSpool, gathered, whole

_MAX_FORM = 1 << 20
_MAX_FIELDS = 10_000
_MAX_HEAD = 16 << 10  # bytes of one part's headers
_MAX_FILES = 100
_EXTENDED = re.compile(rb"filename\*\s*=\s*utf-8'[^']*'([^;\s]*)", re.IGNORECASE)


@dataclass(slots=True)
class File:
    """One uploaded file: the name of its part, the name it gives itself, its content."""

    part: str
    filename: str
    content: UploadSpool


@dataclass(slots=True)
class Form:
    """All fields in order, and all files. Close it, or use it as a context."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for found, value in self.fields if found == name]

    def one(self, name: str) -> str:
        """The only value. Raises Refused 400."""
        values = self.all(name)
        if len(values) != 1 or not values[0]:
            raise Refused(400, f"The field {name!r} is required once.", fields={name: ["This is required."]})
        return values[0]

    def close(self) -> None:
        """The files' contents are gone."""
        for file in self.files:
            file.content.close()

    def __enter__(self) -> Form:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def form(request: Request, spools: Path, *, most: int = MAX_FILE) -> Form:
    """The body as a form, whichever of both kinds it is. `most`: bytes of it with files. Raises Refused."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        return await _multipart(request, options.get(b"boundary", b""), spools, most)
    if kind not in (b"application/x-www-form-urlencoded", b""):
        raise Refused(415, "The body must be a form.")
    return Form(fields=_pairs(await whole(request, _MAX_FORM)))


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii", "surrogateescape")
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Refused(400, f"The form cannot be read: {error}") from None


async def _multipart(request: Request, boundary: bytes, spools: Path, most: int) -> Form:
    if not 1 <= len(boundary) <= 200:
        raise Refused(400, "The multipart body names no boundary.")
    parts = _Parts(boundary, spools)
    try:
        await gathered(request, most, parts.feed)
        return parts.ended()
    except MultipartParseError as error:
        parts.form.close()
        raise Refused(400, f"The multipart body cannot be read: {error}") from None
    except BaseException:
        parts.form.close()
        raise


class _Parts:
    """Takes a multipart body apart as it comes."""

    def __init__(self, boundary: bytes, spools: Path) -> None:
        self.form = Form()
        self._spools = spools
        self._name, self._value, self._head = bytearray(), bytearray(), 0
        self._headers: dict[bytes, bytes] = {}
        self._take: Callable[[bytes], None] = self._nothing
        self._field = b""
        self._text = bytearray()
        self._room = _MAX_FORM
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Raises MultipartParseError, Refused, LocalError."""
        self._parser.write(data)

    def ended(self) -> Form:
        """The form, if its last boundary was seen. Raises Refused 400: of one cut off nothing counts."""
        self._parser.finalize()
        if not self._complete:
            raise Refused(400, "The multipart body ends too early.")
        return self.form

    def _begin(self) -> None:
        if len(self.form.files) >= _MAX_FILES or len(self.form.fields) >= _MAX_FIELDS:
            raise Refused(413, "The form has too many parts.")
        self._headers, self._head = {}, 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += self._counted(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, data: bytes) -> bytes:
        self._head += len(data)
        if self._head > _MAX_HEAD:
            raise Refused(400, "The headers of a part are too long.")
        return data

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"")
        given = _filename(self._headers.get(b"content-disposition", b""), options)
        if given is not None:
            content = UploadSpool(self._spools)
            name = os.fsdecode(given)
            self.form.files.append(File(part=os.fsdecode(self._field), filename=name, content=content))
            self._take = content.write
        else:
            self._text = bytearray()
            self._take = self._field_data

    def _field_data(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise Refused(413, "The fields of the form are too large.")
        self._text += data

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._take(data[start:end])

    def _part_end(self) -> None:
        if self._take == self._field_data:
            self.form.fields.append((os.fsdecode(self._field), os.fsdecode(bytes(self._text))))
        self._take = self._nothing

    def _end(self) -> None:
        self._complete = True

    def _nothing(self, data: bytes) -> None:
        """What stands outside of parts says nothing."""


def _filename(header: bytes, options: dict[bytes, bytes]) -> bytes | None:
    """HTML's escapes of a quote and of line ends undone; or RFC 5987's form, which older clients send."""
    name = options.get(b"filename")
    if name is None:
        extended = _EXTENDED.search(header)
        return unquote_to_bytes(extended[1]) if extended else None
    for escape, char in ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n")):
        name = name.replace(escape, char)
    return name
