"""Requests to Orange's two hosts: the bearer, one renewal of it, throttling, errors as Syncer's own.

It knows no endpoint. Sent again here is only what was surely not carried out (a refused token, a rate limit,
a service over capacity), with its body opened anew, and a GET once after a broken connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import syncer
from syncer.engine.ports import Clock
from syncer.errors import PermanentError, TransientError
from syncer.stores.orange import refusals
from syncer.stores.orange.bearer import Bearer
from syncer.stores.orange.refusals import Refusal
from syncer.stores.smartfile import replies
from syncer.stores.smartfile.bodies import Body, Opened
from syncer.stores.smartfile.session import pieces

CONNECT_SECONDS, READ_SECONDS = 10.0, 120.0  # a big folder's answer was seen to take its time
WHOLE_SECONDS = 600.0  # for an answer that is read at once, however slowly it drips
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds; the service names none
ANSWER_BYTES = 64 << 20
_REFUSAL_BYTES = 64 << 10


class Overlarge(PermanentError):
    """The answer is longer than is worth holding in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, for sending it again. At most one of `json` and `body`; `about` is what errors speak of."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def __str__(self) -> str:
        """For messages: no query, which may hold secrets."""
        return f"{self.method} {urlsplit(self.url).hostname}"


class Session:
    """Safe to share between threads."""

    def __init__(self, bearer: Bearer, *, clock: Clock) -> None:
        self.clock = clock
        self._bearer = bearer
        self._http = requests.Session()
        self._http.headers.update(
            {"User-Agent": f"Syncer/{syncer.__version__}", "Accept-Encoding": "identity"}
        )
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=16, max_retries=0))

    def send(self, call: Call, *, stream: bool = False) -> requests.Response:
        """The answer of status 2xx; its content read, or (`stream`) left to `pieces`.

        Raises AuthError, PermanentError with its kinds, PreconditionFailed, TransientError, and what the
        body raises.
        """
        for pause in (*PAUSES, None):
            response = self._admitted(call)
            if 200 <= response.status_code < 300:
                break
            refusal = _refusal(response, call)
            if pause is None or not refusal.later:
                raise self._error(refusal, call)
            self.clock.sleep(pause)
        if not stream:
            self._read(response, call)
        return response

    def close(self) -> None:
        self._http.close()

    def _admitted(self, call: Call) -> requests.Response:
        """With a living token; one that is refused is renewed once."""
        token = self._bearer.living()
        response = self._sent(call, token)
        if response.status_code != 401:
            return response
        refusal = _refusal(response, call)
        if not refusal.expired:
            raise self._error(refusal, call)
        return self._sent(call, self._bearer.renewed(token))

    def _sent(self, call: Call, token: str) -> requests.Response:
        try:
            return self._once(call, token)
        except TransientError:
            if call.method != "GET":
                raise
        return self._once(call, token)

    def _once(self, call: Call, token: str) -> requests.Response:
        opened = Opened(call.body) if call.body is not None else None
        headers = {"Accept": "application/json", **call.headers}
        if call.body is not None:
            headers["Content-Type"] = call.body.content_type
        with reaching(str(call), call.about):
            return self._http.request(
                call.method,
                call.url,
                params=dict(call.params),
                data=opened,
                json=call.json,
                headers=headers,
                auth=_With(token),
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )

    def _read(self, response: requests.Response, call: Call) -> None:
        """All of the content, bounded in size and time."""
        started, parts, size = self.clock.monotonic(), [], 0
        for piece in pieces(response, call.about):
            parts.append(piece)
            size += len(piece)
            if size > ANSWER_BYTES:
                replies.drop(response)
                raise Overlarge(f"{call}: the answer has no end", path=call.about)
            if self.clock.monotonic() - started > WHOLE_SECONDS:
                replies.drop(response)
                raise TransientError(f"{call}: the answer takes for ever", path=call.about)
        response._content = b"".join(parts)  # so that `content` works as after a plain request

    def _error(self, refusal: Refusal, call: Call) -> Exception:
        if 300 <= refusal.status < 400:
            return PermanentError(f"{call}: redirected elsewhere, which is not followed", path=call.about)
        naming = call.method == "POST"
        found = refusals.error(refusal, call.about, again=self._bearer.again, naming=naming)
        if refusal.later and isinstance(found, TransientError):
            found.retry_after = 2 * PAUSES[-1]
        return found


@contextmanager
def reaching(what: str, about: str) -> Iterator[None]:
    """Exceptions of requests and urllib3 become Syncer's. Raises PermanentError, TransientError."""
    try:
        with replies.translated(what, about):
            yield
    except PermanentError as error:
        if error.hint:  # a certificate that is not trusted
            error.hint = "the host's certificate is not trusted; REQUESTS_CA_BUNDLE names a private authority"
        raise


class _With(requests.auth.AuthBase):
    """One token for one request: what requests would look up in `.netrc` must not take its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refusal(response: requests.Response, call: Call) -> Refusal:
    """What is said of it; ends the answer."""
    try:
        body = next(response.iter_content(_REFUSAL_BYTES), b"")
    except (OSError, requests.RequestException, urllib3.exceptions.HTTPError):
        body = b""
    finally:
        response.close()
    return refusals.read(response.status_code, body)


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: whether two addresses are one place."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
