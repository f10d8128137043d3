"""The v1 door in front of the real Swift, and of a Swift that answers as Ceph does."""

from __future__ import annotations

import pytest

from syncer.errors import AuthError, TransientError
from syncer.exit_codes import exit_code
from syncer.stores.swift.auth.session import RenewingTokenProvider
from syncer.stores.swift.auth.v1 import V1Login
from tests.stores.swift.auth.clocks import HandClock
from tests.stores.swift.auth.opening import opens_again, works
from tests.swift.fixtures import MakeSwift
from tests.swift.server import Swift

LOGIN = {"path": "/auth/*", "times": None}


def login_to(swift: Swift, clock: HandClock, *, key: str = Swift.key) -> V1Login:
    return V1Login(auth_url=swift.auth_url, user=swift.user, key=lambda: key, clock=clock)


def test_it_opens_and_opens_again(swift: Swift, clock: HandClock) -> None:
    opens_again(RenewingTokenProvider(login_to(swift, clock), clock=clock), swift)


def test_the_life_of_a_token_is_in_seconds_from_now(make_swift: MakeSwift, clock: HandClock) -> None:
    swift = make_swift(token_life=100)
    access = login_to(swift, clock).log_in()
    assert access.expires_at is not None
    assert 98 <= access.expires_at - clock.monotonic() <= 100


def test_a_204_with_only_one_kind_of_token_and_no_life_is_a_success(swift: Swift, clock: HandClock) -> None:
    gone = {"X-Storage-Token": None, "X-Auth-Token-Expires": None}
    swift.rule("answer", **LOGIN, status=204, headers=gone)
    access = login_to(swift, clock).log_in()
    assert works(access)
    assert access.expires_at is None


@pytest.mark.parametrize("header", ["X-Storage-Url", "X-Auth-Token"])
def test_a_success_without_url_or_token_is_a_failure(swift: Swift, clock: HandClock, header: str) -> None:
    gone = {header: None} | ({"X-Storage-Token": None} if "Token" in header else {})
    swift.rule("answer", **LOGIN, status=200, headers=gone)
    with pytest.raises(AuthError, match="without a token and a storage URL") as caught:
        login_to(swift, clock).log_in()
    assert "ST_AUTH" in caught.value.hint


def test_a_wrong_key_is_named_and_not_shown(swift: Swift, clock: HandClock) -> None:
    with pytest.raises(AuthError, match="user or key refused") as caught:
        login_to(swift, clock, key="not-the-key").log_in()
    assert "ST_KEY" in caught.value.hint
    assert "not-the-key" not in repr(caught.value) + caught.value.message + caught.value.hint
    assert exit_code(caught.value) == 7


def test_an_unknown_user_of_ceph_gets_a_403(swift: Swift, clock: HandClock) -> None:
    swift.rule("status", **LOGIN, status=403)
    with pytest.raises(AuthError, match="user or key refused"):
        login_to(swift, clock).log_in()


@pytest.mark.parametrize("status", [429, 498, 500, 503])
def test_trouble_of_the_moment_is_transient(swift: Swift, clock: HandClock, status: int) -> None:
    swift.rule("status", **LOGIN, status=status, retry_after=9)
    with pytest.raises(TransientError) as caught:
        login_to(swift, clock).log_in()
    assert caught.value.retry_after == 9


@pytest.mark.parametrize("do", ["drop", "lose-answer"])
def test_no_answer_is_transient(swift: Swift, clock: HandClock, do: str) -> None:
    swift.rule(do, **LOGIN)
    with pytest.raises(TransientError, match="without an answer"):
        login_to(swift, clock).log_in()


def test_nobody_listening_is_transient(clock: HandClock) -> None:
    login = V1Login(auth_url="http://127.0.0.1:9/auth", user="a:b", key=lambda: "k", clock=clock)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        login.log_in()


def test_a_certificate_that_nobody_signed_ends_the_login(distrusted: str, clock: HandClock) -> None:
    with pytest.raises(AuthError, match="certificate"):
        V1Login(auth_url=distrusted, user="a:b", key=lambda: "k", clock=clock).log_in()


def test_tls_to_a_port_that_speaks_none_is_told_so_and_not_tried_again(
    swift: Swift, clock: HandClock
) -> None:
    url = swift.auth_url.replace("http:", "https:")
    with pytest.raises(AuthError, match="no TLS there"):
        V1Login(auth_url=url, user="a:b", key=lambda: "k", clock=clock).log_in()


def test_a_redirect_is_not_followed_with_the_key_in_hand(swift: Swift, clock: HandClock) -> None:
    swift.rule("status", **LOGIN, status=302, headers={"Location": f"{swift.url}/info"})
    with pytest.raises(AuthError, match="no v1 login there"):
        login_to(swift, clock).log_in()
    assert len(swift.requests()) == 1


def test_a_url_that_is_no_login_is_told_so(swift: Swift, clock: HandClock) -> None:
    login = V1Login(auth_url=f"{swift.url}/info", user="a:b", key=lambda: "k", clock=clock)
    with pytest.raises(AuthError) as caught:
        login.log_in()
    assert "auth_url" in caught.value.hint


def test_what_is_not_given_comes_from_the_environment(swift: Swift, clock: HandClock) -> None:
    environ = {"ST_AUTH": swift.auth_url, "ST_USER": "nobody:at-all", "ST_KEY": swift.key}
    assert works(V1Login.settled(environ, clock=clock, user=swift.user).log_in())


def test_what_nobody_gives_is_named(clock: HandClock) -> None:
    with pytest.raises(AuthError, match="user and key missing") as caught:
        V1Login.settled({"ST_AUTH": "https://swift.example/auth"}, clock=clock)
    assert "ST_USER, ST_KEY" in caught.value.hint
