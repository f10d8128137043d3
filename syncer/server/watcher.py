"""Watch the served folder for changes that are not made through this server, and add them to the change feed.

Events come from `syncer.watch`. An event too many costs a client a scan of a directory; a missed change is
found by its next full scan. Where the system has no events, all directories are polled while a client waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from syncer.engine.model import RelPath
from syncer.engine.paths import join, parts
from syncer.engine.scope import Places
from syncer.errors import SyncerError
from syncer.server.change_feed import MOST, ChangeFeed
from syncer.server.folder import Key, ServedFolder, is_hidden
from syncer.stores.local.snapshots import without_snapshots
from syncer.watch.watcher import POLL, FolderWatch

if TYPE_CHECKING:
    from syncer.watch.backend import OpenEvents

_log = logging.getLogger("syncer.server")


class ChangeWatcher:
    """Adds changes on the disk to the feed of a served folder, from `start` on."""

    def __init__(
        self,
        served: ServedFolder,
        feed: ChangeFeed,
        *,
        open_events: OpenEvents | None = None,
        poll: float = POLL,
    ) -> None:
        """`open_events`: see `FolderWatch`; where it raises OSError, `poll` seconds lie between two looks."""
        self._served = served
        self._feed = feed
        self._folder = FolderWatch(
            str(served.folder),
            changed=self._add,
            on_problem=_warn,
            open_events=open_events,
            select=without_snapshots,
            poll=poll,
            wanted=lambda: feed.awaited,
        )

    def start(self) -> None:
        """Return once every change from now on is noticed. Does nothing when called again."""
        self._folder.start()

    def stop(self) -> None:
        """End the watch."""
        self._folder.stop()

    def _add(self, places: Places) -> None:
        if places.everywhere:
            self._feed.lost()
            return
        changed = set(places.directories)
        for tree in places.trees:
            changed |= set(self._below(tree))
        visible = [path for path in changed if not any(map(is_hidden, parts(path)))]
        if visible:
            self._feed.changed("", visible, noticed=True)

    def _below(self, tree: RelPath) -> Iterator[RelPath]:
        """Yield a directory that appeared and all below it: clients may know other ones under these names."""
        yield tree
        pending = [tree]
        count = 0
        try:
            with self._served.store(Key(name="")) as store:
                while pending and count <= MOST:
                    path = pending.pop()
                    try:
                        below = [join(path, name) for name in store.directories(path)]
                    except SyncerError:
                        continue  # gone meanwhile, which is an event of its own, or not readable
                    yield from below
                    pending += below
                    count += len(below)
        except SyncerError:
            count = MOST + 1  # the folder cannot be opened (any more)
        if count > MOST:
            self._feed.lost()


def _warn(message: str, remedy: str) -> None:
    _log.warning("%s; %s", message, remedy) if remedy else _log.warning("%s", message)
