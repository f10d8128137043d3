"""Whether new objects are there as they were written: by pages of the listing where they are many.

A listing that shows the ETag that was sent tells when it was stored, for thousands of objects in one request.
What it does not show so is asked for itself. RACE: a late listing may show ours where somebody overwrote it
since; then the next run sees theirs as a change, which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from syncer.stores.swift.learning import Crew
from syncer.stores.swift.listing import behind
from syncer.stores.swift.objects import Head, Objects

FEW = 16  # objects that are asked for one by one
_WORTH = 8  # objects that a page must show, or the rest is asked for one by one


def confirmed(objects: Objects, crew: Crew, sent: Mapping[str, str]) -> dict[str, Head | None]:
    """What is there now of the names that were sent with these ETags; None where nothing is.

    A head from the listing has no metadata. Raises AuthError, StoreError.
    """
    found: dict[str, Head | None] = dict(_listed(objects, sent)) if len(sent) >= FEW else {}
    left = [name for name in sent if name not in found]
    found.update(zip(left, crew.each(lambda name: objects.head(name, newest=True), left), strict=True))
    return found


def _listed(objects: Objects, sent: Mapping[str, str]) -> Iterator[tuple[str, Head]]:
    left = sorted(sent, key=str.encode)
    while left:
        rows = objects.rows(prefix=objects.place.prefix, marker=left[0][:-1], end=behind(left[-1]))
        if not rows:
            return
        hits = [row for row in rows if not row.is_prefix and sent.get(row.name) == row.stamp.etag]
        for row in hits:
            if row.stamp.step == 1:
                yield row.name, Head(stamp=row.stamp, size=row.size, content_type=row.content_type)
        last = rows[-1].name.encode()
        before, left = len(left), [name for name in left if name.encode() > last]
        if len(hits) < _WORTH or len(left) == before:
            return
