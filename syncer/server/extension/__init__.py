"""Syncer's own extension, server side: the `Store` contract over HTTP, as `docs/extension.md` says.

    looking · contents · changing · putting · asking     the calls, each on a `ServedStore`
    endpoint · waiting                                   HTTP: who may, in which thread, which status
    call · packing · bridge · incoming                   bodies and answers, in and out
    sketches · known                                     what is kept to save bytes

It makes no call to the disk of its own. Authentication is done before: `request.state.key`.
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from syncer.server.extension import changes, downloads, info, queries, uploads
from syncer.server.extension.context import Lists, Shared
from syncer.server.extension.endpoint import Endpoint, Unspoken
from syncer.server.extension.index_builder import BackgroundIndexer
from syncer.server.extension.long_poll import LongPoll
from syncer.server.extension.request import Handler
from syncer.server.fair_shares import Budget, Listings
from syncer.server.folder import ServedFolder
from syncer.server.timeouts import Timeouts
from syncer.server.watcher import Watch
from syncer.wire import versions

LOOKING: dict[str, Handler] = {
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


_SEARCH_PATIENCE = 60.0  # seconds that a delta waits for others of its key


class Extension:
    """The extension of one served folder. Nothing is opened or started before the first call."""

    def __init__(
        self, served: ServedFolder, limits: Timeouts | None = None, listings: Listings | None = None
    ) -> None:
        limits = limits or Timeouts()
        listings = listings or Listings(Budget(limits.memory, limits.memory_per_key))
        feed = served.feed
        self.shared = Shared(
            feed=feed,
            lists=Lists(),
            sketches=BackgroundIndexer(served),
            budget=listings.memory,
            listings=listings,
            searches=Budget(limits.searches, limits.searches_per_key, patience=_SEARCH_PATIENCE),
        )
        handlers = {**LOOKING, **CHANGING}
        self.calls = Endpoint(served, self.shared, handlers, changing=frozenset(CHANGING), limits=limits)
        self._watch = Watch(served, feed)
        self._waiting = LongPoll(served, feed, self._watch, limits)

    def routes(self) -> list[BaseRoute]:
        """All calls, below the base of each version that is spoken."""
        found: list[BaseRoute] = []
        for base in map(versions.base, versions.SPOKEN):
            found += [
                Route(f"/{base}feed", self._waiting, methods=["POST"]),
                Route(f"/{base}{{call}}", self.calls, methods=["POST"]),
            ]
        return [*found, Route(f"/{versions.ROOT}{{version}}/{{call}}", Unspoken(), methods=["POST"])]

    def close(self) -> None:
        """Ends what goes on beside calls, and waits for it. No call may be in flight or come afterwards."""
        self._watch.stop()
        self.shared.sketches.close()
        self.calls.close()


def routes(served: ServedFolder) -> list[BaseRoute]:
    """The routes of an extension that ends with the process."""
    return Extension(served).routes()
