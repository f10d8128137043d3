"""New content, complete, under a private name beside its own: what a put has before it can be seen as a file.

Nothing proves what arrived but its length, since the service tells no hash; TLS protects the way there.
How content gets its name is settled in `commit`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import RelPath
from syncer.engine.paths import TEMPORARY, join, printable, split
from syncer.errors import ChangedUnderUs, NotFound, StoreError, TransientError, Unholdable
from syncer.stores.http.bodies import Body
from syncer.stores.orange.context import OrangeContext
from syncer.stores.orange.items import File
from syncer.stores.stale import StaleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """One item on its way: `place` is where it is (the account's path), `file` what is said of it there."""

    item: WriteRequest
    place: RelPath
    file: File
    digest: bytes


class Fed:
    """What an item is to hold, as it is read for sending; read again from the start if it is sent again."""

    def __init__(self, item: WriteRequest) -> None:
        self._item = item
        self._hasher = blake3()

    @property
    def digest(self) -> bytes:
        """BLAKE3-256 of what was read, to its end."""
        return self._hasher.digest()

    def chunks(self) -> Iterator[bytes]:
        """Raises ChangedUnderUs where it is not as long as planned, before the end of the body is sent."""
        item, size = self._item, 0
        if item.source is None:
            raise Unholdable(f"{printable(item.path)}: no content to put", path=item.path)
        self._hasher = hasher = blake3()
        for chunk in item.source.chunks():
            hasher.update(chunk)
            size += len(chunk)
            if size > item.size:
                break
            yield chunk
        if size != item.size:
            raise ChangedUnderUs(f"{printable(item.path)}: not as long as it was planned on", path=item.path)


class Staging:
    """The private names of one run. Safe to share between threads."""

    def __init__(self, ground: OrangeContext, tag: str) -> None:
        self._ground = ground
        self._tag = tag
        self._lock = threading.Lock()
        self._alive: set[str] = set()

    def upload(self, item: WriteRequest) -> Staged:
        """All of an item's content, sent. Raises Unexpected, what its source raises, StoreError."""
        fed = Fed(item)
        place, file = self.sent(split(item.path)[0], Body(open=fed.chunks, length=item.size), about=item.path)
        if file.size != item.size:
            self.discard(place)
            raise TransientError(f"{printable(item.path)}: it did not arrive as it was sent", path=item.path)
        return Staged(item=item, place=place, file=file, digest=fed.digest)

    def sent(self, directory: RelPath, content: Body, *, about: RelPath) -> tuple[RelPath, File]:
        """Content in a directory of the root: its path (the account's), and what the service says of it."""
        ground, around = self._ground, self._ground.at(directory)
        name = f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
        place = join(around, name)
        with self._lock:
            self._alive.add(name)
        try:
            id_ = ground.api.upload(ground.folder_id(around) if around else "", name, content, about)
            if id_ is not None:
                ground.ids.learn(place, id_, folder=False)
            file = ground.seek(place)
        except NotFound:
            ground.ids.forget(around)
            raise StaleError(f"{printable(directory)}: no such directory (any more)") from None
        except BaseException:
            self.discard(place)  # a lost answer may have left it there
            raise
        if not isinstance(file, File):
            raise TransientError(f"{printable(about)}: what was sent is not there", path=about)
        return place, file

    def begin(self) -> None:
        """Has the service make the application's own folder, by a file that goes at once."""
        ground, name = self._ground, f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
        id_ = ground.api.upload("", name, Body(open=lambda: (b"?",), length=1))
        ground.found = False
        if id_ is not None:
            ground.api.delete(id_, folder=False)

    def discard(self, place: RelPath) -> None:
        """Drops what was staged; a failure leaves it for the next run to sweep."""
        ground = self._ground
        try:
            left = ground.seek(place)
            if isinstance(left, File):
                ground.api.delete(left.id, folder=False)
        except StoreError:
            return
        self.named(place)

    def named(self, place: RelPath) -> None:
        """It has its name, or is gone: nothing of ours is at this place."""
        self._ground.ids.forget(place)
        with self._lock:
            self._alive.discard(split(place)[1])

    def is_left_over(self, name: str) -> bool:
        """Whether a name is one of a run of this pair that died."""
        with self._lock:
            return name.startswith(TEMPORARY + self._tag) and name not in self._alive
