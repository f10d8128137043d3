"""OAuth 2 against the double: consent, codes, refreshing, and what a person is told when it does not work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from syncer.errors import AuthError, LocalError, SyncerError, TransientError
from syncer.exit_codes import exit_code
from syncer.stores.orange.oauth import WHOLE_DRIVE, OAuth2Application, authorization_url, exchange, refresh
from syncer.stores.orange.token import Bearer, Token
from syncer.testing.scans import changed_directories
from tests.contract.doubles import SteppingClock
from tests.contract.orange_rig import KeptTokens, OrangeRig
from tests.doubles.faults import Answer, Lost
from tests.doubles.orange import OrangeDouble

CLOCK = SteppingClock()


@pytest.fixture
def double() -> Iterator[OrangeDouble]:
    with OrangeDouble() as running:
        yield running


@pytest.fixture
def application(double: OrangeDouble) -> OAuth2Application:
    return OAuth2Application(
        client_id=double.login.client_id,
        client_secret=lambda: double.login.client_secret,
        redirect_uri=double.login.redirect_uri,
        account="cloud",
        auth_url=double.auth_url,
    )


def back(application: OAuth2Application, state: str = "s t/ate") -> dict[str, list[str]]:
    """What the browser is led back with."""
    url = authorization_url(application, state, scope=WHOLE_DRIVE, prompt="consent")
    answer = requests.get(url, allow_redirects=False, timeout=20)
    assert answer.status_code == 302 and answer.headers["Location"].startswith(application.redirect_uri)
    return parse_qs(urlsplit(answer.headers["Location"]).query)


def test_a_person_consents_and_the_code_becomes_a_token(application: OAuth2Application) -> None:
    found = back(application)
    assert found["state"] == ["s t/ate"]
    token = exchange(application, found["code"][0], clock=CLOCK)
    assert token.access and token.refresh
    assert token.expires_ns is not None and 3_590 < (token.expires_ns - CLOCK.now_ns()) / 1e9 <= 3_600


def test_the_page_is_asked_for_with_scope_and_prompt_encoded(application: OAuth2Application) -> None:
    query = parse_qs(urlsplit(authorization_url(application, "é&=", prompt="login consent")).query)
    assert query["scope"] == ["openid cloud offline_access"] and query["state"] == ["é&="]
    assert query["prompt"] == ["login consent"] and query["redirect_uri"] == [application.redirect_uri]
    assert "prompt" not in authorization_url(application, "s")


def test_a_person_who_does_not_consent_is_led_back_with_an_error(
    double: OrangeDouble, application: OAuth2Application
) -> None:
    double.login.consents = False
    assert back(application)["error"] == ["access_denied"]


def test_a_code_is_good_once(application: OAuth2Application) -> None:
    code = back(application)["code"][0]
    exchange(application, code, clock=CLOCK)
    with pytest.raises(AuthError, match="invalid_grant") as found:
        exchange(application, code, clock=CLOCK)
    assert exit_code(found.value) == 7 and "syncer login cloud" in found.value.hint


def test_a_refresh_keeps_the_refresh_token_and_names_no_scope(
    double: OrangeDouble, application: OAuth2Application
) -> None:
    first = exchange(application, back(application)["code"][0], clock=CLOCK)
    second = refresh(application, first, clock=CLOCK)
    assert second.refresh == first.refresh and second.access != first.access
    assert double.options.scope_refused and double.login.refreshes == 1


def test_a_new_refresh_token_takes_the_old_one_s_place(
    double: OrangeDouble, application: OAuth2Application
) -> None:
    double.options.refresh_again = True
    first = exchange(application, back(application)["code"][0], clock=CLOCK)
    assert refresh(application, first, clock=CLOCK).refresh not in ("", first.refresh)


def test_a_revoked_login_says_how_to_log_in_again(
    double: OrangeDouble, application: OAuth2Application
) -> None:
    token = exchange(application, back(application)["code"][0], clock=CLOCK)
    double.login.revoked = True
    with pytest.raises(AuthError) as found:
        refresh(application, token, clock=CLOCK)
    assert found.value.hint == "log in again: syncer login cloud"
    with pytest.raises(AuthError, match="no refresh token"):
        refresh(application, replace(token, refresh=""), clock=CLOCK)


def test_a_wrong_secret_of_the_application_is_told_apart(application: OAuth2Application) -> None:
    wrong = replace(application, client_secret=lambda: "wrong-secret")
    with pytest.raises(AuthError, match="invalid_client") as found:
        exchange(wrong, "code", clock=CLOCK)
    assert "client_secret" in found.value.hint and "wrong-secret" not in str(found.value) + found.value.hint


@pytest.mark.parametrize(
    ("answer", "error", "hint"),
    [
        (Answer(status=503, body=b"busy"), TransientError, ""),
        (Answer(status=429, body=b"{}"), TransientError, ""),
        (Answer(status=200, body=b"<html>portal</html>"), TransientError, ""),
        (Answer(status=200, body=b'{"access_token": 5, "token_type": "Bearer"}'), TransientError, ""),
        (Answer(status=404, body=b"<html>none</html>"), AuthError, "auth_url"),
        (Answer(status=302, headers={"location": "http://elsewhere.example/"}), AuthError, "auth_url"),
        (Lost(), TransientError, ""),
    ],
)
def test_what_is_no_answer_of_a_login_service_is_no_refusal(
    double: OrangeDouble, application: OAuth2Application, answer: object, error: type[SyncerError], hint: str
) -> None:
    double.misbehave("POST", "/oauth/v2/token", answer)  # type: ignore[arg-type]
    with pytest.raises(error) as found:
        exchange(application, "the-code", clock=CLOCK)
    assert hint in found.value.hint and "the-code" not in str(found.value)


def test_a_login_goes_by_https_but_for_this_machine() -> None:
    plain = OAuth2Application(
        client_id="c",
        client_secret=lambda: "s",
        redirect_uri="http://x.example/",
        auth_url="http://x.example/o",
    )
    with pytest.raises(AuthError, match="https"):
        authorization_url(plain, "s")
    with pytest.raises(AuthError, match="https"):
        exchange(plain, "code", clock=CLOCK)


def test_no_secret_is_in_a_repr(application: OAuth2Application) -> None:
    token = Token(access="the-access", refresh="the-refresh")
    assert "the-" not in repr(token) and "secret" not in repr(application)


# The bearer


class Refresher:
    """Counts, and gives another token each time."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, old: Token) -> Token:
        self.count += 1
        return replace(old, access=f"new {self.count}", expires_ns=CLOCK.now_ns() + 3_600 * 10**9)


def bearer(tokens: KeptTokens, refresher: Refresher) -> Bearer:
    return Bearer(tokens, refresher, clock=CLOCK, again="log in again: syncer login cloud")


def test_nobody_logged_in_is_told_to_log_in() -> None:
    with pytest.raises(AuthError) as found:
        bearer(KeptTokens(None), Refresher()).living()
    assert found.value.hint == "log in: syncer login cloud"


def test_a_token_about_to_end_is_renewed_before_it_is_used_and_saved() -> None:
    tokens = KeptTokens(Token(access="old", refresh="r", expires_ns=CLOCK.now_ns() + 30 * 10**9))
    assert bearer(tokens, Refresher()).living() == "new 1"
    assert tokens.token is not None and (tokens.token.access, tokens.token.refresh) == ("new 1", "r")


def test_many_threads_renew_a_refused_token_once() -> None:
    refresher = Refresher()
    shared = bearer(KeptTokens(Token(access="old", refresh="r")), refresher)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: shared.renewed("old"), range(32))) == {"new 1"}
    assert refresher.count == 1


def test_what_another_process_renewed_is_used() -> None:
    tokens, refresher = KeptTokens(Token(access="old", refresh="r")), Refresher()
    shared = bearer(tokens, refresher)
    assert shared.living() == "old"
    tokens.token = Token(access="theirs", refresh="r")
    assert shared.renewed("old") == "theirs" and refresher.count == 0


class Unwritable(KeptTokens):
    def save(self, token: Token) -> None:
        raise LocalError("the disk is full")


def test_a_token_that_cannot_be_saved_still_serves_the_run() -> None:
    assert bearer(Unwritable(Token(access="old", refresh="r")), Refresher()).renewed("old") == "new 1"


def test_a_new_refresh_token_that_cannot_be_saved_is_an_error() -> None:
    tokens = Unwritable(Token(access="old", refresh="r"))
    lost = Bearer(tokens, lambda _: Token(access="new", refresh="other"), clock=CLOCK, again="")
    with pytest.raises(LocalError):
        lost.renewed("old")


# In a run


@pytest.mark.parametrize("shape", ["flat", "nested", "old", "none"])
@pytest.mark.parametrize("host", ["api", "content"])
def test_an_expired_token_is_renewed_once_in_whatever_shape_that_is_said(
    rig: OrangeRig, shape: str, host: str
) -> None:
    rig.write("f", b"content")
    rig.double.options.shape = shape  # type: ignore[assignment]
    entry = rig.entry("f")
    rig.double.login.expire(host)
    assert b"".join(rig.store.open("f", entry).chunks()) == b"content"
    assert rig.double.login.refreshes == 1


def test_a_login_that_cannot_be_renewed_ends_the_run(rig: OrangeRig) -> None:
    rig.double.login.expire("api")
    rig.double.login.revoked = True
    with pytest.raises(AuthError) as found:
        rig.put("f", b"x")
    assert found.value.hint == "log in again: syncer login cloud"
    with pytest.raises(AuthError):
        changed_directories(rig.store, [("", b"known")])


def test_a_write_that_is_refused_in_spite_of_a_new_token_is_not_tried_for_ever(rig: OrangeRig) -> None:
    body = b'{"code": 41, "message": "Invalid credentials"}'
    rig.double.misbehave("POST", "/folders", Answer(status=401, body=body), times=None)
    rig.double.log.clear()
    with pytest.raises(AuthError, match="refuses the login, or what it may do"):
        rig.make("d")
    assert len(rig.double.asked("POST", "/folders")) == 2 and rig.double.login.refreshes == 1


def test_missing_credentials_are_not_renewed(rig: OrangeRig) -> None:
    body = b'{"code": 40, "message": "Missing credentials"}'
    rig.double.misbehave("GET", "/files/", Answer(status=401, body=body))
    with pytest.raises(AuthError):
        rig.store.stat("f")
    assert rig.double.login.refreshes == 0
