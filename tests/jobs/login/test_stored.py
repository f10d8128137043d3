"""Config first, then the environment, then what a login kept: and only for what it was kept for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncer.accounts.credentials import completed, purpose
from syncer.config.accounts import Account
from syncer.config.secrets import Secret
from syncer.state.credentials import CredentialStore
from tests.jobs.login.players import account

KEPT = {
    "refresh_token": "kept-refresh",
    "consumer_key": "kept-consumer",
    "access_token": "kept-token",
    "access_secret": "kept-secret",
}
HUBIC = {"type": "swift", "auth": "hubic", "client_id": "x", "client_secret": "y"}
OVH = {
    "type": "swift",
    "auth": "ovh",
    "endpoint": "ovh-eu",
    "application_key": "k",
    "application_secret": "s",
}
SITE = {
    "type": "smartfile",
    "url": "https://files.example/",
    "client_token": "t" * 30,
    "client_secret": "s" * 30,
}


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OVH's package reads its own files and variables."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OVH_CONSUMER_KEY", raising=False)


def filled(home: Path, found: Account, environ: dict[str, str] | None = None) -> Account:
    wallet = CredentialStore(home / "state", "cloud", vault=lambda: None)
    wallet.save(purpose(found, environ or {}), KEPT)
    return completed(found, wallet, environ or {})


def value(found: Account, field: str) -> str | None:
    secret: Secret | None = getattr(found, field)
    return secret.reveal() if secret else None


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        (HUBIC, ["refresh_token"]),
        (OVH, ["consumer_key"]),
        (SITE, ["access_token", "access_secret"]),
    ],
)
def test_what_is_missing_is_filled_in_and_stays_covered(
    tmp_path: Path, table: dict[str, Any], fields: list[str]
) -> None:
    found = filled(tmp_path, account(**table))
    assert [value(found, field) for field in fields] == [KEPT[field] for field in fields]
    assert "kept-" not in repr(found) + str(dict(found))


@pytest.mark.parametrize(
    ("table", "field"), [(HUBIC, "refresh_token"), (OVH, "consumer_key"), (SITE, "access_token")]
)
def test_the_config_comes_first(tmp_path: Path, table: dict[str, Any], field: str) -> None:
    assert value(filled(tmp_path, account(**table, **{field: "configured"})), field) == "configured"


@pytest.mark.parametrize(
    ("table", "variable", "field"),
    [
        (HUBIC, "HUBIC_REFRESH_TOKEN", "refresh_token"),
        (SITE, "SMARTFILE_ACCESS_TOKEN", "access_token"),
        (SITE, "SMARTFILE_ACCESS_SECRET", "access_token"),
        (SITE, "SMARTFILE_API_KEY", "access_token"),
    ],
)
def test_the_environment_comes_next(tmp_path: Path, table: dict[str, Any], variable: str, field: str) -> None:
    assert value(filled(tmp_path, account(**table), {variable: "of-the-environment"}), field) is None


def test_the_environment_of_ovh_comes_next_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVH_CONSUMER_KEY", "of-the-environment")
    assert value(filled(tmp_path, account(**OVH)), "consumer_key") is None


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (HUBIC, {"api_url": "https://elsewhere.example/"}),
        (HUBIC, {"client_id": "another"}),
        (OVH, {"endpoint": "https://elsewhere.example/1.0"}),
        (OVH, {"application_key": "another"}),
        (SITE, {"url": "https://elsewhere.example/"}),
        (SITE, {"client_token": "u" * 30}),
    ],
)
def test_an_account_that_points_elsewhere_gets_nothing(
    tmp_path: Path, table: dict[str, Any], change: dict[str, str]
) -> None:
    filled(tmp_path, account(**table))
    moved = account(**(table | change))
    assert completed(moved, CredentialStore(tmp_path / "state", "cloud", vault=lambda: None), {}) is moved


def test_an_account_with_a_key_is_left_alone_and_its_login_not_even_looked_for(tmp_path: Path) -> None:
    (tmp_path / "state/tokens").mkdir(parents=True)
    (tmp_path / "state/tokens/cloud.json").write_text("no login at all")
    wallet = CredentialStore(tmp_path / "state", "cloud", vault=lambda: None)
    for table in (
        {"type": "smartfile", "url": "https://files.example/", "key": "k" * 30},
        {"type": "swift", "auth": "v1"},
        {"type": "swift", "auth": "ovh", "client_id": "EU.x", "client_secret": "y"},
    ):
        found = account(**table)
        assert completed(found, wallet, {}) is found


def test_no_secret_is_in_what_a_login_is_bound_to() -> None:
    told = account(**{**HUBIC, "client_secret": "planted", "password": "planted", "username": "me"})
    assert "planted" not in purpose(told, {})
