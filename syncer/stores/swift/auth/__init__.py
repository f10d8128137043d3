"""Authentication for Swift: token providers return a storage URL and a token, and renew both.

The store sees a `TokenProvider` only. A `Login` is one way to log in, a frozen value without state: one
module each for `v1`, `keystone`, `hubic`, `ovh` and `token`. `session.RenewingTokenProvider` makes a provider
of a login: it caches the token, renews it in time, and logs in once however many threads need it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Requests go below `storage_url` (no slash at its end), with the header `X-Auth-Token: token`.

    `expires_at` is in seconds of the monotonic clock of the login; None where the service does not say.
    """

    storage_url: str
    token: str = field(repr=False)
    expires_at: float | None = None


class Login(Protocol):
    """One way to log in. Raises AuthError (wrong or missing credentials), TransientError, PermanentError."""

    def log_in(self) -> Access: ...

    def free_space(self) -> int | None:
        """Bytes left according to the service; None where only Swift's headers say so."""
        ...


class TokenProvider(Protocol):
    """Returns an `Access` that is valid now. Safe to share between threads."""

    def open(self) -> Access:
        """A valid access: logs in at the first call, and again shortly before the token expires.

        To be called for every request. Raises AuthError, TransientError, PermanentError.
        """
        ...

    def renew(self, spent: Access) -> Access:
        """Another access, after Swift answered 401 to a request with `spent`.

        The first thread logs in, the others get its result. The storage URL may be another one than before. A
        second 401, to what this returned, is an AuthError and not to be renewed again. Raises AuthError,
        TransientError, PermanentError.
        """
        ...

    def free_space(self) -> int | None:
        """Bytes left according to the service; None where only Swift's headers say so."""
        ...
