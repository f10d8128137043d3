"""What the proxy counts, against what is known to have been sent; and each way in which it fails."""

from __future__ import annotations

import gc
import http.client
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.doubles.framing import Framing
from tests.doubles.proxy import Direction, Proxy
from tests.doubles.serving import Served

BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


async def echo(request: Request) -> Response:
    """Gives the body back; `pieces`: so many of ten bytes instead, chunked."""
    pieces = int(request.query_params.get("pieces", "0"))
    body = await request.body()
    return StreamingResponse(_pieces(pieces)) if pieces else Response(body)


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"0123456789"


@pytest.fixture
def served() -> Iterator[Served]:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "HEAD", "POST"])])
    with Served(app) as running:
        yield running


@pytest.fixture
def proxy(served: Served) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", served.port) as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as running:
        yield running


def test_bodies_are_counted_apart_from_heads(proxy: Proxy, session: requests.Session) -> None:
    for _ in range(3):
        assert session.post(proxy.url, data=b"x" * 1000, timeout=20).content == b"x" * 1000
    assert (proxy.up.body, proxy.up.messages) == (3000, 3)
    assert (proxy.down.body, proxy.down.messages) == (3000, 3)
    assert 3000 < proxy.up.total < 4500 and 3000 < proxy.down.total < 4500
    assert proxy.connections == 1
    proxy.zero()
    assert (proxy.up.total, proxy.down.body, proxy.connections) == (0, 0, 0)


def test_a_total_is_every_byte_of_both_sides(proxy: Proxy) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(request)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\nhello")
    assert (proxy.up.total, proxy.down.total) == (len(request), len(answer))
    assert (proxy.up.body, proxy.down.body) == (5, 5)


def test_chunked_bodies_count_without_their_chunk_sizes(proxy: Proxy, session: requests.Session) -> None:
    sent = session.post(proxy.url, data=iter([b"a" * 100, b"b" * 50]), timeout=20)
    assert len(sent.content) == 150 and proxy.up.body == 150
    assert len(session.get(f"{proxy.url}?pieces=20", timeout=20).content) == 200
    assert proxy.down.body == 350


def test_an_answer_to_head_has_no_body_whatever_it_says(proxy: Proxy, session: requests.Session) -> None:
    session.head(proxy.url, timeout=20)
    session.post(proxy.url, data=b"12345", timeout=20)
    assert (proxy.down.body, proxy.down.messages) == (5, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_counts_do_not_depend_on_how_the_bytes_are_cut(size: int) -> None:
    methods: deque[str] = deque()
    up, down = Framing(methods, answers=False), Framing(methods, answers=True)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    asked = (
        b"PUT /a HTTP/1.1\r\n"
        + chunked
        + b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    )
    told = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n" + chunked
    )
    told += b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
    for framing, data in ((up, asked), (down, told)):
        for start in range(0, len(data), size):
            framing.feed(data[start : start + size])
    assert (up.heads, up.body) == (4, 13)
    assert (down.heads, down.body) == (4, 13 + len("until the end"))


def test_what_is_not_http_passes_and_counts_in_total(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(*server.getsockname()) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
            client.sendall(b"\x16\x03\x01\r\n\r\n" + bytes(5000))
            client.shutdown(socket.SHUT_WR)
            peer, _ = server.accept()
            with peer:
                got = b"".join(iter(lambda: peer.recv(65536), b""))
        assert (len(got), proxy.up.total, proxy.up.body) == (5007, 5007, 0)


def test_an_upload_is_cut(proxy: Proxy, session: requests.Session) -> None:
    proxy.cut(Direction.UP, after=500_000)
    with pytest.raises(BROKEN):
        session.post(proxy.url, data=bytes(5_000_000), timeout=20)
    assert proxy.up.total == 500_000
    assert session.post(proxy.url, data=b"again", timeout=20).content == b"again"


def test_a_download_is_cut_at_the_byte(proxy: Proxy) -> None:
    head = b"GET /?pieces=2 HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        proxy.cut(Direction.DOWN, after=40)
        client.sendall(head)
        assert len(b"".join(iter(lambda: client.recv(65536), b""))) == 40


def test_a_cut_counts_over_several_requests(proxy: Proxy, session: requests.Session) -> None:
    session.post(proxy.url, data=b"x" * 1000, timeout=20)
    once = proxy.up.total
    proxy.cut(Direction.UP, after=2 * once + 10)
    for _ in range(2):
        session.post(proxy.url, data=b"x" * 1000, timeout=20)
    with pytest.raises(BROKEN):
        session.post(proxy.url, data=b"x" * 1000, timeout=20)
    assert proxy.up.total == 3 * once + 10


def test_a_cut_by_reset_is_seen_as_one(proxy: Proxy, session: requests.Session) -> None:
    proxy.cut(Direction.DOWN, after=0, rst=True)
    with pytest.raises(requests.ConnectionError, match="ConnectionResetError"):
        session.post(proxy.url, data=b"x", timeout=20)


@pytest.mark.parametrize("rst", [False, True])
def test_all_connections_end_at_once(proxy: Proxy, rst: bool) -> None:
    clients = [http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20) for _ in range(2)]
    for client in clients:
        client.request("POST", "/", b"1")
        assert client.getresponse().read() == b"1"
    if rst:
        proxy.reset_now()
    else:
        proxy.cut_now()
    for client in clients:
        if rst:
            with pytest.raises(ConnectionResetError):
                client.sock.recv(1)
        else:
            assert client.sock.recv(1) == b""
        client.close()


def test_connections_are_refused_for_a_while(proxy: Proxy, session: requests.Session) -> None:
    session.post(proxy.url, data=b"1", timeout=20)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    assert session.post(proxy.url, data=b"2", timeout=20).content == b"2"  # on the connection that stays
    proxy.accept()
    with requests.Session() as other:
        assert other.post(proxy.url, data=b"3", timeout=20).content == b"3"


def test_nobody_is_forgotten_who_calls_right_before_it_refuses(served: Served) -> None:
    """A socket that is left open is a warning, and that an error."""
    with Proxy("127.0.0.1", served.port) as proxy:
        stopped = threading.Event()

        def call() -> None:
            while not stopped.is_set():
                with suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port)) as client:
                    client.sendall(b"x" * 100_000)

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for _ in range(100):
            proxy.refuse()
            proxy.accept()
        stopped.set()
        for caller in callers:
            caller.join()
    gc.collect()


def test_each_request_is_delayed_once(served: Served) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with Proxy("127.0.0.1", served.port, sleep=sleep) as proxy, requests.Session() as session:
        session.post(proxy.url, data=b"1", timeout=20)
        proxy.delay(0.25)
        for _ in range(3):
            session.post(proxy.url, data=bytes(300_000), timeout=20)
    assert slept == [0.25] * 3


def test_behind_it_nobody_answers(session: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Proxy("127.0.0.1", port) as proxy, pytest.raises(requests.ConnectionError):
        session.get(proxy.url, timeout=20)
