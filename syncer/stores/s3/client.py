"""HTTP requests to one S3 bucket: signed, pooled, with time-outs, retries and the region's redirect.

A request is sent again here only where that is harmless: the service refused it for its rate, it changes
nothing (GET, HEAD), or the caller says that doing it twice is the same as once (`repeatable`, such as a
part of a multipart upload). Whether another request took effect is for the caller to find out.
"""

from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import syncer
from syncer.engine.interfaces import Clock
from syncer.errors import SyncError, TransientError
from syncer.stores.http.bodies import Body, BodyIterator, Overlarge
from syncer.stores.http.client import send_with_retries
from syncer.stores.http.failures import reaching
from syncer.stores.remote.object_names import quoted
from syncer.stores.retry_policy import counted
from syncer.stores.s3.credentials import UNSIGNED, CredentialProvider, Signer
from syncer.stores.s3.errors import MOMENTARY, is_throttled, refusal
from syncer.stores.s3.settings import ObjectOptions, S3Location
from syncer.stores.s3.xml import MalformedXml, parse

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 15.0, 60.0
COPY_SECONDS = 600.0  # until a copy within the service, or a Complete, answers: 5 GiB take minutes
PIECE = 1 << 20
_WHOLE = 16 << 20  # bytes of an answer that is read at once: a page of 1,000 keys has at most some 2 MB
_REFUSAL = 64 << 10  # bytes of a refusal that are read
_SAFE = frozenset({"GET", "HEAD"})
_SUCCESS = range(200, 300)

ResponseT = TypeVar("ResponseT", "S3Response", "S3Stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """One request about the bucket, or about the object `key` in it; `query` is not encoded yet.

    `accept`: statuses beyond 2xx that are an answer. `about`: the path that messages name. `seconds`: until
    the first byte of the answer. `repeatable`: sending it twice is the same as once.
    """

    method: str
    key: str | None = None
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | bytes | None = None
    accept: Collection[int] = ()
    about: str = ""
    seconds: float = READ_SECONDS
    repeatable: bool = False

    @property
    def request(self) -> str:
        """What tells this request from others, for counting its failures."""
        return f"{self.method} {self.key or ''}?{encoded(self.query)} {self.headers.get('Range', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Response:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


class S3Stream:
    """An answer that is being read; to be closed. Read to its end, its connection is used again."""

    def __init__(self, response: requests.Response, call: S3Request) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._call = call
        self._complete = False

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """The content as it comes. Raises TransientError where it breaks off before Content-Length."""
        with reaching(self._response.url, about=self._call.about, request=self._call.request):
            yield from self._response.raw.stream(size, decode_content=False)
        self._complete = True

    def read(self, most: int = _WHOLE) -> bytes:
        """All of the content. Raises Overlarge beyond `most` bytes."""
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > most:
                raise Overlarge(f"the answer to {self._call.method} has no end", path=self._call.about)
        return bytes(data)

    def close(self) -> None:
        if not self._complete:
            self._response.raw.close()  # the rest would be read as the answer to the next request
        self._response.close()

    def __enter__(self) -> S3Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """A response that is none of those asked for; its content was read."""

    status: int
    code: str
    error: SyncError


class S3Client:
    """Requests about one bucket. Safe to share between threads."""

    def __init__(
        self,
        location: S3Location,
        bucket: str,
        credentials: CredentialProvider,
        *,
        clock: Clock,
        options: ObjectOptions | None = None,
        account: str = "",
        ca_file: str | None = None,
        connections: int = 32,
    ) -> None:
        """`account`: its name in the config, for messages. `connections`: kept open at most."""
        self.location = location
        self.bucket = bucket
        self.clock = clock
        self.options = options or ObjectOptions()
        self._url = location.url(bucket)
        self._signer = Signer(credentials, location.region)
        self._account = account
        self._ca_file = ca_file
        self._connections = connections
        self._transport: tuple[Any, dict[str, Any]] | None = None
        self._lock = threading.Lock()
        self._region_followed = False

    def ask(self, call: S3Request) -> S3Response:
        """The answer with status 2xx, or one of `accept`, read to its end.

        Raises AuthError, TransientError, PermanentError with its kinds, PreconditionFailed, and what
        the body raises.
        """

        def once() -> S3Response:
            with self._sent(call) as answer:
                return S3Response(status=answer.status, headers=answer.headers, content=answer.read())

        return self._retried(call, once)

    def stream(self, call: S3Request) -> S3Stream:
        """As `ask`, the content still to be read; to be closed."""
        return self._retried(call, lambda: self._sent(call))

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport[0].close()

    # -- retries -----------------------------------------------------------------

    def _retried(self, call: S3Request, once: Callable[[], ResponseT]) -> ResponseT:
        """Send again what is harmless or was refused for its rate, and at once what another region has."""
        harmless = call.method in _SAFE or call.repeatable

        def send() -> ResponseT | _Refusal:
            while True:
                got = once()
                if got.status in _SUCCESS or got.status in call.accept:
                    return got
                code, message, region = self._reason(got)
                if not (region and self._moved(region)):  # which it does once
                    error = refusal(call.method, got.status, code, message, got.headers, call.about)
                    return _Refusal(status=got.status, code=code, error=error)

        def postponed(got: ResponseT | _Refusal) -> TransientError | None:
            if not isinstance(got, _Refusal) or not isinstance(got.error, TransientError):
                return None
            counted(got.error, call.request)
            later = is_throttled(got.status, got.code) or (harmless and got.status in MOMENTARY)
            return got.error if later else None

        got = send_with_retries(
            send, key=call.request, idempotent=harmless, postponed=postponed, sleep=self.clock.sleep
        )
        if isinstance(got, _Refusal):
            raise got.error
        return got

    @staticmethod
    def _reason(got: S3Response | S3Stream) -> tuple[str, str, str]:
        """Error code, message and the bucket's region, as far as the refusal says so. Ends a stream."""
        region = got.headers.get("x-amz-bucket-region", "")
        try:
            if isinstance(got, S3Stream):
                with got:
                    content = got.read(_REFUSAL)
            else:
                content = got.content[:_REFUSAL]
            fields = parse([content]).fields if content else {}
        except (MalformedXml, Overlarge, TransientError):
            fields = {}
        code = fields.get("Code", "")[:100]
        if code == "AuthorizationHeaderMalformed":
            region = region or fields.get("Region", "")
        return code, fields.get("Message", "")[:1000], region

    def _moved(self, region: str) -> bool:
        """Signs for the bucket's true region from now on; False where that was done already, and in vain."""
        with self._lock:
            if region == self._signer.region:
                return False
            if self._region_followed or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", region):
                return False
            self._region_followed = True
            old, self._signer.region = self._signer.region, region
            # Only AWS names the region in a host that follows from it; the pool takes any host.
            self._url = self._url.replace(f".{old}.amazonaws.com", f".{region}.amazonaws.com")
        return True

    # -- one request ---------------------------------------------------------------

    def _sent(self, call: S3Request) -> S3Stream:
        url = self._url + ("" if call.key is None else f"/{quoted(call.key)}")
        if call.key is None and "/" not in self._url.partition("://")[2]:
            url += "/"
        if call.query:
            url += f"?{encoded(call.query)}"
        headers = {
            "User-Agent": f"Syncer/{syncer.__version__}",
            "Accept-Encoding": "identity",
            **self.options.every_request(),
            **call.headers,
        }
        body, payload = call.body, hashlib.sha256(b"").hexdigest()
        if isinstance(body, Body):
            assert body.length is not None, "S3 takes no body of unknown length"
            payload = UNSIGNED
            headers["Content-Length"] = str(body.length)
        elif body is not None:
            # The service compares both, so that content damaged on its way is refused.
            payload = hashlib.sha256(body).hexdigest()
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            headers["Content-MD5"] = b64encode(digest).decode()
            headers["Content-Length"] = str(len(body))
        elif call.method not in _SAFE:
            headers["Content-Length"] = "0"
        signed = self._signer.sign(call.method, url, headers, payload)
        with reaching(url, about=call.about, account=self._account, request=call.request):
            response = self._send(call, url, signed)
        return S3Stream(response, call)

    def _send(self, call: S3Request, url: str, headers: Mapping[str, str]) -> requests.Response:
        """By requests' adapter: what a Session does for each request takes longer than all else here."""
        import requests
        from requests.structures import CaseInsensitiveDict

        adapter, settings = self._connected()
        request = requests.PreparedRequest()
        request.method, request.url = call.method, url
        request.headers = CaseInsensitiveDict(headers)
        request.body = BodyIterator(call.body) if isinstance(call.body, Body) else call.body or None  # type: ignore[assignment]
        response: requests.Response = adapter.send(
            request, stream=True, timeout=(CONNECT_SECONDS, call.seconds), **settings
        )
        return response

    def _connected(self) -> tuple[Any, dict[str, Any]]:
        """The adapter with its pool, and what the environment says of proxies and certificates."""
        with self._lock:
            if self._transport is None:
                from syncer.stores.http.adapter import Session

                session = Session(connections=self._connections)
                settings: dict[str, Any] = dict(
                    session.merge_environment_settings(self._url, {}, True, self._ca_file or True, None)
                )
                settings.pop("stream", None)
                self._transport = (session.get_adapter(self._url), settings)
            return self._transport


def encoded(query: Sequence[tuple[str, str]]) -> str:
    """A query string, percent-encoded as Signature Version 4 has it, sorted by name."""
    return "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query))
