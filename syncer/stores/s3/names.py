"""Bucket, prefix and keys: which object stands for which path, and where Syncer's own objects are. Pure.

A key is the root's prefix followed by the path, in UTF-8, nothing escaped: other tools see the same names.

    PREFIX.syncer/helpers/UPLOAD/N      parts of a delta upload under way
    PREFIX.syncer/recipes/KEY/ETAG      how a large object was made from older ones (`recipes`)
    PREFIX.syncer/probe-…               attempts of `conditions.probe`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE
from syncer.stores.remote import object_names

MAX_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPath:
    """One root: a bucket, and the prefix (empty, or ending in a slash) of all its keys."""

    bucket: str
    prefix: str = ""

    @classmethod
    def of(cls, path: str) -> BucketPath:
        """The part of a location after the colon: `bucket/some/folder`."""
        bucket, _, rest = path.strip("/").partition("/")
        rest = rest.strip("/")
        return cls(bucket=bucket, prefix=f"{rest}/" if rest else "")

    def key(self, path: RelPath) -> str:
        """The object that stands for a path."""
        return self.prefix + path

    def path(self, key: str) -> RelPath:
        """The path that an object below the prefix stands for."""
        return key[len(self.prefix) :]

    @property
    def private(self) -> str:
        """What the keys of all our own objects begin with."""
        return f"{self.prefix}{PRIVATE}/"

    @property
    def helpers(self) -> str:
        """Below it are the helper objects of delta uploads."""
        return f"{self.private}helpers/"

    @property
    def recipes(self) -> str:
        """Below it are the companions of large objects."""
        return f"{self.private}recipes/"

    def recipe(self, key: str, etag: str) -> str:
        """The companion of an object with this ETag. A digest stands for its key, which may be long."""
        return f"{self.recipes}{key_digest(key)}/{etag}"

    def recipe_of(self, companion: str) -> tuple[str, str] | None:
        """Key digest and ETag in a companion's key; None for any other object."""
        found = re.fullmatch(
            r"([0-9a-f]{32})/([0-9a-f]{32}(?:-\d{1,5})?)", companion.removeprefix(self.recipes)
        )
        return (found[1], found[2]) if found and companion.startswith(self.recipes) else None


def key_digest(key: str) -> str:
    """BLAKE2b-128 of a key in hex."""
    return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def wrong_bucket(name: str) -> str:
    """Why a bucket cannot be called so (S3 naming rules); "" if it can.

    Old buckets and other services allow more; so this explains a refusal, and refuses nothing itself.
    """
    if _BUCKET.fullmatch(name) and ".." not in name and not _ADDRESS.fullmatch(name):
        return ""
    return "a bucket's name has 3 to 63 small letters, digits, dots and dashes"


def checked(path: RelPath, *, prefix: str = "") -> RelPath:
    """The path, if an object may be called so. Raises Unholdable."""
    return object_names.checked(path, prefix=prefix, longest=MAX_KEY_BYTES, what="a key")
