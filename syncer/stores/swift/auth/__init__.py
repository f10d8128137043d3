"""Doors to Swift: who asks is handed a storage URL and a token, and another when that one is spent.

`TokenProvider` is all that the store sees. A `Login` is one way to get in, a frozen value with no
memory: one module each for `v1`, `keystone`, `hubic`, `ovh` and `token`. `RenewingDoor` is what
makes a door of a login: it remembers, renews in time, and logs in once however many ask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What opens Swift: requests go below `storage_url` (no slash at its end), with `X-Auth-Token: token`.

    `expires_at` is in seconds of the monotonic clock of whoever logged in; None where the service
    does not say.
    """

    storage_url: str
    token: str = field(repr=False)
    expires_at: float | None = None


class Login(Protocol):
    """One way to get in. Raises AuthError (wrong or missing credentials), TransientError, PermanentError."""

    def log_in(self) -> Access: ...

    def free_space(self) -> int | None:
        """Bytes left by the service's own account of it; None where only Swift's headers can tell."""
        ...


class TokenProvider(Protocol):
    """Hands out what opens Swift. Any number of threads may call it at once."""

    def open(self) -> Access:
        """What is good now: logs in at the first call, and again shortly before the token expires.

        Ask anew for every request. Raises AuthError, TransientError, PermanentError.
        """
        ...

    def renew(self, spent: Access) -> Access:
        """Another, after Swift answered 401 to `spent`, the one that the request was sent with.

        The first to come logs in, those that come meanwhile or later get what it got. The storage URL may be
        another one than before. Who meets a second 401 with what this gave must not come again: that is an
        AuthError. Raises AuthError, TransientError, PermanentError.
        """
        ...

    def free_space(self) -> int | None:
        """Bytes left by the service's own account of it; None where only Swift's headers can tell."""
        ...
