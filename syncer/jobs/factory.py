"""Make the two stores of a job from its settings: the class, its trash, and the wrappers around it.

Stores of services are made by `accounts.registry`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.accounts.registry import check_usable, store_of
from syncer.config import JobSettings, Settings
from syncer.engine.interfaces import Clock, Store
from syncer.engine.model import Side
from syncer.errors import ConfigError
from syncer.jobs.state_dir import CACHE, PairDirectory
from syncer.state import installation

if TYPE_CHECKING:
    from syncer.stores.local.filesystem import FileSystem
    from syncer.stores.local.store import FolderStore
    from syncer.stores.local.trash import Trash


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The two stores of a job, and those of them that are local folders (which have a trash)."""

    local: Store
    remote: Store
    folders: Mapping[Side, FolderStore]


@contextmanager
def stores(
    settings: Settings,
    job: JobSettings,
    place: PairDirectory,
    *,
    clock: Clock,
    run: str = "",
    kept: Store | None = None,
) -> Iterator[Stores]:
    """Open both stores of a job; they are closed at the end.

    `run` is the name of the run in the trash; without it the stores are for reading only. `kept` is the
    `service` of an earlier run, and stays open.
    """
    check_known(settings, job)
    roots = {Side.LOCAL: job.local, Side.REMOTE: job.remote.folder}
    with ExitStack() as stack:
        folders = {
            side: _folder(settings, place, side, root, clock=clock, run=run)
            for side, root in roots.items()
            if root
        }
        for folder in folders.values():
            stack.callback(folder.close)
        remote = folders.get(Side.REMOTE) or kept
        if remote is None:
            remote = service(settings, job, place, clock)
            stack.callback(remote.close)
        yield Stores(local=folders[Side.LOCAL], remote=_limited(remote, job, clock), folders=folders)


def first_look(found: Stores, where: str) -> Stores:
    """For the plan of a first run: a remote that does not exist yet is replaced by an empty store.

    Raises ConfigError if it could not be made.
    """
    if found.remote.root() is not None:
        return found
    folder = found.remote.identity.removeprefix("local:")
    if folder != found.remote.identity and not os.path.isdir(os.path.dirname(folder)):
        raise ConfigError(
            f"{where}: the remote folder cannot be made: its parent does not exist",
            hint="make the parent, or change `remote` to the right place",
        )
    from syncer.testing.memory_store import MemoryStore

    return replace(found, remote=MemoryStore())


def check_known(settings: Settings, job: JobSettings) -> None:
    """Raises ConfigError if no store exists for the job's account."""
    if job.remote.folder:
        return
    account = settings.accounts.get(job.remote.account)
    if account is None:
        raise ConfigError(
            f"{settings.origin}: unknown account {job.remote.account!r} in {job.remote}",
            hint=f"known: {', '.join(['local', *settings.accounts])}; add [accounts.{job.remote.account}]",
        )
    check_usable(account, settings.origin)


def _folder(
    settings: Settings, place: PairDirectory, side: Side, root: Path, *, clock: Clock, run: str
) -> FolderStore:
    from syncer.stores.local.filesystem import FileSystem
    from syncer.stores.local.store import FolderStore

    real, fs, tag = os.path.realpath(root), FileSystem(), _tag(settings, place)
    trash = _trash(place, side, real, fs=fs, clock=clock, run=run, owner=tag)
    if run:
        trash.log = {}
    return FolderStore(real, fs=fs, trash=trash, tag=tag, clock=clock)


@contextmanager
def looking_at(folder: str) -> Iterator[FolderStore]:
    """Open a local folder read-only, without a job."""
    from syncer.clock import SystemClock
    from syncer.stores.local.filesystem import FileSystem
    from syncer.stores.local.store import FolderStore
    from syncer.stores.local.trash import Trash

    fs, clock = FileSystem(), SystemClock()
    trash = Trash.inside(folder, fs=fs, clock=clock, run="look")
    store = FolderStore(folder, fs=fs, trash=trash, tag="00000000", clock=clock)
    try:
        yield store
    finally:
        store.close()


def _tag(settings: Settings, place: PairDirectory) -> str:
    """The tag in the names of temporary files of this pair; unique to machine and state directory."""
    return installation.tag(settings.state_dir, place.id)


def _trash(
    place: PairDirectory, side: Side, root: str, *, fs: FileSystem, clock: Clock, run: str, owner: str
) -> Trash:
    """Under the state directory where that is the same file system, else under `.syncer` at the root."""
    from syncer.state.directory import prepare
    from syncer.stores.local.trash import Trash

    directory = place.keeping(side)
    if not _same_file_system(directory, Path(root)):
        return Trash.inside(root, fs=fs, clock=clock, run=run or "look", owner=owner)
    if run:
        prepare(directory)
    return Trash.at(str(directory), fs=fs, clock=clock, run=run or "look")


def _same_file_system(directory: Path, root: Path) -> bool:
    """Compare the nearest parents that exist, since a root may be created only later."""
    try:
        return _nearest(directory).stat().st_dev == _nearest(root).stat().st_dev
    except OSError:
        return False


def _nearest(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def service(settings: Settings, job: JobSettings, place: PairDirectory, clock: Clock) -> Store:
    """The store of a remote that is a service; the caller closes it. Nothing is sent yet.

    Raises AuthError, ConfigError, StateError.
    """
    return store_of(
        settings.accounts[job.remote.account],
        job.remote.path,
        state_dir=settings.state_dir,
        clock=clock,
        cache=place.directory / CACHE,
        tag=_tag(settings, place),
        trash_days=job.trash_days,
    )


def _limited(remote: Store, job: JobSettings, clock: Clock) -> Store:
    """The remote with the rate limits of the job: writes are uploads, reads are downloads."""
    if job.upload_limit is None and job.download_limit is None:
        return remote
    from syncer.stores.rate_limit import LimitedStore

    return LimitedStore(remote, clock=clock, write_limit=job.upload_limit, read_limit=job.download_limit)
