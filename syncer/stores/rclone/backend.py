"""What a backend of rclone can do, from `operations/fsinfo`, and how a file is replaced safely there. Pure.

Features decide, never version numbers or names of backends.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from syncer.errors import PermanentError
from syncer.stores.rclone.client import Json
from syncer.stores.rclone.items import as_json

_NO_TIMES = 10**18  # ns; rclone tells a century where a backend keeps no times
_SECOND = 10**9


class Replacement(enum.Enum):
    """How new content gets a name without a moment in which the name holds a part of it."""

    OBJECT = "object"  # an upload appears as a whole, when it is complete
    STAGED = "staged"  # uploaded under a name of ours, then renamed by the service
    UNSAFE = "unsafe"  # neither: a reader may see a part, and a kill may leave it


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One remote. `hashes` are rclone's names; `mtime_granularity_ns` is 0 where no times are kept.

    `copies`, `moves`, `moves_directories`: done by the service. `slow_hash`: a hash costs reading the file,
    or a remote shell. `metadata`: keys of our own are kept with a file.
    """

    name: str
    hashes: tuple[str, ...]
    mtime_granularity_ns: int
    bucket_based: bool
    copies: bool
    moves: bool
    moves_directories: bool
    empty_directories: bool
    folds_case: bool
    duplicates: bool
    lists_recursively: bool
    local: bool
    slow_hash: bool
    about: bool
    metadata: bool
    partial_uploads: bool

    @property
    def replacement(self) -> Replacement:
        if self.bucket_based:
            return Replacement.OBJECT
        return Replacement.STAGED if self.moves else Replacement.UNSAFE

    @property
    def skips_checksum(self) -> bool:
        """Whether rclone compares no hashes after a transfer: over sftp that is a shell for each file."""
        return self.slow_hash and not self.local

    def lacks(self) -> Iterator[str]:
        """What this backend cannot do, as sentences for `doctor` and the first run."""
        yield "no conditional writes: a change in the moment between our look and our write is overwritten"
        yield "no deltas: a changed file is sent whole"
        if not self.mtime_granularity_ns:
            yield "keeps no modification times: an edit of equal size is found by reading only"
        elif self.mtime_granularity_ns >= _SECOND:
            yield f"keeps modification times to {self.mtime_granularity_ns / _SECOND:g} s"
        if not self.hashes:
            yield "keeps no hashes: content is verified by reading it back"
        elif self.skips_checksum:
            yield "its hashes are slow: content is verified by size and time"
        if not self.moves and not self.copies:
            yield "neither moves nor copies at the service: a rename is sent again"
        if not self.empty_directories:
            yield "holds no empty directories"
        if self.folds_case:
            yield "does not tell names apart that differ in case only"
        if self.duplicates:
            yield "may hold several files of one name: those are left alone"
        if not self.metadata:
            yield "holds no executable bit"
        if self.replacement is Replacement.UNSAFE:
            yield "cannot replace a file at once: a reader may see a part of it (see `unsafe_replace`)"


def parse_backend(document: Json) -> Backend:
    """From the answer of `operations/fsinfo`. Raises PermanentError."""
    features, precision = document.get("Features"), document.get("Precision")
    hashes = document.get("Hashes")
    if not isinstance(features, dict) or not isinstance(precision, int):
        raise PermanentError("rclone does not tell the features of this remote")
    has = {name for name, value in features.items() if value is True}
    return Backend(
        name=str(document.get("Name") or ""),
        hashes=tuple(h for h in hashes if isinstance(h, str)) if isinstance(hashes, list) else (),
        mtime_granularity_ns=0 if precision >= _NO_TIMES else max(precision, 1),
        bucket_based="BucketBased" in has,
        copies="Copy" in has,
        moves="Move" in has,
        moves_directories="DirMove" in has,
        empty_directories="CanHaveEmptyDirectories" in has,
        folds_case="CaseInsensitive" in has,
        duplicates="DuplicateFiles" in has,
        lists_recursively="ListR" in has,
        local="IsLocal" in has,
        slow_hash="SlowHash" in has,
        about="About" in has,
        metadata="UserMetadata" in has,
        partial_uploads="PartialUploads" in has,
    )


def free_bytes(about: Json) -> int | None:
    """From `operations/about`; None where the backend does not tell."""
    free = as_json(about).get("free")
    return free if isinstance(free, int) and free >= 0 else None
