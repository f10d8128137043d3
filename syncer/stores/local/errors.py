"""Maps `OSError` to the engine's errors and outcomes. Pure: no I/O, no retry."""

from __future__ import annotations

import errno
import os

from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Failed,
    Outcome,
    RelPath,
    Stale,
)
from syncer.engine.paths import printable
from syncer.errors import (
    LocalError,
    NoSpace,
    NotFound,
    PermanentError,
    StoreError,
    TransientError,
    Unholdable,
    Unmovable,
    Unreadable,
)
from syncer.stores.stale import StaleError

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""A walk that meets a missing name, a file or a symlink where a directory was."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_NEVER = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW})


def translate(error: OSError, path: RelPath) -> StoreError | LocalError:
    """The error as a value about `path`. Anything not known to be final may work later."""
    code = error.errno or errno.EIO
    where, what = printable(path), os.strerror(code)
    message = f"{where}: {what}" if where else what
    if code in _FULL:
        return NoSpace(message, path=path, hint="make room on the disk and run again")
    if code in _DENIED:
        return PermanentError(message, path=path, hint="check the permissions")
    if code == errno.EROFS:
        return PermanentError(message, path=path, hint="the file system is mounted read-only")
    if code == errno.EXDEV:
        return Unmovable(message, path=path, hint="two file systems meet within the root")
    if code in GONE:
        return NotFound(message, path=path)
    if code in _NEVER:
        return Unholdable(message, path=path)
    return TransientError(message, path=path)


def refused(path: RelPath, error: OSError) -> Unholdable:
    """What is raised for a name that the file system does not take, with what it says of it."""
    said = os.strerror(error.errno or errno.EIO)
    return Unholdable(
        f"{printable(path)}: the file system refuses the name ({said})", path=path, hint="rename it"
    )


NOT_THE_NAME = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.EROFS, errno.EXDEV, errno.EINTR}) | _FULL
"""What is never said because of a name."""


def reading(error: OSError, path: RelPath) -> StoreError | LocalError:
    """As `translate`, for a look or a read: denied means unreadable."""
    if error.errno in _DENIED:
        return Unreadable(f"{printable(path)}: {os.strerror(error.errno or 0)}", path=path)
    return translate(error, path)


def obstacle(error: OSError) -> BlockedEntry:
    """Something is there (or may be) and we could not look: unknown, never absent."""
    return BlockedEntry(BlockReason.UNREADABLE, os.strerror(error.errno or errno.EIO))


def outcome(error: Exception, path: RelPath) -> Outcome:
    """How an item ends that met this error; what is not about one path is raised again."""
    if isinstance(error, StaleError):
        return Stale(message=str(error))
    if isinstance(error, OSError):
        if error.errno in GONE:
            return Stale(message=f"{printable(path)}: its place is gone ({os.strerror(error.errno)})")
        return Failed(error=translate(error, path))
    raise error
