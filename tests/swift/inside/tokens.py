"""Swift's cache as a dictionary: where TempAuth keeps its tokens, so that a test can let them die.

Stands in the pipeline in place of memcached; one proxy process only.
"""

from __future__ import annotations

import json
import time
from typing import Any

INFO = ("account/", "container/", "shard-")  # what the proxy remembers of accounts and containers


class Tokens:
    """The part of Swift's MemcacheRing that its middleware uses; values pass through JSON, as there."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str | bytes, float]] = {}

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        value, end = self._held.get(key, ("null", 0.0))
        if end and end <= time.time():
            del self._held[key]
            return None
        return value if isinstance(value, bytes) else json.loads(value)

    def set(self, key: str, value: Any, serialize: bool = True, time: float = 0, **_: Any) -> None:
        # keystonemiddleware hands over bytes of its own making.
        self._held[key] = (value if isinstance(value, bytes) else json.dumps(value), _end(time))

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        number = max(0, int(self.get(key) or 0) + int(delta))
        self.set(key, number, time=time)
        return number

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        return self.incr(key, -delta, time)

    def delete(self, key: str, server_key: str | None = None) -> None:
        self._held.pop(key, None)

    def set_multi(self, mapping: dict[str, Any], server_key: str, time: float = 0, **_: Any) -> None:
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: list[str], server_key: str) -> list[Any]:
        return [self.get(key) for key in keys]

    def expire(self, token: str = "") -> None:
        """Kills one token of TempAuth, or all; what was verified with Keystone is forgotten either way."""
        for key in list(self._held):
            if ("/token/" in key and key.endswith(token)) or key.startswith("tokens/"):
                del self._held[key]

    def forget_users(self) -> None:
        """The next login of anybody gets a new token; those handed out live on."""
        for key in [k for k in self._held if "/user/" in k]:
            del self._held[key]

    def forget_info(self) -> None:
        """What the proxy remembers of accounts and containers (for 60 s, quotas among it)."""
        for key in [k for k in self._held if k.startswith(INFO)]:
            del self._held[key]


def _end(life: float) -> float:
    return time.time() + life if life else 0.0


TOKENS = Tokens()


def filter_factory(_global_conf: dict[str, str], **_conf: str) -> Any:
    """For paste: puts the cache into each request's environment."""

    def made(app: Any) -> Any:
        def cached(env: dict[str, Any], start_response: Any) -> Any:
            env["swift.cache"] = TOKENS
            return app(env, start_response)

        return cached

    return made
