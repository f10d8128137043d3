"""Companion documents: the manifest of a large object, stored beside it for Ceph, which returns none.

Right before a manifest takes a name, the same document is put into the segments' container as

    .syncer-manifests/<ETag of the large object>/<BLAKE3-256 of the document>.json

and the object's metadata refers to it (`metadata.manifest_in`). A copy or a rename by any tool takes the
metadata along, so every machine finds the document by a HEAD of the object; another ETag, another digest or a
lost reference show that it says nothing about this object. The digest is in the name since two objects of one
ETag may be made of other segments: equal content, cut alike, sent under two names.

Not here: when a document may go (`gc`), nor what follows from one that is not there.
"""

from __future__ import annotations

from blake3 import blake3

from syncer.errors import NotFound, TransientError
from syncer.stores.remote.object_names import quoted
from syncer.stores.swift import metadata, objects
from syncer.stores.swift.client import Call, Connection
from syncer.stores.swift.objects import NEWEST, OVERTAKEN, ObjectHead
from syncer.stores.swift.slo.manifest import Manifest, parsed

FOLDER = ".syncer-manifests/"  # not among our segments: an older `gc` would take these for such


class Companions:
    """For the large objects of one container, whose segments are in `container`."""

    def __init__(self, connection: Connection, container: str) -> None:
        self._connection = connection
        self._container = container

    def put(self, manifest: Manifest, *, about: str) -> int:
        """Stores the document, also where it is there already: an old one, that `gc` may have its eye on, is
        young again. How many bytes crossed. Raises StoreError.
        """
        document = manifest.encoded()
        call = Call(
            method="PUT",
            path=quoted(f"{self._container}/{name_of(reference(manifest), manifest.etag)}"),
            headers={"Content-Type": "application/json"},
            body=document,
            about=about,
        )
        if self._connection.ask(call).status == OVERTAKEN:
            raise TransientError(f"{about}: the list of its segments was not stored", path=about)
        return len(document)

    def of(self, head: ObjectHead, *, about: str) -> tuple[Manifest, int] | None:
        """What the object of this HEAD is made of, and how many bytes came for it.

        None where that is unknown.

        Raises TransientError, PermanentError, AuthError.
        """
        digest = metadata.manifest_in(head.meta, head.etag)
        if not head.static or not digest:
            return None
        found = self.read(name_of(digest, head.etag), about=about)
        return found if found is not None and found[0].size == head.size else None

    def read(self, name: str, *, about: str) -> tuple[Manifest, int] | None:
        """The document of this name, if it exists and has the digest and ETag in its name."""
        call = Call(method="GET", path=quoted(f"{self._container}/{name}"), headers=NEWEST, about=about)
        try:
            document = self._connection.ask(call).content
        except NotFound:
            return None
        manifest = parsed(document)
        if manifest is None or name != name_of(blake3(document).hexdigest(), manifest.etag):
            return None
        return manifest, len(document)


def reference(manifest: Manifest) -> str:
    """The digest by which the metadata of the large object refers to its document."""
    return blake3(manifest.encoded()).hexdigest()


def name_of(digest: str, etag: str) -> str:
    """The object that holds the document."""
    return f"{FOLDER}{objects.bare(etag)}/{digest}.json"
