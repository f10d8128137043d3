"""Where a login comes from, and what is said when it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.errors import AuthError, ConfigError
from syncer.exit_codes import exit_code
from syncer.stores.http.client import HttpSession
from syncer.stores.smartfile.auth import Given, Login, find
from tests.contract.doubles import SteppingClock
from tests.doubles.smartfile import SmartFileDouble

KEY, PASSWORD = "k" * 30, "p" * 30
URL = "https://files.example:8443/sub"


def basic(login: Login) -> tuple[str, str]:
    return login.auth.username.decode(), login.auth.password.decode()  # type: ignore[attr-defined]


def test_what_the_account_says_comes_first() -> None:
    environ = {
        "SMARTFILE_API_KEY": "e" * 30,
        "SMARTFILE_API_PASSWORD": "e" * 30,
        "SMARTFILE_API_URL": "http://x/",
    }
    found = find(Given(url=URL, key=f" {KEY}\n", password=lambda: PASSWORD), environ=environ)
    assert (found.url, found.name, basic(found)) == (URL + "/", KEY, (KEY, PASSWORD))


def test_the_environment_fills_in() -> None:
    environ = {"SMARTFILE_API_KEY": KEY, "SMARTFILE_API_PASSWORD": PASSWORD, "SMARTFILE_API_URL": URL}
    found = find(Given(), environ=environ)
    assert (found.url, basic(found)) == (URL + "/", (KEY, PASSWORD))
    assert basic(find(Given(key="g" * 30), environ=environ)) == ("g" * 30, PASSWORD)


@pytest.mark.parametrize("machine", ["files.example:8443", "files.example"])
def test_netrc_comes_last(tmp_path: Path, machine: str) -> None:
    place = tmp_path / "netrc"
    place.write_text(f"machine {machine} login {KEY} password {PASSWORD}\n")
    assert basic(find(Given(url=URL), environ={}, netrc_file=place)) == (KEY, PASSWORD)
    assert basic(find(Given(url=URL), environ={"NETRC": str(place)})) == (KEY, PASSWORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"machine other.example login {KEY} password {PASSWORD}",
        f"default login {KEY} password {PASSWORD}",
    ],
)
def test_a_netrc_that_names_others_gives_nothing(tmp_path: Path, text: str) -> None:
    place = tmp_path / "netrc"
    place.write_text(text)
    with pytest.raises(AuthError, match="no login") as found:
        find(Given(url=URL), environ={}, netrc_file=place)
    assert exit_code(found.value) == 7 and "SMARTFILE_API_KEY" in found.value.hint


def test_a_netrc_that_cannot_be_understood_is_told_without_its_words(tmp_path: Path) -> None:
    place = tmp_path / "netrc"
    place.write_text(f"machine files.example login {KEY} {PASSWORD}\n")
    with pytest.raises(AuthError) as found:
        find(Given(url=URL), environ={}, netrc_file=place)
    assert PASSWORD not in str(found.value) and "cannot be understood" in str(found.value)


def test_without_a_netrc_there_is_no_login(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="no login"):
        find(Given(url=URL), environ={"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (Given(url=URL, key=KEY), "SMARTFILE_API_PASSWORD"),
        (Given(url=URL, password=lambda: PASSWORD), "SMARTFILE_API_KEY"),
        (Given(url=URL, client_token=KEY), "SMARTFILE_CLIENT_SECRET"),
        (Given(url=URL, access_token=lambda: KEY), "SMARTFILE_CLIENT_TOKEN"),
    ],
)
def test_half_a_login_names_what_is_missing(given: Given, named: str) -> None:
    with pytest.raises(AuthError) as found:
        find(given, environ={})
    assert named in found.value.hint


def test_a_secret_that_was_cut_is_noticed_and_not_told() -> None:
    with pytest.raises(AuthError) as found:
        find(Given(url=URL, key=KEY, password=lambda: "short-secret"), environ={})
    assert "shorter than 30" in str(found.value) and "short-secret" not in str(found.value) + found.value.hint


@pytest.mark.parametrize("url", [None, "", "files.example", "ftp://x/", "https://u:p@x/", "https://x/?a=b"])
def test_without_a_url_there_is_nowhere_to_go(url: str | None) -> None:
    with pytest.raises(ConfigError, match="url"):
        find(Given(url=url, key=KEY, password=lambda: PASSWORD), environ={})


def test_no_repr_holds_a_secret() -> None:
    given = Given(url=URL, key=KEY, password=lambda: PASSWORD)
    found = find(given, environ={})
    session = HttpSession(found.url, found.auth, clock=SteppingClock())
    assert PASSWORD not in f"{given!r} {found!r} {session!r} {found.auth!r}"


def test_oauth_is_understood_by_the_service() -> None:
    with SmartFileDouble() as double:
        tokens = double.site.credentials
        token, secret = tokens.grant()
        given = Given(
            url=double.url,
            client_token=tokens.client_token,
            client_secret=lambda: tokens.client_secret,
            access_token=lambda: token,
            access_secret=lambda: secret,
        )
        login = find(given, environ={})
        session = HttpSession(login.url, login.auth, clock=SteppingClock())
        form = [("path", "/a b/ü&=~")]
        session.request("POST", "api/2/path/oper/mkdir/", form=form)
        session.request("GET", "api/2/path/info/a%20b/", params={"children": "true"})
        session.close()
        assert "/a b/ü&=~" in double.contents()
