"""XML of the S3 API: answers parsed as a stream within bounds, and the documents that requests carry.

Answers come from another machine. A DOCTYPE is refused, so no entity can be defined; depth, number and
length of fields are bounded. Names in a listing are percent-encoded (`encoding-type=url`), a blank as `+`
on some services.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from syncer.errors import TransientError

_DEPTH = 12
_TEXT = 64 << 10  # characters of one field; the longest, a continuation token, has a few KiB
_FIELDS = 200  # of one row


class MalformedXml(TransientError):
    """The answer is not the XML that the S3 API describes: an interrupted answer, or a proxy's page."""


@dataclass(slots=True)
class XmlDocument:
    """A parsed answer. `fields`: texts by path below the root (`Owner/ID`); `rows`: repeated elements."""

    root: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, str]]:
        """The rows of one element name, in their order."""
        return [row for kind, row in self.rows if kind == name]


class _Parser:
    """expat handlers: the path to the current element, and the text in it."""

    def __init__(self, repeated: Collection[str], most: int) -> None:
        self.document = XmlDocument()
        self._repeated, self._most = frozenset(repeated), most
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._row: dict[str, str] | None = None
        self._row_depth = 0
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._begun = False

    def feed(self, piece: bytes) -> None:
        # AWS keeps a slow CompleteMultipartUpload alive with blanks in front of the XML declaration.
        piece = piece if self._begun else piece.lstrip()
        self._begun = self._begun or bool(piece)
        self._expat.Parse(piece, False)

    def close(self) -> XmlDocument:
        self._expat.Parse(b"", True)
        return self.document

    def _doctype(self, *_: object) -> None:
        raise MalformedXml("the S3 answer has a DOCTYPE")

    def _start(self, name: str, _attributes: object) -> None:
        name = name.rpartition(":")[2]
        self._path.append(name)
        self._text.clear()
        self._length = 0
        if len(self._path) > _DEPTH:
            raise MalformedXml("the S3 answer is nested too deeply")
        if len(self._path) == 1:
            self.document.root = name
        elif len(self._path) == 2 and name in self._repeated:
            if len(self.document.rows) >= self._most:
                raise MalformedXml(f"the S3 answer has more than {self._most} rows")
            self._row, self._row_depth = {}, 2

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > _TEXT:
            raise MalformedXml("the S3 answer has a field without end")
        self._text.append(text)

    def _end(self, _name: str) -> None:
        depth = len(self._path)
        if self._row is not None and depth == self._row_depth:
            self.document.rows.append((self._path[-1], self._row))
            self._row = None
        else:
            target, start = (
                (self._row, self._row_depth) if self._row is not None else (self.document.fields, 1)
            )
            if len(target) >= _FIELDS:
                raise MalformedXml("the S3 answer has a row without end")
            target.setdefault("/".join(self._path[start:]), "".join(self._text))
        self._path.pop()
        self._text.clear()
        self._length = 0


def parse(pieces: Iterable[bytes], repeated: Collection[str] = (), *, most: int = 10_000) -> XmlDocument:
    """An answer as it comes in. `repeated`: elements below the root that are rows, `most` of them.

    Raises MalformedXml, and what the pieces raise.
    """
    parser = _Parser(repeated, most)
    try:
        for piece in pieces:
            parser.feed(piece)
        return parser.close()
    except (expat.ExpatError, UnicodeError) as error:
        raise MalformedXml("the S3 answer is not XML") from error


def complete(parts: Iterable[tuple[int, str]]) -> bytes:
    """The body of CompleteMultipartUpload: part numbers and their ETags (without quotes), ascending."""
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag></Part>"
        for number, etag in parts
    )
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


def delete(keys: Sequence[tuple[str, str]]) -> bytes:
    """The body of DeleteObjects: at most 1,000 keys with their version ids ("" for none)."""
    rows = "".join(
        f"<Object><Key>{_escaped(key)}</Key>"
        + (f"<VersionId>{escape(version)}</VersionId>" if version else "")
        + "</Object>"
        for key, version in keys
    )
    return f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode()


def _escaped(key: str) -> str:
    """LineSpeed ends as references: a parser would normalise them otherwise (XML 1.0, section 2.11)."""
    return escape(key, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def representable(key: str) -> bool:
    """Whether XML 1.0 can hold a key: not with control characters, nor with U+FFFE and U+FFFF."""
    return all(
        c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff") for c in key
    )


def location(region: str) -> bytes:
    """The body of CreateBucket for a region other than us-east-1."""
    return (
        f"<CreateBucketConfiguration><LocationConstraint>{escape(region)}</LocationConstraint>"
        "</CreateBucketConfiguration>"
    ).encode()
