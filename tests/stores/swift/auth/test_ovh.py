"""The OVH door in front of a double of OVH's API, which hands out tokens of the real Swift."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from syncer.errors import AuthError, TransientError
from syncer.stores.swift.auth.ovh import OvhLogin
from syncer.stores.swift.auth.session import RenewingTokenProvider
from tests.doubles.faults import Answer, Fault, Lost, Reset
from tests.doubles.ovh import OvhDouble, Project
from tests.stores.swift.auth.clocks import HandClock
from tests.stores.swift.auth.opening import opens_again, works

ACCESS = "/storage/access"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of OVH in the environment; OAuth 2 without TLS, since the double has none."""
    for name in [name for name in os.environ if name.startswith("OVH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def signed(url: str, **other: str | None) -> OvhLogin:
    secret, consumer = other.pop("secret", OvhDouble.secret), other.pop("consumer", OvhDouble.consumer)
    words = {"application_key": OvhDouble.key, "project": OvhDouble.project} | other
    return OvhLogin(
        endpoint=url, application_secret=lambda: secret or "", consumer_key=lambda: consumer or "", **words
    )


def by_oauth(url: str, *, secret: str = OvhDouble.client_secret) -> OvhLogin:
    return OvhLogin(
        endpoint=url, client_id=OvhDouble.client_id, client_secret=lambda: secret, project=OvhDouble.project
    )


def test_a_consumer_key_opens_and_opens_again(ovh: OvhDouble, ovh_url: str, clock: HandClock) -> None:
    opens_again(RenewingTokenProvider(signed(ovh_url), clock=clock), ovh.tokens.swift)


def test_a_service_account_opens_and_opens_again(ovh: OvhDouble, ovh_url: str, clock: HandClock) -> None:
    opens_again(RenewingTokenProvider(by_oauth(ovh_url), clock=clock), ovh.tokens.swift)


def test_the_old_token_may_be_dead_as_soon_as_there_is_a_new_one(
    ovh: OvhDouble, ovh_url: str, clock: HandClock
) -> None:
    ovh.tokens.revoking = True
    door = RenewingTokenProvider(signed(ovh_url), clock=clock)
    spent = door.open()
    door.renew(spent)
    assert not works(spent)
    assert works(door.open())


@pytest.mark.parametrize("skew", [-4000, 4000])
def test_a_clock_that_is_off_does_not_matter(ovh: OvhDouble, ovh_url: str, skew: int) -> None:
    ovh.skew = skew
    assert works(signed(ovh_url).log_in())


def test_the_clock_is_read_anew_for_each_login(ovh: OvhDouble, ovh_url: str, clock: HandClock) -> None:
    door = RenewingTokenProvider(signed(ovh_url), clock=clock)
    spent = door.open()
    ovh.skew = 5000
    assert works(door.renew(spent))


def test_a_clock_that_steps_in_the_middle_of_a_login_is_read_once_more(ovh: OvhDouble, ovh_url: str) -> None:
    old = Answer(status=400, body=b'{"errorCode": "QUERY_TIME_OUT", "message": "Query out of time"}')
    ovh.faults.add("POST", ACCESS, old)
    assert works(signed(ovh_url).log_in())
    assert len(ovh.faults.asked("GET", "/auth/time")) == 2


def test_clocks_that_never_agree_are_transient(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.faults.add("GET", "/auth/time", Answer(status=200, body=b"1700000000"), times=None)
    with pytest.raises(TransientError, match="clocks"):
        signed(ovh_url).log_in()


# -- project and region ----------------------------------------------------------


def test_the_only_project_and_the_only_region_need_no_name(ovh: OvhDouble, ovh_url: str) -> None:
    assert works(signed(ovh_url, project=None).log_in())


def test_of_several_projects_one_must_be_named(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.projects["ffeeddccbbaa"] = Project()
    with pytest.raises(AuthError, match="which project") as caught:
        signed(ovh_url, project=None).log_in()
    assert caught.value.hint == "set project (OVH_PROJECT) to one of: 0aabbccddeeff, ffeeddccbbaa"


def test_no_project_at_all_is_told(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.projects.clear()
    with pytest.raises(AuthError) as caught:
        signed(ovh_url, project=None).log_in()
    assert caught.value.hint.endswith("none")


def test_the_region_chooses_the_storage_url(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.projects[ovh.project] = Project(regions={"GRA": "127.0.0.1", "SBG": "localhost"})
    access = signed(ovh_url, region="sbg").log_in()
    assert access.storage_url.startswith("http://localhost:") and works(access)


@pytest.mark.parametrize("region", [None, "BHS"])
def test_a_region_that_is_not_named_or_not_there_is_told_with_those_that_are(
    ovh: OvhDouble, ovh_url: str, region: str | None
) -> None:
    ovh.projects[ovh.project] = Project(regions={"GRA": "127.0.0.1", "SBG": "localhost"})
    with pytest.raises(AuthError) as caught:
        signed(ovh_url, region=region).log_in()
    assert caught.value.hint == "set region (OVH_REGION) to one of: GRA, SBG"


def test_endpoints_may_change_when_a_token_is_renewed(ovh: OvhDouble, ovh_url: str, clock: HandClock) -> None:
    door = RenewingTokenProvider(signed(ovh_url), clock=clock)
    spent = door.open()
    ovh.projects[ovh.project].regions["GRA"] = "localhost"
    assert door.renew(spent).storage_url.startswith("http://localhost:")


# -- refusals -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ({"secret": "not-it"}, "OVH_APPLICATION_SECRET"),
        ({"application_key": "not-it"}, "application_key"),
        ({"consumer": "not-it"}, "OVH_CONSUMER_KEY"),
        ({"project": "not-it"}, "OVH_PROJECT"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(
    ovh: OvhDouble, ovh_url: str, words: dict[str, str | None], hint: str
) -> None:
    with pytest.raises(AuthError) as caught:
        signed(ovh_url, **words).log_in()
    assert hint in caught.value.hint
    assert "not-it" not in repr(caught.value) + caught.value.hint


@pytest.mark.parametrize("state", ["pendingValidation", "refused", "expired"])
def test_a_consumer_key_that_is_not_valid_asks_for_a_new_one(
    ovh: OvhDouble, ovh_url: str, state: str
) -> None:
    ovh.credentials[ovh.consumer].state = state
    with pytest.raises(AuthError, match="InvalidCredential") as caught:
        signed(ovh_url).log_in()
    assert "make a new consumer key" in caught.value.hint


def test_a_consumer_key_without_the_right_is_told_which(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.credentials[ovh.consumer].rules = (("GET", "/cloud/project/*"),)
    with pytest.raises(AuthError, match="NotGrantedCall") as caught:
        signed(ovh_url).log_in()
    assert "POST on /cloud/project/*/storage/access" in caught.value.hint


def test_a_consumer_key_for_another_address_is_told(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.credentials[ovh.consumer].allowed_ips = ("192.0.2.1",)
    with pytest.raises(AuthError) as caught:
        signed(ovh_url).log_in()
    assert "allowed IPs" in caught.value.hint


def test_a_suspended_project_is_told(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.projects[ovh.project].suspended = True
    with pytest.raises(AuthError) as caught:
        signed(ovh_url).log_in()
    assert "suspended" in caught.value.hint


def test_the_query_can_be_found_in_the_services_logs(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.credentials[ovh.consumer].state = "expired"
    with pytest.raises(AuthError, match=r"query EU\.ext-1\."):
        signed(ovh_url).log_in()


def test_a_service_account_with_a_wrong_secret_is_told(ovh: OvhDouble, ovh_url: str) -> None:
    with pytest.raises(AuthError) as caught:
        by_oauth(ovh_url, secret="not-it").log_in()
    assert "OVH_CLIENT_SECRET" in caught.value.hint
    assert "not-it" not in repr(caught.value)


def test_a_service_account_without_a_policy_is_told_which_action(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.allowed.clear()
    with pytest.raises(AuthError) as caught:
        by_oauth(ovh_url).log_in()
    assert "publicCloudProject:apiovh:storage/access/create" in caught.value.hint


def test_a_bearer_revoked_early_is_renewed_once(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.faults.add("POST", ACCESS, Answer(status=401, body=b'{"message": "Invalid token"}'))
    assert works(by_oauth(ovh_url).log_in())
    assert len(ovh.faults.asked("POST", "/oauth2/token")) == 2
    ovh.faults.add("POST", ACCESS, Answer(status=401, body=b'{"message": "Invalid token"}'), times=2)
    with pytest.raises(AuthError):
        by_oauth(ovh_url).log_in()


GATEWAY = Answer(status=502, headers={"content-type": "text/html"}, body=b"<html>Bad gateway</html>")
TOO_MANY = Answer(status=429, headers={"retry-after": "7"}, body=b'{"message": "slow down"}')
LIST = Answer(status=500, body=b'["not an object"]')


@pytest.mark.parametrize("fault", [GATEWAY, TOO_MANY, LIST, Reset(), Lost()])
def test_trouble_of_the_moment_is_transient(ovh: OvhDouble, ovh_url: str, fault: Fault) -> None:
    ovh.faults.add("POST", ACCESS, fault)
    login = signed(ovh_url)
    with pytest.raises(TransientError) as caught:
        login.log_in()
    assert caught.value.retry_after == (7 if fault is TOO_MANY else None)
    assert works(login.log_in())


def test_trouble_of_the_oauth_service_is_transient(ovh: OvhDouble, ovh_url: str) -> None:
    ovh.faults.add("POST", "/oauth2/token", Answer(status=503, body=b"later"))
    with pytest.raises(TransientError):
        by_oauth(ovh_url).log_in()


# -- where the settings come from -------------------------------------------------


def test_nothing_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthError) as caught:
        OvhLogin().log_in()
    assert "OVH_ENDPOINT" in caught.value.hint
    with pytest.raises(AuthError) as caught:
        OvhLogin(endpoint="ovh-eu").log_in()
    assert "application_key" in caught.value.hint and "client_id" in caught.value.hint


def test_the_environment_is_enough(ovh: OvhDouble, ovh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ovh.projects["another"] = Project()
    ovh.projects[ovh.project] = Project(regions={"GRA": "127.0.0.1", "SBG": "localhost"})
    values = {"APPLICATION_KEY": ovh.key, "APPLICATION_SECRET": ovh.secret, "CONSUMER_KEY": ovh.consumer}
    for name, value in (values | {"PROJECT": ovh.project, "REGION": "SBG"}).items():
        monkeypatch.setenv(f"OVH_{name}", value)
    access = OvhLogin(endpoint=ovh_url).log_in()
    assert access.storage_url.startswith("http://localhost:")


@pytest.mark.parametrize(
    ("exported", "endpoint", "fits"),
    [
        ("", "https://other.example/1.0", False),
        ("", "ovh-ca", True),
        ("", "https://eu.api.ovh.com/1.0", True),
        ("", "http://127.0.0.1:9/1.0", True),
        ("ovh-eu", "https://other.example/1.0", False),
        ("ovh-eu", "ovh-ca", False),
        ("ovh-eu", "https://eu.api.ovh.com/1.0", True),
        ("https://other.example/1.0", "https://other.example/1.0", True),
        ("ovh-eu", "http://127.0.0.1:9/1.0", False),
    ],
)
def test_keys_of_the_environment_go_to_their_own_endpoint_only(
    monkeypatch: pytest.MonkeyPatch, exported: str, endpoint: str, fits: bool
) -> None:
    """The package signs with OVH_* for whatever endpoint an account names."""
    if exported:
        monkeypatch.setenv("OVH_ENDPOINT", exported)
    monkeypatch.setenv("OVH_APPLICATION_KEY", "k")
    monkeypatch.setenv("OVH_APPLICATION_SECRET", "s")
    if fits:
        OvhLogin(endpoint=endpoint).client()
    else:
        with pytest.raises(AuthError, match="OVH_APPLICATION_SECRET of the environment: not for") as caught:
            OvhLogin(endpoint=endpoint).client()
        assert "OVH_ENDPOINT" in caught.value.hint
    own = OvhLogin(
        endpoint=endpoint, application_key="own", application_secret=lambda: "s", consumer_key=lambda: "c"
    )
    assert own.client()._application_key == "own"


@pytest.mark.parametrize("where", ["named", "in the current directory"])
def test_a_file_is_enough_but_not_one_that_lies_in_the_current_directory(
    ovh: OvhDouble, ovh_url: str, tmp_path: Path, where: str
) -> None:
    """In a process of its own: the package looks for its files when it is first loaded.

    An ovh.conf that came by a sync chose the endpoint that the keys of the environment were sent to.
    """
    lines = [f"[default]\nendpoint={ovh_url}", f"[{ovh_url}]", f"application_key={ovh.key}"]
    lines += [f"application_secret={ovh.secret}", f"consumer_key={ovh.consumer}", f"project={ovh.project}"]
    (tmp_path / "ovh.conf").write_text("\n".join(lines))
    root = Path(__file__).parents[4]
    named = "conf_file='ovh.conf'" if where == "named" else ""
    script = (
        f"from syncer.stores.swift.auth.ovh import OvhLogin\nprint(OvhLogin({named}).log_in().storage_url)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if where == "named":
        assert done.stdout.strip() == f"{ovh.tokens.swift.url}/v1/AUTH_test", done.stderr
    else:
        assert "AuthError" in done.stderr and ovh.faults.log == []


def test_no_secret_is_shown(ovh_url: str) -> None:
    assert OvhDouble.secret not in repr(signed(ovh_url))
