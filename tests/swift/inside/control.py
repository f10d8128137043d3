"""The test's hand on a running Swift: a JSON endpoint on a socket of its own, one operation per POST."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import eventlet
from mischief import MISCHIEF, Rule, release
from stale import UPDATES
from tokens import TOKENS


def _rule(number: int) -> Rule:
    return next(rule for rule in MISCHIEF.rules if rule.number == number)


def _add(**words: Any) -> dict[str, int]:
    return {"number": MISCHIEF.add(**words).number}


def _remove(number: int | None = None) -> None:
    MISCHIEF.remove(number)


def _hits(number: int, at_least: int = 0, seconds: float = 0) -> int:
    """How often a rule hit; waits until it did `at_least` so often, no longer than `seconds`."""
    rule = _rule(number)
    with eventlet.Timeout(seconds or None, False):
        while rule.hits < at_least:
            rule.met.wait()
    return rule.hits


def _release(number: int) -> None:
    release(_rule(number))


def _log() -> list[dict[str, Any]]:
    return [asdict(noted) for noted in MISCHIEF.log]


def _clear() -> None:
    MISCHIEF.log.clear()


def _lag(seconds: float | None) -> None:
    UPDATES.lag = seconds


def _reset() -> None:
    MISCHIEF.remove(None)
    UPDATES.lag = 0
    UPDATES.settle()
    MISCHIEF.log.clear()


def _update(conf: str) -> None:
    """What the container-updater does: accounts learn the totals of their containers."""
    from swift.common.utils import readconf
    from swift.container.updater import ContainerUpdater

    ContainerUpdater(readconf(conf, "container-updater")).run_once()
    TOKENS.forget_info()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "remove": _remove,
    "hits": _hits,
    "release": _release,
    "log": _log,
    "clear": _clear,
    "lag": _lag,
    "settle": UPDATES.settle,
    "reset": _reset,
    "update": _update,
    "expire": TOKENS.expire,
    "forget-users": TOKENS.forget_users,
    "forget-info": TOKENS.forget_info,
}


def application(env: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """POST /OPERATION with its arguments as a JSON object; answers JSON, 400 with the reason for nonsense."""
    words = json.loads(env["wsgi.input"].read() or b"{}")
    try:
        result = OPERATIONS[env["PATH_INFO"].strip("/")](**words)
        status = "200 OK"
    except Exception as error:  # noqa: BLE001 - whatever was wrong, the test is to read it
        result, status = f"{type(error).__name__}: {error}", "400 Bad Request"
    body = json.dumps(result).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
