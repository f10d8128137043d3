"""The rigs of the built-in stores for the contract suite (`syncer.testing.contract`).

A new store joins the suite with one rig: a subclass of `Rig`, added to `RIGS`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from syncer.engine.interfaces import Store
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.rate_limit import LimitedStore
from syncer.stores.retry import RetryingStore
from syncer.testing.faulty_store import FaultyStore
from syncer.testing.memory_store import MemoryStore
from syncer.testing.rig import Rig, in_order
from tests.contract.doubles import HookedDisk, SteppingClock, once_before
from tests.simulation.manners import GENTLE, HARSH, Manner, OddDisk

__all__ = ["DECORATORS", "EVERY", "RIGS", "FolderRig", "Rig", "build", "in_order"]


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
