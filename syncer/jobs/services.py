"""Accounts to stores: which class speaks to which kind of service. Imports each only when it is asked for.

A kind of account that is not in `FACTORIES` is one that this version cannot speak to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from syncer.engine.ports import Clock, Store

if TYPE_CHECKING:
    from syncer.config.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a store of a service is made from.

    `path` is the part of the location after the colon. `cache` is a private directory of the
    pair of roots for what the store itself wants to keep between runs (kept signatures, its own recent
    writes); it need not exist yet, and losing it costs time only. `tag` are eight hex
    digits that mark our temporary names.
    """

    account: Account
    path: str
    clock: Clock
    cache: Path
    tag: str


Factory: TypeAlias = Callable[[Where], Store]

FACTORIES: Mapping[str, Factory] = {}  # by an account's `type`
