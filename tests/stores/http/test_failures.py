"""Errors of the network in words: account, host and port, the cause, what to do."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPBasicAuth

from syncer.errors import PermanentError, StoreError, TransientError
from syncer.stores.http.client import HttpSession
from syncer.stores.http.failures import error_of, failure
from tests.contract.doubles import SteppingClock
from tests.stores.hostile_http import said, serving
from tests.stores.http.certificates import Made, made

SECRET = "p" * 15 + "secret-of-ours" + "p" * 15


def asked(url: str, ca_file: Path | None = None) -> StoreError:
    """How a request to an account called `files` ends."""
    auth = HTTPBasicAuth("k" * 30, SECRET)
    session = HttpSession(
        url, auth, str(ca_file) if ca_file else None, clock=SteppingClock(), account="files", timeouts=(1, 1)
    )
    with pytest.raises(StoreError) as found:
        session.request("GET", "api/2/ping/?token=" + SECRET)
    session.close()
    assert SECRET not in str(found.value) + found.value.hint
    return found.value


@contextmanager
def listening(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """host:port of a listener that treats each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                with connection:
                    try:
                        speak(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@contextmanager
def tls(chain: Made) -> Iterator[str]:
    """host:port of a TLS server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain.certificate, chain.key)

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with listening(speak) as place:
        yield place


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = asked(f"http://127.0.0.1:{port}/")
    assert str(error) == f"account files: 127.0.0.1:{port}: connection refused"
    assert "is the server running" in error.hint and isinstance(error, TransientError)


def test_a_host_that_is_none_has_the_port_of_its_scheme() -> None:
    error = asked("https://no-such-host.invalid/")
    assert str(error).startswith("account files: no-such-host.invalid:443: ")
    assert "no such host" in str(error) or "could not be looked up" in str(error)
    assert error.hint


def test_a_server_that_never_answers() -> None:
    over = threading.Event()
    with listening(lambda connection: over.wait(0.5) and None) as place:  # type: ignore[func-returns-value]
        pass
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        error = asked(f"http://{place}/")
    assert str(error) == f"account files: {place}: timed out, no answer came in time"


def test_a_connection_that_is_closed_at_once() -> None:
    with listening(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as place:
        error = asked(f"http://{place}/")
    assert str(error) == f"account files: {place}: the connection was closed without an answer"


def test_something_that_speaks_no_http() -> None:
    with listening(lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n") or None) as place:  # type: ignore[func-returns-value]
        error = asked(f"http://{place}/")
    assert "not HTTP" in str(error) and "https" in error.hint


def test_tls_to_a_port_without_it_will_not_get_better() -> None:
    with listening(
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n") or None
    ) as place:  # type: ignore[func-returns-value]
        error = asked(f"https://{place}/")
    assert isinstance(error, PermanentError)
    assert str(error) == f"account files: {place}: no TLS there: it answers in plain text"


@pytest.mark.parametrize(
    ("what", "words", "hint"),
    [
        ({"days": -1}, "has expired", "date of this machine"),
        ({"name": "other.example"}, "is not for this name", "the name that the certificate was made for"),
        ({}, "is signed by an unknown authority", "ca_file"),
    ],
    ids=["expired", "another name", "unknown authority"],
)
def test_a_certificate_that_cannot_be_trusted(
    tmp_path: Path, what: dict[str, object], words: str, hint: str
) -> None:
    chain = made(tmp_path, **what)  # type: ignore[arg-type]
    known = None if not what else chain.authority
    with tls(chain) as place:
        error = asked(f"https://{place}/", known)
    assert isinstance(error, PermanentError), "trying again will not help"
    assert str(error) == f"account files: {place}: its certificate {words}" and hint in error.hint


def test_a_certificate_that_is_trusted_is(tmp_path: Path) -> None:
    chain = made(tmp_path)
    with tls(chain) as place:
        session = HttpSession(
            f"https://{place}/", HTTPBasicAuth("k", "p"), str(chain.authority), clock=SteppingClock()
        )
        assert session.request("GET", "x").status_code == 200
        session.close()


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "")
    error = asked("http://files.example:8080/")
    assert str(error) == "account files: files.example:8080: the proxy cannot be used: connection refused"
    assert "NO_PROXY" in error.hint


def test_what_nobody_thought_of_is_named_by_its_type() -> None:
    assert failure(requests.RequestException("http://u:pw@h/")).cause == (
        "the connection broke (RequestException)"
    )
    assert "pw" not in str(error_of(OSError("pw"), "http://h:5/"))


def test_requests_are_logged_with_status_and_time_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="syncer.http")
    with serving(lambda method, path: said(b"{}")) as hostile:
        session = HttpSession(hostile.url, HTTPBasicAuth("k" * 30, SECRET), clock=SteppingClock())
        session.request("GET", "a%0Ab/", params={"token": SECRET})
        session.close()
    [line] = [record.getMessage() for record in caplog.records]
    place = hostile.url.removeprefix("http://")
    assert line.startswith(f"GET {place}/a%0Ab/: 200 in 0.") and line.endswith(" s") and SECRET not in line
