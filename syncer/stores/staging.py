"""Making the new content of a name, complete and dressed, under a temporary name beside it.

Step 1 of the protocol in `install`: nothing a user can see changes here, and an error
leaves no temporary behind, but for a `partial` that can be gone on with.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from os import stat_result

from blake3 import blake3

from syncer.engine.model import Kind
from syncer.engine.paths import printable
from syncer.engine.ports import Basis, Put
from syncer.errors import ChangedUnderUs, Unholdable
from syncer.stores import partial, stamps
from syncer.stores.basis import BasisLost, Older, older
from syncer.stores.ground import Ground
from syncer.stores.transfer import drop_quietly, write_all
from syncer.stores.trash import Kept


@dataclass(slots=True)
class Staged:
    """One item on its way: what we made (`ours`), what it is to replace (`old`), and where that was kept.

    `start` bytes of the content were here before.
    """

    item: Put
    temporary: str
    ours: stat_result
    digest: bytes | None
    old: stat_result | None = None
    kept: Kept | None = None
    start: int = 0


def stage(
    ground: Ground, item: Put, name: str, directory_fd: int, old: stat_result | None, *, sync: bool
) -> Staged:
    """Raises OSError, Unexpected, and what the source of the content raises."""
    if item.kind is Kind.SYMLINK:
        temporary = ground.temporary()
        ours, digest = _stage_link(ground, item, temporary, directory_fd)
        return Staged(item=item, temporary=temporary, ours=ours, digest=digest, old=old)
    basis = older(ground, item, old, name, directory_fd)
    try:
        return _stage_file(ground, item, directory_fd, old, basis, sync=sync)
    except BasisLost:
        return _stage_file(ground, item, directory_fd, old, None, sync=sync)
    finally:
        if basis is not None:
            basis.close()


def _stage_file(
    ground: Ground, item: Put, directory_fd: int, old: stat_result | None, basis: Older | None, *, sync: bool
) -> Staged:
    """What already arrived of the content goes before an older version of it: `basis`."""
    draft = partial.begin(ground, item, directory_fd)
    try:
        digest = _fill(ground, draft, item, draft.beginning(item, basis) or basis)
        _dress(ground, draft.fd, item, old)
        if sync:
            ground.fs.sync(draft.fd)
        draft.complete()
        ours = ground.fs.fstat(draft.fd)
    except Exception as error:
        draft.give_up(error)
        raise
    finally:
        draft.close()
    return Staged(item=item, temporary=draft.name, ours=ours, digest=digest, old=old, start=draft.start)


def _fill(ground: Ground, draft: partial.Draft, item: Put, basis: Basis | None) -> bytes | None:
    source = item.source
    if source is None or item.kind is not Kind.FILE:
        raise Unholdable(f"{printable(item.path)}: no content to put", path=item.path)
    try:
        written = write_all(ground.fs, draft.fd, source.chunks(basis))
    except OSError as error:
        if error.errno == errno.EFBIG and ground.fs.unlimited():
            _note_limit(ground, draft.fd)
        raise
    if draft.start + written != item.size:
        raise ChangedUnderUs(f"{printable(item.path)}: not as long as it was planned on", path=item.path)
    return source.entry.digest


def _note_limit(ground: Ground, fd: int) -> None:
    """A file system that took so many bytes and no more (FAT: 4 GiB) need not be tried by each run."""
    size = ground.fs.fstat(fd).st_size
    if size:
        ground.limit_size(size)


def _dress(ground: Ground, fd: int, item: Put, old: stat_result | None) -> None:
    """Mode, owner, mtime. A replaced file keeps its permission bits; setuid and the like are never set."""
    mode = 0o666 & ~ground.umask
    if old is not None and stamps.kind(old) is Kind.FILE:
        mode = old.st_mode & 0o777
        _keep_owner(ground, fd, old)
    ground.fs.set_mode(fd, with_executable(mode, item.executable))
    if item.mtime_ns is not None:
        ground.fs.set_times(fd, item.mtime_ns)


def _keep_owner(ground: Ground, fd: int, old: stat_result) -> None:
    """A run as root must not take a user's file away from them."""
    if ground.fs.effective_user() == 0 and (old.st_uid, old.st_gid) != (0, 0):
        ground.fs.set_owner(fd, old.st_uid, old.st_gid)


def _stage_link(ground: Ground, item: Put, temporary: str, directory_fd: int) -> tuple[stat_result, bytes]:
    target = item.target
    if not target:
        raise Unholdable(f"{printable(item.path)}: a symlink without a target", path=item.path)
    try:
        ground.fs.symlink(target, temporary, directory_fd)
    except ValueError as error:  # a NUL, or a character that stands for no byte
        raise Unholdable(f"{printable(item.path)}: no symlink can hold its target", path=item.path) from error
    try:
        if item.mtime_ns is not None:
            ground.fs.set_link_times(temporary, directory_fd, item.mtime_ns)
        return ground.fs.stat(temporary, directory_fd), link_digest(target)
    except Exception:
        drop_quietly(ground.fs, temporary, directory_fd)
        raise


def with_executable(mode: int, executable: bool | None) -> int:
    """The permission bits with x where r is, without any x, or as they are (None)."""
    if executable is None:
        return mode
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def link_digest(target: str) -> bytes:
    """BLAKE3-256 of the target's bytes."""
    return blake3(os.fsencode(target)).digest()
