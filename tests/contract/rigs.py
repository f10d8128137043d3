"""What the contract suite needs to know of a store: how a user works on it behind Syncer's back.

A new store joins the suite with one rig: a subclass of `Rig`, added to `RIGS`.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from syncer.engine.interfaces import MkdirRequest, Store, WriteRequest
from syncer.engine.model import Entry, Kind, Outcome
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.rate_limit import LimitedStore
from syncer.stores.retry import RetryingStore
from syncer.testing.faulty_store import FaultyStore
from syncer.testing.memory_store import MemoryStore
from tests.contract.doubles import BytesSource, HookedDisk, SteppingClock, once_before
from tests.simulation.manners import GENTLE, HARSH, Manner, OddDisk


class Rig(ABC):
    """One store under test, with an empty root that stands and is marked."""

    store: Store
    any_bytes = True
    executable = True
    longest = 255  # bytes of a name
    keeps = True  # what a put or a delete takes away can be found again
    exclusive = True  # of two puts that expect a free name one fails
    replaces_at_once = True  # a name that is overwritten is there at every moment
    many = 400  # names in a directory that is listed by several clients at once

    @abstractmethod
    def another(self) -> Store:
        """A store of its own at the same place, as another process or machine has one."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None: ...

    @abstractmethod
    def link(self, path: str, target: str) -> None: ...

    @abstractmethod
    def mkdir(self, path: str) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None: ...

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of a file; an OSError or KeyError where there is none."""

    @abstractmethod
    def kept(self) -> list[bytes]:
        """All content in the trash."""

    @abstractmethod
    def during_read(self, act: Callable[[], None]) -> None:
        """Has a user act while the next file is read, before its end."""

    @abstractmethod
    def drop_root(self) -> None: ...

    def bit(self, executable: bool) -> bool | None:
        """The executable bit as the store shows it."""
        return executable if self.executable else None

    # -- short words for what most tests do --------------------------------------

    def entry(self, path: str) -> Entry:
        found = self.store.stat(path)
        assert isinstance(found, Entry), found
        return found

    def put(self, path: str, data: bytes, *, expected: Entry | None = None, **more: object) -> Outcome:
        return self.put_all([self.item(path, data, expected=expected, **more)])[0]

    def item(self, path: str, data: bytes, *, expected: Entry | None = None, **more: object) -> WriteRequest:
        source = more.pop("source", None) or BytesSource(data)
        return WriteRequest(
            path=path, kind=Kind.FILE, source=source, size=len(data), expected=expected, **more
        )

    def put_all(self, items: list[WriteRequest]) -> list[Outcome]:
        return in_order(self.store.put(items), len(items))

    def put_link(self, path: str, target: str, *, expected: Entry | None = None) -> Outcome:
        size = len(os.fsencode(target))
        item = WriteRequest(
            path=path, kind=Kind.SYMLINK, source=None, size=size, expected=expected, target=target
        )
        return self.put_all([item])[0]

    def make(self, path: str, replaces: Entry | None = None) -> Outcome:
        return in_order(self.store.make_directories([MkdirRequest(path=path, replaces=replaces)]), 1)[0]


def in_order(results: object, count: int) -> list[Outcome]:
    """The outcomes by index, each exactly once."""
    pairs = list(results)
    assert sorted(index for index, _ in pairs) == list(range(count))
    return [outcome for _, outcome in sorted(pairs, key=lambda pair: pair[0])]


class FolderRig(Rig):
    def __init__(self, base: Path, real: FileSystem | None = None) -> None:
        self.root = base / "root"
        self.disk = HookedDisk(real=real or FileSystem())
        self.clock = SteppingClock()
        self.store = self.another()
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    def another(self) -> Store:
        return FolderStore(str(self.root), fs=self.disk, clock=self.clock, tag="0123abcd")

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def link(self, path: str, target: str) -> None:
        (self.root / path).symlink_to(target)

    def mkdir(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def remove(self, path: str) -> None:
        full = self.root / path
        if full.is_dir() and not full.is_symlink():
            shutil.rmtree(full)
        else:
            full.unlink()

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def kept(self) -> list[bytes]:
        everything = (self.root / ".syncer" / "trash").rglob("*")
        return [
            os.fsencode(os.readlink(p)) if p.is_symlink() else p.read_bytes() for p in everything if _held(p)
        ]

    def during_read(self, act: Callable[[], None]) -> None:
        self.disk.before = once_before("read", act)

    def drop_root(self) -> None:
        shutil.rmtree(self.root)


def _held(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


class MemoryRig(Rig):
    def __init__(self, base: Path) -> None:
        self.memory = MemoryStore()
        self.store = self.memory
        self.memory.write_root_id("ab" * 16)

    def another(self) -> Store:
        return self.memory  # it stands nowhere but in this object

    def write(self, path: str, data: bytes) -> None:
        self.memory.write(path, data)

    def link(self, path: str, target: str) -> None:
        self.memory.link(path, target)

    def mkdir(self, path: str) -> None:
        self.memory.make_directory(path)

    def remove(self, path: str) -> None:
        self.memory.remove(path)

    def read(self, path: str) -> bytes:
        return self.memory.content(path)

    def kept(self) -> list[bytes]:
        return [data for _, data in self.memory.kept]

    def during_read(self, act: Callable[[], None]) -> None:
        left = [act]
        self.memory.on_read = lambda path: left.pop()() if left else None

    def drop_root(self) -> None:
        self.memory.exists = False


def _retrying(store: Store) -> Store:
    return RetryingStore(store, sleep=SteppingClock().sleep)


def _limited(store: Store) -> Store:
    return LimitedStore(store, clock=SteppingClock(), write_limit=1000.0, read_limit=1000.0)


def _peer(base: Path) -> Rig:
    from tests.contract.peer_rig import PeerRig

    return PeerRig(base)


def _smartfile(base: Path) -> Rig:
    from tests.contract.smartfile_rig import SmartFileRig

    return SmartFileRig(base)


def _odd(manner: Manner) -> Callable[[Path], Rig]:
    def made(base: Path) -> Rig:
        rig = FolderRig(base, OddDisk(manner))
        rig.executable = manner.mode is None
        rig.any_bytes = not manner.utf8
        rig.longest = manner.longest
        return rig

    return made


RIGS: dict[str, Callable[[Path], Rig]] = {
    "folder": FolderRig,
    "memory": MemoryRig,
    "peer": _peer,
    "smartfile": _smartfile,
}
_FINE = {"tick_ns": 0, "symlink": 0, "largest": 0, "drops_dots": False}  # what the suite cannot do without
ODD = {
    **{f"folder on {name}": _odd(GENTLE[name]) for name in ("sshfs", "mergerfs", "rclone", "no x")},
    **{f"folder on {name}": _odd(HARSH[name]) for name in ("encfs", "apfs", "casefold")},
    **{
        f"folder on {name} with fine stamps": _odd(replace(HARSH[name], **_FINE))
        for name in ("exfat", "vfat")
    },
}
DECORATORS: dict[str, Callable[[Store], Store]] = {
    "": lambda store: store,
    "+retry": _retrying,
    "+limits": _limited,
    "+faults": FaultyStore,
}
EVERY = [*(rig + decorator for rig in RIGS for decorator in DECORATORS), *ODD]


def build(name: str, base: Path) -> Rig:
    """The rig of that name, its store wrapped as the name says."""
    kind, _, decorator = name.partition("+")
    rig = {**RIGS, **ODD}[kind](base)
    rig.store = DECORATORS["+" + decorator if decorator else ""](rig.store)
    return rig
