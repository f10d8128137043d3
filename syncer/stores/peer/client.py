"""HTTP client of Syncer's own protocol: sends a call, decodes the response, turns statuses into errors.

HTTP, authentication, timeouts and throttling are those of `stores.http.client`; `docs/extension.md` lists the
calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from syncer.engine.interfaces import Clock
from syncer.errors import (
    LocalError,
    PermanentError,
    StoreError,
    SyncerError,
    TransientError,
)
from syncer.stores.retry_policy import Attempts
from syncer.wire import FRAMES, VERSION, compression, versions
from syncer.wire.bounded_json import Json, dumps, loads
from syncer.wire.frames import Frame, decode, encode
from syncer.wire.schema import error_in, malformed, take

if TYPE_CHECKING:
    import requests

    from syncer.stores.http.client import HttpSession


ResultT = TypeVar("ResultT")

# Seconds without a byte of the response: the server may be hashing a huge file. A dead connection is noticed
# earlier, by TCP keep-alives.
_SILENCE = 600.0
_WITH_BODY = (400, 403, 404, 409, 413, 500, 502, 503, 504)  # statuses whose body describes the error
_ERROR = 64 << 10  # bytes of an error response that are read
_LINE = 32 << 20  # bytes of one line: a directory of 250,000 names
_DOCUMENT = 16 << 20  # bytes of a response that is one object: a hundred thousand directories
_HEAD = 256 << 10  # bytes of a frame's head or end: a path and a message of the longest
_PIECE = 256 << 10
_TRAILER = (
    64  # bytes that may follow the last line or frame: the ends of zstd and of HTTP chunking are shorter
)


def parsed(text: bytes | bytearray) -> Json:
    """Parse JSON. Raises PermanentError if it is none, or if its values take too much memory."""
    try:
        return loads(text)
    except ValueError:
        raise malformed("JSON") from None


@dataclass(slots=True)
class PeerResponse:
    """A response that is being read. Closing it early closes the connection, which is otherwise reused."""

    response: requests.Response
    call: str
    url: str = ""
    received: int = field(default=0, init=False)  # bytes of the body so far, before decompression
    _body: Iterator[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> PeerResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._body = None  # the generator refers to this object: a cycle that only the collector would free

    def pieces(self) -> Iterator[bytes]:
        """Yield the decompressed body, once. Raises TransientError where it breaks off."""
        self._body = self._raw()
        if self.response.headers.get("Content-Encoding", "") == compression.NAME:
            return compression.decompress(self._body)
        return self._body

    def _raw(self) -> Iterator[bytes]:
        from syncer.stores.http.failures import reaching

        with reaching(self.url, request=self.call):
            for piece in self.response.raw.stream(_PIECE, decode_content=False):
                self.received += len(piece)
                yield piece

    def _finish(self) -> None:
        """Read what follows the protocol's own end, so that the connection can be reused."""
        remaining = _TRAILER
        try:
            for piece in self._body or ():
                remaining -= len(piece)
                if remaining < 0:
                    return self.close()
        except TransientError:
            pass  # the response was complete
        self._body = None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the body. Raises TransientError where it breaks off, PermanentError."""
        yield from decode(self.pieces(), largest=_HEAD)
        self._finish()

    def lines(self) -> Iterator[Json]:
        """Yield the values of the lines before the last one, `"end"`."""
        return map(parsed, self.texts())

    def texts(self) -> Iterator[bytearray]:
        """Yield the lines before the last one, unparsed. Raises TransientError where the body breaks off."""
        for line in _lines(self.pieces()):
            if line == b'"end"':
                return self._finish()
            yield line
        raise TransientError(f"{self.call}: the response broke off")

    def document(self) -> dict[str, Json]:
        """The body as one JSON object."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > _DOCUMENT:
                raise PermanentError(f"invalid response from the server: larger than {_DOCUMENT >> 20} MiB")
        self._finish()
        return take(parsed(body), dict, "a JSON object")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytearray]:
    """Split at line feeds; an empty line is a keep-alive. Raises PermanentError for one that is too long."""
    line = bytearray()
    for piece in pieces:
        head, *rest = piece.split(b"\n")
        line += head
        if len(line) > _LINE:
            raise PermanentError(f"invalid response from the server: a line of more than {_LINE >> 20} MiB")
        for part in rest:
            complete, line = line, bytearray(part)
            if complete:
                yield complete


class PeerClient:
    """Calls on one root: the folder `path` below the key's own root. Safe to share between threads."""

    def __init__(self, session: HttpSession, path: str, version: int = VERSION) -> None:
        self.clock: Clock = session.clock
        self.path = path.strip("/")
        self._session = session
        self._version = version

    @property
    def identity(self) -> str:
        """The URL of the root, without secrets."""
        return f"smartfile:{self._session.base_url}{self.path}"

    def request(
        self, call: str, payload: Json, *, compress: bool = False, accept_compressed: bool = False
    ) -> dict[str, Json]:
        """Make a call whose response is one object; see `open`."""
        with self.open(call, payload, compress=compress, accept_compressed=accept_compressed) as response:
            return response.document()

    def open(
        self,
        call: str,
        payload: Json | Callable[[], Iterable[Frame]],
        *,
        sent: Callable[[int], None] = lambda size: None,
        compress: bool = False,
        accept_compressed: bool = False,
    ) -> PeerResponse:
        """Make a call with one object, or with the frames that a function makes while they are sent.

        `sent` is called with the size of each piece of frames that goes out; `compress` the body with zstd;
        `accept_compressed`: the response may be compressed.

        Raises AuthError, NotFound (no such root), TransientError, PermanentError, NoCommonVersion (the server
        was replaced by one of another version), and what the frames raise.
        """
        from syncer.stores.http.bodies import Body

        if callable(payload):
            frames = payload

            def pieces() -> Iterator[bytes]:
                encoded = encode(frames())
                for piece in compression.compress(encoded, prompt=True) if compress else encoded:
                    sent(len(piece))
                    yield piece

            body = Body(open=pieces, length=None, content_type=FRAMES)
        else:
            text = dumps(payload)
            content = b"".join(compression.compress([text])) if compress else text
            body = Body(open=lambda: [content], length=len(content), content_type="application/json")
        headers = {"Accept-Encoding": compression.NAME if accept_compressed else "identity"}
        if compress:
            headers["Content-Encoding"] = compression.NAME
        root = quote(self.path, safe="", errors="surrogateescape")
        response = self._session.request(
            "POST",
            f"{versions.base(self._version)}{call}?root={root}",
            body=body,
            headers=headers,
            stream=True,
            idempotent=False,
            accept=_WITH_BODY,
            about=call,
            silence=_SILENCE,
            insists=False,
        )
        if response.status_code >= 300:
            raise _call_error(response, call, self._session.base_url)
        if not any(name in response.headers for name in ("Transfer-Encoding", "Content-Length")):
            response.close()  # the headers were cut off: nothing would tell where the body ends
            raise TransientError(f"{call}: the response broke off")
        return PeerResponse(response, call, self._session.base_url)

    def retried(self, attempt: Callable[[], ResultT]) -> ResultT:
        """Return the result of `attempt`, called again after each TransientError within the retry policy."""
        retries = RetryBudget(self.clock)
        while True:
            try:
                return attempt()
            except TransientError as error:
                retries.failed(error)

    def close(self) -> None:
        self._session.close()


class RetryBudget:
    """Counts failures in a row without any progress, and waits between the tries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts = Attempts()
        self._failures = 0

    def progress(self) -> None:
        """Reset the count: something was transferred."""
        self._failures = 0

    def failed(self, error: TransientError) -> None:
        """Wait before the next try; raises the error if that was the last one."""
        self._failures += 1
        self._attempts.wait(error, self._clock.sleep, self._failures)


def _call_error(response: requests.Response, call: str, url: str) -> SyncerError:
    """The error of a call that was answered with a status of 300 or more (`docs/extension.md` lists them)."""
    document: dict[str, Json] = {}
    body = bytearray()
    try:
        with PeerResponse(response, call, url) as answer:
            for piece in answer.pieces():
                body += piece
                if len(body) > _ERROR:
                    raise malformed("a short description of the error")
        document = take(parsed(body), dict, "a JSON object")
    except (PermanentError, TransientError):
        pass  # a proxy's page, or nothing: the status has to do
    status = response.status_code
    if status == 404 and isinstance(supported := document.get("versions"), list):
        return versions.no_common([n for n in supported if isinstance(n, int)], url)
    reason: StoreError | LocalError | None
    try:
        reason = error_in(document.get("error"))
    except PermanentError:
        reason = None
    detail = f": {reason.message}" if reason is not None and reason.message else ""
    if status == 403:
        return StoreError(
            f"the server refuses this key{detail}",
            hint="the key is read-only, or confined to another folder; `syncer serve --add-key` makes keys",
        )
    if status >= 500:
        from syncer.stores.http.errors import pause

        delay = reason.retry_after if isinstance(reason, TransientError) else None
        return TransientError(
            f"the server cannot answer now (status {status}){detail}",
            retry_after=pause(response) if delay is None else delay,
        )
    if reason is not None and status in (400, 409, 413):
        return reason
    return PermanentError(
        f"the server does not answer `{call}` (status {status})", hint="is it the same version of Syncer?"
    )


# -- keep-alives -------------------------------------------------------------------

KEEPALIVE_SECONDS = 5.0
_AHEAD = 4  # pieces made before they are asked for


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class _Finished:
    """Queued after the last piece."""


def with_keepalives(pieces: Iterator[bytes], interval: float = KEEPALIVE_SECONDS) -> Iterator[bytes]:
    """Run a slow generator in a thread; yield an empty piece for each `interval` seconds without a piece.

    So the server, which gives up a silent connection, does not time out. An exception of `pieces` comes out
    unchanged. Closed early, it returns once the thread has noticed.
    """
    queue: Queue[bytes | _Raised | _Finished] = Queue(_AHEAD)
    stopped = threading.Event()

    def put(piece: bytes | _Raised | _Finished) -> None:
        while not stopped.is_set():
            try:
                return queue.put(piece, timeout=0.5)
            except Full:
                continue

    def work() -> None:
        try:
            for piece in pieces:
                if stopped.is_set():
                    return
                put(piece)
            put(_Finished())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
            put(_Raised(error))

    thread = threading.Thread(target=work, name="keepalive", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = queue.get(timeout=interval)
            except Empty:
                item = b""
            if isinstance(item, _Finished):
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()
