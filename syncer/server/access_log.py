"""Access log: one line for each request on stderr, without secrets; and the handler of unexpected exceptions.

A line has method, escaped path, status, bytes both ways, milliseconds and the key's name: no query, no
header, no body. An unexpected exception becomes a 500 and a traceback in the log.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncer.engine.paths import printable
from syncer.errors import SyncerError
from syncer.server.errors import HttpError, JsonResponse

ACCESS: Final = "syncer.server.access_log"
_LONGEST = 1000  # characters of a path
_LONGEST_TEXT, _LONGEST_TRACE = 4000, 20_000  # of any other value, and of a message with a traceback


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One request. `status` 0: no response was sent; `note`: why it ended early."""

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
    """Log a request at INFO level."""
    logging.getLogger(ACCESS).info("%s", line, extra={"line": line})


class AsText(logging.Formatter):
    """`time=… method=GET path=/… status=200 …`; control characters escaped, values with blanks quoted."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = []
        for name, value in _fields(record, self):
            text = printable(str(value))
            if not text or any(c in ' "=' for c in text):
                text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            pairs.append(f"{name}={text}")
        return " ".join(pairs)


class AsJson(logging.Formatter):
    """The same fields as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(dict(_fields(record, self)), ensure_ascii=True)


def _fields(record: logging.LogRecord, formatter: logging.Formatter) -> list[tuple[str, object]]:
    """The fields of a request, or time, level and message of any other record."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
    line = getattr(record, "line", None)
    if isinstance(line, AccessLine):
        fields = [(name, _short(value)) for name, value in asdict(line).items() if value not in ("", None)]
        return [("time", moment), *fields]
    text = str(_short(record.getMessage()))
    if record.exc_info:
        text += "\n" + str(_short(formatter.formatException(record.exc_info), _LONGEST_TRACE))
    return [("time", moment), ("level", record.levelname.lower()), ("message", text)]


def _short(value: object, most: int = _LONGEST_TEXT) -> object:
    """The beginning and the end of a long text: the end of a traceback names the error."""
    if not isinstance(value, str) or len(value) <= most:
        return value
    return f"{value[: most // 2]} [...] {value[-most // 2 :]}"


class AccessLog:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = logging.getLogger("syncer.server")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, note = time.monotonic(), ""
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
        except Exception as error:  # noqa: BLE001 - one request must not end the server
            note = await self._failed(error, scope, counted_in, counted_out, count)
        key = scope.get("state", {}).get("key")
        raw = scope.get("raw_path") or scope["path"].encode()
        write(
            AccessLine(
                method=scope["method"],
                path=printable(raw.decode("ascii", "backslashreplace")[:_LONGEST]),
                status=count.status,
                received=count.received,
                sent=count.sent,
                ms=round((time.monotonic() - started) * 1000, 1),
                key=key.name if key is not None else "",
                address=scope["client"][0] if scope.get("client") else "",
                note=note,
            )
        )

    async def _failed(
        self, error: Exception, scope: Scope, receive: Receive, send: Send, count: _Count
    ) -> str:
        """Send a 500 if no response was begun; return the note for the log.

        If one was, the connection is closed, so that the client notices that it was cut off.
        """
        expected = ""
        cause: BaseException | None = error
        while cause is not None and not expected:
            if isinstance(cause, SyncerError | HttpError | TimeoutError | ConnectionError):
                expected = f"cut off: {cause}"
            cause = cause.__cause__ or cause.__context__
        if not expected:
            self._log.error("unexpected %s", type(error).__name__, exc_info=error)
        if not count.status:
            response = JsonResponse({"detail": "Unexpected error; see the server's log."}, 500)
            await response(scope, receive, send)
        return expected or f"unexpected {type(error).__name__}"


@dataclass(slots=True)
class _Count:
    status: int = 0
    received: int = 0
    sent: int = 0
