"""Server side of Syncer's own protocol: the `Store` contract over HTTP (`docs/extension.md`).

    queries · downloads · changes · uploads · info     the calls, each on a `ServedStore`
    endpoint · long_poll                               HTTP: permissions, threads, statuses
    request · streams                                  bodies and responses
    index_builder · context                            caches that save bytes on the wire

No call to the disk is made here. Authentication comes before: `request.state.key`.
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from syncer.server.extension import changes, downloads, info, queries, uploads
from syncer.server.extension.context import DirectoryListCache, SharedState
from syncer.server.extension.endpoint import Endpoint, UnknownVersion
from syncer.server.extension.index_builder import BackgroundIndexer
from syncer.server.extension.long_poll import LongPoll
from syncer.server.extension.request import Handler
from syncer.server.fair_shares import Budget, ListingBudget
from syncer.server.folder import ServedFolder
from syncer.server.timeouts import Timeouts
from syncer.server.watcher import ChangeWatcher
from syncer.wire import versions

READING: dict[str, Handler] = {
    "hello": info.hello,
    "quota": info.quota,
    "root": changes.root,
    "changed": queries.changed,
    "list": queries.list_,
    "tree": queries.tree,
    "look": queries.look,
    "digests": queries.digests,
    "read-small": queries.read_small,
    "fetch": downloads.fetch,
    "delta": downloads.delta_,
    "signature": downloads.signature_,
    "partial": uploads.partial,
}
CHANGING: dict[str, Handler] = {
    "create-root": changes.create_root,
    "mark": changes.mark,
    "put": uploads.put,
    "delete": changes.delete,
    "make-directories": changes.make_directories,
    "remove-directories": changes.remove_directories,
    "rename": changes.rename,
    "amend": changes.amend,
    "sweep": info.sweep,
}


_SEARCH_SECONDS = 60.0  # seconds that a search for a delta waits for others of its key


class Extension:
    """The protocol of one served folder. Nothing is opened or started before the first call."""

    def __init__(
        self, served: ServedFolder, limits: Timeouts | None = None, listings: ListingBudget | None = None
    ) -> None:
        limits = limits or Timeouts()
        listings = listings or ListingBudget(Budget(limits.memory, limits.memory_per_key))
        feed = served.feed
        self.shared = SharedState(
            feed=feed,
            lists=DirectoryListCache(),
            indexer=BackgroundIndexer(served),
            budget=listings.memory,
            listings=listings,
            searches=Budget(limits.searches, limits.searches_per_key, timeout=_SEARCH_SECONDS),
        )
        handlers = {**READING, **CHANGING}
        self.calls = Endpoint(served, self.shared, handlers, changing=frozenset(CHANGING), limits=limits)
        self._watch = ChangeWatcher(served, feed)
        self._long_poll = LongPoll(served, feed, self._watch, limits)

    def routes(self) -> list[BaseRoute]:
        """All calls, below the prefix of each version that is supported."""
        routes: list[BaseRoute] = []
        for base in map(versions.base, versions.SPOKEN):
            routes += [
                Route(f"/{base}feed", self._long_poll, methods=["POST"]),
                Route(f"/{base}{{call}}", self.calls, methods=["POST"]),
            ]
        return [*routes, Route(f"/{versions.ROOT}{{version}}/{{call}}", UnknownVersion(), methods=["POST"])]

    def close(self) -> None:
        """End background work, and wait for it. No call may be in flight or come afterwards."""
        self._watch.stop()
        self.shared.indexer.close()
        self.calls.close()


def routes(served: ServedFolder) -> list[BaseRoute]:
    """The routes of an `Extension` that ends with the process."""
    return Extension(served).routes()
