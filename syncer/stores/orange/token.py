"""Access tokens: loaded once, renewed before they expire or when refused, by one thread for all.

`session` decides whether a refusal is about the token; `oauth` renews it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, SyncerError

# -- What a login leaves behind, and the port through which it is kept between runs ----
#
# An implementation of `Tokens` decides where tokens are stored: a keyring, a private file.


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Both tokens of one login. `expires_ns`: when the access token ends (ns since 1970), None if unknown."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)  # "": none was granted
    expires_ns: int | None = None


class Tokens(Protocol):
    """One account's token, kept over runs."""

    def load(self) -> Token | None:
        """The token that was saved last, by any process.

        None before a login. Raises AuthError, LocalError.
        """
        ...

    def save(self, token: Token) -> None:
        """Store a token durably and readable by this user only. Raises AuthError, LocalError."""
        ...


log = logging.getLogger(__name__)
EARLY_NS = 60 * 10**9  # renewed so long before its end: an upload takes its time


class Bearer:
    """Safe to share between threads, and (by looking at what was saved) between processes."""

    def __init__(
        self, tokens: Tokens, refresh: Callable[[Token], Token], *, clock: Clock, again: str
    ) -> None:
        """`refresh` raises AuthError, TransientError; `again` tells a person how to log in."""
        self.again = again
        self._tokens = tokens
        self._refresh = refresh
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def living(self) -> str:
        """An access token that has not ended by our clock. Raises AuthError, TransientError, LocalError."""
        with self._lock:
            token = self._token or self._load()
            if not self._fresh(token):
                token = self._renew(token)
            self._token = token
            return token.access

    def renewed(self, refused: str) -> str:
        """Another token than the refused one: renewed by another process or thread, or now."""
        with self._lock:
            token = self._token or self._load()
            if token.access == refused:
                token = self._renew(token)
            self._token = token
            return token.access

    def _load(self) -> Token:
        token = self._tokens.load()
        if token is None:
            raise AuthError("nobody has logged in to this account yet", hint=self.again.replace(" again", ""))
        return token

    def _fresh(self, token: Token) -> bool:
        return token.expires_ns is None or self._clock.now_ns() + EARLY_NS < token.expires_ns

    def _renew(self, old: Token) -> Token:
        saved = self._load()
        if saved.access != old.access and self._fresh(saved):
            return saved  # another process was quicker
        token = self._refresh(saved if saved.refresh else old)
        try:
            self._tokens.save(token)
        except SyncerError as error:
            if token.refresh != saved.refresh:
                raise
            log.warning("the renewed login could not be saved (%s); this run goes on with it", error)
        return token
