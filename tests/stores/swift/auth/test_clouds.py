"""clouds.yaml is found and read as the OpenStack tools do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.errors import AuthError
from syncer.stores.swift.auth.keystone import Files, KeystoneLogin, read_cloud
from tests.stores.swift.auth.clocks import HandClock
from tests.stores.swift.auth.opening import works
from tests.swift.identity import Cloud

CLOUDS = """
clouds:
  home:
    region_name: RegionOne
    identity_api_version: 3
    interface: internal
    auth: {auth_url: "AUTH_URL", username: alice, project_name: demo, user_domain_name: Default}
  other:
    profile: vendor
    regions: [First, Second]
    auth: {username: alice, password: open, project_name: demo}
"""
SECURE = "clouds: {home: {auth: {password: made-up-alice}}}"
PUBLIC = "public-clouds: {vendor: {auth: {auth_url: 'https://vendor.example/v3'}, interface: public}}"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with the three files in ~/.config/openstack."""
    folder = tmp_path / ".config" / "openstack"
    folder.mkdir(parents=True)
    for name, text in (("clouds", CLOUDS), ("secure", SECURE), ("clouds-public", PUBLIC)):
        (folder / f"{name}.yaml").write_text(text)
    return {"HOME": str(tmp_path)}


def test_secrets_may_stand_in_a_file_of_their_own(home: dict[str, str]) -> None:
    found = read_cloud("home", home)
    assert (found["username"], found["password"]) == ("alice", "made-up-alice")
    assert (found["region_name"], found["interface"], found["identity_api_version"]) == (
        "RegionOne",
        "internal",
        "3",
    )


def test_a_profile_is_what_a_cloud_starts_from(home: dict[str, str]) -> None:
    found = read_cloud("other", home)
    assert (found["auth_url"], found["username"]) == ("https://vendor.example/v3", "alice")
    assert found["region_name"] == "First"


def test_a_file_may_be_named(home: dict[str, str], tmp_path: Path) -> None:
    named = tmp_path / "mine.yaml"
    named.write_text("clouds: {mine: {auth: {auth_url: 'https://mine.example'}}}")
    assert read_cloud("mine", home | {"OS_CLIENT_CONFIG_FILE": str(named)}) == {
        "auth_url": "https://mine.example"
    }


@pytest.mark.parametrize("planted", ["clouds.yaml", "secure.yaml", "clouds-public.yaml"])
def test_no_file_of_the_current_directory_is_read(
    home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """One that came by a sync sent the password of the account to whoever had written it."""
    folder = tmp_path / "synced"
    folder.mkdir()
    bad = "{auth: {auth_url: 'https://attacker.example', password: theirs}}"
    section = (
        "public-clouds: {vendor: %s}" if planted == "clouds-public.yaml" else "clouds: {home: %s, other: %s}"
    )
    (folder / planted).write_text(section.replace("%s", bad))
    monkeypatch.chdir(folder)
    for name in ("home", "other"):
        found = read_cloud(name, home)
        assert "attacker" not in found["auth_url"] and found["password"] != "theirs"


def test_files_that_the_account_names_are_read(home: dict[str, str], tmp_path: Path) -> None:
    clouds, secure = tmp_path / "c.yaml", tmp_path / "s.yaml"
    clouds.write_text("clouds: {mine: {auth: {auth_url: 'https://mine.example'}}}")
    secure.write_text("clouds: {mine: {auth: {password: p}}}")
    found = read_cloud("mine", home, Files(clouds=clouds, secure=secure))
    assert found == {"auth_url": "https://mine.example", "password": "p"}


def test_a_password_is_not_sent_to_another_endpoint_than_it_was_written_down_with(
    home: dict[str, str], clock: HandClock
) -> None:
    words = {"auth_url": "https://elsewhere.example/v3"}
    with pytest.raises(AuthError, match="password"):
        KeystoneLogin.settled(home, clock=clock, cloud="other", **words)
    variables = {
        "OS_AUTH_URL": "https://mine.example/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p",
        "OS_PROJECT_NAME": "p",
    }  # fmt: skip
    with pytest.raises(AuthError, match="password"):
        KeystoneLogin.settled(variables, clock=clock, **words)
    assert KeystoneLogin.settled(variables, clock=clock, auth_url="https://mine.example/v2.0").secret() == "p"


def test_an_unknown_cloud_is_told_with_those_that_are_known(home: dict[str, str]) -> None:
    with pytest.raises(AuthError, match="no cloud named 'hom'") as caught:
        read_cloud("hom", home)
    assert "home, other" in caught.value.hint


def test_a_broken_file_is_told_without_what_stands_in_it(home: dict[str, str]) -> None:
    path = Path(home["HOME"]) / ".config/openstack/secure.yaml"
    path.write_text("clouds: {home: {auth: {password: made-up-alice")
    with pytest.raises(AuthError, match=r"secure\.yaml") as caught:
        read_cloud("home", home)
    assert "made-up" not in str(caught.value)


@pytest.mark.parametrize("chosen", ["by the account", "by OS_CLOUD"])
def test_a_cloud_opens(home: dict[str, str], cloud: Cloud, clock: HandClock, chosen: str) -> None:
    path = Path(home["HOME"]) / ".config/openstack/clouds.yaml"
    path.write_text(CLOUDS.replace("AUTH_URL", cloud.auth_url))
    if chosen == "by OS_CLOUD":
        login = KeystoneLogin.settled(home | {"OS_CLOUD": "home"}, clock=clock)
    else:
        login = KeystoneLogin.settled(home | {"OS_AUTH_URL": "http://127.0.0.1:9"}, clock=clock, cloud="home")
    access = login.log_in()
    assert works(access) and access.storage_url.startswith("http://localhost:")
