"""Account types: entry points of the group `syncer.stores`, built-in and installed ones alike.

The `type` of an account is the name of an entry point. It names a class with a pydantic model `Config`, which
reads the keys of the account, and a class method `open`, which makes the store (see `stores.simple`). The
built-in types are listed here and not in the metadata of the distribution: a run that uses no other type then
reads no metadata, and a source tree works as it is. Installed packages are searched for other types only, so
none of them can take the place of a built-in one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from syncer.formatting import near, quoted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from syncer.config.accounts import Account

_log = logging.getLogger(__name__)
GROUP: Final = "syncer.stores"
BUILT_IN: Final = {
    "swift": "syncer.accounts.swift:SwiftType",
    "smartfile": "syncer.accounts.smartfile:SmartFileType",
    "orange": "syncer.accounts.orange:OrangeType",
    "syncer": "syncer.accounts.smartfile:SyncerServerType",
}


class AccountType(Protocol):
    """What an entry point of the group names."""

    @classmethod
    def open(cls, config: Any, path: str, *, context: Any) -> Any:
        """The store of a path of an account: a `stores.simple.SimpleStore` or an `engine.interfaces.Store`.

        `config` is the account as `Config` read it, `context` a `stores.context.StoreContext`. Nothing is
        sent yet. Raises AuthError, ConfigError, StateError.
        """
        ...


class WrongType(ValueError):
    """An account names no type, or one that does not exist. `key` is the key that is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class BrokenPlugin(Exception):
    """An installed account type cannot be loaded; str() says why."""


def names() -> list[str]:
    """All account types: the built-in ones first, then the installed ones by name."""
    installed = {entry.name for entry in entry_points(group=GROUP)}
    return [*BUILT_IN, *sorted(installed - BUILT_IN.keys())]


def find(name: str) -> type[AccountType]:
    """The account type of that name. Raises WrongType, BrokenPlugin."""
    if name in BUILT_IN:
        return cast(type[AccountType], EntryPoint(name, BUILT_IN[name], GROUP).load())
    for entry in entry_points(group=GROUP, name=name):
        return _load(entry)
    raise WrongType("type", _unknown(name, names()))


def model_of(table: Mapping[str, Any]) -> type[Account]:
    """The model that reads the table of an account. Raises WrongType, BrokenPlugin."""
    name = table.get("type")
    if name is None:
        raise WrongType("type", f"is missing; one of {', '.join(names())}")
    if not isinstance(name, str):
        raise WrongType("type", _unknown(name, names()))
    found = find(name)
    chooser = getattr(found, "config_model", None)  # built-in: one type may have several models
    return chooser(table) if chooser else _with_common_keys(cast(Any, found).Config)


def one_of(table: Mapping[str, Any], key: str, allowed: list[str]) -> str:
    """The value of a key that must be one of several words. Raises WrongType."""
    value = table.get(key)
    if value is None:
        raise WrongType(key, f"is missing; one of {', '.join(allowed)}")
    if not isinstance(value, str) or value not in allowed:
        raise WrongType(key, _unknown(value, allowed))
    return value


def _unknown(value: object, allowed: list[str]) -> str:
    return f"{quoted(value)} is not known{near(value, allowed)}; one of {', '.join(allowed)}"


def _load(entry: EntryPoint) -> type[AccountType]:
    """The class that an installed entry point names, checked for its shape. Raises BrokenPlugin."""
    from pydantic import BaseModel

    package = entry.dist.name if entry.dist else entry.value
    try:
        found = entry.load()
    except Exception as error:  # the code of others: whatever it raises concerns its own accounts only
        _log.debug("the account type %s cannot be loaded", entry.name, exc_info=True)
        raise BrokenPlugin(f"{package} cannot be loaded: {type(error).__name__}: {error}") from error
    config = getattr(found, "Config", None)
    if not isinstance(config, type) or not issubclass(config, BaseModel):
        raise BrokenPlugin(f"{package}: {entry.value} has no pydantic model Config")
    if not callable(getattr(found, "open", None)):
        raise BrokenPlugin(f"{package}: {entry.value} has no class method open")
    return cast(type[AccountType], found)


@cache
def _with_common_keys(config: type[BaseModel]) -> type[Account]:
    """The model of a plug-in together with the keys that every account has. Raises BrokenPlugin."""
    from pydantic import create_model

    from syncer.config.accounts import Account, PluginAccount

    if issubclass(config, Account):
        return config
    taken = sorted(set(config.model_fields) & set(Account.model_fields))
    if taken:
        raise BrokenPlugin(f"{config.__module__}: Config must not have a field {taken[0]!r} of its own")
    return cast("type[Account]", create_model(config.__name__, __base__=(config, PluginAccount)))
