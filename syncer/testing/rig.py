"""`Rig`: a store under the contract suite, and how another program changes its files behind Syncer's back.

`SimpleRig` is the one for any `syncer.Store`: it does all of that through a second store at the same place.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncer.engine.interfaces import MkdirRequest, Store, WriteRequest
from syncer.engine.model import Entry, Kind, Outcome
from syncer.engine.paths import join, parts
from syncer.stores.context import StoreContext
from syncer.stores.simple import TRASH, SimpleStore, SimpleStoreAdapter
from syncer.testing.sources import BytesSource, SteppingClock


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

    def put(self, path: str, data: bytes, *, expected: Entry | None = None, **more: Any) -> Outcome:
        return self.put_all([self.item(path, data, expected=expected, **more)])[0]

    def item(self, path: str, data: bytes, *, expected: Entry | None = None, **more: Any) -> WriteRequest:
        """A request to write a file; `more` are other fields of the request."""
        source = more.pop("source", None) or BytesSource(data)
        return WriteRequest(
            path=path, kind=Kind.FILE, source=source, size=len(data), expected=expected, **more
        )

    def put_all(self, items: list[WriteRequest]) -> list[Outcome]:
        return in_order(self.store.put(items), len(items))

    def put_link(self, path: str, target: str, *, expected: Entry | None = None) -> Outcome:
        """Write one symlink; its outcome."""
        size = len(os.fsencode(target))
        item = WriteRequest(
            path=path, kind=Kind.SYMLINK, source=None, size=size, expected=expected, target=target
        )
        return self.put_all([item])[0]

    def make(self, path: str, replaces: Entry | None = None) -> Outcome:
        return in_order(self.store.make_directories([MkdirRequest(path=path, replaces=replaces)]), 1)[0]


def in_order(results: Iterable[tuple[int, Outcome]], count: int) -> list[Outcome]:
    """The outcomes by index, each exactly once."""
    pairs = list(results)
    assert sorted(index for index, _ in pairs) == list(range(count))
    return [outcome for _, outcome in sorted(pairs, key=lambda pair: pair[0])]


class SimpleRig(Rig):
    """The rig of a `SimpleStore`; `opened` makes one more store at the same place."""

    replaces_at_once = True

    def __init__(self, opened: Callable[[], SimpleStore], base: Path) -> None:
        self._opened = opened
        self._base = base
        self._during: Callable[[], None] | None = None
        self.other = opened()  # that of the other program
        self.any_bytes = self.other.capabilities.any_bytes
        self.executable = self.other.capabilities.executable
        self.longest = self.other.capabilities.max_name_bytes
        self.store = self.another()
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    def another(self) -> Store:
        """One more client, during whose reads the other program can act."""
        context = StoreContext(
            account="rig",
            identity=f"rig:{self._base}",
            clock=SteppingClock(),
            cache=self._base / "cache",
            tag="0123abcd",
        )
        store = self._opened()
        read = store.read

        def interrupted(path: str, expected: Entry) -> Iterator[bytes]:
            """The other program acts once, after the first piece."""
            act, self._during = self._during, None
            for piece in read(path, expected):
                yield piece
                if act is not None:
                    act()
                    act = None

        store.read = interrupted  # type: ignore[method-assign]
        return SimpleStoreAdapter(store, context)

    def write(self, path: str, data: bytes) -> None:
        """As the other program does, with all directories above."""
        directory = ""
        for part in parts(path)[:-1]:
            directory = join(directory, part)
            self.other.mkdir(directory)
        old = self.other.stat(path)
        self.other.write(path, iter([data]), expected=old, mtime_ns=None, executable=None)

    def link(self, path: str, target: str) -> None:
        pytest.skip("the store holds no symlinks")

    def mkdir(self, path: str) -> None:
        """As the other program does, with all directories above."""
        directory = ""
        for part in parts(path):
            directory = join(directory, part)
            self.other.mkdir(directory)

    def remove(self, path: str) -> None:
        """As the other program does, with everything below: `rm -r`."""
        entry = self.other.stat(path)
        assert entry is not None
        if entry.kind is not Kind.DIRECTORY:
            self.other.delete(path, entry)
            return
        for name in self.other.list(path):
            self.remove(join(path, name))
        self.other.rmdir(path)

    def read(self, path: str) -> bytes:
        """The content as the other program sees it. Raises FileNotFoundError."""
        entry = self.other.stat(path)
        if entry is None:
            raise FileNotFoundError(path)
        return b"".join(self.other.read(path, entry))

    def kept(self) -> list[bytes]:
        return list(self._files(TRASH)) if self.other.stat(TRASH) else []

    def _files(self, directory: str) -> Iterator[bytes]:
        for name, entry in self.other.list(directory).items():
            path = join(directory, name)
            if entry.kind is Kind.DIRECTORY:
                yield from self._files(path)
            else:
                yield self.read(path)

    def during_read(self, act: Callable[[], None]) -> None:
        self._during = act

    def drop_root(self) -> None:
        self.remove("")
