"""The trash of an Orange root: moves on this API, the service's clock, expiry.

A run's folder is deleted as a whole when it expired; see `stores.remote.trash` for the protocol.
"""

from __future__ import annotations

import secrets

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, join
from syncer.errors import NotFound
from syncer.stores.http.bodies import Body
from syncer.stores.http.json import Malformed
from syncer.stores.orange.context import Item, OrangeRoot
from syncer.stores.orange.items import MARGIN_NS, File, Folder
from syncer.stores.orange.items import folder as read_folder
from syncer.stores.orange.moves import carry, ensure
from syncer.stores.remote.trash import DAY_NS, TRASH, RemoteTrash, age_ns


class OrangeTrash(RemoteTrash[Item]):
    """The trash of one root, for one run."""

    def __init__(self, root: OrangeRoot, tag: str) -> None:
        super().__init__(root, tag)
        self._orange = root
        self._keeps_date: bool | None = None  # None: not tried

    def _move(self, item: Item, origin: RelPath, target: RelPath) -> Item:
        root = self._orange
        return carry(root, item, root.at(origin), root.at(target), tag=self._tag)

    def _make_directories(self, path: RelPath) -> None:
        ensure(self._orange, self._orange.at(path))

    def _service_now_ns(self) -> int:
        now_ns = self._orange.api.page(limit=1).asked_ns
        return self._orange.api.session.clock.now_ns() if now_ns is None else now_ns

    def is_same(self, before: Item, after: Item) -> bool:
        """Whether a move took the file that was seen: by its version, where moves keep a file's date."""
        if isinstance(before, Folder) or isinstance(after, Folder):
            return isinstance(before, Folder) and isinstance(after, Folder)
        if before.version == after.version or before.size != after.size:
            return before.size == after.size
        return not self._moves_keep_date()

    def _moves_keep_date(self) -> bool:
        """Whether renames and moves keep a file's date here, which is not documented.

        Tried once, on a file of our own, after a while in which a new date would be a later one.
        """
        if self._keeps_date is None:
            root, name = self._orange, f"{TEMPORARY}{self._tag}{secrets.token_hex(4)}"
            around, away = root.at(PRIVATE), root.at(f"{TRASH}/{self.run_folder()}")
            ensure(root, away)
            path = join(around, name)
            id_ = root.api.upload(root.folder_id(around), name, Body(open=lambda: (b"?",), length=1))
            if id_ is not None:
                root.ids.learn(path, id_, folder=False)
            before = root.seek(path)
            if not isinstance(before, File):
                return False
            root.api.session.clock.sleep(MARGIN_NS / 1e9)
            after = carry(root, before, path, join(away, f"{name}-renamed"))
            root.api.delete(after.id, folder=False)
            self._keeps_date = isinstance(after, File) and before.version == after.version
        return self._keeps_date

    def prune(self, days: int) -> None:
        """Delete the folders of runs that began more than `days` ago by the service's clock.

        Only folders with the name of a run are touched. Raises StoreError.
        """
        root = self._orange
        try:
            page = root.page(root.at(TRASH))
        except NotFound:
            return
        for document in page.folders:
            try:
                run = read_folder(document)
            except Malformed:
                continue
            if page.asked_ns is not None and age_ns(run.name, page.asked_ns) > days * DAY_NS:
                root.api.delete(run.id, folder=True)
