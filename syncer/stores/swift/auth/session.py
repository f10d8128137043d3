"""A login that is remembered: renewed before it expires and when it is refused, once for all who ask.

Not here: how one gets in (`Login`), nor who repeats a request that met a 401 (the store).
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, TransientError
from syncer.stores.swift.auth import Access, Login

_MARGIN = 60.0  # seconds before the end at which a token is renewed,
_SHARE = 0.1  # or this part of its life where that is shorter
_PAUSE = 5.0  # seconds between tries to renew early, while the old token lives
_REFUSAL = 10.0  # seconds a refusal is remembered: a locked account is worse than a late login


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    access: Access
    renew_at: float | None  # None: nothing is known, a 401 will tell


class RenewingTokenProvider:
    """A `Door` by a `Login`; `clock` is the one that the login tells `expires_at` by."""

    def __init__(self, login: Login, *, clock: Clock) -> None:
        self._login = login
        self._clock = clock
        self._lock = Lock()
        self._held: _Held | None = None
        self._flight: Future[Access] | None = None
        self._refused: tuple[float, AuthError] | None = None

    def open(self) -> Access:
        """As `Door.open`. A token that still lives is used on when its early renewal fails for the moment."""
        with self._lock:
            held = self._held
            if held is not None and not self._due(held):
                return held.access
            flight, mine = self._board()
        try:
            return self._fly(flight) if mine else flight.result()
        except TransientError:
            if held is None or self._dead(held.access):
                raise
            return held.access

    def renew(self, spent: Access) -> Access:
        """As `Door.renew`. An access is told by URL and token: a service may hand out the same twice."""
        with self._lock:
            if self._held is not None and not _same(self._held.access, spent):
                return self._held.access
            flight, mine = self._board()
        return self._fly(flight) if mine else flight.result()

    def free_space(self) -> int | None:
        return self._login.free_space()

    def _due(self, held: _Held) -> bool:
        if held.renew_at is None or self._clock.monotonic() < held.renew_at:
            return False
        # While somebody renews early, what still lives is good enough for everybody else.
        return self._flight is None or self._dead(held.access)

    def _dead(self, access: Access) -> bool:
        return access.expires_at is None or access.expires_at <= self._clock.monotonic()

    def _board(self) -> tuple[Future[Access], bool]:
        """The login under way and False, or a new one, to be made by the caller, and True."""
        if self._flight is not None:
            return self._flight, False
        if self._refused is not None and self._clock.monotonic() < self._refused[0]:
            error = self._refused[1]
            raise AuthError(error.message, hint=error.hint)
        self._flight = Future()
        return self._flight, True

    def _fly(self, flight: Future[Access]) -> Access:
        try:
            access = self._login.log_in()
        except BaseException as error:
            with self._lock:
                self._flight = None
                self._remember(error)
            flight.set_exception(error)
            raise
        with self._lock:
            self._held = _Held(access=access, renew_at=self._renew_at(access))
            self._flight, self._refused = None, None
        flight.set_result(access)
        return access

    def _remember(self, error: BaseException) -> None:
        now = self._clock.monotonic()
        if isinstance(error, AuthError):
            self._refused = (now + _REFUSAL, error)
        elif self._held is not None:
            self._held = replace(self._held, renew_at=now + _PAUSE)

    def _renew_at(self, access: Access) -> float | None:
        now = self._clock.monotonic()
        if access.expires_at is None or access.expires_at <= now:
            return None  # a date in the past says that a clock is wrong, not that the token is dead
        if self._held is not None and _same(self._held.access, access):
            return access.expires_at  # the same until its end: TempAuth does that
        return access.expires_at - min(_MARGIN, _SHARE * (access.expires_at - now))


def _same(one: Access, other: Access) -> bool:
    return (one.storage_url, one.token) == (other.storage_url, other.token)
