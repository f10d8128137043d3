"""HTTP client of Orange Cloud: the bearer token and its renewal, rate limits, Orange's errors.

Sent again are only requests that the service surely did not carry out (a refused token, a rate limit, a
service over capacity), and a GET after a network error; see `stores.http.client`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
import urllib3

from syncer.engine.interfaces import Clock
from syncer.errors import PermanentError, StoreError, TransientError
from syncer.stores.http.client import CONNECT_SECONDS, HttpClient, Request, counted_error
from syncer.stores.http.origins import host_port
from syncer.stores.orange import errors
from syncer.stores.orange.errors import Refusal
from syncer.stores.orange.token import Bearer

READ_SECONDS = 120.0  # a big folder's listing was seen to take its time
TOTAL_SECONDS = 600.0  # to read a whole response, however slowly its bytes arrive
ANSWER_BYTES = 4 << 20
FLAT_BYTES = 16 << 20  # of the listing of a whole tree, of which there is one at a time
_REFUSAL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OrangeRequest(Request):
    """A request to Orange Cloud."""

    headers: Mapping[str, str] = field(default_factory=lambda: {"Accept": "application/json"})

    def __str__(self) -> str:
        """For messages: an id in the path would hold the name of a user's file."""
        return f"{self.method} {host_port(self.url)}"


class OrangeSession(HttpClient):
    """Safe to share between threads."""

    def __init__(self, bearer: Bearer, *, clock: Clock, account: str = "") -> None:
        """`account`: its name in the config, for messages."""
        super().__init__(
            clock=clock,
            timeouts=(CONNECT_SECONDS, READ_SECONDS),
            total_seconds=TOTAL_SECONDS,
            account=account,
        )
        self._bearer = bearer

    def _authorized(self, request: Request) -> requests.Response:
        """With a token that has not expired; one that the service refuses as expired is renewed once."""
        token = self._bearer.living()
        response = self._send_once(request, _BearerAuth(token))
        if response.status_code != 401:
            return response
        refusal = _refusal(response)
        if not refusal.expired:
            raise self._error(refusal, request)
        return self._send_once(request, _BearerAuth(self._bearer.renewed(token)))

    def _postponed(self, response: requests.Response, request: Request) -> TransientError | None:
        if response.status_code not in (403, 503):
            return None
        refusal = _refusal(response)
        if not refusal.later:
            return None
        error = self._error(refusal, request)
        return error if isinstance(error, TransientError) else None

    def _refused(self, response: requests.Response, request: Request) -> StoreError:
        return self._error(_refusal(response), request)

    def _error(self, refusal: Refusal, request: Request) -> StoreError:
        if 300 <= refusal.status < 400:
            return PermanentError(
                f"{request}: redirected elsewhere, which is not followed", path=request.about
            )
        naming = request.method == "POST"
        error = errors.error(refusal, request.about, again=self._bearer.again, naming=naming)
        return counted_error(error, request.key)


class _BearerAuth(requests.auth.AuthBase):
    """One token for one request; without an `auth` requests would take a password from `.netrc`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refusal(response: requests.Response) -> Refusal:
    """The content of a refusal, which ends the response; it can be read again afterwards."""
    try:
        body = next(response.iter_content(_REFUSAL_BYTES), b"")
    except (OSError, requests.RequestException, urllib3.exceptions.HTTPError):
        body = b""
    finally:
        response.close()
    response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
    return errors.read(response.status_code, body)
