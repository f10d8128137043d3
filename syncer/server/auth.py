"""HTTP Basic authentication against the key file, before anything of a request body is read.

Every failure has the same response and takes the same time, whether the key exists or not. A password that
was verified once is recognised by an HMAC under a key of this process, so scrypt runs once for each key.

Failed logins are limited by address. Those for a key that exists are counted by address and key, and have
scrypt for themselves, so that strangers behind the same address lock out no user; key names cannot be
guessed, they are 32 random characters. A revoked key ends its open requests. The handlers check what a key
may do (`Key`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from syncer.engine.interfaces import Clock
from syncer.errors import SyncerError
from syncer.server.api_keys import UNKNOWN_KEY, KeyFile, KeyRecord
from syncer.server.errors import HttpError
from syncer.server.folder import Key
from syncer.server.timeouts import ABORT, neighbourhood

_log = logging.getLogger("syncer.server")

CHECK_EVERY = 0.5
"""Seconds between checks of the key file; for an unknown key it is checked in any case."""
_TRIES, _PER_SECONDS = 10, 60.0  # failed logins of one address: at once, then in that time
_MOST_ADDRESSES = 10_000
_MOST_SECRET = 512  # bytes of an Authorization header
_AT_ONCE = 1  # scrypt at once, for keys that exist and again for others: 16 MiB and a core each
KNOWN = "syncer.known"
"""Extension of an ASGI scope: a function that marks the connection as authenticated."""


@dataclass(slots=True)
class _Bucket:
    tries: float
    at: float


class FailedLogins:
    """Limits failed logins by address, with a token bucket for each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the next try is allowed."""
        missing = 1 - self._bucket(address).tries
        return max(missing, 0) * _PER_SECONDS / _TRIES

    def failed(self, address: str) -> None:
        """Count a failed login."""
        self._bucket(address).tries -= 1

    def _bucket(self, address: str) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault(address, _Bucket(tries=_TRIES, at=now))
        bucket.tries = min(_TRIES, bucket.tries + (now - bucket.at) * _TRIES / _PER_SECONDS)
        bucket.at = now
        self._buckets.move_to_end(address)
        while len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket


class Keys:
    """The keys of the file, reloaded when it changes. Thread-safe."""

    def __init__(self, file: KeyFile, clock: Clock) -> None:
        """Raises ConfigError for a malformed file."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._pepper = secrets.token_bytes(32)
        self._verified: dict[str, tuple[bytes, bytes]] = {}  # token: its hash then, HMAC of the password
        self._stamp = file.stamp()
        self._checked_at = clock.monotonic()
        self._records = {r.token: r for r in file.read()}

    def known(self, token: str, password: bytes) -> Key | None:
        """The key, if this password was verified before; takes microseconds."""
        record = self._record(token)
        hash_then, proof = self._verified.get(token, (b"", b""))
        # Compared in constant time, also for a key that does not exist (with an empty proof).
        same = hmac.compare_digest(proof, self._proof(password))
        return record.key if same and record.hash == hash_then else None

    def verified(self, token: str, password: bytes) -> Key | None:
        """The key, if scrypt verifies the password, which takes some 40 ms; a right one is remembered."""
        record = self._record(token)
        if not record.verifies(password) or record is UNKNOWN_KEY:
            return None
        self._verified[token] = record.hash, self._proof(password)
        return record.key

    def exists(self, token: str) -> bool:
        """Whether there is a key of this name."""
        return self._record(token) is not UNKNOWN_KEY

    def holds(self, token: str, key: Key) -> bool:
        """Whether the key is unchanged since its request was admitted."""
        self._reload()
        record = self._records.get(token)
        return (
            record is not None and record.key == key and self._verified.get(token, (b"",))[0] == record.hash
        )

    def _record(self, token: str) -> KeyRecord:
        self._reload()
        if token not in self._records:
            self._reload(now=True)
        return self._records.get(token, UNKNOWN_KEY)

    def _proof(self, password: bytes) -> bytes:
        return hmac.digest(self._pepper, password, "sha256")

    def _reload(self, *, now: bool = False) -> None:
        """Read the file if it changed. A malformed one leaves the keys as they were: it is being edited."""
        moment = self._clock.monotonic()
        with self._lock:
            if not now and moment < self._checked_at + CHECK_EVERY:
                return
            self._checked_at = moment
            stamp = self._file.stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._records = {r.token: r for r in self._file.read()}
            except SyncerError as error:
                _log.warning("%s; the keys stay as they were", error.message)
                return
            self._verified = {t: p for t, p in self._verified.items() if t in self._records}


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """A request in progress. `ended`: its key was revoked meanwhile."""

    token: str
    key: Key
    end: Callable[[], None]
    ended: bool = False


class BasicAuthMiddleware:
    """ASGI middleware: sets `request.state.key`, or responds 401 (429 after too many failed logins)."""

    def __init__(
        self, app: ASGIApp, *, keys: Keys, clock: Clock, revoked: Callable[[Key], None] = lambda key: None
    ) -> None:
        """`revoked` is called with a key that was used and is revoked or changed."""
        self._app = app
        self._keys = keys
        self._revoked = revoked
        self._failures = FailedLogins(clock)
        self._scrypt = {known: asyncio.Semaphore(_AT_ONCE) for known in (True, False)}
        self._active: set[ActiveRequest] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            token, key = await self._authenticate(scope)
        except HttpError as error:
            return await error.response()(scope, receive, send)
        extensions = scope.get("extensions", {})
        extensions.get(KNOWN, lambda: None)()
        active = ActiveRequest(token, key, extensions.get(ABORT, lambda: None))
        scope.setdefault("state", {}).update(key=key, active=active)
        self._active.add(active)
        try:
            await self._app(scope, receive, send)
        finally:
            self._active.discard(active)

    def check_keys(self) -> None:
        """End the requests of keys that were revoked or changed since. Call it regularly."""
        revoked = [request for request in self._active if not self._keys.holds(request.token, request.key)]
        for request in revoked:
            self._active.discard(request)
            request.ended = True
            request.end()
        for key in {request.key for request in revoked}:
            self._revoked(key)

    async def _authenticate(self, scope: Scope) -> tuple[str, Key]:
        token, password = _credentials(scope)
        key = self._keys.known(token, password)
        if key is not None:
            return token, key
        known = self._keys.exists(token)
        # One log of failures for strangers of an address, and one for each key used from it.
        address = neighbourhood(scope["client"][0]) if scope.get("client") else ""
        counted = f"{address} {token}" if known else address
        self._throttle(counted)
        async with self._scrypt[known]:
            self._throttle(counted)  # again: others of this address may have failed while it waited
            key = await run_in_threadpool(self._keys.verified, token, password)
            if key is None:
                self._failures.failed(counted)
                raise HttpError(
                    401,
                    "The key or the password is wrong.",
                    headers={"WWW-Authenticate": 'Basic realm="syncer"'},
                )
        return token, key

    def _throttle(self, counted: str) -> None:
        """Raises HttpError 429 if too many logins failed that are counted under this text."""
        wait = self._failures.wait(counted)
        if wait > 0:
            raise HttpError(429, "Too many failed tries.", headers={"Retry-After": str(int(wait) + 1)})


def _credentials(scope: Scope) -> tuple[str, bytes]:
    """Key and password of the Authorization header (RFC 7617); empty, which is wrong, if there is none."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, text = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    if scheme.lower() != b"basic" or len(text) > _MOST_SECRET:
        return "", b""
    try:
        token, _, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        return token.decode(), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""
