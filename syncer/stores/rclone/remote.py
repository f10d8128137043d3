"""Operations on one remote of rclone, with the traps of its API taken care of.

- `copyfile` does nothing, and says so to nobody, where size and time agree: `IgnoreTimes` is always set.
- A listing of what does not exist is empty on buckets, and elsewhere of what is a file: an empty answer is
checked. - Nothing has a condition: `move_new` uses `IgnoreExisting`, and looks afterwards at which side it
was. - `purge`, `rmdirs` and `uploadfile` are not offered: the first two delete what was never looked at,
the third gives
  half of a file its final name when the connection breaks off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from syncer.errors import NotFound, PreconditionFailed, TransientError
from syncer.stores.rclone.backend import Backend, free_bytes, parse_backend
from syncer.stores.rclone.client import Json, RcloneClient
from syncer.stores.rclone.items import Item, as_json, parse_item, parse_listing

_QUICK = 120.0  # seconds for calls that move no content
_FIRST = 15.0  # seconds for the first call, which logs in to nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class RcloneListing:
    """One directory. `confirmed`: False where empty may also mean missing (buckets)."""

    items: tuple[Item, ...]
    confirmed: bool


class RcloneRemote:
    """One `fs` ("remote:path"); all paths are below it, without a slash at either end."""

    def __init__(self, client: RcloneClient, fs: str) -> None:
        """Ask for the backend's features. Raises ConfigError, AuthError, TransientError, PermanentError."""
        self._client = client
        self.fs = fs
        self.backend: Backend = parse_backend(client.call("operations/fsinfo", {"fs": fs}, timeout=_QUICK))

    # -- Looking ----------------------------------------------------------------

    def stat(self, path: str, *, hashes: bool = False, metadata: bool = False) -> Item | None:
        """A file or directory; None where nothing is there."""
        options = self._options(hashes=hashes, metadata=metadata)
        answer = self._call("operations/stat", {"remote": path, "opt": options}, path)
        if "item" not in answer:
            raise TransientError(f"{path}: rclone answered without an item", path=path)
        return None if answer["item"] is None else parse_item(answer["item"], path)

    def list(self, path: str, *, hashes: bool = False) -> RcloneListing:
        """One directory. Raises NotFound where it is missing, or a file, as far as the backend tells."""
        answer = self._call("operations/list", {"remote": path, "opt": self._options(hashes=hashes)}, path)
        items = parse_listing(answer.get("list") or [], path)
        if items:
            return RcloneListing(items=tuple(items), confirmed=True)
        if self.backend.bucket_based:
            return RcloneListing(items=(), confirmed=False)
        found = self.stat(path)
        if found is None or not found.is_directory:
            raise NotFound(f"{path or self.fs}: no directory is there", path=path)
        return RcloneListing(items=(), confirmed=True)

    def free_space(self) -> int | None:
        """In bytes; None where the backend does not tell."""
        if not self.backend.about:
            return None
        return free_bytes(self._client.call("operations/about", {"fs": self.fs}, timeout=_QUICK))

    def read_range(self, path: str, offset: int, size: int) -> Iterator[bytes]:
        """Exactly these bytes of a file that has them."""
        return self._client.read_range(self.fs, path, offset, size)

    # -- Content ----------------------------------------------------------------

    def upload(self, folder: str, name: str, path: str, *, metadata: dict[str, str] | None = None) -> Item:
        """A file of this machine to `path`, whatever is there; answers what is there afterwards.

        `folder` is absolute, both names must be UTF-8. Missing parents are made. Raises TransientError
        where the content that is there afterwards is not as long as the file: it was not sent, or replaced
        at once.
        """
        config: dict[str, Any] = {}
        if metadata and self.backend.metadata:
            config = {"Metadata": True, "MetadataSet": metadata}
        size = os.stat(os.path.join(folder, name)).st_size
        self._transfer("operations/copyfile", folder, name, self.fs, path, config)
        found = self.stat(path)
        if found is None or found.is_directory or found.size != size:
            raise TransientError(f"{path}: the upload is not what is there afterwards", path=path)
        return found

    def download(self, path: str, folder: str, name: str) -> None:
        """A file to this machine, whatever is there. Raises NotFound."""
        self._transfer("operations/copyfile", self.fs, path, folder, name, {})

    def copy(self, origin: str, path: str) -> None:
        """A copy of a file, at the service where `backend.copies`, else through this machine."""
        self._transfer("operations/copyfile", self.fs, origin, self.fs, path, {})

    # -- Names ------------------------------------------------------------------

    def move(self, origin: str, path: str) -> None:
        """Rename a file; what is at `path` is replaced."""
        self._transfer("operations/movefile", self.fs, origin, self.fs, path, {})

    def move_new(self, origin: str, path: str) -> Item:
        """Rename a file if `path` is free, as far as rclone can tell; answers what is there afterwards.

        Raises PreconditionFailed where the name was taken, and NotFound where the origin is missing; then
        nothing was changed. Another writer between rclone's own look and its rename is overwritten.
        """
        self._transfer("operations/movefile", self.fs, origin, self.fs, path, {"IgnoreExisting": True})
        if self.stat(origin) is not None:
            raise PreconditionFailed(f"{path}: the name is taken", path=path)
        found = self.stat(path)
        if found is None:
            raise TransientError(f"{path}: nothing is there after the rename", path=path)
        return found

    def move_directory(self, origin: str, path: str) -> None:
        """Rename a directory, in one call where `backend.moves_directories`."""
        here, there = self._below(origin), self._below(path)
        parameters = {"srcFs": here, "dstFs": there, "createEmptySrcDirs": True, "deleteEmptySrcDirs": True}
        self._client.call("sync/move", {**parameters, "_config": {"IgnoreExisting": True}}, path=origin)

    def delete_file(self, path: str) -> None:
        """A file of ours. Raises NotFound; a directory is refused by the backend, or not found."""
        self._call("operations/deletefile", {"remote": path}, path)

    def mkdir(self, path: str) -> None:
        """With its parents; one that exists is no error. Buckets keep no empty directory."""
        self._call("operations/mkdir", {"remote": path}, path)

    def rmdir(self, path: str) -> None:
        """Raises NotFound; PreconditionFailed where anything is in it."""
        listing = self.list(path)
        if listing.items:
            raise PreconditionFailed(f"{path}: the directory is not empty", path=path)
        self._call("operations/rmdir", {"remote": path}, path)

    def _call(self, method: str, parameters: Json, path: str) -> Json:
        return self._client.call(method, {"fs": self.fs, **parameters}, path=path, timeout=_QUICK)

    def _transfer(
        self, method: str, source_fs: str, source: str, fs: str, path: str, config: dict[str, Any]
    ) -> None:
        settings = {"IgnoreTimes": True, "IgnoreChecksum": self.backend.skips_checksum, **config}
        parameters = {
            "srcFs": source_fs,
            "srcRemote": source,
            "dstFs": fs,
            "dstRemote": path,
            "_config": settings,
        }
        self._client.call(method, parameters, path=source if fs != self.fs else path)

    def _options(self, *, hashes: bool = False, metadata: bool = False) -> dict[str, Any]:
        """`noMimeType`: else S3 is asked for each object. `showOrigIDs`: ids below a wrapper as crypt."""
        types = [h for h in ("md5", "sha1", *self.backend.hashes) if h in self.backend.hashes][:1]
        return {
            "noMimeType": True,
            "showOrigIDs": True,
            "showHash": hashes and bool(types),
            "hashTypes": types,
            "metadata": metadata and self.backend.metadata,
        }

    def _below(self, path: str) -> str:
        base = self.fs if self.fs.endswith((":", "/")) else f"{self.fs}/"
        return base + path


def remotes(client: RcloneClient) -> list[str]:
    """The remotes of rclone's configuration, by name."""
    found = as_json(client.call("config/listremotes", {}, timeout=_FIRST)).get("remotes")
    return sorted(name.removesuffix(":") for name in found or [] if isinstance(name, str))
