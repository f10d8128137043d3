"""Connections as attackers make them: smuggled requests, endless or slow heads and bodies, too many."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.server import runner
from syncer.server.access_log import ACCESS
from syncer.server.api_keys import KeyFile
from syncer.server.app import opened
from syncer.server.timeouts import Timeouts
from tests.server.conftest import Serving, eventually, serving
from tests.server.raw import authorization, connect, received, send, status

CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("connections")
    with serving(home / "folder", state=home / "state") as found:
        yield found


SMUGGLED = {
    "both lengths": ("Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"),
    "two different lengths": ("Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
    "the same length twice": ("Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    "a list of lengths": ("Content-Length: 5, 5\r\n", b"hello"),
    "a negative length": ("Content-Length: -5\r\n", b""),
    "a signed length": ("Content-Length: +5\r\n", b"hello"),
    "a hexadecimal length": ("Content-Length: 0x5\r\n", b"hello"),
    "a coding that is not chunked": ("Transfer-Encoding: identity\r\n", b""),
    "a misspelt coding": ("Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "two codings": ("Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "a coding twice": (CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "a folded coding": ("Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "a folded line": ("X-A: b\r\n c\r\nContent-Length: 0\r\n", b""),
    "a blank before the colon": ("Content-Length : 5\r\n", b"hello"),
    "a bare LF": ("X-A: b\nContent-Length: 5\r\n", b"hello"),
    "a CR within a value": ("X-A: b\rContent-Length: 5\r\n", b"hello"),
    "a NUL within a value": ("X-A: b\0c\r\nContent-Length: 0\r\n", b""),
    "a chunk size with a prefix": (CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a negative chunk size": (CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size beyond all": (CHUNKED, b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "a bare LF after a chunk size": (CHUNKED, b"5\nhello\r\n0\r\n\r\n"),
    "a bare LF after a chunk": (CHUNKED, b"5\r\nhello\n0\r\n\r\n"),
    "two hosts": ("Host: y\r\nContent-Length: 0\r\n", b""),
    "two authorizations": ("Authorization: Basic eDp5\r\nContent-Length: 0\r\n", b""),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_can_be_read_in_two_ways_is_a_400_and_the_end(server: Serving, name: str) -> None:
    headers, body = SMUGGLED[name]
    hidden = b"PUT /api/3/path/data/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    hidden += authorization(server).encode() + b"\r\n"
    head = f"PUT /api/3/path/data/victim HTTP/1.1\r\nHost: x\r\n{authorization(server)}{headers}\r\n"
    answer, rest = send(server, head.encode("latin-1") + body + hidden)
    assert answer == 400, (name, rest)
    assert b"HTTP/1.1" not in rest, "the connection was to end with the first answer"
    assert server.names() == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        b"GET http://z/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\0T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_heads_that_are_no_requests_to_us_are_a_400(server: Serving, head: bytes) -> None:
    answer, _ = send(server, head)
    assert answer == 400


@pytest.mark.parametrize("length", [70_000, 200_000, 1_000_000])
def test_an_endless_head_is_cut_off(server: Serving, length: int) -> None:
    for head in (
        b"GET /" + b"a" * length,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * length,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(length // 10)),
    ):
        with connect(server) as sock:
            try:
                sock.sendall(head)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert status(received(sock)) in (0, 400)


def test_a_head_one_byte_too_long_is_refused_at_once(server: Serving) -> None:
    """Not only when its time is over, which ends without an answer."""
    begun = b"GET /"
    with connect(server) as sock:
        sock.sendall(begun + b"a" * (Timeouts().head_bytes + 1 - len(begun)))
        assert status(received(sock)) == 400


def test_trailers_do_not_pass_for_headers(server: Serving) -> None:
    body = b"0\r\n" + authorization(server).encode() + b"\r\n"
    head = f"GET /api/2/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{CHUNKED}\r\n"
    assert send(server, head.encode() + body)[0] == 401


def test_endless_trailers_and_chunk_extensions_are_cut_off(server: Serving) -> None:
    head = f"PUT /api/3/path/data/a HTTP/1.1\r\nHost: x\r\n{authorization(server)}{CHUNKED}\r\n".encode()
    for endless in (b"5;" + b"x" * 300_000, b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 60_000):
        with connect(server) as sock:
            try:
                sock.sendall(head + endless)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert status(received(sock)) in (0, 400)
    eventually(lambda: server.get("api/2/ping").ok)
    assert server.names() == []


def test_without_a_key_no_body_is_awaited(server: Serving) -> None:
    with connect(server) as sock:
        sock.sendall(b"PUT /api/3/path/data/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert status(sock.recv(1000)) == 401


# -- deadlines: the app in this process, with less patience than usual --------------


@contextmanager
def impatient(tmp_path: Path, limits: Timeouts) -> Iterator[Serving]:
    folder, state = tmp_path / "folder", tmp_path / "state"
    folder.mkdir()
    file = KeyFile(state / "keys.json")
    made = file.add("a")
    sockets = runner.bind("127.0.0.1", 0, tls=False, insecure=False)
    ready, stop = threading.Event(), threading.Event()
    with opened(folder, state, file, clock=SystemClock(), trash_days=30, limits=limits) as app:
        thread = threading.Thread(
            target=runner.run,
            args=(app, sockets),
            kwargs={"tls": None, "ready": ready.set, "stopped": stop.is_set},
        )
        thread.start()
        assert ready.wait(20)
        url = runner.url_of("127.0.0.1", sockets, tls=False)
        found = Serving(
            folder=folder,
            state=state,
            url=url,
            key=made.token,
            password=made.password,
            process=None,  # type: ignore[arg-type]
        )
        try:
            yield found
        finally:
            found.session.close()
            stop.set()
            thread.join(20)
    assert not thread.is_alive()


def seconds_until_closed(sock: socket.socket, trickle: bytes = b"") -> float:
    began = time.monotonic()
    sock.settimeout(0.05)
    while time.monotonic() < began + 15:
        try:
            if trickle:
                sock.sendall(trickle)
            if not sock.recv(1 << 16):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def test_a_slow_head_is_cut_off_however_it_trickles(tmp_path: Path) -> None:
    with impatient(tmp_path, Timeouts(head_seconds=0.5)) as server:
        for first, trickle in (
            (b"", b""),
            (b"GET / HT", b""),
            (b"GET / HTTP/1.1\r\nX: ", b"x"),
            (b"", b"\r\n"),
        ):
            with connect(server) as sock:
                sock.sendall(first)
                assert seconds_until_closed(sock, trickle) < 5, first
        with connect(server) as sock:  # the second request of a connection as well
            sock.sendall(f"GET /api/2/ping HTTP/1.1\r\nHost: x\r\n{authorization(server)}\r\n".encode())
            assert status(sock.recv(1000)) == 200
            sock.sendall(b"GET /")
            assert seconds_until_closed(sock, b"x") < 5


def test_a_slow_body_is_cut_off_and_leaves_nothing(tmp_path: Path) -> None:
    with impatient(tmp_path, Timeouts(grace=0.5, rate=1000)) as server:
        for url in ("PUT /api/3/path/data/a", "POST /api/2/path/oper/mkdir"):
            head = f"{url} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n{authorization(server)}\r\n"
            with connect(server) as sock:
                sock.sendall(head.encode())
                assert seconds_until_closed(sock, b"x") < 5
        eventually(lambda: server.names() == [])


def test_a_body_that_nobody_wants_is_read_for_a_while_only(tmp_path: Path) -> None:
    with impatient(tmp_path, Timeouts(linger_seconds=0.5)) as server, connect(server) as sock:
        sock.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert status(sock.recv(1000)) == 401
        assert seconds_until_closed(sock, b"x") < 5


def test_a_client_that_takes_nothing_is_let_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    with impatient(tmp_path, Timeouts(grace=0.5, rate=1 << 30)) as server:
        (server.folder / "big").write_bytes(bytes(64 << 20))
        with connect(server) as sock:
            request = f"GET /api/2/path/data/big HTTP/1.1\r\nHost: x\r\n{authorization(server)}\r\n"
            sock.sendall(request.encode())
            eventually(lambda: "read too slowly" in caplog.text)
            assert len(received(sock)) < 64 << 20, "what the system had buffered, and the end"


def test_an_answer_that_takes_its_time_is_not_cut_off(tmp_path: Path) -> None:
    """Once: the deadline of the body went on while the client took the answer."""
    with impatient(tmp_path, Timeouts(grace=1.0, rate=1 << 16)) as server:
        (server.folder / "big").write_bytes(bytes(24 << 20))
        with connect(server) as sock:
            head = "GET /api/2/path/data/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            sock.sendall(f"{head}{authorization(server)}\r\n".encode())
            began, taken = time.monotonic(), 0
            while piece := sock.recv(1 << 16):
                taken += len(piece)
                if time.monotonic() < began + 2.5:
                    time.sleep(0.01)
        assert taken > 24 << 20
        assert time.monotonic() > began + 2


def test_connections_are_counted_in_all_and_by_address(tmp_path: Path) -> None:
    for limits in (Timeouts(connections=3), Timeouts(per_address=3)):
        home = tmp_path / str(limits.connections)
        home.mkdir()
        with impatient(home, limits) as server:
            assert server.get("api/2/ping", headers={"Connection": "close"}).ok
            held = [connect(server) for _ in range(3)]
            eventually(lambda server=server: status(probe(server)) == 503)
            for sock in held:
                sock.close()
            eventually(lambda server=server: status(probe(server)) == 401)


def probe(server: Serving) -> bytes:
    """The answer to a request without a key on a connection of its own."""
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return received(sock)
