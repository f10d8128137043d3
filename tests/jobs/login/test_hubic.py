"""The whole login to Hubic: by user and password, by a browser, pasted; and what a run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.accounts.credentials import purpose
from syncer.accounts.login import dispatch
from syncer.accounts.verify import standing
from syncer.clock import SystemClock
from syncer.config.accounts import Account
from syncer.errors import AuthError, TransientError
from syncer.state.credentials import CredentialStore
from tests.doubles.faults import Answer
from tests.doubles.hubic import HubicDouble
from tests.jobs.login.players import Player, account, arrive, dialogue, hubic_form, redirect


def told(double: HubicDouble, url: str, **more: object) -> Account:
    table = {
        "type": "swift",
        "auth": "hubic",
        "client_id": double.client_id,
        "client_secret": double.client_secret,
        "redirect_uri": double.redirect_uri,
        "api_url": url,
    }
    return account(**(table | more))


def fills_in(double: HubicDouble, password: str = "") -> Player:
    """Somebody who fills in the form in a browser."""

    def browse(url: str) -> None:
        answer = hubic_form(url, double.user, password or double.password)
        if answer.status_code == 302:
            arrive(redirect(answer))

    return Player(browser=browse)


def kept(home: Path, found: Account) -> str:
    return dict(CredentialStore(home / "state", "cloud", vault=lambda: None).load(purpose(found, {})) or {})[
        "refresh_token"
    ]


def test_a_person_logs_in_by_the_browser_and_runs_need_nobody(
    hubic: HubicDouble, hubic_url: str, tmp_path: Path
) -> None:
    found = told(hubic, hubic_url)
    done = dispatch.log_in(found, dialogue(fills_in(hubic), tmp_path, SystemClock()))
    assert done is not None and (done.kept, done.message) == ("file", "logged in to Hubic in the browser")
    assert kept(tmp_path, found) in hubic.grants
    for _ in range(2):
        assert standing(found, tmp_path / "state", clock=SystemClock()).free == hubic.quota - hubic.used


def test_with_user_and_password_nobody_is_asked(hubic: HubicDouble, hubic_url: str, tmp_path: Path) -> None:
    person = Player()
    found = told(hubic, hubic_url, username=hubic.user, password=hubic.password)
    done = dispatch.log_in(found, dialogue(person, tmp_path, SystemClock()))
    assert done is not None and "by user and password" in done.message and person.told == []
    assert standing(told(hubic, hubic_url), tmp_path / "state", clock=SystemClock()).storage


def test_the_address_is_pasted_where_there_is_no_browser(
    hubic: HubicDouble, hubic_url: str, tmp_path: Path
) -> None:
    person = Player(pasting=lambda url: redirect(hubic_form(url, hubic.user, hubic.password)))
    found = told(hubic, hubic_url)
    dispatch.log_in(found, dialogue(person, tmp_path, SystemClock(), browser=False))
    assert kept(tmp_path, found) in hubic.grants


def test_a_wrong_password_is_told_and_nothing_is_kept(
    hubic: HubicDouble, hubic_url: str, tmp_path: Path
) -> None:
    found = told(hubic, hubic_url, username=hubic.user, password="made-up wrong one")
    with pytest.raises(AuthError, match="refuses user or password") as caught:
        dispatch.log_in(found, dialogue(Player(), tmp_path, SystemClock()))
    assert "made-up wrong one" not in str(caught.value)
    talk = dialogue(fills_in(hubic, "wrong"), tmp_path, SystemClock(), patience=0.5)
    with pytest.raises(AuthError, match="nobody logged in within"):
        dispatch.log_in(told(hubic, hubic_url), talk)
    assert not (tmp_path / "state").exists()


def test_a_wrong_code_is_told(hubic: HubicDouble, hubic_url: str, tmp_path: Path) -> None:
    person = Player(pasting=lambda url: "0123456789abcdef")
    with pytest.raises(AuthError, match="refuses the code") as caught:
        dispatch.log_in(told(hubic, hubic_url), dialogue(person, tmp_path, SystemClock(), browser=False))
    assert "syncer login" in caught.value.hint


def test_an_error_that_does_not_bear_our_state_does_not_end_the_login(
    hubic: HubicDouble, hubic_url: str, tmp_path: Path
) -> None:
    """Hubic leaves the state out of these; so would any page of the web that wants to end a login."""
    talk = dialogue(fills_in(hubic), tmp_path, SystemClock(), patience=0.5)
    with pytest.raises(AuthError, match="nobody logged in within") as found:
        dispatch.log_in(told(hubic, hubic_url, client_id="api_hubic_other"), talk)
    assert "client_id" in found.value.hint


def test_a_service_that_is_down_is_no_refusal(hubic: HubicDouble, hubic_url: str, tmp_path: Path) -> None:
    hubic.faults.add("POST", "/oauth/token", Answer(status=503), times=None)
    with pytest.raises(TransientError):
        dispatch.log_in(told(hubic, hubic_url), dialogue(fills_in(hubic), tmp_path, SystemClock()))
    assert not (tmp_path / "state").exists()


def test_what_the_account_says_comes_before_what_was_kept(
    hubic: HubicDouble, hubic_url: str, tmp_path: Path
) -> None:
    dispatch.log_in(told(hubic, hubic_url), dialogue(fills_in(hubic), tmp_path, SystemClock()))
    given = told(hubic, hubic_url, refresh_token=hubic.authorize())  # voids the kept one
    standing(given, tmp_path / "state", clock=SystemClock())
    assert dispatch.log_in(given, dialogue(Player(), tmp_path, SystemClock())) is None
    with pytest.raises(AuthError, match="refuses the refresh token"):
        standing(told(hubic, hubic_url), tmp_path / "state", clock=SystemClock())
