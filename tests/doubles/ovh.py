"""OVH's API as far as it is the door to Swift: signatures, consumer keys, OAuth 2, projects, storage access.

    double = OvhDouble(SwiftTokens(swift))
    with Served(double.faults) as served:
        …                                           # endpoint=served.url + "1.0"

Gateways' HTML, rate limits, 5xx and lost answers are scripted by `double.faults`. Containers by API, DNS,
billing and the rest of OVH are not here. Facts: OVH's description of its API and python-ovh.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.doubles.faults import Faults
from tests.doubles.swift_tokens import SwiftTokens

WINDOW = 30  # seconds by which a timestamp may be off
ACTIONS = {  # what a service account needs a policy for
    "GET /cloud/project": "publicCloudProject:apiovh:get",
    "POST /cloud/project/*/storage/access": "publicCloudProject:apiovh:storage/access/create",
}
RULES = (("GET", "/cloud/project"), ("GET", "/cloud/project/*"), ("POST", "/cloud/project/*/storage/access"))


@dataclass(kw_only=True)
class Credential:
    """A consumer key: `state` is pendingValidation, validated, refused or expired."""

    application: str
    rules: tuple[tuple[str, str], ...] = RULES
    state: str = "validated"
    allowed_ips: tuple[str, ...] | None = None


@dataclass(kw_only=True)
class Project:
    """Region to the loopback's name that its Swift answers at."""

    regions: dict[str, str] = field(default_factory=lambda: {"GRA": "127.0.0.1"})
    suspended: bool = False


class Refused(Exception):
    """An answer that ends the request: status, `errorCode` of the older shape, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class OvhDouble:
    """One application with one valid consumer key, one service account, one project."""

    key, secret, consumer = "made-up-key", "made-up-application-secret", "made-up-consumer-key"
    client_id, client_secret = "EU.made-up", "made-up-client-secret"
    project = "0aabbccddeeff"

    def __init__(self, tokens: SwiftTokens) -> None:
        self.tokens = tokens
        self.skew = 0  # seconds that this clock is ahead
        self.now: Callable[[], float] = time.time
        self.credentials = {self.consumer: Credential(application=self.key)}
        self.projects = {self.project: Project()}
        self.allowed = set(ACTIONS.values())  # what the service account's policy lets it do
        self.bearer_life = 3599
        self.bearers: dict[str, float] = {}
        self.old_get = 404  # what GET on storage/access answers since it was withdrawn
        self.base = "/1.0"
        routes = [
            Route("/auth/oauth2/token", self._oauth, methods=["POST"]),
            Route("/{path:path}", self._api, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
        self.faults = Faults(Starlette(routes=routes))

    def revoke_bearers(self) -> None:
        """Service accounts must get new tokens, whatever the old ones said of their life."""
        self.bearers.clear()

    # -- who asks ---------------------------------------------------------------

    async def _api(self, request: Request) -> Response:
        body = (await request.body()).decode()
        try:
            path = "/" + request.path_params["path"]
            path = path.removeprefix(self.base)
            found = self._unsigned(request, path, body)
            if found is None:
                self._check(request, path, body)
                found = self._called(request.method, path, request)
            return _json(found)
        except Refused as refused:
            return self._refusal(request, refused)

    def _unsigned(self, request: Request, path: str, body: str) -> object:
        if (request.method, path) == ("GET", "/auth/time"):
            return int(self.now()) + self.skew
        if (request.method, path) == ("POST", "/auth/credential"):
            return self._new_credential(request, body)
        return None

    def _new_credential(self, request: Request, body: str) -> object:
        if request.headers.get("X-Ovh-Application") != self.key:
            raise Refused(403, "INVALID_KEY", "This application key is invalid")
        rules = tuple((rule["method"], rule["path"]) for rule in json.loads(body)["accessRules"])
        key = secrets.token_hex(16)
        self.credentials[key] = Credential(application=self.key, rules=rules, state="pendingValidation")
        url = f"{request.base_url}auth/?credentialToken={secrets.token_hex(8)}"
        return {"validationUrl": url, "consumerKey": key, "state": "pendingValidation"}

    def _check(self, request: Request, path: str, body: str) -> None:
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return self._check_bearer(bearer, f"{request.method} {path}")
        if request.headers.get("X-Ovh-Application") != self.key:
            raise Refused(403, "INVALID_KEY", "This application key is invalid")
        consumer = request.headers.get("X-Ovh-Consumer", "")
        credential = self.credentials.get(consumer)
        if credential is None:
            raise Refused(403, "NOT_CREDENTIAL", "This credential does not exist")
        self._check_signature(request, consumer, body)
        if credential.state != "validated":
            raise Refused(403, "INVALID_CREDENTIAL", "This credential is not valid")
        host = request.client.host if request.client else ""
        if credential.allowed_ips is not None and host not in credential.allowed_ips:
            raise Refused(403, "FORBIDDEN", "Your IP is not allowed")
        if not any(request.method == m and fnmatchcase(path, p) for m, p in credential.rules):
            raise Refused(403, "NOT_GRANTED_CALL", "This call has not been granted")

    def _check_signature(self, request: Request, consumer: str, body: str) -> None:
        stamp = request.headers.get("X-Ovh-Timestamp", "")
        # The URL exactly as it was sent: its encoding and the order of its query count.
        query = request.scope["query_string"].decode()
        target = request.scope["raw_path"].decode() + (f"?{query}" if query else "")
        url = f"http://{request.headers['Host']}{target}"
        text = "+".join((self.secret, consumer, request.method, url, body, stamp))
        if request.headers.get("X-Ovh-Signature") != "$1$" + hashlib.sha1(text.encode()).hexdigest():
            raise Refused(400, "INVALID_SIGNATURE", "Invalid signature")
        if not stamp.isdigit() or abs(int(stamp) - int(self.now()) - self.skew) > WINDOW:
            raise Refused(400, "QUERY_TIME_OUT", "Query out of time")

    def _check_bearer(self, bearer: str, call: str) -> None:
        if self.bearers.get(bearer, 0.0) <= self.now():
            raise Refused(401, "", "Invalid OAuth2 token")
        needed = next((a for pattern, a in ACTIONS.items() if fnmatchcase(call, pattern)), "")
        if needed and needed not in self.allowed:
            raise Refused(403, "IAM", needed)

    async def _oauth(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(value).decode() if kind == "Basic" else ""
        if given != f"{self.client_id}:{self.client_secret}":
            words = {"error": "invalid_client_credentials", "error_description": "wrong id or secret"}
            return _json(words, 401)
        if form.get("grant_type") != "client_credentials":
            return _json({"error": "unsupported_grant_type", "error_description": ""}, 400)
        token = secrets.token_hex(32)
        self.bearers[token] = self.now() + self.bearer_life
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.bearer_life,
            "scope": "all",
        }
        return _json(answer)

    # -- what is asked ----------------------------------------------------------

    def _called(self, method: str, path: str, request: Request) -> object:
        parts = path.strip("/").split("/")
        match (method, parts):
            case ("GET", ["me"]):
                return {"nichandle": "aa1-ovh", "firstname": "Alice", "state": "complete"}
            case ("GET", ["auth", "currentCredential"]):
                return self._current(request.headers["X-Ovh-Consumer"])
            case ("POST", ["auth", "logout"]):
                self.credentials[request.headers["X-Ovh-Consumer"]].state = "expired"
                return None
            case ("GET", ["cloud", "project"]):
                return list(self.projects)
            case ("GET", ["cloud", "project", ident]):
                status = "suspended" if self._known(ident).suspended else "ok"
                return {"project_id": ident, "projectName": "made up", "status": status, "access": "full"}
            case ("GET", ["cloud", "project", _, "storage", "access"]):
                raise Refused(self.old_get, "", "Got an invalid (or empty) URL")
            case ("POST", ["cloud", "project", ident, "storage", "access"]):
                return self._storage(self._known(ident))
        raise Refused(404, "", "Got an invalid (or empty) URL")

    def _current(self, consumer: str) -> object:
        credential = self.credentials[consumer]
        rules = [{"method": method, "path": path} for method, path in credential.rules]
        return {"credentialId": 1, "applicationId": 2, "status": credential.state, "rules": rules}

    def _known(self, ident: str) -> Project:
        project = self.projects.get(ident)
        if project is None:
            raise Refused(404, "", "This service does not exist")
        return project

    def _storage(self, project: Project) -> object:
        if project.suspended:
            raise Refused(460, "", "This service is expired")
        url, token = self.tokens.give()
        endpoints = [
            {"region": region, "url": url.replace("127.0.0.1", host)}
            for region, host in project.regions.items()
        ]
        return {"token": token, "endpoints": endpoints}

    def _refusal(self, request: Request, refused: Refused) -> Response:
        if refused.code == "IAM" or "Authorization" in request.headers:
            details = {"unauthorizedActionsByIAM": refused.message} if refused.code == "IAM" else {}
            kind = "Client::Forbidden" if refused.status == 403 else "Client::Unauthorized"
            return _json({"class": kind, "message": refused.message, "details": details}, refused.status)
        words: dict[str, str] = {"message": refused.message, "httpCode": f"{refused.status} Refused"}
        if refused.code:
            words["errorCode"] = refused.code
        return _json(words, refused.status)


def _json(content: object, status: int = 200) -> Response:
    headers = {"X-OVH-QUERYID": f"EU.ext-1.{secrets.token_hex(4)}"}
    if content is None:
        return Response(status_code=204, headers=headers)
    return JSONResponse(content, status, headers=headers)
