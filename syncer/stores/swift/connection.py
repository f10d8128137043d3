"""Requests to one account behind a door: pooled, with time-outs, a renewed token, and the pauses asked for.

On python-swiftclient's connection (requests underneath); each is used by one thread at a time, with as many
as there are threads. What is sent again here is what cannot have taken effect: after a 401 (once, with a
new token) and when the service put us off; and what changes nothing. All else is the caller's to judge.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from syncer.engine.ports import Clock
from syncer.errors import AuthError, PermanentError, TransientError
from syncer.stores.http.content import Overlarge
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import origin as origin_of
from syncer.stores.retry_policy import attempts, counted
from syncer.stores.swift.exchange import Body, Line
from syncer.stores.swift.refusals import MOMENTARY, THROTTLED, refusal
from syncer.wire.bounded_json import loads

if TYPE_CHECKING:
    import requests

    from syncer.stores.swift.auth import Access, Door

READ_SECONDS = 60.0
PIECE = 1 << 20
_WHOLE = 16 << 20  # bytes of an answer that is read at once: a page of 10,000 rows is some 3 MB
_VALUES = 64 << 20  # bytes that its values may take: those of such a page take some 15 MB
_SAFE = frozenset({"GET", "HEAD"})
_FINE = range(200, 300)

GotT = TypeVar("GotT", "Reply", "Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request; `path` is below the storage URL and percent-encoded, `query` without its mark.

    `accept`: statuses beyond 2xx that are an answer. `seconds` for the first byte of it.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | bytes | None = None
    accept: Collection[int] = ()
    about: str = ""
    seconds: float = READ_SECONDS

    @property
    def said(self) -> str:
        return f"{self.method} {self.about or self.path}"

    @property
    def request(self) -> str:
        """What tells it from other requests."""
        return f"{self.method} {self.path}?{self.query} {self.headers.get('Range', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def document(self) -> Any:
        """The JSON in it, for an adapter to take apart. Raises TransientError where it is none, TooLarge."""
        try:
            return loads(self.content, most=_VALUES)
        except ValueError:
            raise TransientError("Swift's answer is no JSON") from None


class Answer:
    """An answer that is being read. Read to its end it gives its connection back, else that is closed."""

    def __init__(self, response: requests.Response, lease: _Lease, call: Call) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._lease = lease
        self._call = call
        self._whole = False

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """The content as it comes, as it is stored. Raises TransientError where it breaks off."""
        with reaching(self._response.url, about=self._call.about, request=self._call.request):
            yield from self._response.raw.stream(size, decode_content=False)
        self._whole = True

    def read(self) -> bytes:
        """All of the content, of bearable size."""
        parts, size = [], 0
        for piece in self.pieces():
            parts.append(piece)
            size += len(piece)
            if size > _WHOLE:
                raise Overlarge(f"{self._call.said}: the answer has no end", path=self._call.about)
        return b"".join(parts)

    def close(self) -> None:
        if not self._whole:
            self._response.raw.close()  # else what is left of it would be read by the next request
        self._response.close()
        self._lease.end(sound=self._whole)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Connection:
    """Safe to share between threads."""

    def __init__(self, door: Door, *, clock: Clock, account: str = "") -> None:
        """`account`: its name in the config, for messages."""
        self._account = account
        self.door = door
        self.clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[str, Line]] = []

    def ask(self, call: Call) -> Reply:
        """The answer with status 2xx, or one of `accept`, read to its end.

        Raises AuthError, TransientError, PermanentError with its kinds, PreconditionFailed, and what
        the body raises.
        """

        def once() -> Reply:
            with self._admitted(call) as answer:
                return Reply(status=answer.status, headers=answer.headers, content=answer.read())

        reply = self._patiently(call, once)
        self._judge(call, reply)
        return reply

    def stream(self, call: Call) -> Answer:
        """As `ask`, the content still to be read; to be closed."""
        answer = self._patiently(call, lambda: self._admitted(call))
        try:
            self._judge(call, answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def account(self) -> str:
        """Scheme, host and path of the account. Raises what the door does."""
        return self.door.open().storage_url

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    # -- patience ------------------------------------------------------------------

    def _patiently(self, call: Call, once: Callable[[], GotT]) -> GotT:
        """Again where nothing can have happened; the last answer, whatever it is."""
        with attempts() as tries:
            while True:
                tries.check(call.request)
                try:
                    got = once()
                except TransientError as error:
                    # A connection that the server closed while it was idle is noticed at its next use.
                    if call.method not in _SAFE:
                        raise
                    tries.wait(error, self.clock.sleep)
                    continue
                again = got.status in THROTTLED or (got.status in MOMENTARY and call.method in _SAFE)
                if not again or got.status in call.accept:
                    return got
                refused = refusal(call.method, got.status, got.headers, call.about)
                if isinstance(got, Answer):
                    got.close()
                assert isinstance(refused, TransientError)
                tries.wait(counted(refused, call.request), self.clock.sleep)

    @staticmethod
    def _judge(call: Call, got: Reply | Answer) -> None:
        if got.status not in _FINE and got.status not in call.accept:
            error = refusal(call.method, got.status, got.headers, call.about)
            raise counted(error, call.request) if isinstance(error, TransientError) else error

    # -- one request ---------------------------------------------------------------

    def _admitted(self, call: Call) -> Answer:
        """With a token that is taken; the whole body is sent again with a new one."""
        access = self.door.open()
        answer = self._once(call, access)
        if answer.status != 401:
            return answer
        answer.close()
        answer = self._once(call, self.door.renew(access))
        if answer.status == 401:
            answer.close()
            raise AuthError("Swift refused a new token", hint="check the account's credentials")
        return answer

    def _once(self, call: Call, access: Access) -> Answer:
        parts = urlsplit(access.storage_url)
        full = f"{parts.path}/{call.path}".rstrip("/") if not call.path else f"{parts.path}/{call.path}"
        headers = {"X-Auth-Token": access.token, "Accept-Encoding": "identity", **call.headers}
        with reaching(access.storage_url, about=call.about, account=self._account, request=call.request):
            lease = self._lease(f"{parts.scheme}://{parts.netloc}")
            try:
                response = lease.request(call, full, headers)
            except BaseException:
                lease.end(sound=False)  # a body that broke off must not be taken for a whole one
                raise
        return Answer(response, lease, call)

    def unasked(self, path: str) -> Reply:
        """A GET of an address beside the API (`/info`), without the token; any status is an answer.

        Ceph has all of it below `/swift`.
        """
        parts = urlsplit(self.account())
        path = parts.path.partition("/v1")[0] + path
        call = Call(method="GET", path=path, about=path)
        with reaching(self.account(), about=path, account=self._account, request=call.request):
            lease = self._lease(f"{parts.scheme}://{parts.netloc}")
            try:
                response = lease.request(call, path, {"Accept-Encoding": "identity"})
            except BaseException:
                lease.end(sound=False)
                raise
        with Answer(response, lease, call) as answer:
            return Reply(status=answer.status, headers=answer.headers, content=answer.read())

    def _lease(self, origin: str) -> _Lease:
        if origin_of(origin) is None:
            raise PermanentError(
                f"{origin}: not an address that can be asked", hint="it begins with https://"
            )
        with self._lock:
            found = next((i for i in reversed(self._idle) if i[0] == origin), None)
            if found is not None:
                self._idle.remove(found)
        return _Lease(self, origin, found[1] if found is not None else Line(origin))

    def give_back(self, origin: str, line: Line) -> None:
        """An idle connection, for whoever asks next."""
        with self._lock:
            self._idle.append((origin, line))


class _Lease:
    """One of the connections, in one hand until its answer was read."""

    def __init__(self, owner: Connection, origin: str, line: Line) -> None:
        self._owner = owner
        self._origin = origin
        self._line: Line | None = line

    def request(self, call: Call, full: str, headers: Mapping[str, str]) -> requests.Response:
        assert self._line is not None
        target = f"{full}?{call.query}" if call.query else full
        return self._line.send(call.method, target, call.body, headers, call.seconds)

    def end(self, *, sound: bool) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if sound:
            self._owner.give_back(self._origin, line)
        else:
            line.close()
