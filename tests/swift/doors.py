"""The five doors, each in front of a real Swift, for suites that go through all of them.

@pytest.fixture(params=DOORS)
def way(request):
    with way_in(request.param) as way:
        yield way                      # way.door, way.swift, way.kill(access)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from syncer.clock import SystemClock
from syncer.stores.swift.auth import Access, Login, TokenProvider
from syncer.stores.swift.auth.hubic import HubicApplication, HubicLogin
from syncer.stores.swift.auth.keystone import KeystoneLogin
from syncer.stores.swift.auth.ovh import OvhLogin
from syncer.stores.swift.auth.session import RenewingTokenProvider
from syncer.stores.swift.auth.token import StaticTokenProvider
from syncer.stores.swift.auth.v1 import V1Login
from tests.doubles.hubic import HubicDouble
from tests.doubles.ovh import OvhDouble
from tests.doubles.serving import Served
from tests.doubles.swift_tokens import SwiftTokens
from tests.swift.fixtures import shared_cloud, shared_swift
from tests.swift.server import Swift

DOORS = ("v1", "keystone", "hubic", "ovh", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A door, the Swift behind it, and how to let a token die there (the door is not told)."""

    name: str
    door: TokenProvider
    swift: Swift
    kill: Callable[[Access], None]


@contextmanager
def way_in(name: str) -> Iterator[Way]:
    """One of DOORS. The Swift is the shared one, or the shared cloud's; reset before and after."""
    cloud = shared_cloud() if name == "keystone" else None
    swift = cloud.swift if cloud else shared_swift()

    def kill(access: Access) -> None:
        if cloud is not None:
            cloud.revoke(access.token)
        else:
            swift.expire(access.token)

    swift.reset()
    with _door(name, swift) as door:
        yield Way(name=name, door=door, swift=swift, kill=kill)
    swift.reset()


@contextmanager
def _door(name: str, swift: Swift) -> Iterator[TokenProvider]:
    clock = SystemClock()
    match name:
        case "token":
            yield StaticTokenProvider(storage_url=swift.log_in()[0], token=lambda: swift.log_in()[1])
        case "v1":
            login: Login = V1Login(
                auth_url=swift.auth_url, user=swift.user, key=lambda: swift.key, clock=clock
            )
            yield RenewingTokenProvider(login, clock=clock)
        case "keystone":
            cloud = shared_cloud()
            login = KeystoneLogin(
                auth_url=cloud.auth_url,
                username=cloud.user,
                secret=lambda: cloud.password,
                project_name=cloud.project,
                clock=clock,
            )
            yield RenewingTokenProvider(login, clock=clock)
        case "hubic":
            with _hubic(swift, clock) as login:
                yield RenewingTokenProvider(login, clock=clock)
        case "ovh":
            with _ovh(swift) as login:
                yield RenewingTokenProvider(login, clock=clock)
        case _:
            raise ValueError(name)


@contextmanager
def _hubic(swift: Swift, clock: SystemClock) -> Iterator[Login]:
    double = HubicDouble(SwiftTokens(swift))
    with Served(double.faults) as served:
        application = HubicApplication(
            client_id=double.client_id,
            client_secret=lambda: double.client_secret,
            refresh_token=double.authorize,
            api_url=served.url,
        )
        yield HubicLogin(application, clock=clock)


@contextmanager
def _ovh(swift: Swift) -> Iterator[Login]:
    double = OvhDouble(SwiftTokens(swift))
    with Served(double.faults) as served:
        yield OvhLogin(
            endpoint=f"{served.url}1.0",
            application_key=double.key,
            application_secret=lambda: double.secret,
            consumer_key=lambda: double.consumer,
            project=double.project,
        )
