"""The doubles are faithful: the clients of their time, as published, get along with them.

`lhubic` was written against Hubic itself, `ovh` is OVH's own. What they rely on, our doubles must do.
"""

from __future__ import annotations

from collections.abc import Iterator

import lhubic
import ovh as published
import pytest

from tests.doubles.faults import Answer
from tests.doubles.hubic import HubicDouble
from tests.doubles.ovh import OvhDouble, Project

ENDPOINT = "a double"


@pytest.fixture
def hubic_client(
    hubic: HubicDouble, hubic_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[lhubic.Hubic]:
    """lhubic, pointed at the double (its addresses are constants)."""
    monkeypatch.setattr(lhubic, "TOKEN_URL", f"{hubic_url}oauth/token")
    monkeypatch.setattr(lhubic, "AUTH_URL", f"{hubic_url}oauth/auth")
    monkeypatch.setattr(lhubic, "HUBIC_API_URL", f"{hubic_url}1.0")
    client = lhubic.Hubic(hubic.client_id, hubic.client_secret, hubic.user, hubic.password)
    session = client.session
    yield client
    session.close()
    if client.os_auth_token:
        client.close()


def log_in(client: lhubic.Hubic) -> None:
    """lhubic's own way; today's swiftclient takes its session from it while it does."""
    session = client.session
    client.os_auth()
    client.session = session


@pytest.fixture
def ovh_client(ovh: OvhDouble, ovh_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[published.Client]:
    """OVH's own client, pointed at the double."""
    monkeypatch.setitem(published.client.ENDPOINTS, ENDPOINT, ovh_url)
    client = published.Client(ENDPOINT, ovh.key, ovh.secret, ovh.consumer)
    yield client
    client._session.close()


def test_lhubic_logs_in_through_the_form_and_uses_the_storage(hubic_client: lhubic.Hubic) -> None:
    log_in(hubic_client)
    hubic_client.put_container("default")
    hubic_client.put_object("default", "a.txt", b"abc")
    assert hubic_client.get_object("default", "a.txt")[1] == b"abc"


def test_lhubic_logs_in_with_the_refresh_token_it_got(hubic: HubicDouble, hubic_client: lhubic.Hubic) -> None:
    log_in(hubic_client)
    log_in(hubic_client)
    assert [asked.status for asked in hubic.faults.asked("POST", "/oauth/token")] == [200, 200]


def test_lhubic_renews_a_bearer_that_expired(hubic: HubicDouble, hubic_client: lhubic.Hubic) -> None:
    log_in(hubic_client)
    hubic.expire_bearers()
    usage = hubic_client.hubic_get("/account/usage").json()
    assert usage == {"quota": hubic.quota, "used": hubic.used}


@pytest.mark.parametrize(
    ("attribute", "words"),
    [("client_id", "check app credentials"), ("password", "check user/password")],
)
def test_lhubic_understands_a_refusal(hubic_client: lhubic.Hubic, attribute: str, words: str) -> None:
    setattr(hubic_client, attribute, "wrong")
    with pytest.raises(lhubic.HubicAuthFailure, match=words):
        hubic_client.os_auth()


def test_lhubic_stays_out_when_a_bearer_is_refused_for_good(
    hubic: HubicDouble, hubic_client: lhubic.Hubic
) -> None:
    log_in(hubic_client)
    hubic.cured = False
    with pytest.raises(lhubic.HubicAccessFailure):
        hubic_client.hubic_get("/account/credentials")


def test_ovhs_client_signs_what_the_double_checks(ovh: OvhDouble, ovh_client: published.Client) -> None:
    assert ovh_client.get("/cloud/project", iamTags='{"a b": "é&"}') == [ovh.project]
    assert ovh_client.get(f"/cloud/project/{ovh.project}")["status"] == "ok"
    access = ovh_client.post(f"/cloud/project/{ovh.project}/storage/access")
    assert [endpoint["region"] for endpoint in access["endpoints"]] == ["GRA"]


def test_a_consumer_key_is_asked_for_validated_and_ended(
    ovh: OvhDouble, ovh_client: published.Client
) -> None:
    request = ovh_client.new_consumer_key_request()
    request.add_recursive_rules(published.API_READ_ONLY, "/cloud")
    request.add_rule("GET", "/auth/currentCredential")
    request.add_rule("POST", "/auth/logout")
    made = request.request()
    assert made["state"] == "pendingValidation"
    with pytest.raises(published.InvalidCredential):
        ovh_client.get("/cloud/project")
    ovh.credentials[made["consumerKey"]].state = "validated"
    assert ovh_client.get("/cloud/project") == [ovh.project]
    assert ovh_client.get("/auth/currentCredential")["status"] == "validated"
    with pytest.raises(published.NotGrantedCall):
        ovh_client.post(f"/cloud/project/{ovh.project}/storage/access")
    assert ovh_client.post("/auth/logout") is None
    with pytest.raises(published.InvalidCredential):
        ovh_client.get("/cloud/project")


@pytest.mark.parametrize(
    ("attribute", "error"),
    [
        ("_application_key", published.InvalidKey),
        ("_application_secret", published.BadParametersError),
        ("_consumer_key", published.NotCredential),
    ],
)
def test_ovhs_client_tells_refusals_apart(
    ovh_client: published.Client, attribute: str, error: type[Exception]
) -> None:
    setattr(ovh_client, attribute, "wrong")
    with pytest.raises(error):
        ovh_client.get("/cloud/project")


def test_ovhs_client_knows_the_other_answers_too(ovh: OvhDouble, ovh_client: published.Client) -> None:
    with pytest.raises(published.ResourceNotFoundError):
        ovh_client.get(f"/cloud/project/{ovh.project}/storage/access")
    ovh.projects["old"] = Project(suspended=True)
    with pytest.raises(published.exceptions.ResourceExpiredError):
        ovh_client.post("/cloud/project/old/storage/access")
    ovh.credentials[ovh.consumer].allowed_ips = ()
    with pytest.raises(published.Forbidden):
        ovh_client.get("/cloud/project")


def test_ovhs_client_never_reads_the_clock_again(ovh: OvhDouble, ovh_client: published.Client) -> None:
    """The reason why a login makes a client of its own."""
    ovh_client.get("/cloud/project")
    ovh.skew = 1000
    with pytest.raises(published.BadParametersError, match="Query out of time"):
        ovh_client.get("/cloud/project")


def test_ovhs_client_meets_what_gateways_say(ovh: OvhDouble, ovh_client: published.Client) -> None:
    ovh.faults.add("GET", "/cloud/project", Answer(status=502, body=b"<html>"))
    with pytest.raises(published.InvalidResponse):
        ovh_client.get("/cloud/project")
    ovh.faults.add("GET", "/cloud/project", Answer(status=500, body=b"[]"))
    with pytest.raises(AttributeError):
        ovh_client.get("/cloud/project")


def test_a_signature_covers_the_url_as_it_was_sent(ovh: OvhDouble, ovh_client: published.Client) -> None:
    """The worked example of OVH's documentation is made with SHA-1 of parts joined by plus signs."""
    ovh_client.get("/cloud/project", a="1", b="2")
    [asked] = ovh.faults.asked("GET", "/cloud/project$")
    headers = {name: value for name, value in asked.headers.items() if name.startswith("x-ovh")}
    other = ovh_client._session.get(
        f"{published.client.ENDPOINTS[ENDPOINT]}/cloud/project?b=2&a=1", headers=headers, timeout=20
    )
    assert (other.status_code, other.json()["errorCode"]) == (400, "INVALID_SIGNATURE")
