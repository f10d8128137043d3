"""List a folder of an account, and its quota, for `syncer ls` and `syncer quota`. No job is needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.accounts import verify
from syncer.config import LOCAL, Location, Settings
from syncer.engine.interfaces import Clock, Store
from syncer.engine.model import BlockedEntry, Entry, Kind
from syncer.errors import LocalError, NotFound, TransientError

if TYPE_CHECKING:
    from syncer.stores.swift.client import Connection

Entries = Mapping[str, Entry | BlockedEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuota:
    """Space in bytes; None where the service does not say."""

    free: int | None
    used: int | None = None
    total: int | None = None


def entries(settings: Settings, where: Location, *, clock: Clock) -> Entries:
    """The entries of a folder, or of one file. Raises NotFound, AuthError, ConfigError, StoreError."""
    if where.account != LOCAL:
        account = verify.known(settings.accounts, where.account, settings.origin)
        if account.type == "swift" and not where.path:
            with verify.connected(account, settings.state_dir, clock=clock) as connection:
                return _containers(connection)
    if where.folder is None or where.folder.is_dir():
        with _store(settings, where, clock) as store:
            if store.root() is not None:
                return store.list("").entries
    return _alone(settings, where, clock)


def room(settings: Settings, where: Location, *, clock: Clock) -> AccountQuota:
    """The free and used space. Raises NotFound, AuthError, ConfigError, StoreError, LocalError."""
    if where.account == LOCAL:
        return _here(Path(where.path))
    account = verify.known(settings.accounts, where.account, settings.origin)
    found = verify.standing(account, settings.state_dir, clock=clock)
    free = found.free
    if where.path:
        with verify.visited(account, where.path, settings.state_dir, clock=clock) as store:
            left = store.free_space()  # a container may have a quota of its own
        free = min((size for size in (free, left) if size is not None), default=None)
    total = None if free is None or found.used is None else free + found.used
    return AccountQuota(free=free, used=found.used, total=total)


def _here(folder: Path) -> AccountQuota:
    try:
        found = shutil.disk_usage(folder)
    except FileNotFoundError:
        raise NotFound(f"{folder} is not there") from None
    except OSError as error:
        raise LocalError(f"{folder}: {error.strerror}") from None
    return AccountQuota(free=found.free, used=found.used, total=found.total)


def _alone(settings: Settings, where: Location, clock: Clock) -> Entries:
    """A location that is not a folder may be a file: list it alone."""
    above, _, name = where.path.rpartition("/")
    lost = NotFound(f"there is nothing at {where}")
    if not name or (where.account != LOCAL and not above):
        raise lost
    folder = Location(account=where.account, path=above or "/")
    if folder.folder is not None and not folder.folder.is_dir():
        raise lost
    with _store(settings, folder, clock) as store:
        seen = store.stat(name) if store.root() is not None else None
    if seen is None or (isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY):
        raise lost
    return {name: seen}


@contextmanager
def _store(settings: Settings, where: Location, clock: Clock) -> Iterator[Store]:
    if where.account == LOCAL:
        with _folder(where.path, clock) as folder:
            yield folder
        return
    account = verify.known(settings.accounts, where.account, settings.origin)
    with verify.visited(account, where.path, settings.state_dir, clock=clock) as store:
        yield store


@contextmanager
def _folder(path: str, clock: Clock) -> Iterator[Store]:
    from syncer.stores.local.filesystem import FileSystem
    from syncer.stores.local.store import FolderStore
    from syncer.stores.local.trash import Trash

    real, fs = os.path.realpath(path), FileSystem()
    trash = Trash.inside(real, fs=fs, clock=clock, run="look")
    store = FolderStore(real, fs=fs, trash=trash, tag="00000000", clock=clock)
    try:
        yield store
    finally:
        store.close()


def _containers(connection: Connection) -> Entries:
    """All containers of a Swift account, page by page."""
    from urllib.parse import quote

    from syncer.stores.swift.client import Call

    found: dict[str, Entry] = {}
    marker = ""
    while True:
        query = f"format=json&limit=10000&marker={quote(marker, safe='')}"
        rows = connection.ask(Call(method="GET", path="", query=query, about="the account")).document()
        if not isinstance(rows, list):
            raise TransientError("Swift's answer is no list of containers")
        names = [row["name"] for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]
        found |= {name: Entry(kind=Kind.DIRECTORY, size=0, version=b"") for name in names}
        if not names or names[-1] <= marker:
            return found
        marker = names[-1]
