"""Who may ask: HTTP Basic with a key and a password, or OAuth 1.0a with PLAINTEXT signatures (RFC 5849).

The steps by which an OAuth token is got are here too. The person who allows it always does, at once.
Nonces and timestamps are not checked: nothing is known of what the service did with them.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

_FORM = "application/x-www-form-urlencoded"


def secret() -> str:
    """Forty characters: the official client takes none below thirty."""
    return secrets.token_hex(20)


@dataclass(slots=True, kw_only=True)
class Grant:
    """A request token on its way to an access token."""

    consumer: str
    secret: str
    callback: str
    verifier: str = ""


@dataclass(slots=True)
class Credentials:
    """What is accepted. `key` and `password` are the pair that a test uses unless it needs more."""

    key: str = field(default_factory=secret)
    password: str = field(default_factory=secret)
    client_token: str = field(default_factory=secret)
    client_secret: str = field(default_factory=secret)
    access: dict[str, tuple[str, str]] = field(default_factory=dict)  # token: (its secret, its consumer)
    grants: dict[str, Grant] = field(default_factory=dict)
    revoked: bool = False

    def grant(self) -> tuple[str, str]:
        """An access token and its secret, without the dance."""
        token, its_secret = secret(), secret()
        self.access[token] = (its_secret, self.client_token)
        return token, its_secret

    def admits(self, header: str) -> bool:
        """Whether this `Authorization` header is somebody's."""
        if self.revoked:
            return False
        kind, _, rest = header.partition(" ")
        if kind.lower() == "basic":
            return _basic(rest) == (self.key, self.password)
        if kind.lower() == "oauth":
            fields = _fields(rest)
            its_secret, consumer = self.access.get(fields.get("oauth_token", ""), ("", ""))
            return consumer == fields.get("oauth_consumer_key") and self.signed(fields, its_secret)
        return False

    def signed(self, fields: dict[str, str], token_secret: str = "") -> bool:
        """RFC 5849, 3.4.4: both secrets, each encoded, with an ampersand between."""
        return (
            not self.revoked
            and fields.get("oauth_consumer_key") == self.client_token
            and fields.get("oauth_signature_method") == "PLAINTEXT"
            and fields.get("oauth_signature") == f"{quote(self.client_secret, '')}&{quote(token_secret, '')}"
        )


def _basic(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _fields(header: str) -> dict[str, str]:
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', header)}


def oauth_routes(credentials: Credentials) -> list[Route]:
    """The three addresses of the dance, under `oauth/`."""

    async def request_token(request: Request) -> Response:
        fields = _fields(request.headers.get("authorization", ""))
        if not credentials.signed(fields):
            return _unverified()
        token = secret()
        callback = fields.get("oauth_callback", "oob")
        grant = Grant(consumer=credentials.client_token, secret=secret(), callback=callback)
        credentials.grants[token] = grant
        return _pair(token, grant.secret)

    async def authorize(request: Request) -> Response:
        token = request.query_params.get("oauth_token", "")
        grant = credentials.grants.get(token)
        if grant is None:
            return _unverified()
        grant.verifier = secret()
        if grant.callback != "oob":
            query = urlencode({"oauth_token": token, "oauth_verifier": grant.verifier})
            joint = "&" if "?" in grant.callback else "?"
            return RedirectResponse(f"{grant.callback}{joint}{query}", status_code=302)
        return HTMLResponse(f"<p>Your verification code: <code>{grant.verifier}</code></p>")

    async def access_token(request: Request) -> Response:
        fields = _fields(request.headers.get("authorization", ""))
        grant = credentials.grants.get(fields.get("oauth_token", ""))
        if grant is None or not grant.verifier or fields.get("oauth_verifier") != grant.verifier:
            return _unverified()
        if not credentials.signed(fields, grant.secret):
            return _unverified()
        del credentials.grants[fields["oauth_token"]]
        return _pair(*credentials.grant())

    return [
        Route("/oauth/request_token/", request_token, methods=["GET", "POST"]),
        Route("/oauth/authorize/", authorize, methods=["GET"]),
        Route("/oauth/access_token/", access_token, methods=["GET", "POST"]),
    ]


def _pair(token: str, its_secret: str) -> Response:
    return Response(urlencode({"oauth_token": token, "oauth_token_secret": its_secret}), media_type=_FORM)


def _unverified() -> Response:
    return PlainTextResponse("Could not verify OAuth request.", status_code=401)
