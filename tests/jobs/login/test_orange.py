"""The whole login to Orange, by a person who consents, denies, pastes, or pastes nonsense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests

from syncer.accounts.credentials import OrangeTokens, purpose
from syncer.accounts.login import dispatch
from syncer.accounts.verify import standing
from syncer.clock import SystemClock
from syncer.config.accounts import Account, Orange
from syncer.errors import AuthError
from syncer.state.credentials import CredentialStore
from syncer.stores.orange.token import Token
from tests.doubles.orange import OrangeDouble
from tests.jobs.login.players import Player, account, consents, dialogue, redirect


def told(double: OrangeDouble, **more: object) -> Account:
    table = {
        "type": "orange",
        "client_id": double.login.client_id,
        "client_secret": double.login.client_secret,
        "redirect_uri": double.login.redirect_uri,
        "api_url": double.api_url,
        "content_url": double.content_url,
        "auth_url": double.auth_url,
    }
    return account(**(table | more))


def tokens(home: Path, found: Account) -> OrangeTokens:
    return OrangeTokens(CredentialStore(home / "state", "cloud", vault=lambda: None), purpose(found, {}))


def test_a_person_who_consents_in_the_browser_is_logged_in(orange: OrangeDouble, tmp_path: Path) -> None:
    found, pages = told(orange), []
    person = Player(browser=lambda url: pages.append(consents(url)))
    done = dispatch.log_in(found, dialogue(person, tmp_path, SystemClock()))
    assert done is not None and done.kept == "file" and "renewed by itself" in done.message
    assert pages == [200]
    token = tokens(tmp_path, found).load()
    assert token is not None and token.refresh.startswith("OFR-refresh-") and token.expires_ns
    assert standing(found, tmp_path / "state", clock=SystemClock()).free == orange.options.room


def test_on_a_machine_without_a_browser_the_address_is_pasted(orange: OrangeDouble, tmp_path: Path) -> None:
    def elsewhere(url: str) -> str:
        return redirect(requests.get(url, timeout=20, allow_redirects=False))

    for pasting in (elsewhere, lambda url: elsewhere(url).partition("code=")[2].partition("&")[0]):
        person = Player(pasting=pasting)
        done = dispatch.log_in(told(orange), dialogue(person, tmp_path, SystemClock(), browser=False))
        assert done is not None and done.kept == "file"


def test_a_person_who_denies_is_not_logged_in(orange: OrangeDouble, tmp_path: Path) -> None:
    orange.login.consents = False
    with pytest.raises(AuthError, match=r"refused there: access_denied$"):
        dispatch.log_in(told(orange), dialogue(Player(browser=consents), tmp_path, SystemClock()))
    assert not (tmp_path / "state").exists()


def test_a_wrong_code_and_a_used_one_are_refused_and_keep_what_was_there(
    orange: OrangeDouble, tmp_path: Path
) -> None:
    found = told(orange)
    used = []

    def paste(url: str) -> str:
        used.append(redirect(requests.get(url, timeout=20, allow_redirects=False)).partition("code=")[2])
        return used[0].partition("&")[0]

    def log_in(person: Player) -> None:
        dispatch.log_in(found, dialogue(person, tmp_path, SystemClock(), browser=False))

    log_in(Player(pasting=paste))
    before = tokens(tmp_path, found).load()
    for person in (Player(pasting=paste), Player(pasting=lambda url: "OFC-made-up")):
        with pytest.raises(AuthError, match="invalid_grant"):
            log_in(person)
    assert tokens(tmp_path, found).load() == before


def test_a_wrong_client_is_told(orange: OrangeDouble, tmp_path: Path) -> None:
    with pytest.raises(AuthError) as caught:
        dispatch.log_in(
            told(orange, client_secret="wrong"), dialogue(Player(browser=consents), tmp_path, SystemClock())
        )
    assert "client_secret" in caught.value.hint and "wrong" not in str(caught.value)


def test_what_was_kept_is_renewed_over_runs_and_logging_in_again_is_asked_for_when_it_ended(
    orange: OrangeDouble, tmp_path: Path
) -> None:
    found, clock = told(orange), SystemClock()
    dispatch.log_in(found, dialogue(Player(browser=consents), tmp_path, clock))
    orange.login.expire("api")
    standing(found, tmp_path / "state", clock=clock)
    assert orange.login.refreshes == 1
    standing(found, tmp_path / "state", clock=clock)
    assert orange.login.refreshes == 1, "the renewed one was kept"
    orange.login.expire("api")
    orange.login.revoked = True
    with pytest.raises(AuthError) as caught:
        standing(found, tmp_path / "state", clock=clock)
    assert caught.value.hint == "log in again: syncer login cloud"


def test_a_token_is_not_sent_to_another_address(orange: OrangeDouble, tmp_path: Path) -> None:
    dispatch.log_in(told(orange), dialogue(Player(browser=consents), tmp_path, SystemClock()))
    moved = told(orange, api_url=orange.content_url)
    with pytest.raises(AuthError, match="nobody has logged in"):
        standing(moved, tmp_path / "state", clock=SystemClock())


def test_tokens_survive_with_all_they_say(tmp_path: Path) -> None:
    found = account(type="orange", client_id="x", client_secret="y", redirect_uri="http://localhost/")
    assert isinstance(found, Orange)
    for token in (Token(access="a"), Token(access="a", refresh="r", expires_ns=1_800_000_000_000_000_000)):
        tokens(tmp_path, found).save(token)
        assert tokens(tmp_path, found).load() == token
    CredentialStore(tmp_path / "state", "cloud", vault=lambda: None).save(
        purpose(found, os.environ), {"access": ""}
    )
    with pytest.raises(AuthError, match="not whole"):
        tokens(tmp_path, found).load()
