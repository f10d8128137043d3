"""Whether other users may write a file: by owner and mode of the file and of its directory.

POSIX modes only: access control lists are not asked for. A group counts as nobody else where it is the
user's own (a private group of the same name, as most systems make one), since a umask of 002 is usual
there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def others_may_write(path: Path) -> bool:
    """Whether another user can change the file, or put another one in its place. Raises OSError."""
    real = Path(os.path.realpath(path))
    return _open_to_others(os.stat(real)) or _replaceable(os.stat(real.parent))


def _replaceable(directory: os.stat_result) -> bool:
    return _open_to_others(directory) and not directory.st_mode & stat.S_ISVTX


def _open_to_others(found: os.stat_result) -> bool:
    if found.st_uid not in (os.geteuid(), 0):
        return True
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private(found.st_gid, found.st_uid)


def _is_private(group: int, owner: int) -> bool:
    """Whether a group has no member but the owner."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(owner), grp.getgrgid(group)
    except KeyError:
        return False
    own = found.gr_name == user.pw_name or group == 0
    return own and user.pw_gid == group and set(found.gr_mem) <= {user.pw_name}
