"""`StoreContext`: what the store of an account is opened with beside the account and the path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from syncer.engine.interfaces import Clock


class Wallet(Protocol):
    """Where the login of one account is kept between runs (`state.credentials.CredentialStore`)."""

    account: str

    def load(self, purpose: str) -> Mapping[str, str] | None:
        """The values saved for this purpose, None where there are none. Raises AuthError, StateError."""
        ...

    def save(self, purpose: str, values: Mapping[str, str]) -> str:
        """Save them durably; answers where: "keyring" or "file". Raises AuthError, StateError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContext:
    """What a store is opened with. A value; nothing is opened.

    `account` is the account's name in the config, for messages. `identity` names the service, the tenant and
    the path, stable over runs and without secrets: what a store answers as its own `identity`. `cache` is a
    private directory of the pair of roots for what the store itself keeps between runs (signatures, recent
    writes); it need not exist yet, and losing it costs time only. `tag` are eight hex digits that mark our
    temporary names. `wallet` is where the login of the account is kept, None for nowhere. `trash_days`: for
    how long a store with a trash of its own keeps what it takes away, None for as long as it sees fit.
    """

    account: str
    identity: str
    clock: Clock
    cache: Path
    tag: str
    wallet: Wallet | None = None
    trash_days: int | None = None
