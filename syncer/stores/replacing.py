"""Giving staged content its name, without ever losing what somebody else put there meanwhile.

Step 4 of the protocol in `install`. What is replaced lies in the trash already, durably.
"""

from __future__ import annotations

from syncer.engine.paths import printable
from syncer.errors import Unholdable
from syncer.stores.fsops import UNSUPPORTED
from syncer.stores.ground import Ground
from syncer.stores.removal import give_back, take, takes
from syncer.stores.staging import Staged
from syncer.stores.transfer import drop_quietly, is_same, name_it
from syncer.stores.trash import Session
from syncer.stores.trouble import NOT_THE_NAME, Unexpected, refused


def claim(ground: Ground, staged: Staged, name: str, dir_fd: int) -> None:
    """Takes a free name; raises Unexpected if somebody was faster, Unholdable if it is refused."""
    path = staged.item.path
    try:
        name_it(ground.fs, staged.temporary, dir_fd, name, dir_fd, spare=True)
    except FileExistsError:
        raise Unexpected(f"{printable(path)} is there by now") from None
    except OSError as error:
        if error.errno in NOT_THE_NAME or not _takes_another(ground, staged.temporary, dir_fd):
            raise
        try:
            name_it(ground.fs, staged.temporary, dir_fd, name, dir_fd, spare=True)  # was it only that once?
        except FileExistsError:
            raise Unexpected(f"{printable(path)} is there by now") from None
        except OSError as again:
            raise refused(path, again) from None


def _takes_another(ground: Ground, temporary: str, dir_fd: int) -> bool:
    """Whether the same file can be given a name of ours: then it is the other name that is the trouble.

    What is said of that differs: EINVAL, EILSEQ, EIO, and ENOENT by exFAT through FUSE.
    """
    other = ground.temporary()
    try:
        ground.fs.rename(temporary, dir_fd, other, dir_fd)
        ground.fs.rename(other, dir_fd, temporary, dir_fd)
    except OSError:
        return False
    return True


class Replacement:
    """One staged file or symlink taking the name of an old one."""

    def __init__(self, ground: Ground, staged: Staged, name: str, dir_fd: int, session: Session) -> None:
        self._ground = ground
        self._fs = ground.fs
        self._staged = staged
        self._name = name
        self._dir_fd = dir_fd
        self._session = session

    def make(self) -> None:
        """Raises Unexpected, with everything as it was, if the old one is not what was planned on."""
        temporary, dir_fd = self._staged.temporary, self._dir_fd
        if takes(self._ground, self._session, dir_fd):
            return self._make_by_taking()
        try:
            self._fs.exchange(temporary, dir_fd, self._name, dir_fd)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return self._make_aside()
        if self._is_old(temporary):
            return drop_quietly(self._fs, temporary, dir_fd)
        self._exchange_back()
        raise self._too_late()

    def _exchange_back(self) -> None:
        """Somebody wrote between the look and the exchange: that edit gets its name again."""
        temporary, dir_fd = self._staged.temporary, self._dir_fd
        try:
            self._fs.exchange(temporary, dir_fd, self._name, dir_fd)
        except FileNotFoundError:  # and now the name is gone as well
            return name_it(self._fs, temporary, dir_fd, self._name, dir_fd)
        self._fs.sync(dir_fd)  # before the temporary goes: a power cut may undo either exchange
        if not is_same(self._fs, temporary, dir_fd, self._staged.ours):
            self._take(temporary)  # yet another edit, made to our file
        self._forget_kept()

    def _make_aside(self) -> None:
        """Without EXCHANGE: the old file steps aside, is looked at, and the new one is named.

        The name is missing for a moment; a death then is healed from the trash, where the
        old file is already.
        """
        aside = self._ground.temporary()
        self._fs.rename(self._name, self._dir_fd, aside, self._dir_fd)
        if not self._is_old(aside):
            self._return(aside)
            raise self._too_late()
        try:
            claim(self._ground, self._staged, self._name, self._dir_fd)
        except (OSError, Unholdable):
            self._return(aside)
            raise
        finally:
            self._drop_old(aside)

    def _make_by_taking(self) -> None:
        """Without hard links: the old file itself goes to the trash, and the new one is named.

        The name is missing for a moment, as in `_make_aside`, and nothing is copied, nor dropped.
        """
        staged = self._staged
        assert staged.old is not None
        kept = take(self._session, self._dir_fd, self._name, staged.item.path, staged.old)
        try:
            claim(self._ground, staged, self._name, self._dir_fd)
        except (OSError, Unholdable):
            give_back(self._session, kept, self._dir_fd, self._name)
            raise

    def _return(self, aside: str) -> None:
        try:
            name_it(self._fs, aside, self._dir_fd, self._name, self._dir_fd)
        except FileExistsError:
            return self._take(aside)
        self._forget_kept()

    def _drop_old(self, aside: str) -> None:
        if self._is_old(aside):
            drop_quietly(self._fs, aside, self._dir_fd)

    def _take(self, name: str) -> None:
        self._session.take(name, self._dir_fd, self._staged.item.path)
        self._session.sync()

    def _is_old(self, name: str) -> bool:
        old = self._staged.old
        return old is not None and is_same(self._fs, name, self._dir_fd, old)

    def _forget_kept(self) -> None:
        if self._staged.kept is None:
            return
        try:
            self._session.discard(self._staged.kept, self._name, self._dir_fd)
        except OSError:
            return  # a second name too many in the trash harms nobody

    def _too_late(self) -> Unexpected:
        return Unexpected(f"{printable(self._staged.item.path)} changed at the last moment")
