"""The access log: one line, whatever a client sends; and what no handler expected."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from syncer.errors import ChangedUnderUs
from syncer.server.access_log import ACCESS, AccessLine, AccessLog, AsJson, AsText

HOSTILE = 'a b="c"\r\nGET /fake HTTP/1.1\x1b[2J\u202e\\'


def record(line: AccessLine | None = None, message: str = "") -> logging.LogRecord:
    made = logging.LogRecord("syncer.server", logging.INFO, "", 0, message, None, None)
    if line is not None:
        made.line = line
    return made


@pytest.mark.parametrize("formatter", [AsText(), AsJson()])
def test_a_line_is_one_line_of_printable_characters(formatter: logging.Formatter) -> None:
    line = AccessLine(method="GET", path=HOSTILE, status=200, key=HOSTILE, note=HOSTILE)
    for text in (formatter.format(record(line)), formatter.format(record(message=HOSTILE))):
        assert text.isprintable() and "\n" not in text


@pytest.mark.parametrize("formatter", [AsText(), AsJson()])
def test_no_line_is_without_bound(formatter: logging.Formatter) -> None:
    """A name of kilobytes in an error, a message of megabytes: the line is some thousand characters."""
    huge = "\x01" * 1_000_000
    for made in (record(AccessLine(method="GET", path="/", status=200, note=huge)), record(message=huge)):
        assert len(formatter.format(made)) < 30_000


def test_text_quotes_so_that_no_value_looks_like_another_field() -> None:
    line = AccessLine(method="GET", path="/a", status=200, ms=1.5, key="x status=500")
    assert (
        AsText()
        .format(record(line))
        .endswith('method=GET path=/a status=200 received=0 sent=0 ms=1.5 key="x status=500"')
    )
    assert json.loads(AsJson().format(record(line)))["key"] == "x status=500"


def test_a_traceback_is_told_to_the_log_in_one_piece() -> None:
    try:
        raise RuntimeError("odd")
    except RuntimeError as error:
        made = logging.LogRecord(
            "syncer.server", logging.ERROR, "", 0, "unexpected", None, (RuntimeError, error, None)
        )
    assert "odd" in json.loads(AsJson().format(made))["message"]
    assert "\n" not in AsText().format(made)


def answered(error: Exception, *, begun: bool) -> list[Message]:
    """What a client gets from an app that fails, before or after its answer began."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a",
        "raw_path": b"/a",
        "headers": [],
        "client": ("::1", 1),
    }
    asyncio.run(AccessLog(app)(scope, receive, send))
    return sent


def test_what_nobody_expected_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    start, body = answered(RuntimeError("the secret"), begun=False)
    assert start["status"] == 500 and b"secret" not in body["body"]
    assert "the secret" in caplog.text, "with its traceback, for whoever runs the server"


def test_an_answer_that_cannot_be_ended_is_cut_off_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    sent = answered(ChangedUnderUs("a changed while it was read"), begun=True)
    assert [m["type"] for m in sent] == ["http.response.start"]
    assert "cut off" in caplog.text and "Traceback" not in caplog.text
