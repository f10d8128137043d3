"""An account of the config becomes the door that it describes: through TOML, as a person writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.accounts.swift import default_container, door
from syncer.clock import SystemClock
from syncer.config.account_types import model_of
from syncer.config.accounts import Account, SmartFile
from syncer.errors import AuthError, ConfigError
from syncer.exit_codes import exit_code


def account(base: Path = Path(), /, **table: object) -> Account:
    """The checked account of a table of the config file."""
    words = {"type": "swift", "name": "mine"} | table
    return model_of(words).model_validate(words, context={"base": base})


def test_a_ready_token_is_read_when_it_is_wanted(tmp_path: Path) -> None:
    told = account(tmp_path, auth="token", storage_url="https://swift.example/v1/a/", token={"file": "token"})
    opened = door(told, SystemClock(), environ={})
    (tmp_path / "token").write_text("made-up\n")
    access = opened.open()
    assert (access.storage_url, access.token) == ("https://swift.example/v1/a", "made-up")


LACKING = {
    "v1": ("ST_AUTH, ST_USER, ST_KEY", {}),
    "keystone": ("OS_USERNAME, OS_PASSWORD", {"auth_url": "https://auth.example/v3", "project": "p"}),
    "hubic": ("HUBIC_CLIENT_SECRET", {"client_id": "x"}),
}


@pytest.mark.parametrize("auth", LACKING)
def test_what_neither_account_nor_environment_give_is_named(auth: str) -> None:
    hint, table = LACKING[auth]
    with pytest.raises(AuthError) as caught:
        door(account(auth=auth, **table), SystemClock(), environ={})
    assert hint in caught.value.hint
    assert exit_code(caught.value) == 7


@pytest.mark.parametrize(
    ("table", "environ"),
    [
        ({"auth": "v1", "user": "a:b"}, {"ST_AUTH": "https://swift.example/auth", "ST_KEY": "k"}),
        (
            {"auth": "keystone", "username": "me", "password": "made-up", "user_domain": "D"},
            {"OS_AUTH_URL": "https://auth.example/v3", "OS_PROJECT_NAME": "p"},
        ),
        (
            {
                "auth": "keystone",
                "application_credential_id": "i",
                "application_credential_secret": "made-up",
            },
            {"OS_AUTH_URL": "https://auth.example/v3"},
        ),
        ({"auth": "hubic", "client_id": "x", "refresh_token": "made-up"}, {"HUBIC_CLIENT_SECRET": "s"}),
        ({"auth": "ovh", "endpoint": "ovh-eu"}, {}),
    ],
)
def test_each_kind_of_account_makes_a_door_without_asking_anybody(
    table: dict[str, object], environ: dict[str, str]
) -> None:
    made = door(account(**table), SystemClock(), environ=environ)
    assert "made-up" not in repr(made)
    assert hasattr(made, "renew")


def test_hubic_has_a_container_of_its_own() -> None:
    assert default_container(account(auth="hubic")) == "default"
    assert default_container(account(auth="ovh")) == ""


def test_another_kind_of_account_is_no_swift() -> None:
    other = SmartFile(name="s", type="smartfile")
    with pytest.raises(ConfigError, match="not a Swift account"):
        door(other, SystemClock(), environ={})
