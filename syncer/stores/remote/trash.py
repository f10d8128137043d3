"""The trash of a remote root: what a change takes from a name is moved to `.syncer/trash/<run>/` first.

    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162/docs/a.txt      taken by this run
    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162~2/docs/a.txt    the same path again

A run's folder is named by when it began (UTC), the pair's tag and a random word. These services have no
conditions, and some replace on rename: no two runs may ever choose one name, on whatever machine, however
often a clock shows the same second. The time is the service's own, so that a client whose clock is wrong
neither expires anything early nor keeps it too long.

A move is what such a service has instead of a conditional delete: it is atomic, so what it took can be
compared afterwards with what was seen, and moved back if it is something else.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, parts, printable, split
from syncer.errors import NotFound, PermanentError, PreconditionFailed, StoreError, TransientError
from syncer.stores.remote.root import RemoteRoot
from syncer.stores.stale import StaleError

log = logging.getLogger(__name__)

TRASH = f"{PRIVATE}/trash"
DAY_NS = 86_400 * 10**9
_RUN: Final = re.compile(r"(\d{8}-\d{6})-[0-9a-zA-Z-]+(?:~\d+)?")
_LATEST_NS: Final = 253_402_300_799 * 10**9  # the last second that four digits of a year can hold
ItemT = TypeVar("ItemT")


def run_name(now_ns: int, tag: str) -> str:
    """A new name for a run's folder. `now_ns`: by the service's clock, or the client's if it shows none."""
    began = datetime.fromtimestamp(min(max(now_ns, 0), _LATEST_NS) // 10**9, UTC)
    return f"{began:%Y%m%d-%H%M%S}-{tag}-{secrets.token_hex(8)}"


def age_ns(name: str, now_ns: int) -> int:
    """How long ago the run of a folder began, also of one with a `~2`; 0 for any other name."""
    match = _RUN.fullmatch(name)
    try:
        began = datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        began = None
    return now_ns - int(began.timestamp()) * 10**9 if began is not None else 0


class RemoteTrash(ABC, Generic[ItemT]):
    """The trash of one root, for one run. Safe to share between threads. Paths are relative to the root."""

    attempts = 1  # generations that are tried where the service refuses a name in the trash

    def __init__(self, root: RemoteRoot[ItemT], tag: str) -> None:
        """`tag`: a plain word that tells this pair's runs from those of others."""
        self._root = root
        self._tag = tag
        self._lock = threading.Lock()
        self._run = ""
        self._files: list[set[str]] = []  # paths that were given out, by generation; case folded
        self._directories: list[set[str]] = []
        self._made: set[RelPath] = set()  # directories of the trash that this run made

    # -- what a service implements -------------------------------------------------

    @abstractmethod
    def _move(self, item: ItemT, origin: RelPath, target: RelPath) -> ItemT | None:
        """Move an item onto a free name; what is there afterwards.

        Raises NotFound or StaleError if it is gone, StoreError.
        """

    @abstractmethod
    def _make_directories(self, path: RelPath) -> None:
        """Make a directory of ours and those above it, below a root that stands. Raises StoreError."""

    @abstractmethod
    def _service_now_ns(self) -> int:
        """The time by the service's clock, by the client's if the service shows none."""

    @abstractmethod
    def is_same(self, before: ItemT, after: ItemT) -> bool:
        """Whether a move took the item that was seen before it. Directories are told by their kind only."""

    # -- keeping -------------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Whether this run kept anything."""
        return bool(self._files)

    def move(self, item: ItemT, origin: RelPath, target: RelPath) -> ItemT:
        """Move an item onto a free name, and back if another one was moved. Raises StaleError, StoreError."""
        try:
            taken = self._move(item, origin, target)
        except NotFound:
            raise StaleError(f"{printable(origin)} is gone") from None
        if taken is None or not self.is_same(item, taken):
            self.put_back(target, item if taken is None else taken, origin)
            raise StaleError(f"{printable(origin)} changed meanwhile")
        return taken

    def keep(self, path: RelPath, seen: ItemT) -> RelPath:
        """Move what was seen at a path into the trash; its path there. Raises StaleError, StoreError.

        The name is free afterwards. If another client wrote there after the look, its item was moved: the
        comparison shows it, and it goes back to its name.
        """
        refused: StoreError | None = None
        for _ in range(self.attempts):
            target = f"{TRASH}/{self._free_folder(path, directory=self._root.is_directory(seen))}/{path}"
            directory = split(target)[0]
            try:
                if directory not in self._made:
                    self._make_directories(directory)
                    self._made.add(directory)
                taken = self._move(seen, path, target)
            except StaleError:
                self._made.discard(directory)
                raise StaleError(f"{printable(path)} is gone") from None
            except NotFound:
                # The item or the trash's directory: only in the first case the request is stale.
                self._made.discard(directory)
                if self._root.stat(path) is None:
                    raise StaleError(f"{printable(path)} is gone") from None
                continue
            except (PreconditionFailed, PermanentError) as error:
                refused = error  # a file where a directory is needed, or a name that is taken
                continue
            if taken is not None and self.is_same(seen, taken):
                return target
            self.put_back(target, seen if taken is None else taken, path)
            raise StaleError(f"{printable(path)} changed meanwhile")
        raise refused or TransientError(f"{printable(path)}: the trash cannot be reached", path=path)

    def put_back(self, kept: RelPath, item: ItemT, path: RelPath) -> bool:
        """Move an item back to the name it was just taken from; False, and a warning, where that fails.

        A name that somebody else took meanwhile stays theirs: nothing is replaced here.
        """
        try:
            if self._root.stat(path) is None:
                self._move(item, kept, path)
                return True
            log.warning("%s: another file is there by now; what was there is kept at %s", path, kept)
        except (StoreError, StaleError) as error:
            log.warning("%s: could not be put back (%s); it is kept at %s", path, error, kept)
        return False

    # -- names ---------------------------------------------------------------------

    def run_folder(self) -> str:
        """The name of this run's folder, chosen at its first use."""
        with self._lock:
            return self._named()

    def _named(self) -> str:
        if not self._run:
            self._run = run_name(self._service_now_ns(), self._tag)
        return self._run

    def _free_folder(self, path: RelPath, *, directory: bool) -> str:
        """The first generation of this run's folder in which the path is free.

        Free means: never given out there, and nothing above it was given out as a file, since a service that
        replaces on rename must find the name unused. Case is folded: the service may not tell it apart.
        """
        names = parts(path.casefold())
        key, above = "/".join(names), {"/".join(names[:n]) for n in range(1, len(names))}
        with self._lock:
            generation = 0
            while generation < len(self._files) and (
                key in self._files[generation] | self._directories[generation]
                or above & self._files[generation]
            ):
                generation += 1
            if generation == len(self._files):
                self._files.append(set())
                self._directories.append(set())
            (self._directories if directory else self._files)[generation].add(key)
            self._directories[generation] |= above
            run = self._named()
        return run if generation == 0 else f"{run}~{generation + 1}"
