"""The fronts of Hubic and OVH before a real Swift, Orange, a hosted SmartFile, and a clock turned by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doubles.hubic import HubicDouble
from tests.doubles.orange import OrangeDouble
from tests.doubles.ovh import OvhDouble
from tests.doubles.serving import Served
from tests.doubles.smartfile import SmartFileDouble
from tests.doubles.swift_tokens import SwiftTokens
from tests.jobs.login.players import free_port
from tests.stores.swift.auth.clocks import HandClock
from tests.swift.fixtures import swift
from tests.swift.server import Swift

__all__ = ["swift"]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hubic(swift: Swift) -> HubicDouble:
    """With a redirect to a port that is free."""
    double = HubicDouble(SwiftTokens(swift))
    double.redirect_uri = f"http://localhost:{free_port()}/"
    return double


@pytest.fixture
def hubic_url(hubic: HubicDouble) -> Iterator[str]:
    with Served(hubic.faults) as served:
        yield served.url


@pytest.fixture
def ovh(swift: Swift) -> OvhDouble:
    return OvhDouble(SwiftTokens(swift))


@pytest.fixture
def ovh_url(ovh: OvhDouble) -> Iterator[str]:
    with Served(ovh.faults) as served:
        yield f"{served.url}1.0"


@pytest.fixture
def site() -> Iterator[SmartFileDouble]:
    with SmartFileDouble() as double:
        yield double


@pytest.fixture
def orange() -> Iterator[OrangeDouble]:
    """With a redirect to a port that is free."""
    with OrangeDouble() as double:
        double.login.redirect_uri = f"http://localhost:{free_port()}/back"
        yield double
