"""Manifests as the cluster keeps them, and those that are remembered here by the content that they gave.

A manifest belongs to one version of an object: its parts give the ETag, so that one that was read for another
version, or is remembered wrongly, is known. Losing what is remembered costs the next download its savings.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from syncer.engine.model import Version
from syncer.errors import NotFound
from syncer.stores.swift import versions
from syncer.stores.swift.connection import Call, Connection
from syncer.stores.swift.manifest import Manifest, parsed
from syncer.stores.swift.objects import NEWEST

RAW = "multipart-manifest=get&format=raw"
MOST = 1000  # manifests that are remembered: some 100 KB each at worst
_SLACK = 100  # writes between two looks at how many there are
_NAME = re.compile(r"[0-9a-f]{64}\.json|\.new-[0-9a-f]{16}")
_STATIC = "X-Static-Large-Object"


def asked(
    connection: Connection, url: str, *, query: str = "", about: str = ""
) -> tuple[Manifest, int] | None:
    """The manifest of the object at `url` (below the storage URL), and how many bytes came for it.

    None where the object is no static large one, or its manifest is in no form that is known. `query`
    names a version. Raises NotFound, Unreadable, TransientError, AuthError.
    """
    words = f"{RAW}&{query}" if query else RAW
    call = Call(method="GET", path=url, query=words, headers=NEWEST, about=about)
    with connection.stream(call) as answer:
        if answer.headers.get(_STATIC, "").lower() != "true":
            return None  # what would follow is the content
        document = answer.read()
    found = parsed(document)
    return None if found is None else (found, len(document))


class Manifests:
    """What is remembered, as files by the content's BLAKE3-256 in a private folder (None: nothing is).

    Never raises for what is on the disk. Safe to share between threads and processes.
    """

    def __init__(self, folder: Path | None, *, most: int = MOST) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._written = 0

    def get(self, digest: bytes | None) -> Manifest | None:
        """What gave the content with this digest, somewhere, once."""
        if self._folder is None or digest is None:
            return None
        place = self._place(self._folder, digest)
        try:
            found = parsed(place.read_bytes())
            os.utime(place)
        except OSError:
            return None
        return found

    def keep(self, digest: bytes, manifest: Manifest, *, instead: bytes | None = None) -> None:
        """Remembers it, in the place of what was agreed before."""
        if self._folder is None:
            return
        temporary = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.touch(mode=0o600)
            temporary.write_bytes(manifest.encoded())
            os.replace(temporary, self._place(self._folder, digest))
        except OSError:
            _drop(temporary)
        if instead is not None and instead != digest:
            self.discard(instead)
        self._bound(self._folder)

    def discard(self, digest: bytes) -> None:
        """Forgets one."""
        if self._folder is not None:
            _drop(self._place(self._folder, digest))

    def _bound(self, folder: Path) -> None:
        with self._lock:
            self._written += 1
            due = self._written % _SLACK == 1
        if due:
            for _, place in sorted(_all(folder), reverse=True)[self._most :]:
                _drop(place)

    @staticmethod
    def _place(folder: Path, digest: bytes) -> Path:
        return folder / f"{digest.hex()}.json"


def fits(manifest: Manifest | None, version: Version) -> bool:
    """Whether the object of this version is made so."""
    return manifest is not None and manifest.etag == versions.etag_in(version)


def current(
    connection: Connection, url: str, version: Version, *, about: str = ""
) -> tuple[Manifest, int] | None:
    """What `asked` answers, if the object is the version that is meant and a static large object."""
    try:
        found = asked(connection, url, about=about)
    except NotFound:
        return None
    return found if found is not None and fits(found[0], version) else None


def _all(folder: Path) -> Iterator[tuple[int, Path]]:
    try:
        for item in os.scandir(folder):
            if _NAME.fullmatch(item.name):
                yield item.stat(follow_symlinks=False).st_mtime_ns, Path(item.path)
    except OSError:
        return  # another process took one away; the next look sees the rest


def _drop(place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError:
        return
