"""File contents in a stream of frames: a head, data, an end for each, one after the other.

The client reads the answer of `fetch` with it and the server the body of `put`. Checked here: the order of
the frames, the head's fields, the digest's length. The caller decides what to ask for and where the bytes go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from syncer.engine.model import Entry, RelPath
from syncer.errors import PermanentError, SyncerError, TransientError
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import (
    entry_in,
    entry_out,
    error_in,
    file_entry_in,
    malformed,
    number,
    octets,
    optional,
    path_in,
    take,
)
from syncer.wire.validation import checked_entry

WHOLE, DELTA, ASK = "whole", "delta", "ask"
"""The encodings of a content. ASK: the server has no block index of `have` and asks for a signature."""
_DIGEST_SIZE = 32  # bytes of BLAKE3-256


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchItem:
    """A file of a `fetch`, from byte `start` on; `have` is the digest of a version that the client holds."""

    path: RelPath
    entry: Entry
    start: int = 0
    have: bytes | None = None

    def to_json(self) -> Json:
        """The element of `wanted` in the request."""
        have = self.have.hex() if self.have is not None else None
        return {"path": self.path, "entry": entry_out(self.entry), "start": self.start, "have": have}

    @classmethod
    def from_json(cls, value: Json) -> FetchItem:
        """Raises PermanentError."""
        fields = take(value, dict, "what is wanted")
        have = optional(fields.get("have"), lambda v: octets(v, "a digest", most=_DIGEST_SIZE))
        return cls(
            path=path_in(fields.get("path")),
            entry=file_entry_in(fields.get("entry")),
            start=number(fields.get("start", 0), "a place in a file"),
            have=have or None,
        )


class ContentReader:
    """The contents of one stream in the order of their indexes. For one thread.

    An error of the stream is raised again by every later call: after it nothing in the stream can be trusted.
    """

    def __init__(
        self,
        frames: Iterator[Frame],
        *,
        encodings: Sequence[str] = (WHOLE, DELTA, ASK),
        sender_error: Callable[[Json], SyncerError] = error_in,
    ) -> None:
        """`sender_error` makes the exception from the error that the sender put into the end of a content."""
        self._frames = frames
        self._encodings = encodings
        self._sender_error = sender_error
        self.inside = -1  # the index of the content that is being read; -1: none
        self._last_index = -1
        self._failure: SyncerError | None = None

    def next(self) -> Content | None:
        """Skip the rest of the current content; return the next one, or None at the end of the stream.

        Raises PermanentError for frames out of order, TransientError where the stream breaks off.
        """
        while self.inside >= 0:
            self.read()
        frame = self._frame()
        if frame is None:
            return None
        if not isinstance(frame, Head):
            raise self.fail(malformed("a head"))
        try:
            index = number(frame.fields.get("index"), "an index")
            start = number(frame.fields.get("start", 0), "a place in a file")
        except PermanentError as error:
            raise self.fail(error) from None
        encoding = frame.fields.get("encoding")
        # A delta makes the whole content, so it cannot begin in the middle of it.
        valid = encoding in self._encodings and not (start and encoding != WHOLE)
        if not valid or index <= self._last_index:
            raise self.fail(malformed("the head of a content"))
        # The reader does not refer to the content: the cycle would keep buffers until the collector runs.
        self._last_index = self.inside = index
        return Content(self, index, str(encoding), start, self._sender_error)

    def read(self) -> Data | End:
        """The next frame of the content that is being read. Raises PermanentError for any other."""
        frame = self._frame()
        if isinstance(frame, End):
            self.inside = -1
        elif not isinstance(frame, Data):
            raise self.fail(malformed("the end of a content"))
        return frame

    def expect_end(self) -> None:
        """Raise PermanentError if anything follows the current content.

        A connection that breaks off here has brought everything, so a TransientError is ignored.
        """
        try:
            if self._frame() is not None:
                raise self.fail(malformed("the end of the stream"))
        except TransientError:
            return

    def _frame(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        if self._failure is not None:
            raise self._failure
        try:
            return next(self._frames, None)
        except SyncerError as error:
            self._failure = error
            raise

    def fail(self, error: SyncerError) -> SyncerError:
        """Note the error for every later call; returned so that the caller raises it."""
        self._failure = error
        return error


@dataclass(slots=True)
class Content:
    """One content: its head, its data (read once), and after that the fields of its end."""

    reader: ContentReader
    index: int
    encoding: str
    start: int
    sender_error: Callable[[Json], SyncerError]
    ended: bool = False
    end: dict[str, Json] = field(default_factory=dict)

    def data(self) -> Iterator[bytes]:
        """Yield the bytes. Raises what went wrong at the sender, and what `ContentReader.next` raises."""
        while not self.ended:
            if self.reader.inside != self.index:
                raise TransientError("another content was asked for before this one was read")
            if (payload := self._read()) is not None:
                yield payload
        if "error" in self.end:
            raise self.sender_error(self.end["error"])

    def skip(self) -> None:
        """Read to the end of the content and ignore its data and its error."""
        while self.reader.inside == self.index:
            self._read()

    def _read(self) -> bytes | None:
        """The next bytes; None at the end, which is noted."""
        frame = self.reader.read()
        if isinstance(frame, Data):
            return frame.payload
        self.ended, self.end = True, frame.fields
        return None

    @property
    def digest(self) -> bytes:
        """BLAKE3-256 of the whole content, once it ended. Raises PermanentError."""
        digest = octets(self.end.get("digest"), "a digest")
        if len(digest) != _DIGEST_SIZE:
            raise malformed("a digest")
        return digest

    @property
    def entry(self) -> Entry:
        """The file's entry as the server read it (answers only), once it ended. Raises PermanentError."""
        return checked_entry(entry_in(self.end.get("entry")))


def unframed(frames: Iterator[Frame]) -> Iterator[bytes]:
    """Yield the data up to the next end: of a stream that holds a signature, after its head.

    Raises the sender's error, and PermanentError for another frame or a missing end.
    """
    for frame in frames:
        if isinstance(frame, Data):
            yield frame.payload
        elif isinstance(frame, End):
            if "error" in frame.fields:
                raise error_in(frame.fields["error"])
            return
        else:
            break
    raise malformed("the end of a content")
