"""One pooled HTTP session to one service: authentication, time-outs, throttling, errors as Syncer's own.

It knows nothing of any endpoint. What a status means stands in `errors`, what is sent in `bodies`. What
the service put off (429, 503 with a pause) is sent again here, with its body opened anew, and requests that
change nothing after a broken connection, both by the one retry policy; all else is the caller's to judge.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, PermanentError, StoreError, TransientError
from syncer.stores.http import adapter as http
from syncer.stores.http import errors
from syncer.stores.http.bodies import Body, Opened
from syncer.stores.http.content import whole
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import onward, place, same_origin
from syncer.stores.retry_policy import attempts, counted

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
WHOLE_SECONDS = 300.0  # for an answer that is read at once, however slowly its bytes drip
REDIRECTS = 3
ANSWER_BYTES = 4 << 20  # of a JSON document; a page of 500 entries is some 300 KB
PIECE = 1 << 18
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})

Pairs = Sequence[tuple[str, str]]


class HttpSession:
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
        account: str = "",
    ) -> None:
        """`proof` is a path that every valid login may read: it tells a refused path from a refused login.

        `timeouts`: seconds for a connection, and for each silence of the other end. `account`: its name in
        the config, for messages.
        """
        self.base_url = base_url if base_url.endswith("/") else base_url + "/"
        self.clock = clock
        self._auth = auth
        self._verify: bool | str = ca_file or True
        self._proof = proof
        self._timeouts = timeouts
        self._account = account
        self._whose = f"account {account}: " if account else ""
        self._http = http.Session()

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
        """The answer of status 2xx, or one of `accept`; its content read, or (`stream`) read by `pieces`.

        `path` is relative to the base URL and percent-encoded. At most one of `form` (urlencoded),
        `json` and `body`. `about` is the path (of the store) that an error speaks of; `silence` the
        seconds that the other end may say nothing, where they are not the usual ones. `insists`: sent
        again here, by the retry policy, where that does no harm; else the caller does so. Raises AuthError,
        PermanentError with its kinds, PreconditionFailed, TransientError, and what the body raises.
        """
        call = _Call(method, self.base_url + path, params, form, json, body, headers, about, silence)
        safe = method in IDEMPOTENT if idempotent is None else idempotent
        response = self._insistently(call, safe=safe) if insists else self._followed(call)
        if not 200 <= response.status_code < 300 and response.status_code not in accept:
            raise self.error(response, about)
        if not stream:
            self._read(response, call)
        return response

    def close(self) -> None:
        self._http.close()

    # -- sending -----------------------------------------------------------------

    def _insistently(self, call: _Call, *, safe: bool) -> requests.Response:
        """Again where it was surely not carried out, or may be carried out twice."""
        with attempts() as tries:
            while True:
                tries.check(call.request)
                try:
                    response = self._followed(call)
                except TransientError as error:
                    if not safe:
                        raise
                    tries.wait(error, self.clock.sleep)
                    continue
                asked = errors.pause(response)
                if asked is None:
                    return response
                errors.drop(response)
                tries.wait(self._put_off(call, response, asked), self.clock.sleep)

    def _put_off(self, call: _Call, response: requests.Response, asked: float) -> TransientError:
        """Refused before anything was done (429, or 503 with a time)."""
        said = f"{self._whose}{call}: the service puts us off (status {response.status_code})"
        return counted(TransientError(said, path=call.about, retry_after=asked), call.request)

    def _followed(self, call: _Call) -> requests.Response:
        """Redirects are followed for reads, on the same host: credentials go nowhere else."""
        for _ in range(REDIRECTS + 1):
            response = self._once(call)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            errors.drop(response)
            target = onward(call.url, response.headers.get("Location", ""))
            if call.method not in IDEMPOTENT or target is None or not same_origin(target, self.base_url):
                raise PermanentError(
                    f"{self._whose}{call}: redirected elsewhere, which is not followed",
                    hint="check the url of the account",
                    path=call.about,
                )
            call = _Call(call.method, target, None, None, None, None, call.headers, call.about, call.silence)
        raise PermanentError(f"{self._whose}{call}: redirected in circles", path=call.about)

    def _once(self, call: _Call) -> requests.Response:
        opened = Opened(call.body) if call.body is not None else None
        headers = dict(call.headers or {})
        if call.body is not None:
            headers.setdefault("Content-Type", call.body.content_type)
        with reaching(call.url, about=call.about, account=self._account, request=call.request):
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
        with reaching(call.url, about=call.about, account=self._account, request=call.request):
            response._content = whole(  # so that `content` and `json()` work as after a plain request
                response,
                most=ANSWER_BYTES,
                seconds=WHOLE_SECONDS,
                what=str(call),
                about=call.about,
                now=self.clock.monotonic,
            )

    def error(self, response: requests.Response, about: str) -> StoreError:
        """What a refusal means; a 403 is about the login only if nothing else is answered either."""
        error = errors.error(response, about)
        if isinstance(error, TransientError):
            return counted(error, f"{response.request.method} {response.url}")
        if response.status_code == 403 and not self._admitted():
            return AuthError(errors.REFUSED, hint=errors.LOGIN_HINT)
        return error

    def _admitted(self) -> bool:
        """Whether the login is good; a 403 is then about the path alone."""
        response = self._once(_Call("GET", self.base_url + self._proof))
        errors.drop(response)
        return response.status_code not in (401, 403)


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
        return f"{self.method} {place(self.url)}{urlsplit(self.url).path}"

    @property
    def request(self) -> str:
        """What tells it from other requests; a body is known by what it is about."""
        return (
            f"{self.method} {self.url} {self.params or ''} {'' if self.method in IDEMPOTENT else self.about}"
        )


def pieces(response: requests.Response, about: str = "", size: int = PIECE) -> Iterator[bytes]:
    """The content as it comes, at most `size` bytes at once; the connection is given back at the end.

    Raises TransientError where it breaks off, also where it is shorter than Content-Length.
    """
    try:
        with reaching(response.url, about=about):
            yield from response.iter_content(size)
    finally:
        response.close()
