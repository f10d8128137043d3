"""One call of the extension: what is asked goes out, the answer comes in, statuses become errors.

HTTP, authentication, time-outs and throttling are those of `stores.http.client`. What calls there
are and what they mean is the business of the other modules of this package.
"""

from __future__ import annotations

import json
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
from syncer.stores.peer import zstd
from syncer.stores.retry_policy import Attempts
from syncer.wire import FRAMES, VERSION, versions
from syncer.wire.bounded_json import Json, loads
from syncer.wire.frames import Frame, decode, encode
from syncer.wire.schema import error_in, malformed, take

if TYPE_CHECKING:
    import requests

    from syncer.stores.http.bodies import Body
    from syncer.stores.http.client import HttpSession


ResultT = TypeVar("ResultT")

_SILENCE = 600.0  # seconds: the server may be hashing a huge file; that it is alive the connection knows
_JUDGED = (400, 403, 404, 409, 413, 500, 502, 503, 504)  # statuses whose body says what went wrong
_TELLING = 64 << 10  # bytes of an error that are read
_LINE = 32 << 20  # bytes of one line: a directory of 250,000 names
_DOCUMENT = 16 << 20  # bytes of a whole answer that is one object: a hundred thousand directories
_HEAD = 256 << 10  # bytes of a head or an end: a path and a message of the longest
_PIECE = 256 << 10
_END = 64  # bytes that may follow what was said, packed: zstd ends a frame with less


@dataclass(slots=True)
class PeerAnswer:
    """An answer that is being read; closing it ends the connection if it was not read to its end."""

    response: requests.Response
    about: str
    url: str = ""
    received: int = field(default=0, init=False)  # bytes of payload that came so far, packed as they came
    _wire: Iterator[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> PeerAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._wire = None  # it holds us: together they would wait for the garbage collector

    def pieces(self) -> Iterator[bytes]:
        """The body, once. Raises TransientError where it breaks off."""
        self._wire = self._raw()
        if self.response.headers.get("Content-Encoding", "") == zstd.NAME:
            return zstd.unpacked(self._wire)
        return self._wire

    def _finish(self) -> None:
        """Reads the ends of HTTP's and of zstd's own after that of ours: the connection can be used again."""
        left = _END
        try:
            for piece in self._wire or ():
                left -= len(piece)
                if left < 0:
                    return self.close()
        except TransientError:
            pass  # everything was said
        self._wire = None

    def _raw(self) -> Iterator[bytes]:
        from syncer.stores.http.failures import reaching

        with reaching(self.url, request=self.about):
            for piece in self.response.raw.stream(_PIECE, decode_content=False):
                self.received += len(piece)
                yield piece

    def frames(self) -> Iterator[Frame]:
        """The frames of the body. Raises TransientError where they break off, PermanentError for others."""
        yield from decode(self.pieces(), largest=_HEAD)
        self._finish()

    def lines(self) -> Iterator[Json]:
        """The lines of the body up to its last, which only says that it is the last."""
        return map(parsed, self.texts())

    def texts(self) -> Iterator[bytearray]:
        """The same, not yet parsed."""
        for line in _lines(self.pieces()):
            if line == b'"end"':
                return self._finish()
            yield line
        raise TransientError(f"{self.about}: the answer broke off")

    def document(self) -> dict[str, Json]:
        """The body as one object."""
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > _DOCUMENT:
                raise malformed("an answer of bearable size")
        self._finish()
        return take(parsed(data), dict, "an object")


def _lines(pieces: Iterable[bytes]) -> Iterator[bytearray]:
    held = bytearray()
    for piece in pieces:
        head, *rest = piece.split(b"\n")
        held += head
        if len(held) > _LINE:
            raise malformed("a line of bearable length")
        for part in rest:
            line, held = held, bytearray(part)
            if line:  # an empty one only says that the server is still at work
                yield line


def parsed(text: bytes | bytearray) -> Json:
    """The value of a text. Raises PermanentError for what is no JSON, or too much of it."""
    try:
        return loads(text)
    except ValueError:
        raise malformed("JSON") from None


class PeerClient:
    """Calls on one root: the folder `path` below the key's own root. Safe to share between threads."""

    def __init__(self, session: HttpSession, path: str, version: int = VERSION) -> None:
        self.clock: Clock = session.clock
        self.path = path.strip("/")
        self._session = session
        self._version = version

    @property
    def identity(self) -> str:
        """Where the root is, without secrets."""
        return f"smartfile:{self._session.base_url}{self.path}"

    def ask(self, call: str, told: Json, *, packs: bool = False, unpacks: bool = False) -> dict[str, Json]:
        """The one object that a call answers. Raises what `open` raises."""
        with self.open(call, told, packs=packs, unpacks=unpacks) as answer:
            return answer.document()

    def each(self, call: str, told: Json) -> Iterator[Json]:
        """The lines that a call answers, as they come. Raises what `open` raises, also in between."""
        with self.open(call, told, unpacks=True) as answer:
            yield from answer.lines()

    def open(self, call: str, told: Json, *, packs: bool = False, unpacks: bool = False) -> PeerAnswer:
        """A call with one object, which changes nothing, or nothing twice: it may be asked again.

        `packs`: send it packed; `unpacks`: the answer may be. Raises AuthError, NotFound (no such root),
        TransientError, PermanentError, NoCommonVersion (the server was exchanged for another since).
        """
        from syncer.stores.http.bodies import Body

        text = json.dumps(told, separators=(",", ":")).encode("ascii")
        sent = b"".join(zstd.packed([text])) if packs else text
        body = Body(open=lambda: [sent], length=len(sent), content_type="application/json")
        return self._open(call, body, packs=packs, unpacks=unpacks)

    def stream(
        self,
        call: str,
        frames: Callable[[], Iterable[Frame]],
        *,
        counted: Callable[[int], None] = lambda size: None,
        packs: bool = False,
        unpacks: bool = False,
    ) -> PeerAnswer:
        """A call whose body is frames, made while they are sent; `counted` hears of the bytes that go out.

        Raises what `open` raises, and what `frames` raises.
        """
        from syncer.stores.http.bodies import Body

        def opened() -> Iterator[bytes]:
            pieces = encode(frames())
            for piece in zstd.packed(pieces) if packs else pieces:
                counted(len(piece))
                yield piece

        body = Body(open=opened, length=None, content_type=FRAMES)
        return self._open(call, body, packs=packs, unpacks=unpacks)

    def _open(self, call: str, body: Body, *, packs: bool, unpacks: bool) -> PeerAnswer:
        headers = {"Accept-Encoding": zstd.NAME if unpacks else "identity"}
        if packs:
            headers["Content-Encoding"] = zstd.NAME
        root = quote(self.path, safe="", errors="surrogateescape")
        target = f"{versions.base(self._version)}{call}?root={root}"
        response = self._session.request(
            "POST",
            target,
            body=body,
            headers=headers,
            stream=True,
            idempotent=False,
            accept=_JUDGED,
            about=call,
            silence=_SILENCE,
            insists=False,
        )
        if response.status_code >= 300:
            raise _refusal(response, call, self._session.base_url)
        if not any(name in response.headers for name in ("Transfer-Encoding", "Content-Length")):
            response.close()  # its headers were cut: nothing would tell where the answer ends
            raise TransientError(f"{call}: the answer broke off")
        return PeerAnswer(response, call, self._session.base_url)

    def patiently(self, attempt: Callable[[], ResultT]) -> ResultT:
        """Tries again what failed for the moment, a few times."""
        tries = RetryBudget(self.clock)
        while True:
            try:
                return attempt()
            except TransientError as error:
                tries.failed(error)

    def close(self) -> None:
        self._session.close()


class RetryBudget:
    """How often something was tried without any progress, and the pauses between."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts = Attempts()
        self._failed = 0

    def progress(self) -> None:
        """Something came: what was in vain before counts no more."""
        self._failed = 0

    def failed(self, error: TransientError) -> None:
        """Waits before the next try; raises the error if that was the last one."""
        self._failed += 1
        self._attempts.wait(error, self._clock.sleep, self._failed)


def _refusal(response: requests.Response, call: str, url: str) -> SyncerError:
    """What a status means for the whole call; see the list in `docs/extension.md`."""
    document = _document(response, call, url)
    told = _error(document)
    status = response.status_code
    if status == 404 and isinstance(spoken := document.get("versions"), list):
        return versions.no_common([n for n in spoken if isinstance(n, int)], url)
    said = f": {told.message}" if told is not None and told.message else ""
    if status == 403:
        return StoreError(
            f"the server refuses this key{said}",
            hint="the key is read-only, or confined to another folder; `syncer serve --add-key` makes keys",
        )
    if status >= 500:
        from syncer.stores.http.errors import pause

        after = told.retry_after if isinstance(told, TransientError) else None
        after = pause(response) if after is None else after
        return TransientError(f"the server cannot answer now (status {status}){said}", retry_after=after)
    if told is not None and status in (400, 409, 413):
        return told
    return PermanentError(
        f"the server does not answer `{call}` (status {status})", hint="is it the same version of Syncer?"
    )


def _document(response: requests.Response, call: str, url: str) -> dict[str, Json]:
    """The object in the body of a refusal; empty where there is none, or too much of it."""
    data = bytearray()
    try:
        with PeerAnswer(response, call, url) as answer:
            for piece in answer.pieces():
                data += piece
                if len(data) > _TELLING:
                    return {}
        return take(parsed(data), dict, "an object")
    except (PermanentError, TransientError):
        return {}


def _error(document: dict[str, Json]) -> StoreError | LocalError | None:
    """The error that a refusal names, if it names one."""
    try:
        return error_in(document.get("error"))
    except PermanentError:
        return None


# --------------------------------------------------------------------------------
#
# Work that may say nothing for long, on a line that is given up when nothing comes.
#
# A thread of its own does the work; whoever sends asks what there is, and hears now and then that there is
# nothing yet. What the silence is filled with is not known here.


SILENCE = 5.0  # seconds after which there is a sign of life
_AHEAD = 4  # pieces made before they are asked for


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


class _Over:
    """Nothing more comes."""


def lively(pieces: Iterator[bytes], silence: float = SILENCE) -> Iterator[bytes]:
    """The pieces as they are made by another thread; an empty one for each `silence` seconds without any.

    What `pieces` raises comes out unchanged. Closed early, it waits until the work noticed.
    """
    queue: Queue[bytes | _Raised | _Over] = Queue(_AHEAD)
    unwanted = threading.Event()

    def give(piece: bytes | _Raised | _Over) -> None:
        while not unwanted.is_set():
            try:
                return queue.put(piece, timeout=0.5)
            except Full:
                continue

    def work() -> None:
        try:
            for piece in pieces:
                if unwanted.is_set():
                    return
                give(piece)
            give(_Over())
        except BaseException as error:  # noqa: BLE001 - it is raised again, where somebody can do something about it
            give(_Raised(error))

    thread = threading.Thread(target=work, name="lively", daemon=True)
    thread.start()
    try:
        while not isinstance(found := _next(queue, silence), _Over):
            if isinstance(found, _Raised):
                raise found.error
            yield found
    finally:
        unwanted.set()
        thread.join()


def _next(queue: Queue[bytes | _Raised | _Over], silence: float) -> bytes | _Raised | _Over:
    try:
        return queue.get(timeout=silence)
    except Empty:
        return b""
