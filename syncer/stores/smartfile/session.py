"""One pooled HTTP session to one service: authentication, time-outs, throttling, errors as Syncer's own.

It knows nothing of any endpoint. What a status means stands in `replies`, what is sent in `bodies`.
Only what the service put off (429, 503 with a pause) is sent again here, with its body opened anew, and
requests that change nothing once after a broken connection; everything else is the caller's to judge.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection

import syncer
from syncer.engine.ports import Clock
from syncer.errors import AuthError, PermanentError, StoreError, TransientError
from syncer.stores.smartfile import replies
from syncer.stores.smartfile.bodies import Body, Opened

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
WHOLE_SECONDS = 300.0  # for an answer that is read at once, however slowly its bytes drip
THROTTLE_TRIES = 6
THROTTLE_SECONDS = 60.0  # no single pause is longer, whatever the service asks for
PATIENCE_SECONDS = 300.0  # all pauses of one request together
REDIRECTS = 3
ANSWER_BYTES = 64 << 20  # of a JSON document; a page of 500 entries is some 300 KB
PIECE = 1 << 18
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})

Pairs = Sequence[tuple[str, str]]


class Session:
    """Requests below one base URL. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        auth: AuthBase,
        ca_file: str | None = None,
        *,
        clock: Clock,
        proof: str = "api/2/whoami/",
        timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> None:
        """`proof` is a path that every valid login may read: it tells a refused path from a refused login.

        `timeouts`: seconds for a connection, and for each silence of the other end.
        """
        self.base_url = base_url if base_url.endswith("/") else base_url + "/"
        self.clock = clock
        self._auth = auth
        self._verify: bool | str = ca_file or True
        self._proof = proof
        self._timeouts = timeouts
        self._http = requests.Session()
        self._http.headers.update(
            {"User-Agent": f"Syncer/{syncer.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        )
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, _Adapter(pool_connections=4, pool_maxsize=16, max_retries=0))

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
    ) -> requests.Response:
        """The answer of status 2xx, or one of `accept`; its content read, or (`stream`) read by `pieces`.

        `path` is relative to the base URL and percent-encoded. At most one of `form` (urlencoded),
        `json` and `body`. `about` is the path (of the store) that an error speaks of; `silence` the
        seconds that the other end may say nothing, where they are not the usual ones. Raises AuthError,
        PermanentError with its kinds, PreconditionFailed, TransientError, and what the body raises.
        """
        call = _Call(method, self.base_url + path, params, form, json, body, headers, about, silence)
        safe = method in IDEMPOTENT if idempotent is None else idempotent
        response = self._unthrottled(call, safe=safe)
        if not 200 <= response.status_code < 300 and response.status_code not in accept:
            raise self.error(response, about)
        if not stream:
            self._read(response, call)
        return response

    def close(self) -> None:
        self._http.close()

    # -- sending -----------------------------------------------------------------

    def _unthrottled(self, call: _Call, *, safe: bool) -> requests.Response:
        waited = 0.0
        for attempt in range(THROTTLE_TRIES):
            response = self._followed(call, safe=safe)
            asked = replies.pause(response)
            if asked is None:
                return response
            replies.drop(response)
            rest = min(asked, THROTTLE_SECONDS)
            if attempt + 1 == THROTTLE_TRIES or waited + rest > PATIENCE_SECONDS:
                break
            self.clock.sleep(rest)
            waited += rest
        raise TransientError(
            f"{call}: the service keeps putting us off (status {response.status_code})",
            path=call.about,
            retry_after=rest,
        )

    def _followed(self, call: _Call, *, safe: bool) -> requests.Response:
        """Redirects are followed for reads, on the same host: credentials go nowhere else."""
        for _ in range(REDIRECTS + 1):
            response = self._sent(call, safe=safe)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            replies.drop(response)
            target = urljoin(call.url, response.headers.get("Location", ""))
            if call.method not in IDEMPOTENT or not _same_origin(target, self.base_url):
                raise PermanentError(
                    f"{call}: redirected elsewhere, which is not followed",
                    hint="check the url of the account",
                    path=call.about,
                )
            call = _Call(call.method, target, None, None, None, None, call.headers, call.about, call.silence)
        raise PermanentError(f"{call}: redirected in circles", path=call.about)

    def _sent(self, call: _Call, *, safe: bool) -> requests.Response:
        try:
            return self._once(call)
        except TransientError:
            if not safe:
                raise
        return self._once(call)

    def _once(self, call: _Call) -> requests.Response:
        opened = Opened(call.body) if call.body is not None else None
        headers = dict(call.headers or {})
        if call.body is not None:
            headers.setdefault("Content-Type", call.body.content_type)
        with replies.translated(str(call), call.about):
            return self._http.request(
                call.method,
                call.url,
                params=call.params,
                data=opened if opened is not None else list(call.form or ()),
                json=call.json,
                headers=headers,
                auth=self._auth,
                timeout=(self._timeouts[0], call.silence or self._timeouts[1]),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            )

    # -- judging -----------------------------------------------------------------

    def _read(self, response: requests.Response, call: _Call) -> None:
        """All of the content, bounded in size and time: a drip of single bytes is a dead service, too."""
        started, parts, size = self.clock.monotonic(), [], 0
        for piece in pieces(response, call.about):
            parts.append(piece)
            size += len(piece)
            if size > ANSWER_BYTES:
                replies.drop(response)
                raise PermanentError(f"{call}: the answer has no end", path=call.about)
            if self.clock.monotonic() - started > WHOLE_SECONDS:
                replies.drop(response)
                raise TransientError(f"{call}: the answer takes for ever", path=call.about)
        response._content = b"".join(parts)  # so that `content` and `json()` work as after a plain request

    def error(self, response: requests.Response, about: str) -> StoreError:
        """What a refusal means; a 403 is about the login only if nothing else is answered either."""
        error = replies.error(response, about)
        if response.status_code == 403 and not self._admitted():
            return AuthError(replies.REFUSED, hint=replies.LOGIN_HINT)
        return error

    def _admitted(self) -> bool:
        """Whether the login is good; a 403 is then about the path alone."""
        response = self._once(_Call("GET", self.base_url + self._proof))
        replies.drop(response)
        return response.status_code not in (401, 403)


class _Adapter(HTTPAdapter):
    """Connections that notice within two minutes that the machine at the other end is gone."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):  # macOS calls the first one otherwise
                options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
        super().init_poolmanager(*args, socket_options=options, **more)

    def close(self) -> None:
        """Now: urllib3 leaves connections open as long as anybody knows their pool, such as an old answer."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - a copy; it cannot be iterated itself
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _Call:
    """What is sent, for sending it again; its `str` is for messages and holds no secret."""

    def __init__(
        self,
        method: str,
        url: str,
        params: Pairs | Mapping[str, str] | None = None,
        form: Pairs | None = None,
        json: object = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        about: str = "",
        silence: float | None = None,
    ) -> None:
        self.method, self.url, self.params, self.form = method, url, params, form
        self.json, self.body, self.headers, self.about = json, body, headers, about
        self.silence = silence

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.method} {parts.hostname}{parts.path}"


def pieces(response: requests.Response, about: str = "", size: int = PIECE) -> Iterator[bytes]:
    """The content as it comes, at most `size` bytes at once; the connection is given back at the end.

    Raises TransientError where it breaks off, also where it is shorter than Content-Length.
    """
    try:
        with replies.translated("the answer broke off", about):
            yield from response.iter_content(size)
    finally:
        response.close()


def _same_origin(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)
