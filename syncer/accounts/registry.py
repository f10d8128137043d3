"""Accounts to stores: which class speaks to which kind of service. Imports each only when it is asked for.

A kind of account that is not in `FACTORIES` is one that this version cannot speak to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from syncer.accounts.spec import StoreSpec
from syncer.engine.interfaces import Clock, Store
from syncer.errors import AuthError

if TYPE_CHECKING:
    from syncer.config.accounts import Account


Factory: TypeAlias = Callable[[StoreSpec], Store]


def _smartfile(where: StoreSpec) -> Store:
    from syncer.accounts.smartfile import connecting

    return connecting(where.account, where.path, clock=where.clock, cache=where.cache, tag=where.tag)


def _swift(where: StoreSpec) -> Store:
    from syncer.accounts.swift import swift

    return swift(where)


def _orange(where: StoreSpec) -> Store:
    from syncer.accounts.credentials import OrangeTokens, purpose
    from syncer.accounts.orange import connecting

    if where.wallet is None:
        raise AuthError(f"accounts.{where.account.name}: nowhere to look for its login")
    return connecting(where, OrangeTokens(where.wallet, purpose(where.account, os.environ)))


FACTORIES: Mapping[str, Factory] = {  # by an account's `type`
    "orange": _orange,
    "smartfile": _smartfile,
    "swift": _swift,
}


def store_of(
    account: Account,
    path: str,
    *,
    state_dir: Path,
    clock: Clock,
    cache: Path,
    tag: str,
    trash_days: int | None = None,
) -> Store:
    """The store of a service, tried again when it fails for the moment; with what `syncer login` kept.

    Nothing is sent yet. Raises AuthError, ConfigError, StateError.
    """
    from syncer.accounts.credentials import completed, wallet_of
    from syncer.stores.retry import RetryingStore

    wallet = wallet_of(state_dir, account)
    where = StoreSpec(
        account=completed(account, wallet, os.environ),
        path=path,
        clock=clock,
        cache=cache,
        tag=tag,
        wallet=wallet,
        trash_days=trash_days,
    )
    return RetryingStore(FACTORIES[account.type](where), sleep=clock.sleep)
