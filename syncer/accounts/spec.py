"""What a store of a service is made from. A value; nothing is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.engine.interfaces import Clock

if TYPE_CHECKING:
    from syncer.config.accounts import Account
    from syncer.state.credentials import CredentialStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """What a store of a service is made from.

    `path` is the part of the location after the colon. `cache` is a private directory of the
    pair of roots for what the store itself wants to keep between runs (kept signatures, its own recent
    writes); it need not exist yet, and losing it costs time only. `tag` are eight hex
    digits that mark our temporary names. `wallet`: where the account's login is kept, None: nowhere.
    `trash_days`: for how long a store with a trash of its own keeps what it takes away, None: as it sees fit.
    """

    account: Account
    path: str
    clock: Clock
    cache: Path
    tag: str
    wallet: CredentialStore | None = None
    trash_days: int | None = None
