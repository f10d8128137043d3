"""The access log: one line for each request on stderr, of facts that are no secret.

Method, escaped path, status, bytes both ways, milliseconds, the key's name: no query, no header, no body.
Also the last resort: what no handler expected becomes a 500 and a traceback in the log.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncer.engine.paths import printable
from syncer.server.errors import Json

ACCESS: Final = "syncer.server.access_log"
_LONGEST = 1000  # characters of a path
_LONGEST_TEXT, _LONGEST_TRACE = 4000, 20_000  # of any other value, and of a message with a traceback


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One request. `status` 0: it was never answered; `note`: what ended it otherwise than usual."""

    method: str
    path: str
    status: int
    received: int = 0
    sent: int = 0
    ms: float = 0.0
    key: str = ""
    address: str = ""
    note: str = ""


def write(line: AccessLine) -> None:
    """At INFO level, to the log of requests."""
    logging.getLogger(ACCESS).info("%s", line, extra={"line": line})


class AsText(logging.Formatter):
    """`time=… method=GET path=/… status=200 …`; control characters are escaped, values with blanks quoted."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in _facts(record, self))


class AsJson(logging.Formatter):
    """The same as a JSON object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(dict(_facts(record, self)), ensure_ascii=True)


def _facts(record: logging.LogRecord, formatter: logging.Formatter) -> list[tuple[str, object]]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
    line = getattr(record, "line", None)
    if isinstance(line, AccessLine):
        facts = [(name, _short(value)) for name, value in asdict(line).items() if value not in ("", None)]
        return [("time", moment), *facts]
    text = str(_short(record.getMessage()))
    if record.exc_info:
        text += "\n" + str(_short(formatter.formatException(record.exc_info), _LONGEST_TRACE))
    return [("time", moment), ("level", record.levelname.lower()), ("message", text)]


def _short(value: object, most: int = _LONGEST_TEXT) -> object:
    """Of a longer text its beginning and its end: the end of a traceback says what it was."""
    if not isinstance(value, str) or len(value) <= most:
        return value
    return f"{value[: most // 2]} [...] {value[-most // 2 :]}"


def _quoted(value: object) -> str:
    text = printable(str(value))
    plain = bool(text) and not any(c in ' "=' for c in text)
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class AccessLog:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = logging.getLogger("syncer.server")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, note = time.monotonic(), ""
        count = _Count()

        async def counted_in() -> Message:
            message = await receive()
            count.received += len(message.get("body", b""))
            return message

        async def counted_out(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                count.status = message["status"]
            count.sent += len(message.get("body", b""))

        try:
            await self._app(scope, counted_in, counted_out)
        except Exception as error:  # noqa: BLE001 - the last resort: one request must not end the server
            note = await self._failed(error, scope, counted_in, counted_out, count)
        write(_line(scope, count, (time.monotonic() - began) * 1000, note))

    async def _failed(
        self, error: Exception, scope: Scope, receive: Receive, send: Send, count: _Count
    ) -> str:
        """Where the answer has begun, the connection is closed: the client sees that it was cut off."""
        expected = _expected(error)
        if expected is None:
            self._log.error("unexpected %s", type(error).__name__, exc_info=error)
        if not count.status:
            await Json({"detail": "Something unexpected happened; see the server's log."}, 500)(
                scope, receive, send
            )
        return expected or f"unexpected {type(error).__name__}"


@dataclass(slots=True)
class _Count:
    status: int = 0
    received: int = 0
    sent: int = 0


def _expected(error: BaseException | None) -> str | None:
    """What became of a request that could not be answered to its end; None if it is a mistake of ours."""
    from syncer.errors import SyncerError
    from syncer.server.errors import Refused

    while error is not None:
        if isinstance(error, SyncerError | Refused | TimeoutError | ConnectionError):
            return f"cut off: {error}"
        error = error.__cause__ or error.__context__
    return None


def _line(scope: Scope, count: _Count, ms: float, note: str) -> AccessLine:
    key = scope.get("state", {}).get("key")
    raw = scope.get("raw_path") or scope["path"].encode()
    return AccessLine(
        method=scope["method"],
        path=printable(raw.decode("ascii", "backslashreplace")[:_LONGEST]),
        status=count.status,
        received=count.received,
        sent=count.sent,
        ms=round(ms, 1),
        key=key.name if key is not None else "",
        address=scope["client"][0] if scope.get("client") else "",
        note=note,
    )
