"""Garbage in a bucket: helpers, companions and unfinished uploads that nothing needs any more. Pure.

    helper       copied by value into the object it was made for: needed only while its upload goes on
    companion    needed while a version of its object has the ETag in its name
    upload       needed while the process that sends its parts lives, or another goes on with it

So all are garbage only after a grace time by the service's own clock; a companion besides only if the
listing of objects (of all versions, in a versioned bucket) was read to its end and has no such ETag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from syncer.stores.s3.multipart import UnfinishedUpload
from syncer.stores.s3.names import BucketPath, key_digest
from syncer.stores.s3.objects import ObjectRow

GRACE_NS = 7 * 86_400 * 1_000_000_000


class BucketGarbage:
    """Fed with the whole listing of one root; then tells the garbage in it.

    `now_ns`: by the service's clock (the Date of an answer); `grace_ns`: how old garbage is at least. Memory
    is bounded by the number of our own objects: one key for each.
    """

    def __init__(self, place: BucketPath, *, now_ns: int, grace_ns: int = GRACE_NS) -> None:
        self._place = place
        self._before = now_ns - grace_ns
        self._helpers: list[ObjectRow] = []
        self._companions: dict[tuple[str, str], list[ObjectRow]] = {}

    def ours(self, rows: Iterable[ObjectRow]) -> None:
        """The listing below `place.private` (in a versioned bucket: of all versions and delete markers).

        First, so that only ETags that matter are compared.
        """
        for row in rows:
            if not 0 < row.modified_ns < self._before:
                continue  # young, or of unknown age
            if row.key.startswith((self._place.helpers, f"{self._place.private}probe-")):
                self._helpers.append(row)
            elif (found := self._place.recipe_of(row.key)) is not None:
                self._companions.setdefault(found, []).append(row)

    def needed(self, rows: Iterable[ObjectRow]) -> None:
        """The listing of all objects (versions) of the root; raises what reading it raises.

        Called with the complete listing only: a companion of an object that was not seen would be garbage.
        """
        for row in rows:
            if row.etag and not row.key.startswith(self._place.private):
                self._companions.pop((key_digest(row.key), row.etag), None)

    def garbage(self) -> Iterator[ObjectRow]:
        """Objects that can be deleted; after `ours` and `needed`."""
        yield from self._helpers
        for rows in self._companions.values():
            yield from rows

    def uploads(self, uploads: Iterable[UnfinishedUpload]) -> Iterator[UnfinishedUpload]:
        """UnfinishedUpload multipart uploads below the prefix that can be aborted, of whichever tool."""
        return (
            one for one in uploads
            if one.key.startswith(self._place.prefix) and 0 < one.begun_ns < self._before
        )  # fmt: skip
