"""Putting files and symlinks into a folder: the exact protocol, for a batch at a time.

1. *stage*: all content goes to temporary names in the directories it is meant for (`staging`),
   with the help of what is there: the old file, or what a broken-off put left (`partial`);
2. *keep*: what is to be replaced gets a second name in the trash;
3. *sync*: staged bytes and trash are durable;
4. *place*: NOREPLACE for a free name; for a taken one EXCHANGE, look at what really was there, and
   exchange back if it is not what was planned on (`replacing`);
5. *sync* the directories;
6. *look* for the stamp to remember, late enough for it to be trusted.

The look of one batch waits until the next one is in place, so it costs no time. An error
before 4 leaves nothing behind but the outcome; whatever kills the process leaves whole files
under users' names and temporaries that the next run moves to the trash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from os import stat_result

from syncer.engine.model import Done, Entry, Kind, Method, Outcome
from syncer.engine.paths import printable
from syncer.engine.ports import Put, Results
from syncer.stores import stamps
from syncer.stores.batches import (
    FEW,
    MOST,
    Tally,
    in_order,
    late_look,
    planned_on,
    settle,
    sync_everything,
)
from syncer.stores.beneath import Cursor
from syncer.stores.ground import Ground
from syncer.stores.removal import takes
from syncer.stores.replacing import Replacement, claim
from syncer.stores.staging import Staged, stage
from syncer.stores.transfer import drop_quietly, is_same, stat_afresh
from syncer.stores.trash import Session, Trash
from syncer.stores.trouble import Unexpected

_HEAVY = 256 << 20  # bytes after which a batch is closed even if it has few items


def put(ground: Ground, trash: Trash, items: Sequence[Put]) -> Results:
    """See `engine.ports.Store.put`."""
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


def _groups(items: Sequence[Put]) -> Iterator[list[int]]:
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
    """The items of one batch and how far each has come."""

    def __init__(self, ground: Ground, items: dict[int, Put], cursor: Cursor, session: Session) -> None:
        self._ground = ground
        self._fs = ground.fs
        self._items = items
        self._cursor = cursor
        self._session = session
        self._tally = Tally(ground)
        self._staged: dict[int, Staged] = {}
        self._bulk = len(items) >= FEW
        self._since = 0

    def install(self) -> None:
        """Steps 1 to 5. Raises only what ends the run."""
        self._each(self._items, self._stage)
        self._each(self._staged, self._keep)
        self._make_durable()
        self._each(self._staged, self._place)
        self._tally.sync_directories(self._cursor)
        self._since = self._ground.clock.now_ns()

    def settled(self) -> Results:
        """Step 6, once everything is in place."""
        with self._ground.cursor() as cursor:
            placed = [i for i in self._staged if i not in self._tally.ended]
            if placed:
                settle(self._ground, self._since)
            for index in placed:
                self._tally.ended[index] = self._done(self._staged[index], cursor)
        yield from self._tally.results()

    def _each(self, indices: dict[int, Put] | dict[int, Staged], step: Callable[[int], None]) -> None:
        for index in list(indices):
            if index not in self._tally.ended:
                self._attempt(index, partial(step, index))

    def _attempt(self, index: int, step: Callable[[], None]) -> None:
        if not self._tally.attempt(index, self._items[index].path, step):
            self._unstage(index)

    def _unstage(self, index: int) -> None:
        """Removes a temporary that will not be used, provided that it still is what we made.

        Where its directory was moved meanwhile, it goes with that, or with the next sweep.
        """
        staged = self._staged.get(index)
        if staged is None:
            return
        try:
            directory_fd, _ = self._cursor.parent(staged.item.path)
            if is_same(self._fs, staged.temporary, directory_fd, staged.ours):
                return drop_quietly(self._fs, staged.temporary, directory_fd)
        except OSError:
            pass
        self._ground.abandoned[staged.temporary] = staged.ours

    def _stage(self, index: int) -> None:
        item = self._items[index]
        directory_fd, name = self._cursor.parent(item.path)
        old = self._old(item, name, directory_fd)
        self._staged[index] = stage(self._ground, item, name, directory_fd, old, sync=not self._bulk)

    def _old(self, item: Put, name: str, directory_fd: int) -> stat_result | None:
        if item.expected is None:
            return None
        if item.expected.kind is Kind.DIRECTORY:
            raise Unexpected(f"{printable(item.path)} is a directory: content never replaces one")
        return planned_on(self._ground, name, directory_fd, item.expected)

    def _keep(self, index: int) -> None:
        staged = self._staged[index]
        if staged.old is None:
            return
        directory_fd, name = self._cursor.parent(staged.item.path)
        staged.old = self._old(staged.item, name, directory_fd)
        assert staged.old is not None
        if not takes(self._ground, self._session, directory_fd):
            staged.kept = self._session.keep(name, directory_fd, staged.item.path, staged.old)

    def _make_durable(self) -> None:
        """After a failed sync nothing of the batch is believed, and nothing is synced again."""
        try:
            if self._bulk and not sync_everything(self._ground):
                self._each(self._staged, self._sync_one)
            self._session.sync()
        except OSError as error:
            self._each(self._staged, partial(_fail, error))

    def _sync_one(self, index: int) -> None:
        staged = self._staged[index]
        if staged.item.kind is Kind.SYMLINK:
            return
        directory_fd, _ = self._cursor.parent(staged.item.path)
        fd = self._fs.open_read(staged.temporary, directory_fd)
        try:
            self._fs.sync(fd)
        finally:
            self._fs.close(fd)

    def _place(self, index: int) -> None:
        staged = self._staged[index]
        directory_fd, name = self._cursor.parent(staged.item.path)
        if staged.old is None:
            claim(self._ground, staged, name, directory_fd)
        else:
            Replacement(self._ground, staged, name, directory_fd, self._session).make()
        self._tally.touched(index, staged.item.path)
        named = stat_afresh(self._fs, name, directory_fd)
        # RACE: a write just before that look which restores size and mtime
        if stamps.identity(named) == stamps.identity(staged.ours):
            staged.ours = named  # with the ctime of its naming: from here on any write shows

    def _done(self, staged: Staged, cursor: Cursor) -> Outcome:
        now = self._ground.clock.now_ns()
        found, untouched = late_look(self._ground, cursor, staged.item.path, staged.ours)
        entry = _entry(staged, found, now if untouched else 0)
        return Done(entry=entry, method=Method.WHOLE, sent=entry.size - staged.start)


def _fail(error: OSError, index: int) -> None:
    raise error


def _entry(staged: Staged, found: stat_result, now_ns: int) -> Entry:
    if staged.item.kind is Kind.SYMLINK:
        return stamps.link_entry(found, staged.item.target or "", staged.digest or b"", now_ns)
    return stamps.file_entry(found, now_ns, staged.digest)
