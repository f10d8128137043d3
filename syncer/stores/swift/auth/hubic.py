"""The Hubic login: OAuth 2 in front of a Swift account. The service closed in 2022; the protocol is kept.

Three tokens: a refresh token or user and password get a bearer, the bearer gets Swift's token and endpoint.
Source: the protocol as the `lhubic` and `swift` command line wrappers used it (api.hubic.com, 2013-2022).
Not here: links, agreements, and whatever else the REST API offered.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from threading import Lock
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, StoreError, TransientError
from syncer.stores.http.origins import bound, host_port, redirect_within_origin
from syncer.stores.retry_policy import attempts, counted
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.http import (
    LoginResponse,
    Secret,
    ask,
    by_date,
    by_seconds,
    guarded,
    host_of,
    missing_hint,
    storage_of,
    wanted,
)

API_URL = "https://api.hubic.com/"
REDIRECT_URI = "http://localhost:8080/"
CONTAINER = "default"  # the one that Hubic's own clients show
_SCOPE = (("usage", "r"), ("account", "r"), ("credentials", "r"))
_HOPS = 3
_REDIRECTS = (301, 302, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubicApplication:
    """What was registered with Hubic, and who uses it: `password` or `refresh_token`, or both."""

    client_id: str
    client_secret: Secret = field(repr=False)
    username: str = ""
    password: Secret | None = field(default=None, repr=False)
    refresh_token: Secret | None = field(default=None, repr=False)
    api_url: str = API_URL
    redirect_uri: str = REDIRECT_URI
    insecure: bool = False

    @classmethod
    def settled(
        cls,
        environ: Mapping[str, str],
        *,
        client_id: str | None = None,
        username: str | None = None,
        api_url: str | None = None,
        redirect_uri: str | None = None,
        insecure: bool = False,
        **given: Secret | None,
    ) -> HubicApplication:
        """What is not given comes from HUBIC_*, its secrets for the endpoint that HUBIC_API_URL names.

        Raises AuthError without an id and a secret, ConfigError.
        """
        environ, exported = fitting(environ, api_url), environ
        api_url = api_url or environ.get("HUBIC_API_URL") or API_URL
        guarded("hubic", api_url, key="api_url", insecure=insecure)
        known = {
            name: given.get(name) or _kept(environ.get(f"HUBIC_{name.upper()}", ""))
            for name in ("client_secret", "password", "refresh_token")
        }
        client_id, secret = client_id or environ.get("HUBIC_CLIENT_ID", ""), known["client_secret"]
        try:
            wanted("hubic", client_id=client_id, client_secret=secret)
        except AuthError as error:
            if environ is not exported:
                theirs = exported.get("HUBIC_API_URL") or API_URL
                error.hint += (
                    f"; what is exported is for {theirs}: HUBIC_API_URL says for which endpoint it is"
                )
            raise
        assert secret is not None
        return cls(
            client_id=client_id,
            client_secret=secret,
            username=username or environ.get("HUBIC_USERNAME", ""),
            password=known["password"],
            refresh_token=known["refresh_token"],
            api_url=api_url,
            redirect_uri=redirect_uri or environ.get("HUBIC_REDIRECT_URI") or REDIRECT_URI,
            insecure=insecure,
        )

    @property
    def by_password(self) -> bool:
        """Whether it can log in without a person."""
        return bool(self.username and self.password)

    def authorization_url(self, state: str) -> str:
        """The page where a person logs in and consents; it leads to `redirect_uri?code=…&state=…`."""
        query = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": ",".join(f"{entry}.{rights}" for entry, rights in _SCOPE),
            "state": state,
        }
        return f"{self.base}oauth/auth/?{urlencode(query)}"

    @property
    def base(self) -> str:
        return self.api_url.rstrip("/") + "/"


def fitting(environ: Mapping[str, str], api_url: str | None) -> Mapping[str, str]:
    """The environment, without the secrets that were exported for another endpoint."""
    secrets_ = ("HUBIC_CLIENT_SECRET", "HUBIC_PASSWORD", "HUBIC_REFRESH_TOKEN")
    return bound(environ, "HUBIC_API_URL", api_url, *secrets_, public=API_URL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bearer:
    token: str = field(repr=False)
    expires_at: float | None


class HubicLogin:
    """A `Login` that remembers what must not be asked for twice.

    To authorize again voids the refresh token that the same user and application had before; so the one
    that a login by password brought is kept, and used for the next ones.
    """

    def __init__(self, application: HubicApplication, *, clock: Clock) -> None:
        self._application = application
        self._clock = clock
        self._lock = Lock()
        self._refresh: str = ""
        self._bearer: _Bearer | None = None

    @classmethod
    def settled(
        cls,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        client_id: str | None = None,
        username: str | None = None,
        api_url: str | None = None,
        redirect_uri: str | None = None,
        insecure: bool = False,
        **given: Secret | None,
    ) -> HubicLogin:
        """What is not given comes from HUBIC_*. Raises AuthError where something is missing."""
        application = HubicApplication.settled(
            environ,
            client_id=client_id,
            username=username,
            api_url=api_url,
            redirect_uri=redirect_uri,
            insecure=insecure,
            **given,
        )
        if not application.refresh_token and not application.by_password:
            raise AuthError(
                "hubic: neither a refresh token nor user and password",
                hint=missing_hint("hubic", ["username", "password"])
                + "; or refresh_token, HUBIC_REFRESH_TOKEN; or log in: syncer login ACCOUNT",
            )
        return cls(application, clock=clock)

    def log_in(self) -> Access:
        """As `Login.log_in`. The endpoint may be another one each time."""
        answer = self._api("1.0/account/credentials")
        token, endpoint = answer.text("token"), answer.text("endpoint")
        if not answer.ok or not token or not endpoint:
            raise _refused(
                answer, "gives no credentials", "accept the terms in the account's pages, and try again"
            )
        try:
            expires = datetime.fromisoformat(answer.text("expires"))
        except ValueError:
            expires = None
        return Access(
            storage_url=storage_of(endpoint, insecure=self._application.insecure),
            token=token,
            expires_at=by_date(expires, self._clock),
        )

    def free_space(self) -> int | None:
        """By `GET /1.0/account/usage`; None where the application has no right to it."""
        usage = self._api("1.0/account/usage").fields() or {}
        quota, used = usage.get("quota"), usage.get("used")
        return max(0, quota - used) if isinstance(quota, int) and isinstance(used, int) else None

    def authorize(self, code: str = "") -> str:
        """A refresh token to be kept: for the code of a person who consented, else by user and password.

        It voids the one that was there before. Raises AuthError, TransientError.
        """
        with self._lock:
            self._refresh = ""
            self._bearer = self._redeemed(code or self._code())
            if not self._refresh:
                raise AuthError(f"{host_of(self._application.base)}: no refresh token came", hint=_AGAIN)
            return self._refresh

    # -- the REST API ----------------------------------------------------------

    def _api(self, path: str) -> LoginResponse:
        """Asks with the bearer; a refused one is renewed once."""
        with self._lock:
            answer = self._with(self._living(), path)
            if answer.status == 401:
                self._bearer = None
                answer = self._with(self._living(), path)
        if answer.status == 401:
            raise _refused(answer, "refuses the bearer it just gave", _AUTHORIZE)
        if answer.ok and answer.fields() is None:
            raise TransientError(f"{answer.host}: an empty or broken answer")
        return answer

    def _with(self, bearer: _Bearer, path: str) -> LoginResponse:
        headers = {"Authorization": f"Bearer {bearer.token}"}
        return ask("GET", urljoin(self._base, path), headers=headers)

    def _living(self) -> _Bearer:
        bearer = self._bearer
        if bearer is None or (bearer.expires_at is not None and bearer.expires_at <= self._clock.monotonic()):
            bearer = self._bearer = self._fresh()
        return bearer

    # -- OAuth ------------------------------------------------------------------

    def _fresh(self) -> _Bearer:
        by_password = self._application.by_password
        given = self._application.refresh_token
        refresh = self._refresh or (given() if given else "")
        if refresh:
            answer = self._token([("grant_type", "refresh_token"), ("refresh_token", refresh)])
            if answer.ok:
                return self._kept(answer)
            if not by_password or answer.text("error") != "invalid_grant":
                raise _refused(answer, "refuses the refresh token", _AUTHORIZE)
            self._refresh = ""
        return self._redeemed(self._code())

    def _redeemed(self, code: str) -> _Bearer:
        form = [("grant_type", "authorization_code"), ("code", code)]
        answer = self._token([*form, ("redirect_uri", self._application.redirect_uri)])
        if not answer.ok:
            wrong_code = answer.text("error") == "invalid_grant"
            what, hint = ("the code", _AGAIN) if wrong_code else ("the application", _APPLICATION)
            raise _refused(answer, f"refuses {what}", hint)
        return self._kept(answer)

    def _kept(self, answer: LoginResponse) -> _Bearer:
        self._refresh = answer.text("refresh_token") or self._refresh
        life = (answer.fields() or {}).get("expires_in")
        return _Bearer(token=answer.text("access_token"), expires_at=by_seconds(life, self._clock))

    def _token(self, form: list[tuple[str, str]]) -> LoginResponse:
        """The token endpoint; an empty 200 is its way of saying "not now".

        Redirects lead on only within its own origin.
        """
        url = urljoin(self._base, "oauth/token")
        basic = (self._application.client_id, self._application.client_secret())
        with attempts() as tries:
            while True:
                answer = self._post(url, form, basic)
                if not answer.ok or answer.text("access_token"):
                    return answer
                empty = TransientError(f"{host_port(url)}: the token endpoint gives empty answers")
                tries.wait(counted(empty, f"POST {url}"), self._clock.sleep)

    @staticmethod
    def _post(url: str, form: list[tuple[str, str]], basic: tuple[str, str]) -> LoginResponse:
        for _ in range(_HOPS):
            answer = ask("POST", url, form=form, basic=basic)
            target = redirect_within_origin(url, answer.headers.get("Location", ""))
            if answer.status not in _REDIRECTS or target is None:
                return answer
            url = target
        return answer

    def _code(self) -> str:
        """By the login form: its number, then user and password. The code is in a redirect."""
        password = self._application.password
        assert password is not None
        state = secrets.token_urlsafe(16)
        page = ask("GET", self._application.authorization_url(state))
        form = _Form.of(page)
        if page.status != 200 or not form.number:
            raise _refused(page, "refuses the application", _APPLICATION)
        words = [("oauth", form.number), *_SCOPE, ("action", "accepted")]
        words += [("login", self._application.username), ("user_pwd", password())]
        granted = ask("POST", urljoin(self._base, "oauth/auth/"), form=words)
        try:
            query = urlsplit(granted.headers.get("Location", "")).query
            found = parse_qs(query, max_num_fields=50)
        except ValueError:  # an address with a port that is no number
            found = {}
        if granted.status == 200:
            raise _refused(granted, "refuses user or password", _USER)
        if "code" not in found or found.get("state") != [state]:
            raise _refused(granted, "grants no code", _APPLICATION)
        return found["code"][0]

    @property
    def _base(self) -> str:
        return self._application.base


class _Form(HTMLParser):
    """The hidden number of the login form."""

    number = ""

    @classmethod
    def of(cls, page: LoginResponse) -> _Form:
        form = cls()
        form.feed(page.body.decode("utf-8", "replace"))
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        words = dict(attrs)
        if tag == "input" and words.get("name") == "oauth":
            self.number = words.get("value") or ""


_AUTHORIZE = (
    "authorize anew: log in (syncer login ACCOUNT), or set another refresh_token (HUBIC_REFRESH_TOKEN), "
    "or username and password"
)
_AGAIN = "log in again: syncer login ACCOUNT"
_APPLICATION = "check client_id, client_secret and redirect_uri (HUBIC_CLIENT_ID, HUBIC_CLIENT_SECRET)"
_USER = "check username and password (HUBIC_USERNAME, HUBIC_PASSWORD)"


def _refused(answer: LoginResponse, what: str, hint: str) -> StoreError:
    """The service's own words are shown where they are its error codes."""
    code = answer.text("error")
    said = code if code.replace("_", "").isalpha() else ""
    return AuthError(
        f"{answer.host}: {what} ({', '.join(filter(None, (str(answer.status), said)))})", hint=hint
    )


def _kept(value: str) -> Secret | None:
    return (lambda: value) if value else None
