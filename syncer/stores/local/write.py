"""The write protocol: files and symlinks get into a folder atomically and durably, a batch at a time.

1. *stage* (`staging`): all content is written to temporary names in its target directories, as a delta
   against the old file, or from where a write broke off, if possible;
2. *keep*: what is to be replaced gets a second name (a hard link) in the trash;
3. *sync*: staged bytes and trash are made durable;
4. *place*: a free name is taken by RENAME_NOREPLACE; a taken one by RENAME_EXCHANGE, after which the file
   that really was there is compared, and exchanged back if it is not what was planned on;
5. *sync* of the directories;
6. *stat* for the version to record, late enough for it to be trusted.

Step 6 of one batch waits until the next batch is in place, so it costs no time. An error before 4 leaves
nothing behind but the outcome. A death at any moment leaves whole files under users' names, and temporary
files that the next run moves to the trash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import stat_result

from syncer.engine.interfaces import Results, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Method, Outcome
from syncer.engine.paths import printable
from syncer.errors import Unholdable
from syncer.stores.local import stat
from syncer.stores.local.batch import (
    FEW,
    MOST,
    BatchOutcomes,
    drop_quietly,
    in_order,
    is_same,
    name_lock,
    refuse_private,
    rename_noreplace,
    stat_afresh,
    stat_after_settling,
    stat_if_unchanged,
    sync_everything,
    wait_until_trusted,
)
from syncer.stores.local.delete import give_back, take, takes
from syncer.stores.local.errors import NOT_THE_NAME, refused
from syncer.stores.local.filesystem import UNSUPPORTED
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.staging import Staged, stage
from syncer.stores.local.trash import Trash, TrashSession
from syncer.stores.stale import StaleError

# --------------------------------------------------------------------------------
#
# Step 4: staged content takes the user's name, without ever losing a file that another program put there.
#
# The file that is to be replaced lies in the trash already, durably.


def place_new(ground: FolderRoot, staged: Staged, name: str, dir_fd: int) -> None:
    """Give staged content a free name. Raises StaleError if the name was taken meanwhile, Unholdable if the
    file system refuses the name.
    """
    path = staged.item.path
    try:
        rename_noreplace(ground.fs, staged.temporary, dir_fd, name, dir_fd, spare=True)
    except FileExistsError:
        raise StaleError(f"{printable(path)} is there by now") from None
    except OSError as error:
        if error.errno in NOT_THE_NAME or not _takes_another(ground, staged.temporary, dir_fd):
            raise
        # Another name works, so it is the name that is refused, unless this was a passing failure: once more.
        try:
            rename_noreplace(ground.fs, staged.temporary, dir_fd, name, dir_fd, spare=True)
        except FileExistsError:
            raise StaleError(f"{printable(path)} is there by now") from None
        except OSError as again:
            raise refused(path, again) from None


def _takes_another(ground: FolderRoot, temporary: str, dir_fd: int) -> bool:
    """True if the file can be given another temporary name: then the user's name is what is refused.

    The errno does not tell: it is EINVAL, EILSEQ, EIO, or ENOENT (exFAT through FUSE).
    """
    other = ground.temporary()
    try:
        ground.fs.rename(temporary, dir_fd, other, dir_fd)
        ground.fs.rename(other, dir_fd, temporary, dir_fd)
    except OSError:
        return False
    return True


class Replacement:
    """One staged file or symlink that replaces an existing one."""

    def __init__(
        self, ground: FolderRoot, staged: Staged, name: str, dir_fd: int, session: TrashSession
    ) -> None:
        self._ground = ground
        self._fs = ground.fs
        self._staged = staged
        self._name = name
        self._dir_fd = dir_fd
        self._session = session

    def make(self) -> None:
        """Replace the old file. Raises StaleError, with all as it was, if it is not the planned one."""
        temporary, dir_fd = self._staged.temporary, self._dir_fd
        if takes(self._ground, self._session, dir_fd):
            return self._make_by_taking()
        try:
            self._fs.exchange(temporary, dir_fd, self._name, dir_fd)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return self._make_aside()
        # The exchange is atomic, so what is under the temporary name now is exactly what the user's name
        # held. If it is the file that lies in the trash, the second name is not needed any more.
        if self._is_old(temporary):
            return drop_quietly(self._fs, temporary, dir_fd)
        self._exchange_back()
        raise self._too_late()

    def _exchange_back(self) -> None:
        """Another program wrote between the comparison and the exchange: its file gets the name again."""
        temporary, dir_fd = self._staged.temporary, self._dir_fd
        try:
            self._fs.exchange(temporary, dir_fd, self._name, dir_fd)
        except FileNotFoundError:  # and now the name is gone as well
            return rename_noreplace(self._fs, temporary, dir_fd, self._name, dir_fd)
        self._fs.sync(dir_fd)  # before the temporary goes: a power cut may undo either exchange
        if not is_same(self._fs, temporary, dir_fd, self._staged.ours):
            self._take(temporary)  # yet another edit, made to our file: it goes to the trash, not away
        self._forget_kept()

    def _make_aside(self) -> None:
        """Without RENAME_EXCHANGE: the old file is renamed aside and compared, then the new one is named.

        The name is missing for a moment. After a death in that moment the next run sees a deletion here,
        while the old file is in the trash and the new content on the other side: nothing is lost.
        """
        aside = self._ground.temporary()
        self._fs.rename(self._name, self._dir_fd, aside, self._dir_fd)
        if not self._is_old(aside):
            self._return(aside)
            raise self._too_late()
        try:
            place_new(self._ground, self._staged, self._name, self._dir_fd)
        except (OSError, Unholdable):
            self._return(aside)
            raise
        finally:
            self._drop_old(aside)

    def _make_by_taking(self) -> None:
        """Without hard links: the old file itself is moved to the trash, then the new one is named.

        The name is missing for a moment, as in `_make_aside`; nothing is copied or unlinked.
        """
        staged = self._staged
        assert staged.old is not None
        kept = take(self._session, self._dir_fd, self._name, staged.item.path, staged.old)
        try:
            place_new(self._ground, staged, self._name, self._dir_fd)
        except (OSError, Unholdable):
            give_back(self._session, kept, self._dir_fd, self._name)
            raise

    def _return(self, aside: str) -> None:
        try:
            rename_noreplace(self._fs, aside, self._dir_fd, self._name, self._dir_fd)
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
            return  # one name too many in the trash does no harm

    def _too_late(self) -> StaleError:
        return StaleError(f"{printable(self._staged.item.path)} changed at the last moment")


_HEAVY = 256 << 20  # bytes after which a batch is closed even if it has few items


def put(ground: FolderRoot, trash: Trash, items: Sequence[WriteRequest]) -> Results:
    """See `engine.interfaces.Store.put`."""
    before: _Batch | None = None
    for indices in _groups(items):
        with ground.cursor() as cursor, trash.session() as session:
            batch = _Batch(ground, {i: items[i] for i in indices}, cursor, session)
            batch.install()
        if before is not None:
            yield from before.settled()
        before = batch
    if before is not None:
        yield from before.settled()


def _groups(items: Sequence[WriteRequest]) -> Iterator[list[int]]:
    group: list[int] = []
    weight = 0
    for index in in_order(range(len(items)), lambda i: items[i].path):
        if group and (len(group) >= MOST or weight >= _HEAVY):
            yield group
            group, weight = [], 0
        group.append(index)
        weight += items[index].size
    if group:
        yield group


class _Batch:
    """The items of one batch, and how far each of them is."""

    def __init__(
        self,
        ground: FolderRoot,
        items: dict[int, WriteRequest],
        cursor: DirectoryCursor,
        session: TrashSession,
    ) -> None:
        self._ground = ground
        self._fs = ground.fs
        self._items = items
        self._cursor = cursor
        self._session = session
        self._outcomes = BatchOutcomes(ground)
        self._staged: dict[int, Staged] = {}
        self._bulk = len(items) >= FEW
        self._since = 0

    def install(self) -> None:
        """Steps 1 to 5, each for all items before the next. Raises only what ends the run.

        The order makes it safe: no user's name is touched before the new content, and the copy of the old one
        in the trash, are durable (3), and no outcome is `Done` before the new name is durable (5).
        """
        for index, item in self._items.items():
            with self._outcomes.item(index, item.path):
                refuse_private(item.path)
                directory_fd, name = self._cursor.parent(item.path)
                old = self._old(item, name, directory_fd)
                # Many items are synced by one syncfs in step 3: cheaper than a sync for each.
                self._staged[index] = stage(self._ground, item, name, directory_fd, old, sync=not self._bulk)
        for index, staged in self._pending():
            with self._outcomes.item(index, staged.item.path):
                self._keep(staged)
        self._make_durable()
        for index, staged in self._pending():
            with self._outcomes.item(index, staged.item.path):
                self._place(index, staged)
        self._outcomes.sync_directories(self._cursor)
        self._since = self._ground.clock.now_ns()

    def settled(self) -> Results:
        """Step 6: the outcomes, with stamps taken late enough to be trusted."""
        with self._ground.cursor() as cursor:
            placed = [i for i in self._staged if i not in self._outcomes.ended]
            if placed:
                wait_until_trusted(self._ground, self._since)
            for index in placed:
                self._outcomes.ended[index] = self._done(self._staged[index], cursor)
        yield from self._outcomes.results()

    def _pending(self) -> Iterator[tuple[int, Staged]]:
        """The staged items that did not fail so far; one that fails in the loop loses its temporary file."""
        for index, staged in self._staged.items():
            if index not in self._outcomes.ended:
                yield index, staged
                if index in self._outcomes.ended:
                    self._unstage(staged)

    def _unstage(self, staged: Staged) -> None:
        """Remove a temporary file that will not be used, provided that it still is what was made.

        Where its directory was moved meanwhile, the file goes with that, or with the next sweep.
        """
        try:
            directory_fd, _ = self._cursor.parent(staged.item.path)
            if is_same(self._fs, staged.temporary, directory_fd, staged.ours):
                return drop_quietly(self._fs, staged.temporary, directory_fd)
        except OSError:
            pass
        self._ground.abandoned[staged.temporary] = staged.ours

    def _old(self, item: WriteRequest, name: str, directory_fd: int) -> stat_result | None:
        if item.expected is None:
            return None
        if item.expected.kind is Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is a directory: content never replaces one")
        return stat_if_unchanged(self._ground, name, directory_fd, item.expected)

    def _keep(self, staged: Staged) -> None:
        """Step 2: the file to be replaced gets a second name in the trash."""
        if staged.old is None:
            return
        directory_fd, name = self._cursor.parent(staged.item.path)
        # Staging may have taken long: the old file is compared again, so that the trash gets what was planned
        # on.
        staged.old = self._old(staged.item, name, directory_fd)
        assert staged.old is not None
        if not takes(self._ground, self._session, directory_fd):
            staged.kept = self._session.keep(name, directory_fd, staged.item.path, staged.old)

    def _make_durable(self) -> None:
        """Step 3: sync content and trash. If that fails, every item of the batch fails.

        After a failed fsync the kernel may have dropped the dirty pages, and a second one would report
        success (fsyncgate): so nothing of the batch is believed, and nothing is synced again.
        """
        try:
            if self._bulk and not sync_everything(self._ground):
                for index, staged in self._pending():
                    with self._outcomes.item(index, staged.item.path):
                        self._sync_one(staged)
            self._session.sync()
        except OSError as error:
            for index, staged in self._pending():
                with self._outcomes.item(index, staged.item.path):
                    raise error

    def _sync_one(self, staged: Staged) -> None:
        if staged.item.kind is Kind.SYMLINK:
            return
        directory_fd, _ = self._cursor.parent(staged.item.path)
        fd = self._fs.open_read(staged.temporary, directory_fd)
        try:
            self._fs.sync(fd)
        finally:
            self._fs.close(fd)

    def _place(self, index: int, staged: Staged) -> None:
        """Step 4: the staged content takes the user's name."""
        directory_fd, name = self._cursor.parent(staged.item.path)
        if staged.old is None:
            place_new(self._ground, staged, name, directory_fd)
        else:
            with name_lock(self._fs, directory_fd, name):
                Replacement(self._ground, staged, name, directory_fd, self._session).make()
        self._outcomes.touched(index, staged.item.path)
        named = stat_afresh(self._fs, name, directory_fd)
        # RACE: a write just before that stat which restores size and mtime
        if stat.identity(named) == stat.identity(staged.ours):
            staged.ours = named  # with the ctime of its naming: from here on any write shows

    def _done(self, staged: Staged, cursor: DirectoryCursor) -> Outcome:
        now = self._ground.clock.now_ns()
        found, untouched = stat_after_settling(self._ground, cursor, staged.item.path, staged.ours)
        entry = _entry(staged, found, now if untouched else 0)
        return Done(entry=entry, method=Method.WHOLE, sent=entry.size - staged.start)


def _entry(staged: Staged, found: stat_result, now_ns: int) -> Entry:
    if staged.item.kind is Kind.SYMLINK:
        return stat.link_entry(found, staged.item.target or "", staged.digest or b"", now_ns)
    return stat.file_entry(found, now_ns, staged.digest)
