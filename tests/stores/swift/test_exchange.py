"""One request as it leaves: what the environment says is heeded, and nothing is added or followed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.errors import PermanentError
from syncer.stores.swift.auth.token import StaticTokenProvider
from syncer.stores.swift.client import Call, Connection
from tests.contract.doubles import SteppingClock


class Recorder:
    """A server of one answer, on a socket: what it was sent."""

    def __init__(self, answer: bytes) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # closed, and nobody came
        with client:
            got = b""
            while b"\r\n\r\n" not in got:
                got += client.recv(65536)
            self.heads.append(got)
            client.sendall(self._answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for somebody
        self._thread.join(10)
        self._listener.close()


EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder(EMPTY)
    yield made
    made.close()


def connected(url: str) -> Connection:
    door = StaticTokenProvider(storage_url=f"{url}/v1/a", token=lambda: "t", insecure=True)
    return Connection(door, clock=SteppingClock())


def test_a_proxy_named_by_the_environment_is_used(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", recorder.url)
    connection = connected("http://swift.invalid")
    assert connection.ask(Call(method="HEAD", path="c/o")).status == 204
    assert recorder.heads[0].startswith(b"HEAD http://swift.invalid/v1/a/c/o HTTP/1.1\r\n")
    connection.close()


def test_a_request_is_sent_as_it_is_meant(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    connection = connected(recorder.url)
    headers = {"X-Object-Meta-Colour": "grün".encode().decode("latin-1"), "X-Empty": ""}
    connection.ask(
        Call(method="PUT", path="c/%C3%A9%25%3F.%2E/o", query="a=b%20c", headers=headers, body=b"")
    )
    lines = recorder.heads[0].split(b"\r\n")
    assert lines[0] == b"PUT /v1/a/c/%C3%A9%25%3F.%2E/o?a=b%20c HTTP/1.1"
    assert {b"X-Auth-Token: t", b"Content-Length: 0", b"Accept-Encoding: identity"} <= set(lines)
    assert b"X-Object-Meta-Colour: " + "grün".encode() in lines and b"X-Empty: " in lines
    assert any(line.startswith(b"User-Agent: Syncer/") for line in lines)
    assert not any(line.lower().startswith((b"authorization", b"cookie", b"transfer")) for line in lines)
    connection.close()


def test_no_redirect_is_followed_with_the_token(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    moved = Recorder(
        b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " + recorder.url.encode() + b"/\r\n\r\n"
    )
    connection = connected(moved.url)
    with pytest.raises(PermanentError):
        connection.ask(Call(method="GET", path="c/o"))
    assert recorder.heads == []
    connection.close()
    moved.close()
