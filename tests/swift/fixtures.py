"""The fixtures: one Swift and one cloud for each test process, started when first asked for, more to measure.

A conftest imports those that its tests want. They share one server, so that any number of folders may.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

import pytest

from tests.swift.identity import Cloud
from tests.swift.rgw import Rgw
from tests.swift.server import Settings, Swift

MakeSwift: TypeAlias = Callable[..., Swift]


@cache
def shared_swift() -> Swift:
    """The one Swift of this process, with TempAuth; ends with it."""
    swift = Swift()
    atexit.register(swift.stop)
    return swift


@pytest.fixture
def swift() -> Iterator[Swift]:
    """The shared Swift, well behaved at the start and at the end of each test. Use `swift.fresh_name()`."""
    server = shared_swift()
    server.reset()
    yield server
    server.reset()


@cache
def shared_rgw() -> Rgw:
    """The one Ceph with its gateway of this process; ends with it. About a second and a half at first."""
    gateway = Rgw()
    atexit.register(gateway.stop)
    return gateway


@pytest.fixture
def rgw() -> Iterator[Rgw]:
    """The shared Ceph RGW, well behaved at the start and at the end of each test."""
    gateway = shared_rgw()
    gateway.reset()
    yield gateway
    gateway.reset()


@cache
def shared_cloud() -> Cloud:
    """The one Keystone with its Swift of this process; ends with it."""
    cloud = Cloud()
    atexit.register(cloud.stop)
    return cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The shared Keystone and a Swift that takes its tokens, well behaved. About three seconds at first."""
    servers = shared_cloud()
    servers.swift.reset()
    yield servers
    servers.swift.reset()


@pytest.fixture
def make_swift() -> Iterator[MakeSwift]:
    """Starts a Swift with other `Settings`, given as keywords: `make_swift(token_life=2)`. About a second."""
    made: list[Swift] = []

    def make(**settings: Any) -> Swift:
        made.append(Swift(Settings(**settings)))
        return made[-1]

    yield make
    for server in made:
        server.stop()
