"""Who is let in: Basic credentials against the key file, before anything of a body is read.

Every failure has the same answer and the same cost, whether the key is known or not. A password that
was right once is known again by an HMAC under a key of this process, so scrypt is paid once for each
key. Failed tries are counted by address, those for a key that exists by address and key, with a place of
their own at scrypt: strangers behind the same address lock nobody out. Nobody guesses which keys exist, 32
random characters each. A key that is revoked ends what is open of it. What a key may do is up to the
handlers (`Key`).
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
from syncer.server.api_keys import NOBODY, KeyFile, Record
from syncer.server.errors import Refused
from syncer.server.folder import Key
from syncer.server.timeouts import ABORT, neighbourhood

_log = logging.getLogger("syncer.server")

LOOK_EVERY = 0.5
"""Seconds between looks at the key file; for a key that is not known it is looked at in any case."""
_TRIES, _PER_SECONDS = 10, 60.0  # failed ones of one address: so many at once, then so many in that time
_MOST_ADDRESSES = 10_000
_MOST_SECRET = 512  # bytes of an Authorization header
_AT_ONCE = 1  # scrypts, for keys that exist and again for others: 16 MiB and a core each
KNOWN = "syncer.known"
"""Among the extensions of a scope: says that the connection is one of a key."""


@dataclass(slots=True)
class _Bucket:
    tries: float
    at: float


class FailedLogins:
    """How many failed tries an address has left (a token bucket each)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the next try is allowed; 0 if it is now."""
        missing = 1 - self._bucket(address).tries
        return max(missing, 0) * _PER_SECONDS / _TRIES

    def failed(self, address: str) -> None:
        """Counts one."""
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
    """The keys as they are in the file now, or were a moment ago. Safe to share between threads."""

    def __init__(self, file: KeyFile, clock: Clock) -> None:
        """Raises ConfigError for a malformed file."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._pepper = secrets.token_bytes(32)
        self._proven: dict[str, tuple[bytes, bytes]] = {}  # token: its hash then, HMAC of the password
        self._stamp = file.stamp()
        self._looked = clock.monotonic()
        self._records = {r.token: r for r in file.read()}

    def known(self, token: str, password: bytes) -> Key | None:
        """Whether the password was right before, by a look that costs nothing."""
        record = self._record(token)
        hash_then, proof = self._proven.get(token, (b"", b""))
        same = hmac.compare_digest(proof, self._proof(password))
        return record.key if same and record.hash == hash_then else None

    def verified(self, token: str, password: bytes) -> Key | None:
        """The same by scrypt, which takes its time; a right one is remembered."""
        record = self._record(token)
        if not record.verifies(password) or record is NOBODY:
            return None
        self._proven[token] = record.hash, self._proof(password)
        return record.key

    def exists(self, token: str) -> bool:
        """Whether there is such a key."""
        return self._record(token) is not NOBODY

    def holds(self, token: str, key: Key) -> bool:
        """Whether the key is still what it was when it was let in. Looks at the file now and then."""
        self._look()
        record = self._records.get(token)
        return record is not None and record.key == key and self._proven.get(token, (b"",))[0] == record.hash

    def _record(self, token: str) -> Record:
        self._look()
        if token not in self._records:
            self._look(now=True)
        return self._records.get(token, NOBODY)

    def _proof(self, password: bytes) -> bytes:
        return hmac.digest(self._pepper, password, "sha256")

    def _look(self, *, now: bool = False) -> None:
        """A malformed file leaves the keys as they were: we replace it as a whole, so somebody edits it."""
        moment = self._clock.monotonic()
        with self._lock:
            if not now and moment < self._looked + LOOK_EVERY:
                return
            self._looked = moment
            stamp = self._file.stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._records = {r.token: r for r in self._file.read()}
            except SyncerError as error:
                _log.warning("%s; the keys stay as they were", error.message)
                return
            self._proven = {t: p for t, p in self._proven.items() if t in self._records}


@dataclass(slots=True, eq=False)
class Admitted:
    """A request of a key that is worked on. `ended`: the key was revoked meanwhile."""

    token: str
    key: Key
    end: Callable[[], None]
    ended: bool = False


class BasicAuthMiddleware:
    """ASGI middleware: sets `request.state.key`, or answers 401 (429 after too many failed tries)."""

    def __init__(
        self, app: ASGIApp, *, keys: Keys, clock: Clock, revoked: Callable[[Key], None] = lambda key: None
    ) -> None:
        """`revoked` is told of a key that was let in and is no more."""
        self._app = app
        self._keys = keys
        self._revoked = revoked
        self._tries = FailedLogins(clock)
        self._busy = {known: asyncio.Semaphore(_AT_ONCE) for known in (True, False)}
        self._open: set[Admitted] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            token, key = await self._admitted(scope)
        except Refused as refused:
            return await refused.response()(scope, receive, send)
        extensions = scope.get("extensions", {})
        extensions.get(KNOWN, _nothing)()
        admitted = Admitted(token, key, extensions.get(ABORT, _nothing))
        scope.setdefault("state", {}).update(key=key, admitted=admitted)
        self._open.add(admitted)
        try:
            await self._app(scope, receive, send)
        finally:
            self._open.discard(admitted)

    def look(self) -> None:
        """Ends what is open of keys that were revoked or changed since. To be called now and then."""
        gone = [admitted for admitted in self._open if not self._keys.holds(admitted.token, admitted.key)]
        for admitted in gone:
            self._open.discard(admitted)
            admitted.ended = True
            admitted.end()
        for key in {admitted.key for admitted in gone}:
            self._revoked(key)

    async def _admitted(self, scope: Scope) -> tuple[str, Key]:
        token, password = _credentials(scope)
        key = self._keys.known(token, password)
        if key is not None:
            return token, key
        known = self._keys.exists(token)
        address = neighbourhood(scope["client"][0]) if scope.get("client") else ""
        who = f"{address} {token}" if known else address
        self._throttle(who)
        async with self._busy[known]:
            self._throttle(who)
            key = await run_in_threadpool(self._keys.verified, token, password)
            if key is None:
                self._tries.failed(who)
                raise Refused(
                    401,
                    "The key or the password is wrong.",
                    headers={"WWW-Authenticate": 'Basic realm="syncer"'},
                )
        return token, key

    def _throttle(self, who: str) -> None:
        wait = self._tries.wait(who)
        if wait > 0:
            raise Refused(429, "Too many failed tries.", headers={"Retry-After": str(int(wait) + 1)})


def _nothing() -> None:
    """Where no protocol of ours is below, there is nothing to do."""


def _credentials(scope: Scope) -> tuple[str, bytes]:
    """Key and password of the header; empty ones, which are wrong, where there is none (RFC 7617)."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, text = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    if scheme.lower() != b"basic" or len(text) > _MOST_SECRET:
        return "", b""
    try:
        token, _, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        return token.decode(), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""
