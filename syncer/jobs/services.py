"""Accounts to stores: which class speaks to which kind of service. Imports each only when it is asked for.

A kind of account that is not in `FACTORIES` is one that this version cannot speak to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from syncer.engine.ports import Clock, Store
from syncer.errors import AuthError
from syncer.jobs.where import Where

if TYPE_CHECKING:
    from syncer.config.accounts import Account


Factory: TypeAlias = Callable[[Where], Store]


def _smartfile(where: Where) -> Store:
    from syncer.jobs.smartfile import connecting

    return connecting(where.account, where.path, clock=where.clock, cache=where.cache, tag=where.tag)


def _swift(where: Where) -> Store:
    from syncer.jobs.swift import swift

    return swift(where)


def _orange(where: Where) -> Store:
    from syncer.jobs.login.stored import OrangeTokens, purpose
    from syncer.jobs.orange import connecting

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
    from syncer.jobs.login.stored import completed, wallet_of
    from syncer.stores.retry import RetryingStore

    wallet = wallet_of(state_dir, account)
    where = Where(
        account=completed(account, wallet, os.environ),
        path=path,
        clock=clock,
        cache=cache,
        tag=tag,
        wallet=wallet,
        trash_days=trash_days,
    )
    return RetryingStore(FACTORIES[account.type](where), sleep=clock.sleep)
