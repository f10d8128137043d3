"""Files and directories as SmartFile's API describes them, and their entries.

The service has no version tokens: a version is made of size, time and our attributes. Its times are whole
seconds, so the version of a name that was written just before it was looked at proves nothing yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from blake3 import blake3

from syncer.engine.model import Entry, Kind
from syncer.stores.http.json import Malformed
from syncer.stores.http.json import size as size_of
from syncer.stores.smartfile import attributes as marks
from syncer.stores.smartfile import times
from syncer.stores.smartfile.times import Span

MARGIN_NS = 2 * times.SECOND  # a write in a later second than the one shown, by a clock of whole seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """`time` as the service shows it, and what that may mean (None for what is no time).

    `asked_ns`: the service's own clock when it was asked, at the earliest; None if it does not say.
    """

    name: str
    directory: bool
    size: int
    time: str
    span: Span | None
    attributes: Mapping[str, str]
    asked_ns: int | None

    @property
    def version(self) -> bytes:
        """Opaque, 16 bytes; equal means the same content as far as the service can tell."""
        payload = (self.attributes.get(name, "") for name in (marks.ATTRIBUTE, marks.MODIFIED))
        return blake2b(
            "\0".join((str(self.size), self.time, *payload)).encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()

    @property
    def settled(self) -> bool:
        """Whether any later write shows another time than this one."""
        if self.span is None or self.asked_ns is None:
            return False
        return self.span.latest_ns + MARGIN_NS <= self.asked_ns

    @property
    def mark(self) -> marks.Mark | None:
        """Our mark, if it was written for this very content."""
        found = marks.read(self.attributes)
        return found if found is not None and (found.size, found.time) == (self.size, self.time) else None

    def entry(self) -> Entry:
        """The engine's entry."""
        if self.directory:
            return DIRECTORY
        mark = self.mark
        link = mark.target if mark is not None else None
        if link is not None:
            return Entry(
                kind=Kind.SYMLINK,
                size=self.size,
                version=self.version,
                mtime_ns=self.mtime_ns,
                digest=blake3(marks.target_bytes(link)).digest(),
                target=link,
                trusted=self.settled,
            )
        old = marks.read(self.attributes)
        return Entry(
            kind=Kind.FILE,
            size=self.size,
            version=self.version,
            mtime_ns=self.mtime_ns,
            executable=old.executable if old is not None else None,
            digest=mark.digest if mark is not None else None,
            trusted=self.settled,
        )

    @property
    def mtime_ns(self) -> int | None:
        """Ours while it speaks of this content, then what another program noted, then the service's time."""
        mark = self.mark
        if mark is not None and mark.mtime_ns is not None:
            return mark.mtime_ns
        noted = self.attributes.get(marks.MODIFIED, "")
        old = marks.read(self.attributes)
        if noted and (old is None or old.attributes().get(marks.MODIFIED) != noted):
            return times.from_modified(noted)
        return None if self.span is None else self.span.earliest_ns


DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")


def read(document: object, asked_ns: int | None) -> Info:
    """From the API's JSON object. Raises Malformed."""
    if not isinstance(document, dict):
        raise Malformed("not an object")
    directory = document.get("isdir") is True
    name = document.get("name")
    if not isinstance(name, str):
        if not (directory and name is None):  # the root may have none
            raise Malformed("no name")
        name = ""
    if not directory and document.get("isfile") is not True:
        raise Malformed("neither a file nor a directory", name)
    time, attributes = document.get("time"), document.get("attributes")
    try:
        span = times.shown(time) if isinstance(time, str) else None
    except (ValueError, OverflowError):
        span = None
    if not isinstance(attributes, dict):
        attributes = {}
    return Info(
        name=name,
        directory=directory,
        size=0 if directory else size_of(document.get("size"), name),
        time=time if isinstance(time, str) else "",
        span=span,
        attributes={k: v for k, v in attributes.items() if isinstance(k, str) and isinstance(v, str)},
        asked_ns=asked_ns,
    )
