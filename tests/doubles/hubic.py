"""Hubic's front as its clients saw it: the OAuth 2 pages and the REST API that handed out Swift's tokens.

    double = HubicDouble(SwiftTokens(swift))
    with Served(double.faults) as served:
        …                                           # api_url=served.url

Answers that Hubic gave when something was wrong with it (an empty 200, HTML, 500, 301) are scripted
by `double.faults`. Its storage is the real Swift. Facts: what `lhubic` and its like relied on.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.doubles.faults import Faults
from tests.doubles.swift_tokens import SwiftTokens

CODE_LIFE = 60.0  # seconds
FORM = """<html><body><form method="post"><p class="{kind}">{words}</p>
<input type="text" name="login"><input type="password" name="user_pwd">
<input type="hidden" name="action" value="accepted">
<input type="hidden" name="oauth" value="{number}"></form></body></html>"""


@dataclass(kw_only=True)
class Grant:
    """What a user allowed an application; only the newest of a pair of them counts."""

    client: str
    user: str
    scope: frozenset[str]
    refresh: str = field(default_factory=lambda: secrets.token_hex(32))


@dataclass(kw_only=True)
class Asked:
    """A login page that was shown."""

    client: str
    redirect: str
    scope: frozenset[str]
    state: str | None


class HubicDouble:
    """One application (`client_id`, `client_secret`, `redirect_uri`), one user."""

    client_id, client_secret = "api_hubic_made_up", "made-up-client-secret"
    redirect_uri = "http://localhost:8080/"
    user, password = "alice@example.net", "made-up & password"

    def __init__(self, tokens: SwiftTokens) -> None:
        self.tokens = tokens
        self.now = 0.0  # seconds; a test moves it
        self.bearer_life = 21600.0
        self.token_life = 86400.0  # said of Swift's tokens; negative: a date in the past
        self.zone = timezone(timedelta(hours=2))
        self.host = "127.0.0.1"  # of the storage endpoint
        self.cured = True  # False: every bearer is refused, as one that no refresh can cure
        self.quota, self.used = 26843545600, 1048576
        self.pages: dict[str, Asked] = {}
        self.codes: dict[str, tuple[float, Grant, str]] = {}
        self.grants: dict[str, Grant] = {}  # by refresh token
        self.bearers: dict[str, tuple[float, Grant]] = {}
        routes = [
            Route("/oauth", lambda _: RedirectResponse("/oauth/auth/", 301)),
            *(Route(f"/oauth/auth{end}", self._auth, methods=["GET", "POST"]) for end in ("", "/")),
            *(Route(f"/oauth/token{end}", self._token, methods=["POST"]) for end in ("", "/")),
            Route("/1.0/account", self._account),
            Route("/1.0/account/credentials", self._credentials),
            Route("/1.0/account/usage", self._usage),
        ]
        self.faults = Faults(Starlette(routes=routes))

    def authorize(self, *scope: str) -> str:
        """A refresh token as the user's browser would have got one. Voids the one before."""
        grant = Grant(
            client=self.client_id, user=self.user, scope=frozenset(scope or ("credentials.r", "usage.r"))
        )
        return self._settle(grant).refresh

    def expire_bearers(self) -> None:
        """As if hours had gone by."""
        self.bearers = {token: (self.now - 1, grant) for token, (_, grant) in self.bearers.items()}

    # -- OAuth ------------------------------------------------------------------

    async def _auth(self, request: Request) -> Response:
        if request.method == "GET":
            return self._page(request)
        words = dict(parse_qsl((await request.body()).decode()))
        asked = self.pages.get(words.get("oauth", ""))
        if asked is None or words.get("action") != "accepted":
            return HTMLResponse(FORM.format(kind="text-error", words="Session expired", number=""))
        if (words.get("login"), words.get("user_pwd")) != (self.user, self.password):
            number = words["oauth"]
            return HTMLResponse(FORM.format(kind="text-error", words="Wrong login", number=number))
        grant = Grant(client=asked.client, user=self.user, scope=asked.scope)
        code = secrets.token_hex(16)
        self.codes[code] = (self.now + CODE_LIFE, grant, asked.redirect)
        answer = {"code": code, "scope": ",".join(sorted(asked.scope))}
        if asked.state is not None:
            answer["state"] = asked.state
        return RedirectResponse(f"{asked.redirect}?{urlencode(answer)}", 302)

    def _page(self, request: Request) -> Response:
        query = request.query_params
        scope = frozenset(filter(None, query.get("scope", "").split(",")))
        wrong = ""
        if query.get("client_id") != self.client_id:
            wrong = "unauthorized_client"
        elif query.get("redirect_uri") != self.redirect_uri:
            wrong = "invalid_request"
        elif query.get("response_type") != "code":
            wrong = "unsupported_response_type"
        elif not all(entry.partition(".")[2] for entry in scope):
            wrong = "invalid_scope"
        if wrong:
            words = urlencode({"error": wrong, "error_description": "see the documentation"})
            return RedirectResponse(f"{self.redirect_uri}?{words}", 302)
        number = str(secrets.randbelow(900_000) + 100_000)
        self.pages[number] = Asked(
            client=self.client_id, redirect=self.redirect_uri, scope=scope, state=query.get("state")
        )
        return HTMLResponse(FORM.format(kind="lead", words="Sign in", number=number))

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if self._client(request, form) != (self.client_id, self.client_secret):
            return _error(401, "invalid_client", "invalid client")
        if form.get("grant_type") == "refresh_token":
            grant = self.grants.get(form.get("refresh_token", ""))
            if grant is None:
                return _error(400, "invalid_grant", "invalid refresh token")
            return JSONResponse(self._bearer(grant))
        if form.get("grant_type") != "authorization_code":
            return _error(400, "unsupported_grant_type", "unsupported grant type")
        end, grant, redirect = self.codes.pop(form.get("code", ""), (0.0, None, ""))
        if grant is None or end <= self.now or redirect != form.get("redirect_uri"):
            return _error(400, "invalid_grant", "invalid code")
        self._settle(grant)
        return JSONResponse({"refresh_token": grant.refresh, **self._bearer(grant)})

    def _settle(self, grant: Grant) -> Grant:
        pair = (grant.client, grant.user)
        self.grants = {token: g for token, g in self.grants.items() if (g.client, g.user) != pair}
        self.grants[grant.refresh] = grant
        return grant

    @staticmethod
    def _client(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            return name, secret
        return form.get("client_id", ""), form.get("client_secret", "")

    def _bearer(self, grant: Grant) -> dict[str, object]:
        token = secrets.token_hex(32)
        self.bearers[token] = (self.now + self.bearer_life, grant)
        return {"expires_in": int(self.bearer_life), "access_token": token, "token_type": "Bearer"}

    # -- the REST API -----------------------------------------------------------

    def _account(self, request: Request) -> Response:
        return self._refusal(request, None) or _json(
            {"email": self.user, "activated": True, "status": "ok", "offer": "25g", "language": "en"}
        )

    def _credentials(self, request: Request) -> Response:
        refusal = self._refusal(request, "credentials")
        if refusal is not None:
            return refusal
        endpoint, token = self.tokens.give(self.host)
        end = datetime.now(self.zone) + timedelta(seconds=self.token_life)
        return _json({"token": token, "endpoint": endpoint, "expires": end.isoformat(timespec="seconds")})

    def _usage(self, request: Request) -> Response:
        return self._refusal(request, "usage") or _json({"quota": self.quota, "used": self.used})

    def _refusal(self, request: Request, entry: str | None) -> Response | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        end, grant = self.bearers.get(token, (0.0, None))
        if kind != "Bearer" or grant is None or not self.cured:
            return _error(401, "invalid_token", "not found")
        if end <= self.now:
            return _error(401, "invalid_token", "expired")
        if entry is not None and f"{entry}.r" not in grant.scope:
            return _error(403, "insufficient_scope", entry)
        return None


def _error(status: int, error: str, description: str) -> Response:
    return _json({"error": error, "error_description": description}, status)


def _json(content: object, status: int = 200) -> Response:
    return JSONResponse(content, status, media_type="application/json; charset=utf8")
