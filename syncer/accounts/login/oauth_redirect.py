"""OAuth redirect: a loopback HTTP server for the one request that brings the code back.

It listens on loopback addresses only, takes one answer that belongs to this login, and closes. Anything
else it is asked (a favicon, a wrong state, a second answer) is refused and changes nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from secrets import compare_digest
from socketserver import TCPServer, ThreadingMixIn
from typing import Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from syncer.accounts.login.base import Dialogue
from syncer.errors import AuthError
from syncer.formatting import show_duration

# --------------------------------------------------------------------------------
#
# What an authorization server sends back by way of the browser: a code or a denial, with our state.
#
# Pure reading of text (RFC 6749, 4.1.2, and RFC 5849, 2.2). Whoever can make a browser open an address can
# send us anything, so nothing counts without the state of this very login.


# The codes of RFC 6749, 4.1.2.1. Other words are a stranger's, and are not shown.
_CODES = frozenset(
    {
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The person said yes."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The person or the service said no; `words` is a code of the protocol, or ours."""

    words: str


Reply: TypeAlias = Granted | Denied


class Strange(ValueError):
    """Not an answer to this login."""


def of_query(query: str, state: str, *, pasted: bool = False) -> Reply:
    """The reply in the query of a redirect. Raises Strange.

    `pasted` by the person who logs in: then a refusal need not bear our state, which some services leave out.
    To the listener any page of the web could send one.
    """
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Strange("it cannot be understood") from None
    values = {name: texts[0] for name, texts in fields.items() if len(texts) == 1}
    given = values.get("state")
    if given is not None and not compare_digest(given.encode(), state.encode()):
        raise Strange("it belongs to another login")
    if given is None and not (pasted and values.get("error")):
        raise Strange("it does not say which login it belongs to")
    if error := values.get("error"):
        return Denied(words=error if error in _CODES else "for a reason of its own")
    if not values.get("code"):
        raise Strange("there is no code in it")
    return Granted(code=values["code"])


def of_text(text: str, state: str) -> Reply:
    """The reply that a person pasted: the whole address they were led to, or the code. Raises Strange."""
    words = text.strip()
    if "://" in words or words.startswith(("?", "/")):
        return of_query(_query(words), state, pasted=True)
    if "code=" in words or "error=" in words:
        return of_query(words, state, pasted=True)
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no code in it")
    return Granted(code=words)


def verifier(text: str) -> str:
    """The verifier that a person pasted, alone or in an address. Raises Strange."""
    words = text.strip()
    if "oauth_verifier=" in words:
        query = _query(words) if "://" in words else words.lstrip("?")
        words = parse_qs(query).get("oauth_verifier", [""])[0]
    if not words or any(c.isspace() for c in words):
        raise Strange("there is no verification code in it")
    return words


def _query(address: str) -> str:
    """Raises Strange for an address that is none."""
    try:
        return urlsplit(address).query
    except ValueError:
        raise Strange("it is no address") from None


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


class RedirectListener:
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
            reply = of_query(parts.query, self._state)
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


# --------------------------------------------------------------------------------
#
# From the address of a consent page to the code: by a browser here and a listener, or pasted by the person.
#
# Pasting is for machines without a browser: the page is opened on another one, where the redirect leads to
# an address that does not answer, and that address is what is to be pasted.


_PASTE = "Paste the code, or the whole address that you were led to"


def code(dialogue: Dialogue, url: str, *, redirect_uri: str, state: str) -> str:
    """The code of a person who consented. Raises AuthError: denied, nobody came in time, nothing of use."""
    reply = _by_browser(dialogue, url, redirect_uri, state) if dialogue.browser else None
    if reply is None:
        reply = _pasted(dialogue, url, state)
    if isinstance(reply, Granted):
        return reply.code
    raise AuthError(f"the login was refused there: {reply.words}", hint="log in again, and consent")


def _by_browser(dialogue: Dialogue, url: str, redirect_uri: str, state: str) -> Reply | None:
    """None where that is no way: nothing to listen at, or no browser."""
    address = address_of(redirect_uri)
    if address is None:
        dialogue.person.tell(f"{redirect_uri} does not lead to this machine, so nothing can be listened for.")
        return None
    heard: SimpleQueue[Reply | None] = SimpleQueue()
    try:
        listener = RedirectListener(address, state, heard.put)
        with listener:
            dialogue.person.tell(f"Opening this page in a browser:\n  {url}")
            browse_aside(dialogue, url, failed=lambda: heard.put(None))
            return heard.get(timeout=dialogue.patience)
    except OSError as error:
        port = urlsplit(redirect_uri).netloc
        dialogue.person.tell(f"Cannot listen at {port} ({error.strerror}): no answer can arrive here.")
        return None
    except Empty:
        raise late(dialogue) from None


def browse_aside(dialogue: Dialogue, url: str, failed: Callable[[], None] = lambda: None) -> None:
    """Opens a page; a browser in a terminal blocks until it is left, long after the answer is here."""

    def browse() -> None:
        if not dialogue.person.browse(url):
            failed()

    threading.Thread(target=browse, name="browser", daemon=True).start()


def _pasted(dialogue: Dialogue, url: str, state: str) -> Reply:
    dialogue.person.tell(f"Open this page in a browser, on any machine, and log in there:\n  {url}")
    try:
        return of_text(dialogue.person.answer(_PASTE), state)
    except Strange as error:
        raise unusable(error) from None


def unusable(error: Strange) -> AuthError:
    """What was pasted is no answer."""
    return AuthError(f"what was pasted is of no use: {error}", hint="log in again, and paste all of it")


def late(dialogue: Dialogue) -> AuthError:
    """Nobody came in time."""
    return AuthError(
        f"nobody logged in within {show_duration(dialogue.patience)}: given up",
        hint="log in again; on a machine without a browser: syncer login --no-browser; if the page showed an "
        "error, check the account's client_id and redirect_uri",
    )
