"""The servers behind the doors, the front doors of Hubic and OVH, and a clock."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.doubles.hubic import HubicDouble
from tests.doubles.ovh import OvhDouble
from tests.doubles.serving import Served
from tests.doubles.swift_tokens import SwiftTokens
from tests.stores.swift.auth.clocks import HandClock
from tests.swift.fixtures import cloud, make_swift, swift
from tests.swift.server import Swift

__all__ = ["cloud", "make_swift", "swift"]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def distrusted() -> Iterator[str]:
    """An HTTPS address whose certificate nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("nobody-signed-this.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tokens(swift: Swift) -> SwiftTokens:
    """Where the doubles get real tokens."""
    return SwiftTokens(swift)


@pytest.fixture
def hubic(tokens: SwiftTokens) -> HubicDouble:
    return HubicDouble(tokens)


@pytest.fixture
def hubic_url(hubic: HubicDouble) -> Iterator[str]:
    with Served(hubic.faults) as served:
        yield served.url


@pytest.fixture
def ovh(tokens: SwiftTokens) -> OvhDouble:
    return OvhDouble(tokens)


@pytest.fixture
def ovh_url(ovh: OvhDouble) -> Iterator[str]:
    with Served(ovh.faults) as served:
        yield f"{served.url}1.0"
