"""Accounts to stores: the account type makes the store, which is then wrapped for retries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.engine.interfaces import Clock, Store
from syncer.errors import ConfigError, SyncError
from syncer.stores.context import StoreContext

if TYPE_CHECKING:
    from syncer.config.accounts import Account


def check_usable(account: Account, origin: str) -> None:
    """Raises ConfigError for an account whose plug-in cannot be loaded. `origin`: the config file."""
    if account.unusable:
        raise ConfigError(
            f"{origin}: accounts.{account.name}: {account.unusable}",
            hint="reinstall or update the package of this account type; other accounts are not concerned",
        )


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
    """The store of a path of an account, with retries and with what `syncer login` saved.

    Nothing is sent yet. Raises AuthError, ConfigError, StateError.
    """
    from syncer.accounts.credentials import completed, wallet_of
    from syncer.stores.retry import RetryingStore

    wallet = wallet_of(state_dir, account)
    context = StoreContext(
        account=account.name,
        identity=f"{account.identity}/{path}",
        clock=clock,
        cache=cache,
        tag=tag,
        wallet=wallet,
        trash_days=trash_days,
    )
    store = open_store(completed(account, wallet, os.environ), path, context)
    return RetryingStore(store, sleep=clock.sleep)


def open_store(account: Account, path: str, context: StoreContext) -> Store:
    """The bare store, as the account type makes it. Raises AuthError, ConfigError, StateError."""
    from syncer.config import account_types
    from syncer.stores.simple import SimpleStore, SimpleStoreAdapter

    try:
        store = account_types.find(account.type).open(account, path, context=context)
    except SyncError:
        raise
    except Exception as error:
        if account.type in account_types.BUILT_IN:
            raise
        raise ConfigError(
            f"accounts.{account.name}: type {account.type} cannot be opened: {type(error).__name__}: {error}"
        ) from error
    opened: Store = SimpleStoreAdapter(store, context) if isinstance(store, SimpleStore) else store
    return opened
