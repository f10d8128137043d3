"""From an account of the config to its store: which container, which prefix, which identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.accounts.swift import connecting
from syncer.clock import SystemClock
from syncer.config.account_types import model_of
from syncer.config.accounts import Account
from syncer.engine.interfaces import Store
from syncer.errors import ConfigError
from tests.swift.server import Swift


def account(**table: object) -> Account:
    """The checked account of a table of the config file."""
    words = {"type": "swift", "name": "mine"} | table
    return model_of(words).model_validate(words, context={"base": Path()})


def v1(swift: Swift) -> Account:
    return account(auth="v1", auth_url=swift.auth_url, user=swift.user, key=swift.key)


def store_of(account: Account, path: str, cache: Path, environ: dict[str, str] | None = None) -> Store:
    return connecting(account, path, clock=SystemClock(), cache=cache, tag="0123abcd", environ=environ or {})


def test_an_account_leads_to_a_container_that_is_made(swift: Swift, tmp_path: Path) -> None:
    name = swift.fresh_name()
    store = store_of(v1(swift), f"{name}/some/folder", tmp_path)
    assert store.root() is None
    store.create_root()
    store.write_root_id("ab" * 16)
    state = store.root()
    assert state is not None and (state.marker, state.empty) == ("ab" * 16, True)
    store.close()


def test_the_identity_tells_accounts_apart_without_asking_or_secrets(tmp_path: Path) -> None:
    def keystone(**more: str) -> Account:
        words = {"auth_url": "https://k.example/v3", "username": "u", "password": "made-up"}
        return account(auth="keystone", **words, **more)

    token = account(auth="token", storage_url="https://s.example/v1/a", token="made-up")
    words = {"client_id": "c", "client_secret": "made-up", "username": "me", "password": "made-up"}
    hubic = account(auth="hubic", **words)
    stores = [
        store_of(keystone(project="one"), "c", tmp_path),
        store_of(keystone(project="two"), "c", tmp_path),
        store_of(keystone(), "c", tmp_path, {"OS_PROJECT_NAME": "three"}),
        store_of(keystone(project="one"), "c/p", tmp_path),
        store_of(token, "c", tmp_path),
        store_of(hubic, "", tmp_path),
    ]
    names = [store.identity for store in stores]
    assert len(set(names)) == len(names) and "made-up" not in "".join(names)
    assert names[-1].endswith("/default/"), "Hubic's own container"
    assert names == [store.identity for store in stores]
    for store in stores:
        store.close()


@pytest.mark.parametrize("path", ["", "/", "c/../d", "c/.syncer", "x" * 257, ".syncer/x"])
def test_what_cannot_be_a_root_is_a_mistake_in_the_config(swift: Swift, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError):
        store_of(v1(swift), path, tmp_path)
