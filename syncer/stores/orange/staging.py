"""Uploads under a private name beside the final one: complete content before a user can see a file.

The service tells no hash, so nothing but the length proves what arrived; TLS protects the way there. `commit`
gives the content its name.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import RelPath
from syncer.engine.paths import TEMPORARY, join, printable, split
from syncer.errors import NotFound, StoreError, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.orange.context import OrangeRoot
from syncer.stores.orange.items import File
from syncer.stores.remote.upload import HashedUpload
from syncer.stores.stale import StaleError


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """An uploaded item: `path` is the account's path of its content, `file` what the service says of it."""

    item: WriteRequest
    path: RelPath
    file: File
    digest: bytes


class OrangeStaging:
    """The private names of one run. Safe to share between threads."""

    def __init__(self, root: OrangeRoot, tag: str) -> None:
        self._root = root
        self._tag = tag
        self._lock = threading.Lock()
        self._alive: set[str] = set()  # private names that this run uses

    def upload(self, item: WriteRequest) -> StagedFile:
        """Upload all of an item's content. Raises StaleError, what its source raises, StoreError."""
        content = HashedUpload(item)
        body = Body(open=content.chunks, length=item.size)
        path, file = self.sent(split(item.path)[0], body, about=item.path)
        if file.size != item.size:
            self.discard(path)
            raise TransientError(
                f"{printable(item.path)}: the uploaded file has another length", path=item.path
            )
        return StagedFile(item=item, path=path, file=file, digest=content.digest)

    def sent(self, directory: RelPath, content: Body, *, about: RelPath) -> tuple[RelPath, File]:
        """Upload content into a directory of the root: its path (the account's), and the file there."""
        root, folder = self._root, self._root.at(directory)
        name = f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
        path = join(folder, name)
        with self._lock:
            self._alive.add(name)
        try:
            id_ = root.api.upload(root.folder_id(folder) if folder else "", name, content, about)
            if id_ is not None:
                root.ids.learn(path, id_, folder=False)
            file = root.seek(path)
        except NotFound:
            root.ids.forget(folder)
            raise StaleError(f"{printable(directory)}: no such directory (any more)") from None
        except BaseException:
            self.discard(path)  # the upload may have succeeded although its reply was lost
            raise
        if not isinstance(file, File):
            raise TransientError(f"{printable(about)}: the uploaded file is not there", path=about)
        return path, file

    def begin(self) -> None:
        """Have the service make the application's own folder, by a file that is deleted at once."""
        root, name = self._root, f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
        id_ = root.api.upload("", name, Body(open=lambda: (b"?",), length=1))
        root.knows_account_root = False
        if id_ is not None:
            root.api.delete(id_, folder=False)

    def discard(self, path: RelPath) -> None:
        """Delete a staged file; after a failure the next run sweeps it."""
        try:
            left = self._root.seek(path)
            if isinstance(left, File):
                self._root.api.delete(left.id, folder=False)
        except StoreError:
            return
        self.named(path)

    def named(self, path: RelPath) -> None:
        """The staged file got its name, or is gone: nothing of this run is at its path any more."""
        self._root.ids.forget(path)
        with self._lock:
            self._alive.discard(split(path)[1])

    def is_left_over(self, name: str) -> bool:
        """Whether a name is a private one of a run of this pair that died."""
        with self._lock:
            return name.startswith(TEMPORARY + self._tag) and name not in self._alive
