"""The content of an item on its way to a service: its length is checked, its hashes are computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from blake3 import blake3

from syncer.engine.interfaces import WriteRequest
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs, Unholdable


class HashedUpload:
    """Content of a WriteRequest as the body of a request; read from the start each time it is sent.

    `sha256`, `md5`: whether these are computed beside BLAKE3-256. `content` replaces the item's source (the
    text of a symlink). The digests are those of the last complete pass of `chunks`.
    """

    def __init__(
        self,
        item: WriteRequest,
        *,
        sha256: bool = False,
        md5: bool = False,
        content: Callable[[], Iterable[bytes]] | None = None,
    ) -> None:
        self._item = item
        self._content = content
        self._with_sha256 = sha256
        self._with_md5 = md5
        self._begin()

    def _begin(self) -> None:
        self._blake3 = blake3()
        self._sha256 = hashlib.sha256() if self._with_sha256 else None
        self._md5 = hashlib.md5(usedforsecurity=False) if self._with_md5 else None

    @property
    def digest(self) -> bytes:
        """BLAKE3-256 of the content."""
        return self._blake3.digest()

    @property
    def sha256(self) -> bytes:
        assert self._sha256 is not None
        return self._sha256.digest()

    @property
    def md5(self) -> str:
        """In hex, as an ETag is written."""
        assert self._md5 is not None
        return self._md5.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Raises ChangedUnderUs if the content is not as long as planned, and what the source raises.

        A content that is too long is noticed before its surplus is handed out, one that is too short at its
        end: either way the body never reaches the announced length, and the service stores nothing.
        """
        item = self._item
        if self._content is None and item.source is None:
            raise Unholdable(f"{printable(item.path)}: no content to put", path=item.path)
        self._begin()
        hashers = [h for h in (self._blake3, self._sha256, self._md5) if h is not None]
        content = self._content() if self._content is not None else item.source.chunks()  # type: ignore[union-attr]
        size = 0
        for chunk in content:
            size += len(chunk)
            if size > item.size:
                break
            for hasher in hashers:
                hasher.update(chunk)
            yield chunk
        if size != item.size:
            raise ChangedUnderUs(
                f"{printable(item.path)}: its length changed since it was planned on", path=item.path
            )
