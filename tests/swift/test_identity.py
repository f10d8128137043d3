"""The real Keystone stands in front of the real Swift."""

from __future__ import annotations

import pytest
import requests

from tests.swift.identity import Cloud


@pytest.fixture
def token(cloud: Cloud) -> str:
    """A token of the project's user."""
    user = {"name": cloud.user, "domain": {"name": cloud.domain}, "password": cloud.password}
    scope = {"project": {"name": cloud.project, "domain": {"name": cloud.domain}}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return cloud.ask("POST", "/auth/tokens", body={"auth": {"identity": identity, "scope": scope}})[0]


def catalogue(cloud: Cloud, token: str) -> dict[tuple[str, str], str]:
    """Addresses of Swift by region and interface."""
    _, answer = cloud.ask("GET", "/auth/tokens", token=token, subject=token)
    [swift] = [s for s in answer["token"]["catalog"] if s["type"] == "object-store"]
    return {(e["region"], e["interface"]): e["url"] for e in swift["endpoints"]}


def test_swift_takes_a_token_until_it_is_revoked(cloud: Cloud, token: str) -> None:
    storage = catalogue(cloud, token)["RegionOne", "public"]
    headers = {"X-Auth-Token": token}
    assert requests.put(f"{storage}/c", headers=headers, timeout=20).status_code in (201, 202)
    cloud.revoke(token)
    assert requests.head(f"{storage}/c", headers=headers, timeout=20).status_code == 401


def test_every_address_in_the_catalogue_leads_to_swift(cloud: Cloud, token: str) -> None:
    addresses = catalogue(cloud, token)
    assert set(addresses) == {
        ("RegionOne", "public"), ("RegionOne", "internal"), ("RegionOne", "admin"), ("RegionTwo", "public")
    }  # fmt: skip
    for address in addresses.values():
        answer = requests.head(address, headers={"X-Auth-Token": token}, timeout=20)
        assert answer.status_code in (200, 204)
