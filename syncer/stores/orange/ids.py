"""Ids of Orange items: from responses, and computed from paths as long as every response agrees.

All ids that were ever seen are the base64url of the item's path (a folder's ends with a slash), which nobody
promised. The first id that is not so ends the guessing: then an id is known from an answer or not at
all. Either way an id dies with a rename of anything above it. Paths here are those of the account.
"""

from __future__ import annotations

import binascii
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode

from syncer.engine.model import RelPath
from syncer.engine.paths import is_below


def encode(path: str) -> str:
    """The id that a path (a folder's with its slash) has where ids are paths."""
    return urlsafe_b64encode(path.encode("utf-8", "surrogatepass")).rstrip(b"=").decode("ascii")


def decode(id_: str) -> str | None:
    """The path in an id; None where there is none."""
    try:
        raw = id_.encode("ascii")
        path = urlsafe_b64decode(raw + b"=" * (-len(raw) % 4)).decode("utf-8")
    except (ValueError, binascii.Error):
        return None
    return path if encode(path) == id_ else None


class Ids:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prefix: str | None = None  # what the ids' paths begin with; None: ids are opaque
        self._root = ""
        self._files: dict[RelPath, str] = {}
        self._folders: dict[RelPath, str] = {}

    @property
    def are_paths(self) -> bool:
        """Whether every id so far was that of its path."""
        return self._prefix is not None

    def rooted(self, id_: str) -> None:
        """The account's root has this id: where ids are paths, all others begin with its path."""
        with self._lock:
            self._root = id_
            path = decode(id_)
            if path == "/":
                self._prefix = ""
            elif path is not None and path.endswith("/"):
                self._prefix = path
            else:
                self._prefix = None

    def file(self, path: RelPath) -> str | None:
        """A file's id, if it is there at all."""
        with self._lock:
            return self._files.get(path) if self._prefix is None else encode(self._prefix + path)

    def folder(self, path: RelPath) -> str | None:
        """A folder's id, if it is there at all."""
        with self._lock:
            if not path:
                return self._root
            return self._folders.get(path) if self._prefix is None else encode(f"{self._prefix}{path}/")

    def path_of(self, id_: str) -> str | None:
        """The path that an id stands for where ids are paths, a folder's with its slash."""
        prefix, path = self._prefix, decode(id_)
        if prefix is None or path is None or not path.startswith(prefix):
            return None
        return path[len(prefix) :]

    def learn(self, path: RelPath, id_: str, *, folder: bool) -> None:
        """Store the id of a path from a response."""
        with self._lock:
            if self._prefix is not None and encode(f"{self._prefix}{path}{'/' if folder else ''}") != id_:
                self._prefix = None
            if self._prefix is None:
                (self._folders if folder else self._files)[path] = id_

    def forget(self, path: RelPath) -> None:
        """Forget the ids of a path and of everything below it: it was removed or renamed."""
        with self._lock:
            for known in (self._files, self._folders):
                known.pop(path, None)
                for below in [p for p in known if is_below(p, path)]:
                    del known[below]
