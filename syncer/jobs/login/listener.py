"""A server for one request: the redirect that brings the code back from a browser on this machine.

It listens on loopback addresses only, takes one answer that belongs to this login, and closes. Anything
else it is asked (a favicon, a wrong state, a second answer) is refused and changes nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Self
from urllib.parse import urlsplit

from syncer.jobs.login import answers
from syncer.jobs.login.answers import Granted, Reply, Strange

_SILENCE = 10.0  # seconds a connection may say nothing: browsers open some in advance
_POLL = 0.05  # seconds within which the server notices that it shall end
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Syncer</title>
<body style="font-family: sans-serif; margin: 4em"><h1>{title}</h1><p>{words}</p></body></html>"""
_YES = ("Logged in", "Syncer goes on in its terminal. You can close this page.")
_NO = ("Not logged in", "The login was refused; Syncer says so in its terminal. You can close this page.")
_STRANGE = ("Refused", "This is not the answer to the login that Syncer waits for.")
_LATE = ("Too late", "The login has had its answer already.")
_MISSING = ("Nothing here", "Syncer waits for the answer to a login, at another address.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: loopback addresses with the family of each, the port, the path of the redirect."""

    hosts: Sequence[tuple[socket.AddressFamily, str]]
    port: int
    path: str
    name: str  # the host of the redirect

    @property
    def names(self) -> frozenset[str]:
        """What a request's Host may be: the redirect's own, and the numbers that are listened at."""
        numbers = {f"[{host}]" if ":" in host else host for _, host in self.hosts}
        names = {self.name.lower(), *numbers}
        return frozenset({f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set()))


def address_of(redirect_uri: str) -> Address | None:
    """Where a redirect arrives if that is this machine, by http; else None: nothing to listen at.

    Its name may be an invented one that the hosts file leads here (some services refuse `localhost`).
    """
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return None
    if parts.scheme != "http" or not parts.hostname:
        return None
    try:
        port = parts.port or 80
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return None
    hosts = [(family, str(where[0])) for family, _, _, _, where in found]
    if not hosts or not all(ip_address(host.partition("%")[0]).is_loopback for _, host in hosts):
        return None
    return Address(hosts=hosts, port=port, path=parts.path or "/", name=_in_brackets(parts.hostname))


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Listener:
    """Open from `with` on; calls `hear` once, from a thread, with the reply.

    Entering raises OSError where the port is taken or may not be used.
    """

    def __init__(self, address: Address, state: str, hear: Callable[[Reply], None]) -> None:
        self._address = address
        self._state = state
        self._hear = hear
        self._lock = threading.Lock()
        self._answered = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for family, host in self._address.hosts:
                server = _Server(family, (host, self._address.port), self._handler())
                stack.callback(server.server_close)
                thread = threading.Thread(
                    target=server.serve_forever, args=(_POLL,), name="login", daemon=True
                )
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            """One connection, one request."""

            timeout = _SILENCE
            server_version, sys_version = "Syncer", ""

            def do_GET(self) -> None:
                status, page, reply = listener._judged(self.path, self.headers.get_all("Host") or [])
                self._answer(status, *page)
                if reply is not None:
                    listener._hear(reply)  # after the page: what hears it may end the program

            def _answer(self, status: int, title: str, words: str) -> None:
                body = _PAGE.format(title=title, words=words).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")  # the page's address holds the code
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # who asked has gone; the answer counts

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Nothing: the request holds the code."""

        return Handler

    def _judged(self, target: str, hosts: Sequence[str]) -> tuple[int, tuple[str, str], Reply | None]:
        """What a request gets. Under another Host a page of the web speaks to us by a name of its own."""
        if len(hosts) != 1 or hosts[0].lower() not in self._address.names:
            return 421, _MISSING, None
        try:
            parts = urlsplit(target)
        except ValueError:
            return 400, _STRANGE, None
        if parts.path != self._address.path:
            return 404, _MISSING, None
        try:
            reply = answers.of_query(parts.query, self._state)
        except Strange:
            return 400, _STRANGE, None
        with self._lock:
            if self._answered:
                return 410, _LATE, None
            self._answered = True
        return 200, _YES if isinstance(reply, Granted) else _NO, reply


class _Server(ThreadingMixIn, TCPServer):
    """Not HTTPServer: that asks the name service who we are."""

    allow_reuse_address = True  # a login right after another one
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, family: socket.AddressFamily, where: tuple[str, int], handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family
        super().__init__(where, handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is nobody's business."""
