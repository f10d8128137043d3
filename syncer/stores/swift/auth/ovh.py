"""The OVH login: a signed call to OVH's API hands out a token for all Swift regions of a project.

The `ovh` package signs, and reads OVH_* and ovh.conf (not that of the current directory) for what is not
given. A client of it lives for one login, since it reads the server's clock once and keeps an OAuth 2 token
by its own clock. Source: OVH's API, `POST /cloud/project/{serviceName}/storage/access` (GET was withdrawn
in 2016).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from syncer.errors import AuthError, StoreError, TransientError
from syncer.stores.http.origins import is_loopback, origin, same_origin
from syncer.stores.retry_policy import retry_after
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.http import TIMEOUT, Secret, guarded, storage_of

if TYPE_CHECKING:
    import ovh


_SECRETS = ("application_secret", "consumer_key", "client_secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class OvhLogin:
    """`endpoint` is one of the package's names (`ovh-eu`), or the API's base URL (`https://host/1.0`).

    What is None comes from OVH_* or ovh.conf. No `project`: the only one there is; no `region`: likewise.
    """

    endpoint: str | None = None
    application_key: str | None = None
    application_secret: Secret | None = field(default=None, repr=False)
    consumer_key: Secret | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: Secret | None = field(default=None, repr=False)
    project: str | None = None
    region: str | None = None
    conf_file: Path | None = None
    insecure: bool = False

    def log_in(self) -> Access:
        """As `Login.log_in`. OVH does not say when a token ends; a 401 of Swift does."""
        answer = self._call()
        token, endpoints = answer.get("token"), answer.get("endpoints")
        if not isinstance(token, str) or not isinstance(endpoints, list):
            raise AuthError("ovh: the API gave no token for Swift", hint="check project (OVH_PROJECT)")
        return Access(storage_url=storage_of(self._chosen(endpoints), insecure=self.insecure), token=token)

    def free_space(self) -> int | None:
        return None

    def _call(self) -> Mapping[str, Any]:
        """Once more with a new client (clock read anew, another bearer) where that may be a cure."""
        try:
            return self._access()
        except Outdated:
            pass
        try:
            return self._access()
        except Outdated as error:
            raise error.final from None

    def _access(self) -> Mapping[str, Any]:
        import ovh

        try:
            client = self.client()
            project = self._project(client)
            found = client.post(f"/cloud/project/{quote(project, safe='')}/storage/access")
        except (ovh.APIError, ovh.InvalidRegion) as error:
            raise translated(error) from None
        except AttributeError:
            # The package looks for a message in whatever JSON an error brought, a list too.
            raise TransientError("ovh: an error that is not in the API's form") from None
        return found if isinstance(found, dict) else {}

    def client(self) -> ovh.Client:
        """A new one. Raises what the package does."""
        import ovh

        from syncer.stores.http.adapter import GuardedAdapter

        endpoint = self.chosen_endpoint()
        if "://" in endpoint:
            guarded("ovh", endpoint, key="endpoint", insecure=self.insecure)
            _make_known(endpoint)
        self._check_exported(endpoint)
        self._configuration()  # so that the package reads no file of the current directory
        made = ovh.Client(
            endpoint=endpoint,
            application_key=self.application_key,
            application_secret=_revealed(self.application_secret),
            consumer_key=_revealed(self.consumer_key),
            client_id=self.client_id,
            client_secret=_revealed(self.client_secret),
            timeout=TIMEOUT,
            config_file=self.conf_file,
        )
        for scheme in ("http://", "https://"):
            made._session.mount(scheme, GuardedAdapter(connections=1))
        return made

    def _check_exported(self, endpoint: str) -> None:
        """Raises AuthError for secrets of the environment that are for another endpoint.

        The package takes them for any. Where OVH_ENDPOINT names none they are for OVH's own; this machine may
        stand for those.
        """
        from ovh.client import ENDPOINTS

        secrets = (f"OVH_{name.upper()}" for name in _SECRETS if getattr(self, name) is None)
        exported = [name for name in secrets if os.environ.get(name)]
        url, named = ENDPOINTS.get(endpoint, endpoint), os.environ.get("OVH_ENDPOINT", "")
        if named:
            fits = same_origin(url, ENDPOINTS.get(named, named))
        else:
            own = any(url == known for name, known in ENDPOINTS.items() if "://" not in name)
            fits = own or ((found := origin(url)) is not None and is_loopback(found[1]))
        if exported and not fits:
            raise AuthError(
                f"ovh: {' and '.join(exported)} of the environment: not for {url}, "
                f"but for {named or 'OVH itself'}",
                hint="set the keys of this endpoint in the account, or export OVH_ENDPOINT with it",
            )

    def chosen_endpoint(self) -> str:
        """A name or a URL, "" where nobody says one."""
        return self.endpoint or str(self._configuration().get("default", "endpoint") or "")

    def configured(self, name: str) -> str:
        """What OVH_* or ovh.conf say of a name, "" where nothing; also of names that the package ignores."""
        return str(self._configuration().get(self.chosen_endpoint(), name) or "")

    def _configuration(self) -> Any:
        """OVH_* and the files of the package's own, without that of the current directory.

        That one may have come by a sync, and would choose where the keys are sent.
        """
        from ovh import config

        config.CONFIG_PATH[:] = ["/etc/ovh.conf", os.path.expanduser("~/.ovh.conf")]
        found = config.ConfigurationManager()
        if self.conf_file is not None:
            found.read(self.conf_file)
        return found

    def _project(self, client: ovh.Client) -> str:
        named = self.project or self.configured("project")
        if named:
            return named
        found = client.get("/cloud/project")
        if not isinstance(found, list) or len(found) != 1:
            known = ", ".join(map(str, found or [])) or "none"
            raise AuthError(
                "ovh: which project is meant?", hint=f"set project (OVH_PROJECT) to one of: {known}"
            )
        return str(found[0])

    def _chosen(self, endpoints: Sequence[Mapping[str, Any]]) -> str:
        by_region = {str(e.get("region")): str(e.get("url")) for e in endpoints}
        named = self.region or self.configured("region")
        fitting = [url for region, url in by_region.items() if not named or region.lower() == named.lower()]
        if len(fitting) == 1:
            return fitting[0]
        known = ", ".join(sorted(by_region)) or "none"
        what = f"there is no Swift region {named}" if named else "which region is meant?"
        raise AuthError(f"ovh: {what}", hint=f"set region (OVH_REGION) to one of: {known}")


class Outdated(Exception):
    """A refusal that a new client may cure; `final` is what it is called if not."""

    def __init__(self, final: StoreError) -> None:
        super().__init__()
        self.final = final


def _revealed(secret: Secret | None) -> str | None:
    return secret() if secret else None


def _make_known(url: str) -> None:
    """The package knows its endpoints by name; a URL becomes one, with the OAuth 2 front on the same host."""
    from ovh import client

    base = url.rstrip("/")
    name = next((name for name, known in client.ENDPOINTS.items() if known == base), "")
    parts = urlsplit(base)
    own = f"{parts.scheme}://{parts.netloc}/auth/oauth2/token"
    client.ENDPOINTS[url] = base
    client.OAUTH2_TOKEN_URLS[url] = client.OAUTH2_TOKEN_URLS.get(name, own)


_GRANT = "POST on /cloud/project/*/storage/access and GET on /cloud/project"
_OR_OAUTH = "or client_id and client_secret (OVH_APPLICATION_KEY, …, or OVH_CLIENT_ID, …)"
_HINTS = {
    "InvalidKey": "check application_key, application_secret and consumer_key (OVH_APPLICATION_KEY, …)",
    "NotCredential": "check consumer_key (OVH_CONSUMER_KEY): nobody knows it",
    "InvalidCredential": f"make a new consumer key, with {_GRANT}, and validate it (OVH_CONSUMER_KEY)",
    "NotGrantedCall": f"make a consumer key that grants {_GRANT} (OVH_CONSUMER_KEY)",
    "Forbidden": "the API may not be called from this address: check the allowed IPs of consumer_key",
    "BadParametersError": "check application_secret (OVH_APPLICATION_SECRET), endpoint and consumer_key",
    "ResourceNotFoundError": "check project (OVH_PROJECT): it is unknown, or not this account's",
    "ResourceExpiredError": "the project is suspended or expired: see the account's pages",
    "InvalidRegion": "set endpoint (OVH_ENDPOINT) to ovh-eu, ovh-ca or ovh-us, or to a URL",
    "InvalidConfiguration": f"set application_key, application_secret, consumer_key, {_OR_OAUTH}; not both",
}
_IAM = "give the service account the action publicCloudProject:apiovh:storage/access/create"


def translated(error: ovh.APIError) -> Exception:
    """In our words: the package's may hold what was sent."""
    kind, response = type(error).__name__, error.response
    status = response.status_code if response is not None else 0
    call = f", query {error.query_id}" if error.query_id else ""
    if kind == "OAuth2FailureError":
        return _of_oauth(str(error))
    if kind in ("HTTPError", "NetworkError", "InvalidResponse"):
        return TransientError(f"ovh: the API gave no proper answer ({kind})")
    if status == 429 or status >= 500:
        return TransientError(
            f"ovh: the API answers {status}{call}", retry_after=retry_after(response.headers)
        )
    document = error.response.json() if status == 400 else None
    if isinstance(document, dict) and document.get("errorCode") == "QUERY_TIME_OUT":
        return Outdated(TransientError(f"ovh: the clocks here and there disagree{call}"))
    if status == 401:
        return Outdated(AuthError("ovh: the API refuses the token it gave", hint=_IAM))
    hint = _HINTS.get(kind) or _IAM
    return AuthError(f"ovh: the API refuses ({kind}{f' {status}' if status else ''}{call})", hint=hint)


def _of_oauth(text: str) -> StoreError:
    """The package tells the status of a failed token request in its message only."""
    found = re.search(r"status_code=(\d+)", text)
    status = int(found[1]) if found else 0
    if status == 429 or status >= 500:
        return TransientError(f"ovh: the OAuth 2 service answers {status}")
    hint = "check client_id and client_secret (OVH_CLIENT_ID, OVH_CLIENT_SECRET)"
    return AuthError(f"ovh: no OAuth 2 token{f' ({status})' if status else ''}", hint=hint)


# --------------------------------------------------------------------------------
#
# OVH: a new consumer key, with the least rights, that a person has to validate before it works.
#
# Source: OVH's API, `POST /auth/credential` (not signed). Of a key that does not work the API does not say
# whether it is still to be validated or was refused.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A key, and the page where a person validates it."""

    key: str = field(repr=False)
    url: str


def rules(login: OvhLogin) -> list[tuple[str, str]]:
    """Method and path of each call that a run makes: a named project needs no list of them."""
    project = login.project or login.configured("project")
    if project:
        return [("POST", f"/cloud/project/{quote(project, safe='')}/storage/access")]
    return [("GET", "/cloud/project"), ("POST", "/cloud/project/*/storage/access")]


def request(login: OvhLogin) -> Pending:
    """Asks for a new key. Raises AuthError, TransientError."""
    import ovh

    try:
        wanted = login.client().new_consumer_key_request()
        for method, path in rules(login):
            wanted.add_rule(method, path)
        found = wanted.request()
    except (ovh.APIError, ovh.InvalidRegion) as error:
        raise _settled(translated(error)) from None
    except AttributeError:
        # The package looks for a message in whatever JSON an error brought, a list too.
        raise TransientError("ovh: an error that is not in the API's form") from None
    except (KeyError, TypeError):
        found = None  # the package takes the key out of whatever the answer was
    fields = found if isinstance(found, dict) else {}
    key, url = fields.get("consumerKey"), fields.get("validationUrl")
    if not isinstance(key, str) or not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise AuthError("ovh: the API gave no consumer key", hint="check endpoint and application_key")
    return Pending(key=key, url=url)


def validated(login: OvhLogin, pending: Pending) -> bool:
    """Whether the key works by now. Raises AuthError where it never will, TransientError."""
    import ovh

    [(method, path), *_] = rules(login)
    try:
        # The very call that it is for: the API has none that tells the state of a key without a right to it.
        client = replace(login, consumer_key=lambda: pending.key).client()
        client.call(method, path)
    except ovh.InvalidCredential:
        return False
    except (ovh.APIError, ovh.InvalidRegion) as error:
        raise _settled(translated(error)) from None
    except AttributeError:
        raise TransientError("ovh: an error that is not in the API's form") from None
    return True


def _settled(error: Exception) -> StoreError:
    found = error.final if isinstance(error, Outdated) else error
    assert isinstance(found, StoreError)
    return found
