"""inotify trees that are read only when the test says so, so that each race is one order of calls."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from syncer.engine.scope import NOWHERE, Places
from syncer.watch.dispatcher import Dispatcher
from syncer.watch.inotify import Instance
from syncer.watch.inotify_tree import Found, Select, WatchTree, every_one


class Queue(Dispatcher):
    """A dispatcher without a thread."""

    def _open(self, instance: Instance) -> None:
        self._instance = instance

    def read(self) -> int:
        """One reading; how many events it brought."""
        if self._instance is None:
            return 0
        events = self._instance.read(0)
        self._instance = self._route(self._instance, events)
        return len(events)

    def close(self) -> None:
        if self._instance is not None:
            self._instance.close()


class Grown(WatchTree):
    """A tree on a queue that is read at no other moment than with its trees."""

    def __init__(self, root: Path, queue: Queue, select: Select = every_one) -> None:
        self.queue = queue
        self.subscription = queue.subscribe(lambda: None)
        try:
            super().__init__(str(root), self.subscription, select)
        except BaseException:
            self.subscription.close()
            raise

    def read(self) -> Found:
        self.queue.read()
        return super().read()

    def close(self) -> None:
        self.subscription.close()


def read(tree: Grown) -> Places:
    """All there is to read."""
    found, quiet = NOWHERE, 0
    while quiet < 2:
        came = tree.read()
        assert not came.breaks
        found |= came.places
        quiet = 0 if came.places else quiet + 1
    return found


def places(*directories: str, trees: Iterable[str] = ()) -> Places:
    return Places(directories=frozenset(directories), trees=frozenset(trees))
