"""The double's OAuth 2: consent, codes, tokens, and access tokens that end on either host."""

from __future__ import annotations

import base64
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.doubles.orange.options import Options

LIFE = 3600


@dataclass(slots=True, kw_only=True)
class Login:
    """One registered application and one user. `consents`: what the user answers on the page."""

    options: Options
    client_id: str = "client-of-the-double"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    redirect_uri: str = "http://syncer.example:8123/back"
    consents: bool = True
    revoked: bool = False  # no refresh token is accepted
    clock: Callable[[], float] = time.time
    refreshes: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _codes: set[str] = field(default_factory=set)
    _refresh: set[str] = field(default_factory=set)
    _access: dict[str, float] = field(default_factory=dict)  # until when
    _ended: set[tuple[str, str]] = field(default_factory=set)  # (host, token)

    def grant(self) -> dict[str, object]:
        """Tokens of a user who consented."""
        refresh = f"OFR-refresh-{secrets.token_hex(8)}"
        self._refresh.add(refresh)
        return {**self._fresh(), "refresh_token": refresh}

    def expire(self, host: str = "api") -> None:
        """Every access token so far ends on this host (`api` or `content`)."""
        self._ended |= {(host, token) for token in self._access}

    def refusal(self, header: str, host: str) -> int | None:
        """The code of a 401; None for a token that is good on this host."""
        kind, _, token = header.partition(" ")
        if kind != "Bearer" or not token:
            return 40
        if token not in self._access:
            return 41
        return 42 if (host, token) in self._ended or self._access[token] <= self.clock() else None

    async def authorize(self, request: Request) -> Response:
        """The page, consented to or not at once."""
        query = request.query_params
        if query.get("client_id") != self.client_id or query.get("redirect_uri") != self.redirect_uri:
            return JSONResponse({"error": "invalid_client", "error_description": "unknown"}, 400)
        state = query.get("state", "")
        if not self.consents or query.get("response_type") != "code":
            denied = {"error": "access_denied", "error_description": "no", "state": state}
            return RedirectResponse(f"{self.redirect_uri}?{urlencode(denied)}", 302)
        code = f"OFC-{secrets.token_hex(8)}"
        self._codes.add(code)
        return RedirectResponse(f"{self.redirect_uri}?{urlencode({'code': code, 'state': state})}", 302)

    async def token(self, request: Request) -> Response:
        """A code, or a refresh token, for an access token."""
        pair = f"{self.client_id}:{self.client_secret}".encode()
        if request.headers.get("authorization") != f"Basic {base64.b64encode(pair).decode()}":
            return _refused("invalid_client", 401)
        async with request.form() as sent:
            form = dict(sent)
        if form.get("redirect_uri") != self.redirect_uri:
            return _refused("invalid_request")
        if form.get("grant_type") == "authorization_code":
            code = str(form.get("code"))
            if code not in self._codes:
                return _refused("invalid_grant")
            self._codes.remove(code)
            return JSONResponse(self.grant())
        if form.get("grant_type") == "refresh_token":
            return self._refreshed(str(form.get("refresh_token")), scope="scope" in form)
        return _refused("unsupported_grant_type")

    def _refreshed(self, token: str, *, scope: bool) -> Response:
        if scope and self.options.scope_refused:
            return _refused("invalid_scope")
        if self.revoked or token not in self._refresh:
            return _refused("invalid_grant")
        self.refreshes += 1
        if self.options.refresh_again:
            self._refresh.discard(token)
            return JSONResponse(self.grant())
        return JSONResponse(self._fresh())

    def _fresh(self) -> dict[str, object]:
        token = f"OFR-{next(self._numbers)}-{secrets.token_hex(8)}"
        self._access[token] = self.clock() + LIFE
        return {"token_type": "Bearer", "access_token": token, "expires_in": LIFE}


def _refused(error: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": "refused by the double"}, status)
