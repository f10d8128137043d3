"""Noticing changes that were made in the served folder directly, not through this server.

It passes on to the feed what `syncer.watch` notices, as directories, and concludes nothing: an event too many
costs a look, and what goes unnoticed is found by the next full one. Where the system gives no events, all
directories are looked at while somebody waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from syncer.engine.model import RelPath
from syncer.engine.paths import join, parts
from syncer.engine.scope import Places
from syncer.errors import SyncerError
from syncer.server.change_feed import MOST, Feed
from syncer.server.folder import Key, ServedFolder, ServedStore, is_hidden
from syncer.stores.local.snapshots import without_snapshots
from syncer.watch.watcher import POLL, FolderWatch

if TYPE_CHECKING:
    from syncer.watch.backend import OpenEvents

_log = logging.getLogger("syncer.server")


class Watch:
    """Tells the feed of a served folder what happens in it, from `start` on."""

    def __init__(
        self,
        served: ServedFolder,
        feed: Feed,
        *,
        open_events: OpenEvents | None = None,
        poll: float = POLL,
    ) -> None:
        """`open_events`: see `FolderWatch`; where it raises OSError, `poll` seconds lie between two looks."""
        self._served = served
        self._feed = feed
        self._folder = FolderWatch(
            str(served.folder),
            changed=self._tell,
            on_problem=_warn,
            open_events=open_events,
            select=without_snapshots,
            poll=poll,
            wanted=lambda: feed.awaited,
        )

    def start(self) -> None:
        """Returns once nothing that happens from now on goes unnoticed. Costs nothing a second time."""
        self._folder.start()

    def stop(self) -> None:
        """Nothing is told any more."""
        self._folder.stop()

    def _tell(self, places: Places) -> None:
        if places.everywhere:
            self._feed.lost()
            return
        found = set(places.directories)
        for tree in places.trees:
            found |= set(self._below(tree))
        shown = [path for path in found if not any(map(is_hidden, parts(path)))]
        if shown:
            self._feed.changed("", shown, noticed=True)

    def _below(self, tree: RelPath) -> Iterator[RelPath]:
        """A directory that came, with all below: what stood under its name before may be known to clients."""
        yield tree
        ahead = [tree]
        count = 0
        try:
            with self._served.store(Key(name="")) as store:
                while ahead and count <= MOST:
                    below = _subdirectories(store, ahead.pop())
                    yield from below
                    ahead += below
                    count += len(below)
        except SyncerError:
            count = MOST + 1  # no way in, or no more
        if count > MOST:
            self._feed.lost()


def _subdirectories(store: ServedStore, path: RelPath) -> list[RelPath]:
    try:
        return [join(path, name) for name in store.directories(path)]
    except SyncerError:
        return []  # gone meanwhile, which is told, or not to be read


def _warn(message: str, remedy: str) -> None:
    _log.warning("%s; %s", message, remedy) if remedy else _log.warning("%s", message)
