"""Taking files away from a folder: second name in the trash, durable; step aside, look, drop.

Batches as in `install`. A file that turns out to be another one gets its name back; where
somebody took the name meanwhile it goes to the trash instead, never nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import stat_result

from syncer.engine.model import Done, Kind, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Removal, Results
from syncer.stores.batches import Tally, in_order, planned_on, runs
from syncer.stores.beneath import Cursor
from syncer.stores.ground import Ground
from syncer.stores.transfer import drop_quietly, is_same, name_it
from syncer.stores.trash import Kept, Session, Trash
from syncer.stores.trouble import Unexpected


def delete(ground: Ground, trash: Trash, items: Sequence[Removal]) -> Results:
    """See `engine.ports.Store.delete`."""
    for piece in runs(items):
        batch = {i: items[i] for i in in_order(piece, lambda i: items[i].path)}
        with ground.cursor() as cursor, trash.session() as session:
            tally = _Deletion(ground, cursor, session, batch).run()
        yield from tally.results()


class _Deletion:
    def __init__(self, ground: Ground, cursor: Cursor, session: Session, items: dict[int, Removal]) -> None:
        self._ground = ground
        self._cursor = cursor
        self._session = session
        self._items = items
        self._tally = Tally(ground)
        self._seen: dict[int, stat_result] = {}

    def run(self) -> Tally:
        for index, item in self._items.items():
            self._tally.attempt(index, item.path, partial(self._keep, index, item))
        self._make_durable()
        for index in self._seen:
            item = self._items[index]
            if index not in self._tally.ended:
                self._tally.attempt(index, item.path, partial(self._remove, index, item))
        self._tally.sync_directories(self._cursor)
        for index in self._items:
            self._tally.ended.setdefault(index, Done())
        return self._tally

    def _keep(self, index: int, item: Removal) -> None:
        if item.expected.kind is Kind.DIRECTORY:
            raise Unexpected(f"{printable(item.path)} is a directory: not deleted as a file")
        dir_fd, name = self._cursor.parent(item.path)
        seen = planned_on(self._ground, name, dir_fd, item.expected)
        if not takes(self._ground, self._session, dir_fd):
            self._session.keep(name, dir_fd, item.path, seen)
        self._seen[index] = seen

    def _make_durable(self) -> None:
        try:
            self._session.sync()
        except OSError as error:
            for index in self._seen:
                self._tally.attempt(index, self._items[index].path, partial(_fail, error))

    def _remove(self, index: int, item: Removal) -> None:
        dir_fd, name = self._cursor.parent(item.path)
        put_away(self._ground, self._session, dir_fd, name, item.path, self._seen[index])
        self._tally.touched(index, item.path)


def takes(ground: Ground, session: Session, dir_fd: int) -> bool:
    """Whether what goes is itself moved into the trash, instead of getting a second name there first.

    Where there are no hard links the second name would be a copy: it takes room on a disk that may be full,
    and without inodes that say something an edit within one tick of the clock could be dropped for it.
    """
    return not ground.traits.links and session.is_beside(dir_fd)


def put_away(
    ground: Ground, session: Session, dir_fd: int, name: str, path: RelPath, seen: stat_result
) -> None:
    """Takes away what is in the trash already, or goes there now; Unexpected if it is another one by now."""
    if takes(ground, session, dir_fd):
        take(session, dir_fd, name, path, seen)
    else:
        _step_aside(ground, session, dir_fd, name, path, seen)


def take(session: Session, dir_fd: int, name: str, path: RelPath, seen: stat_result) -> Kept:
    """Moves a name into the trash, durably; back again and Unexpected if it is not what was seen."""
    kept = session.take(name, dir_fd, path)
    if session.holds(kept, seen):
        session.sync()
        return kept
    give_back(session, kept, dir_fd, name)
    raise Unexpected(f"{printable(path)} changed at the last moment")


def give_back(session: Session, kept: Kept, dir_fd: int, name: str) -> None:
    """What was taken has its name again, or stays in the trash where that is another's by now."""
    try:
        session.give_back(kept, name, dir_fd)
    except FileExistsError:
        session.sync()


def _step_aside(
    ground: Ground, session: Session, dir_fd: int, name: str, path: RelPath, seen: stat_result
) -> None:
    """Drops a name whose content is durable in the trash."""
    aside = ground.temporary()
    ground.fs.rename(name, dir_fd, aside, dir_fd)
    if is_same(ground.fs, aside, dir_fd, seen):
        return drop_quietly(ground.fs, aside, dir_fd)
    try:
        name_it(ground.fs, aside, dir_fd, name, dir_fd)
    except FileExistsError:
        session.take(aside, dir_fd, path)
        session.sync()
    raise Unexpected(f"{printable(path)} changed at the last moment")


def _fail(error: OSError) -> None:
    raise error
