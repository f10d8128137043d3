"""HTTP client of one Swift account: pooled connections, token renewal, retries, time-outs.

On python-swiftclient's connection (requests underneath); each is used by one thread at a time, with as many
as there are threads. Sent again are requests that cannot have taken effect: after a 401 (once, with a new
token), when the service asked to wait, and those that change nothing; see
`stores.http.client.send_with_retries`. All other failures are raised: the caller looks whether the request
took effect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import syncer
from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, PermanentError, TransientError
from syncer.stores.http.bodies import Body, BodyIterator, Overlarge
from syncer.stores.http.client import send_with_retries
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import origin as origin_of
from syncer.stores.retry_policy import counted
from syncer.stores.swift.errors import MOMENTARY, THROTTLED, refusal
from syncer.wire.bounded_json import loads

if TYPE_CHECKING:
    import requests

    from syncer.stores.swift.auth import Access, TokenProvider


# --------------------------------------------------------------------------------  The adapter between
# python-swiftclient's connection and our pool. Its reason: requests computes proxies, certificates and the
# normalized URL anew for each request, which takes longer than all else that it does. They follow from the
# environment and the origin, so they are computed once, when a connection is made, and each request goes
# straight to the transport adapter. Redirects are not followed: the token goes nowhere else. swiftclient's
# own calls (`put_object`, …) are not used on it: they follow redirects, read responses without a bound, and
# retry by themselves, beside the one retry policy.


CONNECT_SECONDS = 15.0
_EMPTY_BY_NATURE = frozenset({"GET", "HEAD"})


class PooledConnection:
    """One connection, for one thread at a time. Raises what requests and swiftclient raise."""

    def __init__(self, origin: str) -> None:
        """To scheme, host and port; nothing is connected yet."""
        import requests
        from swiftclient.client import HTTPConnection

        from syncer.stores.http.adapter import Adapter

        self._http: Any = HTTPConnection(origin)
        session: Any = self._http.request_session
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(connections=1))
        address = session.prepare_request(requests.Request("GET", f"{origin}/")).url
        self._base = address.rstrip("/")
        verify = self._http.requests_args["verify"]
        self._settings = session.merge_environment_settings(address, {}, True, verify, None)
        self._adapter: Any = session.get_adapter(address)

    def send(
        self, method: str, target: str, body: Body | bytes | None, headers: Mapping[str, str], seconds: float
    ) -> requests.Response:
        """The answer, its content still to be read. `target` is encoded; `seconds` for its first byte."""
        import requests

        request: Any = requests.PreparedRequest()
        request.method, request.url = method, self._base + target
        request.headers = _fields(headers)
        if body or method not in _EMPTY_BY_NATURE:
            length = body.length or 0 if isinstance(body, Body) else len(body or b"")
            request.headers["Content-Length"] = str(length)
        request.body = BodyIterator(body) if isinstance(body, Body) else body or None
        answer: requests.Response = self._adapter.send(
            request, timeout=(CONNECT_SECONDS, seconds), **self._settings
        )
        return answer

    def close(self) -> None:
        self._http.close()


def _fields(headers: Mapping[str, str]) -> Any:
    """Sent as Latin-1, as they came: metadata of other tools is sent again when ours is added to it."""
    from requests.structures import CaseInsensitiveDict
    from requests.utils import check_header_validity

    fields: Any = CaseInsensitiveDict({"User-Agent": f"Syncer/{syncer.__version__}"})
    for name, value in headers.items():
        check_header_validity((name, value))
        fields[name] = value
    return fields


READ_SECONDS = 60.0
PIECE = 1 << 20
_WHOLE = 16 << 20  # bytes of an answer that is read at once: a page of 10,000 rows is some 3 MB
_VALUES = 64 << 20  # bytes that its values may take: those of such a page take some 15 MB
_SAFE = frozenset({"GET", "HEAD"})
_FINE = range(200, 300)

ReplyT = TypeVar("ReplyT", "SwiftReply", "Answer")


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
class SwiftReply:
    """A response that was read to its end."""

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

    def __init__(self, tokens: TokenProvider, *, clock: Clock, account: str = "") -> None:
        """`account`: its name in the config, for messages."""
        self._account = account
        self.tokens = tokens
        self.clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[str, PooledConnection]] = []

    def ask(self, call: Call) -> SwiftReply:
        """The answer with status 2xx, or one of `accept`, read to its end.

        Raises AuthError, TransientError, PermanentError with its kinds, PreconditionFailed, and what
        the body raises.
        """

        def once() -> SwiftReply:
            with self._admitted(call) as answer:
                return SwiftReply(status=answer.status, headers=answer.headers, content=answer.read())

        reply = self._with_retries(call, once)
        self._judge(call, reply)
        return reply

    def stream(self, call: Call) -> Answer:
        """As `ask`, the content still to be read; to be closed."""
        answer = self._with_retries(call, lambda: self._admitted(call))
        try:
            self._judge(call, answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def account(self) -> str:
        """Scheme, host and path of the account. Raises what the token provider raises."""
        return self.tokens.open().storage_url

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()

    # -- retries -------------------------------------------------------------------

    def _with_retries(self, call: Call, send: Callable[[], ReplyT]) -> ReplyT:
        """Send again what cannot have taken effect; return the last reply, whatever its status."""

        def postponed(reply: ReplyT) -> TransientError | None:
            later = reply.status in THROTTLED or (reply.status in MOMENTARY and call.method in _SAFE)
            if not later or reply.status in call.accept:
                return None
            if isinstance(reply, Answer):
                reply.close()
            error = refusal(call.method, reply.status, reply.headers, call.about)
            assert isinstance(error, TransientError)
            return counted(error, call.request)

        return send_with_retries(
            send,
            key=call.request,
            idempotent=call.method in _SAFE,
            postponed=postponed,
            sleep=self.clock.sleep,
        )

    @staticmethod
    def _judge(call: Call, got: SwiftReply | Answer) -> None:
        if got.status not in _FINE and got.status not in call.accept:
            error = refusal(call.method, got.status, got.headers, call.about)
            raise counted(error, call.request) if isinstance(error, TransientError) else error

    # -- one request ---------------------------------------------------------------

    def _admitted(self, call: Call) -> Answer:
        """With a token that is taken; the whole body is sent again with a new one."""
        access = self.tokens.open()
        answer = self._once(call, access)
        if answer.status != 401:
            return answer
        answer.close()
        answer = self._once(call, self.tokens.renew(access))
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

    def unasked(self, path: str) -> SwiftReply:
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
            return SwiftReply(status=answer.status, headers=answer.headers, content=answer.read())

    def _lease(self, origin: str) -> _Lease:
        if origin_of(origin) is None:
            raise PermanentError(
                f"{origin}: not an address that can be asked", hint="it begins with https://"
            )
        with self._lock:
            found = next((i for i in reversed(self._idle) if i[0] == origin), None)
            if found is not None:
                self._idle.remove(found)
        return _Lease(self, origin, found[1] if found is not None else PooledConnection(origin))

    def give_back(self, origin: str, line: PooledConnection) -> None:
        """Return a connection to the pool."""
        with self._lock:
            self._idle.append((origin, line))


class _Lease:
    """One of the connections, in one hand until its answer was read."""

    def __init__(self, owner: Connection, origin: str, line: PooledConnection) -> None:
        self._owner = owner
        self._origin = origin
        self._line: PooledConnection | None = line

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
