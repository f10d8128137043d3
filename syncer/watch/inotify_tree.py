"""All directories of a folder under watch (Linux), kept so while they come, go and are renamed.

It says in which directories something happened. Two rules keep it from missing any. What is new is
watched before it is listed, and told as a whole: whatever happened in it before is found by who looks.
And a directory that left its name is forgotten with all that is below, and taken up anew where it turns
up, so no event is ever told under a name that has passed on. What cannot be watched (not ours to read, a
path longer than the system takes) is left to the next full look.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, join
from syncer.engine.scope import NOWHERE, Places
from syncer.watch import inotify
from syncer.watch.dispatcher import Subscription
from syncer.watch.inotify import InotifyEvent
from syncer.watch.problems import Break

_TOO_MANY = (errno.ENOSPC, errno.ENOMEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one reading brought."""

    places: Places = NOWHERE
    breaks: tuple[Break, ...] = ()
    number: int = 0  # errno, of what was refused


class _Node:
    """A watched directory, by its number and its name in another one."""

    __slots__ = ("below", "name", "parent", "watch")

    def __init__(self, watch: int, parent: _Node | None, name: str) -> None:
        self.watch = watch
        self.parent = parent
        self.name = name
        self.below: dict[str, _Node] = {}

    @property
    def path(self) -> RelPath:
        """Relative to the root."""
        names: list[str] = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/".join(reversed(names))


class WatchTree:
    """The directories below `root`. For one thread at a time."""

    def __init__(self, root: str, watches: Subscription) -> None:
        """Watches everything. Raises OSError: too few watches, no folder. `watches` is for it alone."""
        self._base = root
        self._watches = watches
        self._directories: set[RelPath] = set()
        self._trees: set[RelPath] = set()
        self._plant()

    def _plant(self) -> None:
        self._root = _Node(self._watches.add(os.path.join(self._base, "."), itself=True), None, "")
        self._watched = {self._root.watch: self._root}
        for name in _subdirectories(self._base, at_root=True):
            self._grow(self._root, name)

    def read(self) -> Found:
        """What happened since the last call. Where something of it was lost everything is watched anew."""
        self._directories, self._trees = set(), set()
        breaks: dict[Break, int] = {}
        try:
            self._take_in(breaks)
        except OSError as error:
            breaks[Break.UPROOTED if error.errno == errno.ENOENT else Break.REFUSED] = error.errno or 0
        places = Places(directories=frozenset(self._directories), trees=frozenset(self._trees))
        return Found(
            places=places,
            breaks=tuple(breaks),
            number=breaks.get(Break.REFUSED, 0),
        )

    def _take_in(self, breaks: dict[Break, int]) -> None:
        taken = self._watches.take()
        if taken.lost:
            breaks[Break.OVERFLOW] = 0
            self._plant()
        for event in taken.events:
            if self._is_root_gone(event):
                breaks[Break.UPROOTED] = 0

    def _is_root_gone(self, event: InotifyEvent) -> bool:
        """What one event brings; whether it is the end."""
        node = self._watched.get(event.watch)
        if node is None:
            return False  # of a directory that left its name: where it is now, it was taken up anew
        if event.mask & inotify.MOVE_SELF and node.parent is not None:
            return False  # it is another folder's root as well; here the two directories have told it
        if event.mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.IGNORED):
            return self._ended(node, unmounted=bool(event.mask & inotify.UNMOUNT))
        if not event.name:
            self._directories.add(node.path)
        elif not is_private(event.name, at_root=node is self._root):
            path = node.path
            self._directories.add(path)
            if event.mask & inotify.IS_DIRECTORY:
                self._directory(node, event, join(path, event.name))
        return False

    def _directory(self, parent: _Node, event: InotifyEvent, path: RelPath) -> None:
        if event.mask & (inotify.DELETE | inotify.MOVED_FROM):
            self._directories.add(path)
            if (node := parent.below.get(event.name)) is not None:
                self._drop(node)
        elif event.mask & (inotify.CREATE | inotify.MOVED_TO) or event.name not in parent.below:
            self._trees.add(path)
            self._grow(parent, event.name)

    def _ended(self, node: _Node, *, unmounted: bool) -> bool:
        if node.parent is None:
            return True
        self._drop(node)
        if unmounted:  # what it was mounted over shows again
            self._trees.add(join(node.parent.path, node.name))
            self._grow(node.parent, node.name)
        return False

    def _grow(self, parent: _Node, name: str) -> None:
        """Take up the directory of this name and all that is below: watched first, then listed."""
        ahead = [(parent, name, os.path.join(self._base, join(parent.path, name)))]
        while ahead:
            parent, name, path = ahead.pop()
            node = self._added(parent, name, path)
            if node is not None:
                ahead += ((node, sub, f"{path}/{sub}") for sub in _subdirectories(path))

    def _added(self, parent: _Node, name: str, path: str) -> _Node | None:
        """None if it cannot be watched, or is already, under this name."""
        before = parent.below.get(name)
        try:
            watch = self._watches.add(path)
        except OSError as error:
            if error.errno in _TOO_MANY:
                raise
            return None
        if before is not None:
            if self._watched.get(watch) is before:
                return None
            self._drop(before)
        # It may be known under the name it had before, if that news is still to come: it is here now.
        node = _Node(watch, parent, name)
        self._watched[watch] = parent.below[name] = node
        return node

    def _drop(self, node: _Node) -> None:
        """Forget a directory and all below; a watch that was taken up under another name meanwhile stays."""
        if node.parent is not None and node.parent.below.get(node.name) is node:
            del node.parent.below[node.name]
        ahead = [node]
        while ahead:
            gone = ahead.pop()
            ahead += gone.below.values()
            if self._watched.get(gone.watch) is gone:
                del self._watched[gone.watch]
                self._watches.remove(gone.watch)


def _subdirectories(path: str, *, at_root: bool = False) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not is_private(entry.name, at_root=at_root)
            ]
    except OSError:
        return []  # gone, which will be told, or not to be read
