"""The v1 login: user and key in headers. TempAuth, Ceph RGW, DreamObjects, and what came before Keystone.

Source: Swift's `tempauth.py`, python-swiftclient's `get_auth_1_0`, Ceph's `rgw_swift_auth.cc` (answers 204).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError
from syncer.stores.http.origins import bound
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.http import (
    LoginResponse,
    Secret,
    ask,
    by_seconds,
    guarded,
    storage_of,
    wanted,
)

_SERVICE = "swift v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Login:
    """`auth_url` is the whole address (`https://host/auth/v1.0`), `user` usually `account:name`."""

    auth_url: str
    user: str
    key: Secret = field(repr=False)
    clock: Clock = field(repr=False)
    insecure: bool = False

    @classmethod
    def settled(
        cls,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        auth_url: str | None = None,
        user: str | None = None,
        key: Secret | None = None,
        insecure: bool = False,
    ) -> V1Login:
        """What is not given comes from ST_AUTH, ST_USER, ST_KEY. Raises AuthError where nothing does."""
        environ = bound(environ, "ST_AUTH", auth_url, "ST_KEY")
        auth_url = auth_url or environ.get("ST_AUTH", "")
        user = user or environ.get("ST_USER", "")
        default = environ.get("ST_KEY", "")
        wanted(_SERVICE, auth_url=auth_url, user=user, key=key or default)
        guarded(_SERVICE, auth_url, key="auth_url", insecure=insecure)
        return cls(auth_url=auth_url, user=user, key=key or (lambda: default), clock=clock, insecure=insecure)

    def log_in(self) -> Access:
        """As `Login.log_in`; any 2xx with both a token and a storage URL is a success."""
        headers = {"X-Auth-User": self.user, "X-Auth-Key": self.key()}
        answer = ask("GET", self.auth_url, headers=headers)
        if not answer.ok:
            raise _refusal(answer)
        token = answer.headers.get("X-Storage-Token") or answer.headers.get("X-Auth-Token", "")
        url = answer.headers.get("X-Storage-Url", "")
        if not token or not url:
            raise AuthError(
                f"{answer.host}: answers {answer.status} without a token and a storage URL",
                hint='auth_url (ST_AUTH) does not lead to a v1 login; Keystone\'s needs auth = "keystone"',
            )
        expires_at = by_seconds(answer.headers.get("X-Auth-Token-Expires"), self.clock)
        return Access(storage_url=storage_of(url, insecure=self.insecure), token=token, expires_at=expires_at)

    def free_space(self) -> int | None:
        return None


def _refusal(answer: LoginResponse) -> AuthError:
    if answer.status in (401, 403):
        return AuthError(
            f"{answer.host}: user or key refused ({answer.status})",
            hint="check user and key of the account (or ST_USER and ST_KEY)",
        )
    return AuthError(
        f"{answer.host}: no v1 login there ({answer.status})",
        hint="check auth_url (or ST_AUTH); it usually ends in /auth/v1.0",
    )
