"""The Keystone door in front of the real Keystone; for v2.0, which it no longer speaks, of a small double."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from syncer.errors import AuthError, TransientError
from syncer.stores.swift.auth.keystone import KeystoneLogin
from syncer.stores.swift.auth.session import RenewingTokenProvider
from tests.doubles.faults import Answer, Faults, Lost, Reset
from tests.doubles.serving import Served
from tests.doubles.swift_tokens import SwiftTokens
from tests.stores.swift.auth.clocks import HandClock
from tests.stores.swift.auth.opening import opens_again, works
from tests.swift.identity import Cloud


def login_to(cloud: Cloud, clock: HandClock, **other: str) -> KeystoneLogin:
    words = {"auth_url": cloud.auth_url, "username": cloud.user, "project_name": cloud.project}
    password = other.pop("password", cloud.password)
    return KeystoneLogin(secret=lambda: password, clock=clock, **(words | other))


def variables(cloud: Cloud) -> dict[str, str]:
    return {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERNAME": cloud.user,
        "OS_PASSWORD": cloud.password,
        "OS_PROJECT_NAME": cloud.project,
    }


def test_it_opens_and_opens_again(cloud: Cloud, clock: HandClock) -> None:
    door = RenewingTokenProvider(login_to(cloud, clock), clock=clock)
    spent = door.open()
    assert works(spent)
    cloud.revoke(spent.token)
    assert not works(spent)
    assert works(door.renew(spent))


def test_the_life_of_a_token_is_reckoned_from_its_date(cloud: Cloud, clock: HandClock) -> None:
    access = login_to(cloud, clock).log_in()
    assert access.expires_at is not None
    assert 3500 < access.expires_at - clock.monotonic() <= 3600


def test_an_application_credential_opens_without_user_and_project(cloud: Cloud, clock: HandClock) -> None:
    ident, secret = cloud.application_credential("by id")
    login = KeystoneLogin(
        auth_url=cloud.auth_url, secret=lambda: secret, application_credential_id=ident, clock=clock
    )
    assert works(login.log_in())
    assert secret not in repr(login)


def test_an_application_credential_may_be_named_with_its_user(cloud: Cloud, clock: HandClock) -> None:
    _, secret = cloud.application_credential("by name")
    login = KeystoneLogin(
        auth_url=cloud.auth_url, secret=lambda: secret, clock=clock,
        application_credential_name="by name", username=cloud.user,
    )  # fmt: skip
    assert works(login.log_in())


@pytest.mark.parametrize("domain", [{}, {"user_domain_name": "Default", "project_domain_id": "default"}])
def test_domains_are_given_by_name_by_id_or_not_at_all(
    cloud: Cloud, clock: HandClock, domain: dict[str, str]
) -> None:
    assert works(login_to(cloud, clock, **domain).log_in())


@pytest.mark.parametrize(
    ("words", "host"),
    [
        ({}, "127.0.0.1"),
        ({"interface": "internal"}, "localhost"),
        ({"region_name": "RegionTwo"}, "127.1"),
        ({"region_name": "RegionOne", "interface": "public"}, "127.0.0.1"),
    ],
)
def test_region_and_interface_choose_the_storage_url(
    cloud: Cloud, clock: HandClock, words: dict[str, str], host: str
) -> None:
    access = login_to(cloud, clock, **words).log_in()
    assert access.storage_url.startswith(f"http://{host}:{cloud.swift.ports['proxy']}/v1/AUTH_")
    assert works(access)


@pytest.mark.parametrize(
    "words", [{"region_name": "Atlantis"}, {"region_name": "RegionTwo", "interface": "admin"}]
)
def test_a_region_or_interface_without_swift_is_named(
    cloud: Cloud, clock: HandClock, words: dict[str, str]
) -> None:
    with pytest.raises(AuthError, match=words["region_name"]) as caught:
        login_to(cloud, clock, **words).log_in()
    assert "OS_REGION_NAME" in caught.value.hint


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v3/"])
def test_the_version_may_be_left_out_of_the_url(cloud: Cloud, clock: HandClock, end: str) -> None:
    assert works(login_to(cloud, clock, auth_url=cloud.url + end).log_in())


def test_a_wrong_password_is_named_and_not_shown(cloud: Cloud, clock: HandClock) -> None:
    with pytest.raises(AuthError, match=r"refused \(401\)") as caught:
        login_to(cloud, clock, password="not-it").log_in()
    assert "OS_PASSWORD" in caught.value.hint
    assert "not-it" not in repr(caught.value) + caught.value.hint


def test_a_user_without_a_role_in_the_project_is_refused(cloud: Cloud, clock: HandClock) -> None:
    with pytest.raises(AuthError, match="refused"):
        login_to(cloud, clock, username=cloud.stranger, password=cloud.stranger_password).log_in()


def test_nobody_listening_is_transient(clock: HandClock) -> None:
    login = KeystoneLogin(
        auth_url="http://127.0.0.1:9/v3", secret=lambda: "k", username="u", project_name="p", clock=clock
    )
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        login.log_in()


def test_a_url_that_is_no_keystone_is_told_so(cloud: Cloud, clock: HandClock) -> None:
    with pytest.raises(AuthError) as caught:
        login_to(cloud, clock, auth_url=f"{cloud.swift.url}/v3").log_in()
    assert "OS_AUTH_URL" in caught.value.hint


def test_a_certificate_that_nobody_signed_ends_the_login(distrusted: str, clock: HandClock) -> None:
    login = KeystoneLogin(
        auth_url=f"{distrusted}/v3", secret=lambda: "k", username="u", project_name="p", clock=clock
    )
    with pytest.raises(AuthError, match="certificate") as caught:
        login.log_in()
    assert "OS_CACERT" in caught.value.hint


def test_a_certificate_of_a_private_authority_is_trusted_when_it_is_named(
    distrusted: str, clock: HandClock
) -> None:
    authority = Path(__file__).with_name("nobody-signed-this.pem")
    environ = {
        "OS_AUTH_URL": f"{distrusted}/v3",
        "OS_USERNAME": "u",
        "OS_PASSWORD": "k",
        "OS_PROJECT_NAME": "p",
    }
    login = KeystoneLogin.settled(environ | {"OS_CACERT": str(authority)}, clock=clock)
    with pytest.raises(TransientError, match="answers 501"):  # it is no Keystone, but it was heard
        login.log_in()


# -- where the settings come from ------------------------------------------------


def test_the_environment_is_enough(cloud: Cloud, clock: HandClock) -> None:
    assert works(KeystoneLogin.settled(variables(cloud), clock=clock).log_in())


def test_older_names_of_variables_are_understood(cloud: Cloud, clock: HandClock) -> None:
    environ = variables(cloud) | {"OS_ENDPOINT_TYPE": "internalURL", "OS_TENANT_NAME": cloud.project}
    del environ["OS_PROJECT_NAME"]
    access = KeystoneLogin.settled(environ, clock=clock).log_in()
    assert access.storage_url.startswith("http://localhost:")


def test_what_the_account_gives_goes_before_the_environment(cloud: Cloud, clock: HandClock) -> None:
    environ = variables(cloud) | {"OS_PASSWORD": "another", "OS_REGION_NAME": "Atlantis"}
    login = KeystoneLogin.settled(
        environ, clock=clock, password=lambda: cloud.password, region_name="RegionOne"
    )
    assert works(login.log_in())


def test_a_password_in_the_account_is_not_pushed_aside_by_a_credential_in_the_environment(
    cloud: Cloud, clock: HandClock
) -> None:
    stray = {"OS_APPLICATION_CREDENTIAL_ID": "x", "OS_APPLICATION_CREDENTIAL_SECRET": "y"}
    login = KeystoneLogin.settled(variables(cloud) | stray, clock=clock, password=lambda: cloud.password)
    assert works(login.log_in())


@pytest.mark.parametrize(
    ("left_out", "named"),
    [("OS_AUTH_URL", "auth_url"), ("OS_PASSWORD", "password"), ("OS_PROJECT_NAME", "project")],
)
def test_what_nobody_gives_is_named(cloud: Cloud, clock: HandClock, left_out: str, named: str) -> None:
    environ = {key: value for key, value in variables(cloud).items() if key != left_out}
    with pytest.raises(AuthError, match=f"keystone: {named} missing") as caught:
        KeystoneLogin.settled(environ, clock=clock)
    assert left_out in caught.value.hint


# -- v2.0, and trouble ------------------------------------------------------------


class OldKeystone:
    """`POST /v2.0/tokens` as Keystone answered it before it was retired; tokens are those of a real Swift."""

    def __init__(self, tokens: SwiftTokens) -> None:
        self.tokens = tokens
        self.faults = Faults(Starlette(routes=[Route("/v2.0/tokens", self._tokens, methods=["POST"])]))

    async def _tokens(self, request: Request) -> Response:
        asked = (await request.json())["auth"]
        if asked["passwordCredentials"] != {"username": "alice", "password": "made-up"} or (
            asked.get("tenantName") != "demo"
        ):
            words = {"code": 401, "title": "Unauthorized", "message": "Invalid user / password"}
            return JSONResponse({"error": words}, 401)
        url, token = self.tokens.give()
        end = datetime.now(UTC) + timedelta(hours=1)
        endpoint = {"region": "R", "publicURL": url, "internalURL": url.replace("127.0.0.1", "localhost")}
        return JSONResponse(
            {
                "access": {
                    "token": {
                        "id": token,
                        "expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                        "tenant": {"id": "1"},
                    },
                    "serviceCatalog": [{"type": "object-store", "name": "swift", "endpoints": [endpoint]}],
                    "user": {"id": "u", "name": "alice", "roles": []},
                }
            }
        )


@pytest.fixture
def old(tokens: SwiftTokens) -> OldKeystone:
    return OldKeystone(tokens)


@pytest.fixture
def old_url(old: OldKeystone) -> Iterator[str]:
    with Served(old.faults) as served:
        yield f"{served.url}v2.0"


def old_login(
    url: str, clock: HandClock, *, password: str = "made-up", interface: str = "public"
) -> KeystoneLogin:
    return KeystoneLogin(
        auth_url=url, username="alice", project_name="demo", secret=lambda: password, interface=interface,
        clock=clock,
    )  # fmt: skip


def test_the_old_version_opens_and_opens_again(old: OldKeystone, old_url: str, clock: HandClock) -> None:
    opens_again(RenewingTokenProvider(old_login(old_url, clock), clock=clock), old.tokens.swift)


def test_the_old_version_knows_interfaces_and_dates(old: OldKeystone, old_url: str, clock: HandClock) -> None:
    access = old_login(old_url, clock, interface="internal").log_in()
    assert access.storage_url.startswith("http://localhost:")
    assert access.expires_at is not None and 3500 < access.expires_at - clock.monotonic() <= 3600


def test_the_old_version_refuses(old: OldKeystone, old_url: str, clock: HandClock) -> None:
    with pytest.raises(AuthError, match="refused"):
        old_login(old_url, clock, password="not-it").log_in()


@pytest.mark.parametrize("fault", [Answer(status=503), Answer(status=429), Reset(), Lost()])
def test_trouble_of_the_moment_is_transient(
    old: OldKeystone, old_url: str, clock: HandClock, fault: Answer | Reset | Lost
) -> None:
    old.faults.add("POST", "/tokens", fault)
    login = old_login(old_url, clock)
    with pytest.raises(TransientError):
        login.log_in()
    assert works(login.log_in())
