"""Noticing changes that were made in the served folder directly, not through this server.

It passes on to the feed what `syncer.watch` notices, as directories, and concludes nothing: an event too many
costs a look, and what goes unnoticed is found by the next full one. Where the system gives no events, all
directories are looked at while somebody waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import join, parts
from syncer.engine.scope import Places
from syncer.errors import SyncerError
from syncer.server.feed import Feed
from syncer.server.served import Key, Served, ServedStore, is_hidden
from syncer.watch.folder import POLL, FolderWatch

if TYPE_CHECKING:
    from syncer.watch.observer import Observer

_log = logging.getLogger("syncer.server")


class Watch:
    """Tells the feed of a served folder what happens in it, from `start` on."""

    def __init__(
        self,
        served: Served,
        feed: Feed,
        *,
        observer: Callable[[], Observer] | None = None,
        poll: float = POLL,
    ) -> None:
        """`observer` is asked for events; where it raises OSError, `poll` seconds lie between two looks."""
        self._served = served
        self._feed = feed
        self._folder = FolderWatch(
            str(served.folder),
            changed=self._tell,
            said=_warn,
            observer=observer,
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
        try:
            with self._served.store(Key(name="")) as store:
                while ahead:
                    below = _subdirectories(store, ahead.pop())
                    yield from below
                    ahead += below
        except SyncerError:
            self._feed.lost()  # no way in, or no more


def _subdirectories(store: ServedStore, path: RelPath) -> list[RelPath]:
    try:
        found = store.list(path).entries
    except SyncerError:
        return []  # gone meanwhile, which is told, or not to be read
    return [
        join(path, name)
        for name, seen in found.items()
        if isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY
    ]


def _warn(message: str, remedy: str) -> None:
    _log.warning("%s; %s", message, remedy) if remedy else _log.warning("%s", message)
