"""Accounts of type `smartfile`: nothing is sent before the first call, which finds out what to speak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from syncer.accounts.credentials import purpose
from syncer.accounts.registry import open_store
from syncer.accounts.smartfile import AutodetectStore
from syncer.config.accounts import SmartFile
from syncer.config.secrets import Secret
from syncer.engine.interfaces import Store
from syncer.errors import AuthError, ConfigError, NoCommonVersion, PermanentError, StoreError, TransientError
from syncer.stores.context import StoreContext
from syncer.stores.peer.store import PeerStore
from syncer.stores.smartfile.store import SmartFileStore
from tests.contract.doubles import SteppingClock
from tests.doubles.serving import Served

ANSWERS: dict[str, Response] = {
    "ours": JSONResponse({"ping": "pong", "syncer": {"extension": 1, "base": "syncer/1/"}}),
    "plain": JSONResponse({"ping": "pong"}),
    "listed": JSONResponse({"ping": "pong", "syncer": {"extension": 1, "versions": [1, 7]}}),
    "later": JSONResponse({"ping": "pong", "syncer": {"extension": 9, "base": "syncer/9/"}}),
    "list": JSONResponse(["pong"]),
    "page": PlainTextResponse("<html>"),
}


@pytest.fixture
def site() -> Iterator[Served]:
    async def ping(request: Request) -> Response:
        return ANSWERS[request.path_params["kind"]]

    with Served(Starlette(routes=[Route("/{kind}/api/2/ping/", ping)])) as served:
        yield served


def opened(url: str, base: Path, **more: object) -> Store:
    login = {"key": "k" * 30, "password": Secret.parse("p" * 30)}
    account = SmartFile(name="far", url=url, **{**login, **more})  # type: ignore[arg-type]
    context = StoreContext(
        account="far", identity="far/docs", clock=SteppingClock(), cache=base / "cache", tag="0123abcd"
    )
    return open_store(account, "docs", context)


@pytest.mark.parametrize(
    ("kind", "expected"), [("ours", PeerStore), ("listed", PeerStore), ("plain", SmartFileStore)]
)
def test_what_ping_announces_is_spoken(site: Served, tmp_path: Path, kind: str, expected: type) -> None:
    store = opened(f"{site.url}{kind}/", tmp_path)
    assert isinstance(store, AutodetectStore) and isinstance(store.inner, expected)
    assert store.identity == f"smartfile:{site.url}{kind}/docs"
    store.close()


def test_a_server_of_a_later_version_was_spoken_to_in_the_plain_api(site: Served, tmp_path: Path) -> None:
    store = opened(f"{site.url}later/", tmp_path)
    with pytest.raises(NoCommonVersion) as caught:
        store.root()
    assert caught.value.hint == "update Syncer on this machine"
    store.close()


@pytest.mark.parametrize("kind", ["list", "page"])
def test_what_is_no_such_api_is_said_to_be_none(site: Served, tmp_path: Path, kind: str) -> None:
    store = opened(f"{site.url}{kind}", tmp_path)
    with pytest.raises(StoreError) as caught:
        store.root()
    assert not isinstance(caught.value, PermanentError)  # which would be about the root
    store.close()


def test_making_a_store_sends_nothing_and_closing_it_neither(tmp_path: Path) -> None:
    store = opened("http://127.0.0.1:9/", tmp_path)
    assert store.identity == "smartfile:http://127.0.0.1:9/docs"
    with pytest.raises(TransientError):
        store.root()
    store.close()


def test_a_login_that_is_missing_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("KEY", "PASSWORD", "URL"):
        monkeypatch.delenv(f"SMARTFILE_API_{name}", raising=False)
    with pytest.raises(AuthError, match="no login"):
        opened("http://127.0.0.1:9/", tmp_path, key=None, password=None)


def test_an_authority_that_is_no_file_is_a_mistake_in_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca_file"):
        opened("https://127.0.0.1:9/", tmp_path, ca_file=str(tmp_path / "none"))


def test_an_account_of_type_syncer_speaks_the_extension_only(site: Served, tmp_path: Path) -> None:
    store = opened(f"{site.url}ours/", tmp_path, type="syncer")
    assert isinstance(store, AutodetectStore) and isinstance(store.inner, PeerStore)
    store.close()
    store = opened(f"{site.url}plain/", tmp_path, type="syncer")
    with pytest.raises(StoreError, match="is not a Syncer server") as caught:
        store.root()
    assert 'type = "smartfile"' in caught.value.hint and not isinstance(caught.value, PermanentError)
    store.close()


def test_both_words_for_a_server_of_one_s_own_are_one_identity(tmp_path: Path) -> None:
    url = "https://box.example/"
    accounts = [SmartFile(name="box", type=word, url=url) for word in ("smartfile", "syncer")]
    assert {account.identity for account in accounts} == {"smartfile:url=https://box.example/"}
    assert len({purpose(account, {}) for account in accounts}) == 1
