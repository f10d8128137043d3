"""What all calls of one served folder share: the feed, the known lists, the kept sketches, the memory."""

from __future__ import annotations

from dataclasses import dataclass

from syncer.server.extension.known import Lists
from syncer.server.extension.sketches import Sketches
from syncer.server.feed import Feed
from syncer.server.shares import Budget, Listings


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Each of its parts is safe to share between threads."""

    feed: Feed
    lists: Lists
    sketches: Sketches
    budget: Budget
    listings: Listings
    searches: Budget  # places, not bytes
