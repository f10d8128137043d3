"""One login for all who ask, renewed in time: with a login that is told what to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from syncer.errors import AuthError, TransientError
from syncer.stores.swift.auth import Access
from syncer.stores.swift.auth.session import RenewingTokenProvider
from tests.stores.swift.auth.clocks import HandClock


class ToldLogin:
    """Counts its logins; `life` is that of a token, `trouble` is raised instead of giving one."""

    def __init__(self, clock: HandClock, *, life: float | None = None) -> None:
        self.clock = clock
        self.life = life
        self.logins = 0
        self.trouble: BaseException | None = None
        self.stubborn = False  # the same token each time
        self.meanwhile: Callable[[], None] = lambda: None
        self._numbers = count()

    def log_in(self) -> Access:
        self.logins += 1
        self.meanwhile()
        if self.trouble is not None:
            raise self.trouble
        end = None if self.life is None else self.clock.monotonic() + self.life
        token = "same" if self.stubborn else f"token{next(self._numbers)}"
        return Access(storage_url="https://swift.example/v1/a", token=token, expires_at=end)

    def free_space(self) -> int | None:
        return 7


@pytest.fixture
def login(clock: HandClock) -> ToldLogin:
    return ToldLogin(clock)


@pytest.fixture
def door(login: ToldLogin, clock: HandClock) -> RenewingTokenProvider:
    return RenewingTokenProvider(login, clock=clock)


def test_nothing_is_asked_before_somebody_wants_in(door: RenewingTokenProvider, login: ToldLogin) -> None:
    assert login.logins == 0
    assert door.open() is door.open()
    assert login.logins == 1


def test_many_who_come_at_once_log_in_once(door: RenewingTokenProvider, login: ToldLogin) -> None:
    everybody = threading.Barrier(16)

    def come(_: int) -> Access:
        everybody.wait()
        return door.open()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(come, range(16)))
    assert {access.token for access in found} == {"token0"}
    assert login.logins == 1


def test_many_who_meet_a_401_at_once_renew_once(door: RenewingTokenProvider, login: ToldLogin) -> None:
    spent = door.open()
    everybody = threading.Barrier(16)

    def come(_: int) -> Access:
        everybody.wait()
        return door.renew(spent)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(come, range(16)))
    assert {access.token for access in found} == {"token1"}
    assert login.logins == 2


def test_who_waits_for_a_login_that_fails_hears_of_it_without_another(
    door: RenewingTokenProvider, login: ToldLogin
) -> None:
    arrived, go = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        arrived.release()
        go.wait(20)

    login.meanwhile, login.trouble = hold, TransientError("no answer")
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(door.open)
        assert arrived.acquire(timeout=20)
        others = [pool.submit(door.open) for _ in range(7)]
        while waiting(door) < 7:
            pass
        go.set()
        for future in (first, *others):
            assert isinstance(future.exception(20), TransientError)
    assert login.logins == 1


def waiting(door: RenewingTokenProvider) -> int:
    """How many threads wait for the login under way."""
    assert door._login_in_progress is not None
    return len(door._login_in_progress._condition._waiters)  # type: ignore[attr-defined]


def test_who_comes_late_with_an_old_token_gets_the_new_one(
    door: RenewingTokenProvider, login: ToldLogin
) -> None:
    first = door.open()
    second = door.renew(first)
    assert door.renew(first) is second
    assert login.logins == 2


@pytest.mark.parametrize(("life", "early"), [(86400.0, 60.0), (20.0, 2.0)])
def test_a_token_is_renewed_shortly_before_its_end(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock, life: float, early: float
) -> None:
    login.life = life
    first = door.open()
    clock.later(life - early - 0.1)
    assert door.open() is first
    clock.later(0.2)
    assert door.open() is not first


def test_a_token_that_still_lives_is_used_on_when_its_early_renewal_fails(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock
) -> None:
    login.life = 100.0
    first = door.open()
    clock.later(95)
    login.trouble = TransientError("no answer")
    assert door.open() is first
    assert door.open() is first
    assert login.logins == 2, "the second try waits a while"
    clock.later(6)
    with pytest.raises(TransientError):
        door.open()


def test_while_one_renews_early_the_others_go_on(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock
) -> None:
    login.life = 100.0
    first = door.open()
    clock.later(95)
    found: list[Access] = []
    login.meanwhile = lambda: found.append(door.open())
    second = door.open()
    assert found == [first]
    assert second is not first


def test_a_service_that_gives_the_same_token_until_its_end_is_asked_once_before_and_once_after(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock
) -> None:
    login.stubborn, login.life = True, 100.0
    door.open()
    clock.later(95)
    login.life = 5.0
    door.open()
    clock.later(4.8)
    door.open()
    assert login.logins == 2
    clock.later(0.4)
    login.stubborn = False
    assert door.open().token == "token0"


def test_a_token_given_twice_is_spent_once_for_all(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock
) -> None:
    """Whoever still holds the first handing-out of it must not get the second when it died."""
    login.stubborn, login.life = True, 100.0
    first = door.open()
    clock.later(95)
    second = door.open()
    assert (second.token, second is first) == (first.token, False)
    login.stubborn = False
    assert door.renew(first).token == "token0"


def test_an_end_in_the_past_is_a_wrong_clock_and_no_reason_to_log_in_for_ever(
    door: RenewingTokenProvider, login: ToldLogin
) -> None:
    login.life = -3600.0
    assert door.open() is door.open()
    assert login.logins == 1


def test_a_refusal_is_remembered_for_a_while(
    door: RenewingTokenProvider, login: ToldLogin, clock: HandClock
) -> None:
    login.trouble = AuthError("wrong key", hint="check the key")
    for _ in range(5):
        with pytest.raises(AuthError) as caught:
            door.open()
        assert caught.value.hint == "check the key"
    assert login.logins == 1
    clock.later(11)
    login.trouble = None
    assert door.open().token == "token0"


def test_a_login_broken_off_by_a_signal_blocks_nobody(door: RenewingTokenProvider, login: ToldLogin) -> None:
    login.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        door.open()
    login.trouble = None
    assert door.open().token == "token0"


def test_no_token_is_shown(door: RenewingTokenProvider) -> None:
    assert "token0" not in repr(door.open())


def test_free_space_is_the_logins(door: RenewingTokenProvider) -> None:
    assert door.free_space() == 7
