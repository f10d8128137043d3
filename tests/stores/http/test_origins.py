"""Where secrets may go: to their own origin, and not into the clear."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from syncer.accounts.registry import store_of
from syncer.config import parse
from syncer.config.accounts import Account
from syncer.errors import AuthError, ConfigError, SyncerError
from syncer.stores.http.adapter import GuardedAdapter
from syncer.stores.http.origins import (
    bound,
    host_port,
    in_the_clear,
    origin,
    redirect_within_origin,
    same_origin,
)
from syncer.stores.retry_policy import POLICY
from syncer.stores.swift.auth.http import storage_of
from tests.contract.doubles import SteppingClock
from tests.stores import client_process
from tests.stores.hostile_http import Says, said, serving

LONG = "k" * 32
CLEAR = {
    "v1": "auth = 'v1'\nauth_url = 'URL'\nuser = 'u'\nkey = 'k'",
    "keystone": "auth = 'keystone'\nauth_url = 'URL'\nusername = 'u'\npassword = 'p'\nproject = 'p'",
    "hubic": "auth = 'hubic'\napi_url = 'URL'\nclient_id = 'c'\nclient_secret = 's'\nrefresh_token = 'r'",
    "ovh": "auth = 'ovh'\nendpoint = 'URL'\napplication_key = 'a'\napplication_secret = 's'\n"
    "consumer_key = 'c'",
    "token": "auth = 'token'\nstorage_url = 'URL'\ntoken = 't'",
    "smartfile": f"url = 'URL'\nkey = '{LONG}'\npassword = '{LONG}'",
    "orange": "api_url = 'URL'\nclient_id = 'i'\nclient_secret = 's'\nredirect_uri = 'http://localhost/'",
}


def account(kind: str, url: str, more: str = "") -> Account:
    type_ = kind if kind in ("smartfile", "orange") else "swift"
    text = f"[accounts.a]\ntype = '{type_}'\n{CLEAR[kind].replace('URL', url)}\n{more}\n"
    return parse(text, Path("/c.toml")).accounts["a"]


def asked(kind: str, url: str, home: Path, more: str = "") -> None:
    """Makes the store and asks it once."""
    found = account(kind, url, more)
    path = "box/x" if found.type == "swift" else "x"
    store = store_of(found, path, state_dir=home, clock=SteppingClock(), cache=home / "c", tag="t" * 8)
    try:
        store.root()
    finally:
        store.close()


@pytest.mark.parametrize("kind", CLEAR)
def test_secrets_are_not_sent_by_plain_http_to_another_machine(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="network unencrypted") as found:
        asked(kind, "http://files.invalid/", tmp_path)
    assert "insecure = true" in found.value.hint


@pytest.mark.parametrize("kind", sorted(set(CLEAR) - {"orange"}))
def test_an_account_that_accepts_it_is_asked(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads nowhere, so trying is all that can happen; OVH's login was tried for 150 seconds."""
    asked_for: list[object] = []

    def nowhere(host: object, *_: object, **__: object) -> None:
        asked_for.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(SyncerError) as found:
        asked(kind, "http://files.invalid/", tmp_path, "insecure = true")
    assert not isinstance(found.value, ConfigError)
    assert 1 <= len(asked_for) <= 2 * POLICY.tries, "keystoneauth looks for versions first"


@pytest.mark.parametrize(
    "url",
    ["https://h.example/", "http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:9/", "http://127.1/"],
)
def test_https_and_this_machine_are_not_in_the_clear(url: str) -> None:
    assert not in_the_clear(url)


@pytest.mark.parametrize(
    "url",
    ["http://h.example/", "http://localhost.h.example/", "http://127.0.0.1.h.example/", "http://10.0.0.1/",
     "ftp://localhost/", "http://h:port/", ""],
)  # fmt: skip
def test_all_else_is(url: str) -> None:
    assert in_the_clear(url)


def test_a_login_that_hands_out_a_storage_url_without_tls_is_refused() -> None:
    """An http:// endpoint in a catalogue took token and files into the clear."""
    with pytest.raises(AuthError, match="storage URL without TLS") as found:
        storage_of("http://storage.example/v1/AUTH_a")
    assert "insecure" in found.value.hint
    assert storage_of("http://storage.example/v1/AUTH_a/", insecure=True).endswith("AUTH_a")
    with pytest.raises(AuthError, match="no storage URL"):
        storage_of("http://storage.example:port/v1")


@pytest.mark.parametrize("kind", ["v1", "keystone", "hubic", "ovh"])
def test_a_redirect_takes_no_secret_of_a_login_to_another_origin(kind: str, tmp_path: Path) -> None:
    with serving(lambda method, path: said(b"{}")) as elsewhere:
        answer = said(b"", status=307, Location=f"{elsewhere.url}/x")
        with serving(lambda method, path: answer) as hostile, pytest.raises(SyncerError):
            client_process._login(kind, hostile.url)
        assert hostile.asked and elsewhere.asked == []


@pytest.mark.parametrize("kind", client_process.STORES)
@pytest.mark.parametrize(
    "where", ["another port", "a port that is none", "a host that is none", "a userinfo"]
)
def test_a_redirect_takes_no_secret_of_a_store_to_another_origin(
    kind: str, where: str, tmp_path: Path
) -> None:
    """`Location: http://host:port/` ended in a traceback."""
    with serving(lambda method, path: said(b"{}")) as elsewhere:
        target = {
            "another port": f"{elsewhere.url}/x",
            "a port that is none": "http://127.0.0.1:99999999/x",
            "a host that is none": "http://[::1/x",
            "a userinfo": elsewhere.url.replace("http://", "http://127.0.0.1@"),
        }[where]

        def script(method: str, path: str) -> Says:
            return said(b"", status=302, Location=target)

        with serving(script):
            pass
        with serving(script) as hostile:
            store = client_process.STORES[kind](hostile.url, tmp_path)
            with pytest.raises(SyncerError):
                store.list("")
            store.close()
        assert hostile.asked and elsewhere.asked == []


def test_a_library_that_follows_redirects_does_so_within_the_origin() -> None:
    def script(method: str, path: str) -> Says:
        return said(b"", status=307, Location="/there") if path == "/here" else said(b'{"a": 1}')

    with serving(script) as server, requests.Session() as session:
        session.mount("http://", GuardedAdapter())
        assert session.post(f"{server.url}/here", data=b"secret").json() == {"a": 1}


@given(st.text(max_size=40))
def test_no_address_ends_in_anything_but_an_answer(text: str) -> None:
    for url in (text, "http://" + text, "https://h" + text):
        assert origin(url) is None or isinstance(host_port(url), str)
        assert host_port(url) and in_the_clear(url) in (True, False)
        assert redirect_within_origin("https://h/", url) is None or same_origin(
            "https://h/", redirect_within_origin("https://h/", url) or ""
        )


def test_an_environment_that_is_for_another_service_gives_no_secret() -> None:
    environ: Mapping[str, str] = {"U": "https://mine.example/", "P": "secret", "X": "y"}
    assert bound(environ, "U", "https://other.example/", "P") == {"U": "https://mine.example/", "X": "y"}
    for url in (None, "https://mine.example/else"):
        assert bound(environ, "U", url, "P") is environ
    assert "P" in bound({"P": "secret"}, "U", "https://other.example/", "P")
