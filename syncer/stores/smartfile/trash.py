"""Renames whose answer may get lost, and where old content is kept.

    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162/docs/a.txt      taken by a run, then (UTC)
    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162~2/docs/a.txt    the same path again

The API has no trash and no conditional rename. A rename there is atomic, so what it took is looked at
afterwards: see `changes`.
"""

from __future__ import annotations

import threading

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, split
from syncer.errors import NotFound, PermanentError, PreconditionFailed, TransientError
from syncer.stores.smartfile.api import Api
from syncer.stores.smartfile.info import Info
from syncer.stores.trash_runs import run_name

TRASH = f"{PRIVATE}/trash"
TRIES = 3
_GENERATIONS = 1000


def look(api: Api, path: str) -> Info | None:
    """What stands there; None if nothing does."""
    try:
        return api.info(path)
    except NotFound:
        return None


def move(api: Api, origin: str, path: str) -> None:
    """Renames; where the answer gets lost, a look tells whether it took effect before it is sent again.

    Raises what `Api.rename` raises; after a TransientError nobody knows.
    """
    for attempt in range(TRIES):
        try:
            return api.rename(origin, path)
        except TransientError:
            here, there = look(api, origin), look(api, path)
            if here is None and there is not None:
                return
            if here is None or there is not None or attempt + 1 == TRIES:
                raise


class Trash:
    """The trash of one root, for one run. Safe to share between threads."""

    def __init__(self, api: Api, root: str, tag: str) -> None:
        """`root` is the service's path of the root without a slash at its end ("" for the account's)."""
        self._api = api
        self._root = root
        self._tag = tag
        self._run = ""
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._made: set[str] = set()

    @property
    def used(self) -> bool:
        """Whether anything was kept."""
        return bool(self._used)

    def keep(self, path: RelPath) -> str:
        """Moves what stands at a path into the trash, and says where it is now (a path of the service).

        Raises NotFound where nothing stands there (any more).
        """
        failed: Exception | None = None
        for _ in range(TRIES):
            place = self._place(path)
            try:
                self._make(split(place)[0])
                move(self._api, join_root(self._root, path), place)
                return place
            except NotFound:
                if look(self._api, join_root(self._root, path)) is None:
                    raise
                self._forget(split(place)[0])
            except (PreconditionFailed, PermanentError) as error:
                failed = error  # a file where a directory is needed, or a taken name: another generation
        raise failed or TransientError(f"{path}: the trash cannot be reached", path=path)

    def _place(self, path: RelPath) -> str:
        """A path that was not given out before: a service that replaces on rename must find it free."""
        key = path.casefold()
        with self._lock:
            if not self._run:
                here = look(self._api, self._root or "/")
                asked_ns = here.asked_ns if here is not None else None
                now_ns = self._api.session.clock.now_ns() if asked_ns is None else asked_ns
                self._run = run_name(now_ns, self._tag)
            generation = self._used[key] = self._used.get(key, 0) + 1
        batch = self._run if generation == 1 else f"{self._run}~{generation}"
        return join_root(self._root, f"{TRASH}/{batch}/{path}")

    def _make(self, directory: str) -> None:
        if directory not in self._made:
            make_all(self._api, self._root, directory)
            self._made.add(directory)

    def _forget(self, directory: str) -> None:
        self._made.discard(directory)


def make_all(api: Api, root: str, directory: str) -> None:
    """Makes a directory of ours, and those above it up to a root that stands, whether or not `mkdir` does."""
    try:
        api.mkdir(directory)
    except (NotFound, PreconditionFailed):
        above = split(directory)[0]
        if len(above) <= len(root):
            raise
        make_all(api, root, above)
        api.mkdir(directory)


def join_root(root: str, path: RelPath) -> str:
    """The service's path for one of the root's."""
    return f"{root}/{path}" if path else root or "/"
