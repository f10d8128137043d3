"""What a STATUS of an SFTP server means: one error of Syncer's tree for each code. Pure.

OpenSSH names hardly any errno: a name that exists, a full disk, a directory that is not empty and a rename
across file systems are all code 4 with the text "Failure". So that code says nothing but that the call had
no effect; the caller looks at the path to find out why.
"""

from __future__ import annotations

import os

from syncer.engine.paths import printable
from syncer.errors import NotFound, PermanentError, StoreError, TransientError, Unholdable, Unreadable
from syncer.stores.sftp.packets import Status


class SftpFailure(TransientError):
    """Code 4: the call failed for a reason that the server does not name."""


class Unsupported(PermanentError):
    """The server does not know the request (code 8)."""

    code = "unsupported"


def status_error(code: int, said: bytes, path: bytes, *, reading: bool) -> StoreError:
    """The error that a STATUS stands for. `reading`: the request changes nothing."""
    where = printable(os.fsdecode(path))
    words = "".join(c for c in said[:200].decode("utf-8", "replace") if c.isprintable()) or f"status {code}"
    message = f"{where}: {words}" if where else words
    about = os.fsdecode(path)
    if code == Status.NO_SUCH_FILE:
        return NotFound(message, path=about)
    if code == Status.PERMISSION_DENIED:
        kind = Unreadable if reading else PermanentError
        return kind(message, path=about, hint="check the permissions on the server")
    if code == Status.BAD_MESSAGE:  # OpenSSH: ENAMETOOLONG, EINVAL
        return Unholdable(message, path=about)
    if code == Status.UNSUPPORTED:
        return Unsupported(message, path=about)
    if code == Status.FAILURE:
        return SftpFailure(message, path=about)
    return TransientError(message, path=about)
