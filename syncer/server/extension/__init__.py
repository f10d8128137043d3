"""Syncer's own extension, server side: the `Store` contract over HTTP, as `docs/extension.md` says.

    looking · contents · changing · putting · asking     the calls, each on a `ServedStore`
    endpoint · waiting                                   HTTP: who may, in which thread, which status
    call · packing · bridge · incoming                   bodies and answers, in and out
    sketches · known                                     what is kept to save bytes

It makes no call to the disk of its own. Authentication is done before: `request.state.key`.
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from syncer.server.extension import asking, changing, contents, looking, putting
from syncer.server.extension.call import Handler
from syncer.server.extension.endpoint import Endpoint, Unspoken
from syncer.server.extension.known import Lists
from syncer.server.extension.shared import Shared
from syncer.server.extension.sketches import Sketches
from syncer.server.extension.waiting import Waiting
from syncer.server.limits import Limits
from syncer.server.served import Served
from syncer.server.shares import Budget, Listings
from syncer.server.watching import Watch
from syncer.wire import versions

LOOKING: dict[str, Handler] = {
    "hello": asking.hello,
    "quota": asking.quota,
    "root": changing.root,
    "changed": looking.changed,
    "list": looking.list_,
    "tree": looking.tree,
    "look": looking.look,
    "digests": looking.digests,
    "read-small": looking.read_small,
    "fetch": contents.fetch,
    "delta": contents.delta_,
    "signature": contents.signature_,
    "partial": putting.partial,
}
CHANGING: dict[str, Handler] = {
    "create-root": changing.create_root,
    "mark": changing.mark,
    "put": putting.put,
    "delete": changing.delete,
    "make-directories": changing.make_directories,
    "remove-directories": changing.remove_directories,
    "rename": changing.rename,
    "amend": changing.amend,
    "sweep": asking.sweep,
}


_SEARCH_PATIENCE = 60.0  # seconds that a delta waits for others of its key


class Extension:
    """The extension of one served folder. Nothing is opened or started before the first call."""

    def __init__(
        self, served: Served, limits: Limits | None = None, listings: Listings | None = None
    ) -> None:
        limits = limits or Limits()
        listings = listings or Listings(Budget(limits.memory, limits.memory_per_key))
        feed = served.feed
        self.shared = Shared(
            feed=feed,
            lists=Lists(),
            sketches=Sketches(served),
            budget=listings.memory,
            listings=listings,
            searches=Budget(limits.searches, limits.searches_per_key, patience=_SEARCH_PATIENCE),
        )
        handlers = {**LOOKING, **CHANGING}
        self.calls = Endpoint(served, self.shared, handlers, changing=frozenset(CHANGING), limits=limits)
        self._watch = Watch(served, feed)
        self._waiting = Waiting(served, feed, self._watch, limits)

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


def routes(served: Served) -> list[BaseRoute]:
    """The routes of an extension that ends with the process."""
    return Extension(served).routes()
