"""The Hubic door in front of a double of Hubic's front, which hands out tokens of the real Swift."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.errors import AuthError, TransientError
from syncer.stores.swift.auth.hubic import HubicApplication, HubicLogin
from syncer.stores.swift.auth.session import RenewingTokenProvider
from tests.doubles.faults import Answer, Fault, Lost, Reset
from tests.doubles.hubic import HubicDouble
from tests.stores.swift.auth.clocks import HandClock
from tests.stores.swift.auth.opening import opens_again, works

TOKEN, CREDENTIALS = "/oauth/token", "/1.0/account/credentials"


def by_password(url: str, clock: HandClock, **other: str) -> HubicLogin:
    password = other.pop("password", HubicDouble.password)
    secret = other.pop("client_secret", HubicDouble.client_secret)
    words = {"client_id": HubicDouble.client_id, "username": HubicDouble.user} | other
    application = HubicApplication(
        api_url=url, client_secret=lambda: secret, password=lambda: password, **words
    )
    return HubicLogin(application, clock=clock)


def by_refresh(url: str, clock: HandClock, refresh: str, **other: str) -> HubicLogin:
    secret = other.pop("client_secret", HubicDouble.client_secret)
    application = HubicApplication(
        api_url=url, client_id=HubicDouble.client_id, client_secret=lambda: secret,
        refresh_token=lambda: refresh, **other,
    )  # fmt: skip
    return HubicLogin(application, clock=clock)


def test_a_refresh_token_opens_and_opens_again(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize())
    opens_again(RenewingTokenProvider(login, clock=clock), hubic.tokens.swift)


def test_user_and_password_open_and_open_again(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    opens_again(RenewingTokenProvider(by_password(hubic_url, clock), clock=clock), hubic.tokens.swift)


def test_the_form_is_filled_in_once_and_its_refresh_token_used_from_then_on(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    login = by_password(hubic_url, clock)
    login.log_in()
    hubic.expire_bearers()
    assert works(login.log_in())
    assert len(hubic.faults.asked("POST", "/oauth/auth")) == 1


def test_a_living_bearer_is_used_again(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize())
    login.log_in()
    login.log_in()
    assert len(hubic.faults.asked("POST", TOKEN)) == 1


def test_a_bearer_is_renewed_by_the_clock(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize())
    login.log_in()
    clock.later(21601)
    login.log_in()
    assert [asked.status for asked in hubic.faults.asked("GET", CREDENTIALS)] == [200, 200]
    assert len(hubic.faults.asked("POST", TOKEN)) == 2


def test_a_bearer_that_died_early_is_renewed_once(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize())
    login.log_in()
    hubic.expire_bearers()
    assert works(login.log_in())
    assert [asked.status for asked in hubic.faults.asked("GET", CREDENTIALS)] == [200, 401, 200]


def test_a_refusal_that_no_bearer_cures_is_final(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    hubic.cured = False
    with pytest.raises(AuthError, match="invalid_token") as caught:
        by_refresh(hubic_url, clock, hubic.authorize()).log_in()
    assert "HUBIC_REFRESH_TOKEN" in caught.value.hint
    assert len(hubic.faults.asked("GET", CREDENTIALS)) == 2


def test_the_endpoint_may_move_when_a_token_is_renewed(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    door = RenewingTokenProvider(by_refresh(hubic_url, clock, hubic.authorize()), clock=clock)
    spent = door.open()
    hubic.host = "localhost"
    moved = door.renew(spent)
    assert spent.storage_url.startswith("http://127.0.0.1:")
    assert moved.storage_url.startswith("http://localhost:") and works(moved)


def test_the_end_of_a_token_is_an_instant_whatever_its_zone(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    access = by_refresh(hubic_url, clock, hubic.authorize()).log_in()
    assert access.expires_at is not None
    assert 86300 < access.expires_at - clock.monotonic() <= 86400


def test_an_end_in_the_past_does_not_keep_anybody_out(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    hubic.token_life = -3600.0
    door = RenewingTokenProvider(by_refresh(hubic_url, clock, hubic.authorize()), clock=clock)
    assert works(door.open()) and door.open() is door.open()


def test_empty_answers_of_the_token_endpoint_are_waited_out(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    hubic.faults.add("POST", TOKEN, Answer(status=200), times=2)
    assert works(by_refresh(hubic_url, clock, hubic.authorize()).log_in())
    assert len(clock.slept) == 2


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>"])
def test_empty_answers_without_end_are_transient(
    hubic: HubicDouble, hubic_url: str, clock: HandClock, body: bytes
) -> None:
    hubic.faults.add("POST", TOKEN, Answer(status=200, body=body), times=None)
    with pytest.raises(TransientError, match="empty answers"):
        by_refresh(hubic_url, clock, hubic.authorize()).log_in()
    assert len(hubic.faults.asked("POST", TOKEN)) == 5


@pytest.mark.parametrize("where", [TOKEN, CREDENTIALS])
@pytest.mark.parametrize(
    "fault", [Answer(status=408), Answer(status=500), Answer(status=503), Reset(), Lost()]
)
def test_trouble_of_the_moment_is_transient(
    hubic: HubicDouble, hubic_url: str, clock: HandClock, where: str, fault: Fault
) -> None:
    hubic.faults.add("*", where, fault)
    login = by_refresh(hubic_url, clock, hubic.authorize())
    with pytest.raises(TransientError):
        login.log_in()
    assert works(login.log_in())


def test_a_redirect_of_the_token_endpoint_is_followed_as_a_post(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    hubic.faults.add("POST", f"{TOKEN}$", Answer(status=301, headers={"location": "/oauth/token/"}))
    assert works(by_refresh(hubic_url, clock, hubic.authorize()).log_in())


def test_a_redirect_to_another_host_gets_no_secret(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    away = hubic_url.replace("127.0.0.1", "localhost") + "oauth/token/"
    hubic.faults.add("POST", f"{TOKEN}$", Answer(status=301, headers={"location": away}))
    with pytest.raises(AuthError):
        by_refresh(hubic_url, clock, hubic.authorize()).log_in()
    assert len(hubic.faults.asked("POST", TOKEN)) == 1


def test_a_voided_refresh_token_asks_for_a_new_authorization(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    old = hubic.authorize()
    hubic.authorize()
    with pytest.raises(AuthError, match="invalid_grant") as caught:
        by_refresh(hubic_url, clock, old).log_in()
    assert "refresh_token" in caught.value.hint
    assert old not in repr(caught.value) + caught.value.hint


def test_a_voided_refresh_token_gives_way_to_user_and_password(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    login = by_password(hubic_url, clock)
    login.log_in()
    hubic.authorize()  # somebody else, with the same application
    hubic.expire_bearers()
    assert works(login.log_in())


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"password": "not-it"}, "HUBIC_PASSWORD"),
        ({"username": "bob@example.net"}, "HUBIC_USERNAME"),
        ({"client_id": "api_hubic_another"}, "HUBIC_CLIENT_ID"),
        ({"client_secret": "not-it"}, "HUBIC_CLIENT_SECRET"),
        ({"redirect_uri": "http://localhost:1/"}, "redirect_uri"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(
    hubic: HubicDouble, hubic_url: str, clock: HandClock, wrong: dict[str, str], hint: str
) -> None:
    with pytest.raises(AuthError) as caught:
        by_password(hubic_url, clock, **wrong).log_in()
    assert hint in caught.value.hint
    assert "not-it" not in repr(caught.value) + caught.value.hint


def test_a_code_for_another_question_is_not_taken(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    stray = {"location": f"{hubic.redirect_uri}?code=14321abc&state=somebody-elses"}
    hubic.faults.add("POST", "/oauth/auth", Answer(status=302, headers=stray))
    with pytest.raises(AuthError, match="grants no code"):
        by_password(hubic_url, clock).log_in()


def test_no_password_of_netrc_is_sent_along(
    hubic: HubicDouble, hubic_url: str, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(netrc))
    by_password(hubic_url, clock).log_in()
    [page] = hubic.faults.asked("GET", "/oauth/auth")
    [credentials] = hubic.faults.asked("GET", CREDENTIALS)
    assert "authorization" not in page.headers
    assert credentials.headers["authorization"].startswith("Bearer ")


def test_quota_and_use_tell_the_free_space(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize())
    assert login.free_space() == hubic.quota - hubic.used
    hubic.used = hubic.quota + 5
    assert login.free_space() == 0


def test_without_the_right_to_it_the_free_space_is_not_known(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    login = by_refresh(hubic_url, clock, hubic.authorize("credentials.r"))
    assert login.free_space() is None
    assert works(login.log_in())


def test_credentials_that_are_not_granted_are_told(
    hubic: HubicDouble, hubic_url: str, clock: HandClock
) -> None:
    with pytest.raises(AuthError, match=r"gives no credentials \(403, insufficient_scope\)"):
        by_refresh(hubic_url, clock, hubic.authorize("usage.r")).log_in()


def test_the_environment_is_enough(hubic: HubicDouble, hubic_url: str, clock: HandClock) -> None:
    environ = {
        "HUBIC_CLIENT_ID": hubic.client_id,
        "HUBIC_CLIENT_SECRET": hubic.client_secret,
        "HUBIC_USERNAME": hubic.user,
        "HUBIC_PASSWORD": hubic.password,
    }
    assert works(HubicLogin.settled(environ, clock=clock, api_url=hubic_url).log_in())


def test_secrets_of_the_environment_go_to_their_own_endpoint_only(clock: HandClock) -> None:
    """They went to whatever `api_url` an account named."""
    environ = {"HUBIC_CLIENT_ID": "i", "HUBIC_CLIENT_SECRET": "s", "HUBIC_REFRESH_TOKEN": "r"}
    other = "https://other.example/"
    with pytest.raises(AuthError, match="client_secret missing") as caught:
        HubicApplication.settled(environ, api_url=other)
    assert "HUBIC_API_URL" in caught.value.hint and "https://api.hubic.com/" in caught.value.hint
    own = HubicApplication.settled(environ, api_url=other, client_secret=lambda: "own")
    assert own.client_secret() == "own" and own.refresh_token is None and own.password is None
    assert HubicApplication.settled({**environ, "HUBIC_API_URL": other}, api_url=other).client_secret() == "s"
    assert HubicApplication.settled({**environ, "HUBIC_API_URL": other}).api_url == other
    assert HubicApplication.settled(environ).client_secret() == "s"
    with pytest.raises(AuthError):
        HubicApplication.settled({**environ, "HUBIC_API_URL": other}, api_url="https://api.hubic.com/")


def test_what_nobody_gives_is_named(clock: HandClock) -> None:
    with pytest.raises(AuthError, match="client_id and client_secret missing"):
        HubicLogin.settled({}, clock=clock)
    environ = {"HUBIC_CLIENT_ID": "x", "HUBIC_CLIENT_SECRET": "y", "HUBIC_USERNAME": "u"}
    with pytest.raises(AuthError, match="neither") as caught:
        HubicLogin.settled(environ, clock=clock)
    assert "HUBIC_PASSWORD" in caught.value.hint and "HUBIC_REFRESH_TOKEN" in caught.value.hint
