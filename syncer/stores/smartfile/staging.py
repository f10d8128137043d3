"""Uploads into a private directory: complete and verified before a user can see a file.

    .syncer/work/20261121-104700-0123abcd-9f3c/17        content on its way to its name

No other client writes there, so verified content stays as it is. `commit` gives it its name; `deltas` uploads
only the changed parts.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Kind, Method
from syncer.engine.paths import PRIVATE, printable
from syncer.errors import (
    NotFound,
    PermanentError,
    PreconditionFailed,
    StoreError,
    TransientError,
)
from syncer.stores.http.bodies import Body
from syncer.stores.http.client import pieces
from syncer.stores.remote.upload import HashedUpload
from syncer.stores.retry_policy import attempts
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.api import Overtaxed, SmartFileApi
from syncer.stores.smartfile.attributes import Mark
from syncer.stores.smartfile.context import join_root, make_all
from syncer.stores.smartfile.info import Info

WORK = f"{PRIVATE}/work"
_TRIES = 4
_SHORT_SLEEP = 1.0  # seconds after which a fresh upload was seen to take attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedUpload:
    """One item on its way. `path` is where its content is, `info` what the service says of it there.

    `content` are its digests; `sent` and `received` count the payload that crossed for it.
    """

    item: WriteRequest
    path: str
    info: Info
    content: Digests
    method: Method
    sent: int
    received: int = 0
    folder: str | None = None  # a directory of ours to take away when the content has left it

    @property
    def mark(self) -> Mark:
        """Our mark of the staged file."""
        found = self.info.mark
        if found is None:
            raise TransientError(f"{printable(self.item.path)}: the service keeps no attributes")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """BLAKE3-256 is what the engine knows content by, SHA-256 what the service can compute."""

    blake3: bytes
    sha256: bytes


class Digester:
    """Both digests of content that streams through, and its length."""

    def __init__(self) -> None:
        self._blake3, self._sha256, self.size = blake3(), hashlib.sha256(), 0

    def update(self, chunk: bytes) -> None:
        """Add bytes."""
        self._blake3.update(chunk)
        self._sha256.update(chunk)
        self.size += len(chunk)

    def digests(self) -> Digests:
        return Digests(blake3=self._blake3.digest(), sha256=self._sha256.digest())


def upload_of(item: WriteRequest) -> HashedUpload:
    """The content of an item; the file of a symlink holds its target's text."""
    link = item.kind is Kind.SYMLINK
    content = (lambda: (attributes.target_bytes(item.target or ""),)) if link else None
    return HashedUpload(item, sha256=True, content=content)


def digests_of(upload: HashedUpload) -> Digests:
    """The digests after a complete pass."""
    return Digests(blake3=upload.digest, sha256=upload.sha256)


class SmartFileStaging:
    """The work directory of one run. Safe to share between threads."""

    def __init__(self, api: SmartFileApi, root: str, run: str) -> None:
        self.api = api
        self._root = root
        self._directory = join_root(root, f"{WORK}/{run}")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._made = False

    def place(self) -> tuple[str, str]:
        """A directory of ours that stands, and a name in it that was never used. Raises StoreError.

        Made only where the root's own directory is: a root that vanished is not made anew.
        """
        with self._lock:
            if not self._made:
                self.api.info(join_root(self._root, PRIVATE))
                make_all(self.api, self._root, self._directory)
                self._made = True
        return self._directory, str(next(self._numbers))

    def whole(self, item: WriteRequest) -> StagedUpload:
        """Upload and verify all of an item's content. Raises what its source raises, StoreError."""
        content = upload_of(item)
        body = Body(open=content.chunks, length=item.size)
        directory, name = self.place()
        try:
            self.api.upload(directory, name, body)
        except (NotFound, PreconditionFailed):
            self._made = False  # another client removed the directory
            directory, name = self.place()
            self.api.upload(directory, name, body)
        path = f"{directory}/{name}"
        try:
            arrived = self.verify(path, digests_of(content), item.size)
            info = self.noted(path, arrived, item, content.digest)
        except StoreError:
            self.discard(path)
            raise
        return StagedUpload(
            item=item, path=path, info=info, content=digests_of(content), method=Method.WHOLE, sent=item.size
        )

    def verify(self, path: str, content: Digests, size: int) -> Info:
        """The uploaded file, if it has exactly this content. Raises TransientError if not."""
        found = self.api.info(path)
        if found.directory or found.size != size or self._sha256(path) != content.sha256:
            raise TransientError(f"{path}: it did not arrive as it was sent", path=path)
        return found

    def _sha256(self, path: str) -> bytes:
        """SHA-256 by the service, or by reading the file back where it has no such operation."""
        try:
            return self.api.checksum(path)
        except PermanentError:
            digest = hashlib.sha256()
            for piece in pieces(self.api.content(path), path):
                digest.update(piece)
            return digest.digest()

    def noted(self, path: str, found: Info, item: WriteRequest, digest: bytes) -> Info:
        """Write our mark to the staged file; its description then. Raises TransientError."""
        for _ in range(_TRIES):
            mark = Mark(
                size=found.size,
                time=found.time,
                digest=digest,
                mtime_ns=item.mtime_ns,
                executable=bool(item.executable),
                target=item.target if item.kind is Kind.SYMLINK else None,
            )
            found = self.annotate(path, mark.attributes())
            if found.mark == mark:
                return found
        raise TransientError(f"{path}: the service does not keep what is noted about it", path=path)

    def annotate(self, path: str, values: Mapping[str, str]) -> Info:
        """Set attributes, which a new file accepts only after a while; its description then."""
        clock = self.api.session.clock
        with attempts() as tries:
            for attempt in range(_TRIES):
                try:
                    self.api.attributes(path, values)
                    break
                except NotFound:
                    if attempt + 1 == _TRIES:
                        raise
                    clock.sleep(_SHORT_SLEEP)
                except TransientError as error:
                    if attempt + 1 == _TRIES:
                        raise
                    tries.wait(error, clock.sleep)
        return self.api.info(path)

    def discard(self, path: str) -> None:
        """Remove a staged file; after a failure a later run prunes it."""
        try:
            self.api.remove(path, wait=False)
        except StoreError:
            return

    def close(self) -> None:
        """Remove the work directory if it is empty; raises nothing."""
        if not self._made:
            return
        try:
            children = self.api.page(self._directory, 1, 25).children
            if not children:  # ours alone, and this run is over: nothing can appear in it
                self.api.remove(self._directory, wait=False)
        except (StoreError, Overtaxed):
            return
