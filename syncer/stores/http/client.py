"""Pooled HTTP client for one service: retries, throttling, redirects, time-outs, bounded responses.

`HttpClient` is the base that every service on requests shares; a service overrides how a request is
authorized, what its refusals mean and which of them were refused without effect. `HttpSession` is the client
of the SmartFile API and of Syncer's own extension. `send_with_retries` is the one retry loop: Swift's client,
which has a pool of its own (`stores.swift.client`), runs in it too.

What is sent again here: a request that the service refused before it did anything (429, 503 with a pause),
with its body opened anew; and, after a network error, a request that changes nothing. Everything else is
raised: the caller has to look whether the request took effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, PermanentError, StoreError, TransientError
from syncer.stores.http import adapter, errors
from syncer.stores.http.bodies import Body, BodyIterator, read_bounded
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import host_port, redirect_within_origin, same_origin
from syncer.stores.retry_policy import attempts, counted

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
TOTAL_SECONDS = 300.0  # to read a whole response, however slowly its bytes arrive
REDIRECTS = 3
ANSWER_BYTES = 4 << 20  # of a JSON document; a page of 500 entries is some 300 KB
PIECE = 1 << 18
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})

Pairs = Sequence[tuple[str, str]]
ResponseT = TypeVar("ResponseT")


def send_with_retries(
    send: Callable[[], ResponseT],
    *,
    key: str,
    idempotent: bool,
    postponed: Callable[[ResponseT], TransientError | None],
    sleep: Callable[[float], None],
) -> ResponseT:
    """Call `send` until there is a response that the service did not postpone; return that response.

    `key` identifies the request for counting: the layers above share the same `Attempts`, so their retries
    add up and never multiply. `postponed` returns the (counted) error if the service refused the request
    before it did anything, and has closed the response then; such a request is sent again whatever it does.
    After a TransientError of `send` only an `idempotent` request is sent again.

    Raises what `send` raises, and TransientError when the retry policy gives the request up.
    """
    with attempts() as tries:
        while True:
            tries.check(key)
            try:
                response = send()
            except TransientError as error:
                if not idempotent:
                    raise
                tries.wait(error, sleep)
                continue
            refused = postponed(response)
            if refused is None:
                return response
            tries.wait(refused, sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, kept so that it can be sent again.

    At most one of `form` (urlencoded), `json` and `body`. `about` is the path (of the store) that errors
    name. `read_timeout`: seconds of silence of the service, None for the client's own. `max_bytes` of a
    response that is read as a whole.
    """

    method: str
    url: str
    params: Pairs | Mapping[str, str] | None = None
    form: Pairs | None = None
    json: object = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    read_timeout: float | None = None
    max_bytes: int = ANSWER_BYTES

    def __str__(self) -> str:
        """For messages: no query, which may hold secrets."""
        return f"{self.method} {host_port(self.url)}{urlsplit(self.url).path}"

    @property
    def key(self) -> str:
        """Identifies the request for counting retries; a body is identified by the path that it is for."""
        return (
            f"{self.method} {self.url} {self.params or ''} {'' if self.method in IDEMPOTENT else self.about}"
        )


class HttpClient:
    """Requests to one service over one connection pool. Safe to share between threads."""

    def __init__(
        self,
        *,
        clock: Clock,
        auth: AuthBase | None = None,
        ca_file: str | None = None,
        timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        total_seconds: float = TOTAL_SECONDS,
        account: str = "",
    ) -> None:
        """`timeouts`: seconds for a connection, and for each silence of the service. `account`: its name in
        the config, for messages.
        """
        self.clock = clock
        self._auth = auth
        self._verify: bool | str = ca_file or True
        self._timeouts = timeouts
        self._total_seconds = total_seconds
        self._account = account
        self._session = adapter.Session()

    def send(
        self,
        request: Request,
        *,
        stream: bool = False,
        accept: Collection[int] = (),
        idempotent: bool | None = None,
        retry: bool = True,
    ) -> requests.Response:
        """Return the response with status 2xx or one of `accept`; its content read, or left to `pieces`.

        `idempotent`: None decides by the method. `retry` false: sent once, the caller retries. Raises
        AuthError, PermanentError with its subclasses, PreconditionFailed, TransientError, and what the body
        raises.
        """
        if retry:
            response = send_with_retries(
                lambda: self._authorized(request),
                key=request.key,
                idempotent=request.method in IDEMPOTENT if idempotent is None else idempotent,
                postponed=lambda response: self._postponed(response, request),
                sleep=self.clock.sleep,
            )
        else:
            response = self._authorized(request)
        if not 200 <= response.status_code < 300 and response.status_code not in accept:
            raise self._refused(response, request)
        if not stream:
            # Bounded in size and time: a service that sends single bytes for ever is dead, too.
            with reaching(request.url, about=request.about, account=self._account, request=request.key):
                response._content = read_bounded(  # so that `content` works as after a plain request
                    response,
                    max_bytes=request.max_bytes,
                    seconds=self._total_seconds,
                    what=str(request),
                    about=request.about,
                    now=self.clock.monotonic,
                )
        return response

    def close(self) -> None:
        self._session.close()

    # -- what a service may override -----------------------------------------------

    def _authorized(self, request: Request) -> requests.Response:
        """Send the request with credentials; redirects are returned, not followed."""
        return self._send_once(request, self._auth)

    def _postponed(self, response: requests.Response, request: Request) -> TransientError | None:
        """The error of a response that refuses before anything was done (and close it), else None."""
        seconds = errors.pause(response)
        if seconds is None:
            return None
        errors.drop(response)
        message = f"{request}: the service asks to come back later (status {response.status_code})"
        if self._account:
            message = f"account {self._account}: {message}"
        return counted(TransientError(message, path=request.about, retry_after=seconds), request.key)

    def _refused(self, response: requests.Response, request: Request) -> StoreError:
        """The error of a response with another status; ends the response."""
        return counted_error(errors.error(response, request.about), request.key)

    # -- one request ----------------------------------------------------------------

    def _send_once(self, request: Request, auth: AuthBase | None) -> requests.Response:
        headers = dict(request.headers)
        if request.body is not None:
            headers.setdefault("Content-Type", request.body.content_type)
        with reaching(request.url, about=request.about, account=self._account, request=request.key):
            return self._session.request(
                request.method,
                request.url,
                params=request.params,
                data=BodyIterator(request.body) if request.body is not None else list(request.form or ()),
                json=request.json,
                headers=headers,
                auth=auth,
                timeout=(self._timeouts[0], request.read_timeout or self._timeouts[1]),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            )


class HttpSession(HttpClient):
    """Requests below one base URL, with one login: the SmartFile API and Syncer's extension of it."""

    def __init__(
        self,
        base_url: str,
        auth: AuthBase,
        ca_file: str | None = None,
        *,
        clock: Clock,
        proof: str = "api/2/whoami/",
        timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        account: str = "",
    ) -> None:
        """`proof` is a path that every valid login may read: it tells a refused path from a refused login."""
        super().__init__(clock=clock, auth=auth, ca_file=ca_file, timeouts=timeouts, account=account)
        self.base_url = base_url if base_url.endswith("/") else base_url + "/"
        self._proof = proof

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Pairs | Mapping[str, str] | None = None,
        form: Pairs | None = None,
        json: object = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        idempotent: bool | None = None,
        accept: Collection[int] = (),
        about: str = "",
        silence: float | None = None,
        insists: bool = True,
    ) -> requests.Response:
        """`HttpClient.send` for a `path` relative to the base URL and percent-encoded.

        `silence` is the request's `read_timeout`, `insists` is `retry`.
        """
        request = Request(
            method=method,
            url=self.base_url + path,
            params=params,
            form=form,
            json=json,
            body=body,
            headers=headers or {},
            about=about,
            read_timeout=silence,
        )
        return self.send(request, stream=stream, accept=accept, idempotent=idempotent, retry=insists)

    def error(self, response: requests.Response, about: str) -> StoreError:
        """The error that a status stands for. Ends the response.

        A 403 is about the path, unless the service refuses `proof` as well: then the login is refused.
        """
        key = f"{response.request.method} {response.url}"
        error = counted_error(errors.error(response, about), key)
        if response.status_code == 403 and not isinstance(error, TransientError):
            answer = self._send_once(Request(method="GET", url=self.base_url + self._proof), self._auth)
            errors.drop(answer)
            if answer.status_code in (401, 403):
                return AuthError(errors.REFUSED, hint=errors.LOGIN_HINT)
        return error

    def _refused(self, response: requests.Response, request: Request) -> StoreError:
        return self.error(response, request.about)

    def _authorized(self, request: Request) -> requests.Response:
        """Reads follow redirects within the same origin: credentials go nowhere else."""
        named = f"account {self._account}: {request}" if self._account else str(request)
        for _ in range(REDIRECTS + 1):
            response = self._send_once(request, self._auth)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            errors.drop(response)
            target = redirect_within_origin(request.url, response.headers.get("Location", ""))
            if request.method not in IDEMPOTENT or target is None or not same_origin(target, self.base_url):
                raise PermanentError(
                    f"{named}: redirected elsewhere, which is not followed",
                    hint="check the url of the account",
                    path=request.about,
                )
            request = Request(
                method=request.method,
                url=target,
                headers=request.headers,
                about=request.about,
                read_timeout=request.read_timeout,
            )
        raise PermanentError(f"{named}: redirected in circles", path=request.about)


def counted_error(error: StoreError, key: str) -> StoreError:
    """The error of a request, counted as a failed attempt if it is a TransientError."""
    return counted(error, key) if isinstance(error, TransientError) else error


def pieces(response: requests.Response, about: str = "", size: int = PIECE) -> Iterator[bytes]:
    """The content as it arrives, at most `size` bytes at once; the connection is returned at the end.

    Raises TransientError where it breaks off, also where it is shorter than Content-Length.
    """
    try:
        with reaching(response.url, about=about):
            yield from response.iter_content(size)
    finally:
        response.close()
