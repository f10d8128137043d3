"""The whole login to OVH: a consumer key with the least rights, validated while we wait, or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncer.accounts.credentials import purpose
from syncer.accounts.login import dispatch
from syncer.accounts.verify import standing
from syncer.clock import SystemClock
from syncer.config.accounts import Account
from syncer.errors import AuthError
from syncer.state.credentials import CredentialStore
from tests.doubles.faults import Answer
from tests.doubles.ovh import Credential, OvhDouble
from tests.jobs.login.players import Player, account, dialogue
from tests.stores.swift.auth.clocks import HandClock


class Watched(HandClock):
    """Calls somebody at each sleep: what happens while we wait."""

    def __init__(self, meanwhile: Callable[[int], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._meanwhile(len(self.slept))


def told(double: OvhDouble, url: str, **more: object) -> Account:
    table = {
        "type": "swift",
        "auth": "ovh",
        "endpoint": url,
        "application_key": double.key,
        "application_secret": double.secret,
    }
    return account(**(table | more))


def new_one(double: OvhDouble) -> Credential:
    return list(double.credentials.values())[-1]


def validates(double: OvhDouble, after: int = 3) -> Watched:
    """A clock of somebody who validates the key in the so-manieth pause."""

    def meanwhile(pause: int) -> None:
        if pause == after:
            new_one(double).state = "validated"

    return Watched(meanwhile)


def test_the_key_is_waited_for_and_opens_the_storage(ovh: OvhDouble, ovh_url: str, tmp_path: Path) -> None:
    pages: list[str] = []
    found, clock = told(ovh, ovh_url), validates(ovh)
    person = Player(browser=pages.append)
    done = dispatch.log_in(found, dialogue(person, tmp_path, clock, patience=600.0))
    assert done is not None and done.kept == "file"
    assert clock.slept == [3.0, 3.0, 3.0]
    assert "credentialToken=" in person.url
    assert standing(found, tmp_path / "state", clock=SystemClock()).storage.startswith("http://")


def test_no_more_rights_are_asked_for_than_a_run_needs(ovh: OvhDouble, ovh_url: str, tmp_path: Path) -> None:
    dispatch.log_in(told(ovh, ovh_url), dialogue(Player(), tmp_path, validates(ovh)))
    assert new_one(ovh).rules == (
        ("GET", "/cloud/project"),
        ("POST", "/cloud/project/*/storage/access"),
    )
    found = told(ovh, ovh_url, project=ovh.project)
    dispatch.log_in(found, dialogue(Player(), tmp_path, validates(ovh)))
    assert new_one(ovh).rules == (("POST", f"/cloud/project/{ovh.project}/storage/access"),)
    standing(found, tmp_path / "state", clock=SystemClock())


@pytest.mark.parametrize("state", ["pendingValidation", "refused"])
def test_a_key_that_is_never_validated_is_given_up(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path, state: str
) -> None:
    def meanwhile(pause: int) -> None:
        new_one(ovh).state = state

    clock = Watched(meanwhile)
    with pytest.raises(AuthError, match="not validated within 1m, or was refused") as caught:
        dispatch.log_in(told(ovh, ovh_url), dialogue(Player(), tmp_path, clock, patience=60.0))
    assert clock.passed <= 60.0 and "log in again" in caught.value.hint
    assert not (tmp_path / "state").exists()


def test_bad_moments_of_the_api_are_waited_past(ovh: OvhDouble, ovh_url: str, tmp_path: Path) -> None:
    ovh.faults.add("GET", "/1.0/cloud/project", Answer(status=503), times=2)
    done = dispatch.log_in(told(ovh, ovh_url), dialogue(Player(), tmp_path, validates(ovh, 1)))
    assert done is not None


def test_a_key_that_is_revoked_meanwhile_is_not_waited_for(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path
) -> None:
    clock = Watched(lambda pause: ovh.credentials.popitem())
    with pytest.raises(AuthError, match="NotCredential"):
        dispatch.log_in(told(ovh, ovh_url), dialogue(Player(), tmp_path, clock))
    assert clock.slept == [3.0]


def test_an_unknown_application_and_a_wrong_secret_are_told(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path
) -> None:
    for wrong, why in (
        ({"application_key": "other"}, "InvalidKey"),
        ({"application_secret": "made-up"}, "BadParam"),
    ):
        with pytest.raises(AuthError, match=why) as caught:
            dispatch.log_in(told(ovh, ovh_url, **wrong), dialogue(Player(), tmp_path, validates(ovh)))
        assert "made-up" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"consumerKey": "k", "validationUrl": "javascript:alert(1)"}']
)
def test_an_answer_that_makes_no_sense_is_no_crash(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path, content: bytes
) -> None:
    ovh.faults.add(
        "POST",
        "/1.0/auth/credential",
        Answer(status=200, body=content, headers={"content-type": "application/json"}),
    )
    with pytest.raises(AuthError, match="no consumer key"):
        dispatch.log_in(told(ovh, ovh_url), dialogue(Player(), tmp_path, validates(ovh)))


def test_an_account_with_a_key_or_a_service_account_has_nothing_to_log_in_to(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the double has no TLS
    base = {"type": "swift", "auth": "ovh", "endpoint": ovh_url}
    service = account(**base, client_id=ovh.client_id, client_secret=ovh.client_secret)
    for found in (service, told(ovh, ovh_url, consumer_key=ovh.consumer)):
        assert dispatch.log_in(found, dialogue(Player(), tmp_path, SystemClock())) is None
        assert standing(found, tmp_path / "state", clock=SystemClock()).storage
    assert not (tmp_path / "state").exists()


def test_the_kept_key_is_for_this_application_alone(ovh: OvhDouble, ovh_url: str, tmp_path: Path) -> None:
    found = told(ovh, ovh_url)
    dispatch.log_in(found, dialogue(Player(), tmp_path, validates(ovh)))
    wallet = CredentialStore(tmp_path / "state", "cloud", vault=lambda: None)
    assert wallet.load(purpose(found, {}))
    assert wallet.load(purpose(told(ovh, ovh_url, application_key="another"), {})) is None
