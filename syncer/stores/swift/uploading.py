"""The content of one file on its way into segments: read once in order, cut, and sent by several threads.

A segment that is there already is not sent again. Where it may be so old that `gc` has its eye on it, the
same bytes go up under another name. Ours are apart from those of other tools, which list, and may delete,
what begins with an object's name; a dynamic large object would even take them for its own.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from email.utils import parsedate_to_datetime
from hashlib import blake2b

from blake3 import blake3

from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs, TransientError
from syncer.stores.retry_policy import Attempts
from syncer.stores.swift import versions
from syncer.stores.swift.connection import PIECE, Call
from syncer.stores.swift.exchange import Body
from syncer.stores.swift.ground import Ground
from syncer.stores.swift.manifest import Inline, Part, Segment
from syncer.stores.swift.names import quoted
from syncer.stores.swift.objects import NEWEST, OVERTAKEN
from syncer.stores.swift.planning import Enclose, Step

SUFFIX = "_segments"
OURS = ".syncer/"  # what the names of our segments begin with: what other tools list and delete does not
GRACE_SECONDS = 7 * 24 * 3600.0  # for which a segment that no manifest names is left alone
_FLYING = 64 << 20  # bytes of segments on their way at once, where there is more than one
_IN_MEMORY = 32 << 20  # bytes of one segment; longer ones wait in a temporary file


def segment_name(name: str, digest: bytes, *, longest: int) -> str:
    """The object for a segment of the object `name`: by what it holds. `longest`: bytes of a name."""
    end = f"/{digest.hex()}"
    room = longest - len(OURS) - len(end) - 9  # for another one with the same content
    if len(name.encode()) > room:
        name = blake2b(name.encode(), digest_size=16).hexdigest()
    return OURS + name + end


class Uploading:
    """One upload. `sent` counts the bytes of segments that crossed."""

    def __init__(self, ground: Ground, path: RelPath) -> None:
        self._ground = ground
        self._path = path
        self._container = ground.place.container + SUFFIX
        self._lock = threading.Lock()
        self._made: dict[bytes, Future[Segment]] = {}
        self._flying: deque[tuple[Future[Segment], int]] = deque()
        self.sent = 0

    def parts(self, steps: Sequence[Step], chunks: Iterator[bytes]) -> list[Part]:
        """What the steps become, once all of it is in the cluster. Raises what reading and sending do."""
        stream = _Stream(chunks, self._path)
        parts: list[Part | Future[Segment]] = []
        try:
            for step in steps:
                if isinstance(step, Segment):
                    stream.skip(step.length)
                    parts.append(step)
                elif isinstance(step, Enclose):
                    parts.append(Inline(data=b"".join(stream.take(step.size))))
                else:
                    parts.append(self._begun(_Held.of(stream.take(step.size))))
            stream.end()
            return [part.result() if isinstance(part, Future) else part for part in parts]
        finally:
            while self._flying:
                self._flying.popleft()[0].exception()  # nothing goes on behind the back of who gave up

    def _begun(self, held: _Held) -> Future[Segment]:
        found = self._made.get(held.digest)
        if found is not None:
            held.close()
            return found
        while self._flying and sum(size for _, size in self._flying) + held.size > _FLYING:
            self._flying.popleft()[0].result()
        future = self._ground.crew.pool.submit(self._stored, held)
        self._flying.append((future, held.size))
        self._made[held.digest] = future
        return future

    # -- by one of the threads -------------------------------------------------------

    def _stored(self, held: _Held) -> Segment:
        failures = 0
        with held, Attempts().shared() as tries:
            while True:
                try:
                    return self._one(held)
                except TransientError as error:
                    failures += 1
                    tries.wait(error, self._ground.clock.sleep, failures)

    def _one(self, held: _Held) -> Segment:
        place, limits = self._ground.place, self._ground.offered.limits
        name = segment_name(place.name(self._path), held.digest, longest=limits.max_name)
        there = self._asked(name)
        if there is not None:
            if held.is_in(there) and not is_old(there):
                return self._segment(name, held)
            name = f"{name}-{secrets.token_hex(4)}"
        self._put(name, held)
        return self._segment(name, held)

    def _asked(self, name: str) -> Mapping[str, str] | None:
        call = Call(method="HEAD", path=self._url(name), headers=NEWEST, accept=(404,), about=self._path)
        reply = self._ground.objects.connection.ask(call)
        return None if reply.status == 404 else reply.headers

    def _put(self, name: str, held: _Held) -> None:
        call = Call(
            method="PUT",
            path=self._url(name),
            headers={"ETag": held.etag, "Content-Type": "application/octet-stream"},
            body=Body(open=held.chunks, length=held.size),
            about=self._path,
        )
        reply = self._ground.objects.connection.ask(call)
        if reply.status == OVERTAKEN or versions.bare(reply.headers.get("Etag", "")) != held.etag:
            raise TransientError(f"{printable(self._path)}: a segment of it was not stored", path=self._path)
        with self._lock:
            self.sent += held.size

    def _url(self, name: str) -> str:
        return quoted(f"{self._container}/{name}")

    def _segment(self, name: str, held: _Held) -> Segment:
        return Segment.whole(f"{self._container}/{name}", etag=held.etag, size=held.size)


def is_old(headers: Mapping[str, str]) -> bool:
    """Whether an object was written long ago, by the cluster's own clock; unknown counts as long."""
    try:
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        ticks = versions.by_timestamp(headers.get("X-Timestamp", ""))
    except (ValueError, TypeError, OverflowError, IndexError):
        return True
    return now - ticks / versions.TICKS > GRACE_SECONDS / 2


class _Held:
    """The bytes of one segment, and their hashes."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake3 = blake3()
        self.size = 0

    @classmethod
    def of(cls, pieces: Iterator[bytes]) -> _Held:
        """All of the pieces. What they raise comes out unchanged."""
        held = cls()
        try:
            for piece in pieces:
                held._add(piece)
        except BaseException:
            held.close()
            raise
        return held

    def _add(self, piece: bytes) -> None:
        self._file.write(piece)
        self._md5.update(piece)
        self._blake3.update(piece)
        self.size += len(piece)

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    @property
    def digest(self) -> bytes:
        return self._blake3.digest()

    def chunks(self) -> Iterator[bytes]:
        """From the start each time."""
        self._file.seek(0)
        return iter(lambda: self._file.read(PIECE), b"")

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether an object with these headers holds the same."""
        same = versions.bare(headers.get("Etag", "")) == self.etag
        return same and headers.get("Content-Length") == str(self.size)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream:
    """Chunks of any size, taken by measure."""

    def __init__(self, chunks: Iterator[bytes], path: RelPath) -> None:
        self._chunks = chunks
        self._path = path
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes. Raises ChangedUnderUs where there are less."""
        while size:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise self._changed()
                self._rest = memoryview(chunk)
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield bytes(piece)

    def skip(self, size: int) -> None:
        """Lets the next `size` bytes go by."""
        for _ in self.take(size):
            pass

    def end(self) -> None:
        """Nothing may follow; the source says at its end whether all was well."""
        if self._rest or any(self._chunks):
            raise self._changed()

    def _changed(self) -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)}: another length than planned on", path=self._path)
