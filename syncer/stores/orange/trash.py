"""Where old content is kept, for how long, and how a name is taken there.

    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162/docs/a.txt      taken by a run, then (UTC)
    .syncer/trash/20261121-104700-0123abcd-5f0c1d2e3f405162~2/docs/a.txt    the same path again

A move is what this API has instead of a conditional delete: what it took is looked at afterwards, and
put back if it is not what was seen.
"""

from __future__ import annotations

import logging
import secrets
import threading

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, join, parts, printable, split
from syncer.errors import NotFound, StoreError
from syncer.stores.http.bodies import Body
from syncer.stores.orange.context import Item, OrangeContext
from syncer.stores.orange.items import MARGIN_NS, File, Folder, Malformed
from syncer.stores.orange.items import folder as read_folder
from syncer.stores.orange.moves import carry, ensure
from syncer.stores.stale import StaleError
from syncer.stores.trash_runs import age_ns, run_name

log = logging.getLogger(__name__)
TRASH = f"{PRIVATE}/trash"
DAY_NS = 86_400 * 10**9


class Trash:
    """The trash of one root, for one run. Safe to share between threads."""

    def __init__(self, ground: OrangeContext, tag: str) -> None:
        self._ground = ground
        self._run = ""
        self._tag = tag
        self._lock = threading.Lock()
        self._files: list[set[str]] = []  # what was kept, by generation; case folded
        self._folders: list[set[str]] = []
        self._made: set[RelPath] = set()
        self._keeps_date: bool | None = None  # None: not tried

    @property
    def used(self) -> bool:
        """Whether anything was kept."""
        return bool(self._files)

    def keep(self, path: RelPath, seen: Item) -> RelPath:
        """Takes what was seen at a path; where it is now (the account's path). Raises Unexpected."""
        place = self._ground.at(f"{TRASH}/{self._batch(path, folder=isinstance(seen, Folder))}/{path}")
        around = split(place)[0]
        try:
            if around not in self._made:
                ensure(self._ground, around)
                self._made.add(around)
            taken = carry(self._ground, seen, self._ground.at(path), place, tag=self._tag)
        except (NotFound, StaleError):
            self._made.discard(around)
            raise StaleError(f"{printable(path)} is gone") from None
        if not self.same(seen, taken):
            self.put_back(place, taken, path)
            raise StaleError(f"{printable(path)} changed meanwhile")
        return place

    def put_back(self, place: RelPath, taken: Item, path: RelPath) -> bool:
        """Gives a name back what was just taken from it; False (and a warning) where that fails."""
        try:
            if self._ground.look(path) is None:
                carry(self._ground, taken, place, self._ground.at(path), tag=self._tag)
                return True
            log.warning("%s: another file is there by now; what was there is kept at %s", path, place)
        except (StoreError, StaleError) as error:
            log.warning("%s: could not be put back (%s); it is kept at %s", path, error, place)
        return False

    def same(self, before: Item, after: Item) -> bool:
        """Whether a rename took what was seen. Of folders only that: what is in them moves along."""
        if isinstance(before, Folder) or isinstance(after, Folder):
            return isinstance(before, Folder) and isinstance(after, Folder)
        if before.version == after.version or before.size != after.size:
            return before.size == after.size
        return not self._keeps()

    def _keeps(self) -> bool:
        """Whether renames and moves keep a file's date here: tried on a file of our own, a while after."""
        if self._keeps_date is None:
            ground, name = self._ground, f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
            with self._lock:
                around, away = ground.at(PRIVATE), ground.at(f"{TRASH}/{self._named()}")
            ensure(ground, away)
            place = join(around, name)
            id_ = ground.api.upload(ground.folder_id(around), name, Body(open=lambda: (b"?",), length=1))
            if id_ is not None:
                ground.ids.learn(place, id_, folder=False)
            before = ground.seek(place)
            if not isinstance(before, File):
                return False
            ground.api.session.clock.sleep(MARGIN_NS / 1e9)
            after = carry(ground, before, place, join(away, f"{name}-renamed"))
            ground.api.delete(after.id, folder=False)
            self._keeps_date = isinstance(after, File) and before.version == after.version
        return self._keeps_date

    def _batch(self, path: RelPath, *, folder: bool) -> str:
        """A folder of the trash in which the path was not used before, nor as another kind."""
        names = parts(path.casefold())
        above = {"/".join(names[:n]) for n in range(1, len(names))}
        key = "/".join(names)
        with self._lock:
            number = 0
            while number < len(self._files) and (
                key in self._files[number] | self._folders[number] or above & self._files[number]
            ):
                number += 1
            if number == len(self._files):
                self._files.append(set())
                self._folders.append(set())
            (self._folders if folder else self._files)[number].add(key)
            self._folders[number] |= above
            run = self._named()
        return run if number == 0 else f"{run}~{number + 1}"

    def _named(self) -> str:
        """The folder of this run, by the service's clock where its answers tell it."""
        if not self._run:
            session = self._ground.api.session
            now_ns = self._ground.api.page(limit=1).asked_ns
            self._run = run_name(session.clock.now_ns() if now_ns is None else now_ns, self._tag)
        return self._run

    def prune(self, days: int) -> None:
        """Deletes what runs of ours kept longer ago, by the service's clock. Raises StoreError."""
        try:
            page = self._ground.page(self._ground.at(TRASH))
        except NotFound:
            return
        for document in page.folders:
            try:
                batch = read_folder(document)
            except Malformed:
                continue
            if page.asked_ns is not None and age_ns(batch.name, page.asked_ns) > days * DAY_NS:
                self._ground.api.delete(batch.id, folder=True)
