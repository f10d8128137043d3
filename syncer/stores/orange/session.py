"""Requests to Orange's two hosts: the bearer, one renewal of it, throttling, errors as Syncer's own.

It knows no endpoint. Sent again here, by the one retry policy, is only what was surely not carried out (a
refused token, a rate limit, a service over capacity), with its body opened anew, and a GET after a broken
connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
import urllib3

from syncer.engine.interfaces import Clock
from syncer.errors import PermanentError, TransientError
from syncer.stores.http import adapter as http
from syncer.stores.http.bodies import Body, Opened
from syncer.stores.http.content import whole
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import place
from syncer.stores.orange import errors
from syncer.stores.orange.errors import Refusal
from syncer.stores.orange.token import Bearer
from syncer.stores.retry_policy import attempts, counted

CONNECT_SECONDS, READ_SECONDS = 10.0, 120.0  # a big folder's answer was seen to take its time
WHOLE_SECONDS = 600.0  # for an answer that is read at once, however slowly it drips
ANSWER_BYTES = 4 << 20
FLAT_BYTES = 16 << 20  # of the listing of a whole tree, of which there is one at a time
_REFUSAL_BYTES = 64 << 10


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
    most: int = ANSWER_BYTES

    def __str__(self) -> str:
        """For messages: no query, which may hold secrets."""
        return f"{self.method} {place(self.url)}"

    @property
    def request(self) -> str:
        """What tells it from other requests; a body is known by what it is about."""
        return f"{self.method} {self.url} {dict(self.params)} {'' if self.method == 'GET' else self.about}"


class OrangeSession:
    """Safe to share between threads."""

    def __init__(self, bearer: Bearer, *, clock: Clock, account: str = "") -> None:
        """`account`: its name in the config, for messages."""
        self.clock = clock
        self._account = account
        self._bearer = bearer
        self._http = http.Session()

    def send(self, call: Call, *, stream: bool = False) -> requests.Response:
        """The answer of status 2xx; its content read, or (`stream`) left to `pieces`.

        Raises AuthError, PermanentError with its kinds, PreconditionFailed, TransientError, and what the
        body raises.
        """
        with attempts() as tries:
            while True:
                tries.check(call.request)
                try:
                    response = self._admitted(call)
                except TransientError as error:
                    if call.method != "GET":
                        raise
                    tries.wait(error, self.clock.sleep)
                    continue
                if 200 <= response.status_code < 300:
                    break
                refusal = _refusal(response, call)
                found = self._error(refusal, call)
                if not refusal.later or not isinstance(found, TransientError):
                    raise found
                tries.wait(found, self.clock.sleep)
        if not stream:
            self._read(response, call)
        return response

    def close(self) -> None:
        self._http.close()

    def _admitted(self, call: Call) -> requests.Response:
        """With a living token; one that is refused is renewed once."""
        token = self._bearer.living()
        response = self._once(call, token)
        if response.status_code != 401:
            return response
        refusal = _refusal(response, call)
        if not refusal.expired:
            raise self._error(refusal, call)
        return self._once(call, self._bearer.renewed(token))

    def _once(self, call: Call, token: str) -> requests.Response:
        opened = Opened(call.body) if call.body is not None else None
        headers = {"Accept": "application/json", **call.headers}
        if call.body is not None:
            headers["Content-Type"] = call.body.content_type
        with reaching(call.url, about=call.about, account=self._account, request=call.request):
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
        with reaching(call.url, about=call.about, account=self._account, request=call.request):
            response._content = whole(  # so that `content` works as after a plain request
                response,
                most=call.most,
                seconds=WHOLE_SECONDS,
                what=str(call),
                about=call.about,
                now=self.clock.monotonic,
            )

    def _error(self, refusal: Refusal, call: Call) -> Exception:
        if 300 <= refusal.status < 400:
            return PermanentError(f"{call}: redirected elsewhere, which is not followed", path=call.about)
        naming = call.method == "POST"
        found = errors.error(refusal, call.about, again=self._bearer.again, naming=naming)
        return counted(found, call.request) if isinstance(found, TransientError) else found


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
    return errors.read(response.status_code, body)
