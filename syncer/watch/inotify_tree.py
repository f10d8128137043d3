"""Recursive inotify: watches every directory below a root, and keeps up while they come, go and are renamed.

Reports in which directories something happened. Two rules make sure that no change is missed:

- A new directory is watched first and listed afterwards, and reported as a tree: what happened in it before
  the watch existed is found by the scan of the tree.
- A directory that leaves its name is dropped with everything below, and added again where it turns up, so
  that no event is reported under a path that is no longer right.

Directories that cannot be watched (no permission, a path longer than PATH_MAX) are left to the next full
scan.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, join
from syncer.engine.scope import NOWHERE, Places
from syncer.watch import inotify
from syncer.watch.dispatcher import Subscription
from syncer.watch.inotify import InotifyEvent
from syncer.watch.problems import Break

Select = Callable[[str, list[str]], list[str]]
"""Of a directory (absolute path) and names of subdirectories in it: the names to watch."""

_TOO_MANY = (errno.ENOSPC, errno.ENOMEM)


def every_one(directory: str, names: list[str]) -> list[str]:
    """The `Select` that excludes nothing."""
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Result of one `WatchTree.read`."""

    places: Places = NOWHERE
    breaks: tuple[Break, ...] = ()
    number: int = 0  # errno of Break.REFUSED


class _Node:
    """A watched directory: its inotify watch, and its name in another node."""

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
    """The watched directories below `root`. For one thread at a time."""

    def __init__(self, root: str, watches: Subscription, select: Select = every_one) -> None:
        """Watches everything that `select` leaves. `watches` is a subscription for this tree alone.

        Raises OSError: too few watches, no folder.
        """
        self._base = root
        self._watches = watches
        self._select = select
        self._directories: set[RelPath] = set()
        self._trees: set[RelPath] = set()
        self._watch_all()

    def read(self) -> Found:
        """What happened since the last call. After lost events everything is watched anew."""
        self._directories, self._trees = set(), set()
        breaks: dict[Break, int] = {}
        try:
            taken = self._watches.take()
            if taken.lost:
                # The watches are gone with the old instance. OVERFLOW has everything scanned afterwards.
                breaks[Break.OVERFLOW] = 0
                self._watch_all()
            # In the order of the kernel: `_drop` and `_add_tree` follow the renames one by one, so that each
            # event is reported under the path that its directory had when it happened, or a later one.
            for event in taken.events:
                if self._is_root_gone(event):
                    breaks[Break.UPROOTED] = 0
        except OSError as error:
            breaks[Break.UPROOTED if error.errno == errno.ENOENT else Break.REFUSED] = error.errno or 0
        return Found(
            places=Places(directories=frozenset(self._directories), trees=frozenset(self._trees)),
            breaks=tuple(breaks),
            number=breaks.get(Break.REFUSED, 0),
        )

    def _watch_all(self) -> None:
        # "/." so that a root which is itself a symlink is followed (the watch of a directory never is).
        self._root = _Node(self._watches.add(os.path.join(self._base, "."), itself=True), None, "")
        self._watched = {self._root.watch: self._root}
        for name in self._subdirectories(self._base, at_root=True):
            self._add_tree(self._root, name)

    def _is_root_gone(self, event: InotifyEvent) -> bool:
        """Record one event; returns whether it ends the watch."""
        node = self._watched.get(event.watch)
        if node is None:
            return False  # its directory left its name; where it is now, it was added and reported
        if event.mask & inotify.MOVE_SELF and node.parent is not None:
            # Asked for by another folder whose root this directory is. Here, MOVED_FROM and MOVED_TO of the
            # directories around it have said everything.
            return False
        if event.mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.IGNORED):
            if node.parent is None:
                return True
            self._drop(node)
            if event.mask & inotify.UNMOUNT:  # the directory below the mount point shows again
                self._trees.add(join(node.parent.path, node.name))
                self._add_tree(node.parent, node.name)
            return False
        if not event.name:
            self._directories.add(node.path)
        elif not is_private(event.name, at_root=node is self._root):
            self._directories.add(node.path)
            if event.mask & inotify.IS_DIRECTORY:
                self._directory_changed(node, event)
        return False

    def _directory_changed(self, parent: _Node, event: InotifyEvent) -> None:
        path = join(parent.path, event.name)
        if event.mask & (inotify.DELETE | inotify.MOVED_FROM):
            # Reported itself, too: a scan of the parent alone need not open what it knew below the old name.
            self._directories.add(path)
            if (node := parent.below.get(event.name)) is not None:
                self._drop(node)
        elif event.mask & (inotify.CREATE | inotify.MOVED_TO) or event.name not in parent.below:
            # Not in `below`: an ATTRIB of a directory that could not be watched before, and perhaps can be
            # now.
            self._trees.add(path)
            directory = os.path.join(self._base, parent.path)
            if self._select(directory, [event.name]):
                self._add_tree(parent, event.name)

    def _add_tree(self, parent: _Node, name: str) -> None:
        """Watch the directory of this name and all below. Each is watched before it is listed.

        Raises OSError: too few watches.
        """
        pending = [(parent, name, os.path.join(self._base, join(parent.path, name)))]
        while pending:
            parent, name, path = pending.pop()
            node = self._add(parent, name, path)
            if node is not None:  # None also ends the descent into a tree that is watched already
                pending += ((node, sub, f"{path}/{sub}") for sub in self._subdirectories(path))

    def _add(self, parent: _Node, name: str, path: str) -> _Node | None:
        """None if the directory cannot be watched, or is already, under this name. Raises OSError."""
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
        # The kernel may know this watch under the name that the directory had before, if that event is still
        # in the queue. The newer name wins: `_drop` of the old node leaves the watch alone.
        node = _Node(watch, parent, name)
        self._watched[watch] = parent.below[name] = node
        return node

    def _drop(self, node: _Node) -> None:
        """Forget a directory and all below; watches that were added under another name meanwhile stay."""
        if node.parent is not None and node.parent.below.get(node.name) is node:
            del node.parent.below[node.name]
        pending = [node]
        while pending:
            gone = pending.pop()
            pending += gone.below.values()
            if self._watched.get(gone.watch) is gone:
                del self._watched[gone.watch]
                self._watches.remove(gone.watch)

    def _subdirectories(self, path: str, *, at_root: bool = False) -> list[str]:
        try:
            with os.scandir(path) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and not is_private(entry.name, at_root=at_root)
                ]
        except OSError:
            return []  # gone, which an event will report, or not readable
        return self._select(path, names) if names else names
