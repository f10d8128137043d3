"""The whole login to SmartFile by OAuth 1.0a: request token, a person, verifier, access token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from syncer.accounts.login import dispatch
from syncer.accounts.verify import standing
from syncer.clock import SystemClock
from syncer.config.accounts import Account
from syncer.errors import AuthError, ConfigError, TransientError
from tests.doubles.faults import Answer
from tests.doubles.smartfile import SmartFileDouble
from tests.jobs.login.players import Player, account, dialogue


def told(site: SmartFileDouble, **more: object) -> Account:
    credentials = site.site.credentials
    table = {
        "type": "smartfile",
        "url": site.url,
        "client_token": credentials.client_token,
        "client_secret": credentials.client_secret,
    }
    return account(**(table | more))


def allows(url: str) -> str:
    """Opens the page, and reads the code on it."""
    [code] = re.findall("<code>(.*)</code>", requests.get(url, timeout=20).text)
    return str(code)


def test_a_person_allows_it_and_the_store_works(site: SmartFileDouble, tmp_path: Path) -> None:
    site.write("docs/a.txt", b"content")
    found, person = told(site), Player(pasting=allows)
    with pytest.raises(AuthError, match="no access_token"):
        standing(found, tmp_path / "state", clock=SystemClock())
    done = dispatch.log_in(found, dialogue(person, tmp_path, SystemClock(), browser=False))
    assert done is not None and done.kept == "file"
    assert standing(found, tmp_path / "state", clock=SystemClock()).free == site.options.disk_limit - 7


def test_the_code_may_come_in_an_address(site: SmartFileDouble, tmp_path: Path) -> None:
    opened: list[str] = []
    person = Player(
        browser=opened.append,
        pasting=lambda url: f"https://app.example/back?oauth_token=x&oauth_verifier={allows(url)}\n",
    )
    assert dispatch.log_in(told(site), dialogue(person, tmp_path, SystemClock())) is not None
    assert opened == [person.url]


@pytest.mark.parametrize(
    ("pasted", "why"),
    [("wrong", "refuses the verification code"), ("", "no verification code"), ("a b", "no ver")],
)
def test_a_wrong_code_is_told_and_nothing_is_kept(
    site: SmartFileDouble, tmp_path: Path, pasted: str, why: str
) -> None:
    def paste(url: str) -> str:
        allows(url)
        return pasted

    with pytest.raises(AuthError, match=why):
        dispatch.log_in(told(site), dialogue(Player(pasting=paste), tmp_path, SystemClock(), browser=False))
    assert not (tmp_path / "state").exists()


def test_a_code_of_somebody_who_did_not_allow_it_is_refused(site: SmartFileDouble, tmp_path: Path) -> None:
    person = Player(pasting=lambda url: "0" * 40)
    with pytest.raises(AuthError, match="refuses the verification code"):
        dispatch.log_in(told(site), dialogue(person, tmp_path, SystemClock(), browser=False))


def test_a_wrong_application_is_told_without_its_secret(site: SmartFileDouble, tmp_path: Path) -> None:
    found = told(site, client_secret="made-up-and-wrong" * 3)
    with pytest.raises(AuthError, match="refuses the application") as caught:
        dispatch.log_in(found, dialogue(Player(), tmp_path, SystemClock(), browser=False))
    assert "made-up" not in str(caught.value) + caught.value.hint


def test_secrets_are_not_signed_in_the_clear_over_a_network(tmp_path: Path) -> None:
    found = account(
        type="smartfile", url="http://files.example/", client_token="t" * 30, client_secret="s" * 30
    )
    with pytest.raises(AuthError, match="by https"):
        dispatch.log_in(found, dialogue(Player(), tmp_path, SystemClock()))


def test_a_service_in_trouble_is_no_refusal(site: SmartFileDouble, tmp_path: Path) -> None:
    site.misbehave("POST", "/oauth/request_token/", Answer(status=503))
    with pytest.raises(TransientError):
        dispatch.log_in(told(site), dialogue(Player(), tmp_path, SystemClock(), browser=False))


def test_what_is_missing_is_named(site: SmartFileDouble, tmp_path: Path) -> None:
    talk = dialogue(Player(), tmp_path, SystemClock())
    with pytest.raises(ConfigError, match="no url"):
        dispatch.log_in(account(type="smartfile", client_token="t" * 30, client_secret="s" * 30), talk)
    with pytest.raises(AuthError, match="no client_secret"):
        dispatch.log_in(account(type="smartfile", url=site.url, client_token="t" * 30), talk)


def test_an_account_with_a_key_or_a_token_has_nothing_to_log_in_to(
    site: SmartFileDouble, tmp_path: Path
) -> None:
    token, secret = site.site.credentials.grant()
    keyed = account(type="smartfile", url=site.url, key=site.key, password=site.password)
    for found in (keyed, told(site, access_token=token, access_secret=secret)):
        assert dispatch.log_in(found, dialogue(Player(), tmp_path, SystemClock())) is None
        standing(found, tmp_path / "state", clock=SystemClock())
