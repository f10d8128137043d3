"""Token cache: renews a Swift token before it expires and when it is refused, by one login for all threads.

How to log in is the `Login`'s part; the client repeats a request that was answered 401.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, TransientError
from syncer.stores.retry_policy import counted
from syncer.stores.swift.auth import Access, Login

_MARGIN = 60.0  # seconds before the end at which a token is renewed,
_SHARE = 0.1  # or this part of its life where that is shorter
_PAUSE = 5.0  # seconds between tries to renew early, while the old token lives
_REFUSAL = 10.0  # seconds a refusal is remembered: a locked account is worse than a late login


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    access: Access
    renew_at: float | None  # None: nothing is known, a 401 will tell


class RenewingTokenProvider:
    """A `TokenProvider` by a `Login`; both use the same `clock` for `expires_at`."""

    def __init__(self, login: Login, *, clock: Clock) -> None:
        self._login = login
        self._clock = clock
        self._lock = Lock()
        self._current: _Current | None = None
        self._login_in_progress: Future[Access] | None = None
        self._refused: tuple[float, AuthError] | None = None

    def open(self) -> Access:
        """See `TokenProvider.open`. A token that has not expired is used on if its early renewal fails."""
        with self._lock:
            current = self._current
            if current is not None and not self._must_renew(current):
                return current.access
            result, mine = self._join_or_begin()
        try:
            return self._log_in(result) if mine else result.result()
        except TransientError:
            if current is None or self._has_expired(current.access):
                raise
            return current.access

    def renew(self, spent: Access) -> Access:
        """See `TokenProvider.renew`.

        Accesses are compared by URL and token: a service may return the same twice.
        """
        with self._lock:
            if self._current is not None and not _same(self._current.access, spent):
                return self._current.access
            result, mine = self._join_or_begin()
        return self._log_in(result) if mine else result.result()

    def free_space(self) -> int | None:
        return self._login.free_space()

    def _must_renew(self, current: _Current) -> bool:
        if current.renew_at is None or self._clock.monotonic() < current.renew_at:
            return False
        # While one thread renews early, all others use the token that has not expired yet.
        return self._login_in_progress is None or self._has_expired(current.access)

    def _has_expired(self, access: Access) -> bool:
        return access.expires_at is None or access.expires_at <= self._clock.monotonic()

    def _join_or_begin(self) -> tuple[Future[Access], bool]:
        """The login in progress and False, or a new one, which the caller has to make, and True."""
        if self._login_in_progress is not None:
            return self._login_in_progress, False
        if self._refused is not None and self._clock.monotonic() < self._refused[0]:
            error = self._refused[1]
            raise AuthError(error.message, hint=error.hint)
        self._login_in_progress = Future()
        return self._login_in_progress, True

    def _log_in(self, result: Future[Access]) -> Access:
        """Log in once for all threads that wait for `result`."""
        try:
            access = self._login.log_in()
        except BaseException as error:
            if isinstance(error, TransientError) and not error.attempts:
                counted(
                    error, "log in"
                )  # sent by a library (ovh, keystoneauth1), and tried as often as others
            with self._lock:
                self._login_in_progress = None
                now = self._clock.monotonic()
                if isinstance(error, AuthError):
                    self._refused = (now + _REFUSAL, error)
                elif self._current is not None:
                    self._current = replace(self._current, renew_at=now + _PAUSE)
            result.set_exception(error)
            raise
        with self._lock:
            self._current = _Current(access=access, renew_at=self._renew_at(access))
            self._login_in_progress, self._refused = None, None
        result.set_result(access)
        return access

    def _renew_at(self, access: Access) -> float | None:
        now = self._clock.monotonic()
        if access.expires_at is None or access.expires_at <= now:
            return None  # a date in the past says that a clock is wrong, not that the token has expired
        if self._current is not None and _same(self._current.access, access):
            return access.expires_at  # TempAuth hands out the same token until its end
        return access.expires_at - min(_MARGIN, _SHARE * (access.expires_at - now))


def _same(one: Access, other: Access) -> bool:
    return (one.storage_url, one.token) == (other.storage_url, other.token)
